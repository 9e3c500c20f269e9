"""How small values stand in the plans of what contains them (see `kernels.layouts`).

For types and messages of which an OSD makes or reads some with each write. `path` is where a value
is in the one that the plan is for. The declarations of these types say what it all means.
"""

from __future__ import annotations

from spirula.kernels.layouts import Item, closed, literal, number, opened, text

ZERO = bytes(4)
"""A list without elements."""


def eversion(path: str) -> list[Item]:
    """An EVersion."""
    return [number("Q", f"{path}.version"), number("I", f"{path}.epoch")]


def utime(path: str) -> list[Item]:
    """A UTime."""
    return [number("I", f"{path}.sec"), number("I", f"{path}.nsec")]


def request_id(path: str) -> list[Item]:
    """An OSDReqId."""
    return [
        opened(2, 2),
        number("B", f"{path}.name.type"),
        number("q", f"{path}.name.num"),
        number("Q", f"{path}.tid"),
        number("i", f"{path}.inc"),
        closed(),
    ]


def pg_id(path: str) -> list[Item]:
    """A PGId."""
    pool, seed = number("q", f"{path}.pool"), number("I", f"{path}.seed")
    return [literal(b"\1"), pool, seed, literal(b"\xff" * 4)]


def spg_id(path: str) -> list[Item]:
    """An SPGId."""
    return [opened(1, 1), *pg_id(f"{path}.pgid"), number("b", f"{path}.shard"), closed()]


def pg_shard(path: str) -> list[Item]:
    """A PGShard."""
    return [opened(1, 1), number("i", f"{path}.osd"), number("b", f"{path}.shard"), closed()]


def hobject(path: str) -> list[Item]:
    """An HObject, for packing."""
    return [
        opened(4, 3),
        text(f"{path}.key"),
        text(f"{path}.oid"),
        number("Q", f"{path}.snap"),
        number("I", f"{path}.hash"),
        number("?", f"{path}.max"),
        text(f"{path}.nspace"),
        number("q", f"{path}.pool"),
        closed(),
    ]
