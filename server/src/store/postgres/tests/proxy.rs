//! A way to the database on which the answer to a commit can be lost.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
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
}

impl Proxy {
    pub(super) async fn start(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let loss = Arc::new(AtomicU8::new(Loss::Nothing as u8));
        let shared = Arc::clone(&loss);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (loss, server) = (Arc::clone(&shared), UnixStream::connect(&socket).await.unwrap());
                tokio::spawn(carry(client, server, loss));
            }
        });
        Self { port, loss }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn lose(&self, loss: Loss) {
        self.loss.store(loss as u8, Ordering::SeqCst);
    }

    pub(super) fn has_lost(&self) -> bool {
        self.loss.load(Ordering::SeqCst) == Loss::Nothing as u8
    }
}

/// A simple query, and what answers it.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";
const COMMITTED: &[u8] = b"COMMIT\0";

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

async fn carry(mut client: TcpStream, mut server: UnixStream, loss: Arc<AtomicU8>) {
    let (mut up, mut down) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(read @ 1..) = read else { return };
                let bytes = &up[..read];
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
                if client.write_all(&down[..read]).await.is_err() {
                    return;
                }
            }
        }
    }
}
