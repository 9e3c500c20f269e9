from collections.abc import Callable
from typing import Any, Self, TypeAlias

from typing_extensions import Buffer

_Decode: TypeAlias = Callable[[bytes, int, int, int], tuple[Any, int]]

class Names:
    def __new__(cls, hobject: type[Any], ghobject: type[Any], /) -> Self: ...
    def hobjects(self, general: _Decode, /) -> _Decode: ...
    def ghobjects(self, general: _Decode, /) -> _Decode: ...

class Operations:
    def __new__(
        cls,
        names: Names,
        op: type[Any],
        transaction: type[Any],
        coll: type[Any],
        colls: dict[bytes, Any],
        /,
    ) -> Self: ...
    def add(
        self,
        ops: list[Any],
        code: int,
        cid: Any,
        oid: Any,
        offset: int = 0,
        length: int = 0,
        data: Buffer = b"",
        attrs: dict[str, bytes] = ...,
        /,
    ) -> None: ...
    def read(self, data: Buffer, /) -> Any: ...
    def encode(self, transaction: Any, /) -> bytes | None: ...

def in_order(entries: Any, /) -> dict[str, bytes] | None: ...
