"""Requests that a request id protects: the same value may be sent as often as needed, and counts once."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TypedDict, Unpack

from .v1 import approvals_pb2 as v1


def _request_id() -> str:
    return str(uuid.uuid4())


class DecideOptions(TypedDict, total=False):
    """What may be said beside a decision; the fields of :class:`Decide`."""

    comment: str
    response_json: str
    etag: str
    wait_for_delivery: bool
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decide:
    """One person's decision, with a request id of its own.

    Made by :meth:`approve`, :meth:`reject` or :meth:`with_outcome`. Send the same value again, also from another process
    with the same ``request_id``, to learn what came of it.
    """

    approval_id: str
    """The approval's whole id."""
    decision: v1.Decision.ValueType
    """What is decided."""
    outcome: str = ""
    """One of the rule's own outcomes, by its name. Empty: plain approval or rejection."""
    comment: str = ""
    """Why. At most 4,096 bytes."""
    response_json: str = ""
    """Answers to what the approval asked, as JSON text, which goes to the workflow as it is. At most 65,536 bytes."""
    etag: str = ""
    """Decides only if the approval's etag is still this one. Empty: whatever it is."""
    wait_for_delivery: bool = False
    """Whether the answer waits until the workflow has heard of the decision, or the call's deadline is near."""
    request_id: str = field(default_factory=_request_id)
    """Makes it safe to repeat. 1 to 128 bytes of printable ASCII; empty: not protected, and not repeated."""

    @classmethod
    def approve(cls, approval_id: str, **options: Unpack[DecideOptions]) -> Decide:
        """For it."""
        return cls(approval_id=approval_id, decision=v1.DECISION_APPROVE, **options)

    @classmethod
    def reject(cls, approval_id: str, **options: Unpack[DecideOptions]) -> Decide:
        """Against it."""
        return cls(approval_id=approval_id, decision=v1.DECISION_REJECT, **options)

    @classmethod
    def with_outcome(cls, approval_id: str, outcome: str, **options: Unpack[DecideOptions]) -> Decide:
        """One of the rule's own outcomes, by its name; whether that is for or against, the rule says."""
        return cls(approval_id=approval_id, decision=v1.DECISION_UNSPECIFIED, outcome=outcome, **options)

    def message(self) -> v1.DecideRequest:
        """As it is sent."""
        return v1.DecideRequest(
            approval_id=self.approval_id,
            decision=self.decision,
            comment=self.comment,
            response_json=self.response_json,
            request_id=self.request_id,
            etag=self.etag,
            wait_for_delivery=self.wait_for_delivery,
            outcome=self.outcome,
        )


@dataclass(frozen=True, slots=True)
class Decided:
    """What came of a decision."""

    approval: v1.Approval
    """The approval after it; for a repeated request as the first one left it."""
    revision: int
    """The revision of the decision."""


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Takes the caller's vote back, with a request id of its own."""

    approval_id: str
    """The approval's whole id."""
    comment: str = ""
    """Why. At most 4,096 bytes."""
    request_id: str = field(default_factory=_request_id)
    """As in :class:`Decide`."""

    def message(self) -> v1.WithdrawVoteRequest:
        """As it is sent."""
        return v1.WithdrawVoteRequest(approval_id=self.approval_id, comment=self.comment, request_id=self.request_id)


@dataclass(frozen=True, slots=True)
class Cancel:
    """Ends a pending approval without a decision, with a request id of its own."""

    approval_id: str
    """The approval's whole id."""
    reason: str
    """Why. 1 to 4,096 bytes."""
    request_id: str = field(default_factory=_request_id)
    """As in :class:`Decide`."""

    def message(self) -> v1.CancelApprovalRequest:
        """As it is sent."""
        return v1.CancelApprovalRequest(approval_id=self.approval_id, reason=self.reason, request_id=self.request_id)
