"""Scripts of calls of object classes: how they are written, and run on both sides.

A script is a list of steps on one object: calls, and what is put into the object directly (damaged
values, locks that have expired). `on_real` runs scripts on a real cluster. With the same client,
times and versions, `on_ours` runs one over an object in memory, and `on_osd` by an OSD's operations
in a PG in memory. `differences` compares code, output and object after each step. Times may differ
by seconds; fields named in `vague` are alike in kind and length only.
"""

from __future__ import annotations

import base64
import dataclasses
import errno
import json
import subprocess
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

from spirula.classes.registry import ClassRegistry
from spirula.denc import Struct
from spirula.denc.features import PACIFIC
from spirula.errors import WireError
from spirula.types.base import UTime
from spirula.types.entity import AddrType, EntityAddr, EntityInst, EntityName
from spirula.types.hobject import GHObject
from spirula.types.osd_op import Extent, OpCode, OSDOp
from spirula.types.osd_op_payload import OmapEntries
from tests.interop.realcluster import ENVIRONMENT, RealCluster
from tests.unit.classes.memory_handle import StoredObject, execute
from tests.unit.osd.ops.memory_pg import Client, MemoryPG

PEER = Path(__file__).with_name("class_peer.py")
PYTHON = "/usr/bin/python3"
NEAR_S = 30

enc = lambda data: base64.b64encode(data).decode()  # noqa: E731  # as short as its twin
dec = base64.b64decode


@dataclass(frozen=True)
class Call:
    """A call of a method; `kind` is the declared type of its output, if it has one."""

    cls: str
    method: str
    request: Struct | bytes = b""
    kind: type[Struct] | None = None

    def words(self):
        data = self.request if isinstance(self.request, bytes) else self.request.encode()
        return ["call", self.cls, self.method, enc(data)]

    def __str__(self):
        return f"{self.cls}.{self.method}({self.request!r:.200})"


@dataclass(frozen=True)
class Put:
    """`create`, `data`, `xattr`, `omap` or `remove`, with a name and a value where it has some."""

    what: str
    name: str = ""
    value: bytes = b""

    def words(self):
        return [self.what, *([self.name] if self.name else []), enc(self.value)]

    def __str__(self):
        return f"{self.what} {self.name}"


@dataclass
class Script:
    """`kinds`: declared types of attributes (`xattr:`) and omap values by how names begin.

    `parts` takes data apart into what is compared, where it holds declared types.
    """

    steps: list[Call | Put | Callable]
    kinds: dict[str, type[Struct]] = field(default_factory=dict)
    vague: frozenset[str] = frozenset()
    parts: Callable[[bytes], list] | None = None


SCRIPTS: dict[str, Script] = {}


def script(name, *, kinds=None, vague=(), parts=None):
    """Registers what a function returns: the steps of a script."""

    def register(steps):
        SCRIPTS[name] = Script(list(steps()), kinds or {}, frozenset(vague), parts)
        return steps

    return register


