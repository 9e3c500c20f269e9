"""Layouts as arithmetic: every byte has one place; cutting knows what of each object stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spirula.client.striper import (
    Layout,
    content_to_objects,
    object_count,
    object_size_at,
    object_to_content,
)
from spirula.errors import InvalidArgument

LAYOUTS = st.builds(
    lambda unit, count, units: Layout(unit, count, unit * units),
    st.integers(1, 5),
    st.integers(1, 4),
    st.integers(1, 4),
)


def byte_by_byte(layout: Layout, size: int) -> list[tuple[int, int]]:
    """Object and place of each byte, dealt out as the layout is told in words."""
    places: list[tuple[int, int]] = []
    first = 0
    while len(places) < size:
        for row in range(layout.object_size // layout.stripe_unit):
            for number in range(layout.stripe_count):
                start = row * layout.stripe_unit
                places += [(first + number, start + at) for at in range(layout.stripe_unit)]
        first += layout.stripe_count
    return places[:size]


@given(LAYOUTS, st.integers(0, 150), st.integers(0, 90))
def test_a_part_of_the_content_is_dealt_out_byte_by_byte(layout, offset, length) -> None:
    places = byte_by_byte(layout, offset + length)[offset:]
    found: dict[int, tuple[int, int]] = {}
    for extent in content_to_objects(layout, offset, length):
        within = extent.offset
        for start, size in extent.buffer_extents:
            for at in range(start, start + size):
                assert at not in found
                found[at] = (extent.object_no, within)
                within += 1
        assert within == extent.offset + extent.length
    assert [found[at] for at in range(length)] == places


@given(LAYOUTS, st.integers(0, 9), st.data())
def test_an_object_knows_which_content_it_holds(layout, number, data) -> None:
    offset = data.draw(st.integers(0, layout.object_size - 1))
    length = data.draw(st.integers(0, layout.object_size - offset))
    held = [
        at
        for start, size in object_to_content(layout, number, offset, length)
        for at in range(start, start + size)
    ]
    assert [layout.place(at) for at in held] == [(number, offset + at) for at in range(length)]


@given(LAYOUTS, st.integers(0, 200))
def test_objects_hold_what_the_content_leaves_them(layout, size) -> None:
    places = byte_by_byte(layout, size)
    count = object_count(layout, size)
    assert count == len({number for number, _ in places})
    for number in range(count + layout.stripe_count):
        held = [within for each, within in places if each == number]
        assert object_size_at(layout, number, size) == max(held, default=-1) + 1


@pytest.mark.parametrize("wrong", [(0, 1, 4), (4, 0, 4), (4, 1, 2), (4, 1, 6)])
def test_layouts_that_do_not_fit_are_refused(wrong: tuple[int, int, int]) -> None:
    with pytest.raises(InvalidArgument):
        Layout(*wrong)
