"""What a watch knows over its connections, without any I/O.

====================================  ============  ==============================================
in                                    resume token  out
====================================  ============  ==============================================
message                               its own       its event; before it Reset, if one is due
lost, with a token                    kept          Disconnected; open again after a wait
lost in a snapshot                    none          the same; Reset is due if anything was told
REVISION_COMPACTED, with a token      dropped       open again at once; Reset is due
RESUME_TOKEN_INVALID, token our own   dropped       open again at once; Reset is due
UNAUTHENTICATED, once after a         kept          Disconnected; open again after a wait, with a
message, credentials renewable                      new token
an error that a new try won't mend                  the error, and the end
====================================  ============  ==============================================
"""

from __future__ import annotations

from dataclasses import dataclass

import grpc

from ._backoff import Backoff
from ._errors import ConnectionLost, CredentialsError, DeadlinePassed, Error, Refused
from ._events import Disconnected, Removed, Reset, Synced, Upserted, WatchEvent
from ._reason import Reason
from .v1 import approvals_pb2 as v1

_MAY_PASS = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
    }
)


@dataclass(frozen=True, slots=True)
class Reopen:
    """Open a new stream at once."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Tell this event, wait, then open a new stream."""

    event: Disconnected


@dataclass(frozen=True, slots=True)
class Fail:
    """End with this error."""

    error: Error


class Session:
    """The state of a watch.

    ``renewable``: whether the caller's credentials may be others later.
    """

    def __init__(self, token: str, renewable: bool, backoff: Backoff) -> None:
        self._token = token
        self._token_given = token != ""
        # Whoever resumes holds what came before the token.
        self._told = token != ""
        self._reset_due = False
        self._may_renew = False
        self._renewable = renewable
        self._backoff = backoff

    @property
    def resume_token(self) -> str:
        """Where a new stream goes on; empty: with a snapshot."""
        return self._token

    def message(self, message: v1.StreamPendingApprovalsResponse) -> list[WatchEvent]:
        """Takes a message; returns what it tells, in order."""
        self._backoff.reset()
        self._may_renew = self._renewable
        events: list[WatchEvent] = []
        if self._reset_due:
            self._reset_due = False
            self._told = False
            events.append(Reset())
        if message.resume_token:
            self._token = message.resume_token
            self._token_given = False
        match message.WhichOneof("change"):
            case "upserted":
                events.append(Upserted(message.upserted))
            case "removed":
                removed = message.removed
                events.append(Removed(removed.id, removed.status, removed.revision))
            case "bookmark" if message.bookmark.synced:
                events.append(Synced(message.bookmark.revision))
            # A bookmark that is a sign of life, or a kind of change that a newer server knows.
            case _:
                return events
        self._told = True
        return events

    def lost(self, cause: Error, jitter: float) -> Reopen | Wait | Fail:
        """Takes the end of a connection, or that none could be made. ``jitter`` is in 0..=1."""
        if self._token and self._token_is_useless(cause):
            self._token = ""
            self._reset_due = self._told
            return Reopen()
        renew = cause.code is grpc.StatusCode.UNAUTHENTICATED and self._may_renew
        if renew:
            self._may_renew = False
        elif not _may_pass(cause):
            return Fail(cause)
        if not self._token:
            self._reset_due = self._told
        return Wait(Disconnected(cause, self._backoff.next(jitter, cause.retry_delay)))

    def interrupted(self) -> None:
        """Takes that this side ended a connection, to go on later."""
        if not self._token:
            self._reset_due = self._told

    def _token_is_useless(self, cause: Error) -> bool:
        if cause.reason == Reason.REVISION_COMPACTED:
            return cause.code is grpc.StatusCode.OUT_OF_RANGE
        # A token of our own that is refused means another server, or one that was set up anew. A token that the caller
        # brought is the caller's mistake.
        return cause.reason == Reason.RESUME_TOKEN_INVALID and not self._token_given


def _may_pass(error: Error) -> bool:
    """Whether opening the stream again may go better."""
    if isinstance(error, Refused):
        return error.code in _MAY_PASS
    return isinstance(error, CredentialsError | ConnectionLost | DeadlinePassed)


def ended() -> Error:
    """For a server that ended the stream without saying why."""
    return ConnectionLost("the server ended the stream")
