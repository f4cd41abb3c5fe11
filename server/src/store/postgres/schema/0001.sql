-- The shared store, version 1. A file that was once released is never edited: a change is the next file.
--
-- Times are milliseconds since 1970-01-01 UTC, by the servers' clocks, but for those of leases, which are the database's.
-- JSON is what `store/codec.rs` writes: fields may be added, none may change its meaning. Ids, revisions, tokens' digests
-- and identities are kept for ever. Texts that are only looked for, and come from outside, are written without the
-- character that PostgreSQL has no place for (`names.rs`).
--
-- There are no foreign keys: one transaction at a time writes, and each key would lock the rows that it refers to.

-- The end of the log, in one row. Every transaction that writes locks it first, and so has the next revisions, the hash
-- that its first event follows on, and all others behind it.
CREATE TABLE head (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    -- Of the newest event; 0: there is none.
    revision bigint  NOT NULL,
    -- Its hash.
    hash     bytea   NOT NULL,
    -- Of the youngest approval.
    number   bigint  NOT NULL,
    -- Counts changes of workflows and API tokens, which every server has in memory.
    settings bigint  NOT NULL
) WITH (fillfactor = 20);

INSERT INTO head (revision, hash, number, settings) VALUES (0, decode(repeat('00', 32), 'hex'), 0, 0);

-- What is no longer kept, in one row: events up to this one, and the hash from which the chain goes on.
CREATE TABLE compacted (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    revision bigint  NOT NULL,
    hash     bytea   NOT NULL
);

INSERT INTO compacted (revision, hash) VALUES (0, decode(repeat('00', 32), 'hex'));

-- Servers, one row for each start, and until when each may act for what it holds. A lease that ended is never renewed:
-- the server comes again with another number.
CREATE TABLE servers (
    server bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- What it calls itself: for people.
    name   text        NOT NULL,
    until  timestamptz NOT NULL
) WITH (fillfactor = 50);

-- The last group of writes that each server committed: so is told what became of one whose answer was lost.
CREATE TABLE groups (
    server     bigint PRIMARY KEY,
    last_group bigint NOT NULL
) WITH (fillfactor = 20);

-- Approvals belong to a slot, and slots to servers: to take over all that another server held is to change a few rows.
CREATE TABLE slots (
    slot   integer PRIMARY KEY,
    server bigint  NOT NULL
) WITH (fillfactor = 50);

-- One row per approval: where it stands, and what is to be done about it when. What it says is in `events.state` (what
-- changes) and `requests` (what does not).
CREATE TABLE approvals (
    -- Key within this database, never shown; in the order of creation.
    number         bigint  PRIMARY KEY,
    -- "apr_…", time-ordered: a list's order is this one's.
    id             text    COLLATE "C" NOT NULL UNIQUE,
    -- PENDING, APPROVED, REJECTED, EXPIRED, CANCELED or INVALID.
    status         text    COLLATE "C" NOT NULL,
    workflow       text    COLLATE "C" NOT NULL,
    execution_arn  text    COLLATE "C",
    -- What makes a retry's task the same question. NULL: its tokens are its only identity.
    identity       text    COLLATE "C",
    -- Of the token of its task now.
    token_digest   text    COLLATE "C" NOT NULL,
    -- Of the change that made it.
    first_revision bigint  NOT NULL,
    -- Of its last event, which holds its state.
    revision       bigint  NOT NULL,
    -- Whose server does what is due: that of whoever changed it last.
    slot           integer NOT NULL,
    -- When its task wants the next heartbeat. NULL: it wants none.
    heartbeat_due  bigint,
    -- Its deadline. NULL: it has none, or is final.
    timer_due      bigint,
    -- When its answer is to be sent. NULL: there is none to send, or no task to send it to.
    delivery_due   bigint,
    -- When it is looked at whether a retry's task still comes. NULL: it waits for none.
    detached_due   bigint
) WITH (fillfactor = 80);

-- Admission: who has this identity?
CREATE UNIQUE INDEX approvals_identity ON approvals (identity) WHERE identity IS NOT NULL;
-- Lists, and the snapshot that a watch begins with.
CREATE INDEX approvals_status ON approvals (status, id);
CREATE INDEX approvals_workflow ON approvals (workflow, status, id);
CREATE INDEX approvals_execution ON approvals (execution_arn, id) WHERE execution_arn IS NOT NULL;
-- A snapshot of the past: what was pending then and is final now.
CREATE INDEX approvals_final ON approvals (revision) WHERE status <> 'PENDING';
-- Work that is due: each holds the rows that want it, and no others.
CREATE INDEX approvals_heartbeat_due ON approvals (slot, heartbeat_due) WHERE heartbeat_due IS NOT NULL;
CREATE INDEX approvals_timer_due ON approvals (slot, timer_due) WHERE timer_due IS NOT NULL;
CREATE INDEX approvals_delivery_due ON approvals (slot, delivery_due) WHERE delivery_due IS NOT NULL;
CREATE INDEX approvals_detached_due ON approvals (slot, detached_due) WHERE detached_due IS NOT NULL;

