//! How it is told that the server serves: to whoever waits for a file, and to people.

use std::path::Path;

use serde::Serialize;

use super::AppError;
use crate::config::HookUrl;

/// What is written to the ready file, as JSON.
#[derive(Debug, Serialize)]
pub(super) struct Ready<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) grpc: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) aws: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) state_machine_arn: Option<&'a str>,
    pub(super) pid: u32,
}

pub(super) fn pid() -> u32 {
    std::process::id()
}

/// In one piece, so that whoever waits for the file never reads half of it.
pub(super) fn write_ready(file: Option<&Path>, ready: &Ready<'_>) -> Result<(), AppError> {
    let Some(file) = file else { return Ok(()) };
    let write = || -> std::io::Result<()> {
        let mut partial = file.as_os_str().to_owned();
        partial.push(".partial");
        std::fs::write(&partial, serde_json::to_vec(ready)?)?;
        std::fs::rename(&partial, file)
    };
    write().map_err(|error| AppError::system("cannot write the ready file")(error.into()))
}

pub(super) fn print_ready(grpc: &str, aws: &str, state_machine: &str, data_dir: &Path, webhooks: &[HookUrl]) {
    let webhook = |url: &HookUrl| format!("\n  webhook        {}  (is told what happens)", url.redacted());
    let webhooks: String = webhooks.iter().map(webhook).collect();
    let server = if grpc.ends_with(":50051") { String::new() } else { format!(" --server {grpc}") };
    println!(
        r#"
approve-server dev is ready.

  state machine  {state_machine}
  gRPC           {grpc}
  inbox          {grpc}/  (in a browser)
  AWS endpoint   {aws}  (Step Functions and IAM, embedded)
  data folder    {data_dir}{webhooks}

Try next, in another terminal:

  approve-cli{server} start --input '{{"invoice": 4711, "amount": 1200.50}}'
  approve-cli{server} list
  approve-cli{server} decide <id> --approve --comment "ok"
"#,
        data_dir = data_dir.display()
    );
}
