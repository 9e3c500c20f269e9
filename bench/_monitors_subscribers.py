"""Clients that subscribe to the OSD map, all in this process. Run by `monitors.py`.

`python _monitors_subscribers.py CONF COUNT`: logs in, subscribes, and says `ready`; then prints,
for each epoch that has reached all of them, the epoch and when the last one had it, by the
monotonic clock. Epochs are read off the undecoded messages: what is measured are the monitors.
"""

from __future__ import annotations

import asyncio
import os
import struct
import sys
import time
from dataclasses import dataclass, field

from spirula.cli.credentials import find_key
from spirula.client.session import ClusterSession, open_session
from spirula.conf.load import load
from spirula.messages.base import Message
from spirula.messages.osd_map import MOSDMap
from spirula.msgr.connection import Connection
from spirula.msgr.protocol.message import RawMessage
from spirula.msgr.typed import decode_raw

_FSID_BYTES = 16
_HEAD = struct.Struct("<II")


def newest_epoch(front: bytes) -> int:
    """The epoch of the first incremental in an MOSDMap; 0 if it has none."""
    count, epoch = _HEAD.unpack_from(front, _FSID_BYTES)
    return epoch if count else 0


@dataclass
class Audience:
    """How many have each epoch."""

    size: int
    heard: dict[int, int] = field(default_factory=dict)

    def note(self, epoch: int) -> None:
        """One more has it."""
        self.heard[epoch] = self.heard.get(epoch, 0) + 1
        if self.heard[epoch] == self.size:
            print(epoch, time.monotonic(), flush=True)

    def listen(self, session: ClusterSession) -> None:
        """From now on OSD maps of this session are counted and not decoded."""

        def decode(connection: Connection, raw: RawMessage) -> Message:
            if raw.type != MOSDMap.TYPE:
                return decode_raw(connection, raw)
            epoch = newest_epoch(bytes(raw.front[:64]))
            session.monitors.got("osdmap", epoch)
            self.note(epoch)
            return MOSDMap()

        session.messenger.decode = decode


async def subscribe(conf: str, count: int) -> None:
    """Never returns."""
    config = load(["-c", conf, "--name", "client.admin"]).config
    key = find_key(config)
    audience = Audience(count)
    for _ in range(count):
        session = await open_session(
            config, key, clock=time.time, random_bytes=os.urandom, timeout_s=30
        )
        _, newest = await session.monitors.get_version("osdmap", 30)
        audience.listen(session)
        session.monitors.subscribe("osdmap", newest + 1)
    print("ready", flush=True)
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(subscribe(sys.argv[1], int(sys.argv[2])))
