//! A server on a free port, and SDK clients for it.
#![allow(dead_code, reason = "each test file uses its own part")]

use aws_sdk_iam::config::{Credentials, Region, retry::RetryConfig};
use serde_json::Value;
use sfn_local::{Options, Server};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

pub(crate) const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"states.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;

pub(crate) struct Local {
    pub(crate) sfn: aws_sdk_sfn::Client,
    pub(crate) iam: aws_sdk_iam::Client,
    pub(crate) endpoint: String,
    cancel: CancellationToken,
    server: JoinHandle<std::io::Result<()>>,
}

impl Local {
    pub(crate) async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let server = Server::bind(options).await.unwrap();
        let endpoint = server.endpoint();
        let cancel = CancellationToken::new();
        let server = tokio::spawn(server.serve(cancel.clone()));
        let credentials = Credentials::new("test", "test", None, None, "test");
        let sfn = aws_sdk_sfn::Config::builder()
            .behavior_version_latest()
            .region(Region::new("us-east-1"))
            .endpoint_url(&endpoint)
            .credentials_provider(credentials.clone())
            .retry_config(RetryConfig::disabled())
            .build();
        let iam = aws_sdk_iam::Config::builder()
            .behavior_version_latest()
            .region(Region::new("us-east-1"))
            .endpoint_url(&endpoint)
            .credentials_provider(credentials)
            .retry_config(RetryConfig::disabled())
            .build();
        let (sfn, iam) = (aws_sdk_sfn::Client::from_conf(sfn), aws_sdk_iam::Client::from_conf(iam));
        Self { sfn, iam, endpoint, cancel, server }
    }

    pub(crate) async fn stop(self) {
        self.cancel.cancel();
        self.server.await.unwrap().unwrap();
    }

    pub(crate) async fn activity(&self, name: &str) -> String {
        self.sfn.create_activity().name(name).send().await.unwrap().activity_arn
    }

    pub(crate) async fn activity_list(&self) -> Vec<String> {
        let listed = self.sfn.list_activities().send().await.unwrap().activities;
        listed.into_iter().map(|activity| activity.name).collect()
    }

    pub(crate) async fn role(&self, name: &str) -> String {
        let role = self.iam.create_role().role_name(name).assume_role_policy_document(TRUST).send().await.unwrap();
        role.role.unwrap().arn
    }

    pub(crate) async fn machine(&self, name: &str, definition: &str) -> String {
        let role = self.role(&format!("{name}Role")).await;
        let machine = self.sfn.create_state_machine().name(name).definition(definition).role_arn(role);
        machine.send().await.unwrap().state_machine_arn
    }

    /// The code that an operation answers with, `ok` for none; the body as no SDK would send it.
    pub(crate) async fn code(&self, operation: &str, body: &Value) -> String {
        let mut stream = TcpStream::connect(self.endpoint.trim_start_matches("http://")).await.unwrap();
        let (body, target) = (body.to_string(), format!("AWSStepFunctions.{operation}"));
        let length = body.len();
        let request = format!(
            "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-amz-target: {target}\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let answer: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        answer["__type"].as_str().unwrap_or("ok").to_owned()
    }

    /// The code that an operation of IAM answers with, `ok` for none.
    pub(crate) async fn iam_code(&self, operation: &str, parameters: &[(&str, &str)]) -> String {
        let mut stream = TcpStream::connect(self.endpoint.trim_start_matches("http://")).await.unwrap();
        let form = [("Action", operation), ("Version", "2010-05-08")].into_iter().chain(parameters.iter().copied());
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let length = body.len();
        let request = format!(
            "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/x-www-form-urlencoded\r\n\
             content-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let code = answer.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
        assert_eq!(code.is_none(), answer.starts_with("HTTP/1.1 200 "), "{answer}");
        code.map_or("ok", |(code, _)| code).to_owned()
    }

    /// A request to the test-only part of the server.
    pub(crate) async fn admin(&self, method: &str, path: &str, body: &str) -> Value {
        let address = self.endpoint.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).await.unwrap();
        let length = body.len();
        let request = format!(
            "{method} /_sfn-local/{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    /// Returns once that many polls wait at the server.
    pub(crate) async fn wait_for_open_polls(&self, count: u64) {
        while self.admin("GET", "health", "").await["open_polls"] != count {
            tokio::task::yield_now().await;
        }
    }
}

/// The approval step of the reference workflow, then a Pass.
pub(crate) fn approval_definition(activity: &str) -> String {
    serde_json::json!({
        "StartAt": "ApprovalStep",
        "States": {
            "ApprovalStep": {
                "Type": "Task",
                "Resource": activity,
                "Parameters": {
                    "title": "Pay",
                    "state.$": "$$.State.Name",
                    "attempt.$": "$$.State.RetryCount",
                    "input.$": "$",
                },
                "TimeoutSeconds": 300,
                "HeartbeatSeconds": 60,
                "Next": "NextStep",
            },
            "NextStep": {"Type": "Pass", "End": true},
        },
    })
    .to_string()
}
