//! `approve-cli`: see, watch and decide approvals from a terminal. Thin over `approve-client`.

mod args;
mod commands;
mod context;
mod exit;
mod failure;
mod hint;
mod live;
mod login;
mod output;
mod scaffold;
mod settings;
mod spec;
mod when;

use std::process::ExitCode;

use crate::{args::Cli, failure::Failure};

fn main() -> ExitCode {
    let cli = Cli::from_command_line();
    let result = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(Failure::Runtime)
        .and_then(|runtime| runtime.block_on(commands::run(cli)));
    let exit = match result {
        Ok(exit) => exit,
        Err(failure) => {
            failure.report();
            failure.exit()
        }
    };
    ExitCode::from(exit.code())
}
