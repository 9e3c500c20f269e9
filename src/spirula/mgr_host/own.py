"""Finds modules of our own kind: those that come with the project, and those of other packages.

A package names its modules in the entry points of the group `spirula.mgr_modules`:

    [project.entry-points."spirula.mgr_modules"]
    greeter = "my_package.greeter:Greeter"

They stand in `mgr_module_path` under the word `spirula`, and last where it does not say it.
"""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points
from types import ModuleType

from spirula.commands.table import CommandFlag
from spirula.mgr_modules.logs import LOG_OPTIONS
from spirula.mgr_modules.module import Module
from spirula.mgr_modules.registry import MODULES
from spirula.types.mgr import ModuleOption
from spirula.types.mon import MonCommand

OWN = "spirula"
"""What stands for these modules among folders."""
GROUP = "spirula.mgr_modules"


def own_modules() -> dict[str, str]:
    """Where the class of each is, by the module's name; packages' before the project's own."""
    installed = {one.name: one.value for one in entry_points(group=GROUP)}
    return {**MODULES, **installed}


def import_class(where: str) -> type[Module]:
    """The class at `package.module:Class`. ImportError, TypeError where there is none."""
    package, _, name = where.partition(":")
    found = getattr(importlib.import_module(package), name, None)
    if not (isinstance(found, type) and issubclass(found, Module)):
        raise TypeError(f"{where} is no subclass of {Module.__module__}.Module")
    return found


def class_in(imported: ModuleType) -> type[Module] | None:
    """The class of our kind that a file in a folder of modules has, if it has one."""
    for one in vars(imported).values():
        # What it only derives from is elsewhere.
        here = getattr(one, "__module__", "").partition(".")[0] == imported.__name__
        if here and isinstance(one, type) and issubclass(one, Module):
            return one
    return None


def options_of(made: type[Module]) -> dict[str, ModuleOption]:
    """The options that a class declares, and those that all have."""
    return {one.name: one.declared() for one in (*made.OPTIONS, *LOG_OPTIONS)}


def commands_of(made: type[Module]) -> list[MonCommand]:
    """The commands that a class declares, as the monitors tell clients."""
    return [
        MonCommand(
            one.signature(), one.help, "mgr", one.perm, flags=int(one.flags | CommandFlag.MGR)
        )
        for one in made.COMMANDS.listed
    ]
