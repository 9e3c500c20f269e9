"""`progress`: what goes on in the cluster that takes long, and how far it is.

It sees OSDs go out and come in, and follows the PGs that this moves; other modules tell of what
they do (`update`, `complete`, `fail`). Ended events are kept. Commands, options and texts: upstream
`src/pybind/mgr/progress/module.py`.
"""

from __future__ import annotations

import importlib
import json
import uuid
from collections.abc import Collection
from typing import Any

from spirula.commands.reply import Reply
from spirula.commands.table import Commands
from spirula.maps.osdmap import OSDMap
from spirula.mgr.commands.dispatch import Request
from spirula.mgr_modules.module import Module
from spirula.mgr_modules.options import Option
from spirula.mgr_modules.progress.events import Document, Ended, Event, Everything, Moving

_KEY = "completed"
_VERSION = 2
"""Of what is kept under that key; upstream's module reads it, and ours what that has written."""


class Progress(Module):
    """The module `progress`."""

    COMMANDS = Commands("mgr")
    OPTIONS = (
        Option("max_completed_events", 50, "How many ended events are remembered"),
        Option("sleep_interval", 5, "How often it looks", kind="secs"),
        Option("enabled", default=True, help="Whether it looks at all"),
    )

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.events: dict[str, Event] = {}
        self.ended: list[Ended] = []
        self.osdmap: OSDMap | None = None
        self._unsaved = False

    def serve(self) -> None:
        """Looks at maps and PGs, again and again."""
        self.host.clear_progress()
        with self.lock:
            self._load()
        self.osdmap = self.host.osd_map()
        while self.wait(self.option("sleep_interval")):
            if self.option("enabled"):
                self.look()
            with self.lock:
                if self._unsaved:
                    self._save()

    def shutdown(self) -> None:
        """Nothing goes on any more."""
        super().shutdown()
        self.host.clear_progress()

    # ------------------------------------------------------------------------------ what it sees

    def look(self) -> None:
        """Sees which OSDs went out or came in, and how far all events are."""
        before, self.osdmap = self.osdmap, self.host.osd_map()
        if before is not None and before is not self.osdmap:
            changed = dict(changed_osds(before, self.osdmap))
            for osd, moved in pgs_moved_by(changed, before, self.osdmap).items():
                self._on_osd(osd, moved, self.osdmap.epoch, came=changed[osd])
        with self.lock:
            measured = [one for one in self.events.values() if one.gauge is not None]
        if measured:
            pgs = self.host.get("pg_progress")
            with self.lock:
                for event in measured:
                    self._measure(event, pgs)
                self._begin_global(pgs)

    def _on_osd(self, osd: int, moved: set[str], epoch: int, *, came: bool) -> None:
        word = "in" if came else "out"
        self.log.info("%d PGs affected by osd.%d being marked %s", len(moved), osd, word)
        with self.lock:
            if came:
                for event in list(self.events.values()):
                    if isinstance(event.gauge, Moving) and event.gauge.osd == str(osd):
                        self._end(event)
            if moved:
                event = self._event(
                    f"Rebalancing after osd.{osd} marked {word}", ["osd", str(osd)], shown=False
                )
                event.gauge = Moving(str(osd), moved, epoch)
                self._measure(event, self.host.get("pg_progress"))

    def _begin_global(self, pgs: Document) -> None:
        """While something moves, all that is not active and clean is an event as well."""
        if any(isinstance(one.gauge, Everything) for one in self.events.values()):
            return
        epoch = self.osdmap.epoch if self.osdmap else 0
        gauge = Everything(epoch)
        if pgs["pgs"] and Everything(0).read(pgs) < 1.0:
            event = self._event("Global Recovery Event", ["global", ""], shown=True)
            event.gauge = gauge
            self._measure(event, pgs)

    def _event(self, message: str, ref: list[str], *, shown: bool) -> Event:
        made = Event(str(uuid.uuid4()), message, [ref], self.host.now(), shown)
        self.events[made.ident] = made
        return made

    def _measure(self, event: Event, pgs: Document) -> None:
        if event.gauge is not None and event.ident in self.events:
            event.progress = event.gauge.read(pgs)
            self._show(event)
            if event.progress >= 1.0:
                self._end(event)

    def _show(self, event: Event) -> None:
        lines = event.two_lines(self.host.now(), 6)
        self.host.update_progress(event.ident, lines, event.progress, shown=event.shown)

    def _end(self, event: Event) -> None:
        now = self.host.now()
        self.host.complete_progress(event.ident)
        del self.events[event.ident]
        self.ended.append(
            Ended(
                *(event.ident, event.message, event.refs, event.started_at, now),
                shown=event.shown,
                failure=event.failure,
            )
        )
        self._forget_old()
        self._unsaved = True

    def _forget_old(self) -> None:
        del self.ended[: max(len(self.ended) - self.option("max_completed_events"), 0)]

    # ------------------------------------------------------------------------------- what is kept

    def _load(self) -> None:
        try:
            kept = json.loads(self.host.store_get(_KEY) or '{"events": []}')
            if kept.get("compat_version", 0) > _VERSION:
                raise ValueError(f"it is of version {kept['compat_version']}")
            self.ended = [Ended.read(one) for one in kept["events"]]
        except (KeyError, TypeError, ValueError) as error:
            self.log.warning("events of before cannot be read: %s", error)
        self._forget_old()

    def _save(self) -> None:
        events = [one.document() for one in self.ended]
        kept = {"events": events, "version": _VERSION, "compat_version": _VERSION}
        self.host.store_set(_KEY, json.dumps(kept))
        self._unsaved = False

    def clear(self) -> None:
        """Forgets all events."""
        with self.lock:
            self.events.clear()
            self.ended.clear()
            self._save()
        self.host.clear_progress()

    # -------------------------------------------------------------------------- for other modules

    def update(
        self,
        ev_id: str,
        ev_msg: str,
        ev_progress: float,
        refs: list[Any] | None = None,
        add_to_ceph_s: bool = False,
    ) -> None:
        """Something that another module does is that far."""
        if not self.option("enabled"):
            return
        with self.lock:
            event = self.events.get(ev_id)
            if event is None:
                event = Event(ev_id, ev_msg, refs or [], self.host.now(), add_to_ceph_s)
                self.events[ev_id] = event
            event.message, event.progress = ev_msg, float(ev_progress)
            self._show(event)

    def complete(self, ev_id: str) -> None:
        """It is done."""
        with self.lock:
            event = self.events.get(ev_id)
            if event is not None:
                event.progress = 1.0
                self._end(event)

    def fail(self, ev_id: str, message: str) -> None:
        """It is not done, and will not be."""
        with self.lock:
            event = self.events.get(ev_id)
            if event is not None:
                event.progress, event.failure = 1.0, message
                self._end(event)

    def _json(self) -> Document:
        """All events; upstream's dashboard asks for it by this name."""
        now = self.host.now()
        with self.lock:
            return {
                "events": [one.document(now) for one in self.events.values()],
                "completed": [one.document() for one in self.ended],
            }

    # ----------------------------------------------------------------------------------- commands

    @COMMANDS.add("progress", perm="r", help="show what goes on, and what has ended")
    def show(self, request: Request) -> Reply:
        """Two lines for each event, the newest first."""
        now = self.host.now()
        with self.lock:
            events = sorted(self.events.values(), key=lambda one: one.started_at, reverse=True)
            if not events and not self.ended:
                return Reply("Nothing in progress")
            shown = "".join(f"{one.two_lines(now)}\n" for one in events)
            if self.ended:
                shown += "\n" + "".join(f"{one.line(now)}\n" for one in self.ended)
        return Reply(data=shown.encode())

    @COMMANDS.add("progress json", perm="r", help="show the same as JSON")
    def show_json(self, request: Request) -> Reply:
        """All events."""
        return Reply(data=json.dumps(self._json(), indent=4, sort_keys=True).encode())

    @COMMANDS.add("progress clear", perm="rw", help="forget all events")
    def clear_command(self, request: Request) -> Reply:
        """Also those that seem never to end."""
        self.clear()
        return Reply()

    @COMMANDS.add("progress on", perm="rw", help="follow what goes on")
    def turn_on(self, request: Request) -> Reply:
        """From now on."""
        if self.option("enabled"):
            return Reply("progress already enabled!")
        self.set_option("enabled", True)
        return Reply("progress enabled")

    @COMMANDS.add("progress off", perm="rw", help="follow nothing, and forget all events")
    def turn_off(self, request: Request) -> Reply:
        """Until it is turned on again."""
        if not self.option("enabled"):
            return Reply("progress already disabled!")
        self.set_option("enabled", False)
        self.clear()
        return Reply("progress disabled")


