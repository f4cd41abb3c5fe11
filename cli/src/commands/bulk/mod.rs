//! Deciding several approvals: what would happen is shown first, then each is decided, and each result told.

mod plan;
mod run;

use std::{collections::HashSet, io::Read as _};

use approve_client::{Approval, Client, Decision, Error, List};
use futures::{StreamExt as _, TryStreamExt as _, stream};

pub(crate) use self::plan::{Fate, Planned};
use super::{GivenId, decide::read_response, prompt};
use crate::{
    args::{BulkArgs, BulkDecision},
    context::Context,
    exit::Exit,
    failure::Failure,
    output::bulk,
};

/// How many a page of the list holds.
const PAGE: u32 = 200;

/// What is done to all.
#[derive(Clone, Debug)]
struct Order {
    decision: Decision,
    comment: String,
    response: String,
    wait: bool,
    at_once: usize,
}

pub(crate) async fn run(context: &Context, args: BulkArgs) -> Result<Exit, Failure> {
    let from_stdin = args.ids.iter().any(|id| id == "-");
    if args.ids.is_empty() != args.filter.is_set() {
        let what = "say which: ids, \"-\" for ids from stdin, or a filter such as --mine; and not both";
        return Err(Failure::Usage(what.into()));
    }
    if !args.yes && !args.dry_run && (from_stdin || !prompt::is_possible()) {
        return Err(Failure::Usage("say --yes, or --dry-run: there is no terminal to ask on".into()));
    }
    let order = Order {
        decision: match args.decision {
            BulkDecision::Approve => Decision::Approve,
            BulkDecision::Reject => Decision::Reject,
        },
        comment: args.comment.clone().unwrap_or_default(),
        response: args.response.as_deref().map(read_response).transpose()?.unwrap_or_default(),
        wait: !args.no_wait,
        at_once: args.at_once.into(),
    };
    let ids = read_ids(&args.ids)?;
    let client = context.connect().await?;
    let found = if ids.is_empty() { matching(&client, &args).await? } else { named(&client, ids, &args).await? };
    let planned = plan::all(&client, found, &order).await?;
    if planned.is_empty() {
        context.out.note("there is none to decide");
        return Ok(Exit::Ok);
    }
    context.out.note(bulk::plan(&planned, order.decision, &context.out.now()).trim_end());
    let open = planned.iter().filter(|planned| matches!(planned.fate, Fate::Open { .. })).count();
    if args.dry_run {
        context.out.note("nothing was decided");
        return Ok(Exit::Ok);
    }
    if open > 0 && !args.yes && !agreed(&order, open).await? {
        context.out.note("nothing was decided");
        return Ok(Exit::Ok);
    }
    run::all(context, &client, planned, &order).await
}

async fn agreed(order: &Order, open: usize) -> Result<bool, Failure> {
    let what = if order.decision == Decision::Approve { "Approve" } else { "Reject" };
    let answer = prompt::ask(&format!("{what} {open}? [y/N] ")).await?;
    Ok(answer.is_some_and(|answer| matches!(answer.to_lowercase().as_str(), "y" | "yes")))
}

/// The ids in their order, each once.
fn read_ids(given: &[String]) -> Result<Vec<String>, Failure> {
    let mut ids: Vec<String> = Vec::new();
    for id in given {
        if id == "-" {
            let mut text = String::new();
            let failed = |source| Failure::Read { what: "can't read stdin".into(), source };
            std::io::stdin().read_to_string(&mut text).map_err(failed)?;
            ids.extend(text.split_whitespace().map(|id| GivenId::new(id).0));
        } else {
            ids.push(GivenId::new(id).0);
        }
    }
    let mut seen = HashSet::new();
    ids.retain(|id| seen.insert(id.clone()));
    if ids.is_empty() && !given.is_empty() {
        return Err(Failure::input("there is no id on stdin"));
    }
    Ok(ids)
}

fn too_many(limit: u32) -> Failure {
    Failure::Precondition { what: format!("there are more than {limit}; narrow it down, or raise --limit") }
}

/// Whatever is asked for, by its id or its beginning.
type Found = (String, Result<Approval, Error>);

async fn named(client: &Client, ids: Vec<String>, args: &BulkArgs) -> Result<Vec<Found>, Failure> {
    if ids.len() > args.limit as usize {
        return Err(too_many(args.limit));
    }
    let get = |id: String| async move {
        let got = client.get(id.as_str()).await;
        (id, got)
    };
    let mut found: Vec<Found> = stream::iter(ids).map(get).buffered(args.at_once.into()).collect().await;
    // Two beginnings may name the same.
    let mut seen = HashSet::new();
    found.retain(|(_, got)| got.as_ref().map_or(true, |approval| seen.insert(approval.id.clone())));
    Ok(found)
}

async fn matching(client: &Client, args: &BulkArgs) -> Result<Vec<Found>, Failure> {
    let list = List::pending().filter(super::filter(args.filter.clone())).oldest_first().page_size(PAGE);
    let limit = args.limit as usize;
    let approvals: Vec<Approval> = client.list_all(list).take(limit.saturating_add(1)).try_collect().await?;
    if approvals.len() > limit {
        return Err(too_many(args.limit));
    }
    Ok(approvals.into_iter().map(|approval| (approval.id.clone(), Ok(approval))).collect())
}
