"""The OSD put together: what each message is for, when timers run, how it starts and ends.

Three dispatchers, as the OSD speaks with three kinds of peers: clients and daemons (`Public`),
other OSDs (`Cluster`), and pings (`Pings`). Made by `daemon`. Behaviour: upstream `src/osd/OSD.cc`
(init, ms_dispatch, ms_fast_dispatch, tick, shutdown).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from spirula.errors import SpirulaError
from spirula.maps.state import is_up
from spirula.messages.base import Message
from spirula.messages.command import MCommand, MPing
from spirula.messages.mgr import MMgrConfigure
from spirula.messages.mgr_map import MMgrMap
from spirula.messages.mon_client import MConfig, MLogAck, MMonGetPurgedSnapsReply
from spirula.messages.osd_client import MOSDBackoff
from spirula.messages.osd_map import MOSDMap
from spirula.messages.osd_mon import MOSDMarkMeDown, MOSDPGCreate2
from spirula.messages.osd_op import MOSDOp
from spirula.messages.osd_ping import MOSDPing
from spirula.messages.osd_recovery import ForceFlag, MOSDForceRecovery
from spirula.messages.osd_scrub import MOSDScrub, MOSDScrub2
from spirula.msgr.connection import Connection
from spirula.osd import advance, boot, crush_place, heartbeat, reports
from spirula.osd.containment import contain, contain_message
from spirula.osd.pg.peering import priorities
from spirula.osd.scrub import purged, schedule
from spirula.osd.session import open_session, session_of
from spirula.osd.state import OSD, Phase, subscribe_maps
from spirula.types.entity import EntityType

_TICK_S = 1.0
_TICK_SPREAD_S = 0.1


def _heed_not(_: Message) -> None:
    """A client's ping: that it arrived is all that it was for."""


class _Dispatcher:
    """What all three have in common: nothing happens unless said otherwise."""

    def __init__(self, osd: OSD) -> None:
        self.osd = osd

    def ms_dispatch(self, connection: Connection, message: Any) -> None:
        """A message."""

    def ms_handle_connect(self, connection: Connection) -> None:
        """A session that we asked for is open."""

    def ms_handle_accept(self, connection: Connection) -> None:
        """A peer opened a session."""
        open_session(connection)

    def ms_handle_reset(self, connection: Connection) -> None:
        """A session is over."""

    def ms_handle_remote_reset(self, connection: Connection) -> None:
        """A peer lost its session."""

    def ms_handle_refused(self, connection: Connection, error: SpirulaError) -> None:
        """An attempt to connect failed."""
        heartbeat.on_refused(self.osd, connection, error)


