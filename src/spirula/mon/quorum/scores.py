"""How well monitors reach one another: keeping and merging reports, and the score of each.

The type on the wire is `types.mon.ConnectionTracker`; the arithmetic follows upstream
`src/mon/ConnectionTracker.cc`. The elector reports what its pings found; elections of the
connectivity strategy ask for scores.
"""

from __future__ import annotations

from copy import deepcopy

from spirula.types.mon import ConnectionReport, ConnectionTracker


def copy_report(report: ConnectionReport) -> ConnectionReport:
    """A copy that shares nothing."""
    return ConnectionReport(
        report.rank,
        dict(report.current),
        dict(report.history),
        report.epoch,
        report.epoch_version,
    )


def total_score(tracker: ConnectionTracker, rank: int) -> float:
    """The sum of what all others that reach `rank` think of it (each from 0 to 1)."""
    return sum(
        report.history[rank]
        for reporter, report in tracker.peer_reports.items()
        if reporter != rank and rank in report.history and report.current.get(rank)
    )


class Scores:
    """One monitor's tracker. Changes need no other persistence than `encoded` now and then."""

    def __init__(self, rank: int, half_life_s: float) -> None:
        self.tracker = ConnectionTracker(rank=rank, half_life=half_life_s)
        self.mine = ConnectionReport(rank=rank)
        self._encoded = b""

    def load(self, encoded: bytes) -> None:
        """Continue from what was kept. Raises WireError."""
        tracker = ConnectionTracker.decode(encoded)
        tracker.half_life = self.tracker.half_life
        if tracker.rank != self.tracker.rank:
            # Ranks have changed since: what is known by rank means others now.
            return
        self.tracker = tracker
        if tracker.rank in tracker.peer_reports:
            self.mine = copy_report(tracker.peer_reports[tracker.rank])
        self._encoded = b""

    def encoded(self) -> bytes:
        """The tracker as it is sent and stored."""
        if not self._encoded:
            self._encoded = self.tracker.encode()
        return self._encoded

    def snapshot(self) -> ConnectionTracker:
        """A copy that later reports do not change."""
        return deepcopy(self.tracker)

    def receive(self, other: ConnectionTracker) -> None:
        """Take over what another monitor knows better."""
        for report in other.peer_reports.values():
            if report.rank in {self.tracker.rank, -1}:
                continue
            known = self.tracker.peer_reports.get(report.rank)
            stamp = (report.epoch, report.epoch_version)
            if known is None or stamp > (known.epoch, known.epoch_version):
                self.tracker.peer_reports[report.rank] = copy_report(report)
                self._encoded = b""

    def increase_epoch(self, epoch: int) -> None:
        """An election has moved the epoch on; versions begin anew in it."""
        if epoch > self.tracker.epoch:
            self.tracker.epoch = self.mine.epoch = epoch
            self.tracker.version = self.mine.epoch_version = 0
            self._publish()

    def report_live(self, rank: int, seconds: float) -> None:
        """`rank` was reachable for so long."""
        share = seconds / (2 * self.tracker.half_life)
        score = self.mine.history.get(rank, 1.0)
        self._report(rank, min(score * (1 - share) + share, 1.0), alive=True)

    def report_dead(self, rank: int, seconds: float) -> None:
        """`rank` was not reachable for so long."""
        share = seconds / (2 * self.tracker.half_life)
        score = self.mine.history.get(rank, 1.0)
        self._report(rank, max(score * (1 - share) - share, 0.0), alive=False)

    def _report(self, rank: int, score: float, *, alive: bool) -> None:
        self.mine.history[rank] = score
        self.mine.current[rank] = alive
        self.tracker.version += 1
        self.mine.epoch_version = self.tracker.version
        self._publish()

    def _publish(self) -> None:
        self.tracker.peer_reports[self.tracker.rank] = copy_report(self.mine)
        self._encoded = b""

    def reset(self, rank: int) -> None:
        """Forget everything: the map has changed and ranks mean others now."""
        self.tracker.peer_reports.clear()
        self.tracker.rank = rank
        self.mine = ConnectionReport(
            rank=rank, epoch=self.tracker.epoch, epoch_version=self.tracker.version
        )
        self._encoded = b""
