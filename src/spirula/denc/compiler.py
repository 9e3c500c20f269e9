"""Compiles a declared type to two straight-line functions: encode and decode.

Called once per type by `declare`. Runs of fixed fields become one `struct` call; the length of a
string or container joins the run before it. Generated code carries a table from its lines to
fields, so that an error can name the field without the hot path paying for it (see `locate`).
"""

from __future__ import annotations

import ast
import struct as _struct
from collections.abc import Callable
from types import TracebackType
from typing import Any

from spirula.denc import features as feature_bits
from spirula.denc.codecs import NAMES_FOR_GENERATED_CODE, Codec
from spirula.denc.emitter import Emitter
from spirula.errors import IncompatibleVersion
from spirula.records import dataclass

_FEATURE_NAMES = {n: v for n, v in vars(feature_bits).items() if n.isupper()}
_FILE_PREFIX = "<denc "


@dataclass(slots=True)
class Field:
    """One field of a declaration; `since`/`until` are struct versions, `when` is an expression."""

    name: str
    codec: Codec
    default: Callable[[], Any]
    since: int = 0
    until: int = 0
    when: str = ""
    tail: bool = False

    @property
    def unconditional(self) -> bool:
        """True when every version and every value of the type has this field."""
        return not (self.since > 1 or self.until or self.when or self.tail)


@dataclass(slots=True)
class Header:
    """What stands before the fields. `kind`: none, envelope, legacy, version or external (a
    message).

    `versions` maps features to what is encoded for a peer that has them, first match wins; the last
    entry has mask 0. `reads` is the newest version whose fields are declared. For `legacy`,
    `legacy_compat` and `legacy_length` are the versions that brought those two fields. `raised` are
    (condition, version, compat), ascending: what is encoded when the value itself needs it. For
    `version`, `code` is the struct code of the lone version number.
    """

    kind: str = "none"
    versions: tuple[tuple[int, int, int], ...] = ((0, 0, 0),)
    reads: int = 0
    legacy_compat: int = 0
    legacy_length: int = 0
    code: str = "B"
    raised: tuple[tuple[str, int, int], ...] = ()

    @property
    def writes_bare(self) -> bool:
        """Whether some peers get encodings from before there were compat and length."""
        oldest = min(version for _, version, _ in self.versions)
        return self.kind == "legacy" and oldest < self.legacy_length


class _Rename(ast.NodeTransformer):
    """Turns field names in a `when` expression into what generated code calls them."""

    def __init__(self, fields: set[str], pattern: str) -> None:
        self.fields, self.pattern = fields, pattern

    def visit_Name(self, node: ast.Name) -> ast.AST:  # ast dictates the name
        if node.id not in self.fields:
            return node
        return ast.parse(self.pattern.format(node.id), mode="eval").body


def _condition(text: str, fields: list[Field], pattern: str) -> str:
    tree = ast.parse(text, mode="eval")
    return ast.unparse(_Rename({f.name for f in fields}, pattern).visit(tree))


def _environment() -> dict[str, Any]:
    return {
        **_FEATURE_NAMES,
        **NAMES_FOR_GENERATED_CODE,
        "IncompatibleVersion": IncompatibleVersion,
        "read_header": _struct.Struct("<BBI").unpack_from,
    }


def compile_encode(name: str, fields: list[Field], header: Header) -> Callable[..., None]:
    """`_enc(self, out, features)` of the type; messages get `_enc(self, out, features, v)`."""
    emit = Emitter(_environment())
    varying = len(header.versions) > 1 or header.kind == "external" or bool(header.raised)
    base = header.versions[-1][1]
    if header.kind in ("envelope", "legacy", "version") and len(header.versions) > 1:
        _emit_choice(header, emit)
    elif header.kind != "external":
        emit.line(f"v = {base}; compat = {header.versions[-1][2]}")
    for condition, version, compat in header.raised:
        test = _condition(condition, fields, "self.{}")
        emit.line(f"if ({test}) and v < {version}: v = {version}; compat = max(compat, {compat})")
    _emit_write_header(header, emit)
    for f in fields:
        emit.field = f.name
        test = _encode_test(f, fields, base, varying=varying)
        if test == "False":
            continue
        if test:
            emit.flush_out()
            emit.line(f"if {test}:")
            with emit.block():
                f.codec.emit_encode(f"self.{f.name}", emit)
                emit.flush_out()
        else:
            f.codec.emit_encode(f"self.{f.name}", emit)
    emit.flush_out()
    if header.kind in ("envelope", "legacy"):
        bare = "if enveloped: " if header.writes_bare else ""
        emit.line(f"{bare}pack_into('<I', out, start + 2, len(out) - start - 6)")
    args = "self, out, features, v" if header.kind == "external" else "self, out, features"
    return _build(name, "_enc", args, emit)


def _emit_write_header(header: Header, emit: Emitter) -> None:
    if header.writes_bare:
        emit.line(f"start = len(out); enveloped = v >= {header.legacy_length}")
        emit.line("out += pack('<BBI', v, compat, 0) if enveloped else bytes([v])")
    elif header.kind in ("envelope", "legacy"):
        emit.line("start = len(out)")
        emit.fixed_out("BBI", ["v", "compat", "0"])
    elif header.kind == "version":
        emit.fixed_out(header.code, ["v"])


def _emit_choice(header: Header, emit: Emitter) -> None:
    keyword = "if"
    for mask, version, compat in header.versions:
        if mask:
            emit.line(f"{keyword} features & {mask} == {mask}: v = {version}; compat = {compat}")
            keyword = "elif"
        else:
            emit.line(f"else: v = {version}; compat = {compat}")


