"""The process log: entries by subsystem and level, the recent ones kept for a crash.

Pure: the clock and the thread's number are arguments, lines go to `Sink`s (files and stderr are in
`spirula.conf.log_output`). Every module that logs holds a `Logger`; a disabled entry costs one
comparison when written `if log.enabled(5): log(5, "...", x)`. Line format, levels and the dump of
recent events are upstream's (src/log/Log.cc).
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict, deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from spirula.conf.subsys import SUBSYSTEMS
from spirula.types.base import local_time

DEFAULT_MAX_RECENT = 10_000
DISABLED = -2
"""A sink's threshold that lets nothing through; -1 lets errors through, 99 everything."""

_KEY = re.compile(r"(?<![A-Za-z0-9+/])A[Qg][A-Za-z0-9+/]{36,66}={0,2}(?![A-Za-z0-9+/=])")
_FIELD = re.compile(r"(?i)\b(secret|password|passwd|passphrase)(\s*[=:]\s*)\S+")


def redact(text: str) -> str:
    """`text` without what looks like a cephx key or a password: a net below careful callers."""
    if "A" in text:
        text = _KEY.sub("<key>", text)
    if "ss" in text or "ecret" in text or "SS" in text or "ECRET" in text:
        text = _FIELD.sub(r"\1\2<hidden>", text)
    return text


class Entry(NamedTuple):
    """One entry: seconds since the epoch, thread number, level (-1 is an error), subsystem."""

    stamp: float
    thread: int
    level: int
    subsystem: str
    message: str


class Sink(Protocol):
    """Takes finished lines, without their line break. `threshold` is compared with an entry's
    level.
    """

    threshold: int

    def write(self, entry: Entry, line: str) -> None:
        """Takes a line; must not raise."""

    def flush(self) -> None:
        """Hands everything to the system."""

    def reopen(self) -> None:
        """Opens the file anew after it was moved away."""


Formatter = Callable[[Entry], str]


def human_line(entry: Entry, *, coarse: bool = True) -> str:
    """`2021-04-01T12:00:00.123+0000 7f12 -1 message`: local time, thread in hex, level."""
    seconds, micros = divmod(round(entry.stamp * 1e6), 1_000_000)
    moment, zone = local_time(seconds)
    digits = f"{micros // 1000:03}" if coarse else f"{micros:06}"
    return f"{moment}.{digits}{zone} {entry.thread:x} {entry.level:2d} {entry.message}"


def human_line_fine(entry: Entry) -> str:
    """The same with microseconds."""
    return human_line(entry, coarse=False)


def json_line(entry: Entry) -> str:
    """One JSON object per line; the time is UTC."""
    stamp = datetime.fromtimestamp(entry.stamp, UTC)
    return json.dumps(
        {
            "stamp": stamp.isoformat(timespec="microseconds"),
            "thread": f"{entry.thread:x}",
            "subsys": entry.subsystem,
            "level": entry.level,
            "message": entry.message,
        },
        ensure_ascii=False,
    )


class Logger:
    """Logs for one subsystem, with a prefix. Made by `Log.logger`; cheap to keep, not to make.

    `level` is the highest one that is gathered; compare with it, or ask `enabled`.
    """

    __slots__ = ("_log", "level", "log_level", "prefix", "subsystem")

    def __init__(self, log: Log, subsystem: str, prefix: str, levels: tuple[int, int]) -> None:
        self._log = log
        self.subsystem = subsystem
        self.prefix = prefix
        self.log_level = levels[0]
        self.level = max(levels)

    def enabled(self, level: int) -> bool:
        """Whether entries of this level go anywhere."""
        return level <= self.level

    def __call__(self, level: int, message: str, *args: object) -> None:
        """Logs `message % args` (or `message` alone) unless the level is disabled."""
        if level <= self.level:
            self._log.submit(self, level, message % args if args else message)

    def error(self, message: str, *args: object) -> None:
        """Logs at level -1, which is never disabled."""
        self(-1, message, *args)

    def with_prefix(self, prefix: str) -> Logger:
        """A logger of the same subsystem whose entries begin with `prefix`."""
        return self._log.logger(self.subsystem, prefix)


