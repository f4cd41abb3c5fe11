//! Rows, as the writer reads and writes them.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    connection::failed,
    recent::Recent,
    rows::{self, BY_ID, BY_IDENTITY, BY_NUMBER, Fixed, parse_id},
    tokens,
};
use crate::{
    approval::{Approval, ApprovalId},
    store::{
        ApiTokenRecord, NextDue, RequestKey, Revision, StoreError,
        codec::encode,
        due::{DueTimes, millis_up},
        tables::{EventRow, Moved, Stored, Tables, UsedKey},
    },
};

pub(super) const TOKEN: &str = "SELECT approval FROM tokens WHERE digest = ?1";
pub(super) const NUMBER: &str = "SELECT number FROM approvals WHERE id = ?1";
pub(super) const KEY: &str = "SELECT k.fingerprint, k.approval, a.id, k.revision
    FROM request_keys k JOIN approvals a ON a.number = k.approval
    WHERE k.caller = ?1 AND k.id = ?2 AND k.at >= ?3";
pub(super) const OLD_KEY: &str = "SELECT 1 FROM request_keys WHERE at < ?1 LIMIT 1";
pub(super) const PRUNE_KEYS: &str = "DELETE FROM request_keys WHERE (caller, id) IN
    (SELECT caller, id FROM request_keys WHERE at < ?1 ORDER BY at LIMIT ?2)";
pub(super) const SET_HEARTBEAT: &str = "UPDATE approvals SET heartbeat_due = ?3
    WHERE id = ?1 AND token_digest = ?2 AND heartbeat_due IS NOT NULL";
pub(super) const SET_DETACHED: &str = "UPDATE approvals SET detached_due = ?3
    WHERE id = ?1 AND token_digest = ?2 AND detached_due IS NOT NULL";
const APPEND: &str = "INSERT INTO events (revision, approval, at, actor, on_behalf_of, hash, record, state)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

/// So much of what was written last is kept in memory, in bytes.
const RECENT_BYTES: usize = 4 << 20;

/// The connection that writes.
pub(super) struct SqliteTables {
    pub(super) connection: Connection,
    recent: Recent,
}

impl SqliteTables {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection, recent: Recent::new(RECENT_BYTES) }
    }

    /// After a transaction that was not committed.
    pub(super) fn rolled_back(&mut self) {
        self.recent.clear();
    }

    /// Forgets approvals that were removed.
    pub(super) fn removed(&mut self, ids: &[ApprovalId]) {
        ids.iter().for_each(|id| self.recent.forget(id));
    }

    fn run(&self, sql: &str, params: impl rusqlite::Params) -> Result<usize, StoreError> {
        self.connection.prepare_cached(sql).and_then(|mut statement| statement.execute(params)).map_err(failed)
    }

    fn keep_token(&self, digest: &str, number: i64) -> Result<(), StoreError> {
        // An approval may get a token back that it had before.
        self.run(
            "INSERT INTO tokens (digest, approval) VALUES (?1, ?2) ON CONFLICT (digest) DO NOTHING",
            params![digest, number],
        )
        .map(drop)
    }
}

impl Tables for SqliteTables {
    fn writes(&self) -> u64 {
        self.connection.total_changes()
    }

    /// SQLite rolls back by itself after some errors.
    fn is_broken(&self) -> bool {
        self.connection.is_autocommit()
    }

    fn by_id(&mut self, id: &ApprovalId) -> Result<Option<Stored>, StoreError> {
        match self.recent.get(id) {
            Some(known) => Ok(Some(known)),
            None => rows::find(&self.connection, BY_ID, [id.as_str()]),
        }
    }

    fn by_identity(&mut self, identity: &str) -> Result<Option<Stored>, StoreError> {
        rows::find(&self.connection, BY_IDENTITY, [identity])
    }

    fn by_token(&mut self, digest: &str) -> Result<Option<Stored>, StoreError> {
        let number: Option<i64> = self
            .connection
            .prepare_cached(TOKEN)
            .and_then(|mut statement| statement.query_row([digest], |row| row.get(0)).optional())
            .map_err(failed)?;
        let Some(number) = number else { return Ok(None) };
        let stored = rows::find(&self.connection, BY_NUMBER, [number])?;
        stored.ok_or_else(|| failed(rusqlite::Error::QueryReturnedNoRows)).map(Some)
    }

    fn number_of(&mut self, id: &ApprovalId) -> Result<Option<i64>, StoreError> {
        let mut statement = self.connection.prepare_cached(NUMBER).map_err(failed)?;
        statement.query_row([id.as_str()], |row| row.get(0)).optional().map_err(failed)
    }

    fn as_of(&mut self, number: i64, revision: Revision) -> Result<Arc<Approval>, StoreError> {
        let (revision, state) = rows::state_at(&self.connection, number, revision)?
            .ok_or_else(|| failed(rusqlite::Error::QueryReturnedNoRows))?;
        Fixed::of(&self.connection, number)?.with(revision, &state)
    }

    fn key(&mut self, key: &RequestKey, since: i64) -> Result<Option<UsedKey>, StoreError> {
        let mut statement = self.connection.prepare_cached(KEY).map_err(failed)?;
        let mut rows = statement.query(params![key.caller, key.id, since]).map_err(failed)?;
        let Some(row) = rows.next().map_err(failed)? else { return Ok(None) };
        Ok(Some(UsedKey {
            fingerprint: row.get(0).map_err(failed)?,
            number: row.get(1).map_err(failed)?,
            id: parse_id(rows::text(row, 2)?)?,
            revision: row.get(3).map_err(failed)?,
        }))
    }

