//! A PostgreSQL that several servers share.

use std::path::PathBuf;

use tempfile::TempDir;
use tokio::{
    net::{TcpListener, UnixStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};
use tokio_postgres::NoTls;
use uuid::Uuid;

use crate::{Server, server::write_config};

/// A database of a test's own, in the PostgreSQL that `tests/run` has started.
#[derive(Debug)]
pub struct Database {
    url: String,
}

impl Database {
    /// Makes an empty one.
    ///
    /// # Panics
    /// If APPROVE_POSTGRES does not name a PostgreSQL: a test that needs one does not pass without it.
    pub async fn create() -> Self {
        let server = std::env::var("APPROVE_POSTGRES")
            .expect("APPROVE_POSTGRES is not set: run tests/run, which starts a PostgreSQL");
        let name = format!("approve_{}", Uuid::new_v4().simple());
        let (client, connection) = tokio_postgres::connect(&server, NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        client.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        drop(client);
        connection.await.unwrap().unwrap();
        let (base, query) = server.split_once("/postgres?").expect("APPROVE_POSTGRES names the database postgres");
        Self { url: format!("{base}/{name}?{query}") }
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A server of several that share it, and the AWS at `aws`. What it held is taken over three seconds after it was last
    /// heard of.
    pub async fn server(&self, aws: &str) -> Server {
        self.server_by(&self.url, aws).await
    }

    /// The same, which reaches it by another URL.
    pub async fn server_by(&self, url: &str, aws: &str) -> Server {
        let folder = TempDir::new().unwrap();
        let aws = format!("[aws]\nregion = \"us-east-1\"\nendpoint = \"{aws}\"\n");
        write_config(folder.path(), &format!("[postgres]\nlease_seconds = 3\n\n{aws}"));
        Server::serve_folder(folder, &[("APPROVE_SERVER__STORE", url)]).await
    }

    /// A way to it that can be cut.
    pub async fn way(&self) -> Way {
        let host = self.url.split_once("host=").expect("it is reached by a socket").1;
        let socket = PathBuf::from(host.split('&').next().unwrap()).join(".s.PGSQL.5432");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = self.url.split_once(":///").unwrap().1.split('?').next().unwrap();
        let url = format!("postgres://approve@{}/{place}", listener.local_addr().unwrap());
        let cut = watch::Sender::new(false);
        let mut seen = cut.subscribe();
        let carrying = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    Ok((mut client, _)) = listener.accept() => {
                        if *seen.borrow() {
                            continue;
                        }
                        let socket = socket.clone();
                        connections.spawn(async move {
                            let mut server = UnixStream::connect(socket).await.unwrap();
                            // However it ends, both ends see it.
                            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                        });
                    }
                    changed = seen.changed() => {
                        if changed.is_err() {
                            return;
                        }
                        if *seen.borrow_and_update() {
                            connections.shutdown().await;
                        }
                    }
                }
            }
        });
        Way { url, cut, _carrying: carrying }
    }
}

/// A way to a database.
#[derive(Debug)]
pub struct Way {
    url: String,
    cut: watch::Sender<bool>,
    _carrying: JoinHandle<()>,
}

impl Way {
    /// The database's URL by this way.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Ends all connections and refuses new ones, or lets them through again.
    pub fn set_cut(&self, cut: bool) {
        self.cut.send_replace(cut);
    }
}
