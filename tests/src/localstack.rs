//! LocalStack: a Step Functions that is not ours, to check against; and cfn-lint, which is installed beside it.

use std::{
    ffi::OsStr,
    net::TcpListener,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::{
    aws, binaries,
    cli::Output,
    process::{Process, command},
    wait::{wait_for, within},
};

/// How often another port is tried, should somebody take the one that was found free.
const ATTEMPTS: usize = 3;

/// A running LocalStack.
#[derive(Debug)]
pub struct LocalStack {
    _process: Process,
    url: String,
    python: PathBuf,
    folder: TempDir,
}

impl LocalStack {
    /// Starts it from the virtual environment that `tests/run` has set up.
    ///
    /// # Panics
    /// If APPROVE_LOCALSTACK_VENV does not name one: a test that needs LocalStack does not pass without it.
    pub async fn start() -> Self {
        let venv: PathBuf = std::env::var_os("APPROVE_LOCALSTACK_VENV")
            .expect("APPROVE_LOCALSTACK_VENV is not set: run tests/run, which installs LocalStack")
            .into();
        for _ in 0..ATTEMPTS {
            let folder = TempDir::new().unwrap();
            let port = free_port();
            let mut command = command(binaries::repository().join("tests/localstack/run"), folder.path());
            command.arg(&venv).arg(port.to_string()).arg(folder.path());
            let mut process = Process::spawn("localstack", command, folder.path());
            let url = format!("http://127.0.0.1:{port}");
            let client = aws::step_functions(&url);
            let ready = wait_for("LocalStack to be ready", async || {
                if process.ended().is_some() {
                    return Some(false);
                }
                client.list_state_machines().send().await.is_ok().then_some(true)
            });
            if ready.await {
                return Self { _process: process, url, python: venv.join("bin/python"), folder };
            }
            eprintln!("LocalStack ended at once:\n{}", process.stderr());
        }
        panic!("LocalStack did not start");
    }

    /// The Python that it runs in, which has boto3.
    pub fn python(&self) -> &Path {
        &self.python
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What cfn-lint says of CloudFormation templates, its remarks and warnings too: nothing, and it succeeds, if there is
    /// nothing to say.
    pub async fn lint(&self, templates: &[PathBuf]) -> Output {
        let templates = templates.iter().map(|path| path.as_os_str());
        let program = self.python.with_file_name("cfn-lint");
        let args = [program.as_os_str()].into_iter().chain(["--include-checks", "I", "--"].map(OsStr::new));
        self.run(args.chain(templates).collect()).await
    }

    /// Deploys a CloudFormation template; the stack's outputs are on stdout as JSON.
    pub async fn deploy(&self, stack: &str, template: &Path) -> Output {
        let script = binaries::repository().join("tests/localstack/deploy.py");
        self.run(vec![script.as_os_str(), self.url.as_ref(), stack.as_ref(), template.as_os_str()]).await
    }

    async fn run(&self, args: Vec<&OsStr>) -> Output {
        let mut command = tokio::process::Command::from(command(&self.python, self.folder.path()));
        let run = command.args(&args).kill_on_drop(true).output();
        let output = within("the end of the program", run).await.unwrap();
        Output {
            args: args.join(OsStr::new(" ")).to_string_lossy().into_owned(),
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// LocalStack can't be told to find a port itself.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
