"""Policies: upstream's table, and who gets which."""

from __future__ import annotations

import pytest

from spirula.denc.features import CRUSH_MSR, OSDREPLYMUX, PACIFIC, SERVER_LUMINOUS
from spirula.msgr import policies
from spirula.msgr.policies import Policy, PolicySet
from spirula.msgr.protocol.throttle import Throttle
from spirula.types.entity import EntityType


@pytest.mark.parametrize(
    ("policy", "lossy", "server", "standby", "resetcheck", "registers"),
    [
        (Policy.stateful_server(), False, True, True, True, True),
        (Policy.stateless_registered_server(), True, True, False, False, True),
        (Policy.stateless_server(), True, True, False, False, False),
        (Policy.lossless_peer(), False, False, True, False, True),
        (Policy.lossless_peer_reuse(), False, False, True, True, True),
        (Policy.lossy_client(), True, False, False, False, True),
        (Policy.lossless_client(), False, False, False, True, True),
    ],
)
def test_what_each_policy_promises(policy, lossy, server, standby, resetcheck, registers):
    assert (policy.lossy, policy.server, policy.standby) == (lossy, server, standby)
    assert policy.resetcheck is resetcheck
    assert policy.registers is registers


def test_monitors_keep_sessions_with_monitors_only():
    of = policies.monitor_policies().of
    assert not of(EntityType.MON).lossy
    assert of(EntityType.MON).features_required == SERVER_LUMINOUS
    for kind in (EntityType.OSD, EntityType.CLIENT, EntityType.MDS, EntityType.MGR):
        assert of(kind).lossy
        assert of(kind).server


def test_osds_lose_nothing_between_osds():
    of = policies.osd_cluster_policies().of
    assert not of(EntityType.OSD).lossy
    assert of(EntityType.CLIENT).server


def test_an_osd_has_one_session_with_each_client():
    of = policies.osd_public_policies().of
    assert of(EntityType.CLIENT).registers
    assert not of(EntityType.MON).server


def test_clients_lose_nothing_towards_metadata_servers():
    of = policies.cephfs_client_policies().of
    assert not of(EntityType.MDS).lossy
    assert of(EntityType.OSD).lossy
    assert policies.client_policies().of(EntityType.OSD).features_required == OSDREPLYMUX


def test_clients_follow_newer_rules_and_daemons_look_like_pacific():
    for made in (policies.client_policies(), policies.cephfs_client_policies()):
        for kind in (EntityType.MON, EntityType.OSD, EntityType.MDS):
            assert made.of(kind).features_supported == PACIFIC | CRUSH_MSR
    for made in (policies.monitor_policies(), policies.osd_public_policies()):
        assert made.of(EntityType.MON).features_supported == PACIFIC
        assert made.of(EntityType.CLIENT).features_supported == PACIFIC


def test_the_other_daemons():
    assert policies.mgr_policies().of(EntityType.OSD).server
    assert not policies.mds_policies().of(EntityType.CLIENT).lossy
    assert policies.osd_heartbeat_client_policies().of(EntityType.OSD).lossy
    assert policies.osd_heartbeat_server_policies().of(EntityType.OSD).server


def test_throttles_belong_to_a_type_of_peer():
    made = PolicySet(Policy.stateless_server())
    size, messages = Throttle(10), Throttle(1)
    made.throttle(EntityType.CLIENT, size, messages)
    assert made.of(EntityType.CLIENT).throttle_bytes is size
    assert made.of(EntityType.CLIENT).throttle_messages is messages
    assert made.of(EntityType.CLIENT).server
    assert made.of(EntityType.OSD).throttle_bytes is None
