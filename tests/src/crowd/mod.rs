//! Many streams at once, each of which is checked: what it was told, in which order, and what it holds at the end.
//!
//! Some read on and on, some lose their connection again and again and resume, some stop reading until they are told to
//! go on.

mod changes;
mod member;

use std::{collections::BTreeMap, time::Duration};

use approve_proto::v1::{
    ApprovalFilter, GetAuditHeadRequest, ListApprovalsRequest, approval_service_client::ApprovalServiceClient,
    audit_service_client::AuditServiceClient,
};
use tokio::{sync::watch, task::JoinSet};
use tonic::transport::{Channel, Endpoint};

pub use self::changes::{Changes, Made};
use self::member::Member;
use crate::server::request_as;

/// Whose streams they are.
const WHO: &str = "ana";
/// Fewer than the server lets a connection have.
const STREAMS_PER_CONNECTION: usize = 100;

/// How many there are, and of what kind.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Streams.
    pub streams: usize,
    /// One of so many stops reading.
    pub stalled_of: usize,
    /// Such a one stops for so long, or until the changes are over if that is before.
    pub stalled_for: Duration,
    /// One of so many loses its connection once in a while.
    pub reconnecting_of: usize,
}

/// What they saw together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    /// Changes that were told, snapshots included.
    pub told: u64,
    /// Streams that were opened again.
    pub reconnected: u64,
}

/// Where the changes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Going,
    /// There will be no change after this revision.
    Over(i64),
}

/// Streams that are open.
pub struct Crowd {
    url: String,
    phase: watch::Sender<Phase>,
    members: JoinSet<Member>,
}

impl Crowd {
    /// Opens the streams, with filters that differ; returns at once.
    pub async fn open(url: &str, size: Size) -> Self {
        Self::over(&[url], size, filter).await
    }

    /// Opens streams over servers that share a store and may fail, each with a filter by its number. A stream that is lost
    /// goes on at the next server.
    pub async fn over(urls: &[&str], size: Size, filter: impl Fn(usize) -> ApprovalFilter) -> Self {
        let (phase, _) = watch::channel(Phase::Going);
        let mut members = JoinSet::new();
        let connections = || urls.iter().map(|url| Connections::new(url)).collect::<Vec<_>>();
        let (mut reading, mut stalling) = (connections(), connections());
        for number in 0..size.streams {
            let mut member = Member::new(number, filter(number));
            let stalls = number % size.stalled_of == 1;
            if stalls {
                member.stalls_for = Some(size.stalled_for);
            }
            member.reconnects = number % size.reconnecting_of == 2;
            let connections = if stalls { &mut stalling } else { &mut reading };
            let mut clients = Vec::new();
            for connections in connections {
                clients.push(connections.next().await);
            }
            members.spawn(member.run(clients, phase.subscribe()));
        }
        Self { url: urls[0].to_owned(), phase, members }
    }

    /// Waits until each stream has told everything up to the store's head, and compares what each holds with what a list
    /// with its filter finds. Nothing that is pending may change meanwhile.
    ///
    /// # Panics
    /// Where a stream told a thing twice, in another order, or not at all.
    pub async fn finish(self) -> Summary {
        let mut client = ApprovalServiceClient::new(connect(&self.url).await);
        let head = head(&self.url).await;
        self.phase.send_replace(Phase::Over(head));
        let mut truths: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        let mut summary = Summary::default();
        for member in self.members.join_all().await {
            let filter = format!("{:?}", member.filter);
            if !truths.contains_key(&filter) {
                truths.insert(filter.clone(), list(&mut client, &member.filter).await);
            }
            assert_eq!(member.wrong, None, "stream {} with {filter}", member.number);
            assert_eq!(Some(&member.held), truths.get(&filter), "stream {} with {filter}", member.number);
            summary.told += member.told;
            summary.reconnected += member.reconnected;
        }
        assert!(truths.values().any(|truth| !truth.is_empty()), "nothing is pending: nothing was compared");
        summary
    }
}

/// Connections, each of which a number of streams share. What a client does not read fills the window of the whole
/// connection: streams that stall and streams that read on do not share one.
struct Connections<'a> {
    url: &'a str,
    channel: Option<Channel>,
    streams: usize,
}

impl<'a> Connections<'a> {
    fn new(url: &'a str) -> Self {
        Self { url, channel: None, streams: 0 }
    }

    async fn next(&mut self) -> ApprovalServiceClient<Channel> {
        let channel = match self.channel.take() {
            Some(channel) if self.streams < STREAMS_PER_CONNECTION => channel,
            _ => {
                self.streams = 0;
                connect(self.url).await
            }
        };
        self.streams += 1;
        ApprovalServiceClient::new(self.channel.insert(channel).clone())
    }
}

/// A few streams want everything; the others a part that differs.
fn filter(number: usize) -> ApprovalFilter {
    let filter = ApprovalFilter::default();
    match number % 100 {
        0 => filter,
        1 => ApprovalFilter { awaiting_me: true, ..filter },
        part @ 2..20 => ApprovalFilter { text: format!("INVOICE {part}"), ..filter },
        part => {
            let lane = (part % changes::LANES).to_string();
            ApprovalFilter { labels: [("lane".to_owned(), lane)].into(), ..filter }
        }
    }
}

/// The store's newest revision. A new stream would not say: it begins where the watch is, which follows the store.
async fn head(url: &str) -> i64 {
    let mut client = AuditServiceClient::new(connect(url).await);
    let response = client.get_audit_head(request_as(WHO, GetAuditHeadRequest::default())).await.unwrap();
    response.into_inner().head.unwrap().revision
}

/// What is pending, by id, in its version.
async fn list(client: &mut ApprovalServiceClient<Channel>, filter: &ApprovalFilter) -> BTreeMap<String, u64> {
    let mut request = ListApprovalsRequest {
        filter: Some(filter.clone()),
        statuses: vec![approve_proto::v1::ApprovalStatus::Pending.into()],
        page_size: 1_000,
        ..ListApprovalsRequest::default()
    };
    let mut found = BTreeMap::new();
    loop {
        let page = client.list_approvals(request_as(WHO, request.clone())).await.unwrap().into_inner();
        found.extend(page.approvals.into_iter().map(|approval| (approval.id, version(&approval.etag))));
        if page.next_page_token.is_empty() {
            return found;
        }
        request.page_token = page.next_page_token;
    }
}

/// An etag counts an approval's changes, which its callers need not know.
fn version(etag: &str) -> u64 {
    etag.parse().unwrap()
}

async fn connect(url: &str) -> Channel {
    Endpoint::from_shared(url.to_owned()).unwrap().tcp_nodelay(true).connect().await.unwrap()
}
