"""How each kind of value is laid out: numbers, strings, containers.

A codec emits the lines of Python that encode or decode one value; `compiler` strings them together
into one function per declared type. Codecs of fixed size (`fmt` set) are fused with their
neighbours into a single `struct` call. Declarations name codecs through the annotations in
`spirula.denc`. Layouts follow upstream `src/include/encoding.h`: little endian, u32 counts and
lengths.
"""

from __future__ import annotations

import struct as _struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, get_args

from spirula.errors import LimitExceeded, Truncated

if TYPE_CHECKING:
    from spirula.denc.emitter import Emitter

MAX_EMPTY_ITEMS = 65_536
"""Bound on the count of a container whose items may take no bytes at all."""


class Codec:
    """Base of all codecs. `min_size` is the least number of bytes that a value takes."""

    fmt: str | None = None
    arity: int = 1
    min_size: int = 0
    needs_features: bool = False

    def zero(self) -> Any:
        """The value that a field has when nobody sets it."""
        raise TypeError(f"{self!r} has no zero value")

    def flatten(self, expr: str, emit: Emitter) -> list[str]:
        """Fixed codecs: the `struct` arguments for the value of `expr`."""
        del emit
        return [expr]

    def unflatten(self, names: list[str], emit: Emitter) -> str:
        """Fixed codecs: the expression that builds the value from `struct` results."""
        del emit
        return names[0]

    def emit_encode(self, expr: str, emit: Emitter) -> None:
        """Emits statements that append the value of `expr`."""
        emit.fixed_out(self.fmt or "", self.flatten(expr, emit))

    def emit_decode(self, target: str, emit: Emitter) -> None:
        """Emits statements that read a value at `pos` into the local `target`."""
        names = emit.fixed_in(self.fmt or "", self.arity)
        emit.after_fixed(target, self.unflatten(names, emit))

    def plain(self, value: Any) -> Any:
        """`value` as JSON can hold it."""
        return value

    def unplain_key(self, value: Any) -> str:
        """`value` as a JSON object's key."""
        return str(self.plain(value))


class Number(Codec):
    """An integer or float by its `struct` code."""

    def __init__(self, code: str, zero: float = 0) -> None:
        self.fmt = code
        self.min_size = _struct.calcsize("<" + code)
        self._zero = zero

    def __repr__(self) -> str:
        return f"Number({self.fmt!r})"

    def zero(self) -> Any:
        return self._zero


class Boolean(Number):
    """One byte; anything but 0 is true."""

    def __init__(self) -> None:
        super().__init__("?", zero=False)


class Raw(Codec):
    """Exactly `size` bytes, no length before them."""

    def __init__(self, size: int) -> None:
        self.fmt = f"{size}s"
        self.size = size
        self.min_size = size

    def zero(self) -> bytes:
        return bytes(self.size)

    def plain(self, value: Any) -> str:
        return bytes(value).hex()


class Blob(Codec):
    """Bytes behind a length (u32 unless `length` says otherwise)."""

    def __init__(self, length: str = "I") -> None:
        self.length = length
        self.min_size = _struct.calcsize("<" + length)

    def zero(self) -> Any:
        return b""

    def emit_encode(self, expr: str, emit: Emitter) -> None:
        name = emit.local(expr)
        emit.fixed_out(self.length, [f"len({name})"])
        emit.flush_out()
        emit.line(f"out += {name}")

    def emit_decode(self, target: str, emit: Emitter) -> None:
        (count,) = emit.fixed_in(self.length, 1)
        emit.flush_in()
        emit.line(f"stop = pos + {count}")
        emit.line(
            "if stop > end: raise Truncated('length runs past the end', offset=pos, limit=end)"
        )
        emit.line(f"{target} = {self.from_bytes('buf[pos:stop]')}")
        emit.line("pos = stop")

    def from_bytes(self, expr: str) -> str:
        """The expression that turns the bytes of `expr` into the value."""
        return expr

    def plain(self, value: Any) -> Any:
        return bytes(value).hex()


class String(Blob):
    """Text behind a u32 length: UTF-8, with bytes that are not UTF-8 kept as lone surrogates."""

    def zero(self) -> Any:
        return ""

    def emit_encode(self, expr: str, emit: Emitter) -> None:
        super().emit_encode(f"{expr}.encode('utf-8', 'surrogateescape')", emit)

    def from_bytes(self, expr: str) -> str:
        return f"str({expr}, 'utf-8', 'surrogateescape')"

    def plain(self, value: Any) -> Any:
        return str(value).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


