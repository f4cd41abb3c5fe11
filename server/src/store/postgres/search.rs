//! The indexes of what lists look for: whether they can be used, and how what is not in them yet gets there.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{
    connection::failed,
    flush::by_term,
    load,
    readers::Readers,
    rows::{get, limit as sql_limit, parse_id},
};
use crate::{
    approval::{Request, Status},
    store::{
        StoreError,
        codec::decode,
        search::{Indexes, document},
    },
};

/// So many approvals are put into the indexes at a time: as long as that takes, nobody writes.
const PIECE: usize = 100;
/// How long others are left alone between two of those.
const PAUSE: Duration = Duration::from_millis(5);
/// How often it is looked whether a server of an earlier version wrote some.
const LOOK: Duration = Duration::from_secs(10);

pub(super) const STATE: &str =
    "SELECT indexed >= number, to_regclass('texts_text') IS NOT NULL, indexed, number FROM head";
pub(super) const NOT_YET: &str = "SELECT a.number, a.id, a.status, r.request
    FROM approvals a JOIN requests r ON r.approval = a.number
    WHERE a.number > $1 ORDER BY a.number LIMIT $2";
const PUT_TERMS: &str = "INSERT INTO waiting (term, approval_id) SELECT * FROM unnest($1::text[], $2::text[])
    ON CONFLICT DO NOTHING";
const PUT_TEXTS: &str = "INSERT INTO texts (approval_id, text) SELECT * FROM unnest($1::text[], $2::text[])
    ON CONFLICT DO NOTHING";
const NOTE: &str = "UPDATE head SET indexed = $1 WHERE indexed = $2";

/// Those that can be used to look for a text.
pub(super) async fn indexes(readers: &Readers, text: Option<&str>) -> Result<Indexes, StoreError> {
    let row = readers.first(STATE, &[]).await?;
    let (complete, texts) = row.map_or(Ok((false, false)), |row| Ok((get(&row, 0)?, get(&row, 1)?)))?;
    let text = complete && texts && text.is_some_and(can_be_looked_for);
    Ok(Indexes { waiting: complete, text, text_in_order: false })
}

/// Whether the index tells anything of a text: it knows letters and digits, three in a row.
fn can_be_looked_for(text: &str) -> bool {
    text.as_bytes().windows(3).any(|three| three.iter().all(u8::is_ascii_alphanumeric))
}

/// A pattern of texts that hold this one.
pub(super) fn pattern(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for c in crate::store::search::folded(text).chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

/// Puts into the indexes what is not in them, until told to stop.
pub(super) async fn catch_up(readers: Readers, stop: CancellationToken) {
    loop {
        let pause = match piece(&readers).await {
            Ok(true) => PAUSE,
            Ok(false) => LOOK,
            Err(StoreError::Closed) => return,
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "older approvals are indexed later");
                LOOK
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(pause) => {}
        }
    }
}

/// Puts a few approvals into the indexes; whether there may be more.
async fn piece(readers: &Readers) -> Result<bool, StoreError> {
    let Some(row) = readers.first(STATE, &[]).await? else { return Ok(false) };
    let (indexed, number): (i64, i64) = (get(&row, 2)?, get(&row, 3)?);
    if indexed >= number {
        return Ok(false);
    }
    let mut client = readers.client().await?;
    let transaction = client.transaction().await.map_err(failed)?;
    // What is read is as it is until it is written: nothing is decided, or archived, meanwhile.
    transaction.query(load::HEAD, &[]).await.map_err(failed)?;
    let rows = transaction.query(NOT_YET, &[&indexed, &sql_limit(PIECE)]).await.map_err(failed)?;
    let (mut terms, mut waiting) = (Vec::new(), Vec::new());
    let (mut ids, mut texts) = (Vec::new(), Vec::new());
    let mut last = number;
    for row in &rows {
        let (id, status): (&str, &str) = (get(row, 1)?, get(row, 2)?);
        let (id, request): (_, Request) = (parse_id(id)?, decode(get(row, 3)?)?);
        if status == Status::Pending.name() {
            for (term, id) in by_term(&id, &request) {
                terms.push(term);
                waiting.push(id);
            }
        }
        texts.push(document(&id, &request));
        ids.push(id.to_string());
        if rows.len() == PIECE {
            last = get(row, 0)?;
        }
    }
    transaction.execute(PUT_TERMS, &[&terms, &waiting]).await.map_err(failed)?;
    transaction.execute(PUT_TEXTS, &[&ids, &texts]).await.map_err(failed)?;
    // Another server may have done the same.
    transaction.execute(NOTE, &[&last, &indexed]).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_in_a_pattern_does_not() {
        assert_eq!(pattern("50%_OFF\\\0!"), "%50\\%\\_off\\\\!%");
    }

    #[test]
    fn the_index_knows_words() {
        for (text, known) in [("invoice", true), ("a-b-c", false), ("Zürich", true), ("ab", false), ("4711", true)] {
            assert_eq!(can_be_looked_for(text), known, "{text}");
        }
    }
}
