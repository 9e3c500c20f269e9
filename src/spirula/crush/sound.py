"""Whether mappers can walk through a map at all: made sure of once, when a mapper is made.

Maps come from peers: a bucket that contains itself would be gone down for ever, and a damaged
number of tries keeps a mapper busy for years where no device fits. What else tools ask of a map,
with bounds on its size, is in `check`; tools call that before they change anything.
"""

from __future__ import annotations

from collections.abc import Mapping

from spirula.crush.knobs import Knobs, knobs_of, set_knob
from spirula.crush.map import Bucket, BucketAlg, ChooseArg, CrushMap, Rule, RuleOp, Step
from spirula.crush.msr import is_msr
from spirula.errors import InvalidArgument, Loop, TooLarge

MAX_TRIES = 1 << 16
"""Tries that a tunable or a step of a rule asks for: where no device fits, all of them are made."""

MAX_ATTEMPTS = 1 << 24
"""Descents that one step of a rule makes for one input at worst: tries of all kinds multiplied."""

_TRIES = (
    RuleOp.SET_CHOOSE_TRIES,
    RuleOp.SET_CHOOSELEAF_TRIES,
    RuleOp.SET_CHOOSE_LOCAL_TRIES,
    RuleOp.SET_CHOOSE_LOCAL_FALLBACK_TRIES,
    RuleOp.SET_MSR_DESCENTS,
    RuleOp.SET_MSR_COLLISION_TRIES,
)
_FIRSTN = (RuleOp.CHOOSE_FIRSTN, RuleOp.CHOOSELEAF_FIRSTN)
_LEAF = (RuleOp.CHOOSELEAF_FIRSTN, RuleOp.CHOOSELEAF_INDEP)
_CHOOSE = (*_FIRSTN, RuleOp.CHOOSE_INDEP, RuleOp.CHOOSELEAF_INDEP)


def check_sound(crush: CrushMap, choose_args: Mapping[int, ChooseArg]) -> None:
    """Raises Loop for a bucket that contains itself, InvalidArgument where lists that belong
    together are not as long as each other, TooLarge for more tries than the limits above.
    """
    check_tries(crush)
    for number, rule in enumerate(crush.rules):
        if rule is not None and _attempts(crush, rule) > MAX_ATTEMPTS:
            raise TooLarge(f"rule {number} may try more than {MAX_ATTEMPTS} times for one input")
    for index, bucket in enumerate(crush.buckets):
        if bucket is None:
            continue
        if bucket.id != -1 - index:
            raise InvalidArgument(f"bucket {bucket.id} is in the place of {-1 - index}")
        _check_lists(bucket)
        arg = choose_args.get(index)
        if arg is not None and bucket.alg == BucketAlg.STRAW2:
            for row in (*arg.weight_sets, *([arg.ids] if arg.ids else [])):
                if len(row) != len(bucket.items):
                    raise InvalidArgument(
                        f"choose_args of bucket {bucket.id} are {len(row)} numbers"
                        f" for {len(bucket.items)} items"
                    )
    _check_loops({bucket.id: bucket for bucket in crush.buckets if bucket is not None})


def check_tries(crush: CrushMap) -> None:
    """Raises TooLarge for a number of tries that nobody means."""
    t = crush.tunables
    tries = [t.choose_local_tries, t.choose_local_fallback_tries, t.choose_total_tries]
    tries += [t.msr_descents, t.msr_collision_tries]
    for rule in crush.rules:
        tries += [step.arg1 for step in (rule.steps if rule else ()) if step.op in _TRIES]
    if max(tries) > MAX_TRIES:
        raise TooLarge(f"a map asks for at most {MAX_TRIES} tries, not {max(tries)}")


def _attempts(crush: CrushMap, rule: Rule) -> int:
    """The most descents that a step of the rule may make for one input.

    Places that the caller asks for come on top of it, those that the rule itself asks for do not.
    """
    if is_msr(rule):
        descents, collisions = crush.tunables.msr_descents, crush.tunables.msr_collision_tries
        for step in rule.steps:
            if step.op == RuleOp.SET_MSR_DESCENTS:
                descents = step.arg1
            elif step.op == RuleOp.SET_MSR_COLLISION_TRIES:
                collisions = step.arg1
        return max(descents, 0) * max(collisions, 0)
    knobs = knobs_of(crush.tunables)
    most = 0
    for step in rule.steps:
        if step.op in _CHOOSE:
            most = max(most, _step_attempts(crush, step, knobs))
        else:
            set_knob(knobs, step.op, step.arg1)
    return most


def _step_attempts(crush: CrushMap, step: Step, knobs: Knobs) -> int:
    tries, leaf_tries, places = knobs.tries, knobs.leaf_tries or 1, 1
    if step.op in _FIRSTN:
        local = max(knobs.local_tries, knobs.local_fallback_tries)
        if not knobs.leaf_tries and not crush.tunables.chooseleaf_descend_once:
            leaf_tries = tries
        tries += local
        leaf_tries += local
        # Each of these is looked for, though few are needed; `indep` looks for what is needed.
        places = max(step.arg1, 1)
    return places * tries * (leaf_tries if step.op in _LEAF else 1)


def _check_lists(bucket: Bucket) -> None:
    size = len(bucket.items)
    weights, derived = len(bucket.item_weights), len(bucket.derived)
    match bucket.alg:
        case BucketAlg.STRAW2:
            fits = weights == size
        case BucketAlg.LIST | BucketAlg.STRAW:
            fits = weights == size == derived
        case BucketAlg.TREE:
            # a node for each item at least, in a whole tree: a power of two
            fits = size == 0 or (derived >= 2 * size and derived & (derived - 1) == 0)
        case _:
            fits = True
    if not fits:
        raise InvalidArgument(
            f"bucket {bucket.id} has {size} items, {weights} weights and {derived} derived numbers"
        )


def _check_loops(buckets: Mapping[int, Bucket]) -> None:
    done: set[int] = set()
    for root in buckets:
        if root in done:
            continue
        way = [(root, iter(buckets[root].items))]
        upon = {root}
        while way:
            id, items = way[-1]
            for item in items:
                if item < 0 and item in buckets and item not in done:
                    if item in upon:
                        raise Loop(f"bucket {item} contains itself")
                    upon.add(item)
                    way.append((item, iter(buckets[item].items)))
                    break
            else:
                way.pop()
                upon.remove(id)
                done.add(id)
