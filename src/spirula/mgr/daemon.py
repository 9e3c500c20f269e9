"""Puts a manager together from its ports: session as a client, server, configuration, commands.

The event loop, clock and random bytes are handed in, so that the same code runs as a process
(`cli.mgr`), several times in one process, and in simulation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from spirula.auth.registry import DEFAULTS, AuthRegistry
from spirula.auth.server import ServiceAuthServer
from spirula.client.log_client import LogClient
from spirula.client.mon_hosts import Resolve
from spirula.client.session import make_session
from spirula.conf.admin_commands import CommandTable
from spirula.conf.config import Config
from spirula.conf.perf import PerfCollection
from spirula.errors import InvalidArgument
from spirula.mgr import manager as parts
from spirula.mgr.commands import admin, all_groups
from spirula.mgr.commands.dispatch import CommandDispatch
from spirula.mgr.modules import ModuleHost
from spirula.mgr.perf import counting_throttle
from spirula.mgr.state import Manager, Ports
from spirula.msgr.configured import handshake_config
from spirula.msgr.connection import Dispatcher
from spirula.msgr.policies import mgr_policies
from spirula.msgr.protocol.endpoint import Endpoint
from spirula.msgr.tcp import Messenger
from spirula.msgr.typed import decode_raw, encode_message
from spirula.types.auth import CryptoKey, PrincipalName
from spirula.types.entity import EntityAddrVec, EntityName, EntityType

_THROTTLED = (
    (EntityType.CLIENT, "client", "messages"),
    (EntityType.OSD, "osd", "messsages"),
    (EntityType.MDS, "mds", "messsages"),
    (EntityType.MON, "mon", "messsages"),
)
"""Kinds of peers, as options call them, and how upstream spells what is counted."""


@dataclass(slots=True)
class Daemon:
    """A manager and its commands."""

    manager: Manager
    table: CommandTable

    async def start(self) -> None:
        """Log in and stand by. TimedOut, or the monitors' refusal."""
        await parts.start(self.manager)

    async def stop(self) -> None:
        """On return nothing is left in the loop."""
        await parts.stop(self.manager)


def make_manager(
    name: str,
    config: Config,
    key: CryptoKey | None,
    ports: Ports,
    address: EntityAddrVec,
    resolve: Resolve | None = None,
    modules: ModuleHost | None = None,
) -> Daemon:
    """A manager that listens at `address` when it is active; a port of 0 is any that is free.

    Raises InvalidArgument for a configuration that cannot be.
    """
    session = make_session(
        ports.loop,
        config,
        key,
        clock=ports.wall,
        random_bytes=ports.random_bytes,
        resolve=resolve,
        log=ports.log,
    )
    auth = session.monitors.auth
    if auth.rotating is None:
        raise InvalidArgument(f"mgr.{name} is no daemon that clients show tickets to")
    registry = AuthRegistry.from_options(
        EntityType.MGR, {option: config.get_str(option) for option in DEFAULTS}
    )
    server_auth = ServiceAuthServer(registry, auth.rotating, ports.wall, ports.random_bytes)
    policies = mgr_policies()
    perf = PerfCollection()
    for kind, word, told in _THROTTLED:
        size, number = f"mgr_{word}_bytes", f"mgr_{word}_messages"
        policies.throttle(
            kind,
            counting_throttle(perf, size, config.get_int(size)),
            counting_throttle(perf, f"mgr_{word}_{told}", config.get_int(number)),
        )
    endpoint = Endpoint(
        EntityName(EntityType.MGR, -1),
        policies,
        random_bytes=ports.random_bytes,
        auth_client=lambda peer_type, _: auth.handshake(peer_type),
        auth_server=server_auth.handshake,
        config=handshake_config(EntityType.MGR, config),
        encode=encode_message,
        nonce=int.from_bytes(ports.random_bytes(4), "little") or 1,
    )
    server = Messenger(
        ports.loop,
        endpoint,
        cast("Dispatcher", None),  # set below, before anything can come
        decode=decode_raw,
        wall_clock=ports.wall,
        log=ports.log,
    )
    clog = LogClient(
        lambda: session.monitors.fsid,
        PrincipalName(EntityType.MGR, name),
        session.messenger.endpoint.name,
        lambda: session.messenger.addrs,
        ports.wall,
        session.monitors.send,
    )
    manager = Manager(name, ports, config, session, server, clog, perf)
    if modules is not None:
        manager.modules = modules
    table = CommandTable(on_error=lambda text: ports.log(1, text))
    manager.commands = CommandDispatch(manager, all_groups(), table)
    admin.register(table, manager)
    server.dispatcher = parts.Server(manager)

    async def listen() -> None:
        first = config.get_int("ms_bind_port_min")
        await server.bind(address, range(first, config.get_int("ms_bind_port_max") + 1))

    manager.listen = listen
    return Daemon(manager, table)
