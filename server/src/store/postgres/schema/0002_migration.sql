-- The shared store, version 2: what was moved here from an embedded store.

-- A migration into this database, in one row. No server uses the database until it is finished.
CREATE TABLE migration (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    -- The end of the embedded store's log, by which it is known again.
    revision bigint  NOT NULL,
    hash     bytea   NOT NULL,
    finished boolean NOT NULL
);

-- How many rows of each table were copied: an interrupted migration goes on from there.
CREATE TABLE migrated (
    name text COLLATE "C" PRIMARY KEY,
    rows bigint NOT NULL
);
