"""The configuration in force: sources, expansion, watching, showing."""

from __future__ import annotations

import uuid
from itertools import pairwise

import pytest

from spirula.conf.config import Config, Source, check_schema
from spirula.conf.expand import Identity
from spirula.conf.file import parse_conf
from spirula.conf.options import schema
from spirula.conf.values import BadValue
from spirula.errors import InvalidArgument, InvariantBroken, NotFound, NotPermitted

OSD = Identity("osd", "3", cluster="blue", host="node", home="/home/me", pid=42, context_id=7)


@pytest.fixture
def config():
    return Config(OSD, daemon=True)


def test_the_stronger_source_wins_and_gives_way_again(config):
    assert config.get_int("osd_max_backfills") == 1
    for value, source in enumerate(Source, start=2):
        if source is not Source.DEFAULT:
            config.set("osd_max_backfills", str(value), source)
            assert config.get_int("osd_max_backfills") == value
            assert config.source("osd_max_backfills") is source
    config.set("osd_max_backfills", "99", Source.MON)
    assert config.get_int("osd_max_backfills") == 7
    for source in sorted(Source, reverse=True):
        config.rm("osd_max_backfills", source)
    assert config.get_int("osd_max_backfills") == 1
    assert not config.rm("osd_max_backfills")


def test_a_daemon_has_defaults_of_its_own():
    assert Config(daemon=True).get_str("admin_socket") == "/var/run/ceph/ceph-client.admin.asok"
    assert Config(daemon=False).get_str("admin_socket") == ""


def test_typed_reading(config):
    config.set("fsid", "c6dc2736-828e-4164-9a03-d5312a8c3029")
    assert config.get_uuid("fsid") == uuid.UUID("c6dc2736-828e-4164-9a03-d5312a8c3029")
    assert config.get_str("osd memory target") == "4294967296"
    assert config.get_float("mon_osd_full_ratio") == 0.95
    assert config.get_bool("auth_debug") is False
    for read, name in (
        (config.get_int, "auth_debug"),
        (config.get_bool, "osd_max_backfills"),
        (config.get_float, "host"),
        (config.get_uuid, "host"),
    ):
        with pytest.raises(InvariantBroken):
            read(name)
    with pytest.raises(NotFound):
        config.get("no_such_option")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("/x/$cluster-$id", "/x/blue-3"),
        ("$type.$num=$name@$host", "osd.3=osd.3@node"),
        ("${id}x$pid.$cctid", "3x42.7"),
        ("lost $home/y", "/home/me/y"),
        ("$unknown ${unknown} $$ $1", "$unknown ${unknown} $$ $1"),
        ("a ${open b", "a $ b"),
        ("tail ${open", "tail $"),
        ("$osd_max_backfills/$auth_debug", "1/false"),
        ("$mon_osd_full_ratio", "0.950000"),
        ("$pid_file", "$pid_file"),
    ],
)
def test_metavariables(config, text, value):
    config.set("pid_file", text)
    assert config.get_str("pid_file") == value


def test_a_loop_ends_and_is_told(config):
    config.set("mon_data", "$osd_data")
    config.set("osd_data", "$mon_data")
    value, complaints = config.expanded("mon_data")
    assert value == "$mon_data"
    assert "".join(complaints) == (
        "variable expansion loop at mon_data=$osd_data\nexpansion stack:\n"
        "osd_data=$mon_data\nmon_data=$osd_data\n"
    )


def test_options_that_double_one_another_are_bounded(config):
    names = [
        name for name, one in schema().items() if one.type.value == "str" and not one.subsystem
    ]
    names = [name for name in names if schema()[name].validator is None]
    chain = [name for name in names if not schema()[name].enum_values][:60]
    for name, after in pairwise(chain):
        config.set(name, f"${after}${after}")
    value, complaints = config.expanded(chain[0])
    assert len(str(value)) < 1 << 21
    assert complaints


def test_a_file_counts_section_by_section_and_bad_values_are_told(config):
    complaints = config.set_file(
        parse_conf(
            "[global]\nlog file = g\nosd max scrubs = x\nunknown = 1\n[osd]\nlog file = o\n"
            "osd data = /d\n[osd.3]\nosd data = /3\n[osd.4]\nosd data = /4\n"
        )
    )
    assert complaints == [
        'parse error setting "osd_max_scrubs" to "x" (strict_si_cast: unit prefix not recognized)'
    ]
    assert config.get_str("log_file") == "o"
    assert config.get_str("osd_data") == "/3"
    assert config.get_int("osd_max_scrubs") == 1
    assert config.source("osd_data") is Source.FILE
    assert config.lookup_file("unknown") == "1"
    assert config.lookup_file("osd data", ["osd.4"]) == "/4"
    assert config.lookup_file("absent") is None


def test_the_monitors_values_replace_one_another_and_some_are_ignored(config):
    complaints = config.set_mon(
        {"osd_max_scrubs": "3", "mon_host": "a", "auth_debug": "perhaps", "unknown": "1"}
    )
    assert [text.partition(":")[0] for text in complaints] == ["failed to set auth_debug = perhaps"]
    assert config.get_int("osd_max_scrubs") == 3
    assert config.ignored_mon_values == {"mon_host": "a", "auth_debug": "perhaps"}
    assert config.get_str("mon_host") == ""
    config.set_mon({})
    assert config.get_int("osd_max_scrubs") == 1
    assert config.ignored_mon_values == {}


