"""Whom a command goes to, and sending it: the monitors, a manager, an OSD, a PG's primary, an MDS.

`tell osd.3 ...` and `pg 3.1f ...` name it in the words; otherwise the monitors are asked, which
describe the manager's commands as such. Rules: upstream `src/pybind/ceph_argparse.py`,
`src/ceph.in`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from errno import ENOENT
from typing import Any, NamedTuple

from spirula.cli.ceph.kinds import Refused, make_kind
from spirula.cli.ceph.matching import Command
from spirula.errors import CephError
from spirula.messages.command import MCommand
from spirula.rados import Rados
from spirula.types.entity import EntityAddrVec, EntityType

Answer = tuple[int, bytes, str]
"""Negative errno or 0, output, status line."""


class Target(NamedTuple):
    """A kind of daemon (or `pg`, `mon-mgr`) and which; None where `tell mon` named none."""

    kind: str
    which: str | None = ""

    def __str__(self) -> str:
        return f"{self.kind}.{self.which}"


MONITORS = Target("mon")


def find_target(words: Sequence[str]) -> Target:
    """Whom these words are for. Raises Refused for a `tell` to nobody."""
    if len(words) > 1 and words[0] == "tell":
        try:
            make_kind("CephName", {}).accept(words[1])
        except Refused:
            if not is_pgid(words[1]):
                raise
            return Target("pg", words[1])
        kind, dot, which = words[1].partition(".")
        return Target(kind, which if dot else None)
    if len(words) > 1 and words[0] == "pg" and is_pgid(words[1]):
        return Target("pg", words[1])
    return MONITORS


def is_pgid(word: str) -> bool:
    """Whether a word names a PG."""
    try:
        make_kind("CephPgid", {}).accept(word)
    except Refused:
        return False
    return True


def send(cluster: Rados, target: Target, command: Command, data: bytes = b"") -> Answer:
    """Have a command carried out, and wait for the answer."""
    given = dict(command)
    if "target" in given and target.kind == "osd":
        # `tell osd.1 ... target`: an argument of this name says which OSD, if it names one.
        try:
            named = str(make_kind("CephName", {}).accept(str(given["target"])))
        except Refused:
            pass
        else:
            del given["target"]
            target = Target(*named.split(".", 1))
    elif given.get("target") == ("mon-mgr", ""):
        target = Target("mon-mgr")
    if target.kind == "pg":
        given["pgid"] = target.which
    text = json.dumps(given)
    return _senders[target.kind](cluster, target.which, text, data)


def _to_monitor(cluster: Rados, which: str | None, text: str, data: bytes) -> Answer:
    return cluster.mon_command(text, data, target=which or None)


def _to_manager(cluster: Rados, which: str | None, text: str, data: bytes) -> Answer:
    return cluster.mgr_command(text, data, target=which or "")


def _to_active_manager(cluster: Rados, which: str | None, text: str, data: bytes) -> Answer:
    return cluster.mgr_command(text, data)


def _to_osd(cluster: Rados, which: str | None, text: str, data: bytes) -> Answer:
    return cluster.osd_command(int(which or 0), text, data)


def _to_pg(cluster: Rados, which: str | None, text: str, data: bytes) -> Answer:
    return cluster.pg_command(which or "", text, data)


def _to_mds(cluster: Rados, which: str | None, text: str, data: bytes) -> Answer:
    """To an MDS by its name, its rank (`0`, `FILE-SYSTEM:0`) or its global id."""
    status, output, complaint = send(cluster, MONITORS, {"prefix": "fs dump", "format": "json"})
    if status < 0:
        return status, b"", complaint
    addrs = _mds_addrs(json.loads(output), which or "")
    if addrs is None:
        return -ENOENT, b"", f"there is no mds.{which}"
    session = cluster.beneath.session
    message = MCommand(fsid=session.monitors.fsid, cmd=[text])
    try:
        reply = cluster.background.run(session.ask(message, EntityType.MDS, addrs, data))
    except CephError as error:
        return -error.errno, b"", error.message
    return reply.result, reply.output, reply.status


def _mds_addrs(fsmap: dict[str, Any], which: str) -> EntityAddrVec | None:
    standbys = [("", info) for info in fsmap["standbys"]]
    serving = [
        (system["mdsmap"]["fs_name"], info)
        for system in fsmap["filesystems"]
        for info in system["mdsmap"]["info"].values()
    ]
    for name, info in [*serving, *standbys]:
        rank = info["rank"]
        if which in {info["name"], str(info["gid"]), str(rank), f"{name}:{rank}"}:
            parts = [f"{each['type']}:{each['addr']}/{each['nonce']}" for each in _vector(info)]
            return EntityAddrVec.parse(",".join(parts))
    return None


def _vector(info: dict[str, Any]) -> list[dict[str, Any]]:
    vector: list[dict[str, Any]] = info["addrs"]["addrvec"]
    return vector


_Sender = Callable[[Rados, str | None, str, bytes], Answer]
_senders: dict[str, _Sender] = {
    "mon": _to_monitor,
    "mgr": _to_manager,
    "mon-mgr": _to_active_manager,
    "osd": _to_osd,
    "pg": _to_pg,
    "mds": _to_mds,
}


# ------------------------------------------------------------------------------------- whole kinds


def ids_of(cluster: Rados, kind: str) -> list[str] | None:
    """The daemons of a kind, by their ids; None where there is no such kind.

    Raises the CephError that the monitors answered.
    """
    if kind not in _LISTS:
        return None
    prefix, names = _LISTS[kind]
    status, output, complaint = send(cluster, MONITORS, {"prefix": prefix, "format": "json"})
    if status < 0:
        raise CephError.from_errno(-status, complaint)
    return names(json.loads(output))


def _mds_names(fsmap: dict[str, Any]) -> list[str]:
    infos = list(fsmap["standbys"])
    for system in fsmap["filesystems"]:
        infos += system["mdsmap"]["info"].values()
    return [info["name"] for info in infos]


# Only the active manager takes `tell`.
_LISTS: dict[str, tuple[str, Callable[[Any], list[str]]]] = {
    "mon": ("mon dump", lambda monmap: [each["name"] for each in monmap["mons"]]),
    "osd": ("osd ls", lambda numbers: [str(number) for number in numbers]),
    "mds": ("fs dump", _mds_names),
    "mgr": ("mgr dump", lambda mgrmap: [mgrmap["active_name"]]),
}


def all_of(cluster: Rados, target: Target) -> list[Target]:
    """The target, or every daemon of its kind for `tell osd.*`."""
    if target.which != "*":
        return [target]
    return [Target(target.kind, each) for each in ids_of(cluster, target.kind) or []]


def why_no_target(cluster: Rados, word: str) -> str | None:
    """What is wrong with a target of `tell`; None where there is such a daemon."""
    kind, dot, which = word.partition(".")
    if not dot:
        if kind in {"mgr", "mon"}:
            return None
        return (
            f'WARN: "{word}" is not a legal target. '
            "it should be one of mon.<id>/osd.<int>/mds.<id>/mgr"
        )
    known = ids_of(cluster, kind)
    if known is None:
        return f"WARN: {kind} is not a legal service name, should be one of mon/osd/mds/mgr"
    if which in known or (which == "*" and known):
        return None
    return (
        "WARN: the service id you provided does not exist. "
        f"service id should be one of {'/'.join(known)}."
    )
