"""Names of objects and what a store is to do with one, read and written in a few steps.

Each write names its object in three places and is a transaction on that object, at every OSD. What
nearly all of them look like is for the compiled twin; the code for everything stands where it is
called: `types.hobject`, `types.transaction`. `IMPLEMENTATION` says which twins are in use.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

_native: ModuleType | None
try:
    from spirula.kernels import _transactions

    _native = _transactions
except ImportError:  # no compiler when it was installed: slower, but everything works
    _native = None

if TYPE_CHECKING:
    from typing_extensions import Buffer

IMPLEMENTATION = "pure" if _native is None else "native"

Decode = Callable[[bytes, int, int, int], tuple[Any, int]]
"""What decodes a value from bytes between two positions, for features: it and where it ends."""

_REMEMBERED = 1024
"""Names that are found again by their encoding: a sub-operation has its object three times."""
_ENVELOPE_SINCE = 3


class PureNames:
    """The twin in Python, which leaves the decoding of what it does not remember to others."""

    def __init__(self, hobject: type[Any], ghobject: type[Any], /) -> None:
        pass

    def hobjects(self, general: Decode) -> Decode:
        """A decoder of hobject_t; `general` decodes what is unusual."""
        return _remembering(general)

    def ghobjects(self, general: Decode) -> Decode:
        """A decoder of ghobject_t; `general` decodes what is unusual."""
        return _remembering(general)


def _remembering(decode: Decode) -> Decode:
    """The same, and what was decoded lately is not made anew."""
    known: dict[bytes, Any] = {}

    def remembered(buf: bytes, pos: int, end: int, features: int) -> tuple[Any, int]:
        after = pos + 6 + int.from_bytes(buf[pos + 2 : pos + 6], "little")
        if buf[pos] < _ENVELOPE_SINCE or after > end:
            return decode(buf, pos, end, features)
        raw = buf[pos:after]
        found = known.get(raw)
        if found is None:
            found, _ = decode(buf, pos, end, features)
            if len(known) >= _REMEMBERED:
                known.clear()
            known[raw] = found
        return found, after

    return remembered


class PureOperations:
    """The twin in Python, which leaves reading and writing to others.

    Made of: names, the types of operations, transactions and collections (whose `_raw` is their
    encoding, if that is known), collections by their encodings.
    """

    def __init__(
        self,
        names: Any,
        op: type[Any],
        transaction: type[Any],
        coll: type[Any],
        colls: dict[bytes, Any],
        /,
    ) -> None:
        del names, transaction, coll, colls
        self._op = op

    def add(
        self,
        ops: list[Any],
        code: int,
        cid: Any,
        oid: Any,
        offset: int = 0,
        length: int = 0,
        data: Buffer = b"",
        attrs: dict[str, bytes] | None = None,
        /,
    ) -> None:
        """Appends an operation on an object."""
        op = self._op(code, cid, oid, offset, length, data=data)
        if attrs is not None:
            op.attrs = attrs
        ops.append(op)

    def read(self, data: Buffer, /) -> Any:
        """The transaction in `data`, long writes as views of it; None if it is unusual."""
        del data
        return None

    def encode(self, transaction: Any, /) -> bytes | None:
        """The encoding of a transaction in one piece; None if it is unusual."""
        del transaction
        return None


def pure_in_order(entries: dict[str, bytes]) -> dict[str, bytes] | None:
    """The twin in Python."""
    ordered = sorted(entries, key=_raw)
    return dict(entries) if ordered == list(entries) else None


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


Names: Any = PureNames if _native is None else _native.Names
"""What decodes names: see `PureNames`, which has the same methods."""
Operations: Any = PureOperations if _native is None else _native.Operations
"""What reads, writes and makes operations: see `PureOperations`, which has the same methods."""
in_order: Callable[[Any], dict[str, bytes] | None] = (
    pure_in_order if _native is None else _native.in_order
)
"""A copy of a map whose keys come in the order of their UTF-8; None for any other."""
