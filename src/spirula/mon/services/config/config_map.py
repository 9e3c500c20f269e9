"""Which options hold for whom: sections, masks, and the values that one entity gets.

Keys are `SECTION[/MASK...]/OPTION`: a section is `global`, a kind (`osd`) or an entity (`osd.3`,
dotted beginnings of longer names); masks are `class:ssd` and `host:a` (or another CRUSH type).
Rules follow upstream `src/mon/ConfigMap.cc`. Called by `service` and `show`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from spirula.conf.option import Option, OptionFlag
from spirula.types.entity import TYPES_BY_NAME

GLOBAL = "global"
KINDS = ("mon", "mgr", "osd", "mds", "client")
"""The order in which `config dump` goes through the kinds of entities."""
_MODULE = "/mgr/"


@dataclass(frozen=True, slots=True)
class OptionMask:
    """Where a value holds: below a CRUSH bucket, on devices of a class, or (empty) everywhere."""

    location_type: str = ""
    location_value: str = ""
    device_class: str = ""

    def __bool__(self) -> bool:
        return bool(self.location_type or self.device_class)

    def __str__(self) -> str:
        parts = []
        if self.location_type:
            parts.append(f"{self.location_type}:{self.location_value}")
        if self.device_class:
            parts.append(f"class:{self.device_class}")
        return "/".join(parts)

    def as_dict(self) -> dict[str, str]:
        """As `config get` prints it."""
        document = {}
        if self.location_type:
            document["location_type"] = self.location_type
            document["location_value"] = self.location_value
        if self.device_class:
            document["device_class"] = self.device_class
        return document

    def holds(self, place: Place) -> bool:
        """Whether an entity at this place is meant."""
        if self.device_class and self.device_class != place.device_class:
            return False
        return (
            not self.location_type or place.location.get(self.location_type) == self.location_value
        )


@dataclass(frozen=True, slots=True)
class Place:
    """Where an entity is: buckets by type name, and the class of its device."""

    location: Mapping[str, str] = field(default_factory=dict)
    device_class: str = ""


@dataclass(frozen=True, slots=True)
class MaskedOption:
    """One value. `option` is None where nobody knows an option of that name."""

    name: str
    value: str
    section: str
    mask: OptionMask
    option: Option | None

    @property
    def level(self) -> str:
        """Whom the option is for, as printed."""
        return self.option.level.value if self.option else "unknown"

    @property
    def can_update_at_runtime(self) -> bool:
        """Whether daemons take a new value without a restart."""
        return self.option is not None and self.option.can_update_at_runtime

    def has_flag(self, flag: OptionFlag) -> bool:
        """Whether the option is marked so."""
        return self.option is not None and bool(self.option.flags & flag)

    def precision(self, crush_types: Mapping[str, int]) -> int:
        """The smaller, the more is said of whom it is for; `crush_types` are numbers by name."""
        number = crush_types.get(self.mask.location_type)
        if number is not None:
            return number
        return len(crush_types) + (0 if self.mask.device_class else 1)


def parse_mask(who: str) -> tuple[str, OptionMask] | None:
    """Section (empty if none is named) and mask of `osd.3/class:ssd`; None if it is no target."""
    section = location_type = location_value = device_class = ""
    for part in who.split("/"):
        if part == GLOBAL:
            section = part
            continue
        name, colon, value = part.partition(":")
        if colon and name == "class":
            device_class = value
        elif colon:
            location_type, location_value = name, value
        elif part.partition(".")[0] in TYPES_BY_NAME:
            section = part
        else:
            return None
    return section, OptionMask(location_type, location_value, device_class)


def parse_key(key: str) -> tuple[str, str]:
    """The option's name and for whom it is, of a key. Names of manager options hold slashes."""
    if _MODULE in key:
        at = key.index(_MODULE)
        return key[at + 1 :], key[:at]
    who, _, name = key.rpartition("/")
    return name, who


def make_key(section: str, mask: OptionMask, name: str) -> str:
    """The key of a value."""
    return "/".join(part for part in (section or GLOBAL, str(mask), name) if part)


class ConfigMap:
    """All values by section, each section's ordered by name, and within by key."""

    def __init__(self, values: Iterable[MaskedOption] = ()) -> None:
        self._sections: dict[str, list[MaskedOption]] = {}
        self.has_masks = False
        """Whether it matters at all where an entity is."""
        for value in values:
            self.has_masks = self.has_masks or bool(value.mask)
            self._sections.setdefault(value.section or GLOBAL, []).append(value)
        for listed in self._sections.values():
            listed.sort(key=lambda value: _bytes(value.name))

    def section(self, name: str) -> list[MaskedOption]:
        """The values of one section."""
        return self._sections.get(name, [])

    def ordered(self) -> list[MaskedOption]:
        """All values in the order of `config dump`."""
        listed = list(self.section(GLOBAL))
        for kind in KINDS:
            listed += self.section(kind)
            for name in self._entities():
                if name.startswith(kind):
                    listed += self.section(name)
        return listed

    def sections(self) -> list[str]:
        """All sections: kinds, then entities, both in the order of bytes."""
        kinds = sorted((name for name in self._sections if "." not in name), key=_bytes)
        return [name for name in kinds if name != GLOBAL] + self._entities()

    def _entities(self) -> list[str]:
        return sorted((name for name in self._sections if "." in name), key=_bytes)

    def for_entity(
        self, entity: str, place: Place, crush_types: Mapping[str, int]
    ) -> dict[str, MaskedOption]:
        """The values that an entity such as `osd.3` gets, by option, in the order of names.

        A later section beats an earlier one: global, the kind, `a` and `a.b` of `osd.a.b`. Within
        one that says more of whom it is for beats the others.
        """
        kind, _, rest = entity.partition(".")
        names = [GLOBAL, kind]
        bits = rest.split(".")
        names += [".".join([kind, *bits[: count + 1]]) for count in range(len(bits))]
        found: dict[str, MaskedOption] = {}
        previous: MaskedOption | None = None
        for section in names:
            for value in self.section(section):
                if not value.mask.holds(place):
                    continue
                if previous is not None and previous.name != value.name:
                    previous = None
                if previous is not None and (
                    previous.precision(crush_types) < value.precision(crush_types)
                ):
                    continue
                found[value.name] = previous = value
        return {name: found[name] for name in sorted(found, key=_bytes)}


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


FindOption = Callable[[str], Option | None]
"""Finds an option, the daemons' or of a module of the manager."""
