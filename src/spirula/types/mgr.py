"""The manager map: who manages, who stands by, which modules there are.

Layouts only; publishing it is the monitor's, following it everybody's. Format: upstream
`src/mon/MgrMap.h`. Written as releases from Nautilus on understand it; read back to version 1.
"""

from __future__ import annotations

from typing import Annotated

from spirula.denc import (
    Map,
    Sequence,
    Set,
    String,
    Struct,
    Vec,
    boolean,
    default,
    since,
    string,
    struct,
    u8,
    u32,
    u64,
    until,
)
from spirula.types.base import UTime
from spirula.types.entity import EntityAddrVec

OPTION_TYPE_STR = 3
OPTION_LEVEL_ADVANCED = 1


@struct(version=1, compat=1, name="MgrMap::ModuleOption")
class ModuleOption(Struct):
    """An option of a manager module; type, level and flags are those of configuration options."""

    name: string
    type: u8 = default(OPTION_TYPE_STR)
    level: u8 = default(OPTION_LEVEL_ADVANCED)
    flags: u32
    default_value: string
    min: string
    max: string
    enum_allowed: Set[string]
    desc: string
    long_desc: string
    tags: Set[string]
    see_also: Set[string]


@struct(version=2, compat=1, name="MgrMap::ModuleInfo")
class ModuleInfo(Struct):
    """A module that a manager has, and why it cannot run if it cannot."""

    name: string
    can_run: boolean = default(True)
    error_string: string
    module_options: Map[string, ModuleOption] = since(2)


@struct(version=4, compat=1, name="MgrMap::StandbyInfo")
class StandbyInfo(Struct):
    """A manager that waits. `old_available_modules` repeats the names of `available_modules`."""

    gid: u64
    name: string
    old_available_modules: Set[string] = since(2)
    available_modules: Vec[ModuleInfo] = since(3)
    mgr_features: u64 = since(4)

    def module_names(self) -> set[str]:
        """The modules that it has, whichever release reported them."""
        return {module.name for module in self.available_modules} or self.old_available_modules


@struct(version=11, compat=6, raised=("client_names is not None", 12, 6), name="MgrMap")
class MgrMap(Struct):
    """The active manager, the ones that stand by, and their modules.

    `active_gid` is 0 while there is no active manager; `available` tells whether the active one
    has begun to serve at `active_addrs`. `always_on_modules` is keyed by release number,
    `services` maps modules to the addresses that they serve at, and `clients` are addresses that
    are blocklisted when the active manager fails. `client_names` are their modules, position by
    position; later releases of 16.2 send them, and None stands for a map without.
    """

    epoch: u32
    active_addrs: EntityAddrVec
    active_gid: u64
    available: boolean
    active_name: string
    standbys: Map[u64, StandbyInfo]
    modules: Set[string] = since(2)
    old_available_modules: Set[string] = until(6, since=2)
    services: Map[string, string] = since(3)
    available_modules: Vec[ModuleInfo] = since(4)
    active_change: UTime = since(7)
    always_on_modules: Map[u32, Set[string]] = since(8)
    active_mgr_features: u64 = since(9)
    last_failure_osd_epoch: u32 = since(10)
    clients: Vec[EntityAddrVec] = since(11)
    client_names: Annotated[list[str] | None, Sequence(String())] = since(12, default=None)
