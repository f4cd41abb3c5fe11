//! Human approvals for AWS Step Functions activities, as a gRPC service.
//!
//! `ARCHITECTURE.md` beside this crate's manifest describes the parts and what holds them together.

pub mod app;
pub mod approval;
pub mod audit;
pub mod audit_key;
pub mod auth;
pub mod check;
pub mod clock;
pub mod config;
pub mod entropy;
mod grpc;
pub mod letters;
pub mod notify;
mod operations;
pub mod provision;
pub mod retention;
mod shutdown;
pub mod stepfunctions;
pub mod store;
pub mod telemetry;
pub mod watch;
mod web;
pub mod worker;
pub mod workflows;
