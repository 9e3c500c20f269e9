"""Placement groups: names, splitting and merging, which objects are whose."""

from __future__ import annotations

import random
import struct
from itertools import pairwise

import pytest

from spirula.errors import WireError
from spirula.types.hobject import HMAX, HObject
from spirula.types.pg import (
    Coll,
    PGId,
    PGState,
    SPGId,
    pg_state_of,
    pg_state_text,
    stable_mod,
)


@pytest.mark.parametrize("text", ["1.0", "1.2f", "12.ffffffff"])
def test_names_are_read_back(text: str) -> None:
    assert str(PGId.parse(text)) == text
    assert str(SPGId.parse(text)) == text
    assert str(SPGId.parse(text + "s11")) == text + "s11"


@pytest.mark.parametrize("text", ["", "1", "1.g", "1.2s", "1.2s0", "-1.0"])
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(ValueError, match="is not a placement group"):
        PGId.parse(text)


@pytest.mark.parametrize("old", [1, 2, 3, 4, 6, 8, 12, 16, 31])
@pytest.mark.parametrize("new", [1, 2, 4, 5, 8, 13, 16, 32, 64])
def test_splits_and_merges_agree_with_where_objects_go(old: int, new: int) -> None:
    for seed in range(old):
        pgid = PGId(1, seed)
        moved = {s for s in range(old, new) if stable_mod(s, old) == seed}
        assert {child.seed for child in pgid.children(old, new)} == moved
        for child in pgid.children(old, new):
            assert child.ancestor(old) == pgid
    for seed in range(old):
        target = PGId(1, seed).merge_target(old, new)
        if seed < new:
            assert target is None
        else:
            assert target == PGId(1, stable_mod(seed, new))


@pytest.mark.parametrize("pg_num", [1, 2, 3, 5, 8, 12, 16])
def test_every_object_is_in_one_pg_and_in_its_range(pg_num: int) -> None:
    rng = random.Random(pg_num)
    groups = [PGId(4, seed) for seed in range(pg_num)]
    for _ in range(200):
        hobj = HObject.of(4, "o", rng.getrandbits(32))
        owners = [pg for pg in groups if pg.contains(pg.split_bits(pg_num), hobj)]
        assert [pg.seed for pg in owners] == [stable_mod(hobj.hash, pg_num)]
        for pg in groups:
            inside = pg.first_object() <= hobj < pg.end_object(pg_num)
            assert inside == (pg in owners)


def test_ranges_leave_no_gap() -> None:
    groups = sorted((PGId(4, seed) for seed in range(6)), key=lambda pg: pg.first_object())
    for one, two in pairwise(groups):
        assert one.end_object(6).hash == two.seed
    assert groups[-1].end_object(6) == HMAX


def test_the_first_pg_has_no_parent() -> None:
    assert PGId(1, 6).parent() == PGId(1, 2)
    with pytest.raises(ValueError, match="not split"):
        PGId(1, 0).parent()


@pytest.mark.parametrize("text", ["meta", "1.2f_head", "1.2fs3_head", "1.2f_TEMP"])
def test_collections_are_read_back(text: str) -> None:
    coll = Coll.parse(text)
    assert str(coll) == text
    assert Coll.decode(coll.encode(), exact=True) == coll


def test_collections_of_old_and_unknown_versions() -> None:
    pgid = SPGId(PGId(1, 2))
    assert Coll.decode(b"\x01" + pgid.encode() + bytes(8)) == Coll.of(pgid)
    assert Coll.decode(b"\x01" + SPGId(PGId()).encode() + bytes(8)).is_meta
    text = b"1.2_what"
    for data in (
        b"\x04",
        b"\x02\x09" + pgid.encode() + bytes(8),
        struct.pack("<BI", 3, len(text)) + text,
        struct.pack("<BI", 3, 1 << 30),
    ):
        with pytest.raises(WireError):
            Coll.decode(data)


def test_collections_are_keys() -> None:
    pgid = SPGId(PGId(1, 2))
    assert len({Coll(), Coll(0, pgid), Coll.of(pgid), Coll.of(pgid).temp()}) == 3
    assert min(Coll.of(pgid), Coll()).is_meta


def test_states_print_in_upstreams_order() -> None:
    state = PGState.CLEAN | PGState.ACTIVE | PGState.SCRUBBING | PGState.DEEP_SCRUB
    assert pg_state_text(state) == "active+clean+scrubbing+deep"
    assert pg_state_of("active+clean+scrubbing+deep") == state
    assert pg_state_text(0) == "unknown"
    assert pg_state_of("unknown") == 0
