"""How hard a rule's steps try: what tunables begin with and set_* steps change.

Read by both mappers and by `sound`, which bounds it.
"""

from __future__ import annotations

from spirula.crush.map import RuleOp, Tunables
from spirula.records import dataclass


@dataclass(slots=True)
class Knobs:
    """How hard one step tries; set_* steps of a rule change them."""

    tries: int
    leaf_tries: int
    local_tries: int
    local_fallback_tries: int
    vary_r: int
    stable: int


def knobs_of(tunables: Tunables) -> Knobs:
    """What a rule begins with."""
    return Knobs(
        tunables.choose_total_tries + 1,  # the tunable counts retries
        0,
        tunables.choose_local_tries,
        tunables.choose_local_fallback_tries,
        tunables.chooseleaf_vary_r,
        tunables.chooseleaf_stable,
    )


def set_knob(knobs: Knobs, op: int, value: int) -> None:
    """A set_* step; values and steps that mean nothing here leave the knobs as they are."""
    match op:
        case RuleOp.SET_CHOOSE_TRIES if value > 0:
            knobs.tries = value
        case RuleOp.SET_CHOOSELEAF_TRIES if value > 0:
            knobs.leaf_tries = value
        case RuleOp.SET_CHOOSE_LOCAL_TRIES if value >= 0:
            knobs.local_tries = value
        case RuleOp.SET_CHOOSE_LOCAL_FALLBACK_TRIES if value >= 0:
            knobs.local_fallback_tries = value
        case RuleOp.SET_CHOOSELEAF_VARY_R if value >= 0:
            knobs.vary_r = value
        case RuleOp.SET_CHOOSELEAF_STABLE if value >= 0:
            knobs.stable = value
        case _:
            pass
