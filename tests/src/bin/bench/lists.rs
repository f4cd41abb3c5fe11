//! The first page of a list, next to what SQLite needs to find and read as many rows.

use std::{path::Path, time::Instant};

use approve_client::proto::{ApprovalFilter, ListApprovalsRequest, approval_service_client::ApprovalServiceClient};
use approve_proto::{ACTOR_METADATA, GROUPS_METADATA};
use rusqlite::{Connection, OpenFlags, params};
use tonic::{Request, transport::Channel};

use crate::{
    fill::{COMMON_LABEL, COMMON_TEXT, Fill, RARE_LABEL, RARE_TEXT},
    raw,
    report::{Report, millis, percentile},
    setup::Setup,
};

/// How often each is asked.
const SAMPLES: usize = 60;
/// What a page holds where nothing else is said.
const PAGE: usize = 50;
/// The longest that a page may take, in milliseconds.
const LONGEST: f64 = 2.0;

const FIRST: &str = "SELECT a.id, a.status, a.revision, e.state, r.request, r.input FROM approvals a
    JOIN events e ON e.revision = a.revision JOIN requests r ON r.approval = a.number
    WHERE a.id < ?1 ORDER BY a.id DESC LIMIT ?2";
const LABELED: &str = "SELECT a.id, a.status, a.revision, e.state, r.request, r.input FROM labels l
    JOIN approvals a ON a.id = l.approval_id
    JOIN events e ON e.revision = a.revision JOIN requests r ON r.approval = a.number
    WHERE l.key = ?3 AND l.value = ?4 AND l.approval_id < ?1 ORDER BY l.approval_id DESC LIMIT ?2";

pub(crate) async fn measure(sizes: &[usize], stores: Option<&Path>, report: &mut Report) {
    for size in sizes {
        let fill = Fill { approvals: *size, pending: size.div_ceil(10), input: 256 };
        let setup = Setup::filled(&fill, stores).await;
        of(&setup, *size, report).await;
    }
}

async fn of(setup: &Setup, size: usize, report: &mut Report) {
    let path = setup.server.data_dir().join("approve.db");
    let sqlite = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let first = sqlite_p50(&sqlite, FIRST, None);
    let label = |(key, value): (&str, &str)| ApprovalFilter {
        labels: [(key.to_owned(), value.to_owned())].into(),
        ..ApprovalFilter::default()
    };
    let text = |text: &str| ApprovalFilter { text: text.to_owned(), ..ApprovalFilter::default() };
    let awaiting = || ApprovalFilter { awaiting_me: true, ..ApprovalFilter::default() };
    let channel = raw::connect(setup.server.url()).await;
    for (name, who, filter, floor) in [
        ("first page", "user:ana", ApprovalFilter::default(), first),
        ("by a common label", "user:ana", label(COMMON_LABEL), sqlite_p50(&sqlite, LABELED, Some(COMMON_LABEL))),
        ("by a rare label", "user:ana", label(RARE_LABEL), sqlite_p50(&sqlite, LABELED, Some(RARE_LABEL))),
        ("by approver, of many", "user:ana", awaiting(), first),
        ("by approver, of few", "user:bob", awaiting(), first),
        ("by a common text", "user:ana", text(COMMON_TEXT), first),
        ("by a rare text", "user:ana", text(RARE_TEXT), first),
    ] {
        let took = p50(&channel, who, filter).await;
        let figure = report.add(format!("ListApprovals of {size}, {name}, p50"), took, "ms");
        figure.floor("SQLite, ms", floor, took / floor).at_most(LONGEST);
        report.point(("ListApprovals", "approvals stored", "ms"), name, (size as f64, took));
    }
}

async fn p50(channel: &Channel, who: &str, filter: ApprovalFilter) -> f64 {
    let mut client = ApprovalServiceClient::new(channel.clone()).max_decoding_message_size(usize::MAX);
    let mut times = Vec::new();
    for _ in 0..SAMPLES {
        let message = ListApprovalsRequest { filter: Some(filter.clone()), ..ListApprovalsRequest::default() };
        let mut request = Request::new(message);
        request.metadata_mut().insert(ACTOR_METADATA, who.parse().unwrap());
        if who == "user:bob" {
            request.metadata_mut().insert(GROUPS_METADATA, RARE_LABEL.1.parse().unwrap());
        }
        let started = Instant::now();
        client.list_approvals(request).await.unwrap();
        times.push(started.elapsed());
    }
    millis(percentile(&mut times, 50))
}

fn sqlite_p50(sqlite: &Connection, sql: &str, label: Option<(&str, &str)>) -> f64 {
    let mut statement = sqlite.prepare(sql).unwrap();
    let mut times = Vec::new();
    for _ in 0..SAMPLES {
        let started = Instant::now();
        let mut rows = match label {
            None => statement.query(params!["{", PAGE as i64]).unwrap(),
            Some((key, value)) => statement.query(params!["{", PAGE as i64, key, value]).unwrap(),
        };
        let mut bytes = 0;
        while let Some(row) = rows.next().unwrap() {
            bytes += (3..6).map(|column| row.get_ref(column).unwrap().as_str().unwrap().len()).sum::<usize>();
        }
        std::hint::black_box(bytes);
        drop(rows);
        times.push(started.elapsed());
    }
    millis(percentile(&mut times, 50))
}
