"""Entries of the cluster log: the newest of each channel, how versions are stored, how they print.

Called by the service and its commands. Formats: upstream `src/mon/LogMonitor.cc`,
`src/common/LogEntry.{h,cc}`.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable

from spirula.denc.features import PACIFIC
from spirula.errors import WireError
from spirula.mon.services.monmap.show import addrs_document
from spirula.types.base import UTime
from spirula.types.log import LogEntry, LogLevel, LogSummary

_VERSION = 1
"""The byte that each stored version begins with."""
_ENVELOPE = struct.Struct("<BBI")
_AFTER_SENDER = struct.Struct("<IIQHI")
"""Of an encoded entry: seconds, nanoseconds, number, level, and how long the message is."""
_ENTRY = 5
"""The version of an entry's encoding of which `_Senders` knows where things stand."""
_LENGTH = 4
"""Bytes that say how long a text is."""
_MOST_SENDERS = 16

LEVELS = {
    "debug": LogLevel.DEBUG,
    "info": LogLevel.INFO,
    "sec": LogLevel.SEC,
    "warn": LogLevel.WARN,
    "warning": LogLevel.WARN,
    "error": LogLevel.ERROR,
    "err": LogLevel.ERROR,
}


Key = tuple[int, int, int, int, int]
"""What tells an entry from all others: rank, stamp and number (upstream LogEntryKey), flat."""


_TAGS: dict[int, str] = {level: level.tag for level in LogLevel}


def key_of(entry: LogEntry) -> Key:
    """What tells an entry from all others."""
    rank, stamp = entry.rank, entry.stamp
    return rank.type, rank.num, stamp.sec, stamp.nsec, entry.seq


def tag_of(entry: LogEntry) -> str:
    """`[INF]`."""
    return _TAGS.get(entry.prio, "[???]")


def line_of(entry: LogEntry) -> str:
    """An entry in print, without a line break."""
    return (
        f"{entry.stamp} {entry.name} ({entry.rank}) {entry.seq} : "
        f"{entry.channel} {tag_of(entry)} {entry.msg}"
    )


def document(entry: LogEntry) -> dict[str, object]:
    """An entry with upstream's fields."""
    return {
        "name": str(entry.name),
        "rank": str(entry.rank),
        "addrs": addrs_document(entry.addrs),
        "stamp": str(entry.stamp),
        "seq": entry.seq,
        "channel": entry.channel,
        "priority": tag_of(entry),
        "message": entry.msg,
    }


def in_order(entries: Iterable[LogEntry]) -> list[LogEntry]:
    """Entries by their times, as those of a version are."""
    return sorted(entries, key=lambda entry: (entry.stamp.sec, entry.stamp.nsec))


def encode_version(entries: Iterable[LogEntry]) -> bytes:
    """The entries of one version."""
    out = bytearray([_VERSION])
    for entry in in_order(entries):
        entry._enc(out, PACIFIC)
    return bytes(out)


def decode_version(encoded: bytes) -> list[LogEntry]:
    """The entries of a version. Raises WireError."""
    if not encoded:
        raise WireError("a version of the log is empty", offset=0)
    senders = _Senders()
    entries, pos = [], 1
    while pos < len(encoded):
        found = senders.decode(encoded, pos)
        if found is None:
            entry, pos = LogEntry._dec(encoded, pos, len(encoded), PACIFIC)
            senders.remember(entry)
        else:
            entry, pos = found
        entries.append(entry)
    return entries


class _Senders:
    """Who has sent the entries of a version, by how that is encoded.

    A version holds thousands of entries (each command is one), and they come from a few senders,
    which take most of the time if they are decoded again for each.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, LogEntry] = {}

    def remember(self, entry: LogEntry) -> None:
        """This one has sent something, and will again."""
        encoded = bytearray()
        for part in (entry.name, entry.rank, entry.addrs):
            part._enc(encoded, PACIFIC)
        if len(self._known) < _MOST_SENDERS:
            self._known[bytes(encoded)] = entry

    def decode(self, encoded: bytes, pos: int) -> tuple[LogEntry, int] | None:
        """The entry at `pos` and where it ends; None if it takes the general way to read it."""
        start = pos + _ENVELOPE.size
        for sender, known in self._known.items():
            if encoded.startswith(sender, start):
                return _decode_of(known, encoded, pos, start + len(sender))
        return None


def _decode_of(known: LogEntry, encoded: bytes, pos: int, at: int) -> tuple[LogEntry, int] | None:
    """The entry at `pos`, whose sender is that of `known` and ends at `at`; None as above."""
    message = at + _AFTER_SENDER.size
    if message > len(encoded):
        return None
    version, compat, length = _ENVELOPE.unpack_from(encoded, pos)
    sec, nsec, seq, prio, size = _AFTER_SENDER.unpack_from(encoded, at)
    channel = message + size + _LENGTH
    end = pos + _ENVELOPE.size + length
    if (
        version != _ENTRY
        or compat != _ENTRY
        or end > len(encoded)
        or channel + int.from_bytes(encoded[channel - _LENGTH : channel], "little") != end
    ):
        return None
    entry = LogEntry(
        name=known.name,
        rank=known.rank,
        addrs=known.addrs,
        stamp=UTime(sec, nsec),
        seq=seq,
        prio=prio,
        msg=str(encoded[message : channel - _LENGTH], "utf-8", "surrogateescape"),
        channel=str(encoded[channel:end], "utf-8", "surrogateescape"),
    )
    return entry, end


class Tail:
    """The newest entries of each channel, numbered in the order in which they were committed."""

    def __init__(self) -> None:
        self.version = 0
        self.seq = 0
        self.channels: dict[str, deque[tuple[int, LogEntry]]] = {}
        self._keys: set[Key] = set()

    @classmethod
    def decode(cls, encoded: bytes) -> Tail:
        """Reads a summary as monitors store it. Raises WireError."""
        summary = LogSummary.decode(encoded)
        made = cls()
        made.version, made.seq = summary.version, summary.seq
        for channel, entries in summary.tail_by_channel.items():
            made.channels[channel] = deque((seq, entry) for seq, entry in entries)
            made._keys.update(key_of(entry) for _, entry in entries)
        return made

    def encode(self) -> bytes:
        """The summary as monitors store it."""
        by_channel = {channel: list(entries) for channel, entries in self.channels.items()}
        summary = LogSummary(version=self.version, seq=self.seq, tail_by_channel=by_channel)
        return summary.encode()

    def add(self, entry: LogEntry, most: int) -> None:
        """One more; at most that many of a channel are held."""
        self.seq += 1
        channel = self.channels.setdefault(entry.channel, deque())
        channel.append((self.seq, entry))
        self._keys.add(key_of(entry))
        while len(channel) > most:
            self._keys.discard(key_of(channel.popleft()[1]))

    def __contains__(self, key: Key) -> bool:
        return key in self._keys

    def last(self, count: int, level: int, channel: str) -> list[LogEntry]:
        """The last entries of a channel (`*`: of all) that are at least as grave as `level`.

        One more than `count`, if the entry before these is as grave as well: upstream shows it.
        """
        if channel == "*":
            together = sorted(
                (pair for entries in self.channels.values() for pair in entries),
                key=lambda pair: pair[0],
            )
        else:
            together = list(self.channels.get(channel, ()))
        entries = [entry for _, entry in together]
        matching = [at for at, entry in enumerate(entries) if entry.prio >= level]
        first = max(matching[-count:][0] - 1, 0) if len(matching) >= count else 0
        return [entry for entry in entries[first:] if entry.prio >= level]
