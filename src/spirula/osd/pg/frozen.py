"""Values as they are now, encoded at once, for messages that leave later.

A message is encoded when its connection writes it; what changes until then must not be told. And
what goes to several OSDs is encoded once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

from spirula.denc.features import PACIFIC

if TYPE_CHECKING:
    from spirula.denc import Struct

_T = TypeVar("_T", bound="Struct")


class _Frozen:
    """An encoded value in the place of the value."""

    __slots__ = ("raw",)

    def __init__(self, raw: bytes) -> None:
        self.raw = raw

    def _enc(self, out: bytearray, features: int) -> None:
        del features
        out += self.raw


def frozen(value: _T) -> _T:
    """Stands for `value` in one message or several; it can be encoded and nothing else."""
    return cast("_T", _Frozen(value.encode(PACIFIC)))
