"""Walks rules for many inputs at once.

Each array has an element (or a row) for each input; `rows` are the inputs that are still looked
for. The steps are those of `spirula.crush.mapper`, which is the one to read first.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spirula.crush.knobs import Knobs, knobs_of, set_knob
from spirula.crush.map import BucketAlg, ChooseArg, CrushMap, Rule, RuleOp, Step
from spirula.crush.mapper import ITEM_NONE, ITEM_UNDEF
from spirula.crush.msr import is_msr, parse_msr
from spirula.crush.sound import check_sound
from spirula.crush.vector.choose import Chooser
from spirula.crush.vector.msr import MsrSearch
from spirula.crush.vector.tables import I64, make_tables
from spirula.kernels.jenkins import U32

_FULL = 0x10000
_SLICE = 65_536


@dataclass(slots=True)
class Items:
    """A list of items for each input: the first `length` of a row of `values` count."""

    values: I64
    length: I64


class VectorMapper:
    """Maps inputs by a map that does not change meanwhile; may be used by several threads."""

    def __init__(self, crush: CrushMap, choose_args: dict[int, ChooseArg] | None = None) -> None:
        self.crush = crush
        check_sound(crush, choose_args or {})
        self.tables = make_tables(crush, choose_args or {})

    def map_many(
        self,
        rule: int,
        xs: NDArray[np.integer],
        count: int,
        weights: NDArray[np.integer],
        *,
        threads: int = 1,
    ) -> Items:
        """The devices of each input, at most `count`; see `Mapper.do_rule`.

        `weights` are the devices' own by id, 0x10000 for fully in. Past its length a row of the
        result is ITEM_NONE.
        """
        inputs = np.asarray(xs).astype(np.int64).astype(np.uint32)
        known = np.zeros(max(self.tables.max_devices, len(weights)), np.int64)
        known[: len(weights)] = weights
        slices = [inputs[at : at + _SLICE] for at in range(0, len(inputs), _SLICE)]
        if threads > 1 and len(slices) > 1:
            with ThreadPoolExecutor(threads) as pool:
                found = list(pool.map(lambda x: _Walk(self, x, known).run(rule, count), slices))
        else:
            found = [_Walk(self, x, known).run(rule, count) for x in slices]
        if not found:
            return Items(np.empty((0, count), np.int64), np.empty(0, np.int64))
        values = np.concatenate([items.values for items in found])
        return Items(values, np.concatenate([items.length for items in found]))


class _Walk:
    """One rule for one slice of inputs."""

    def __init__(self, mapper: VectorMapper, x: U32, weights: I64) -> None:
        self.crush, self.t = mapper.crush, mapper.tables
        self.chooser = Chooser(self.t)
        self.x, self.weights = x, weights
        self.all = np.arange(len(x))

    def run(self, number: int, count: int) -> Items:
        """The result of the rule, at most `count` items for each input."""
        result = self._empty(count)
        rules = self.crush.rules
        rule = rules[number] if 0 <= number < len(rules) else None
        if rule is None:
            return result
        if is_msr(rule):
            return self._run_msr(rule, count)
        knobs = knobs_of(self.crush.tunables)
        working = self._empty(0)
        for step in rule.steps:
            match step.op:
                case RuleOp.TAKE:
                    index = -1 - step.arg1
                    bucket = 0 <= index < len(self.t.exists) and bool(self.t.exists[index])
                    if bucket or 0 <= step.arg1 < self.t.max_devices:
                        values = np.full((len(self.x), 1), step.arg1, np.int64)
                        working = Items(values, np.ones(len(self.x), np.int64))
                case RuleOp.EMIT:
                    self._append(result, working)
                    working = self._empty(0)
                case (
                    RuleOp.CHOOSE_FIRSTN
                    | RuleOp.CHOOSE_INDEP
                    | RuleOp.CHOOSELEAF_FIRSTN
                    | RuleOp.CHOOSELEAF_INDEP
                ):
                    if working.values.shape[1]:
                        working = self._choose(step, working, count, knobs)
                case _:
                    set_knob(knobs, step.op, step.arg1)
        return result

    def _run_msr(self, rule: Rule, count: int) -> Items:
        parsed = parse_msr(rule, self.crush.tunables, count)
        if parsed is None:
            return self._empty(count)
        search = MsrSearch(parsed, self.chooser, self.x, self._is_out)
        search.run()
        length = search.found if parsed.firstn else np.full(len(self.x), count)
        return Items(search.values, length)

    def _empty(self, width: int) -> Items:
        values = np.full((len(self.x), width), ITEM_NONE, np.int64)
        return Items(values, np.zeros(len(self.x), np.int64))

    @staticmethod
    def _append(to: Items, more: Items) -> None:
        """Appends as many items to each row as fit."""
        room = to.values.shape[1]
        for column in range(more.values.shape[1]):
            rows = np.flatnonzero((more.length > column) & (to.length < room))
            to.values[rows, to.length[rows]] = more.values[rows, column]
            to.length[rows] += 1

    def _choose(self, step: Step, working: Items, count: int, knobs: Knobs) -> Items:
        to_leaf = step.op in (RuleOp.CHOOSELEAF_FIRSTN, RuleOp.CHOOSELEAF_INDEP)
        firstn = step.op in (RuleOp.CHOOSE_FIRSTN, RuleOp.CHOOSELEAF_FIRSTN)
        replicas = step.arg1 if step.arg1 > 0 else step.arg1 + count
        chosen = self._empty(count)
        if replicas <= 0:
            return chosen
        for column in range(working.values.shape[1]):
            index = -1 - working.values[:, column]
            valid = (working.length > column) & (index >= 0) & (index < len(self.t.exists))
            valid[valid] = self.t.exists[index[valid]]
            rows = np.flatnonzero(valid)
            if not len(rows):
                continue
            room = count - chosen.length[rows]
            if firstn:
                block = self._firstn(rows, index[rows], replicas, room, step.arg2, knobs, to_leaf)
            else:
                block = self._indep(rows, index[rows], replicas, room, step.arg2, knobs, to_leaf)
            self._append(chosen, block)
        return chosen

    # --------------------------------------------------------------------------------------- firstn

    def _firstn(
        self,
        rows: I64,
        start: I64,
        replicas: int,
        room: I64,
        kind: int,
        knobs: Knobs,
        to_leaf: bool,
    ) -> Items:
        width = int(min(replicas, room.max(initial=0)))
        out, leaves = self._empty(width), self._empty(width)
        leaf_tries = knobs.leaf_tries or (
            1 if self.crush.tunables.chooseleaf_descend_once else knobs.tries
        )
        position = np.zeros(len(self.x), np.int64)
        starts = np.zeros(len(self.x), np.int64)
        starts[rows] = start
        limit = np.zeros(len(self.x), np.int64)
        limit[rows] = room
        for replica in range(replicas):
            seeking = rows[position[rows] < limit[rows]]
            if not len(seeking):
                break
            r = np.full(len(seeking), replica, np.int64)
            found, leaf = self._one(
                seeking,
                starts[seeking],
                r,
                position[seeking],
                kind,
                out.values,
                leaves.values if to_leaf else None,
                knobs.tries,
                leaf_tries,
                knobs,
            )
            good = found != ITEM_NONE
            hit = seeking[good]
            out.values[hit, position[hit]] = found[good]
            leaves.values[hit, position[hit]] = leaf[good]
            position[hit] += 1
        out.length = leaves.length = position
        return leaves if to_leaf else out

    def _one(
        self,
        rows: I64,
        start: I64,
        r0: I64,
        position: I64,
        kind: int,
        taken: I64,
        leaves: I64 | None,
        tries: int,
        leaf_tries: int,
        knobs: Knobs,
    ) -> tuple[I64, I64]:
        """One item of that kind for each of `rows`, and a device below it; ITEM_NONE for none."""
        found = np.full(len(rows), ITEM_NONE, np.int64)
        leaf = np.full(len(rows), ITEM_NONE, np.int64)
        bucket, failures, local = start.copy(), np.zeros_like(start), np.zeros_like(start)
        live = np.arange(len(rows))
        while len(live):
            b, r = bucket[live], r0[live] + failures[live]
            item = self._pick(rows[live], b, r, position[live], local[live], knobs)
            filled = self.t.size[b] > 0
            lower, item_kind = self._lower(item)
            bad = filled & ((item >= self.t.max_devices) | ((item_kind != kind) & (lower < 0)))
            down = filled & ~bad & (item_kind != kind)
            bucket[live[down]] = lower[down]
            here = filled & ~bad & ~down
            collides = np.zeros(len(live), np.bool_)
            collides[here] = self._taken(taken, rows[live[here]], position[live[here]], item[here])
            fits = here & ~collides
            if leaves is not None:
                fits &= self._leaves(
                    live, fits, rows, item, lower, r, position, leaves, leaf, leaf_tries, knobs
                )
            if kind == 0:
                at = np.flatnonzero(fits)
                fits[at] = ~self._is_out(item[at], self.x[rows[live[at]]])
            found[live[fits]] = item[fits]
            failed = ~fits & ~down & ~bad
            over = fits | bad
            over[failed] = self._after_failure(
                live[failed], collides[failed], bucket, start, failures, local, tries, knobs
            )
            live = live[~over]
        return found, leaf

    def _pick(
        self, rows: I64, buckets: I64, r: I64, position: I64, local: I64, knobs: Knobs
    ) -> I64:
        item = np.zeros(len(rows), np.int64)
        usable = self.t.size[buckets] > 0
        fallback = knobs.local_fallback_tries
        if fallback > 0:
            permute = usable & (local >= self.t.size[buckets] >> 1) & (local > fallback)
        else:
            permute = np.zeros(len(rows), np.bool_)
        for group, by_order in ((usable & ~permute, False), (permute, True)):
            at = np.flatnonzero(group)
            if len(at):
                x, attempt = self.x[rows[at]], r[at].astype(np.uint32)
                item[at] = self.chooser.pick(
                    buckets[at], x, attempt, position[at], permute=by_order
                )
        return item

    def _lower(self, item: I64) -> tuple[I64, I64]:
        """The bucket index of each item (-1 for devices and unknown ones) and its type (-1 for a
        bucket that is not in the map).
        """
        index = np.where(item < 0, -1 - item, -1)
        index[index >= len(self.t.exists)] = -1
        known = index >= 0
        index[known & ~self.t.exists[index]] = -1
        return index, np.where(index >= 0, self.t.kind[index], np.where(item < 0, -1, 0))

    @staticmethod
    def _taken(taken: I64, rows: I64, position: I64, item: I64) -> NDArray[np.bool_]:
        """Whether an item is among the first `position` of its row."""
        hit = np.zeros(len(rows), np.bool_)
        for column in range(int(position.max(initial=0))):
            hit |= (taken[rows, column] == item) & (position > column)
        return hit

    def _is_out(self, item: I64, x: U32) -> NDArray[np.bool_]:
        inside = np.minimum(item, len(self.weights) - 1)
        weight = np.where(item < len(self.weights), self.weights[inside], 0)
        out: NDArray[np.bool_] = weight == 0
        partly = np.flatnonzero((weight > 0) & (weight < _FULL))
        if len(partly):
            draw = np.empty(len(partly), np.int64)
            for at in range(0, len(partly), 8192):
                part = partly[at : at + 8192]
                hashed = self.chooser.hasher.hash2(x[part], item[part].astype(np.uint32))
                draw[at : at + 8192] = hashed & np.uint32(0xFFFF)
            out[partly] = draw >= weight[partly]
        return out

    def _leaves(
        self,
        live: I64,
        fits: NDArray[np.bool_],
        rows: I64,
        item: I64,
        lower: I64,
        r: I64,
        position: I64,
        leaves: I64,
        leaf: I64,
        leaf_tries: int,
        knobs: Knobs,
    ) -> NDArray[np.bool_]:
        """Looks for a device below each item that fits so far; notes it in `leaf`."""
        good = fits.copy()
        device = fits & (lower < 0)
        leaf[live[device]] = item[device]
        at = np.flatnonzero(fits & (lower >= 0))
        if len(at):
            r0 = r[at] >> (knobs.vary_r - 1) if knobs.vary_r else np.zeros(len(at), np.int64)
            if not knobs.stable:
                r0 = r0 + position[live[at]]
            below, _ = self._one(
                rows[live[at]],
                lower[at],
                r0,
                position[live[at]],
                0,
                leaves,
                None,
                leaf_tries,
                0,
                knobs,
            )
            leaf[live[at]] = below
            good[at] = below != ITEM_NONE
        return good

    def _after_failure(
        self,
        failed: I64,
        collides: NDArray[np.bool_],
        bucket: I64,
        start: I64,
        failures: I64,
        local: I64,
        tries: int,
        knobs: Knobs,
    ) -> NDArray[np.bool_]:
        """Where the next attempt begins: in the same bucket or at the top. True where there is
        none.
        """
        failures[failed] += 1
        local[failed] += 1
        again = collides & (local[failed] <= knobs.local_tries)
        if knobs.local_fallback_tries > 0:
            size = self.t.size[bucket[failed]]
            again |= local[failed] <= size + knobs.local_fallback_tries
        restart = ~again & (failures[failed] < tries)
        top = failed[restart]
        bucket[top], local[top] = start[top], 0
        return ~again & ~restart

    # ---------------------------------------------------------------------------------------- indep

    def _indep(
        self,
        rows: I64,
        start: I64,
        replicas: int,
        room: I64,
        kind: int,
        knobs: Knobs,
        to_leaf: bool,
    ) -> Items:
        width = int(min(replicas, room.max(initial=0)))
        out, leaves = self._empty(width), self._empty(width)
        sizes = np.minimum(replicas, room)
        out.length[rows] = leaves.length[rows] = sizes
        for place in range(width):
            out.values[rows[sizes > place], place] = ITEM_UNDEF
        leaf_tries = knobs.leaf_tries or 1
        self._fill(
            rows,
            start,
            replicas,
            kind,
            out.values,
            range(width),
            knobs.tries,
            leaf_tries,
            leaves.values if to_leaf else None,
            np.zeros(len(rows), np.int64),
        )
        return leaves if to_leaf else out

    def _fill(
        self,
        rows: I64,
        start: I64,
        replicas: int,
        kind: int,
        out: I64,
        places: range,
        tries: int,
        leaf_tries: int,
        leaves: I64 | None,
        parent_r: I64,
    ) -> None:
        """Settles the places of `out` that are ITEM_UNDEF; what is left in the end is ITEM_NONE."""
        for attempt in range(tries):
            open_places = (out[rows, places.start : places.stop] == ITEM_UNDEF).any(axis=1)
            if not open_places.any():
                break
            for place in places:
                at = np.flatnonzero(out[rows, place] == ITEM_UNDEF)
                if len(at):
                    self._settle(
                        rows[at],
                        start[at],
                        replicas,
                        kind,
                        out,
                        places,
                        place,
                        attempt,
                        leaf_tries,
                        leaves,
                        parent_r[at],
                    )
        for place in places:
            # a leaf that was found below an item given up stays, as in every Ceph
            out[rows[out[rows, place] == ITEM_UNDEF], place] = ITEM_NONE

    def _settle(
        self,
        rows: I64,
        start: I64,
        replicas: int,
        kind: int,
        out: I64,
        places: range,
        place: int,
        attempt: int,
        leaf_tries: int,
        leaves: I64 | None,
        parent_r: I64,
    ) -> None:
        """One attempt at one place for each of `rows`."""
        bucket = start.copy()
        live = np.flatnonzero(self.t.size[bucket] > 0)
        while len(live):
            b, size = bucket[live], self.t.size[bucket[live]]
            uniform = (self.t.alg[b] == BucketAlg.UNIFORM) & (size % replicas == 0)
            r = place + parent_r[live] + np.where(uniform, replicas + 1, replicas) * attempt
            position = np.full(len(live), places.start)
            x = self.x[rows[live]]
            item = self.chooser.pick(b, x, r.astype(np.uint32), position)
            lower, item_kind = self._lower(item)
            bad = (item >= self.t.max_devices) | ((item_kind != kind) & (lower < 0))
            out[rows[live[bad]], place] = ITEM_NONE
            if leaves is not None:
                leaves[rows[live[bad]], place] = ITEM_NONE
            down = ~bad & (item_kind != kind)
            bucket[live[down]] = lower[down]
            fits = ~bad & ~down
            at = np.flatnonzero(fits)
            among = out[rows[live[at]], places.start : places.stop]
            fits[at] = ~(among == item[at][:, None]).any(axis=1)
            if leaves is not None:
                self._leaf_places(
                    rows, live, fits, item, lower, r, replicas, place, leaf_tries, leaves
                )
            if kind == 0:
                at = np.flatnonzero(fits)
                fits[at] = ~self._is_out(item[at], x[at])
            out[rows[live[fits]], place] = item[fits]
            live = live[down]
            live = live[self.t.size[bucket[live]] > 0]

    def _leaf_places(
        self,
        rows: I64,
        live: I64,
        fits: NDArray[np.bool_],
        item: I64,
        lower: I64,
        r: I64,
        replicas: int,
        place: int,
        leaf_tries: int,
        leaves: I64,
    ) -> None:
        """Looks for a device below each item that fits so far; those without fit no longer."""
        device = fits & (lower < 0)
        leaves[rows[live[device]], place] = item[device]
        at = np.flatnonzero(fits & (lower >= 0))
        if len(at):
            below = rows[live[at]]
            leaves[below, place] = ITEM_UNDEF
            one_place = range(place, place + 1)
            self._fill(below, lower[at], replicas, 0, leaves, one_place, leaf_tries, 0, None, r[at])
            fits[at] = leaves[below, place] != ITEM_NONE