def on_real(cluster: RealCluster, pool: str, scripts: dict[str, Script]) -> dict:
    """What the real cluster answered: per script, a row for each step."""
    ended = subprocess.run(
        [PYTHON, str(PEER), str(cluster.conf), str(cluster.keyring), pool],
        input=json.dumps({n: [s.words() for s in script.steps] for n, script in scripts.items()}),
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def client_of(answers: dict) -> EntityInst:
    """Who the real client was, as OSDs saw it."""
    addr = EntityAddr.parse(answers["address"].strip("[]").split(",")[0])
    return EntityInst(
        EntityName(8, int(answers["id"])), dataclasses.replace(addr, type=AddrType.ANY)
    )


def on_ours(steps: Iterable, answers: list[dict], client: EntityInst, registry: ClassRegistry):
    """The same steps over an object in memory: rows like the real ones."""
    stored = StoredObject()
    for step, real in zip(steps, answers, strict=True):
        stored.version = real["version"]
        if isinstance(step, Call):
            data = step.request if isinstance(step.request, bytes) else step.request.encode()
            reply, handle = execute(
                stored,
                step.cls,
                step.method,
                data,
                now=UTime.at(real["now"]),
                origin=client,
                registry=registry,
            )
            yield reply.code, reply.data, stored, handle
        else:
            yield put(stored, step), b"", stored, None


@dataclass(eq=False)
class SameClient(Client):
    """The client of the real cluster."""

    origin: EntityInst = field(default_factory=EntityInst)
    features: int = PACIFIC

    @property
    def name(self):
        return self.origin.name

    @property
    def addr(self):
        return self.origin.addr


def on_osd(steps: Iterable, answers: list[dict], client: EntityInst, registry: ClassRegistry):
    """The same steps by an OSD's operations: rows likewise."""
    pg = MemoryPG(classes=registry)
    session = SameClient(origin=client)
    for step, real in zip(steps, answers, strict=True):
        pg.info.last_user_version = real["version"]
        pg.services.wall = lambda real=real: real["now"]
        logged = []
        pg.services.log = lambda level, text, logged=logged: logged.append(text)
        answer = pg.ask("object", op_of(step), client=session, mtime=real["now"])
        handle = SimpleNamespace(logged=logged)
        output = answer.data[0] if isinstance(step, Call) else b""
        yield answer.result, output, stored_in(pg), handle


def op_of(step: Call | Put) -> OSDOp:
    if isinstance(step, Call):
        data = step.request if isinstance(step.request, bytes) else step.request.encode()
        return OSDOp.call(step.cls, step.method, data)
    if step.what == "create":
        return OSDOp.make(OpCode.CREATE)
    if step.what == "data":
        return OSDOp.make(OpCode.WRITEFULL, Extent(0, len(step.value)), step.value)
    if step.what == "xattr":
        return OSDOp.xattr(OpCode.SETXATTR, step.name, step.value)
    if step.what == "omap":
        return OSDOp.make(OpCode.OMAPSETVALS, None, OmapEntries({step.name: step.value}).encode())
    return OSDOp.make(OpCode.DELETE)


def stored_in(pg: MemoryPG) -> StoredObject:
    """What the PG's store holds of the object."""
    oid = GHObject(pg.hobject("object"))
    if not pg.store.exists(pg.coll, oid):
        return StoredObject()
    attrs = pg.store.getattrs(pg.coll, oid)
    header, omap = pg.store.omap_get(pg.coll, oid)
    size = pg.store.stat(pg.coll, oid).size
    return StoredObject(
        True,
        bytes(pg.store.read(pg.coll, oid, 0, size)),
        {name[1:]: value for name, value in attrs.items() if name[0] == "_" and name != "_"},
        omap,
        header,
    )


def put(stored: StoredObject, step: Put) -> int:
    if step.what == "remove":
        if not stored.exists:
            return -errno.ENOENT
        vars(stored).update(vars(StoredObject()))
        return 0
    stored.exists = True
    if step.what == "data":
        stored.data = step.value
    elif step.what == "xattr":
        stored.xattrs[step.name] = step.value
    elif step.what == "omap":
        stored.omap[step.name] = step.value
    return 0


def differences(
    script: Script, answers: list[dict], client: EntityInst, registry, run=on_ours
) -> list[str]:
    """What differs, a line each; empty is good."""
    found = []
    rows = run(script.steps, answers, client, registry)
    for number, (step, real, row) in enumerate(zip(script.steps, answers, rows, strict=True)):
        code, output, stored, handle = row
        where = f"step {number}, {step}"
        answered = dec(real["output"])
        if code < 0:
            output = b""  # python3-rados raises, and drops it
        elif output:
            code = len(output)  # what rados_exec returns then
        elif code:
            answered = b""  # python3-rados takes the code for a length
        if code != real["code"]:
            found.append(f"{where}: real {real['code']}, ours {code} {handle and handle.logged}")
        kind = getattr(step, "kind", None)
        same(answered, output, kind, script, f"{where}: output", found)
        compare_objects(script, real["state"], stored, where, found)
        if found:
            break
    return found


def compare_objects(script, real, stored, where, found):
    if (real is None) == stored.exists:
        found.append(f"{where}: real has {'no' if real is None else 'an'} object, ours not")
    if real is None or not stored.exists:
        return
    theirs = dec(real["data"])
    if not same_data(theirs, stored.data, script):
        pairs = enumerate(zip(theirs, stored.data, strict=False))
        at = next((n for n, (a, b) in pairs if a != b), min(len(theirs), len(stored.data)))
        found.append(
            f"{where}: data of {len(theirs)} and {len(stored.data)} bytes differ at {at}:"
            f" real {theirs[at:]!r:.300}, ours {stored.data[at:]!r:.300}"
        )
    omap = {dec(k).decode("utf-8", "surrogateescape"): dec(v) for k, v in real["omap"]}
    xattrs = {key: dec(value) for key, value in real["xattrs"].items()}
    for what, theirs, ours in (("xattr:", xattrs, stored.xattrs), ("", omap, stored.omap)):
        if set(theirs) != set(ours):
            found.append(
                f"{where}: {what or 'omap'} keys: real {sorted(theirs)}, ours {sorted(ours)}"
            )
            continue
        for name, value in theirs.items():
            kind = next(
                (k for start, k in script.kinds.items() if (what + name).startswith(start)), None
            )
            same(value, ours[name], kind, script, f"{where}: {what}{name}", found)


def same_data(real: bytes, ours: bytes, script: Script) -> bool:
    if real == ours or script.parts is None:
        return real == ours
    return close(script.parts(real), script.parts(ours), script.vague)


def same(real: bytes, ours: bytes, kind, script, where, found):
    if real == ours:
        return
    if kind is not None:
        try:
            theirs, mine = kind.decode(real, exact=True), kind.decode(ours, exact=True)
        except WireError as error:
            found.append(f"{where}: {error}")
            return
        if close(theirs, mine, script.vague):
            return
        real, ours = theirs, mine
    found.append(f"{where}:\n  real {real!r:.1500}\n  ours {ours!r:.1500}")


def alike(real, ours, vague) -> bool:
    """Whether two random values are of the same kind and length."""
    return type(real) is type(ours) and (isinstance(real, int) or len(real) == len(ours))


def close(real, ours, vague) -> bool:
    if isinstance(real, UTime):
        return abs(float(real) - float(ours)) < NEAR_S
    if isinstance(real, Struct):
        return type(real) is type(ours) and all(
            (alike if f.name in vague else close)(
                getattr(real, f.name), getattr(ours, f.name), vague
            )
            for f in dataclasses.fields(typing.cast("typing.Any", real))
        )
    if isinstance(real, list | tuple):
        return len(real) == len(ours) and all(map(close, real, ours, [vague] * len(real)))
    if isinstance(real, dict):
        return set(real) == set(ours) and all(close(real[k], ours[k], vague) for k in real)
    return real == ours
