"""Device classes and their shadow trees: for each root and class a copy with that class's devices.

A rule that takes `default class ssd` takes the copy, whose name is `default~ssd`. Called by the
text compiler and by edits; what a bucket is made of is in `build`.
Ids, order and weights are those of upstream's `src/crush/CrushWrapper.cc`: populate_classes,
device_class_clone, rebuild_roots_with_classes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field

from spirula.crush.build import add_bucket, derive, get_bucket, item_weights, settle_choose_args
from spirula.crush.map import Bucket, BucketAlg, ChooseArg, CrushMap, RuleOp
from spirula.errors import InvalidArgument, NoSpace, NotFound, OutOfRange
from spirula.records import dataclass

MAX_SHADOW_ITEMS = 1 << 20
"""Items of all shadow buckets that one rebuild makes: a small map can ask for very many."""

ClassBuckets = Mapping[int, Mapping[int, int]]
"""Ids of shadow buckets by bucket id and class id."""

_VALID_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_UNSIGNED = 0xFFFFFFFF


def is_valid_name(name: str) -> bool:
    """Whether people may give that name to an item, type, rule or class."""
    return _VALID_NAME.fullmatch(name) is not None


def is_shadow(crush: CrushMap, id: int) -> bool:
    """Whether the item is part of a shadow tree; its name tells."""
    name = crush.item_names.get(id)
    return name is not None and not is_valid_name(name)


def class_id(crush: CrushMap, name: str) -> int | None:
    """The id of a device class, or None."""
    found = (id for id in sorted(crush.class_names, reverse=True) if crush.class_names[id] == name)
    return next(found, None)


def get_or_create_class(crush: CrushMap, name: str) -> int:
    """The id of a device class, which is added if the map does not have it."""
    known = class_id(crush, name)
    if known is None:
        known = max(crush.class_names, default=-1) + 1
        crush.class_names[known] = name
    return known


def roots(crush: CrushMap, *, shadow: bool) -> list[int]:
    """Ids, ascending, of the buckets that no bucket contains: shadow trees or the others."""
    contained = {item for bucket in crush.buckets if bucket for item in bucket.items if item < 0}
    return sorted(
        bucket.id
        for bucket in crush.buckets
        if bucket and bucket.id not in contained and is_shadow(crush, bucket.id) == shadow
    )


def populate_classes(crush: CrushMap, old: ClassBuckets) -> None:
    """Make the shadow trees of all roots and classes; `old` gives ids to buckets that had one.

    Raises InvalidArgument, OutOfRange, NotFound or Exists where upstream gives up; what was made
    until then stays, as upstream's compiler leaves it. Uniform buckets are such a case: the copy of
    one takes only items that weigh nothing. NoSpace is raised beyond our own bounds.
    """
    work = _Cloning(crush, old)
    for root in roots(crush, shadow=False):
        for id in sorted(crush.class_names):
            work.clone(root, id)


def rebuild_roots_with_classes(crush: CrushMap) -> None:
    """Make all shadow trees anew after a change of devices, weights or classes.

    Buckets keep the ids of their shadows. Classes that no device has and no rule takes are dropped.
    """
    old = {id: dict(by_class) for id, by_class in crush.class_bucket.items()}
    cleanup_dead_classes(crush)
    for root in roots(crush, shadow=True):
        remove_tree(crush, root)
    crush.class_bucket.clear()
    populate_classes(crush, old)


def cleanup_dead_classes(crush: CrushMap) -> None:
    """Drop the classes that no device has and whose shadow trees no rule takes."""
    alive = {id for device, id in crush.device_classes.items() if device >= 0}
    taken = {
        step.arg1 for rule in crush.rules if rule for step in rule.steps if step.op == RuleOp.TAKE
    }
    for by_class in crush.class_bucket.values():
        alive.update(id for id, shadow in by_class.items() if shadow in taken)
    for id in crush.class_names.keys() - alive:
        del crush.class_names[id]


def remove_tree(crush: CrushMap, root: int) -> None:
    """Remove the bucket `root` and all below it, with names, classes and choose_args."""
    waiting = [root]
    while waiting:
        id = waiting.pop()
        if -1 - id >= len(crush.buckets) or (bucket := crush.buckets[-1 - id]) is None:
            continue  # two roots may share what is below them
        waiting.extend(item for item in bucket.items if item < 0)
        crush.buckets[-1 - id] = None
        crush.item_names.pop(id, None)
        crush.class_bucket.pop(id, None)
        crush.device_classes.pop(id, None)
    settle_choose_args(crush)


@dataclass(slots=True)
class _Parts:
    """Items of a bucket with their positions: devices by class, and child buckets."""

    weights: list[int]
    children: list[tuple[int, int]] = field(default_factory=list)
    devices: dict[int, list[tuple[int, int]]] = field(default_factory=dict)

    def of_class(self, id: int) -> list[tuple[int, int]]:
        """(position, item) of what the shadow for that class is made from, in order."""
        return sorted(self.children + self.devices.get(id, []))


@dataclass(slots=True)
class _Frame:
    """A bucket whose shadow is being made: what is done of it, and what is to come."""

    original: Bucket
    name: str
    todo: list[tuple[int, int]]
    items: list[int] = field(default_factory=list)
    weights: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    total: int = 0

    def add(self, item: int, weight: int, position: int) -> None:
        """Upstream adds one item after the other, and refuses at the first that does not fit."""
        if self.original.alg == BucketAlg.UNIFORM and weight:
            raise InvalidArgument(f"the shadow of the uniform bucket {self.name} cannot have items")
        self.total += weight
        if self.total > _UNSIGNED:
            raise OutOfRange(f"the weights in {self.name} add up to 65536 or more")
        self.items.append(item)
        self.weights.append(weight)
        self.positions.append(position)


class _Cloning:
    """One run of `populate_classes`: goes down without recursion, since maps may be deep."""

    def __init__(self, crush: CrushMap, old: ClassBuckets) -> None:
        self.crush = crush
        self.old = old
        self.used = {shadow for by_class in old.values() for shadow in by_class.values()}
        self.ids = {crush.item_names[id]: id for id in sorted(crush.item_names)}
        self.parts: dict[int, _Parts] = {}
        self.next_id = -1
        self.made_items = 0
        # by set and shadow id, its weight at each position
        self.set_weights: dict[int, dict[int, list[int]]] = {key: {} for key in crush.choose_args}

    def clone(self, root: int, class_id: int) -> None:
        """Make the shadow of `root` for that class, and before it those of what it contains."""
        if self._name(root, class_id) in self.ids:
            return
        frames = [self._frame(root, class_id)]
        open_ids = {root}
        while frames:
            frame = frames[-1]
            if not frame.todo:
                self._finish(frame, class_id)
                frames.pop()
                open_ids.remove(frame.original.id)
                continue
            position, item = frame.todo[-1]
            if item >= 0:
                frame.add(item, self.parts[frame.original.id].weights[position], position)
            elif (shadow := self.ids.get(self._name(item, class_id))) is not None:
                frame.add(shadow, get_bucket(self.crush, shadow).weight, position)
            elif item in open_ids:
                raise InvalidArgument(f"bucket {self.crush.item_names[item]} contains itself")
            else:
                frames.append(self._frame(item, class_id))
                open_ids.add(item)
                continue
            frame.todo.pop()

    def _name(self, id: int, class_id: int) -> str:
        if id not in self.crush.item_names:
            raise NotFound(f"item {id} has no name")
        return f"{self.crush.item_names[id]}~{self.crush.class_names[class_id]}"

    def _frame(self, id: int, class_id: int) -> _Frame:
        original = get_bucket(self.crush, id)
        if id not in self.parts:
            parts = self.parts[id] = _Parts(item_weights(original))
            for position, item in enumerate(original.items):
                if item < 0:
                    parts.children.append((position, item))
                elif item in self.crush.device_classes:
                    same = parts.devices.setdefault(self.crush.device_classes[item], [])
                    same.append((position, item))
        todo = self.parts[id].of_class(class_id)
        self.made_items += len(todo) + 1
        if self.made_items > MAX_SHADOW_ITEMS:
            raise NoSpace(f"the shadow trees have more than {MAX_SHADOW_ITEMS} items")
        return _Frame(original, self._name(id, class_id), todo[::-1])

    def _finish(self, frame: _Frame, class_id: int) -> None:
        original = frame.original
        copy = Bucket(0, original.type, original.alg, original.hash, frame.total)
        copy.items, copy.item_weights = frame.items, frame.weights
        if original.alg == BucketAlg.UNIFORM:
            copy.item_weights = [0]
        derive(copy, self.crush.tunables.straw_calc_version)
        copy.id = self._shadow_id(original.id, class_id)
        id = add_bucket(self.crush, copy)
        self.crush.device_classes[id] = class_id
        self.crush.item_names[id] = frame.name
        self.ids[frame.name] = id
        self.crush.class_bucket.setdefault(original.id, {})[class_id] = id
        for key, args in self.crush.choose_args.items():
            self._copy_choose_args(args, frame, id, self.set_weights[key])

    def _shadow_id(self, original: int, class_id: int) -> int:
        """The id that it had, or the first that no bucket has and no shadow had."""
        if class_id in self.old.get(original, {}):
            return self.old[original][class_id]
        buckets = self.crush.buckets
        while (
            -1 - self.next_id < len(buckets) and buckets[-1 - self.next_id]
        ) or self.next_id in self.used:
            self.next_id -= 1
        return self.next_id

    def _copy_choose_args(
        self, args: dict[int, ChooseArg], frame: _Frame, id: int, sums: dict[int, list[int]]
    ) -> None:
        """The shadow's weight sets: those of its devices, and the sums of its children."""
        args.pop(-1 - id, None)
        source = args.get(-1 - frame.original.id)
        if source is None or not source.weight_sets:
            return
        made = []
        for number, weights in enumerate(source.weight_sets):
            row = []
            for item, position in zip(frame.items, frame.positions, strict=True):
                if item < 0:
                    known = sums.get(item, [])
                    row.append(known[number] if number < len(known) else 0)
                else:
                    row.append(weights[position] if position < len(weights) else 0)
            made.append(row)
        args[-1 - id] = ChooseArg(made)
        # Upstream keeps only the sum of the last position for the buckets above.
        sums[id] = [0] * (len(made) - 1) + [sum(made[-1]) & _UNSIGNED]
