"""Who is up, in, destroyed or shut out."""

from __future__ import annotations

from spirula.maps.apply import apply_incremental, pending_incremental
from spirula.maps.osdmap import OSDMap
from spirula.maps.state import (
    OSDState,
    Release,
    exists,
    is_blocklisted,
    is_destroyed,
    is_in,
    is_up,
    primary_affinity,
)
from spirula.types.base import UTime
from spirula.types.entity import AddrType, EntityAddr, EntityAddrVec


def a_map(*blocked: EntityAddr, release: int = Release.PACIFIC) -> OSDMap:
    """osd.0 up and in, 1 down and out, 2 destroyed, 3 never made."""
    inc = pending_incremental(OSDMap())
    inc.new_max_osd = 4
    inc.new_require_osd_release = release
    inc.new_weight = {0: 0x10000}
    inc.new_state = {
        0: int(OSDState.UP),
        1: int(OSDState.EXISTS),
        2: int(OSDState.EXISTS | OSDState.DESTROYED),
    }
    inc.new_blocklist = {addr: UTime(9, 0) for addr in blocked}
    return apply_incremental(OSDMap(), inc)


def test_osds():
    osdmap = a_map()
    everybody = range(-1, 6)
    assert [osd for osd in everybody if exists(osdmap, osd)] == [0, 1, 2]
    assert [osd for osd in everybody if is_up(osdmap, osd)] == [0]
    assert [osd for osd in everybody if is_in(osdmap, osd)] == [0]
    assert [osd for osd in everybody if is_destroyed(osdmap, osd)] == [2]


def test_affinity_is_full_unless_told():
    osdmap = a_map()
    assert primary_affinity(osdmap, 1) == 0x10000
    osdmap.osd_primary_affinity = [1, 2, 3, 4]
    assert primary_affinity(osdmap, 1) == 2


def client(host: str, port: int, nonce: int, kind: int = AddrType.MSGR2) -> EntityAddr:
    return EntityAddr.of(host, port, nonce=nonce, type=kind)


def test_one_client_is_shut_out_whichever_protocol_it_speaks():
    osdmap = a_map(client("10.0.0.1", 5, 7, AddrType.ANY))
    assert is_blocklisted(osdmap, client("10.0.0.1", 5, 7))
    assert is_blocklisted(osdmap, client("10.0.0.1", 5, 7, AddrType.LEGACY))
    assert not is_blocklisted(osdmap, client("10.0.0.1", 5, 8))
    both = EntityAddrVec([client("10.0.0.2", 1, 1), client("10.0.0.1", 5, 7)])
    assert is_blocklisted(osdmap, both)
    assert not is_blocklisted(osdmap, EntityAddrVec())
    assert not is_blocklisted(a_map(), both)


def test_a_whole_host_is_shut_out():
    osdmap = a_map(client("10.0.0.1", 0, 0, AddrType.ANY))
    assert is_blocklisted(osdmap, client("10.0.0.1", 5, 7))
    assert not is_blocklisted(osdmap, client("10.0.0.2", 5, 7))


def test_entries_of_old_releases():
    osdmap = a_map(client("10.0.0.1", 5, 7, AddrType.LEGACY), release=Release.LUMINOUS)
    assert is_blocklisted(osdmap, client("10.0.0.1", 5, 7))
