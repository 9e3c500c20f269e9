"""Record what a real monitor makes of random `osd crush` commands, for `tests/golden`.

Run by hand: `python -m tests.interop.record_crush_commands`. It writes the commands one after the
other, each with its return code and the CRUSH map after it; the tests replay them on our maps.
"""

from __future__ import annotations

import json
import lzma
import random
import subprocess
from pathlib import Path
from typing import Any

from tests.interop.realcluster import ENVIRONMENT, real_cluster_of

COMMANDS = 110
OSDS = 8
PEER = Path(__file__).with_name("crush_peer.py")
OUT = Path(__file__).parents[1] / "golden" / "crush_commands.xz"
OPTIONS = {"paxos_propose_interval": "0.02", "paxos_min_wait": "0.005"}

Command = dict[str, Any]

TYPES = ("host", "rack", "root")
BUCKETS = {
    **{f"host{number}": "host" for number in range(4)},
    **{f"rack{number}": "rack" for number in range(2)},
    **dict.fromkeys(("default", "other"), "root"),
}
CLASSES = ("ssd", "hdd", "nvme")


def location(rng: random.Random, above: int = 0) -> list[str]:
    """One or two places, mostly such that the upper may contain the lower."""
    kinds = rng.sample(TYPES[above:], min(rng.choice((1, 1, 2)), len(TYPES) - above))
    names = {kind: [name for name, of in BUCKETS.items() if of == kind] for kind in kinds}
    return [f"{kind}={rng.choice(names[kind])}" for kind in kinds]


def random_command(rng: random.Random) -> Command:
    """One edit; some are refused."""
    osd, bucket = rng.randrange(OSDS), rng.choice(list(BUCKETS))
    anything = rng.choice((f"osd.{osd}", bucket, "nothing"))
    weight = rng.choice((0.0, 1.0, 0.5, 2.71828, 0.01949, 300.77))
    device_class, rule = rng.choice(CLASSES), f"rule{rng.randrange(4)}"
    above = min(TYPES.index(BUCKETS[bucket]) + 1, len(TYPES) - 1)
    makers: list[tuple[int, Command]] = [
        (8, {"prefix": "osd crush add", "id": osd, "weight": weight, "args": location(rng)}),
        (2, {"prefix": "osd crush set", "id": osd, "weight": weight, "args": location(rng)}),
        (4, {"prefix": "osd crush create-or-move", "id": osd, "weight": weight}),
        (5, {"prefix": "osd crush move", "name": bucket, "args": location(rng, above)}),
        (2, {"prefix": "osd crush move", "name": anything, "args": location(rng)}),
        (3, {"prefix": "osd crush link", "name": bucket, "args": location(rng, above)}),
        (3, {"prefix": "osd crush add-bucket", "name": bucket, "type": BUCKETS[bucket]}),
        (2, {"prefix": "osd crush swap-bucket", "source": bucket}),
        (2, {"prefix": "osd crush rm", "name": anything}),
        (2, {"prefix": "osd crush unlink", "name": anything, "ancestor": bucket}),
        (2, {"prefix": "osd crush reweight", "name": f"osd.{osd}", "weight": weight}),
        (2, {"prefix": "osd crush reweight-subtree", "name": bucket, "weight": weight}),
        (1, {"prefix": "osd crush reweight-all"}),
        (1, {"prefix": "osd crush rename-bucket", "srcname": bucket, "dstname": "renamed"}),
        (1, {"prefix": "osd crush rename-bucket", "srcname": "renamed", "dstname": bucket}),
        (5, {"prefix": "osd crush set-device-class", "class": device_class}),
        (2, {"prefix": "osd crush rm-device-class", "ids": [f"osd.{osd}"]}),
        (1, {"prefix": "osd crush class create", "class": device_class}),
        (1, {"prefix": "osd crush class rm", "class": device_class}),
        (2, {"prefix": "osd crush class rename", "srcname": device_class}),
        (2, {"prefix": "osd crush weight-set create-compat"}),
        (1, {"prefix": "osd crush weight-set create", "pool": "p", "mode": "positional"}),
        (1, {"prefix": "osd crush weight-set rm-compat"}),
        (4, {"prefix": "osd crush weight-set reweight-compat", "weight": [weight]}),
        (2, {"prefix": "osd crush weight-set reweight", "pool": "p", "weight": [weight] * 3}),
        (2, {"prefix": "osd crush rule create-replicated", "name": rule, "root": "default"}),
        (1, {"prefix": "osd crush rule create-simple", "name": rule, "mode": "indep"}),
        (1, {"prefix": "osd crush rule rm", "name": rule}),
        (1, {"prefix": "osd crush rule rename", "srcname": rule, "dstname": "kept"}),
    ]
    counts = [count for count, _ in makers]
    command = rng.choices([made for _, made in makers], counts)[0]
    match command["prefix"]:
        case "osd crush create-or-move":
            command["args"] = location(rng)
        case "osd crush swap-bucket":
            command["dest"] = rng.choice(list(BUCKETS))
            command["yes_i_really_mean_it"] = True
        case "osd crush set-device-class":
            command["ids"] = [f"osd.{osd}"]
        case "osd crush class rename":
            command["dstname"] = rng.choice(CLASSES)
        case "osd crush weight-set reweight-compat" | "osd crush weight-set reweight":
            command["item"] = anything
        case "osd crush rule create-replicated":
            command["type"] = rng.choice(TYPES)
            if rng.random() < 0.6:
                command["class"] = device_class
        case "osd crush rule create-simple":
            command |= {"root": bucket, "type": rng.choice(TYPES)}
        case _:
            pass
    return command


def record() -> list[dict[str, Any]]:
    """The commands, what they returned and the map after each; the first is only a map."""
    rng = random.Random("crush commands")
    getmap: Command = {"prefix": "osd getcrushmap"}
    begin = [{"prefix": "osd create"} for _ in range(OSDS)]
    begin.append({"prefix": "osd pool create", "pool": "p", "pg_num": 1, "size": 3})
    version = {"version": "luminous", "yes_i_really_mean_it": True}
    begin.append({"prefix": "osd set-require-min-compat-client", **version})
    edits = [random_command(rng) for _ in range(COMMANDS)]
    asked = [*begin, getmap, *(step for edit in edits for step in (edit, getmap))]
    with real_cluster_of(osds=0, options=OPTIONS) as cluster:
        ended = subprocess.run(
            ["/usr/bin/python3", str(PEER), str(cluster.conf)],
            input=json.dumps(asked),
            env=ENVIRONMENT,
            cwd=cluster.folder,
            capture_output=True,
            text=True,
            check=True,
        )
    answers = json.loads(ended.stdout)[len(begin) :]
    recorded = [{"map": answers[0][1]}]
    for number, edit in enumerate(edits):
        (rc, _), (_, after) = answers[1 + 2 * number : 3 + 2 * number]
        recorded.append({"command": edit, "rc": rc, "map": after})
    return recorded


def main() -> None:
    recorded = record()
    known = ""
    for step in recorded:
        if step["map"] == known:
            step["map"] = ""
        else:
            known = step["map"]
    OUT.write_bytes(lzma.compress(json.dumps(recorded).encode(), preset=9))
    changed = sum(bool(step["map"]) for step in recorded)
    print(f"{len(recorded)} steps, {changed} of them changes, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
