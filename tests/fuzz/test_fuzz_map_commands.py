"""Commands about pools, CRUSH, profiles and tiers with arguments of all kinds, right and wrong.

Whatever comes: an errno or a change, one line, soon; the map can still be encoded and read.
"""

from __future__ import annotations

import random
import time

import pytest

from spirula.maps.osdmap import OSDMap
from tests.unit.mon.harness import HarnessMonitor

FAMILIES = ("osd pool", "osd crush", "osd tier", "osd erasure", "osd lspools", "osd setcrush")
KNOWN = ("p", "hot", "e", "default", "h0", "osd.0", "0", "host", "rack", "replicated_rule", "rbd")
ODD = (
    "x" * 1_000_000,
    "",
    "\x00\n",
    "é" * 300,
    -1,
    2**63 - 1,
    2**64,
    1.5,
    None,
    True,
    [],
    {},
    ["root=default", "host=h1"],
    ["=", "a=", "=b"],
    [1, "a"],
    "999999999999999999999",
    "1e400",
    "nan",
    "-0",
    "4K",
    "3",
)
SLOW_S = 2.0
"""Of the processor: others may have it meanwhile."""


def mixed(rng, command):
    """Arguments for a command: mostly there, some of the right kind."""
    given = {}
    for name, argument in command.arguments:
        if rng.random() > 0.9:
            continue
        words = argument.detail("strings")
        if words and rng.random() < 0.8:
            given[name] = rng.choice(words.split("|"))
        else:
            given[name] = rng.choice(KNOWN if rng.random() < 0.6 else ODD)
            if argument.repeated and rng.random() < 0.7:
                given[name] = [given[name]]
        if argument.kind == "CephFloat" and rng.random() < 0.7:
            given[name] = rng.choice((0.0, 1.5, 70000.0))
        if argument.kind in ("CephInt", "CephBool") and rng.random() < 0.7:
            given[name] = rng.choice((0, 1, 8, 1000)) if argument.kind == "CephInt" else True
    return {f"{name}_" if name == "class" else name: value for name, value in given.items()}


@pytest.mark.parametrize("seed", range(3))
def test_commands_end_with_an_errno_or_a_sound_map(seed, scale):
    rng = random.Random(seed)
    mon = HarnessMonitor({"mon_allow_pool_delete": "true", "osd_pool_default_pg_num": "4"})
    mon.ok("osd new", uuid="aaaaaaaa-1111-2222-3333-444444444444")
    mon.ok("osd crush add", id=0, weight=1.0, args=["root=default", "host=h0"])
    for name in ("p", "hot"):
        mon.ok("osd pool create", pool=name)
    commands = [one for one in mon.mon.commands.all() if one.prefix.startswith(FAMILIES)]
    assert len(commands) > 70
    for _ in range(400 * scale):
        command = rng.choice(commands)
        arguments = mixed(rng, command)
        start = time.process_time()
        answer = mon.command(command.prefix, **arguments)
        assert time.process_time() - start < SLOW_S, (command.prefix, str(arguments)[:300])
        assert "internal error" not in answer.rs, (command.prefix, str(arguments)[:300], answer.rs)
        assert "\n" not in answer.rs.replace("\x00\n", ""), answer.rs[:300]
        assert -5000 < answer.r <= 0
    osdmap = mon.mon.osdmap.osdmap
    assert OSDMap.decode(osdmap.encode()).epoch == osdmap.epoch
