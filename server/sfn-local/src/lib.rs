//! An embedded Step Functions, with the IAM and STS calls around it, over the AWS wire protocols on loopback.
//!
//! For development and tests: the AWS SDKs, boto3 and the AWS CLI run against it unchanged, and nothing leaves the
//! machine. State is in memory and ends with the process, unless it is kept in a file ([`Options::data_file`]). Where AWS documents a behaviour, or was recorded, that is
//! what happens here; what is not supported is refused with an error that names it, never skipped.
//!
//! # Starting it
//!
//! ```
//! use sfn_local::{Options, Server};
//! use tokio_util::sync::CancellationToken;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let server = Server::bind(Options::default()).await?; // 127.0.0.1, a free port
//! let endpoint = server.endpoint(); // for `endpoint_url` or AWS_ENDPOINT_URL
//! let cancel = CancellationToken::new();
//! let serving = tokio::spawn(server.serve(cancel.clone()));
//! assert!(endpoint.starts_with("http://127.0.0.1:"));
//! cancel.cancel(); // open polls are answered empty, calls in hand finished
//! serving.await??;
//! # Ok::<(), Box<dyn std::error::Error>>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `cargo run -p sfn-local --example serve -- 4566` serves on a port until Ctrl-C. Any credentials are accepted and no
//! signature is checked; the region in the signature decides the region of what is created and listed. No TLS: keep it on
//! loopback.
//!
//! # What it serves
//!
//! | | |
//! |---|---|
//! | Activities | Create, Describe, Delete, List, GetActivityTask (60 s, oldest poll first, 1,000 polls per activity), SendTaskSuccess, SendTaskFailure, SendTaskHeartbeat |
//! | State machines (STANDARD) | Create, Update, Describe, Delete, List, ValidateStateMachineDefinition |
//! | Executions | Start, Stop, Describe, List, GetExecutionHistory, DescribeStateMachineForExecution |
//! | Tags | TagResource, UntagResource, ListTagsForResource |
//! | States | Task (activities), Pass, Choice, Wait, Succeed, Fail, Parallel, Map (INLINE); Retry, Catch; TimeoutSeconds and HeartbeatSeconds (also as paths) |
//! | JSONPath | all fields, the context object (`$$`), all intrinsic functions |
//! | JSONata | `QueryLanguage` of a machine or a state; Arguments, Output, Items, Condition, and expressions wherever AWS takes them; `$states`; the functions that Step Functions adds |
//! | Variables | Assign in states, choice rules and catchers; scopes; size limits |
//! | IAM | CreateRole, GetRole, UpdateRole, ListRoles, DeleteRole, UpdateAssumeRolePolicy; Put and DeleteRolePermissionsBoundary; Attach, Detach and ListAttachedRolePolicies; Put, Get, Delete and ListRolePolicies; TagRole, UntagRole, ListRoleTags; CreatePolicy, GetPolicy (also AWS's own), DeletePolicy; ListInstanceProfilesForRole |
//! | STS | GetCallerIdentity |
//!
//! Numbers keep their digits, also through JSONata where it does not compute with them.
//!
//! Not here: Express and distributed Map, Task resources other than activities, versions, aliases,
//! redrive, JSONata's `$eval`; encryption keys, logging and tracing have no effect (their configuration is kept and given
//! back). On request only: throttling by the documented quotas ([`Options::quotas`]), and a fresh role that cannot be
//! assumed yet ([`Options::role_propagation`]). Nothing else is eventually consistent.
//!
//! # Where AWS leaves a choice
//!
//! - An activity task's clocks start when a worker takes it. A missed heartbeat is `States.HeartbeatTimeout`, which
//!   `States.Timeout` in Retry and Catch matches too.
//! - A token that was answered, timed out or lost its execution gives `TaskTimedOut`; one of our form that is not known
//!   (an earlier process, or an execution forgotten by [`Options::max_closed_executions`]) `TaskDoesNotExist`; anything
//!   else `InvalidToken`.
//! - A poll whose connection is seen to be gone takes no task, unless [`Options::dead_polls_take_tasks`] asks for what
//!   AWS does. A task whose answer is lost on the way is lost, as with AWS.
//! - A machine that is deleted is `DELETING` until its running executions have ended: each is aborted at its next
//!   transition from one state to another.
//! - An expression of JSONata that fails is `States.QueryEvaluationError`, which Retry and Catch match.
//! - `States.Runtime` ends an execution whatever Retry and Catch say; `States.ALL` does not match
//!   `States.DataLimitExceeded`.
//!
//! # For tests
//!
//! - `POST /_sfn-local/faults` with a [`FaultPlan`] makes calls fail on purpose: throttled, 500 or 503, late, connection
//!   closed before the effect, or after it. GET reads the plan with how often each rule struck, DELETE clears it.
//!   `{"seed": 7, "rules": [{"operation": "SendTaskSuccess", "kind": "drop_answer", "probability": 0.1}]}`
//! - `POST /_sfn-local/clock` with `{"advance_millis": 60000}`, `{"stop": true}` or `{"stop": false}` moves, stops and
//!   resumes the clock.
//! - `GET /_sfn-local/health` answers once it serves, with the number of open polls.
//! - [`engine::Engine`] is the whole service without the wire: synchronous, with time passed in and ids from a seed, for
//!   simulations. [`asl::validate`] checks a definition alone.

pub mod asl;
mod clock;
pub mod engine;
mod faults;
mod http;
pub mod iam;
mod journal;
mod json;
mod quotas;
mod server;
mod shared;

pub use engine::Limits;
pub use faults::{FaultKind, FaultPlan, FaultRule};
pub use journal::JournalError;
pub use json::Json;
pub use server::{BindError, Options, Server};
