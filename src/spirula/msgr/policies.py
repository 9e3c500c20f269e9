"""What a session promises, by what kind of entity is at its other end.

A policy is decided by each side for itself, before it knows more of its peer than the type; only
`lossy` is settled by the side that accepts. The sets at the end are those of upstream's daemons
(`src/msg/Policy.h`, `ceph_mon.cc`, `ceph_osd.cc`, `ceph_mds.cc`, `DaemonServer.cc`,
`RadosClient.cc`). Used by `protocol.endpoint`, chosen by daemons and clients.
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Self

from spirula.denc.features import (
    CRUSH_MSR,
    OSDENC,
    OSDREPLYMUX,
    PACIFIC,
    PGID64,
    SERVER_LUMINOUS,
    UID,
)
from spirula.records import dataclass
from spirula.types.entity import EntityType

if TYPE_CHECKING:
    from spirula.msgr.protocol.throttle import Throttle


@dataclass(slots=True, frozen=True)
class Policy:
    """The rules of a session.

    `lossy`: the session ends with its transport, and messages with it. `server`: this side never
    connects, it waits to be connected to. `standby`: without a transport and with nothing to send,
    wait quietly. `resetcheck`: a peer that lost the session is told to the user, and what was
    queued for it is dropped. `register_lossy_clients`: a lossy client has one session here, a new
    one replaces the old. The throttles are shared by all sessions of that peer type.
    """

    lossy: bool = False
    server: bool = False
    standby: bool = False
    resetcheck: bool = True
    register_lossy_clients: bool = True
    features_required: int = 0
    features_supported: int = PACIFIC
    throttle_bytes: Throttle | None = None
    throttle_messages: Throttle | None = None

    @property
    def registers(self) -> bool:
        """Whether an accepted session is found again by its peer's addresses."""
        return not (self.server and self.lossy) or self.register_lossy_clients

    @classmethod
    def stateful_server(cls, required: int = 0) -> Self:
        """Sessions outlive transports; the peer connects again (clients of an MDS)."""
        return cls(server=True, standby=True, features_required=required)

    @classmethod
    def stateless_server(cls, required: int = 0) -> Self:
        """Sessions end with their transport (clients of a monitor)."""
        return cls(
            lossy=True,
            server=True,
            resetcheck=False,
            register_lossy_clients=False,
            features_required=required,
        )

    @classmethod
    def stateless_registered_server(cls, required: int = 0) -> Self:
        """The same, but each client has one session (clients of an OSD)."""
        return cls(lossy=True, server=True, resetcheck=False, features_required=required)

    @classmethod
    def lossless_peer(cls, required: int = 0) -> Self:
        """Either side connects; messages survive even a restart of the peer (OSD to OSD)."""
        return cls(standby=True, resetcheck=False, features_required=required)

    @classmethod
    def lossless_peer_reuse(cls, required: int = 0) -> Self:
        """The same, but a restart of the peer is noticed (monitor to monitor)."""
        return cls(standby=True, features_required=required)

    @classmethod
    def lossy_client(cls, required: int = 0) -> Self:
        """Connects; the user does again what was lost (clients of monitors and OSDs)."""
        return cls(lossy=True, resetcheck=False, features_required=required)

    @classmethod
    def lossless_client(cls, required: int = 0) -> Self:
        """Connects, again and again, and loses nothing (clients of an MDS)."""
        return cls(features_required=required)


@dataclass(slots=True)
class PolicySet:
    """A policy for each type of peer."""

    default: Policy = field(default_factory=Policy)
    by_type: dict[int, Policy] = field(default_factory=dict)

    def of(self, peer_type: int) -> Policy:
        """The policy for peers of that type."""
        return self.by_type.get(peer_type, self.default)

    def require(self, peer_type: int, features: int, mask: int) -> None:
        """From now on, new sessions with peers of a type need those `features` of the `mask`."""
        policy = self.of(peer_type)
        required = policy.features_required & ~mask | features
        if required != policy.features_required:
            self.by_type[peer_type] = replace(policy, features_required=required)

    def throttle(
        self, peer_type: int, size: Throttle | None = None, messages: Throttle | None = None
    ) -> None:
        """Bounds what all peers of a type may have under way here together."""
        self.by_type[peer_type] = replace(
            self.of(peer_type), throttle_bytes=size, throttle_messages=messages
        )


_OSD_REQUIRED = UID | PGID64 | OSDENC


def monitor_policies() -> PolicySet:
    """A monitor: keeps sessions with monitors, serves everybody else."""
    return PolicySet(
        Policy.stateless_server(),
        {
            EntityType.MON: Policy.lossless_peer_reuse(SERVER_LUMINOUS),
            EntityType.OSD: Policy.stateless_server(SERVER_LUMINOUS),
            EntityType.CLIENT: Policy.stateless_server(),
            EntityType.MDS: Policy.stateless_server(),
        },
    )


def osd_public_policies() -> PolicySet:
    """An OSD on the public network: serves clients, is a client of monitors and managers."""
    return PolicySet(
        Policy.stateless_registered_server(),
        {
            EntityType.MON: Policy.lossy_client(_OSD_REQUIRED),
            EntityType.MGR: Policy.lossy_client(_OSD_REQUIRED),
        },
    )


def osd_cluster_policies() -> PolicySet:
    """An OSD on the cluster network: loses nothing between OSDs."""
    return PolicySet(
        Policy.stateless_server(),
        {
            EntityType.MON: Policy.lossy_client(),
            EntityType.OSD: Policy.lossless_peer(_OSD_REQUIRED),
            EntityType.CLIENT: Policy.stateless_server(),
        },
    )


def osd_heartbeat_client_policies() -> PolicySet:
    """An OSD that pings others."""
    return PolicySet(Policy(), {EntityType.OSD: Policy.lossy_client()})


def osd_heartbeat_server_policies() -> PolicySet:
    """An OSD that is pinged."""
    return PolicySet(Policy(), {EntityType.OSD: Policy.stateless_server()})


def mgr_policies() -> PolicySet:
    """A manager towards the daemons and clients that report to it."""
    return PolicySet(Policy.stateless_server())


def mds_policies() -> PolicySet:
    """A metadata server."""
    return PolicySet(
        Policy.lossy_client(OSDREPLYMUX),
        {
            EntityType.MON: Policy.lossy_client(UID | PGID64),
            EntityType.MDS: Policy.lossless_peer(UID),
            EntityType.CLIENT: Policy.stateful_server(),
        },
    )


_CLIENT_FEATURES = PACIFIC | CRUSH_MSR
"""What clients announce: they follow rules of 19.2 too. Daemons look like those of 16.2, whose
monitors count what the daemons of a cluster can do."""


def client_policies() -> PolicySet:
    """Librados."""
    return PolicySet(replace(Policy.lossy_client(OSDREPLYMUX), features_supported=_CLIENT_FEATURES))


def cephfs_client_policies() -> PolicySet:
    """A CephFS client: like librados, but it loses nothing towards metadata servers."""
    return PolicySet(
        replace(Policy.lossy_client(), features_supported=_CLIENT_FEATURES),
        {EntityType.MDS: replace(Policy.lossless_client(), features_supported=_CLIENT_FEATURES)},
    )
