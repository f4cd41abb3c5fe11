//! Logs, metrics and traces. No secret, token or payload is ever part of one.

pub(crate) mod http;
mod log;
pub mod metrics;
pub(crate) mod trace;

pub use self::{
    log::{BadLevel, LogControl, init},
    trace::{TraceError, Tracer},
};
