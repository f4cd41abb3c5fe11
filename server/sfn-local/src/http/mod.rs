//! The wire: which protocol a request speaks, which operation it is for, and the answer in the same protocol.

mod admin;
mod configuration;
mod describe;
mod iam;
mod paging;
mod query;
mod sfn;

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::Incoming,
    header::{AUTHORIZATION, CONTENT_TYPE, DATE},
};

use crate::{
    engine::ApiError,
    faults::{FaultKind, FaultRule},
    journal::Entry,
    shared::Shared,
};

/// More than any request that the service's own limits allow, so that those are what refuses.
const MAX_BODY: usize = 8 * 1024 * 1024;
const SFN_TARGET: &str = "AWSStepFunctions.";

pub(crate) type Answer = Response<Full<Bytes>>;

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Dropped {
    #[error("a fault rule closed the connection")]
    Fault,
    #[error("the request could not be read")]
    Unreadable,
}

/// Answers one request, with the date that the clock shows.
pub(crate) async fn handle(shared: &Shared, request: Request<Incoming>) -> Result<Answer, Dropped> {
    let mut answer = answer_to(shared, request).await?;
    let now = shared.now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    if let Ok(date) = now.parse() {
        answer.headers_mut().insert(DATE, date);
    }
    Ok(answer)
}

async fn answer_to(shared: &Shared, request: Request<Incoming>) -> Result<Answer, Dropped> {
    let (head, body) = request.into_parts();
    let request_id = uuid::Uuid::new_v4().to_string();
    let body = match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            let error = ApiError::new("RequestEntityTooLarge", format!("The body is longer than {MAX_BODY} bytes"));
            return Ok(json_error(StatusCode::PAYLOAD_TOO_LARGE, &error, &request_id));
        }
        Err(_) => return Err(Dropped::Unreadable),
    };
    if head.uri.path().starts_with("/_sfn-local/") {
        return Ok(admin::handle(shared, &head.method, head.uri.path(), &body));
    }
    if head.method != Method::POST {
        return Ok(plain(StatusCode::OK, "sfn-local: Step Functions, IAM and STS for development\n"));
    }
    let region = region(&head.headers).unwrap_or(&shared.region);
    if let Some(target) = head.headers.get("x-amz-target") {
        let operation = target.to_str().ok().and_then(|target| target.strip_prefix(SFN_TARGET)).unwrap_or_default();
        let fault = strike(shared, operation).await?;
        let answer = match fault_error(fault.as_ref()) {
            Some((status, error)) => json_error(status, &error, &request_id),
            None if !shared.admits(operation, region) => json_error(StatusCode::BAD_REQUEST, &throttled(), &request_id),
            None => match sfn::call(shared, region, operation, &body).await {
                Ok(value) => answer(StatusCode::OK, JSON, value.to_string(), &request_id),
                Err(error) => json_error(StatusCode::BAD_REQUEST, &error, &request_id),
            },
        };
        return keep_or_drop(fault.as_ref(), answer);
    }
    let form = query::Form::parse(&body);
    let Some(operation) = form.get("Action").map(str::to_owned) else {
        let error = ApiError::new("MissingAction", "The request has neither an X-Amz-Target header nor an Action.");
        return Ok(query::error(StatusCode::BAD_REQUEST, &error, &request_id));
    };
    let fault = strike(shared, &operation).await?;
    let answer = match fault_error(fault.as_ref()) {
        Some((status, error)) => query::error(status, &error, &request_id),
        None => match iam::call(shared, &form, &operation, &body) {
            Ok(result) => query::result(&operation, &result, &request_id),
            Err(error) => query::error(query::status(&error), &error, &request_id),
        },
    };
    keep_or_drop(fault.as_ref(), answer)
}

/// Applies a call of the journal, at its time.
pub(crate) fn replay(shared: &Shared, at: jiff::Timestamp, entry: &Entry) {
    shared.at(at, || match entry {
        Entry::Sfn(region, operation, body) => sfn::replay(shared, region, operation, body.as_bytes()),
        Entry::Iam(operation, form) => iam::replay(shared, operation, form.as_bytes()),
        Entry::Poll(..) | Entry::Cancel(_) | Entry::EndPolls => shared.replay_poll(entry),
    });
}

/// The fault, if any, that this call meets. A delay has passed and a reset has struck when it returns.
async fn strike(shared: &Shared, operation: &str) -> Result<Option<FaultRule>, Dropped> {
    let fault = shared.faults.strike(operation);
    match &fault {
        Some(FaultRule { kind: FaultKind::Delay, millis, .. }) => {
            tokio::time::sleep(Duration::from_millis(*millis)).await;
        }
        Some(FaultRule { kind: FaultKind::Reset, .. }) => return Err(Dropped::Fault),
        _ => {}
    }
    Ok(fault)
}

/// The error that a fault answers with, instead of applying the call.
fn fault_error(fault: Option<&FaultRule>) -> Option<(StatusCode, ApiError)> {
    let rule = fault?;
    match rule.kind {
        FaultKind::Throttle => Some((StatusCode::BAD_REQUEST, throttled())),
        FaultKind::Deny => {
            let error = ApiError::new("AccessDeniedException", "A fault rule does not authorize this call.");
            Some((StatusCode::BAD_REQUEST, error))
        }
        FaultKind::Error => {
            let code = if rule.status == 503 { "ServiceUnavailable" } else { "InternalFailure" };
            let status = StatusCode::from_u16(rule.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            Some((status, ApiError::new(code, "A fault rule failed this call.")))
        }
        FaultKind::Delay | FaultKind::Reset | FaultKind::DropAnswer => None,
    }
}

fn throttled() -> ApiError {
    ApiError::new("ThrottlingException", "Rate exceeded")
}

fn keep_or_drop(fault: Option<&FaultRule>, answer: Answer) -> Result<Answer, Dropped> {
    if fault.is_some_and(|rule| rule.kind == FaultKind::DropAnswer) { Err(Dropped::Fault) } else { Ok(answer) }
}

/// The region in a SigV4 credential scope: `Credential=<key>/<date>/<region>/<service>/aws4_request`.
fn region(headers: &HeaderMap) -> Option<&str> {
    let authorization = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let scope = authorization.split_once("Credential=")?.1;
    let region = scope.split('/').nth(2)?;
    let plausible = !region.is_empty() && region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    plausible.then_some(region)
}

const JSON: &str = "application/x-amz-json-1.0";

fn json_error(status: StatusCode, error: &ApiError, request_id: &str) -> Answer {
    let body = serde_json::json!({"__type": error.code, "message": error.message});
    answer(status, JSON, body.to_string(), request_id)
}

fn plain(status: StatusCode, body: &'static str) -> Answer {
    answer(status, "text/plain; charset=utf-8", body.to_owned(), "")
}

fn answer(status: StatusCode, content_type: &'static str, body: String, request_id: &str) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(content_type));
    if let Ok(id) = request_id.parse() {
        response.headers_mut().insert("x-amzn-requestid", id);
    }
    response
}
