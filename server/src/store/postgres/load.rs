//! What a group of writes reads before it is carried out: all at once, behind the lock of the log's end.

use std::collections::{BTreeSet, HashMap};

use tokio_postgres::Row;

use super::{
    link::{Link, param},
    names::kept,
    rows::{Fixed, MORE, api_token, get, hash, parse_id, stored, stored_from},
    working_set::{Loaded, Need},
};
use crate::{
    audit::ChainHead,
    store::{StoreError, tables::UsedKey},
};

pub(super) const HEAD: &str = "SELECT revision, hash, number FROM head FOR UPDATE";
/// What the server holds, if its lease has not ended.
pub(super) const SLOTS: &str = "SELECT s.slot FROM slots s JOIN servers v ON v.server = s.server
    WHERE v.server = $1 AND v.until > clock_timestamp() ORDER BY s.slot";
pub(super) const BY_IDS: &str = stored_from!("", "approvals a", "WHERE a.id = ANY($1)");
pub(super) const BY_IDENTITIES: &str = stored_from!(", a.identity", "approvals a", "WHERE a.identity = ANY($1)");
pub(super) const BY_TOKENS: &str =
    stored_from!(", t.digest", "tokens t JOIN approvals a ON a.number = t.approval", "WHERE t.digest = ANY($1)");
pub(super) const KEYS: &str = "SELECT k.caller, k.id, k.fingerprint, k.approval, a.id, k.revision, k.at
    FROM unnest($1::text[], $2::text[]) AS u (caller, id)
    JOIN request_keys k ON k.caller = u.caller COLLATE \"C\" AND k.id = u.id COLLATE \"C\"
    JOIN approvals a ON a.number = k.approval";
pub(super) const API_TOKENS: &str = "SELECT digest, name, grants, seal, created, created_by, expires, revoked
    FROM api_tokens WHERE name = ANY($1) ORDER BY created DESC";
pub(super) const WORKFLOWS: &str = "SELECT name FROM workflows WHERE name = ANY($1)";
pub(super) const PAST: &str = "SELECT a.number, a.id, r.request, r.input, e.revision, e.state, u.revision
    FROM unnest($1::bigint[], $2::bigint[]) AS u (number, revision)
    JOIN approvals a ON a.number = u.number JOIN requests r ON r.approval = a.number
    CROSS JOIN LATERAL (SELECT revision, state FROM events
        WHERE approval = a.number AND revision <= u.revision AND state IS NOT NULL ORDER BY revision DESC LIMIT 1) e";

/// All statements of this file.
pub(super) const ALL: [&str; 9] = [HEAD, SLOTS, BY_IDS, BY_IDENTITIES, BY_TOKENS, KEYS, API_TOKENS, WORKFLOWS, PAST];

/// Why a group could not be read.
pub(super) enum LoadError {
    Database(tokio_postgres::Error),
    Store(StoreError),
}

impl From<tokio_postgres::Error> for LoadError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error)
    }
}

impl From<StoreError> for LoadError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Begins a transaction of a server's and locks the end of the log, unless that was done already; and reads what is
/// needed, in one round trip.
pub(super) async fn load(
    link: &Link,
    begin: Option<i64>,
    needs: &BTreeSet<Need>,
    loaded: &mut Loaded,
) -> Result<Option<ChainHead>, LoadError> {
    let mut pipeline = link.pipeline();
    let head = begin.map(|server| {
        pipeline.control("BEGIN");
        let head = pipeline.run(HEAD, Vec::new());
        (head, pipeline.run(SLOTS, vec![param(server)]))
    });
    let mut wanted = Wanted::of(needs);
    let ids = pipeline.ask(BY_IDS, &mut wanted.ids);
    let identities = pipeline.ask(BY_IDENTITIES, &mut wanted.identities);
    let tokens = pipeline.ask(BY_TOKENS, &mut wanted.tokens);
    let api_tokens = pipeline.ask(API_TOKENS, &mut wanted.api_tokens);
    let workflows = pipeline.ask(WORKFLOWS, &mut wanted.workflows);
    let (callers, names) = std::mem::take(&mut wanted.keys);
    let keys = (!names.is_empty()).then(|| pipeline.run(KEYS, vec![param(callers), param(names)]));
    let past = (!wanted.past.is_empty()).then(|| {
        let (numbers, revisions): (Vec<i64>, Vec<i64>) = std::mem::take(&mut wanted.past).into_iter().unzip();
        pipeline.run(PAST, vec![param(numbers), param(revisions)])
    });
    let mut answers = Answers(pipeline.send().await?);

    loaded.absent(needs);
    for row in answers.of(ids) {
        loaded.keep(&row)?;
    }
    for row in answers.of(identities) {
        let number = loaded.keep(&row)?;
        let identity = wanted.original(get(&row, MORE)?);
        loaded.identities.insert(identity, Some(number));
    }
    for row in answers.of(tokens) {
        let number = loaded.keep(&row)?;
        loaded.tokens.insert(get(&row, MORE)?, Some(number));
    }
    for row in answers.of(keys) {
        let fingerprint: &[u8] = get(&row, 2)?;
        let used = UsedKey {
            fingerprint: fingerprint.try_into().map_err(StoreError::corrupt)?,
            number: get(&row, 3)?,
            id: parse_id(get(&row, 4)?)?,
            revision: get(&row, 5)?,
        };
        let name = (wanted.original(get(&row, 0)?), wanted.original(get(&row, 1)?));
        loaded.keys.insert(name, Some((used, get(&row, 6)?)));
    }
    for row in answers.of(past) {
        let (number, fixed) = Fixed::of(&row)?;
        let approval = fixed.with(get(&row, 4)?, get(&row, 5)?)?;
        loaded.past.insert((number, get(&row, 6)?), approval);
    }
    for row in answers.of(api_tokens) {
        let token = api_token(&row)?;
        loaded.api_tokens.entry(wanted.original(&token.name)).or_default().push(token);
    }
    for row in answers.of(workflows) {
        loaded.workflows.insert(wanted.original(get(&row, 0)?), true);
    }
    let Some((head, slots)) = head else { return Ok(None) };
    for row in answers.of(Some(slots)) {
        loaded.slots.push(get(&row, 0)?);
    }
    let row = answers.of(Some(head)).next().ok_or_else(|| StoreError::corrupt(NoHead))?;
    loaded.number = get(&row, 2)?;
    Ok(Some(ChainHead { revision: get(&row, 0)?, hash: hash(&row, 1)? }))
}

