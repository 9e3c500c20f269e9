"""Sending OSD maps: encoded once for all who want the same epochs and have the same features.

Full maps and incrementals come from the store as they were committed; peers with fewer features get
them encoded anew. Called by the service for subscriptions, and by handlers of messages whose answer
is "see the map". Upstream: `src/mon/OSDMonitor.cc` (send_incremental, build_incremental,
get_version, get_version_full, get_full_from_pinned_map).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from spirula.errors import InvariantBroken
from spirula.maps.apply import apply_incremental
from spirula.maps.osdmap import Incremental, OSDMap
from spirula.messages.mon_client import MMonGetOSDMap
from spirula.messages.osd_map import MOSDMap
from spirula.mon.services.osdmap import encoding
from spirula.mon.services.osdmap.encoding import SIGNIFICANT

if TYPE_CHECKING:
    from spirula.mon.request import Request
    from spirula.mon.services.osdmap.service import OSDMapService
    from spirula.mon.session import MonSession

_CACHED_BYTES = 8 << 20
"""How much of encoded maps a monitor keeps at hand, full ones and incrementals each."""
_MESSAGES = 16


class _Cache:
    """Encoded maps by epoch and features; the ones not used for longest go first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._size = 0

    def get(self, key: tuple[int, int]) -> bytes | None:
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def put(self, key: tuple[int, int], value: bytes) -> None:
        self._kept[key] = value
        self._size += len(value)
        while self._size > _CACHED_BYTES and len(self._kept) > 1:
            _, dropped = self._kept.popitem(last=False)
            self._size -= len(dropped)


