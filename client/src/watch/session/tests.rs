use approve_proto::{
    ERROR_DOMAIN,
    v1::{Approval, ApprovalStatus, Bookmark, RemovedApproval},
};
use proptest::prelude::*;
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt};

use super::*;

const MIN: Duration = Duration::from_millis(100);
const MAX: Duration = Duration::from_secs(10);

fn session(token: Option<&str>) -> Session {
    Session::new(token.map(str::to_owned), false, Backoff::new(MIN, MAX))
}

fn response(change: Change, token: &str) -> StreamPendingApprovalsResponse {
    StreamPendingApprovalsResponse { change: Some(change), resume_token: token.to_owned() }
}

fn upserted(id: &str, token: &str) -> StreamPendingApprovalsResponse {
    response(Change::Upserted(Approval { id: id.to_owned(), ..Approval::default() }), token)
}

fn removed(id: &str, token: &str) -> StreamPendingApprovalsResponse {
    let status = ApprovalStatus::Approved.into();
    response(Change::Removed(RemovedApproval { id: id.to_owned(), status, revision: 7 }), token)
}

fn bookmark(synced: bool, token: &str) -> StreamPendingApprovalsResponse {
    response(Change::Bookmark(Bookmark { synced, revision: 5 }), token)
}

fn tell(session: &mut Session, message: StreamPendingApprovalsResponse) -> Vec<String> {
    session.message(message).map(|event| name(&event)).collect()
}

fn name(event: &WatchEvent) -> String {
    match event {
        WatchEvent::Upserted(approval) => format!("+{}", approval.id),
        WatchEvent::Removed { id, status, .. } => format!("-{id} {}", status.as_str_name()),
        WatchEvent::Synced { revision } => format!("synced {revision}"),
        WatchEvent::Reset => "reset".to_owned(),
        WatchEvent::Disconnected { .. } => "disconnected".to_owned(),
    }
}

fn refused(code: Code, reason: &str) -> Error {
    let details = ErrorDetails::with_error_info(reason, ERROR_DOMAIN, []);
    Error::from_status(Status::with_error_details(code, "refused", details), MAX)
}

