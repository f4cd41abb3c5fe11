//! A thin typed client for approve-server: human approvals for AWS Step Functions activities.
//!
//! [`Client`] connects, reads, decides and provisions. [`Client::watch`] is a stream of changes that reconnects and
//! resumes by itself. The messages are those of [`proto`]; requests are made with the builders of this crate.
//!
//! ```no_run
//! # async fn example() -> Result<(), approve_client::Error> {
//! use approve_client::{Client, Config, Credentials, Watch, WatchEvent};
//! use futures::TryStreamExt;
//!
//! let me = Credentials::asserted("user:ana", ["finance"]);
//! let client = Client::connect(Config::new("http://127.0.0.1:50051").credentials(me)).await?;
//! let mut events = client.watch(Watch::new());
//! while let Some(event) = events.try_next().await? {
//!     if let WatchEvent::Upserted(approval) = event {
//!         println!("{} asks: {}", approval.requester, approval.title);
//!     }
//! }
//! # Ok(())
//! # }
//! ```
#![warn(missing_docs)]

mod access;
mod actions;
mod approvals;
pub mod audit;
mod backoff;
mod call;
mod client;
mod config;
mod credentials;
mod decide;
mod error;
mod events;
mod explain;
mod list;
mod reason;
mod secret;
mod servers;
mod tls;
mod trace;
mod watch;
mod workflows;

pub use approve_proto::v1 as proto;
pub use approve_proto::v1::{Approval, ApprovalStatus, Decision};
/// The types of `google.protobuf` that the messages hold: timestamps and durations.
pub use prost_types;
/// The gRPC codes of [`Error::code`].
pub use tonic::Code;

pub use access::{CreateToken, CreatedToken};
pub use actions::{Cancel, Hold, Reassign, Withdraw};
pub use client::Client;
pub use config::Config;
pub use credentials::{BearerToken, Credentials};
pub use decide::{Decide, Decided};
pub use error::{Error, FieldViolation, Refusal};
pub use events::{Events, EventsPage, ExportEvents};
pub use list::{Filter, List, Page};
pub use reason::Reason;
pub use secret::Secret;
pub use tls::Tls;
pub use watch::{View, Watch, WatchEvent, WatchStream};
pub use workflows::{ApplyEvent, ApplyOptions, StartExecution};
