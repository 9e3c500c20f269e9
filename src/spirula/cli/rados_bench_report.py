"""The figures of `spirula rados bench`, and how they are told: shapes of upstream's
`src/common/obj_bencher.cc`, as text and as a document (all of it strings).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from spirula.printing import general

_MIB = 1 << 20


@dataclass(slots=True)
class Spread:
    """Least, most, mean and deviation of numbers that come one by one."""

    count: int = 0
    least: float = math.inf
    most: float = 0.0
    mean: float = 0.0
    _squares: float = 0.0

    def add(self, value: float) -> None:
        """One more."""
        self.count += 1
        self.least, self.most = min(self.least, value), max(self.most, value)
        change = value - self.mean
        self.mean += change / self.count
        self._squares += change * (value - self.mean)

    @property
    def deviation(self) -> float:
        """Standard deviation; 0 of less than two."""
        return math.sqrt(self._squares / (self.count - 1)) if self.count > 1 else 0.0


@dataclass(slots=True)
class Line:
    """What is told each second; rates in MiB/s, latencies in seconds, None where nothing ended."""

    in_flight: int
    started: int
    finished: int
    average_rate: float
    rate: float | None
    latency: float | None
    average_latency: float

    def document(self, second: int) -> dict[str, str]:
        """As JSON has it."""
        return {
            "sec": str(second),
            "cur_ops": str(self.in_flight),
            "started": str(self.started),
            "finished": str(self.finished),
            "avg_bw": f"{self.average_rate:f}",
            "cur_bw": f"{self.rate or 0.0:f}",
            "last_lat": f"{self.latency or 0.0:f}",
            "avg_lat": f"{self.average_latency:f}",
        }


@dataclass(slots=True)
class Figures:
    """What a run has measured. `began` and `ended` are of a clock that only goes forward."""

    op_size: int
    began: float = 0.0
    ended: float = 0.0
    started: int = 0
    finished: int = 0
    last_latency: float = 0.0
    latencies: Spread = field(default_factory=Spread)
    rates: Spread = field(default_factory=Spread)
    operations: Spread = field(default_factory=Spread)
    _seen: int = 0
    _since: int = 0

    def add(self, latency: float) -> None:
        """An operation ended."""
        self.finished += 1
        self.last_latency = latency
        self.latencies.add(latency)

    def look(self, now: float) -> Line:
        """What to tell now; called each second."""
        new, seconds = self.finished - self._seen, self._since
        if seconds:
            self.rates.add(new * self.op_size / _MIB / seconds)
            self.operations.add(new // seconds)
        line = Line(
            self.started - self.finished,
            self.started,
            self.finished,
            self.op_size * self.finished / max(now - self.began, 1e-9) / _MIB,
            (new * self.op_size / _MIB / seconds if seconds else -1.0) if new else None,
            self.last_latency if new else None,
            self.latencies.mean,
        )
        if new:
            self._seen, self._since = self.finished, 0
        self._since += 1
        return line

    def finish(self) -> None:
        """Nothing more comes: where no second was full, the whole run counts as one."""
        if not self.operations.count:
            self.operations.add(int(self.finished / self.took))
        if not self.rates.count:
            self.rates.add(self.rate)

    @property
    def took(self) -> float:
        """Seconds that the run took."""
        return max(self.ended - self.began, 1e-9)

    @property
    def rate(self) -> float:
        """MiB a second, over the whole run."""
        return self.finished * self.op_size / self.took / _MIB

    def latencies_text(self) -> str:
        """The line that is told every twenty seconds."""
        found = self.latencies
        least = general(min(found.least, 9999.0))
        return f"min lat: {least} max lat: {general(found.most)} avg lat: {general(found.mean)}"


def heading() -> str:
    """The head of the table."""
    return "  sec Cur ops   started  finished  avg MB/s  cur MB/s last lat(s)  avg lat(s)"


def row(line: Line, second: int) -> str:
    """A row of the table."""
    rate = "0" if line.rate is None else general(line.rate)
    latency = "-" if line.latency is None else general(line.latency)
    return (
        f"{second:>5} {line.in_flight:>7} {line.started:>9} {line.finished:>9} "
        f"{general(line.average_rate):>9} {rate:>9} {latency:>11} "
        f"{general(line.average_latency):>11}"
    )


def final_text(figures: Figures, object_size: int, *, is_write: bool) -> str:
    """The summary of a run, as text."""
    pairs: list[tuple[str, str]] = [
        ("Total time run", general(figures.took)),
        (f"Total {'writes' if is_write else 'reads'} made", str(figures.finished)),
        ("Write size" if is_write else "Read size", str(figures.op_size)),
        ("Object size", str(object_size)),
        ("Bandwidth (MB/sec)", general(figures.rate)),
    ]
    if is_write:
        pairs += [
            ("Stddev Bandwidth", general(figures.rates.deviation)),
            ("Max bandwidth (MB/sec)", general(figures.rates.most)),
            ("Min bandwidth (MB/sec)", general(figures.rates.least)),
        ]
    latencies = figures.latencies
    pairs += [
        ("Average IOPS", str(int(figures.finished / figures.took))),
        ("Stddev IOPS", general(figures.operations.deviation)),
        ("Max IOPS", str(int(figures.operations.most))),
        ("Min IOPS", str(int(figures.operations.least))),
        ("Average Latency(s)", general(latencies.mean)),
        *([("Stddev Latency(s)", general(latencies.deviation))] if is_write else []),
        ("Max latency(s)", general(latencies.most)),
        ("Min latency(s)", general(min(latencies.least, 9999.0))),
    ]
    width = 24 if is_write else 22
    return "\n".join(f"{label + ':':<{width}}{value}" for label, value in pairs)


def final_document(figures: Figures, object_size: int, *, is_write: bool) -> dict[str, object]:
    """The summary of a run, as a document."""
    rates, latencies = figures.rates, figures.latencies
    verb = "write" if is_write else "read"
    return {
        "total_time_run": f"{figures.took:f}",
        f"total_{verb}s_made": str(figures.finished),
        f"{verb}_size": str(figures.op_size),
        "object_size": str(object_size),
        "bandwidth": f"{figures.rate:f}",
        **(
            {
                "stddev_bandwidth": f"{rates.deviation:f}",
                "max_bandwidth": f"{rates.most:f}",
                "min_bandwidth": f"{rates.least:f}",
            }
            if is_write
            else {}
        ),
        "average_iops": str(int(figures.finished / figures.took)),
        "stddev_iops": f"{figures.operations.deviation:f}",
        "max_iops": str(int(figures.operations.most)),
        "min_iops": str(int(figures.operations.least)),
        "average_latency": f"{latencies.mean:f}",
        **({"stddev_latency": f"{latencies.deviation:f}"} if is_write else {}),
        "max_latency": f"{latencies.most:f}",
        "min_latency": f"{min(latencies.least, 9999.0):f}",
    }
