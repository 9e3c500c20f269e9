"""Copying a store: to a monitor that is new or lags too far behind, and from one that has it.

    requester:  GET_COOKIE -> (COOKIE) GET_CHUNK -> (CHUNK) GET_CHUNK ... -> (LAST_CHUNK) finish
    provider:   a cookie for each requester: how far it is told versions, how far it is told keys

A *recent* synchronisation copies the Paxos versions that are missing and applies them; a *full* one
clears the store, copies every key, and applies the versions that were committed meanwhile. Until it
is finished the store is marked (`mon_sync/in_sync`), and cleared again should the monitor restart.
Messages MMonSync; follows upstream `src/mon/Monitor.cc` (sync_*), but what an acceptor has promised
(proposal numbers, a value pending) is neither cleared nor copied: it is each monitor's own.
"""

from __future__ import annotations

from dataclasses import dataclass

from spirula.errors import WireError
from spirula.messages.quorum import MMonSync, SyncOp
from spirula.mon.quorum.paxos import Paxos
from spirula.mon.quorum.state import Phase, QuorumState
from spirula.mon.store import MON_SYNC, MONMAP, PAXOS, Transaction, get_number, get_version
from spirula.types.entity import EntityAddrVec
from spirula.types.mon import MonMap, StoreOpType, StoreTransaction

_TIMER = "sync"
_OWN = frozenset({"last_pn", "accepted_pn", "pending_v", "pending_pn"})
"""Keys under `paxos` that are each monitor's own."""
MAX_PROVIDED = 64


@dataclass(slots=True)
class Provided:
    """One requester, as its provider sees it."""

    addrs: EntityAddrVec
    full: bool
    last_committed: int
    expires: float
    last_key: tuple[str, str] = ("", "")
    keys_done: bool = False


def clear_unfinished(q: QuorumState) -> None:
    """Clears the store of a monitor that starts, if it holds part of a copy, or is to be copied.

    To be called before anything is read from it: what part of a copy says is in no order.
    """
    store = q.store
    if store.get(MON_SYNC, "in_sync") is not None or get_number(store, MON_SYNC, "force_sync"):
        _clear_store(q)


def _clear_store(q: QuorumState) -> None:
    transaction = Transaction()
    for prefix in q.settings.sync_prefixes:
        for key, _ in q.store.items(prefix):
            if prefix != PAXOS or key not in _OWN:
                transaction.erase(prefix, key)
    q.persist(transaction)


