-- The embedded store, version 4: messages to the world outside.

-- How far each target was told what is in the log.
CREATE TABLE told (
    target   TEXT    NOT NULL PRIMARY KEY,
    revision INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Messages that were tried and not sent, and no others.
CREATE TABLE unsent (
    id       TEXT    NOT NULL PRIMARY KEY,
    target   TEXT    NOT NULL,
    -- Its id. What it says goes with the message: the approval may be gone by then.
    approval TEXT    NOT NULL,
    -- JSON of what it says, without payloads.
    notice   TEXT    NOT NULL,
    attempts INTEGER NOT NULL,
    error    TEXT    NOT NULL,
    created  INTEGER NOT NULL,
    -- When it is tried again. NULL: it is a dead letter.
    due      INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX unsent_due ON unsent (target, due) WHERE due IS NOT NULL;
