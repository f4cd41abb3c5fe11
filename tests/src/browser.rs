//! A browser without scripts: cookies, forms and redirects, one request at a time.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::within;

/// A page, as it came.
#[derive(Debug)]
pub struct Page {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its text.
    pub text: String,
}

impl Page {
    /// A header's text; empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Where it redirects to.
    pub fn location(&self) -> &str {
        assert!(self.status.is_redirection(), "{} {}", self.status, self.text);
        self.header("location")
    }

    /// The value of the first hidden field of a name.
    pub fn hidden(&self, name: &str) -> String {
        let start = format!("name=\"{name}\" value=\"");
        let (_, rest) = self.text.split_once(&start).unwrap_or_else(|| panic!("no field {name}: {}", self.text));
        rest.split('"').next().unwrap().to_owned()
    }
}

/// The browser.
#[derive(Debug, Clone)]
pub struct Browser {
    address: String,
    /// What it thinks it talks to.
    origin: String,
    /// What it keeps.
    pub cookies: BTreeMap<String, String>,
}

impl Browser {
    /// One that talks to the server at a URL.
    pub fn new(url: &str) -> Self {
        Self::at(url, url)
    }

    /// One that talks to the server at a URL, and knows it by another: as behind a proxy.
    pub fn at(url: &str, origin: &str) -> Self {
        let address = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        Self { address, origin: origin.trim_end_matches('/').to_owned(), cookies: BTreeMap::new() }
    }

    /// One that somebody signed in with, by picking their name.
    pub async fn picked(url: &str, name: &str, groups: &str) -> Self {
        let mut browser = Self::new(url);
        let page = browser.post("/sign-in", &[("name", name), ("groups", groups), ("next", "/")]).await;
        assert_eq!(page.location(), "/", "{}", page.text);
        browser
    }

    /// Gets a page.
    pub async fn get(&mut self, path: &str) -> Page {
        self.send("GET", path, &[], None).await
    }

    /// Sends a form as its own page would.
    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        let origin = self.origin.clone();
        self.send("POST", path, &[("origin", &origin), ("sec-fetch-site", "same-origin")], Some(fields)).await
    }

    /// Sends anything.
    pub async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        form: Option<&[(&str, &str)]>,
    ) -> Page {
        let body = form.map(encode).unwrap_or_default();
        let host = self.origin.split_once("://").unwrap().1;
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        let mut add = |name: &str, value: &str| head.push_str(&format!("{name}: {value}\r\n"));
        if !headers.iter().any(|(name, _)| *name == "host") {
            add("host", host);
        }
        if form.is_some() {
            add("content-type", "application/x-www-form-urlencoded");
        }
        if !cookies.is_empty() {
            add("cookie", &cookies.join("; "));
        }
        for (name, value) in headers {
            add(name, value);
        }
        let answered = async {
            let mut stream = TcpStream::connect(&self.address).await.unwrap();
            stream.write_all(format!("{head}\r\n{body}").as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            String::from_utf8(answer).unwrap()
        };
        let answer = within("an answer to the browser", answered).await;
        let page = read(&answer);
        for cookie in page.headers.get_all("set-cookie") {
            let (pair, rest) = cookie.to_str().unwrap().split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            if rest.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        page
    }
}

/// A form or a query as it is sent.
pub fn encode(fields: &[(&str, &str)]) -> String {
    let escape = |text: &str| -> String {
        let one = |byte: u8| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        };
        text.bytes().map(one).collect()
    };
    fields.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect::<Vec<_>>().join("&")
}

fn read(answer: &str) -> Page {
    let (head, text) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(':').unwrap();
        (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value.trim()).unwrap())
    });
    let mut known = HeaderMap::new();
    headers.for_each(|(name, value)| {
        known.append(name, value);
    });
    Page { status, headers: known, text: text.to_owned() }
}
