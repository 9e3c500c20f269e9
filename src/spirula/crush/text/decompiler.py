"""A map to its text, as `crushtool -d` writes it, byte for byte.

`decompile_map` is what others call. Where upstream stops in the middle of the text and still
reports success (a bucket that contains itself, a rule that takes what has no name), this raises.
Format: upstream `src/crush/CrushCompiler.cc`.
"""

from __future__ import annotations

from collections.abc import Iterator

from spirula.crush.build import item_weights, settle_choose_args
from spirula.crush.classes import is_valid_name
from spirula.crush.map import Bucket, BucketAlg, ChooseArg, CrushMap, Rule, RuleOp, Step, Tunables
from spirula.crush.text.numbers import text_of
from spirula.errors import InvalidArgument

# In the order of the text.
_TUNABLES = (
    "choose_local_tries",
    "choose_local_fallback_tries",
    "choose_total_tries",
    "chooseleaf_descend_once",
    "chooseleaf_vary_r",
    "chooseleaf_stable",
    "straw_calc_version",
    "allowed_bucket_algs",
)
_MSR_TUNABLES = ("msr_descents", "msr_collision_tries")
_RULE_TYPES = {1: "replicated", 3: "erasure", 4: "msr_firstn", 5: "msr_indep"}
_CHOOSE = {
    RuleOp.CHOOSE_FIRSTN: "choose firstn",
    RuleOp.CHOOSE_INDEP: "choose indep",
    RuleOp.CHOOSELEAF_FIRSTN: "chooseleaf firstn",
    RuleOp.CHOOSELEAF_INDEP: "chooseleaf indep",
    RuleOp.CHOOSE_MSR: "choosemsr",
}
_KEEP = "\t\t# do not change unnecessarily"
_NOTES = {
    BucketAlg.UNIFORM: "\t# do not change bucket size ({size}) unnecessarily",
    BucketAlg.LIST: "\t# add new items at the end; do not change order unnecessarily",
    BucketAlg.TREE: "\t# do not change pos for existing items unnecessarily",
}
_WITH_POSITIONS = (BucketAlg.UNIFORM, BucketAlg.TREE)


def decompile_map(crush: CrushMap, *, newer: bool = False) -> str:
    """The text of a map. Weights are rounded in it: compiling it may not give the same map.

    `newer` writes it as releases from 18.2 do: five digits of weights, and no sizes of rules.
    Raises InvalidArgument for a map that has no text: buckets that contain themselves, rules that
    take what has no name, classes without a name.
    """
    return "".join(f"{line}\n" for line in _Writer(crush, newer).lines())


