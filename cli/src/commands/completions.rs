use clap::CommandFactory;
use clap_complete::Shell;

use crate::{args::Cli, exit::Exit, failure::Failure, output::Out};

pub(crate) fn run(out: &Out, shell: Shell) -> Result<Exit, Failure> {
    // Written by way of memory: clap panics where stdout can't be written.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "approve-cli", &mut script);
    out.print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Ok)
}
