"""Who may do what: flaws that monitors once had, as tests at the level of commands and messages."""

from __future__ import annotations

import json

import pytest

from spirula.commands.table import CommandFlag
from spirula.messages.command import MCommand
from spirula.messages.mon_client import MConfig, MGetConfig, MKVData
from spirula.types.auth import PrincipalName
from tests.unit.mon.harness import FSID, HarnessMonitor

DENIED = (13, "access denied")
UUID = "11111111-1111-1111-1111-111111111111"
LUKS = f"dm-crypt/osd/{UUID}/luks"
LOCKBOX = f'allow command "config-key get" with key="{LUKS}"'


@pytest.fixture(scope="module")
def mon():
    made = HarnessMonitor()
    made.ok("config-key set", key=LUKS, val="secret")
    made.ok("config-key set", key="mgr/dashboard/key", val="secret")
    return made


def test_no_caps_allow_no_command_at_all(mon):
    """CVE-2020-10736: each command checks caps, the hidden and the obsolete ones too."""
    nobody = mon.session("client.nobody", 'allow command "no such command"')
    for command in mon.mon.commands.all():
        if not command.flags & CommandFlag.OBSOLETE:
            given = {"entity": "client.admin", "key": LUKS, "who": "osd", "name": "x"}
            assert mon.refused(command.prefix, session=nobody, **given) == DENIED, command.prefix


@pytest.mark.parametrize("caps", ["allow r", "allow service osd r", "profile read-only"])
def test_readers_change_nothing(mon, caps):
    """CVE-2018-10861: they could make and remove pools, among others."""
    reader = mon.session("client.reader", caps)
    writing = [c for c in mon.mon.commands.all() if "w" in c.perm]
    assert len({c.module for c in writing}) > 4
    for command in writing:
        if not command.flags & CommandFlag.OBSOLETE:
            assert mon.refused(command.prefix, session=reader) == DENIED, command.prefix


@pytest.mark.parametrize("prefix", ["config-key get", "config-key dump", "config-key ls"])
@pytest.mark.parametrize("caps", ["allow r", "allow rw", "profile read-only", "profile osd"])
def test_readers_do_not_see_disk_keys(mon, prefix, caps):
    """CVE-2018-14662."""
    reader = mon.session("client.reader", caps)
    assert mon.refused(prefix, session=reader, key=LUKS) == DENIED


def test_a_lockbox_opens_its_own_key_only(mon):
    lockbox = mon.session(f"client.osd-lockbox.{UUID}", LOCKBOX)
    assert mon.ok("config-key get", session=lockbox, key=LUKS).startswith("secret")
    assert mon.refused("config-key get", session=lockbox, key="mgr/dashboard/key") == DENIED
    assert mon.refused("config-key dump", session=lockbox, key=LUKS) == DENIED


@pytest.mark.parametrize("caps", ["allow r", "allow rw", "profile osd", "profile rbd", LOCKBOX])
@pytest.mark.parametrize("what", ["kv:", "kv:dm-crypt/", f"kv:{LUKS}", "kv:mgr/", "kv:config/"])
def test_a_subscription_opens_no_more_than_the_command_would(mon, what, caps):
    """CVE-2026-50152: one MMonSubscribe gave the whole config-key store to every reader."""
    session = mon.session("client.reader", caps)
    assert mon.subscribe(what, session=session) == []
    mon.ok("config-key set", key=LUKS, val="secret 2")
    assert session.connection.sent == []
    assert session.subscriptions == {}


@pytest.mark.parametrize("caps", ["allow *", "profile mgr", "allow service config-key r, allow r"])
def test_who_may_read_config_keys_may_subscribe_to_them(mon, caps):
    session = mon.session("mgr.x", caps)
    (news,) = mon.subscribe("kv:mgr/", session=session)
    assert isinstance(news, MKVData)
    assert news.pairs == {"mgr/dashboard/key": b"secret"}


@pytest.mark.parametrize("prefix", ["auth get", "auth get-key", "auth ls", "auth export"])
def test_readers_do_not_see_keys_of_others(mon, prefix):
    reader = mon.session("client.reader", "allow r")
    assert mon.refused(prefix, session=reader, entity="client.admin") == DENIED


def test_a_bootstrap_key_makes_keys_of_its_kind_only(mon):
    bootstrap = mon.session("client.bootstrap-mds", "allow profile bootstrap-mds")
    made = ["mon", "allow profile mds", "osd", "allow rwx", "mds", "allow"]
    mon.ok("auth get-or-create", session=bootstrap, entity="mds.a", caps=made)
    assert (
        mon.refused("auth get-or-create", session=bootstrap, entity="client.a", caps=made) == DENIED
    )
    greedy = ["mon", "allow *", "osd", "allow rwx", "mds", "allow"]
    assert (
        mon.refused("auth get-or-create", session=bootstrap, entity="mds.b", caps=greedy) == DENIED
    )


def test_the_configuration_of_others_takes_caps(mon):
    mon.ok("config set", who="mgr", name="mgr/dashboard/x", value="secret", force=True)
    ask = MGetConfig(name=PrincipalName.parse("mgr.x"), host="")
    assert mon.send(ask, mon.session("client.plain", LOCKBOX)) == []
    (answer,) = mon.send(ask, mon.session("client.reader", "allow r"))
    assert isinstance(answer, MConfig)
    assert answer.config["mgr/dashboard/x"] == "secret"
    (own,) = mon.send(ask, mon.session("mgr.x", LOCKBOX))
    assert own.config == answer.config


@pytest.mark.parametrize("caps", ["allow r", "allow rw", "allow service config rwx", LOCKBOX])
@pytest.mark.parametrize("prefix", ["config set", "config get", "mon_status", "injectargs", "?"])
def test_a_monitor_itself_takes_orders_only_from_who_may_do_everything_there(mon, prefix, caps):
    """CVE-2020-10736: commands to one daemon checked less than those to the cluster."""
    words = {"prefix": prefix, "var": "debug_mon", "val": "20", "who": "mon", "key": "debug_mon"}
    tell = MCommand(fsid=FSID.bytes, cmd=[json.dumps(words)])
    (reply,) = mon.send(tell, mon.session("client.reader", caps))
    assert (reply.r, reply.rs) == (-13, "insufficient caps")
