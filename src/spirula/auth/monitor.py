"""How a monitor makes itself known where it connects: to other monitors and to managers.

It asks nobody for tickets, it makes them. For a monitor the ticket is under the key that monitors
share, for a manager under the managers' rotating secret. The accepting side is `auth.server`.
Follows upstream `src/mon/Monitor.cc` (get_authorizer).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from spirula.auth.cephx.authorizer import Authorizer
from spirula.auth.cephx.key_server import KeyServer
from spirula.auth.cephx.protocol import KeyStore, SessionInfo, seal_ticket
from spirula.auth.client import Opening, ServiceHandshake
from spirula.auth.crypto import RandomBytes
from spirula.auth.handshake import AuthMethod
from spirula.auth.registry import AuthRegistry
from spirula.errors import InvalidArgument, NotSupported, PermissionDenied
from spirula.types.auth import AuthNoneAuthorizer, AuthTicket, PrincipalName
from spirula.types.entity import TYPE_NAMES, EntityType

MON = PrincipalName(EntityType.MON, "")
"""The principal that all monitors are to one another: `mon.`"""


@dataclass(slots=True)
class MonitorAuthClient:
    """A monitor's. `peers` finds the key that monitors share; `name` is its own (`mon.a`)."""

    name: PrincipalName
    registry: AuthRegistry
    key_server: KeyServer
    peers: KeyStore
    clock: Callable[[], float]
    random: RandomBytes

    def handshake(self, peer_type: int) -> ServiceHandshake:
        """For a new connection."""
        return ServiceHandshake(self, peer_type)

    def open_authorizer(self, peer_type: int) -> Opening:
        """See `auth.client.AuthorizerSource`."""
        if peer_type not in (EntityType.MON, EntityType.MGR):
            what = TYPE_NAMES.get(peer_type, str(peer_type))
            raise PermissionDenied(f"monitors do not connect to {what}")
        if AuthMethod.CEPHX not in self.registry.cluster_methods:
            return Opening(AuthMethod.NONE, AuthNoneAuthorizer(self.name, 0).encode())
        info = self._session_info(peer_type)
        ticket = seal_ticket(info, self.random)
        authorizer = Authorizer(peer_type, 0, ticket, info.session_key, self.random)
        return Opening(AuthMethod.CEPHX, authorizer.request(), authorizer)

    def _session_info(self, peer_type: int) -> SessionInfo:
        now, server = self.clock(), self.key_server
        try:
            if peer_type == EntityType.MGR:
                parent = AuthTicket(name=MON, global_id=0)
                kind = server.policy.service
                return server.session_info(peer_type, parent, kind, now, self.random)
            secret = self.peers.principal_key(MON) or server.principal_key(MON)
            if secret is None:
                raise PermissionDenied("there is no key that monitors share")
            return server.monitor_session_info(secret, now, self.random)
        except (InvalidArgument, NotSupported) as error:
            raise PermissionDenied(f"key of {MON}: {error.message}") from None
