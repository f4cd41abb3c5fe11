"""Calls against a server that is played here: what is sent again, when, and with what."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from approve_client import (
    Approval,
    AsyncClient,
    Bearer,
    Client,
    Config,
    ConfigError,
    ConnectionLost,
    CredentialsError,
    DeadlinePassed,
    Decide,
    Reason,
    Refused,
)
from approve_client.v1 import approvals_pb2, approvals_pb2_grpc

Answer = Callable[[grpc.ServicerContext], None]


class Played(approvals_pb2_grpc.ApprovalServiceServicer):
    """Fails as it is told, then answers."""

    def __init__(self) -> None:
        self.failures: list[Answer] = []
        self.requests: list[approvals_pb2.DecideRequest] = []
        self.tokens: list[str] = []
        self.deadlines: list[float] = []

    def Decide(self, request: approvals_pb2.DecideRequest, context: grpc.ServicerContext) -> approvals_pb2.DecideResponse:
        self.requests.append(request)
        self.tokens.extend(
            value for key, value in context.invocation_metadata() if key == "authorization" and isinstance(value, str)
        )
        self.deadlines.append(context.time_remaining() or 0.0)
        if self.failures:
            self.failures.pop(0)(context)
        return approvals_pb2.DecideResponse(approval=Approval(id=request.approval_id), revision=7)

    def ClaimApproval(
        self, request: approvals_pb2.ClaimApprovalRequest, context: grpc.ServicerContext
    ) -> approvals_pb2.ClaimApprovalResponse:
        self.failures.pop(0)(context)
        return approvals_pb2.ClaimApprovalResponse(approval=Approval(id=request.approval_id))


def fails(code: grpc.StatusCode, *details: Message) -> Answer:
    def fail(context: grpc.ServicerContext) -> None:
        packed = []
        for detail in details:
            one = Any()
            one.Pack(detail)
            packed.append(one)
        status = status_pb2.Status(code=code.value[0], message="no", details=packed)
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),) if details else ())
        context.abort(code, "no")

    return fail


def retry(nanos: int) -> error_details_pb2.RetryInfo:
    info = error_details_pb2.RetryInfo()
    info.retry_delay.nanos = nanos
    return info


def info(reason: str, domain: str = "approve.v1", **metadata: str) -> error_details_pb2.ErrorInfo:
    return error_details_pb2.ErrorInfo(reason=reason, domain=domain, metadata=metadata)


@pytest.fixture
def played() -> Iterator[tuple[Played, str]]:
    service = Played()  # type: ignore[abstract]
    server = grpc.server(ThreadPoolExecutor(4))
    approvals_pb2_grpc.add_ApprovalServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield service, f"http://127.0.0.1:{port}"
    server.stop(None).wait()


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    delays: list[float] = []

    async def sleep(delay: float) -> None:
        delays.append(delay)

    monkeypatch.setattr("approve_client._client.time.sleep", delays.append)
    monkeypatch.setattr("approve_client._client_async.asyncio.sleep", sleep)
    return delays


UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


def test_a_decision_is_repeated_with_its_request_id_after_the_time_that_the_server_asks(
    played: tuple[Played, str], slept: list[float]
) -> None:
    service, url = played
    service.failures = [fails(UNAVAILABLE, info("STORE_UNAVAILABLE"), retry(900_000_000)), fails(UNAVAILABLE)]
    decide = Decide.approve("apr_1", comment="ok")
    with Client(Config(url)) as client:
        assert client.decide(decide).revision == 7
        assert client.decide(decide).approval.id == "apr_1"
    assert [request.request_id for request in service.requests] == [decide.request_id] * 4
    assert len({request.SerializeToString() for request in service.requests}) == 1
    assert slept[0] == 0.9
    assert 0.05 <= slept[1] <= 0.2
    assert all(0 < left < 31 for left in service.deadlines)


async def test_the_same_with_asyncio(played: tuple[Played, str], slept: list[float]) -> None:
    service, url = played
    service.failures = [fails(UNAVAILABLE, info("STORE_UNAVAILABLE"), retry(900_000_000))]
    decide = Decide.reject("apr_1")
    async with AsyncClient(Config(url)) as client:
        assert (await client.decide(decide)).revision == 7
    assert [request.request_id for request in service.requests] == [decide.request_id] * 2
    assert slept == [0.9]


def test_it_gives_up_after_six_attempts_or_at_the_deadline(played: tuple[Played, str], slept: list[float]) -> None:
    service, url = played
    service.failures = [fails(UNAVAILABLE, info("STORE_UNAVAILABLE"))] * 9
    with Client(Config(url)) as client, pytest.raises(Refused) as raised:
        client.decide(Decide.approve("apr_1"))
    assert raised.value.reason == Reason.STORE_UNAVAILABLE
    assert len(service.requests) == 6
    service.failures = [fails(UNAVAILABLE, info("STORE_UNAVAILABLE"), retry(999_000_000))] * 9
    with Client(Config(url, request_timeout=0.9)) as client, pytest.raises(Refused):
        client.decide(Decide.approve("apr_1"))
    assert len(service.requests) == 7


def test_what_is_not_protected_is_not_repeated(played: tuple[Played, str], slept: list[float]) -> None:
    service, url = played
    with Client(Config(url)) as client:
        service.failures = [fails(UNAVAILABLE)]
        with pytest.raises(ConnectionLost):
            client.decide(Decide.approve("apr_1", request_id=""))
        service.failures = [fails(UNAVAILABLE)]
        with pytest.raises(ConnectionLost):
            client.claim("apr_1")
        # But for what was refused at the door.
        limit = fails(grpc.StatusCode.RESOURCE_EXHAUSTED, info("LIMIT_EXCEEDED", limit="streams"), retry(200_000_000))
        service.failures = [limit, lambda _: None]
        assert client.claim("apr_1").id == "apr_1"
    assert len(service.requests) == 1
    assert slept == [0.2]


def test_an_error_keeps_all_that_the_server_said(played: tuple[Played, str]) -> None:
    service, url = played
    bad = error_details_pb2.BadRequest()
    bad.field_violations.add(field="comment", description="too long")
    code = grpc.StatusCode.FAILED_PRECONDITION
    service.failures = [
        fails(code, info("ALREADY_DECIDED", status="APPROVED"), bad, retry(0)),
        fails(grpc.StatusCode.INTERNAL, info("INTERNAL", domain="proxy.example")),
        fails(grpc.StatusCode.INTERNAL, info("MADE_UP_LATER")),
        fails(grpc.StatusCode.INTERNAL),
    ]
    with Client(Config(url)) as client:

        def failure() -> Refused:
            with pytest.raises(Refused) as raised:
                client.decide(Decide.approve("apr_1"))
            return raised.value

        error = failure()
        assert (error.code, error.reason, str(error)) == (code, Reason.ALREADY_DECIDED, "no")
        assert error.metadata["status"] == "APPROVED"
        assert [(one.field, one.description) for one in error.field_violations] == [("comment", "too long")]
        assert error.retry_delay == 0
        assert error.is_retryable
        # A reason of another domain is not ours.
        foreign = failure()
        assert foreign.reason == "INTERNAL"
        assert not isinstance(foreign.reason, Reason)
        assert failure().reason == "MADE_UP_LATER"
        assert failure().reason is None


async def test_a_passed_deadline_is_one_whoever_noticed(played: tuple[Played, str]) -> None:
    service, url = played
    told = fails(grpc.StatusCode.DEADLINE_EXCEEDED, info("DEADLINE_EXCEEDED"))
    service.failures = [told, fails(grpc.StatusCode.CANCELLED), fails(grpc.StatusCode.CANCELLED)]
    with Client(Config(url)) as client:
        for _ in range(2):
            with pytest.raises(DeadlinePassed):
                client.decide(Decide.approve("apr_1"))
    async with AsyncClient(Config(url)) as other:
        with pytest.raises(DeadlinePassed):
            await other.decide(Decide.approve("apr_1"))


def refuse_old(tokens: list[str]) -> Answer:
    def answer(context: grpc.ServicerContext) -> None:
        if tokens[-1] != "Bearer new":
            fails(grpc.StatusCode.UNAUTHENTICATED, info("UNAUTHENTICATED"))(context)

    return answer


async def test_a_token_that_is_refused_is_asked_for_anew_once(played: tuple[Played, str]) -> None:
    service, url = played
    answers = iter(["old", "new", "old", "new"])
    service.failures = [refuse_old(service.tokens)] * 3
    with Client(Config(url, credentials=Bearer(lambda: next(answers)))) as client:
        client.decide(Decide.approve("apr_1"))
    assert service.tokens == ["Bearer old", "Bearer new"]

    async def ask() -> str:
        return next(answers)

    service.failures = [refuse_old(service.tokens)] * 2
    async with AsyncClient(Config(url, credentials=Bearer(ask))) as other:
        await other.decide(Decide.approve("apr_1"))
    assert service.tokens[2:] == ["Bearer old", "Bearer new"]
    service.failures = [refuse_old(service.tokens)]
    with Client(Config(url, credentials=Bearer("old"))) as client, pytest.raises(Refused):
        client.decide(Decide.approve("apr_1"))
    assert service.tokens[4:] == ["Bearer old"]


def test_a_token_that_can_not_be_had_says_why(played: tuple[Played, str]) -> None:
    def ask() -> str:
        raise OSError("the vault is shut")

    with Client(Config(played[1], credentials=Bearer(ask))) as client, pytest.raises(CredentialsError) as raised:
        client.decide(Decide.approve("apr_1"))
    assert "vault" in str(raised.value.__cause__)


@pytest.mark.parametrize("url", ["", "localhost:50051", "unix:/tmp/x", "http://", "http://a/b", "http://a:x"])
def test_what_can_not_work_is_refused_before_anything_is_sent(url: str) -> None:
    with pytest.raises(ConfigError):
        Client(Config(url))


def test_a_bearer_token_goes_over_tls_or_stays_on_this_computer() -> None:
    for near in ("http://127.0.0.1:1", "http://127.9.9.9:1", "http://localhost:1", "http://[::1]:1"):
        Client(Config(near, credentials=Bearer("planted"))).close()
    for far in ("http://10.0.0.1:1", "http://localhost.example.com:1", "http://[2001:db8::1]:1", "http://x"):
        with pytest.raises(ConfigError, match="https://") as raised:
            Client(Config(far, credentials=Bearer("planted")))
        assert "planted" not in str(raised.value) + repr(Bearer("planted"))
