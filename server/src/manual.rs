//! Completions and man pages, made of the command line itself.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

/// Prints completions for a shell.
pub(crate) fn completions(mut command: Command, shell: Shell) -> io::Result<()> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    print(&script)
}

/// Writes a page for each command into a folder, or without one prints the first.
pub(crate) fn man(command: Command, folder: Option<&Path>) -> io::Result<()> {
    match folder {
        Some(folder) => {
            fs::create_dir_all(folder)?;
            clap_mangen::generate_to(command, folder)
        }
        None => {
            let mut page = Vec::new();
            Man::new(command).render(&mut page)?;
            print(&page)
        }
    }
}

/// By way of memory: clap panics where stdout can't be written. Whoever has seen enough of it may leave.
fn print(text: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
