//! Webhooks: CloudEvents 1.0 as JSON, in structured mode, signed.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    failure::{Failure, Fault},
    link::Links,
    message::{Include, Message},
    notice::{Notice, StageFacts},
    post::Poster,
    sign::Signer,
};
use crate::approval::{Approval, Labels, Principal, Priority};

const CONTENT_TYPE: &str = "application/cloudevents+json; charset=utf-8";
const USER_AGENT: &str = concat!("approve-server/", env!("CARGO_PKG_VERSION"));

/// Statuses by which a receiver says that it will never have a message.
pub(super) const REFUSALS: [u16; 4] = [400, 410, 413, 422];

/// A webhook.
#[derive(Debug)]
pub(super) struct Webhook {
    pub(super) poster: Poster,
    /// Absent: it is not signed.
    pub(super) signer: Option<Signer>,
}

/// <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md>
#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: String,
    source: &'a str,
    r#type: String,
    subject: &'a str,
    time: Timestamp,
    datacontenttype: &'static str,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    approval_id: &'a str,
    revision: i64,
    title: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    requester: Option<&'a Principal>,
    workflow: &'a str,
    #[serde(skip_serializing_if = "Labels::is_empty")]
    labels: &'a Labels,
    priority: Priority,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline: Option<Timestamp>,
    stages: &'a [StageFacts],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    asked: &'a [Principal],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    decided_by: &'a [Principal],
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comments: Option<Vec<Comment<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Comment<'a> {
    by: &'a Principal,
    decision: crate::approval::Decision,
    comment: &'a str,
}

/// The event as JSON text. Of `approval` there is in it what the target includes.
pub(super) fn body(
    notice: &Notice,
    approval: Option<&Approval>,
    include: &[Include],
    source: &str,
    links: Option<&Links>,
) -> serde_json::Result<Vec<u8>> {
    let of = |what: Include| approval.filter(|_| include.contains(&what));
    // It is JSON text; should it not be, it is left out.
    let payload = of(Include::Payload).and_then(|approval| serde_json::from_str(&approval.input).ok());
    let comments = of(Include::Comments).map(|approval| {
        let said = approval.votes.iter().filter(|vote| !vote.comment.is_empty());
        said.map(|vote| Comment { by: &vote.voter, decision: vote.decision, comment: &vote.comment }).collect()
    });
    serde_json::to_vec(&CloudEvent {
        specversion: "1.0",
        id: format!("{}.{}", notice.revision, notice.kind.name()),
        source,
        r#type: format!("approve.v1.approval.{}", notice.kind.name()),
        subject: notice.approval.as_str(),
        time: notice.at,
        datacontenttype: "application/json",
        data: Data {
            approval_id: notice.approval.as_str(),
            revision: notice.revision,
            title: &notice.title,
            requester: notice.requester.as_ref(),
            workflow: &notice.workflow,
            labels: &notice.labels,
            priority: notice.priority,
            status: notice.status.name(),
            deadline: notice.expires,
            stages: &notice.stages,
            asked: &notice.asked,
            decided_by: &notice.decided_by,
            outcome: notice.outcome.as_deref(),
            url: links.map(|links| links.page(&notice.approval)),
            description: of(Include::Description).map(|approval| &*approval.request.description),
            comments,
            payload,
        },
    })
}

impl Webhook {
    pub(super) async fn send(&self, message: &Message, body: Vec<u8>, now: Timestamp) -> Result<(), Failure> {
        let headers = self
            .headers(&message.id, &body, now)
            .map_err(|error| Failure::new(Fault::Lasting, format!("its headers can't be written: {error}")))?;
        self.poster.post(headers, body).await
    }

    fn headers(&self, id: &str, body: &[u8], now: Timestamp) -> Result<HeaderMap, header::InvalidHeaderValue> {
        let at = now.as_second();
        let mut headers = HeaderMap::from_iter([
            (header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE)),
            (header::USER_AGENT, HeaderValue::from_static(USER_AGENT)),
            (HeaderName::from_static("webhook-id"), id.parse()?),
            (HeaderName::from_static("webhook-timestamp"), HeaderValue::from(at)),
        ]);
        if let Some(signer) = &self.signer {
            headers.insert("webhook-signature", signer.sign(id, at, body).parse()?);
        }
        Ok(headers)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::{
        approval::arbitrary::new_approval,
        notify::{notice::notices, test_request},
        store::Change,
    };

    const INPUT: &str = r#"{ "amount": 1200.50, "n": 12345678901234567890.123 }"#;

    fn event(include: &[Include]) -> (Notice, String) {
        let mut request = test_request("Pay \"A & B\"\r\nnow");
        request.description = "secret plan".to_owned();
        let approval = new_approval(request, INPUT);
        let change = Change { revision: 42, before: None, after: Arc::new(approval.clone()) };
        let notice = notices(&change).remove(0);
        let text = body(&notice, Some(&approval), include, "https://approve.example.com", None).unwrap();
        (notice, String::from_utf8(text).unwrap())
    }

    #[test]
    fn an_event_is_a_cloud_event_with_the_facts() {
        let (notice, text) = event(&[]);
        let event: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(event["specversion"], "1.0");
        assert_eq!(event["id"], "42.requested");
        assert_eq!(event["type"], "approve.v1.approval.requested");
        assert_eq!(event["source"], "https://approve.example.com");
        assert_eq!(event["subject"], notice.approval.as_str());
        assert_eq!(event["time"], notice.at.to_string());
        assert_eq!(event["data"]["title"], "Pay \"A & B\"\r\nnow");
        assert_eq!(event["data"]["status"], "PENDING");
        assert_eq!(event["data"]["stages"][0]["approvals"], json!(0));
    }

    #[test]
    fn a_payload_is_told_only_where_it_is_included_and_then_exactly() {
        let (_, text) = event(&[]);
        assert!(!text.contains("1200.50") && !text.contains("secret plan"), "{text}");
        let (_, text) = event(&[Include::Payload]);
        assert!(text.contains(INPUT) && !text.contains("secret plan"), "{text}");
        let (_, text) = event(&[Include::Description]);
        assert!(text.contains("secret plan") && !text.contains("1200.50"), "{text}");
    }
}
