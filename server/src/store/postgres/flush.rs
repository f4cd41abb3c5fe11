//! What a group of writes has changed, written out and committed: all at once.

use std::{collections::BTreeMap, sync::Arc};

use tokio_postgres::Error;

use super::{
    link::{Link, Pipeline, param},
    names::kept,
    working_set::{Changed, Setting, WorkingSet},
};
use crate::{
    approval::{ApprovalId, Request, Status},
    audit::ChainHead,
    store::{StoreError, codec::encode, search, transaction::Written},
};

/// Tells other servers that there is more of the log.
pub(super) const CHANNEL: &str = "approve";

const DROP_IDENTITIES: &str = "UPDATE approvals SET identity = NULL WHERE number = ANY($1)";
const CREATE: &str = "INSERT INTO approvals (number, id, status, workflow, execution_arn, identity, token_digest,
        first_revision, revision, slot, heartbeat_due, timer_due, delivery_due, detached_due)
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
        $8::bigint[], $9::bigint[], $10::int[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[])";
const REQUESTS: &str = "INSERT INTO requests (approval, request, input)
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::bytea[])";
const LABELS: &str = "INSERT INTO labels (key, value, approval_id)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[])";
const CHANGE: &str = "UPDATE approvals a SET status = u.status, token_digest = u.token_digest, revision = u.revision,
        slot = u.slot, heartbeat_due = u.heartbeat_due, timer_due = u.timer_due, delivery_due = u.delivery_due,
        detached_due = u.detached_due
    FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::int[], $6::bigint[], $7::bigint[], $8::bigint[],
        $9::bigint[]) AS u (number, status, token_digest, revision, slot, heartbeat_due, timer_due, delivery_due,
        detached_due)
    WHERE a.number = u.number";
const EVENTS: &str = "INSERT INTO events (revision, approval, at, actor, on_behalf_of, hash, record, state)
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::bytea[], $7::text[],
        $8::text[])";
const NOTE: &str = "UPDATE events e SET state = u.state
    FROM unnest($1::bigint[], $2::text[]) AS u (revision, state) WHERE e.revision = u.revision";
// An approval may get a token back that it had before.
const TOKENS: &str = "INSERT INTO tokens (digest, approval) SELECT * FROM unnest($1::text[], $2::bigint[])
    ON CONFLICT (digest) DO NOTHING";
const KEEP_KEYS: &str = "INSERT INTO request_keys (caller, id, fingerprint, approval, revision, at)
    SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bigint[], $5::bigint[], $6::bigint[])
    ON CONFLICT (caller, id) DO UPDATE SET fingerprint = excluded.fingerprint, approval = excluded.approval,
        revision = excluded.revision, at = excluded.at";
const PRUNE_KEYS: &str = "DELETE FROM request_keys k
    USING (SELECT caller, id FROM request_keys WHERE at < $1 ORDER BY at LIMIT $2) o
    WHERE k.caller = o.caller AND k.id = o.id";
const PENDING: &str = "INSERT INTO pending_counts AS p (workflow, pending)
    SELECT * FROM unnest($1::text[], $2::bigint[])
    ON CONFLICT (workflow) DO UPDATE SET pending = p.pending + excluded.pending";
const MOVE_HEARTBEATS: &str = "UPDATE approvals a SET heartbeat_due = u.due
    FROM unnest($1::text[], $2::text[], $3::bigint[]) AS u (id, token_digest, due)
    WHERE a.id = u.id COLLATE \"C\" AND a.token_digest = u.token_digest COLLATE \"C\" AND a.heartbeat_due IS NOT NULL
        AND a.slot IN (SELECT slot FROM slots WHERE server = $4)";
const MOVE_DETACHED: &str = "UPDATE approvals a SET detached_due = u.due
    FROM unnest($1::text[], $2::text[], $3::bigint[]) AS u (id, token_digest, due)
    WHERE a.id = u.id COLLATE \"C\" AND a.token_digest = u.token_digest COLLATE \"C\" AND a.detached_due IS NOT NULL
        AND a.slot IN (SELECT slot FROM slots WHERE server = $4)";
const PUT_API_TOKEN: &str = "INSERT INTO api_tokens (digest, name, grants, seal, created, created_by, expires, revoked)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (digest) DO UPDATE SET revoked = excluded.revoked";
const PUT_WORKFLOW: &str = "INSERT INTO workflows (name, record) VALUES ($1, $2)
    ON CONFLICT (name) DO UPDATE SET record = excluded.record";
const DELETE_WORKFLOW: &str = "DELETE FROM workflows WHERE name = $1";
// Approvals come with their places in the indexes. Where others are not there yet, these do not tell.
const MOVE_HEAD: &str = "UPDATE head SET revision = $1, hash = $2, number = $3, settings = settings + $4,
        indexed = CASE WHEN indexed = number THEN $3 ELSE indexed END";
