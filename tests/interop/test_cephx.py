"""cephx against the real thing, through our messenger: our clients with real monitors, OSDs and
managers, and real clients with our monitor's side of it. On 16.2, and on 20.2.4 with key type
aes256k where that can be had (see `newer`).
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from spirula.auth.cephx.check import open_ticket
from spirula.auth.cephx.key_server import KeyServer
from spirula.auth.cephx.rotating import RotatingKeys
from spirula.auth.cephx.service import GlobalIdStatus
from spirula.auth.client import AuthClient
from spirula.auth.crypto import KeyType, generate_key, key_from_text, key_to_text
from spirula.auth.handshake import AuthBadMethod, AuthOutcome, AuthRequest, ClientHandshake
from spirula.auth.monitor import MonitorAuthClient
from spirula.auth.registry import AuthRegistry, KeyTypePolicy
from spirula.auth.server import MonAuthServer
from spirula.errors import CephError, PermissionDenied, SpirulaError
from spirula.messages.auth import MAuth, MAuthReply
from spirula.messages.base import Message
from spirula.msgr.connection import Connection
from spirula.msgr.policies import Policy, PolicySet, client_policies
from spirula.msgr.protocol.endpoint import Endpoint
from spirula.msgr.tcp import Messenger
from spirula.msgr.typed import decode_raw, encode_message
from spirula.types.auth import EntityAuth, PrincipalName, encode_string
from spirula.types.entity import EntityAddr, EntityAddrVec, EntityName, EntityType
from tests.interop import newer
from tests.interop.realcluster import ENVIRONMENT, RealCluster

ADMIN = PrincipalName.parse("client.admin")
WANT = EntityType.MON | EntityType.OSD | EntityType.MGR
OSD = EntityType.OSD
PATIENCE_S = 60


@pytest.fixture(scope="module")
def newer_cluster() -> Iterator[RealCluster]:
    if reason := newer.why_not():
        pytest.skip(reason)
    with newer.newer_cluster_of(osds=1) as cluster:
        yield cluster


@pytest.fixture(params=["16.2", "newer"])
def cluster(request: pytest.FixtureRequest) -> RealCluster:
    """Both releases in turn."""
    name = "real_cluster" if request.param == "16.2" else "newer_cluster"
    found: RealCluster = request.getfixturevalue(name)
    return found


class Clock:
    """The machine's clock, which a test may set forward for one client."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


@dataclass
class Events:
    """A dispatcher that lets a test wait for what happens."""

    queue: asyncio.Queue[object] = field(default_factory=asyncio.Queue)

    def ms_dispatch(self, connection: Connection, message: Message) -> None:
        if isinstance(message, MAuthReply):
            self.queue.put_nowait(message)

    def ms_handle_connect(self, connection: Connection) -> None:
        self.queue.put_nowait(connection)

    def ms_handle_accept(self, connection: Connection) -> None:
        self.queue.put_nowait(connection)

    def ms_handle_reset(self, connection: Connection) -> None:
        return

    def ms_handle_remote_reset(self, connection: Connection) -> None:
        return

    def ms_handle_refused(self, connection: Connection, error: SpirulaError) -> None:
        connection.mark_down()
        self.queue.put_nowait(error)

    async def next(self) -> object:
        return await asyncio.wait_for(self.queue.get(), PATIENCE_S)


