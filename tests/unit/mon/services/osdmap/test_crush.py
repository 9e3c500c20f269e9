"""Commands about CRUSH on a monitor in virtual time: pending edits, maps from files, clients."""

from __future__ import annotations

import errno
import json

import pytest

from spirula.crush.map import BucketAlg
from spirula.crush.wire import CrushWrapper
from spirula.denc.features import PACIFIC
from spirula.messages.mon_client import MMonCommand, MMonCommandAck
from spirula.mon.request import Request
from tests.unit.mon.harness import FSID, HarnessMonitor

UUIDS = [f"{letter * 8}-1111-2222-3333-444444444444" for letter in "abc"]


@pytest.fixture
def mon():
    made = HarnessMonitor({"osd_pool_default_pg_num": "8"})
    for osd, uuid in enumerate(UUIDS):
        made.ok("osd new", uuid=uuid)
        made.ok("osd crush add", id=osd, weight=1.0, args=["root=default", f"host=h{osd}"])
    return made


def at_once(mon, *commands):
    """Commands that come in one turn of the event loop; (rc, status line) of each."""
    messages = []
    for words in commands:
        message = MMonCommand(version=0, fsid=FSID.bytes, cmd=[json.dumps(words)])
        message.tid = 1000 + len(messages)
        messages.append(message)
        mon.mon.dispatch(Request(mon.mon, message, mon.admin, mon.wall()))
    mon.advance(2.0)
    acks = {m.tid: m for m in mon.admin.connection.sent if isinstance(m, MMonCommandAck)}
    return [(acks[message.tid].r, acks[message.tid].rs) for message in messages]


def current_map(mon):
    return CrushWrapper.decode(mon.mon.osdmap.osdmap.crush.encode())


def names(mon):
    return set(mon.mon.osdmap.osdmap.crush.item_names.values())


def test_edits_of_one_turn_build_on_one_another(mon):
    answers = at_once(
        mon,
        {"prefix": "osd crush add-bucket", "name": "r1", "type": "rack"},
        {"prefix": "osd crush move", "name": "r1", "args": ["root=default"]},
        {"prefix": "osd crush move", "name": "h0", "args": ["rack=r1"]},
        {"prefix": "osd crush rename-bucket", "srcname": "r1", "dstname": "r2"},
        {"prefix": "osd crush add-bucket", "name": "r2", "type": "rack"},
    )
    assert [rc for rc, _ in answers] == [0] * 5
    assert answers[4][1] == "bucket 'r2' already exists"
    tree = mon.ok("osd crush tree", format="json")["nodes"]
    rack = next(node for node in tree if node["name"] == "r2")
    assert rack["children"] == [next(node["id"] for node in tree if node["name"] == "h0")]
    version = mon.mon.osdmap.osdmap.crush_version
    mon.ok("osd crush add-bucket", name="r3", type="rack")
    assert mon.mon.osdmap.osdmap.crush_version == version + 1


def test_what_is_removed_twice_at_once(mon):
    remove = {"prefix": "osd crush rm", "name": "osd.2"}
    assert at_once(mon, remove, remove) == [
        (0, "removed item id 2 name 'osd.2' from crush map"),
        (0, "device 'osd.2' does not appear in the crush map"),
    ]


# --------------------------------------------------------------------------------- maps from files


def test_a_map_from_a_file_is_guarded_by_the_version_it_came_from(mon):
    crush = current_map(mon)
    crush.item_names[-1] = "renamed"
    version = mon.mon.osdmap.osdmap.crush_version
    code, text = mon.refused("osd setcrushmap", crush.encode(), prior_version=version - 2)
    assert (code, text) == (
        errno.EPERM,
        f"prior_version {version - 2} != crush version {version}",
    )
    answer = mon.command("osd setcrushmap", crush.encode(), prior_version=version)
    assert (answer.r, answer.rs) == (0, str(version + 1))
    assert "renamed" in names(mon)
    again = mon.command("osd setcrushmap", crush.encode(), prior_version=version)
    assert (again.r, again.rs) == (0, str(version + 1))
    assert mon.mon.osdmap.osdmap.crush_version == version + 1


def cut(crush):
    return crush.encode()[:-5]


def with_loop(crush):
    bucket = next(one for one in crush.buckets if one and one.id == -2)
    bucket.items[0] = -1
    return crush.encode()


