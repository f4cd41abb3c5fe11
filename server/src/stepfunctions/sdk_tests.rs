//! The port over real sockets, against canned answers.

use aws_config::SdkConfig;
use aws_credential_types::{
    credential_fn::provide_credentials_fn,
    provider::{SharedCredentialsProvider, error::CredentialsError},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use super::{Failure, Sdk, StepFunctions as _, local_config};
use crate::approval::TaskToken;

/// One canned HTTP answer for each connection, in order; a `None` hangs up instead. Tells what was asked.
async fn canned(answers: Vec<Option<(u16, &'static str)>>) -> (SdkConfig, mpsc::UnboundedReceiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (asked, requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for answer in answers {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            let request = read_request(&mut stream).await;
            asked.send(request).unwrap();
            let Some((status, body)) = answer else { continue };
            let length = body.len();
            let head = format!("HTTP/1.1 {status} Any\r\ncontent-length: {length}\r\nconnection: close\r\n");
            let whole = format!("{head}content-type: application/x-amz-json-1.0\r\n\r\n{body}");
            stream.write_all(whole.as_bytes()).await.unwrap();
        }
    });
    (local_config(&endpoint, "eu-central-1"), requests)
}

/// The operation and the body of a request.
async fn read_request(stream: &mut BufReader<TcpStream>) -> (String, String) {
    let (mut target, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        let line = line.trim().to_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("x-amz-target: awsstepfunctions.") {
            target = value.to_owned();
        }
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    (target, String::from_utf8(body).unwrap())
}

#[tokio::test]
async fn null_absent_and_empty_tokens_are_empty_polls() {
    let empty = ["{\"taskToken\":null,\"input\":null}", "{}", "{\"taskToken\":\"\",\"input\":\"\"}"];
    let (config, mut requests) = canned(empty.iter().map(|body| Some((200, *body))).collect()).await;
    let sdk = Sdk::new(&config);
    for body in empty {
        let task = sdk.get_activity_task("arn:aws:states:::activity:a", "worker").await.unwrap();
        assert!(task.is_none(), "{body}");
        assert_eq!(requests.recv().await.unwrap().0, "getactivitytask");
    }
}

#[tokio::test]
async fn a_task_keeps_its_inputs_text() {
    let (config, _requests) = canned(vec![Some((200, r#"{"taskToken":"t0","input":"{\"amount\": 1200.50}"}"#))]).await;
    let task = Sdk::new(&config).get_activity_task("arn", "worker").await.unwrap().unwrap();
    assert_eq!((task.token.reveal(), task.input.as_str()), ("t0", r#"{"amount": 1200.50}"#));
}

#[tokio::test]
async fn nothing_is_tried_twice() {
    let busy = Some((503, r#"{"__type":"ServiceUnavailable","message":"later"}"#));
    let (config, mut requests) = canned(vec![busy, busy]).await;
    let sdk = Sdk::new(&config);
    let token = TaskToken::from("t0");
    let failed = sdk.send_task_heartbeat(&token).await.unwrap_err();
    assert_eq!(failed.failure, Failure::Unknown);
    assert!(requests.recv().await.is_some());
    assert!(requests.try_recv().is_err(), "it was tried again");
}

#[tokio::test]
async fn a_lost_answer_is_unknown() {
    let (config, mut requests) = canned(vec![None]).await;
    let failed = Sdk::new(&config).send_task_success(&TaskToken::from("t0"), "{}").await.unwrap_err();
    assert_eq!((failed.failure, failed.operation), (Failure::Unknown, "SendTaskSuccess"));
    assert_eq!(
        requests.recv().await.unwrap(),
        ("sendtasksuccess".to_owned(), r#"{"taskToken":"t0","output":"{}"}"#.to_owned())
    );
}

#[tokio::test]
async fn nobody_there_is_unknown() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let failed = Sdk::new(&local_config(&endpoint, "eu-central-1")).describe_execution("arn").await.unwrap_err();
    assert_eq!((failed.failure, failed.code), (Failure::Unknown, None));
}

#[tokio::test]
async fn an_error_tells_its_code_and_not_the_token() {
    let (config, _requests) = canned(vec![Some((
        400,
        r#"{"__type":"com.amazonaws.swf#InvalidToken","message":"Invalid Token: 'secret-token'"}"#,
    ))])
    .await;
    let failed = Sdk::new(&config).send_task_success(&TaskToken::from("secret-token"), "{}").await.unwrap_err();
    assert_eq!(failed.failure, Failure::Gone);
    assert_eq!(failed.to_string(), "SendTaskSuccess: InvalidToken: Invalid Token: '…'");
}

#[tokio::test]
async fn an_answer_that_is_no_json_is_unknown_and_quotes_nothing() {
    let (config, _requests) = canned(vec![Some((200, "{\"taskToken\": \"secret-token\" <html>"))]).await;
    let failed = Sdk::new(&config).get_activity_task("arn", "worker").await.unwrap_err();
    assert_eq!(failed.failure, Failure::Unknown);
    assert!(!failed.to_string().contains("secret"), "{failed}");
}

#[tokio::test]
async fn without_credentials_it_is_denied() {
    let (config, _requests) = canned(vec![]).await;
    let none = provide_credentials_fn(async || Err(CredentialsError::not_loaded("no profile \"prod\"")));
    let bare = config.into_builder().credentials_provider(SharedCredentialsProvider::new(none)).build();
    let failed = Sdk::new(&bare).describe_execution("arn").await.unwrap_err();
    assert_eq!(failed.failure, Failure::Denied, "{failed}");
}

#[tokio::test]
async fn history_and_execution_are_read() {
    let history = r#"{"events":[
        {"id":1,"previousEventId":0,"timestamp":1700000000.1236,"type":"TaskStateEntered","stateEnteredEventDetails":{"name":"ApprovalStep"}},
        {"id":2,"previousEventId":1,"timestamp":1700000001,"type":"ActivitySucceeded","activitySucceededEventDetails":{"output":"{\"n\": 1.10}"}},
        {"id":3,"previousEventId":2,"timestamp":1700000002,"type":"ActivityFailed","activityFailedEventDetails":{"error":"E","cause":"C"}},
        {"id":4,"previousEventId":3,"timestamp":1700000003,"type":"ActivityTimedOut","activityTimedOutEventDetails":{"error":"States.Timeout"}},
        {"id":5,"previousEventId":4,"timestamp":1700000003,"type":"SomethingYoung"}],"nextToken":"more"}"#;
    let execution = r#"{"executionArn":"arn:x:e:s:n","stateMachineArn":"arn:x:m:s","name":"n","status":"FAILED",
        "startDate":1700000000.5,"stopDate":1700000009,"input":"{}","error":"E","cause":"C"}"#;
    let (config, mut requests) = canned(vec![Some((200, history)), Some((200, execution))]).await;
    let sdk = Sdk::new(&config);
    let (events, next) = sdk.execution_history("arn", true, Some("from-here".to_owned())).await.unwrap();
    let asked = requests.recv().await.unwrap().1;
    assert!(asked.contains(r#""nextToken":"from-here""#) && asked.contains(r#""reverseOrder":true"#), "{asked}");
    assert_eq!(next.as_deref(), Some("more"));
    assert_eq!(events[0].state.as_deref(), Some("ApprovalStep"));
    assert_eq!(events[0].at.as_millisecond(), 1_700_000_000_123);
    assert_eq!(events[1].output.as_deref(), Some("{\"n\": 1.10}"));
    assert_eq!((events[2].error.as_deref(), events[2].cause.as_deref()), (Some("E"), Some("C")));
    assert_eq!(events[3].error.as_deref(), Some("States.Timeout"));
    assert_eq!((events[4].id, events[4].previous_id, events[4].kind.as_str()), (5, 4, "SomethingYoung"));

    let found = sdk.describe_execution("arn").await.unwrap();
    assert_eq!(found.status, super::ExecutionStatus::Failed);
    assert_eq!((found.name.as_str(), found.error.as_deref()), ("n", Some("E")));
    assert_eq!(found.stopped.unwrap().as_second(), 1_700_000_009);
}
