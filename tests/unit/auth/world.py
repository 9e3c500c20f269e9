"""A monitor, an OSD and clients without any network, for the tests of authentication.

`talk` carries payloads between the two ends of a handshake as the messenger would, and lets a test
look at and change each one on its way.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from spirula.auth.cephx.key_server import KeyServer
from spirula.auth.client import AuthClient
from spirula.auth.crypto import KeyType, generate_key
from spirula.auth.handshake import AuthBadMethod, AuthDone, AuthMore, AuthOutcome, AuthRequest
from spirula.auth.registry import AuthRegistry, KeyTypePolicy
from spirula.auth.server import MonAuthServer, MonServerHandshake, ServiceAuthServer
from spirula.errors import CephError, ProtocolViolation
from spirula.types.auth import EntityAuth, PrincipalName, encode_string
from spirula.types.entity import EntityType

START = 1_700_000_000.0
ADMIN = PrincipalName.parse("client.admin")
OSD = PrincipalName.parse("osd.0")
MON = PrincipalName.parse("mon.")
WANT = EntityType.MON | EntityType.OSD | EntityType.MGR

Change = Callable[[str, bytes], bytes]


@dataclass
class Refused(Exception):
    """The server refused for good; `refusals` are all of its refusals in this handshake."""

    refusals: list[AuthBadMethod]

    @property
    def errno(self) -> int:
        return self.refusals[-1].result

    @property
    def reason(self) -> str:
        return self.refusals[-1].reason


def unchanged(step: str, payload: bytes) -> bytes:
    return payload


def talk(client, server, peer_type: int = EntityType.CLIENT, change: Change = unchanged):
    """Carries a handshake to its end; gives the two outcomes.

    `change` gets each payload with its step: request, challenge, proof, done.
    """
    refusals: list[AuthBadMethod] = []
    request = client.request()
    verdict = server.on_request(peer_type, _changed(request, change))
    while True:
        if isinstance(verdict, AuthBadMethod):
            refusals.append(verdict)
            try:
                request = client.on_bad_method(verdict)
            except (CephError, ProtocolViolation) as error:
                raise Refused(refusals) from error
            verdict = server.on_request(peer_type, _changed(request, change))
        elif isinstance(verdict, AuthMore):
            answer = client.on_more(change("challenge", verdict.payload))
            verdict = server.on_more(change("proof", answer))
        else:
            assert isinstance(verdict, AuthDone)
            theirs = verdict.outcome
            payload = change("done", verdict.payload)
            ours = client.on_done(theirs.global_id, theirs.mode, payload)
            return ours, theirs


def _changed(request: AuthRequest, change: Change) -> AuthRequest:
    return AuthRequest(request.method, request.preferred_modes, change("request", request.payload))


@dataclass
class World:
    """One cluster. `kind` is the type of principals' keys, `service_kind` what seals tickets."""

    kind: KeyType = KeyType.AES256K
    service_kind: KeyType = KeyType.AES256K
    options: dict[str, str] = field(default_factory=dict)
    seed: int = 1
    now: float = START
    last_id: int = 4000

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed).randbytes
        self.key_server = KeyServer(policy=KeyTypePolicy(service=self.service_kind))
        self.add(ADMIN, mon="allow *", osd="allow *", mgr="allow *")
        self.add(OSD, mon="allow profile osd", osd="allow *")
        self.add(MON, mon="allow *")
        self.rotate()

    def clock(self) -> float:
        return self.now

    def add(self, name: PrincipalName, kind: KeyType | None = None, **caps: str) -> EntityAuth:
        key = generate_key(self.kind if kind is None else kind, self.now, self.random)
        auth = EntityAuth(key=key, caps={k: encode_string(v) for k, v in caps.items()})
        self.key_server.data.secrets[name] = auth
        return auth

    def rotate(self) -> bool:
        change = self.key_server.rotate(self.now, self.random)
        if change is not None:
            self.key_server.apply(change)
        return change is not None

    def assign(self) -> int:
        self.last_id += 1
        return self.last_id

    def client(
        self, name: PrincipalName = ADMIN, want: int = WANT, key=None, **options: str
    ) -> AuthClient:
        registry = AuthRegistry.from_options(name.type, {**self.options, **options})
        key = key or self.key_server.principal_key(name)
        return AuthClient(name, key, registry, want, clock=self.clock, random=self.random)

    def mon_server(self, **changes) -> MonAuthServer:
        registry = AuthRegistry.from_options(
            EntityType.MON, {**self.options, **changes.pop("options", {})}
        )
        settings = {
            "registry": registry,
            "key_server": self.key_server,
            "peers": self.key_server,
            "assign_global_id": self.assign,
            "clock": self.clock,
            "random": self.random,
            **changes,
        }
        return MonAuthServer(**settings)

    def mon(self, **changes) -> MonServerHandshake:
        return self.mon_server(**changes).handshake()

    def login(self, client: AuthClient, change: Change = unchanged, **changes):
        """Logs in to a monitor; gives its handshake, which goes on to answer MAuth."""
        server = self.mon(**changes)
        ours, theirs = talk(client.handshake(EntityType.MON), server, client.name.type, change)
        assert_same_keys(ours, theirs)
        return server

    def osd_daemon(self) -> AuthClient:
        """An OSD that is logged in and has its rotating secrets."""
        daemon = self.client(OSD)
        server = self.login(daemon)
        refresh(daemon, server)
        return daemon

    def osd(self, daemon: AuthClient | None = None, **options: str) -> ServiceAuthServer:
        daemon = daemon or self.osd_daemon()
        registry = AuthRegistry.from_options(EntityType.OSD, {**self.options, **options})
        return ServiceAuthServer(registry, daemon.rotating, self.clock, self.random)


def refresh(daemon: AuthClient, server: MonServerHandshake) -> None:
    """Asks the monitor for the rotating secrets, by MAuth."""
    answer = server.session.on_request(daemon.rotating_renewal(), None)
    assert daemon.on_auth_reply(0, answer.payload) is None


def assert_same_keys(ours: AuthOutcome, theirs: AuthOutcome) -> None:
    assert ours.session_key == theirs.session_key
    assert ours.connection_secret == theirs.connection_secret
    assert (ours.mode, ours.global_id) == (theirs.mode, theirs.global_id)
