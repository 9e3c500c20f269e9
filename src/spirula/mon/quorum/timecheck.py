"""Whether the monitors' clocks agree: the leader asks each peon for its time, and tells all.

A round is odd while answers are awaited and even when it is over. There is one when a quorum has
formed and every five minutes; while clocks differ, after 30 s, 60 s and so on. What it found is in
`skews` and `latencies`, on every member. Messages MTimeCheck2; follows upstream
`src/mon/Monitor.cc` (timecheck*) and, for messages from the future, `src/mon/Paxos.cc`. The
`Member` calls this.
"""

from __future__ import annotations

from dataclasses import dataclass

from spirula.messages.quorum import MTimeCheck2, TimeCheckOp
from spirula.mon.quorum.state import ClusterLog, Phase, QuorumState
from spirula.types.base import UTime

_TIMER = "timecheck"
_ROUNDS_PATIENCE = 3
_NEW_SHARE = 0.2
"""How much the newest latency counts in the mean."""


@dataclass(frozen=True, slots=True)
class Skew:
    """One monitor's clock as the leader saw it, in seconds.

    `skew` is by how much it is surely ahead (negative: behind). `details` says so if that is too
    much, and is empty otherwise.
    """

    name: str
    skew: float
    latency: float
    details: str


class TimeCheck:
    """One monitor's part in comparing clocks."""

    def __init__(self, state: QuorumState) -> None:
        self.q = state
        self.round = 0
        self.skews: dict[int, float] = {}
        self.latencies: dict[int, float] = {}
        self._started_at = 0.0
        self._waiting: dict[int, tuple[float, float]] = {}
        self._skewed_rounds = 0
        self._warned_at = float("-inf")
        self._warnings = 0

    @property
    def ongoing(self) -> bool:
        """Whether answers are awaited."""
        return bool(self.round % 2)

    def stop(self) -> None:
        """The quorum is left; what was found in it is forgotten."""
        self.q.cancel_timer(_TIMER)
        self.round = 0
        self.skews, self.latencies = {}, {}
        self._waiting.clear()
        self._skewed_rounds = 0

    def start(self) -> None:
        """This monitor leads a quorum of several: begin a round, and go on."""
        self.stop()
        self._start_round()

    def _start_round(self) -> None:
        q = self.q
        if self.ongoing:
            if q.now - self._started_at < _ROUNDS_PATIENCE * q.settings.mon_timecheck_interval:
                self._set_timer()
                return
            self._cancel_round()
        self.round += 1
        self._started_at = q.now
        self.skews[q.rank] = self.latencies[q.rank] = 0.0
        self._waiting = dict.fromkeys(q.peers(), (q.now, q.wall))
        for rank in q.peers():
            ping = MTimeCheck2(op=TimeCheckOp.PING, epoch=q.conductor.epoch, round=self.round)
            q.send_rank(rank, ping)
        self._set_timer()

    def _cancel_round(self) -> None:
        self.round += 1
        self._waiting.clear()

    def _set_timer(self) -> None:
        settings = self.q.settings
        delay = settings.mon_timecheck_skew_interval * self._skewed_rounds
        if not 0 < delay <= settings.mon_timecheck_interval:
            delay = settings.mon_timecheck_interval
        self.q.set_timer(_TIMER, delay, self._start_round)

    # --- messages

    def on_message(self, rank: int, m: MTimeCheck2) -> None:
        """A question, an answer, or the result."""
        q = self.q
        if rank not in q.quorum or m.epoch != q.conductor.epoch:
            return
        if q.phase is Phase.LEADER and m.op == TimeCheckOp.PONG:
            self._on_answer(rank, m)
        elif q.phase is Phase.PEON and rank == q.leader and m.round >= self.round:
            self._on_leader(m)

    def _on_leader(self, m: MTimeCheck2) -> None:
        q = self.q
        if m.op == TimeCheckOp.REPORT and m.round % 2 == 0:
            self.round = m.round
            known = {rank for rank in m.skews.keys() & m.latencies.keys() if 0 <= rank < q.size()}
            self.skews = {rank: m.skews[rank] for rank in known}
            self.latencies = {rank: m.latencies[rank] for rank in known}
        elif m.op == TimeCheckOp.PING and m.round % 2:
            self.round = m.round
            pong = MTimeCheck2(op=TimeCheckOp.PONG, epoch=m.epoch, round=m.round)
            pong.timestamp = UTime.at(q.wall)
            q.send_rank(q.leader, pong)

    def _on_answer(self, rank: int, m: MTimeCheck2) -> None:
        q = self.q
        if m.round != self.round or rank not in self._waiting:
            return
        asked, asked_wall = self._waiting.pop(rank)
        if q.wall < asked_wall:
            # This monitor's own clock was set back meanwhile: nothing found now makes sense.
            self._cancel_round()
            return
        latency = q.now - asked
        mean = self.latencies.get(rank, latency)
        self.latencies[rank] = mean * (1 - _NEW_SHARE) + latency * _NEW_SHARE
        # What the latency cannot explain is a skew; it may be larger than that, not smaller.
        ahead = float(m.timestamp) - q.wall
        bound = max(0.0, abs(ahead) - latency)
        self.skews[rank] = -bound if ahead < 0 else bound
        details = self._details(self.skews[rank])
        if details:
            q.emit(ClusterLog("warn", f"{rank} {details}"))
        if not self._waiting:
            self._finish_round()

    def _finish_round(self) -> None:
        q = self.q
        self.round += 1
        for rank in q.peers():
            report = MTimeCheck2(op=TimeCheckOp.REPORT, epoch=q.conductor.epoch, round=self.round)
            report.skews, report.latencies = dict(self.skews), dict(self.latencies)
            q.send_rank(rank, report)
        if any(self._details(skew) for skew in self.skews.values()):
            self._skewed_rounds += 1
            self._set_timer()
        elif self._skewed_rounds:
            # Look soon whether the skews are really gone, once.
            self._skewed_rounds = 1
            self._set_timer()
            self._skewed_rounds = 0

    # --- what is told

    def _details(self, skew: float) -> str:
        allowed = self.q.settings.mon_clock_drift_allowed
        return f"clock skew {abs(skew):g}s > max {allowed:g}s" if abs(skew) > allowed else ""

    def status(self) -> list[Skew]:
        """What is known of each monitor's clock, by rank; nothing before the first round is over.

        `time-sync-status` and the health check MON_CLOCK_SKEW show this.
        """
        ranks = self.q.monmap.ranks
        return [
            Skew(ranks[rank], skew, self.latencies.get(rank, 0.0), self._details(skew))
            for rank, skew in sorted(self.skews.items())
            if rank < len(ranks)
        ]

    def on_stamp(self, rank: int, sent_wall: float) -> None:
        """A message of Paxos was written at that time, by its sender's clock.

        Warns if that lies in the future; of more such messages less and less often.
        """
        q = self.q
        ahead = sent_wall - q.wall
        if ahead <= q.settings.mon_clock_drift_allowed:
            return
        if q.now - self._warned_at > q.settings.mon_clock_drift_warn_backoff**self._warnings:
            self._warned_at = q.now
            self._warnings += 1
            text = f"message from mon.{rank} was stamped {ahead:.6f}s in the future"
            q.emit(ClusterLog("warn", f"{text}, clocks not synchronized"))