def changed_osds(before: OSDMap, after: OSDMap) -> list[tuple[int, bool]]:
    """OSDs that went out (False) or came in (True) between two maps, weighted in fully."""
    full = 0x10000
    changed = []
    for osd, (old, new) in enumerate(zip(before.osd_weight, after.osd_weight, strict=False)):
        if old and not new:
            changed.append((osd, False))
        elif new >= full and not old:
            changed.append((osd, True))
    return changed


def pgs_moved_by(osds: Collection[int], before: OSDMap, after: OSDMap) -> dict[int, set[str]]:
    """The PGs that the change of OSDs has moved elsewhere, by OSD; PGs by their ids."""
    if not osds:
        return {}
    # Arrays: they take much memory, and OSDs go out seldom.
    old = importlib.import_module("spirula.maps.mapping").PGMappings(before)
    new = old.advance(after)
    moved_pgs = importlib.import_module("spirula.maps.by_osd").moved_pgs
    found: dict[int, set[str]] = {osd: set() for osd in osds}
    for pg in moved_pgs(old, new):
        if any(
            pg.pool not in one.pools or pg.seed >= one.pools[pg.pool].count for one in (old, new)
        ):
            continue
        was, now = set(old.get(pg).acting), set(new.get(pg).acting)
        if was != now:
            for osd in (was | now) & found.keys():
                found[osd].add(str(pg))
    return found