class Via(Codec):
    """A value laid out as another codec's, converted by two functions (`wire` form to value and
    back).
    """

    def __init__(
        self, inner: Any, decode: Callable[[Any], Any], encode: Callable[[Any], Any], zero: Any = 0
    ) -> None:
        self.inner = codec_of(inner)
        self.min_size = self.inner.min_size
        self._decode, self._encode, self._zero = decode, encode, zero

    def zero(self) -> Any:
        return self._zero

    def emit_encode(self, expr: str, emit: Emitter) -> None:
        self.inner.emit_encode(f"{emit.const(self._encode)}({expr})", emit)

    def emit_decode(self, target: str, emit: Emitter) -> None:
        raw = emit.fresh("w")
        self.inner.emit_decode(raw, emit)
        emit.flush_in()
        emit.line(f"{target} = {emit.const(self._decode)}({raw})")

    def plain(self, value: Any) -> Any:
        return value if isinstance(value, (int, float, str, bool)) else str(value)


class StructCodec(Codec):
    """A declared type, inlined where it is a plain run of fixed fields, called otherwise."""

    def __init__(self, cls: type) -> None:
        self.cls = cls
        self.fields: list[tuple[str, Codec]] | None = getattr(cls, "_denc_fixed", None)
        self.min_size = getattr(cls, "_denc_min_size", 0)
        if self.fields is not None:
            self.fmt = "".join(codec.fmt or "" for _, codec in self.fields)
            self.arity = sum(codec.arity for _, codec in self.fields)
        # Values that are keys are not changed: one of them does for all fields that are absent.
        parameters = getattr(cls, "__dataclass_params__", None)
        self._shared = bool(
            getattr(cls, "_denc_key", False) or (parameters and parameters.unsafe_hash)
        )
        self._zero: Any = None

    def zero(self) -> Any:
        if not self._shared:
            return self.cls()
        if self._zero is None:
            self._zero = self.cls()
        return self._zero

    def flatten(self, expr: str, emit: Emitter) -> list[str]:
        name = emit.local(expr)
        return [arg for f, codec in self.fields or [] for arg in codec.flatten(f"{name}.{f}", emit)]

    def unflatten(self, names: list[str], emit: Emitter) -> str:
        args, at = [], 0
        for _, codec in self.fields or []:
            args.append(codec.unflatten(names[at : at + codec.arity], emit))
            at += codec.arity
        return f"{emit.const(self.cls)}({', '.join(args)})"

    def emit_encode(self, expr: str, emit: Emitter) -> None:
        if self.fields is not None:
            super().emit_encode(expr, emit)
            return
        emit.flush_out()
        emit.line(f"{expr}._enc(out, features)")

    def emit_decode(self, target: str, emit: Emitter) -> None:
        if self.fields is not None:
            super().emit_decode(target, emit)
            return
        emit.flush_in()
        compile_now = getattr(self.cls, "_denc_compile", None)
        if compile_now is not None and "_denc_compile" in self.cls.__dict__:
            compile_now()
        decode = emit.const(self.cls._dec)  # type: ignore[attr-defined]  # every declared type has it
        emit.line(f"{target}, pos = {decode}(buf, pos, end, features)")

    def plain(self, value: Any) -> Any:
        return value.plain()

    def unplain_key(self, value: Any) -> str:
        return str(value)


