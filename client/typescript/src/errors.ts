import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import type { Reason } from "./reason.js";

/** One field of a request that the server did not accept. */
export interface FieldViolation {
  /** The field's path in the request, such as `spec.rule.required_approvals`. */
  readonly field: string;
  /** What is wrong with it, for people. */
  readonly description: string;
}

/**
 * Any failure of a call. The message is for people: branch on the class or `kind`, on `code` and on `reason`.
 */
export abstract class ApproveError extends Error {
  /** Tells the classes apart where `instanceof` can't. */
  abstract readonly kind: "config" | "credentials" | "connection-lost" | "deadline-passed" | "protocol" | "refused";
  /** The gRPC code: the server's, or for an error made here the one that fits. */
  abstract readonly code: Code;
  /**
   * Whether the same call may succeed later. It says nothing about side effects: a call that is not idempotent may have
   * had its effect although it failed so.
   */
  readonly isRetryable: boolean = false;
  /** The reason that the server gave. */
  readonly reason: Reason | undefined;
  /** What the reason comes with; which keys, its documentation says. */
  readonly metadata: Readonly<Record<string, string>> = {};
  /** The fields of the request that the server did not accept; empty if it named none. */
  readonly fieldViolations: readonly FieldViolation[] = [];
  /** How many milliseconds the server asks to wait before the same call is tried again. */
  readonly retryDelayMs: number | undefined;
}

/** The client can't be made from these settings, or a request from these values. */
export class ConfigError extends ApproveError {
  override readonly name = "ConfigError";
  readonly kind = "config";
  readonly code = Code.InvalidArgument;
}

/** The caller's credentials could not be had; `cause` says why. Nothing was sent. */
export class CredentialsError extends ApproveError {
  override readonly name = "CredentialsError";
  readonly kind = "credentials";
  readonly code = Code.Unauthenticated;
  override readonly isRetryable = true;
}

/** There is no connection, or it was lost during the call. Whether the call had an effect is not known. */
export class ConnectionLost extends ApproveError {
  override readonly name = "ConnectionLost";
  readonly kind = "connection-lost";
  readonly code = Code.Unavailable;
  override readonly isRetryable = true;
}

/** The call's deadline passed. Whether the call had an effect is not known. */
export class DeadlinePassed extends ApproveError {
  override readonly name = "DeadlinePassed";
  readonly kind = "deadline-passed";
  readonly code = Code.DeadlineExceeded;
  override readonly isRetryable = true;

  constructor(afterMs: number, options?: ErrorOptions) {
    super(`no answer within ${afterMs / 1000} s`, options);
  }
}

/** The server's answer lacks what the API promises. */
export class ProtocolError extends ApproveError {
  override readonly name = "ProtocolError";
  readonly kind = "protocol";
  readonly code = Code.Internal;
}

/** The server answered with an error. */
export class Refused extends ApproveError {
  override readonly name = "Refused";
  readonly kind = "refused";
  readonly code: Code;
  override readonly isRetryable: boolean;
  override readonly reason: Reason | undefined;
  override readonly metadata: Readonly<Record<string, string>>;
  override readonly fieldViolations: readonly FieldViolation[];
  override readonly retryDelayMs: number | undefined;

  constructor(
    code: Code,
    message: string,
    said: {
      reason?: Reason | undefined;
      metadata?: Record<string, string>;
      fieldViolations?: FieldViolation[];
      retryDelayMs?: number | undefined;
    } = {},
    options?: ErrorOptions,
  ) {
    super(message || said.reason || Code[code], options);
    this.code = code;
    this.reason = said.reason;
    this.metadata = { ...said.metadata };
    this.fieldViolations = [...(said.fieldViolations ?? [])];
    this.retryDelayMs = said.retryDelayMs;
    this.isRetryable = said.retryDelayMs !== undefined || code === Code.Unavailable;
  }
}

/** Sorts what the transport reports into an answer of the server, a lost connection, and a passed deadline. */
export function fromCall(thrown: unknown, deadlineMs: number): ApproveError {
  if (thrown instanceof ApproveError) {
    return thrown;
  }
  const error = ConnectError.from(thrown);
  const cause = { cause: thrown };
  if (error.code === Code.DeadlineExceeded) {
    // Whoever noticed.
    return new DeadlinePassed(deadlineMs, cause);
  }
  const [info] = error.findDetails(ErrorInfoSchema);
  const [bad] = error.findDetails(BadRequestSchema);
  const [retry] = error.findDetails(RetryInfoSchema);
  if (info || bad || retry) {
    const delay = retry?.retryDelay;
    return new Refused(
      error.code,
      error.rawMessage,
      {
        reason: info?.reason,
        metadata: info?.metadata ?? {},
        fieldViolations: (bad?.fieldViolations ?? []).map(({ field, description }) => ({ field, description })),
        retryDelayMs: delay && Number(delay.seconds) * 1000 + delay.nanos / 1e6,
      },
      cause,
    );
  }
  // The server's own errors have details. Without, it is a word of the transport's, or of somebody in between.
  switch (error.code) {
    case Code.Unavailable:
    case Code.Unknown:
      return new ConnectionLost(error.rawMessage, cause);
    case Code.Aborted:
    case Code.Canceled:
    case Code.Internal:
      if (!error.metadata.has("grpc-status")) {
        // By these names transports tell of connections that broke: then there was no status.
        return new ConnectionLost(error.rawMessage, cause);
      }
      // Canceled is what a server says that noticed the deadline first: nobody here has canceled.
      return error.code === Code.Canceled
        ? new DeadlinePassed(deadlineMs, cause)
        : new Refused(error.code, error.rawMessage, {}, cause);
    default:
      return new Refused(error.code, error.rawMessage, {}, cause);
  }
}
