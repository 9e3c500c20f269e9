"""AuthService: the key database of the cluster, replicated by Paxos, and who asks it.

Every monitor keeps `key_server` and `global_ids` current, for its own clients log in against them.
The leader makes the first keys, rotates secrets and extends the range of global ids. Store formats
and rules follow upstream `src/mon/AuthMonitor.cc`. Called by `monitor`; commands are in `keys` and
`changes`, what the creation of OSDs needs in `osd_keys`.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from spirula.auth.cephx.key_server import KeyServer
from spirula.auth.cephx.service import GlobalIdStatus
from spirula.auth.crypto import KeyType
from spirula.auth.global_id import FIRST, GlobalIds
from spirula.auth.handshake import AuthMethod
from spirula.auth.registry import KeyTypePolicy
from spirula.errors import CephError, InvariantBroken
from spirula.messages.auth import MAuth, MAuthReply, MMonGlobalID
from spirula.mon.services.auth import changes, keys
from spirula.mon.services.auth.bootstrap import KEYRING, MKFS, initial_keyring
from spirula.mon.services.auth.format import FullAuth, decode_changes, encode_changes
from spirula.mon.services.auth.health import CapsVerdicts
from spirula.mon.services.base import PaxosService
from spirula.mon.session import parse_mon_caps
from spirula.mon.store import Transaction, get_number
from spirula.types.auth import (
    AUTH_INC_ADD,
    AUTH_INC_DEL,
    AUTH_INC_SET_ROTATING,
    AUTH_MONITOR_AUTH_DATA,
    AUTH_MONITOR_GLOBAL_ID,
    AuthMonitorIncremental,
    EntityAuth,
    KeyServerData,
    KeyServerIncremental,
    PrincipalName,
)
from spirula.types.service import HealthCheck

if TYPE_CHECKING:
    from spirula.mon.monitor import Monitor
    from spirula.mon.request import Request
    from spirula.mon.session import MonSession

_CEPHX = int(AuthMethod.CEPHX)

KEY_TYPES = KeyTypePolicy(preferred=KeyType.AES, service=KeyType.AES)
"""New keys and service secrets are ones that the daemons and clients of 16.2 can use."""


class AuthService(PaxosService):
    """The auth service of one monitor."""

    NAME = "auth"
    COMMANDS = (keys.commands, changes.commands)
    MESSAGES = (MMonGlobalID,)

    def __init__(self, monitor: Monitor) -> None:
        super().__init__(monitor)
        self.key_server = KeyServer(policy=KEY_TYPES)
        self.global_ids = GlobalIds()
        self.pending: list[AuthMonitorIncremental] = []
        self._verdicts = CapsVerdicts()
        self._read_options()

    def _read_options(self) -> None:
        """They may change while we run."""
        config = self.monitor.config
        self.key_server.mon_ticket_ttl_s = config.get_float("auth_mon_ticket_ttl")
        self.key_server.service_ticket_ttl_s = config.get_float("auth_service_ticket_ttl")
        self.global_ids.preallocated = config.get_int("mon_globalid_prealloc")

    # --- what the monitor asks at a login

    def ready(self) -> bool:
        """Whether the first quorum has made the keys."""
        return self.last_committed > 0

    def assign_global_id(self) -> int:
        """An id for a new client; 0 if none can be given now. The leader extends the range."""
        given = self.global_ids.assign()
        if self.monitor.is_leader and self.is_writeable:
            self._extend_global_ids()
        return given

    def entity_caps(self, name: PrincipalName) -> dict[str, str]:
        """A principal's caps by service, as text; empty if unknown. Raises WireError if damaged."""
        return self.key_server.caps_by_service(name)

    def must_expose(self, session: MonSession) -> bool:
        """Whether a client has to log in again, to show if it proves that its global id is its own.

        That is so for clients older than 16.2.1 that have a new id; those which do not prove it
        then are named by a health check, or refused (CVE-2021-20288).
        """
        return (
            session.auth is not None
            and session.auth.status is GlobalIdStatus.NEW_NOT_EXPOSED
            and self.monitor.config.get_bool("auth_expose_insecure_global_id_reclaim")
        )

    # --- Paxos

    def create_initial(self) -> None:
        monitor, server = self.monitor, self.key_server
        server.data = KeyServerData()
        self._rotate()
        mkfs = monitor.store.get(MKFS, KEYRING)
        ring = initial_keyring(mkfs, server.policy.preferred, monitor.wall(), monitor.random_bytes)
        for name in ring.names():
            if ring.keys[name].caps:
                self.add_entity(name, ring.keys[name])
            else:
                monitor.log(0, f"auth: {name} of the mkfs keyring has no caps and is left out")
        self._push_global_id(FIRST)

    def update(self) -> None:
        server, version = self.key_server, self.last_committed
        if version < server.data.version:
            server.data = KeyServerData()
        latest = get_number(self.monitor.store, self.NAME, "full_latest")
        if latest > server.data.version:
            self._load_full(latest)
        while server.data.version < version:
            self._apply(server.data.version + 1)
        if version:
            self.global_ids.on_committed(self.global_ids.maximum)

    def _load_full(self, version: int) -> None:
        encoded = self.get_full(version)
        if encoded is None:
            raise InvariantBroken(f"auth: the full state of version {version} is missing")
        full = FullAuth.decode(encoded)
        self.global_ids.maximum = max(self.global_ids.maximum, full.max_global_id)
        self.key_server.data = full.key_server
        full.key_server.version = version

    def _apply(self, version: int) -> None:
        encoded = self.get_version(version)
        if encoded is None:
            raise InvariantBroken(f"auth: version {version} is missing")
        data = self.key_server.data
        if version == 1:
            # Whatever was there served to get a first quorum.
            data.secrets.clear()
        for change in decode_changes(encoded):
            if change.inc_type == AUTH_MONITOR_GLOBAL_ID:
                self.global_ids.maximum = max(self.global_ids.maximum, change.max_global_id)
            elif change.inc_type == AUTH_MONITOR_AUTH_DATA:
                self.key_server.apply(KeyServerIncremental.decode(change.auth_data))
        data.version = version

    def create_pending(self) -> None:
        self.pending = []

    def encode_pending(self, transaction: Transaction) -> None:
        version = self.last_committed + 1
        self.put_version(transaction, version, encode_changes(self.pending))
        if version == 1:
            transaction.erase(MKFS, KEYRING)
        elif self._should_stash():
            full = FullAuth(max_global_id=self.global_ids.maximum, key_server=self.key_server.data)
            self.put_full(transaction, self.last_committed, full.encode())
        self.encode_health(transaction, self.gather_health())

    def _should_stash(self) -> bool:
        latest = get_number(self.monitor.store, self.NAME, "full_latest")
        interval = self.monitor.config.get_int("paxos_stash_full_interval")
        return not latest or latest <= self.trim_to() or self.last_committed - latest > interval

    def trim_to(self) -> int:
        keep = self.monitor.config.get_int("paxos_max_join_drift") * 2
        if self.monitor.is_leader and self.last_committed > keep:
            return self.last_committed - keep
        return 0

    def gather_health(self) -> dict[str, HealthCheck]:
        secrets = dict(self.key_server.data.secrets)
        for change in self.pending_changes():
            if change.op == AUTH_INC_ADD:
                secrets[change.name] = change.auth
            elif change.op == AUTH_INC_DEL:
                secrets.pop(change.name, None)
        validate_all = self.monitor.config.get_bool("mon_auth_validate_all_caps")
        return self._verdicts.check(secrets, validate_all=validate_all)

    def on_active(self) -> None:
        state = self.monitor.member.state
        self.global_ids.monitors, self.global_ids.rank = state.size(), state.rank
        if self.is_writeable:
            self._extend_global_ids()

    def on_restart(self) -> None:
        self.pending = []
        self.global_ids.monitors, self.global_ids.rank = 0, -1

    def tick(self) -> None:
        self._read_options()
        if not self.is_readable:
            return
        if not self.monitor.is_leader:
            if self.global_ids.should_extend():
                leader = self.monitor.member.state.leader
                request = MMonGlobalID(old_max_id=self.global_ids.maximum)
                self.monitor.send_to_rank(leader, request)
        elif self.is_writeable:
            self._extend_global_ids()
            if self._rotate():
                self.propose()

    # --- what is pending

    def pending_changes(self) -> list[KeyServerIncremental]:
        """Those to the key database."""
        return [
            KeyServerIncremental.decode(change.auth_data)
            for change in self.pending
            if change.inc_type == AUTH_MONITOR_AUTH_DATA
        ]

    def is_pending(self, name: PrincipalName) -> bool:
        """Whether a principal is about to be added or changed."""
        return any(c.op == AUTH_INC_ADD and c.name == name for c in self.pending_changes())

    def add_entity(self, name: PrincipalName, auth: EntityAuth) -> None:
        """Add or replace a principal (the caller proposes)."""
        self._push(KeyServerIncremental(op=AUTH_INC_ADD, name=name, auth=auth))

    def remove_entity(self, name: PrincipalName) -> bool:
        """Remove a principal (the caller proposes); False if there is none."""
        if name not in self.key_server.data.secrets:
            return False
        self._push(KeyServerIncremental(op=AUTH_INC_DEL, name=name))
        return True

    def _push(self, change: KeyServerIncremental) -> None:
        self.pending.append(
            AuthMonitorIncremental(
                inc_type=AUTH_MONITOR_AUTH_DATA, auth_type=_CEPHX, auth_data=change.encode()
            )
        )

    def _push_global_id(self, maximum: int) -> None:
        self.pending.append(
            AuthMonitorIncremental(inc_type=AUTH_MONITOR_GLOBAL_ID, max_global_id=maximum)
        )

    def _extend_global_ids(self, *, asked: bool = False) -> None:
        if not (asked or self.global_ids.should_extend()):
            return
        if any(c.inc_type == AUTH_MONITOR_GLOBAL_ID for c in self.pending):
            return
        self._push_global_id(self.global_ids.maximum + self.global_ids.preallocated)
        self.propose()

    def _rotate(self) -> bool:
        """Replace service secrets that ended; whether there were any."""
        if any(c.op == AUTH_INC_SET_ROTATING for c in self.pending_changes()):
            return False
        monitor = self.monitor
        change = self.key_server.rotate(monitor.wall(), monitor.random_bytes)
        if change is not None:
            self._push(change)
        return change is not None

    # --- messages

    def preprocess(self, request: Request) -> bool:
        if not request.session.is_mon:
            request.no_reply()
            return True
        return False

    def prepare(self, request: Request) -> None:
        message = request.message
        request.no_reply()
        if isinstance(message, MMonGlobalID) and message.old_max_id >= self.global_ids.maximum:
            self._extend_global_ids(asked=True)

    def on_auth(self, request: Request) -> None:
        """A client that has logged in asks for tickets, or logs in anew (upstream prep_auth)."""
        message, session = request.message, request.session
        if not isinstance(message, MAuth):
            return
        reply = MAuthReply(protocol=message.protocol, global_id=session.global_id)
        if session.auth is None:
            reply.result = -errno.EINVAL
            request.reply(reply)
            return
        try:
            answer = session.auth.on_request(message.auth_payload, None)
        except CephError as error:
            self.monitor.log(1, f"auth: {session.entity} asked in vain: {error}")
            reply.result = -error.errno
        else:
            reply.result_bl = answer.payload
            if answer.login is not None:
                session.caps = parse_mon_caps(answer.login.mon_caps)
        request.reply(reply)
