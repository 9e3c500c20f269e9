"""What a map demands of clients, where they place data by its rules."""

from __future__ import annotations

import random

import pytest

from spirula.crush.dump import minimum_version
from spirula.crush.features import has_msr_rules
from spirula.crush.map import Rule, RuleOp, Step
from spirula.crush.msr import MSR_FIRSTN, MSR_INDEP
from spirula.crush.wire import CrushWrapper
from spirula.denc.features import CRUSH_MSR, PACIFIC, has
from spirula.maps.features import map_features, min_compat_client
from spirula.maps.osdmap import OSDMap
from spirula.maps.state import Release
from spirula.types.entity import EntityType
from spirula.types.pool import PoolType
from tests.unit.maps.balance.lopsided import lopsided_map

EVERYBODY = (EntityType.CLIENT, EntityType.OSD, EntityType.MDS, EntityType.MON)
STEPS = [Step(RuleOp.TAKE, -1), Step(RuleOp.CHOOSE_MSR, 0, 1), Step(RuleOp.CHOOSE_MSR, 1, 0)]


@pytest.fixture
def osdmap() -> OSDMap:
    return lopsided_map(random.Random(3), racks=2, hosts=2, osds=2, pg_num=8)


def demanded(osdmap: OSDMap) -> set[bool]:
    return {has(map_features(osdmap, kind).features, CRUSH_MSR) for kind in EVERYBODY}


@pytest.mark.parametrize("kind", [MSR_FIRSTN, MSR_INDEP])
def test_rules_that_try_all_steps_again_are_for_squid(osdmap, kind):
    before = min_compat_client(osdmap)
    pool = next(iter(osdmap.pools.values()))
    msr = Rule([*STEPS, Step(RuleOp.EMIT)], len(osdmap.crush.rules), kind, 1, 32)
    osdmap.crush.rules.append(msr)
    assert demanded(osdmap) == {False}
    assert has_msr_rules(osdmap.crush)
    pool.type = PoolType.ERASURE if kind == MSR_INDEP else PoolType.REPLICATED
    pool.crush_rule = len(osdmap.crush.rules) - 1
    assert demanded(osdmap) == {True}
    assert before < min_compat_client(osdmap) == Release.SQUID


@pytest.mark.parametrize("tunable", ["msr_descents", "msr_collision_tries"])
def test_their_tries_too(osdmap, tunable):
    assert demanded(osdmap) == {False}
    setattr(osdmap.crush.tunables, tunable, 7)
    assert demanded(osdmap) == {True}
    assert minimum_version(osdmap.crush) == "squid"


def test_who_knows_such_rules_always_gets_their_tries(osdmap):
    """As 19.2 does; others get them with a map that needs them, for that is not for sending."""
    crush = osdmap.crush
    plain, known = crush.encode(PACIFIC), crush.encode(PACIFIC | CRUSH_MSR)
    assert known == plain + bytes([100, 0, 0, 0, 100, 0, 0, 0])
    assert CrushWrapper.decode(known) == CrushWrapper.decode(plain)
    crush.tunables.msr_descents = 7
    assert crush.encode(PACIFIC) == crush.encode(PACIFIC | CRUSH_MSR)
