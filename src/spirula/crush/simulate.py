"""Placement by chance instead of CRUSH, to compare the two; and devices that fail by chance.

`crushtool --test --simulate` and `--mark-down-ratio`. The numbers are those of `lrand48` of the C
library, from its first on, so that the outcome is crushtool's. Called by `tester`. Upstream:
random_placement, check_valid_placement and adjust_weights of `src/crush/CrushTester.cc`.
"""

from __future__ import annotations

from collections.abc import Sequence

from spirula.crush.build import get_bucket
from spirula.crush.lookup import find_bucket, full_location
from spirula.crush.map import CrushMap, RuleOp

_MULTIPLIER, _ADDEND, _BITS = 0x5DEECE66D, 0xB, (1 << 48) - 1
_TRIALS = 100


class LRand48:
    """The C library's `lrand48`, as in a program that never gave it a seed."""

    def __init__(self) -> None:
        self._state = 0

    def next(self) -> int:
        """The next number, of 31 bits."""
        self._state = (self._state * _MULTIPLIER + _ADDEND) & _BITS
        return self._state >> 17


def most_devices(crush: CrushMap, rule: int) -> int:
    """How many devices the rule can give at most, by the number of buckets of its types."""
    choices = _choices(crush, rule)
    wanted = {type: number for number, type in choices}
    most = max(len(crush.buckets), crush.max_devices)
    for type, number in wanted.items():
        named = (find_bucket(crush, id) for id in crush.item_names)
        there = sum(1 for bucket in named if bucket and bucket.type == type)
        # upstream counts them again for every step that chooses that type
        there *= sum(1 for _, other in choices if other == type)
        there = number if 0 < number < there else there
        most = there if 0 < there < most else most
    return most


def _choices(crush: CrushMap, rule: int) -> list[tuple[int, int]]:
    """Both arguments of the steps that choose; upstream takes set_* steps for such as well."""
    found = crush.rules[rule]
    return [
        (step.arg1, step.arg2)
        for step in (found.steps if found else ())
        if step.op >= RuleOp.CHOOSE_FIRSTN and step.op != RuleOp.EMIT
    ]


class RandomPlacement:
    """Places inputs at random so that no two devices share a bucket of a type of the rule."""

    def __init__(self, crush: CrushMap, rule: int, weights: Sequence[int], random: LRand48) -> None:
        self.crush, self.weights, self.random = crush, weights, random
        self.most = most_devices(crush, rule)
        names = crush.type_names
        self.types = [names.get(type, "") for _, type in _choices(crush, rule)]
        smallest = min([*names, len(names)])
        self.only_devices = self.types == ["osd"] and names.get(smallest, "") == "osd"
        self.locations: dict[int, dict[str, str]] = {}

    def place(self, count: int) -> list[int]:
        """Devices for one input; none if a hundred trials were in vain."""
        if not self.crush.max_devices or not any(self.weights):
            return []
        for _ in range(_TRIALS):
            trial = [
                self.random.next() % self.crush.max_devices for _ in range(min(count, self.most))
            ]
            if self._is_valid(trial):
                return trial
        return []

    def _is_valid(self, devices: list[int]) -> bool:
        if any(not self.weights[device] for device in devices):
            return False
        if len(set(devices)) < len(devices):
            return False
        if self.only_devices:
            return True
        seen: set[str] = set()
        for device in devices:
            location = self._location(device)
            for type in self.types:
                name = location.get(type, "")
                if name in seen:
                    return False
                seen.add(name)
        return True

    def _location(self, device: int) -> dict[str, str]:
        if device not in self.locations:
            known = device in self.crush.item_names
            path = full_location(self.crush, device) if known else []
            self.locations[device] = dict(reversed(path))
        return self.locations[device]


def mark_down(
    crush: CrushMap, weights: list[int], devices: float, buckets: float, random: LRand48
) -> None:
    """Take weights away: of a share of the `buckets` that hold devices, a share of their `devices`.

    Which devices is not left to chance (upstream shuffles a copy): each bucket's first.
    """
    above = [
        bucket.id
        for bucket in crush.buckets
        if bucket and 0 < bucket.weight < 1 << 31 and bucket.items and bucket.items[0] >= 0
    ]
    if len(above) > 1:
        for place in range(len(above)):
            other = random.next() % (len(above) - 1)
            above[place], above[other] = above[other], above[place]
    for id in above[: int(buckets * len(above))]:
        items = get_bucket(crush, id).items
        for _ in items if len(items) > 1 else ():
            random.next()
        for item in items[: int(devices * len(items))]:
            if 0 <= item < len(weights):
                weights[item] = 0
