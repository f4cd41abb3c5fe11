//! A terminal, and a person at it.

use std::{
    ffi::OsStr,
    fs::File,
    io::{Read, Write},
    os::unix::ffi::OsStrExt,
    process::{Child, Command, ExitStatus},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, Signal, kill_process},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};

use super::Running;

/// How long a person waits for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program, with a person at its terminal.
pub(crate) struct Session {
    child: Child,
    terminal: File,
    seen: String,
    screen: vt100::Parser,
}

impl Session {
    pub(crate) fn start(server: &Running, args: &[&str]) -> Self {
        Self::spawn(server.command(args))
    }

    pub(crate) fn spawn(command: Command) -> Self {
        Self::spawn_on(command, "xterm")
    }

    /// On a terminal of this kind.
    pub(crate) fn spawn_on(mut command: Command, kind: &str) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let size = Winsize { ws_row: 24, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let terminal = File::options().read(true).write(true).open(OsStr::from_bytes(name.as_bytes())).unwrap();
        command.env("NO_COLOR", "1").env("TERM", kind);
        command.stdin(terminal.try_clone().unwrap()).stdout(terminal.try_clone().unwrap());
        let child = command.stderr(terminal).spawn().unwrap();
        Self { child, terminal: File::from(master), seen: String::new(), screen: vt100::Parser::new(24, 100, 0) }
    }

    /// Reads until the program says this, and returns what came before.
    pub(crate) fn until(&mut self, said: &str) -> String {
        let begun = Instant::now();
        while !self.seen.contains(said) {
            assert!(begun.elapsed() < PATIENCE, "it did not say {said:?} in time:\n{}", self.seen);
            assert!(self.read(), "it never said {said:?}:\n{}", self.seen);
        }
        let (before, after) = self.seen.split_once(said).unwrap();
        let before = before.to_owned();
        self.seen = after.to_owned();
        before
    }

    /// Reads until this is on the screen, and returns what is there.
    pub(crate) fn shows(&mut self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            let page = self.screen.screen().contents();
            if page.contains(text) {
                return page;
            }
            assert!(begun.elapsed() < PATIENCE && self.read(), "it does not show {text:?}:\n{page}");
        }
    }

    pub(crate) fn answer(&mut self, answer: &str) {
        self.terminal.write_all(answer.as_bytes()).unwrap();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Whether the terminal hands over lines, as it does where nobody has taken it over.
    pub(crate) fn is_cooked(&self) -> bool {
        tcgetattr(&self.terminal).unwrap().local_modes.contains(LocalModes::ICANON | LocalModes::ECHO)
    }

    /// Closes the terminal, and waits for the program to end.
    pub(crate) fn close(self) -> ExitStatus {
        let Self { mut child, terminal, .. } = self;
        drop(terminal);
        let begun = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            if begun.elapsed() > PATIENCE {
                child.kill().unwrap();
                panic!("it goes on without its terminal");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        while self.read() {}
        (self.child.wait().unwrap().code(), self.seen)
    }

    /// False once the program has closed the terminal.
    fn read(&mut self) -> bool {
        let mut ready = [PollFd::new(&self.terminal, PollFlags::IN)];
        let patience = Timespec::try_from(PATIENCE).unwrap();
        assert!(poll(&mut ready, Some(&patience)).unwrap() > 0, "the program says no more than:\n{}", self.seen);
        let mut bytes = [0; 4096];
        match self.terminal.read(&mut bytes) {
            Ok(0) | Err(_) => false,
            Ok(n) => {
                self.screen.process(&bytes[..n]);
                self.seen.push_str(&String::from_utf8_lossy(&bytes[..n]).replace('\r', ""));
                true
            }
        }
    }
}
