"""The draw of straw2 buckets and the hash of names: compiled twins give what the others give."""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spirula.crush.vector.tables import NEGATED_LN
from spirula.kernels import names, straw2
from spirula.kernels.hash32 import hash32_3

COMPILER = shutil.which("cc") and Path(sysconfig.get_paths()["include"], "Python.h").exists()
native = pytest.mark.skipif(straw2.IMPLEMENTATION != "native", reason="no compiler: not built")
TWINS = pytest.mark.parametrize(
    "choose",
    [straw2.pure_choose_straw2, pytest.param(straw2.choose_straw2, marks=native)],
    ids=["pure", "native"],
)


def made(seed: int, inputs: int, widest: int, rows: int = 1) -> list[np.ndarray]:
    """Arguments without the last: buckets of 1 to `widest` items, some of no weight."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, widest + 1, 30)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    count = int(sizes.sum())
    weights = rng.choice([0, 1, 0x8000, 0x10000, 0x10000, 0x630000], (rows, count))
    with np.errstate(divide="ignore"):
        inverse = 1.0 / weights
    bucket = rng.integers(0, len(sizes), inputs)
    return [
        rng.integers(0, 1 << 32, inputs, np.uint32),
        rng.integers(0, 60, inputs).astype(np.uint32),
        starts[bucket].astype(np.int64),
        sizes[bucket].astype(np.int64),
        rng.integers(0, rows, inputs),
        rng.integers(0, 1 << 32, count, np.uint32),
        inverse,
        NEGATED_LN,
    ]


def run(choose: straw2.ChooseStraw2, arguments: list[np.ndarray]) -> list[int]:
    chosen = np.full(len(arguments[0]), -1, np.int64)
    choose(*arguments, chosen)
    return chosen.tolist()


def plainly(x, r, offset, size, row, ids, inverse, negated_ln) -> list[int]:
    """The definition, in exact numbers."""
    found = []
    for k in range(len(x)):
        draws = []
        for place in range(offset[k], offset[k] + size[k]):
            draw = hash32_3(int(x[k]), int(ids[place]), int(r[k])) & 0xFFFF
            weight = 0 if np.isinf(inverse[row[k], place]) else round(1 / inverse[row[k], place])
            # 2**60 is more than any quotient
            draws.append(int(negated_ln[draw]) // weight if weight else 1 << 60)
        found.append(int(offset[k]) + draws.index(min(draws)))
    return found


@TWINS
@pytest.mark.parametrize("widest", [1, 7, 8, 20, 64, 65, 200])
@pytest.mark.parametrize("rows", [1, 3])
def test_the_least_quotient_wins_and_the_first_of_equal_ones(choose, widest, rows):
    arguments = made(widest, 100, widest, rows)
    assert run(choose, arguments) == plainly(*arguments)


@native
@given(st.integers(0, 2**32), st.integers(0, 300), st.sampled_from([1, 4, 12, 33, 150]))
def test_the_twins_agree(seed, inputs, widest):
    arguments = made(seed, inputs, widest, 1 + seed % 3)
    assert run(straw2.choose_straw2, arguments) == run(straw2.pure_choose_straw2, arguments)


@native
@pytest.mark.parametrize(
    ("at", "value", "error"),
    [
        (0, np.zeros(4, np.uint32), ValueError),
        (1, np.zeros(5, np.int64), TypeError),
        (1, np.zeros(10, np.uint32)[::2], ValueError),
        (2, np.full(5, -1), ValueError),
        (2, np.full(5, 1 << 62), ValueError),
        (3, np.zeros(5, np.int64), ValueError),
        (3, np.full(5, (1 << 63) - 1), ValueError),
        (4, np.full(5, 1), ValueError),
        (4, np.full(5, -1), ValueError),
        (5, np.zeros(0, np.uint32), ValueError),
        (6, np.zeros((1, 1)), ValueError),
        (7, np.zeros(100), ValueError),
        (7, None, TypeError),
    ],
)
def test_what_would_lead_out_of_the_tables_is_refused(at, value, error):
    arguments = made(1, 5, 9)
    arguments[at] = value
    chosen = np.full(5, -1, np.int64)
    with pytest.raises(error):
        straw2.choose_straw2(*arguments, chosen)
    assert (chosen == -1).all()


@native
def test_the_result_must_be_writable():
    chosen = np.zeros(5, np.int64)
    chosen.flags.writeable = False
    with pytest.raises((BufferError, ValueError)):
        straw2.choose_straw2(*made(1, 5, 9), chosen)


@native
@given(st.binary(max_size=100))
def test_names_hash_alike(name):
    assert names.rjenkins(name) == names.pure_rjenkins(name)


@pytest.mark.skipif(not COMPILER, reason="no compiler, or no headers of Python")
def test_the_native_kernels_are_in_use_here():
    assert straw2.IMPLEMENTATION == names.IMPLEMENTATION == "native"
