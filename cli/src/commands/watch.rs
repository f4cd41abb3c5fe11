use std::{
    collections::HashMap,
    io::{self, IsTerminal as _},
};

use approve_client::{Approval, ApprovalStatus, Watch, WatchEvent};
use futures::StreamExt;
use serde::Serialize;

use crate::{
    args::WatchArgs,
    context::Context,
    exit::Exit,
    failure::{self, Failure},
    live,
    output::{approval, json::ApprovalJson, names::Name, progress, text},
};

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum EventJson<'a> {
    Upserted { approval: Box<ApprovalJson<'a>> },
    Removed { id: &'a str, status: String, revision: i64 },
    Synced { revision: i64 },
    Reset,
}

pub(crate) async fn run(context: &Context, args: WatchArgs) -> Result<Exit, Failure> {
    // The first connection must work: what fails at once is better told than tried for ever.
    let client = context.connect().await?;
    let mut events = client.watch(Watch::new().filter(super::filter(args.filter)));
    if !args.lines && !context.json() && has_screen() {
        return live::run(context, &client, events).await;
    }
    let mut printer = Printer::new(context);
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    loop {
        let event = tokio::select! {
            biased;
            signal = &mut interrupted => {
                signal.map_err(Failure::Runtime)?;
                return Ok(Exit::Interrupted);
            }
            event = events.next() => event,
        };
        match event {
            Some(event) => printer.event(event?)?,
            None => return Ok(Exit::Ok),
        }
    }
}

/// Whether there is a person at a terminal that can show more than lines.
fn has_screen() -> bool {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    let has_room = || crossterm::terminal::size().is_ok_and(|(columns, rows)| columns > 0 && rows > 0);
    io::stdin().is_terminal() && io::stdout().is_terminal() && !dumb && has_room()
}

/// What was printed about an approval.
struct Printed {
    etag: String,
    title: String,
    /// Told before the last Reset, and not since.
    stale: bool,
}

struct Printer<'a> {
    context: &'a Context,
    printed: HashMap<String, Printed>,
    connected: bool,
    synced_once: bool,
}

impl<'a> Printer<'a> {
    fn new(context: &'a Context) -> Self {
        Self { context, printed: HashMap::new(), connected: true, synced_once: false }
    }

    fn event(&mut self, event: WatchEvent) -> Result<(), Failure> {
        if self.context.json() {
            self.json(&event)?;
        }
        match event {
            WatchEvent::Upserted(approval) => self.upserted(&approval),
            WatchEvent::Removed { id, status, .. } => self.removed(&id, Some(status)),
            WatchEvent::Synced { .. } => self.synced(),
            WatchEvent::Reset => {
                self.printed.values_mut().for_each(|printed| printed.stale = true);
                Ok(())
            }
            WatchEvent::Disconnected { cause, .. } => {
                // Told once; how often it is tried since then is of no interest.
                if std::mem::take(&mut self.connected) {
                    let cause = text::line(&failure::line(&*cause));
                    self.context.out.note(&format!("{cause}; reconnecting"));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn json(&self, event: &WatchEvent) -> Result<(), Failure> {
        let event = match event {
            WatchEvent::Upserted(approval) => {
                EventJson::Upserted { approval: Box::new(ApprovalJson::from(&**approval)) }
            }
            WatchEvent::Removed { id, status, revision } => {
                EventJson::Removed { id, status: ApprovalStatus::lower((*status).into()), revision: *revision }
            }
            WatchEvent::Synced { revision } => EventJson::Synced { revision: *revision },
            WatchEvent::Reset => EventJson::Reset,
            _ => return Ok(()),
        };
        self.context.out.print_json_line(&event)
    }

    /// After a Reset the same approvals are told again: only what is different from what was printed is printed.
    fn upserted(&mut self, approval: &Approval) -> Result<(), Failure> {
        let before = self.printed.insert(
            approval.id.clone(),
            Printed { etag: approval.etag.clone(), title: approval.title.clone(), stale: false },
        );
        let style = self.context.out.style;
        let sign = match before {
            None => style.green("+"),
            Some(before) if before.stale && before.etag == approval.etag => return Ok(()),
            Some(_) => style.yellow("~"),
        };
        let mut facts = Vec::new();
        if !approval.requester.is_empty() {
            facts.push(text::line(&approval.requester));
        }
        if !approval.votes.is_empty() {
            facts.push(progress::line(approval));
        }
        let note = progress::note(approval, &self.context.out.now());
        if !note.is_empty() {
            facts.push(note);
        }
        if let Some(expires) = approval::expires(approval, &self.context.out.now()) {
            facts.push(format!("expires {expires}"));
        }
        self.line(&sign, &approval.id, &approval.title, &facts)
    }

    fn removed(&mut self, id: &str, status: Option<ApprovalStatus>) -> Result<(), Failure> {
        let title = self.printed.remove(id).map(|printed| printed.title);
        let how = match status {
            Some(ApprovalStatus::Pending) => "no longer matches".to_owned(),
            Some(status) => ApprovalStatus::name(status.into()).to_owned(),
            None => "no longer pending".to_owned(),
        };
        let sign = self.context.out.style.red("-");
        self.line(&sign, id, &title.unwrap_or_default(), &[how])
    }

    fn synced(&mut self) -> Result<(), Failure> {
        let gone: Vec<String> =
            self.printed.iter().filter(|(_, printed)| printed.stale).map(|(id, _)| id.clone()).collect();
        for id in gone {
            self.removed(&id, None)?;
        }
        let reconnected = !std::mem::replace(&mut self.connected, true);
        if !std::mem::replace(&mut self.synced_once, true) {
            let pending = self.printed.len();
            self.context.out.note(&format!("{pending} pending; watching, Ctrl-C ends it"));
        } else if reconnected {
            self.context.out.note("connected again, nothing was missed");
        }
        Ok(())
    }

    fn line(&self, sign: &str, id: &str, title: &str, facts: &[String]) -> Result<(), Failure> {
        if self.context.json() {
            return Ok(());
        }
        let out = &self.context.out;
        let clock = out.style.dim(&out.now().clock());
        let mut line = format!("{clock} {sign} {}  {}", text::line(id), text::line(title));
        for fact in facts {
            line.push_str("  ");
            line.push_str(fact);
        }
        out.print(&(line + "\n"))
    }
}
