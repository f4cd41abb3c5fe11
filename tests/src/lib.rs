//! The harness of the end-to-end tests: it starts the real programs on free ports in temporary folders, and talks to
//! them as their users do: over gRPC, through the CLI, over the AWS protocols.
//!
//! Whatever goes wrong in here panics with what was expected, and the logs of the programs concerned: a test has no
//! better way out.
#![allow(clippy::unwrap_used, clippy::expect_used)]

pub mod approvals;
pub mod aws;
pub mod binaries;
pub mod browser;
pub mod certificates;
pub mod cli;
pub mod collector;
pub mod crowd;
pub mod fleet;
pub mod history;
pub mod http;
pub mod issuer;
pub mod ledger;
pub mod load;
pub mod localstack;
pub mod microburst;
pub mod oidc;
pub mod postgres;
pub mod process;
pub mod receiver;
pub mod record;
pub mod scenarios;
pub mod secure;
pub mod server;
pub mod sim;
pub mod wait;
pub mod watcher;
pub mod way;
pub mod workflows;

pub use cli::Cli;
pub use secure::SecureServer;
pub use server::{LocalAws, Server};
pub use wait::{DEADLINE, wait_for, within};
