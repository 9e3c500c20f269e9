"""The keys of OSDs: what `osd new` may add, and what goes with an OSD that is destroyed."""

from __future__ import annotations

import pytest

from spirula.commands.reply import Retry
from spirula.errors import Exists, InvalidArgument
from spirula.mon.services.auth import osd_keys
from spirula.mon.services.kv import osd_keys as disk_keys
from tests.unit.mon.harness import HarnessMonitor

UUID = "11111111-1111-1111-1111-111111111111"
KEY = "AQBKbxhfAAAAABAAPqlu8jXYhKkHfMMaAcKYyA=="
OTHER = "AQBKbxhfAAAAABAAPqlu8jXYhKkHfMMaAcKYyQ=="


@pytest.fixture
def mon():
    return HarnessMonitor()


def test_keys_are_made_with_an_osd_and_go_with_it(mon):
    auth = mon.mon.auth
    osd_keys.do_osd_new(auth, osd_keys.validate_osd_new(auth, 3, UUID, KEY, OTHER))
    with pytest.raises(Retry):
        osd_keys.validate_osd_new(auth, 3, UUID, KEY)
    mon.advance(1.0)
    assert mon.ok("auth get", entity="osd.3") == (
        f'[osd.3]\n\tkey = {KEY}\n\tcaps mgr = "allow profile osd"\n'
        '\tcaps mon = "allow profile osd"\n\tcaps osd = "allow *"\n'
    )
    lockbox = mon.ok("auth get", entity=f"client.osd-lockbox.{UUID}", format="json")
    assert lockbox[0]["caps"]["mon"] == (
        f'allow command "config-key get" with key="dm-crypt/osd/{UUID}/luks"'
    )
    assert osd_keys.validate_osd_new(auth, 3, UUID, KEY, OTHER).entities == {}
    with pytest.raises(Exists, match=r"osd\.3 exists but key does not match"):
        osd_keys.validate_osd_new(auth, 3, UUID, OTHER)
    assert osd_keys.osd_has_keys(auth, 3, UUID)
    assert osd_keys.do_osd_destroy(auth, 3, UUID)
    mon.advance(1.0)
    assert not osd_keys.osd_has_keys(auth, 3, UUID)
    assert not osd_keys.do_osd_destroy(auth, 3, UUID)


@pytest.mark.parametrize(
    ("secrets", "text"),
    [(("", ""), "invalid cephx secret."), ((KEY, "?"), "invalid cephx lockbox secret.")],
)
def test_secrets_that_are_no_keys(mon, secrets, text):
    with pytest.raises(InvalidArgument) as refusal:
        osd_keys.validate_osd_new(mon.mon.auth, 3, UUID, *secrets)
    assert refusal.value.message == text


def test_a_disk_key_is_kept_once_and_all_that_is_private_removed(mon):
    kv = mon.mon.kv
    assert not disk_keys.validate_osd_new(kv, UUID, "key")
    disk_keys.do_osd_new(kv, UUID, "key")
    mon.advance(1.0)
    assert disk_keys.validate_osd_new(kv, UUID, "key")
    with pytest.raises(Exists, match="dm-crypt key already exists and does not match"):
        disk_keys.validate_osd_new(kv, UUID, "other")
    mon.ok("config-key set", key="daemon-private/osd.3/a", val="1")
    mon.ok("config-key set", key="daemon-private/osd.3/b", val="2")
    mon.ok("config-key set", key="daemon-private/osd.33/a", val="3")
    assert disk_keys.osd_has_keys(kv, 3, UUID)
    assert disk_keys.do_osd_destroy(kv, 3, UUID)
    mon.advance(1.0)
    assert not disk_keys.osd_has_keys(kv, 3, UUID)
    assert mon.ok("config-key ls", format="json") == ["daemon-private/osd.33/a"]
