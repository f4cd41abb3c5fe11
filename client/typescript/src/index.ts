/**
 * A thin typed client for approve-server: human approvals for AWS Step Functions activities.
 *
 * `connect` of `approve-client/node` (gRPC) or `approve-client/web` (gRPC-Web) makes a {@link Client}. Its `watch()` is a
 * stream of changes that reconnects and resumes by itself; its `decide()` may be repeated and counts once.
 */
export { Code } from "@connectrpc/connect";
export { Client, type ClientOptions, type Decided, type Filter, type WatchOptions } from "./client.js";
export type { Asserted, Bearer, Credentials, OnBehalfOf } from "./credentials.js";
export {
  ApproveError,
  ConfigError,
  ConnectionLost,
  CredentialsError,
  DeadlinePassed,
  type FieldViolation,
  ProtocolError,
  Refused,
} from "./errors.js";
export { View, type WatchEvent } from "./events.js";
export {
  type Approval,
  ApprovalStatus,
  Decision,
  type Explanation,
  Priority,
} from "./gen/approve/v1/approvals_pb.js";
export type { Execution } from "./gen/approve/v1/workflows_pb.js";
export { ERROR_DOMAIN, Reason } from "./reason.js";
export {
  approve,
  type Cancel,
  cancel,
  type Decide,
  type DecideOptions,
  outcome,
  reject,
  type Withdraw,
  withdraw,
} from "./requests.js";
export type { WatchStream } from "./watch.js";
