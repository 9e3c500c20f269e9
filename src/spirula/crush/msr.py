"""Rules that try all of their steps again (multi-step retry, 19.2): `type msr_firstn`, `msr_indep`.

Where other rules choose all items of a step before the next step, these go down all steps for one
place of the result after the other, and come back for places whose device was out. Called by both
mappers: `parse_msr` reads a rule for them, `map_msr` is the search for one input at a time, and
`vector.msr` its twin. Upstream: `doc/dev/crush-msr.rst`, `src/crush/mapper.c`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod

from spirula.crush.map import Bucket, Rule, RuleOp, Step, Tunables
from spirula.records import dataclass

MSR_FIRSTN, MSR_INDEP = 4, 5
"""`Rule.type`: the result is a list without holes, or has a place for each shard."""

_UNDEF = 0x7FFFFFFE
_NONE = 0x7FFFFFFF

Pick = Callable[[Bucket, int, int], int]
Refuses = Callable[[int], bool]


@dataclass(frozen=True, slots=True)
class MsrBlock:
    """From one take step to its emit step.

    `choices` are (how many, of which type) by step, never zero of them; the block has the places
    `start` to `end` of the result, which are fewer than the product of the choices where the result
    is shorter.
    """

    take: int
    choices: tuple[tuple[int, int], ...]
    start: int
    end: int

    @property
    def fanout(self) -> int:
        """How many devices the steps ask for."""
        return prod(number for number, _ in self.choices)


@dataclass(frozen=True, slots=True)
class MsrRule:
    """A rule as it was read for results of `count` places.

    `descents`: how often the steps are gone down from the top; `collision_tries`: how many items
    are looked at for a place before the descent gives up.
    """

    firstn: bool
    count: int
    descents: int
    collision_tries: int
    blocks: tuple[MsrBlock, ...]


def is_msr(rule: Rule) -> bool:
    """Whether the rule is of these types; choosemsr steps of others do nothing."""
    return rule.type in {MSR_FIRSTN, MSR_INDEP}


def retry_value(count: int, index: int, descent: int, collision: int) -> int:
    """The attempt that buckets are asked with, in 32 bits."""
    return ((descent * count + index << 16) + collision) & 0xFFFFFFFF


def parse_msr(rule: Rule, tunables: Tunables, count: int) -> MsrRule | None:
    """The rule's blocks; None for one that is not built as such rules must be: it maps to nothing.

    That is: set_msr_* steps, then blocks of take, choosemsr steps and emit. A take of a device
    is a block of its own.
    """
    descents, collision_tries = tunables.msr_descents, tunables.msr_collision_tries
    at = 0
    for step in rule.steps:
        if step.op == RuleOp.SET_MSR_DESCENTS:
            descents = step.arg1
        elif step.op == RuleOp.SET_MSR_COLLISION_TRIES:
            collision_tries = step.arg1
        else:
            break
        at += 1
    blocks: list[MsrBlock] = []
    start = 0
    while at < len(rule.steps):
        emit = next((k for k in range(at, len(rule.steps)) if _is(rule, k, RuleOp.EMIT)), None)
        if emit is None or not _is(rule, at, RuleOp.TAKE):
            return None
        take, steps = rule.steps[at], rule.steps[at + 1 : emit]
        if not all(_is_sound(step) for step in steps) or (take.arg1 >= 0 and steps):
            return None
        choices = tuple((step.arg1 or count, step.arg2) for step in steps)
        block = MsrBlock(take.arg1, choices, start, count)
        start = min(start + block.fanout, count)
        blocks.append(MsrBlock(take.arg1, choices, block.start, start))
        at = emit + 1
    firstn = rule.type == MSR_FIRSTN
    return MsrRule(firstn, count, descents, collision_tries, tuple(blocks))


def _is(rule: Rule, at: int, op: RuleOp) -> bool:
    return rule.steps[at].op == op


def _is_sound(step: Step) -> bool:
    return step.op == RuleOp.CHOOSE_MSR and step.arg1 >= 0


def map_msr(
    rule: MsrRule, buckets: Mapping[int, Bucket], pick: Pick, refuses: Refuses
) -> list[int]:
    """The devices for one input, in at most `rule.count` places.

    `pick` chooses in a bucket for a position and an attempt; `refuses` says which devices are out.
    """
    search = _Search(rule, buckets, pick, refuses)
    for block in rule.blocks:
        if block.take >= 0:
            if block.start < block.end:
                search.emit(block.start, block.take)
        elif block.take in buckets and block.choices:
            search.fill(block, buckets[block.take])
    return search.out[: search.found] if rule.firstn else search.out


class _Search:
    """The state of one input. `used[k]` are the items that step k chose, by place."""

    def __init__(
        self, rule: MsrRule, buckets: Mapping[int, Bucket], pick: Pick, refuses: Refuses
    ) -> None:
        self.rule, self.buckets, self.pick, self.refuses = rule, buckets, pick, refuses
        self.out = [_NONE] * rule.count
        self.found = 0
        self.choices: tuple[tuple[int, int], ...] = ()
        self.used: list[list[int]] = []

    def emit(self, place: int, device: int) -> None:
        self.out[self.found if self.rule.firstn else place] = device
        self.found += 1

    def fill(self, block: MsrBlock, root: Bucket) -> None:
        self.choices = block.choices
        self.used = [[_UNDEF] * self.rule.count for _ in block.choices]
        limit = self.found + block.end - block.start
        for descent in range(self.rule.descents):
            if self.found >= limit:
                break
            self.choose(root, block.fanout, block.start, block.end, 0, descent)

    def choose(
        self, bucket: Bucket, fanout: int, start: int, end: int, level: int, descent: int
    ) -> int:
        """One descent for the places `start` to `end`: how many of them it filled.

        They are shared out in strides, one for each item of this step. An item may serve one stride
        only, but a stride may come to have several in the end, when one of them has too few devices
        that are in.
        """
        strides, kind = self.choices[level]
        length = fanout // strides
        used, is_last = self.used[level], level + 1 == len(self.choices)
        mapped = 0
        unused = []
        for index, low in enumerate(range(start, end, length)):
            high = min(low + length, end)
            if _UNDEF not in self.used[-1][low:high]:
                continue
            others = used[start:low] + used[high:end]
            item = self.find(bucket, kind, index, others, descent)
            if item is None:
                continue
            if kind == 0:
                # further steps below devices mean nothing
                if length == 1 and is_last and not self.refuses(item):
                    used[low] = item
                    self.emit(low, item)
                    mapped += 1
            elif not is_last and item in self.buckets:
                lower = self.buckets[item]
                below = self.choose(lower, length, low, high, level + 1, descent)
                mapped += below
                if item not in used[low:high]:
                    used[used.index(_UNDEF, low, high)] = item
                    if not below:
                        unused.append((low, high))
        # Only now: an item whose devices are out still keeps other strides away in this descent,
        # so that not all of them move.
        for low, high in unused:
            last = max(place for place in range(low, high) if used[place] != _UNDEF)
            used[last] = _UNDEF
        return mapped

    def find(
        self, bucket: Bucket, kind: int, index: int, others: list[int], descent: int
    ) -> int | None:
        """An item of that type below the bucket, or a device, that no other stride has."""
        for collision in range(self.rule.collision_tries):
            attempt = retry_value(self.rule.count, index, descent, collision)
            item = self.descend(bucket, kind, index, attempt)
            if item is not None and item not in others:
                return item
        return None

    def descend(self, bucket: Bucket | None, kind: int, index: int, attempt: int) -> int | None:
        while bucket is not None and bucket.items:
            item = self.pick(bucket, index, attempt)
            if item >= 0:
                return item
            bucket = self.buckets.get(item)
            if bucket is not None and bucket.type == kind:
                return item
        return None
