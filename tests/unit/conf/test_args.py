"""The command line and what surrounds it: flags, $CEPH_ARGS, files, search order."""

from __future__ import annotations

import os

import pytest

from spirula.conf.args import (
    UsageError,
    Words,
    flag_name,
    inject_args,
    parse_argv,
    parse_early,
    with_environment,
)
from spirula.conf.config import Config, Source
from spirula.conf.file import ConfSyntaxError
from spirula.conf.load import cluster_of, find_first, load, read_key_file, search_paths
from spirula.errors import CephError, InvalidArgument, NotFound, PermissionDenied


def test_dashes_and_underscores_are_alike_in_flags_only():
    assert flag_name("--osd-max_backfills=a-b") == "--osd_max_backfills=a-b"
    assert flag_name("-c") == "-c"
    assert flag_name("a=b-c") == "a=b-c"


@pytest.mark.parametrize(
    ("argv", "name", "value"),
    [
        (["--osd-max-backfills", "3"], "osd_max_backfills", 3),
        (["--osd_max_backfills=4"], "osd_max_backfills", 4),
        (["--auth-debug"], "auth_debug", True),
        (["--auth-debug", "true"], "auth_debug", True),
        (["--auth-debug", "0"], "auth_debug", False),
        (["--auth-debug=1"], "auth_debug", True),
        (["--no-cephx-sign-messages"], "cephx_sign_messages", False),
        (["-m", "10.0.0.1"], "mon_host", "10.0.0.1"),
        (["--keyring=/k"], "keyring", "/k"),
        (["-k", "/k"], "keyring", "/k"),
        (["--setuser", "ceph"], "setuser", "ceph"),
        (["-f"], "daemonize", False),
        (["-d"], "log_to_stderr", True),
        (["--default-run-dir", "/r"], "run_dir", "/r"),
        (["--bind", "127.0.0.1"], "public_addr", "v2:127.0.0.1:0/0"),
    ],
)
def test_a_flag_sets_its_option(argv, name, value):
    config = Config(daemon=True)
    parsed = parse_argv(config, argv)
    assert config.get(name) == value
    assert parsed.rest == []


def test_what_is_not_understood_is_left_over_in_order():
    config = Config()
    parsed = parse_argv(
        config, ["ls", "-p", "rbd", "--osd-max-scrubs", "2", "--fancy", "--", "--auth-debug"]
    )
    assert parsed.rest == ["ls", "-p", "rbd", "--fancy", "--", "--auth-debug"]
    assert config.get("auth_debug") is False


def test_a_bool_flag_does_not_eat_other_words():
    config = Config()
    assert parse_argv(config, ["--auth-debug", "yes"]).rest == ["yes"]
    assert config.get_bool("auth_debug")


def test_a_refused_value_is_told_and_ends_the_parsing():
    config = Config()
    parsed = parse_argv(config, ["--osd-max-scrubs", "many", "--auth-debug"])
    assert "".join(parsed.complaints) == (
        "parse error setting 'osd_max_scrubs' to 'many'"
        " (strict_si_cast: unit prefix not recognized)\n"
    )
    assert parsed.rest == ["--auth-debug"]
    assert parse_argv(config, ["--auth-debug=maybe"]).complaints


def test_a_flag_without_its_value():
    with pytest.raises(UsageError, match="-m requires an argument"):
        parse_argv(Config(), ["-m"])
    assert "requires an argument" in parse_argv(Config(), ["--mon-data"]).complaints[0]


def test_general_flags():
    parsed = parse_argv(
        Config(), ["--no-mon-config", "--show-config-value", "fsid", "--show-config", "-K", "/key"]
    )
    assert parsed.no_mon_config is True
    assert (parsed.show_config_value, parsed.show_config, parsed.key_file) == ("fsid", True, "/key")
    assert parse_argv(Config(), ["--mon-config", "--show-conf"]).no_mon_config is False


def test_early_arguments():
    early = parse_early(
        ["-c", "/x", "x", "--cluster", "blue", "-n", "mon.b", "--no-config-file", "--", "-c", "y"],
        "client",
    )
    assert (early.conf_files, early.cluster) == ("/x", "blue")
    assert (early.entity_type, early.entity_id) == ("mon", "b")
    assert early.no_config_file
    assert early.rest == ["x", "--", "-c", "y"]
    assert parse_early(["-i", "7", "--version", "--show-args"], "osd").entity_id == "7"
    assert parse_early(["-i", "file"], "client").rest == ["-i", "file"]
    for bad in (["-n", "x"], ["--name", "x.y"], ["--id"]):
        with pytest.raises(UsageError):
            parse_early(bad, "client")


def test_words_of_the_environment_stand_in_front():
    assert with_environment(["a", "--", "b"], "-c  x -- y") == ["-c", "x", "a", "--", "y", "b"]
    assert with_environment(["a"], "") == ["a"]


