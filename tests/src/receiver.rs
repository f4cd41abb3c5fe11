//! Receivers of messages on loopback: a webhook and a mail server.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::wait::wait_for;

/// What came, in order.
#[derive(Debug)]
struct Got<T>(Mutex<Vec<T>>);

impl<T: Clone> Got<T> {
    fn add(&self, one: T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(one);
    }

    fn all(&self) -> Vec<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A request to a webhook.
#[derive(Debug, Clone)]
pub struct Hooked {
    /// When it came.
    pub at: Instant,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, as it came.
    pub body: String,
    /// Its body.
    pub event: Value,
}

impl Hooked {
    /// The message's id.
    pub fn id(&self) -> &str {
        self.headers["webhook-id"].to_str().unwrap()
    }

    /// The approval that it is about.
    pub fn about(&self) -> &str {
        self.event["subject"].as_str().unwrap()
    }

    /// What happened: "requested".
    pub fn kind(&self) -> &str {
        self.event["type"].as_str().unwrap().rsplit('.').next().unwrap()
    }
}

/// What a webhook answers.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// For how many seconds it is to be left alone.
    pub retry_after: Option<u32>,
    /// The text.
    pub text: &'static str,
}

impl Answer {
    fn response(self) -> Response {
        let mut response = self.text.into_response();
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

struct Answers {
    got: Got<Hooked>,
    /// What the next ones get.
    next: Mutex<VecDeque<Answer>>,
    stalls: tokio::sync::watch::Sender<Option<&'static str>>,
}

/// A webhook, which ends when it is dropped.
pub struct Hook {
    url: String,
    answers: Arc<Answers>,
    serving: JoinHandle<()>,
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn hooked(State(answers): State<Arc<Answers>>, headers: HeaderMap, body: String) -> Response {
    let event = serde_json::from_str(&body).unwrap();
    let hooked = Hooked { at: Instant::now(), headers, body, event };
    // Before it is seen to have come: what is to be answered from then on is for the next one.
    let next = answers.next.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    answers.got.add(hooked.clone());
    if let Some(answer) = next {
        return answer.response();
    }
    let mut stalls = answers.stalls.subscribe();
    stalls.wait_for(|stalls| stalls.is_none_or(|kind| kind != hooked.kind())).await.unwrap();
    StatusCode::NO_CONTENT.into_response()
}

impl Hook {
    /// Starts it: it takes everything.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let stalls = tokio::sync::watch::Sender::new(None);
        let answers = Arc::new(Answers { got: Got(Mutex::default()), next: Mutex::default(), stalls });
        let routes = Router::new().fallback(hooked).with_state(Arc::clone(&answers));
        let serving = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { url, answers, serving }
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Takes what tells of this and answers nothing; or answers everything again.
    pub fn stall(&self, kind: Option<&'static str>) {
        self.answers.stalls.send_replace(kind);
    }

    /// Answers the next ones so, and those after them as ever.
    pub fn answer_next(&self, answers: impl IntoIterator<Item = Answer>) {
        self.answers.next.lock().unwrap_or_else(PoisonError::into_inner).extend(answers);
    }

    /// All that came.
    pub fn got(&self) -> Vec<Hooked> {
        self.answers.got.all()
    }

    /// Waits until it was told that this happened to an approval.
    pub async fn wait_for_one(&self, kind: &str, about: &str) {
        let is_it = |hooked: &Hooked| (hooked.kind(), hooked.about()) == (kind, about);
        wait_for(&format!("{kind} of {about}"), async || self.got().iter().any(is_it).then_some(())).await;
    }

    /// Waits until so many came; all of them.
    pub async fn wait_for(&self, count: usize) -> Vec<Hooked> {
        let got = async || Some(self.got()).filter(|got| got.len() >= count);
        wait_for(&format!("{count} messages"), got).await
    }
}

/// A mail.
#[derive(Debug, Clone)]
pub struct Mail {
    /// Whom it goes to, as the mail server was told.
    pub to: Vec<String>,
    /// Its headers and its body, decoded as far as tests look at them.
    pub text: String,
}

impl Mail {
    /// The first text that begins so, up to white space or a quote.
    pub fn find(&self, start: &str) -> &str {
        let at = self.text.find(start).unwrap_or_else(|| panic!("no {start}: {}", self.text));
        self.text[at..].split(|c: char| c.is_whitespace() || c == '"').next().unwrap()
    }
}

/// A mail server without TLS, which ends when it is dropped.
pub struct MailServer {
    port: u16,
    got: Arc<Got<Mail>>,
    serving: JoinHandle<()>,
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl MailServer {
    /// Starts it.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let got = Arc::new(Got(Mutex::default()));
        let mails = Arc::clone(&got);
        let serving = tokio::spawn(async move {
            let mut talks = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                talks.spawn(talk(stream, Arc::clone(&mails)));
            }
        });
        Self { port, got, serving }
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits until so many came; all of them.
    pub async fn wait_for(&self, count: usize) -> Vec<Mail> {
        let got = async || Some(self.got.all()).filter(|got| got.len() >= count);
        wait_for(&format!("{count} mails"), got).await
    }
}

async fn talk(stream: TcpStream, got: Arc<Got<Mail>>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 test\r\n").await?;
    let mut to = Vec::new();
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let command = line.trim_end().to_owned();
        let answer = match command.get(..4).unwrap_or_default().to_ascii_uppercase().as_str() {
            "RCPT" => {
                to.extend(command.split(['<', '>']).nth(1).map(str::to_owned));
                "250 ok\r\n"
            }
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await?;
                let text = data(&mut stream).await?;
                got.add(Mail { to: std::mem::take(&mut to), text });
                "250 kept\r\n"
            }
            "QUIT" => "221 bye\r\n",
            _ => "250 test\r\n",
        };
        stream.write_all(answer.as_bytes()).await?;
    }
}

/// A mail's text, with the ends of its lines that quoted-printable adds taken away again.
async fn data(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut text = String::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        if line == ".\r\n" || line.is_empty() {
            return Ok(text.replace("=\r\n", "").replace("=3D", "="));
        }
        text.push_str(&line);
    }
}
