//! A PostgreSQL that several servers share.

use std::{
    fs,
    io::Write as _,
    net::Ipv4Addr,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use crate::{
    DEADLINE, Server, binaries,
    certificates::Certified,
    process::{Process, command},
    server::write_config,
    wait_for,
    way::{Target, Way},
};

/// A PostgreSQL of a test's own, which can be stopped.
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    folder: TempDir,
    standby_of: Option<PathBuf>,
    /// Where else it listens.
    address: Option<Ipv4Addr>,
    /// What [`Postgres::freeze`] has stopped.
    frozen: Vec<Pid>,
}

/// How a PostgreSQL is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Sessions are ended, everything is written.
    Fast,
    /// At once: what is not written is recovered at the next start.
    Immediate,
}

impl Postgres {
    /// Starts an empty one.
    ///
    /// # Panics
    /// If PostgreSQL is not installed: a test that needs it does not pass without it.
    pub async fn start() -> Self {
        Self::launch(None).await
    }

    /// Starts a copy of another one, which follows it, and is read-only until it is promoted.
    pub async fn standby_of(primary: &Self) -> Self {
        Self::launch(Some(primary.data_folder())).await
    }

    async fn launch(standby_of: Option<PathBuf>) -> Self {
        let folder = TempDir::new().unwrap();
        // Run as root, PostgreSQL is another user's.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).unwrap();
        let process = spawn(folder.path(), standby_of.as_deref(), None);
        let mut postgres = Self { process, folder, standby_of, address: None, frozen: Vec::new() };
        postgres.answers().await;
        postgres
    }

    async fn answers(&mut self) {
        let url = self.url();
        wait_for("PostgreSQL to answer", async || {
            if let Some(status) = self.process.ended() {
                panic!("PostgreSQL ended: {status}");
            }
            tokio_postgres::connect(&url, NoTls).await.ok().map(drop)
        })
        .await;
    }

    fn data_folder(&self) -> PathBuf {
        self.folder.path().join("postgres")
    }

    fn socket(&self) -> PathBuf {
        self.data_folder().join(".s.PGSQL.5432")
    }

    /// The URL of its own database.
    pub fn url(&self) -> String {
        format!("postgres:///postgres?host={}&user=approve", self.data_folder().display())
    }

    /// Makes an empty database in it.
    pub async fn database(&self) -> Database {
        Database::create_in(&self.url()).await
    }

    /// A way to it.
    pub async fn way(&self) -> Way {
        Way::to(Target::Unix(self.socket())).await
    }

    /// Stops it, and waits until it has ended.
    pub async fn stop(&mut self, how: Stop) {
        match how {
            Stop::Fast => self.process.interrupt(),
            Stop::Immediate => self.process.quit(),
        }
        self.process.exit(DEADLINE).await;
    }

    /// Starts it again after a stop, and waits until it answers.
    pub async fn start_again(&mut self) {
        assert!(self.process.ended().is_some(), "it runs");
        self.process = spawn(self.folder.path(), self.standby_of.as_deref(), self.address);
        self.answers().await;
    }

    /// Starts it anew with TLS and a password for whoever comes by the network; where that is.
    pub async fn protect(&mut self, certified: &Certified, password: &str) -> Ipv4Addr {
        connect(&self.url()).await.batch_execute(&format!("ALTER ROLE approve PASSWORD '{password}'")).await.unwrap();
        self.stop(Stop::Fast).await;
        let data = self.data_folder().join("data");
        let owner = fs::metadata(&data).unwrap();
        for (name, text) in [("server.crt", &certified.certificate), ("server.key", &certified.key)] {
            let file = data.join(name);
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            chown(&file, Some(owner.uid()), Some(owner.gid())).unwrap();
        }
        let mut config = fs::OpenOptions::new().append(true).open(data.join("postgresql.conf")).unwrap();
        writeln!(config, "ssl = on").unwrap();
        fs::write(data.join("pg_hba.conf"), "local all all trust\nhostssl all all 127.0.0.0/8 scram-sha-256\n")
            .unwrap();
        // One of its own, as its port is not.
        let [a, b, c, ..] = *Uuid::new_v4().as_bytes();
        let address = Ipv4Addr::new(127, a.clamp(1, 254), b.clamp(1, 254), c.clamp(1, 254));
        self.address = Some(address);
        self.start_again().await;
        address
    }

