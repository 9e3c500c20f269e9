"""Changes to a map as operators ask for them: so far rules by failure domain.

Buckets and what is derived from them are `build`'s business, shadow trees that of `classes`. Called
by tools and by the monitor's commands. What each change does to the map is what upstream's
`src/crush/CrushWrapper.cc` does.
"""

from __future__ import annotations

from spirula.crush.build import add_rule
from spirula.crush.classes import class_id, rebuild_roots_with_classes
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


def rule_id(crush: CrushMap, name: str) -> int | None:
    """The id of the rule with that name, or None."""
    found = (id for id in sorted(crush.rule_names, reverse=True) if crush.rule_names[id] == name)
    return next(found, None)


def add_simple_rule(
    crush: CrushMap,
    name: str,
    root: str,
    failure_domain: str = "",
    *,
    device_class: str = "",
    mode: str = "firstn",
    type: int = REPLICATED,
) -> int:
    """Add the rule "as many devices below `root` as wanted, no two in one `failure_domain`".

    `failure_domain` names a type, or is empty: then devices are chosen without such a bound. Only
    devices of `device_class`, if one is named. `mode` is firstn (replicas) or indep (shards, whose
    places matter). Gives the rule's id, the first that is free.
    Raises Exists for a name that is taken, NotFound for the root, InvalidArgument for a type, class
    or mode that is not there, NoSpace after 256 rules; the map is then as it was.
    """
    if rule_id(crush, name) is not None:
        raise Exists(f"rule {name} exists")
    start = _named(crush.item_names, root)
    if start is None:
        raise NotFound(f"root item {root} does not exist")
    level = _named(crush.type_names, failure_domain) if failure_domain else 0
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
    id = _free_rule_id(crush)
    add_rule(crush, Rule(steps, id, type, least, most), id)
    crush.rule_names[id] = name
    return id


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


def _named(names: dict[int, str], name: str) -> int | None:
    """The id of a name; of several the largest, as upstream's reverse maps have it."""
    return max((id for id, known in names.items() if known == name), default=None)


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
