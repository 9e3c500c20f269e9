"""What the monitor's caps allow."""

from __future__ import annotations

import pytest

from spirula.auth.caps import mon
from spirula.auth.caps.constraint import command_arguments
from spirula.auth.caps.grammar import EXECUTE, READ, WRITE
from spirula.auth.caps.mon_profiles import profile_grants
from spirula.types.entity import EntityAddr


def may(
    text: str,
    want: str,
    service: str = "",
    command: str = "",
    *,
    name: str = "client.x",
    host: str = "",
    **arguments: str,
) -> bool:
    return mon.parse(text).is_capable(
        name,
        service,
        command,
        arguments,
        read="r" in want,
        write="w" in want,
        execute="x" in want,
        address=EntityAddr.of(host, 0) if host else None,
    )


@pytest.mark.parametrize("letters", ["r", "w", "x", "rw", "rx", "wx", "rwx"])
@pytest.mark.parametrize("want", ["r", "w", "x", "rw", "rx", "wx", "rwx"])
def test_blanket_letters_allow_exactly_themselves(letters: str, want: str) -> None:
    assert may(f"allow {letters}", want, "osd", "osd dump") == (set(want) <= set(letters))


def test_star_is_more_than_all_letters() -> None:
    assert mon.parse("allow *").is_allow_all()
    assert not mon.parse("allow rwx").is_allow_all()
    assert may("allow *", "rwx", "config-key", "config-key dump")
    assert not may("allow rwx", "r", "config-key", "config-key dump")
    assert mon.parse("allow all") == mon.ALLOW_ALL


def test_star_for_one_file_system_is_not_everything() -> None:
    assert not mon.parse("allow * fsname=a").is_allow_all()
    assert not may("allow * fsname=a", "r", "config-key", "config-key dump")


def test_a_service_grant_is_for_that_service_alone() -> None:
    assert may("allow service osd rw", "rw", "osd", "osd pool create")
    assert not may("allow service osd rw", "x", "osd")
    assert not may("allow service osd rw", "r", "mds")
    assert not may("allow service osd rw", "r", "")
    # A service named outright opens even the config-key store.
    assert may("allow service config-key r", "r", "config-key", "config-key get")


def test_grants_add_up() -> None:
    text = "allow r, allow service osd w"
    assert may(text, "rw", "osd")
    assert not may(text, "rw", "mds")


def test_nothing_is_allowed_without_grants() -> None:
    assert not mon.MonCaps().is_capable("client.x", "mon", "status", {})
    assert not may("profile unheard-of", "r", "mon", "status")


def test_a_command_grant_gives_all_letters_for_that_command() -> None:
    assert may("allow command status", "rwx", "mon", "status")
    assert not may("allow command status", "r", "mon", "osd dump")
    assert not may("allow command status", "r", "mon", "status detail")
    assert not may("allow command status", "r", "mon")


@pytest.mark.parametrize(
    ("constraint", "value", "allowed"),
    [
        ("arg=foo", "foo", True),
        ("arg=foo", "food", False),
        ("arg=foo", "", False),
        ("arg prefix foo", "foo", True),
        ("arg prefix foo", "food", True),
        ("arg prefix foo", "fo", False),
        ("arg prefix foo", "xfoo", False),
        ('arg regex "fo+"', "fooo", True),
        ('arg regex "fo+"', "food", False),
        ('arg regex "fo+"', "afo", False),
        ('arg regex "^fo+$"', "foo", True),
        ('arg regex "(broken"', "(broken", False),
        ('arg regex "[*"', "", False),
        ("arg=foo arg=bar", "foo", True),
        ("arg=foo arg=bar", "bar", False),
    ],
)
def test_constraints_on_arguments(constraint: str, value: str, *, allowed: bool) -> None:
    text = f"allow command abc with {constraint}"
    assert may(text, "rwx", "", "abc", arg=value) == allowed
    assert not may(text, "r", "", "abc", other=value)
    assert not may(text, "r", "", "abc")


