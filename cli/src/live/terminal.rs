//! The terminal: taken over while this lasts, and given back however it ends.

use std::{
    io,
    mem::ManuallyDrop,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use crossterm::event::{self, Event, KeyEvent, KeyEventKind};
use ratatui::DefaultTerminal;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{draw, state::Live};
use crate::output::{style::Style, time::Now};

/// How soon the reader of keys notices that it is over.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long it is waited for.
const END: Duration = Duration::from_secs(1);

/// The terminal, while it is ours.
pub(super) struct Terminal {
    pub screen: Screen,
    pub input: Input,
}

impl Terminal {
    pub(super) fn enter() -> io::Result<Self> {
        Ok(Self { screen: Screen::enter()?, input: Input::start() })
    }

    /// Gives it back.
    pub(super) async fn leave(self) {
        self.input.end().await;
    }
}

/// What is drawn on. Its own drop would say on a terminal that is gone that it is gone, and panic.
pub(super) struct Screen(ManuallyDrop<DefaultTerminal>);

impl Screen {
    /// Takes it over. A panic gives it back before it says anything.
    fn enter() -> io::Result<Self> {
        match ratatui::try_init() {
            Ok(terminal) => Ok(Self(ManuallyDrop::new(terminal))),
            Err(error) => {
                // Half of it may be done.
                let _ = ratatui::try_restore();
                Err(error)
            }
        }
    }

    pub(super) fn draw(&mut self, live: &mut Live, now: &Now, style: Style) -> io::Result<()> {
        self.0.draw(|frame| draw::draw(frame, live, now, style.is_enabled())).map(|_| ())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Whoever closed the terminal needs nothing back.
        let _ = self.0.show_cursor();
        let _ = ratatui::try_restore();
    }
}

/// The keys that are pressed, read on a thread of its own.
pub(super) struct Input {
    keys: mpsc::Receiver<io::Result<Option<KeyEvent>>>,
    stop: Arc<AtomicBool>,
    over: oneshot::Receiver<()>,
}

impl Input {
    fn start() -> Self {
        let (send, keys) = mpsc::channel(64);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (reads, over) = oneshot::channel();
        // Not a task: the program ends without it, should the terminal never answer.
        thread::spawn(move || {
            let _reads: oneshot::Sender<()> = reads;
            while !stopped.load(Ordering::Relaxed) {
                let read = match pressed() {
                    Ok(false) => continue,
                    Ok(true) => event::read(),
                    Err(error) => Err(error),
                };
                let key = match read {
                    Ok(Event::Key(key)) if key.kind != KeyEventKind::Release => Ok(Some(key)),
                    // Another size: only to be drawn.
                    Ok(Event::Resize(..)) => Ok(None),
                    Ok(_) => continue,
                    Err(error) => Err(error),
                };
                let failed = key.is_err();
                if send.blocking_send(key).is_err() || failed {
                    break;
                }
            }
        });
        Self { keys, stop, over }
    }

    /// Reads no more, and waits until that is so.
    async fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.keys.close();
        // It has nothing left to tell.
        let _ = timeout(END, &mut self.over).await;
    }

    /// The next key; `None` once nobody can press any.
    pub(super) async fn next(&mut self) -> io::Result<Option<Press>> {
        match self.keys.recv().await {
            Some(Ok(Some(key))) => Ok(Some(Press::Key(key))),
            Some(Ok(None)) => Ok(Some(Press::Resized)),
            Some(Err(error)) => Err(error),
            None => Ok(None),
        }
    }
}

/// Whether there is something to read, after a while at most. Where the terminal is gone that is an error: crossterm would
/// go on reading nothing.
fn pressed() -> io::Result<bool> {
    #[cfg(unix)]
    {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let terminal = io::stdin();
        let mut ready = [PollFd::new(&terminal, PollFlags::IN)];
        let patience = Timespec::try_from(PATIENCE).map_err(io::Error::other)?;
        match poll(&mut ready, Some(&patience)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if ready.iter().any(|ready| ready.revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL)) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        event::poll(Duration::ZERO)
    }
    #[cfg(not(unix))]
    event::poll(PATIENCE)
}

/// What comes from the terminal.
#[derive(Clone, Copy, Debug)]
pub(super) enum Press {
    Key(KeyEvent),
    Resized,
}

impl Drop for Input {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// What ends it from outside.
pub(super) struct Signals {
    #[cfg(unix)]
    several: [tokio::signal::unix::Signal; 3],
}

impl Signals {
    #[cfg(unix)]
    pub(super) fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [interrupt, terminate, hangup] = kinds.map(signal);
        Ok(Self { several: [interrupt?, terminate?, hangup?] })
    }

    #[cfg(unix)]
    pub(super) async fn any(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.several;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }

    #[cfg(not(unix))]
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    pub(super) async fn any(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}