class _Counted(Codec):
    """Base of containers: a count, then that many items."""

    def __init__(self, *items: Any, count: str = "I") -> None:
        self.items = [codec_of(item) for item in items]
        self.count = count
        self.min_size = _struct.calcsize("<" + count)

    def _decode_count(self, emit: Emitter) -> str:
        (count,) = emit.fixed_in(self.count, 1)
        emit.flush_in()
        least = sum(item.min_size for item in self.items)
        room = (
            f"(end - pos) // {least}"
            if least > 1
            else "end - pos"
            if least
            else str(MAX_EMPTY_ITEMS)
        )
        emit.line(f"if {count} > {room}: raise too_many({count}, pos, {room})")
        return count

    def _encode_count(self, name: str, emit: Emitter) -> None:
        emit.fixed_out(self.count, [f"len({name})"])

    def _emit_items(self, names: list[str], source: str, emit: Emitter) -> None:
        """A loop over `source` that encodes the items that it binds to `names`."""
        emit.flush_out()
        emit.line(f"for {', '.join(names)} in {source}:")
        with emit.block():
            for name, item in zip(names, self.items, strict=True):
                item.emit_encode(name, emit)
            emit.flush_out()

    def _all_fixed(self) -> bool:
        return all(item.fmt is not None for item in self.items)

    def _fixed_struct(self) -> tuple[str, int]:
        fmt = "".join(item.fmt or "" for item in self.items)
        return fmt, _struct.calcsize("<" + fmt)

    def _iter_fixed(self, count: str, emit: Emitter) -> tuple[str, list[str]]:
        """An expression that iterates over tuples of `count` fixed items, and their value
        expressions.
        """
        fmt, size = self._fixed_struct()
        arity = sum(item.arity for item in self.items)
        names = [emit.fresh("t") for _ in range(arity)]
        values, at = [], 0
        for item in self.items:
            values.append(item.unflatten(names[at : at + item.arity], emit))
            at += item.arity
        emit.line(f"stop = pos + {count} * {size}")
        unpack = emit.const(_struct.Struct("<" + fmt).iter_unpack)
        return (
            f"for {', '.join(names)}{',' if arity == 1 else ''} in {unpack}(buf[pos:stop])",
            values,
        )

    def _emit_item_loop(self, count: str, emit: Emitter) -> list[str]:
        emit.line(f"for _ in range({count}):")
        names = [emit.fresh("x") for _ in self.items]
        emit.indent()
        for name, item in zip(names, self.items, strict=True):
            item.emit_decode(name, emit)
        emit.flush_in()
        return names


class Sequence(_Counted):
    """A list of items in the order they stand (vector, list, deque)."""

    def zero(self) -> Any:
        return []

    def emit_encode(self, expr: str, emit: Emitter) -> None:
        name = emit.local(expr)
        self._encode_count(name, emit)
        item = self.items[0]
        if item.fmt is not None and isinstance(item, Number):
            emit.flush_out()
            emit.line(f"out += pack('<%d{item.fmt}' % len({name}), *{name})")
            return
        self._emit_items([emit.fresh("i")], name, emit)

    def emit_decode(self, target: str, emit: Emitter) -> None:
        count = self._decode_count(emit)
        item = self.items[0]
        if isinstance(item, Number):
            emit.line(f"{target} = list(unpack_from('<%d{item.fmt}' % {count}, buf, pos))")
            emit.line(f"pos += {count} * {item.min_size}")
        elif item.fmt is not None:
            loop, values = self._iter_fixed(count, emit)
            emit.line(f"{target} = [{values[0]} {loop}]")
            emit.line("pos = stop")
        else:
            emit.line(f"{target} = []")
            (name,) = self._emit_item_loop(count, emit)
            emit.line(f"{target}.append({name})")
            emit.dedent()

    def plain(self, value: Any) -> Any:
        return [self.items[0].plain(item) for item in value]


class SetOf(Sequence):
    """A set; encoded in ascending order."""

    def zero(self) -> Any:
        return set()

    def emit_encode(self, expr: str, emit: Emitter) -> None:
        super().emit_encode(f"sorted({expr})", emit)

    def emit_decode(self, target: str, emit: Emitter) -> None:
        super().emit_decode(target, emit)
        emit.line(f"{target} = set({target})")

    def plain(self, value: Any) -> Any:
        return [self.items[0].plain(item) for item in sorted(value)]


class MapOf(_Counted):
    """A map; encoded in ascending order of its keys."""

    ordered = True

    def zero(self) -> Any:
        return {}

    def emit_encode(self, expr: str, emit: Emitter) -> None:
        name = emit.local(expr)
        self._encode_count(name, emit)
        source = f"sorted_items({name})" if self.ordered else f"{name}.items()"
        self._emit_items([emit.fresh("k"), emit.fresh("i")], source, emit)

    def emit_decode(self, target: str, emit: Emitter) -> None:
        count = self._decode_count(emit)
        if self._all_fixed():
            loop, (key, value) = self._iter_fixed(count, emit)
            emit.line(f"{target} = {{{key}: {value} {loop}}}")
            emit.line("pos = stop")
        else:
            emit.line(f"{target} = {{}}")
            key, value = self._emit_item_loop(count, emit)
            emit.line(f"{target}[{key}] = {value}")
            emit.dedent()

    def plain(self, value: Any) -> Any:
        key, item = self.items
        return {key.unplain_key(k): item.plain(v) for k, v in value.items()}