def test_every_constraint_must_hold() -> None:
    text = "allow command abc with a=1 b prefix 2"
    assert may(text, "r", "", "abc", a="1", b="23", c="free")
    assert not may(text, "r", "", "abc", a="1", b="3")
    assert not may(text, "r", "", "abc", b="2")


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("10.1.2.3", True),
        ("192.168.2.3", True),
        ("192.167.2.3", False),
        ("::1", False),
        ("", False),
    ],
)
def test_networks(host: str, *, allowed: bool) -> None:
    text = "allow * network 192.168.0.0/16, allow * network 10.0.0.0/8"
    assert may(text, "rwx", "foo", host=host) == allowed


def test_is_allow_all_does_not_look_at_networks() -> None:
    assert mon.parse("allow * network 10.0.0.0/8").is_allow_all()


DAEMON_KEYS = ("get", "put", "set", "exists", "delete")


@pytest.mark.parametrize("daemon", ["mon", "osd", "mds", "mgr"])
@pytest.mark.parametrize("verb", DAEMON_KEYS)
def test_a_daemon_reaches_its_own_keys_and_no_other(daemon: str, verb: str) -> None:
    name = f"{daemon}.12"

    def reaches(key: str) -> bool:
        return may(f"allow profile {daemon}", "rwx", "", f"config-key {verb}", name=name, key=key)

    assert reaches(f"daemon-private/{name}/")
    assert reaches(f"daemon-private/{name}/dmcrypt")
    assert not reaches(f"daemon-private/{name}")
    assert not reaches(f"daemon-private/{name}3/dmcrypt")
    assert not reaches("mgr/dashboard/key")
    assert not may(f"allow profile {daemon}", "rwx", "", f"config-key {verb}", name=name)


R, W, RW, RWX = "r", "w", "rw", "rwx"

# Profile: letters per service. Whatever is not listed is closed.
SERVICES: dict[str, dict[str, str]] = {
    "mon": {"mon": RWX, "log": RWX},
    "osd": {"osd": RWX, "mon": R, "pg": RW, "log": W},
    "mds": {"mds": RWX, "mon": R, "osd": R, "log": W},
    "mgr": {
        "mgr": RWX,
        "log": RW,
        "mon": RW,
        "mds": RW,
        "fs": RW,
        "osd": RW,
        "auth": RWX,
        "config-key": RW,
        "config": RW,
    },
    "bootstrap-osd": {"mon": R, "osd": R},
    "bootstrap-mds": {"mon": R, "osd": R},
    "bootstrap-mgr": {"mon": R, "osd": R},
    "bootstrap-rgw": {"mon": R, "osd": R},
    "bootstrap-rbd": {"mon": R},
    "bootstrap-rbd-mirror": {"mon": R},
    "fs-client": {"mon": R, "mds": R, "osd": R, "pg": R},
    "simple-rados-client": {"mon": R, "osd": R, "pg": R},
    "simple-rados-client-with-blocklist": {"mon": R, "osd": R, "pg": R},
    "rbd": {"mon": R, "osd": R, "pg": R},
    "rbd-read-only": {"mon": R, "osd": R, "pg": R},
    "rbd-mirror": {"mon": R, "osd": R, "pg": R},
    "rbd-mirror-peer": {"mon": R, "osd": R, "pg": R},
    "crash": {"mon": R},
    "cephfs-mirror": {"mon": R, "mds": R, "osd": R, "pg": R},
    "role-definer": {"mon": R, "auth": RWX},
    "unheard-of": {},
}
ALL_SERVICES = (
    "mon",
    "osd",
    "mds",
    "mgr",
    "pg",
    "log",
    "auth",
    "fs",
    "config",
    "config-key",
    "nvme",
)


@pytest.mark.parametrize("profile", SERVICES)
def test_letters_per_service_of_a_profile(profile: str) -> None:
    for service in ALL_SERVICES:
        for letter in "rwx":
            expected = letter in SERVICES[profile].get(service, "")
            assert may(f"profile {profile}", letter, service) == expected, (service, letter)


