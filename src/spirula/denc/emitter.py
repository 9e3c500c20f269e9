"""Collects the lines of a generated function, and fuses neighbouring fixed values into one `struct`
call.

Codecs write through it, the compiler begins and ends with it.
"""

from __future__ import annotations

import struct as _struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Emitter:
    """Collects lines of a function and fuses neighbouring fixed values."""

    def __init__(self, env: dict[str, Any]) -> None:
        self.env = env
        self.lines: list[str] = []
        self.line_fields: list[str] = []
        self.field = ""
        self._depth = 1
        self._serial = 0
        self._consts: dict[int, str] = {}
        self._fmt_out: list[str] = []
        self._args_out: list[str] = []
        self._fmt_in: list[str] = []
        self._names_in: list[str] = []
        self._after_in: list[tuple[str, str]] = []

    def line(self, text: str) -> None:
        """Adds one statement at the present indentation."""
        self.lines.append("    " * self._depth + text)
        self.line_fields.append(self.field)

    def indent(self) -> None:
        """Goes one level in."""
        self._depth += 1

    def dedent(self) -> None:
        """Goes one level out."""
        self._depth -= 1

    @contextmanager
    def block(self) -> Iterator[None]:
        """The indented body of the statement emitted last."""
        self.indent()
        yield
        self.dedent()

    def fresh(self, prefix: str) -> str:
        """A local name that nothing else uses."""
        self._serial += 1
        return f"{prefix}_{self._serial}"

    def local(self, expr: str) -> str:
        """A local that holds `expr` (itself, if it is a local already)."""
        if expr.isidentifier():
            return expr
        name = self.fresh("v")
        self.line(f"{name} = {expr}")
        return name

    def const(self, value: Any) -> str:
        """A name by which generated code reaches `value`."""
        name = self._consts.get(id(value))
        if name is None:
            name = self._consts[id(value)] = f"c_{len(self._consts)}"
            self.env[name] = value
        return name

    def fixed_out(self, fmt: str, args: list[str]) -> None:
        """Queues fixed values for encoding."""
        self._fmt_out.append(fmt)
        self._args_out += args

    def flush_out(self) -> None:
        """Emits the queued values as one pack."""
        if self._fmt_out:
            pack = self.const(_packer("<" + "".join(self._fmt_out)))
            self.line(f"out += {pack}({', '.join(self._args_out)})")
            self._fmt_out, self._args_out = [], []

    def fixed_in(self, fmt: str, arity: int) -> list[str]:
        """Queues fixed values for decoding; they are in the returned locals after `flush_in`."""
        names = [self.fresh("t") for _ in range(arity)]
        self._fmt_in.append(fmt)
        self._names_in += names
        return names

    def after_fixed(self, target: str, expr: str) -> None:
        """Has `target` set to `expr` once the queued values are read."""
        if expr in self._names_in:
            self._names_in[self._names_in.index(expr)] = target
        else:
            self._after_in.append((target, expr))

    def flush_in(self) -> None:
        """Emits the queued values as one unpack, then what waits for them."""
        if self._fmt_in:
            layout = "<" + "".join(self._fmt_in)
            unpack = self.const(_unpacker(layout))
            comma = "," if len(self._names_in) == 1 else ""
            self.line(f"{', '.join(self._names_in)}{comma} = {unpack}(buf, pos)")
            self.line(f"pos += {_struct.calcsize(layout)}")
            self._fmt_in, self._names_in = [], []
        for target, expr in self._after_in:
            self.line(f"{target} = {expr}")
        self._after_in = []


_structs: dict[str, _struct.Struct] = {}
_bound: dict[tuple[str, str], Any] = {}


def _packer(layout: str) -> Any:
    return _bound.setdefault((layout, "pack"), _struct_of(layout).pack)


def _unpacker(layout: str) -> Any:
    return _bound.setdefault((layout, "unpack"), _struct_of(layout).unpack_from)


def _struct_of(layout: str) -> _struct.Struct:
    return _structs.setdefault(layout, _struct.Struct(layout))
