use std::fmt;

/// Defines [`Reason`] and its wire names in one table, so that the two directions can't drift apart.
macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Why a call failed: the `reason` of the `google.rpc.ErrorInfo` that every error of the API carries.
        ///
        /// Stable: branch on this, never on a message.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[$doc])* $variant,)*
            /// A reason that this version of the client does not know, as it was sent.
            Other(String),
        }

        impl Reason {
            /// The reason as it is on the wire, `UPPER_SNAKE_CASE`.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Other(name) => name,
                }
            }
        }

        impl From<&str> for Reason {
            fn from(name: &str) -> Self {
                match name {
                    $($name => Self::$variant,)*
                    _ => Self::Other(name.to_owned()),
                }
            }
        }

        #[cfg(test)]
        const ALL: &[Reason] = &[$(Reason::$variant,)*];
    };
}

reasons! {
    /// The caller did not say who they are, or not in a way that the server accepts.
    Unauthenticated = "UNAUTHENTICATED",
    /// No role of the caller's allows the call. Metadata: `permission`.
    PermissionMissing = "PERMISSION_MISSING",
    /// The caller has reached one of its limits. Metadata: `limit`.
    LimitExceeded = "LIMIT_EXCEEDED",
    /// The keys of the caller's issuer can't be read now.
    IdentityUnavailable = "IDENTITY_UNAVAILABLE",
    /// The store did not answer; nothing was changed.
    StoreUnavailable = "STORE_UNAVAILABLE",
    /// The deadline passed. Whether the call had an effect is not known.
    DeadlineExceeded = "DEADLINE_EXCEEDED",
    /// The server is draining.
    ShuttingDown = "SHUTTING_DOWN",
    /// A defect of the server.
    Internal = "INTERNAL",
    /// A field is malformed; see [`Error::field_violations`](crate::Error::field_violations).
    InvalidField = "INVALID_FIELD",
    /// A resume token is not of this server's making, or of another filter.
    ResumeTokenInvalid = "RESUME_TOKEN_INVALID",
    /// A resume token is older than what the server keeps.
    RevisionCompacted = "REVISION_COMPACTED",
    /// No such approval.
    ApprovalNotFound = "APPROVAL_NOT_FOUND",
    /// The approval is final. Metadata: `status`, `decided_by`, `decided_at`.
    AlreadyDecided = "ALREADY_DECIDED",
    /// Nobody may decide now. Metadata: `until`, `reason`.
    OnHold = "ON_HOLD",
    /// Somebody else has claimed it. Metadata: `assignee`, `until`.
    Claimed = "CLAIMED",
    /// The caller is an approver of a stage that is met, or not yet open. Metadata: `stages`.
    StageNotOpen = "STAGE_NOT_OPEN",
    /// The rule does not let the caller decide.
    NotAnApprover = "NOT_AN_APPROVER",
    /// The caller asked for this approval and may not approve it.
    SelfApproval = "SELF_APPROVAL",
    /// Only its requester or an operator may cancel it.
    NotTheRequester = "NOT_THE_REQUESTER",
    /// Whoever gets it gave it away before, or it was given on too often.
    ReassignmentLoop = "REASSIGNMENT_LOOP",
    /// The approval changed since it was read. Metadata: `etag`.
    EtagMismatch = "ETAG_MISMATCH",
    /// The rule asks for a comment.
    CommentRequired = "COMMENT_REQUIRED",
    /// The rule has no outcome of that name. Metadata: `outcomes`.
    OutcomeUnknown = "OUTCOME_UNKNOWN",
    /// The response does not fit the rule's schema; the [violations](crate::Error::field_violations) name the places.
    ResponseInvalid = "RESPONSE_INVALID",
    /// The request id was used with another body.
    RequestIdReused = "REQUEST_ID_REUSED",
    /// The prefix of an id fits several approvals. Metadata: `matches`, the first few.
    AmbiguousId = "AMBIGUOUS_ID",
    /// A page token is not of this server's making, or of another query.
    PageTokenInvalid = "PAGE_TOKEN_INVALID",
    /// An API token of that name exists.
    ApiTokenExists = "API_TOKEN_EXISTS",
    /// No such API token.
    ApiTokenNotFound = "API_TOKEN_NOT_FOUND",
    /// AWS did not answer, or throttled.
    AwsUnavailable = "AWS_UNAVAILABLE",
    /// AWS refused the server's own credentials. Metadata: `operation`.
    AwsDenied = "AWS_DENIED",
    /// AWS refused the call. Metadata: `operation`, `code`.
    AwsRefused = "AWS_REFUSED",
    /// A state machine's definition is refused. Metadata: `location`.
    InvalidDefinition = "INVALID_DEFINITION",
    /// A resource of that name exists and is not the server's. Metadata: `resource`.
    NotOwned = "NOT_OWNED",
    /// A resource can't be changed in place. Metadata: `resource`, `fields`.
    ReplaceNeeded = "REPLACE_NEEDED",
    /// The workflow is provisioned by code. Metadata: `workflow`.
    WorkflowAttached = "WORKFLOW_ATTACHED",
    /// No such workflow.
    WorkflowNotFound = "WORKFLOW_NOT_FOUND",
    /// Approvals of the workflow are pending. Metadata: `pending`.
    ApprovalsPending = "APPROVALS_PENDING",
    /// An execution of that name exists with other input, or has ended.
    ExecutionAlreadyExists = "EXECUTION_ALREADY_EXISTS",
    /// No such execution.
    ExecutionNotFound = "EXECUTION_NOT_FOUND",
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_the_round_trip() {
        for reason in ALL {
            assert_eq!(&Reason::from(reason.as_str()), reason);
        }
        assert_eq!(Reason::from("MADE_UP_LATER"), Reason::Other("MADE_UP_LATER".into()));
    }

    #[test]
    fn every_reason_that_the_api_names_is_known() {
        let protos = [
            include_str!("../../proto/approve/v1/access.proto"),
            include_str!("../../proto/approve/v1/approvals.proto"),
            include_str!("../../proto/approve/v1/audit.proto"),
            include_str!("../../proto/approve/v1/workflows.proto"),
        ];
        let codes = (1..=16).map(|code| format!("{:?}", tonic::Code::from(code)).to_uppercase()).collect::<Vec<_>>();
        let mut named = 0;
        for line in protos.iter().flat_map(|proto| proto.lines()).filter_map(|line| line.trim().strip_prefix("//")) {
            let words: Vec<_> = line.split([' ', '/', ',', ';', '.', ':']).filter(|word| !word.is_empty()).collect();
            for pair in words.windows(2) {
                let is_code = codes.contains(&pair[0].replace('_', ""));
                if is_code && pair[1].contains('_') && pair[1].chars().all(|c| c.is_ascii_uppercase() || c == '_') {
                    named += 1;
                    assert!(!matches!(Reason::from(pair[1]), Reason::Other(_)), "{line}");
                }
            }
        }
        assert!(named > 40, "{named}");
    }
}
