"""The text of a `ceph.conf`: parsing it into sections and looking settings up.

Pure: text or bytes in, sections out; reading files is `spirula.conf.load`. The grammar is that of
upstream 16.2 (src/common/ConfUtils.cc), including its sharp edges, and is compared with the real
`ceph-conf` by tests. There is no `include` directive in it: `include = x` is a setting like others.
`-` and `_` in a name differ here (they are alike on the command line only); blanks become `_`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import NamedTuple

from spirula.errors import InvalidArgument
from spirula.records import dataclass

MAX_CONF_BYTES = 16 << 20
"""Largest configuration text that is parsed (upstream's bound is 1 GiB)."""
MAX_LINE_BYTES = 1 << 20
"""Longest physical line that is parsed."""

WHITESPACE = " \t\n\v\f\r"

_SKIP = re.compile(r"(?:\\(?:\r\n?|\n)|[ \t]*[#;][^\r\n]*)*")
_BLANKS = re.compile(r"[ \t]*")
_EOL = re.compile(r"\r\n?|\n")
_COMMENT = re.compile(r"[#;][^\r\n]*")
_CONTINUATION = re.compile(r"\\(?:\r\n?|\n)")
_PLAIN = re.compile(r"[^\\#;\r\n \t]+")
_PLAIN_HEADING = re.compile(r"[^\\#;\r\n \t\]]+")
_PLAIN_KEY = re.compile(r"[^\\#;\r\n \t=\[]+")
_PLAIN_QUOTED = {'"': re.compile(r'[^\\#;\r\n"]+'), "'": re.compile(r"[^\\#;\r\n']+")}
_SPACES = re.compile(f"[{WHITESPACE}]+")
_LONG_LINE = re.compile(rf"[^\r\n]{{{MAX_LINE_BYTES + 1}}}")


class ConfSyntaxError(InvalidArgument):
    """A configuration text that does not follow the grammar; `line` and `column` count from 1."""

    def __init__(self, reason: str, *, line: int = 1, column: int = 1, source: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line
        self.column = column
        self.source = source

    def __str__(self) -> str:
        where = f"{self.source}:" if self.source else ""
        return f"{where}{self.line}:{self.column}: {self.reason}"


class Setting(NamedTuple):
    """One `name = value` and the line (from 1) on which its name begins."""

    value: str
    line: int


def normalize_name(name: str) -> str:
    """A setting's name in the form in which names are compared: trimmed, inner blanks as `_`."""
    return _SPACES.sub("_", name.strip(WHITESPACE))


@dataclass(slots=True)
class ConfFile:
    """Sections by heading, each a mapping of normalized name to its setting; the last one wins."""

    sections: dict[str, dict[str, Setting]] = field(default_factory=dict)

    def get(self, section: str, name: str) -> str | None:
        """The value of `name` in exactly that section, or None."""
        found = self.sections.get(section, {}).get(normalize_name(name))
        return None if found is None else found.value

    def lookup(self, sections: Iterable[str], name: str) -> str | None:
        """The value of `name` in the first of `sections` that has it, or None."""
        key = normalize_name(name)
        for section in sections:
            found = self.sections.get(section, {}).get(key)
            if found is not None:
                return found.value
        return None

    def section_names(self) -> list[str]:
        """All headings in the order in which upstream lists them (by bytes)."""
        return sorted(self.sections, key=_bytes_of)

    def old_style_sections(self, prefixes: Iterable[str] = ("mds", "mon", "osd")) -> list[str]:
        """Headings such as `osd0` that were meant as `osd.0`."""
        wanted = tuple(prefixes)
        return [
            name
            for name in self.section_names()
            if name.startswith(wanted) and len(name) > 3 and name[3] != "."
        ]

    def render(self) -> str:
        """All settings as text, as `--show-conf` prints them: sorted, one per line, in quotes."""
        out: list[str] = []
        for name in self.section_names():
            out.append(f"[{name}]\n")
            section = self.sections[name]
            out.extend(
                f'\t{key} = "{section[key].value}"\n'
                for key in sorted(section, key=_bytes_of)
                if key
            )
        return "".join(out)


def _bytes_of(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def dump_conf(sections: Mapping[str, Mapping[str, str]]) -> str:
    """Text that `parse_conf` reads back as `sections`: values are escaped, names kept.

    Raises InvalidArgument for names, headings or values that the grammar cannot carry.
    """
    out: list[str] = []
    for heading, settings in sections.items():
        out.append(f"[{_escaped(heading, ']')}]\n")
        if not heading:
            raise InvalidArgument("a section needs a name")
        for name, value in settings.items():
            if not name or normalize_name(name) != name or re.search(r"[=\[\\#;]", name):
                raise InvalidArgument(f"not a setting's name: {name!r}")
            if value != value.strip(WHITESPACE):
                raise InvalidArgument(f"{name}: blanks around a value are not kept")
            text = _escaped(value, "")
            if text.startswith(('"', "'")):  # would open a quoted value
                text = "\\" + text
            out.append(f"{name} = {text}\n")
    return "".join(out)


def _escaped(text: str, extra: str) -> str:
    if "\n" in text or "\r" in text:
        raise InvalidArgument("a line break cannot be written to a configuration file")
    return re.sub(rf"[\\#;{re.escape(extra)}]", lambda m: "\\" + m[0], text)


def parse_conf(data: bytes | str, source: str = "") -> ConfFile:
    """Sections and settings of a configuration text.

    `source` is the file's name, for errors. Raises ConfSyntaxError, never anything else: for
    invalid UTF-8, for a size beyond MAX_CONF_BYTES or MAX_LINE_BYTES, and for bad grammar.
    """
    if isinstance(data, bytes):
        if len(data) > MAX_CONF_BYTES:
            raise ConfSyntaxError(f"larger than {MAX_CONF_BYTES} bytes", source=source)
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
            raise ConfSyntaxError(
                "invalid UTF-8", line=line, column=column, source=source
            ) from None
    else:
        if len(data) > MAX_CONF_BYTES:
            raise ConfSyntaxError(f"larger than {MAX_CONF_BYTES} bytes", source=source)
        text = data
    parser = _Parser(text, source)
    too_long = _LONG_LINE.search(text)
    if too_long:
        raise parser.error(f"line longer than {MAX_LINE_BYTES} bytes", too_long.start())
    return parser.conf_file()


class _Parser:
    """A scanner over the whole text; each method takes a position and gives the next one.

    What may be skipped (comments, continued lines) is skipped only where upstream's grammar does.
    """

    __slots__ = ("line_starts", "source", "text")

    def __init__(self, text: str, source: str) -> None:
        self.text = text
        self.source = source
        self.line_starts: list[int] | None = None

    def error(self, reason: str, pos: int) -> ConfSyntaxError:
        line, column = self.where(pos)
        return ConfSyntaxError(reason, line=line, column=column, source=self.source)

    def where(self, pos: int) -> tuple[int, int]:
        if self.line_starts is None:
            self.line_starts = [0, *(m.end() for m in _EOL.finditer(self.text))]
        low, high = 0, len(self.line_starts)
        while high - low > 1:
            middle = (low + high) // 2
            if self.line_starts[middle] <= pos:
                low = middle
            else:
                high = middle
        return low + 1, pos - self.line_starts[low] + 1

    def skip(self, pos: int) -> int:
        found = _SKIP.match(self.text, pos)
        return pos if found is None else found.end()

    def blanks(self, pos: int) -> int:
        found = _BLANKS.match(self.text, pos)
        return pos if found is None else found.end()

    def conf_file(self) -> ConfFile:
        conf = ConfFile()
        single = self.key_val(0)
        if single is not None:
            # One setting without a heading is the whole file, or the file is refused.
            pos, name, setting = single
            conf.sections["global"] = {name: setting}
        else:
            pos = self.line_ends(0)
            while (opened := self.heading(pos)) is not None:
                pos, heading = opened
                section = conf.sections.setdefault(heading, {})
                while self.heading(pos) is None and (found := self.key_val(pos)) is not None:
                    pos, name, setting = found
                    section[name] = setting
                pos = self.line_ends(pos)
        pos = self.skip(pos)
        if pos != len(self.text):
            raise self.error("expected a section, a setting or the end of the file", pos)
        return conf

    def line_ends(self, pos: int) -> int:
        while (eol := _EOL.match(self.text, self.skip(pos))) is not None:
            pos = eol.end()
        return pos

    def empty_lines(self, pos: int) -> int:
        """The rest of the line, which must be blank or a comment, and empty lines after it."""
        start = pos
        while (eol := _EOL.match(self.text, self.blanks(self.skip(pos)))) is not None:
            pos = eol.end()
        if pos == start:
            raise self.error("expected the end of the line", pos)
        return pos

    def heading(self, pos: int) -> tuple[int, str] | None:
        text = self.text
        pos = self.skip(pos)
        if not text.startswith("[", pos):
            return None
        start = pos + 1
        pos, name = self.loose_text(start, _PLAIN_HEADING)
        if not name:
            raise self.error("expected a section's name", start)
        if not text.startswith("]", pos):
            raise self.error("expected ']'", pos)
        return self.empty_lines(pos + 1), name

    def loose_text(self, pos: int, plain: re.Pattern[str]) -> tuple[int, str]:
        """Text without comments and continued lines, in which a backslash stands for what follows.

        It ends at a line's end or at what `plain` does not match (a heading's `]`).
        """
        text = self.text
        end = len(text)
        out: list[str] = []
        while pos < end:
            run = plain.match(text, pos)
            if run is not None:
                out.append(run[0])
                pos = run.end()
                continue
            char = text[pos]
            if char in " \t":
                after = self.blanks(pos)
                if after < end and text[after] in "#;":
                    pos = after
                else:
                    out.append(text[pos:after])
                    pos = after
            elif char in "#;":
                comment = _COMMENT.match(text, pos)
                pos = end if comment is None else comment.end()
            elif char == "\\":
                continued = _CONTINUATION.match(text, pos)
                if continued is not None:
                    pos = continued.end()
                elif pos + 1 < end:
                    out.append(text[pos + 1])
                    pos += 2
                else:
                    out.append(char)
                    pos += 1
            else:
                break
        return pos, "".join(out)

    def key_val(self, pos: int) -> tuple[int, str, Setting] | None:
        text = self.text
        start = self.skip(self.blanks(self.skip(pos)))
        key_end = self.key(start)
        if key_end is None:
            return None
        pos = self.skip(self.blanks(self.skip(key_end)))
        if not text.startswith("=", pos):
            return None
        pos = self.skip(self.blanks(self.skip(pos + 1)))
        if text.startswith(('"', "'"), pos):
            pos, value = self.quoted(pos)
        else:
            pos, value = self.loose_text(pos, _PLAIN)
        pos = self.empty_lines(pos)
        name = normalize_name(text[start:key_end])
        return pos, name, Setting(value.strip(WHITESPACE), self.where(start)[0])

    def quoted(self, pos: int) -> tuple[int, str]:
        text = self.text
        quote = text[pos]
        plain = _PLAIN_QUOTED[quote]
        pos += 1
        out: list[str] = []
        while True:
            run = plain.match(text, pos)
            if run is not None:
                out.append(run[0])
                pos = run.end()
            if text.startswith("\\", pos) and not _EOL.match(text, pos + 1):
                out.append(text[pos + 1 : pos + 2] or "\\")
                pos += 2
            elif text.startswith(quote, pos):
                return pos + 1, "".join(out)
            else:
                # Comment signs, too, end up here: inside quotes they must be escaped.
                raise self.error(f"expected closing {quote}", min(pos, len(text)))

    def key(self, pos: int) -> int | None:
        """The end of a setting's name that begins at `pos`: runs of text parted by blanks."""
        end = self.key_run(pos)
        if end is None:
            return None
        while True:
            next_run = self.key_separator(end)
            if next_run is None:
                return end
            next_end = self.key_run(next_run)
            if next_end is None:
                return end
            end = next_end

    def key_separator(self, pos: int) -> int | None:
        found = False
        while True:
            pos = self.skip(pos)
            after = self.blanks(pos)
            if after == pos:
                return pos if found else None
            found = True
            pos = after

    def key_run(self, pos: int) -> int | None:
        text = self.text
        size = len(text)
        start = pos
        while pos < size:
            run = _PLAIN_KEY.match(text, pos)
            if run is not None:
                pos = run.end()
                continue
            skipped = self.skip(pos)
            if skipped != pos:
                if text[skipped : skipped + 1] in ("=", "[", " "):
                    break
                pos = skipped
                continue
            char = text[pos]
            if char == "\t":
                # A tab inside a name is text; a run of blanks is looked at once, not per tab.
                while text.startswith("\t", pos):
                    pos += 1
                if pos < size and text[pos] in "#;":
                    break
            elif char == "\\":
                pos += 2 if pos + 1 < size else 1
            else:
                break
        return None if pos == start else pos
