"""The log of a PG in memory: what was done lately, found by version, by request and by object.

`meta` keeps it on disk, `peering` compares and merges it. Trimmed entries leave a dup behind, so
that a request which is sent again long after is still recognised. Upstream: `src/osd/PGLog.h`
(IndexedLog).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from spirula.types.base import EVersion
from spirula.types.hobject import HObject
from spirula.types.object_info import OSDReqId
from spirula.types.pg_log import LogOpReturn, PGLog, PGLogDup, PGLogEntry

_ReqKey = tuple[int, int, int, int]


def _key(reqid: OSDReqId) -> _ReqKey:
    """What identifies a request, as a tuple: hashed in a third of the time."""
    name = reqid.name
    return reqid.tid, name.num, reqid.inc, name.type


@dataclass(slots=True, frozen=True)
class Known:
    """What is known of a request that was carried out.

    `version` is that of its log entry; `user_version`, `return_code` and `op_returns` are what it
    was answered.
    """

    version: EVersion
    user_version: int
    return_code: int
    op_returns: list[LogOpReturn]


@dataclass(slots=True, eq=False)
class Trimmed:
    """What a trim took away, and the dups that came instead: what `meta` has to write."""

    entries: list[PGLogEntry] = field(default_factory=list)
    new_dups: list[PGLogDup] = field(default_factory=list)
    old_dups: list[PGLogDup] = field(default_factory=list)


class Log:
    """Entries after `tail` up to `head`, oldest first, and dups of those before them."""

    __slots__ = (
        "_by_request",
        "_dups_by_request",
        "_objects",
        "can_rollback_to",
        "dups",
        "entries",
        "head",
        "tail",
    )

    def __init__(self) -> None:
        self.entries: deque[PGLogEntry] = deque()
        self.dups: deque[PGLogDup] = deque()
        self.head = self.tail = self.can_rollback_to = EVersion(0, 0)
        self._by_request: dict[_ReqKey, PGLogEntry] = {}
        self._dups_by_request: dict[_ReqKey, PGLogDup] = {}
        self._objects: dict[HObject, PGLogEntry] | None = None

    @classmethod
    def of(cls, wire: PGLog) -> Log:
        """The log as another OSD sent it."""
        made = cls()
        made.tail, made.head = wire.tail, wire.head
        made.can_rollback_to = wire.can_rollback_to
        for dup in wire.dups:
            made.add_dup(dup)
        for entry in wire.log:
            made._index(entry)
            made.entries.append(entry)
        return made

    def __len__(self) -> int:
        return len(self.entries)

    # --- looking up ---

    @property
    def objects(self) -> dict[HObject, PGLogEntry]:
        """The newest entry of each object, failed requests left out; made when asked for."""
        if self._objects is None:
            self._objects = {each.soid: each for each in self.entries if each.op != _ERROR}
        return self._objects

    def find_request(self, reqid: OSDReqId) -> Known | None:
        """What became of a request, if the log remembers it."""
        key = _key(reqid)
        entry = self._by_request.get(key)
        if entry is not None:
            return _known(entry, reqid)
        dup = self._dups_by_request.get(key)
        if dup is None:
            return None
        return Known(dup.version, dup.user_version, dup.return_code, dup.op_returns)

    def after(self, version: EVersion) -> Iterator[PGLogEntry]:
        """The entries newer than `version`, oldest first."""
        newer = []
        for entry in reversed(self.entries):
            if entry.version <= version:
                break
            newer.append(entry)
        return reversed(newer)

    def before(self, version: EVersion) -> EVersion:
        """The version of the newest entry that is older than this, or the tail."""
        entries = self.entries
        low, high = 0, len(entries)
        while low < high:
            middle = (low + high) // 2
            if entries[middle].version < version:
                low = middle + 1
            else:
                high = middle
        return entries[low - 1].version if low else self.tail

    # --- changing ---

    def add(self, entry: PGLogEntry) -> None:
        """Adds the newest entry, which will not be changed any more."""
        entry.settle()
        self.entries.append(entry)
        self.head = entry.version
        self._index(entry)

    def add_dup(self, dup: PGLogDup) -> None:
        """Remembers a request whose entry is gone; newer than all dups so far."""
        self.dups.append(dup)
        self._dups_by_request[_key(dup.reqid)] = dup

    def set_dups(self, dups: Iterable[PGLogDup]) -> None:
        """Remembers these requests, oldest first, in place of those that were remembered."""
        self.dups.clear()
        self._dups_by_request.clear()
        for dup in dups:
            self.add_dup(dup)

    def trim(self, to: EVersion, dups_tracked: int) -> Trimmed:
        """Takes away entries up to `to`, dups older than `dups_tracked` versions before the head.

        The head stays at least as a version, even if its entry goes.
        """
        gone = Trimmed()
        earliest = max(self.head.version - dups_tracked + 1, 0)
        while self.entries and self.entries[0].version <= to:
            entry = self.entries.popleft()
            gone.entries.append(entry)
            self._unindex(entry)
            if entry.version.version >= earliest:
                gone.new_dups += _dups_of(entry)
        for dup in gone.new_dups:
            self.add_dup(dup)
        while self.dups and self.dups[0].version.version < earliest:
            dup = self.dups.popleft()
            gone.old_dups.append(dup)
            key = _key(dup.reqid)
            if self._dups_by_request.get(key) is dup:
                del self._dups_by_request[key]
        self.tail = max(self.tail, to)
        return gone

    def rewind(self, to: EVersion) -> list[PGLogEntry]:
        """Takes away the entries newer than `to` and gives them, oldest first."""
        gone: list[PGLogEntry] = []
        while self.entries and self.entries[-1].version > to:
            entry = self.entries.pop()
            self._unindex(entry)
            gone.append(entry)
        self._objects = None
        self.head = to
        self.can_rollback_to = min(self.can_rollback_to, to)
        gone.reverse()
        return gone

    def prepend(self, entries: Iterable[PGLogEntry], tail: EVersion) -> list[PGLogEntry]:
        """Extends the log to the past with those of `entries` that are not newer than its tail."""
        older = [entry for entry in entries if tail < entry.version <= self.tail]
        for entry in reversed(older):
            self.entries.appendleft(entry)
            self._by_request.setdefault(_key(entry.reqid), entry)
        self._objects = None
        self.tail = tail
        return older

    def wire(self, since: EVersion | None = None) -> PGLog:
        """The log as it is sent: all of it, or what is newer than `since`."""
        made = PGLog(self.head, self.tail)
        made.can_rollback_to = made.rollback_info_trimmed_to = self.can_rollback_to
        made.dups = list(self.dups)
        if since is None:
            made.log = list(self.entries)
            return made
        made.log = list(self.after(since))
        kept = len(self.entries) - len(made.log)
        if kept:
            made.tail = self.entries[kept - 1].version
        return made

    # --- indices ---

    def _index(self, entry: PGLogEntry) -> None:
        if entry.reqid.tid or entry.reqid.name.num:
            self._by_request[_key(entry.reqid)] = entry
        for reqid, _ in entry.extra_reqids:
            self._by_request.setdefault(_key(reqid), entry)
        if self._objects is not None and entry.op != _ERROR:
            self._objects[entry.soid] = entry

    def _unindex(self, entry: PGLogEntry) -> None:
        self._forget_request(entry.reqid, entry)
        for reqid, _ in entry.extra_reqids:
            self._forget_request(reqid, entry)
        if self._objects is not None and self._objects.get(entry.soid) is entry:
            del self._objects[entry.soid]

    def _forget_request(self, reqid: OSDReqId, entry: PGLogEntry) -> None:
        key = _key(reqid)
        if self._by_request.get(key) is entry:
            del self._by_request[key]


_ERROR = 10


def _known(entry: PGLogEntry, reqid: OSDReqId) -> Known:
    if entry.reqid == reqid:
        return Known(entry.version, entry.user_version, entry.return_code, entry.op_returns)
    for index, (extra, user_version) in enumerate(entry.extra_reqids):
        if extra == reqid:
            code = entry.return_code
            if code >= 0:
                code = entry.extra_reqid_return_codes.get(index, code)
            return Known(entry.version, user_version, code, entry.op_returns)
    return Known(entry.version, entry.user_version, entry.return_code, entry.op_returns)


def _dups_of(entry: PGLogEntry) -> list[PGLogDup]:
    """What is kept of an entry: one dup for each request that it carried out."""
    version, code = entry.version, entry.return_code
    made = [PGLogDup(entry.reqid, version, entry.user_version, code, entry.op_returns)]
    for index, (reqid, user_version) in enumerate(entry.extra_reqids):
        own = entry.extra_reqid_return_codes.get(index, code) if code >= 0 else code
        made.append(PGLogDup(reqid, version, user_version, own))
    return made
