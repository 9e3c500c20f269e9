"""The types of a command's arguments: how they are described to clients, and what is accepted.

    @commands.add("osd pool rename", srcpool=PoolName(), destpool=PoolName(), perm="rw", ...)

A client's `ceph` builds its parser from the descriptions (upstream `src/pybind/ceph_argparse.py`),
so most wrong input never gets here; what does is checked again, for it may come from anybody.
Formats: upstream `src/common/cmdparse.cc`, `src/mon/MonCommands.h`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from spirula.errors import InvalidArgument
from spirula.types.entity import EntityAddr

Value = object
"""An argument as handlers get it: str, int, float, bool, or a list of one of them."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument.

    `kind` is upstream's name of its type. Optional ones (`required` false) are left out of the
    call where the client left them out, so that the handler's own default holds. `repeated` ones
    come as a list, empty where nothing was given. `details` are further pairs of the description.
    """

    kind: str
    check: Callable[[str, object, Argument], Value]
    required: bool = True
    repeated: bool = False
    details: tuple[tuple[str, str], ...] = ()

    def describe(self, name: str) -> dict[str, str]:
        """The argument as `get_command_descriptions` tells it."""
        pairs = {"name": name, "type": self.kind, **dict(self.details)}
        if self.repeated:
            pairs["n"] = "N"
        if not self.required:
            pairs.setdefault("req", "false")
        return dict(sorted(pairs.items()))

    def detail(self, key: str) -> str:
        """A further pair's value; empty where there is none."""
        return dict(self.details).get(key, "")

    def is_no_choice(self, value: object) -> bool:
        """Whether an optional choice is left empty, as librados's own tests do: not given, then."""
        return self.kind == "CephChoices" and not self.required and value == ""

    def accept(self, name: str, value: object) -> Value:
        """The value for the handler. Raises InvalidArgument."""
        if not self.repeated:
            return self.check(name, value, self)
        if not isinstance(value, list):
            raise _bad(name)
        return [self.check(name, item, self) for item in value]


def _bad(name: str) -> InvalidArgument:
    return InvalidArgument(f"bad or missing field '{name}'")


def _string(name: str, value: object, argument: Argument) -> str:
    if not isinstance(value, str):
        raise _bad(name)
    return value


def _good(name: str, value: object, argument: Argument) -> str:
    text = _string(name, value, argument)
    goodchars = argument.detail("goodchars")
    if goodchars and not re.fullmatch(f"{goodchars}*", text):
        raise InvalidArgument(f"invalid chars in {name}: only {goodchars} are allowed")
    return text


def _in_range(name: str, value: float, argument: Argument) -> None:
    low, _, high = argument.detail("range").partition("|")
    if (low and value < float(low)) or (high and value > float(high)):
        raise InvalidArgument(f"'{value}' out of range: [{low},{high}]")


def _int(name: str, value: object, argument: Argument) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not -(1 << 63) <= value < 1 << 63:
        raise _bad(name)
    _in_range(name, value, argument)
    return value


def _float(name: str, value: object, argument: Argument) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _bad(name)
    try:
        number = float(value)
    except OverflowError:
        raise _bad(name) from None
    if not math.isfinite(number):
        raise _bad(name)
    _in_range(name, number, argument)
    return number


def _bool(name: str, value: object, argument: Argument) -> bool:
    # Older clients send the flag itself: CephChoices "--yes-i-really-mean-it".
    if value == "--" + name.replace("_", "-"):
        return True
    if not isinstance(value, bool):
        raise _bad(name)
    return value


def _choice(name: str, value: object, argument: Argument) -> str:
    text = _string(name, value, argument)
    choices = argument.detail("strings")
    if text not in choices.split("|"):
        raise InvalidArgument(f"'{text[:100]}' not belong to '{choices}'")
    return text


def _address(name: str, value: object, argument: Argument) -> str:
    text = _string(name, value, argument)
    try:
        EntityAddr.parse(text)
    except ValueError:
        raise InvalidArgument(f"failed to parse addr '{text[:100]}', should be ip:[port]") from None
    return text


def _details(**pairs: str) -> tuple[tuple[str, str], ...]:
    return tuple((key, value) for key, value in pairs.items() if value)


def text(
    kind: str = "CephString",
    *,
    required: bool = True,
    repeated: bool = False,
    goodchars: str = "",
) -> Argument:
    """Any text; `goodchars` is a class of characters in brackets, as `[A-Za-z0-9-_.]`.

    `kind` is how clients check and complete it: CephPoolname, CephName, CephOsdName, CephPgid,
    CephObjectname, CephUUID, CephFilepath. Handlers read such texts themselves.
    """
    return Argument(kind, _good, required, repeated, _details(goodchars=goodchars))


def said_required(argument: Argument) -> Argument:
    """The same, described as required in so many words; upstream does that for one argument."""
    return replace(argument, details=(*argument.details, ("req", "true")))


def pool_name(*, required: bool = True, repeated: bool = False) -> Argument:
    """The name of a pool; whether it exists is the handler's business."""
    return text("CephPoolname", required=required, repeated=repeated)


def pgid(*, required: bool = True, repeated: bool = False) -> Argument:
    """A placement group such as `3.1f`, as text."""
    return text("CephPgid", required=required, repeated=repeated)


def osd_name(*, required: bool = True, repeated: bool = False) -> Argument:
    """`osd.3` or `3`: clients send a number or text. Handlers get text; see `osd_number`."""
    return Argument("CephOsdName", _osd_name, required, repeated)


def _osd_name(name: str, value: object, argument: Argument) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _string(name, value, argument)


def osd_number(word: str) -> int:
    """The number in `osd.3` or `3`. Raises InvalidArgument (upstream parse_osd_id)."""
    digits = word.removeprefix("osd.")
    if not re.fullmatch("[0-9]{1,9}", digits):
        raise InvalidArgument(f"unable to parse osd id or osd.id: '{word[:100]}'")
    return int(digits)


def integer(
    low: int | None = None,
    high: int | None = None,
    *,
    required: bool = True,
    repeated: bool = False,
) -> Argument:
    """A whole number of 64 bits from `low` to `high`, both included."""
    return Argument("CephInt", _int, required, repeated, _details(range=_range(low, high)))


def number(
    low: float | None = None,
    high: float | None = None,
    *,
    required: bool = True,
    repeated: bool = False,
) -> Argument:
    """A finite number from `low` to `high`, both included."""
    return Argument("CephFloat", _float, required, repeated, _details(range=_range(low, high)))


def _range(low: float | None, high: float | None) -> str:
    if low is None:
        return ""
    return f"{low}" if high is None else f"{low}|{high}"


def flag() -> Argument:
    """`--yes-i-really-mean-it`: a bool that is left out where it is false."""
    return Argument("CephBool", _bool, required=False)


def boolean(*, required: bool = True) -> Argument:
    """A bool that is said."""
    return Argument("CephBool", _bool, required)


def choices(*words: str, required: bool = True, repeated: bool = False) -> Argument:
    """One of these words."""
    return Argument("CephChoices", _choice, required, repeated, _details(strings="|".join(words)))


def ip_addr(*, required: bool = True) -> Argument:
    """An address with an optional port, checked, as text."""
    return Argument("CephIPAddr", _address, required)


def entity_addr(*, required: bool = True) -> Argument:
    """An address with an optional port and nonce, or a range `1.2.3.0/24`, as text."""
    return text("CephEntityAddr", required=required)