class Peer:
    """One of our clients: its principal, its messenger, and what happens to it."""

    def __init__(self, name: PrincipalName, key: str, mode: str = "crc") -> None:
        options = {"ms_client_mode": mode, "ms_mon_client_mode": mode}
        # An OSD's modes go by other names.
        options |= {"ms_cluster_mode": mode, "ms_mon_cluster_mode": mode}
        registry = AuthRegistry.from_options(name.type, options)
        self.clock = Clock()
        self.auth = AuthClient(
            name, key_from_text(key), registry, WANT, clock=self.clock, random=os.urandom
        )
        self.events = Events()
        endpoint = Endpoint(
            EntityName(name.type, -1),
            client_policies(),
            random_bytes=os.urandom,
            auth_client=lambda peer_type, _: self.auth.handshake(peer_type),
            encode=encode_message,
            nonce=int.from_bytes(os.urandom(4), "little"),
        )
        loop = asyncio.get_running_loop()
        self.messenger = Messenger(loop, endpoint, self.events, decode=decode_raw)

    async def connect(self, kind: int, addr: EntityAddr) -> Connection:
        """A new connection; raises what it was refused with."""
        addrs = EntityAddrVec([addr])
        self.messenger.get_connection(kind, addrs, anonymous=True)
        event = await self.events.next()
        if isinstance(event, SpirulaError):
            raise event
        assert isinstance(event, Connection)
        return event

    async def renew(self, monitor: Connection, payload: bytes | None) -> int:
        """Carries MAuth messages until nothing is due; gives their number."""
        count = 0
        while payload is not None:
            count += 1
            monitor.send_message(MAuth(protocol=2, auth_payload=payload))
            reply = await self.events.next()
            assert isinstance(reply, MAuthReply)
            assert reply.global_id == self.auth.global_id
            payload = self.auth.on_auth_reply(reply.result, reply.result_bl)
        return count


def monitor_of(cluster: RealCluster) -> EntityAddr:
    return EntityAddr.of(*cluster.mon_addresses[0])


def addr_in(addrvec: list[dict[str, object]]) -> EntityAddr:
    """The msgr2 address of a daemon, with the nonce that tells it from its predecessors."""
    found = next(addr for addr in addrvec if addr["type"] == "v2")
    return EntityAddr.parse(f"v2:{found['addr']}/{found['nonce']}")


def osd_of(cluster: RealCluster) -> EntityAddr:
    return addr_in(cluster.ceph_json("osd", "dump")["osds"][0]["public_addrs"]["addrvec"])


def mgr_of(cluster: RealCluster) -> EntityAddr:
    return addr_in(cluster.ceph_json("mgr", "dump")["active_addrs"]["addrvec"])


def run(scenario) -> None:
    asyncio.run(scenario)


# ---------------------------------------------------------------------- our clients, real daemons


@pytest.mark.parametrize("mode", ["crc", "secure"])
def test_login_and_authorizers(cluster: RealCluster, mode: str) -> None:
    async def scenario() -> None:
        peer = Peer(ADMIN, cluster.key_of("client.admin"), mode)
        monitor = await peer.connect(EntityType.MON, monitor_of(cluster))
        assert monitor.auth.global_id == peer.auth.global_id != 0
        assert monitor.auth.mode == (1 if mode == "crc" else 2)
        assert set(peer.auth.tickets.tickets) == {1, 4, 16, 32}
        for kind, addr in ((OSD, osd_of(cluster)), (EntityType.MGR, mgr_of(cluster))):
            service = await peer.connect(kind, addr)
            assert service.auth.mode == monitor.auth.mode
            assert len(service.auth.connection_secret) == (64 if mode == "secure" else 0)
            assert service.auth.session_key == peer.auth.tickets.tickets[kind].session_key.secret
        await peer.messenger.shutdown()

    run(scenario())


def test_the_newer_release_uses_the_newer_key_type(newer_cluster: RealCluster) -> None:
    async def scenario() -> None:
        key = newer_cluster.key_of("client.admin")
        assert key_from_text(key).type == KeyType.AES256K
        peer = Peer(ADMIN, key)
        await peer.connect(EntityType.MON, monitor_of(newer_cluster))
        kinds = {ticket.session_key.type for ticket in peer.auth.tickets.tickets.values()}
        assert kinds == {KeyType.AES256K}
        await peer.messenger.shutdown()

    run(scenario())


