-- The shared store, version 3: what lists look for.

-- Approvals up to this number are in the indexes below. New ones come with their rows; older ones, and those that a server
-- of an earlier version writes, are put in besides (`search.rs`). While there are some, lists do without the indexes.
ALTER TABLE head ADD COLUMN indexed bigint NOT NULL DEFAULT 0;

-- Approvals that are pending, by what they are looked for: "a:" and who could approve, "a:" alone where anybody could, and
-- "l:" with a label, "key=value". Some that are not pending any more may be there for a while.
CREATE TABLE waiting (
    term        text COLLATE "C" NOT NULL,
    approval_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (term, approval_id)
);

-- Title, description, requester and id of each approval, in lower case as far as that is ASCII.
CREATE TABLE texts (
    approval_id text COLLATE "C" PRIMARY KEY,
    text        text NOT NULL
);

-- Which texts hold a text, where the database has pg_trgm. Without it, lists look through texts one by one.
DO $$
BEGIN
    CREATE EXTENSION IF NOT EXISTS pg_trgm;
    CREATE INDEX texts_text ON texts USING gin (text gin_trgm_ops);
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING 'no index of texts: %', SQLERRM;
END
$$;
