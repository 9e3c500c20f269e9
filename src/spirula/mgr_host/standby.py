"""Modules in a manager that stands by: those that have a class for it serve meanwhile.

The dashboard sends people to the active manager, prometheus shows an empty page. They end before
the manager becomes active, for the same ports are wanted then. Called by `host`. Upstream:
`src/mgr/StandbyPyModules.cc`.
"""

from __future__ import annotations

import asyncio
import threading
import time
import traceback
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from spirula.mgr_host.calls import Calls
from spirula.mgr_host.loader import Loaded

_TO_END_S = 5.0
"""For so long a manager that becomes active waits for the threads of all of them."""


@dataclass(slots=True, eq=False)
class _Standing:
    loaded: Loaded
    calls: Calls
    instance: Any = None
    thread: threading.Thread | None = None


class StandbyModules:
    """The modules of one manager that stands by."""

    def __init__(self) -> None:
        self._standing: list[_Standing] = []

    def start(self, modules: Iterable[tuple[Loaded, Calls]]) -> None:
        """Has modules serve that have a class for it, unless they do already."""
        if self._standing:
            return
        for loaded, calls in modules:
            if loaded.standby_class is None or not loaded.can_run:
                continue
            one = _Standing(loaded, calls)
            one.thread = threading.Thread(
                target=_serve, args=(one,), name=f"standby-{loaded.name}", daemon=True
            )
            self._standing.append(one)
            one.thread.start()

    async def stop(self) -> None:
        """Ends them; one that does not end in time is left behind."""
        standing, self._standing = self._standing, []
        if standing:
            await asyncio.get_running_loop().run_in_executor(None, _end, standing)


def _serve(one: _Standing) -> None:
    """The thread of a module. What it does wrong is its own end only."""
    try:
        one.instance = one.loaded.standby_class(one.loaded.name, one.calls)
        one.instance.serve()
    except NotImplementedError:
        return
    except BaseException:  # noqa: BLE001 - as told
        _log(one)


def _log(one: _Standing) -> None:
    for line in traceback.format_exc().splitlines():
        one.calls.log(f"{one.loaded.name} (standby): {line}")


def _end(standing: list[_Standing]) -> None:
    for one in standing:
        try:
            if one.instance is not None:
                one.instance.shutdown()
        except Exception:  # noqa: BLE001 - as told
            _log(one)
    deadline = time.monotonic() + _TO_END_S
    for one in standing:
        with suppress(RuntimeError):
            if one.thread is not None:
                one.thread.join(max(deadline - time.monotonic(), 0))
