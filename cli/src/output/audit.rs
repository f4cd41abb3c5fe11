//! Events of the record. A record's text is JSON that the server wrote: what is in it others wrote.

use std::collections::BTreeMap;

use approve_client::proto::AuditEvent;
use comfy_table::Cell;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{json::Raw, json_text, style::Style, table::Columns, text, time::Now};

/// What is read of a record for people. What is missing is empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Record {
    at: String,
    approval: String,
    workflow: String,
    by: String,
    on_behalf_of: String,
    #[serde(rename = "type")]
    event_type: String,
    detail: Option<Box<RawValue>>,
}

impl Record {
    /// "user:ana", "user:ana, through service:bot".
    fn who(&self) -> String {
        if self.on_behalf_of.is_empty() {
            text::line(&self.by)
        } else {
            format!("{}, through {}", text::line(&self.on_behalf_of), text::line(&self.by))
        }
    }
}

pub(crate) fn log(events: &[AuditEvent], now: &Now, style: Style) -> String {
    let mut columns = Columns::new(style, &["REVISION", "TIME", "WHO", "WHAT", "APPROVAL", "WORKFLOW", "DETAIL"]);
    for event in events {
        let record: Record = serde_json::from_str(&event.record_json).unwrap_or_default();
        let time = record.at.parse().map_or_else(|_| text::line(&record.at), |at| now.absolute(at));
        let detail = record.detail.as_ref().map(|detail| json_text::compact(detail.get())).unwrap_or_default();
        columns.row(vec![
            Cell::new(event.revision),
            Cell::new(time),
            Cell::new(record.who()),
            Cell::new(text::line(&record.event_type)),
            Cell::new(text::line(&record.approval)),
            Cell::new(text::line(&record.workflow)),
            Cell::new(detail),
        ]);
    }
    columns.keep(&[0, 1, 3, 4]);
    columns.render()
}

#[derive(Serialize)]
pub(crate) struct EventJson<'a> {
    revision: i64,
    record: Raw<'a>,
    hash: &'a str,
    payloads: BTreeMap<&'a str, Raw<'a>>,
}

impl<'a> From<&'a AuditEvent> for EventJson<'a> {
    fn from(event: &'a AuditEvent) -> Self {
        Self {
            revision: event.revision,
            record: Raw(&event.record_json),
            hash: &event.hash,
            payloads: event.payloads.iter().map(|(digest, text)| (digest.as_str(), Raw(text))).collect(),
        }
    }
}
