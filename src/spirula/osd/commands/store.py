"""Commands that show how an OSD's object store has its free space, by BlueStore's names.

Documents have upstream's fields (`src/os/bluestore/Allocator.cc`).
"""

from __future__ import annotations

from spirula.conf.admin_commands import CommandTable, Section
from spirula.errors import NotSupported
from spirula.osd.state import OSD
from spirula.printing import Items, Unquoted
from spirula.store.allocator import Allocator


def register(table: CommandTable, osd: OSD) -> None:
    """Adds these commands to the OSD's table."""
    add = table.register
    add("bluestore allocator dump block", lambda _: _dump(osd), "dump allocator free regions")
    add(
        "bluestore allocator score block",
        lambda _: _rated("fragmentation_score", _free(osd).fragmentation_score()),
        "give score on allocator fragmentation (0-no fragmentation, 1-absolute fragmentation)",
    )
    add(
        "bluestore allocator fragmentation block",
        lambda _: _rated("fragmentation", _free(osd).fragmentation()),
        "give allocator fragmentation (0-no fragmentation, 1-absolute fragmentation)",
    )


def _free(osd: OSD) -> Allocator:
    found = osd.store.free_space()
    if found is None:
        raise NotSupported("the OSD keeps its objects in memory, which has no allocator")
    return found


def _rated(name: str, value: float) -> Section:
    return Section(name, {"fragmentation_rating": Unquoted(f"{value:.17g}")})


def _dump(osd: OSD) -> Section:
    free = _free(osd)
    extents = [{"offset": hex(start), "length": hex(length)} for start, length in free]
    return Section(
        "allocator_dump",
        {
            "capacity": free.size,
            "alloc_unit": free.unit,
            "alloc_type": "spirula",
            "alloc_name": "block",
            "extents": Items("free", extents),
        },
    )
