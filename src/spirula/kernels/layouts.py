"""Values to and from bytes by a plan: what stands where in the usual form of a message.

Each replicated write makes and reads some ten messages, log entries and records that look alike but
for their numbers. `packer` and `unpacker` take that look as a list of items, and give functions
that do it in one call. They give up, with None, on whatever is not just so, damage and numbers out
of range included: whoever has such a plan has a general way as well, in Python. It serves where
there is no compiler, it says what is wrong, and it is the twin that the tests compare with. Used
by `types` and `messages`. `IMPLEMENTATION` says whether there are plans ("native") here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MemberDescriptorType, ModuleType
from typing import Any, NamedTuple

_native: ModuleType | None
try:
    from spirula.kernels import _layouts

    _native = _layouts
except ImportError:  # no compiler when it was installed: slower, but everything works
    _native = None

IMPLEMENTATION = "pure" if _native is None else "native"

Pack = Callable[[object], bytes | None]
Unpack = Callable[[bytes, int, int], tuple[Any, int] | None]


class Item(NamedTuple):
    """What stands next: its kind, the attribute it is of (dotted: of one of the value's parts)."""

    kind: str
    path: str = ""
    number: int = 0
    extra: Any = None


# ---------------------------------------------------------------------------------- what may stand


def number(code: str, path: str, among: Iterable[int] = ()) -> Item:
    """A number as `struct` has it by its letter; `among`: one of these, each below 64."""
    return Item(code, path, sum(1 << each for each in among))


def literal(raw: bytes) -> Item:
    """These bytes and no others."""
    return Item("L", extra=raw)


def opened(version: int, compat: int) -> Item:
    """The head of an envelope: these versions, and the length up to the `closed` of it."""
    return Item("O", number=compat << 8 | version)


def closed() -> Item:
    """The end of the envelope that was opened last: nothing stands after what was told."""
    return Item("C")


def fixed(path: str, size: int) -> Item:
    """So many bytes."""
    return Item("R", path, size)


def blob(path: str) -> Item:
    """Bytes after their length."""
    return Item("D", path)


def enveloped(path: str) -> Item:
    """Bytes that are a value in its envelope."""
    return Item("A", path)


def text(path: str, *, empty: bool = True) -> Item:
    """A string after its length; `empty`: it may be none."""
    return Item("T" if empty else "t", path)


def numbers(path: str, code: str) -> Item:
    """A list of numbers after their count."""
    return Item("V", path, ord(code))


def each(path: str, code: str, plan: Pack | Unpack) -> Item:
    """A list of values, each by a plan of its own, after their count (`code` empty: without)."""
    return Item("E", path, ord(code or " "), getattr(plan, "__self__", None))


def same(path: str, value: object) -> Item:
    """Nothing stands here: the attribute has that value, or gets it."""
    return Item("=", path, extra=value)


# packing only


def empty(path: str) -> Item:
    """Nothing stands here: the attribute is empty."""
    return Item("0", path)


def length(path: str) -> Item:
    """How long something is, without it."""
    return Item("N", path)


def ranges(starts: str, ends: str) -> Item:
    """How many ranges, then start and length of each, from lists of starts and ends."""
    return Item("S", starts, extra=ends.rpartition(".")[2])


# unpacking only


def known(path: str, size: int, values: Mapping[bytes, Any]) -> Item:
    """What `values` has for so many bytes (0: for a value in its envelope); not None."""
    return Item("K", path, size, values)


def decoded(path: str, cls: type[Any]) -> Item:
    """What the `_dec` of a declared type makes of what stands there."""
    return Item("Y", path, extra=cls)


def also(path: str) -> Item:
    """Another attribute that gets what the item before has given."""
    return Item("+", path)


def mark() -> Item:
    """Nothing stands here; `again` and `since_mark` speak of this place."""
    return Item("M")


def again(size: int) -> Item:
    """As many bytes as at the mark, and the same."""
    return Item("~", number=size)


def since_mark(path: str) -> Item:
    """An attribute that gets the bytes from the mark up to here."""
    return Item("P", path)


def some_ranges() -> Item:
    """How many ranges, then start and length of each: ascending, none empty; not kept here."""
    return Item("G")


def at_end() -> Item:
    """Nothing stands after this."""
    return Item(".")


# ------------------------------------------------------------------------------------------- plans


def packer(*items: Item) -> Pack:
    """What makes the bytes of a value; None for one that does not look so."""
    if _native is None:
        return _give_up
    owners = [item.path.rpartition(".")[0] for item in items if item.path]
    parts = [""]
    for owner in owners:
        names = owner.split(".") if owner else []
        found = [".".join(names[: count + 1]) for count in range(len(names))]
        parts += [part for part in found if part not in parts]
    made: Pack = _plan(dict.fromkeys(parts), items).pack
    return made


def unpacker(classes: Mapping[str, type[Any]], *items: Item) -> Unpack:
    """What makes a value of the bytes between two positions, and gives the position after it.

    `classes`: those of the value ("") and of its parts by their paths, owners first. Their
    `__init__` is not called: the items give each attribute its value.
    """
    if _native is None:
        return _give_up
    made: Unpack = _plan(classes, items).unpack
    return made


def _give_up(*_: object) -> None:
    """Stands for all plans where there is no compiler."""


def _plan(classes: Mapping[str, type[Any] | None], items: Iterable[Item]) -> Any:
    order = {path: position for position, path in enumerate(classes)}

    def place(path: str) -> tuple[int, str, Any]:
        owner, _, name = path.rpartition(".")
        return order[owner], name, getattr(classes[owner], name, None) if path else None

    parts = []
    for path, cls in classes.items():
        owner, name, found = place(path)
        parts.append((owner, name, cls, found))
    steps = []
    for item in items:
        owner, name, found = place(item.path)
        steps.append((item.kind, owner, name, item.number, item.extra, found))
    return None if _native is None else _native.Plan(parts, steps, MemberDescriptorType)
