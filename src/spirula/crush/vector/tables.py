"""A CRUSH map laid out in arrays: buckets by index, their items end to end.

Made once per map by `VectorMapper`. A bucket's index is -1 - id. Positions past a bucket's last
item point at a pad that never wins a draw.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spirula.crush.ln import ln_table
from spirula.crush.map import BucketAlg, ChooseArg, CrushMap

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]

NEGATED_LN: F64 = 0.25 - np.array(ln_table(), np.float64)
"""Minus the logarithm for each 16-bit draw, plus a quarter.

Times 1 / weight and rounded down this is the quotient that straw2 compares, exactly: the logarithm
is below 2**48 and a quotient that is no integer misses the next one by at least 1 / weight, while
the quarter keeps the two roundings (at most 2**-4 / weight together) from falling below one that
is.
"""


@dataclass(slots=True)
class Tables:
    """The arrays. `inverse[p]` is 1 / weight for position p of the result, infinite for 0."""

    alg: I64
    kind: I64
    size: I64
    offset: I64
    exists: NDArray[np.bool_]
    items: I64
    ids: NDArray[np.uint32]
    inverse: F64
    weights: NDArray[np.uint64]
    derived: NDArray[np.uint64]
    derived_offset: I64
    nodes: I64
    pad: int
    max_devices: int


def make_tables(crush: CrushMap, choose_args: dict[int, ChooseArg]) -> Tables:
    """The arrays for a map and other weights and ids by bucket index."""
    count = len(crush.buckets)
    alg, kind, size = (np.zeros(count, np.int64) for _ in range(3))
    offset, derived_offset, nodes = (np.zeros(count, np.int64) for _ in range(3))
    exists = np.zeros(count, np.bool_)
    items: list[int] = []
    ids: list[int] = []
    weights: list[int] = []
    derived: list[int] = []
    positions = max((len(a.weight_sets) for a in choose_args.values()), default=0) or 1
    by_position: list[list[int]] = [[] for _ in range(positions)]
    for index, bucket in enumerate(crush.buckets):
        if bucket is None:
            continue
        exists[index] = True
        alg[index], kind[index], size[index] = bucket.alg, bucket.type, len(bucket.items)
        offset[index], derived_offset[index] = len(items), len(derived)
        nodes[index] = len(bucket.derived)
        arg = choose_args.get(index, ChooseArg()) if bucket.alg == BucketAlg.STRAW2 else ChooseArg()
        items += bucket.items
        ids += arg.ids or bucket.items
        own = bucket.item_weights
        if len(own) != len(bucket.items):
            own = own[:1] * len(bucket.items) if own else [0] * len(bucket.items)
        weights += own
        derived += bucket.derived
        for position in range(positions):
            sets = arg.weight_sets
            by_position[position] += sets[min(position, len(sets) - 1)] if sets else own
    pad = len(items)
    with np.errstate(divide="ignore"):
        inverse = 1.0 / np.array([[*column, 0] for column in by_position], np.float64)
    return Tables(
        alg,
        kind,
        size,
        offset,
        exists,
        np.array([*items, 0], np.int64),
        np.array([*ids, 0], np.int64).astype(np.uint32),
        inverse,
        np.array([*weights, 0], np.uint64),
        np.array([*derived, 0], np.uint64),
        derived_offset,
        nodes,
        pad,
        crush.max_devices,
    )
