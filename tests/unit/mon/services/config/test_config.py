"""Options that monitors keep: commands, masks, history, and who is sent what."""

from __future__ import annotations

import pytest

from spirula.messages.mon_client import MConfig
from spirula.mon.services.config.config_map import (
    ConfigMap,
    MaskedOption,
    OptionMask,
    Place,
    make_key,
    parse_key,
    parse_mask,
)
from spirula.mon.services.config.module_options import find_module_option, module_options
from spirula.types.mgr import MgrMap, ModuleInfo, ModuleOption
from tests.unit.mon.harness import HarnessMonitor


@pytest.fixture
def mon():
    return HarnessMonitor()


def value(mon, who, key):
    return mon.ok("config get", who=who, key=key).strip()


def test_the_nearest_section_counts(mon):
    for who, number in (("global", 2), ("client", 3), ("client.a", 4), ("client.a.b", 5)):
        mon.ok("config set", who=who, name="debug_rbd", value=str(number))
    got = [
        value(mon, who, "debug_rbd")
        for who in ("osd.1", "client.x", "client.a", "client.a.c", "client.a.b.c")
    ]
    assert got == ["2/2", "3/3", "4/4", "4/4", "5/5"]
    mon.ok("config rm", who="client.a", name="debug rbd")
    assert value(mon, "client.a", "debug rbd") == "3/3"
    assert mon.restart().ok("config get", who="client.a.b") == (
        "WHO         MASK  LEVEL     OPTION     VALUE  RO\n"
        "client.a.b        advanced  debug_rbd  5/5      \n"
    )


def test_what_is_not_set_has_the_default_of_a_daemon_or_a_client(mon):
    assert value(mon, "osd.0", "log_file") == "/var/log/ceph/$cluster-$name.log"
    assert value(mon, "client.x", "log_file") == ""
    assert value(mon, "osd", "fsid") == "11111111-2222-3333-4444-555555555555"


@pytest.mark.parametrize(
    ("who", "name", "text", "outs"),
    [
        ("osd", "nosuch", "1", "unrecognized config option 'nosuch'"),
        (
            "osd",
            "osd_max_backfills",
            "abc",
            "error parsing value: strict_si_cast: unit prefix not recognized",
        ),
        ("osd", "mon_host", "a", "mon_host is special and cannot be stored by the mon"),
        ("foo", "debug_osd", "1", "unrecognized config target 'foo'"),
        ("", "debug_osd", "1", "unrecognized config target ''"),
        ("osd.0/foo", "debug_osd", "1", "unrecognized config target 'osd.0/foo'"),
    ],
)
def test_settings_that_are_refused(mon, who, name, text, outs):
    before = mon.mon.config_service.last_committed, mon.mon.kv.last_committed
    assert mon.refused("config set", who=who, name=name, value=text) == (22, outs)
    assert (mon.mon.config_service.last_committed, mon.mon.kv.last_committed) == before


def test_force_sets_what_nobody_knows(mon):
    mon.ok("config set", who="osd", name="nosuch", value="1", force=True)
    assert mon.ok("config dump", format="json") == [
        {
            "section": "osd",
            "name": "nosuch",
            "value": "1",
            "level": "unknown",
            "can_update_at_runtime": False,
            "mask": "",
        }
    ]


def test_setting_what_is_set_makes_no_version(mon):
    mon.ok("config set", who="osd", name="osd_max_backfills", value="3")
    before = mon.mon.config_service.last_committed
    mon.ok("config set", who="osd", name="osd_max_backfills", value="3")
    mon.ok("config rm", who="osd", name="osd_heartbeat_grace")
    assert mon.mon.config_service.last_committed == before


