import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { type CallOptions, type Client as Calls, Code, createClient, type Transport } from "@connectrpc/connect";
import { Backoff } from "./backoff.js";
import { type Credentials, Identity, type OnBehalfOf } from "./credentials.js";
import { type ApproveError, fromCall, ProtocolError } from "./errors.js";
import { AccessService, type GetCallerResponse } from "./gen/approve/v1/access_pb.js";
import {
  type Approval,
  type ApprovalFilterSchema,
  ApprovalOrder,
  ApprovalService,
  type ApprovalStatus,
  DecideRequestSchema,
  type Explanation,
  type PersonSchema,
} from "./gen/approve/v1/approvals_pb.js";
import { AuditService } from "./gen/approve/v1/audit_pb.js";
import { type Execution, type StartExecutionResponse, WorkflowService } from "./gen/approve/v1/workflows_pb.js";
import type { Cancel, Decide, Withdraw } from "./requests.js";
import { Session } from "./session.js";
import { SILENT_INTERVALS, sleep, WatchStream } from "./watch.js";

/** How often a call is sent at most. */
const ATTEMPTS = 6;
const BACKOFF_MIN_MS = 50;
const BACKOFF_MAX_MS = 5_000;

/** Which approvals: everything that is set must hold. */
export type Filter = MessageInitShape<typeof ApprovalFilterSchema>;

/** The settings of a client. */
export interface ClientOptions {
  /** Who is calling. Absent: nobody, or whom the client certificate names. */
  readonly credentials?: Credentials | undefined;
  /** Whom the caller, a service, acts for. */
  readonly onBehalfOf?: OnBehalfOf | undefined;
  /** How long a call may take, its retries included. The server knows it too. Default 30 s. */
  readonly requestTimeoutMs?: number | undefined;
}

/** What came of a decision. */
export interface Decided {
  /** The approval after it; for a repeated request as the first one left it. */
  readonly approval: Approval;
  /** The revision of the decision. */
  readonly revision: bigint;
}

/** How a watch is made. */
export interface WatchOptions {
  /** Goes on after this one of `WatchStream.resumeToken`, with the same filter, instead of a snapshot. */
  readonly resumeToken?: string;
  /**
   * How often the server shows a sign of life: 1 s to 60 s, default 10 s. A stream that is silent for three times as long
   * is given up and made again.
   */
  readonly heartbeatIntervalMs?: number;
  /** The shortest and the longest wait before a new try. Default 100 ms and 15 s. */
  readonly reconnectDelayMs?: readonly [min: number, max: number];
}

/**
 * A connection to an approve-server. `connect` of `approve-client/node` or `approve-client/web` makes one.
 *
 * What has no method of its own is called by `call`, with the same errors and credentials.
 */
export class Client {
  /** The calls of `ApprovalService`, for `call`. */
  readonly approvals: Calls<typeof ApprovalService>;
  /** The calls of `WorkflowService`. */
  readonly workflows: Calls<typeof WorkflowService>;
  /** The calls of `AuditService`. */
  readonly audit: Calls<typeof AuditService>;
  /** The calls of `AccessService`. */
  readonly access: Calls<typeof AccessService>;
  readonly #transport: Transport;
  readonly #options: ClientOptions;
  readonly #identity: Identity;
  readonly #close: () => void;

  /** Whoever makes the transport sees to it that a bearer token is safe on it. */
  constructor(transport: Transport, options: ClientOptions = {}, close: () => void = () => undefined) {
    this.#transport = transport;
    this.#options = options;
    this.#identity = new Identity(options.credentials, options.onBehalfOf);
    this.#close = close;
    this.approvals = createClient(ApprovalService, transport);
    this.workflows = createClient(WorkflowService, transport);
    this.audit = createClient(AuditService, transport);
    this.access = createClient(AccessService, transport);
  }

