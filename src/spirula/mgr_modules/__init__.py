"""Manager modules of our own, and what one is made of: `Module`, its `COMMANDS` and `OPTIONS`.

    from spirula.mgr_modules import Commands, Module, Option, Reply, Request, text

`module` is the base class, `host` what it may ask of its manager, `registry` the list of ours.
They run in threads of a manager (`spirula.mgr_host`), beside upstream's or in their place.
"""

from __future__ import annotations

from spirula.commands.arguments import choices, flag, integer, number, text
from spirula.commands.reply import Reply
from spirula.commands.table import CommandFlag, Commands
from spirula.mgr.commands.dispatch import Request
from spirula.mgr_modules.host import Host
from spirula.mgr_modules.module import Module, Outcome
from spirula.mgr_modules.options import Option

__all__ = [
    "CommandFlag",
    "Commands",
    "Host",
    "Module",
    "Option",
    "Outcome",
    "Reply",
    "Request",
    "choices",
    "flag",
    "integer",
    "number",
    "text",
]