    /// Makes a standby one that is written to.
    pub async fn promote(&self) {
        let client = connect(&self.url()).await;
        client.query_one("SELECT pg_promote()", &[]).await.unwrap();
    }

    /// Stops all its processes where they are: it answers nothing, and takes connections that it does not answer.
    pub async fn freeze(&mut self) {
        let client = connect(&self.url()).await;
        let rows = client.query("SELECT pid FROM pg_stat_activity", &[]).await.unwrap();
        let backends = rows.iter().map(|row| row.get::<_, i32>(0));
        // The one that starts others is last, as it minds when one ends.
        let all = backends.chain([self.process.id().cast_signed()]).filter_map(Pid::from_raw);
        self.frozen = all.filter(|pid| kill_process(*pid, Signal::STOP).is_ok()).collect();
    }

    /// Lets it go on.
    pub fn thaw(&mut self) {
        for pid in self.frozen.drain(..) {
            let _ = kill_process(pid, Signal::CONT);
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Its processes have groups of their own: they end when the first one has.
        self.thaw();
    }
}

fn spawn(folder: &Path, standby_of: Option<&Path>, address: Option<Ipv4Addr>) -> Process {
    let mut command = command(binaries::repository().join("tests/postgres/run"), folder);
    command.env("APPROVE_TEST_LISTEN", address.map_or_else(String::new, |address| address.to_string()));
    command.arg(folder.join("postgres"));
    command.args(standby_of);
    Process::spawn("postgres", command, folder)
}

/// A connection, whose task ends with it.
pub async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A database of a test's own.
#[derive(Debug)]
pub struct Database {
    name: String,
    url: String,
}

impl Database {
    /// Makes an empty one in the PostgreSQL that `tests/run` has started.
    ///
    /// # Panics
    /// If APPROVE_POSTGRES does not name a PostgreSQL: a test that needs one does not pass without it.
    pub async fn create() -> Self {
        let server = std::env::var("APPROVE_POSTGRES")
            .expect("APPROVE_POSTGRES is not set: run tests/run, which starts a PostgreSQL");
        Self::create_in(&server).await
    }

    async fn create_in(server: &str) -> Self {
        let name = format!("approve_{}", Uuid::new_v4().simple());
        connect(server).await.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        let (base, query) = server.split_once("/postgres?").expect("the server's URL names the database postgres");
        Self { url: format!("{base}/{name}?{query}"), name }
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its URL by a way to its PostgreSQL.
    pub fn url_by(&self, way: &Way) -> String {
        format!("postgres://approve@{}/{}", way.address(), self.name)
    }

    /// A server of several that share it, and the AWS at `aws`. What it held is taken over three seconds after it was last
    /// heard of.
    pub async fn server(&self, aws: &str) -> Server {
        self.server_by(&self.url, aws).await
    }

    /// The same, which reaches it by another URL.
    pub async fn server_by(&self, url: &str, aws: &str) -> Server {
        serve(url, aws, SHORT_LEASE).await
    }

    /// A connection to it.
    pub async fn client(&self) -> Client {
        connect(&self.url).await
    }

    /// A way to it.
    pub async fn way(&self) -> Way {
        let host = self.url.split_once("host=").expect("it is reached by a socket").1;
        let socket = PathBuf::from(host.split('&').next().unwrap()).join(".s.PGSQL.5432");
        Way::to(Target::Unix(socket)).await
    }
}

/// The shortest lease there is.
pub const SHORT_LEASE: &str = "[postgres]\nlease_seconds = 3\n";

/// A server with the database at `url` and the AWS at `aws`. `more` is more of its configuration.
pub async fn serve(url: &str, aws: &str, more: &str) -> Server {
    serve_with(url, aws, more, &[]).await
}

/// The same with more environment variables.
pub async fn serve_with(url: &str, aws: &str, more: &str, environment: &[(&str, &str)]) -> Server {
    let folder = TempDir::new().unwrap();
    write_config(folder.path(), &format!("[aws]\nregion = \"us-east-1\"\nendpoint = \"{aws}\"\n\n{more}"));
    let environment: Vec<_> = [("APPROVE_SERVER__STORE", url)].into_iter().chain(environment.iter().copied()).collect();
    Server::serve_folder(folder, &environment).await
}
