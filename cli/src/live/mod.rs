//! `watch` on a terminal: a table of what is pending, in which it can be decided.
//!
//! [`state`] is pure: events and keys in, what to send out. [`draw`] makes a picture of it. This file does the rest.

mod draw;
mod keys;
mod state;
mod terminal;

use std::time::Duration;

use approve_client::{Client, Decide, Decided, Error, WatchStream};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::time::MissedTickBehavior;

use self::{
    keys::Wish,
    state::{Live, Sent},
    terminal::{Signals, Terminal},
};
use crate::{context::Context, exit::Exit, failure::Failure};

/// How often the countdowns are drawn anew.
const TICK: Duration = Duration::from_secs(1);
/// How many changes are taken in before the table is drawn again.
const BURST: usize = 1000;

type Sending = FuturesUnordered<BoxFuture<'static, Sent>>;

pub(crate) async fn run(context: &Context, client: &Client, events: WatchStream) -> Result<Exit, Failure> {
    let mut live = Live::new(context.settings.url());
    let mut sending = Sending::new();
    let mut signals = Signals::listen().map_err(Failure::Runtime)?;
    let mut terminal = Terminal::enter().map_err(Failure::Output)?;
    let ended = follow(context, client, events, &mut live, &mut sending, &mut terminal, &mut signals).await;
    terminal.leave().await;
    if !sending.is_empty() {
        context.out.note("waiting for the last decision; Ctrl-C leaves it");
    }
    loop {
        tokio::select! {
            () = signals.any() => return Ok(Exit::Interrupted),
            sent = sending.next() => match sent {
                Some(sent) => context.out.note(&state::told(&sent, &context.out.now())),
                None => return ended,
            },
        }
    }
}

async fn follow(
    context: &Context,
    client: &Client,
    mut events: WatchStream,
    live: &mut Live,
    sending: &mut Sending,
    terminal: &mut Terminal,
    signals: &mut Signals,
) -> Result<Exit, Failure> {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let now = context.out.now();
        terminal.screen.draw(live, &now, context.out.style).map_err(Failure::Output)?;
        tokio::select! {
            biased;
            () = signals.any() => return Ok(Exit::Interrupted),
            key = terminal.input.next() => match key.map_err(Failure::Output)? {
                Some(key) => match live.key(key) {
                    Some(Wish::Quit) => return Ok(Exit::Ok),
                    Some(Wish::Interrupt) => return Ok(Exit::Interrupted),
                    Some(Wish::Decide { decide, title }) => sending.push(send(client.clone(), *decide, title)),
                    None => {}
                },
                // The terminal has gone.
                None => return Ok(Exit::Interrupted),
            },
            Some(sent) = sending.next() => live.sent(&sent, &now),
            event = events.next() => {
                let mut event = event;
                for _ in 0..BURST {
                    match event {
                        Some(event) => live.event(event?, now.at),
                        None => return Ok(Exit::Ok),
                    }
                    match events.next().now_or_never() {
                        Some(next) => event = next,
                        None => break,
                    }
                }
            }
            _ = tick.tick() => {}
        }
    }
}

fn send(client: Client, decide: Decide, title: String) -> BoxFuture<'static, Sent> {
    async move {
        let result: Result<Decided, Error> = client.decide(decide).await;
        Sent { title, result }
    }
    .boxed()
}
