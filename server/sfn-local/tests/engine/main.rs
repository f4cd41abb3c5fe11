//! The engine on manual time, through its public interface.

mod containers;
mod data;
mod histories;
mod machines;
mod polls;
mod properties;
mod support;
mod timing;