def test_a_global_id_is_kept_by_proof(cluster: RealCluster) -> None:
    async def scenario() -> None:
        peer = Peer(ADMIN, cluster.key_of("client.admin"))
        first = await peer.connect(EntityType.MON, monitor_of(cluster))
        first_id = peer.auth.global_id
        first.mark_down()
        await peer.connect(EntityType.MON, monitor_of(cluster))
        assert peer.auth.global_id == first_id
        thief = Peer(ADMIN, cluster.key_of("client.admin"))
        await thief.connect(EntityType.MON, monitor_of(cluster))
        thief.auth.global_id = thief.auth._conversation.global_id = first_id
        with pytest.raises(CephError) as refused:
            await thief.connect(EntityType.MON, monitor_of(cluster))
        assert refused.value.errno == PermissionDenied.code
        for one in (peer, thief):
            await one.messenger.shutdown()

    run(scenario())


def test_wrong_keys_and_unknown_users(cluster: RealCluster) -> None:
    async def scenario() -> None:
        kind = key_from_text(cluster.key_of("client.admin")).type
        wrong = key_to_text(generate_key(kind, time.time(), os.urandom))
        for name in ("client.admin", "client.nobody"):
            peer = Peer(PrincipalName.parse(name), wrong)
            with pytest.raises(CephError) as refused:
                await peer.connect(EntityType.MON, monitor_of(cluster))
            assert refused.value.errno == PermissionDenied.code
            await peer.messenger.shutdown()

    run(scenario())


def test_a_service_refuses_an_altered_ticket(cluster: RealCluster) -> None:
    async def scenario() -> None:
        peer = Peer(ADMIN, cluster.key_of("client.admin"))
        await peer.connect(EntityType.MON, monitor_of(cluster))
        ticket = peer.auth.tickets.tickets[OSD]
        ticket.blob.blob = ticket.blob.blob[:20] + bytes(16) + ticket.blob.blob[36:]
        with pytest.raises(CephError):
            await peer.connect(OSD, osd_of(cluster))
        await peer.messenger.shutdown()

    run(scenario())


def test_tickets_are_renewed_over_the_open_connection(cluster: RealCluster) -> None:
    async def scenario() -> None:
        peer = Peer(ADMIN, cluster.key_of("client.admin"))
        monitor = await peer.connect(EntityType.MON, monitor_of(cluster))
        before = {k: t.session_key.secret for k, t in peer.auth.tickets.tickets.items()}
        assert peer.auth.renewal() is None
        peer.clock.ahead_s = 3000.0
        assert await peer.renew(monitor, peer.auth.renewal()) == 1
        after = {k: t.session_key.secret for k, t in peer.auth.tickets.tickets.items()}
        assert [k for k in before if before[k] == after[k]] == [32]
        # The first ticket, too, with proof of the one before it.
        peer.clock.ahead_s = 70 * 3600.0
        assert await peer.renew(monitor, peer.auth.renewal()) >= 1
        assert peer.auth.tickets.tickets[32].session_key.secret != before[32]
        assert peer.auth.renewal() is None
        await peer.connect(OSD, osd_of(cluster))
        await peer.messenger.shutdown()

    run(scenario())


def test_an_osd_s_rotating_secrets_open_its_clients_tickets(cluster: RealCluster) -> None:
    async def scenario() -> None:
        osd = Peer(PrincipalName.parse("osd.0"), cluster.key_of("osd.0"))
        monitor = await osd.connect(EntityType.MON, monitor_of(cluster))
        assert await osd.renew(monitor, osd.auth.rotating_renewal()) == 1
        assert isinstance(osd.auth.rotating, RotatingKeys)
        assert len(osd.auth.rotating.secrets.secrets) == 3
        assert osd.auth.rotating_renewal() is None
        client = Peer(ADMIN, cluster.key_of("client.admin"))
        await client.connect(EntityType.MON, monitor_of(cluster))
        ticket = client.auth.tickets.tickets[OSD]
        info = open_ticket(osd.auth.rotating, OSD, ticket.blob, time.time())
        assert info.ticket.name == ADMIN
        assert info.ticket.global_id == client.auth.global_id
        assert info.ticket.caps.caps == encode_string("allow *")
        assert info.session_key.secret == ticket.session_key.secret
        for one in (osd, client):
            await one.messenger.shutdown()

    run(scenario())


