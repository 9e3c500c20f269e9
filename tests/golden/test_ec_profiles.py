"""Erasure-code profiles as a real 16.2 monitor completed or refused them, and the pools it made.

`ec_profiles.json` holds, for the words of each `osd erasure-code-profile set`, its answer, the
profile that was stored, and what `osd pool create` and the rule made of it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from spirula.crush.dump import dump_rule
from spirula.ec.profile import Profile
from spirula.ec.registry import erasure_code
from spirula.errors import CephError
from spirula.maps.simple import Defaults, simple_crush
from spirula.mon.services.osdmap.pools.profiles import normalised

RECORDED = json.loads((Path(__file__).parent / "ec_profiles.json").read_text())
DEFAULT = {"plugin": "jerasure", "technique": "reed_sol_van", "k": "2", "m": "2"}
STRIPE_UNIT = 4096  # the option's default, which the recorded profiles say as well
# Whose message our JSON parser words differently, and what the command checks before the profile.
OWN_WORDS = "not a value"
BEFORE = ("ruleset-root=x", "crush-failure-domain=nope")


def numbered(rows: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(row, id=str(number)) for number, row in enumerate(rows)]


def profile_of(words: list[str]) -> Profile:
    given = {key: value for key, _, value in (word.partition("=") for word in words)}
    return given if given.get("plugin", "jerasure") != "jerasure" else {**DEFAULT, **given}


@pytest.mark.golden
@pytest.mark.parametrize(
    "row", numbered([row for row in RECORDED if "".join(row["words"]) not in BEFORE])
)
def test_profiles_are_completed_and_refused_as_upstream_does(row: dict[str, Any]) -> None:
    profile = profile_of(row["words"])
    try:
        stored = normalised(profile, force=False)
    except CephError as error:
        assert -error.errno == row["rc"]
        assert error.message == row["outs"] or OWN_WORDS in row["outs"]
        return
    assert (0, stored) == (row["rc"], row["profile"])
    assert list(stored) == sorted(stored)


@pytest.mark.golden
@pytest.mark.parametrize("row", numbered([row for row in RECORDED if row["pool"]]))
def test_pools_and_rules_follow_from_profiles(row: dict[str, Any]) -> None:
    code = erasure_code(row["profile"])
    pool = row["pool"]
    crush = simple_crush({}, Defaults())
    if pool["rc"]:
        with pytest.raises(CephError) as failed:
            code.create_rule(crush, "r")
        assert (-failed.value.errno, failed.value.message) == (pool["rc"], pool["outs"])
        return
    width = code.data_chunks * code.chunk_size(STRIPE_UNIT * code.data_chunks)
    min_size = code.data_chunks + min(1, code.coding_chunks - 1)
    assert (code.chunks, min_size, width) == (
        pool["size"],
        pool["min_size"],
        pool["stripe_width"],
    )
    number = code.create_rule(crush, "r")
    rule = dump_rule(crush, number)
    assert (rule["steps"], rule["max_size"]) == (pool["steps"], code.chunks)
