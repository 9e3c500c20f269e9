"""Statements to a map, as `crushtool -c` makes it, byte for byte.

`compile_map` is what others call. What upstream's compiler (`src/crush/CrushCompiler.cc`) would
wrap around silently (numbers that do not fit their field) is refused here, as is what makes it
abort.
"""

from __future__ import annotations

from collections.abc import Callable

from spirula.crush.build import (
    MAX_BUCKETS,
    MAX_RULE_ID,
    add_bucket,
    add_rule,
    finalize,
    get_bucket,
    make_bucket,
)
from spirula.crush.classes import class_id, get_or_create_class, populate_classes
from spirula.crush.map import BucketAlg, ChooseArg, Rule, RuleOp, Step, Tunables
from spirula.crush.text.numbers import bounded_int, weight_of
from spirula.crush.text.scanner import CrushTextError, Scanner, Token
from spirula.crush.text.syntax import (
    BucketText,
    ChooseArgsText,
    ChooseArgText,
    Device,
    Item,
    RuleText,
    Statement,
    StepText,
    Tunable,
    TypeName,
    parse,
)
from spirula.crush.wire import CrushWrapper
from spirula.errors import CephError, NoSpace

_INT = 0x7FFFFFFF
_LAST_DEVICE = _INT - 2  # the two above mean "none" and "not yet known"
_FULL = 0x10000
_UNSIGNED = 0xFFFFFFFF
_MOST_DEVICE_WEIGHT = 100 * _FULL
_MOST_BUCKET_WEIGHT = 65535 * _FULL
_COMPAT_KEYS = ("18446744073709551615", "-1")  # -1 as the text shows it

_ALGORITHMS = {alg.name.lower(): alg for alg in BucketAlg}
_RULE_TYPES = {"replicated": 1, "erasure": 3, "msr_firstn": 4, "msr_indep": 5}
_CHOOSE = {
    ("choose", "firstn"): RuleOp.CHOOSE_FIRSTN,
    ("choose", "indep"): RuleOp.CHOOSE_INDEP,
    ("chooseleaf", "firstn"): RuleOp.CHOOSELEAF_FIRSTN,
    ("chooseleaf", "indep"): RuleOp.CHOOSELEAF_INDEP,
    ("choosemsr", ""): RuleOp.CHOOSE_MSR,
}
# Sizes of a rule that gives none, as releases from 18 write them for readers before that.
_SIZES = (1, 100)

_BYTE_TUNABLES = ("chooseleaf_vary_r", "chooseleaf_stable", "straw_calc_version")


def compile_map(text: str, source: str = "<input>") -> CrushWrapper:
    """The map that `text` describes; it starts from legacy tunables.

    Raises CrushTextError, which names `source`, line, column and what is wrong there. Bytes that
    are not ASCII may stand in comments only. Time and memory are bounded by the length of the text
    and by `MAX_BUCKETS` and `MAX_SHADOW_ITEMS`.
    """
    scanner = Scanner(text, source)
    return _Compiler(scanner).compile(list(parse(scanner)))


