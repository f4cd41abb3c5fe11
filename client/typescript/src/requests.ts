import { Decision } from "./gen/approve/v1/approvals_pb.js";

/** What may be said beside a decision. */
export interface DecideOptions {
  /** Why. At most 4,096 bytes. */
  readonly comment?: string;
  /** Answers to what the approval asked, as JSON text, which goes to the workflow as it is. At most 65,536 bytes. */
  readonly responseJson?: string;
  /** Decides only if the approval's etag is still this one. */
  readonly etag?: string;
  /** Whether the answer waits until the workflow has heard of the decision, or the call's deadline is near. */
  readonly waitForDelivery?: boolean;
  /** Takes a request id from elsewhere, so that a decision may be repeated by another process. 1 to 128 bytes of ASCII. */
  readonly requestId?: string;
}

/**
 * One person's decision, with a request id of its own from the moment that it is made: the same value may be sent as
 * often as needed, and counts once.
 */
export interface Decide extends DecideOptions {
  readonly approvalId: string;
  readonly decision: Decision;
  readonly outcome?: string;
  readonly requestId: string;
}

/** For it. */
export function approve(approvalId: string, options: DecideOptions = {}): Decide {
  return { requestId: uuid(), ...options, approvalId, decision: Decision.APPROVE };
}

/** Against it. */
export function reject(approvalId: string, options: DecideOptions = {}): Decide {
  return { requestId: uuid(), ...options, approvalId, decision: Decision.REJECT };
}

/** One of the rule's own outcomes, by its name; whether that is for or against, the rule says. */
export function outcome(approvalId: string, name: string, options: DecideOptions = {}): Decide {
  return { requestId: uuid(), ...options, approvalId, decision: Decision.UNSPECIFIED, outcome: name };
}

/** Takes the caller's vote back, with a request id of its own. */
export interface Withdraw {
  readonly approvalId: string;
  readonly comment?: string;
  readonly requestId: string;
}

/** Makes a request to take one's vote back. */
export function withdraw(approvalId: string, options: { comment?: string; requestId?: string } = {}): Withdraw {
  return { requestId: uuid(), ...options, approvalId };
}

/** Ends a pending approval without a decision, with a request id of its own. */
export interface Cancel {
  readonly approvalId: string;
  readonly reason: string;
  readonly requestId: string;
}

/** Makes a request to cancel. The reason is 1 to 4,096 bytes. */
export function cancel(approvalId: string, reason: string, options: { requestId?: string } = {}): Cancel {
  return { requestId: uuid(), ...options, approvalId, reason };
}

/** Of version 4. Browsers have `crypto.randomUUID` only where the page came over TLS. */
function uuid(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
