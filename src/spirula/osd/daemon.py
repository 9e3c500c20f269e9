"""Puts an OSD together from its ports: store, messengers, authentication, configuration.

The event loop, clock, random bytes and a mounted store are handed in, so that the same code runs as
a process (`cli.osd`), several times in one process, and in simulation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import cast

from spirula.auth.client import AuthClient
from spirula.auth.registry import DEFAULTS, AuthRegistry
from spirula.auth.server import ServiceAuthServer
from spirula.classes.registry import ClassRegistry
from spirula.client.log_client import LogClient
from spirula.client.mgr_client import MgrClient
from spirula.client.mon_client import MonClient, MonTimings
from spirula.client.mon_hosts import Resolve, parse_mon_host
from spirula.conf.admin_commands import CommandTable
from spirula.conf.config import Config
from spirula.errors import InvalidArgument
from spirula.msgr.configured import handshake_config
from spirula.msgr.connection import Dispatcher
from spirula.msgr.policies import (
    PolicySet,
    client_policies,
    osd_cluster_policies,
    osd_heartbeat_client_policies,
    osd_heartbeat_server_policies,
    osd_public_policies,
)
from spirula.msgr.protocol.endpoint import Endpoint
from spirula.msgr.protocol.throttle import Throttle
from spirula.msgr.tcp import Messenger
from spirula.msgr.typed import decode_raw, encode_message
from spirula.osd import osd as parts
from spirula.osd import peers, reports
from spirula.osd.commands import bench, pg_commands, scrubs, status, store, testing
from spirula.osd.commands.tell import TellCommands
from spirula.osd.heartbeat import Heartbeats
from spirula.osd.maps import Maps
from spirula.osd.op_tracker import OpTracker
from spirula.osd.perf import OSDPerf
from spirula.osd.perf_queries import PerfQueries
from spirula.osd.pg.shared import Shared
from spirula.osd.pgs import PlacementGroups
from spirula.osd.remote import RemoteOps
from spirula.osd.reports import Reports
from spirula.osd.scheduler import Seen
from spirula.osd.services import Services
from spirula.osd.shares import Shares
from spirula.osd.state import OSD, Messengers, Ports
from spirula.store.objectstore import ObjectStore
from spirula.types.auth import CryptoKey, PrincipalName
from spirula.types.entity import EntityAddrVec, EntityName, EntityType
from spirula.types.pg import PGId

_WANTED = EntityType.MON | EntityType.OSD | EntityType.MGR


@dataclass(slots=True)
class Addresses:
    """Where an OSD listens: for everybody, for OSDs. A port of 0 is any that is free."""

    public: EntityAddrVec
    cluster: EntityAddrVec


@dataclass(slots=True)
class Daemon:
    """An OSD, its commands, and where it is to listen."""

    osd: OSD
    table: CommandTable
    addresses: Addresses

    async def start(self) -> None:
        """Listen, log in, set out to boot. OSError, TimedOut, or the monitors' refusal."""
        osd, where = self.osd, self.addresses
        config, messengers = osd.config, osd.messengers
        first = config.get_int("ms_bind_port_min")
        ports = range(first, config.get_int("ms_bind_port_max") + 1)
        await messengers.client.bind(where.public, ports)
        await messengers.cluster.bind(where.cluster, ports)
        await messengers.hb_back.bind(_any_port(where.cluster), ports)
        await messengers.hb_front.bind(_any_port(where.public), ports)
        await parts.start(osd)

    async def stop(self) -> None:
        """On return nothing is left in the loop; the store is the caller's to unmount."""
        await parts.stop(self.osd)


def _any_port(addrs: EntityAddrVec) -> EntityAddrVec:
    return EntityAddrVec([addr.with_port(0) for addr in addrs.addrs])


def make_osd(
    whoami: int,
    store: ObjectStore,
    config: Config,
    key: CryptoKey | None,
    ports: Ports,
    addresses: Addresses,
    resolve: Resolve | None = None,
) -> Daemon:
    """An OSD on a mounted store that was made by `mkfs`.

    Raises what `Maps.load` raises, and InvalidArgument for a configuration that cannot be.
    """
    maps = Maps.load(store, whoami, config)
    options = {option: config.get_str(option) for option in DEFAULTS}
    registry = AuthRegistry.from_options(EntityType.OSD, options)
    name = PrincipalName(EntityType.OSD, str(whoami))
    auth = AuthClient(
        name,
        key,
        registry,
        _WANTED,
        clock=ports.wall,
        random=ports.random_bytes,
        service_ticket_ttl_s=config.get_float("auth_service_ticket_ttl"),
    )
    if auth.rotating is None:
        raise InvalidArgument(f"{name} is no daemon that clients show tickets to")
    server = ServiceAuthServer(registry, auth.rotating, ports.wall, ports.random_bytes)
    nonce = int.from_bytes(ports.random_bytes(4), "little") or 1

    def messenger(policies: PolicySet) -> Messenger:
        endpoint = Endpoint(
            EntityName(EntityType.OSD, whoami),
            policies,
            random_bytes=ports.random_bytes,
            auth_client=lambda peer_type, _: auth.handshake(peer_type),
            auth_server=server.handshake,
            config=handshake_config(EntityType.OSD, config),
            encode=encode_message,
            nonce=nonce,
        )
        return Messenger(
            ports.loop,
            endpoint,
            cast("Dispatcher", None),  # set below, before anything can come
            decode=decode_raw,
            wall_clock=ports.wall,
            log=ports.log,
        )

    public = osd_public_policies()
    public.throttle(
        EntityType.CLIENT,
        Throttle(config.get_int("osd_client_message_size_cap")),
        Throttle(config.get_int("osd_client_message_cap")),
    )
    messengers = Messengers(
        messenger(public),
        messenger(osd_cluster_policies()),
        messenger(osd_heartbeat_server_policies()),
        messenger(osd_heartbeat_server_policies()),
        messenger(osd_heartbeat_client_policies()),
        messenger(client_policies()),
    )
    hosts = config.get_str("mon_host")
    monitors = MonClient(
        ports.loop,
        messengers.client,
        auth,
        parse_mon_host(hosts, resolve) if resolve else parse_mon_host(hosts),
        lambda addrs: addrs.sort(key=lambda _: ports.random_bytes(4)),
        MonTimings.of(config),
    )
    osd = OSD(whoami, ports, config, store, maps, messengers, monitors)
    table = CommandTable(on_error=lambda text: ports.log(1, text))
    _equip(osd, name, table)
    for one, dispatcher in (
        (messengers.client, parts.Public(osd)),
        (messengers.cluster, parts.Cluster(osd)),
        (messengers.hb_front, parts.Pings(osd)),
        (messengers.hb_back, parts.Pings(osd)),
        (messengers.hb_client, parts.Pings(osd)),
        (messengers.objecter, osd.remote),
    ):
        one.dispatcher = dispatcher
    return Daemon(osd, table, addresses)


