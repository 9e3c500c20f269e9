"""Puts a monitor together from its ports: store, messenger, authentication, configuration.

The event loop, clock, random bytes and store are handed in, so that the same code runs as a process
(`cli.mon`), several times in one process (`testing`), and in simulation.
"""

from __future__ import annotations

from dataclasses import dataclass

from spirula.auth.keyring import KeyRing
from spirula.auth.monitor import MON, MonitorAuthClient
from spirula.auth.registry import DEFAULTS, AuthRegistry
from spirula.auth.server import MonAuthServer
from spirula.conf.config import Config
from spirula.errors import InvalidArgument, NotFound
from spirula.mon.mkfs import compat_set, find_monmap, is_made
from spirula.mon.monitor import Monitor, Ports
from spirula.mon.quorum.member import Member
from spirula.mon.quorum.state import Settings
from spirula.mon.store import PAXOS
from spirula.msgr.configured import handshake_config
from spirula.msgr.policies import monitor_policies
from spirula.msgr.protocol.endpoint import Endpoint
from spirula.msgr.tcp import Messenger
from spirula.msgr.typed import decode_raw, encode_message
from spirula.store.keyvalue import KeyValueStore
from spirula.types.auth import PrincipalName
from spirula.types.entity import EntityAddrVec, EntityName, EntityType
from spirula.types.mon import MonMap

SERVICE_PREFIXES = (
    "auth",
    "config",
    "config-key",
    "config-history",
    "health",
    "kv",
    "logm",
    "mdsmap",
    "mds_metadata",
    "mds_health",
    "mgr",
    "mgr_command_descs",
    "mgr_metadata",
    "mgrstat",
    "mon_config_key",
    "monmap",
    "osd_metadata",
    "osd_pg_creating",
    "osd_snap",
    "osdmap",
)
"""Prefixes of the store that belong to all monitors alike, beside Paxos's own: what is
synchronised.
"""

_TO_SAY_GOODBYE_S = 0.05

_SETTINGS = (
    "mon_lease",
    "mon_lease_renew_interval_factor",
    "mon_lease_ack_timeout_factor",
    "mon_accept_timeout_factor",
    "mon_election_timeout",
    "mon_probe_timeout",
    "mon_sync_timeout",
    "mon_sync_max_payload_size",
    "mon_sync_max_payload_keys",
    "mon_elector_ping_timeout",
    "mon_elector_ping_divisor",
    "mon_elector_ignore_propose_margin",
    "mon_con_tracker_score_halflife",
    "mon_con_tracker_persist_interval",
    "mon_timecheck_interval",
    "mon_timecheck_skew_interval",
    "mon_clock_drift_allowed",
    "mon_clock_drift_warn_backoff",
    "mon_scrub_interval",
    "mon_scrub_timeout",
    "mon_scrub_max_keys",
    "paxos_max_join_drift",
    "paxos_min",
    "paxos_trim_min",
    "paxos_trim_max",
)


@dataclass(slots=True)
class Daemon:
    """A monitor and its messenger. `addrs` is where it is to listen."""

    monitor: Monitor
    messenger: Messenger
    addrs: EntityAddrVec

    async def start(self) -> None:
        """Listen, and look for a quorum. OSError if the address is taken."""
        await self.messenger.bind(self.addrs)
        self.monitor.start()

    async def stop(self) -> None:
        """On return nothing is left in the loop; the store is the caller's to close."""
        if self.monitor.leave("it was stopped"):
            # The others go on without waiting for this one if they hear of it.
            said = self.monitor.loop.create_future()
            self.monitor.loop.call_later(_TO_SAY_GOODBYE_S, said.set_result, None)
            await said
        self.monitor.stop()
        await self.messenger.shutdown()


def settings_of(config: Config, metadata: dict[str, str]) -> Settings:
    """The quorum's settings out of the configuration."""
    values: dict[str, object] = {}
    for name in _SETTINGS:
        kind = type(getattr(Settings(), name))
        values[name] = config.get_int(name) if kind is int else config.get_float(name)
    return Settings(
        **values,  # type: ignore[arg-type]  # names and types are those of the options
        sync_prefixes=(PAXOS, *SERVICE_PREFIXES),
        metadata=metadata,
        compat_bl=compat_set().encode(),
    )


def addresses(monmap: MonMap, name: str, public_addr: EntityAddrVec | None) -> EntityAddrVec:
    """Where a monitor listens: as the map says, else as it was told; else InvalidArgument."""
    if name in monmap.mon_info:
        return monmap.mon_info[name].public_addrs
    if public_addr is None or not public_addr.addrs:
        raise InvalidArgument(
            f"mon.{name} is not in the monitor map and has no public_addr: set one in its section"
        )
    return public_addr


_INSECURE_RECLAIM = "auth_allow_insecure_global_id_reclaim"


def make_monitor(
    name: str,
    store: KeyValueStore,
    config: Config,
    keyring: KeyRing,
    ports: Ports,
    public_addr: EntityAddrVec | None = None,
) -> Daemon:
    """A monitor on a store that was made by `mkfs`; `keyring` holds the key of `mon.` itself.

    Raises NotFound for a store that was not made, InvalidArgument for a configuration that cannot
    be.
    """
    if not is_made(store):
        raise NotFound("the monitor store is empty: make it with --mkfs first")
    monmap = find_monmap(store)
    addrs = addresses(monmap, name, public_addr)
    settings = settings_of(config, ports.metadata)
    member = Member(name, addrs, monmap, store, settings)
    monitor = Monitor(member, store, config, ports)
    registry = AuthRegistry.from_options(
        EntityType.MON, {option: config.get_str(option) for option in DEFAULTS}
    )
    peers = KeyRing({MON: keyring.keys[MON]} if MON in keyring.keys else {})
    monitor.auth.key_server.extra.update(peers.keys)
    server = MonAuthServer(
        registry,
        monitor.auth.key_server,
        peers,
        monitor.auth.assign_global_id,
        ports.wall,
        ports.random_bytes,
        ready=monitor.auth.ready,
        allow_insecure_reclaim=config.get_bool(_INSECURE_RECLAIM),
    )

    def on_option(_changed: frozenset[str]) -> None:
        server.allow_insecure_reclaim = config.get_bool(_INSECURE_RECLAIM)

    config.observe([_INSECURE_RECLAIM], on_option)
    client = MonitorAuthClient(
        PrincipalName(EntityType.MON, name),
        registry,
        monitor.auth.key_server,
        peers,
        ports.wall,
        ports.random_bytes,
    )
    endpoint = Endpoint(
        EntityName(EntityType.MON, member.state.rank),
        monitor_policies(),
        random_bytes=ports.random_bytes,
        auth_client=lambda peer_type, _: client.handshake(peer_type),
        auth_server=server.handshake,
        config=handshake_config(EntityType.MON, config),
        encode=encode_message,
    )
    messenger = Messenger(
        ports.loop,
        endpoint,
        monitor.intake,
        decode=decode_raw,
        wall_clock=ports.wall,
        log=ports.log,
    )
    monitor.attach(messenger)
    return Daemon(monitor, messenger, addrs)
