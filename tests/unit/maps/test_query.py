"""Questions about maps: who is full, what is down as a whole, whose wishes hold."""

from __future__ import annotations

import random

import pytest

from spirula.errors import InvalidArgument
from spirula.maps import query
from spirula.maps.apply import apply_incremental, pending_incremental
from spirula.maps.state import OSDMapFlag, OSDState, in_network, is_blocklisted
from spirula.types.base import UTime
from spirula.types.entity import AddrType, EntityAddr, EntityAddrVec
from tests.unit.maps.balance.lopsided import HOST, RACK, ROOT, lopsided_map


@pytest.fixture
def osdmap():
    return lopsided_map(random.Random(2), racks=2, hosts=2, osds=3, pg_num=8)


def osds_of(osdmap, name):
    by_name = {known: id for id, known in osdmap.crush.item_names.items()}
    return set(query.find_bucket(osdmap.crush, by_name[name]).items), by_name[name]


def test_full_osds_count_where_they_are_worst(osdmap):
    osdmap.osd_state[0] |= OSDState.FULL | OSDState.NEARFULL
    osdmap.osd_state[1] |= OSDState.BACKFILLFULL
    osdmap.osd_state[2] = int(OSDState.EXISTS | OSDState.NEARFULL)  # down
    osdmap.osd_state[3] |= OSDState.NEARFULL
    assert query.full_osds(osdmap) == ([0], [1], [3])
    everything = set(osdmap.pools)
    assert query.full_pools(osdmap) == (everything, everything, everything)
    osdmap.osd_state[0] = osdmap.osd_state[3] = 3
    assert query.full_pools(osdmap) == (set(), everything, set())


def test_subtrees_that_are_down(osdmap):
    osds, host = osds_of(osdmap, "host0-0")
    rack = osds_of(osdmap, "rack0")[1]
    one = min(osds)
    assert not query.subtree_is_down(osdmap, host)
    for osd in osds:
        osdmap.osd_state[osd] = int(OSDState.EXISTS)
    known: set[int] = set()
    assert query.subtree_is_down(osdmap, host, known)
    assert host in known
    assert query.containing_subtree_is_down(osdmap, one, HOST, known)
    assert not query.containing_subtree_is_down(osdmap, one, RACK, known)
    for osd in range(osdmap.max_osd):
        osdmap.osd_state[osd] = int(OSDState.EXISTS)
    assert query.containing_subtree_is_down(osdmap, one, RACK)
    assert query.containing_subtree_is_down(osdmap, one, ROOT)
    assert not query.containing_subtree_is_down(osdmap, one, ROOT + 1)
    assert query.subtree_is_down(osdmap, rack)


def test_wishes_hold_for_all_that_they_are_given_for(osdmap):
    assert not query.has_wish(osdmap, 0, "noout")
    osdmap.crush_node_flags = {osds_of(osdmap, "rack0")[1]: int(OSDState.NOOUT)}
    inside = {osd for osd in range(osdmap.max_osd) if query.has_wish(osdmap, osd, "noout")}
    hosts = [osds_of(osdmap, f"host0-{n}")[0] for n in range(2)]
    assert inside == set().union(*hosts)
    assert not query.has_wish(osdmap, 0, "noup")
    osdmap.crush.device_classes, osdmap.crush.class_names = {7: 3}, {3: "ssd"}
    osdmap.device_class_flags = {3: int(OSDState.NOUP)}
    assert query.has_wish(osdmap, 7, "noup")
    osdmap.osd_state[6] |= OSDState.NOIN
    assert query.has_wish(osdmap, 6, "noin")
    osdmap.flags |= OSDMapFlag.NODOWN
    assert query.has_wish(osdmap, 1, "nodown")


