//! A child process, which does not outlive its owner.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::{binaries::on_path, wait::wait_until};

/// A process in a group of its own, with its output in files. Dropping it kills the group, waits for it, and in a panic
/// prints what it said.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// A command without the environment that AWS clients and the programs under test would listen to.
pub fn command(program: impl AsRef<OsStr>, home: &Path) -> Command {
    // Where a test runner is killed nobody drops anything; the kernel then takes the child along.
    let mut command = if cfg!(target_os = "linux") && on_path("setpriv") {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        let foreign = ["AWS_", "APPROVE_", "XDG_"].iter().any(|prefix| name_text.starts_with(prefix));
        if foreign || name_text == "RUST_LOG" {
            command.env_remove(&name);
        }
    }
    command.env("HOME", home).env("NO_COLOR", "1").env("RUST_BACKTRACE", "1").stdin(Stdio::null());
    command
}

impl Process {
    /// Starts it. Output goes to `<folder>/<name>.out` and `.err`, after what is already there.
    pub fn spawn(name: &str, mut command: Command, folder: &Path) -> Self {
        let open = |kind: &str| -> (PathBuf, File) {
            let path = folder.join(format!("{name}.{kind}"));
            let file = File::options().create(true).append(true).open(&path).unwrap();
            (path, file)
        };
        let (stdout, out) = open("out");
        let (stderr, err) = open("err");
        let child = command
            .process_group(0)
            .stdout(out)
            .stderr(err)
            .spawn()
            .unwrap_or_else(|error| panic!("can't start {command:?}: {error}"));
        Self { name: name.to_owned(), child, stdout, stderr }
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it and those before it of the same name wrote to stdout so far.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.stdout).unwrap()).into_owned()
    }

    /// What it and those before it of the same name wrote to stderr so far.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.stderr).unwrap()).into_owned()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Sends it SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends it SIGINT, as Ctrl-C does.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// Sends it SIGQUIT.
    pub fn quit(&self) {
        self.signal(Signal::QUIT);
    }

    /// Sends it SIGHUP: settings are to be read again.
    pub fn hangup(&self) {
        self.signal(Signal::HUP);
    }

    /// Sends it SIGSTOP: from here on it answers nothing, and loses nothing.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Sends it SIGCONT.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Sends its group SIGKILL and waits for it.
    pub fn kill(&mut self) {
        if self.ended().is_none() {
            let _ = kill_process_group(self.pid(), Signal::KILL);
            let _ = self.child.wait();
        }
    }

    /// Waits until it has ended by itself.
    pub async fn exit(&mut self, within: Duration) -> ExitStatus {
        let what = format!("the end of {}", self.name);
        wait_until(&what, within, async || self.ended()).await
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap_or_else(|error| panic!("{signal:?} to {}: {error}", self.name));
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed()).unwrap()
    }

    fn print_output(&self) {
        for path in [&self.stdout, &self.stderr] {
            let text = String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
            let from = text.len().saturating_sub(20_000);
            let from = (from..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            eprintln!("── {} ({} bytes)\n{}", path.display(), text.len(), &text[from..]);
        }
        let _ = std::io::stderr().flush();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            self.print_output();
        }
    }
}
