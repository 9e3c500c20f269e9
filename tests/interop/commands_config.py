"""Commands about options that the monitors keep. No names of manager modules: these come and go."""

from __future__ import annotations

from tests.interop.compared import Step

CONF = b"""\
[global]
osd memory target = 2G
fsid=abc
foo = bar
osd_max_backfills=xx
mon_osd_full_ratio = .9
osd_crush_chooseleaf_type = 0
[osd]
osd_max_backfills=8
[osd.1]
debug_osd=3
[client]
rbd_cache = off
"""


def _set(who: str, name: str, value: str, **more: object) -> Step:
    return Step("config set", who=who, name=name, value=value, **more)


def _rm(who: str, name: str) -> Step:
    return Step("config rm", who=who, name=name)


def _get(who: str, **key: str) -> list[Step]:
    if key:
        return [Step("config get", who=who, **key)]
    return [Step("config get", who=who), Step("config get", who=who, format="json")]


def _help(key: str) -> Step:
    # What an option is for we say in our own words.
    return Step("config help", key=key, format="json", ignore=("desc", "long_desc"))


def _reset(version: int, **more: object) -> Step:
    return Step("config reset", num=version, **more)


def _log(**number: int) -> list[Step]:
    return [Step("config log", **number), Step("config log", format="json", **number)]


DUMP = [Step("config dump"), Step("config dump", format="json")]

STEPS = [
    *_log(),
    *DUMP,
    *_get("osd.0"),
    _set("osd", "osd_max_backfills", "3"),
    *_get("osd.0"),
    *_get("osd.0", key="osd_max_backfills"),
    *_get("osd", key="osd_max_backfills"),
    *_get("client.x", key="osd_max_backfills"),
    _set("osd", "osd_max_backfills", "3"),
    _set("osd", "osd_max_backfills", "abc"),
    _set("osd", "osd_max_backfills", "-1"),
    _set("osd", "nosuch", "1"),
    _set("osd", "nosuch", "1", force=True),
    _set("osd", "debug ms", "1"),
    _set("osd", "debug_ms", "a"),
    _set("osd", "debug_osd", "1/5"),
    _set("osd", "debug_osd", "7"),
    _set("osd.0", "osd_memory_target", "3G"),
    _set("osd.0", "osd_memory_target", "1"),
    _set("osd/class:ssd", "osd_memory_target", "4G"),
    _set("osd/host:foo", "osd_memory_target", "5G"),
    _set("osd/host:foo/class:hdd", "osd_memory_target", "6G"),
    _set("class:hdd", "osd_memory_target", "6G"),
    _set("global", "osd_memory_target", "2147483648"),
    _set("global", "fsid", "045fb291-f370-4002-a054-79bb8d2991d6"),
    _set("global", "mon_host", "x"),
    _set("global", "keyring", "x"),
    _set("foo", "debug_osd", "1"),
    _set("", "debug_osd", "1"),
    _set("osd.0/foo", "debug_osd", "1"),
    _set("client.a.b", "debug_rbd", "3"),
    _set("client.a", "debug_rbd", "4"),
    _set("client.a", "rbd_cache", "maybe"),
    _set("client.a", "rbd_cache", "true"),
    _set("mon", "mon_osd_down_out_interval", "1h"),
    _set("mon", "mon_lease", "7.5"),
    _set("mon", "mon_lease", "seven"),
    _set("mon", "log_to_stderr", "false"),
    _set("osd", "osd_op_queue", "bogus"),
    _set("osd", "osd_op_queue", "wpq"),
    _set("osd", "ms_bind_port_min", "99999999999999999999"),
    _set("global", "public_network", "10.0.0.0/8"),
    _set("global", "osd_heartbeat_grace", "1e3"),
    _set("mds", "mds_beacon_grace", "  5 "),
    *DUMP,
    *_get("osd.0"),
    *_get("osd"),
    *_get("client.a.b"),
    *_get("client.a.b.c"),
    *_get("client.admin"),
    *_get("mon.a"),
    *_get("mgr.x"),
    *_get("mds"),
    *_get("global"),
    *_get("osd."),
    *_get("osd.0", key="nosuch"),
    *_get("osd.0", key="fsid"),
    *_get("osd.0", key="mon_host"),
    *_get("osd.0", key="log_file"),
    *_get("osd.0", key=""),
    *_get("osd", key="osd_scrub_begin_hour"),
    *_get("osd", key="osd heartbeat grace"),
    *_get("client.x", key="log_file"),
    *_get("mon", key="mon_lease"),
    *_log(num=3),
    *_log(num=0),
    *_log(num=-1),
    *_log(),
    *(_help(key) for key in ("osd_max_backfills", "log_file", "osd op queue", "debug_osd")),
    *(_help(key) for key in ("osd_memory_target", "mon_lease", "nosuch")),
    _reset(999),
    _reset(-1, outs=False),
    _reset(8),
    *DUMP,
    *_log(num=1),
    _reset(8),
    _rm("osd", "nosuch"),
    _rm("osd", "osd_max_backfills"),
    _rm("osd", "osd max backfills"),
    _rm("xx", "osd_max_backfills"),
    _rm("osd/class:ssd", "osd_memory_target"),
    Step("config assimilate-conf", CONF),
    *DUMP,
    Step("config assimilate-conf", CONF),
    Step("config assimilate-conf", b"garbage\n[x", outs=False),
    Step("config assimilate-conf"),
    Step("config generate-minimal-conf"),
    Step("config-key dump", key="config/"),
    _reset(0),
    *DUMP,
    Step("config-key dump", key="config-history/1"),
]
