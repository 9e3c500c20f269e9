"""Whether the monitors' stores hold the same: checksums by prefix, compared by the leader.

The leader goes through all keys but those of Paxos, a hundred at a time; each monitor of the quorum
reports how many keys and which checksum it has for each prefix at the same version. Once a day, and
when the command `mon scrub` asks. What it finds goes to the cluster log. Messages MMonScrub;
follows upstream `src/mon/Monitor.cc` (scrub*). The `Member` calls this.
"""

from __future__ import annotations

from spirula.errors import Busy
from spirula.kernels.crc32c import crc32c
from spirula.messages.quorum import MMonScrub, ScrubOp
from spirula.mon.quorum.paxos import Paxos
from spirula.mon.quorum.state import ClusterLog, Phase, QuorumState
from spirula.mon.store import PAXOS
from spirula.types.mon import ScrubResult

_TIMER, _TIMEOUT = "scrub", "scrub timeout"

Position = tuple[str, str]
"""Prefix and key of the last key that was looked at; both empty at the beginning."""


class Scrub:
    """One monitor's part in scrubs."""

    def __init__(self, state: QuorumState, paxos: Paxos) -> None:
        self.q = state
        self.paxos = paxos
        self._running = False
        self._finished = False
        self._version = 0
        self._last: Position = ("", "")
        self._results: dict[int, ScrubResult] = {}

    # --- the leader

    def schedule(self) -> None:
        """This monitor leads: scrub when it is time (`mon_scrub_interval`; 0 is never)."""
        interval = self.q.settings.mon_scrub_interval
        self.q.cancel_timer(_TIMER)
        if interval > 0:
            self.q.set_timer(_TIMER, interval, self.start)

    def stop(self) -> None:
        """The quorum is left: forget the scrub that is on, and the next one."""
        self.q.cancel_timer(_TIMER)
        self._reset()

    def _reset(self) -> None:
        self.q.cancel_timer(_TIMEOUT)
        self._running = False
        self._version = 0
        self._results = {}

    def start(self) -> None:
        """Begin a scrub. Raises Busy if there is one."""
        if self._running:
            self.q.emit(ClusterLog("info", "scrub already in progress"))
            raise Busy("scrub already in progress")
        self.q.cancel_timer(_TIMER)
        self._running = True
        self._last = ("", "")
        self._next()

    def _next(self) -> None:
        q = self.q
        self._version = self.paxos.last_committed
        most = q.settings.mon_scrub_max_keys if len(q.quorum) > 1 else -1
        for rank in q.peers():
            ask = MMonScrub(op=ScrubOp.SCRUB, version=self._version, num_keys=most, key=self._last)
            q.send_rank(rank, ask)
        mine, self._last, more = self.digest(self._last, most)
        self._finished = not more
        self._results = {q.rank: mine}
        self._wait()
        self._compare_if_complete()

    def _wait(self) -> None:
        self.q.set_timer(_TIMEOUT, self.q.settings.mon_scrub_timeout, self._start_anew)

    def _start_anew(self) -> None:
        self._reset()
        self.start()

    def _on_result(self, rank: int, m: MMonScrub) -> None:
        if self._running and m.version == self._version and rank not in self._results:
            self._wait()
            self._results[rank] = m.result
            self._compare_if_complete()

    def _compare_if_complete(self) -> None:
        q = self.q
        if self._results.keys() != q.quorum:
            return
        mine = self._results[q.rank]
        differ = {rank: result for rank, result in self._results.items() if result != mine}
        for rank, result in sorted(differ.items()):
            q.emit(ClusterLog("error", "scrub mismatch"))
            q.emit(ClusterLog("error", f" mon.{q.rank} {_shown(mine)}"))
            q.emit(ClusterLog("error", f" mon.{rank} {_shown(result)}"))
        if not differ:
            ranks = ",".join(str(rank) for rank in sorted(q.quorum))
            q.emit(ClusterLog("debug", f"scrub ok on {ranks}: {_shown(mine)}"))
        if self._finished:
            self._reset()
            self.schedule()
        else:
            self._next()

    # --- every member

    def digest(self, after: Position, most: int) -> tuple[ScrubResult, Position, bool]:
        """Counts and checksums of up to `most` keys behind a place (all if that is not above 0).

        Also the place of the last one, and whether there are more.
        """
        result = ScrubResult({}, {})
        last = after
        left = most if most > 0 else -1
        for prefix in sorted(self.q.settings.sync_prefixes):
            if prefix == PAXOS or prefix < after[0]:
                continue
            start = after[1] if prefix == after[0] else ""
            for key, value in self.q.store.items(prefix, start):
                if (prefix, key) == after:
                    continue
                if left == 0:
                    return result, last, True
                left -= 1
                result.prefix_keys[prefix] = result.prefix_keys.get(prefix, 0) + 1
                result.prefix_crc[prefix] = crc32c(result.prefix_crc.get(prefix, 0), value)
                last = (prefix, key)
        return result, last, False

    def on_message(self, rank: int, m: MMonScrub) -> None:
        """A question or an answer."""
        q = self.q
        if rank not in q.quorum:
            return
        if m.op == ScrubOp.RESULT and q.phase is Phase.LEADER:
            self._on_result(rank, m)
        elif m.op == ScrubOp.SCRUB and q.phase is Phase.PEON and rank == q.leader:
            if m.version != self.paxos.last_committed:
                return
            result, last, _ = self.digest(m.key, m.num_keys)
            reply = MMonScrub(op=ScrubOp.RESULT, version=m.version, result=result, key=last)
            reply.num_keys = sum(result.prefix_keys.values())
            q.send_rank(rank, reply)


def _shown(result: ScrubResult) -> str:
    """As upstream prints it."""
    keys = ",".join(f"{prefix}={count}" for prefix, count in sorted(result.prefix_keys.items()))
    crcs = ",".join(f"{prefix}={crc}" for prefix, crc in sorted(result.prefix_crc.items()))
    return f"ScrubResult(keys {{{keys}}} crc {{{crcs}}})"
