//! Slack, by an incoming webhook: the facts, and a button that leads to the page.

use http::{HeaderMap, HeaderValue, header};
use serde_json::{Value, json};

use super::{failure::Failure, link::Links, notice::Notice, post::Poster, words};

/// An incoming webhook.
#[derive(Debug)]
pub(super) struct Slack {
    pub(super) poster: Poster,
}

/// A text in which Slack sees nothing but text.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The message. Texts from outside are plain text, or escaped: none of them mentions anybody or is a link.
pub(super) fn body(notice: &Notice, links: Option<&Links>) -> Value {
    let (heading, title) = (words::heading(notice), words::title(notice));
    let plain = |text: &str| json!({ "type": "plain_text", "text": text, "emoji": false });
    let field = |(name, value): (&str, String)| json!({ "type": "mrkdwn", "text": format!("*{name}*\n{}", escape(&value)), "verbatim": true });
    let fields: Vec<Value> = words::facts(notice).into_iter().map(field).collect();
    let mut blocks = vec![
        json!({ "type": "header", "text": plain(&heading) }),
        json!({ "type": "section", "text": plain(&title), "fields": fields }),
    ];
    if let Some(links) = links {
        let text = if notice.kind.asks() { "Review" } else { "Open" };
        let button = json!({ "type": "button", "text": plain(text), "url": links.page(&notice.approval) });
        blocks.push(json!({ "type": "actions", "elements": [button] }));
    }
    // What notifications show, and what old clients do.
    let text = escape(&format!("{heading}: {title}"));
    json!({ "text": text, "blocks": blocks, "unfurl_links": false, "unfurl_media": false })
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

    use super::*;
    use crate::notify::test_notice;

    #[test]
    fn a_title_mentions_nobody_and_is_no_link() {
        let mut notice = test_notice("<!channel> *pay* <https://evil.example|here>\n& go");
        notice.requester = Some("user:<!here>".parse().unwrap());
        let links = Links::new("https://approve.example.com", &[], SignedDuration::ZERO);
        let body = body(&notice, Some(&links));
        assert_eq!(body["text"], "Approval needed: &lt;!channel&gt; *pay* &lt;https://evil.example|here&gt; &amp; go");
        let section = &body["blocks"][1];
        assert_eq!(section["text"]["type"], "plain_text");
        let fields = section["fields"].as_array().unwrap();
        assert_eq!(fields[0]["text"], "*Requested by*\n&lt;!here&gt;");
        let button = &body["blocks"][2]["elements"][0];
        assert_eq!(button["url"], format!("https://approve.example.com/approvals/{}", notice.approval));
    }

    #[test]
    fn without_a_page_there_is_no_button() {
        let body = body(&test_notice("Pay"), None);
        assert_eq!(body["blocks"].as_array().unwrap().len(), 2);
    }
}