def test_history_and_reset(mon):
    for number in ("1", "2", "3"):
        mon.ok("config set", who="osd", name="osd_max_backfills", value=number)
    mon.ok("config set", who="mon", name="debug_mon", value="5")
    (latest,) = mon.ok("config log", num=1, format="json")
    assert (latest["version"], latest["changes"]) == (
        5,
        [{"name": "mon/debug_mon", "new_value": "5/5"}],
    )
    assert mon.refused("config reset", num=99)[0] == 22
    mon.ok("config reset", num=3)
    assert value(mon, "osd", "osd_max_backfills") == "2"
    assert value(mon, "mon", "debug_mon") == "1/5"
    printed = mon.ok("config log", num=2)
    assert printed.splitlines()[0].endswith(" --- reset to 3 ---")
    assert printed.splitlines()[1:3] == [
        "- mon/debug_mon = 5/5",
        "- osd/osd_max_backfills = 3",
    ]
    assert "+ osd/osd_max_backfills = 2" in printed
    again = mon.restart()
    assert again.ok("config log", num=2) == printed
    again.ok("config reset", num=0)
    assert again.ok("config dump", format="json") == []


def test_assimilating_a_file_leaves_what_cannot_be_kept(mon):
    mon.ok("config set", who="osd.1", name="debug_osd", value="7")
    given = (
        b"[global]\nfsid = abc\nosd max backfills = xx\nosd memory target = 2G\nunknown = x\n"
        b"[osd.1]\ndebug_osd = 3\n[osd]\nosd_max_backfills = 8\n"
    )
    left = mon.ok("config assimilate-conf", given)
    assert left == (
        "\n[global]\n\tfsid = abc\n\tosd_max_backfills = xx\n\tunknown = x\n"
        "\n[osd.1]\n\tdebug_osd = 3\n"
    )
    assert mon.ok("config assimilate-conf", given) == left
    assert value(mon, "osd.2", "osd_memory_target") == "2147483648"
    assert value(mon, "osd.2", "osd_max_backfills") == "8"
    assert value(mon, "osd.1", "debug_osd") == "7/7"
    assert mon.refused("config assimilate-conf", b"garbage\n[")[0] == 22


def test_a_minimal_conf_is_enough_to_find_the_cluster(mon):
    assert mon.ok("config generate-minimal-conf") == (
        "# minimal ceph.conf for 11111111-2222-3333-4444-555555555555\n"
        "[global]\n\tfsid = 11111111-2222-3333-4444-555555555555\n"
        "\tmon_host = [v2:127.0.0.1:3300/0,v1:127.0.0.1:6789/0]\n"
    )


def configs(session):
    return [m.config for m in session.connection.sent if isinstance(m, MConfig)]


def test_sessions_are_sent_what_holds_for_them_and_only_changes(mon):
    osd = mon.session("osd.0", "allow profile osd")
    client = mon.session("client.x", "allow r")
    mon.subscribe("config", session=osd)
    mon.subscribe("config", session=client)
    mon.ok("config set", who="osd", name="osd_max_backfills", value="3")
    mon.ok("config set", who="osd.1", name="osd_max_backfills", value="4")
    mon.ok("config set", who="global", name="rbd_cache", value="false")
    assert configs(osd) == [
        {},
        {"osd_max_backfills": "3"},
        {"osd_max_backfills": "3", "rbd_cache": "false"},
    ]
    assert configs(client) == [{}, {"rbd_cache": "false"}]
    once = mon.session("client.y", "allow r")
    mon.subscribe("config", onetime=True, session=once)
    mon.ok("config rm", who="global", name="rbd_cache")
    assert configs(once) == [{"rbd_cache": "false"}]


def test_a_monitor_takes_its_own_values(mon):
    mon.ok("config set", who="mon.a", name="mon_max_pool_pg_num", value="77")
    mon.ok("config set", who="mon.b", name="mon_lease", value="9")
    assert mon.mon.config.get_int("mon_max_pool_pg_num") == 77
    assert mon.mon.config.get_float("mon_lease") == 5.0
    again = mon.restart()
    assert again.mon.config.get_int("mon_max_pool_pg_num") == 77
    again.ok("config rm", who="mon.a", name="mon_max_pool_pg_num")
    assert again.mon.config.get_int("mon_max_pool_pg_num") == 65536


