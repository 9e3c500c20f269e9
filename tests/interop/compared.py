"""The same commands on a real cluster and on ours: what a script is, how it is run and compared.

    STEPS = [
        Step("osd pool create", pool="x", pg_num=8),
        Step("osd pool ls", format="json"),
        Step("osd dump", format="json", ignore=("pools[].create_time",)),
    ]

A module `commands_<family>.py` holds STEPS; each family is run on two fresh clusters of one
monitor and nothing else. Return codes must be equal, and JSON key by key (the order of keys, too)
but for what `VOLATILE` and a step's `ignore` name; plain output must be equal once numbers that
`MASKS` names are masked. Status lines likewise, unless `outs=False`.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
from dataclasses import dataclass, field

RUNNER = r"""
import sys, json, base64, rados
conf, timeout = sys.argv[1], float(sys.argv[2])
cluster = rados.Rados(conffile=conf)
cluster.connect(timeout=timeout)
for line in sys.stdin:
    asked = json.loads(line)
    try:
        ask = cluster.mgr_command if asked["mgr"] else cluster.mon_command
        data = base64.b64decode(asked["data"])
        r, out, outs = ask(json.dumps(asked["cmd"]), data, timeout=timeout)
        answer = {"r": r, "out": base64.b64encode(out).decode(), "outs": outs}
    except Exception as error:
        answer = {"r": "raised", "out": "", "outs": repr(error)}
    print(json.dumps(answer), flush=True)
cluster.shutdown()
"""

VOLATILE = {
    "epoch",
    "fsid",
    "created",
    "modified",
    "create_time",
    "last_change",
    "last_changed",
    "stamp",
    "timestamp",
    "key",
    "quorum_age",
    "addr",
    "public_addr",
    "nonce",
    "version",
    "ceph_version",
    "election_epoch",
    "osd_up_since",
    "osd_in_since",
}
"""Keys whose values differ between any two clusters; they must be there in both."""

MASKS = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(\+0000|Z)?"), "TIME"),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "UUID"),
    (re.compile(r"AQ[A-Za-z0-9+/]{36}=="), "KEY"),
    (re.compile(r"127\.0\.0\.1:\d+(/\d+)?"), "ADDR"),
    (re.compile(r"\(since [0-9.]+[a-z]+\)"), "(since SPAN)"),
    (re.compile(r"ceph version 16\.2\.15 \([^)]*\)"), "VERSION"),
    (re.compile(r"\be(poch )?\d+"), "EPOCH"),
    (re.compile(r"\b(epoch|last_change|created|modified) \d+"), r"\1 N"),
)


@dataclass
class Step:
    """One command. `arguments` are those of its JSON; a name that Python keeps for itself ends
    with `_`. `ignore` holds paths such as `pools[].last_change` whose values may differ.
    """

    prefix: str
    data: bytes = b""
    ignore: tuple[str, ...] = ()
    outs: bool = True
    plain: bool = True
    arguments: dict[str, object] = field(default_factory=dict)

    def __init__(self, prefix, data=b"", *, ignore=(), outs=True, plain=True, **arguments):
        self.prefix, self.data, self.ignore = prefix, data, tuple(ignore)
        self.outs, self.plain = outs, plain
        self.arguments = {name.rstrip("_"): value for name, value in arguments.items()}

    @property
    def command(self) -> dict[str, object]:
        return {"prefix": self.prefix, **self.arguments}

    def __str__(self) -> str:
        return json.dumps(self.command)


@dataclass
class Answer:
    """What came back."""

    r: int | str
    out: bytes
    outs: str


def run_steps(conf, steps, *, timeout_s=60.0, mgr=False) -> list[Answer]:
    """Run all steps, one after the other, as a program that uses the real librados.

    They go to the monitors, or with `mgr` straight to the manager.
    """
    lines = [
        json.dumps({"cmd": step.command, "data": base64.b64encode(step.data).decode(), "mgr": mgr})
        for step in steps
    ]
    ended = subprocess.run(
        ["/usr/bin/python3", "-c", RUNNER, str(conf), str(timeout_s)],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        timeout=60 + timeout_s * len(steps),
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        check=False,
    )
    answers = [json.loads(line) for line in ended.stdout.splitlines()]
    assert len(answers) == len(steps), (len(answers), ended.stderr[-2000:])
    return [Answer(one["r"], base64.b64decode(one["out"]), one["outs"]) for one in answers]


def masked(text: str) -> str:
    for pattern, name in MASKS:
        text = pattern.sub(name, text)
    return text


def differences(step: Step, real: Answer, ours: Answer) -> list[str]:
    """What differs between two answers to a step, a line each."""
    found = []
    if real.r != ours.r:
        found.append(f"r: real {real.r} ({real.outs!r}), ours {ours.r} ({ours.outs!r})")
        return found
    if step.outs and masked(real.outs) != masked(ours.outs):
        found.append(f"outs: real {real.outs!r}, ours {ours.outs!r}")
    if str(step.arguments.get("format", "")).startswith("json") and real.out.strip():
        try:
            documents = json.loads(real.out), json.loads(ours.out)
        except ValueError:
            found.append(f"output: real {real.out[:300]!r}, ours {ours.out[:300]!r}")
        else:
            found += compare(*documents, "", set(step.ignore))
    elif step.plain and masked(real.out.decode("utf-8", "replace")) != masked(
        ours.out.decode("utf-8", "replace")
    ):
        found.append(f"output:\n--- real\n{real.out.decode()}\n--- ours\n{ours.out.decode()}")
    return found


def compare(real, ours, path, ignore) -> list[str]:
    """Where two documents differ."""
    generic = re.sub(r"\[\d+\]", "[]", path).lstrip(".")
    if generic in ignore:
        return []
    name = generic.rpartition(".")[2]
    if isinstance(real, dict) and isinstance(ours, dict):
        if list(real) != list(ours):
            missing = [key for key in real if key not in ours]
            extra = [key for key in ours if key not in real]
            if missing or extra:
                return [f"{path or '.'}: keys missing {missing}, too many {extra}"]
            return [f"{path or '.'}: keys in another order: {list(real)} and {list(ours)}"]
        return [
            line for key in real for line in compare(real[key], ours[key], f"{path}.{key}", ignore)
        ]
    if isinstance(real, list) and isinstance(ours, list):
        if len(real) != len(ours):
            return [f"{path}: {len(real)} items in real, {len(ours)} in ours: {real} {ours}"[:600]]
        return [
            line
            for number, (a, b) in enumerate(zip(real, ours, strict=True))
            for line in compare(a, b, f"{path}[{number}]", ignore)
        ]
    if type(real) is not type(ours) and not (
        isinstance(real, int | float) and isinstance(ours, int | float)
    ):
        return [f"{path}: real {real!r}, ours {ours!r}"]
    if name in VOLATILE:
        return []
    if isinstance(real, str) and isinstance(ours, str):
        real, ours = masked(real), masked(ours)
    if isinstance(real, float) or isinstance(ours, float):
        return [] if abs(real - ours) < 1e-6 + 1e-6 * abs(real) else [f"{path}: {real} {ours}"]
    return [] if real == ours else [f"{path}: real {real!r}, ours {ours!r}"]
