"""Characters to tokens: where in the text we are, what was found there, and what was expected.

Keywords match as prefixes: in `device0 osd.0` the word ends where the number begins, and
`classhdd` is the class `hdd`. That is how upstream's parser (boost's Spirit, `src/crush/grammar.h`)
takes them, so texts mean here what they mean there. Called by `syntax` and `compiler`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from spirula.errors import InvalidArgument

_BLANK = r"[ \t\n\v\f\r]*"
_SKIP = re.compile(_BLANK)
_COMMENT = re.compile(r"#[^\n]*")
_SHOWN = re.compile(r"[A-Za-z0-9_.~-]{1,40}|.")


class CrushTextError(InvalidArgument):
    """The text is not a map. `line` and `column` count from 1; `reason` is about that place."""

    def __init__(self, reason: str, *, source: str, line: int, column: int) -> None:
        super().__init__(f"{source}:{line}:{column}: {reason}")
        self.reason = reason
        self.source = source
        self.line = line
        self.column = column


class Token(NamedTuple):
    """A piece of the text and the offset of its first character."""

    text: str
    at: int


class Kind(NamedTuple):
    """A kind of token: how it looks, and how to call it when it is missing."""

    pattern: re.Pattern[str]
    called: str


def _kind(pattern: str, called: str) -> Kind:
    return Kind(re.compile(f"{_BLANK}({pattern})"), called)


NAME = _kind(r"[A-Za-z0-9_.-]+", "a name")
INTEGER = _kind(r"-?[0-9]+", "an integer")
POSITIVE = _kind(r"[0-9]+", "a number from 0")
NEGATIVE = _kind(r"-[0-9]+", "a negative number")
# An exponent without digits is no number at all, not a number with something behind it.
REAL = _kind(r"[+-]?(?:[0-9]++\.?+[0-9]*+|\.[0-9]++)(?:[eE][+-]?[0-9]+|(?![eE]))", "a weight")


class Scanner:
    """A position in the text. What does not match leaves it where it was, and is remembered."""

    def __init__(self, text: str, source: str) -> None:
        self.text = _COMMENT.sub(lambda found: " " * len(found[0]), text)
        self.source = source
        self.position = 0
        self._words: dict[str, Kind] = {}
        self._farthest = 0
        self._expected: dict[str, None] = {}

    def take(self, kind: Kind) -> Token | None:
        """The next token if it is of that kind."""
        found = kind.pattern.match(self.text, self.position)
        if found is None:
            self._miss(kind.called)
            return None
        self.position = found.end()
        return Token(found[1], found.start(1))

    def word(self, word: str) -> Token | None:
        """The next characters if they are these."""
        kind = self._words.get(word)
        if kind is None:
            kind = self._words[word] = _kind(re.escape(word), f"`{word}`")
        return self.take(kind)

    def one_of(self, *words: str) -> Token | None:
        """The first of `words` that the next characters are."""
        return next((found for word in words if (found := self.word(word))), None)

    def at_end(self) -> bool:
        """Whether only blanks and comments are left."""
        return self._after_blanks(self.position) == len(self.text)

    def go_back(self, position: int) -> None:
        """Return to `position` and forget what was expected, to look at one statement alone."""
        self.position = self._farthest = position
        self._expected.clear()

    def _miss(self, called: str) -> None:
        if self.position > self._farthest:
            self._farthest = self.position
            self._expected.clear()
        if self.position == self._farthest:
            self._expected[called] = None

    def _after_blanks(self, position: int) -> int:
        found = _SKIP.match(self.text, position)
        return found.end() if found else position

    def dead_end(self) -> CrushTextError:
        """The error of a text that cannot be read on: the farthest point that anything reached."""
        at = self._after_blanks(self._farthest)
        *rest, last = self._expected or {"the end": None}
        expected = f"{', '.join(rest)} or {last}" if rest else last
        seen = _SHOWN.match(self.text, at)
        found = f"`{seen[0]}`" if seen and seen[0].isprintable() else "a strange character"
        return self.error(at, f"expected {expected}, found {found if seen else 'the end'}")

    def error(self, at: int, reason: str) -> CrushTextError:
        """An error at the offset `at`."""
        line = self.text.count("\n", 0, at) + 1
        column = at - self.text.rfind("\n", 0, at)
        return CrushTextError(reason, source=self.source, line=line, column=column)
