from __future__ import annotations

import pytest

from spirula.auth.crypto import KeyType
from spirula.auth.handshake import AuthMethod, ConnectionMode
from spirula.auth.registry import AuthRegistry, KeyTypePolicy, parse_methods, parse_modes
from spirula.errors import InvalidArgument
from spirula.types.entity import EntityType

CRC, SECURE = ConnectionMode.CRC, ConnectionMode.SECURE
CLIENT, MON, OSD, MDS, MGR = (
    EntityType.CLIENT,
    EntityType.MON,
    EntityType.OSD,
    EntityType.MDS,
    EntityType.MGR,
)
CEPHX, NONE = AuthMethod.CEPHX, AuthMethod.NONE

# Which of the six options says how we and a peer of that kind connect.
ROLES = [
    (CLIENT, MON, "ms_mon_client_mode"),
    (CLIENT, MGR, "ms_mon_client_mode"),
    (CLIENT, OSD, "ms_client_mode"),
    (CLIENT, MDS, "ms_client_mode"),
    (MON, MON, "ms_mon_cluster_mode"),
    (MON, MGR, "ms_mon_cluster_mode"),
    (MON, OSD, "ms_mon_service_mode"),
    (MON, CLIENT, "ms_mon_service_mode"),
    (MGR, CLIENT, "ms_mon_service_mode"),
    (OSD, MON, "ms_mon_cluster_mode"),
    (OSD, OSD, "ms_cluster_mode"),
    (OSD, MDS, "ms_cluster_mode"),
    (OSD, CLIENT, "ms_service_mode"),
    (MDS, CLIENT, "ms_service_mode"),
]


@pytest.mark.parametrize(("us", "peer", "option"), ROLES)
def test_the_option_that_counts(us, peer, option):
    others = {name: "crc" for _, _, name in ROLES}
    registry = AuthRegistry.from_options(us, {**others, option: "secure"})
    assert registry.modes(peer, CEPHX) == [SECURE]
    assert registry.modes(peer, NONE) == []


def test_defaults():
    client = AuthRegistry.from_options(CLIENT)
    assert client.methods(MON) == [CEPHX, NONE]
    assert client.modes(MON, CEPHX) == [SECURE, CRC]
    assert client.modes(MON, NONE) == [CRC]
    assert client.modes(OSD, CEPHX) == [CRC, SECURE]
    mon = AuthRegistry.from_options(MON)
    assert mon.methods_required(CLIENT) == mon.methods_required(OSD) == [CEPHX]


def test_methods_by_role():
    options = {
        "auth_cluster_required": "cephx",
        "auth_service_required": "none",
        "auth_client_required": "none,cephx",
    }
    assert AuthRegistry.from_options(CLIENT, options).methods(OSD) == [NONE, CEPHX]
    osd = AuthRegistry.from_options(OSD, options)
    assert (osd.methods(MON), osd.methods(OSD), osd.methods(CLIENT)) == ([CEPHX], [CEPHX], [NONE])
    assert (osd.authorizer_methods(MGR), osd.authorizer_methods(CLIENT)) == ([CEPHX], [NONE])
    mon = AuthRegistry.from_options(MON, options)
    assert (mon.methods(OSD), mon.methods(MGR)) == ([NONE], [CEPHX])
    assert (mon.methods_required(OSD), mon.methods_required(CLIENT)) == ([CEPHX], [NONE])


def test_the_old_option_is_for_all_roles():
    registry = AuthRegistry.from_options(OSD, {"auth_supported": "none"})
    assert registry.methods(MON) == registry.methods(CLIENT) == [NONE]


def test_the_peer_s_order_decides():
    registry = AuthRegistry.from_options(OSD, {"ms_service_mode": "crc secure"})
    assert registry.pick_mode(CLIENT, CEPHX, [SECURE, CRC]) == SECURE
    assert registry.pick_mode(CLIENT, NONE, [SECURE, CRC]) == CRC
    assert registry.pick_mode(CLIENT, CEPHX, [7]) == ConnectionMode.UNKNOWN


def test_lists_have_upstream_s_separators():
    assert parse_methods("cephx;none, gss=bogus\tnone") == [CEPHX, NONE, NONE]
    assert parse_modes("secure,crc") == [SECURE, CRC]
    assert parse_modes("") == []


def test_key_types():
    policy = KeyTypePolicy.from_options("aes,aes256k", "aes256k", "aes")
    assert policy.allowed == {KeyType.AES, KeyType.AES256K}
    assert (policy.preferred, policy.service) == (KeyType.AES256K, KeyType.AES)
    for bad in (("", "aes", "aes"), ("none", "aes", "aes"), ("aes", "none", "aes"), ("x", "", "")):
        with pytest.raises(InvalidArgument):
            KeyTypePolicy.from_options(*bad)