    fn insert(&mut self, approval: &Arc<Approval>, identity: Option<&str>, due: DueTimes) -> Result<i64, StoreError> {
        let request = &approval.request;
        let digest = approval.task.token.digest();
        self.run(
            "INSERT INTO approvals (id, status, workflow, execution_arn, identity, token_digest, revision,
                                    heartbeat_due, timer_due, delivery_due, detached_due)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            params![
                approval.id.as_str(),
                approval.status.name(),
                request.source.workflow,
                request.source.execution_arn,
                identity,
                digest,
                approval.revision,
                due.heartbeat,
                due.timer,
                due.delivery,
                due.detached,
            ],
        )?;
        let number = self.connection.last_insert_rowid();
        self.run(
            "INSERT INTO requests (approval, request, input) VALUES (?1, ?2, ?3)",
            params![number, encode(request)?, approval.input],
        )?;
        for (key, value) in &request.labels {
            self.run(
                "INSERT INTO labels (key, value, approval_id) VALUES (?1, ?2, ?3)",
                params![key, value, approval.id.as_str()],
            )?;
        }
        self.keep_token(&digest, number)?;
        self.recent.put(Stored { number, due, approval: Arc::clone(approval) });
        Ok(number)
    }

    fn update(&mut self, stored: &Stored, after: &Arc<Approval>, due: DueTimes) -> Result<(), StoreError> {
        let before = &stored.approval;
        // Without what is as it was, whose indexes then need no look.
        if after.status == before.status {
            self.run(
                "UPDATE approvals SET revision = ?2,
                     heartbeat_due = ?3, timer_due = ?4, delivery_due = ?5, detached_due = ?6
                 WHERE number = ?1",
                params![stored.number, after.revision, due.heartbeat, due.timer, due.delivery, due.detached],
            )?;
        } else {
            self.run(
                "UPDATE approvals SET revision = ?2,
                     heartbeat_due = ?3, timer_due = ?4, delivery_due = ?5, detached_due = ?6, status = ?7
                 WHERE number = ?1",
                params![
                    stored.number,
                    after.revision,
                    due.heartbeat,
                    due.timer,
                    due.delivery,
                    due.detached,
                    after.status.name()
                ],
            )?;
        }
        if after.task.token != before.task.token {
            let digest = after.task.token.digest();
            self.run("UPDATE approvals SET token_digest = ?2 WHERE number = ?1", params![stored.number, digest])?;
            self.keep_token(&digest, stored.number)?;
        }
        self.recent.put(Stored { number: stored.number, due, approval: Arc::clone(after) });
        Ok(())
    }

    fn drop_identity(&mut self, number: i64) -> Result<(), StoreError> {
        self.run("UPDATE approvals SET identity = NULL WHERE number = ?1", [number]).map(drop)
    }

    fn append(&mut self, event: EventRow<'_>) -> Result<(), StoreError> {
        let EventRow { revision, number, at, actor, on_behalf_of, hash, record, state } = event;
        self.run(APPEND, params![revision, number, at, actor, on_behalf_of, hash.bytes(), record, state]).map(drop)
    }

    fn keep_key(&mut self, key: &RequestKey, number: i64, revision: Revision, at: i64) -> Result<(), StoreError> {
        self.run(
            "INSERT OR REPLACE INTO request_keys (caller, id, fingerprint, approval, revision, at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![key.caller, key.id, key.fingerprint, number, revision, at],
        )
        .map(drop)
    }

    fn prune_keys(&mut self, before: i64, limit: i64) -> Result<(), StoreError> {
        // Mostly there is none, which takes less to see than to delete.
        let mut statement = self.connection.prepare_cached(OLD_KEY).map_err(failed)?;
        if statement.exists([before]).map_err(failed)? {
            drop(statement);
            self.run(PRUNE_KEYS, params![before, limit])?;
        }
        Ok(())
    }

    fn add_pending(&mut self, workflow: &str, by: i64) -> Result<(), StoreError> {
        self.run(
            "INSERT INTO pending_counts (workflow, pending) VALUES (?1, ?2)
             ON CONFLICT (workflow) DO UPDATE SET pending = pending + excluded.pending",
            params![workflow, by],
        )
        .map(drop)
    }

    fn move_due(&mut self, what: Moved, next: &NextDue) -> Result<(), StoreError> {
        let sql = match what {
            Moved::Heartbeat => SET_HEARTBEAT,
            Moved::Detached => SET_DETACHED,
        };
        self.recent.forget(&next.id);
        self.run(sql, params![next.id.as_str(), next.token.digest(), millis_up(next.due)]).map(drop)
    }

    fn note_try(&mut self, number: i64, approval: &Arc<Approval>, state: &str, due: i64) -> Result<(), StoreError> {
        self.recent.forget(&approval.id);
        self.run("UPDATE events SET state = ?2 WHERE revision = ?1", params![approval.revision, state])?;
        self.run("UPDATE approvals SET delivery_due = ?2 WHERE number = ?1", params![number, due]).map(drop)
    }

    fn api_token_lives(&mut self, name: &str, now: i64) -> Result<bool, StoreError> {
        tokens::lives(&self.connection, name, now)
    }

    fn newest_api_token(&mut self, name: &str) -> Result<Option<ApiTokenRecord>, StoreError> {
        tokens::newest(&self.connection, name)
    }

    fn put_api_token(&mut self, token: &ApiTokenRecord) -> Result<(), StoreError> {
        tokens::put(&self.connection, token)
    }

    fn put_workflow(&mut self, name: &str, record: &str) -> Result<(), StoreError> {
        self.run("INSERT OR REPLACE INTO workflows (name, record) VALUES (?1, ?2)", params![name, record]).map(drop)
    }

    fn delete_workflow(&mut self, name: &str) -> Result<bool, StoreError> {
        self.run("DELETE FROM workflows WHERE name = ?1", [name]).map(|deleted| deleted > 0)
    }
}
