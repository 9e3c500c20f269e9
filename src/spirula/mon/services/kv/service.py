"""KVService: the config-key store, of which every change is a version, told to who watches it.

Manager modules keep their state in it, OSDs the keys of their encrypted disks, and the config
service everything it knows. So reading takes caps for `config-key`, by subscription no less than by
command (CVE-2018-14662, CVE-2026-50152). Formats follow upstream `src/mon/KVMonitor.cc`. Called by
`monitor` and by other services, which put their changes in here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from spirula.denc import Map, Opt, Struct, blob, string, struct
from spirula.errors import InvariantBroken
from spirula.messages.mon_client import MKVData
from spirula.mon.services.base import PaxosService
from spirula.mon.services.kv import commands

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from spirula.mon.monitor import Monitor
    from spirula.mon.session import MonSession, Subscription
    from spirula.mon.store import Transaction

STORE_PREFIX = "mon_config_key"
"""Prefix in the store of the keys themselves; the versions are under the service's name."""
WATCH = "kv:"
"""How subscriptions begin; a prefix of keys follows."""
KEPT_VERSIONS = 50
"""Changes that are kept, for who watches and was away (upstream MAX_HISTORY)."""


@struct
class KVChange(Struct):
    """One version: new values by key; None for a key that was removed."""

    pairs: Map[string, Opt[blob]]


def key_order(key: str) -> bytes:
    """Keys are ordered by their bytes."""
    return key.encode("utf-8", "surrogateescape")


class KVService(PaxosService):
    """The config-key service of one monitor."""

    NAME = "kv"
    COMMANDS = (commands.commands,)
    SUBSCRIPTIONS: ClassVar[Mapping[str, tuple[str, str] | None]] = {"*": ("config-key", "r")}

    def __init__(self, monitor: Monitor) -> None:
        super().__init__(monitor)
        self.pending: dict[str, bytes | None] = {}
        self._told = 0

    # --- what is in it

    def read(self, key: str) -> bytes | None:
        """A committed value."""
        return self.monitor.store.get(STORE_PREFIX, key)

    def items(self, prefix: str = "") -> Iterator[tuple[str, bytes]]:
        """Committed keys that begin so, and their values, in the order of bytes."""
        for key, value in self.monitor.store.items(STORE_PREFIX, prefix):
            if not key.startswith(prefix):
                return
            yield key, value

    def put(self, key: str, value: bytes) -> None:
        """Set a key in what is pending (the caller proposes)."""
        self.pending[key] = value

    def remove(self, key: str) -> None:
        """Remove a key in what is pending (the caller proposes)."""
        self.pending[key] = None

    # --- Paxos

    def create_pending(self) -> None:
        self.pending = {}

    def on_restart(self) -> None:
        self.pending = {}

    def encode_pending(self, transaction: Transaction) -> None:
        changes = {key: self.pending[key] for key in sorted(self.pending, key=key_order)}
        self.put_version(transaction, self.last_committed + 1, KVChange(changes).encode())
        for key, value in changes.items():
            if value is None:
                transaction.erase(STORE_PREFIX, key)
            else:
                transaction.put(STORE_PREFIX, key, value)

    def trim_to(self) -> int:
        return max(0, self.last_committed - KEPT_VERSIONS)

    def on_active(self) -> None:
        if self._told != self.last_committed:
            self._told = self.last_committed
            self.notify_subscribers()

    # --- who watches

    def notify_subscribers(self) -> None:
        sessions = self.monitor.sessions
        for what in sessions.kinds():
            if what.startswith(WATCH):
                for session, subscription in sessions.subscribers(what):
                    self.check_subscription(session, subscription)

    def check_subscription(self, session: MonSession, subscription: Subscription) -> None:
        if subscription.next <= self.last_committed:
            prefix = subscription.what.removeprefix(WATCH)
            self.monitor.send(session, self._news(prefix, subscription.next))
            subscription.next = self.last_committed + 1
            if subscription.onetime:
                self.monitor.sessions.unsubscribe(session, subscription.what)

    def _news(self, prefix: str, since: int) -> MKVData:
        """Everything under a prefix, or what changed in it from a version on."""
        pairs: dict[str, bytes | None] = {}
        incremental = since > self.first_committed
        if incremental:
            for version in range(since, self.last_committed + 1):
                pairs.update(
                    (key, value)
                    for key, value in self._change(version).pairs.items()
                    if key.startswith(prefix)
                )
        else:
            pairs.update(self.items(prefix))
        ordered = {key: pairs[key] for key in sorted(pairs, key=key_order)}
        return MKVData(
            version=self.last_committed, prefix=prefix, incremental=incremental, pairs=ordered
        )

    def _change(self, version: int) -> KVChange:
        encoded = self.get_version(version)
        if encoded is None:
            raise InvariantBroken(f"kv: version {version} is missing")
        return KVChange.decode(encoded)
