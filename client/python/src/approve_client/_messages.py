"""Requests made of plain values, and what an answer must have."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from ._errors import ConfigError, ProtocolError
from .v1 import approvals_pb2 as v1

if TYPE_CHECKING:
    from google.protobuf.message import Message

    Answer = TypeVar("Answer", bound=Message)
    Part = TypeVar("Part", bound=Message)


def require(answer: Answer, field: str, kind: type[Part]) -> Part:
    """A part of an answer that the API promises."""
    part = getattr(answer, field)
    if not answer.HasField(field) or not isinstance(part, kind):
        raise ProtocolError(f"the server's answer has no {field}")
    return part


def duration(span: timedelta | None) -> Duration | None:
    """A span as it is sent."""
    if span is None:
        return None
    sent = Duration()
    sent.FromTimedelta(span)
    return sent


def list_request(
    filter: v1.ApprovalFilter | None,
    statuses: Iterable[v1.ApprovalStatus.ValueType],
    oldest_first: bool,
    page_size: int,
) -> v1.ListApprovalsRequest:
    """Asks for the first page."""
    order = v1.APPROVAL_ORDER_OLDEST_FIRST if oldest_first else v1.APPROVAL_ORDER_UNSPECIFIED
    return v1.ListApprovalsRequest(filter=filter, statuses=statuses, order=order, page_size=page_size)


def watch_request(
    filter: v1.ApprovalFilter | None, resume_token: str, heartbeat_interval: float
) -> v1.StreamPendingApprovalsRequest:
    """Starts or resumes a stream."""
    return v1.StreamPendingApprovalsRequest(
        filter=filter,
        resume_token=resume_token,
        heartbeat_interval=duration(timedelta(seconds=heartbeat_interval)),
    )


def reassign_request(approval_id: str, to: str, comment: str, lasting: timedelta | None) -> v1.ReassignApprovalRequest:
    """Gives an approval to another person."""
    return v1.ReassignApprovalRequest(approval_id=approval_id, to=to, comment=comment, duration=duration(lasting))


def hold_request(approval_id: str, reason: str, until: datetime | None) -> v1.HoldApprovalRequest:
    """Holds an approval."""
    if until is None:
        return v1.HoldApprovalRequest(approval_id=approval_id, reason=reason)
    if until.tzinfo is None:
        raise ConfigError("until: expected a time with a time zone")
    end = Timestamp()
    end.FromDatetime(until)
    return v1.HoldApprovalRequest(approval_id=approval_id, reason=reason, end_time=end)
