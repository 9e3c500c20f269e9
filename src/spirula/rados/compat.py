"""What upstream's module has beside its classes, because programs came to use it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Self

from spirula.rados.ops import ReadOp, WriteOp


class OpCtx:
    """A vector of operations as a context manager: emptied at the end."""

    def __enter__(self) -> Self:
        return self.create()  # type: ignore[attr-defined,no-any-return]  # mixed in below

    def __exit__(
        self,
        type: type[BaseException] | None,
        msg: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()  # type: ignore[attr-defined]  # mixed in below


class WriteOpCtx(WriteOp, OpCtx):
    """`with WriteOpCtx() as write_op`."""


class ReadOpCtx(ReadOp, OpCtx):
    """`with ReadOpCtx() as read_op`."""


def cstr(
    val: str | bytes | None, name: str, encoding: str = "utf-8", opt: bool = False
) -> bytes | None:
    """Text as bytes; TypeError where it is no text, unless `opt` and it is None."""
    if opt and val is None:
        return None
    if isinstance(val, bytes):
        return val
    if isinstance(val, str):
        return val.encode(encoding)
    raise TypeError(f"{name} must be a string")


def cstr_list(list_str: Iterable[str], name: str, encoding: str = "utf-8") -> list[bytes | None]:
    """Texts as bytes."""
    return [cstr(each, name, encoding) for each in list_str]


def decode_cstr(val: bytes | None, encoding: str = "utf-8") -> str | None:
    """Bytes as text; None stays None."""
    return None if val is None else val.decode(encoding)


def flatten_dict(d: Mapping[str, str], name: str) -> bytes:
    """Keys and values, each ended by a zero byte, with one more at the end."""
    parts = [part.encode() for item in d.items() for part in item]
    return b"\0".join([*parts, b""]) + b"\0"
