"""How an OSD comes to be up: it asks for maps until its own is recent, says that it is there, and
waits for the map that says so.

    initializing --> preboot --> booting --> active
                       ^                       |  marked down, and it lives
                       +-- waiting for healthy <+

Called by `osd` at the start, by `advance` with each map, and by the timer. Behaviour: upstream
`src/osd/OSD.cc` (start_boot, _preboot, _send_boot, _committed_osd_maps).
"""

from __future__ import annotations

from spirula.denc.features import PACIFIC
from spirula.errors import CephError
from spirula.maps.query import has_wish
from spirula.maps.state import OSDMapFlag, Release, is_destroyed
from spirula.messages.mon_client import MMonGetPurgedSnaps, MMonGetPurgedSnapsReply
from spirula.messages.osd_mon import MOSDBoot
from spirula.msgr.tcp import Messenger
from spirula.osd import heartbeat, reports
from spirula.osd.state import OSD, Phase, subscribe_maps
from spirula.types.entity import EntityAddrVec


def start(osd: OSD) -> None:
    """Try to get into the map; wait for healthy peers first, where that is called for."""
    if osd.is_stopping:
        return
    if not heartbeat.is_healthy(osd):
        if osd.phase is not Phase.WAITING_FOR_HEALTHY:
            wait_for_healthy(osd)
        heartbeat.beat(osd)
        return
    osd.phase = Phase.PREBOOT
    osd.log(10, f"start_boot - have maps {osd.maps.oldest}..{osd.maps.newest}")
    osd.spawn(_ask_epochs(osd))


async def _ask_epochs(osd: OSD) -> None:
    try:
        newest, oldest = await osd.monitors.get_version("osdmap")
    except CephError as error:
        osd.log(1, f"the monitors do not say which maps they have: {error}")
        return
    if osd.phase is Phase.PREBOOT:
        preboot(osd, oldest, newest)


def wait_for_healthy(osd: OSD) -> None:
    """Do not ask to be up before enough peers answer our pings."""
    osd.log(1, "start_waiting_for_healthy")
    osd.phase = Phase.WAITING_FOR_HEALTHY
    osd.heartbeats.last_resample = 0.0
    subscribe_maps(osd, osd.maps.epoch + 1)


def obstacle(osd: OSD) -> str:
    """Why the map in force does not let us boot; empty if it does."""
    osdmap = osd.maps.current
    if osdmap.epoch == 0:
        return "waiting for initial osdmap"
    if is_destroyed(osdmap, osd.whoami):
        return "osdmap says I am destroyed"
    if has_wish(osdmap, osd.whoami, "noup"):
        return "osdmap NOUP flag is set, waiting for it to clear"
    if not osdmap.flags & OSDMapFlag.SORTBITWISE:
        return "osdmap SORTBITWISE OSDMap flag is NOT set; please set it"
    return ""


def preboot(osd: OSD, oldest: int, newest: int) -> None:
    """The monitors have maps from `oldest` to `newest`: say that we are there, or ask for maps."""
    reports.refresh_statfs(osd)
    osdmap, monmap = osd.maps.current, osd.monitors.monmap
    complaint = obstacle(osd)
    if complaint:
        osd.log(0, complaint)
        if is_destroyed(osdmap, osd.whoami) and osdmap.epoch > newest - 1:
            osd.ports.stop("the OSD map says that this OSD was destroyed")
            return
    elif reports.needs_full_update(osd):
        osd.log(1, "osdmap fullness state needs update")
        reports.send_full(osd)
    elif (
        monmap is not None
        and monmap.min_mon_release >= Release.OCTOPUS
        and osd.superblock.purged_snaps_last < osd.superblock.current_epoch
    ):
        ask_purged_snaps(osd)
    elif osdmap.epoch >= oldest - 1 and (
        osdmap.epoch + osd.config.get_int("osd_map_message_max") > newest
    ):
        send_boot(osd)
        return
    if osdmap.epoch + 1 >= oldest:
        subscribe_maps(osd, osdmap.epoch + 1)
    else:
        subscribe_maps(osd, oldest - 1, force=True)


def ask_purged_snaps(osd: OSD) -> None:
    """Ask which snapshots were purged in epochs whose changes we did not see."""
    superblock = osd.superblock
    osd.monitors.send(
        MMonGetPurgedSnaps(
            start=superblock.purged_snaps_last + 1, last=superblock.current_epoch + 1
        )
    )


def on_purged_snaps(osd: OSD, message: MMonGetPurgedSnapsReply) -> None:
    """The answer: remember it, and go on."""
    superblock = osd.superblock
    if osd.phase is not Phase.PREBOOT or message.last < superblock.purged_snaps_last:
        return
    osd.maps.take_purged(message.last, message.purged_snaps)
    if message.last < superblock.current_epoch:
        ask_purged_snaps(osd)
    else:
        start(osd)


def _learn(messenger: Messenger, known: EntityAddrVec) -> EntityAddrVec:
    """The addresses of a messenger; where it does not know its host, it is that of another one."""
    for addr in known.addrs:
        messenger.endpoint.learned_addr(addr)
    return messenger.addrs


def send_boot(osd: OSD) -> None:
    """Ask to be marked up at our addresses."""
    messengers = osd.messengers
    client = messengers.client.addrs
    cluster = _learn(messengers.cluster, client)
    back = _learn(messengers.hb_back, cluster)
    front = _learn(messengers.hb_front, client)
    osd.log(1, f"booting at {client}, cluster {cluster}, heartbeats {back} {front}")
    osd.monitors.send(
        MOSDBoot(
            version=osd.maps.epoch,
            sb=osd.superblock,
            hb_back_addrs=back,
            cluster_addrs=cluster,
            boot_epoch=osd.boot_epoch,
            hb_front_addrs=front,
            metadata=metadata(osd),
            osd_features=PACIFIC,
        )
    )
    osd.phase = Phase.BOOTING


def metadata(osd: OSD) -> dict[str, str]:
    """What the monitors are told of this OSD and its host (`ceph osd metadata`)."""
    messengers = osd.messengers
    return {
        **osd.ports.metadata,
        "front_addr": str(messengers.client.addrs),
        "back_addr": str(messengers.cluster.addrs),
        "hb_front_addr": str(messengers.hb_front.addrs),
        "hb_back_addr": str(messengers.hb_back.addrs),
    }
