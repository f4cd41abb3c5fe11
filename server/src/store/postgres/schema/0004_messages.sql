-- The shared store, version 4: messages to the world outside. They are written beside the log, without its lock: what is
-- sent slows nobody who decides.

-- How far each target was told what is in the log, and which server sends to it: another takes over once that one's
-- lease has ended.
CREATE TABLE told (
    target   text   COLLATE "C" PRIMARY KEY,
    revision bigint NOT NULL,
    server   bigint NOT NULL
) WITH (fillfactor = 20);

-- Messages that were tried and not sent, and no others.
CREATE TABLE unsent (
    id       text    COLLATE "C" PRIMARY KEY,
    target   text    COLLATE "C" NOT NULL,
    -- Its id. What it says goes with the message: the approval may be gone by then.
    approval text    COLLATE "C" NOT NULL,
    -- JSON of what it says, without payloads.
    notice   text    NOT NULL,
    attempts bigint  NOT NULL,
    error    text    NOT NULL,
    created  bigint  NOT NULL,
    -- When it is tried again. NULL: it is a dead letter.
    due      bigint
);

CREATE INDEX unsent_due ON unsent (target, due) WHERE due IS NOT NULL;
