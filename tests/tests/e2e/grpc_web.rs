//! gRPC-Web on the API's port: over HTTP/1.1, by origin, and nowhere where it is off.

use std::time::Duration;

use approve_client::proto::{ListApprovalsRequest, StreamPendingApprovalsRequest};
use approve_tests::{LocalAws, Server, within};
use prost::Message;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const WEB: &str = "application/grpc-web+proto";

/// An answer, or as much of it as was waited for.
struct Answer {
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn status(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    /// What stands in the body's last frame.
    fn trailers(&self) -> String {
        let start = self.body.windows(2).rposition(|pair| pair == [0x80, 0]).expect("no trailers");
        String::from_utf8_lossy(&self.body[start + 5..]).into_owned()
    }
}

/// Sends a call over HTTP/1.1, and reads until the body holds what is waited for, or it ends.
async fn call(server: &Server, method: &str, headers: &[(&str, &str)], message: &impl Message, until: &[u8]) -> Answer {
    send(server, method, headers, message, 0, until).await
}

/// The same, where the call's body goes on for more than is ever sent.
async fn send(
    server: &Server,
    method: &str,
    headers: &[(&str, &str)],
    message: &impl Message,
    missing: usize,
    until: &[u8],
) -> Answer {
    let host = server.url().trim_start_matches("http://");
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.encoded_len()).unwrap().to_be_bytes());
    frame.extend(message.encode_to_vec());
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!(
        "{method} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
        frame.len() + missing
    );
    let mut stream = TcpStream::connect(host).await.unwrap();
    stream.write_all(&[head.as_bytes(), &frame].concat()).await.unwrap();
    let mut answer = Vec::new();
    let found = |answer: &[u8]| !until.is_empty() && answer.windows(until.len()).any(|part| part == until);
    within("an answer", async {
        // A connection that is refused may be reset.
        while !found(&answer) && stream.read_buf(&mut answer).await.unwrap_or(0) > 0 {}
    })
    .await;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
    Answer { head: String::from_utf8_lossy(&answer[..end]).into_owned(), body: answer[end..].to_vec() }
}

const LIST: &str = "POST /approve.v1.ApprovalService/ListApprovals";
const ANA: (&str, &str) = ("approve-actor", "user:ana");

#[tokio::test]
async fn a_page_that_may_calls_over_http_1_and_gets_status_and_details() {
    let server = Server::dev().await;
    let page = [("Content-Type", WEB), ("Origin", "http://localhost:5173"), ANA];
    let empty = ListApprovalsRequest::default();
    let listed = call(&server, LIST, &page, &empty, b"grpc-status:0").await;
    assert_eq!((listed.status(), listed.header("content-type")), ("200", Some(WEB)));
    assert_eq!(listed.header("access-control-allow-origin"), Some("http://localhost:5173"));
    assert!(listed.trailers().contains("grpc-status:0"), "{}", listed.trailers());

    let wrong = ListApprovalsRequest { page_token: "x".to_owned(), ..ListApprovalsRequest::default() };
    let refused = call(&server, LIST, &page, &wrong, b"").await;
    assert_eq!(refused.header("grpc-status"), Some("3"), "{}", refused.head);
    assert!(refused.header("grpc-status-details-bin").is_some_and(|details| details.len() > 20));
    assert!(refused.header("access-control-expose-headers").unwrap().contains("grpc-status-details-bin"));

    // The service waits for the rest of the message, so only the deadline can end this one.
    let late = [("Content-Type", WEB), ("grpc-timeout", "1m"), ANA];
    let late = send(&server, LIST, &late, &empty, 1, b"grpc-status").await;
    assert_eq!(late.header("grpc-status"), Some("4"), "{}", late.head);
}

#[tokio::test]
async fn pages_of_other_origins_and_calls_without_a_preflight_are_refused() {
    let server = Server::dev().await;
    let empty = ListApprovalsRequest::default();
    for (headers, status) in [
        (&[("Content-Type", WEB), ("Origin", "http://evil.example"), ANA][..], "403"),
        (&[("Content-Type", WEB), ("Origin", "null"), ANA], "403"),
        (&[("Content-Type", "text/plain"), ("Origin", "http://localhost:1"), ANA], "415"),
        (&[("Content-Type", "application/grpc"), ANA], "415"),
        (&[ANA], "415"),
    ] {
        let refused = call(&server, LIST, headers, &empty, b"").await;
        assert_eq!(refused.status(), status, "{headers:?}: {}", refused.head);
        assert_eq!(refused.header("access-control-allow-origin"), None);
        assert_eq!(refused.header("grpc-status"), None);
    }
    let preflight = [("Access-Control-Request-Method", "POST"), ("Access-Control-Request-Headers", "approve-actor")];
    for (origin, status) in [("http://127.0.0.1:8080", "200"), ("https://inbox.example.com", "403")] {
        let headers = [&preflight[..], &[("Origin", origin)]].concat();
        let answer = call(&server, &LIST.replace("POST", "OPTIONS"), &headers, &empty, b"").await;
        assert_eq!(answer.status(), status, "{}", answer.head);
        let allowed = answer.header("access-control-allow-headers");
        assert_eq!(allowed.is_some_and(|headers| headers.contains("approve-actor")), status == "200");
    }
}

#[tokio::test]
async fn a_stream_goes_to_a_page_as_it_happens() {
    let server = Server::dev().await;
    let stream = StreamPendingApprovalsRequest::default();
    let headers = [("Content-Type", WEB), ANA];
    let path = "POST /approve.v1.ApprovalService/StreamPendingApprovals";
    // A message whose field 3 is a bookmark, whose field 1, synced, is true. The stream goes on.
    let opened = call(&server, path, &headers, &stream, &[0x08, 0x01]).await;
    assert_eq!((opened.status(), opened.header("content-type")), ("200", Some(WEB)));
    assert!(!opened.body.windows(11).any(|part| part == b"grpc-status"));
}

#[tokio::test]
async fn where_it_is_off_there_is_no_http_1() {
    let aws = LocalAws::start().await;
    let mut server = Server::serve(aws.url()).await;
    let empty = ListApprovalsRequest::default();
    let refused = call(&server, LIST, &[("Content-Type", WEB), ANA], &empty, b"").await;
    assert!(!refused.head.starts_with("HTTP/1.1 200"), "{}", refused.head);
    server.stop(Duration::from_secs(60)).await;
}
