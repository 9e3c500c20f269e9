"""Scripts of commands that are run on a real cluster and on ours, and what may differ in answers.

`Step` is one command. Lists of them are in `commands_<family>.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

BOTH = ("plain", "json")
PLAIN = ("plain",)

_KEY = re.compile(r"AQ[A-Za-z0-9+/]{36}==")
_TIME = re.compile(r"20\d\d-\d\d-\d\dT[0-9:.]+\+0000")
_ADDRS = re.compile(r"\[v2:127\.0\.0\.1:\d+/0,v1:127\.0\.0\.1:\d+/0\]")


@dataclass(frozen=True)
class Step:
    """One command, asked in each of `formats`. `drop` are keys of documents that may differ.

    Without `compare_text` only the errno counts of what is refused: its sentence is ours.
    """

    prefix: str
    arguments: Mapping[str, object] = field(default_factory=dict)
    data: bytes = b""
    formats: tuple[str, ...] = BOTH
    drop: frozenset[str] = frozenset()
    compare_text: bool = True

    def commands(self) -> list[dict[str, object]]:
        """What is sent, once for each format."""
        made = []
        for fmt in self.formats:
            words = {"prefix": self.prefix, **self.arguments}
            made.append(words if fmt == "plain" else {**words, "format": fmt})
        return made


@dataclass(frozen=True)
class Answer:
    """What came back: 0 or a negative errno, the status line, the output."""

    rc: int
    outs: str
    output: bytes


def comparable(step: Step, command: Mapping[str, object], answer: Answer, fsid: str) -> object:
    """What must be the same in both clusters."""
    text = answer.output.decode("utf-8", "backslashreplace").replace(fsid, "FSID")
    outs = answer.outs
    for pattern, word in ((_KEY, "KEY"), (_TIME, "TIME"), (_ADDRS, "ADDRS")):
        text, outs = pattern.sub(word, text), pattern.sub(word, outs)
    output: object = text
    if command.get("format") == "json" and text:
        try:
            output = _ordered(json.loads(text), step.drop), text.endswith("\n")
        except ValueError:
            output = text
    return answer.rc, outs if step.compare_text else "", output


def _ordered(value: object, drop: frozenset[str]) -> object:
    """A document in which the order of keys counts, without those that may differ."""
    if isinstance(value, dict):
        return [(key, _ordered(item, drop)) for key, item in value.items() if key not in drop]
    if isinstance(value, list):
        return [_ordered(item, drop) for item in value]
    return value
