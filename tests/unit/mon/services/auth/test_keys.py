"""Principals in the monitors' store: the first ones, and what commands make of them."""

from __future__ import annotations

import pytest

from spirula.auth.crypto import key_from_text
from spirula.types.auth import EntityAuth, PrincipalName, encode_string
from tests.unit.mon.harness import HarnessMonitor

KEY = "AQBKbxhfAAAAABAAPqlu8jXYhKkHfMMaAcKYyA=="
OTHER_KEY = "AQBKbxhfAAAAABAAPqlu8jXYhKkHfMMaAcKYyQ=="


def ring(name="client.x", key=KEY, caps='\tcaps mon = "allow r"\n'):
    return f"[{name}]\n\tkey = {key}\n{caps}".encode()


@pytest.fixture
def mon():
    return HarnessMonitor()


def names(mon):
    return [one["entity"] for one in mon.ok("auth ls", format="json")["auth_dump"]]


def test_the_first_quorum_has_the_keys_of_mkfs_and_the_well_known_ones(mon):
    assert names(mon) == [
        "client.admin",
        "client.bootstrap-mds",
        "client.bootstrap-mgr",
        "client.bootstrap-osd",
        "client.bootstrap-rbd",
        "client.bootstrap-rbd-mirror",
        "client.bootstrap-rgw",
    ]
    admin = mon.keyring.keys[PrincipalName.parse("client.admin")]
    assert mon.mon.auth.key_server.data.secrets[PrincipalName.parse("client.admin")] == admin
    assert mon.store.get("mkfs", "keyring") is None


def test_the_key_of_monitors_is_told_but_neither_listed_nor_exported(mon):
    name = PrincipalName.parse("mon.")
    mon.mon.auth.key_server.extra[name] = mon.keyring.keys[name]
    assert mon.ok("auth get", entity="mon.").startswith("[mon.]\n\tkey = ")
    assert "[mon.]" not in mon.ok("auth export")
    assert mon.refused("auth export", entity="mon.")[0] == 2


def test_an_entity_is_created_once_and_found_after_a_restart(mon):
    caps = ["mon", "allow r", "osd", "allow rwx pool=a"]
    first = mon.ok("auth get-or-create", entity="client.q", caps=caps)
    assert "caps" not in first
    assert mon.ok("auth get-or-create", entity="client.q") == first
    again = mon.restart()
    assert again.ok("auth get-or-create", entity="client.q", caps=caps) == first
    assert again.ok("auth get-or-create", entity="client.q", format="json") == [
        {
            "entity": "client.q",
            "key": first.split(" = ")[1].strip(),
            "caps": {"mon": "allow r", "osd": "allow rwx pool=a"},
        }
    ]
    assert again.refused("auth get-or-create", entity="client.q", caps=["mon", "allow *"]) == (
        22,
        "key for client.q exists but cap mon does not match",
    )


def test_a_key_is_printed_with_a_line_end_only_where_upstream_does(mon):
    made = mon.ok("auth get-or-create-key", entity="client.k", caps=["mon", "allow r"])
    assert made.endswith("==\n")
    assert mon.ok("auth get-key", entity="client.k") == made.strip()
    assert mon.ok("auth print-key", entity="client.k", format="json") == {"key": made.strip()}


def test_adding_what_is_there_is_no_error_if_it_is_the_same(mon):
    assert mon.command("auth add", ring(), entity="client.x").rs == "added key for client.x"
    assert mon.command("auth add", ring(), entity="client.x").rs == ""
    wrong_key = mon.refused("auth add", ring(key=OTHER_KEY), entity="client.x")
    assert wrong_key == (17, "entity client.x exists but key does not match")
    assert mon.refused("auth add", entity="client.x") == (
        22,
        "entity client.x exists but caps do not match",
    )
    assert mon.refused("auth add", entity="client.x", caps=["mon", "allow *"]) == (
        22,
        "entity client.x exists but cap mon does not match",
    )


