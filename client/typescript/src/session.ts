/**
 * What a watch knows over its connections, without any I/O.
 *
 * | in                                   | resume token | out                                            |
 * |--------------------------------------|--------------|------------------------------------------------|
 * | message                              | its own      | its event; before it reset, if one is due      |
 * | lost, with a token                   | kept         | disconnected; open again after a wait          |
 * | lost in a snapshot                   | none         | the same; reset is due if anything was told    |
 * | REVISION_COMPACTED, with a token     | dropped      | open again at once; reset is due               |
 * | RESUME_TOKEN_INVALID, token our own  | dropped      | open again at once; reset is due               |
 * | UNAUTHENTICATED, once after a        | kept         | disconnected; open again after a wait, with a  |
 * | message, credentials renewable       |              | new token                                      |
 * | an error that a new try won't mend   |              | the error, and the end                         |
 */
import { Code } from "@connectrpc/connect";
import type { Backoff } from "./backoff.js";
import { type ApproveError, ConnectionLost, Refused } from "./errors.js";
import type { WatchEvent } from "./events.js";
import type { StreamPendingApprovalsResponse } from "./gen/approve/v1/approvals_pb.js";
import { Reason } from "./reason.js";

const MAY_PASS: readonly Code[] = [
  Code.Canceled,
  Code.Unknown,
  Code.DeadlineExceeded,
  Code.ResourceExhausted,
  Code.Aborted,
  Code.Internal,
  Code.Unavailable,
];

type Disconnected = Extract<WatchEvent, { type: "disconnected" }>;

/** How to go on after a connection was lost. */
export type Next =
  /** Open a new stream at once. */
  | { readonly go: "reopen" }
  /** Tell this event, wait, then open a new stream. */
  | { readonly go: "wait"; readonly event: Disconnected }
  /** End with this error. */
  | { readonly go: "fail"; readonly error: ApproveError };

/** The state of a watch. */
export class Session {
  #token: string;
  /** Whether the token is the caller's, and nothing has come since. */
  #tokenGiven: boolean;
  /** Whether the consumer holds something that a snapshot would have to replace. */
  #told: boolean;
  #resetDue = false;
  /** Whether an UNAUTHENTICATED may be no more than an old token. */
  #mayRenew = false;
  readonly #renewable: boolean;
  readonly #backoff: Backoff;

  /** `renewable`: whether the caller's credentials may be others later. */
  constructor(token: string, renewable: boolean, backoff: Backoff) {
    this.#token = token;
    this.#tokenGiven = token !== "";
    // Whoever resumes holds what came before the token.
    this.#told = token !== "";
    this.#renewable = renewable;
    this.#backoff = backoff;
  }

  /** Where a new stream goes on; empty: with a snapshot. */
  get resumeToken(): string {
    return this.#token;
  }

  /** Takes a message; returns what it tells, in order. */
  message({ change, resumeToken }: StreamPendingApprovalsResponse): WatchEvent[] {
    this.#backoff.reset();
    this.#mayRenew = this.#renewable;
    const events: WatchEvent[] = [];
    if (this.#resetDue) {
      this.#resetDue = false;
      this.#told = false;
      events.push({ type: "reset" });
    }
    if (resumeToken !== "") {
      this.#token = resumeToken;
      this.#tokenGiven = false;
    }
    const event = told(change);
    if (event) {
      this.#told = true;
      events.push(event);
    }
    return events;
  }

  /** Takes the end of a connection, or that none could be made. `jitter` is in 0..=1. */
  lost(cause: ApproveError, jitter: number): Next {
    if (this.#token !== "" && this.#tokenIsUseless(cause)) {
      this.#token = "";
      this.#resetDue = this.#told;
      return { go: "reopen" };
    }
    const renew = cause.code === Code.Unauthenticated && this.#mayRenew;
    if (renew) {
      this.#mayRenew = false;
    } else if (!mayPass(cause)) {
      return { go: "fail", error: cause };
    }
    if (this.#token === "") {
      this.#resetDue = this.#told;
    }
    const retryInMs = this.#backoff.next(jitter, cause.retryDelayMs);
    return { go: "wait", event: { type: "disconnected", cause, retryInMs } };
  }

  #tokenIsUseless(cause: ApproveError): boolean {
    if (cause.reason === Reason.REVISION_COMPACTED) {
      return cause.code === Code.OutOfRange;
    }
    // A token of our own that is refused means another server, or one that was set up anew. A token that the caller
    // brought is the caller's mistake.
    return cause.reason === Reason.RESUME_TOKEN_INVALID && !this.#tokenGiven;
  }
}

function told(change: StreamPendingApprovalsResponse["change"]): WatchEvent | undefined {
  switch (change.case) {
    case "upserted":
      return { type: "upserted", approval: change.value };
    case "removed": {
      const { id, status, revision } = change.value;
      return { type: "removed", id, status, revision };
    }
    case "bookmark":
      return change.value.synced ? { type: "synced", revision: change.value.revision } : undefined;
    default:
      // A kind of change that a newer server knows.
      return undefined;
  }
}

/** Whether opening the stream again may go better. */
function mayPass(error: ApproveError): boolean {
  return error instanceof Refused ? MAY_PASS.includes(error.code) : error.isRetryable;
}

/** For a server that ended the stream without saying why. */
export function ended(): ApproveError {
  return new ConnectionLost("the server ended the stream");
}
