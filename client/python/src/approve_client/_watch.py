"""A stream of events that reconnects and resumes by itself, for threads."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Protocol

import grpc

from ._errors import Error, from_rpc
from ._events import WatchEvent
from ._session import Fail, Reopen, Session, Wait, ended
from .v1 import approvals_pb2 as v1

SILENT_INTERVALS = 3
"""After how many heartbeat intervals without a message a stream counts as dead."""


class Responses(Protocol):
    """An open stream."""

    def __next__(self) -> v1.StreamPendingApprovalsResponse: ...

    def cancel(self) -> bool: ...


class WatchStream(Iterator[WatchEvent]):
    """The events of a watch. It connects when the first one is asked for, and ends after an error that trying again would
    not mend.

    For one thread; :meth:`close` may be called by any. Also a context manager that closes it.
    """

    def __init__(
        self, open_stream: Callable[[str, bool], Responses], session: Session, renewable: bool, silence: float
    ) -> None:
        self._open = open_stream
        self._session = session
        self._renewable = renewable
        self._silence = silence
        self._events: deque[WatchEvent] = deque()
        self._call: Responses | None = None
        self._closed = threading.Event()
        self._watchdog: _Watchdog | None = None
        self._wait = 0.0
        self._fresh = False
        self._renew = False

    @property
    def resume_token(self) -> str:
        """Where to go on after the event that was taken last, in this process or another.

        Empty until the first snapshot is complete.
        """
        return self._session.resume_token

    def __iter__(self) -> WatchStream:
        return self

    def __next__(self) -> WatchEvent:
        while not self._events:
            if self._closed.is_set():
                raise StopIteration
            try:
                self._step()
            except Error:
                self.close()
                raise
        return self._events.popleft()

    def close(self) -> None:
        """Ends it: whoever waits for an event gets no more."""
        self._closed.set()
        call, watchdog = self._call, self._watchdog
        if call is not None:
            call.cancel()
        if watchdog is not None:
            watchdog.close()

    def __enter__(self) -> WatchStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _step(self) -> None:
        """Opens, reads or waits: as far as one of them goes."""
        if self._wait > 0:
            self._closed.wait(self._wait)
            self._wait = 0.0
            return
        try:
            call = self._call or self._reopen()
            message = self._read(call)
        except grpc.RpcError as error:
            self._lost(from_rpc(error, self._silence))
        except StopIteration:
            self._lost(ended())
        except Error as error:
            self._lost(error)
        else:
            self._fresh = False
            self._events.extend(self._session.message(message))

    def _reopen(self) -> Responses:
        renew, self._renew = self._renew, False
        call = self._open(self._session.resume_token, renew)
        # Only a token that was not just asked for may be out of date.
        self._fresh = self._renewable and not renew
        self._call = call
        if self._closed.is_set():
            call.cancel()
        return call

    def _read(self, call: Responses) -> v1.StreamPendingApprovalsResponse:
        if self._watchdog is None:
            self._watchdog = _Watchdog(self._silence)
        self._watchdog.begin(call)
        try:
            return next(call)
        finally:
            self._watchdog.end()

    def _lost(self, cause: Error) -> None:
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


class _Watchdog:
    """Cancels a call that is silent for too long while somebody waits for it."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._lock = threading.Condition()
        self._call: Responses | None = None
        self._deadline = 0.0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="approve-watch-silence", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends its thread."""
        with self._lock:
            self._closed = True
            self._lock.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def begin(self, call: Responses) -> None:
        """From now on somebody waits for this call. That it is cancelled counts as a deadline that passed."""
        with self._lock:
            self._call = call
            self._deadline = time.monotonic() + self._limit

    def end(self) -> None:
        """Nobody waits any more."""
        with self._lock:
            self._call = None

    def _run(self) -> None:
        with self._lock:
            while not self._closed:
                # A deadline that is set while this waits is later than the end of the wait: nobody has to tell.
                left = self._deadline - time.monotonic() if self._call is not None else self._limit
                if left > 0:
                    self._lock.wait(left)
                elif self._call is not None:
                    self._call.cancel()
                    self._call = None