class Publisher:
    """The maps of one service, on their way out."""

    def __init__(self, service: OSDMapService) -> None:
        self._service = service
        self._full = _Cache()
        self._incremental = _Cache()
        self._messages: OrderedDict[tuple[int, ...], MOSDMap] = OrderedDict()

    # ------------------------------------------------------------------------------ encoded maps

    def incremental(self, epoch: int, features: int) -> bytes | None:
        """The incremental to an epoch, for a peer with these features; None if it is not there."""
        return self._encoded(
            self._incremental,
            epoch,
            features,
            self._service.get_version,
            encoding.reencode_incremental,
        )

    def full(self, epoch: int, features: int) -> bytes | None:
        """The full map of an epoch, for a peer with these features; None if it is not there."""
        return self._encoded(self._full, epoch, features, self._stored_full, encoding.reencode_full)

    def _encoded(
        self,
        cache: _Cache,
        epoch: int,
        features: int,
        stored: Callable[[int], bytes | None],
        reencode: Callable[[bytes, int], bytes],
    ) -> bytes | None:
        if epoch < self._service.first_committed:
            return None
        significant = features & SIGNIFICANT
        found = cache.get((epoch, significant))
        if found is None:
            found = stored(epoch)
            if found is None:
                return None
            if significant != SIGNIFICANT:
                found = reencode(found, features)
            cache.put((epoch, significant), found)
        return found

    def _stored_full(self, epoch: int) -> bytes | None:
        found = self._service.get_full(epoch)
        return found if found is not None else self._rebuild(epoch)

    def _rebuild(self, epoch: int) -> bytes | None:
        """A full map that was pruned, from the one before that is kept."""
        at = self._service.manifest.closest_before(epoch)
        encoded = self._service.get_full(at) if at else None
        if encoded is None:
            return None
        osdmap = OSDMap.decode(encoded)
        features = encoding.encoding_features(osdmap)
        for version in range(at + 1, epoch + 1):
            change = self._service.get_version(version)
            if change is None:
                return None
            inc = Incremental.decode(change)
            features = inc.encode_features
            osdmap = apply_incremental(osdmap, inc)
        return osdmap.encode(features | encoding.RESERVED)

    # ---------------------------------------------------------------------------------- messages

    def latest_full(self, features: int) -> MOSDMap:
        """The newest map as a whole."""
        epoch = self._service.epoch
        return self._message({}, {epoch: self._need(self.full(epoch, features), epoch)})

    def incrementals(self, first: int, last: int, features: int) -> MOSDMap:
        """The steps to the epochs from `first` to `last`; full maps where there is no step."""
        key = (first, last, features & SIGNIFICANT, self._service.epoch)
        message = self._messages.get(key)
        if message is None:
            steps: dict[int, bytes] = {}
            maps: dict[int, bytes] = {}
            for epoch in range(max(first, 1), last + 1):
                step = self.incremental(epoch, features)
                if step is not None:
                    steps[epoch] = step
                else:
                    maps[epoch] = self._need(self.full(epoch, features), epoch)
            message = self._messages[key] = self._message(steps, maps)
            while len(self._messages) > _MESSAGES:
                self._messages.popitem(last=False)
        return message

    def _message(self, steps: dict[int, bytes], maps: dict[int, bytes]) -> MOSDMap:
        service = self._service
        return MOSDMap(
            fsid=service.monitor.monmap.fsid,
            incremental_maps=steps,
            maps=maps,
            oldest_map=service.first_committed,
            newest_map=service.epoch,
        )

    def _need(self, found: bytes | None, epoch: int) -> bytes:
        if found is None:
            raise InvariantBroken(f"the OSD map of epoch {epoch} is missing in the store")
        return found

    def requested(self, message: MMonGetOSDMap, features: int) -> MOSDMap:
        """The maps that somebody asked for one by one, as many as go into one message."""
        service, config = self._service, self._service.monitor.config
        left = config.get_int("osd_map_message_max")
        room = config.get_int("osd_map_message_max_bytes")
        reply = self._message({}, {})
        for found, first, last, get in (
            (reply.maps, message.full_first, message.full_last, self.full),
            (reply.incremental_maps, message.inc_first, message.inc_last, self.incremental),
        ):
            for epoch in range(max(first, service.first_committed), min(last, service.epoch) + 1):
                if left <= 0 or room <= 0:
                    break
                encoded = get(epoch, features)
                if encoded is not None:
                    found[epoch] = encoded
                    room -= len(encoded)
                left -= 1
        return reply

    # ----------------------------------------------------------------------------------- sending

    def send_from(self, session: MonSession, first: int, *, onetime: bool = False) -> None:
        """Send a client all maps from `first` on that it does not have; at `onetime` one message
        of them.
        """
        service, send = self._service, self._service.monitor.send
        features = session.features
        first = max(first, session.osd_epoch + 1)
        if first < service.first_committed:
            first = service.first_committed
            send(session, self._base(first, features))
            session.osd_epoch = first
            first += 1
        most = service.monitor.config.get_int("osd_map_message_max")
        while first <= service.epoch:
            last = min(first + most - 1, service.epoch)
            send(session, self.incrementals(first, last, features))
            session.osd_epoch = last
            first = last + 1
            if onetime:
                break

    def _base(self, epoch: int, features: int) -> MOSDMap:
        return self._message({}, {epoch: self._need(self.full(epoch, features), epoch)})

    def reply_latest(self, request: Request, start: int) -> None:
        """Answer with the maps from `start` on, or the newest as a whole (`start` 0)."""
        if start:
            self.reply_from(request, start)
        else:
            request.reply(self.latest_full(request.session.features))

    def reply_from(self, request: Request, first: int) -> None:
        """Answer with maps from `first` on: not all perhaps, but enough to get on.

        A peon is told to send them itself to the client for which it asked.
        """
        session, service = request.session, self._service
        if session.proxy is not None:
            request.answered = True
            service.monitor.forwarding.route_osdmaps(session, first)
            return
        first = max(first, session.osd_epoch + 1)
        if first < service.first_committed:
            session.osd_epoch = service.first_committed
            request.reply(self._base(service.first_committed, session.features))
        elif first <= service.epoch:
            most = service.monitor.config.get_int("osd_map_message_max")
            last = min(first + most - 1, service.epoch)
            session.osd_epoch = last
            request.reply(self.incrementals(first, last, session.features))
        else:
            request.no_reply()
