"""Clients of earlier releases get from us the bytes that a real monitor sends them, and those are
read.
"""

from __future__ import annotations

import pytest

from spirula.denc.features import OSDMAP_ENC, PACIFIC, SERVER_LUMINOUS, has
from spirula.errors import WireError
from spirula.maps.osdmap import Incremental, OSDMap
from spirula.maps.state import Release
from spirula.mon.services.osdmap.encoding import reencode_full, reencode_incremental
from tests.golden import old_maps

pytestmark = pytest.mark.golden

OLDER = [features for features in old_maps.recorded() if features != PACIFIC]


def read(raw: bytes, full: bool) -> OSDMap | Incremental:
    return OSDMap.decode(raw, exact=True) if full else Incremental.decode(raw, exact=True)


@pytest.mark.parametrize("features", OLDER, ids=hex)
def test_maps_are_encoded_as_the_monitor_encodes_them(features):
    for (full, epoch), sent in old_maps.recorded()[features].items():
        ours = old_maps.recorded()[PACIFIC][full, epoch]
        made = reencode_full(ours, features) if full else reencode_incremental(ours, features)
        assert made == sent, (full, epoch)


@pytest.mark.parametrize("features", OLDER, ids=hex)
def test_maps_are_read_and_written_again(features):
    for (full, epoch), sent in old_maps.recorded()[features].items():
        assert read(sent, full).encode(features) == sent, (full, epoch)


@pytest.mark.parametrize("features", OLDER, ids=hex)
def test_clients_find_in_them_what_they_need(features):
    """Everything that the form for these features has room for is there."""
    for (full, epoch), sent in old_maps.recorded()[features].items():
        if not full:
            continue
        newest = read(old_maps.recorded()[PACIFIC][full, epoch], full)
        found = read(sent, full)
        for name in ("fsid", "epoch", "pool_name", "pool_max", "max_osd", "osd_weight", "pg_temp"):
            assert getattr(found, name) == getattr(newest, name), name
        luminous = has(features, SERVER_LUMINOUS | OSDMAP_ENC)
        states = newest.osd_state if luminous else [state & 0xFF for state in newest.osd_state]
        assert found.osd_state == states
        assert [vec.legacy for vec in found.client_addrs] == [v.legacy for v in newest.client_addrs]
        assert found.pools.keys() == newest.pools.keys()
        for number, pool in found.pools.items():
            for name in ("type", "size", "crush_rule", "pg_num", "pgp_num", "snap_seq", "snaps"):
                assert getattr(pool, name) == getattr(newest.pools[number], name), name
        assert found.crush.rules == newest.crush.rules
        # Clients from before know no more than a flag.
        if has(features, OSDMAP_ENC):
            release = newest.require_osd_release if luminous else Release.LUMINOUS
            assert found.require_osd_release == release


def test_the_recording_has_forms_of_every_age():
    wrappers = {raw[0] for maps in old_maps.recorded().values() for raw in maps.values()}
    parts = {raw[6] for maps in old_maps.recorded().values() for raw in maps.values() if raw[0] > 6}
    assert wrappers == {5, 6, 8}
    assert parts == {3, 5, 6, 7, 8, 9}


@pytest.mark.parametrize("features", OLDER, ids=hex)
def test_what_is_cut_off_is_refused(features):
    for (full, _), sent in old_maps.recorded()[features].items():
        for size in range(0, len(sent), max(len(sent) // 40, 1)):
            with pytest.raises(WireError):
                read(sent[:size], full)