class Noted:
    """A client's handshake that tells a test of its outcome."""

    def __init__(self, inner: ClientHandshake, queue: asyncio.Queue[object]) -> None:
        self.inner, self.queue = inner, queue

    def request(self) -> AuthRequest:
        return self.inner.request()

    def on_bad_method(self, refusal: AuthBadMethod) -> AuthRequest:
        return self.inner.on_bad_method(refusal)

    def on_more(self, payload: bytes) -> bytes:
        return self.inner.on_more(payload)

    def on_done(self, global_id: int, mode: int, payload: bytes) -> AuthOutcome:
        outcome = self.inner.on_done(global_id, mode, payload)
        self.queue.put_nowait(outcome)
        return outcome


@pytest.mark.parametrize("whom", ["mon", "mgr"])
def test_daemons_take_us_for_a_monitor(cluster: RealCluster, whom: str) -> None:
    async def scenario() -> None:
        mon = PrincipalName.parse("mon.")
        ring = (cluster.folder / "mon.keyring").read_text()
        key = key_from_text(re.search(r"\[mon\.\]\s+key = (\S+)", ring)[1])
        key_server = KeyServer(policy=KeyTypePolicy(service=KeyType(key.type)))
        key_server.data.secrets[mon] = EntityAuth(key=key)
        # Managers' secrets, as a monitor has them and a manager may ask for them.
        manager = Peer(PrincipalName.parse("mgr.x"), cluster.key_of("mgr.x"))
        monitor = await manager.connect(EntityType.MON, monitor_of(cluster))
        await manager.renew(monitor, manager.auth.rotating_renewal())
        key_server.data.rotating_secrets[EntityType.MGR] = manager.auth.rotating.secrets
        registry = AuthRegistry.from_options(EntityType.MON)
        ours = MonitorAuthClient(
            PrincipalName.parse("mon.z"), registry, key_server, key_server, time.time, os.urandom
        )
        events = Events()
        endpoint = Endpoint(
            EntityName(EntityType.MON, 9),
            client_policies(),
            random_bytes=os.urandom,
            auth_client=lambda kind, _: Noted(ours.handshake(kind), events.queue),
            encode=encode_message,
        )
        messenger = Messenger(asyncio.get_running_loop(), endpoint, events)
        kind, addr = (
            (EntityType.MON, monitor_of(cluster))
            if whom == "mon"
            else (EntityType.MGR, mgr_of(cluster))
        )
        messenger.get_connection(kind, EntityAddrVec([addr]), anonymous=True)
        outcome = await events.next()
        assert isinstance(outcome, AuthOutcome), outcome
        assert len(outcome.connection_secret) == 64
        for one in (messenger, manager.messenger):
            await one.shutdown()

    run(scenario())


# ---------------------------------------------------------------- real clients, our monitor's side


