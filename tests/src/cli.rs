//! The CLI, run as people and scripts run it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::{
    DEADLINE, binaries,
    process::{Process, command},
};

/// `approve-cli` for one server and one person.
#[derive(Clone, Debug)]
pub struct Cli {
    server: String,
    actor: String,
    folder: PathBuf,
    environment: Vec<(String, String)>,
}

/// What a run left.
#[derive(Clone, Debug)]
pub struct Output {
    /// The command line after the program's name.
    pub args: String,
    /// The exit code; -1 where a signal ended it.
    pub code: i32,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Cli {
    /// For the server at `url`, as `user:<actor>`. `folder` takes the output of those that run on.
    pub fn new(url: &str, actor: &str, folder: &Path) -> Self {
        Self { server: url.to_owned(), actor: actor.to_owned(), folder: folder.to_owned(), environment: Vec::new() }
    }

    /// With this in its environment, too.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs it to its end.
    pub async fn run(&self, args: &[&str]) -> Output {
        self.finish(self.command(args), args).await
    }

    async fn finish(&self, command: Command, args: &[&str]) -> Output {
        let mut command = tokio::process::Command::from(command);
        let run = command.kill_on_drop(true).output();
        let output = match tokio::time::timeout(DEADLINE, run).await {
            Ok(output) => output.unwrap(),
            Err(_) => panic!("approve-cli {}: not within {DEADLINE:?}", args.join(" ")),
        };
        Output {
            args: args.join(" "),
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs it to its end with `--output json`, expects success, and returns the JSON.
    pub async fn json(&self, args: &[&str]) -> Value {
        self.run(&[args, &["--output", "json"]].concat()).await.ok().json()
    }

    /// Runs it to its end on a terminal of its own, which takes stdout and stderr alike. `args` are without quotes.
    pub async fn on_terminal(&self, args: &[&str]) -> Output {
        let line: Vec<String> =
            [binaries::cli().to_str().unwrap()].iter().chain(args).map(|arg| format!("'{arg}'")).collect();
        let mut script = command("script", &self.folder);
        script.args(["--quiet", "--return", "--command", &line.join(" "), "/dev/null"]).env("TERM", "xterm");
        self.finish(self.addressed(script), args).await
    }

    /// Starts it, for commands that stay.
    pub fn spawn(&self, name: &str, args: &[&str]) -> Process {
        Process::spawn(name, self.command(args), &self.folder)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = command(binaries::cli(), &self.folder);
        command.args(args);
        self.addressed(command)
    }

    fn addressed(&self, mut command: Command) -> Command {
        command.env("APPROVE_SERVER", &self.server).env("APPROVE_ACTOR", &self.actor);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl Output {
    /// Expects success.
    pub fn ok(self) -> Self {
        self.exits(0)
    }

    /// Expects this exit code.
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self}");
        self
    }

    /// The one JSON value on stdout. Its numbers are as they were written.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("stdout is no JSON: {error}\n{self}"))
    }

    /// The JSON Lines on stdout.
    pub fn json_lines(&self) -> Vec<Value> {
        json_lines(&self.stdout)
    }

    /// Expects stderr to hold all of these.
    pub fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.stderr.contains(part), "stderr lacks {part:?}\n{self}");
        }
        self
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { args, code, stdout, stderr } = self;
        write!(f, "approve-cli {args}\nexit code {code}\n── stdout\n{stdout}\n── stderr\n{stderr}")
    }
}

/// The whole lines of JSON Lines.
pub fn json_lines(text: &str) -> Vec<Value> {
    text.split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON: {error}\n{line}")))
        .collect()
}
