"""`daemonperf`: a daemon's performance counters, as a table of what there is or line by line.

Which counters are shown (those with a short name, by priority and pattern), their columns and
colours are upstream's (`src/pybind/ceph_daemon.py`); colours are for terminals only.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

from spirula.cli.ceph.helping import terminal_size
from spirula.conf.admin_server import ask
from spirula.errors import InvalidArgument, NotFound

PRIORITIES = {
    "critical": 10,
    "interesting": 8,
    "useful": 5,
    "uninteresting": 2,
    "debugonly": 0,
}
_COUNTER = 8
_AVERAGE = 4
_UNITS = " kMGTPEZ"
_BLACK, _YELLOW, _BLUE = 30, 33, 34


@dataclass(slots=True)
class Request:
    """What to show: counters of this priority or more that fit one of the patterns, if any."""

    patterns: list[str]
    priority: int = PRIORITIES["interesting"]
    is_list: bool = False
    interval_s: float = 1.0
    count: int | None = None


def parse_request(words: Sequence[str]) -> Request:
    """The words behind the daemon. Raises InvalidArgument."""
    request = Request([])
    left = list(words)
    while left and _number(left[0]) is None:
        word = left.pop(0)
        named = [value for name, value in PRIORITIES.items() if name.startswith(word)]
        if word in {"list", "ls"}:
            request.is_list = True
        elif named:
            request.priority = named[0]
        else:
            request.patterns = word.split(",")
    if left:
        request.interval_s = _number(left.pop(0)) or 0.0
        if request.interval_s < 0:
            raise InvalidArgument("interval should be a positive number")
    if left:
        word = left.pop(0)
        if not word.isdecimal():
            raise InvalidArgument("count should be a positive integer")
        request.count = int(word)
    return request


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None


class Watcher:
    """Shows the counters of the daemon whose admin socket is at `path`."""

    def __init__(self, path: str, request: Request) -> None:
        self.path = path
        self.request = request
        self.schema: dict[str, dict[str, dict[str, Any]]] = self._ask("perf schema")
        self.chosen = {
            section: chosen
            for section, counters in self.schema.items()
            if (chosen := self._choose(section, counters))
        }
        if not self.chosen:
            raise NotFound("no stats selected by filters")
        self.is_colored = sys.stdout.isatty()

    def _ask(self, prefix: str) -> Any:
        return json.loads(ask(self.path, prefix))

    def _choose(self, section: str, counters: dict[str, dict[str, Any]]) -> dict[str, str]:
        patterns = self.request.patterns
        return {
            name: about["nick"]
            for name, about in counters.items()
            if about.get("priority", 0) >= self.request.priority
            and (
                not patterns
                or any(
                    fnmatch(word, pattern)
                    for pattern in patterns
                    for word in (name, f"{section}.{name}")
                )
            )
        }

    def run(self) -> None:
        """Show them until interrupted, or as often as was asked for."""
        if self.request.is_list:
            self._list()
            return
        count = self.request.count
        before = self._ask("perf dump")
        fitting = self._fitting()
        rows = 0
        self._print_head(fitting)
        while True:
            now = self._ask("perf dump")
            size = terminal_size()
            if fitting != self._fitting() or rows >= size.lines - 2:
                fitting = self._fitting()
                self._print_head(fitting)
                rows = 0
            self._print_row(fitting, now, before)
            if count is not None and (count := count - 1) <= 0:
                return
            rows += 1
            before = now
            time.sleep(self.request.interval_s)

    def _fitting(self) -> dict[str, dict[str, str]]:
        """The first counters, as many as the terminal has columns for."""
        width, columns = 0, terminal_size().columns
        fitting: dict[str, dict[str, str]] = {}
        for section, counters in self.chosen.items():
            for name, nick in counters.items():
                width += _width(nick) + 1
                if width > columns:
                    return fitting
                fitting.setdefault(section, {})[name] = nick
        return fitting

    def _print_head(self, fitting: dict[str, dict[str, str]]) -> None:
        titles = []
        for section, counters in fitting.items():
            width = sum(_width(nick) + 1 for nick in counters.values()) - 1
            pad = max(width - len(section), 0)
            titles.append(f"{'-' * (pad // 2)}{section[:width]}{'-' * (pad - pad // 2)} ")
        print(self._painted("".join(titles), _BLUE, style="0"))
        underline = "\033[4m" if self.is_colored else ""
        bar = self._painted("|", _BLUE)
        sections = [
            " ".join(
                underline + self._painted(nick.ljust(_width(nick)), _BLUE)
                for nick in counters.values()
            )
            for counters in fitting.values()
        ]
        print(bar.join(sections) + bar)

    def _print_row(
        self, fitting: dict[str, dict[str, str]], now: dict[str, Any], before: dict[str, Any]
    ) -> None:
        sections = []
        for section, counters in fitting.items():
            values = (
                self._shown(
                    _change(self.schema[section][name]["type"], now[section][name], old),
                    _width(nick),
                )
                for name, nick in counters.items()
                for old in (before.get(section, {}).get(name, now[section][name]),)
            )
            sections.append(" ".join(values))
        print(self._painted("|", _BLUE).join(sections), flush=True)

    def _shown(self, value: float, width: int) -> str:
        text = compact(value, width)
        if not self.is_colored:
            return text
        color = _BLACK if value == 0 else _YELLOW
        bold = "\033[1m"
        unit = self._painted(text[-1], _YELLOW)
        return f"{bold}{self._painted(text[:-1], color)}\033[0m{bold}{unit}\033[0m"

    def _painted(self, text: str, color: int, style: str = "1") -> str:
        return f"\033[{style};{color}m{text}\033[0m" if self.is_colored else text

    def _list(self) -> None:
        head = ("section", "name", "nick", "prio")
        rows = [
            (section, name, nick, str(self.schema[section][name].get("priority") or 0))
            for section, counters in self.chosen.items()
            for name, nick in counters.items()
        ]
        widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
        rule = "+".join(["", *("-" * (width + 2) for width in widths), ""])
        titles = (
            f"{name:<{width}}" if name != "prio" else f"{name:>{width}}"
            for name, width in zip(head, widths, strict=True)
        )
        print(f"| {' | '.join(titles)} |\n{rule}")
        for *texts, priority in rows:
            cells = (f"{text:<{width}}" for text, width in zip(texts, widths[:3], strict=True))
            print(f"| {' | '.join(cells)} | {priority:>{widths[3]}} |")


def _width(nick: str) -> int:
    return max(len(nick), 4)


def _change(kind: int, now: Any, before: Any) -> float:
    """A counter's growth, an average of what came in between in milliseconds, or a value."""
    if kind & _COUNTER:
        return float(max(now - before, 0))
    if kind & _AVERAGE:
        entries = now["avgcount"] - before["avgcount"]
        return (now["sum"] - before["sum"]) / entries * 1000.0 if entries else 0.0
    return float(now)


def compact(value: float, width: int) -> str:
    """A number in `width` characters, the last of them its unit."""
    unit = 0
    while len(str(int(value) // 1000**unit)) > width - 1 and unit < len(_UNITS) - 1:
        unit += 1
    if not unit:
        return f"{int(value):{width - 1}d} "
    text = f"{value / 1000.0**unit:f}"[: width - 1]
    if text.endswith("."):
        text = f" {text[:-1]}"
    return text + _UNITS[unit]
