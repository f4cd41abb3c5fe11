//! Faults between the server and its Step Functions, by two injectors: the one of `local-aws`, and microburst, a proxy
//! that is not ours.

use std::{net::TcpListener, path::PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    aws, http,
    process::{Process, command},
    wait_for,
};

/// How often another port is tried, should somebody take the one that was found free.
const ATTEMPTS: usize = 3;

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `ThrottlingException`; not applied.
    Throttle,
    /// 500 or 503; not applied.
    Status(u16),
    /// Applied so many milliseconds late.
    Late(u64),
    /// The connection is closed before the call is applied.
    Reset,
    /// The call is applied, and its answer is lost.
    AnswerLost,
    /// `TaskTimedOut`; not applied. Only microburst can do it.
    TaskTimedOut,
}

/// A running microburst.
#[derive(Debug)]
pub struct Microburst {
    _process: Process,
    url: String,
    _folder: TempDir,
}

impl Microburst {
    /// Starts it before `upstream`, from the virtual environment that `tests/run` has set up.
    ///
    /// # Panics
    /// If APPROVE_MICROBURST_VENV does not name one: a test that needs microburst does not pass without it.
    pub async fn start(upstream: &str) -> Self {
        let venv: PathBuf = std::env::var_os("APPROVE_MICROBURST_VENV")
            .expect("APPROVE_MICROBURST_VENV is not set: run tests/run, which installs microburst")
            .into();
        for _ in 0..ATTEMPTS {
            let folder = TempDir::new().unwrap();
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut command = command(venv.join("bin/microburst"), folder.path());
            command.args(["--host", "127.0.0.1", "--port", &port.to_string(), "--upstream", upstream]);
            let mut process = Process::spawn("microburst", command, folder.path());
            let url = format!("http://127.0.0.1:{port}");
            let ready = wait_for("microburst to be ready", async || {
                if process.ended().is_some() {
                    return Some(false);
                }
                http::json("GET", &url, "/_microburst/health", &Value::Null).await.is_ok().then_some(true)
            });
            if ready.await {
                // It reads its models of AWS on the first call, which takes seconds.
                let client = aws::step_functions(&url);
                wait_for("microburst's first answer", async || client.list_activities().send().await.ok()).await;
                return Self { _process: process, url, _folder: folder };
            }
            eprintln!("microburst ended at once:\n{}", process.stderr());
        }
        panic!("microburst did not start");
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// Who makes the faults.
#[derive(Clone, Debug)]
pub enum Injector {
    /// microburst, at this URL.
    Microburst(String),
    /// `local-aws` itself, at this URL.
    LocalAws(String),
}

impl Injector {
    /// From here on the next calls of these operations meet these faults, each so many times; nothing else does.
    pub async fn set(&self, faults: &[(&str, Fault, u32)]) {
        match self {
            Self::Microburst(url) => {
                http::json("DELETE", url, "/_microburst/fired", &Value::Null).await.unwrap();
                let rules: Vec<_> =
                    faults.iter().map(|(operation, fault, times)| rule(operation, *fault, *times)).collect();
                http::json("POST", url, "/_microburst/rules", &rules.into()).await.unwrap();
            }
            Self::LocalAws(url) => {
                let rules: Vec<_> =
                    faults.iter().map(|(operation, fault, times)| own_rule(operation, *fault, *times)).collect();
                http::json("POST", url, "/_sfn-local/faults", &json!({"rules": rules})).await.unwrap();
            }
        }
    }

    /// How often an operation has met a fault since.
    pub async fn fired(&self, operation: &str) -> usize {
        match self {
            Self::Microburst(url) => {
                let path = format!("/_microburst/fired?operation={operation}");
                http::json("GET", url, &path, &Value::Null).await.unwrap().as_array().unwrap().len()
            }
            Self::LocalAws(url) => {
                let plan = http::json("GET", url, "/_sfn-local/faults", &Value::Null).await.unwrap();
                let rules = plan["rules"].as_array().unwrap();
                let own = rules.iter().filter(|rule| rule["rule"]["operation"] == operation);
                own.map(|rule| usize::try_from(rule["fired"].as_u64().unwrap()).unwrap()).sum()
            }
        }
    }

    /// Whether it can make a fault.
    pub fn can(&self, fault: Fault) -> bool {
        matches!(self, Self::Microburst(_)) || fault != Fault::TaskTimedOut
    }
}

fn rule(operation: &str, fault: Fault, times: u32) -> Value {
    let mut rule = json!({"service": "stepfunctions", "operation": operation, "times": times});
    let (effect, what) = match fault {
        Fault::Throttle => ("error", json!({"code": "ThrottlingException", "status": 400})),
        Fault::Status(503) => ("error", json!({"code": "ServiceUnavailable", "status": 503})),
        Fault::Status(status) => ("error", json!({"code": "InternalFailure", "status": status})),
        Fault::Late(millis) => ("latency", millis.into()),
        Fault::Reset => ("reset", true.into()),
        Fault::AnswerLost => ("response", json!({"abort_bytes": 0})),
        Fault::TaskTimedOut => ("error", json!({"code": "TaskTimedOut", "status": 400})),
    };
    rule[effect] = what;
    rule
}

fn own_rule(operation: &str, fault: Fault, times: u32) -> Value {
    let mut rule = json!({"operation": operation, "times": times});
    let (kind, more) = match fault {
        Fault::Throttle => ("throttle", None),
        Fault::Status(status) => ("error", Some(("status", status.into()))),
        Fault::Late(millis) => ("delay", Some(("millis", Value::from(millis)))),
        Fault::Reset => ("reset", None),
        Fault::AnswerLost => ("drop_answer", None),
        Fault::TaskTimedOut => panic!("local-aws can't make up {fault:?}"),
    };
    rule["kind"] = kind.into();
    if let Some((name, value)) = more {
        rule[name] = value;
    }
    rule
}
