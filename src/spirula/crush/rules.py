"""Rules of a CRUSH map: by failure domain or for erasure codes, renamed, removed, counted.

Called by tools and by the monitor's commands. Texts of refusals are those that upstream's
`src/crush/CrushWrapper.cc` and `ErasureCode.cc` give to clients.
"""

from __future__ import annotations

from collections.abc import Iterable

from spirula.crush.build import add_rule
from spirula.crush.classes import class_id, rebuild_roots_with_classes
from spirula.crush.lookup import find_item, rule_id, type_id
from spirula.crush.map import CrushMap, Rule, RuleOp, Step
from spirula.errors import Exists, InvalidArgument, NotFound

REPLICATED = 1
ERASURE = 3

_LEAF_TRIES = 5
_TRIES = 100
# By mode: with and without a failure domain, and the sizes that the rule's mask allows.
_MODES = {
    "firstn": (RuleOp.CHOOSELEAF_FIRSTN, RuleOp.CHOOSE_FIRSTN, 1, 10),
    "indep": (RuleOp.CHOOSELEAF_INDEP, RuleOp.CHOOSE_INDEP, 3, 20),
}
_CHOICES = {"choose": RuleOp.CHOOSE_INDEP, "chooseleaf": RuleOp.CHOOSELEAF_INDEP}


def add_simple_rule(
    crush: CrushMap,
    name: str,
    root: str,
    failure_domain: str = "",
    *,
    device_class: str = "",
    mode: str = "firstn",
    type: int = REPLICATED,
    id: int | None = None,
) -> int:
    """Add the rule "as many devices below `root` as wanted, no two in one `failure_domain`".

    `failure_domain` names a type, or is empty: then devices are chosen without such a bound. Only
    devices of `device_class`, if one is named. `mode` is firstn (replicas) or indep (shards, whose
    places matter). Gives the rule's id: `id`, or else the first that is free.
    Raises Exists for a name or id that is taken, NotFound for the root, InvalidArgument for a type,
    class or mode that is not there, NoSpace after 256 rules; the map is then as it was.
    """
    if rule_id(crush, name) is not None:
        raise Exists(f"rule {name} exists")
    if id is not None and id < len(crush.rules) and crush.rules[id]:
        raise Exists(f"rule with ruleno {id} exists")
    if id is not None and has_ruleset(crush, id):
        raise Exists(f"ruleset {id} exists")
    start = find_item(crush, root)
    if start is None:
        raise NotFound(f"root item {root} does not exist")
    level = type_id(crush, failure_domain) if failure_domain else 0
    if level is None:
        raise InvalidArgument(f"unknown type {failure_domain}")
    if device_class:
        start = _shadow(crush, start, root, device_class)
    if mode not in _MODES:
        raise InvalidArgument(f"unknown mode {mode}: it is firstn or indep")
    leaf, device, least, most = _MODES[mode]
    steps = []
    if mode == "indep":
        steps.append(Step(RuleOp.SET_CHOOSELEAF_TRIES, _LEAF_TRIES))
        steps.append(Step(RuleOp.SET_CHOOSE_TRIES, _TRIES))
    steps += [
        Step(RuleOp.TAKE, start),
        Step(leaf if level else device, 0, level),
        Step(RuleOp.EMIT),
    ]
    return _add(crush, name, Rule(steps, 0, type, least, most), id)


def add_erasure_rule(
    crush: CrushMap,
    name: str,
    root: str,
    failure_domain: str,
    chunks: int,
    *,
    device_class: str = "",
) -> int:
    """Add the rule of an erasure code with that many chunks; gives its id.

    Raises what `add_simple_rule` raises.
    """
    id = add_simple_rule(
        crush, name, root, failure_domain, device_class=device_class, mode="indep", type=ERASURE
    )
    added = crush.rules[id]
    if added:
        added.max_size = chunks & 0xFF
    return id


