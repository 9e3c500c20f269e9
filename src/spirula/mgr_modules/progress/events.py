"""What `progress` tells of: something long, how far it is, and what makes it go on.

Keys and texts: upstream `src/pybind/mgr/progress/module.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from spirula.mgr_modules.tables import span

Document = dict[str, Any]
_BAR = 28
"""The width of a bar between its brackets."""


class Gauge(Protocol):
    """How far something is, from what the manager knows of its PGs."""

    def read(self, pgs: Document) -> float:
        """From 0 to 1. `pgs` is the document `pg_progress`."""


@dataclass(slots=True, eq=False)
class Event:
    """Something long.

    `refs` say what it is about (`["osd", "3"]`). Without a `gauge` another module tells how far it
    is. `shown`: in `ceph status`, too. `failure` says why it ended before its time.
    """

    ident: str
    message: str
    refs: list[Any]
    started_at: float
    shown: bool = False
    progress: float = 0.0
    gauge: Gauge | None = None
    failure: str | None = None

    def remaining_s(self, now: float) -> int | None:
        """How long it may still take; None while there is nothing to go by."""
        if not self.progress:
            return None
        return int((now - self.started_at) * (1 - self.progress) / self.progress)

    def duration(self, now: float) -> str:
        """How long it has been going on, in print."""
        return f"({span(now - self.started_at)})"

    def two_lines(self, now: float, indent: int = 4) -> str:
        """What it is, and a bar."""
        head = f"{self.message} {self.duration(now)}"
        return f"{head}\n{' ' * indent}{bar(self.progress)} {self._remaining(now)}"

    def _remaining(self, now: float) -> str:
        left = self.remaining_s(now)
        return f"(remaining: {span(left)})" if left else ""

    def document(self, now: float) -> Document:
        """As `progress json` shows it."""
        return {
            "id": self.ident,
            "message": self.message,
            "duration": self.duration(now),
            "refs": self.refs,
            "progress": self.progress,
            "started_at": self.started_at,
            "time_remaining": self.remaining_s(now),
        }


def bar(progress: float) -> str:
    """`[=======.....]`."""
    done = int(progress * _BAR)
    return f"[{'=' * done}{'.' * (_BAR - done)}]"


@dataclass(slots=True, eq=False)
class Ended:
    """What is remembered of an event; times are 0 in what old releases have kept."""

    ident: str
    message: str
    refs: list[Any]
    started_at: float
    finished_at: float
    shown: bool = False
    failure: str | None = None

    @classmethod
    def read(cls, kept: Document) -> Ended:
        """From what `document` made. KeyError where it is something else."""
        return cls(
            kept["id"],
            kept["message"],
            list(kept["refs"]),
            float(kept["started_at"] or 0),
            float(kept["finished_at"] or 0),
            bool(kept.get("add_to_ceph_s:", False)),
            kept.get("failure_message") if kept.get("failed") else None,
        )

    def document(self) -> Document:
        """As `progress json` shows it and as it is kept; the colon in a key is upstream's."""
        shown: Document = {
            "id": self.ident,
            "message": self.message,
            "refs": self.refs,
            "started_at": self.started_at,
            "finished_at": self.finished_at,
            "add_to_ceph_s:": self.shown,
        }
        if self.failure is not None:
            shown |= {"failed": True, "failure_message": self.failure}
        return shown

    def line(self, now: float) -> str:
        """`[Complete]: ...` and a full bar."""
        word = "Complete" if self.failure is None else "Failed"
        since = span(now - self.started_at)
        return f"[{word}]: {self.message} ({since})\n    {bar(1.0)} "


@dataclass(slots=True, eq=False)
class Moving:
    """A gauge: PGs that an OSD's coming or going has set in motion become active and clean.

    A PG that is half copied counts as half; only what was reported since `epoch` counts.
    """

    osd: str
    pgs: set[str]
    epoch: int
    count: int = 0
    before: dict[str, int] | None = None
    """Bytes that had been recovered before, by PG."""

    def read(self, pgs: Document) -> float:
        """The share of PGs that are done."""
        told = pgs["pgs"]
        if self.before is None:
            self.count = len(self.pgs)
            known = {pg for pg in self.pgs if pg in told}
            self.before = {pg: told[pg]["num_bytes_recovered"] for pg in known}
            if pgs["pg_ready"]:
                self.pgs &= known
        partly = 0.0
        for pg in sorted(self.pgs):
            # A PG that is not there any more went with its pool.
            share = self._share(pg, told[pg]) if pg in told else 1.0
            if share >= 1.0:
                self.pgs.discard(pg)
            else:
                partly += share
        done = self.count - len(self.pgs)
        return min((done + partly) / self.count, 1.0) if self.count else 0.0

    def _share(self, pg: str, told: Document) -> float:
        if told["reported_epoch"] < self.epoch:
            return 0.0
        if {"active", "clean"} <= set(told["state"].split("+")):
            return 1.0
        size = told["num_bytes"]
        if not size or self.before is None:
            return 0.0
        copied: float = (told["num_bytes_recovered"] - self.before.get(pg, 0)) / size
        # More than a PG's bytes may have been copied; done it is when it says so.
        return max(0.0, min(copied, 0.99))


@dataclass(slots=True, eq=False)
class Everything:
    """A gauge: all PGs are active and clean; those that were so all along do not count."""

    epoch: int
    active_clean: int = -1
    last: float = 0.0

    def read(self, pgs: Document) -> float:
        """The share of PGs that are active and clean."""
        told = pgs["pgs"]
        clean = [
            pg for pg, one in told.items() if {"active", "clean"} <= set(one["state"].split("+"))
        ]
        if len(clean) != self.active_clean:
            self.active_clean = len(clean)
            untouched = sum(told[pg]["reported_epoch"] < self.epoch for pg in clean)
            counted = len(told) - untouched
            self.last = min((len(clean) - untouched) / counted, 1.0) if counted else 1.0
        return self.last
