-- The embedded store, version 3: what lists look for.
--
-- meta.unindexed: an integer; approvals up to this number, which were there before, are not in these indexes yet. They
-- are put in while nothing else is to be done, the youngest first. Absent: there are none.

-- Approvals that are pending, by what they are looked for: "a:" and who could approve, "a:" alone where anybody could, and
-- "l:" with a label, "key=value". Some that are not pending any more may be there for a while.
CREATE TABLE waiting (
    term        TEXT NOT NULL,
    approval_id TEXT NOT NULL,
    PRIMARY KEY (term, approval_id)
) STRICT, WITHOUT ROWID;

-- Title, description, requester and id of each approval: which of them hold all pieces of three characters of a text. The
-- row's key is of the first 63 bits of the id (`sqlite/search.rs`). It holds no text itself.
CREATE VIRTUAL TABLE texts USING fts5 (
    text, content = '', contentless_delete = 1, detail = none, tokenize = 'trigram'
);

INSERT INTO meta SELECT 'unindexed', max(number) FROM approvals HAVING count(*) > 0;