def test_bounds_and_permitted_words(config):
    with pytest.raises(BadValue, match="'sometimes' is not one of the permitted values: "):
        config.set("osd_pool_default_pg_autoscale_mode", "sometimes")
    with pytest.raises(BadValue, match="below minimum 939524096"):
        config.set("osd_memory_target", "1")
    with pytest.raises(BadValue, match="exceeds maximum 10"):
        config.set("osd_pool_default_size", "11")
    with pytest.raises(BadValue, match="power of two"):
        config.set("rbd_discard_granularity_bytes", "3")
    config.set("rbd_default_features", "layering, journaling")
    assert config.get_str("rbd_default_features") == "65"
    config.set("rbd_default_features", " ")
    assert config.get_str("rbd_default_features") == "61"
    for text in ("layering,flying", "999999", "256"):
        with pytest.raises(BadValue, match="ignoring"):
            config.set("rbd_default_features", text)
    config.set("rbd_default_pool", "a/b")
    assert config.get_str("rbd_default_pool") == "rbd"
    config.set("rbd_default_data_pool", "a@b")
    assert config.get_str("rbd_default_data_pool") == ""


def test_a_running_daemon_changes_only_what_can_change_or_is_watched(config):
    config.start()
    config.set("osd_max_backfills", "2")
    config.set("debug_osd", "20")
    with pytest.raises(NotPermitted, match="'osd_data' may not be modified at runtime"):
        config.set("osd_data", "/elsewhere")
    config.set("osd_data", "/var/lib/ceph/osd/$cluster-$id")
    config.observe(["osd_data"], lambda names: None)
    config.set("osd_data", "/elsewhere")
    assert config.get_str("osd_data") == "/elsewhere"


def test_observers_hear_once_of_all_they_watch(config):
    heard = []
    watch = heard.append
    config.observe(["osd_max_backfills", "osd_max_scrubs"], watch)
    config.start()
    assert heard == [{"osd_max_backfills", "osd_max_scrubs"}]
    config.set("osd_max_backfills", "2")
    config.set("osd_max_backfills", "3")
    config.set("osd_recovery_sleep", "1")
    config.set("debug_ms", "1")
    assert config.apply_changes() == (
        "osd_max_backfills = '3' osd_recovery_sleep = '1.000000' "
        "(not observed, change may require restart) "
    )
    assert heard[1:] == [{"osd_max_backfills"}]
    assert config.apply_changes() == ""
    config.unobserve(watch)
    config.set("osd_max_backfills", "4")
    config.apply_changes()
    assert len(heard) == 2


def test_a_weaker_change_is_no_change(config):
    config.set("osd_max_backfills", "5")
    config.apply_changes()
    assert not config.set("osd_max_backfills", "6", Source.FILE)
    assert not config.set("osd_max_backfills", "5")
    assert config.apply_changes() == ""


def test_show_and_diff(config):
    config.set("osd_memory_target", "8G", Source.FILE)
    config.set("osd_max_backfills", "2", Source.MON)
    config.set("osd_data", "/d/$id", Source.CMDLINE)
    shown = config.show()
    assert list(shown)[:2] == ["name", "cluster"]
    assert list(shown)[2:] == sorted(schema())
    assert (shown["name"], shown["cluster"], shown["osd_data"]) == ("osd.3", "blue", "/d/3")
    diff = config.diff()
    assert diff["osd_memory_target"] == {
        "default": "4294967296",
        "file": "8589934592",
        "final": "8589934592",
    }
    assert diff["osd_max_backfills"] == {"default": 1, "mon": 2, "final": 2}
    assert diff["osd_data"]["cmdline"] == "/d/$id"
    assert diff["osd_data"]["final"] == "/d/3"
    assert diff["rbd_default_features"] == {"default": "61", "final": "61"}
    assert set(diff) == {
        *("osd_memory_target", "osd_max_backfills", "osd_data", "rbd_default_features")
    }


def test_what_is_reported_to_the_manager(config):
    config.set("host", "h")
    config.set("osd_max_backfills", "2", Source.FILE)
    config.set("osd_max_backfills", "3")
    config.set_mon({"mon_host": "x"})
    reported = config.reported_values()
    assert reported["osd_max_backfills"] == {2: "2", 5: "3"}
    assert reported["mon_host"] == {0: ""}
    assert "host" not in reported
    defaults = config.reported_defaults()
    assert defaults["rbd_default_features"] == "61"
    assert defaults["osd_max_backfills"] == "1"


def test_the_table_is_sound():
    check_schema(schema())
    names = list(schema())
    assert len(names) > 900
    for name, option in schema().items():
        assert option.name == name
        assert option.as_dict()["name"] == name


def test_a_broken_table_is_found():
    option = schema()["osd_max_backfills"]
    with pytest.raises(InvalidArgument, match="bad name"):
        check_schema({"other": option})
    with pytest.raises(InvalidArgument, match="see_also"):
        check_schema(
            {"fsid": schema()["fsid"], "osd_scrub_begin_hour": schema()["osd_scrub_begin_hour"]}
        )
