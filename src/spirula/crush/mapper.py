"""From an input number to devices: the mapping itself, one input at a time, to be read and checked.

`Mapper(map).do_rule(rule, x, count, weights)` is what every client, OSD and monitor must compute
alike. The algorithm is that of the paper (Weil et al., SC 2006) with straw2 and what releases since
have changed behind tunables; upstream `src/crush/mapper.c`. `vector` computes the same for many
inputs at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field

from spirula.crush.knobs import Knobs, knobs_of, set_knob
from spirula.crush.ln import ln_table
from spirula.crush.map import Bucket, BucketAlg, ChooseArg, CrushMap, Rule, RuleOp
from spirula.crush.msr import is_msr, map_msr, parse_msr
from spirula.crush.sound import check_sound
from spirula.kernels.hash32 import hash32_2, hash32_3, hash32_4
from spirula.records import dataclass

ITEM_UNDEF = 0x7FFFFFFE
ITEM_NONE = 0x7FFFFFFF
"""A place for which no device was found (rules that choose `indep`)."""

_FULL = 0x10000
_NO_DRAW = -(1 << 63)
_UNSIGNED = 0xFFFFFFFF


@dataclass(slots=True)
class _Permutation:
    """The order in which a bucket's items are tried for one input, as far as it was needed.

    `first_only`: just the first place was computed, by a shortcut.
    """

    x: int = 0
    known: int = 0
    first_only: bool = False
    order: list[int] = field(default_factory=list)


class Mapper:
    """Maps inputs by a map that does not change meanwhile.

    `choose_args` are other weights and ids by bucket index (see `CrushMap.choose_args`). Loop,
    InvalidArgument and TooLarge for a map that nobody can walk through (see `sound`).
    """

    def __init__(self, crush: CrushMap, choose_args: dict[int, ChooseArg] | None = None) -> None:
        self.crush = crush
        self.choose_args = choose_args or {}
        check_sound(crush, self.choose_args)
        self._buckets = {bucket.id: bucket for bucket in crush.buckets if bucket is not None}
        self._permutations: dict[int, _Permutation] = {}
        # how many searches needed how many tries, counted while this is a list (`crush.tester`)
        self.tries_needed: list[int] | None = None

    # ---------------------------------------------------------------------------------------- rules

    def do_rule(self, number: int, x: int, count: int, weights: Sequence[int]) -> list[int]:
        """The devices for input `x`, at most `count`; ITEM_NONE marks empty places of `indep`
        rules.

        `weights` are the devices' own by id, 0x10000 for fully in, 0 for out. A rule that does not
        exist maps to nothing.
        """
        rules = self.crush.rules
        rule = rules[number] if 0 <= number < len(rules) else None
        if rule is None:
            return []
        self._permutations = {}
        if is_msr(rule):
            return self._do_msr_rule(rule, x, count, weights)
        knobs = knobs_of(self.crush.tunables)
        working: list[int] = []
        result: list[int] = []
        for step in rule.steps:
            match step.op:
                case RuleOp.TAKE:
                    if 0 <= step.arg1 < self.crush.max_devices or step.arg1 in self._buckets:
                        working = [step.arg1]
                case RuleOp.EMIT:
                    result += working[: count - len(result)]
                    working = []
                case (
                    RuleOp.CHOOSE_FIRSTN
                    | RuleOp.CHOOSE_INDEP
                    | RuleOp.CHOOSELEAF_FIRSTN
                    | RuleOp.CHOOSELEAF_INDEP
                ):
                    if working:
                        working = self._choose(
                            step.op, step.arg1, step.arg2, working, x, count, weights, knobs
                        )
                case _:
                    set_knob(knobs, step.op, step.arg1)
        return result

    def _do_msr_rule(self, rule: Rule, x: int, count: int, weights: Sequence[int]) -> list[int]:
        parsed = parse_msr(rule, self.crush.tunables, count)
        if parsed is None:
            return []
        return map_msr(
            parsed,
            self._buckets,
            lambda bucket, position, r: self._pick(bucket, x, r, position),
            lambda device: is_out(weights, device, x),
        )

    def _choose(
        self,
        op: int,
        wanted: int,
        kind: int,
        working: list[int],
        x: int,
        count: int,
        weights: Sequence[int],
        knobs: Knobs,
    ) -> list[int]:
        """One choose step: from each item of the working set, `wanted` items of type `kind`."""
        to_leaf = op in (RuleOp.CHOOSELEAF_FIRSTN, RuleOp.CHOOSELEAF_INDEP)
        firstn = op in (RuleOp.CHOOSE_FIRSTN, RuleOp.CHOOSELEAF_FIRSTN)
        replicas = wanted if wanted > 0 else wanted + count
        chosen: list[int] = []
        if replicas <= 0:
            return chosen
        for item in working:
            bucket = self._buckets.get(item)
            if bucket is None:
                continue
            room = count - len(chosen)
            if firstn:
                if knobs.leaf_tries:
                    leaf_tries = knobs.leaf_tries
                elif self.crush.tunables.chooseleaf_descend_once:
                    leaf_tries = 1
                else:
                    leaf_tries = knobs.tries
                out: list[int] = []
                leaves: list[int] | None = [] if to_leaf else None
                search = _Firstn(self, x, weights, knobs)
                search.choose(bucket, replicas, kind, out, room, knobs.tries, leaf_tries, leaves, 0)
            else:
                size = min(replicas, room)
                out = [ITEM_UNDEF] * size
                leaves = [ITEM_UNDEF] * size if to_leaf else None
                self._choose_indep(
                    bucket,
                    x,
                    weights,
                    replicas,
                    kind,
                    out,
                    range(size),
                    knobs.tries,
                    knobs.leaf_tries or 1,
                    leaves,
                    0,
                )
            chosen += out if leaves is None else leaves[: len(out)]
        return chosen

    # ---------------------------------------------------------------------------------------- indep

    def _choose_indep(
        self,
        start: Bucket,
        x: int,
        weights: Sequence[int],
        replicas: int,
        kind: int,
        out: list[int],
        places: range,
        tries: int,
        leaf_tries: int,
        leaves: list[int] | None,
        parent_r: int,
    ) -> None:
        """Fills `places` of `out`, each by itself: a failure moves none of the others."""
        for place in places:
            out[place] = ITEM_UNDEF
            if leaves is not None:
                leaves[place] = ITEM_UNDEF
        left = len(places)
        attempt = 0
        while left > 0 and attempt < tries:
            for place in places:
                if out[place] != ITEM_UNDEF:
                    continue
                settled = self._try_place(
                    start,
                    x,
                    weights,
                    replicas,
                    kind,
                    out,
                    places,
                    place,
                    attempt,
                    leaf_tries,
                    leaves,
                    parent_r,
                )
                left -= settled
            attempt += 1
        self.count_tries(attempt)
        for place in places:
            if out[place] == ITEM_UNDEF:
                out[place] = ITEM_NONE
            if leaves is not None and leaves[place] == ITEM_UNDEF:
                leaves[place] = ITEM_NONE

    def _try_place(
        self,
        start: Bucket,
        x: int,
        weights: Sequence[int],
        replicas: int,
        kind: int,
        out: list[int],
        places: range,
        place: int,
        attempt: int,
        leaf_tries: int,
        leaves: list[int] | None,
        parent_r: int,
    ) -> bool:
        """One attempt at one place; True when it is settled, for better or worse."""
        bucket = start
        while bucket.items:
            r = place + parent_r
            if bucket.alg == BucketAlg.UNIFORM and len(bucket.items) % replicas == 0:
                r += (replicas + 1) * attempt
            else:
                r += replicas * attempt
            item = self._pick(bucket, x, r, places[0])
            lower = self._buckets.get(item)
            if item >= self.crush.max_devices or (lower is None and (item < 0 or kind != 0)):
                out[place] = ITEM_NONE
                if leaves is not None:
                    leaves[place] = ITEM_NONE
                return True
            if lower is not None and lower.type != kind:
                bucket = lower
                continue
            if any(out[other] == item for other in places):
                return False
            if leaves is not None:
                if lower is None:
                    leaves[place] = item
                else:
                    below = range(place, place + 1)
                    self._choose_indep(
                        lower, x, weights, replicas, 0, leaves, below, leaf_tries, 0, None, r
                    )
                    if leaves[place] == ITEM_NONE:
                        return False
            if kind == 0 and is_out(weights, item, x):
                return False
            out[place] = item
            return True
        return False

    def count_tries(self, failures: int) -> None:
        """Note that a search ended after so many failures."""
        if self.tries_needed is not None and failures < len(self.tries_needed):
            self.tries_needed[failures] += 1

    # -------------------------------------------------------------------------------------- buckets

    def _pick(self, bucket: Bucket, x: int, r: int, position: int) -> int:
        """The item of the bucket for input `x` and attempt `r`."""
        match bucket.alg:
            case BucketAlg.STRAW2:
                return self._pick_straw2(bucket, x, r, position)
            case BucketAlg.UNIFORM:
                return self._pick_permuted(bucket, x, r)
            case BucketAlg.LIST:
                return _pick_list(bucket, x, r)
            case BucketAlg.TREE:
                return _pick_tree(bucket, x, r)
            case BucketAlg.STRAW:
                return _pick_straw(bucket, x, r)
            case _:
                return bucket.items[0]

    def _pick_straw2(self, bucket: Bucket, x: int, r: int, position: int) -> int:
        weights, ids = bucket.item_weights, bucket.items
        arg = self.choose_args.get(-1 - bucket.id)
        if arg is not None:
            if arg.weight_sets:
                weights = arg.weight_sets[min(position, len(arg.weight_sets) - 1)]
            ids = arg.ids or ids
        ln = ln_table()
        best, high = 0, _NO_DRAW
        for index, weight in enumerate(weights):
            # rounds towards zero, as C does; the logarithm is never positive
            draw = -(-ln[hash32_3(x, ids[index], r) & 0xFFFF] // weight) if weight else _NO_DRAW
            if draw > high:
                best, high = index, draw
        return bucket.items[best]

    def _pick_permuted(self, bucket: Bucket, x: int, r: int) -> int:
        """The item at place `r` of a random order of the items that depends on `x`."""
        size = len(bucket.items)
        place = (r & _UNSIGNED) % size
        p = self._permutations.setdefault(bucket.id, _Permutation())
        if p.x != x & _UNSIGNED or not (p.known or p.first_only):
            p.x = x & _UNSIGNED
            if place == 0:
                p.order = [hash32_3(x, bucket.id, 0) % size]
                p.first_only, p.known = True, 0
                return bucket.items[p.order[0]]
            p.order, p.first_only, p.known = list(range(size)), False, 0
        elif p.first_only:
            first = p.order[0]
            p.order = list(range(size))
            p.order[0], p.order[first] = first, 0
            p.first_only, p.known = False, 1
        while p.known <= place:
            if p.known < size - 1:
                other = p.known + hash32_3(x, bucket.id, p.known) % (size - p.known)
                p.order[p.known], p.order[other] = p.order[other], p.order[p.known]
            p.known += 1
        return bucket.items[p.order[place]]


def is_out(weights: Sequence[int], item: int, x: int) -> bool:
    """Whether a device refuses this input: always at weight 0, never at 0x10000, else by chance."""
    weight = weights[item] if item < len(weights) else 0
    if weight >= _FULL:
        return False
    return weight == 0 or hash32_2(x, item) & 0xFFFF >= weight


def _pick_list(bucket: Bucket, x: int, r: int) -> int:
    """From the newest item down: each is taken with its share of the weight up to it."""
    for index in range(len(bucket.items) - 1, -1, -1):
        draw = hash32_4(x, bucket.items[index], r, bucket.id) & 0xFFFF
        if draw * bucket.derived[index] >> 16 < bucket.item_weights[index]:
            return bucket.items[index]
    return bucket.items[0]


def _pick_tree(bucket: Bucket, x: int, r: int) -> int:
    """Down a binary tree of weights; leaves have odd numbers, the others as many zeros as height.

    Where nothing below a node has any weight this leads past the last item, to which it is brought
    back (upstream reads what lies behind its array).
    """
    nodes = bucket.derived
    node = len(nodes) >> 1
    while not node & 1:
        draw = hash32_4(x, node, r, bucket.id) * nodes[node] >> 32
        half = (node & -node) >> 1
        node += -half if draw < nodes[node - half] else half
    return bucket.items[min(node >> 1, len(bucket.items) - 1)]


def _pick_straw(bucket: Bucket, x: int, r: int) -> int:
    """The longest straw."""
    best, high = 0, -1
    for index, item in enumerate(bucket.items):
        draw = (hash32_3(x, item, r) & 0xFFFF) * bucket.derived[index]
        if draw > high:
            best, high = index, draw
    return bucket.items[best]


class _Firstn:
    """The search for the first n items that fit: a failure moves up those behind it."""

    def __init__(self, mapper: Mapper, x: int, weights: Sequence[int], knobs: Knobs) -> None:
        self.mapper, self.x, self.weights, self.knobs = mapper, x, weights, knobs

    def choose(
        self,
        start: Bucket,
        replicas: int,
        kind: int,
        out: list[int],
        room: int,
        tries: int,
        leaf_tries: int,
        leaves: list[int] | None,
        parent_r: int,
        first: int = 0,
    ) -> None:
        """Appends to `out` items of type `kind` below `start`, and to `leaves` a device of each.

        Replica numbers run from `first` to below `replicas`; at most `room` items are appended.
        """
        for replica in range(first, replicas):
            if room <= 0:
                return
            item = self._one(start, replica + parent_r, kind, out, tries, leaf_tries, leaves)
            if item is not None:
                out.append(item)
                room -= 1

    def _one(
        self,
        start: Bucket,
        r0: int,
        kind: int,
        out: list[int],
        tries: int,
        leaf_tries: int,
        leaves: list[int] | None,
    ) -> int | None:
        """One item, or None when the tries are used up or the map leads nowhere."""
        knobs, mapper = self.knobs, self.mapper
        failures = 0
        while True:  # a descent from the start
            bucket, local = start, 0
            while True:  # a choice in one bucket
                item, collides, fits = 0, False, False
                r = r0 + failures
                if bucket.items:
                    fallback = knobs.local_fallback_tries
                    if 0 < fallback < local and local >= len(bucket.items) >> 1:
                        item = mapper._pick_permuted(bucket, self.x, r)
                    else:
                        item = mapper._pick(bucket, self.x, r, len(out))
                    lower = mapper._buckets.get(item)
                    if item >= mapper.crush.max_devices or (item < 0 and lower is None):
                        return None
                    if (0 if lower is None else lower.type) != kind:
                        if lower is None:
                            return None
                        bucket = lower
                        continue
                    collides = item in out
                    fits = not collides and self._leaf_fits(lower, item, r, out, leaf_tries, leaves)
                    fits = fits and (kind != 0 or not is_out(self.weights, item, self.x))
                if fits:
                    mapper.count_tries(failures)
                    return item
                failures += 1
                local += 1
                if collides and local <= knobs.local_tries:
                    continue
                fallback = knobs.local_fallback_tries
                if fallback > 0 and local <= len(bucket.items) + fallback:
                    continue
                if failures < tries:
                    break
                return None

    def _leaf_fits(
        self,
        lower: Bucket | None,
        item: int,
        r: int,
        out: list[int],
        leaf_tries: int,
        leaves: list[int] | None,
    ) -> bool:
        """Whether a device can be had below an item, where one is wanted; it joins `leaves`."""
        if leaves is None:
            return True
        del leaves[len(out) :]
        if lower is None:
            leaves.append(item)
            return True
        vary_r = self.knobs.vary_r
        parent_r = r >> (vary_r - 1) if vary_r else 0
        stable = self.knobs.stable
        first, replicas = (0, 1) if stable else (len(out), len(out) + 1)
        self.choose(lower, replicas, 0, leaves, 1, leaf_tries, 0, None, parent_r, first)
        return len(leaves) > len(out)