def add_layered_rule(
    crush: CrushMap,
    name: str,
    root: str,
    choices: Iterable[tuple[str, str, int]],
    chunks: int,
    *,
    device_class: str = "",
) -> int:
    """Add the rule of a layered code (LRC): `choices` are ("choose" or "chooseleaf", type, number).

    Gives its id. Raises Exists, NotFound for the root or the class, InvalidArgument.
    """
    if rule_id(crush, name) is not None:
        raise Exists(f"rule {name} exists")
    start = find_item(crush, root)
    if start is None:
        raise NotFound(f"root item {root} does not exist")
    if device_class:
        if class_id(crush, device_class) is None:
            raise NotFound(f"device class {device_class} does not exist")
        start = _shadow(crush, start, f"item {root}", device_class)
    steps = [
        Step(RuleOp.SET_CHOOSELEAF_TRIES, _LEAF_TRIES),
        Step(RuleOp.SET_CHOOSE_TRIES, _TRIES),
        Step(RuleOp.TAKE, start),
    ]
    for op, type_name, number in choices:
        level = type_id(crush, type_name)
        if level is None:
            raise InvalidArgument(f"unknown crush type {type_name}")
        steps.append(Step(_CHOICES.get(op, RuleOp.CHOOSE_INDEP), number, level))
    steps.append(Step(RuleOp.EMIT))
    return _add(crush, name, Rule(steps, 0, ERASURE, 3, chunks & 0xFF), None)


def _add(crush: CrushMap, name: str, rule: Rule, id: int | None) -> int:
    if id is None:
        id = _free_rule_id(crush)
    rule.ruleset = id & 0xFF
    add_rule(crush, rule, id)
    crush.rule_names[id] = name
    return id


def rename_rule(crush: CrushMap, name: str, new_name: str) -> None:
    """Give a rule another name. Raises NotFound, Exists."""
    id = rule_id(crush, name)
    if id is None:
        raise NotFound(f"source rule name '{name}' does not exist")
    if rule_id(crush, new_name) is not None:
        raise Exists(f"destination rule name '{new_name}' already exists")
    crush.rule_names[id] = new_name


def find_first_rule(crush: CrushMap, type: int) -> int | None:
    """The smallest id (by the name of older releases: ruleset) of the rules of that type."""
    return min((rule.ruleset for rule in crush.rules if rule and rule.type == type), default=None)


def has_ruleset(crush: CrushMap, ruleset: int) -> bool:
    """Whether a rule goes by that number; pools name their rule by it."""
    return any(rule and rule.ruleset == ruleset for rule in crush.rules)


def check_rule_for(crush: CrushMap, ruleset: int, type: int, size: int) -> None:
    """Raise InvalidArgument unless a pool of that type and size may use that rule."""
    for rule in crush.rules:
        if rule and (rule.ruleset, rule.type) == (ruleset, type):
            if size < rule.min_size:
                raise InvalidArgument("pool size is smaller than the crush rule min size")
            if size > rule.max_size:
                raise InvalidArgument("pool size is bigger than the crush rule max size")
            return
    raise InvalidArgument(f"crush rule {ruleset} does not exist for pools of that type")


def renumber_rules(crush: CrushMap) -> dict[int, int]:
    """Give rules of older releases their id as ruleset; by old ruleset, what pools must name."""
    changed = {}
    for id, rule in enumerate(crush.rules):
        if rule and rule.ruleset != id:
            changed[rule.ruleset] = id
            rule.ruleset = id & 0xFF
    return changed


def remove_rule(crush: CrushMap, id: int) -> None:
    """Remove a rule, and the classes that only it still took.

    Raises NotFound if it is not there, and what `populate_classes` raises where the shadow trees
    cannot be made anew: the rule is gone then, as it is with upstream.
    """
    if not 0 <= id < len(crush.rules) or crush.rules[id] is None:
        raise NotFound(f"there is no rule with the id {id}")
    crush.rules[id] = None
    crush.rule_names.pop(id, None)
    rebuild_roots_with_classes(crush)


def _shadow(crush: CrushMap, start: int, root: str, device_class: str) -> int:
    known = class_id(crush, device_class)
    if known is None:
        raise InvalidArgument(f"device class {device_class} does not exist")
    shadow = crush.class_bucket.get(start, {}).get(known)
    if shadow is None:
        raise InvalidArgument(f"root {root} has no devices with class {device_class}")
    return shadow


def _free_rule_id(crush: CrushMap) -> int:
    """The first id that no rule has, neither as its id nor as the ruleset of older releases."""
    rulesets = {rule.ruleset for rule in crush.rules if rule}
    free = (id for id, rule in enumerate(crush.rules) if rule is None and id not in rulesets)
    return next(free, len(crush.rules))
