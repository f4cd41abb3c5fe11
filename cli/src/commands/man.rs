use std::{fs, path::Path};

use clap::CommandFactory;
use clap_mangen::Man;

use crate::{args::Cli, exit::Exit, failure::Failure, output::Out};

/// A page for each command into a folder, or without one the first to stdout.
pub(crate) fn run(out: &Out, folder: Option<&Path>) -> Result<Exit, Failure> {
    match folder {
        Some(folder) => {
            let made = fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(Cli::command(), folder));
            made.map_err(|source| Failure::Read { what: format!("can't write to {}", folder.display()), source })?;
        }
        None => {
            let mut page = Vec::new();
            Man::new(Cli::command()).render(&mut page).map_err(Failure::Output)?;
            out.print(&String::from_utf8_lossy(&page))?;
        }
    }
    Ok(Exit::Ok)
}
