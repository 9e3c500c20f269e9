"""What all plugins share in reading a profile: numbers, defaults, complaints, the CRUSH rule.

A profile is a dict of texts. A plugin fills its defaults in, as upstream's do, and these are stored
in the OSD map. Called by the plugins; `ErasureCode` is what they make of a profile.
Upstream: `src/erasure-code/ErasureCode.cc`, `ErasureCodeInterface.h`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from spirula.crush.map import CrushMap
from spirula.crush.rules import add_erasure_rule, add_layered_rule
from spirula.errors import InvalidArgument

Profile = dict[str, str]

MAX_CHUNKS = 255
"""Chunks of an erasure code: a pool's size is kept in one byte."""

_INT32 = range(-(1 << 31), 1 << 31)


@dataclass(frozen=True, slots=True)
class RuleShape:
    """What a profile says of the CRUSH rule.

    `steps`, for a layered code, are ("choose" or "chooseleaf", type of bucket, number).
    """

    root: str = "default"
    failure_domain: str = "host"
    device_class: str = ""
    steps: tuple[tuple[str, str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class ErasureCode:
    """What the monitors and OSDs need to know of a code.

    `chunk_size` gives the bytes of each chunk of an object of so many bytes, padded as the code
    needs it. `profile` is the profile with all defaults.
    """

    profile: Profile
    data_chunks: int
    chunks: int
    chunk_size: Callable[[int], int]
    rule: RuleShape = field(default_factory=RuleShape)

    @property
    def coding_chunks(self) -> int:
        """How many chunks may be lost, or more, for some codes."""
        return self.chunks - self.data_chunks

    def create_rule(self, crush: CrushMap, name: str) -> int:
        """Add the CRUSH rule by which pools with this code place chunks; gives its id.

        Raises Exists, NotFound for the root, InvalidArgument for what else the map lacks.
        """
        shape = self.rule
        if shape.steps:
            return add_layered_rule(
                crush, name, shape.root, shape.steps, self.chunks, device_class=shape.device_class
            )
        return add_erasure_rule(
            crush,
            name,
            shape.root,
            shape.failure_domain,
            self.chunks,
            device_class=shape.device_class,
        )


def show_profile(profile: Mapping[str, str]) -> str:
    """A profile as upstream's messages show it: `{k=2,m=1}`."""
    return "{" + ",".join(f"{key}={profile[key]}" for key in sorted(profile)) + "}"


@dataclass(slots=True)
class Reader:
    """A profile while it is read: complaints are gathered, for upstream goes on after one.

    `profile` is changed: defaults are filled in for what is not there or empty.
    """

    profile: Profile
    complaints: list[str] = field(default_factory=list)

    def text(self, name: str, default: str) -> str:
        """A text."""
        if not self.profile.get(name):
            self.profile[name] = default
        return self.profile[name]

    def number(self, name: str, default: int) -> int:
        """A number of 32 bits; the default where it is none, with a complaint."""
        given = self.text(name, str(default))
        found, wrong = parse_number(given)
        if wrong:
            self.complain(
                f"could not convert {name}={given} to int because {wrong}, set to default {default}"
            )
            return default
        return found

    def flag(self, name: str) -> bool:
        """Yes or no; no unless said."""
        return self.text(name, "false") in ("yes", "true")

    def complain(self, text: str) -> None:
        """Something is wrong; the profile will be refused."""
        self.complaints.append(text)

    def check(self) -> None:
        """Raise InvalidArgument with the first complaint, if there is any."""
        if self.complaints:
            raise InvalidArgument(self.complaints[0])

    def data_and_coding(self, k: int, m: int) -> tuple[int, int]:
        """The numbers `k` and `m`, those here being the defaults."""
        return self.number("k", k), self.number("m", m)

    def check_chunks(self, k: int, m: int) -> None:
        """Complain of numbers of chunks without sense."""
        if k < 2:
            self.complain(f"k={k} must be >= 2")
        elif m < 1:
            self.complain(f"m={m} must be >= 1")
        elif k + m > MAX_CHUNKS:
            self.complain(f"k+m={k + m} must be <= {MAX_CHUNKS}")

    def rule(self) -> RuleShape:
        """What the profile says of the CRUSH rule, with the defaults filled in."""
        return RuleShape(
            self.text("crush-root", "default"),
            self.text("crush-failure-domain", "host"),
            self.text("crush-device-class", ""),
        )


def parse_number(text: str) -> tuple[int, str]:
    """A number of 32 bits and what is wrong with it, in upstream's words (strict_strtol)."""
    digits = text.lstrip(" \t\n\v\f\r")
    body = digits[1:] if digits[:1] in ("+", "-") else digits
    if not (body.isascii() and body.isdecimal()):
        return 0, f"Expected option value to be integer, got '{text}'"
    significant = body.lstrip("0") or "0"
    value = int(significant) if len(significant) <= 10 else _INT32.stop
    value = -value if digits.startswith("-") else value
    if value not in _INT32:
        return 0, f"The option value '{text}' seems to be invalid"
    return value, ""


def padded(alignment: int, parts: int) -> Callable[[int], int]:
    """Chunk sizes of a code that pads the whole object to a multiple of `alignment`."""

    def chunk_size(object_size: int) -> int:
        return -(-object_size // alignment) * alignment // parts

    return chunk_size


def padded_chunks(alignment: int, parts: int) -> Callable[[int], int]:
    """Chunk sizes of a code that pads each chunk to a multiple of `alignment`."""

    def chunk_size(object_size: int) -> int:
        chunk = (object_size + parts - 1) // parts
        return -(-chunk // alignment) * alignment

    return chunk_size
