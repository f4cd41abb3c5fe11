"""How the caller shows who they are."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ._errors import ConfigError, CredentialsError

ACTOR_METADATA = "approve-actor"
GROUPS_METADATA = "approve-groups"
ON_BEHALF_OF_METADATA = "approve-on-behalf-of"

_MAX_FILE_BYTES = 64 * 1024

Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Asserted:
    """The caller's own word: for servers that trust it (development, on loopback)."""

    actor: str
    """A principal, ``user:<name>``."""
    groups: tuple[str, ...] = ()
    """Names of groups, without ``group:``."""

    def __init__(self, actor: str, groups: Iterable[str] = ()) -> None:
        object.__setattr__(self, "actor", actor)
        object.__setattr__(self, "groups", tuple(groups))


@dataclass(frozen=True, slots=True)
class Bearer:
    """An API token of the server, or a JWT of an issuer that it trusts. Sent only over TLS, or to loopback."""

    token: str | Callable[[], str] | Callable[[], Awaitable[str]] = field(repr=False)
    """The token; or what returns it, which is asked before the first call, and once more when the server no longer takes
    what it returned. Only an ``AsyncClient`` takes one that is awaited."""

    @property
    def is_renewable(self) -> bool:
        """Whether there may be another token later."""
        return callable(self.token)


def bearer_file(path: str | os.PathLike[str]) -> Bearer:
    """The token in a file, read again when the server no longer takes what was read. At most 64 KiB."""

    def read() -> str:
        file = Path(path)
        if file.stat().st_size > _MAX_FILE_BYTES:
            raise OSError(f"{file} is longer than {_MAX_FILE_BYTES} bytes")
        return file.read_text(encoding="utf-8").strip()

    return Bearer(read)


Credentials = Asserted | Bearer


@dataclass(frozen=True, slots=True)
class OnBehalfOf:
    """Whom a service acts for. Needs the permission to act on behalf; both names are recorded."""

    person: str
    """A principal, ``user:<name>``."""
    groups: tuple[str, ...] = ()
    """Names of their groups, without ``group:``."""

    def __init__(self, person: str, groups: Iterable[str] = ()) -> None:
        object.__setattr__(self, "person", person)
        object.__setattr__(self, "groups", tuple(groups))


def identity(credentials: Credentials | None, on_behalf_of: OnBehalfOf | None) -> Metadata:
    """What goes with every request, but for a bearer token."""
    metadata: list[tuple[str, str]] = []
    if isinstance(credentials, Asserted):
        metadata.append((ACTOR_METADATA, _header("actor", credentials.actor)))
        if on_behalf_of is not None and credentials.groups:
            raise ConfigError("who acts for a person has no groups of their own")
        metadata.extend(_groups(credentials.groups))
    if on_behalf_of is not None:
        metadata.append((ON_BEHALF_OF_METADATA, _header("person", on_behalf_of.person)))
        metadata.extend(_groups(on_behalf_of.groups))
    return tuple(metadata)


def authorization(token: str | None) -> Metadata:
    """What shows a bearer token."""
    if token is None:
        return ()
    if not token or not all("!" <= character <= "~" for character in token):
        raise ConfigError("the bearer token is empty, or not one word of printable ASCII")
    return (("authorization", f"Bearer {token}"),)


def unobtainable(cause: BaseException) -> CredentialsError:
    """The token could not be had."""
    error = CredentialsError("can't get a bearer token")
    error.__cause__ = cause
    return error


def _header(what: str, value: str) -> str:
    if not all(" " <= character <= "~" for character in value):
        raise ConfigError(f"{what} {value!r}: not printable ASCII")
    return value


def _groups(groups: tuple[str, ...]) -> Metadata:
    for group in groups:
        if "," in group:
            raise ConfigError(f"group {group!r}: holds a comma")
    return ((GROUPS_METADATA, _header("groups", ",".join(groups))),) if groups else ()
