"""Whether a cluster answers: its monitors have a quorum, and a client is served."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable

from spirula.client.session import ClusterSession, open_session
from spirula.cluster.layout import Layout
from spirula.cluster.processes import read_pid
from spirula.conf.admin_server import ask
from spirula.conf.load import load
from spirula.errors import CephError, NotConnected, TimedOut
from spirula.types.auth import CryptoKey

_POLL_S = 0.01
_FIRST_TRY_S = 0.1


_STATUS = {"mon": "mon_status", "osd": "status", "mgr": "mgr_status"}
"""What each kind of daemon is asked by its admin socket."""


def daemon_status(layout: Layout, daemon: str) -> dict[str, object] | None:
    """What a daemon such as `osd.0` says of itself; None if it does not answer."""
    command = _STATUS[daemon.partition(".")[0]]
    try:
        found = json.loads(ask(str(layout.asok(daemon)), {"prefix": command}))
    except (CephError, OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def state_of(daemon: str, status: dict[str, object] | None) -> str | None:
    """Where a daemon stands, by what it says of itself."""
    if status is None:
        return None
    if daemon.startswith("mgr."):
        return "active" if status.get("initialized") else "standby"
    return str(status.get("state"))


def wait_osds(
    layout: Layout, timeout_s: float, tell: Callable[[str], None] = lambda text: None
) -> None:
    """Wait until all OSDs of the cluster serve.

    NotConnected if one ended, with the end of its log; TimedOut.
    """
    began = time.monotonic()
    waiting = [place.number for place in layout.osds]
    while waiting:
        for number in waiting:
            daemon = f"osd.{number}"
            if read_pid(layout.pid_file(daemon)) is None:
                words = last_words(layout, daemon)
                raise NotConnected(f"{daemon} has ended; its log ends with:\n{words}")
        waiting = [
            number
            for number in waiting
            if (daemon_status(layout, f"osd.{number}") or {}).get("state") != "active"
        ]
        if waiting and time.monotonic() - began > timeout_s:
            names = ", ".join(f"osd.{number}" for number in waiting)
            raise TimedOut(f"{names} not up after {timeout_s:g} s: see {layout.log}")
        if waiting:
            up = len(layout.osds) - len(waiting)
            tell(f"waiting for OSDs: {up} of {len(layout.osds)} serve")
            time.sleep(_POLL_S)


def wait_manager(
    layout: Layout, timeout_s: float, tell: Callable[[str], None] = lambda text: None
) -> None:
    """Wait until a manager of the cluster, if there is one, serves. As `wait_osds`."""
    began = time.monotonic()
    while layout.mgrs and not any(
        (daemon_status(layout, f"mgr.{name}") or {}).get("initialized") for name in layout.mgrs
    ):
        for name in layout.mgrs:
            daemon = f"mgr.{name}"
            if read_pid(layout.pid_file(daemon)) is None:
                words = last_words(layout, daemon)
                raise NotConnected(f"{daemon} has ended; its log ends with:\n{words}")
        if time.monotonic() - began > timeout_s:
            raise TimedOut(f"no manager serves after {timeout_s:g} s: see {layout.log}")
        tell("waiting for a manager")
        time.sleep(_POLL_S)


def last_words(layout: Layout, daemon: str, lines: int = 5) -> str:
    """The end of a daemon's log."""
    try:
        text = layout.log_file(daemon).read_text(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def wait_quorum(
    layout: Layout, timeout_s: float, tell: Callable[[str], None] = lambda text: None
) -> int:
    """Wait until all monitors of the cluster are in one quorum; how many they are.

    After half of the time a quorum of the majority is enough. NotConnected if a monitor ended,
    with the end of its log; TimedOut.
    """
    began = time.monotonic()
    while True:
        waited = time.monotonic() - began
        for place in layout.mons:
            daemon = f"mon.{place.name}"
            if read_pid(layout.pid_file(daemon)) is None:
                words = last_words(layout, daemon)
                raise NotConnected(f"{daemon} has ended; its log ends with:\n{words}")
        members = _members(layout)
        if members == len(layout.mons) or (members and waited > timeout_s / 2):
            return members
        if waited > timeout_s:
            raise TimedOut(f"no quorum of monitors after {timeout_s:g} s: see {layout.log}")
        tell(f"waiting for a quorum: {members} of {len(layout.mons)} monitors")
        time.sleep(_POLL_S)


def _members(layout: Layout) -> int:
    """How many are in the quorum that some monitor knows of."""
    for place in layout.mons:
        status = daemon_status(layout, f"mon.{place.name}")
        quorum = status.get("quorum") if status else None
        if isinstance(quorum, list) and quorum:
            return len(quorum)
    return 0


def wait_served(layout: Layout, key: CryptoKey | None, timeout_s: float) -> str:
    """Log in as a client and ask how the cluster is: the plain status. Raises a CephError."""
    return asyncio.run(_served(layout, key, timeout_s))


async def _log_in(layout: Layout, key: CryptoKey | None, timeout_s: float) -> ClusterSession:
    """Try again and again, each time for longer.

    In a new cluster monitors turn clients away until they have agreed on its keys, a moment after
    there is a quorum; a client that was turned away waits for a second.
    """
    config = load(["-c", str(layout.conf), "--name", "client.admin"]).config
    deadline = time.monotonic() + timeout_s
    patience_s = _FIRST_TRY_S
    while True:
        left = deadline - time.monotonic()
        try:
            return await open_session(
                config,
                key,
                clock=time.time,
                random_bytes=os.urandom,
                timeout_s=max(min(patience_s, left), _POLL_S),
            )
        except TimedOut:
            if patience_s >= left:
                raise
            patience_s *= 2


async def _served(layout: Layout, key: CryptoKey | None, timeout_s: float) -> str:
    session = await _log_in(layout, key, timeout_s)
    try:
        reply = await session.command({"prefix": "status"}, timeout_s=timeout_s)
    finally:
        await session.close()
    return bytes(reply.output).decode("utf-8", "replace")
