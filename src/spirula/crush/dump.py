"""A CRUSH map as a document, for JSON and XML: `crushtool --dump`, `osd crush dump` and its parts.

Called by `spirula crushtool` and by the monitor's commands. Fields and their order are those of
`CrushWrapper::dump` in upstream's `src/crush/CrushWrapper.cc`.
"""

from __future__ import annotations

from spirula.crush.build import item_weights, matching_profile
from spirula.crush.features import has_msr_rules, has_nondefault_tunables_msr
from spirula.crush.lookup import item_class
from spirula.crush.map import Bucket, BucketAlg, ChooseArg, CrushMap, Rule, RuleOp
from spirula.crush.weights import signed, to_float
from spirula.printing import Items

_ALGORITHMS = {alg: alg.name.lower() for alg in BucketAlg}
_HASHES = {0: "rjenkins1"}

_V2_OPS = {
    RuleOp.CHOOSE_INDEP,
    RuleOp.CHOOSELEAF_INDEP,
    RuleOp.SET_CHOOSE_TRIES,
    RuleOp.SET_CHOOSELEAF_TRIES,
}
_CHOICES = {
    RuleOp.CHOOSE_FIRSTN: "choose_firstn",
    RuleOp.CHOOSE_INDEP: "choose_indep",
    RuleOp.CHOOSELEAF_FIRSTN: "chooseleaf_firstn",
    RuleOp.CHOOSELEAF_INDEP: "chooseleaf_indep",
}
_SETTINGS = {
    RuleOp.SET_CHOOSE_TRIES: "set_choose_tries",
    RuleOp.SET_CHOOSELEAF_TRIES: "set_chooseleaf_tries",
}


def dump(crush: CrushMap) -> dict[str, object]:
    """The whole map."""
    return {
        "devices": Items("device", (_device(crush, id) for id in range(crush.max_devices))),
        "types": _types(crush),
        "buckets": Items("bucket", (_bucket(crush, bucket) for bucket in crush.buckets if bucket)),
        "rules": dump_rules(crush),
        "tunables": dump_tunables(crush),
        "choose_args": dump_choose_args(crush),
    }


def _device(crush: CrushMap, id: int) -> dict[str, object]:
    made: dict[str, object] = {"id": id, "name": crush.item_names.get(id, f"device{id}")}
    device_class = item_class(crush, id)
    return made if device_class is None else made | {"class": device_class}


def _types(crush: CrushMap) -> Items:
    names = {id: name for id, name in crush.type_names.items() if id >= 0}
    if names:
        names.setdefault(0, "device")
    return Items("type", ({"type_id": id, "name": names[id]} for id in sorted(names)))


def _bucket(crush: CrushMap, bucket: Bucket) -> dict[str, object]:
    made: dict[str, object] = {"id": bucket.id}
    if bucket.id in crush.item_names:
        made["name"] = crush.item_names[bucket.id]
    made["type_id"] = bucket.type
    if bucket.type in crush.type_names:
        made["type_name"] = crush.type_names[bucket.type]
    weights = item_weights(bucket)
    made["weight"] = signed(bucket.weight)
    made["alg"] = _ALGORITHMS.get(BucketAlg(bucket.alg), "unknown")
    made["hash"] = _HASHES.get(bucket.hash, "unknown")
    made["items"] = Items(
        "item",
        (
            {"id": item, "weight": signed(weights[position]), "pos": position}
            for position, item in enumerate(bucket.items)
        ),
    )
    return made


# ---------------------------------------------------------------------------------------- rules


def dump_rules(crush: CrushMap) -> Items:
    """All rules."""
    return Items("rule", (dump_rule(crush, id) for id, rule in enumerate(crush.rules) if rule))


def dump_rule(crush: CrushMap, id: int) -> dict[str, object]:
    """The rule with that id, which must be there."""
    rule = crush.rules[id] or Rule()
    made: dict[str, object] = {"rule_id": id}
    if id in crush.rule_names:
        made["rule_name"] = crush.rule_names[id]
    made |= {
        "ruleset": rule.ruleset,
        "type": rule.type,
        "min_size": rule.min_size,
        "max_size": rule.max_size,
    }
    steps = (_step(crush, step.op, step.arg1, step.arg2) for step in rule.steps)
    made["steps"] = Items("step", steps)
    return made