def test_read_only_and_read_write_are_blanket_letters() -> None:
    for service in ALL_SERVICES:
        open_ = service != "config-key"
        assert may("profile read-only", "r", service) == open_
        assert not may("profile read-only", "w", service)
        assert may("profile read-write", "rw", service) == open_
        assert not may("profile read-write", "x", service)


@pytest.mark.parametrize(
    ("profile", "commands"),
    [
        ("mds", ["osd pool rmsnap", "osd blocklist", "osd blacklist"]),
        ("mgr", ["auth get-or-create", "auth caps", "auth rm", "smart"]),
        ("bootstrap-osd", ["mon getmap", "osd new", "osd purge-new"]),
        ("bootstrap-mds", ["mon getmap"]),
        ("bootstrap-mgr", ["mon getmap"]),
        ("bootstrap-rgw", ["mon getmap"]),
        ("rbd", []),
        ("crash", []),
    ],
)
def test_commands_of_a_profile_without_constraints(profile: str, commands: list[str]) -> None:
    tried = {
        "osd pool rmsnap",
        "osd blocklist",
        "auth get-or-create",
        "auth caps",
        "auth rm",
        "smart",
        "mon getmap",
        "osd new",
        "osd purge-new",
        "osd pool delete",
    }
    for command in tried | set(commands):
        assert may(f"profile {profile}", "rwx", "", command) == (command in commands), command


BOOTSTRAP = [
    ("bootstrap-mds", "mds.a", {"mon": "allow profile mds", "osd": "allow rwx", "mds": "allow"}),
    ("bootstrap-mgr", "mgr.a", {"mon": "allow profile mgr"}),
    ("bootstrap-rgw", "client.rgw.a", {"mon": "allow rw", "osd": "allow rwx"}),
    ("bootstrap-rbd", "client.a", {"mon": "profile rbd", "osd": "profile rbd"}),
    ("bootstrap-rbd-mirror", "client.a", {"mon": "profile rbd-mirror", "osd": "profile rbd"}),
]


@pytest.mark.parametrize(("profile", "entity", "caps"), BOOTSTRAP)
def test_a_bootstrap_key_makes_its_own_kind_and_nothing_stronger(
    profile: str, entity: str, caps: dict[str, str]
) -> None:
    def creates(entity: str, caps: dict[str, str]) -> bool:
        flat = [word for pair in caps.items() for word in pair]
        arguments = command_arguments(
            {"prefix": "auth get-or-create", "entity": entity, "caps": flat}
        )
        return may(f"profile {profile}", "rwx", "auth", "auth get-or-create", **arguments)

    assert creates(entity, caps)
    assert not creates("osd.0", caps)
    for service, text in caps.items():
        assert not creates(entity, caps | {service: "allow *"})
        assert not creates(entity, caps | {service: text + ", allow *"})
        assert not creates(entity, {key: caps[key] for key in caps if key != service})


@pytest.mark.parametrize(
    ("osd_caps", "allowed"),
    [
        ("profile rbd pool=foo, profile rbd-read-only", True),
        ("profile rbd pool foo", True),
        ("profile 'rbd' pool='foo bar'", True),
        ("profile=rbd", True),
        ("profile rbd pool=foo, allow *, profile rbd-read-only", False),
        ("profile rbd pool=foo; allow *", False),
        ("profile rbd;allow\t*", False),
        ("profile rbd, allow *", False),
        ("profile rbd pool='foo';allow *", False),
        ("profile read-write", False),
        ("", False),
    ],
)
def test_bootstrap_rbd_hands_out_rbd_profiles_only(osd_caps: str, *, allowed: bool) -> None:
    assert (
        may(
            "profile bootstrap-rbd",
            "rwx",
            "auth",
            "auth get-or-create",
            entity="client.a",
            caps_mon="profile rbd",
            caps_osd=osd_caps,
        )
        == allowed
    )


