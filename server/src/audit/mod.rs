//! The record of everything that happened, written so that nobody changes it unseen. Pure, but for `anchor`.
//!
//! Each event is one line of JSON, its record, and has a hash over the hash before it and the record's exact text. What
//! is kept is that text: nothing that lists, exports or verifies it ever writes it anew. Payloads are in it by their
//! SHA-256 alone, so that they can be left out, or deleted, and the chain still holds.

mod anchor;
mod chain;
mod event;
mod record;
mod refusals;
mod sign;

pub use self::{
    anchor::Anchors,
    chain::{ChainHead, Hash},
    event::AdminEvent,
    record::{Described, Record, RecordFacts, Subject, describe, harmless},
    refusals::{Attempt, MAX_CALLERS, MAX_TOLD, Refusals, Repeated, WINDOW},
    sign::{BadKey, SignedHead, SigningKey},
};