def with_many_places(crush):
    """Buckets that are linked twice each: a thousand million ways down."""
    previous = crush.buckets[1]
    for number in range(30):
        slot = len(crush.buckets)
        copy = type(previous)(-1 - slot, 11, BucketAlg.STRAW2, 0, 0)
        copy.items, copy.item_weights = [previous.id, previous.id], [1, 1]
        crush.buckets.append(copy)
        crush.item_names[copy.id] = f"deep{number}"
        previous = copy
    return crush.encode()


def without_rule(crush):
    crush.rules[0] = None
    return crush.encode()


def with_other_ruleset(crush):
    crush.rules[0].ruleset = 5
    return crush.encode()


def with_small_rule(crush):
    crush.rules[0].max_size = 1
    return crush.encode()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (cut, "Failed to parse crushmap: "),
        (with_loop, "crush smoke test failed with -40: "),
        (with_many_places, "crush smoke test failed with -75: "),
        (without_rule, "pool 1 references crush_rule 0 but it is not present"),
        (with_other_ruleset, "crush maps with ruleset != ruleid are no longer allowed"),
        (with_small_rule, "pool 1 size 3 does not fall within rule 0 min_size 1 and max_size 1"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_maps_that_would_do_harm_are_refused(mon, spoil, says):
    mon.ok("osd pool create", pool="p")
    before = mon.mon.osdmap.epoch
    _, text = mon.refused("osd setcrushmap", spoil(current_map(mon)))
    assert text.startswith(says)
    assert mon.mon.osdmap.epoch == before


def test_the_map_from_a_file_waits_for_pending_edits(mon):
    data = current_map(mon).encode()
    message = MMonCommand(
        version=0, fsid=FSID.bytes, cmd=[json.dumps({"prefix": "osd setcrushmap"})]
    )
    message.data, message.tid = data, 7
    at_once_words = {"prefix": "osd crush add-bucket", "name": "r9", "type": "rack"}
    edit = MMonCommand(version=0, fsid=FSID.bytes, cmd=[json.dumps(at_once_words)])
    edit.tid = 8
    for one in (edit, message):
        mon.mon.dispatch(Request(mon.mon, one, mon.admin, mon.wall()))
    mon.advance(2.0)
    acks = {m.tid: m.r for m in mon.admin.connection.sent if isinstance(m, MMonCommandAck)}
    assert (acks[7], acks[8]) == (0, 0)
    assert "r9" not in names(mon)


# ------------------------------------------------------------------------- who must understand it


def test_old_clients_and_osds_are_not_given_what_they_do_not_know(mon):
    mon.ok("osd set-require-min-compat-client", version="luminous")
    mon.ok("osd crush tunables", profile="firefly")
    mon.ok("osd set-require-min-compat-client", version="hammer")
    code, text = mon.refused("osd crush tunables", profile="jewel")
    assert (code, text) == (
        errno.EINVAL,
        "new crush map requires client version jewel but require_min_compat_client is hammer",
    )
    mon.mon.joined = None
    code, text = mon.refused("osd crush tunables", profile="bobtail")
    assert code == errno.EINVAL
    assert text.startswith("Could not change CRUSH: features ")
    assert text.endswith("unsupported by: the monitor cluster")


def test_weight_sets_need_clients_of_luminous(mon):
    mon.ok("osd pool create", pool="p")
    mon.ok("osd set-require-min-compat-client", version="jewel")
    code, text = mon.refused("osd crush weight-set create", pool="p", mode="flat")
    assert (code, text[:40]) == (errno.EPERM, "require_min_compat_client jewel < lumino")


def test_moving_an_osd_under_positional_weight_sets(mon):
    """A real 16.2 monitor ends at this."""
    mon.ok("osd pool create", pool="p")
    mon.ok("osd set-require-min-compat-client", version="luminous")
    mon.ok("osd crush weight-set create", pool="p", mode="positional")
    mon.ok("osd crush move", name="osd.2", args=["root=default", "host=h1"])
    dump = mon.ok("osd crush weight-set dump", format="json")
    host = next(one for one in dump["1"] if len(one["weight_set"][0]) == 2)
    assert [len(row) for row in host["weight_set"]] == [2, 2, 2]


def test_all_features_are_there(mon):
    assert mon.mon.joined is not None
    assert mon.mon.joined.quorum_features & PACIFIC == PACIFIC
