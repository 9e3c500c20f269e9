"""The commands that a manager answers itself, a module a family; modules have more.

`dispatch` finds the handler, checks caps and answers.
"""

from __future__ import annotations

from spirula.commands.table import Commands
from spirula.mgr.commands import devices, osds, pgs, pools, reweight, services


def all_groups() -> list[Commands]:
    """The commands of all families."""
    return [
        pgs.COMMANDS,
        osds.COMMANDS,
        pools.COMMANDS,
        reweight.COMMANDS,
        services.SERVICE,
        services.CONFIG,
        devices.COMMANDS,
    ]
