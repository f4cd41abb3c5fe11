-- The embedded store, version 2: API tokens.

-- Every token that was ever made; the live ones are those that are neither revoked nor expired.
CREATE TABLE api_tokens (
    -- SHA-256 of the secret, which has 256 random bits: a slow hash would add nothing.
    digest     BLOB    NOT NULL PRIMARY KEY,
    -- Shared by tokens that followed each other; one of them at most is alive.
    name       TEXT    NOT NULL,
    -- JSON of what it may do.
    grants     TEXT    NOT NULL,
    -- Ties name, grants and expiry to the secret: whoever edits them here ends the token.
    seal       BLOB    NOT NULL,
    created    INTEGER NOT NULL,
    created_by TEXT    NOT NULL,
    expires    INTEGER NOT NULL,
    revoked    INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX api_tokens_name ON api_tokens (name, created);
