"""A stream of events that reconnects and resumes by itself, for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Protocol

import grpc

from ._errors import DeadlinePassed, Error, from_rpc
from ._events import WatchEvent
from ._session import Fail, Reopen, Session, Wait, ended
from .v1 import approvals_pb2 as v1


class AsyncResponses(Protocol):
    """An open stream."""

    async def read(self) -> object: ...

    def cancel(self) -> bool: ...


class AsyncWatchStream(AsyncIterator[WatchEvent]):
    """The events of a watch. It connects when the first one is asked for, and ends after an error that trying again would
    not mend. Also a context manager that closes it.
    """

    def __init__(
        self,
        open_stream: Callable[[str, bool], Awaitable[AsyncResponses]],
        session: Session,
        renewable: bool,
        silence: float,
    ) -> None:
        self._open = open_stream
        self._session = session
        self._renewable = renewable
        self._silence = silence
        self._events: deque[WatchEvent] = deque()
        self._call: AsyncResponses | None = None
        self._closed = asyncio.Event()
        self._wait = 0.0
        self._fresh = False
        self._renew = False

    @property
    def resume_token(self) -> str:
        """Where to go on after the event that was taken last, in this process or another.

        Empty until the first snapshot is complete.
        """
        return self._session.resume_token

    def __aiter__(self) -> AsyncWatchStream:
        return self

    async def __anext__(self) -> WatchEvent:
        while not self._events:
            if self._closed.is_set():
                raise StopAsyncIteration
            try:
                await self._step()
            except Error:
                self.close()
                raise
        return self._events.popleft()

    def close(self) -> None:
        """Ends it: whoever waits for an event gets no more."""
        self._closed.set()
        if self._call is not None:
            self._call.cancel()

    async def __aenter__(self) -> AsyncWatchStream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def _step(self) -> None:
        """Opens, reads or waits: as far as one of them goes."""
        if self._wait > 0:
            wait, self._wait = self._wait, 0.0
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), wait)
            return
        try:
            message = await self._read()
        except grpc.aio.AioRpcError as error:
            self._lost(from_rpc(error, self._silence))
        except TimeoutError as error:
            if isinstance(error, Error):
                self._lost(error)
            else:
                self._lost(DeadlinePassed(self._silence))
        except Error as error:
            self._lost(error)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                # Whoever waits was cancelled, and may ask again.
                self._call = None
                self._session.interrupted()
                raise
            # By close(), or by the server.
            self._lost(DeadlinePassed(self._silence))
        else:
            if message is None:
                self._lost(ended())
                return
            self._fresh = False
            self._events.extend(self._session.message(message))

    async def _read(self) -> v1.StreamPendingApprovalsResponse | None:
        """The next message; ``None`` where the server ended the stream."""
        async with asyncio.timeout(self._silence):
            call = self._call or await self._reopen()
            message = await call.read()
        return message if isinstance(message, v1.StreamPendingApprovalsResponse) else None

    async def _reopen(self) -> AsyncResponses:
        renew, self._renew = self._renew, False
        call = await self._open(self._session.resume_token, renew)
        # Only a token that was not just asked for may be out of date.
        self._fresh = self._renewable and not renew
        self._call = call
        return call

    def _lost(self, cause: Error) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None
        if self._closed.is_set():
            return
        if cause.code is grpc.StatusCode.UNAUTHENTICATED and self._fresh:
            self._fresh, self._renew = False, True
            return
        match self._session.lost(cause, random.random()):
            case Reopen():
                pass
            case Wait(event):
                self._events.append(event)
                self._wait = event.retry_in
            case Fail(error):
                raise error
