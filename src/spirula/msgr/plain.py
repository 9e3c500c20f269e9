"""A messenger without authentication, in one call: for tests, benchmarks and simulations.

    one = plain_messenger(loop, EntityName(EntityType.OSD, 0), Policy.lossless_peer(), dispatcher)
    await one.bind(EntityAddrVec.parse("v2:127.0.0.1:0"))
    one.get_connection(EntityType.OSD, other.addrs).send_message(RawMessage(1, b"front"))

Daemons and clients put theirs together themselves, with `spirula.auth`.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from spirula.msgr.auth_none import NoneClient, NoneServer
from spirula.msgr.policies import Policy, PolicySet
from spirula.msgr.protocol.endpoint import Endpoint, Timings
from spirula.msgr.tcp import Messenger

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from spirula.auth.handshake import ClientHandshake
    from spirula.msgr.connection import Dispatcher
    from spirula.msgr.protocol.handshake import HandshakeConfig
    from spirula.msgr.tcp import Log, MessengerLimits
    from spirula.types.entity import EntityAddrVec, EntityName


def plain_messenger(
    loop: asyncio.AbstractEventLoop,
    name: EntityName,
    policies: Policy | PolicySet,
    dispatcher: Dispatcher,
    *,
    random_bytes: Callable[[int], bytes] = os.urandom,
    wall_clock: Callable[[], float] = time.time,
    config: HandshakeConfig | None = None,
    timings: Timings | None = None,
    limits: MessengerLimits | None = None,
    nonce: int = 0,
    log: Log | None = None,
) -> Messenger:
    """A messenger that speaks authentication method none and carries `RawMessage`s."""

    def client(peer_type: int, addrs: EntityAddrVec) -> ClientHandshake:
        return NoneClient(peer_type, name.type, str(name.num), max(name.num, 0))

    endpoint = Endpoint(
        name,
        policies if isinstance(policies, PolicySet) else PolicySet(policies),
        random_bytes=random_bytes,
        auth_client=client,
        auth_server=NoneServer,
        config=config,
        timings=timings,
        nonce=nonce,
    )
    return Messenger(loop, endpoint, dispatcher, wall_clock=wall_clock, limits=limits, log=log)
