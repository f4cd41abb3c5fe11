//! The server's three faces: `dev`, `serve`, and the embedded AWS alone.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use approve_client::{Client, Config, Credentials};
use approve_proto::v1::{
    approval_service_client::ApprovalServiceClient, workflow_service_client::WorkflowServiceClient,
};
use serde::Deserialize;
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

use crate::{
    Cli, binaries,
    cli::Output,
    process::{Process, command},
    wait::{wait_for, within},
};

/// What a server writes to its ready file.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Ready {
    /// The URL of the API.
    pub grpc: Option<String>,
    /// The URL of the embedded AWS.
    pub aws: Option<String>,
    /// The reference stack's state machine.
    pub state_machine_arn: Option<String>,
    /// The server's process.
    pub pid: u32,
}

/// A running server with a folder of its own, which goes with it.
#[derive(Debug)]
pub struct Server {
    process: Option<Process>,
    local_aws: Option<LocalAws>,
    ready: Ready,
    folder: TempDir,
    launch: Launch,
}

#[derive(Debug, Clone)]
enum Launch {
    Dev {
        /// More flags.
        flags: Vec<String>,
    },
    /// With the embedded AWS's state in a file.
    DurableDev,
    Serve {
        environment: Vec<(String, String)>,
    },
}

impl Server {
    /// `approve-server dev` with the reference stack.
    pub async fn dev() -> Self {
        Self::dev_with(&[]).await
    }

    /// `approve-server dev` with more flags.
    pub async fn dev_with(flags: &[&str]) -> Self {
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        Self::launch(TempDir::new().unwrap(), Launch::Dev { flags }).await
    }

    /// `approve-server dev` whose embedded AWS keeps its state in a file, too.
    pub async fn durable_dev() -> Self {
        Self::launch(TempDir::new().unwrap(), Launch::DurableDev).await
    }

    /// `approve-server serve`, without any workflow, against an embedded AWS of its own.
    pub async fn empty() -> Self {
        let aws = LocalAws::start().await;
        let mut server = Self::serve(aws.url()).await;
        server.local_aws = Some(aws);
        server
    }

    /// `approve-server serve` against the AWS at `endpoint`, named in its configuration file.
    pub async fn serve(endpoint: &str) -> Self {
        let folder = TempDir::new().unwrap();
        write_config(folder.path(), &format!("[aws]\nregion = \"us-east-1\"\nendpoint = \"{endpoint}\"\n"));
        Self::launch(folder, Launch::Serve { environment: Vec::new() }).await
    }

    /// `approve-server serve` against the AWS that the usual environment variables name.
    pub async fn serve_with_environment(endpoint: &str) -> Self {
        let folder = TempDir::new().unwrap();
        write_config(folder.path(), "");
        let environment = [("AWS_ENDPOINT_URL", endpoint), ("AWS_REGION", "us-east-1")];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Self::launch(folder, Launch::Serve { environment }).await
    }

    /// `approve-server serve` with exactly this configuration file; the environment moves the data into the test's
    /// folder, and AWS to `endpoint`.
    pub async fn serve_config(text: &str, endpoint: &str) -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("approve.toml"), text).unwrap();
        let data = folder.path().join("data").to_str().unwrap().to_owned();
        let environment = vec![
            ("APPROVE_SERVER__DATA_DIR".to_owned(), data),
            ("APPROVE_SERVER__AWS__ENDPOINT".to_owned(), endpoint.to_owned()),
            ("AWS_REGION".to_owned(), "us-east-1".to_owned()),
        ];
        Self::launch(folder, Launch::Serve { environment }).await
    }

    /// `approve-server serve` with the configuration file of a folder, and more environment variables.
    pub async fn serve_folder(folder: TempDir, environment: &[(&str, &str)]) -> Self {
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self::launch(folder, Launch::Serve { environment }).await
    }

    async fn launch(folder: TempDir, launch: Launch) -> Self {
        let mut server = Self { process: None, local_aws: None, ready: Ready::default(), folder, launch };
        server.start().await;
        server
    }

    /// Starts it again in the same folder, at the same address.
    pub async fn start(&mut self) {
        assert!(self.process.is_none(), "it runs");
        let listen = self.ready.grpc.as_deref().map_or("127.0.0.1:0", |url| url.rsplit('/').next().unwrap());
        let mut command = command(binaries::server(), self.folder.path());
        match &self.launch {
            Launch::Dev { .. } | Launch::DurableDev => {
                command.args(["dev", "--aws-listen", "127.0.0.1:0"]);
                command.arg("--data-dir").arg(self.data_dir());
                match &self.launch {
                    Launch::Dev { flags } => command.args(flags),
                    _ => command.arg("--aws-data-file").arg(self.folder.path().join("aws")),
                };
            }
            Launch::Serve { environment } => {
                command.arg("serve").arg("--config").arg(self.folder.path().join("approve.toml"));
                command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
                command.envs(environment.iter().map(|(name, value)| (name, value)));
            }
        }
        command.args(["--listen", listen]);
        let (process, ready) = start("approve-server", command, self.folder.path()).await;
        self.process = Some(process);
        self.ready = ready;
    }

    /// Runs the program to its end, beside the server or while it is stopped.
    pub async fn run(&self, args: &[&str]) -> Output {
        let mut command = tokio::process::Command::from(command(binaries::server(), self.folder.path()));
        let run = command.args(args).kill_on_drop(true).output();
        let output = within("the end of the program", run).await.unwrap();
        Output {
            args: args.join(" "),
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Where it keeps its data.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Its folder, with its data and its output.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("it was killed")
    }

    /// Kills it as a power cut would.
    pub fn kill(&mut self) {
        self.process().kill();
        self.process = None;
    }

    /// Asks it to end, and waits until it has. Returns its exit code.
    pub async fn stop(&mut self, within: Duration) -> Option<i32> {
        self.process().terminate();
        let status = self.process().exit(within).await;
        self.process = None;
        status.code()
    }

    /// The URL of its API.
    pub fn url(&self) -> &str {
        self.ready.grpc.as_deref().expect("the ready file names the API's URL")
    }

    /// The URL of its embedded AWS.
    pub fn aws(&self) -> &str {
        let own = self.local_aws.as_ref().map(LocalAws::url);
        own.or(self.ready.aws.as_deref()).expect("the ready file names the embedded AWS's URL")
    }

    /// What it said when it was ready.
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// A client of `user:<name>`.
    pub async fn client(&self, name: &str) -> Client {
        self.client_in(name, &[]).await
    }

    /// A client of `user:<name>`, who is in these groups.
    pub async fn client_in(&self, name: &str, groups: &[&str]) -> Client {
        let credentials = Credentials::asserted(format!("user:{name}"), groups.iter().copied());
        Client::connect(Config::new(self.url()).credentials(credentials)).await.unwrap()
    }

    /// The CLI, used by `user:<name>`.
    pub fn cli(&self, name: &str) -> Cli {
        Cli::new(self.url(), name, self.folder.path())
    }

    /// A plain channel.
    pub async fn channel(&self) -> Channel {
        Endpoint::from_shared(self.url().to_owned()).unwrap().connect().await.unwrap()
    }

    /// The API as it is on the wire, for what the client crate would not send.
    pub async fn raw_approvals(&self) -> ApprovalServiceClient<Channel> {
        ApprovalServiceClient::new(self.channel().await)
    }

    /// The API as it is on the wire, for what the client crate would not send.
    pub async fn raw_workflows(&self) -> WorkflowServiceClient<Channel> {
        WorkflowServiceClient::new(self.channel().await)
    }
}

