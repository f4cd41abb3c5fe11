"""A thin typed client for approve-server: human approvals for AWS Step Functions activities.

:class:`Client` is for threads, :class:`AsyncClient` for asyncio; they have the same methods. ``watch()`` is a stream of
changes that reconnects and resumes by itself; ``decide()`` may be repeated and counts once. The messages are those of
:mod:`approve_client.v1`.
"""

from ._client import Client
from ._client_async import AsyncClient
from ._config import Config, Tls
from ._credentials import Asserted, Bearer, Credentials, OnBehalfOf, bearer_file
from ._errors import (
    ConfigError,
    ConnectionLost,
    CredentialsError,
    DeadlinePassed,
    Error,
    FieldViolation,
    ProtocolError,
    Refused,
)
from ._events import Disconnected, Removed, Reset, Synced, Upserted, View, WatchEvent
from ._reason import ERROR_DOMAIN, Reason
from ._requests import Cancel, Decide, Decided, Withdraw
from ._version import VERSION as __version__
from ._watch import WatchStream
from ._watch_async import AsyncWatchStream
from .v1.approvals_pb2 import Approval, ApprovalFilter, ApprovalStatus, Decision, Priority

__all__ = [
    "ERROR_DOMAIN",
    "Approval",
    "ApprovalFilter",
    "ApprovalStatus",
    "Asserted",
    "AsyncClient",
    "AsyncWatchStream",
    "Bearer",
    "Cancel",
    "Client",
    "Config",
    "ConfigError",
    "ConnectionLost",
    "Credentials",
    "CredentialsError",
    "DeadlinePassed",
    "Decide",
    "Decided",
    "Decision",
    "Disconnected",
    "Error",
    "FieldViolation",
    "OnBehalfOf",
    "Priority",
    "ProtocolError",
    "Reason",
    "Refused",
    "Removed",
    "Reset",
    "Synced",
    "Tls",
    "Upserted",
    "View",
    "WatchEvent",
    "WatchStream",
    "Withdraw",
    "__version__",
    "bearer_file",
]
