"""How a file, an image or a striped object is laid out over objects: arithmetic, nothing else.

Content goes to `stripe_count` objects in turn, `stripe_unit` bytes each, until each of the set has
`object_size` bytes; then comes the next set. Called by `spirula.rados.aio.striper`. Layouts and
their arithmetic are those of upstream's `src/osdc/Striper.cc` and `src/include/fs_types.h`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field

from spirula.errors import InvalidArgument
from spirula.records import dataclass

MIN_STRIPE_UNIT = 65_536
"""Stripe units and object sizes are multiples of it (upstream: CEPH_MIN_STRIPE_UNIT)."""


@dataclass(slots=True, frozen=True)
class Layout:
    """How content is laid out; all in bytes but `stripe_count`. Raises InvalidArgument if it does
    not fit: an object has a whole number of stripe units.
    """

    stripe_unit: int = 4 << 20
    stripe_count: int = 1
    object_size: int = 4 << 20

    def __post_init__(self) -> None:
        if self.stripe_unit < 1 or self.stripe_count < 1:
            raise InvalidArgument("stripe_unit and stripe_count have to be more than 0")
        if self.object_size < self.stripe_unit or self.object_size % self.stripe_unit:
            raise InvalidArgument(
                f"object_size {self.object_size} is not a multiple of stripe_unit"
                f" {self.stripe_unit}"
            )

    @property
    def period(self) -> int:
        """Bytes of content in one set of objects."""
        return self.object_size * self.stripe_count

    def place(self, offset: int) -> tuple[int, int]:
        """The object that holds the byte at `offset` of the content, and where in it."""
        block, within = divmod(offset, self.stripe_unit)
        stripe, in_set = divmod(block, self.stripe_count)
        set_number, row = divmod(stripe, self.object_size // self.stripe_unit)
        return set_number * self.stripe_count + in_set, row * self.stripe_unit + within

    def offset(self, object_no: int, within: int) -> int:
        """Where in the content the byte at `within` of an object stands."""
        set_number, in_set = divmod(object_no, self.stripe_count)
        row, rest = divmod(within, self.stripe_unit)
        stripe = set_number * (self.object_size // self.stripe_unit) + row
        return (stripe * self.stripe_count + in_set) * self.stripe_unit + rest


@dataclass(slots=True)
class ObjectExtent:
    """`length` bytes at `offset` of an object, and where they stand in the buffer of the caller:
    (offset, length) in the order that they have in the object.
    """

    object_no: int
    offset: int
    length: int = 0
    buffer_extents: list[tuple[int, int]] = field(default_factory=list)


def content_to_objects(layout: Layout, offset: int, length: int) -> list[ObjectExtent]:
    """What of which objects makes up a part of the content: one extent per object, by number."""
    found: dict[int, ObjectExtent] = {}
    # With one object at a time a stripe goes on where the last ended: no need to cut there.
    unit = layout.stripe_unit if layout.stripe_count > 1 else layout.object_size
    at, end = offset, offset + length
    while at < end:
        object_no, within = layout.place(at)
        size = min(unit - at % unit, end - at)
        extent = found.setdefault(object_no, ObjectExtent(object_no, within))
        extent.length += size
        extent.buffer_extents.append((at - offset, size))
        at += size
    return [found[object_no] for object_no in sorted(found)]


def object_to_content(
    layout: Layout, object_no: int, offset: int, length: int
) -> Iterator[tuple[int, int]]:
    """Which parts of the content, (offset, length), a part of an object holds."""
    at, end = offset, offset + length
    while at < end:
        size = min(layout.stripe_unit - at % layout.stripe_unit, end - at)
        yield layout.offset(object_no, at), size
        at += size


def object_size_at(layout: Layout, object_no: int, size: int) -> int:
    """How much of an object is content when the content has `size` bytes."""
    whole_sets, rest = divmod(size, layout.period)
    set_number, in_set = divmod(object_no, layout.stripe_count)
    if set_number != whole_sets:
        return layout.object_size if set_number < whole_sets else 0
    rows, in_row = divmod(rest, layout.stripe_unit * layout.stripe_count)
    in_unit = min(max(in_row - in_set * layout.stripe_unit, 0), layout.stripe_unit)
    return rows * layout.stripe_unit + in_unit


def object_count(layout: Layout, size: int) -> int:
    """How many objects content of that size is spread over, those of holes included."""
    whole_sets, rest = divmod(size, layout.period)
    units = -(-rest // layout.stripe_unit)
    return whole_sets * layout.stripe_count + min(units, layout.stripe_count)
