"""The CRUSH map as data: devices, buckets, rules, tunables, names, classes, choose_args.

What the map means is decided elsewhere (the mapper); how it is laid out in bytes, in `wire`.
Upstream: `src/crush/crush.h`, `src/crush/CrushWrapper.h`; the paper is Weil et al., SC 2006.
Weights are 16.16 fixed point: 0x10000 is 1.0. Devices have ids from 0, buckets negative ones.
"""

from __future__ import annotations

from dataclasses import field
from enum import IntEnum

from spirula.records import dataclass


class BucketAlg(IntEnum):
    """How a bucket chooses among its items."""

    UNIFORM = 1
    LIST = 2
    TREE = 3
    STRAW = 4
    STRAW2 = 5


class RuleOp(IntEnum):
    """What a step of a rule does."""

    NOOP = 0
    TAKE = 1
    CHOOSE_FIRSTN = 2
    CHOOSE_INDEP = 3
    EMIT = 4
    CHOOSELEAF_FIRSTN = 6
    CHOOSELEAF_INDEP = 7
    SET_CHOOSE_TRIES = 8
    SET_CHOOSELEAF_TRIES = 9
    SET_CHOOSE_LOCAL_TRIES = 10
    SET_CHOOSE_LOCAL_FALLBACK_TRIES = 11
    SET_CHOOSELEAF_VARY_R = 12
    SET_CHOOSELEAF_STABLE = 13
    SET_MSR_DESCENTS = 14
    SET_MSR_COLLISION_TRIES = 15
    CHOOSE_MSR = 16


@dataclass(slots=True)
class Bucket:
    """An inner node: its items and their weights, and what its algorithm derives from them.

    `item_weights` is parallel to `items` (one number for all of them in a uniform bucket).
    `derived` holds list: sums of weights up to each item; straw: straw lengths; tree: weights of
    all nodes of the binary tree; uniform and straw2: nothing.
    """

    id: int
    type: int
    alg: int
    hash: int = 0
    weight: int = 0
    items: list[int] = field(default_factory=list)
    item_weights: list[int] = field(default_factory=list)
    derived: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Step:
    """One step of a rule: operation and two arguments whose meaning depends on it."""

    op: int
    arg1: int = 0
    arg2: int = 0


@dataclass(slots=True)
class Rule:
    """How to pick devices: steps, and the mask that older releases selected rules by."""

    steps: list[Step] = field(default_factory=list)
    ruleset: int = 0
    type: int = 1
    min_size: int = 1
    max_size: int = 10


@dataclass(slots=True)
class Tunables:
    """Knobs of the mapper. The defaults are what a map without tunables means (`legacy`)."""

    choose_local_tries: int = 2
    choose_local_fallback_tries: int = 5
    choose_total_tries: int = 19
    chooseleaf_descend_once: int = 0
    chooseleaf_vary_r: int = 0
    straw_calc_version: int = 0
    allowed_bucket_algs: int = 1 << BucketAlg.UNIFORM | 1 << BucketAlg.LIST | 1 << BucketAlg.STRAW
    chooseleaf_stable: int = 0
    msr_descents: int = 100
    msr_collision_tries: int = 100


@dataclass(slots=True)
class ChooseArg:
    """Other weights and ids for one bucket: a list of weights for each position, and ids."""

    weight_sets: list[list[int]] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)


@dataclass(slots=True)
class CrushMap:
    """A whole map.

    `buckets[i]` is the bucket with id -1-i, or None; `rules[i]` likewise by rule id.
    `choose_args` maps a pool (or -1, the compat set) to the arguments by bucket index.
    `class_bucket` maps a bucket id to the shadow bucket of each class id.
    """

    buckets: list[Bucket | None] = field(default_factory=list)
    rules: list[Rule | None] = field(default_factory=list)
    max_devices: int = 0
    type_names: dict[int, str] = field(default_factory=dict)
    item_names: dict[int, str] = field(default_factory=dict)
    rule_names: dict[int, str] = field(default_factory=dict)
    tunables: Tunables = field(default_factory=Tunables)
    device_classes: dict[int, int] = field(default_factory=dict)
    class_names: dict[int, str] = field(default_factory=dict)
    class_bucket: dict[int, dict[int, int]] = field(default_factory=dict)
    choose_args: dict[int, dict[int, ChooseArg]] = field(default_factory=dict)