class Public(_Dispatcher):
    """Clients, monitors, the manager."""

    def __init__(self, osd: OSD) -> None:
        super().__init__(osd)
        self._on_op = osd.pgs.on_op
        self._handlers: dict[type[Message], Callable[[Any], None]] = {
            MCommand: osd.commands.on_command,
            MMgrConfigure: osd.manager.on_configure,
            MOSDBackoff: osd.pgs.on_backoff,
            MPing: _heed_not,
            MOSDForceRecovery: self._on_force_recovery,
            MOSDScrub: self._on_scrub,
            MOSDScrub2: self._on_scrub,
        }
        handlers: dict[type[Message], Callable[[Any], None]] = {
            MOSDMap: partial(advance.on_osd_map, osd),
            MMgrMap: self._on_mgr_map,
            MConfig: self._on_config,
            MLogAck: osd.clog_client.on_ack,
            MMonGetPurgedSnapsReply: partial(boot.on_purged_snaps, osd),
            MOSDMarkMeDown: lambda _: osd.stop_acknowledged(),
            MOSDPGCreate2: osd.pgs.on_create,
        }
        osd.monitors.handlers = handlers

    def ms_dispatch(self, connection: Connection, message: Any) -> None:
        """A request of a client goes to its PG at once."""
        try:
            if type(message) is MOSDOp:
                self._on_op(message, connection.priv)
            else:
                self._on_other(connection, message)
        except Exception as error:  # noqa: BLE001 - a bug that one message meets; see `containment`
            contain_message(self.osd, message, error)

    def _on_other(self, connection: Connection, message: Message) -> None:
        osd = self.osd
        if osd.is_stopping and not isinstance(message, MOSDMarkMeDown):
            return
        if connection.peer_type == EntityType.MON and osd.monitors.on_message(connection, message):
            return
        handler = self._handlers.get(type(message))
        if handler is not None:
            handler(message)
        else:
            osd.pgs.on_public_message(message)

    def _on_force_recovery(self, message: MOSDForceRecovery) -> None:
        """The manager, or a monitor, has PGs recovered before others, or no longer."""
        if message.connection.peer_type not in (EntityType.MGR, EntityType.MON):
            return
        wanted = not message.options & ForceFlag.CANCEL
        for pgid in message.forced_pgs:
            pg = self.osd.pgs.by_id.get(pgid)
            if pg is None or not pg.is_primary:
                continue
            if message.options & ForceFlag.BACKFILL:
                priorities.force_backfill(pg, wanted=wanted)
            elif message.options & ForceFlag.RECOVERY:
                priorities.force_recovery(pg, wanted=wanted)

    def _on_scrub(self, message: MOSDScrub | MOSDScrub2) -> None:
        """The manager has PGs scrubbed, or all that we lead (in the older form)."""
        osd = self.osd
        if bytes(message.fsid) != bytes(osd.superblock.cluster_fsid):
            osd.log(0, "somebody of another cluster asks for a scrub")
            return
        wanted = message.scrub_pgs
        for spgid, pg in osd.pgs.by_id.items():
            named = spgid in wanted or spgid.pgid in wanted
            if named or (isinstance(message, MOSDScrub) and not wanted):
                schedule.request(pg, deep=message.deep, repair=message.repair)

    def _on_mgr_map(self, message: Any) -> None:
        self.osd.monitors.got("mgrmap", message.map.epoch)
        self.osd.manager.on_map(message)

    def _on_config(self, message: Any) -> None:
        osd = self.osd
        ignored = osd.config.set_mon(message.config)
        for line in ignored:
            osd.log(1, line)
        osd.config.apply_changes()

    def ms_handle_connect(self, connection: Connection) -> None:
        """A session that we asked for is open."""
        osd = self.osd
        if connection is not osd.monitors.connection:
            return
        osd.monitors.on_connect(connection)
        osd.clog_client.resend()
        if osd.is_stopping or osd.phase is Phase.INITIALIZING:
            return
        if osd.phase is Phase.BOOTING:
            boot.start(osd)
        else:
            reports.on_mon_session(osd)

    def ms_handle_reset(self, connection: Connection) -> None:
        """A session is over: watches of a client end, the monitor's and manager's begin anew."""
        osd = self.osd
        osd.monitors.on_reset(connection)
        osd.manager.on_reset(connection)
        if connection.priv is not None:
            osd.pgs.on_session_reset(connection.priv)

    def ms_handle_refused(self, connection: Connection, error: SpirulaError) -> None:
        """Somebody did not let us in."""
        self.osd.monitors.on_refused(connection, error)


class Cluster(_Dispatcher):
    """Other OSDs."""

    def __init__(self, osd: OSD) -> None:
        super().__init__(osd)
        self._on_pg_message = osd.pgs.on_pg_message

    def ms_dispatch(self, connection: Connection, message: Any) -> None:
        """Nobody but OSDs has something to say here."""
        osd = self.osd
        if osd.is_stopping or connection.peer_type != EntityType.OSD:
            return
        if not session_of(connection).is_osd:
            return
        try:
            if isinstance(message, MOSDMap):
                advance.on_osd_map(osd, message)
            else:
                self._on_pg_message(message)
        except Exception as error:  # noqa: BLE001 - a bug that one message meets; see `containment`
            contain_message(osd, message, error)

    def ms_handle_connect(self, connection: Connection) -> None:
        """A session that we asked for is open."""
        session_of(connection)


