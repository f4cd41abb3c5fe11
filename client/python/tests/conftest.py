from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration

from approve_client import Approval, ApprovalFilter, Client, Upserted
from approve_client.v1.workflows_pb2 import (
    ApplyWorkflowRequest,
    RoleSpec,
    StateMachineSpec,
    WorkflowSpec,
)
from proxy import Proxy
from server import Server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for tests that leave it running."""
    server = Server(tmp_path_factory.mktemp("server"))
    apply(server)
    yield server
    server.close()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A server for a test that kills it."""
    server = Server(tmp_path)
    apply(server)
    yield server
    server.close()


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    proxy = Proxy(server.url)
    yield proxy
    proxy.close()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client(server.config()) as client:
        yield client


def apply(server: Server) -> None:
    """Provisions a workflow that asks."""
    hour = Duration(seconds=3600)
    machine = StateMachineSpec(timeout=hour, heartbeat=Duration(seconds=600))
    spec = WorkflowSpec(name="ask", state_machine=machine, role=RoleSpec())
    with Client(server.config()) as client:
        for _ in client.workflows.ApplyWorkflow(ApplyWorkflowRequest(spec=spec), metadata=(("approve-actor", "user:ana"),)):
            pass


def ask(client: Client, input_json: str = '{"amount":1200.50}') -> Approval:
    """Starts an execution, and waits until it asks."""
    execution = client.start_execution("ask", input_json=input_json).execution_arn
    with client.watch(ApprovalFilter(execution_arn=execution)) as events:
        for event in events:
            if isinstance(event, Upserted):
                return event.approval
    raise AssertionError("the watch ended")
