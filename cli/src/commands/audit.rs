use approve_client::{
    Events, ExportEvents,
    audit::{self, Anchor},
    proto::AuditEvent,
};
use futures::{StreamExt, TryStreamExt};
use serde::Serialize;

use super::{GivenId, verify};
use crate::{
    args::{AuditCommand, ExportArgs, LogArgs},
    context::{Context, principal},
    exit::Exit,
    failure::Failure,
    output::{
        audit::{EventJson, log as table},
        rule::count,
        text,
    },
};

const PAGE: u32 = 100;

pub(crate) async fn run(context: &Context, command: AuditCommand) -> Result<Exit, Failure> {
    match command {
        AuditCommand::Log(args) => log(context, args).await,
        AuditCommand::Export(args) => export(context, args).await,
        AuditCommand::Verify(args) => verify::run(context, &args),
        AuditCommand::Head => {
            let head = context.connect().await?.audit_head().await?;
            context.out.print_json_line(&Anchor::from(head))?;
            Ok(Exit::Ok)
        }
    }
}

#[derive(Serialize)]
struct ExportedJson<'a> {
    file: String,
    events: u64,
    first: i64,
    last: i64,
    hash: &'a str,
}

async fn export(context: &Context, args: ExportArgs) -> Result<Exit, Failure> {
    let mut events = ExportEvents::new().omit_payloads(args.omit_payloads);
    if let Some(from) = args.from {
        events = events.from_revision(from);
    }
    if let Some(to) = args.to {
        events = events.to_revision(to);
    }
    let client = context.connect().await?;
    let exported = audit::export(&client, events, &args.out).await.map_err(Failure::export)?;
    let file = args.out.display().to_string();
    if context.json() {
        let audit::Exported { events, first, last, hash } = &exported;
        context.out.print_json(&ExportedJson { file, events: *events, first: *first, last: *last, hash })?;
    } else {
        let range = match exported.events {
            0 => "no events".to_owned(),
            n => format!("{}, {} to {}", count(n, "event"), exported.first, exported.last),
        };
        context.out.print(&format!("{range}: {}\n", text::line(&file)))?;
        context.out.advise(&format!("check it: approve-cli audit verify {}", text::line(&file)));
    }
    Ok(Exit::Ok)
}

async fn log(context: &Context, args: LogArgs) -> Result<Exit, Failure> {
    let client = context.connect().await?;
    let limit = args.limit as usize;
    // One more than is shown tells whether there are more.
    let mut events = Events::new().page_size(args.limit.saturating_add(1).min(PAGE));
    if let Some(id) = args.approval {
        events = events.approval(GivenId::new(&id).whole(&client).await?);
    }
    if let Some(actor) = args.by {
        events = events.actor(principal(&actor));
    }
    if let Some(workflow) = args.workflow {
        events = events.workflow(workflow);
    }
    for event_type in args.types {
        events = events.event_type(event_type);
    }
    let too_far = || Failure::input("such a time is out of range");
    if let Some(since) = args.since {
        events = events.since(since.ago().ok_or_else(too_far)?);
    }
    if let Some(until) = args.until {
        events = events.until(until.ago().ok_or_else(too_far)?);
    }
    let mut events: Vec<AuditEvent> = client.events_all(events).take(limit.saturating_add(1)).try_collect().await?;
    let more = events.len() > limit;
    events.truncate(limit);
    if context.json() {
        let events: Vec<_> = events.iter().map(EventJson::from).collect();
        context.out.print_json(&events)?;
    } else if events.is_empty() {
        context.out.note("no event that matches");
    } else {
        context.out.print(&table(&events, &context.out.now(), context.out.style))?;
    }
    if more {
        context.out.note(&format!("there are more than {limit}; see them with --limit"));
    }
    Ok(Exit::Ok)
}