class HashMapOf(MapOf):
    """A map whose order on the wire is nobody's business; kept as it was inserted."""

    ordered = False


class TupleOf(Codec):
    """Values one after another."""

    def __init__(self, *items: Any) -> None:
        self.items = [codec_of(item) for item in items]
        self.min_size = sum(item.min_size for item in self.items)
        if self.items and all(item.fmt is not None for item in self.items):
            self.fmt = "".join(item.fmt or "" for item in self.items)
            self.arity = sum(item.arity for item in self.items)

    def zero(self) -> Any:
        return tuple(item.zero() for item in self.items)

    def flatten(self, expr: str, emit: Emitter) -> list[str]:
        name = emit.local(expr)
        return [
            arg for i, item in enumerate(self.items) for arg in item.flatten(f"{name}[{i}]", emit)
        ]

    def unflatten(self, names: list[str], emit: Emitter) -> str:
        parts, at = [], 0
        for item in self.items:
            parts.append(item.unflatten(names[at : at + item.arity], emit))
            at += item.arity
        return f"({', '.join(parts)},)"

    def emit_encode(self, expr: str, emit: Emitter) -> None:
        name = emit.local(expr)
        for i, item in enumerate(self.items):
            item.emit_encode(f"{name}[{i}]", emit)

    def emit_decode(self, target: str, emit: Emitter) -> None:
        if self.fmt is not None:
            super().emit_decode(target, emit)
            return
        names = [emit.fresh("p") for _ in self.items]
        for name, item in zip(names, self.items, strict=True):
            item.emit_decode(name, emit)
        emit.flush_in()
        emit.line(f"{target} = ({', '.join(names)},)")

    def plain(self, value: Any) -> Any:
        return [item.plain(part) for item, part in zip(self.items, value, strict=True)]


class ArrayOf(Codec):
    """Exactly `length` items, no count before them."""

    def __init__(self, item: Any, length: int) -> None:
        self.item, self.length = codec_of(item), length
        self.min_size = self.item.min_size * length

    def zero(self) -> Any:
        return [self.item.zero() for _ in range(self.length)]

    def emit_encode(self, expr: str, emit: Emitter) -> None:
        emit.flush_out()
        name = emit.fresh("i")
        emit.line(f"for {name} in exactly({expr}, {self.length}):")
        with emit.block():
            self.item.emit_encode(name, emit)
            emit.flush_out()

    def emit_decode(self, target: str, emit: Emitter) -> None:
        emit.flush_in()
        emit.line(f"{target} = []")
        emit.line(f"for _ in range({self.length}):")
        name = emit.fresh("x")
        with emit.block():
            self.item.emit_decode(name, emit)
            emit.flush_in()
            emit.line(f"{target}.append({name})")

    def plain(self, value: Any) -> Any:
        return [self.item.plain(item) for item in value]


class OptionalOf(Codec):
    """A flag byte, then the value if the flag is not 0 (upstream `std::optional`)."""

    min_size = 1

    def __init__(self, item: Any) -> None:
        self.item = codec_of(item)

    def zero(self) -> Any:
        return None

    def emit_encode(self, expr: str, emit: Emitter) -> None:
        name = emit.local(expr)
        emit.fixed_out("?", [f"{name} is not None"])
        emit.flush_out()
        emit.line(f"if {name} is not None:")
        with emit.block():
            self.item.emit_encode(name, emit)
            emit.flush_out()

    def emit_decode(self, target: str, emit: Emitter) -> None:
        (flag,) = emit.fixed_in("?", 1)
        emit.flush_in()
        emit.line(f"{target} = None")
        emit.line(f"if {flag}:")
        with emit.block():
            self.item.emit_decode(target, emit)
            emit.flush_in()

    def plain(self, value: Any) -> Any:
        return None if value is None else self.item.plain(value)


