"""Clients that work on the same few objects at once and write down what they saw, and when.

What an object may answer is `do_alone`; whether all answers together can be, `linearizable`
decides. They drive any cluster through our objecter, in simulation and on real processes.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from errno import EEXIST, ENODATA, ENOENT

from spirula.client.objecter.objecter import Objecter
from spirula.errors import Indeterminate, TimedOut
from spirula.types.object_info import ObjectLocator
from spirula.types.osd_op import Extent, OpCode, OSDOp
from spirula.types.osd_op_payload import OmapEntries
from tests.linearizable import Call, check_linearizable

ABSENT = None
_LAST_ERRNO = 4095
_READ_ALL = 1 << 20


def do_alone(state, vector):
    """What a vector of operations does to an object alone: the object after it, and the answer.

    An object is ABSENT, or its data and its sorted attributes; an answer the result and, if that
    is 0, what each operation put out (None: nothing). A vector that is refused changes nothing.
    """
    after, outputs = state, []
    for op in vector:
        result, after, output = _ALONE[op[0]](after, *op[1:])
        if result < 0:
            return state, (result, ())
        outputs.append(output)
    return after, (0, tuple(outputs))


def only_looks(call):
    """Whether a call changed nothing, whenever it happened: it was refused, or it just reads."""
    return call.answer[0] < 0 or all(op[0] in _LOOKS for op in call.what)


_LOOKS = ("read", "getxattr", "getxattrs", "cmpext")


def _read(state):
    return (-ENOENT, state, None) if state is ABSENT else (0, state, state[0])


def _getxattrs(state):
    return (-ENOENT, state, None) if state is ABSENT else (0, state, state[1])


def _getxattr(state, name):
    if state is ABSENT:
        return -ENOENT, state, None
    value = dict(state[1]).get(name)
    return (-ENODATA, state, None) if value is None else (0, state, value)


def _cmpext(state, expected):
    stored = (b"" if state is ABSENT else state[0])[: len(expected)].ljust(len(expected), b"\0")
    if stored == expected:
        return 0, state, None
    at = next(n for n, pair in enumerate(zip(stored, expected, strict=True)) if pair[0] != pair[1])
    return -_LAST_ERRNO - at, state, None


def _create(state):
    return (0, (b"", ()), None) if state is ABSENT else (-EEXIST, state, None)


def _put(state, offset, data):
    old, attrs = state or (b"", ())
    old = old.ljust(offset, b"\0")
    return 0, (old[:offset] + data + old[offset + len(data) :], attrs), None


def _write_full(state, data):
    return 0, (data, state[1] if state else ()), None


def _append(state, data):
    return _put(state, len(state[0]) if state else 0, data)


def _setxattr(state, name, value):
    data, attrs = state or (b"", ())
    return 0, (data, tuple(sorted({**dict(attrs), name: value}.items()))), None


def _rmxattr(state, name):
    if state is ABSENT:
        return -ENOENT, state, None
    return 0, (state[0], tuple(pair for pair in state[1] if pair[0] != name)), None


def _delete(state):
    return (-ENOENT, state, None) if state is ABSENT else (0, ABSENT, None)


_ALONE = {
    "read": _read,
    "getxattrs": _getxattrs,
    "getxattr": _getxattr,
    "cmpext": _cmpext,
    "create": _create,
    "write": _put,
    "write_full": _write_full,
    "append": _append,
    "setxattr": _setxattr,
    "rmxattr": _rmxattr,
    "delete": _delete,
}

_MAKE = {
    "read": lambda: OSDOp.make(OpCode.READ, Extent(0, _READ_ALL)),
    "getxattrs": lambda: OSDOp.make(OpCode.GETXATTRS),
    "getxattr": lambda name: OSDOp.xattr(OpCode.GETXATTR, name),
    "cmpext": lambda data: OSDOp.make(OpCode.CMPEXT, Extent(0, len(data)), data),
    "create": lambda: OSDOp.make(OpCode.CREATE, flags=1),
    "write": lambda at, data: OSDOp.make(OpCode.WRITE, Extent(at, len(data)), data),
    "write_full": lambda data: OSDOp.make(OpCode.WRITEFULL, Extent(0, len(data)), data),
    "append": lambda data: OSDOp.make(OpCode.APPEND, Extent(0, len(data)), data),
    "setxattr": lambda name, value: OSDOp.xattr(OpCode.SETXATTR, name, value),
    "rmxattr": lambda name: OSDOp.xattr(OpCode.RMXATTR, name),
    "delete": lambda: OSDOp.make(OpCode.DELETE),
}


def _output(kind, op):
    data = bytes(op.outdata)
    if kind == "getxattrs":
        return tuple(sorted(OmapEntries.decode(data).entries.items()))
    return data if kind in ("read", "getxattr") else None


@dataclass
class Shared:
    """The objects that clients share, and all calls on them in the order of their events."""

    names: list[str]
    calls: dict[str, list[Call]] = field(default_factory=dict)
    events: int = 0
    tokens: int = 0

    def event(self) -> int:
        """The next place in the order of events."""
        self.events += 1
        return self.events

    def token(self) -> bytes:
        """Some bytes that nobody else writes."""
        self.tokens += 1
        return b"<%d>" % self.tokens

    def check(self) -> None:
        """Of each object, the calls can have happened one after another."""
        for name, calls in self.calls.items():
            try:
                check_linearizable(calls, do_alone, ABSENT, only_looks)
            except AssertionError as error:
                error.add_note(f"object {name!r}")
                raise


class ConcurrentClient:
    """One client. `impatient`: how often it gives up waiting for an answer before long."""

    def __init__(
        self,
        objecter: Objecter,
        locator: ObjectLocator,
        rng: random.Random,
        name: str,
        shared: Shared,
        *,
        impatient: float = 0.05,
    ) -> None:
        self.objecter = objecter
        self.locator = locator
        self.rng = rng
        self.name = name
        self.shared = shared
        self.impatient = impatient
        self.done = 0
        self._seen: dict[str, bytes] = {}
        """What it read last, to swap."""

    async def step(self) -> None:
        """One call."""
        name = self.rng.choice(self.shared.names)
        patience = self.rng.uniform(0.001, 3) if self.rng.random() < self.impatient else None
        await self.ask(name, self._some_vector(name), patience)
        self.done += 1

    async def ask(self, name: str, vector: tuple, timeout_s: float | None = None) -> None:
        """Do it, and write down what came of it."""
        shared = self.shared
        began = shared.event()
        ops = [_MAKE[op[0]](*op[1:]) for op in vector]
        answer, ended = None, None
        try:
            outcome = await self.objecter.operate(name, self.locator, ops, timeout_s=timeout_s)
        except Indeterminate:
            pass
        except TimedOut:
            return
        else:
            result = min(outcome.result, 0)
            outputs = () if result else map(_output, (op[0] for op in vector), outcome.ops)
            answer, ended = (result, tuple(outputs)), shared.event()
            if vector[0] == ("read",) and not result:
                self._seen[name] = answer[1][0]
        shared.calls.setdefault(name, []).append(Call(self.name, vector, answer, began, ended))

    async def look(self) -> None:
        """Read all objects."""
        for name in self.shared.names:
            await self.ask(name, (("read",), ("getxattrs",)))

    def _some_vector(self, name: str) -> tuple:
        rng, token = self.rng, self.shared.token()
        key = rng.choice(("k1", "k2"))
        seen = self._seen.get(name, b"")
        kinds = {
            "append": (("append", token),),
            "read": (("read",),),
            "look": (("read",), ("getxattrs",)),
            "both": (("append", token), ("setxattr", key, token)),
            "swap": (("cmpext", seen), ("write_full", token)),
            "write_full": (("write_full", token),),
            "write": (("write", rng.randrange(12), token),),
            "setxattr": (("setxattr", key, token),),
            "getxattr": (("getxattr", key),),
            "rmxattr": (("rmxattr", key),),
            "create": (("create",), ("append", token)),
            "delete": (("delete",),),
        }
        weights = (30, 20, 10, 10, 8, 3, 5, 5, 5, 3, 4, 3)
        return kinds[rng.choices(list(kinds), weights)[0]]
