"""What the four caps languages share: the scanner, words and quotes, rwx letters, grant lists.

The languages are ordered choices without backtracking into a choice once taken (upstream writes
them with Boost.Spirit). `Scanner` keeps that shape: a rule returns its value or None and, when it
returns None, has put the position back. Not here: what a grant means. Called by `mon`, `osd`,
`mds` and `mgr` beside this module.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeVar

from spirula.errors import InvalidArgument

T = TypeVar("T")

MAX_TEXT: Final = 65536
"""Longest caps text that is looked at, in characters; longer text is refused."""

WORD: Final = re.compile(r"[a-zA-Z0-9_./-]+")
"""A string that needs no quotes."""

FS_NAME: Final = re.compile(r"[a-zA-Z0-9_.-]+")
NETWORK: Final = re.compile(r"[/.:a-fA-F0-9\]\[]+")
SPACES: Final = re.compile(r"[ \n\t]+")
"""What mon, mds and mgr accept between words (one or more)."""

ASCII_SPACES: Final = re.compile(r"[ \t\n\v\f\r]+")
"""What osd accepts between words, and osd and mds around the whole text."""

READ: Final = 1 << 1
WRITE: Final = 1 << 2
EXECUTE: Final = 1 << 3
ANY: Final = 0xFF
"""`*`: more than all letters together, it also opens what no letter opens."""

_BARE: Final = re.compile(r"[a-zA-Z0-9_-]*")
_BLANKS: Final = re.compile(r" *")
_QUOTES: Final = "\"'"


class InvalidCaps(InvalidArgument):
    """A caps text that does not follow its language (EINVAL). It grants nothing.

    `text` is the whole text and `position` the character, counted from 0, where one of `expected`
    would have had to stand. `stopped` is where upstream says that it stopped (the end of the last
    complete grant), and `reply` the sentence that upstream's monitor answers.
    """

    def __init__(
        self,
        reply: str,
        *,
        text: str = "",
        stopped: int = 0,
        position: int = 0,
        expected: tuple[str, ...] = (),
    ) -> None:
        detail = ""
        if expected:
            detail = f" (expected {' or '.join(expected)} at character {position})"
        super().__init__(reply + detail)
        self.reply = reply
        self.text = text
        self.stopped = stopped
        self.position = position
        self.expected = expected


class Scanner:
    """A position in a text, and the furthest place where something else was expected."""

    __slots__ = ("expected", "furthest", "pos", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.pos = 0
        self.furthest = 0
        self.expected: list[str] = []

    def miss(self, what: str, at: int | None = None) -> None:
        """Remember that `what` was expected here (or at `at`)."""
        at = self.pos if at is None else at
        if at > self.furthest:
            self.furthest = at
            self.expected = [what]
        elif at == self.furthest and what not in self.expected:
            self.expected.append(what)

    def literal(self, word: str) -> bool:
        """Consume exactly `word`. What follows it is not looked at: `allow` also opens `allowx`."""
        if self.text.startswith(word, self.pos):
            self.pos += len(word)
            return True
        self.miss(f"'{word}'")
        return False

    def match(self, pattern: re.Pattern[str], what: str) -> str | None:
        """Consume the longest match of a character class."""
        found = pattern.match(self.text, self.pos)
        if found is None or found.end() == self.pos:
            self.miss(what)
            return None
        self.pos = found.end()
        return found.group()

    def skip(self, pattern: re.Pattern[str]) -> None:
        """Consume a match of `pattern` if there is one."""
        found = pattern.match(self.text, self.pos)
        if found is not None:
            self.pos = found.end()

    def spaces(self, pattern: re.Pattern[str] = SPACES) -> bool:
        """Consume at least one space."""
        return self.match(pattern, "a space") is not None

    def quoted(self, *, may_be_empty: bool = False) -> str | None:
        """A string in single or double quotes; there is no escape inside."""
        text, start = self.text, self.pos
        if start >= len(text) or text[start] not in _QUOTES:
            self.miss("a quoted string")
            return None
        end = text.find(text[start], start + 1)
        if end < 0:
            self.miss(f"a closing {text[start]}", len(text))
            return None
        if end == start + 1 and not may_be_empty:
            self.miss("a character inside the quotes", end)
            return None
        self.pos = end + 1
        return text[start + 1 : end]

    def string(self, what: str = "a word", *, may_be_empty: bool = False) -> str | None:
        """A quoted string or a bare word of letters, digits and `_./-`."""
        if self.pos < len(self.text) and self.text[self.pos] in _QUOTES:
            return self.quoted(may_be_empty=may_be_empty)
        return self.match(WORD, what)

    def keyword(self, word: str, spaces: re.Pattern[str] = SPACES, *, equals: bool = False) -> bool:
        """Spaces, `word`, and what separates it from its value: spaces, or `=` where allowed."""
        mark = self.pos
        if self.spaces(spaces) and self.literal(word):
            if equals and self.literal("="):
                return True
            if self.spaces(spaces):
                return True
        self.pos = mark
        return False

    def network(self, spaces: re.Pattern[str] = SPACES) -> str:
        """The optional clause ` network ADDRESS/BITS` at the end of a grant, else empty.

        Whether the text is a network at all is not part of the grammar; see `network.Network`.
        """
        mark = self.pos
        if self.keyword("network", spaces):
            found = self.match(NETWORK, "a network")
            if found is not None:
                return found
        self.pos = mark
        return ""

    def fs_name(self) -> str | None:
        """The name of a file system: letters, digits and `_.-`, never quoted."""
        return self.match(FS_NAME, "a file system name")


def rwx(scanner: Scanner) -> int | None:
    """`*`, `all`, or some of `rwx` in this order (mon and mgr)."""
    if scanner.literal("*") or scanner.literal("all"):
        return ANY
    allow = 0
    for letter, bit in (("r", READ), ("w", WRITE), ("x", EXECUTE)):
        if scanner.literal(letter):
            allow |= bit
    return allow or None


def print_rwx(allow: int) -> str:
    """The letters of `allow`, as `rwx` reads them."""
    if allow == ANY:
        return "*"
    letters = (("r", READ), ("w", WRITE), ("x", EXECUTE))
    return "".join(letter for letter, bit in letters if allow & bit)


def print_string(value: str) -> str:
    """`value` as upstream prints it: quoted unless it is of letters, digits, `-` and `_`.

    Upstream always takes double quotes, so a value that contains one does not read back;
    `quote` gives text that does.
    """
    return value if _BARE.fullmatch(value) else f'"{value}"'


def quote(value: str) -> str:
    """`value` in the quotes it needs, if any, so that it reads back as itself."""
    if WORD.fullmatch(value):
        return value
    return f"'{value}'" if '"' in value else f'"{value}"'


def separator(scanner: Scanner) -> bool:
    """`,` or `;` between two grants, with blanks (not tabs or newlines) on both sides."""
    mark = scanner.pos
    scanner.skip(_BLANKS)
    if scanner.literal(",") or scanner.literal(";"):
        scanner.skip(_BLANKS)
        return True
    scanner.pos = mark
    return False


def parse_grants(
    service: str,
    text: str,
    grant: Callable[[Scanner], T | None],
    *,
    between: Callable[[Scanner], bool] = separator,
    around: re.Pattern[str] | None = None,
) -> tuple[T, ...]:
    """All of `text` as a list of grants, or InvalidCaps; a part of it is never taken.

    `around` is what may stand before and after the list (mon and mgr take spaces as part of
    each grant instead).
    """
    if len(text) > MAX_TEXT:
        raise InvalidCaps(
            f"{service} capability parse failed, text is longer than {MAX_TEXT} characters"
        )
    scanner = Scanner(text)
    if around is not None:
        scanner.skip(around)
    grants: list[T] = []
    first = grant(scanner)
    if first is not None:
        grants.append(first)
        while True:
            mark = scanner.pos
            following = grant(scanner) if between(scanner) else None
            if following is None:
                scanner.pos = mark
                break
            grants.append(following)
        if around is not None:
            scanner.skip(around)
        if scanner.pos == len(text):
            return tuple(grants)
        scanner.miss("the end")
    stopped = scanner.pos
    where = f"'{text[stopped:]}' of '{text}'"
    if around is None and stopped == len(text):
        where = f"end of '{text}'"
    raise InvalidCaps(
        f"{service} capability parse failed, stopped at {where}",
        text=text,
        stopped=stopped,
        position=scanner.furthest,
        expected=tuple(scanner.expected),
    )