#[track_caller]
fn waits(next: Next) -> Duration {
    match next {
        Next::Wait(WatchEvent::Disconnected { retry_in, .. }, delay) => {
            assert_eq!(retry_in, delay);
            delay
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn changes_are_told_and_the_token_kept() {
    let mut session = session(None);
    assert_eq!(tell(&mut session, upserted("a", "")), ["+a"]);
    assert_eq!(session.resume_token(), None);
    assert_eq!(tell(&mut session, bookmark(true, "t5")), ["synced 5"]);
    assert_eq!(tell(&mut session, removed("a", "t7")), ["-a APPROVAL_STATUS_APPROVED"]);
    assert_eq!(tell(&mut session, bookmark(false, "t9")), [""; 0]);
    assert_eq!(session.resume_token(), Some("t9"));
}

#[test]
fn a_lost_live_stream_resumes_without_a_reset() {
    let mut session = session(None);
    tell(&mut session, upserted("a", ""));
    tell(&mut session, bookmark(true, "t5"));
    waits(session.lost(ended(), 0.5));
    assert_eq!(session.resume_token(), Some("t5"));
    assert_eq!(tell(&mut session, upserted("b", "t6")), ["+b"]);
}

#[test]
fn a_lost_snapshot_starts_over_with_one_reset() {
    let mut session = session(None);
    tell(&mut session, upserted("a", ""));
    waits(session.lost(ended(), 0.5));
    waits(session.lost(ended(), 0.5));
    assert_eq!(session.resume_token(), None);
    assert_eq!(tell(&mut session, upserted("a", "")), ["reset", "+a"]);
    assert_eq!(tell(&mut session, bookmark(true, "t5")), ["synced 5"]);
}

#[test]
fn where_nothing_was_told_there_is_nothing_to_reset() {
    let mut session = session(None);
    waits(session.lost(ended(), 0.5));
    assert_eq!(tell(&mut session, upserted("a", "")), ["+a"]);
}

#[test]
fn a_compacted_token_is_dropped_and_the_snapshot_follows_a_reset() {
    for given in [None, Some("t1")] {
        let mut session = session(given);
        if given.is_none() {
            tell(&mut session, bookmark(true, "t1"));
        }
        let next = session.lost(refused(Code::OutOfRange, "REVISION_COMPACTED"), 0.5);
        assert!(matches!(next, Next::Reopen), "{next:?}");
        assert_eq!(session.resume_token(), None);
        assert_eq!(tell(&mut session, bookmark(true, "t5")), ["reset", "synced 5"]);
    }
}

#[test]
fn a_reset_waits_for_the_new_snapshot_over_any_number_of_failures() {
    let mut session = session(Some("t1"));
    session.lost(refused(Code::OutOfRange, "REVISION_COMPACTED"), 0.5);
    waits(session.lost(ended(), 0.5));
    waits(session.lost(ended(), 0.5));
    assert_eq!(tell(&mut session, upserted("a", "")), ["reset", "+a"]);
    assert_eq!(tell(&mut session, upserted("b", "")), ["+b"]);
}

#[test]
fn an_invalid_token_is_the_callers_fault_only_if_the_caller_brought_it() {
    let invalid = || refused(Code::InvalidArgument, "RESUME_TOKEN_INVALID");
    assert!(matches!(session(Some("mine")).lost(invalid(), 0.5), Next::Fail(_)));
    let mut session = session(Some("mine"));
    tell(&mut session, bookmark(true, "theirs"));
    assert!(matches!(session.lost(invalid(), 0.5), Next::Reopen));
    assert_eq!(session.resume_token(), None);
    assert!(matches!(session.lost(invalid(), 0.5), Next::Fail(_)), "no loop without a token");
}

#[test]
fn what_trying_again_would_not_mend_ends_the_watch() {
    for (code, reason) in [
        (Code::InvalidArgument, "INVALID_FIELD"),
        (Code::Unauthenticated, "UNAUTHENTICATED"),
        (Code::PermissionDenied, "SOMETHING_NEW"),
        (Code::Unimplemented, "UNIMPLEMENTED"),
        // A message over the size limit is OUT_OF_RANGE too.
        (Code::OutOfRange, "SOMETHING_ELSE"),
    ] {
        let next = session(Some("t1")).lost(refused(code, reason), 0.5);
        assert!(matches!(next, Next::Fail(ref error) if error.code() == code), "{next:?}");
    }
    for code in [Code::Unavailable, Code::Internal, Code::Unknown, Code::ResourceExhausted] {
        waits(session(Some("t1")).lost(refused(code, "SHUTTING_DOWN"), 0.5));
    }
}

#[test]
fn waits_grow_and_any_message_takes_them_back() {
    let mut session = session(None);
    let waited: Vec<_> = (0..4).map(|_| waits(session.lost(ended(), 1.0)).as_millis()).collect();
    assert_eq!(waited, [200, 400, 800, 1600]);
    tell(&mut session, bookmark(false, ""));
    assert_eq!(waits(session.lost(ended(), 1.0)).as_millis(), 200);
}

/// One thing that may happen to a watch.
#[derive(Clone, Debug)]
enum Happening {
    Upserted(u8),
    Removed(u8),
    Bookmark { synced: bool },
    Lost,
    Compacted,
    Unknown,
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let one = prop_oneof![
        4 => (0u8..5).prop_map(Happening::Upserted),
        2 => (0u8..5).prop_map(Happening::Removed),
        2 => any::<bool>().prop_map(|synced| Happening::Bookmark { synced }),
        2 => Just(Happening::Lost),
        1 => Just(Happening::Compacted),
        1 => Just(Happening::Unknown),
    ];
    proptest::collection::vec(one, 0..60)
}

proptest! {
    /// Whatever happens: a stream that is opened without a token is told after a Reset if anything was told before, a
    /// stream that resumes is not, and no wait is out of bounds.
    #[test]
    fn nothing_old_survives_a_new_snapshot(happenings in happenings()) {
        let mut session = session(None);
        let (mut told, mut fresh, mut number) = (false, false, 0);
        for happening in happenings {
            number += 1;
            let snapshot = session.resume_token().is_none();
            let token = if snapshot { String::new() } else { format!("t{number}") };
            let message = match happening {
                Happening::Upserted(id) => upserted(&id.to_string(), &token),
                Happening::Removed(id) => removed(&id.to_string(), &token),
                Happening::Bookmark { synced } => bookmark(synced, &format!("t{number}")),
                Happening::Unknown => StreamPendingApprovalsResponse { change: None, resume_token: token },
                Happening::Lost => {
                    let delay = waits(session.lost(ended(), 0.7));
                    prop_assert!((MIN..=MAX).contains(&delay));
                    fresh = true;
                    continue;
                }
                Happening::Compacted if snapshot => continue,
                Happening::Compacted => {
                    let next = session.lost(refused(Code::OutOfRange, "REVISION_COMPACTED"), 0.7);
                    prop_assert!(matches!(next, Next::Reopen));
                    prop_assert_eq!(session.resume_token(), None);
                    fresh = true;
                    continue;
                }
            };
            let events: Vec<_> = session.message(message).collect();
            let reset = matches!(events.first(), Some(WatchEvent::Reset));
            prop_assert_eq!(reset, fresh && snapshot && told);
            if reset {
                told = false;
            }
            told |= events.len() > usize::from(reset);
            fresh = false;
        }
    }
}