class Sync:
    """One monitor's part in synchronisations, as requester and as provider."""

    def __init__(self, state: QuorumState, paxos: Paxos) -> None:
        self.q = state
        self.paxos = paxos
        self._provided: dict[int, Provided] = {}
        self._cookies_made = 0
        self.provider: EntityAddrVec | None = None
        self.cookie = 0
        self._full = False
        self.start_version = 0
        self.floor = get_number(state.store, MON_SYNC, "last_committed_floor")

    def provided(self) -> list[tuple[int, Provided]]:
        """Stores that are being copied from here, by cookie."""
        return sorted(self._provided.items())

    def force(self) -> None:
        """Clear the store and copy it anew when this monitor is started the next time."""
        transaction = Transaction().put(MON_SYNC, "latest_monmap", self._latest_monmap())
        self.q.persist(transaction.put(MON_SYNC, "force_sync", 1))

    # --- the requester

    def start(self, provider: EntityAddrVec, *, full: bool) -> None:
        """Copy from there: everything, or only recent versions."""
        q = self.q
        q.phase = Phase.SYNCHRONIZING
        self._provided.clear()
        self._full = full
        self.cookie = 0
        self.provider = provider
        if full:
            self.floor = max(self.floor, self.paxos.last_committed)
            transaction = Transaction().put(MON_SYNC, "latest_monmap", self._latest_monmap())
            transaction.put(MON_SYNC, "in_sync", 1)
            q.persist(transaction.put(MON_SYNC, "last_committed_floor", self.floor))
            _clear_store(q)
            self.paxos.load()
        ask = SyncOp.GET_COOKIE_FULL if full else SyncOp.GET_COOKIE_RECENT
        last = 0 if full else self.paxos.last_committed
        q.send(provider, MMonSync(op=ask, last_committed=last))
        self._wait()

    def _latest_monmap(self) -> bytes:
        """The newest of the maps that are known: the committed, the kept and the present one."""
        store = self.q.store
        epoch = get_number(store, MONMAP, "last_committed")
        kept = [get_version(store, MONMAP, epoch), store.get(MON_SYNC, "latest_monmap")]
        maps = [MonMap.decode(encoded) for encoded in kept if encoded]
        return max([*maps, self.q.monmap], key=lambda monmap: monmap.epoch).encode()

    def stop(self) -> None:
        """Give the copy up; what was marked stays marked until one is finished."""
        self.q.cancel_timer(_TIMER)
        self.provider = None
        self.cookie = 0

    def _wait(self) -> None:
        self.q.set_timer(_TIMER, self.q.settings.mon_sync_timeout, self.q.conductor.bootstrap)

    def _on_cookie(self, m: MMonSync) -> None:
        if self.cookie == 0 and m.cookie != 0:
            self.cookie = m.cookie
            self.start_version = m.last_committed
            self._next_chunk()

    def _next_chunk(self) -> None:
        if self.provider is not None:
            self._wait()
            chunk = MMonSync(op=SyncOp.GET_CHUNK, cookie=self.cookie)
            self.q.send(self.provider, chunk)

    def _on_chunk(self, m: MMonSync) -> None:
        if m.cookie != self.cookie:
            return
        chunk = StoreTransaction.decode(m.chunk_bl)
        transaction = Transaction()
        for op in chunk.ops:
            if op.type != StoreOpType.PUT or op.prefix not in self.q.settings.sync_prefixes:
                raise WireError(f"a chunk with {op.type} of {op.prefix}", path="MMonSync.chunk_bl")
            if op.prefix != PAXOS or op.key not in _OWN:
                transaction.put(op.prefix, op.key, op.bl)
        self.q.persist(transaction)
        if not self._full:
            self._apply(self.paxos.last_committed + 1, m.last_committed)
        if m.op == SyncOp.CHUNK:
            self._next_chunk()
        else:
            self._finish(m.last_committed)

    def _apply(self, first: int, last: int) -> None:
        """Apply the transactions of versions that were copied. Raises WireError if one misses."""
        transaction = Transaction()
        for version in range(first, last + 1):
            value = get_version(self.q.store, PAXOS, version)
            if value is None:
                raise WireError(f"version {version} is missing in chunks", path="MMonSync")
            transaction.append_encoded(value)
        if last >= first:
            self.q.persist(transaction.put(PAXOS, "last_committed", last))
            self.paxos.load()

    def _finish(self, last_committed: int) -> None:
        if self._full:
            self._apply(self.start_version + 1, last_committed)
            self.q.persist(Transaction().put(PAXOS, "last_committed", last_committed))
        transaction = Transaction().erase(MON_SYNC, "in_sync").erase(MON_SYNC, "force_sync")
        self.q.persist(transaction.erase(MON_SYNC, "last_committed_floor"))
        self.floor = 0
        self.q.conductor.reload()
        self.q.conductor.bootstrap()

    # --- the provider

    def _no_cookie(self, sender: EntityAddrVec, m: MMonSync) -> None:
        self.q.send(sender, MMonSync(op=SyncOp.NO_COOKIE, cookie=m.cookie))

    def _on_get_cookie(self, sender: EntityAddrVec, m: MMonSync) -> None:
        q = self.q
        expired = [cookie for cookie, p in self._provided.items() if p.expires < q.now]
        for cookie in expired:
            del self._provided[cookie]
        if q.phase is Phase.SYNCHRONIZING or len(self._provided) >= MAX_PROVIDED:
            self._no_cookie(sender, m)
            return
        self._cookies_made += 1
        cookie = (q.conductor.epoch << 24) + self._cookies_made
        full = m.op == SyncOp.GET_COOKIE_FULL
        start = self.paxos.last_committed if full else m.last_committed
        self._provided[cookie] = Provided(sender, full, start, self._expiry())
        q.send(sender, MMonSync(op=SyncOp.COOKIE, cookie=cookie, last_committed=start))

    def _expiry(self) -> float:
        return self.q.now + 2 * self.q.settings.mon_sync_timeout

    def _on_get_chunk(self, sender: EntityAddrVec, m: MMonSync) -> None:
        provided = self._provided.get(m.cookie)
        if provided is None:
            self._no_cookie(sender, m)
            return
        provided.expires = self._expiry()
        first = self.paxos.first_committed
        if provided.last_committed + 1 < first and first > 1:
            # What comes next was trimmed meanwhile.
            del self._provided[m.cookie]
            self._no_cookie(sender, m)
            return
        settings = self.q.settings
        transaction = Transaction()
        bytes_left, keys_left = (
            settings.mon_sync_max_payload_size,
            settings.mon_sync_max_payload_keys,
        )
        last = self.paxos.last_committed
        for version, value in self.paxos.values(provided.last_committed + 1, last):
            if bytes_left <= 0 or keys_left <= 0:
                break
            transaction.put(PAXOS, version, value)
            provided.last_committed = version
            bytes_left -= len(value)
            keys_left -= 1
        if provided.full and not provided.keys_done and bytes_left > 0 and keys_left > 0:
            self._add_keys(provided, transaction, bytes_left, keys_left)
        done = provided.last_committed >= last and (provided.keys_done or not provided.full)
        if done:
            del self._provided[m.cookie]
        reply = MMonSync(
            op=SyncOp.LAST_CHUNK if done else SyncOp.CHUNK,
            cookie=m.cookie,
            last_committed=provided.last_committed,
            last_key=provided.last_key,
            chunk_bl=transaction.encode(),
        )
        self.q.send(sender, reply)

    def _add_keys(
        self, provided: Provided, transaction: Transaction, bytes_left: int, keys_left: int
    ) -> None:
        """Put keys behind the last one into the chunk, in order, until it is full.

        They are read as they are now; what changes behind this place is in the versions that the
        requester is told and applies at the end.
        """
        done_prefix, done_key = provided.last_key
        for prefix in sorted(self.q.settings.sync_prefixes):
            if prefix < done_prefix:
                continue
            start = done_key if prefix == done_prefix else ""
            for key, value in self.q.store.items(prefix, start):
                if prefix == done_prefix and key == done_key:
                    continue
                if bytes_left <= 0 or keys_left <= 0:
                    return
                provided.last_key = (prefix, key)
                if prefix != PAXOS or key not in _OWN:
                    transaction.put(prefix, key, value)
                    bytes_left -= len(prefix) + len(key) + len(value)
                    keys_left -= 1
        provided.keys_done = True

    # --- messages

    def on_message(self, sender: EntityAddrVec, m: MMonSync) -> None:
        """A step of a synchronisation arrived. Raises WireError for what is inside of it."""
        if m.op in {SyncOp.GET_COOKIE_FULL, SyncOp.GET_COOKIE_RECENT}:
            self._on_get_cookie(sender, m)
        elif m.op == SyncOp.GET_CHUNK:
            self._on_get_chunk(sender, m)
        elif self.q.phase is not Phase.SYNCHRONIZING or sender != self.provider:
            return
        elif m.op == SyncOp.COOKIE:
            self._on_cookie(m)
        elif m.op in {SyncOp.CHUNK, SyncOp.LAST_CHUNK}:
            self._on_chunk(m)
        elif m.op == SyncOp.NO_COOKIE:
            self.q.conductor.bootstrap()
