//! Rendering. Everything that a server sent passes through [`text`] or [`json_text`] before it is printed.

pub(crate) mod access;
pub(crate) mod approval;
pub(crate) mod audit;
pub(crate) mod bulk;
pub(crate) mod delivery;
pub(crate) mod doctor;
pub(crate) mod execution;
pub(crate) mod explain;
pub(crate) mod json;
pub(crate) mod json_text;
pub(crate) mod names;
pub(crate) mod plan;
pub(crate) mod progress;
pub(crate) mod rule;
pub(crate) mod settings;
pub(crate) mod style;
pub(crate) mod table;
pub(crate) mod text;
pub(crate) mod time;
pub(crate) mod workflow;

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::failure::Failure;

use self::{style::Style, time::Now};

/// Standard output, and how to write for it.
pub(crate) struct Out {
    pub style: Style,
}

impl Out {
    pub(crate) fn new() -> Self {
        Self { style: Style::for_stdout() }
    }

    pub(crate) fn now(&self) -> Now {
        Now::here()
    }

    /// Prints text that ends with a newline.
    pub(crate) fn print(&self, text: &str) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(Failure::Output)
    }

    /// Prints one JSON value over several lines.
    pub(crate) fn print_json(&self, value: &impl Serialize) -> Result<(), Failure> {
        self.print(&(json_text::pretty(&to_json(value)?) + "\n"))
    }

    /// Prints one JSON value on a line.
    pub(crate) fn print_json_line(&self, value: &impl Serialize) -> Result<(), Failure> {
        self.print(&(json_text::compact(&to_json(value)?) + "\n"))
    }

    /// Tells a person who is there what to do next; a program has no use for it.
    pub(crate) fn advise(&self, text: &str) {
        if io::stdout().is_terminal() && io::stderr().is_terminal() {
            self.note(&Style::for_stderr().dim(text));
        }
    }

    /// Tells the person something beside the data.
    pub(crate) fn note(&self, text: &str) {
        // Without a stderr there is nobody to tell.
        let _ = writeln!(io::stderr(), "{text}");
    }
}

fn to_json(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| Failure::Output(error.into()))
}
