//! The engine on manual time, through its public interface.
#![allow(clippy::unwrap_used, reason = "a helper that cannot go on fails its test")]

mod containers;
mod data;
mod histories;
mod jsonata;
mod machines;
mod polls;
mod properties;
mod snapshots;
mod support;
mod timing;
mod variables;
