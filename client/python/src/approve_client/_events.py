"""What a watch tells, in the order in which it happened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ._errors import Error
from .v1 import approvals_pb2 as v1


@dataclass(frozen=True, slots=True)
class Upserted:
    """A pending approval that matches, as it is now: new, or changed."""

    approval: v1.Approval


@dataclass(frozen=True, slots=True)
class Removed:
    """An approval that was upserted before and no longer matches, mostly because it is final."""

    id: str
    """Its id."""
    status: v1.ApprovalStatus.ValueType
    """Its status now; PENDING where it only ceased to match the filter."""
    revision: int
    """The revision of the change."""


@dataclass(frozen=True, slots=True)
class Synced:
    """Everything up to now was told; from here on it is live. Comes after the snapshot, and after each reconnect."""

    revision: int
    """The newest revision that was told."""


@dataclass(frozen=True, slots=True)
class Reset:
    """What was told so far no longer holds: drop it. A new snapshot follows."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection was lost. Nothing to do: it is made again by itself, and what is missed will be told."""

    cause: Error
    """Why."""
    retry_in: float
    """After how many seconds it is tried again."""


WatchEvent = Upserted | Removed | Synced | Reset | Disconnected
"""Later versions may tell more: pass over what is not known."""


class View:
    """The approvals that a watch has told of and not taken back."""

    def __init__(self) -> None:
        self._approvals: dict[str, v1.Approval] = {}
        self._synced = False

    def apply(self, event: WatchEvent) -> None:
        """Takes an event of the watch. All of them must be given, in order."""
        match event:
            case Upserted(approval):
                self._approvals[approval.id] = approval
            case Removed(id=approval_id):
                self._approvals.pop(approval_id, None)
            case Synced():
                self._synced = True
            case Reset():
                self._approvals.clear()
                self._synced = False
            case Disconnected():
                self._synced = False

    @property
    def is_synced(self) -> bool:
        """Whether the view is whole and live. Until it is, it may lack approvals, and hold some that are final."""
        return self._synced

    def get(self, approval_id: str) -> v1.Approval | None:
        """One approval, by its whole id."""
        return self._approvals.get(approval_id)

    def __iter__(self) -> Iterator[v1.Approval]:
        """All, oldest first."""
        return iter([approval for _, approval in sorted(self._approvals.items())])

    def __len__(self) -> int:
        return len(self._approvals)