def _equip(osd: OSD, name: PrincipalName, table: CommandTable) -> None:
    """The parts of an OSD, in the order in which they need one another."""
    ports, config, monitors = osd.ports, osd.config, osd.monitors
    osd.counters = OSDPerf(osd.perf)
    osd.tracker = OpTracker(config, osd.now, ports.wall)
    osd.heartbeats = Heartbeats()
    osd.reports = Reports()
    osd.clog_client = LogClient(
        lambda: osd.superblock.cluster_fsid,
        name,
        EntityName(EntityType.OSD, osd.whoami),
        lambda: osd.messengers.client.addrs,
        ports.wall,
        monitors.send,
    )
    osd.queries = PerfQueries(osd.whoami, lambda wanted: osd.pgs.count_for_queries(wanted=wanted))
    osd.manager = MgrClient(
        ports.loop,
        osd.messengers.client,
        config,
        osd.perf,
        str(osd.whoami),
        lambda: reports.statistics(osd),
        lambda: reports.health_metrics(osd),
        queries=osd.queries,
    )
    osd.services = Services(
        osd.whoami,
        ports.loop,
        ports.wall,
        ports.random_bytes,
        osd.store,
        config,
        osd.maps,
        send_osd=partial(peers.send_osd, osd),
        send_mon=monitors.send,
        log=ports.log,
        clog=osd.clog,
        want_up_thru=lambda epoch: reports.want_up_thru(osd, epoch),
        want_map=lambda epoch: peers.want_map(osd, epoch),
    )
    osd.remote = RemoteOps(osd)
    osd.pgs = _placement_groups(osd)
    osd.commands = TellCommands(osd, table)
    for module in (status, bench, testing, pg_commands, scrubs, store):
        module.register(table, osd)


def _placement_groups(osd: OSD) -> PlacementGroups:
    config, beats = osd.config, osd.heartbeats
    classes = ClassRegistry(
        config.get_str("osd_class_dir"),
        config.get_str("osd_class_load_list"),
        config.get_str("osd_class_default_list"),
        osd.ports.log,
    )

    def clock_delta(other: int) -> tuple[float | None, float | None]:
        found = beats.stamps_of(other)
        return found.lb, found.ub

    def want_pg_temp(pgid: PGId, acting: list[int]) -> None:
        reports.want_pg_temp(osd, pgid, acting)

    def store_failed(error: Exception) -> None:
        osd.ports.stop(f"the store failed: {error}")

    shared = Shared.of(osd.services, classes, osd.remote.submit)
    shared.mono = osd.mono
    scheduler = shared.scheduler
    scheduler.shares = Shares(config, _rotational(osd))
    shared.recoveries.rotational = _rotational(osd)[0]

    def seen() -> Seen:
        counters = osd.counters
        return Seen(
            counters.op.value + scheduler.replica_ops,
            counters.op_in_bytes.value + counters.op_out_bytes.value + scheduler.replica_bytes,
            len(osd.tracker.in_flight),
        )

    scheduler.seen = seen
    shared.recoveries.rotational = scheduler.shares.rotational[0]
    shared.moved = osd.counters.moved
    shared.clock_delta = clock_delta
    shared.store_failed = store_failed
    shared.pg_created = lambda pgid: reports.pg_created(osd, pgid)
    shared.want_pg_temp = want_pg_temp
    shared.forget_pg_temp = lambda pgid: reports.remove_pg_temp(osd, pgid)
    shared.is_backfill_full = lambda extra_bytes: osd.reports.would_be_full(osd, extra_bytes)
    made = PlacementGroups(osd, shared)
    shared.op_finished = made.finished
    shared.share_map = made.share_map
    return made


def _rotational(osd: OSD) -> tuple[bool, bool]:
    """Whether the store's data, and whether its journal, lie on hard disks."""
    told = osd.ports.metadata
    return told.get("rotational") == "1", told.get("journal_rotational") == "1"
