//! Dead letters, for operators: messages that were given up, and how they are tried again.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    app::AppError,
    clock::{Clock as _, SystemClock},
    config::Config,
    store::messages::{Letters, Revived, Unsent, UnsentQuery},
};

/// How many are read at once.
const PAGE: usize = 500;

#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    target: &'a str,
    approval_id: &'a str,
    attempts: u32,
    error: &'a str,
    first_tried: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_try: Option<Timestamp>,
}

fn letters(config: &Config) -> Result<Letters, AppError> {
    Ok(match config.shared_store()? {
        Some((address, _)) => Letters::Database(Box::new(address)),
        None => Letters::Folder(config.data_dir.clone()),
    })
}

/// Unsent messages, dead ones alone or all, as a table or as JSON Lines. What they say is not told.
///
/// # Errors
/// Where the store can't be read.
pub async fn list(config: &Config, target: Option<String>, dead: bool, json: bool) -> Result<String, AppError> {
    let letters = letters(config)?;
    let mut query = UnsentQuery { target, dead, after: None, limit: PAGE };
    let mut text = String::new();
    if !json {
        text.push_str("ID  APPROVAL  TRIES  FIRST TRIED  NEXT TRY  ERROR\n");
    }
    loop {
        let page = letters.list(query.clone()).await.map_err(AppError::store(config))?;
        for letter in &page {
            // Writing to a String does not fail.
            let _ = writeln!(text, "{}", line(letter, json));
        }
        match page.last() {
            Some(last) if page.len() == PAGE => query.after = Some(last.id.clone()),
            _ => return Ok(text),
        }
    }
}

fn line(letter: &Unsent, json: bool) -> String {
    let Unsent { id, target, approval, attempts, error, created, due, .. } = letter;
    if json {
        let approval_id = approval.as_str();
        let line = Line { id, target, approval_id, attempts: *attempts, error, first_tried: *created, next_try: *due };
        // Of texts, numbers and times: nothing in it can fail to be written.
        return serde_json::to_string(&line).unwrap_or_default();
    }
    let next = due.map_or_else(|| "never".to_owned(), |due| due.to_string());
    format!("{id}  {approval}  {attempts}  {created}  {next}  {error}")
}

/// Makes dead letters due; how many.
///
/// # Errors
/// Where the store can't be written.
pub async fn retry(config: &Config, which: Revived) -> Result<u64, AppError> {
    letters(config)?.retry(which, SystemClock.now()).await.map_err(AppError::store(config))
}
