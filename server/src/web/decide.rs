//! Deciding, from whichever page: what a form says becomes the same operation as a call's.

use std::{collections::BTreeMap, sync::Arc};

use sha2::{Digest as _, Sha256};

use super::{Web, fields::Fields, view};
use crate::{
    approval::{Approval, ApprovalId, Refusal},
    auth::Caller,
    operations::{Decide, OperationError},
    store::RequestKey,
};

/// Why a form did not decide.
pub(super) enum Undecided {
    /// What it says is not enough, by field.
    Form(BTreeMap<String, String>),
    /// It says nothing that could be decided.
    NoChoice,
    /// It was refused, or failed.
    Failed(OperationError),
}

impl From<OperationError> for Undecided {
    fn from(error: OperationError) -> Self {
        match error {
            OperationError::Refused(Refusal::CommentRequired) => {
                Self::Form(BTreeMap::from([("comment".to_owned(), view::refusal(&Refusal::CommentRequired))]))
            }
            OperationError::Field { field: "comment", .. } => {
                Self::Form(BTreeMap::from([("comment".to_owned(), "That is too long.".to_owned())]))
            }
            error => Self::Failed(error),
        }
    }
}

/// Decides as a form says, for whoever sent it.
///
/// # Errors
/// Why not. Nothing was decided then.
pub(super) async fn decide(
    web: &Web,
    caller: &Caller,
    approval: &Approval,
    said: &Fields,
) -> Result<Arc<Approval>, Undecided> {
    let (choice, decision) = view::choice_of(approval, said.get("choice")).ok_or(Undecided::NoChoice)?;
    let response = view::response_of(approval, decision, said).map_err(Undecided::Form)?;
    let comment = said.get("comment").trim().replace("\r\n", "\n");
    // Without one it would be decided whatever it has become.
    let etag = said.some("etag").unwrap_or("none").to_owned();
    let key = key(caller, &approval.id, said.get("request_id"), &[said.get("choice"), &comment, &response, &etag]);
    let decide = Decide { choice, comment, response, etag: Some(etag), call: None };
    let (approval, _) = web.operations.decide(caller, &approval.id, decide, key).await?;
    Ok(approval)
}

/// Makes a form safe to send twice: the second time gets the first answer.
fn key(caller: &Caller, id: &ApprovalId, request_id: &str, body: &[&str]) -> Option<RequestKey> {
    let is_one =
        !request_id.is_empty() && request_id.len() <= 64 && request_id.bytes().all(|byte| byte.is_ascii_graphic());
    let mut digest = Sha256::new();
    for part in [id.as_str()].iter().chain(body) {
        digest.update(part.len().to_be_bytes());
        digest.update(part);
    }
    is_one.then(|| RequestKey {
        caller: caller.key(),
        id: format!("web {request_id}"),
        fingerprint: digest.finalize().into(),
    })
}