  /** The same connection, on behalf of a person: a principal `user:<name>`, and names of their groups. */
  onBehalfOf(person: string, groups: readonly string[] = []): Client {
    return new Client(this.#transport, { ...this.#options, onBehalfOf: { person, groups } }, this.#close);
  }

  /** Closes the connection, also of those that share it. */
  close(): void {
    this.#close();
  }

  /** One approval, by its id or a prefix of it that fits only one (`apr_` and at least 4 characters). */
  async get(approvalId: string): Promise<Approval> {
    const answer = await this.call((options) => this.approvals.getApproval({ approvalId }, options));
    return required(answer.approval, "approval");
  }

  /** Approvals, finished ones included; fetched page after page as they are taken. Newest first. */
  async *listAll(
    filter: Filter = {},
    ask: { statuses?: ApprovalStatus[]; oldestFirst?: boolean; pageSize?: number } = {},
  ): AsyncGenerator<Approval, void> {
    const { statuses = [], oldestFirst = false, pageSize = 0 } = ask;
    const order = oldestFirst ? ApprovalOrder.OLDEST_FIRST : ApprovalOrder.UNSPECIFIED;
    let pageToken = "";
    do {
      const request = { filter, statuses, order, pageSize, pageToken };
      const page = await this.call((options) => this.approvals.listApprovals(request, options));
      yield* page.approvals;
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
  }

  /**
   * Records a decision. Answers once it is on disk, or with `waitForDelivery` once the workflow has heard of it.
   *
   * Where the server is unavailable or the connection is lost, it is sent again, a few times within the request timeout,
   * with the same request id: it counts once. After `DeadlinePassed` and `ConnectionLost` it may have been recorded: send
   * the same value again to know.
   */
  async decide(decide: Decide): Promise<Decided> {
    const request = create(DecideRequestSchema, decide);
    const safe = request.requestId !== "";
    const answer = await this.call((options) => this.approvals.decide(request, options), { safe });
    return { approval: required(answer.approval, "approval"), revision: answer.revision };
  }

  /** Pending approvals: a snapshot, `synced`, then every change. It reconnects and resumes by itself. */
  watch(filter: Filter = {}, options: WatchOptions = {}): WatchStream {
    const interval = Math.min(Math.max(options.heartbeatIntervalMs ?? 10_000, 1_000), 60_000);
    const [min, max] = options.reconnectDelayMs ?? [100, 15_000];
    const renewable = this.#identity.isRenewable;
    const open = async (resumeToken: string, renew: boolean, signal: AbortSignal) => {
      let token = await this.#identity.token();
      if (renew && token !== undefined) {
        token = (await this.#identity.renew(token)) ?? token;
      }
      const headers = this.#identity.headers(token);
      const request = { filter, resumeToken, heartbeatInterval: durationFromMs(interval) };
      return this.approvals.streamPendingApprovals(request, { headers, signal });
    };
    const session = new Session(options.resumeToken ?? "", renewable, new Backoff(min, max));
    return new WatchStream(open, session, renewable, interval * SILENT_INTERVALS);
  }

  /** Takes the caller's own vote back. Without a vote it changes nothing. Sent again like a decision. */
  async withdraw(withdraw: Withdraw): Promise<Approval> {
    const safe = withdraw.requestId !== "";
    const answer = await this.call((options) => this.approvals.withdrawVote(withdraw, options), { safe });
    return required(answer.approval, "approval");
  }

  /** Ends a pending approval without a decision: one's own request, or as an operator any. Sent again like a decision. */
  async cancel(cancel: Cancel): Promise<Approval> {
    const safe = cancel.requestId !== "";
    const answer = await this.call((options) => this.approvals.cancelApproval(cancel, options), { safe });
    return required(answer.approval, "approval");
  }

  /** Takes an approval for oneself. Without a duration 1 hour; the server keeps it within 1 minute and 7 days. */
  async claim(approvalId: string, lastingMs?: number): Promise<Approval> {
    const request = { approvalId, ...duration(lastingMs) };
    const answer = await this.call((options) => this.approvals.claimApproval(request, options));
    return required(answer.approval, "approval");
  }

  /** Lets go of a claim: one's own, or as an operator anybody's. Without a claim it changes nothing. */
  async release(approvalId: string): Promise<Approval> {
    const answer = await this.call((options) => this.approvals.releaseApproval({ approvalId }, options));
    return required(answer.approval, "approval");
  }

  /** Gives an approval to another person, `user:<name>` or `service:<name>`. The rule has to let them decide. */
  async reassign(approvalId: string, to: string, ask: { comment?: string; lastingMs?: number } = {}): Promise<Approval> {
    const request = { approvalId, to, comment: ask.comment ?? "", ...duration(ask.lastingMs) };
    const answer = await this.call((options) => this.approvals.reassignApproval(request, options));
    return required(answer.approval, "approval");
  }

  /** Holds a pending approval, until then or until it is resumed. Its deadline stays. For operators. */
  async hold(approvalId: string, reason: string, ask: { until?: Date } = {}): Promise<Approval> {
    const request = { approvalId, reason, ...(ask.until && { endTime: timestampFromDate(ask.until) }) };
    const answer = await this.call((options) => this.approvals.holdApproval(request, options));
    return required(answer.approval, "approval");
  }

  /** Ends the hold of an approval. Without one it changes nothing. For operators. */
  async resume(approvalId: string): Promise<Approval> {
    const answer = await this.call((options) => this.approvals.resumeApproval({ approvalId }, options));
    return required(answer.approval, "approval");
  }

  /**
   * What an approval still needs, who could give it, and what a person's decision would do. Without a person: the caller.
   * Changes nothing.
   */
  async explain(approvalId: string, person?: MessageInitShape<typeof PersonSchema>): Promise<Explanation> {
    const request = { approvalId, ...(person && { person }) };
    const answer = await this.call((options) => this.approvals.explainApproval(request, options));
    return required(answer.explanation, "explanation");
  }

  /** Who the server takes the caller for, and what they may do. */
  caller(): Promise<GetCallerResponse> {
    return this.call((options) => this.access.getCaller({}, options));
  }

  /** Starts an execution. The workflow may be left out where there is only one. */
  startExecution(ask: { workflow?: string; name?: string; inputJson?: string } = {}): Promise<StartExecutionResponse> {
    return this.call((options) => this.workflows.startExecution(ask, options));
  }

  /** One execution, by its ARN, or by its name and the workflow. */
  async getExecution(execution: string, workflow = ""): Promise<Execution> {
    const answer = await this.call((options) => this.workflows.getExecution({ execution, workflow }, options));
    return required(answer.execution, "execution");
  }

  /**
   * Makes any call, with its repetitions, within the timeout, which the server is told: `client.call((options) =>
   * client.workflows.listWorkflows({}, options))`.
   *
   * `safe`: done twice it counts once, so that it is also sent again where it may have been done.
   */
  async call<R>(
    send: (options: CallOptions) => Promise<R>,
    { safe = false, timeoutMs = this.#options.requestTimeoutMs ?? 30_000 }: { safe?: boolean; timeoutMs?: number } = {},
  ): Promise<R> {
    const deadline = performance.now() + timeoutMs;
    const backoff = new Backoff(BACKOFF_MIN_MS, BACKOFF_MAX_MS);
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#authorized(send, deadline, timeoutMs);
      } catch (thrown) {
        const error = fromCall(thrown, timeoutMs);
        if (!mayRepeat(error, safe)) {
          throw error;
        }
        const delay = backoff.next(Math.random(), error.retryDelayMs);
        if (attempt === ATTEMPTS || performance.now() + delay >= deadline) {
          throw error;
        }
        await sleep(delay);
      }
    }
  }

  /**
   * Sends with the caller's credentials; where the server does not take them and there are others, once more with those.
   */
  async #authorized<R>(send: (options: CallOptions) => Promise<R>, deadline: number, timeoutMs: number): Promise<R> {
    let token = await this.#identity.token();
    for (let renewed = false; ; renewed = true) {
      try {
        const left = Math.max(Math.ceil(deadline - performance.now()), 1);
        return await send({ headers: this.#identity.headers(token), timeoutMs: left });
      } catch (thrown) {
        const error = fromCall(thrown, timeoutMs);
        const refused = error.code === Code.Unauthenticated && !renewed ? token : undefined;
        const fresh = refused === undefined ? undefined : await this.#identity.renew(refused);
        if (fresh === undefined) {
          throw error;
        }
        token = fresh;
      }
    }
  }
}

function mayRepeat(error: ApproveError, safe: boolean): boolean {
  if (error.code === Code.Unavailable) {
    return safe;
  }
  // A limit is checked before anything else is done.
  return error.code === Code.ResourceExhausted && error.retryDelayMs !== undefined;
}

function required<T>(part: T | undefined, name: string): T {
  if (part === undefined) {
    throw new ProtocolError(`the server's answer has no ${name}`);
  }
  return part;
}

function duration(ms: number | undefined) {
  return ms === undefined ? {} : { duration: durationFromMs(ms) };
}
