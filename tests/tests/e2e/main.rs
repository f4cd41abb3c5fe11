//! End to end: the real server and CLI, over the wire, on free ports and in folders of their own.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod audit;
mod bad_config;
mod bad_input;
mod bad_requests;
mod bare_input;
mod cli_identity;
mod cli_rules;
mod health_reflection;
mod identity;
mod lifecycle;
mod limits;
mod localstack;
mod logs;
mod main_job;
mod people;
mod permissions;
mod provisioning;
mod provisioning_code;
mod readme;
mod restart;
mod rules;
mod secrets;
mod shutdown;
mod two_workflows;
mod watch;
