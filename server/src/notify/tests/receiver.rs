//! An HTTP receiver that does what it is told.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde_json::Value;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Status(u16),
    Redirect(String),
    /// That it is to be left alone for so many seconds.
    Busy(u32),
    /// That it takes it, once [`Receiver::let_go`] was called.
    Late,
    /// Nothing, ever.
    Stall,
}

/// A request that came.
#[derive(Debug, Clone)]
pub(super) struct Request {
    headers: HeaderMap,
    pub(super) body: String,
    pub(super) event: Value,
    answer: Answer,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

struct Said {
    answer: Answer,
    about: Vec<(String, Answer)>,
    got: Vec<Request>,
}

/// It ends when it is dropped.
pub(super) struct Receiver {
    port: u16,
    said: Arc<Shared>,
    serving: JoinHandle<()>,
}

struct Shared {
    said: Mutex<Said>,
    count: watch::Sender<usize>,
    let_go: watch::Sender<bool>,
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn receive(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: String) -> Response {
    // Whatever it is: who follows a redirect may bring nothing.
    let event: Value = serde_json::from_str(&body).unwrap_or_default();
    let answer = {
        let mut said = shared.lock();
        let about = said.about.iter().find(|(subject, _)| event["subject"] == subject.as_str());
        let answer = about.map_or_else(|| said.answer.clone(), |(_, answer)| answer.clone());
        said.got.push(Request { headers, body, event, answer: answer.clone() });
        answer
    };
    shared.count.send_modify(|count| *count += 1);
    match answer {
        Answer::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Answer::Redirect(to) => (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to)]).into_response(),
        Answer::Busy(seconds) => {
            (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, seconds.to_string())]).into_response()
        }
        Answer::Late => {
            shared.let_go.subscribe().wait_for(|let_go| *let_go).await.unwrap();
            StatusCode::NO_CONTENT.into_response()
        }
        Answer::Stall => std::future::pending().await,
    }
}

impl Receiver {
    /// Takes everything.
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let said = Said { answer: Answer::Status(204), about: Vec::new(), got: Vec::new() };
        let (count, let_go) = (watch::Sender::new(0), watch::Sender::new(false));
        let said = Arc::new(Shared { said: Mutex::new(said), count, let_go });
        let routes = Router::new().fallback(receive).with_state(Arc::clone(&said));
        let serving = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { port, said, serving }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Answers so from now on.
    pub(super) fn answer(&self, answer: Answer) {
        self.said.lock().answer = answer;
    }

    /// Answers what is late.
    pub(super) fn let_go(&self) {
        self.said.let_go.send_replace(true);
    }

    /// Answers so to what is about an approval.
    pub(super) fn answer_about(&self, subject: &str, answer: Answer) {
        self.said.lock().about.push((subject.to_owned(), answer));
    }

    /// All that came.
    pub(super) fn got(&self) -> Vec<Request> {
        self.said.lock().got.clone()
    }

    /// All that was answered with 200 to 299, or is to be.
    pub(super) fn accepted(&self) -> Vec<Request> {
        let is_accepted = |request: &Request| matches!(request.answer, Answer::Status(200..=299) | Answer::Late);
        self.got().into_iter().filter(is_accepted).collect()
    }

    /// Waits until so many came.
    pub(super) async fn wait_for(&self, count: usize) {
        let mut counted = self.said.count.subscribe();
        let came = counted.wait_for(|known| *known >= count);
        let came = tokio::time::timeout(std::time::Duration::from_secs(20), came).await;
        assert!(came.is_ok(), "waited for {count} messages, {} came", self.got().len());
    }
}
