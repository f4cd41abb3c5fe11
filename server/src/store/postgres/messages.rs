//! Messages: how far targets were told, by which server, and what could not be sent.

use jiff::Timestamp;
use tokio_postgres::Row;

use super::{
    connection::failed,
    names::kept,
    readers::Readers,
    rows::{get, limit as sql_limit, parse_id, time},
};
use crate::store::{
    Due, Revision, StoreError,
    due::millis_up,
    messages::{Revived, Told, Unsent, UnsentQuery},
};

/// A server has a target as long as its lease holds; after that whoever asks next.
const TAKE: &str = "INSERT INTO told AS t (target, revision, server)
    SELECT $1, h.revision, $2 FROM head h
        WHERE EXISTS (SELECT FROM servers v WHERE v.server = $2 AND v.until > clock_timestamp())
    ON CONFLICT (target) DO UPDATE SET server = excluded.server
        WHERE t.server = excluded.server
            OR NOT EXISTS (SELECT FROM servers v WHERE v.server = t.server AND v.until > clock_timestamp())
    RETURNING t.revision";

/// How far a target was told; `None` where another server sends to it.
pub(super) async fn take(readers: &Readers, server: i64, target: &str) -> Result<Option<Revision>, StoreError> {
    readers.first(TAKE, &[&kept(target), &server]).await?.map(|row| get(&row, 0)).transpose()
}

const FURTHER: &str = "UPDATE told SET revision = greatest(revision, $2) WHERE target = $1 AND server = $3";
const KEEP: &str = "INSERT INTO unsent (id, target, approval, notice, attempts, error, created, due)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (id) DO UPDATE SET attempts = excluded.attempts, error = excluded.error, due = excluded.due";

/// Whether it was noted: not where another server sends to the target by now.
pub(super) async fn note(readers: &Readers, server: i64, target: &str, told: &Told) -> Result<bool, StoreError> {
    let mut client = readers.client().await?;
    let transaction = client.transaction().await.map_err(failed)?;
    let further = transaction.prepare_cached(FURTHER).await.map_err(failed)?;
    let noted = transaction.execute(&further, &[&kept(target), &told.revision, &server]).await.map_err(failed)? > 0;
    if !noted {
        return Ok(false);
    }
    if !told.sent.is_empty() {
        transaction.execute("DELETE FROM unsent WHERE id = ANY($1)", &[&told.sent]).await.map_err(failed)?;
    }
    for message in &told.unsent {
        let keep = transaction.prepare_cached(KEEP).await.map_err(failed)?;
        transaction
            .execute(
                &keep,
                &[
                    &message.id,
                    &kept(&message.target),
                    &message.approval.as_str(),
                    &message.notice,
                    &i64::from(message.attempts),
                    &kept(&message.error),
                    &message.created.as_millisecond(),
                    &message.due.map(millis_up),
                ],
            )
            .await
            .map_err(failed)?;
    }
    transaction.commit().await.map_err(failed)?;
    Ok(true)
}

macro_rules! unsent {
    ($which:literal) => {
        concat!("SELECT id, target, approval, notice, attempts, error, created, due FROM unsent WHERE ", $which)
    };
}

const DUE: &str = unsent!("target = $1 AND due IS NOT NULL ORDER BY due LIMIT $2");
const LIST: &str =
    unsent!("id > $1 AND ($2::text IS NULL OR target = $2) AND (NOT $3::boolean OR due IS NULL) ORDER BY id LIMIT $4");

/// All statements that read.
#[cfg(test)]
pub(super) const STATEMENTS: [&str; 2] = [DUE, LIST];

pub(super) async fn due(
    readers: &Readers,
    target: &str,
    now: Timestamp,
    limit: usize,
) -> Result<Due<Unsent>, StoreError> {
    let rows = readers.read(DUE, &[&kept(target), &sql_limit(limit.saturating_add(1))]).await?;
    let mut items = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let is_due = |message: &Unsent| message.due.is_some_and(|due| due <= now);
    let count = items.iter().take(limit).take_while(|message| is_due(message)).count();
    let next = items.get(count).and_then(|message| message.due);
    items.truncate(count);
    Ok(Due { items, next })
}

pub(super) async fn list(readers: &Readers, query: &UnsentQuery) -> Result<Vec<Unsent>, StoreError> {
    let after = kept(query.after.as_deref().unwrap_or(""));
    let target = query.target.as_deref().map(kept);
    let rows = readers.read(LIST, &[&after, &target, &query.dead, &sql_limit(query.limit)]).await?;
    rows.iter().map(read).collect()
}

/// Makes dead letters due; how many.
pub(super) async fn revive(readers: &Readers, which: &Revived, at: Timestamp) -> Result<u64, StoreError> {
    let client = readers.client().await?;
    let at = at.as_millisecond();
    let revived = match which {
        Revived::Ids(ids) => {
            let ids: Vec<_> = ids.iter().map(|id| kept(id)).collect();
            client.execute("UPDATE unsent SET due = $2 WHERE id = ANY($1) AND due IS NULL", &[&ids, &at]).await
        }
        Revived::Target(target) => {
            let target = kept(target);
            client.execute("UPDATE unsent SET due = $2 WHERE target = $1 AND due IS NULL", &[&target, &at]).await
        }
        Revived::All => client.execute("UPDATE unsent SET due = $1 WHERE due IS NULL", &[&at]).await,
    };
    revived.map_err(failed)
}

/// Forgets what is older than `before`, and dead letters beyond the newest `most` of each target; how many.
pub(super) async fn forget(readers: &Readers, before: Timestamp, most: u32) -> Result<u64, StoreError> {
    const FORGET: &str = "DELETE FROM unsent WHERE created < $1 OR id IN (
        SELECT ranked.id FROM (
            SELECT id, row_number() OVER (PARTITION BY target ORDER BY created DESC, id DESC) AS place
            FROM unsent WHERE due IS NULL
        ) ranked WHERE ranked.place > $2)";
    let client = readers.client().await?;
    client.execute(FORGET, &[&before.as_millisecond(), &i64::from(most)]).await.map_err(failed)
}

fn read(row: &Row) -> Result<Unsent, StoreError> {
    Ok(Unsent {
        id: get(row, 0)?,
        target: get(row, 1)?,
        approval: parse_id(get(row, 2)?)?,
        notice: get(row, 3)?,
        attempts: u32::try_from(get::<i64>(row, 4)?).map_err(StoreError::corrupt)?,
        error: get(row, 5)?,
        created: time(get(row, 6)?)?,
        due: get::<Option<i64>>(row, 7)?.map(time).transpose()?,
    })
}