class Pings(_Dispatcher):
    """Pings, on whichever of the three messengers they come."""

    def ms_dispatch(self, connection: Connection, message: Any) -> None:
        """A ping or an answer to one."""
        if isinstance(message, MOSDPing) and session_of(connection).is_osd:
            heartbeat.on_ping(self.osd, connection, message)

    def ms_handle_reset(self, connection: Connection) -> None:
        """A session is over."""
        if not self.osd.is_stopping:
            heartbeat.on_reset(self.osd, connection)


# ------------------------------------------------------------------------------- start, ticks, end


async def start(osd: OSD) -> None:
    """Log in at the monitors and set out to boot; messengers listen already.

    Raises the monitors' refusal or TimedOut.
    """
    await osd.monitors.start(osd.config.get_int("rotating_keys_bootstrap_timeout"))
    await osd.monitors.wait_rotating(osd.config.get_int("rotating_keys_bootstrap_timeout"))
    await crush_place.update(osd)
    osd.pgs.load()
    for what in ("config", "mgrmap", "osd_pg_creates"):
        osd.monitors.subscribe(what, 0)
    osd.phase = Phase.PREBOOT
    _tick(osd)
    heartbeat.beat(osd)
    boot.start(osd)


def _tick(osd: OSD) -> None:
    """Once a second, more or less."""
    spread = _TICK_SPREAD_S * (osd.ports.random_bytes(1)[0] / 255 - 0.5)
    osd.call_later("tick", _TICK_S + spread, lambda: _tick(osd))
    try:
        _on_tick(osd)
    except Exception as error:  # noqa: BLE001 - a bug must not end all ticks; see `containment`
        contain(osd, "the tick", error)


def _on_tick(osd: OSD) -> None:
    now = osd.now()
    period = osd.config.get_int("osd_max_markdown_period")
    while osd.markdowns and osd.markdowns[0] + period < now:
        osd.markdowns.popleft()
    reports.tick(osd)
    if osd.phase in (Phase.ACTIVE, Phase.WAITING_FOR_HEALTHY):
        heartbeat.update_peers(osd)
        heartbeat.check(osd)
    if osd.phase is Phase.WAITING_FOR_HEALTHY:
        boot.start(osd)
    if osd.phase in (
        Phase.WAITING_FOR_HEALTHY,
        Phase.BOOTING,
    ) and now - osd.last_mon_heartbeat > osd.config.get_int("osd_mon_heartbeat_interval"):
        osd.last_mon_heartbeat = now
        subscribe_maps(osd, osd.maps.epoch + 1, force=True)
    osd.counters.loadavg.value = int(osd.ports.load_average() * 100)
    osd.tracker.complain(osd.clog)
    osd.pgs.tick()
    osd.scrub_load.see(osd.ports.load_average(), _TICK_S)
    if osd.is_active:
        schedule.tick(osd.pgs.shared, list(osd.pgs.by_id.values()), osd.scrub_load)
        purged.tick(osd)


async def stop(osd: OSD) -> None:
    """Tell the monitors, and end; on return nothing of the OSD is left in the loop."""
    osdmap = osd.maps.current
    told = osd.monitors.connection is not None and is_up(osdmap, osd.whoami)
    if told and osd.phase is not Phase.STOPPING:
        osd.preparing_to_stop = True
        osd.stopped = osd.ports.loop.create_future()
        osd.monitors.send(
            MOSDMarkMeDown(
                version=osdmap.epoch,
                fsid=osd.superblock.cluster_fsid,
                target_osd=osd.whoami,
                target_addrs=osdmap.client_addrs[osd.whoami],
                epoch=osdmap.epoch,
                request_ack=True,
                down_and_dead=True,
            )
        )
        osd.call_later(
            "stop", osd.config.get_float("osd_mon_shutdown_timeout"), osd.stop_acknowledged
        )
        await osd.stopped
    osd.phase = Phase.STOPPING
    osd.pgs.stop()
    osd.remote.objecter.stop()
    osd.manager.stop()
    osd.cancel_all()
    osd.monitors.stop()
    for messenger in osd.messengers.all():
        await messenger.shutdown()