class _Writer:
    def __init__(self, crush: CrushMap, newer: bool) -> None:
        self.crush = crush
        self.newer = newer
        self.digits = 5 if newer else 3
        self.ids = {crush.item_names[id]: id for id in sorted(crush.item_names)}
        self.classes = {crush.class_names[id]: id for id in sorted(crush.class_names)}

    def lines(self) -> Iterator[str]:
        crush = self.crush
        yield "# begin crush map"
        yield from self._tunables()
        yield "\n# devices"
        for id in sorted(crush.item_names):
            if id >= 0:
                found = crush.class_names.get(crush.device_classes.get(id, -1))
                device_class = "" if found is None else f" class {found}"
                yield f"device {id} {crush.item_names[id]}{device_class}"
        yield "\n# types"
        if crush.type_names and 0 not in crush.type_names:
            yield "type 0 osd"
        for id in sorted(crush.type_names):
            if id >= 0:
                yield f"type {id} {crush.type_names[id]}"
        yield "\n# buckets"
        for bucket in self._children_first():
            yield from self._bucket(bucket)
        yield "\n# rules"
        for id, rule in enumerate(crush.rules):
            if rule is not None:
                yield from self._rule(id, rule)
        if crush.choose_args:
            yield from self._choose_args()
        yield "\n# end crush map"

    def _tunables(self) -> Iterator[str]:
        """Those that differ from legacy; of the two for choosemsr both or none."""
        tunables, legacy = self.crush.tunables, Tunables()
        for names in (*((name,) for name in _TUNABLES), _MSR_TUNABLES):
            if any(getattr(tunables, name) != getattr(legacy, name) for name in names):
                yield from (f"tunable {name} {getattr(tunables, name)}" for name in names)

    # --------------------------------------------------------------------------------- names

    def _item(self, id: int) -> str:
        unnamed = f"device{id}" if id >= 0 else f"bucket{-1 - id}"
        return self.crush.item_names.get(id, unnamed)

    def _type(self, id: int) -> str:
        return self.crush.type_names.get(id, f"type{id}" if id else "device")

    def _weight(self, weight: int) -> str:
        return text_of(weight, self.digits)

    # ------------------------------------------------------------------------------- buckets

    def _children_first(self) -> Iterator[Bucket]:
        """All buckets, each after those that it contains. Without recursion: maps may be deep."""
        buckets = self.crush.buckets
        done: set[int] = set()
        for start, first in enumerate(buckets):
            if first is None or start in done:
                continue
            path, entered = [(start, first, iter(first.items))], {start}
            while path:
                index, bucket, items = path[-1]
                for item in items:
                    child = -1 - item
                    inner = buckets[child] if 0 <= child < len(buckets) else None
                    if inner is None or child in done:
                        continue
                    if child in entered:
                        raise InvalidArgument(f"bucket {self._item(item)} contains itself")
                    entered.add(child)
                    path.append((child, inner, iter(inner.items)))
                    break
                else:
                    path.pop()
                    entered.remove(index)
                    done.add(index)
                    yield bucket

    def _bucket(self, bucket: Bucket) -> Iterator[str]:
        crush, id = self.crush, bucket.id
        if id in crush.item_names and not is_valid_name(crush.item_names[id]):
            return  # a shadow
        yield f"{self._type(bucket.type)} {self._item(id)} {{"
        yield f"\tid {id}{_KEEP}"
        by_class = crush.class_bucket.get(id, {})
        for key in sorted(by_class):
            if key not in crush.class_names:
                raise InvalidArgument(f"{self._item(id)} has a shadow of the unnamed class {key}")
            yield f"\tid {by_class[key]} class {crush.class_names[key]}{_KEEP}"
        yield f"\t# weight {self._weight(bucket.weight)}"
        alg = BucketAlg(bucket.alg)
        yield f"\talg {alg.name.lower()}" + _NOTES.get(alg, "").format(size=len(bucket.items))
        yield f"\thash {bucket.hash}\t# {'unknown' if bucket.hash else 'rjenkins1'}"
        for position, weight in enumerate(item_weights(bucket)):
            line = f"\titem {self._item(bucket.items[position])} weight {self._weight(weight)}"
            yield line + (f" pos {position}" if alg in _WITH_POSITIONS else "")
        yield "}"

    # --------------------------------------------------------------------------------- rules

    def _rule(self, id: int, rule: Rule) -> Iterator[str]:
        yield f"rule {self.crush.rule_names.get(id, '')} {{"
        yield f"\tid {id}"
        if rule.ruleset != id and not self.newer:
            yield (
                f"\t# WARNING: ruleset {rule.ruleset} != id {id};"
                " this will not recompile to the same map"
            )
        yield f"\ttype {_RULE_TYPES.get(rule.type, rule.type)}"
        if not self.newer:
            yield f"\tmin_size {rule.min_size}"
            yield f"\tmax_size {rule.max_size}"
        for step in rule.steps:
            text = self._step(id, step)
            if text:
                yield f"\tstep {text}"
        yield "}"

    def _step(self, rule: int, step: Step) -> str:
        """A step in words, or nothing for operations that nobody knows."""
        if step.op not in RuleOp.__members__.values():
            return ""
        op = RuleOp(step.op)
        if op in _CHOOSE:
            return f"{_CHOOSE[op]} {step.arg1} type {self._type(step.arg2)}"
        if op == RuleOp.TAKE:
            return f"take {self._taken(rule, step.arg1)}"
        if op in (RuleOp.NOOP, RuleOp.EMIT):
            return op.name.lower()
        return f"{op.name.lower()} {step.arg1}"

    def _taken(self, rule: int, id: int) -> str:
        """An item by name; a shadow by the name of its original, and the class."""
        name = self.crush.item_names.get(id)
        if name is None:
            raise InvalidArgument(f"rule {rule} takes item {id}, which has no name")
        original, tilde, device_class = name.partition("~")
        if not tilde:
            return name
        if original not in self.ids or device_class not in self.classes:
            raise InvalidArgument(f"rule {rule} takes {name}, a shadow of nothing that is there")
        return f"{self._item(self.ids[original])} class {device_class}"

    # --------------------------------------------------------------------------- choose_args

    def _choose_args(self) -> Iterator[str]:
        settled = CrushMap(buckets=self.crush.buckets)
        settled.choose_args = {
            key: {index: ChooseArg(list(arg.weight_sets), arg.ids) for index, arg in args.items()}
            for key, args in self.crush.choose_args.items()
        }
        settle_choose_args(settled)
        yield "\n# choose_args"
        for key in sorted(settled.choose_args):
            yield f"choose_args {key & 0xFFFFFFFFFFFFFFFF} {{"
            for index, arg in sorted(settled.choose_args[key].items()):
                if arg.weight_sets or arg.ids:
                    yield from self._choose_arg(index, arg)
            yield "}"

    def _choose_arg(self, index: int, arg: ChooseArg) -> Iterator[str]:
        yield "  {"
        yield f"    bucket_id {-1 - index}"
        if arg.weight_sets:
            yield "    weight_set ["
            for weights in arg.weight_sets:
                yield "".join(["      [ ", *(f"{self._weight(w)} " for w in weights), "]"])
            yield "    ]"
        if arg.ids:
            yield "".join(["    ids [ ", *(f"{id} " for id in arg.ids), "]"])
        yield "  }"