const GROUP: &str = "INSERT INTO groups (server, last_group) VALUES ($1, $2)
    ON CONFLICT (server) DO UPDATE SET last_group = excluded.last_group";
const PUT_TERMS: &str = "INSERT INTO waiting (term, approval_id) SELECT * FROM unnest($1::text[], $2::text[])";
pub(super) const TAKE_TERMS: &str =
    "DELETE FROM waiting w USING unnest($1::text[], $2::text[]) AS u (term, approval_id)
    WHERE w.term = u.term COLLATE \"C\" AND w.approval_id = u.approval_id COLLATE \"C\"";
const PUT_TEXTS: &str = "INSERT INTO texts (approval_id, text) SELECT * FROM unnest($1::text[], $2::text[])";
const NOTIFY: &str = "SELECT pg_notify('approve', $1)";

/// All statements of this file.
pub(super) const ALL: [&str; 22] = [
    DROP_IDENTITIES,
    CREATE,
    REQUESTS,
    LABELS,
    CHANGE,
    EVENTS,
    NOTE,
    TOKENS,
    KEEP_KEYS,
    PRUNE_KEYS,
    PENDING,
    MOVE_HEARTBEATS,
    MOVE_DETACHED,
    PUT_API_TOKEN,
    PUT_WORKFLOW,
    DELETE_WORKFLOW,
    PUT_TERMS,
    TAKE_TERMS,
    PUT_TEXTS,
    MOVE_HEAD,
    GROUP,
    NOTIFY,
];

/// Who writes, and which of its groups it is: by that it is found again should the answer be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GroupId {
    pub(super) server: i64,
    pub(super) group: i64,
}

/// A group's writes, in the form of columns.
pub(super) struct Writes {
    changed: Changed,
    requests: Vec<(i64, String)>,
    /// Terms of new approvals that wait, and of those that wait no more, each with an id.
    put: (Vec<String>, Vec<String>),
    taken: (Vec<String>, Vec<String>),
    /// Ids and texts of new approvals.
    texts: (Vec<String>, Vec<String>),
    before: ChainHead,
    after: ChainHead,
}

