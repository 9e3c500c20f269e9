"""Which entries of the cluster log go to which file, by the options `mon_cluster_log_*`.

An option names one value, or a value for each channel: `default=/a/$channel.log audit=/b.log`.
Called by the service; opening files is the edge's business. Rules: upstream
`src/mon/LogMonitor.cc` (log_channel_info), `src/common/str_map.cc`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from spirula.mon.services.log.tail import line_of
from spirula.types.log import LogEntry, LogLevel

if TYPE_CHECKING:
    from spirula.conf.config import Config

STDERR = ""
"""The name of a sink that is no file: the daemon's standard error."""

_DEFAULT = "default"
_CHANNEL = "$channel"
_NEVER = 100
_GRAVITY: dict[int, int] = {
    LogLevel.DEBUG: 7,
    LogLevel.INFO: 6,
    LogLevel.WARN: 4,
    LogLevel.ERROR: 3,
    LogLevel.SEC: 2,
}
"""What syslog calls these levels; the smaller the graver."""
_LEAST = {
    "debug": 7,
    "info": 6,
    "notice": 6,
    "warning": 4,
    "warn": 4,
    "error": 3,
    "err": 3,
    "crit": 2,
    "critical": 2,
    "emerg": 2,
}


def by_channel(text: str) -> dict[str, str]:
    """Reads an option: `a=1 b=2`, an object in JSON, or one value for all channels."""
    stripped = text.strip()
    if stripped.startswith("{"):
        try:
            decoded = json.loads(stripped)
        except ValueError:
            return {}
        return {str(key): str(value) for key, value in decoded.items()}
    pairs = [word.partition("=") for word in re.split(r"[,;\t\n ]+", stripped) if word]
    if len(pairs) == 1 and not pairs[0][2]:
        return {_DEFAULT: pairs[0][0]}
    return {key: value for key, _, value in pairs}


def of_channel(values: dict[str, str], channel: str) -> str:
    """A channel's value, or that for all others; empty if there is neither."""
    return values.get(channel, values.get(_DEFAULT, ""))


def sort_out(config: Config, entries: Iterable[LogEntry]) -> dict[str, list[str]]:
    """Lines by the file that they belong into, or STDERR."""
    found: dict[str, list[str]] = {}
    to_file = config.get_bool("mon_cluster_log_to_file")
    to_stderr = config.get_bool("mon_cluster_log_to_stderr")
    if not (to_file or to_stderr):
        return found
    names = by_channel(config.get_str("mon_cluster_log_file"))
    levels = by_channel(config.get_str("mon_cluster_log_file_level"))
    places: dict[str, tuple[str, int]] = {}
    for entry in entries:
        line = line_of(entry)
        if to_stderr:
            found.setdefault(STDERR, []).append(f"{entry.channel} {line}")
        place = places.get(entry.channel)
        if place is None:
            name = of_channel(names, entry.channel).replace(_CHANNEL, entry.channel)
            least = _LEAST.get(of_channel(levels, entry.channel).lower(), 7)
            place = places[entry.channel] = (name if to_file else "", least)
        path, least = place
        if path and _GRAVITY.get(entry.prio, _NEVER) <= least:
            found.setdefault(path, []).append(line)
    return found