def _step(crush: CrushMap, op: int, arg1: int, arg2: int) -> dict[str, object]:
    if op == RuleOp.NOOP:
        return {"op": "noop"}
    if op == RuleOp.TAKE:
        return {"op": "take", "item": arg1, "item_name": crush.item_names.get(arg1, "")}
    if op == RuleOp.EMIT:
        return {"op": "emit"}
    for known, name in _CHOICES.items():
        if op == known:
            return {"op": name, "num": arg1, "type": crush.type_names.get(arg2, "")}
    for known, name in _SETTINGS.items():
        if op == known:
            return {"op": name, "num": arg1}
    return {"opcode": op, "arg1": arg1, "arg2": arg2}


# -------------------------------------------------------------------------------------- tunables


def dump_tunables(crush: CrushMap) -> dict[str, object]:
    """All tunables, the profile they make, and what a client must know to obey the map."""
    t = crush.tunables
    profile = matching_profile(t)
    return {
        "choose_local_tries": signed(t.choose_local_tries),
        "choose_local_fallback_tries": signed(t.choose_local_fallback_tries),
        "choose_total_tries": signed(t.choose_total_tries),
        "chooseleaf_descend_once": signed(t.chooseleaf_descend_once),
        "chooseleaf_vary_r": t.chooseleaf_vary_r,
        "chooseleaf_stable": t.chooseleaf_stable,
        "straw_calc_version": t.straw_calc_version,
        "allowed_bucket_algs": t.allowed_bucket_algs,
        "profile": profile or "unknown",
        "optimal_tunables": int(profile == "jewel"),
        "legacy_tunables": int(profile == "argonaut"),
        "minimum_required_version": minimum_version(crush),
        "require_feature_tunables": int(_changed_tries(crush)),
        "require_feature_tunables2": int(t.chooseleaf_descend_once != 0),
        "has_v2_rules": int(_any_step(crush, _V2_OPS)),
        "require_feature_tunables3": int(t.chooseleaf_vary_r != 0),
        "has_v3_rules": int(_any_step(crush, {RuleOp.SET_CHOOSELEAF_VARY_R})),
        "has_v4_buckets": int(has_straw2(crush)),
        "require_feature_tunables5": int(t.chooseleaf_stable != 0),
        "has_v5_rules": int(_any_step(crush, {RuleOp.SET_CHOOSELEAF_STABLE})),
    }


def minimum_version(crush: CrushMap) -> str:
    """The name of the oldest release whose clients obey the map."""
    t = crush.tunables
    if has_nondefault_tunables_msr(crush) or has_msr_rules(crush):
        return "squid"
    if t.chooseleaf_stable or _any_step(crush, {RuleOp.SET_CHOOSELEAF_STABLE}):
        return "jewel"
    if has_straw2(crush):
        return "hammer"
    if t.chooseleaf_vary_r:
        return "firefly"
    return "bobtail" if t.chooseleaf_descend_once or _changed_tries(crush) else "argonaut"


def has_straw2(crush: CrushMap) -> bool:
    """Whether there is a straw2 bucket, which clients before hammer do not know."""
    return any(bucket and bucket.alg == BucketAlg.STRAW2 for bucket in crush.buckets)


def _any_step(crush: CrushMap, ops: set[RuleOp]) -> bool:
    return any(step.op in ops for rule in crush.rules if rule for step in rule.steps)


def _changed_tries(crush: CrushMap) -> bool:
    t = crush.tunables
    tries = (t.choose_local_tries, t.choose_local_fallback_tries, t.choose_total_tries)
    return tries != (2, 5, 19)


# ----------------------------------------------------------------------------------- choose_args


def dump_choose_args(crush: CrushMap) -> dict[str, object]:
    """All sets of choose_args by pool (-1 is the compat set), each a list of buckets."""
    return {
        str(key): Items(
            "choose_args",
            (
                _choose_arg(index, args[index])
                for index in sorted(args)
                if args[index].weight_sets or args[index].ids
            ),
        )
        for key, args in sorted(crush.choose_args.items())
    }


def _choose_arg(index: int, arg: ChooseArg) -> dict[str, object]:
    made: dict[str, object] = {"bucket_id": -1 - index}
    if arg.weight_sets:
        rows = (Items("weight", map(to_float, row)) for row in arg.weight_sets)
        made["weight_set"] = Items("weights", rows)
    return made | {"ids": Items("id", arg.ids)} if arg.ids else made