class Either(Codec):
    """One layout or another, by a condition on `v` (the struct version) and `features`."""

    def __init__(self, condition: str, then: Any, otherwise: Any) -> None:
        self.condition = condition
        self.then, self.otherwise = codec_of(then), codec_of(otherwise)
        self.min_size = min(self.then.min_size, self.otherwise.min_size)

    def zero(self) -> Any:
        return self.then.zero()

    def emit_encode(self, expr: str, emit: Emitter) -> None:
        emit.flush_out()
        self._branch(emit, lambda codec: codec.emit_encode(expr, emit), emit.flush_out)

    def emit_decode(self, target: str, emit: Emitter) -> None:
        emit.flush_in()
        self._branch(emit, lambda codec: codec.emit_decode(target, emit), emit.flush_in)

    def _branch(
        self, emit: Emitter, body: Callable[[Codec], None], flush: Callable[[], None]
    ) -> None:
        for line, codec in ((f"if {self.condition}:", self.then), ("else:", self.otherwise)):
            emit.line(line)
            with emit.block():
                body(codec)
                flush()

    def plain(self, value: Any) -> Any:
        return self.then.plain(value)


class NestedIn(Codec):
    """A value inside a blob: u32 length, then the value's encoding (tail bytes are skipped)."""

    min_size = 4

    def __init__(self, item: Any) -> None:
        self.item = codec_of(item)

    def zero(self) -> Any:
        return self.item.zero()

    def emit_encode(self, expr: str, emit: Emitter) -> None:
        emit.flush_out()
        start = emit.fresh("s")
        emit.line(f"{start} = len(out); out += b'\\0\\0\\0\\0'")
        self.item.emit_encode(expr, emit)
        emit.flush_out()
        emit.line(f"pack_into('<I', out, {start}, len(out) - {start} - 4)")

    def emit_decode(self, target: str, emit: Emitter) -> None:
        (size,) = emit.fixed_in("I", 1)
        emit.flush_in()
        outer, after = emit.fresh("e"), emit.fresh("a")
        emit.line(f"{outer} = end; {after} = end = pos + {size}")
        emit.line(
            f"if end > {outer}: "
            f"raise Truncated('length runs past the end', offset=pos, limit={outer})"
        )
        self.item.emit_decode(target, emit)
        emit.flush_in()
        emit.line(
            "if pos > end: raise Truncated('value runs past its length', offset=pos, limit=end)"
        )
        emit.line(f"pos = {after}; end = {outer}")

    def plain(self, value: Any) -> Any:
        return self.item.plain(value)


def codec_of(annotation: Any) -> Codec:
    """The codec that an annotation names: `u32`, `Vec[u32]`, a declared type, or a codec itself."""
    if isinstance(annotation, Codec):
        return annotation
    metadata = getattr(annotation, "__metadata__", None)
    if metadata:
        return _annotated(annotation.__origin__, metadata)
    if isinstance(annotation, type) and hasattr(annotation, "_dec"):
        return StructCodec(annotation)
    raise TypeError(f"{annotation!r} does not name a wire format")


def _annotated(origin: Any, metadata: tuple[Any, ...]) -> Codec:
    """The codec of `Annotated[origin, *metadata]`: an instance stands for itself, a class takes the
    type arguments of `origin` as its items.
    """
    *inner, last = metadata
    if isinstance(last, Codec):
        return last
    if last is NestedIn:
        return NestedIn(_annotated(origin, tuple(inner)) if inner else origin)
    if isinstance(last, type) and issubclass(last, Codec):
        return last(*(arg for arg in get_args(origin) if arg is not type(None)))
    raise TypeError(f"{last!r} does not name a wire format")


def too_many(count: int, pos: int, room: int) -> LimitExceeded:
    """The error for a count that what is left of the buffer cannot hold."""
    return LimitExceeded(
        f"count {count} is larger than the bytes left allow", offset=pos, limit=room
    )


def exactly(items: list[Any], length: int) -> list[Any]:
    """`items`, or an error when there are not exactly `length` of them."""
    if len(items) != length:
        raise ValueError(f"{len(items)} items where the format has {length}")
    return items


def sorted_items(mapping: dict[Any, Any]) -> list[tuple[Any, Any]]:
    """The items in ascending order of keys (values are not compared)."""
    return [(key, mapping[key]) for key in sorted(mapping)]


NAMES_FOR_GENERATED_CODE: dict[str, Any] = {
    "Truncated": Truncated,
    "too_many": too_many,
    "exactly": exactly,
    "sorted_items": sorted_items,
    "pack": _struct.pack,
    "pack_into": _struct.pack_into,
    "unpack_from": _struct.unpack_from,
}