def test_osds_by_address_and_uuid(osdmap):
    addr = EntityAddr.parse("v2:10.0.0.1:6800/5")
    beat = EntityAddr.parse("v2:10.0.0.2:6801/5")
    osdmap.client_addrs[3] = EntityAddrVec([addr])
    osdmap.hb_back_addrs[4] = EntityAddrVec([beat])
    osdmap.osd_uuid[5] = b"u" * 16
    assert query.identify_osd(osdmap, addr) == 3
    assert query.identify_osd(osdmap, beat) == -1
    assert query.identify_osd(osdmap, beat, heartbeats=True) == 4
    assert query.identify_osd(osdmap, b"u" * 16) == 5
    assert query.find_osd_on_ip(osdmap, addr.with_port(1)) == 3
    assert query.find_osd_on_ip(osdmap, beat) == -1


def test_blocked_networks(osdmap):
    network = EntityAddr.parse("10.1.2.0:0/23").with_type(AddrType.CIDR)
    inc = pending_incremental(osdmap)
    inc.new_range_blocklist = {network: UTime(5, 0)}
    blocked = apply_incremental(osdmap, inc)
    for text, held in (("10.1.3.255:1/2", True), ("10.1.4.0:1/2", False), ("[::1]:1/2", False)):
        assert is_blocklisted(blocked, EntityAddr.parse(text)) == held
    six = EntityAddr.parse("[fd00:1::]:0/32").with_type(AddrType.CIDR)
    assert in_network(six, EntityAddr.parse("[fd00:1:ffff::1]:7/7"))
    assert not in_network(six, EntityAddr.parse("[fd00:2::1]:7/7"))
    inc = pending_incremental(blocked)
    inc.new_range_blocklist = {network: UTime(9, 0)}  # known already: keeps its time
    assert apply_incremental(blocked, inc).range_blocklist == {network: UTime(5, 0)}
    inc.new_range_blocklist, inc.old_range_blocklist = {}, [network]
    assert apply_incremental(blocked, inc).range_blocklist == {}


def test_rules_that_pools_need(osdmap):
    query.validate_crush_rules(osdmap, osdmap.crush)
    assert query.crush_rule_in_use(osdmap, 4)
    rules = osdmap.crush.rules
    osdmap.crush.rules = [*rules[:4], None]
    with pytest.raises(InvalidArgument, match="references crush_rule 4 but it is not present"):
        query.validate_crush_rules(osdmap, osdmap.crush)
    osdmap.crush.rules = rules
    for field, value, says in (
        ("ruleset", 9, "mask ruleset does not match rule id"),
        ("type", 1, "pool 5 type does not match rule 4"),
        ("max_size", 3, "does not fall within rule 4 min_size 1 and max_size 3"),
    ):
        before = getattr(rules[4], field)
        setattr(rules[4], field, value)
        with pytest.raises(InvalidArgument, match=says):
            query.validate_crush_rules(osdmap, osdmap.crush)
        setattr(rules[4], field, before)


def test_what_a_byte_takes(osdmap):
    assert query.pool_raw_used_rate(osdmap, osdmap.pools[1]) == 3
    osdmap.pools[5].erasure_code_profile = "p"
    osdmap.erasure_code_profiles = {"p": {"k": "4", "m": "2"}}
    assert query.pool_raw_used_rate(osdmap, osdmap.pools[5]) == 1.5
    osdmap.erasure_code_profiles = {"p": {"k": "four"}}
    assert query.pool_raw_used_rate(osdmap, osdmap.pools[5]) == 0


def test_what_an_incremental_marks(osdmap):
    inc = pending_incremental(osdmap)
    osdmap.osd_weight[3] = 0
    inc.new_weight = {0: 0, 1: 0, 3: 5}
    inc.new_state = {0: int(OSDState.UP), 1: int(OSDState.UP), 2: int(OSDState.NOUP)}
    osdmap.osd_state[1] = int(OSDState.EXISTS)
    assert query.net_marked_out(inc, osdmap) == 1
    assert query.net_marked_down(inc, osdmap) == 0