@pytest.mark.parametrize("profile", ["rbd", "rbd-mirror", "simple-rados-client-with-blocklist"])
def test_a_client_blocklists_single_instances(profile: str) -> None:
    def blocks(**arguments: str) -> bool:
        return may(f"profile {profile}", "rwx", "osd", "osd blocklist", **arguments)

    assert blocks(blocklistop="add", addr="10.0.0.1:0/123")
    assert not blocks(blocklistop="rm", addr="10.0.0.1:0/123")
    assert not blocks(blocklistop="add", addr="10.0.0.1:0")
    assert not blocks(blocklistop="add", addr="10.0.0.0/8/1")
    assert not blocks(blocklistop="add")


def test_mirror_keys() -> None:
    def key(profile: str, verb: str, path: str) -> bool:
        return may(f"profile {profile}", "rwx", "config-key", f"config-key {verb}", key=path)

    assert key("rbd-mirror", "get", "rbd/mirror/peer/1/1234")
    assert not key("rbd-mirror", "set", "rbd/mirror/peer/1/1234")
    assert not key("rbd", "get", "rbd/mirror/peer/1/1234")
    assert key("rbd-mirror-peer", "get", "rbd/mirror/site_name")
    assert not key("rbd-mirror-peer", "get", "rbd/mirror/peer/1")
    assert key("rbd-mirror-peer", "set", "rbd/mirror/peer/1")
    assert not key("rbd-mirror-peer", "set", "rbd/mirror/site_name")
    assert key("cephfs-mirror", "get", "cephfs/mirror/peer/1")
    assert not key("cephfs-mirror", "get", "rbd/mirror/peer/1")


def test_file_system_names() -> None:
    caps = mon.parse("allow r fsname=a, allow rw fsname=b")
    assert caps.allowed_fs_names() == ("a", "b")
    assert caps.fs_name_capable("client.x", "a", READ)
    assert not caps.fs_name_capable("client.x", "a", WRITE)
    assert caps.fs_name_capable("client.x", "b", WRITE)
    assert not caps.fs_name_capable("client.x", "c", READ | WRITE | EXECUTE)
    assert mon.parse("allow r fsname=a, allow r").allowed_fs_names() == ()
    assert mon.parse("allow r").fs_name_capable("client.x", "c", READ)
    assert mon.parse("allow *").fs_name_capable("client.x", "c", WRITE)
    assert mon.parse("profile fs-client").fs_name_capable("client.x", "c", READ)
    assert not mon.parse("profile fs-client").fs_name_capable("client.x", "c", WRITE)
    assert not mon.parse("profile rbd").fs_name_capable("client.x", "c", READ)


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("allow *", "allow *"),
        (" allow all ", "allow *"),
        ("allow rwx", "allow rwx"),
        ("allow service=foo x", "allow service foo x"),
        ("allow service ' foo ' w;allow r", 'allow service " foo " w, allow r'),
        ("profile=osd", "allow profile osd"),
        ("allow profile 'foo bar'", 'allow profile "foo bar"'),
        ("allow command a.b", 'allow command "a.b"'),
        (
            "allow command abc with z=1 a prefix 'b c' m regex x",
            'allow command abc with a prefix "b c" m regex x z=1',
        ),
        ("allow r network 10.0.0.0/8 fsname=a", "allow r network 10.0.0.0/8"),
    ],
)
def test_prints_as_upstream_prints(text: str, printed: str) -> None:
    assert str(mon.parse(text)) == printed


def test_command_arguments_as_upstream_stringifies_them() -> None:
    assert command_arguments(
        {
            "prefix": "osd pool create",
            "pool": "a",
            "pg_num": 8,
            "yes": True,
            "no": False,
            "ratio": 0.85,
            "ids": ["1", "2"],
            "caps": ["mon", "allow r", "osd", "allow rw"],
        }
    ) == {
        "pool": "a",
        "pg_num": "8",
        "yes": "1",
        "no": "0",
        "ratio": "0.85",
        "ids": "[1,2]",
        "caps_mon": "allow r",
        "caps_osd": "allow rw",
    }
    assert command_arguments({"caps": ["mon"]}) == {"caps": "[mon]"}


def test_profile_grants_depend_on_the_entity() -> None:
    assert profile_grants("osd", "osd.1") != profile_grants("osd", "osd.2")
    assert profile_grants("crash", "client.a") == profile_grants("crash", "client.b")
