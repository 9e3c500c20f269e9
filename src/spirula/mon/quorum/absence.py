"""Which monitors will not answer now: their process is gone, or they said that they stand aside.

Elections do not wait for them, and the quorum they were in calls one at once instead of missing
them after ten seconds. The daemon tells of refused connections, a monitor that stops or steps aside
of itself: by a notice in the padding of an MMonPing, which real monitors do not look at. A wrong
hint costs an election, seldom more than one: hints on the same monitor are heeded less and less
often. The `Member` calls this; what it means for leases is told in `leases`.
"""

from __future__ import annotations

import struct
from typing import Protocol

from spirula.errors import WireError
from spirula.messages.quorum import MMonPing, PingOp
from spirula.mon.quorum.paxos import Paxos
from spirula.mon.quorum.state import Phase, QuorumState, SteppedAside
from spirula.types.base import UTime
from spirula.types.entity import EntityAddrVec

_MAGIC = b"spirula aside\0"
_EPOCH = struct.Struct("<I")
_LONGEST_REASON_BYTES = 512
_FIRST_HOLD_S, _LONGEST_HOLD_S = 2.0, 60.0
_FORGIVEN_AFTER_S = 120.0
REFUSED = "its host refuses connections"
"""The reason in `QuorumState.absent` of monitors that did not speak for themselves."""


def notice_of(reason: str, epoch: int, tracker_bl: bytes) -> MMonPing:
    """Tells others that the sender holds no lease of an epoch below that one, and stands aside."""
    text = reason.encode()[:_LONGEST_REASON_BYTES]
    return MMonPing(
        op=PingOp.PING_REPLY,
        stamp=UTime.at(0.0),
        tracker_bl=tracker_bl,
        padding=_MAGIC + _EPOCH.pack(epoch) + text,
    )


def read_notice(m: MMonPing) -> tuple[int, str] | None:
    """The epoch and the reason, if the ping is such a notice. Raises WireError."""
    padding = bytes(m.padding[: len(_MAGIC) + _EPOCH.size + _LONGEST_REASON_BYTES])
    if not padding.startswith(_MAGIC):
        return None
    start = len(_MAGIC) + _EPOCH.size
    if len(padding) < start:
        raise WireError("a notice without an epoch", path="MMonPing.padding")
    (epoch,) = _EPOCH.unpack_from(padding, len(_MAGIC))
    return epoch, padding[start:].decode("utf-8", "replace")


class ElectionWaits(Protocol):
    """What this needs of elections."""

    @property
    def deferred_to(self) -> int:
        """The rank whose victory is waited for; -1 if none."""

    def absent_changed(self) -> None:
        """Somebody's answer is not to be waited for any more."""


class Absence:
    """One monitor's knowledge of the others' absence; who is absent is in `QuorumState.absent`."""

    def __init__(self, state: QuorumState, paxos: Paxos, elections: ElectionWaits) -> None:
        self.q = state
        self.paxos = paxos
        self.elections = elections
        self._holds: dict[str, tuple[float, float]] = {}

    def heard(self, rank: int) -> None:
        """A message came from that monitor: it is there."""
        if rank >= 0:
            self.q.absent.pop(self.q.monmap.ranks[rank], None)

    def refused(self, rank: int) -> None:
        """The host of that monitor refused a connection to it: nobody listens there."""
        q = self.q
        name = q.monmap.ranks[rank]
        q.absent.setdefault(name, REFUSED)
        if _same_host(q.monmap.addrs(rank), q.addrs):
            # No network is in between that could tell a lie: the process is gone, and so are its
            # leases of whatever quorum this monitor has been in up to now.
            self.paxos.leases_dropped(name, q.conductor.epoch + 1)
        self._act(name)

    def on_notice(self, rank: int, epoch: int, reason: str) -> None:
        """That monitor stands aside."""
        q = self.q
        name = q.monmap.ranks[rank]
        if q.absent.get(name) != reason:
            q.absent[name] = reason
            q.emit(SteppedAside(name, reason))
        self.paxos.leases_dropped(name, epoch)
        self._act(name)

    def _act(self, name: str) -> None:
        """Do without that monitor, if it is still absent, and missed."""
        q = self.q
        if name not in q.absent or name not in q.monmap.mon_info:
            return
        rank = q.monmap.rank_of(name)
        if q.phase is Phase.ELECTING:
            self.elections.absent_changed()
        missed = rank in q.quorum or (
            q.phase is Phase.ELECTING and self.elections.deferred_to == rank
        )
        if missed and self._may_disturb(name):
            q.conductor.start_election()

    def _may_disturb(self, name: str) -> bool:
        """Whether an election may be called on that monitor's account; if not, looks again later.

        A process that crashes over and over, or a hint that is wrong again and again, must not
        keep the others from work.
        """
        q = self.q
        until, hold = self._holds.get(name, (0.0, 0.0))
        if q.now < until:
            q.set_timer(f"absent {name}", until - q.now, lambda: self._act(name))
            return False
        if q.now > until + _FORGIVEN_AFTER_S:
            hold = 0.0
        hold = min(max(2 * hold, _FIRST_HOLD_S), _LONGEST_HOLD_S)
        self._holds[name] = (q.now + hold, hold)
        return True


def _same_host(one: EntityAddrVec, other: EntityAddrVec) -> bool:
    return {a.host for a in one.addrs} == {a.host for a in other.addrs}
