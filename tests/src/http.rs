//! As much HTTP as metrics and the controls of fault injectors need.

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// One request with a JSON body, and the JSON that it is answered with.
///
/// # Errors
/// If nobody answers there, or not with success.
pub async fn json(method: &str, base: &str, path: &str, body: &Value) -> std::io::Result<Value> {
    let text = text(method, base, path, body).await?;
    if text.is_empty() { Ok(Value::Null) } else { serde_json::from_str(&text).map_err(std::io::Error::other) }
}

/// One request with a JSON body, and the text that it is answered with.
///
/// # Errors
/// If nobody answers there, or not with success.
pub async fn text(method: &str, base: &str, path: &str, body: &Value) -> std::io::Result<String> {
    let host = base.trim_start_matches("http://");
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(host).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let refused = || std::io::Error::other(format!("{method} {path}: {answer}"));
    let (head, text) = answer.split_once("\r\n\r\n").ok_or_else(refused)?;
    if !head.split(' ').nth(1).is_some_and(|status| status.starts_with('2')) {
        return Err(refused());
    }
    Ok(text.to_owned())
}