class Monitor:
    """The accepting side of a monitor, which knows one user and answers nothing else."""

    def __init__(self, kind: KeyType, mode: str) -> None:
        self.key = generate_key(kind, time.time(), os.urandom)
        self.key_server = KeyServer()
        caps = {service: encode_string("allow *") for service in ("mon", "osd", "mgr")}
        self.key_server.data.secrets[ADMIN] = EntityAuth(key=self.key, caps=caps)
        change = self.key_server.rotate(time.time(), os.urandom)
        assert change is not None
        self.key_server.apply(change)
        registry = AuthRegistry.from_options(EntityType.MON, {"ms_mon_service_mode": mode})
        self.server = MonAuthServer(
            registry, self.key_server, self.key_server, lambda: 4242, time.time, os.urandom
        )
        self.events = Events()
        endpoint = Endpoint(
            EntityName(EntityType.MON, 0),
            PolicySet(Policy.stateless_server()),
            random_bytes=os.urandom,
            auth_client=lambda kind, _: pytest.fail("a monitor connects to nobody here"),
            auth_server=self.server.handshake,
            encode=encode_message,
        )
        loop = asyncio.get_running_loop()
        self.messenger = Messenger(loop, endpoint, self.events)

    async def visited_by(self, *command: str, name: str = "client.admin", key: str = ""):
        """Starts a real `ceph` that wants to log in here."""
        bound = await self.messenger.bind(EntityAddrVec.parse("v2:127.0.0.1:0"), range(0))
        words = [*command, "ceph", "-n", name, "-m", f"v2:127.0.0.1:{bound.addrs[0].port}/0"]
        words += ["--key", key or key_to_text(self.key), "--connect-timeout", "60", "-s"]
        return await asyncio.create_subprocess_exec(
            *words,
            env={**ENVIRONMENT, "CEPH_CONF": "/dev/null"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )


CLIENTS = [
    ("16.2", KeyType.AES),
    ("newer", KeyType.AES),
    ("newer", KeyType.AES256K),
]


def client_command(release: str, request: pytest.FixtureRequest) -> tuple[str, ...]:
    if release == "16.2":
        request.getfixturevalue("real_ceph")  # skips where there are no packages
        return ()
    if reason := newer.why_not():
        pytest.skip(reason)
    return ("chroot", newer.ROOT)


@pytest.mark.parametrize("mode", ["crc", "secure"])
@pytest.mark.parametrize(("release", "kind"), CLIENTS)
def test_real_clients_log_in(
    release: str, kind: KeyType, mode: str, request: pytest.FixtureRequest
) -> None:
    async def scenario() -> None:
        monitor = Monitor(kind, mode)
        process = await monitor.visited_by(*client_command(release, request))
        try:
            connection = await monitor.events.next()
            assert isinstance(connection, Connection)
            assert connection.auth.entity == "client.admin"
            assert connection.auth.caps == {"mon": "allow *"}
            assert connection.auth.mode == (1 if mode == "crc" else 2)
            assert connection.auth.session.status is GlobalIdStatus.NEW_OK
        finally:
            process.kill()
            await process.communicate()
            await monitor.messenger.shutdown()

    run(scenario())


@pytest.mark.parametrize(("release", "kind"), CLIENTS)
@pytest.mark.parametrize("who", ["client.admin", "client.nobody"])
def test_real_clients_with_a_wrong_key_are_refused(
    release: str,
    kind: KeyType,
    who: str,
    request: pytest.FixtureRequest,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> None:
        monitor = Monitor(kind, "crc")
        wrong = key_to_text(generate_key(kind, time.time(), os.urandom))
        command = client_command(release, request)
        process = await monitor.visited_by(*command, name=who, key=wrong)
        said, _ = await asyncio.wait_for(process.communicate(), 90)
        assert b"permission denied" in said.lower()
        assert process.returncode == PermissionDenied.code
        await monitor.messenger.shutdown()

    run(scenario())
    why = "does not hold its key" if who == "client.admin" else "is not known"
    logged = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(logged) == 1
    assert f"EACCES: {who} {why}" in logged[0]


def test_real_clients_wait_for_a_monitor_that_is_busy(real_ceph: object) -> None:
    """Before the first quorum nobody is refused: whoever comes, comes again."""

    async def scenario() -> None:
        monitor = Monitor(KeyType.AES, "crc")
        asked = 0

        def ready() -> bool:
            nonlocal asked
            asked += 1
            return asked > 2

        monitor.server.ready = ready
        process = await monitor.visited_by()
        try:
            connection = await monitor.events.next()
            assert isinstance(connection, Connection)
            assert (connection.auth.entity, asked) == ("client.admin", 3)
        finally:
            process.kill()
            await process.communicate()
            await monitor.messenger.shutdown()

    run(scenario())
