"""A client with fewer features than ours, that asks a monitor for OSD maps; for interop tests.

Monitors encode maps for the features of who asks. What comes back is raw: what we make of the same
maps is compared with it.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest import mock

import spirula.client.session as sessions
from spirula.cli.credentials import find_key
from spirula.client.session import ClusterSession
from spirula.conf.load import load
from spirula.denc import features as bits
from spirula.denc.features import PACIFIC
from spirula.messages.base import Message
from spirula.messages.mon_client import MMonGetOSDMap, MMonMap
from spirula.messages.osd_map import MOSDMap
from spirula.msgr.connection import Connection
from spirula.msgr.policies import PolicySet, client_policies

TIMEOUT_S = 60
PER_MESSAGE = 30

WITHOUT = {
    "octopus": (bits.SERVER_OCTOPUS & ~bits.SERVER_MIMIC),
    "nautilus": (bits.SERVER_NAUTILUS | bits.SERVER_OCTOPUS) & ~bits.SERVER_MIMIC,
    "nautilus alone": bits.SERVER_NAUTILUS & ~bits.SERVER_MIMIC,
    "mimic": bits.SERVER_NAUTILUS & ~bits.SERVER_JEWEL,
    "mimic and poolresend": (bits.SERVER_NAUTILUS & ~bits.SERVER_JEWEL) | bits.OSD_POOLRESEND,
    "octopus and poolresend": bits.SERVER_OCTOPUS & ~bits.SERVER_MIMIC | bits.OSD_POOLRESEND,
}
"""Sets of features to go without, for any map."""

_LUMINOUS = bits.SERVER_NAUTILUS & ~bits.SERVER_JEWEL | bits.SERVER_LUMINOUS & ~bits.SERVER_JEWEL
_HAMMER = _LUMINOUS | bits.NEW_OSDOP_ENCODING | bits.CRUSH_TUNABLES5 | bits.SERVER_JEWEL
_FIREFLY = _HAMMER | bits.OSD_POOLRESEND
_EMPEROR = _FIREFLY | bits.OSDMAP_ENC

OLD_MAPS_WITHOUT = {
    "luminous": _LUMINOUS,
    "luminous alone": bits.SERVER_LUMINOUS & ~bits.SERVER_JEWEL,
    "jewel": _HAMMER,
    "new_osdop_encoding": bits.NEW_OSDOP_ENCODING,
    "poolresend": _FIREFLY,
    "osdmap_enc": _EMPEROR,
    "osdmap_enc alone": bits.OSDMAP_ENC,
    "osdenc": _EMPEROR | bits.OSDENC,
    "osdenc alone": bits.OSDENC,
    "pgpool3": _EMPEROR | bits.OSDENC | bits.PGPOOL3,
    "pgpool3 alone": bits.PGPOOL3,
    "pgid64": _EMPEROR | bits.OSDENC | bits.PGPOOL3 | bits.PGID64,
}
"""Likewise, for maps that any client understands (old tunables, no upmaps).

MSG_ADDR2 is always there: without it nobody can connect by msgr2.
"""


@dataclass(slots=True)
class Maps:
    """Encoded maps by epoch, as one peer was sent them."""

    incrementals: dict[int, bytes] = field(default_factory=dict)
    fulls: dict[int, bytes] = field(default_factory=dict)
    monmap: bytes = b""


@dataclass(slots=True, eq=False)
class OldSession(ClusterSession):
    """A session that keeps the maps as they come."""

    maps: Maps = field(default_factory=Maps)
    heard: asyncio.Event = field(default_factory=asyncio.Event)

    def ms_dispatch(self, connection: Connection, message: Message) -> None:
        """Keep the monitor map as well."""
        if isinstance(message, MMonMap):
            self.maps.monmap = bytes(message.monmapbl)
        ClusterSession.ms_dispatch(self, connection, message)

    def on_osdmap(self, message: Message) -> None:
        """Keep them."""
        assert isinstance(message, MOSDMap)
        for kept, sent in (
            (self.maps.incrementals, message.incremental_maps),
            (self.maps.fulls, message.maps),
        ):
            kept.update({epoch: bytes(raw) for epoch, raw in sent.items()})
        self.heard.set()

    async def ask(self, message: MMonGetOSDMap, kept: dict[int, bytes], wanted: set[int]) -> None:
        """Ask for maps, wait for all of them. A map that is new now may come before the answer."""
        connection = self.monitors.connection
        assert connection is not None
        for epoch in wanted:
            kept.pop(epoch, None)
        connection.send_message(message)
        async with asyncio.timeout(TIMEOUT_S):
            while not wanted <= set(kept):
                self.heard.clear()
                await self.heard.wait()


def policies_without(features: int) -> PolicySet:
    """A client's policies, less some features."""
    found = client_policies()
    for kind, policy in found.by_type.items():
        found.by_type[kind] = replace(policy, features_supported=PACIFIC & ~features)
    found.default = replace(found.default, features_supported=PACIFIC & ~features)
    return found


async def maps_for(conf: Path, without: int, first: int, last: int, full_from: int) -> Maps:
    """What the monitors of `conf` send a client without those features: the changes to the epochs
    from `first` to `last`, and whole maps of those from `full_from` on.
    """
    config = load(["-c", str(conf)]).config
    with (
        mock.patch.object(sessions, "client_policies", return_value=policies_without(without)),
        mock.patch.object(sessions, "ClusterSession", OldSession),
    ):
        session = await sessions.open_session(
            config, find_key(config), clock=time.time, random_bytes=os.urandom, timeout_s=TIMEOUT_S
        )
    assert isinstance(session, OldSession)
    try:
        for low in range(first, last + 1, PER_MESSAGE):
            high = min(low + PER_MESSAGE - 1, last)
            asked = MMonGetOSDMap(inc_first=low, inc_last=high)
            await session.ask(asked, session.maps.incrementals, set(range(low, high + 1)))
        for low in range(full_from, last + 1, PER_MESSAGE):
            high = min(low + PER_MESSAGE - 1, last)
            asked = MMonGetOSDMap(full_first=low, full_last=high)
            await session.ask(asked, session.maps.fulls, set(range(low, high + 1)))
    finally:
        await session.close()
    found = session.maps
    return Maps(
        {epoch: raw for epoch, raw in found.incrementals.items() if first <= epoch <= last},
        {epoch: raw for epoch, raw in found.fulls.items() if full_from <= epoch <= last},
        found.monmap,
    )
