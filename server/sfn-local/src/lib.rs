//! An embedded Step Functions and the IAM calls around it, over the AWS wire protocols on loopback.

pub mod asl;
mod clock;
pub mod engine;
mod faults;
mod http;
pub mod iam;
mod json;
mod server;
mod shared;

pub use faults::{FaultKind, FaultPlan, FaultRule};
pub use json::Json;
pub use server::{BindError, Options, Server};
