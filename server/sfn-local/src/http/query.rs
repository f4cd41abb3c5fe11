//! The Query protocol: forms in, XML out.

use hyper::StatusCode;

use super::{Answer, answer};
use crate::engine::{ApiError, Tags};

const XML: &str = "text/xml";

/// A request's parameters.
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    pub(super) fn parse(body: &[u8]) -> Self {
        Self(form_urlencoded::parse(body).into_owned().collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn require(&self, name: &str) -> Result<&str, ApiError> {
        self.get(name).filter(|value| !value.is_empty()).ok_or_else(|| {
            let field = name.chars().next().map(|c| c.to_ascii_lowercase()).into_iter().chain(name.chars().skip(1));
            ApiError::new(
                "ValidationError",
                format!(
                    "1 validation error detected: Value null at '{}' failed to satisfy constraint: Member must not be \
                     null",
                    field.collect::<String>()
                ),
            )
        })
    }

    /// `<name>.member.1`, `.2`, …
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        (1..).map_while(|index| self.get(&format!("{name}.member.{index}"))).map(str::to_owned).collect()
    }

    /// `Tags.member.1.Key`, `Tags.member.1.Value`, …
    pub(super) fn tags(&self) -> Result<Tags, ApiError> {
        let tag = |index: usize| {
            let key = self.get(&format!("Tags.member.{index}.Key"))?;
            let value = self.get(&format!("Tags.member.{index}.Value")).unwrap_or_default();
            Some((key.to_owned(), value.to_owned()))
        };
        let mut tags = Tags::new();
        for (key, value) in (1..).map_while(tag) {
            if tags.insert(key, value).is_some() {
                return Err(crate::iam::duplicate_tags());
            }
        }
        Ok(tags)
    }
}

/// An operation's result: the namespace of its service, and the XML inside `<…Result>`, if it has one.
pub(super) struct QueryResult {
    pub(super) namespace: &'static str,
    pub(super) body: Option<String>,
}

/// Wraps a result in its envelope.
pub(super) fn result(operation: &str, result: &QueryResult, request_id: &str) -> Answer {
    let body = result.body.as_ref().map(|body| format!("<{operation}Result>{body}</{operation}Result>"));
    let xml = format!(
        "<{operation}Response xmlns=\"{}\">{}<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{operation}Response>",
        result.namespace,
        body.unwrap_or_default(),
    );
    answer(StatusCode::OK, XML, xml, request_id)
}

pub(super) fn error(status: StatusCode, error: &ApiError, request_id: &str) -> Answer {
    let kind = if status.is_server_error() { "Receiver" } else { "Sender" };
    let code = match error.code {
        "ThrottlingException" => "Throttling",
        code => code,
    };
    let xml = format!(
        "<ErrorResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><Error><Type>{kind}</Type><Code>{code}</Code>\
         <Message>{}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>",
        escape(&error.message),
    );
    answer(status, XML, xml, request_id)
}

/// The HTTP status that IAM gives each of its errors.
pub(super) fn status(error: &ApiError) -> StatusCode {
    match error.code {
        "NoSuchEntity" => StatusCode::NOT_FOUND,
        "EntityAlreadyExists" | "DeleteConflict" | "LimitExceeded" => StatusCode::CONFLICT,
        _ => StatusCode::BAD_REQUEST,
    }
}

/// `<name>text</name>`.
pub(super) fn element(name: &str, text: &str) -> String {
    format!("<{name}>{}</{name}>", escape(text))
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(c),
        }
    }
    escaped
}
