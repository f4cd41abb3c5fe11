-- The embedded store, version 1. A file that was once released is never edited: a change is the next file.
--
-- Times are milliseconds since 1970-01-01 UTC. JSON is what `store/codec.rs` writes: fields may be added, none may
-- change its meaning. Ids, revisions, tokens' digests and identities are kept for ever.

-- One row per approval: where it stands, and what is to be done about it when. What it says is in `events.state` (what
-- changes) and `requests` (what does not).
CREATE TABLE approvals (
    -- Key within this file, never shown; in the order of creation. Small, where ids would make indexes much larger.
    number         INTEGER PRIMARY KEY,
    -- "apr_…", time-ordered: a list's order is this one's.
    id             TEXT    NOT NULL UNIQUE,
    -- PENDING, APPROVED, REJECTED, EXPIRED, CANCELED or INVALID.
    status         TEXT    NOT NULL,
    workflow       TEXT    NOT NULL,
    execution_arn  TEXT,
    -- What makes a retry's task the same question. NULL: its tokens are its only identity.
    identity       TEXT,
    -- Of the token of its task now.
    token_digest   TEXT    NOT NULL,
    -- Of its last event, which holds its state.
    revision       INTEGER NOT NULL,
    -- When its task wants the next heartbeat. NULL: it wants none.
    heartbeat_due  INTEGER,
    -- Its deadline. NULL: it has none, or is final.
    timer_due     INTEGER,
    -- When its answer is to be sent. NULL: there is none to send, or no task to send it to.
    delivery_due   INTEGER,
    -- When it is looked at whether a retry's task still comes. NULL: it waits for none.
    detached_due INTEGER
) STRICT;

-- Admission: who has this identity?
CREATE UNIQUE INDEX approvals_identity ON approvals (identity) WHERE identity IS NOT NULL;
-- Lists, and the snapshot that a watch begins with.
CREATE INDEX approvals_status ON approvals (status, id);
CREATE INDEX approvals_workflow ON approvals (workflow, status, id);
CREATE INDEX approvals_execution ON approvals (execution_arn, id) WHERE execution_arn IS NOT NULL;
-- A snapshot of the past: what was pending then and is final now. Holds the status so that no row need be read.
CREATE INDEX approvals_final ON approvals (revision, id, status) WHERE status <> 'PENDING';
-- Work that is due: each holds the rows that want it, and no others.
CREATE INDEX approvals_heartbeat_due ON approvals (heartbeat_due) WHERE heartbeat_due IS NOT NULL;
CREATE INDEX approvals_timer_due ON approvals (timer_due) WHERE timer_due IS NOT NULL;
CREATE INDEX approvals_delivery_due ON approvals (delivery_due) WHERE delivery_due IS NOT NULL;
CREATE INDEX approvals_detached_due ON approvals (detached_due) WHERE detached_due IS NOT NULL;

-- What an approval was asked with. Never changed.
CREATE TABLE requests (
    approval INTEGER PRIMARY KEY REFERENCES approvals (number),
    -- JSON of the request.
    request  TEXT NOT NULL,
    -- What is to be decided about: JSON text, exactly as it came. Last, as it is long and not always wanted.
    input    TEXT NOT NULL
) STRICT;

-- Everything that ever happened, in the order of its commit: the audit log, and what watches read.
CREATE TABLE events (
    -- 1, 2, 3, … without gaps.
    revision     INTEGER PRIMARY KEY,
    -- NULL: it is not about one.
    approval     INTEGER REFERENCES approvals (number),
    at           INTEGER NOT NULL,
    -- Who is behind it. NULL: the server itself.
    actor        TEXT,
    -- Whom they acted for, if not for themselves.
    on_behalf_of TEXT,
    -- SHA-256 of the hash before it as 64 hexadecimal digits, a line feed, and the record.
    hash         BLOB    NOT NULL,
    -- JSON that says all of the above and what happened (`audit/record.rs`): the exact text that was hashed. Never changed.
    record       TEXT    NOT NULL,
    -- JSON of the approval after it, on the last event of each change and NULL on the others. The newest one of an
    -- approval is its state now; tries at a delivery are noted in it without an event. Attempts that were refused change
    -- nothing and have none.
    state        TEXT
) STRICT;

-- An approval's events, and its state at a revision: the table's key is the last column of each of these indexes.
CREATE INDEX events_approval ON events (approval) WHERE approval IS NOT NULL;
-- What somebody did, or somebody did for them.
CREATE INDEX events_actor ON events (actor) WHERE actor IS NOT NULL;
CREATE INDEX events_on_behalf_of ON events (on_behalf_of) WHERE on_behalf_of IS NOT NULL;
-- What happened between two times: clocks are set back now and then, so that revisions alone do not tell.
CREATE INDEX events_at ON events (at);

-- The labels of approvals, for lists. Never changed.
CREATE TABLE labels (
    key         TEXT NOT NULL,
    value       TEXT NOT NULL,
    approval_id TEXT NOT NULL REFERENCES approvals (id),
    PRIMARY KEY (key, value, approval_id)
) STRICT, WITHOUT ROWID;

-- Every token that ever was an approval's, so that a task that is admitted twice is known again.
CREATE TABLE tokens (
    digest   TEXT    NOT NULL PRIMARY KEY,
    approval INTEGER NOT NULL REFERENCES approvals (number)
) STRICT, WITHOUT ROWID;

-- Keys of writes that were carried out, so that a repeat gets the same answer. Deleted once they are too old.
CREATE TABLE request_keys (
    caller      TEXT    NOT NULL,
    id          TEXT    NOT NULL,
    -- Of the request's body.
    fingerprint BLOB    NOT NULL,
    approval    INTEGER NOT NULL REFERENCES approvals (number),
    -- The answer: the approval as of then.
    revision    INTEGER NOT NULL REFERENCES events (revision),
    at          INTEGER NOT NULL,
    PRIMARY KEY (caller, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX request_keys_at ON request_keys (at);

-- How many approvals of a workflow are pending: what counting them would give.
CREATE TABLE pending_counts (
    workflow TEXT    NOT NULL PRIMARY KEY,
    pending  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Workflows as they were last applied.
CREATE TABLE workflows (
    name   TEXT NOT NULL PRIMARY KEY,
    -- JSON of the record.
    record TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Single values, by name.
--   oldest_revision: an integer; events up to this one are no longer kept; absent means 0.
--   oldest_hash: a blob; the hash of that event, from which the chain goes on; absent means 32 zero bytes.
CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value ANY  NOT NULL
) STRICT, WITHOUT ROWID;
