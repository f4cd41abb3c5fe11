//! A way to the database on which the answer to a commit can be lost, and notifications.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UnixStream},
};

/// What is lost of the next commit, with the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    Nothing = 0,
    /// It does not reach the database.
    Request = 1,
    /// The database commits, and nobody hears of it.
    Answer = 2,
}

/// A proxy before the database's socket.
pub(super) struct Proxy {
    port: u16,
    loss: Arc<AtomicU8>,
    statements: Arc<AtomicUsize>,
    notifications: Notifications,
}

/// What becomes of notifications.
#[derive(Clone, Default)]
struct Notifications {
    are_lost: Arc<AtomicBool>,
    lost: Arc<AtomicUsize>,
}

impl Proxy {
    pub(super) async fn start(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let loss = Arc::new(AtomicU8::new(Loss::Nothing as u8));
        let statements = Arc::new(AtomicUsize::new(0));
        let (shared, counted) = (Arc::clone(&loss), Arc::clone(&statements));
        let notifications = Notifications::default();
        let told = notifications.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (loss, server) = (Arc::clone(&shared), UnixStream::connect(&socket).await.unwrap());
                tokio::spawn(carry(client, server, loss, Arc::clone(&counted), told.clone()));
            }
        });
        Self { port, loss, statements, notifications }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// How many statements were sent to the database.
    pub(super) fn statements(&self) -> usize {
        self.statements.load(Ordering::SeqCst)
    }

    pub(super) fn lose(&self, loss: Loss) {
        self.loss.store(loss as u8, Ordering::SeqCst);
    }

    /// Loses all notifications from now on.
    pub(super) fn lose_notifications(&self) {
        self.notifications.are_lost.store(true, Ordering::SeqCst);
    }

    /// How many were lost.
    pub(super) fn lost_notifications(&self) -> usize {
        self.notifications.lost.load(Ordering::SeqCst)
    }

    pub(super) fn has_lost(&self) -> bool {
        self.loss.load(Ordering::SeqCst) == Loss::Nothing as u8
    }
}

/// The statements that a client sends: each is bound, or a simple query. What is not whole yet is left.
fn statements(bytes: &mut Vec<u8>, started: &mut bool) -> usize {
    let mut found = 0;
    loop {
        // The first message has no kind.
        let head = usize::from(*started);
        let Some(length) = bytes.get(head..head + 4) else { return found };
        let length = head + u32::from_be_bytes(length.try_into().unwrap()) as usize;
        if bytes.len() < length {
            return found;
        }
        found += usize::from(*started && matches!(bytes[0], b'B' | b'Q'));
        *started = true;
        bytes.drain(..length);
    }
}

impl Notifications {
    /// Takes whole messages of the database off what it sent, without those that are lost.
    fn pass(&self, sent: &mut Vec<u8>) -> Vec<u8> {
        let mut passed = Vec::new();
        loop {
            let length = sent.get(1..5).map(|length| 1 + u32::from_be_bytes(length.try_into().unwrap()) as usize);
            let Some(length) = length.filter(|length| *length <= sent.len()) else { return passed };
            let message = sent.drain(..length);
            if message.as_slice()[0] == b'A' && self.are_lost.load(Ordering::SeqCst) {
                self.lost.fetch_add(1, Ordering::SeqCst);
            } else {
                passed.extend(message);
            }
        }
    }
}

/// A simple query, and what answers it.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";
const COMMITTED: &[u8] = b"COMMIT\0";

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

async fn carry(
    mut client: TcpStream,
    mut server: UnixStream,
    loss: Arc<AtomicU8>,
    counted: Arc<AtomicUsize>,
    notifications: Notifications,
) {
    let (mut sent, mut started, mut answered) = (Vec::new(), false, Vec::new());
    let (mut up, mut down) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(read @ 1..) = read else { return };
                let bytes = &up[..read];
                sent.extend_from_slice(bytes);
                counted.fetch_add(statements(&mut sent, &mut started), Ordering::SeqCst);
                let commit = find(bytes, COMMIT);
                let take = |which: Loss| {
                    commit.is_some()
                        && loss.compare_exchange(which as u8, 0, Ordering::SeqCst, Ordering::SeqCst).is_ok()
                };
                if take(Loss::Request) {
                    server.write_all(&bytes[..commit.unwrap()]).await.unwrap();
                    return;
                }
                let silent = take(Loss::Answer);
                server.write_all(bytes).await.unwrap();
                if silent {
                    let mut answer = Vec::new();
                    while find(&answer, COMMITTED).is_none() {
                        let read = server.read(&mut down).await.unwrap();
                        assert!(read > 0, "the database ended the connection");
                        answer.extend_from_slice(&down[..read]);
                    }
                    return;
                }
            }
            read = server.read(&mut down) => {
                let Ok(read @ 1..) = read else { return };
                answered.extend_from_slice(&down[..read]);
                if client.write_all(&notifications.pass(&mut answered)).await.is_err() {
                    return;
                }
            }
        }
    }
}