def test_binary_flags_end_with_the_words():
    words = Words(["--x"])
    assert words.binary("--x") is True
    assert not words


def test_inject_args():
    config = Config(daemon=True)
    config.start()
    assert inject_args(config, "--osd-max-backfills 3") == (
        True,
        "osd_max_backfills = '3' (not observed, change may require restart) ",
    )
    assert config.source("osd_max_backfills") is Source.OVERRIDE
    good, text = inject_args(config, "--osd-max-backfills x --nonsense 1 --osd-data /x")
    assert not good
    assert text == (
        "Parse error setting osd_max_backfills to 'x' using injectargs"
        " (strict_si_cast: unit prefix not recognized).\n"
        "Parse error setting osd_data to '/x' using injectargs"
        " (Configuration option 'osd_data' may not be modified at runtime).\n"
        " failed to parse arguments: --nonsense,1\n"
    )


@pytest.fixture
def files(tmp_path):
    (tmp_path / "blue.conf").write_text("[global]\nmon host = b\n[osd.1]\nosd data = /d/$cluster\n")
    (tmp_path / "bad.conf").write_text("[global\n")
    (tmp_path / "key").write_text("AQAkey==\n")
    (tmp_path / "other.txt").write_text("")
    return tmp_path


def test_load_reads_file_environment_and_arguments(files):
    loaded = load(
        ["-c", f"{files}/blue.conf", "--osd-max-scrubs", "5", "rest"],
        entity_type="osd",
        daemon=True,
        environ={
            "CEPH_ARGS": "--id 1 --osd-max-backfills 4",
            "CEPH_KEYRING": "/k",
            "CEPH_LIB": "/lib",
            "POD_MEMORY_LIMIT": str(10 << 30),
            "POD_MEMORY_REQUEST": str(4 << 30),
        },
    )
    config = loaded.config
    assert loaded.path == f"{files}/blue.conf"
    assert loaded.args.rest == ["rest"]
    assert config.identity.name == "osd.1"
    assert config.get_str("osd_data") == "/d/blue"
    assert config.values_by_source("osd_max_backfills") == {Source.ENV: 4, Source.CMDLINE: 4}
    assert config.get_int("osd_max_scrubs") == 5
    assert config.get_str("osd_class_dir") == "/lib"
    assert config.source("keyring") is Source.ENV
    assert config.values_by_source("osd_memory_target") == {
        Source.DEFAULT: 8 << 30,
        Source.ENV: 4 << 30,
    }


def test_the_search_order(files):
    config = Config(load([], environ={"HOME": "/h"}).config.identity)
    assert search_paths(config, "a;b,c", {"CEPH_CONF": "x"}) == ["a", "b", "c"]
    assert search_paths(config, None, {"CEPH_CONF": "/$cluster/x"}) == ["/ceph/x"]
    assert search_paths(config, None, {}) == [
        "/etc/ceph/ceph.conf",
        "/h/.ceph/ceph.conf",
        "ceph.conf",
    ]
    assert load(["-c", f"/no/such,{files}/blue.conf"], environ={}).config.get_str("mon_host") == "b"
    assert load([], environ={"CEPH_CONF": f"{files}/blue.conf"}).path == f"{files}/blue.conf"


def test_files_that_are_absent_or_bad(files):
    with pytest.raises(NotFound, match="search list /no/such"):
        load(["-c", "/no/such"], environ={})
    with pytest.raises(ConfSyntaxError):
        load(["-c", f"{files}/bad.conf"], environ={})
    assert load(["-c", os.devnull], environ={}).config.get_str("mon_host") == ""
    loaded = load([], environ={"CEPH_CONF": "/no/such"})
    assert loaded.warnings == ["did not load config file, using default settings."]
    assert load(["--no-config-file"], environ={"CEPH_CONF": f"{files}/bad.conf"}).path is None


def test_cluster_names():
    assert cluster_of("/x/blue.conf") == "blue"
    assert cluster_of("/x/blue") == "ceph"


def test_key_files(files):
    assert load(["-K", f"{files}/key"], environ={}).config.get_str("key") == "AQAkey=="
    with pytest.raises(CephError):
        read_key_file("/no/such")
    (files / "key").write_bytes(b"\xff")
    with pytest.raises(InvalidArgument):
        read_key_file(f"{files}/key")


def test_the_first_file_that_opens(files):
    assert find_first(f"/no/such;{files}/key,{files}/other.txt") == f"{files}/key"
    with pytest.raises(NotFound):
        find_first("/no/such")
    with pytest.raises(NotFound):
        find_first("")
    if os.getuid() != 0:
        (files / "key").chmod(0)
        with pytest.raises(PermissionDenied):
            find_first(f"{files}/key")
