"""The client against a real server: calls."""

from __future__ import annotations

import threading

import grpc
import pytest

from approve_client import (
    ApprovalFilter,
    ApprovalStatus,
    AsyncClient,
    Cancel,
    Client,
    Config,
    ConnectionLost,
    Decide,
    Reason,
    Refused,
    Withdraw,
)
from conftest import ask
from proxy import Proxy
from server import Server


def test_an_approval_is_listed_read_and_decided(client: Client) -> None:
    asked = ask(client)
    assert asked.input_json == '{"amount":1200.50}'
    assert client.get(asked.id[:12]).id == asked.id
    pending = [ApprovalStatus.Value("APPROVAL_STATUS_PENDING")]
    assert asked.id in [approval.id for approval in client.list_all(statuses=pending, page_size=1)]
    assert client.explain(asked.id).summary
    decided = client.decide(Decide.approve(asked.id, comment="looks right", etag=asked.etag, wait_for_delivery=True))
    assert decided.approval.status == ApprovalStatus.Value("APPROVAL_STATUS_APPROVED")
    assert decided.approval.decided_by == ["user:ana"]
    assert decided.revision > asked.revision
    execution = client.get_execution(asked.source.execution_arn)
    assert '"amount":1200.50' in execution.output_json.replace(" ", "")
    assert client.caller().principal == "user:ana"


async def test_the_same_with_asyncio(server: Server, client: Client) -> None:
    asked = ask(client)
    async with AsyncClient(server.config("user:bo")) as bo:
        assert (await bo.get(asked.id)).id == asked.id
        ids = [approval.id async for approval in bo.list_all(ApprovalFilter(workflow="ask"), page_size=1)]
        assert asked.id in ids
        decided = await bo.decide(Decide.reject(asked.id, comment="no budget"))
        assert list(decided.approval.decided_by) == ["user:bo"]
        with pytest.raises(Refused) as raised:
            await bo.decide(Decide.approve(asked.id))
    assert raised.value.reason == Reason.ALREADY_DECIDED


def test_errors_say_what_the_server_said(client: Client, server: Server) -> None:
    asked = ask(client)

    def failure(decide: Decide) -> Refused:
        with pytest.raises(Refused) as raised:
            client.decide(decide)
        return raised.value

    missing = failure(Decide.approve("apr_00000000000000000000000000"))
    assert (missing.code, missing.reason) == (grpc.StatusCode.NOT_FOUND, Reason.APPROVAL_NOT_FOUND)
    long = failure(Decide.approve(asked.id, comment="x" * 5000))
    assert long.reason == Reason.INVALID_FIELD
    assert [violation.field for violation in long.field_violations] == ["comment"]
    stale = failure(Decide.approve(asked.id, etag="old"))
    assert (stale.code, stale.reason) == (grpc.StatusCode.ABORTED, Reason.ETAG_MISMATCH)
    assert stale.metadata["etag"] == asked.etag
    decide = Decide.approve(asked.id)
    client.decide(decide)
    final = failure(Decide.reject(asked.id))
    assert final.reason == Reason.ALREADY_DECIDED
    assert (final.metadata["status"], final.metadata["decided_by"]) == ("APPROVED", "user:ana")
    reused = failure(Decide.reject(asked.id, request_id=decide.request_id))
    assert reused.reason == Reason.REQUEST_ID_REUSED
    with Client(Config(server.url)) as nobody, pytest.raises(Refused) as raised:
        nobody.get(asked.id)
    assert raised.value.reason == Reason.UNAUTHENTICATED


def test_what_else_may_be_done_with_an_approval(client: Client, server: Server) -> None:
    asked = ask(client)
    assert client.claim(asked.id).assignment.assignee == "user:ana"
    with Client(server.config("user:bo")) as bo, pytest.raises(Refused) as raised:
        bo.decide(Decide.approve(asked.id))
    assert raised.value.metadata["assignee"] == "user:ana"
    assert not client.release(asked.id).HasField("assignment")
    assert client.reassign(asked.id, "user:cy", comment="you know them").assignment.assignee == "user:cy"
    assert client.release(asked.id).id == asked.id
    assert client.hold(asked.id, "an audit").hold.reason == "an audit"
    assert not client.resume(asked.id).HasField("hold")
    assert client.withdraw(Withdraw(asked.id)).status == asked.status
    canceled = client.cancel(Cancel(asked.id, "paid already"))
    assert canceled.status == ApprovalStatus.Value("APPROVAL_STATUS_CANCELED")


def test_a_service_acts_for_a_person(client: Client, server: Server) -> None:
    asked = ask(client)
    with Client(server.config("service:inbox")) as service:
        decided = service.on_behalf_of("user:dee", ["finance"]).decide(Decide.approve(asked.id))
    assert decided.approval.votes[0].voter == "user:dee"
    assert decided.approval.votes[0].cast_by == "service:inbox"


def test_a_decision_whose_answer_is_lost_is_sent_again_and_counts_once(client: Client, server: Server, proxy: Proxy) -> None:
    asked = ask(client)
    answers = []
    with Client(server.config(url=proxy.url)) as behind:
        behind.get(asked.id)
        assert proxy.connections == 1
        proxy.swallows.set()
        decide = Decide.approve(asked.id, comment="once")
        decider = threading.Thread(target=lambda: answers.append(behind.decide(decide)))
        decider.start()
        # It is on disk, and only the answer is lost.
        with client.watch(ApprovalFilter(execution_arn=asked.source.execution_arn)) as events:
            while client.get(asked.id).status == asked.status:
                next(events)
        proxy.swallows.clear()
        proxy.cut()
        decider.join()
    assert proxy.connections > 1
    [decided] = answers
    assert [vote.comment for vote in client.get(asked.id).votes] == ["once"]
    assert decided == client.decide(decide)


async def test_a_server_that_is_away_is_a_lost_connection(own_server: Server) -> None:
    own_server.kill()
    with Client(own_server.config(timeout=0.5)) as client, pytest.raises(ConnectionLost):
        client.decide(Decide.approve("apr_1"))
    async with AsyncClient(own_server.config(timeout=0.5)) as other:
        with pytest.raises(ConnectionLost):
            await other.decide(Decide.approve("apr_1"))
