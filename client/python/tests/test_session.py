from __future__ import annotations

import grpc
import pytest

from approve_client import Approval, ConfigError, CredentialsError, DeadlinePassed, Error, Reason, Refused
from approve_client._backoff import Backoff
from approve_client._events import Removed, Reset, Synced, Upserted, WatchEvent
from approve_client._session import Fail, Reopen, Session, Wait, ended
from approve_client.v1 import approvals_pb2 as v1

LOST = ended()


def session(token: str = "", *, renewable: bool = False) -> Session:
    return Session(token, renewable, Backoff(0.1, 10.0))


def upserted(approval_id: str, token: str) -> v1.StreamPendingApprovalsResponse:
    return v1.StreamPendingApprovalsResponse(upserted=Approval(id=approval_id), resume_token=token)


def removed(approval_id: str, token: str) -> v1.StreamPendingApprovalsResponse:
    change = v1.RemovedApproval(id=approval_id, status=v1.APPROVAL_STATUS_APPROVED, revision=7)
    return v1.StreamPendingApprovalsResponse(removed=change, resume_token=token)


def bookmark(synced: bool, token: str) -> v1.StreamPendingApprovalsResponse:
    return v1.StreamPendingApprovalsResponse(bookmark=v1.Bookmark(synced=synced, revision=5), resume_token=token)


def name(event: WatchEvent) -> str:
    match event:
        case Upserted(approval):
            return f"+{approval.id}"
        case Removed(id=approval_id):
            return f"-{approval_id}"
        case Synced(revision):
            return f"synced {revision}"
        case Reset():
            return "reset"
        case _:
            return "disconnected"


def tell(session: Session, message: v1.StreamPendingApprovalsResponse) -> list[str]:
    return [name(event) for event in session.message(message)]


def refused(code: grpc.StatusCode, reason: Reason | str) -> Error:
    return Refused(code, "refused", reason=reason)


def waits(next_step: object) -> float:
    assert isinstance(next_step, Wait)
    return next_step.event.retry_in


def test_changes_are_told_and_the_token_kept() -> None:
    one = session()
    assert tell(one, upserted("a", "")) == ["+a"]
    assert one.resume_token == ""
    assert tell(one, bookmark(True, "t5")) == ["synced 5"]
    assert tell(one, removed("a", "t7")) == ["-a"]
    assert tell(one, bookmark(False, "t9")) == []
    assert one.resume_token == "t9"


def test_a_lost_live_stream_resumes_without_a_reset() -> None:
    one = session()
    tell(one, upserted("a", ""))
    tell(one, bookmark(True, "t5"))
    waits(one.lost(LOST, 0.5))
    assert one.resume_token == "t5"
    assert tell(one, upserted("b", "t6")) == ["+b"]


def test_a_lost_snapshot_starts_over_with_one_reset() -> None:
    one = session()
    tell(one, upserted("a", ""))
    waits(one.lost(LOST, 0.5))
    waits(one.lost(LOST, 0.5))
    assert tell(one, upserted("a", "")) == ["reset", "+a"]
    assert tell(one, bookmark(True, "t5")) == ["synced 5"]


def test_a_snapshot_that_this_side_ended_starts_over_with_a_reset() -> None:
    one = session()
    tell(one, upserted("a", ""))
    one.interrupted()
    assert tell(one, upserted("a", "")) == ["reset", "+a"]
    tell(one, bookmark(True, "t5"))
    one.interrupted()
    assert tell(one, upserted("b", "t6")) == ["+b"]


def test_where_nothing_was_told_there_is_nothing_to_reset() -> None:
    one = session()
    waits(one.lost(LOST, 0.5))
    assert tell(one, upserted("a", "")) == ["+a"]


@pytest.mark.parametrize("given", ["", "t1"])
def test_a_compacted_token_is_dropped_and_the_snapshot_follows_a_reset(given: str) -> None:
    one = session(given)
    if not given:
        tell(one, bookmark(True, "t1"))
    assert isinstance(one.lost(refused(grpc.StatusCode.OUT_OF_RANGE, Reason.REVISION_COMPACTED), 0.5), Reopen)
    assert one.resume_token == ""
    waits(one.lost(LOST, 0.5))
    assert tell(one, bookmark(True, "t5")) == ["reset", "synced 5"]


def test_an_invalid_token_is_the_callers_fault_only_if_the_caller_brought_it() -> None:
    invalid = refused(grpc.StatusCode.INVALID_ARGUMENT, Reason.RESUME_TOKEN_INVALID)
    assert isinstance(session("mine").lost(invalid, 0.5), Fail)
    one = session("mine")
    tell(one, bookmark(True, "theirs"))
    assert isinstance(one.lost(invalid, 0.5), Reopen)
    assert isinstance(one.lost(invalid, 0.5), Fail), "no loop without a token"


def test_what_trying_again_would_not_mend_ends_the_watch() -> None:
    code = grpc.StatusCode
    for end in (
        refused(code.INVALID_ARGUMENT, "INVALID_FIELD"),
        refused(code.UNAUTHENTICATED, "UNAUTHENTICATED"),
        refused(code.PERMISSION_DENIED, "SOMETHING_NEW"),
        refused(code.UNIMPLEMENTED, "UNIMPLEMENTED"),
        refused(code.OUT_OF_RANGE, "SOMETHING_ELSE"),
        ConfigError("no"),
    ):
        assert isinstance(session("t1").lost(end, 0.5), Fail), end
    for passing in (code.UNAVAILABLE, code.INTERNAL, code.UNKNOWN, code.RESOURCE_EXHAUSTED):
        waits(session("t1").lost(refused(passing, "SHUTTING_DOWN"), 0.5))
    waits(session("t1").lost(CredentialsError("away"), 0.5))
    waits(session("t1").lost(DeadlinePassed(3), 0.5))


def test_a_renewable_token_is_asked_for_anew_once_after_a_message() -> None:
    expired = refused(grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")
    one = session("t1", renewable=True)
    tell(one, bookmark(False, "t2"))
    waits(one.lost(expired, 0.5))
    assert isinstance(one.lost(expired, 0.5), Fail)


def test_waits_grow_and_any_message_takes_them_back() -> None:
    one = session()
    assert [round(waits(one.lost(LOST, 1.0)), 3) for _ in range(4)] == [0.2, 0.4, 0.8, 1.6]
    tell(one, bookmark(False, ""))
    assert waits(one.lost(LOST, 1.0)) == 0.2