/// The row of the log's end is gone: somebody deleted it.
#[derive(Debug, thiserror::Error)]
#[error("the table \"head\" has no row")]
pub(super) struct NoHead;

/// What is needed, by kind, as it is kept.
#[derive(Default)]
struct Wanted {
    ids: Vec<String>,
    identities: Vec<String>,
    tokens: Vec<String>,
    keys: (Vec<String>, Vec<String>),
    past: Vec<(i64, i64)>,
    api_tokens: Vec<String>,
    workflows: Vec<String>,
    /// Texts that are not kept as they are.
    originals: HashMap<String, String>,
}

impl Wanted {
    fn of(needs: &BTreeSet<Need>) -> Self {
        let mut wanted = Self::default();
        for need in needs {
            match need {
                Need::Id(id) => wanted.ids.push(id.to_string()),
                Need::Identity(identity) => {
                    let identity = wanted.kept(identity);
                    wanted.identities.push(identity);
                }
                Need::Token(digest) => wanted.tokens.push(digest.clone()),
                Need::Key(caller, id) => {
                    let (caller, id) = (wanted.kept(caller), wanted.kept(id));
                    wanted.keys.0.push(caller);
                    wanted.keys.1.push(id);
                }
                Need::AsOf(number, revision) => wanted.past.push((*number, *revision)),
                Need::ApiTokens(name) => {
                    let name = wanted.kept(name);
                    wanted.api_tokens.push(name);
                }
                Need::Workflow(name) => {
                    let name = wanted.kept(name);
                    wanted.workflows.push(name);
                }
            }
        }
        wanted
    }

    fn kept(&mut self, text: &str) -> String {
        let kept = kept(text).into_owned();
        if kept != text {
            self.originals.insert(kept.clone(), text.to_owned());
        }
        kept
    }

    fn original(&self, kept: &str) -> String {
        self.originals.get(kept).map_or(kept, String::as_str).to_owned()
    }
}

impl Loaded {
    /// Nothing is there, until a row says otherwise.
    fn absent(&mut self, needs: &BTreeSet<Need>) {
        for need in needs {
            match need {
                Need::Id(id) => drop(self.ids.insert(id.clone(), None)),
                Need::Identity(identity) => drop(self.identities.insert(identity.clone(), None)),
                Need::Token(digest) => drop(self.tokens.insert(digest.clone(), None)),
                Need::Key(caller, id) => drop(self.keys.insert((caller.clone(), id.clone()), None)),
                // That there is one is known by whoever needs it.
                Need::AsOf(..) => {}
                Need::ApiTokens(name) => drop(self.api_tokens.insert(name.clone(), Vec::new())),
                Need::Workflow(name) => drop(self.workflows.insert(name.clone(), false)),
            }
        }
    }

    /// How long the inputs are that were read.
    pub(super) fn input_bytes(&self) -> usize {
        self.rows.values().map(|row| row.stored.approval.input.len()).sum()
    }

    fn keep(&mut self, row: &Row) -> Result<i64, StoreError> {
        let owned = stored(row)?;
        let number = owned.stored.number;
        self.ids.insert(owned.stored.approval.id.clone(), Some(number));
        self.rows.insert(number, owned);
        Ok(number)
    }
}

/// The rows of each statement.
struct Answers(Vec<Vec<Row>>);

impl Answers {
    fn of(&mut self, statement: Option<usize>) -> std::vec::IntoIter<Row> {
        let rows = statement.and_then(|statement| self.0.get_mut(statement));
        rows.map(std::mem::take).unwrap_or_default().into_iter()
    }
}
