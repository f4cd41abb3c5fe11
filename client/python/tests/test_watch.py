"""The watch against a real server: resumed over lost connections, kills and silence."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from approve_client import (
    ApprovalFilter,
    AsyncClient,
    Client,
    DeadlinePassed,
    Decide,
    Disconnected,
    Reason,
    Refused,
    Removed,
    Reset,
    Synced,
    Upserted,
    View,
    WatchEvent,
)
from conftest import ask
from proxy import Proxy
from server import Server

PROMPT = (0.05, 0.2)
ASK = ApprovalFilter(workflow="ask")


class Told:
    """Holds a watch to its promise: each change once, in order, and none from before."""

    def __init__(self) -> None:
        self.view = View()
        self.revisions: list[int] = []
        self.resets = 0
        self.losses: list[Disconnected] = []

    def take(self, event: WatchEvent) -> WatchEvent:
        self.view.apply(event)
        match event:
            case Upserted(approval):
                self.revisions.append(approval.revision)
            case Removed(revision=revision):
                self.revisions.append(revision)
            case Reset():
                self.resets += 1
                self.revisions.clear()
            case Disconnected():
                self.losses.append(event)
        return event

    def until(self, events: Iterator[WatchEvent], met: Callable[[WatchEvent], bool]) -> WatchEvent:
        while not met(event := self.take(next(events))):
            pass
        return event

    async def until_async(self, events: AsyncIterator[WatchEvent], met: Callable[[WatchEvent], bool]) -> WatchEvent:
        while not met(event := self.take(await anext(events))):
            pass
        return event


def synced(event: WatchEvent) -> bool:
    return isinstance(event, Synced)


def about(approval_id: str) -> Callable[[WatchEvent], bool]:
    def met(event: WatchEvent) -> bool:
        match event:
            case Upserted(approval):
                return approval.id == approval_id
            case Removed(id=removed):
                return removed == approval_id
        return False

    return met


def test_a_kill_in_the_middle_loses_nothing_and_repeats_nothing(own_server: Server) -> None:
    server = own_server
    proxy = Proxy(server.url)
    told = Told()
    try:
        with Client(server.config()) as direct, Client(server.config(url=proxy.url)) as behind:
            first = [ask(direct).id for _ in range(3)]
            events = behind.watch(ASK, reconnect_delay=PROMPT)
            told.until(events, synced)
            assert [approval.id for approval in told.view] == sorted(first)
            live = ask(direct).id
            told.until(events, about(live))
            token = events.resume_token

            proxy.refuses.set()
            server.kill()
            told.until(events, lambda event: isinstance(event, Disconnected))
            server.start()
            # All this happens while nobody watches.
            direct.decide(Decide.approve(first[0]))
            missed = ask(direct).id
            direct.decide(Decide.reject(live))
            proxy.refuses.clear()
            told.until(events, synced)

            left = sorted([first[1], first[2], missed])
            assert [approval.id for approval in told.view] == left
            # In order and each once: the revisions after the first token grow, over both connections.
            assert told.resets == 0
            assert told.revisions[3:] == sorted(set(told.revisions[3:]))
            direct.decide(Decide.approve(missed))
            told.until(events, about(missed))
            events.close()
            with pytest.raises(StopIteration):
                next(events)

            # Another process goes on from the token alone.
            later = Told()
            with behind.watch(ASK, resume_token=token) as resumed:
                later.until(resumed, synced)
            assert later.revisions == [revision for revision in told.revisions[4:]]
    finally:
        proxy.close()


@asynccontextmanager
async def behind_proxy(server: Server, proxy: Proxy) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(server.config(url=proxy.url)) as client:
        yield client


async def test_the_same_with_asyncio(own_server: Server) -> None:
    server = own_server
    proxy = Proxy(server.url)
    told = Told()
    try:
        async with behind_proxy(server, proxy) as behind:
            with Client(server.config()) as direct:
                first = [(await asyncio.to_thread(ask, direct)).id for _ in range(3)]
                events = behind.watch(ASK, reconnect_delay=PROMPT)
                await told.until_async(events, synced)

                proxy.refuses.set()
                server.kill()
                await told.until_async(events, lambda event: isinstance(event, Disconnected))
                await asyncio.to_thread(server.start)
                await asyncio.to_thread(direct.decide, Decide.approve(first[0]))
                missed = (await asyncio.to_thread(ask, direct)).id
                proxy.refuses.clear()
                await told.until_async(events, synced)

                assert [approval.id for approval in told.view] == sorted([first[1], first[2], missed])
                assert told.resets == 0
                assert told.revisions[3:] == sorted(set(told.revisions[3:]))
                events.close()
    finally:
        proxy.close()


def test_a_silent_stream_is_given_up_and_resumed(client: Client, server: Server, proxy: Proxy) -> None:
    told = Told()
    with Client(server.config(url=proxy.url)) as behind:
        with behind.watch(ASK, heartbeat_interval=1.0, reconnect_delay=PROMPT) as events:
            told.until(events, synced)
            proxy.swallows.set()
            asked = ask(client).id
            lost = told.until(events, lambda event: isinstance(event, Disconnected))
            assert isinstance(lost, Disconnected)
            assert isinstance(lost.cause, DeadlinePassed)
            # The connection is the same, so it is not by a new one that what was said is heard.
            proxy.swallows.clear()
            proxy.cut()
            told.until(events, about(asked))
    assert told.resets == 0


async def test_a_silent_stream_is_noticed_with_asyncio(server: Server, proxy: Proxy) -> None:
    told = Told()
    async with AsyncClient(server.config(url=proxy.url)) as behind:
        async with behind.watch(ASK, heartbeat_interval=1.0, reconnect_delay=PROMPT) as events:
            await told.until_async(events, synced)
            proxy.swallows.set()
            lost = await told.until_async(events, lambda event: isinstance(event, Disconnected))
            assert isinstance(lost, Disconnected)
            assert isinstance(lost.cause, DeadlinePassed)
            proxy.swallows.clear()
            proxy.cut()
            await told.until_async(events, synced)
    assert told.resets == 0


async def test_whoever_stops_waiting_may_ask_again(client: Client, server: Server) -> None:
    told = Told()
    async with AsyncClient(server.config()) as other:
        events = other.watch(ASK)
        await told.until_async(events, synced)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await told.until_async(events, lambda _: False)
        asked = (await asyncio.to_thread(ask, client)).id
        await told.until_async(events, about(asked))
        events.close()
        with pytest.raises(StopAsyncIteration):
            await anext(events)
    assert told.resets == 0


def test_closing_wakes_whoever_waits(client: Client) -> None:
    events = client.watch(ASK)
    Told().until(events, synced)
    rest: list[WatchEvent] = []
    waiting = threading.Thread(target=lambda: rest.extend(events))
    waiting.start()
    events.close()
    waiting.join(timeout=30)
    assert not waiting.is_alive()
    assert not any(isinstance(event, Disconnected) for event in rest)


def test_a_token_of_another_filter_ends_the_watch(client: Client) -> None:
    with client.watch(ASK) as events:
        Told().until(events, synced)
        token = events.resume_token
    with client.watch(ApprovalFilter(workflow="other"), resume_token=token) as events:
        with pytest.raises(Refused) as raised:
            next(events)
        assert raised.value.reason == Reason.RESUME_TOKEN_INVALID
        with pytest.raises(StopIteration):
            next(events)
