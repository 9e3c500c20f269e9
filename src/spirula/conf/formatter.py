"""Printing a reply: JSON, pretty JSON, XML, HTML or a table, as upstream's Formatter does.

A document is plain data: dicts (objects), lists (arrays), str, int, float, bool, and what
`spirula.printing` adds: names of elements, numbers already in print. Formats: upstream
src/common/Formatter.cc. Called by the admin socket, and by commands with `--format`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from spirula.printing import Fields, Items, Unquoted, general

FORMATS = (
    "json",
    "json-pretty",
    "xml",
    "xml-pretty",
    "table",
    "table-kv",
    "html",
    "html-pretty",
)
FALLBACK = "json-pretty"
"""What an unknown format is taken for, on the admin socket."""


def render(document: object, fmt: str = FALLBACK, name: str = "") -> str:
    """`document` in format `fmt` (an unknown one is taken for FALLBACK).

    `name` is the outermost section's, which XML, HTML and tables show. Ends where upstream ends:
    pretty JSON with a line break, pretty XML with two.
    """
    match fmt:
        case "json":
            return _json(document)
        case "xml" | "xml-pretty" | "html" | "html-pretty":
            out: list[str] = []
            _markup(out, name, document, 0, pretty=fmt.endswith("-pretty"), html=fmt[0] == "h")
            return "".join(out) + ("\n" if fmt.endswith("-pretty") else "")
        case "table" | "table-kv":
            return _table(name, document, key_value=fmt == "table-kv")
        case _:
            return _json_pretty(document, 0) + "\n"


_JSON_ESCAPES = re.compile(r'["\\\x00-\x1f\x7f]')
_JSON_SHORT = {'"': '\\"', "\\": "\\\\", "\t": "\\t", "\n": "\\n"}
_XML_ESCAPES = re.compile(r"[<>&'\"\x00-\x08\x0b-\x1f\x7f]")
_XML_SHORT = {"<": "&lt;", ">": "&gt;", "&": "&amp;", "'": "&apos;", '"': "&quot;"}


def quote(text: str) -> str:
    """`text` as a JSON string; only what must be escaped is."""
    if _JSON_ESCAPES.search(text) is None:
        return f'"{text}"'
    escaped = _JSON_ESCAPES.sub(
        lambda found: _JSON_SHORT.get(found[0]) or f"\\u{ord(found[0]):04x}", text
    )
    return f'"{escaped}"'


def _scalar(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.17g}"
    return str(value)


def _json(value: object) -> str:
    # What most documents are made of comes first, and what is slow to ask for last.
    if isinstance(value, str):
        return value if isinstance(value, Unquoted) else quote(value)
    if type(value) is int:
        return str(value)
    if isinstance(value, list | tuple):
        return f"[{','.join([_json(item) for item in value])}]"
    if isinstance(value, dict | Mapping):
        pairs = [f"{quote(str(key))}:{_json(item)}" for key, item in value.items()]
        return f"{{{','.join(pairs)}}}"
    return _scalar(value)


def _json_pretty(value: object, depth: int) -> str:
    inner, outer = "    " * (depth + 1), "    " * depth
    if isinstance(value, Mapping) and value:
        lines = [
            f"{inner}{quote(str(key))}: {_json_pretty(item, depth + 1)}"
            for key, item in value.items()
        ]
        return "{\n" + ",\n".join(lines) + f"\n{outer}}}"
    if isinstance(value, list | tuple) and value:
        lines = [f"{inner}{_json_pretty(item, depth + 1)}" for item in value]
        return "[\n" + ",\n".join(lines) + f"\n{outer}]"
    return _json(value)


def _escape(text: str) -> str:
    return _XML_ESCAPES.sub(
        lambda found: _XML_SHORT.get(found[0]) or f"&#x{ord(found[0]):02x};", text
    )


def _children(value: object) -> Sequence[tuple[str, object]] | None:
    """The named parts of a section; None for a scalar."""
    if isinstance(value, Mapping):
        return [(str(key), item) for key, item in value.items()]
    if isinstance(value, Fields):
        return list(zip(value.names, value, strict=True))
    if isinstance(value, list | tuple):
        item_name = value.item_name if isinstance(value, Items) else "item"
        return [(item_name, item) for item in value]
    return None


def _markup(
    out: list[str], name: str, value: object, depth: int, *, pretty: bool, html: bool
) -> None:
    indent = " " * depth if pretty else ""
    end = "\n" if pretty else ""
    children = _children(value)
    if children is None:
        # HTML has floats as C++ streams print them, the other formats tell them apart
        short = general(value) if html and isinstance(value, float) else _scalar(value)
        text = _escape(short)
        out.append(
            f"{indent}<li>{name}: {text}</li>{end}"
            if html
            else f"{indent}<{name}>{text}</{name}>{end}"
        )
        return
    out.append(f"{indent}<{name}>{end}")
    for child, item in children:
        _markup(out, child, item, depth + 1, pretty=pretty, html=html)
    out.append(f"{indent}</{name}>{end}")


def _table(name: str, document: object, *, key_value: bool) -> str:
    """One row; a column is labelled with its sections, the innermost first, and a count."""
    cells: list[tuple[str, str]] = []
    counts: dict[str, int] = {}

    def walk(label: str, value: object, path: str) -> None:
        full = f"{path}{label}"
        children = _children(value)
        if children is None:
            count = counts.get(full, 0)
            counts[full] = count + 1
            cells.append((f"{full}[{count}]", _scalar(value)))
            return
        for child, item in children:
            walk(child, item, f"{label}:{path}")

    walk(name, document, "")
    if not cells:
        return ""
    if key_value:
        return "".join(f'key::{label}="{text}" ' for label, text in cells) + "\n"
    widths = [max(len(label), len(text)) for label, text in cells]
    rule = "+" + "".join("-" * (width + 3) + "+" for width in widths) + "\n"
    rows = []
    for row in zip(*cells, strict=True):
        body = "".join(f" {text:<{width + 2}}|" for text, width in zip(row, widths, strict=True))
        rows.append(f"|{body}\n")
    return rule + rows[0] + rule + rows[1] + rule
