//! Slack, by an incoming webhook: the facts, and a button that leads to the page.

use http::{HeaderMap, HeaderValue, header};
use serde_json::{Value, json};

use super::{failure::Failure, link::Links, notice::Notice, post::Poster, words};

/// Statuses by which Slack says that it will never have a message: it can't be shown (400, 413), the workspace forbids it
/// (403), the webhook or its channel is gone (404, 410).
/// <https://api.slack.com/changelog/2016-05-17-changes-to-errors-for-incoming-webhooks>
pub(super) const REFUSALS: [u16; 6] = [400, 403, 404, 410, 413, 422];

/// The longest header that Slack takes, in characters.
const HEADER: usize = 150;
/// The longest field.
const FIELD: usize = 2_000;
/// The most fields of a section.
const FIELDS: usize = 10;

/// An incoming webhook.
#[derive(Debug)]
pub(super) struct Slack {
    pub(super) poster: Poster,
}

/// A text in which Slack sees nothing but text.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The message. Texts from outside are plain text, or escaped: none of them mentions anybody, is a link, or is set in
/// bold.
pub(super) fn body(notice: &Notice, links: Option<&Links>) -> Value {
    let (heading, title) = (words::heading(notice), words::title(notice));
    // What is cut off is told by one more character.
    let plain = |text: &str, longest: usize| {
        let text = words::shortened(text, longest - 1);
        json!({ "type": "plain_text", "text": text, "emoji": false })
    };
    // Two columns: a name, what it is.
    let field = |(name, value): (&str, String)| {
        let value = if value.is_empty() { "–" } else { &value };
        [json!({ "type": "mrkdwn", "text": format!("*{name}*"), "verbatim": true }), plain(value, FIELD)]
    };
    let fields: Vec<Value> = words::facts(notice).into_iter().flat_map(field).collect();
    let mut blocks = vec![
        json!({ "type": "header", "text": plain(&heading, HEADER) }),
        json!({ "type": "section", "text": plain(&title, FIELD) }),
    ];
    blocks.extend(fields.chunks(FIELDS).map(|fields| json!({ "type": "section", "fields": fields })));
    if let Some(links) = links {
        let text = if notice.kind.asks() { "Review" } else { "Open" };
        let button = json!({ "type": "button", "text": plain(text, HEADER), "url": links.page(&notice.approval) });
        blocks.push(json!({ "type": "actions", "elements": [button] }));
    }
    // What notifications show, and what old clients do.
    let text = escape(&format!("{heading}: {title}"));
    json!({ "text": text, "mrkdwn": false, "blocks": blocks, "unfurl_links": false, "unfurl_media": false })
}

impl Slack {
    pub(super) async fn send(&self, body: &Value) -> Result<(), Failure> {
        let json = HeaderValue::from_static("application/json; charset=utf-8");
        self.poster.post(HeaderMap::from_iter([(header::CONTENT_TYPE, json)]), body.to_string().into_bytes()).await
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use proptest::prelude::*;

    use super::*;
    use crate::notify::{Kind, StageFacts, test_notice};

    #[test]
    fn a_title_mentions_nobody_is_no_link_and_is_not_bold() {
        let mut notice = test_notice("<!channel> *pay* <https://evil.example|here>\n& go");
        notice.requester = Some("user:<!here>*x*".parse().unwrap());
        let links = Links::new("https://approve.example.com", &[], SignedDuration::ZERO);
        let body = body(&notice, Some(&links));
        assert_eq!(body["text"], "Approval needed: &lt;!channel&gt; *pay* &lt;https://evil.example|here&gt; &amp; go");
        assert_eq!(body["mrkdwn"], false);
        let section = &body["blocks"][1];
        assert_eq!(section["text"]["type"], "plain_text");
        assert_eq!(section["text"]["text"], "<!channel> *pay* <https://evil.example|here> & go");
        let fields = &body["blocks"][2]["fields"];
        assert_eq!(fields[0]["text"], "*Requested by*");
        assert_eq!(fields[1], json!({ "type": "plain_text", "text": "<!here>*x*", "emoji": false }));
        let button = &body["blocks"][3]["elements"][0];
        assert_eq!(button["url"], format!("https://approve.example.com/approvals/{}", notice.approval));
    }

    #[test]
    fn without_a_page_there_is_no_button() {
        let body = body(&test_notice("Pay"), None);
        assert_eq!(body["blocks"].as_array().unwrap().len(), 3);
    }

    /// Each text of a message that Slack would read as more than text.
    fn read_by_slack(value: &Value, into: &mut Vec<String>) {
        match value {
            Value::Object(object) if object.get("type") == Some(&"mrkdwn".into()) => {
                into.push(object["text"].as_str().unwrap().to_owned());
            }
            Value::Object(object) => object.values().for_each(|value| read_by_slack(value, into)),
            Value::Array(array) => array.iter().for_each(|value| read_by_slack(value, into)),
            _ => {}
        }
    }

    proptest! {
        #[test]
        fn slack_takes_whatever_was_written(
            title in any::<String>(),
            outcome in prop::option::of(".{0,400}"),
            names in prop::collection::vec("user:[<>&*_!a-z]{1,200}", 0..40),
            stages in prop::collection::vec(".{0,250}", 0..30),
            kind in 0..Kind::ALL.len(),
        ) {
            let mut notice = test_notice(&title);
            notice.kind = Kind::ALL[kind];
            notice.outcome = outcome;
            notice.priority = crate::approval::Priority::Urgent;
            notice.expires = Some(notice.at);
            notice.asked = names.iter().filter_map(|name| name.parse().ok()).collect();
            notice.decided_by = names.iter().filter_map(|name| name.parse().ok()).collect();
            let stage = |name| StageFacts { name, required: 1, approvals: 0, open: true };
            notice.stages = stages.into_iter().map(stage).collect();
            let body = body(&notice, None);
            let fits = |text: &Value, most: usize| {
                let length = text["text"].as_str().unwrap().chars().count();
                (1..=most).contains(&length)
            };
            prop_assert!(fits(&body["blocks"][0]["text"], HEADER), "{body}");
            prop_assert!(fits(&body["blocks"][1]["text"], 3_000), "{body}");
            let sections = body["blocks"].as_array().unwrap().iter().filter_map(|block| block["fields"].as_array());
            for fields in sections {
                let fit = fields.iter().all(|field| fits(field, FIELD));
                prop_assert!(fit && (1..=FIELDS).contains(&fields.len()), "{body}");
            }
            let mut read = Vec::new();
            read_by_slack(&body, &mut read);
            prop_assert!(read.iter().all(|text| !text.contains(['<', '>', '&', '\n'])), "{body}");
            prop_assert!(!body["text"].as_str().unwrap().contains(['<', '>']), "{body}");
        }
    }
}
