"""Help on the cluster's commands, and what a word that is being typed may become.

Called by `main` for `--help`, `tell TARGET help` and `--completion`; the shape of the table and
which words are offered are upstream's (`src/ceph.in`).
"""

from __future__ import annotations

import os
import string
import sys
from collections.abc import Iterator, Sequence

from spirula.cli.ceph.descriptions import Flag, Parameter, Signature
from spirula.cli.ceph.kinds import Refused

_UNBROKEN = frozenset(string.ascii_letters + "{[<>]}")
_DEFAULT_SIZE = os.terminal_size((80, 25))


def terminal_size() -> os.terminal_size:
    """Columns and lines of the terminal that the standard input is."""
    try:
        return os.get_terminal_size(sys.stdin.fileno())
    except (OSError, ValueError):
        return _DEFAULT_SIZE


def heading(text: str) -> str:
    """A title with a line below."""
    return f"\n {text} \n {'=' * len(text)}\n"


def command_table(signatures: Sequence[Signature], beginning: str = "") -> str:
    """Commands in two columns, what to type and what it is for; those that begin so."""
    width = terminal_size().columns - 1
    left, right = width // 2, width // 2 + width % 2
    lines = []
    for signature in sorted(signatures, key=lambda each: each.concise):
        concise = signature.concise
        hidden = signature.flags & (Flag.OBSOLETE | Flag.DEPRECATED | Flag.HIDDEN)
        if not signature.help or hidden or not concise.startswith(beginning):
            continue
        columns = list(_wrapped(concise, left)), list(_wrapped(signature.help, right))
        for row in range(max(map(len, columns))):
            shown, told = (column[row] if row < len(column) else "" for column in columns)
            lines.append(f"{shown:<{left}} {told}\n")
    return "".join(lines)


def _wrapped(text: str, width: int) -> Iterator[str]:
    """`text` in lines of at most `width`, all but the first indented by one."""
    if len(text) <= width:
        yield text
        return
    head, text = _broken(text, width)
    yield head.lstrip()
    while len(text) > width - 1:
        head, text = _broken(text, width - 1)
        yield f" {head.lstrip()}"
    if text:
        yield f" {text}"


def _broken(text: str, width: int) -> tuple[str, str]:
    """`text` parted behind the last character within `width` that no word is made of."""
    ends = [at for at in range(1, width + 1) if text[at - 1] not in _UNBROKEN]
    at = ends[-1] if ends else width
    return text[:at], text[at:]


def completions(signatures: Sequence[Signature], words: Sequence[str]) -> list[str]:
    """What the last of `words` may become; the command's help where nothing is left to offer."""
    offered: list[str] = []
    fitting: list[Signature] = []
    for signature in signatures:
        if signature.flags & (Flag.OBSOLETE | Flag.HIDDEN):
            continue
        at = _place_of_last(signature, words)
        if at is None:
            continue
        if words and at < len(signature.parameters):
            offered += signature.parameters[at].kind.complete(words[-1])
        fitting.append(signature)
    if len(fitting) == 1 and not offered:
        offered = [" ", f"#{fitting[0].help}"]
    return sorted(set(offered))


def _place_of_last(signature: Signature, words: Sequence[str]) -> int | None:
    """Which parameter the last word belongs to; None where the words before are not this."""
    at = 0
    for word in words[:-1]:
        if at >= len(signature.parameters):
            return None
        parameter = signature.parameters[at]
        if parameter.required and not _may_be(parameter, word):
            return None
        at += not parameter.repeated
    return at


def _may_be(parameter: Parameter, word: str) -> bool:
    """Whether a word stands for a parameter.

    Upstream knows fixed words and texts alone: behind a pool's name it offers nothing.
    """
    try:
        parameter.kind.accept(word)
    except Refused:
        return False
    return True
