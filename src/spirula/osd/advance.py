"""New OSD maps: from a message that brings them to the moment when everything follows them.

`on_osd_map` stores them and asks for what is missing; `committed` puts them in force one by one,
looks what they say of this OSD (it is up: serve; it was marked down: take new addresses and try
again; it does not exist: end), and lets PGs and waiting requests go on. Behaviour: upstream
`src/osd/OSD.cc` (handle_osd_map, _committed_osd_maps, consume_map, activate_map).
"""

from __future__ import annotations

from dataclasses import dataclass

from spirula.errors import CephError, NotFound, WireError
from spirula.maps.features import map_features
from spirula.maps.osdmap import OSDMap
from spirula.maps.query import all_osds, has_wish
from spirula.maps.state import OSDState, Release, exists, is_up
from spirula.messages.osd_map import MOSDMap
from spirula.messages.osd_mon import MOSDMarkMeDead
from spirula.osd import boot, heartbeat, reports
from spirula.osd.session import session_of
from spirula.osd.state import OSD, Phase, subscribe_maps
from spirula.types.entity import EntityAddrVec, EntityType
from spirula.types.log import LogLevel


@dataclass(slots=True)
class _Came:
    """What a message of maps said of its sender: whether that is a monitor, and what it has."""

    from_mon: bool
    oldest: int
    newest: int


def on_osd_map(osd: OSD, message: MOSDMap) -> None:
    """Maps from a monitor or another OSD."""
    if message.fsid != osd.superblock.cluster_fsid:
        osd.log(0, "OSD maps of another cluster are not taken")
        return
    if osd.phase in (Phase.INITIALIZING, Phase.STOPPING):
        return
    connection = message.connection
    from_mon = connection.peer_type == EntityType.MON
    if not from_mon and not session_of(connection).is_osd:
        return
    _count(osd, message)
    came = _Came(from_mon, message.oldest_map, message.newest_map)

    def on_commit(first: int, last: int, error: CephError | None) -> None:
        if error is not None:
            osd.ports.stop(f"maps {first} to {last} cannot be stored: {error}")
        else:
            committed(osd, first, last, came)

    try:
        taken = osd.maps.take(message, osd.boot_epoch, on_commit)
    except (WireError, NotFound) as error:
        osd.log(0, f"OSD maps from {connection.peer_addrs} cannot be read: {error}")
        return
    if taken.last:
        osd.monitors.got("osdmap", taken.last)
    if taken.ask_full is not None:
        first, last = taken.ask_full
        osd.clog(LogLevel.WARN, f"failed to encode map e{first} with expected crc")
        reports.ask_full_maps(osd, first, last)
    if taken.ask_from:
        subscribe_maps(osd, taken.ask_from, force=taken.force)


def _count(osd: OSD, message: MOSDMap) -> None:
    epochs = message.maps.keys() | message.incremental_maps.keys()
    counters, newest = osd.counters, osd.maps.newest
    counters.map_messages.value += 1
    counters.map_message_epochs.value += len(epochs)
    counters.map_message_epoch_dups.value += sum(epoch <= newest for epoch in epochs)


def committed(osd: OSD, first: int, last: int, came: _Came) -> None:
    """Maps are stored: put them in force."""
    if osd.is_stopping:
        return
    again = False
    for epoch in range(first, last + 1):
        before, osdmap = osd.maps.current, osd.maps.get(epoch)
        _note_others(osd, before, osdmap)
        if (
            osd.phase is Phase.BOOTING
            and before.epoch
            and has_wish(before, osd.whoami, "noup") != has_wish(osdmap, osd.whoami, "noup")
        ):
            # Our question may have been dropped while the flag was set.
            again = True
        osd.maps.advance(epoch)
        if not osd.up_epoch and _is_ours(osd, osdmap):
            osd.up_epoch = epoch
            osd.boot_epoch = osd.boot_epoch or epoch
            osd.services.up_epoch, osd.services.boot_epoch = osd.up_epoch, osd.boot_epoch
    if _may_serve(osd) and osd.phase is Phase.BOOTING:
        osd.log(1, "state: booting -> active")
        osd.phase = Phase.ACTIVE
        again = False
        reports.cancel_failures(osd)
        reports.send_beacon(osd)
    elif osd.phase is Phase.BOOTING and osd.up_epoch and not is_up(osd.maps.current, osd.whoami):
        # up and down again within these maps: nobody will answer our question a second time
        osd.phase = Phase.ACTIVE
    if osd.is_active:
        again |= _check_own_state(osd)
    if osd.is_stopping:
        return
    _require_features(osd)
    osd.heartbeats.stale = True
    osd.pgs.advance(first, last)
    osd.remote.follow()
    if osd.phase in (Phase.ACTIVE, Phase.WAITING_FOR_HEALTHY):
        heartbeat.update_peers(osd)
    if osd.is_active:
        reports.prune_created(osd)
        reports.send_pg_temp(osd)
    osd.pgs.release_waiting()
    if came.newest > last:
        subscribe_maps(osd, osd.maps.epoch + 1)
    elif osd.phase is Phase.PREBOOT:
        if came.from_mon:
            boot.preboot(osd, came.oldest, came.newest)
        else:
            boot.start(osd)
    elif again:
        boot.start(osd)


