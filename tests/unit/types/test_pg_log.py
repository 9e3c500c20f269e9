"""Log entries of the usual form: read in one step, and lighter in memory than they look."""

from __future__ import annotations

import copy

import pytest

from spirula.errors import WireError
from spirula.types.base import EVersion, UTime
from spirula.types.entity import EntityName
from spirula.types.hobject import HObject
from spirula.types.interval_set import IntervalSet
from spirula.types.object_info import OSDReqId
from spirula.types.pg_log import ALL_BYTES, LogOp, LogOpReturn, ModStep, PGLogEntry


def entry_of(op=LogOp.MODIFY, **fields):
    made = PGLogEntry(
        *(op, HObject.of(2, "name", 0x1234), EVersion(77, 12), EVersion(70, 11)),
        reqid=OSDReqId(EntityName(8, 4123), 99, 1),
        mtime=UTime(5, 6),
        user_version=75,
    )
    made.mod_desc.mark_unrollbackable()
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def unusual():
    with_step = entry_of()
    with_step.mod_desc.can_local_rollback = True
    with_step.mod_desc.add(ModStep(1, 5))
    return [
        entry_of(LogOp.CLONE, snaps=bytes(8)),
        entry_of(LogOp.ERROR, return_code=-2),
        entry_of(LogOp.LOST_REVERT, reverting_to=EVersion(3, 2)),
        entry_of(extra_reqids=[(OSDReqId(EntityName(8, 1), 2, 0), 7)]),
        entry_of(op_returns=[LogOpReturn(3, b"answer")]),
        with_step,
    ]


def usual():
    ranges = [], [(0, 4096)], [(4096, 4096), (1 << 20, 10)], [(0, ALL_BYTES)]
    found = [entry_of(LogOp.DELETE, return_code=5)]
    for dirty in ranges:
        made = entry_of()
        for offset, length in dirty:
            made.clean_regions.mark_data_dirty(offset, length)
        found.append(made)
    return found


@pytest.mark.parametrize(
    "entry", [pytest.param(each, id=str(at)) for at, each in enumerate(usual() + unusual())]
)
def test_what_is_read_is_what_was_written(entry):
    raw = entry.encode()
    read = PGLogEntry.decode(raw)
    assert read.encode() == raw
    assert read == entry
    assert read.plain() == entry.plain()
    assert copy.copy(read) == entry
    entry.settle()
    assert entry.encode() == raw
    assert entry == read


def test_parts_that_were_given_up_can_be_changed_again():
    read = PGLogEntry.decode(entry_of().encode())
    read.clean_regions.mark_data_dirty(0, 10)
    assert read.clean_regions.dirty_regions() == IntervalSet([(0, 10)])
    other = PGLogEntry.decode(entry_of().encode())
    assert not other.clean_regions.dirty_regions()


def test_nothing_else_is_made_up():
    read = PGLogEntry.decode(entry_of().encode())
    with pytest.raises(AttributeError, match="no 'colour'"):
        read.colour  # noqa: B018 - that it is looked at is the test


@pytest.mark.parametrize("at", range(2, 240, 3))
def test_damage_is_an_error_or_another_entry(at):
    raw = bytearray(usual()[3].encode())
    if at >= len(raw):
        return
    raw[at] ^= 0x81
    try:
        read = PGLogEntry.decode(bytes(raw))
    except WireError:
        return
    again = PGLogEntry.decode(read.encode())
    assert again == read
