//! The record of events as a file: written by [`export`], and checked by [`verify`] without a server.
//!
//! The file is JSON Lines. The first line tells where it begins, the last one where it ends, each line between is an
//! event:
//!
//! ```text
//! {"approve_audit":1,"from":1,"previous_hash":"0000…"}
//! {"hash":"5c1e…","record":{"revision":1,…},"payloads":{"44dc…":"{\"amount\": 1200.50}"}}
//! {"approve_audit_end":1,"to":1,"hash":"5c1e…"}
//! ```
//!
//! An event's hash is the SHA-256 of the hash before it as 64 hexadecimal digits, a line feed, and the exact text of
//! `record`. Payloads are there by the SHA-256 of their text, or left out.
//!
//! What a server has archived is several such files, each of which follows on the one before it, and files of finished
//! approvals beside them: [`verify_files`] takes them together.
//!
//! Whoever can write to the database can write another record and chain it anew. That shows in an [`Anchor`] that was
//! taken before, and kept where they can't write: [`verify`] compares with as many as it is given.

mod anchor;
mod archive;
mod export;
mod line;
mod problem;
mod replay;
mod verify;
#[cfg(test)]
mod verify_tests;

pub use anchor::{Anchor, AnchorError, PublicKey, PublicKeyError};
pub use export::{ExportError, Exported, export};
pub use problem::{FileError, VerifyError};
pub use replay::{Replay, ReplayError};
pub use verify::{Options, Report, verify, verify_files};