def _is_ours(osd: OSD, osdmap: OSDMap) -> bool:
    """Whether the map has us up, here."""
    me = osd.whoami
    return is_up(osdmap, me) and same_places(osdmap.client_addrs[me], osd.messengers.client.addrs)


def _may_serve(osd: OSD) -> bool:
    osdmap = osd.maps.current
    return _is_ours(osd, osdmap) and osd.bind_epoch < osdmap.osd_info[osd.whoami].up_from


def same_places(one: EntityAddrVec, other: EntityAddrVec) -> bool:
    """Whether two lists of addresses are the same but for the protocols that they name."""
    return sorted(addr.without_type() for addr in one.addrs) == sorted(
        addr.without_type() for addr in other.addrs
    )


def _note_others(osd: OSD, before: OSDMap, osdmap: OSDMap) -> None:
    """Sessions with OSDs that have gone down are over."""
    for other in all_osds(before):
        if other == osd.whoami or not is_up(before, other):
            continue
        gone = not is_up(osdmap, other)
        if gone or osdmap.osd_info[other].up_from != before.osd_info[other].up_from:
            osd.messengers.cluster.mark_down_addrs(before.cluster_addrs[other])
            peer = osd.heartbeats.peers.pop(other, None)
            if peer is not None:
                peer.mark_down()
            osd.heartbeats.failure_queue.pop(other, None)
            osd.heartbeats.failure_pending.pop(other, None)


# ------------------------------------------------------------------------------- what is said of us


def _check_own_state(osd: OSD) -> bool:
    """Look how the map has us. True if we are to boot again."""
    osdmap, me = osd.maps.current, osd.whoami
    if not exists(osdmap, me):
        osd.ports.stop("the OSD map says that this OSD does not exist")
        return False
    if osdmap.osd_state[me] & OSDState.STOP:
        osd.ports.stop("the OSD map says that this OSD was stopped by an administrator")
        return False
    wrong = _wrong_address(osd, osdmap)
    if is_up(osdmap, me) and not wrong:
        return False
    if not is_up(osdmap, me):
        if osd.preparing_to_stop:
            osd.stop_acknowledged()
            return False
        osd.clog(
            LogLevel.WARN,
            f"Monitor daemon marked osd.{me} down, but it is still running",
        )
        down_at = osdmap.osd_info[me].down_at
        osd.clog(LogLevel.DEBUG, f"map e{osdmap.epoch} wrongly marked me down at e{down_at}")
        monmap = osd.monitors.monmap
        if monmap is not None and monmap.min_mon_release >= Release.OCTOPUS:
            osd.monitors.send(
                MOSDMarkMeDead(
                    version=osdmap.epoch,
                    fsid=osd.superblock.cluster_fsid,
                    target_osd=me,
                    epoch=osdmap.epoch,
                )
            )
    else:
        osd.clog(LogLevel.ERROR, f"map e{osdmap.epoch} had wrong {wrong}")
    return _begin_anew(osd)


def _wrong_address(osd: OSD, osdmap: OSDMap) -> str:
    me, messengers = osd.whoami, osd.messengers
    for what, known, mine in (
        ("client", osdmap.client_addrs[me], messengers.client.addrs),
        ("cluster", osdmap.cluster_addrs[me], messengers.cluster.addrs),
        ("heartbeat back", osdmap.hb_back_addrs[me], messengers.hb_back.addrs),
        ("heartbeat front", osdmap.hb_front_addrs[me], messengers.hb_front.addrs),
    ):
        if not same_places(known, mine):
            return f"{what} addr ({known} != my {mine})"
    return ""


def _begin_anew(osd: OSD) -> bool:
    """We live and were marked down: listen elsewhere, and boot again, unless it is too often."""
    osd.up_epoch = osd.services.up_epoch = 0
    osd.bind_epoch = osd.maps.epoch
    period = osd.config.get_int("osd_max_markdown_period")
    count = osd.config.get_int("osd_max_markdown_count")
    osd.markdowns.append(osd.now())
    if len(osd.markdowns) > count:
        osd.ports.stop(
            f"marked down {len(osd.markdowns)} > osd_max_markdown_count {count} "
            f"in last {period} seconds, shutting down"
        )
        return False
    boot.wait_for_healthy(osd)
    heartbeat.reset_peers(osd, everyone=True)
    for messenger in (osd.messengers.hb_front, osd.messengers.hb_back, osd.messengers.hb_client):
        messenger.mark_down_all()
    osd.spawn(_rebind(osd))
    return False


async def _rebind(osd: OSD) -> None:
    """New addresses for the cluster, so that nothing of the former life reaches us."""
    try:
        await osd.messengers.cluster.rebind()
    except OSError as error:
        osd.ports.stop(f"no other address to listen at: {error}")
        return
    if not osd.is_stopping:
        heartbeat.update_peers(osd)
        boot.start(osd)


def _require_features(osd: OSD) -> None:
    """From now on, peers must know what the map needs them to know."""
    osdmap, messengers = osd.maps.current, osd.messengers
    for messenger, peer in (
        (messengers.client, EntityType.CLIENT),
        (messengers.client, EntityType.MON),
        (messengers.cluster, EntityType.OSD),
    ):
        demands = map_features(osdmap, peer)
        messenger.require_features(peer, demands.features, demands.mask)
