"""How an OSD reaches other OSDs, and how maps are shared with whoever has older ones.

Sending to an OSD that is down, or has started anew since, is sending to nobody: the message is
dropped, for whoever sent it will hear of the new map. Behaviour: upstream `src/osd/OSD.cc`
(send_message_osd_cluster, get_con_osd_cluster, maybe_share_map).
"""

from __future__ import annotations

from spirula.errors import NotConnected
from spirula.maps.state import is_up
from spirula.messages.base import Message
from spirula.msgr.connection import Connection
from spirula.osd.session import Session, session_of
from spirula.osd.state import OSD, subscribe_maps
from spirula.types.entity import EntityType


def cluster_connection(osd: OSD, other: int, epoch: int) -> Connection | None:
    """The connection to an OSD; None if it is not where it was in that epoch."""
    if other == osd.whoami:
        return osd.messengers.cluster.local
    osdmap = osd.maps.current
    if other >= osdmap.max_osd or not is_up(osdmap, other):
        return None
    if osdmap.osd_info[other].up_from > epoch:
        return None
    addrs = osdmap.cluster_addrs[other]
    route = osd.routes.get(other)
    if route is not None and route[0] is addrs and not route[1].is_down:
        return route[1]
    try:
        connection = osd.messengers.cluster.get_connection(EntityType.OSD, addrs)
    except (ValueError, NotConnected) as error:
        osd.log(1, f"osd.{other} cannot be reached: {error}")
        return None
    osd.routes[other] = addrs, connection
    return connection


def send_osd(osd: OSD, other: int, message: Message, epoch: int) -> None:
    """Send to an OSD as it was in that epoch."""
    connection = cluster_connection(osd, other, epoch)
    if connection is None:
        return
    if other != osd.whoami:
        session = session_of(connection)
        if session.sent_epoch < osd.maps.epoch:
            share_map(osd, session, 0)
    connection.send_message(message)


def share_map(osd: OSD, session: Session, has: int) -> None:
    """Send a peer the maps that it lacks; `has` is an epoch that it is known to have."""
    session.sent_epoch = max(session.sent_epoch, has)
    epoch = osd.maps.epoch
    if epoch <= session.sent_epoch:
        return
    session.send(osd.maps.message(session.sent_epoch))
    session.sent_epoch = epoch


def want_map(osd: OSD, epoch: int) -> None:
    """Somebody has seen a map of that epoch: ask for it unless we have it."""
    if epoch > osd.maps.newest:
        subscribe_maps(osd, osd.maps.newest + 1)
