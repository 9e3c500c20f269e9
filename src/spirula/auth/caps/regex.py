r"""POSIX extended regular expressions in linear time, for `regex` constraints.

A pattern comes from whoever may write caps and the subject from whoever may send commands, so
neither may decide how long we compute: no backtracking, and bounds on all that grows. Not a
general library: whole-subject matches only, bytes only, no groups. Called by `constraint`.

Follows std::regex with `extended` in libstdc++, which upstream's monitor and manager use: a
backslash makes the next byte ordinary, `.` is any byte but NUL, `^` and `$` are the subject's
ends, `[[:class:]]` as in the C locale. Of what libstdc++ knows, equivalence classes (`[=a=]`) and
collating names other than a letter's are not supported. Whatever is not understood or exceeds a
bound matches nothing, as an invalid pattern matches nothing upstream.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

MAX_PATTERN: Final = 1024
"""Longest pattern in bytes."""

MAX_DEPTH: Final = 32
"""Deepest nesting of groups and repetitions."""

MAX_STATES: Final = 2000
"""Most states of the automaton, after `{m,n}` has been written out."""

MAX_SUBJECT: Final = 65536
"""Longest subject in bytes."""

MAX_STEPS: Final = 500_000
"""Most states visited in one match."""

_MAX_CACHED_SETS: Final = 512

_ANY_BUT_NUL: Final = ((1 << 256) - 1) & ~1

_CLASSES: Final[dict[str, str]] = {
    "lower": "abcdefghijklmnopqrstuvwxyz",
    "upper": "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "digit": "0123456789",
    "xdigit": "0123456789abcdefABCDEF",
    "space": " \t\n\v\f\r",
    "blank": " \t",
    "punct": "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",
    "cntrl": "".join(map(chr, range(32))) + "\x7f",
}
_CLASSES["alpha"] = _CLASSES["lower"] + _CLASSES["upper"]
_CLASSES["alnum"] = _CLASSES["alpha"] + _CLASSES["digit"]
_CLASSES["graph"] = _CLASSES["alnum"] + _CLASSES["punct"]
_CLASSES["print"] = _CLASSES["graph"] + " "
_CLASSES["d"] = _CLASSES["digit"]
_CLASSES["s"] = _CLASSES["space"]
_CLASSES["w"] = _CLASSES["alnum"] + "_"


class InvalidPattern(ValueError):
    """A pattern that is malformed, not supported or too large."""


@dataclass(frozen=True, slots=True)
class _Node:
    """A piece of a pattern. `kind` is `byte`, `cat`, `alt`, `repeat`, `begin` or `end`."""

    kind: str
    depth: int = 0
    mask: int = 0
    parts: tuple[_Node, ...] = ()
    low: int = 0
    high: int | None = None


def _signed(byte: int) -> int:
    return byte - 256 if byte > 127 else byte


class _Parser:
    __slots__ = ("pattern", "pos")

    def __init__(self, pattern: bytes) -> None:
        self.pattern = pattern
        self.pos = 0

    def peek(self) -> int:
        return self.pattern[self.pos] if self.pos < len(self.pattern) else -1

    def parse(self) -> _Node:
        node = self.choice(0)
        if self.pos < len(self.pattern):
            raise InvalidPattern(f"nothing to repeat or unbalanced ')' at byte {self.pos}")
        return node

    def choice(self, groups: int) -> _Node:
        if groups > MAX_DEPTH:
            raise InvalidPattern("nested too deeply")
        options = [self.sequence(groups)]
        while self.peek() == ord("|"):
            self.pos += 1
            options.append(self.sequence(groups))
        return _joined("alt", options)

    def sequence(self, groups: int) -> _Node:
        parts: list[_Node] = []
        while (byte := self.peek()) >= 0 and byte not in b"|)*+?{":
            if byte in b"^$":
                self.pos += 1
                parts.append(_Node("begin" if byte == ord("^") else "end"))
                continue
            node = self.atom(groups)
            while (byte := self.peek()) >= 0 and byte in b"*+?{":
                node = self.repeated(node)
            parts.append(node)
        return _joined("cat", parts)

    def atom(self, groups: int) -> _Node:
        byte = self.peek()
        self.pos += 1
        if byte == ord("("):
            node = self.choice(groups + 1)
            if self.peek() != ord(")"):
                raise InvalidPattern("missing ')'")
            self.pos += 1
            return node
        if byte == ord("["):
            return _Node("byte", mask=self.bracket())
        if byte == ord("."):
            return _Node("byte", mask=_ANY_BUT_NUL)
        if byte == ord("\\"):
            byte = self.peek()
            if byte < 0:
                raise InvalidPattern("ends in a backslash")
            self.pos += 1
        return _Node("byte", mask=1 << byte)

    def repeated(self, node: _Node) -> _Node:
        byte = self.peek()
        self.pos += 1
        low, high = {ord("*"): (0, None), ord("+"): (1, None), ord("?"): (0, 1)}.get(byte, (0, 0))
        if byte == ord("{"):
            low, high = self.counts()
        if node.depth >= MAX_DEPTH:
            raise InvalidPattern("nested too deeply")
        return _Node("repeat", node.depth + 1, parts=(node,), low=low, high=high)

    def counts(self) -> tuple[int, int | None]:
        low = self.number()
        high: int | None = low
        if low is None:
            raise InvalidPattern("a count must follow '{'")
        if self.peek() == ord(","):
            self.pos += 1
            high = self.number()
        if self.peek() != ord("}"):
            raise InvalidPattern("missing '}'")
        self.pos += 1
        if high is not None and high < low:
            raise InvalidPattern("counts in the wrong order")
        return low, high

    def number(self) -> int | None:
        start = self.pos
        while self.peek() in range(ord("0"), ord("9") + 1):
            self.pos += 1
        digits = self.pattern[start : self.pos]
        if len(digits) > 5:
            raise InvalidPattern("a count is too large")
        return int(digits) if digits else None

    def bracket(self) -> int:
        negated = self.peek() == ord("^")
        if negated:
            self.pos += 1
        mask = 0
        first = True
        while first or self.peek() != ord("]"):
            name = self.named()
            if name is not None:
                mask |= name
                if self.peek() == ord("-") and self.pattern[self.pos + 1 : self.pos + 2] != b"]":
                    raise InvalidPattern("a class cannot begin a range")
            else:
                low = self.element()
                high = low
                rest = self.pattern[self.pos : self.pos + 2]
                if rest[:1] == b"-" and rest != b"-]":
                    self.pos += 1
                    if self.pattern[self.pos : self.pos + 2] == b"[.":
                        raise InvalidPattern("a collating name cannot end a range")
                    high = self.element()
                    if self.pattern[self.pos : self.pos + 1] == b"-" and (
                        self.pattern[self.pos + 1 : self.pos + 2] != b"]"
                    ):
                        raise InvalidPattern("a range cannot begin a range")
                if _signed(low) > _signed(high):
                    raise InvalidPattern("a range in the wrong order")
                for byte in range(_signed(low), _signed(high) + 1):
                    mask |= 1 << (byte & 0xFF)
            first = False
        self.pos += 1
        return ~mask & ((1 << 256) - 1) if negated else mask

    def named(self) -> int | None:
        """A `[:class:]`, if one stands here."""
        if self.pattern[self.pos : self.pos + 2] == b"[=":
            raise InvalidPattern("equivalence classes are not supported")
        if self.pattern[self.pos : self.pos + 2] != b"[:":
            return None
        end = self.pattern.find(b":]", self.pos + 2)
        name = self.pattern[self.pos + 2 : end].decode("latin-1").lower()
        if end < 0 or name not in _CLASSES:
            raise InvalidPattern("unknown character class")
        self.pos = end + 2
        return sum(1 << ord(char) for char in _CLASSES[name])

    def element(self) -> int:
        """One byte of a bracket expression, or a `[.x.]`."""
        if self.pattern[self.pos : self.pos + 2] == b"[.":
            name = self.pattern[self.pos + 2 : self.pos + 5]
            if name[1:] != b".]" or not name[:1].isalpha():
                raise InvalidPattern("collating names are not supported")
            self.pos += 5
            return name[0]
        byte = self.peek()
        if byte < 0:
            raise InvalidPattern("missing ']'")
        if self.pattern[self.pos : self.pos + 2] in (b"[:", b"[="):
            raise InvalidPattern("a class cannot end a range")
        self.pos += 1
        return byte


def _joined(kind: str, parts: list[_Node]) -> _Node:
    if len(parts) == 1:
        return parts[0]
    depth = max((part.depth for part in parts), default=0)
    if parts:
        depth += 1
    if depth > 2 * MAX_DEPTH:
        raise InvalidPattern("nested too deeply")
    return _Node(kind, depth, parts=tuple(parts))


class _Builder:
    """Turns nodes into states. A state is a byte set with one successor, or edges without input."""

    __slots__ = ("edges", "masks", "work")

    def __init__(self) -> None:
        self.masks: list[int] = []
        self.edges: list[list[tuple[str, int]]] = []
        self.work = 0

    def state(self, mask: int = 0) -> int:
        if len(self.masks) >= MAX_STATES:
            raise InvalidPattern("too many states")
        self.masks.append(mask)
        self.edges.append([])
        return len(self.masks) - 1

    def build(self, node: _Node, start: int) -> int:
        """Append `node` after `start`; returns the state that stands after it."""
        self.work += 1
        if self.work > 4 * MAX_STATES:
            raise InvalidPattern("too many states")
        if node.kind == "byte":
            byte, after = self.state(node.mask), self.state()
            self.edges[start].append(("", byte))
            self.edges[byte].append(("byte", after))
            return after
        if node.kind in ("begin", "end"):
            after = self.state()
            self.edges[start].append((node.kind, after))
            return after
        if node.kind == "cat":
            for part in node.parts:
                start = self.build(part, start)
            return start
        if node.kind == "alt":
            after = self.state()
            for part in node.parts:
                branch = self.state()
                self.edges[start].append(("", branch))
                self.edges[self.build(part, branch)].append(("", after))
            return after
        return self.repeat(node, start)

    def repeat(self, node: _Node, start: int) -> int:
        part = node.parts[0]
        for _ in range(node.low):
            start = self.build(part, start)
        after = self.state()
        self.edges[start].append(("", after))
        if node.high is None:
            loop = self.state()
            self.edges[after].append(("", loop))
            self.edges[self.build(part, loop)].append(("", after))
            return after
        for _ in range(node.high - node.low):
            branch = self.state()
            self.edges[start].append(("", branch))
            start = self.build(part, branch)
            self.edges[start].append(("", after))
        return after


class Pattern:
    """A compiled pattern; it keeps a small cache of what it has seen between calls."""

    __slots__ = ("_accept", "_cache", "_edges", "_masks", "_start")

    def __init__(self, pattern: bytes) -> None:
        if len(pattern) > MAX_PATTERN:
            raise InvalidPattern("pattern is too long")
        node = _Parser(pattern).parse()
        builder = _Builder()
        first = builder.state()
        self._accept = builder.build(node, first)
        self._masks = builder.masks
        self._edges = builder.edges
        self._start = first
        self._cache: dict[frozenset[int], dict[int, frozenset[int]]] = {}

    def _closure(self, states: set[int], kinds: tuple[str, ...]) -> frozenset[int]:
        todo = list(states)
        while todo:
            for kind, target in self._edges[todo.pop()]:
                if kind in kinds and target not in states:
                    states.add(target)
                    todo.append(target)
        return frozenset(states)

    def matches(self, subject: bytes) -> bool:
        """Whether the whole of `subject` matches; False too when a bound is exceeded."""
        if len(subject) > MAX_SUBJECT:
            return False
        states = self._closure({self._start}, ("", "begin"))
        steps = 0
        for byte in subject:
            known = self._cache.setdefault(states, {})
            following = known.get(byte)
            if following is None:
                steps += len(states)
                if steps > MAX_STEPS:
                    return False
                moved = {
                    self._edges[state][0][1] for state in states if self._masks[state] >> byte & 1
                }
                following = self._closure(moved, ("",))
                steps += len(following)
                if len(self._cache) > _MAX_CACHED_SETS:
                    self._cache.clear()
                known[byte] = following
            if not following:
                return False
            states = following
        at_end = ("", "end") if subject else ("", "begin", "end")
        return self._accept in self._closure(set(states), at_end)


@lru_cache(maxsize=256)
def compiled(pattern: str) -> Pattern | None:
    """The compiled pattern, or None where it is invalid."""
    try:
        return Pattern(pattern.encode("utf-8", "surrogateescape"))
    except InvalidPattern:
        return None


def matches(pattern: str, subject: str) -> bool:
    """Whether all of `subject` matches `pattern`; an invalid pattern matches nothing."""
    found = compiled(pattern)
    return found is not None and found.matches(subject.encode("utf-8", "surrogateescape"))
