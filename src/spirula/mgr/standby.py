"""A standby watches the active manager, and has the monitors replace one whose process is gone.

Monitors wait for half a minute before they give up a silent manager, for it may be busy. That
nobody listens where it was is known at once, as it is of OSDs. Upstream has nothing like it.
"""

from __future__ import annotations

import asyncio
from errno import ECONNREFUSED, ENOTCONN
from typing import TYPE_CHECKING

from spirula.errors import CephError, SpirulaError, TimedOut
from spirula.messages.command import MCommand
from spirula.mgr.state import Phase
from spirula.types.entity import EntityType

if TYPE_CHECKING:
    from spirula.mgr.state import Manager

_ANSWER_S = 5.0
_ATTEMPTS = 3
"""So often in a row nobody may be there before the monitors are told."""
_BETWEEN_S = 0.5


def watch(manager: Manager) -> None:
    """Called at each tick: asks the active manager whether it is there, unless that goes on."""
    active = manager.mgrmap
    if manager.phase is not Phase.STANDBY or manager.watching or not active.available:
        return
    manager.watching = True
    manager.spawn(_watch(manager, active.active_gid))


async def _watch(manager: Manager, gid: int) -> None:
    try:
        for attempt in range(_ATTEMPTS):
            if await _is_there(manager):
                return
            await _pause(manager, _BETWEEN_S * (attempt + 1))
            if manager.phase is not Phase.STANDBY or manager.mgrmap.active_gid != gid:
                return
        manager.log(0, f"nobody is at the address of the active manager {gid}")
        reply = await manager.session.command({"prefix": "mgr fail", "who": str(gid)})
        if reply.result < 0:
            manager.log(1, f"the monitors do not replace {gid}: {reply.status}")
    except SpirulaError as error:
        manager.log(1, f"the active manager cannot be watched: {error}")
    finally:
        manager.watching = False


async def _is_there(manager: Manager) -> bool:
    """Whether somebody answers, be it that he is not allowed to; who is slow is there, too."""
    session, addrs = manager.session, manager.mgrmap.active_addrs
    message = MCommand(fsid=session.monitors.fsid, cmd=['{"prefix": "mgr_status"}'])
    try:
        await asyncio.wait_for(session.ask(message, EntityType.MGR, addrs), _ANSWER_S)
    except (TimeoutError, TimedOut):
        return True
    except CephError as error:
        return error.errno not in (ECONNREFUSED, ENOTCONN)
    return True


async def _pause(manager: Manager, seconds: float) -> None:
    waiter = manager.ports.loop.create_future()
    timer = manager.ports.loop.call_later(seconds, waiter.set_result, None)
    try:
        await waiter
    finally:
        timer.cancel()