@pytest.mark.parametrize(
    ("data", "arguments", "text"),
    [
        (b"", {"caps": ["mon"]}, "bad capabilities request; odd number of arguments"),
        (
            b"",
            {"caps": ["mon", "allow z"]},
            "mon capability parse failed, stopped at 'allow z' of 'allow z'",
        ),
        (b"", {"caps": ["foo", "allow r"]}, "unknown cap type 'foo'"),
        (b"", {"entity": "nobody"}, "bad entity name"),
        (ring("client.y"), {}, "key for client.n not found in provided keyring"),
        (
            ring("client.n"),
            {"caps": ["mon", "allow r"]},
            "caps cannot be specified both in keyring and in command",
        ),
        (b"no keyring", {}, "error decoding keyring"),
    ],
)
def test_entities_that_cannot_be_added(mon, data, arguments, text):
    before = mon.mon.auth.last_committed
    arguments = {"entity": "client.n", **arguments}
    assert mon.refused("auth add", data, **arguments) == (22, text)
    assert mon.mon.auth.last_committed == before


def test_an_import_is_all_or_nothing(mon):
    both = ring("client.a") + ring("client.b", caps="")
    assert mon.refused("auth import", both) == (22, "auth import: no caps supplied")
    assert mon.refused("auth import") == (22, "auth import: no data supplied")
    assert mon.refused("auth import", b"[x]\n\tkey = a\n") == (
        22,
        "error decoding keyring bad entity name in keyring: x: Malformed input",
    )
    assert "client.a" not in names(mon)
    assert mon.command("auth import", ring("client.a")).rs == "imported keyring"
    assert mon.ok("auth get-key", entity="client.a") == KEY


@pytest.mark.parametrize(
    ("name", "caps", "text"),
    [
        (PrincipalName(8, "x"), b"\x09\0\0\0abc", "caps of client.x are damaged"),
        (PrincipalName(99, "x"), encode_string("allow r"), "bad entity name in keyring: type 99"),
    ],
)
def test_keyrings_in_the_old_form_hold_nothing_that_cannot_be_shown(mon, name, caps, text):
    auth = EntityAuth(key=key_from_text(KEY), caps={"mon": caps})
    data = b"\x01\x01\0\0\0" + name.encode() + auth.encode()
    assert text in mon.refused("auth import", data)[1]
    good = EntityAuth(key=key_from_text(KEY), caps={"mon": encode_string("allow r")})
    mon.ok("auth import", b"\x01\x01\0\0\0" + PrincipalName(8, "x").encode() + good.encode())
    assert mon.ok("auth get-key", entity="client.x") == KEY


def test_caps_are_replaced_and_entities_removed(mon):
    mon.ok("auth import", ring())
    assert mon.command("auth caps", entity="client.x", caps=["osd", "allow r"]).rs == (
        "updated caps for client.x"
    )
    assert mon.ok("auth get", entity="client.x") == (
        f'[client.x]\n\tkey = {KEY}\n\tcaps osd = "allow r"\n'
    )
    assert mon.refused("auth caps", entity="client.z", caps=[]) == (
        2,
        "couldn't find entry client.z",
    )
    assert mon.command("auth rm", entity="client.x").rs == "updated"
    assert mon.command("auth del", entity="client.x").rs == "entity client.x does not exist"
    assert mon.refused("auth get", entity="client.x") == (
        2,
        "failed to find client.x in keyring",
    )
    assert mon.refused("auth get", entity="x") == (22, "invalid entity_auth x")


def test_caps_that_nobody_can_read_are_a_health_error_until_they_go(mon):
    mon.ok("auth import", ring("client.bad", caps='\tcaps mon = "nonsense"\n'))
    check = mon.mon.auth.health.checks["AUTH_BAD_CAPS"]
    assert check.summary == "1 auth entities have invalid capabilities"
    assert check.detail == [
        "client.bad mon capability parse failed, stopped at 'nonsense' of 'nonsense'"
    ]
    mon.ok("auth rm", entity="client.bad")
    assert not mon.mon.auth.health.checks


def test_many_changes_leave_a_full_state_and_the_last_versions(mon):
    mon = HarnessMonitor({"paxos_service_trim_min": 10})
    for number in range(60):
        mon.ok("auth get-or-create", entity=f"client.n{number}", caps=["mon", "allow r"])
    mon.advance(10.0)
    auth = mon.mon.auth
    kept = [int(key) for key, _ in mon.store.items("auth") if key.isdecimal()]
    assert auth.first_committed > 1
    assert kept == sorted(kept, key=str)
    assert min(kept) == auth.first_committed
    again = mon.restart()
    assert again.mon.auth.key_server.data.secrets == auth.key_server.data.secrets
    assert again.mon.auth.key_server.data.rotating_ver == auth.key_server.data.rotating_ver
