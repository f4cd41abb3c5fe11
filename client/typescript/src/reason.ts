/** The `domain` of every `google.rpc.ErrorInfo` that the API sends. */
export const ERROR_DOMAIN = "approve.v1";

/**
 * Why a call failed: the `reason` of the `google.rpc.ErrorInfo` that every error of the API carries. Stable: branch on
 * this, never on a message.
 */
export const Reason = {
  /** The caller did not say who they are, or not in a way that the server accepts. */
  UNAUTHENTICATED: "UNAUTHENTICATED",
  /** No role of the caller's allows the call. Metadata: `permission`. */
  PERMISSION_MISSING: "PERMISSION_MISSING",
  /** The caller has reached one of its limits. Metadata: `limit`. */
  LIMIT_EXCEEDED: "LIMIT_EXCEEDED",
  /** The keys of the caller's issuer can't be read now. */
  IDENTITY_UNAVAILABLE: "IDENTITY_UNAVAILABLE",
  /** The store did not answer; nothing was changed. */
  STORE_UNAVAILABLE: "STORE_UNAVAILABLE",
  /** The server is draining. */
  SHUTTING_DOWN: "SHUTTING_DOWN",
  /** A defect of the server. */
  INTERNAL: "INTERNAL",
  /** The deadline passed. Whether the call had an effect is not known. Thrown as `DeadlinePassed`. */
  DEADLINE_EXCEEDED: "DEADLINE_EXCEEDED",
  /** A field is malformed; see `Refused.fieldViolations`. */
  INVALID_FIELD: "INVALID_FIELD",
  /** A resume token is not of this server's making, or of another filter. */
  RESUME_TOKEN_INVALID: "RESUME_TOKEN_INVALID",
  /** A resume token is older than what the server keeps. */
  REVISION_COMPACTED: "REVISION_COMPACTED",
  /** No such approval. */
  APPROVAL_NOT_FOUND: "APPROVAL_NOT_FOUND",
  /** The approval is final. Metadata: `status`, `decided_by`, `decided_at`. */
  ALREADY_DECIDED: "ALREADY_DECIDED",
  /** Nobody may decide now. Metadata: `until`, `reason`. */
  ON_HOLD: "ON_HOLD",
  /** Somebody else has claimed it. Metadata: `assignee`, `until`. */
  CLAIMED: "CLAIMED",
  /** The caller is an approver of a stage that is met, or not yet open. Metadata: `stages`. */
  STAGE_NOT_OPEN: "STAGE_NOT_OPEN",
  /** The rule does not let the caller decide. */
  NOT_AN_APPROVER: "NOT_AN_APPROVER",
  /** The caller asked for this approval and may not approve it. */
  SELF_APPROVAL: "SELF_APPROVAL",
  /** Only its requester or an operator may cancel it. */
  NOT_THE_REQUESTER: "NOT_THE_REQUESTER",
  /** Whoever gets it gave it away before, or it was given on too often. */
  REASSIGNMENT_LOOP: "REASSIGNMENT_LOOP",
  /** The approval changed since it was read. Metadata: `etag`. */
  ETAG_MISMATCH: "ETAG_MISMATCH",
  /** The rule asks for a comment. */
  COMMENT_REQUIRED: "COMMENT_REQUIRED",
  /** The rule has no outcome of that name. Metadata: `outcomes`. */
  OUTCOME_UNKNOWN: "OUTCOME_UNKNOWN",
  /** The response does not fit the rule's schema; the violations name the places. */
  RESPONSE_INVALID: "RESPONSE_INVALID",
  /** The request id was used with another body. */
  REQUEST_ID_REUSED: "REQUEST_ID_REUSED",
  /** The prefix of an id fits several approvals. Metadata: `matches`, the first few. */
  AMBIGUOUS_ID: "AMBIGUOUS_ID",
  /** A page token is not of this server's making, or of another query. */
  PAGE_TOKEN_INVALID: "PAGE_TOKEN_INVALID",
  /** An API token of that name exists. */
  API_TOKEN_EXISTS: "API_TOKEN_EXISTS",
  /** No such API token. */
  API_TOKEN_NOT_FOUND: "API_TOKEN_NOT_FOUND",
  /** AWS did not answer, or throttled. */
  AWS_UNAVAILABLE: "AWS_UNAVAILABLE",
  /** AWS refused the server's own credentials. Metadata: `operation`. */
  AWS_DENIED: "AWS_DENIED",
  /** AWS refused the call. Metadata: `operation`, `code`. */
  AWS_REFUSED: "AWS_REFUSED",
  /** A state machine's definition is refused. Metadata: `location`. */
  INVALID_DEFINITION: "INVALID_DEFINITION",
  /** A resource of that name exists and is not the server's. Metadata: `resource`. */
  NOT_OWNED: "NOT_OWNED",
  /** A resource can't be changed in place. Metadata: `resource`, `fields`. */
  REPLACE_NEEDED: "REPLACE_NEEDED",
  /** The workflow is provisioned by code. Metadata: `workflow`. */
  WORKFLOW_ATTACHED: "WORKFLOW_ATTACHED",
  /** No such workflow. */
  WORKFLOW_NOT_FOUND: "WORKFLOW_NOT_FOUND",
  /** Approvals of the workflow are pending. Metadata: `pending`. */
  APPROVALS_PENDING: "APPROVALS_PENDING",
  /** An execution of that name exists with other input, or has ended. */
  EXECUTION_ALREADY_EXISTS: "EXECUTION_ALREADY_EXISTS",
  /** No such execution. */
  EXECUTION_NOT_FOUND: "EXECUTION_NOT_FOUND",
} as const;

/** One of the API's, or one that this version does not know. */
export type Reason = (typeof Reason)[keyof typeof Reason] | (string & {});
