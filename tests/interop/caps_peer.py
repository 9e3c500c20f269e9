"""Asks a real cluster about caps. Run by the system's Python, which has Ceph's `rados` module.

Reads a JSON request from stdin, writes the answer to stdout. `texts`: a list of [service, text];
the answer holds, for each, null or what the monitor replied on refusing it. `commands`: for each
text in `caps` and each command, whether an entity with these monitor caps was let through.
Called by `test_caps_real`. Usage: caps_peer.py CONF < REQUEST
"""

from __future__ import annotations

import errno
import json
import sys
from typing import Any

import rados

ENTITY = "client.caps-peer"
OTHER_CAPS = "allow r fsname=nobody-asks-for-this"


def command(cluster: Any, **arguments: object) -> tuple[int, bytes, str]:
    code, out, status = cluster.mon_command(json.dumps(arguments), b"")
    return code, out, status


def refusals(admin: Any, texts: list[list[str]]) -> list[str | None]:
    """The monitor checks caps before it finds that the entity has other ones."""
    command(admin, prefix="auth get-or-create", entity=ENTITY, caps=["mon", OTHER_CAPS])
    found: list[str | None] = []
    for service, text in texts:
        code, _, status = command(
            admin, prefix="auth get-or-create", entity=ENTITY, caps=[service, text]
        )
        if code != -errno.EINVAL:
            raise SystemExit(f"{service} {text!r}: {code} {status}")
        found.append(status if "capability parse failed" in status else None)
    return found


def descriptions(admin: Any) -> dict[str, list[str]]:
    """By command: its service and the letters that it needs."""
    _, out, _ = command(admin, prefix="get_command_descriptions")
    found = {}
    for each in json.loads(out).values():
        words = [part for part in each["sig"] if isinstance(part, str)]
        found.setdefault(" ".join(words), [each["module"], each["perm"]])
    return found


def let_through(admin: Any, conf: str, caps: list[str], commands: list[dict[str, str]]) -> Any:
    known = descriptions(admin)
    verdicts = []
    for text in caps:
        code, _, status = command(admin, prefix="auth caps", entity=ENTITY, caps=["mon", text])
        if code:
            raise SystemExit(f"{text!r}: {status}")
        _, key, _ = command(admin, prefix="auth print-key", entity=ENTITY)
        with rados.Rados(conffile=conf, name=ENTITY, conf={"key": key.decode().strip()}) as user:
            codes = [command(user, **each)[0] for each in commands]
        verdicts.append([code != -errno.EACCES for code in codes])
    return {"verdicts": verdicts, "known": [known[each["prefix"]] for each in commands]}


def main() -> None:
    conf = sys.argv[1]
    request = json.load(sys.stdin)
    with rados.Rados(conffile=conf) as admin:
        try:
            answer: dict[str, Any] = {"refusals": refusals(admin, request["texts"])}
            if request["caps"]:
                answer |= let_through(admin, conf, request["caps"], request["commands"])
        finally:
            command(admin, prefix="auth rm", entity=ENTITY)
    json.dump(answer, sys.stdout)


main()