impl Writes {
    /// What is `settled` leaves the indexes with it.
    pub(super) fn new(
        changed: Changed,
        before: ChainHead,
        written: &Written,
        settled: &[(ApprovalId, Arc<Request>)],
    ) -> Result<Self, StoreError> {
        let request = |number: &i64| {
            let row = changed.rows.get(number)?;
            Some(encode(&row.stored.approval.request).map(|request| (*number, request)))
        };
        let requests = changed.created.keys().filter_map(request).collect::<Result<_, _>>()?;
        let created = search::created(&written.changes);
        let waiting = created.iter().filter(|approval| approval.status == Status::Pending);
        let put = waiting.flat_map(|approval| by_term(&approval.id, &approval.request)).unzip();
        let taken = settled.iter().flat_map(|(id, request)| by_term(id, request)).unzip();
        let texts = created.iter().map(|new| (new.id.to_string(), search::document(&new.id, &new.request))).unzip();
        Ok(Self { changed, requests, put, taken, texts, before, after: written.head })
    }

    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        let changed = &self.changed;
        self.before == self.after
            && changed.rows.is_empty()
            && changed.heartbeats.is_empty()
            && changed.detached.is_empty()
            && changed.settings.is_empty()
            && changed.pruned.is_none()
    }

    /// Writes and commits, in one round trip where no setting is changed. After an error it is not known whether the group
    /// is committed, unless the database has answered it.
    pub(super) async fn commit(&self, link: &Link, id: GroupId) -> Result<(), Error> {
        for setting in &self.changed.settings {
            let mut pipeline = link.pipeline();
            write_setting(&mut pipeline, setting);
            pipeline.send().await?;
        }
        let mut pipeline = link.pipeline();
        self.approvals(&mut pipeline);
        self.indexes(&mut pipeline);
        self.log(&mut pipeline);
        self.keys(&mut pipeline);
        for (sql, moved) in [(MOVE_HEARTBEATS, &self.changed.heartbeats), (MOVE_DETACHED, &self.changed.detached)] {
            if !moved.is_empty() {
                let (ids, digests, dues) = WorkingSet::moves(moved);
                pipeline.run(sql, vec![param(ids), param(digests), param(dues), param(id.server)]);
            }
        }
        pipeline.run(GROUP, vec![param(id.server), param(id.group)]);
        let settings = i64::from(!self.changed.settings.is_empty());
        if self.before != self.after || settings != 0 {
            let hash = self.after.hash.bytes().as_slice();
            let head = vec![param(self.after.revision), param(hash), param(self.changed.number), param(settings)];
            pipeline.run(MOVE_HEAD, head);
            // The same text told twice in a transaction is told once: the revision is enough.
            pipeline.run(NOTIFY, vec![param(self.after.revision.to_string())]);
        }
        pipeline.control("COMMIT");
        pipeline.send().await.map(drop)
    }

    fn approvals<'a>(&'a self, pipeline: &mut Pipeline<'a>) {
        let changed = &self.changed;
        if !changed.without_identity.is_empty() {
            pipeline.run(DROP_IDENTITIES, vec![param(changed.without_identity.as_slice())]);
        }
        let created: Vec<_> = changed
            .created
            .iter()
            .filter_map(|(number, (identity, first))| Some((changed.rows.get(number)?, identity, first)))
            .collect();
        let approval = |row: &'a super::rows::Owned| &*row.stored.approval;
        if !created.is_empty() {
            let text = |text: &'a str| kept(text);
            pipeline.run(
                CREATE,
                vec![
                    param(created.iter().map(|(row, ..)| row.stored.number).collect::<Vec<_>>()),
                    param(created.iter().map(|(row, ..)| approval(row).id.as_str()).collect::<Vec<_>>()),
                    param(created.iter().map(|(row, ..)| approval(row).status.name()).collect::<Vec<_>>()),
                    param(
                        created
                            .iter()
                            .map(|(row, ..)| text(&approval(row).request.source.workflow))
                            .collect::<Vec<_>>(),
                    ),
                    param(
                        created
                            .iter()
                            .map(|(row, ..)| approval(row).request.source.execution_arn.as_deref().map(text))
                            .collect::<Vec<_>>(),
                    ),
                    param(created.iter().map(|(_, identity, _)| identity.as_deref().map(text)).collect::<Vec<_>>()),
                    param(created.iter().map(|(row, ..)| approval(row).task.token.digest()).collect::<Vec<_>>()),
                    param(created.iter().map(|(.., first)| **first).collect::<Vec<_>>()),
                    param(created.iter().map(|(row, ..)| approval(row).revision).collect::<Vec<_>>()),
                    param(created.iter().map(|(row, ..)| row.slot).collect::<Vec<_>>()),
                    param(created.iter().map(|(row, ..)| row.stored.due.heartbeat).collect::<Vec<_>>()),
                    param(created.iter().map(|(row, ..)| row.stored.due.timer).collect::<Vec<_>>()),
                    param(created.iter().map(|(row, ..)| row.stored.due.delivery).collect::<Vec<_>>()),
                    param(created.iter().map(|(row, ..)| row.stored.due.detached).collect::<Vec<_>>()),
                ],
            );
            pipeline.run(
                REQUESTS,
                vec![
                    param(self.requests.iter().map(|(number, _)| *number).collect::<Vec<_>>()),
                    param(self.requests.iter().map(|(_, request)| request.as_str()).collect::<Vec<_>>()),
                    param(created.iter().map(|(row, ..)| approval(row).input.as_bytes()).collect::<Vec<_>>()),
                ],
            );
            let labels = || {
                created.iter().flat_map(|(row, ..)| {
                    let approval = approval(row);
                    approval.request.labels.iter().map(|(key, value)| (kept(key), kept(value), approval.id.as_str()))
                })
            };
            if labels().next().is_some() {
                pipeline.run(
                    LABELS,
                    vec![
                        param(labels().map(|(key, ..)| key).collect::<Vec<_>>()),
                        param(labels().map(|(_, value, _)| value).collect::<Vec<_>>()),
                        param(labels().map(|(.., id)| id).collect::<Vec<_>>()),
                    ],
                );
            }
        }
        let updated: Vec<_> = changed
            .rows
            .iter()
            .filter(|(number, _)| !changed.created.contains_key(number))
            .map(|(_, row)| row)
            .collect();
        if !updated.is_empty() {
            pipeline.run(
                CHANGE,
                vec![
                    param(updated.iter().map(|row| row.stored.number).collect::<Vec<_>>()),
                    param(updated.iter().map(|row| approval(row).status.name()).collect::<Vec<_>>()),
                    param(updated.iter().map(|row| approval(row).task.token.digest()).collect::<Vec<_>>()),
                    param(updated.iter().map(|row| approval(row).revision).collect::<Vec<_>>()),
                    param(updated.iter().map(|row| row.slot).collect::<Vec<_>>()),
                    param(updated.iter().map(|row| row.stored.due.heartbeat).collect::<Vec<_>>()),
                    param(updated.iter().map(|row| row.stored.due.timer).collect::<Vec<_>>()),
                    param(updated.iter().map(|row| row.stored.due.delivery).collect::<Vec<_>>()),
                    param(updated.iter().map(|row| row.stored.due.detached).collect::<Vec<_>>()),
                ],
            );
        }
        if !changed.tokens.is_empty() {
            let (digests, numbers) = columns(&changed.tokens, String::as_str, |number| *number);
            pipeline.run(TOKENS, vec![param(digests), param(numbers)]);
        }
        if !changed.pending.is_empty() {
            let (workflows, by) = columns(&changed.pending, |name| kept(name), |by| *by);
            pipeline.run(PENDING, vec![param(workflows), param(by)]);
        }
    }

    fn indexes<'a>(&'a self, pipeline: &mut Pipeline<'a>) {
        for (sql, (keys, values)) in [(PUT_TERMS, &self.put), (TAKE_TERMS, &self.taken), (PUT_TEXTS, &self.texts)] {
            if !keys.is_empty() {
                pipeline.run(sql, vec![param(keys.as_slice()), param(values.as_slice())]);
            }
        }
    }

    fn log<'a>(&'a self, pipeline: &mut Pipeline<'a>) {
        let events = &self.changed.events;
        if !events.is_empty() {
            pipeline.run(
                EVENTS,
                vec![
                    param(events.iter().map(|event| event.revision).collect::<Vec<_>>()),
                    param(events.iter().map(|event| event.number).collect::<Vec<_>>()),
                    param(events.iter().map(|event| event.at).collect::<Vec<_>>()),
                    param(events.iter().map(|event| event.actor.as_deref().map(kept)).collect::<Vec<_>>()),
                    param(events.iter().map(|event| event.on_behalf_of.as_deref().map(kept)).collect::<Vec<_>>()),
                    param(events.iter().map(|event| event.hash.bytes().as_slice()).collect::<Vec<_>>()),
                    param(events.iter().map(|event| event.record.as_str()).collect::<Vec<_>>()),
                    param(events.iter().map(|event| event.state.as_deref()).collect::<Vec<_>>()),
                ],
            );
        }
        if !self.changed.noted.is_empty() {
            let (revisions, states) = columns(&self.changed.noted, |revision| *revision, String::as_str);
            pipeline.run(NOTE, vec![param(revisions), param(states)]);
        }
    }

    fn keys<'a>(&'a self, pipeline: &mut Pipeline<'a>) {
        let keys = &self.changed.keys;
        if !keys.is_empty() {
            let (callers, ids) = columns(keys, |(caller, id)| (kept(caller), kept(id)), |_| ())
                .0
                .into_iter()
                .unzip::<_, _, Vec<_>, Vec<_>>();
            pipeline.run(
                KEEP_KEYS,
                vec![
                    param(callers),
                    param(ids),
                    param(keys.values().map(|(used, _)| used.fingerprint.as_slice()).collect::<Vec<_>>()),
                    param(keys.values().map(|(used, _)| used.number).collect::<Vec<_>>()),
                    param(keys.values().map(|(used, _)| used.revision).collect::<Vec<_>>()),
                    param(keys.values().map(|(_, at)| *at).collect::<Vec<_>>()),
                ],
            );
        }
        if let Some((before, limit)) = self.changed.pruned {
            pipeline.run(PRUNE_KEYS, vec![param(before), param(limit)]);
        }
    }
}

