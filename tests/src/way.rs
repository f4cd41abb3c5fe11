//! A way to a service that can be cut, fall silent, or become slow: what networks do.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::sleep,
};

/// Where a way leads.
#[derive(Clone, Debug)]
pub enum Target {
    /// To a TCP address.
    Tcp(SocketAddr),
    /// To a Unix socket.
    Unix(PathBuf),
}

/// What becomes of what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passing {
    /// It arrives.
    Open,
    /// It arrives so much later, in each direction.
    Slow(Duration),
    /// It arrives once the way is open again. Nobody is told.
    Silent,
    /// Connections are ended, and new ones too.
    Cut,
}

/// What is counted of what comes to a service: a text, and how often it came.
#[derive(Clone, Debug, Default)]
struct Told(Arc<Mutex<(String, usize)>>);

impl Told {
    /// Looks through what came next. `seen` is what came before it, as far as the text may have begun in it.
    fn hear(&self, seen: &mut Vec<u8>, bytes: &[u8]) {
        let (text, count) = &mut *self.0.lock().unwrap();
        if text.is_empty() {
            return;
        }
        seen.extend_from_slice(bytes);
        *count += seen.windows(text.len()).filter(|part| part.eq_ignore_ascii_case(text.as_bytes())).count();
        let rest = seen.len().saturating_sub(text.len() - 1);
        seen.drain(..rest);
    }
}

/// A way to a service.
#[derive(Debug)]
pub struct Way {
    address: SocketAddr,
    passing: watch::Sender<Passing>,
    told: Told,
    carrying: JoinHandle<()>,
}

impl Way {
    /// Opens one.
    pub async fn to(target: Target) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let passing = watch::Sender::new(Passing::Open);
        let seen = passing.subscribe();
        let told = Told::default();
        let telling = told.clone();
        let carrying = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                connections.spawn(carry(client, target.clone(), seen.clone(), telling.clone()));
            }
        });
        Self { address, passing, told, carrying }
    }

    /// Counts from now on how often `text` comes to the service.
    pub fn count(&self, text: &str) {
        *self.told.0.lock().unwrap() = (text.to_owned(), 0);
    }

    /// How often it came.
    pub fn counted(&self) -> usize {
        self.told.0.lock().unwrap().1
    }

    /// Where it begins.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what becomes of what is sent.
    pub fn set(&self, passing: Passing) {
        self.passing.send_replace(passing);
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.carrying.abort();
    }
}

async fn carry(client: TcpStream, target: Target, passing: watch::Receiver<Passing>, told: Told) {
    let mut cut = passing.clone();
    let carried = async {
        let _ = client.set_nodelay(true);
        let (up, down) = client.into_split();
        match target {
            Target::Tcp(address) => {
                let Ok(server) = TcpStream::connect(address).await else { return };
                let _ = server.set_nodelay(true);
                let (from, to) = server.into_split();
                both(pump(up, to, passing.clone(), Some(told)), pump(from, down, passing, None)).await;
            }
            Target::Unix(path) => {
                let Ok(server) = UnixStream::connect(path).await else { return };
                let (from, to) = server.into_split();
                both(pump(up, to, passing.clone(), Some(told)), pump(from, down, passing, None)).await;
            }
        }
    };
    tokio::select! {
        biased;
        _ = cut.wait_for(|passing| *passing == Passing::Cut) => {}
        () = carried => {}
    }
}

/// However one direction ends, both ends see it.
async fn both(up: impl Future<Output = ()>, down: impl Future<Output = ()>) {
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut passing: watch::Receiver<Passing>,
    told: Option<Told>,
) {
    let mut bytes = vec![0; 64 * 1024];
    let mut seen = Vec::new();
    loop {
        let Ok(read @ 1..) = from.read(&mut bytes).await else { return };
        let Ok(now) = passing.wait_for(|passing| *passing != Passing::Silent).await.map(|passing| *passing) else {
            return;
        };
        if let Passing::Slow(delay) = now {
            sleep(delay).await;
        }
        if to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
        if let Some(told) = &told {
            told.hear(&mut seen, &bytes[..read]);
        }
    }
}
