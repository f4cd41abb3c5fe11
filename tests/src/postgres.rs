//! A PostgreSQL that several servers share.

use tempfile::TempDir;
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
        let folder = TempDir::new().unwrap();
        let aws = format!("[aws]\nregion = \"us-east-1\"\nendpoint = \"{aws}\"\n");
        write_config(folder.path(), &format!("[postgres]\nlease_seconds = 3\n\n{aws}"));
        Server::serve_folder(folder, &[("APPROVE_SERVER__STORE", &self.url)]).await
    }
}