class _Compiler:
    """The map that is being made, and the names that the text has given so far."""

    def __init__(self, scanner: Scanner) -> None:
        self.error = scanner.error
        self.crush = CrushWrapper()
        self.types: dict[str, int] = {}
        self.items: dict[str, int] = {}
        self.rules: set[str] = set()
        self.bucket_weights: dict[int, int] = {}
        self.used_ids: set[int] = set()
        self.next_id = -1
        self.shadow_ids: dict[int, dict[int, int]] = {}
        self.shadow_failure: CephError | None = None

    def compile(self, statements: list[Statement]) -> CrushWrapper:
        statements = _children_first(statements, self.error)
        for statement in statements:
            if isinstance(statement, BucketText):
                self.used_ids.update(self._bucket_id(id) for id, _ in statement.ids)
        populated = False
        for statement in statements:
            match statement:
                case Tunable():
                    self._tunable(statement)
                case Device():
                    self._device(statement)
                case TypeName():
                    id = self._number(statement.id, 0xFFFF)
                    self.types[statement.name.text] = id
                    self.crush.type_names[id] = statement.name.text
                case BucketText():
                    if populated:
                        raise self.error(statement.type.at, "buckets must stand before all rules")
                    self._bucket(statement)
                case RuleText():
                    if not populated:
                        populated = True
                        self._populate(statement.word.at)
                    self._rule(statement)
                case ChooseArgsText():
                    self._choose_args(statement)
        finalize(self.crush)
        return self.crush

    # ------------------------------------------------------------------------------- numbers

    def _number(self, token: Token, most: int = _INT, least: int = 0) -> int:
        number = bounded_int(token.text, least, most)
        if number is None:
            raise self.error(token.at, f"this must be a number from {least} to {most}")
        return number

    def _bucket_id(self, token: Token) -> int:
        return self._number(token, 0, -MAX_BUCKETS)

    def _weight(self, token: Token) -> int:
        weight = weight_of(token.text)
        if weight is None:
            raise self.error(token.at, "a weight must be at least 0 and below 65536")
        return weight

    # ----------------------------------------------------------------------------- statements

    def _tunable(self, statement: Tunable) -> None:
        name = statement.name.text
        if name not in Tunables.__slots__:
            known = ", ".join(Tunables.__slots__)
            raise self.error(statement.name.at, f"no tunable {name}: there are {known}")
        most = 0xFF if name in _BYTE_TUNABLES else _INT
        value = self._number(statement.value, most)
        if name == "chooseleaf_descend_once":
            value = min(value, 1)
        setattr(self.crush.tunables, name, value)

    def _device(self, statement: Device) -> None:
        id, name = self._number(statement.id, _LAST_DEVICE), statement.name.text
        if name in self.items:
            raise self.error(statement.name.at, f"item {name} is defined twice")
        self.items[name] = id
        self.crush.item_names[id] = name
        if statement.device_class:
            device_class = get_or_create_class(self.crush, statement.device_class.text)
            self.crush.device_classes[id] = device_class

    def _bucket(self, statement: BucketText) -> None:
        name = statement.name.text
        type = self.types.get(statement.type.text)
        if type is None:
            raise self.error(statement.type.at, f"bucket type {statement.type.text} is not defined")
        if name in self.items:
            raise self.error(statement.name.at, f"item {name} is defined twice")
        id, shadows = self._bucket_ids(statement)
        alg = _ALGORITHMS.get(statement.alg.text)
        if alg is None:
            expected = ", ".join(_ALGORITHMS)
            raise self.error(statement.alg.at, f"expected an algorithm: {expected}")
        hash = 0
        for token in statement.hashes:
            hash = 0 if token.text == "rjenkins1" else self._number(token, 0xFF)
        items, weights = self._bucket_items(statement, alg)
        try:
            bucket = make_bucket(
                alg,
                type,
                items,
                weights,
                id=id or self._unused_id(),
                hash=hash,
                straw_calc_version=self.crush.tunables.straw_calc_version,
            )
            id = add_bucket(self.crush, bucket)
        except CephError as error:
            raise self.error(statement.name.at, f"bucket {name}: {error.message}") from error
        if shadows:
            self.shadow_ids[id] = shadows
        self.used_ids.add(id)
        self.items[name] = id
        self.bucket_weights[id] = sum(weights)
        self.crush.item_names[id] = name

    def _bucket_ids(self, statement: BucketText) -> tuple[int, dict[int, int]]:
        """The bucket's own id (0 for any), and those of its shadows by class."""
        own, shadows = 0, {}
        for token, device_class in statement.ids:
            id = self._bucket_id(token)
            if device_class is None:
                own = id
                continue
            # No device may have this class any more, while a rule still takes its (empty) shadow.
            key = get_or_create_class(self.crush, device_class.text)
            if key in shadows:
                reason = f"class {device_class.text} has an id in this bucket already"
                raise self.error(device_class.at, reason)
            shadows[key] = id
        return own, shadows

    def _unused_id(self) -> int:
        while self.next_id in self.used_ids:
            self.next_id -= 1
        return self.next_id

    def _bucket_items(self, statement: BucketText, alg: int) -> tuple[list[int], list[int]]:
        size = len(statement.items)
        taken: set[int] = set()
        for item in statement.items:
            if item.position:
                position = self._number(item.position)
                if position in taken:
                    raise self.error(item.position.at, f"position {position} is taken already")
                taken.add(position)
        items, weights = [0] * size, [0] * size
        first_weight: int | None = None
        total = following = 0
        for item in statement.items:
            id = self._item(item.name)
            weight = self._item_weight(item, id)
            if alg == BucketAlg.UNIFORM:
                first_weight = weight if first_weight is None else first_weight
                if weight != first_weight:
                    reason = "all items of a uniform bucket must have the weight of the first"
                    raise self.error((item.weight or item.name).at, reason)
            if item.position:
                position = self._number(item.position)
                if position >= size:
                    reason = f"expected a position below {size}, the number of items"
                    raise self.error(item.position.at, reason)
            else:
                while following in taken:
                    following += 1
                position, following = following, following + 1
            items[position], weights[position] = id, weight
            total += weight
            if total > _UNSIGNED:
                reason = f"the weights in bucket {statement.name.text} add up to 65536 or more"
                raise self.error((item.weight or item.name).at, reason)
        return items, weights

    def _item(self, name: Token) -> int:
        id = self.items.get(name.text)
        if id is None:
            raise self.error(name.at, f"item {name.text} is not defined before this")
        return id

    def _item_weight(self, item: Item, id: int) -> int:
        """What the text says, or else 1 for a device and its own weight for a bucket."""
        if item.weight is None:
            return self.bucket_weights.get(id, _FULL)
        weight = self._weight(item.weight)
        most = _MOST_DEVICE_WEIGHT if id >= 0 else _MOST_BUCKET_WEIGHT
        if weight > most:
            what = "device" if id >= 0 else "bucket"
            raise self.error(item.weight.at, f"a {what} may weigh {most // _FULL} at most")
        return weight

    # ---------------------------------------------------------------------------------- rules

    def _populate(self, at: int) -> None:
        """Make the shadow trees. What cannot be made is missing; rules that take it will tell."""
        try:
            populate_classes(self.crush, self.shadow_ids)
        except NoSpace as error:
            raise self.error(at, error.message) from error
        except CephError as error:
            self.shadow_failure = error

    def _rule(self, statement: RuleText) -> None:
        name = statement.name
        if name and name.text in self.rules:
            raise self.error(name.at, f"rule {name.text} is defined twice")
        id = self._number(statement.id, MAX_RULE_ID)
        least, most = (
            self._number(token, 0xFF) if token else default
            for token, default in zip((statement.min_size, statement.max_size), _SIZES, strict=True)
        )
        rule = Rule([], id & 0xFF, _RULE_TYPES[statement.type.text], least, most)
        try:
            add_rule(self.crush, rule, id)
        except CephError as error:
            raise self.error(statement.id.at, error.message) from error
        if name:
            self.crush.rule_names[id] = name.text
            self.rules.add(name.text)
        rule.steps = [self._step(step) for step in statement.steps]

    def _step(self, step: StepText) -> Step:
        word = step.word.text
        if word == "emit":
            return Step(RuleOp.EMIT)
        if word == "take" and step.name:
            return Step(RuleOp.TAKE, self._take(step.name, step.device_class))
        if step.name is None and step.number:
            return Step(RuleOp[word.upper()], self._number(step.number))
        if step.name and step.number:
            type = self.types.get(step.name.text)
            if type is None:
                raise self.error(step.name.at, f"type {step.name.text} is not defined")
            number = self._number(step.number, _INT, -_INT - 1)
            return Step(_CHOOSE[word, step.mode], number, type)
        raise self.error(step.word.at, f"step {word} is not complete")

    def _take(self, name: Token, device_class: Token | None) -> int:
        id = self._item(name)
        if device_class is None:
            return id
        known = class_id(self.crush, device_class.text)
        if known is None:
            raise self.error(device_class.at, f"class {device_class.text} is not defined")
        shadow = self.crush.class_bucket.get(id, {}).get(known)
        if shadow is None:
            why = f" ({self.shadow_failure.message})" if self.shadow_failure else ""
            reason = f"{name.text} has no shadow tree of class {device_class.text}{why}"
            raise self.error(device_class.at, reason)
        return shadow

    # ---------------------------------------------------------------------------- choose_args

    def _choose_args(self, statement: ChooseArgsText) -> None:
        key = -1 if statement.key.text in _COMPAT_KEYS else self._number(statement.key)
        if key in self.crush.choose_args:
            raise self.error(statement.key.at, f"choose_args {key} is defined twice")
        args: dict[int, ChooseArg] = {}
        for arg in statement.args:
            self._choose_arg(arg, args)
        self.crush.choose_args[key] = args

    def _choose_arg(self, arg: ChooseArgText, args: dict[int, ChooseArg]) -> None:
        id = self._number(arg.bucket, 0, -_INT - 1)
        try:
            size = len(get_bucket(self.crush, id).items)
        except CephError as error:
            raise self.error(arg.bucket.at, error.message) from error
        made = args.setdefault(-1 - id, ChooseArg())
        if arg.weight_sets is not None:
            for opening, weights in arg.weight_sets:
                if len(weights) != size:
                    reason = f"bucket {id} needs {size} weights, not {len(weights)}"
                    raise self.error(opening.at, reason)
            made.weight_sets = [[self._weight(w) for w in row] for _, row in arg.weight_sets]
        if arg.ids is not None:
            if len(arg.ids) != size:
                reason = f"bucket {id} needs {size} ids, not {len(arg.ids)}"
                raise self.error(arg.bucket.at, reason)
            made.ids = [self._number(token, _INT, -_INT - 1) for token in arg.ids]