def test_what_should_not_be_in_the_store_is_put_right(mon):
    mon.ok("config-key set", key="config/weird/debug_osd", val="3")
    mon.ok("config-key set", key="config/debug_osd", val="4")
    mon.ok("config-key set", key="config/osd/mon_mds_blacklist_interval", val="60")
    mon.ok("config-key set", key="config/mon/fsid", val="x")
    mon.advance(11.0)
    assert mon.ok("config-key dump", key="config/", format="json") == {
        "config/global/debug_osd": "4",
        "config/osd/mon_mds_blocklist_interval": "60",
    }
    assert value(mon, "osd.0", "debug_osd") == "4/4"


def test_describing_options(mon):
    assert "osd_max_backfills" in mon.ok("config ls").splitlines()
    described = mon.ok("config help", key="osd op queue", format="json")
    assert described["enum_values"] == ["wpq", "mclock_scheduler", "debug_random"]
    assert "  Possible values:  wpq mclock_scheduler debug_random\n" in mon.ok(
        "config help", key="osd_op_queue"
    )
    assert mon.refused("config help", key="nosuch") == (2, "")
    assert mon.refused("config get", who="osd", key="nosuch") == (2, "unrecognized key 'nosuch'")
    assert mon.refused("config get", who="global") == (22, "unrecognized entity 'global'")


# --- masks


@pytest.mark.parametrize(
    ("who", "section", "mask"),
    [
        ("osd", "osd", OptionMask()),
        ("osd.3/class:ssd", "osd.3", OptionMask(device_class="ssd")),
        ("host:a/osd", "osd", OptionMask("host", "a")),
        ("rack:r/class:hdd", "", OptionMask("rack", "r", "hdd")),
    ],
)
def test_targets_are_read_and_written_as_keys(who, section, mask):
    assert parse_mask(who) == (section, mask)
    name, back = parse_key(make_key(section, mask, "mgr/m/o" if not mask else "debug_osd"))
    assert name in {"mgr/m/o", "debug_osd"}
    assert parse_mask(back) == (section or "global", mask)


def test_masks_hold_where_they_say_and_the_nearer_one_wins():
    types = {"osd": 0, "host": 1, "rack": 2, "root": 11}

    def masked(text, *mask, section="osd"):
        return MaskedOption("o", text, section, OptionMask(*mask), None)

    values = ConfigMap(
        [
            masked("all"),
            masked("ssd", "", "", "ssd"),
            masked("rack", "rack", "r1"),
            masked("host", "host", "h1"),
            masked("one", section="osd.9"),
        ]
    )

    def got(entity, device_class="", **location):
        return values.for_entity(entity, Place(location, device_class), types)["o"].value

    assert got("osd.1") == "all"
    assert got("osd.1", "ssd") == "ssd"
    assert got("osd.1", "ssd", rack="r1") == "rack"
    assert got("osd.1", "ssd", rack="r1", host="h1") == "host"
    assert got("osd.1", rack="r2", host="h2") == "all"


def test_options_of_manager_modules():
    mode = ModuleOption(name="mode", type=2, default_value="none", enum_allowed={"none", "x"})
    sleep = ModuleOption(name="sleep", type=1, default_value="5", min="1", max="9")
    module = ModuleInfo(name="bal", module_options={"mode": mode, "sleep": sleep})
    options = module_options(MgrMap(available_modules=[module]))
    assert list(options) == ["mgr/bal/mode", "mgr/bal/sleep"]
    assert find_module_option(options, "mgr/bal/x/mode") is options["mgr/bal/mode"]
    assert find_module_option(options, "mgr/bal") is None
    assert find_module_option(options, "bal/mode") is None
    described = options["mgr/bal/sleep"]
    assert (described.default, described.min, described.max) == (5, 1, 9)
    assert not described.can_update_at_runtime