/// A request of `user:<name>`, for the API as it is on the wire.
pub fn request_as<T>(name: &str, message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert(approve_proto::ACTOR_METADATA, format!("user:{name}").parse().unwrap());
    request
}

/// The embedded AWS in a process of its own, which survives the server.
#[derive(Debug)]
pub struct LocalAws {
    process: Process,
    url: String,
    folder: TempDir,
    flags: Vec<String>,
}

impl LocalAws {
    /// Starts it.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts it with more flags.
    pub async fn start_with(flags: &[&str]) -> Self {
        Self::launch(TempDir::new().unwrap(), flags.iter().map(|flag| (*flag).to_owned()).collect()).await
    }

    /// Starts it with its state in [`LocalAws::data_file`].
    pub async fn durable() -> Self {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join(DATA_FILE).to_str().unwrap().to_owned();
        Self::launch(folder, vec!["--data-file".to_owned(), file]).await
    }

    async fn launch(folder: TempDir, flags: Vec<String>) -> Self {
        let (process, url) = Self::spawn(folder.path(), &flags).await;
        Self { process, url, folder, flags }
    }

    async fn spawn(folder: &Path, flags: &[String]) -> (Process, String) {
        let mut command = command(binaries::server(), folder);
        command.args(["local-aws", "--port", "0"]).args(flags);
        let (process, ready) = start("local-aws", command, folder).await;
        (process, ready.aws.expect("the ready file names the embedded AWS's URL"))
    }

    /// Kills it as a power cut would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again with the same flags in the same folder, at another address.
    pub async fn restart(&mut self) {
        assert!(self.process.ended().is_some(), "it runs");
        (self.process, self.url) = Self::spawn(self.folder.path(), &self.flags).await;
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Where one that is durable keeps its state.
    pub fn data_file(&self) -> PathBuf {
        self.folder.path().join(DATA_FILE)
    }
}

const DATA_FILE: &str = "aws";

/// Writes `approve.toml` with the data folder in `folder`, and `more` after it.
pub fn write_config(folder: &Path, more: &str) -> PathBuf {
    let path = folder.join("approve.toml");
    // Open polls last a minute; no test depends on what they bring.
    let shutdown = "[shutdown]\npoll_seconds = 1\n";
    fs::write(&path, format!("data_dir = {:?}\n\n{shutdown}\n{more}", folder.join("data"))).unwrap();
    path
}

/// Starts a server and waits until it serves.
async fn start(name: &str, mut command: Command, folder: &Path) -> (Process, Ready) {
    let ready_file = folder.join("ready.json");
    let _ = fs::remove_file(&ready_file);
    command.arg("--ready-file").arg(&ready_file);
    let mut process = Process::spawn(name, command, folder);
    let what = format!("{name} to be ready");
    let ready = wait_for(&what, async || {
        if let Some(status) = process.ended() {
            panic!("{name} ended before it was ready: {status}");
        }
        let text = fs::read(&ready_file).ok()?;
        Some(serde_json::from_slice(&text).unwrap_or_else(|error| panic!("the ready file is no JSON: {error}")))
    })
    .await;
    (process, ready)
}
