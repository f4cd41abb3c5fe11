//! What changes while somebody looks at a page, as server-sent events. Nothing on a page moves by itself: what is new is
//! counted in a bar, and what is gone is said in its own row.

use std::{collections::HashSet, convert::Infallible, sync::Arc, time::Duration};

use askama::Template;
use axum::{
    extract::State,
    response::{
        IntoResponse as _, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::stream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Web, answer::Problem, fields::Fields, list::Search, session::Visitor};
use crate::{
    approval::ApprovalId,
    auth::{Permission, Slot},
    operations::OperationError,
    store::{Filter, Revision},
    watch::{Subscription, Update},
};

/// How often a sign of life is sent.
const ALIVE: Duration = Duration::from_secs(15);
/// The most that are counted.
const MAX_NEW: usize = 999;

/// What is said in the bar above a list.
#[derive(Template)]
#[template(path = "news.html")]
struct News {
    text: String,
    href: String,
    /// Whether it takes the list's place alone.
    list: bool,
}

impl News {
    fn event(&self) -> Event {
        Event::default().event("news").data(self.render().unwrap_or_default())
    }
}

struct Live {
    web: Arc<Web>,
    subscription: Subscription,
    filter: Filter,
    href: String,
    /// Of one approval.
    one: bool,
    new: HashSet<ApprovalId>,
    waiting: Vec<Event>,
    until: Instant,
    /// What its visitor may see is another by then.
    replaced: CancellationToken,
    /// Holds their place.
    _visitor: Visitor,
}

pub(super) async fn stream(State(web): State<Arc<Web>>, mut visitor: Visitor, fields: Fields) -> Response {
    if let Err(error) = visitor.take(&web, Slot::Stream) {
        return Problem::from(OperationError::Auth(error)).page(Some(&visitor));
    }
    let replaced = web.authenticator.replaced();
    let (filter, href, one) = match fields.some("approval").map(str::parse::<ApprovalId>) {
        Some(Ok(id)) => {
            let visible = visitor.caller.scopes(Permission::View);
            let filter = Filter { text: Some(id.to_string()), visible, ..Filter::default() };
            (filter, format!("/approvals/{id}"), true)
        }
        Some(Err(_)) => return Problem::not_found().page(Some(&visitor)),
        None => {
            let search = Search::read(&web, &visitor, &fields);
            (search.filter(&visitor, !search.all), format!("/?{}", search.query(&[])), false)
        }
    };
    let Ok(since) = fields.get("since").parse::<Revision>() else {
        return Problem::bad("Expected a revision.").page(Some(&visitor));
    };
    web.hub.reach(since).await;
    let subscription = match web.hub.subscribe(filter.clone(), Some(since)) {
        Ok(subscription) => subscription,
        Err(_) => return Problem::bad("The page is of another time: load it again.").page(Some(&visitor)),
    };
    let live = Live {
        until: Instant::now() + visitor.left,
        replaced,
        subscription,
        filter,
        href,
        one,
        new: HashSet::new(),
        waiting: Vec::new(),
        _visitor: visitor,
        web,
    };
    let events = stream::unfold(live, |mut live| async move {
        let event = live.next().await?;
        Some((Ok::<_, Infallible>(event), live))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE)).into_response()
}

impl Live {
    /// The next event; none at the end of the session, or of the server.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop() {
                return Some(event);
            }
            let updates = tokio::select! {
                () = self.web.closing.cancelled() => return None,
                // Browsers come again by themselves.
                () = self.replaced.cancelled() => return None,
                () = tokio::time::sleep_until(self.until) => return None,
                updates = self.subscription.next() => updates,
            };
            match updates {
                Ok(updates) => self.take(updates),
                // The browser comes again, and is told of all that is new since its page.
                Err(_) => return None,
            }
        }
    }

    fn take(&mut self, updates: Vec<Update>) {
        let before = self.new.len();
        let mut changed = false;
        for update in updates {
            match update {
                Update::Upserted(entry) => {
                    let approval = entry.approval();
                    changed = true;
                    if self.one {
                        continue;
                    }
                    if entry.is_new_to(&self.filter) || self.new.contains(&approval.id) {
                        if self.new.len() < MAX_NEW {
                            self.new.insert(approval.id.clone());
                        }
                    } else {
                        self.waiting.push(row(&approval.id, "Changed: open it to see."));
                    }
                }
                Update::Removed { id, status, .. } => {
                    changed = true;
                    if !self.one && !self.new.remove(&id) {
                        let status = super::view::status(status);
                        let text = match status.text {
                            "Pending" => "No longer waits for you.".to_owned(),
                            other => format!("{other} meanwhile."),
                        };
                        self.waiting.push(row(&id, &text));
                    }
                }
                Update::Found(_) | Update::Synced(_) => {}
            }
        }
        if self.one && changed {
            let text = "This has changed since you opened it \u{2014} show it as it is now".to_owned();
            self.waiting.push(News { text, href: self.href.clone(), list: false }.event());
        } else if self.new.len() != before {
            self.waiting.push(self.news().event());
        }
    }

    fn news(&self) -> News {
        let text = match self.new.len() {
            0 => String::new(),
            MAX_NEW => format!("{MAX_NEW} or more new \u{2014} show"),
            many => format!("{many} new \u{2014} show"),
        };
        News { text, href: self.href.clone(), list: true }
    }
}

/// What is said in a row, by the name of its approval.
fn row(id: &ApprovalId, text: &str) -> Event {
    Event::default().event(id.as_str()).data(text)
}
