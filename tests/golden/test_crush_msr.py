"""Rules of the msr types map as crushtool of 20.2 maps them: maps kept with its answers."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

import numpy as np
import pytest

from spirula.crush.mapper import Mapper
from spirula.crush.vector import VectorMapper
from spirula.crush.wire import CrushWrapper

pytestmark = pytest.mark.golden

KEPT = json.loads(lzma.decompress(Path(__file__).with_name("crush_msr.xz").read_bytes()))
FULL = 0x10000
HOLE = 0x7FFFFFFF


def test_there_is_something_of_everything():
    mappings = [m for kept in KEPT for found in kept["mappings"].values() for m in found]
    rules = [
        rule for kept in KEPT for rule in CrushWrapper.decode(bytes.fromhex(kept["map"])).rules
    ]
    assert len(mappings) > 500
    assert {rule.type for rule in rules if rule} == {4, 5}
    assert {kept["count"] for kept in KEPT} == set(range(1, 13))
    assert sum(HOLE in mapping for mapping in mappings) > 100
    assert sum(not mapping for mapping in mappings) > 20
    assert any(weight not in {0, FULL} for kept in KEPT for weight in kept["weights"])


@pytest.mark.parametrize("part", range(4))
def test_both_mappers_give_what_crushtool_gave(part):
    for number in range(part, len(KEPT), 4):
        kept = KEPT[number]
        encoded = bytes.fromhex(kept["map"])
        crush = CrushWrapper.decode(encoded)
        assert crush.encode() == encoded
        args = crush.choose_args.get(-1, {})
        plain, vector = Mapper(crush, args), VectorMapper(crush, args)
        weights, count = kept["weights"], kept["count"]
        for rule, theirs in kept["mappings"].items():
            ours = [plain.do_rule(int(rule), x, count, weights) for x in range(len(theirs))]
            assert ours == theirs, f"map {number}, rule {rule}"
            many = vector.map_many(int(rule), np.arange(len(theirs)), count, np.array(weights))
            rows = zip(many.values.tolist(), many.length.tolist(), strict=True)
            assert [row[:length] for row, length in rows] == theirs, f"map {number}, rule {rule}"
