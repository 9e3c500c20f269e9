"""Random CRUSH maps, the same for the same seed, for tests that compare with Ceph's own programs.

`random_map(seed)` is a whole map; `random_reweights(seed, map)` is what an OSD map adds to it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from spirula.crush.build import (
    FULL,
    PROFILES,
    add_bucket,
    add_rule,
    finalize,
    get_bucket,
    item_weights,
    make_bucket,
    set_tunables,
)
from spirula.crush.classes import get_or_create_class, populate_classes
from spirula.crush.map import BucketAlg, ChooseArg, Rule, RuleOp, Step
from spirula.crush.msr import MSR_FIRSTN, MSR_INDEP
from spirula.crush.wire import CrushWrapper

REPLICATED, ERASURE = 1, 3
CLASSES = ("hdd", "ssd", "nvme")
LEVELS = ("host", "chassis", "rack", "row", "datacenter", "root")
MOST_DEVICES = 48
COMPAT = -1
DEVICE_LIMIT = 100 * FULL
ALGORITHMS = tuple(BucketAlg)

_SETS = (
    (RuleOp.SET_CHOOSE_TRIES, (1, 2, 10, 50, 100)),
    (RuleOp.SET_CHOOSELEAF_TRIES, (1, 2, 5, 10)),
    (RuleOp.SET_CHOOSE_LOCAL_TRIES, (0, 1, 2, 3)),
    (RuleOp.SET_CHOOSE_LOCAL_FALLBACK_TRIES, (0, 1, 5)),
    (RuleOp.SET_CHOOSELEAF_VARY_R, (0, 1, 2, 4)),
    (RuleOp.SET_CHOOSELEAF_STABLE, (0, 1)),
)


@dataclass(slots=True)
class _Maker:
    rng: random.Random
    tree_shadows: bool
    made: CrushWrapper = field(default_factory=CrushWrapper)
    classes: bool = False
    algorithms: tuple[BucketAlg, ...] = ALGORITHMS
    tops: list[int] = field(default_factory=list)
    free_ids: list[int] = field(default_factory=list)

    def build(self) -> CrushWrapper:
        rng, made = self.rng, self.made
        self.tunables()
        self.classes = rng.random() < 0.4
        self.choose_algorithms()
        self.types()
        devices = self.devices()
        self.buckets(devices)
        if self.classes:
            populate_classes(made, {})
        for id in sorted(rng.sample(range(8), rng.randint(1, 4))):
            self.rule(id)
        if rng.random() < 0.4:
            self.choose_args()
        finalize(made)
        return made

    def tunables(self) -> None:
        rng, tunables = self.rng, self.made.tunables
        tunables.straw_calc_version = rng.choice((0, 1))
        set_tunables(tunables, rng.choice(PROFILES))
        if rng.random() < 0.3:
            tunables.choose_total_tries = rng.choice((1, 3, 7, 19, 50, 51, 100))
            tunables.chooseleaf_vary_r = rng.choice((0, 1, 2, 3, 4))
            tunables.chooseleaf_stable = rng.choice((0, 1))
            tunables.chooseleaf_descend_once = rng.choice((0, 1))
            tunables.choose_local_tries = rng.choice((0, 1, 2, 3))
            tunables.choose_local_fallback_tries = rng.choice((0, 1, 5))

    def choose_algorithms(self) -> None:
        """One algorithm for the whole map, all of them mixed, or straw2 as maps of today."""
        # The shadow of a uniform bucket cannot have items (see spirula.crush.classes).
        usable = [a for a in ALGORITHMS if not (self.classes and a == BucketAlg.UNIFORM)]
        if self.classes and not self.tree_shadows:
            usable.remove(BucketAlg.TREE)
        self.algorithms = self.rng.choice(
            [(BucketAlg.STRAW2,), (self.rng.choice(usable),), tuple(usable), tuple(usable)]
        )

    def types(self) -> None:
        rng = self.rng
        self.made.type_names[0] = rng.choice(("osd", "osd", "device"))
        id = 0
        for name in LEVELS[: rng.randint(1, len(LEVELS) - 1)] + LEVELS[-1:]:
            id += rng.choice((1, 1, 1, 2, 5))
            self.made.type_names[id] = name

    def devices(self) -> list[int]:
        rng, made = self.rng, self.made
        count = rng.randint(1, rng.choice((4, 12, MOST_DEVICES)))
        devices = list(range(count))
        if rng.random() < 0.4:
            devices = sorted(rng.sample(range(2 * count + 3), count))
        for id in devices:
            made.item_names[id] = f"osd.{id}"
            if self.classes and rng.random() < 0.9:
                made.device_classes[id] = get_or_create_class(made, rng.choice(CLASSES))
        rng.shuffle(devices)
        return devices

    def weights(self, count: int) -> list[int]:
        rng = self.rng
        style = rng.choice(("same", "whole", "any", "any", "zeros", "far apart"))
        if style == "same":
            return [rng.choice((FULL, FULL // 50, 7 * FULL + 1))] * count
        if style == "whole":
            return [FULL * rng.randint(1, 12) for _ in range(count)]
        if style == "far apart":
            return [rng.choice((1, 40, FULL, 99 * FULL)) for _ in range(count)]
        weights = [rng.randint(1, 20 * FULL) for _ in range(count)]
        if style == "zeros":
            weights = [w if rng.random() < 0.6 else 0 for w in weights]
        return weights

    def bucket(self, type: int, items: list[int], weights: list[int]) -> int:
        rng, made = self.rng, self.made
        alg = rng.choice(self.algorithms)
        if alg == BucketAlg.UNIFORM:
            weights = [max(weights, default=0) or FULL] * len(weights)
        bucket = make_bucket(
            alg, type, items, weights, straw_calc_version=made.tunables.straw_calc_version
        )
        bucket.id = self.free_ids.pop() if self.free_ids else 0
        id = add_bucket(made, bucket)
        made.item_names[id] = f"{made.type_names[type]}{-id}"
        return id

    def buckets(self, devices: list[int]) -> None:
        """Levels from below; at each one some buckets share out what the level below has."""
        rng = self.rng
        if rng.random() < 0.4:
            self.free_ids = rng.sample(range(-40, 0), rng.randint(1, 20))
        types = sorted(self.made.type_names)[1:]
        if rng.random() < 0.25:
            types = types[-1:]
        level, weights = devices, self.weights(len(devices))
        for type in types:
            is_top = type == types[-1]
            parts = 1 if is_top else rng.randint(1, max(1, len(level)))
            if is_top and len(level) > 1 and rng.random() < 0.2:
                parts = 2
            shares: list[list[int]] = [[] for _ in range(parts)]
            for index in range(len(level)):
                shares[rng.randrange(parts)].append(index)
            if len(level) > 2 and rng.random() < 0.1:  # something that two buckets contain
                shares[0] = sorted({*shares[0], rng.randrange(len(level))})
            made = [
                self.bucket(type, [level[i] for i in share], [weights[i] for i in share])
                for share in shares
                if share or rng.random() < 0.5
            ]
            level, weights = made, [get_bucket(self.made, id).weight for id in made]
            if rng.random() < 0.2:  # parents need not agree with what their children weigh
                weights = [rng.choice((w, w // 2, 0, FULL)) for w in weights]
        self.tops = level

    def take(self) -> int:
        """Mostly a root, or its shadow; at times any bucket or device."""
        rng, made = self.rng, self.made
        if rng.random() < 0.08:
            return rng.choice(sorted(made.item_names))
        root = rng.choice(self.tops)
        if rng.random() < 0.5 and (shadows := made.class_bucket.get(root)):
            return rng.choice(sorted(shadows.values()))
        return root

    def rule(self, id: int) -> None:
        rng = self.rng
        indep = rng.random() < 0.5
        rule = Rule(
            [], id, rng.choice((REPLICATED, ERASURE)), rng.randint(0, 3), rng.randint(4, 20)
        )
        for op, values in _SETS:
            if rng.random() < 0.25:
                rule.steps.append(Step(op, rng.choice(values)))
        for _ in range(rng.choice((1, 1, 1, 2))):
            rule.steps.append(Step(RuleOp.TAKE, self.take()))
            self.choose_steps(rule, indep=indep)
            rule.steps.append(Step(RuleOp.EMIT))
        add_rule(self.made, rule, id)
        if rng.random() < 0.9:
            self.made.rule_names[id] = f"rule-{id}"

    def choose_steps(self, rule: Rule, *, indep: bool) -> None:
        rng = self.rng
        choose = RuleOp.CHOOSE_INDEP if indep else RuleOp.CHOOSE_FIRSTN
        leaf = RuleOp.CHOOSELEAF_INDEP if indep else RuleOp.CHOOSELEAF_FIRSTN
        types = sorted(self.made.type_names)
        for type in sorted(rng.sample(types[1:], min(len(types) - 1, rng.choice((0, 0, 0, 1, 2)))))[
            ::-1
        ]:
            rule.steps.append(Step(choose, rng.choice((0, 1, 2, 3, -1)), type))
        number = rng.choice((0, 0, 0, 1, 2, 3, 4, -1))
        if rng.random() < 0.6:
            rule.steps.append(Step(leaf, number, rng.choice(types[:-1])))
        else:
            rule.steps.append(Step(choose, number, 0))

    def choose_args(self) -> None:
        rng, made = self.rng, self.made
        for key in sorted(rng.sample((COMPAT, 1, 2, 7, 300), rng.randint(1, 3))):
            positions = 1 if key == COMPAT else rng.randint(1, 4)
            args = made.choose_args[key] = {}
            for index, bucket in enumerate(made.buckets):
                if bucket is None or bucket.alg != BucketAlg.STRAW2 or rng.random() < 0.3:
                    continue
                arg = ChooseArg()
                if rng.random() < 0.8:
                    arg.weight_sets = [self.skewed(item_weights(bucket)) for _ in range(positions)]
                if rng.random() < 0.3:
                    arg.ids = [rng.choice((item, -1 - abs(item) * 3)) for item in bucket.items]
                if (arg.weight_sets and bucket.items) or arg.ids:
                    args[index] = arg

    def skewed(self, weights: list[int]) -> list[int]:
        return [
            min(int(weight * self.rng.choice((0, 0.5, 0.9, 1, 1, 1.1, 1.7))), 0x7FFFFFFF)
            for weight in weights
        ]


@dataclass(slots=True)
class _MsrMaker(_Maker):
    """Rules of the msr types (19.2) instead; some are not built as they must be."""

    def tunables(self) -> None:
        super(_MsrMaker, self).tunables()
        # rules that cannot be met take as many tries as both of these multiplied
        if self.rng.random() < 0.95:
            self.made.tunables.msr_descents = self.rng.choice((1, 2, 5, 20))
            self.made.tunables.msr_collision_tries = self.rng.choice((1, 2, 5, 20))

    def rule(self, id: int) -> None:
        rng = self.rng
        rule = Rule([], id, rng.choice((MSR_FIRSTN, MSR_INDEP)), 1, 20)
        for op in (RuleOp.SET_MSR_DESCENTS, RuleOp.SET_MSR_COLLISION_TRIES):
            if rng.random() < 0.3:
                rule.steps.append(Step(op, rng.choice((1, 2, 3, 20))))
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            root = rng.choice(self.tops)
            if rng.random() < 0.3 and (shadows := self.made.class_bucket.get(root)):
                root = rng.choice(sorted(shadows.values()))
            # a type that is not there leads to devices, which upstream takes for buckets then
            below = sorted(
                {b.type for b in self.made.buckets if b} - {get_bucket(self.made, root).type}
            )
            inner = sorted(rng.sample(below, min(len(below), rng.choice((0, 1, 1, 2)))))
            rule.steps.append(Step(RuleOp.TAKE, root))
            for type in (*inner[::-1], 0):
                number = rng.choice((0, 1, 2, 2, 3, 4, 5))
                rule.steps.append(Step(RuleOp.CHOOSE_MSR, number, type))
            rule.steps.append(Step(RuleOp.EMIT))
        if rng.random() < 0.1:
            self.spoil(rule)
        add_rule(self.made, rule, id)
        self.made.rule_names[id] = f"rule-{id}"

    def spoil(self, rule: Rule) -> None:
        """A step too few or too many, or one that such rules must not have."""
        rng = self.rng
        at = rng.choice([k for k, step in enumerate(rule.steps) if step.op == RuleOp.CHOOSE_MSR])
        match rng.randrange(5):
            case 0:
                rule.steps.pop()
            case 1:
                rule.steps.insert(at, Step(RuleOp.CHOOSE_FIRSTN, 2, 0))
            case 2:
                rule.steps.insert(at, Step(RuleOp.SET_MSR_DESCENTS, 2))
            case 3:  # devices before the last step
                rule.steps.insert(at, Step(RuleOp.CHOOSE_MSR, 2, 0))
            case 4:  # no devices at all
                if rule.steps[-2].arg2 == 0 and rule.steps[-3].op == RuleOp.CHOOSE_MSR:
                    del rule.steps[-2]


def random_msr_map(seed: int) -> CrushWrapper:
    """Like `random_map`, with 1 to 4 rules of types msr_firstn and msr_indep."""
    return _MsrMaker(random.Random(f"msr map {seed}"), tree_shadows=True).build()


def is_defined(crush: CrushWrapper, *, msr: bool = False) -> bool:
    """False for maps that Ceph's programs read or write outside of their memory for, or end with.

    They read behind the items of a tree bucket, all of which weigh nothing; rules of the msr types
    must not lead to empty buckets.
    """
    buckets = [bucket for bucket in crush.buckets if bucket is not None]
    if msr and not all(bucket.items for bucket in buckets):
        return False
    return all(b.weight for b in buckets if b.alg == BucketAlg.TREE and b.items)


def random_map(seed: int, *, tree_shadows: bool = True) -> CrushWrapper:
    """A map with 1 to 48 devices and 1 to 4 rules.

    All five algorithms, flat and nested, zero weights, holes in all ids, device classes with their
    shadow trees, choose_args (weight sets and ids, for pools and compat), every tunables profile
    and odd ones, every kind of step. `tree_shadows=False`: no tree bucket where there are classes
    (upstream leaves memory that it never wrote in the shadow of one, so its bytes are random).
    """
    return _Maker(random.Random(f"crush map {seed}"), tree_shadows).build()


def random_reweights(seed: int, crush: CrushWrapper) -> list[int]:
    """The weight of each device by id, 0 to 0x10000, as `crushtool --test --weight` takes them.

    Devices without a name have 0, as crushtool assumes; most others are fully in.
    """
    rng = random.Random(f"reweights {seed}")
    calm = rng.random() < 0.5
    weights = [FULL if id in crush.item_names else 0 for id in range(crush.max_devices)]
    if not calm:
        weights = [w and rng.choice((FULL, FULL, FULL, 0, FULL // 2, 6554)) for w in weights]
    return weights