class Log:
    """Levels, recent entries and sinks of one process.

    `now` gives seconds since the epoch, `thread` the number of the running thread.
    """

    def __init__(
        self,
        now: Callable[[], float],
        thread: Callable[[], int],
        *,
        max_recent: int = DEFAULT_MAX_RECENT,
        format_line: Formatter = human_line,
    ) -> None:
        self.now = now
        self.thread = thread
        self.format_line = format_line
        self.sinks: list[Sink] = []
        self.file_name = ""
        self.levels: dict[str, tuple[int, int]] = dict(SUBSYSTEMS)
        self.recent: deque[Entry] = deque(maxlen=max(max_recent, 0))
        self._loggers: dict[tuple[str, str], Logger] = {}

    def logger(self, subsystem: str, prefix: str = "") -> Logger:
        """The logger of a subsystem and prefix: the same one each time, until `forget`."""
        levels = self.levels.get(subsystem, self.levels["none"])
        return self._loggers.setdefault(
            (subsystem, prefix), Logger(self, subsystem, prefix, levels)
        )

    def forget(self, logger: Logger) -> None:
        """Stops telling a logger about changed levels, for those made per connection."""
        self._loggers.pop((logger.subsystem, logger.prefix), None)

    def set_level(self, subsystem: str, log: int, gather: int) -> None:
        """Changes the levels of a subsystem, also of loggers that exist."""
        self.levels[subsystem] = (log, gather)
        for logger in self._loggers.values():
            if logger.subsystem == subsystem:
                logger.log_level, logger.level = log, max(log, gather)

    def set_max_recent(self, size: int) -> None:
        """How many entries are kept for a crash."""
        self.recent = deque(self.recent, maxlen=max(size, 0))

    def submit(self, logger: Logger, level: int, message: str) -> None:
        """Takes an entry that is known to be wanted."""
        text = redact(logger.prefix + message)
        entry = Entry(self.now(), self.thread(), level, logger.subsystem, text)
        self.recent.append(entry)
        if level <= logger.log_level:
            self._write(entry, self.format_line(entry))

    def _write(self, entry: Entry, line: str) -> None:
        for sink in self.sinks:
            if entry.level <= sink.threshold:
                sink.write(entry, line)

    def flush(self) -> None:
        """`log flush`."""
        for sink in self.sinks:
            sink.flush()

    def reopen(self) -> None:
        """`log reopen`, and what SIGHUP does."""
        for sink in self.sinks:
            sink.reopen()

    def dump_recent(self) -> None:
        """Writes the recent entries, also those whose level is not logged, and the levels."""
        entries = list(self.recent)
        self._plain("--- begin dump of recent events ---")
        for left, entry in zip(range(len(entries) - 1, -1, -1), entries, strict=True):
            self._write(entry, f"{-left:6d}> {self.format_line(entry)}")
        self._plain("--- logging levels ---")
        for name, (log, gather) in self.levels.items():
            self._plain(f"  {log:2d}/{gather:2d} {name}")
        self._plain(f"  max_recent {self.recent.maxlen or 0:9d}")
        self._plain(f"  log_file {self.file_name}")
        self._plain("--- end dump of recent events ---")
        self.flush()

    def _plain(self, text: str) -> None:
        entry = Entry(self.now(), self.thread(), -1, "none", text)
        for sink in self.sinks:
            if sink.threshold >= -1:
                sink.write(entry, text)


class OncePer:
    """Says whether to log about a key (a peer and a reason) again: once per `interval_s`.

    For hostile peers: whatever they send, memory stays below `max_keys` keys and the log below one
    line per key and interval. When the table is full, keys that are not in it share one line per
    interval, whose key is `overflow`.
    """

    __slots__ = ("_seen", "interval_s", "max_keys")
    overflow = "(others)"

    def __init__(self, interval_s: float = 600.0, max_keys: int = 1024) -> None:
        self.interval_s = interval_s
        self.max_keys = max_keys
        self._seen: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def allow(self, now: float, key: str) -> int | None:
        """None to stay silent; else the number of times that silence was kept since last time."""
        if key not in self._seen and len(self._seen) >= self.max_keys:
            self._expire(now)
            if len(self._seen) >= self.max_keys:
                key = self.overflow
        since, hidden = self._seen.get(key, (None, 0))
        if since is not None and now - since < self.interval_s:
            self._seen[key] = (since, hidden + 1)
            return None
        self._seen.pop(key, None)
        self._seen[key] = (now, 0)
        return hidden

    def __len__(self) -> int:
        return len(self._seen)

    def _expire(self, now: float) -> None:
        while self._seen:
            key, (since, _) = next(iter(self._seen.items()))
            if now - since < self.interval_s:
                return
            del self._seen[key]


def log_once(log: Logger, once: OncePer, now: float, level: int, peer: str, reason: str) -> None:
    """Logs `peer: reason` unless that was said lately, and how often it was left unsaid."""
    if not log.enabled(level):
        return
    hidden = once.allow(now, f"{peer[:200]}\0{reason[:200]}")
    if hidden is None:
        return
    again = f" ({hidden} more like this were not logged)" if hidden else ""
    log(level, "%s: %s%s", peer[:200], reason[:1000], again)
