"""Why a call failed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from ._reason import ERROR_DOMAIN, Reason, reason

_DETAILS = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field of a request that the server did not accept."""

    field: str
    """The field's path in the request, such as ``spec.rule.required_approvals``."""
    description: str
    """What is wrong with it, for people."""


class Error(Exception):
    """Any failure of a call. Its text is for people; branch on the class, on ``code`` and on ``reason``."""

    code: grpc.StatusCode = grpc.StatusCode.UNKNOWN
    """The gRPC code: the server's, or for an error made here the one that fits."""
    is_retryable: bool = False
    """Whether the same call may succeed later.

    It says nothing about side effects: a call that is not idempotent may have had its effect although it failed so.
    """

    @property
    def reason(self) -> Reason | str | None:
        """The reason that the server gave; one that this version does not know is a plain string."""
        return None

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the reason comes with; which keys, its documentation says."""
        return MappingProxyType({})

    @property
    def field_violations(self) -> tuple[FieldViolation, ...]:
        """The fields of the request that the server did not accept; empty if it named none."""
        return ()

    @property
    def retry_delay(self) -> float | None:
        """How many seconds the server asks to wait before the same call is tried again."""
        return None


class ConfigError(Error, ValueError):
    """The client can't be made from these settings, or a request from these values."""

    code = grpc.StatusCode.INVALID_ARGUMENT


class CredentialsError(Error):
    """The caller's credentials could not be had; ``__cause__`` says why. Nothing was sent."""

    code = grpc.StatusCode.UNAUTHENTICATED
    is_retryable = True


class ConnectionLost(Error, ConnectionError):
    """There is no connection, or it was lost during the call. Whether the call had an effect is not known."""

    code = grpc.StatusCode.UNAVAILABLE
    is_retryable = True


class DeadlinePassed(Error, TimeoutError):
    """The call's deadline passed. Whether the call had an effect is not known."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED
    is_retryable = True

    def __init__(self, after: float) -> None:
        super().__init__(f"no answer within {after:g} s")
        self.after = after


class ProtocolError(Error):
    """The server's answer lacks what the API promises."""

    code = grpc.StatusCode.INTERNAL


class Refused(Error):
    """The server answered with an error."""

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        *,
        reason: Reason | str | None = None,
        metadata: Mapping[str, str] | None = None,
        field_violations: Iterable[FieldViolation] = (),
        retry_delay: float | None = None,
    ) -> None:
        super().__init__(message or reason or code.name)
        self.code = code
        self.message = message
        self.is_retryable = retry_delay is not None or code is grpc.StatusCode.UNAVAILABLE
        self._reason = reason
        self._metadata: Mapping[str, str] = MappingProxyType(dict(metadata or {}))
        self._field_violations = tuple(field_violations)
        self._retry_delay = retry_delay

    @property
    def reason(self) -> Reason | str | None:
        return self._reason

    @property
    def metadata(self) -> Mapping[str, str]:
        return self._metadata

    @property
    def field_violations(self) -> tuple[FieldViolation, ...]:
        return self._field_violations

    @property
    def retry_delay(self) -> float | None:
        return self._retry_delay


def from_rpc(error: grpc.RpcError, deadline: float) -> Error:
    """Sorts what gRPC reports into an answer of the server, a lost connection, and a passed deadline."""
    # Both kinds of client raise errors that are calls, too.
    code = error.code() if isinstance(error, grpc.Call | grpc.aio.AioRpcError) else grpc.StatusCode.UNKNOWN
    message = (error.details() if isinstance(error, grpc.Call | grpc.aio.AioRpcError) else None) or ""
    if code in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED):
        # Whoever noticed. The latter is what comes of a server that did so first: nobody here has cancelled.
        return DeadlinePassed(deadline)
    details = _details(error)
    if details is not None:
        return _refused(code, message, details)
    # The server's own errors have details. Without, it is a word of the transport's, or of somebody in between.
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN):
        return ConnectionLost(message or "lost the connection to the server")
    return Refused(code, message)


def _details(error: grpc.RpcError) -> status_pb2.Status | None:
    if not isinstance(error, grpc.Call | grpc.aio.AioRpcError):
        return None
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS:
            try:
                return status_pb2.Status.FromString(value if isinstance(value, bytes) else value.encode())
            except DecodeError:
                return None
    return None


def _refused(code: grpc.StatusCode, message: str, status: status_pb2.Status) -> Refused:
    why: Reason | str | None = None
    metadata: dict[str, str] = {}
    violations: list[FieldViolation] = []
    delay: float | None = None
    for detail in status.details:
        info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            why = reason(info.reason) if info.domain == ERROR_DOMAIN else info.reason
            metadata = dict(info.metadata)
        elif detail.Unpack(bad):
            violations = [FieldViolation(one.field, one.description) for one in bad.field_violations]
        elif detail.Unpack(retry):
            delay = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
    return Refused(code, message, reason=why, metadata=metadata, field_violations=violations, retry_delay=delay)
