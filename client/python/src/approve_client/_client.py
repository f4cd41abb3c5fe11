"""The client for threads."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar, cast

import grpc

from ._backoff import Backoff
from ._calls import Attempts
from ._config import Config
from ._credentials import Bearer, Metadata, OnBehalfOf, authorization, identity, unobtainable
from ._errors import ConfigError, Error, from_rpc
from ._messages import duration, hold_request, list_request, reassign_request, require, watch_request
from ._requests import Cancel, Decide, Decided, Withdraw
from ._session import Session
from ._watch import SILENT_INTERVALS, Responses, WatchStream
from .v1 import (
    access_pb2,
    access_pb2_grpc,
    approvals_pb2,
    approvals_pb2_grpc,
    audit_pb2_grpc,
    workflows_pb2,
    workflows_pb2_grpc,
)

if TYPE_CHECKING:
    from google.protobuf.message import Message

    Request = TypeVar("Request", bound=Message)
    Response = TypeVar("Response", bound=Message)

__all__ = ["Client"]


class Client:
    """A connection to an approve-server, for any number of threads. It is made with the first call, and again by itself
    when it was lost. Also a context manager that closes it.

    What has no method of its own is called by :meth:`call`, with the same errors and credentials.
    """

    def __init__(self, config: Config) -> None:
        target, credentials = config.target()
        options = config.options()
        if credentials is None:
            channel = grpc.insecure_channel(target, options)
        else:
            channel = grpc.secure_channel(target, credentials, options)
        self._set_up(config, channel)

    def _set_up(self, config: Config, channel: grpc.Channel) -> None:
        self._config = config
        self._channel = channel
        self._identity = identity(config.credentials, config.on_behalf_of)
        self._token = _Token(config.credentials) if isinstance(config.credentials, Bearer) else None
        self.approvals = approvals_pb2_grpc.ApprovalServiceStub(channel)
        """The calls of ``ApprovalService``, for :meth:`call`."""
        self.workflows = workflows_pb2_grpc.WorkflowServiceStub(channel)
        """The calls of ``WorkflowService``."""
        self.audit = audit_pb2_grpc.AuditServiceStub(channel)
        """The calls of ``AuditService``."""
        self.access = access_pb2_grpc.AccessServiceStub(channel)
        """The calls of ``AccessService``."""

    def on_behalf_of(self, person: str, groups: Iterable[str] = ()) -> Client:
        """The same connection, on behalf of a person: a principal ``user:<name>``, and names of their groups.

        Needs the permission to act on behalf; both names are recorded.
        """
        other = Client.__new__(Client)
        other._set_up(self._config.on_behalf(OnBehalfOf(person, groups)), self._channel)
        return other

    def close(self) -> None:
        """Closes the connection, also of those that share it; calls in hand end with an error."""
        self._channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def get(self, approval_id: str) -> approvals_pb2.Approval:
        """One approval, by its id or a prefix of it that fits only one (``apr_`` and at least 4 characters)."""
        request = approvals_pb2.GetApprovalRequest(approval_id=approval_id)
        return require(self.call(self.approvals.GetApproval, request), "approval", approvals_pb2.Approval)

    def list_all(
        self,
        filter: approvals_pb2.ApprovalFilter | None = None,
        *,
        statuses: Iterable[approvals_pb2.ApprovalStatus.ValueType] = (),
        oldest_first: bool = False,
        page_size: int = 0,
    ) -> Iterator[approvals_pb2.Approval]:
        """Approvals, finished ones included; fetched page after page as they are taken. Newest first."""
        request = list_request(filter, statuses, oldest_first, page_size)
        while True:
            page = self.call(self.approvals.ListApprovals, request)
            yield from page.approvals
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def decide(self, decide: Decide) -> Decided:
        """Records a decision. Answers once it is on disk, or with ``wait_for_delivery`` once the workflow has heard of it.

        Where the server is unavailable or the connection is lost, it is sent again, a few times within the request
        timeout, with the same request id: it counts once. After :class:`DeadlinePassed` and :class:`ConnectionLost` it may
        have been recorded: send the same value again to know.
        """
        answer = self.call(self.approvals.Decide, decide.message(), safe=decide.request_id != "")
        return Decided(require(answer, "approval", approvals_pb2.Approval), answer.revision)

    def watch(
        self,
        filter: approvals_pb2.ApprovalFilter | None = None,
        *,
        resume_token: str = "",
        heartbeat_interval: float = 10.0,
        reconnect_delay: tuple[float, float] = (0.1, 15.0),
    ) -> WatchStream:
        """Pending approvals: a snapshot, ``Synced``, then every change. It reconnects and resumes by itself.

        ``resume_token``: goes on after this one of :attr:`WatchStream.resume_token`, with the same filter, instead of a
        snapshot. ``heartbeat_interval``: how often the server shows a sign of life, 1 to 60 s; a stream that is silent
        for three times as long is given up and made again. ``reconnect_delay``: the shortest and the longest wait before
        a new try, in seconds.
        """
        interval = min(max(heartbeat_interval, 1.0), 60.0)
        renewable = self._token is not None and self._token.is_renewable

        def open_stream(token: str, renew: bool) -> Responses:
            request = watch_request(filter, token, interval)
            metadata = self._metadata(self._renewed() if renew else self._current())
            return cast(Responses, self.approvals.StreamPendingApprovals(request, metadata=metadata))

        session = Session(resume_token, renewable, Backoff(*reconnect_delay))
        return WatchStream(open_stream, session, renewable, interval * SILENT_INTERVALS)

    def withdraw(self, withdraw: Withdraw) -> approvals_pb2.Approval:
        """Takes the caller's own vote back. Without a vote it changes nothing. Sent again like a decision."""
        answer = self.call(self.approvals.WithdrawVote, withdraw.message(), safe=withdraw.request_id != "")
        return require(answer, "approval", approvals_pb2.Approval)

    def cancel(self, cancel: Cancel) -> approvals_pb2.Approval:
        """Ends a pending approval without a decision: one's own request, or as an operator any. Sent again like a
        decision."""
        answer = self.call(self.approvals.CancelApproval, cancel.message(), safe=cancel.request_id != "")
        return require(answer, "approval", approvals_pb2.Approval)

    def claim(self, approval_id: str, lasting: timedelta | None = None) -> approvals_pb2.Approval:
        """Takes an approval for oneself. Without a duration 1 hour; the server keeps it within 1 minute and 7 days."""
        request = approvals_pb2.ClaimApprovalRequest(approval_id=approval_id, duration=duration(lasting))
        return require(self.call(self.approvals.ClaimApproval, request), "approval", approvals_pb2.Approval)

    def release(self, approval_id: str) -> approvals_pb2.Approval:
        """Lets go of a claim: one's own, or as an operator anybody's. Without a claim it changes nothing."""
        request = approvals_pb2.ReleaseApprovalRequest(approval_id=approval_id)
        return require(self.call(self.approvals.ReleaseApproval, request), "approval", approvals_pb2.Approval)

    def reassign(
        self, approval_id: str, to: str, *, comment: str = "", lasting: timedelta | None = None
    ) -> approvals_pb2.Approval:
        """Gives an approval to another person, ``user:<name>`` or ``service:<name>``. The rule has to let them decide."""
        request = reassign_request(approval_id, to, comment, lasting)
        return require(self.call(self.approvals.ReassignApproval, request), "approval", approvals_pb2.Approval)

    def hold(self, approval_id: str, reason: str, *, until: datetime | None = None) -> approvals_pb2.Approval:
        """Holds a pending approval, until then or until it is resumed. Its deadline stays. For operators."""
        request = hold_request(approval_id, reason, until)
        return require(self.call(self.approvals.HoldApproval, request), "approval", approvals_pb2.Approval)

    def resume(self, approval_id: str) -> approvals_pb2.Approval:
        """Ends the hold of an approval. Without one it changes nothing. For operators."""
        request = approvals_pb2.ResumeApprovalRequest(approval_id=approval_id)
        return require(self.call(self.approvals.ResumeApproval, request), "approval", approvals_pb2.Approval)

    def explain(self, approval_id: str, person: approvals_pb2.Person | None = None) -> approvals_pb2.Explanation:
        """What an approval still needs, who could give it, and what a person's decision would do. Without a person: the
        caller. Changes nothing."""
        request = approvals_pb2.ExplainApprovalRequest(approval_id=approval_id, person=person)
        answer = self.call(self.approvals.ExplainApproval, request)
        return require(answer, "explanation", approvals_pb2.Explanation)

    def caller(self) -> access_pb2.GetCallerResponse:
        """Who the server takes the caller for, and what they may do."""
        return self.call(self.access.GetCaller, access_pb2.GetCallerRequest())

    def start_execution(
        self, workflow: str = "", *, name: str = "", input_json: str = "{}"
    ) -> workflows_pb2.StartExecutionResponse:
        """Starts an execution. The workflow may be left out where there is only one."""
        request = workflows_pb2.StartExecutionRequest(workflow=workflow, name=name, input_json=input_json)
        return self.call(self.workflows.StartExecution, request)

    def get_execution(self, execution: str, workflow: str = "") -> workflows_pb2.Execution:
        """One execution, by its ARN, or by its name and the workflow."""
        request = workflows_pb2.GetExecutionRequest(execution=execution, workflow=workflow)
        return require(self.call(self.workflows.GetExecution, request), "execution", workflows_pb2.Execution)

    def call(
        self,
        method: grpc.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        *,
        timeout: float | None = None,
        safe: bool = False,
    ) -> Response:
        """Makes any call, with its repetitions, within the timeout in seconds, which the server is told. Absent: the
        config's.

        ``method`` is one of :attr:`approvals`, :attr:`workflows`, :attr:`audit` or :attr:`access`. ``safe``: done twice
        it counts once, so that it is also sent again where it may have been done.
        """
        timeout = self._config.request_timeout if timeout is None else timeout
        attempts = Attempts(time.monotonic() + timeout, safe)
        while True:
            try:
                return self._authorized(method, request, attempts.deadline, timeout)
            except Error as error:
                delay = attempts.after(error, time.monotonic(), random.random())
                if delay is None:
                    raise
            time.sleep(delay)

    def _authorized(
        self,
        method: grpc.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        deadline: float,
        timeout: float,
    ) -> Response:
        """Sends with the caller's credentials; where the server does not take them and there are others, once more with
        those."""
        token = self._current()
        renewed = False
        while True:
            left = max(deadline - time.monotonic(), 0.0)
            try:
                return method(request, timeout=left, metadata=self._metadata(token))
            except grpc.RpcError as error:
                failure = from_rpc(error, timeout)
            if failure.code is not grpc.StatusCode.UNAUTHENTICATED or renewed or token is None:
                raise failure
            fresh = self._renewed(token)
            if fresh == token:
                raise failure
            token, renewed = fresh, True

    def _metadata(self, token: str | None) -> Metadata:
        return self._identity + authorization(token)

    def _current(self) -> str | None:
        return None if self._token is None else self._token.get()

    def _renewed(self, refused: str | None = None) -> str | None:
        return None if self._token is None else self._token.renew(refused)


class _Token:
    """A bearer token, asked for by one thread at a time."""

    def __init__(self, bearer: Bearer) -> None:
        self._bearer = bearer
        self._lock = threading.Lock()
        self._got: str | None = None

    @property
    def is_renewable(self) -> bool:
        return self._bearer.is_renewable

    def get(self) -> str:
        with self._lock:
            if self._got is None:
                self._got = self._ask()
            return self._got

    def renew(self, refused: str | None) -> str:
        """Another token than the one that was refused, if there is one; absent: than the current one."""
        with self._lock:
            # Another thread may have been faster.
            if self._got is None or refused is None or self._got == refused:
                self._got = self._ask()
            return self._got

    def _ask(self) -> str:
        token = self._bearer.token
        if isinstance(token, str):
            return token
        try:
            got = token()
        except Exception as cause:
            raise unobtainable(cause) from cause
        if not isinstance(got, str):
            raise ConfigError("a token that is awaited takes an AsyncClient")
        return got
