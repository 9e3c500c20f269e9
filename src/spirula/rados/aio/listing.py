"""Listing a pool's objects: in the order of their hashes, from a cursor on, across all PGs.

A listing goes on unharmed while PGs split or move. `Ioctx.list_objects` and its kin call this.
Behaviour follows upstream `Objecter::enumerate_objects` (`src/osdc/Objecter.cc`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import field
from functools import total_ordering
from typing import TYPE_CHECKING, NamedTuple, Self

from spirula.rados.errors import InvalidArgumentError, make_error
from spirula.records import dataclass
from spirula.types.hobject import HMAX, HObject, reverse_bits
from spirula.types.listing import PGNLSResponse
from spirula.types.osd_op import ListArgs, OpCode, OSDOp
from spirula.types.osd_op_payload import ListInput

if TYPE_CHECKING:
    from spirula.rados.aio.ioctx import Ioctx

PAGE = 1024
"""Objects that are asked for at once."""
_ALL_HASHES = 1 << 32


class ListedObject(NamedTuple):
    """An object of a listing; `locator` is its key, empty where its name placed it."""

    oid: str
    nspace: str
    locator: str


@total_ordering
@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in the order of a pool's objects. `str` and `parse` keep one for later."""

    place: HObject = field(default_factory=lambda: HMAX)

    @classmethod
    def parse(cls, text: str) -> Self:
        """What `str` gave. Raises InvalidArgumentError."""
        try:
            return cls(HObject.parse(text))
        except ValueError as error:
            raise InvalidArgumentError(str(error), errno=22) from error

    @property
    def is_end(self) -> bool:
        """Whether there is nothing behind it."""
        return self.place.max

    def __lt__(self, other: Cursor) -> bool:
        return self.place < other.place

    def __str__(self) -> str:
        return str(self.place)


def begin_of(pool: int) -> Cursor:
    """The place before all objects of a pool."""
    return Cursor(HObject("", "", 0, 0, False, "", pool))


def split(pool: int, begin: Cursor, end: Cursor, part: int, parts: int) -> tuple[Cursor, Cursor]:
    """Part number `part` of `parts` about equal ones, as a pair of cursors (see `list_objects`).

    InvalidArgumentError where there is no such part.
    """
    if not 0 <= part < parts:
        raise InvalidArgumentError(f"part {part} of {parts}", errno=22)
    first = begin.place.bitwise_key
    whole = end.place.bitwise_key - first

    def at(number: int) -> Cursor:
        if number == 0:
            return begin
        if number == parts:
            return end
        key = first + whole * number // parts
        return Cursor(HObject("", "", 0, reverse_bits(key), False, "", pool))

    return at(part), at(part + 1)


async def list_page(
    ioctx: Ioctx, begin: Cursor, end: Cursor, limit: int
) -> tuple[list[ListedObject], Cursor]:
    """Up to `limit` objects from `begin` on, before `end`, and where to go on."""
    found: list[ListedObject] = []
    place = begin.place
    while place < end.place and len(found) < limit:
        op = OSDOp.make(OpCode.PGNLS, ListArgs(limit - len(found), 0), ListInput(place).encode())
        outcome = await ioctx.operate_pg(place.hash, [op])
        if outcome.result < 0:
            raise make_error(outcome.result, f"error listing the objects of {ioctx.name}")
        answer = PGNLSResponse.decode(bytes(outcome.ops[0].outdata))
        for entry in answer.entries:
            listed = ListedObject(entry.oid, entry.nspace, entry.locator)
            if end.is_end or ioctx.place_of(listed) < end:
                found.append(listed)
        place = answer.handle
    return found, Cursor(place) if place < end.place else end


async def list_objects(ioctx: Ioctx, begin: Cursor, end: Cursor) -> AsyncIterator[ListedObject]:
    """All objects from `begin` on, before `end`."""
    while begin < end:
        page, begin = await list_page(ioctx, begin, end, PAGE)
        for listed in page:
            yield listed