-- What an approval was asked with. Never changed.
CREATE TABLE requests (
    approval bigint PRIMARY KEY,
    -- JSON of the request.
    request  text   NOT NULL,
    -- What is to be decided about: the exact bytes of its JSON text.
    input    bytea  NOT NULL
);

-- Everything that ever happened, in the order of its commit: the audit log, and what watches read.
CREATE TABLE events (
    -- 1, 2, 3, … without gaps.
    revision     bigint PRIMARY KEY,
    -- NULL: it is not about one.
    approval     bigint,
    at           bigint NOT NULL,
    -- Who is behind it. NULL: the server itself.
    actor        text   COLLATE "C",
    -- Whom they acted for, if not for themselves.
    on_behalf_of text   COLLATE "C",
    -- SHA-256 of the hash before it as 64 hexadecimal digits, a line feed, and the record.
    hash         bytea  NOT NULL,
    -- JSON that says all of the above and what happened (`audit/record.rs`): the exact text that was hashed. Never changed.
    record       text   NOT NULL,
    -- JSON of the approval after it, on the last event of each change and NULL on the others. The newest one of an
    -- approval is its state now; tries at a delivery are noted in it without an event. Attempts that were refused change
    -- nothing and have none.
    state        text
);

-- An approval's events, and its state at a revision.
CREATE INDEX events_approval ON events (approval, revision) WHERE approval IS NOT NULL;
-- What somebody did, or somebody did for them.
CREATE INDEX events_actor ON events (actor, revision) WHERE actor IS NOT NULL;
CREATE INDEX events_on_behalf_of ON events (on_behalf_of, revision) WHERE on_behalf_of IS NOT NULL;
-- What happened between two times: clocks are set back now and then, so that revisions alone do not tell.
CREATE INDEX events_at ON events (at, revision);

-- The labels of approvals, for lists. Never changed.
CREATE TABLE labels (
    key         text COLLATE "C" NOT NULL,
    value       text COLLATE "C" NOT NULL,
    approval_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (key, value, approval_id)
);

-- Every token that ever was an approval's, so that a task that is admitted twice is known again.
CREATE TABLE tokens (
    digest   text   COLLATE "C" PRIMARY KEY,
    approval bigint NOT NULL
);

-- Keys of writes that were carried out, so that a repeat gets the same answer. Deleted once they are too old.
CREATE TABLE request_keys (
    caller      text   COLLATE "C" NOT NULL,
    id          text   COLLATE "C" NOT NULL,
    -- Of the request's body.
    fingerprint bytea  NOT NULL,
    approval    bigint NOT NULL,
    -- The answer: the approval as of then.
    revision    bigint NOT NULL,
    at          bigint NOT NULL,
    PRIMARY KEY (caller, id)
);

CREATE INDEX request_keys_at ON request_keys (at);

-- How many approvals of a workflow are pending: what counting them would give.
CREATE TABLE pending_counts (
    workflow text   COLLATE "C" PRIMARY KEY,
    pending  bigint NOT NULL
) WITH (fillfactor = 20);

-- Workflows as they were last applied.
CREATE TABLE workflows (
    name   text COLLATE "C" PRIMARY KEY,
    -- JSON of the record.
    record text NOT NULL
);

-- Every API token that was ever made; the live ones are those that are neither revoked nor expired.
CREATE TABLE api_tokens (
    -- SHA-256 of the secret, which has 256 random bits: a slow hash would add nothing.
    digest     bytea  PRIMARY KEY,
    -- Shared by tokens that followed each other; one of them at most is alive.
    name       text   COLLATE "C" NOT NULL,
    -- JSON of what it may do.
    grants     text   NOT NULL,
    -- Ties name, grants and expiry to the secret: whoever edits them here ends the token.
    seal       bytea  NOT NULL,
    created    bigint NOT NULL,
    created_by text   NOT NULL,
    expires    bigint NOT NULL,
    revoked    bigint
);

CREATE INDEX api_tokens_name ON api_tokens (name, created);
