"""The option table against a real daemon: names, types, defaults, bounds, flags, and values."""

from __future__ import annotations

import json

import pytest

from spirula.conf.admin_server import ask
from spirula.conf.load import load
from spirula.conf.options import newer, schema

# One is ours alone, some came after 16.2.
OURS = {"spirula_log_format", *(option.name for option in newer.OPTIONS)}
# Paths of libraries that Ceph's builder chose, and the container image of its release.
BUILD = {"erasure_code_dir", "plugin_dir", "osd_class_dir", "container_image"}


@pytest.fixture(scope="module")
def described(real_cluster):
    """`config help` of a real OSD: option name to description."""
    path = str(real_cluster.folder / "run" / "osd.0.asok")
    return {one["name"]: one for one in json.loads(ask(path, "config help"))["options"]}


def test_every_option_is_described_as_upstream_does(described):
    wrong = []
    for name, option in schema().items():
        if option.subsystem or name in OURS:
            continue
        mine, real = option.as_dict(), dict(described[name])
        for text in ("desc", "long_desc"):
            mine.pop(text), real.pop(text)
        # Options of parts that we do not have are not pointed at.
        real["see_also"] = [other for other in real["see_also"] if other in schema()]
        if name in BUILD:
            mine["default"] = real["default"]
        wrong += [(name, key, mine[key], real[key]) for key in real if mine.get(key) != real[key]]
    assert wrong == []


def test_own_options_are_told_from_upstreams(described):
    absent = {name for name, one in schema().items() if not one.subsystem} - described.keys()
    assert absent == OURS


@pytest.mark.parametrize("name", ["osd.0", "mon.a", "mgr.x"])
def test_values_in_force_equal_those_of_the_daemon(real_cluster, name):
    path = str(real_cluster.folder / "run" / f"{name}.asok")
    theirs = json.loads(ask(path, "config show"))
    kind, _, ident = name.partition(".")
    loaded = load(
        ["-c", str(real_cluster.conf), "-i", ident, "-f"],
        entity_type=kind,
        daemon=True,
        environ={"HOME": "/root"},
    )
    mine = loaded.config.show()
    # What daemons set while they run: measured speed, a keyring of its own, memory of the machine.
    running = {"keyring", "rbd_default_features", "osd_memory_cache_min", "monmap", "setuser"}
    different = {
        key: (mine[key], theirs[key])
        for key in mine
        if key not in BUILD | OURS | running and mine[key] != theirs.get(key)
    }
    assert different == {}