def _children_first(
    statements: list[Statement], error: Callable[[int, str], CrushTextError]
) -> list[Statement]:
    """Exchange buckets so that (mostly) none comes before one that it contains.

    Upstream goes over all pairs in the order of the text and exchanges what stands at the two
    places, where the places are those of the beginning, whatever has moved since. Which ids the
    buckets get that name none depends on it. A bucket that is still too early is refused later.
    """
    order = list(statements)
    buckets = [(at, s) for at, s in enumerate(statements) if isinstance(s, BucketText)]
    place = {bucket.name.text: at for at, bucket in buckets}
    ranks: dict[str, list[int]] = {}
    contents: dict[str, set[str]] = {}
    for rank, (_, bucket) in enumerate(buckets):
        ranks.setdefault(bucket.name.text, []).append(rank)
        inside = contents.setdefault(bucket.name.text, set())
        inside.update(item.name.text for item in bucket.items)
    for rank, (_, bucket) in enumerate(buckets):
        name = bucket.name.text
        later = (r for inner in contents[name] for r in ranks.get(inner, ()) if r > rank)
        for other in sorted(later):
            inner = buckets[other][1].name
            if name in contents[inner.text]:
                raise error(inner.at, f"{inner.text} and {name} contain each other")
            a, b = place[name], place[inner.text]
            order[a], order[b] = order[b], order[a]
    return order
