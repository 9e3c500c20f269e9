"""What a client must understand to place data by a map: tunables, buckets, steps, choose_args.

Called for the feature bits that an OSD map demands, and where a map's requirements are shown.
Upstream: `src/crush/CrushWrapper.h` and `.cc`, the functions of the same names.
"""

from __future__ import annotations

from spirula.crush.map import BucketAlg, CrushMap, Rule, RuleOp
from spirula.crush.msr import is_msr

MSR_DEFAULTS = (100, 100)
"""Descents, and tries after collisions, of msr rules."""

COMPAT_CHOOSE_ARGS = -1
"""The key of the choose_args that old clients get as ordinary weights."""

_V2_STEPS = {
    RuleOp.CHOOSE_INDEP,
    RuleOp.CHOOSELEAF_INDEP,
    RuleOp.SET_CHOOSE_TRIES,
    RuleOp.SET_CHOOSELEAF_TRIES,
}


def has_nondefault_tunables(crush: CrushMap) -> bool:
    """Tries that are not argonaut's (bobtail)."""
    tunables = crush.tunables
    return (
        tunables.choose_local_tries,
        tunables.choose_local_fallback_tries,
        tunables.choose_total_tries,
    ) != (2, 5, 19)


def has_nondefault_tunables2(crush: CrushMap) -> bool:
    """`chooseleaf_descend_once` is on (bobtail)."""
    return crush.tunables.chooseleaf_descend_once != 0


def has_nondefault_tunables3(crush: CrushMap) -> bool:
    """`chooseleaf_vary_r` is on (firefly)."""
    return crush.tunables.chooseleaf_vary_r != 0


def has_nondefault_tunables5(crush: CrushMap) -> bool:
    """`chooseleaf_stable` is on (jewel)."""
    return crush.tunables.chooseleaf_stable != 0


def has_nondefault_tunables_msr(crush: CrushMap) -> bool:
    """Tries of msr rules that are not those of 19.2 (squid)."""
    return (crush.tunables.msr_descents, crush.tunables.msr_collision_tries) != MSR_DEFAULTS


def is_v2_rule(rule: Rule | None) -> bool:
    """The rule has steps that came with erasure codes (firefly)."""
    return rule is not None and any(step.op in _V2_STEPS for step in rule.steps)


def is_v3_rule(rule: Rule | None) -> bool:
    """The rule sets `chooseleaf_vary_r` (firefly)."""
    return rule is not None and any(s.op == RuleOp.SET_CHOOSELEAF_VARY_R for s in rule.steps)


def is_v5_rule(rule: Rule | None) -> bool:
    """The rule sets `chooseleaf_stable` (jewel)."""
    return rule is not None and any(s.op == RuleOp.SET_CHOOSELEAF_STABLE for s in rule.steps)


def has_v2_rules(crush: CrushMap) -> bool:
    """Any rule is such a rule; likewise the next two."""
    return any(map(is_v2_rule, crush.rules))


def has_v3_rules(crush: CrushMap) -> bool:
    """See `is_v3_rule`."""
    return any(map(is_v3_rule, crush.rules))


def has_v5_rules(crush: CrushMap) -> bool:
    """See `is_v5_rule`."""
    return any(map(is_v5_rule, crush.rules))


def has_msr_rules(crush: CrushMap) -> bool:
    """There are rules that try all their steps again (squid)."""
    return any(rule is not None and is_msr(rule) for rule in crush.rules)


def has_v4_buckets(crush: CrushMap) -> bool:
    """There are straw2 buckets (hammer)."""
    return any(bucket and bucket.alg == BucketAlg.STRAW2 for bucket in crush.buckets)


def has_incompat_choose_args(crush: CrushMap) -> bool:
    """There are choose_args that old clients cannot be given as ordinary weights (luminous)."""
    sets = crush.choose_args
    if not sets:
        return False
    if set(sets) != {COMPAT_CHOOSE_ARGS}:
        return True
    return any(
        len(arg.weight_sets) != 1 or bool(arg.ids)
        for arg in sets[COMPAT_CHOOSE_ARGS].values()
        if arg.weight_sets or arg.ids
    )