/// An approval under each of its terms.
pub(super) fn by_term(id: &ApprovalId, request: &Request) -> impl Iterator<Item = (String, String)> {
    let id = id.to_string();
    search::terms(request).into_iter().map(move |term| (kept(&term).into_owned(), id.clone()))
}

/// The keys and the values of a map, each as a column.
fn columns<'a, K, V, A, B>(
    map: &'a BTreeMap<K, V>,
    key: impl Fn(&'a K) -> A,
    value: impl Fn(&'a V) -> B,
) -> (Vec<A>, Vec<B>) {
    map.iter().map(|(k, v)| (key(k), value(v))).unzip()
}

fn write_setting<'a>(pipeline: &mut Pipeline<'a>, setting: &'a Setting) {
    match setting {
        Setting::ApiToken(token) => {
            pipeline.run(
                PUT_API_TOKEN,
                vec![
                    param(token.digest.as_slice()),
                    param(kept(&token.name)),
                    param(token.grants.as_str()),
                    param(token.seal.as_slice()),
                    param(token.created.as_millisecond()),
                    param(token.created_by.as_str()),
                    param(token.expires.as_millisecond()),
                    param(token.revoked.map(jiff::Timestamp::as_millisecond)),
                ],
            );
        }
        Setting::Workflow { name, record: Some(record) } => {
            pipeline.run(PUT_WORKFLOW, vec![param(kept(name)), param(record.as_str())]);
        }
        Setting::Workflow { name, record: None } => {
            pipeline.run(DELETE_WORKFLOW, vec![param(kept(name))]);
        }
    }
}
