"""Monitors describe a manager's commands before there is one: they must be those that it has."""

from __future__ import annotations

from spirula.commands.table import CommandTable
from spirula.mgr.commands import all_groups
from spirula.mon.services.mgrmap import native


def test_monitors_know_the_commands_of_managers():
    table = CommandTable()
    table.register(None, all_groups())
    ours = {(parsed(one.signature()), one.module, one.perm) for one in table.all()}
    told = {(parsed(one.cmdstring), one.module, one.req_perms) for one in native.commands()}
    assert ours == told


def parsed(signature):
    """The words of a signature; the pairs of an argument may come in any order."""
    return tuple(frozenset(word.split(",")) for word in signature.split())
