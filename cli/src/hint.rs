use approve_client::{Error, Reason};

use crate::login::LoginError;

/// What is wrong with what `login` left, if that is why there are no credentials.
pub(crate) fn login_error(error: &Error) -> Option<&LoginError> {
    match error {
        Error::Credentials { source, .. } => source.downcast_ref(),
        _ => None,
    }
}

/// What to do about an error, one line each.
pub(crate) fn for_error(error: &Error) -> Vec<String> {
    let one = |hint: &str| vec![hint.to_owned()];
    match error {
        Error::Connect { .. } => vec![
            "start a server here with: approve-server dev".into(),
            "or name another one with --server URL or APPROVE_SERVER".into(),
        ],
        Error::Credentials { .. } => {
            login_error(error).and_then(LoginError::hint).map(str::to_owned).into_iter().collect()
        }
        Error::Timeout { .. } => one("give it longer with --timeout"),
        Error::Refused(_) => error.reason().map(|reason| for_reason(reason, error)).unwrap_or_default(),
        _ => Vec::new(),
    }
}

fn for_reason(reason: &Reason, error: &Error) -> Vec<String> {
    let one = |hint: &str| vec![hint.to_owned()];
    match reason {
        Reason::Unauthenticated => vec![
            "show who you are with login, --token-file FILE, APPROVE_TOKEN, or --cert and --key".into(),
            "or, where the server takes your word, with --as USER".into(),
        ],
        Reason::PermissionMissing => one("what you may do, whoami tells"),
        Reason::LimitExceeded => one("try again in a moment, or ask for less at once"),
        Reason::NotAnApprover => one("who may decide, explain tells; who you are, whoami"),
        Reason::StageNotOpen => one("which stages there are and what they need, explain tells"),
        Reason::OnHold => one("until when and why, show tells; an operator's hold ends with resume"),
        Reason::Claimed => one("whoever has it, or an operator, may release it"),
        Reason::OutcomeUnknown if error.metadata("outcomes").is_none_or(str::is_empty) => {
            one("its rule has no outcomes; use --approve or --reject")
        }
        Reason::ResponseInvalid => one("what it has to fit, show tells"),
        Reason::NotTheRequester => one("whoever asked for it, or an operator, may cancel it"),
        Reason::ReassignmentLoop => one("give it to somebody who has not had it yet, or let an operator do it"),
        Reason::ApiTokenExists => one("revoke it first, or choose another name"),
        Reason::ApiTokenNotFound => one("see approve-cli token list"),
        Reason::SelfApproval => one("somebody else has to approve it"),
        Reason::CommentRequired => one("say why with --comment"),
        Reason::EtagMismatch => one("look at it again with show, then decide"),
        Reason::AlreadyDecided => decided(error).into_iter().collect(),
        Reason::AmbiguousId => ambiguous(error),
        Reason::ApprovalNotFound => one("see approve-cli list --status all"),
        Reason::RequestIdReused => one("leave --request-id out, or repeat the very same decision"),
        Reason::WorkflowNotFound => one("see approve-cli workflow list"),
        Reason::ApprovalsPending => {
            one("decide them first, or use --force: destroy makes them CANCELED, a replacing apply leaves them open")
        }
        Reason::ReplaceNeeded => one("see what would be lost with workflow plan, then use --replace"),
        Reason::WorkflowAttached => one("change it where it is defined, then run workflow attach again"),
        Reason::NotOwned => one("take it over with --adopt, or choose another name"),
        Reason::ExecutionAlreadyExists => one("choose another --name, or leave it out"),
        Reason::ExecutionNotFound => one("name it by its ARN, or name its workflow with --workflow"),
        Reason::IdentityUnavailable | Reason::StoreUnavailable | Reason::ShuttingDown | Reason::AwsUnavailable => {
            one("try again in a moment")
        }
        Reason::AwsDenied => one("the server's own AWS credentials lack a permission"),
        _ => Vec::new(),
    }
}

fn decided(error: &Error) -> Option<String> {
    let status = error.metadata("status")?.to_lowercase();
    let by = error.metadata("decided_by").filter(|by| !by.is_empty()).map(|by| format!(" by {by}")).unwrap_or_default();
    let at = error.metadata("decided_at").filter(|at| !at.is_empty()).map(|at| format!(" at {at}")).unwrap_or_default();
    Some(format!("it was {status}{by}{at}"))
}

fn ambiguous(error: &Error) -> Vec<String> {
    error
        .metadata("matches")
        .unwrap_or_default()
        .split([',', ' '])
        .filter(|id| !id.is_empty())
        .map(|id| format!("it may be {id}"))
        .collect()
}