def _encode_test(f: Field, fields: list[Field], base: int, *, varying: bool) -> str:
    tests = []
    if f.since > 1:
        if varying:
            tests.append(f"v >= {f.since}")
        elif base < f.since:
            return "False"
    if f.until:
        if varying:
            tests.append(f"v < {f.until}")
        elif base >= f.until:
            return "False"
    if f.when:
        tests.append("(" + _condition(f.when, fields, "self.{}") + ")")
    return " and ".join(tests)


def compile_decode(
    name: str, make: Callable[..., Any], fields: list[Field], header: Header
) -> Callable[..., Any]:
    """`_dec(buf, pos, end, features) -> (value, pos)`; messages get a further argument `v`."""
    emit = Emitter(_environment())
    build = f"{emit.const(make)}({', '.join('f_' + f.name for f in fields)})"
    _emit_read_header(header, emit)
    newest = max(version for _, version, _ in header.versions)
    versioned = any(f.since > 1 or f.until for f in fields)
    if header.kind == "none" or not versioned:
        _emit_fields(fields, emit, at_least=0)
    else:
        emit.line(f"if v >= {newest}:")
        with emit.block():
            _emit_fields(fields, emit, at_least=newest)
        emit.line("else:")
        with emit.block():
            _emit_fields(fields, emit, at_least=0)
    emit.field = ""
    emit.line("if pos > end: raise Truncated('value runs past its end', offset=pos, limit=end)")
    if header.kind == "envelope":
        emit.line(f"return {build}, end")
    elif header.kind == "legacy":
        emit.line(f"return {build}, (pos if end_known is None else end)")
    else:
        emit.line(f"return {build}, pos")
    args = "buf, pos, end, features, v" if header.kind == "external" else "buf, pos, end, features"
    return _build(name, "_dec", args, emit)


def _emit_read_header(header: Header, emit: Emitter) -> None:
    reads = header.reads
    if header.kind == "envelope":
        emit.line("v, compat, size = read_header(buf, pos)")
        emit.line("pos += 6")
        emit.line(f"if compat > {reads}: raise newer(v, compat, {reads}, pos)")
        emit.line(
            "if pos + size > end: "
            "raise Truncated('length runs past the end', offset=pos, limit=end)"
        )
        emit.line("end = pos + size")
    elif header.kind == "legacy":
        emit.line("v = buf[pos]; compat = 0; end_known = None")
        emit.line("pos += 1")
        emit.line(f"if v >= {header.legacy_compat}:")
        emit.line("    compat = buf[pos]; pos += 1")
        emit.line(f"if compat > {reads}: raise newer(v, compat, {reads}, pos)")
        emit.line(f"if v >= {header.legacy_length}:")
        emit.line("    size, = unpack_from('<I', buf, pos); pos += 4")
        emit.line(
            "    if pos + size > end: "
            "raise Truncated('length runs past the end', offset=pos, limit=end)"
        )
        emit.line("    end_known = end = pos + size")
    elif header.kind == "version":
        (name,) = emit.fixed_in(header.code, 1)
        emit.after_fixed("v", name)
        emit.flush_in()
    emit.env["newer"] = newer


def newer(v: int, compat: int, reads: int, pos: int) -> IncompatibleVersion:
    """The error for an envelope that says that we must not read it."""
    return IncompatibleVersion(
        f"version {v} needs a reader of {compat}, this one knows {reads}", offset=pos
    )


def _emit_fields(fields: list[Field], emit: Emitter, *, at_least: int) -> None:
    """Reads the fields; versions below `at_least` are known not to occur here."""
    for f in fields:
        emit.field = f.name
        tests = []
        if f.since > max(at_least, 1):
            tests.append(f"v >= {f.since}")
        if f.until:
            tests.append("False" if f.until <= at_least else f"v < {f.until}")
        if f.when:
            tests.append("(" + _condition(f.when, fields, "f_{}") + ")")
        if f.tail:
            tests.append("pos < end")
        target = "f_" + f.name
        if not tests:
            f.codec.emit_decode(target, emit)
            continue
        emit.flush_in()
        default = f"{emit.const(f.default)}()"
        if "False" in tests:
            emit.line(f"{target} = {default}")
            continue
        emit.line(f"if {' and '.join(tests)}:")
        with emit.block():
            f.codec.emit_decode(target, emit)
            emit.flush_in()
        emit.line(f"else: {target} = {default}")
    emit.flush_in()


_tables: dict[str, list[str]] = {}


def _build(name: str, function: str, args: str, emit: Emitter) -> Callable[..., Any]:
    filename = f"{_FILE_PREFIX}{name}.{function}>"
    if not emit.lines:
        emit.line("pass")
    source = f"def {function}({args}):\n" + "\n".join(emit.lines)
    _tables[filename] = ["", *emit.line_fields]
    exec(compile(source, filename, "exec"), emit.env)  # noqa: S102  # our own text, made above
    built: Callable[..., Any] = emit.env[function]
    return built


def locate(traceback: TracebackType | None) -> tuple[str, int | None]:
    """The type path (`OSDMap.pools.name`) and byte offset at which generated code failed."""
    path: list[str] = []
    offset: int | None = None
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if code.co_filename.startswith(_FILE_PREFIX):
            type_name = code.co_filename[len(_FILE_PREFIX) :].split("._")[0]
            lines = _tables[code.co_filename]
            field = lines[traceback.tb_lineno - 1] if traceback.tb_lineno <= len(lines) else ""
            path.append(f"{type_name}.{field}" if field else type_name)
            offset = traceback.tb_frame.f_locals.get("pos", offset)
        traceback = traceback.tb_next
    return " > ".join(path), offset
