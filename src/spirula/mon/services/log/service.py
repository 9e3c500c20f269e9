"""LogService: the cluster log, agreed on like the maps.

Daemons send entries and keep them until they are acknowledged; the leader drops what it has
already. This monitor's own go the same way (`write`). Subscribers (`ceph -w`) get each version as
it is committed. Called by `monitor`. Store format: upstream `src/mon/LogMonitor.cc` of 16.2 (a
version holds entries, `full_N` the newest ones of each channel).
"""

from __future__ import annotations

import uuid
from collections import OrderedDict
from typing import TYPE_CHECKING

from spirula.messages.mon_client import MLog, MLogAck
from spirula.mon.services.base import PaxosService
from spirula.mon.services.log import commands, files
from spirula.mon.services.log.tail import (
    LEVELS,
    Key,
    Tail,
    decode_version,
    encode_version,
    in_order,
    key_of,
)
from spirula.mon.store import get_number
from spirula.types.auth import PrincipalName
from spirula.types.base import UTime
from spirula.types.entity import EntityName, EntityType
from spirula.types.log import CHANNEL_CLUSTER, LogEntry, LogLevel

if TYPE_CHECKING:
    from spirula.mon.monitor import Monitor
    from spirula.mon.request import Request
    from spirula.mon.session import MonSession, Subscription
    from spirula.mon.store import Transaction

_PREFIX = "log-"
_MOST_OWN = 10_000
"""Own entries that wait for a quorum; then the oldest are dropped."""
_GATHER_S = 0.1
"""How long a peon gathers entries before it sends them: every command that it answers is one."""
_READ_AFTER_S = 0.05
"""How long after a commit its entries are read, if nobody wants them before."""
_DECODED = 32
"""Versions whose entries are kept decoded, for subscribers."""
_MOST_DECODED = 4096
"""How many entries these may have together, but for the newest version."""


class LogService(PaxosService):
    """The cluster log at one monitor.

    `tail` is what is committed, `pending` what the leader will propose. Own entries stay in `_own`
    until they are committed, whatever happens to the quorum; those in `_fresh` are not on their way
    yet.
    """

    NAME = "logm"
    COMMANDS = (commands.commands,)
    MESSAGES = (MLog,)
    SUBSCRIPTIONS = dict.fromkeys(_PREFIX + level for level in LEVELS)

    def __init__(self, monitor: Monitor) -> None:
        super().__init__(monitor)
        self._tail = Tail()
        self._behind = False
        self.pending: list[LogEntry] = []
        self._pending_keys: set[Key] = set()
        self._seq = 0
        self._own: OrderedDict[Key, LogEntry] = OrderedDict()
        self._fresh: dict[Key, LogEntry] = {}
        self._gathering = False
        self._untold: list[tuple[UTime, str, str]] = []
        self._decoded: OrderedDict[int, list[LogEntry]] = OrderedDict()
        self._loaded = False
        self._proposed: tuple[bytes, list[LogEntry]] | None = None
        """The version that this leader has proposed last, encoded and not."""

    # --- this monitor's own entries

    def write(self, level: LogLevel, text: str, channel: str = CHANNEL_CLUSTER) -> None:
        """Log as this monitor, an entry for each line. It is committed sooner or later.

        For debugging it is in the next turn of the event loop: every command that only reads is
        such a line, and its answer does not wait for it.
        """
        stamp = UTime.at(self.monitor.wall())
        if level == LogLevel.DEBUG:
            if not self._untold:
                self.monitor.loop.call_soon(self._tell)
            self._untold.append((stamp, text, channel))
        else:
            self._tell()
            self._write_lines(stamp, level, text, channel)
            self._gather()

    def _tell(self) -> None:
        untold, self._untold = self._untold, []
        for stamp, text, channel in untold:
            self._write_lines(stamp, LogLevel.DEBUG, text, channel)
        if untold and self.monitor.running:
            self._gather()

    def _gather(self) -> None:
        if self.monitor.is_leader:
            self._send_own()
        elif not self._gathering:
            self._gathering = True
            self.monitor.loop.call_later(_GATHER_S, self._gathered)

    def _gathered(self) -> None:
        self._gathering = False
        if self.monitor.running:
            self._send_own()

    def _write_lines(self, stamp: UTime, level: LogLevel, text: str, channel: str) -> None:
        for line in text.split("\n") if "\n" in text else (text,):
            if line:
                self._write_line(stamp, level, line, channel)

    def _write_line(self, stamp: UTime, level: LogLevel, line: str, channel: str) -> None:
        monitor = self.monitor
        monitor.log(0, f"log_channel({channel}) log {level.tag} : {line}")
        self._seq += 1
        entry = LogEntry(
            name=PrincipalName(EntityType.MON, monitor.name),
            rank=EntityName(EntityType.MON, monitor.rank),
            addrs=monitor.member.state.addrs,
            stamp=stamp,
            seq=self._seq,
            prio=level,
            msg=line,
            channel=channel,
        )
        key = key_of(entry)
        self._own[key] = self._fresh[key] = entry
        while len(self._own) > _MOST_OWN:
            dropped, _ = self._own.popitem(last=False)
            self._fresh.pop(dropped, None)

    def _send_own(self) -> None:
        """Bring own entries on their way, if there is one."""
        if not self._fresh:
            return
        if self.monitor.is_leader:
            if not self.is_writeable:
                return
            for entry in self._fresh.values():
                self.append(entry)
            self.propose_soon()
        elif self.monitor.is_peon and self.is_readable:
            message = MLog(fsid=self.monitor.monmap.fsid, entries=list(self._fresh.values()))
            self.monitor.dispatch_local(message)
        else:
            return
        self._fresh.clear()

    # --- Paxos

    def create_initial(self) -> None:
        fsid = uuid.UUID(bytes=bytes(self.monitor.monmap.fsid))
        stamp = UTime.at(self.monitor.wall())
        self._write_line(stamp, LogLevel.INFO, f"mkfs {fsid}", CHANNEL_CLUSTER)
        for entry in self._own.values():
            self.append(entry)
        self._fresh.clear()

    @property
    def tail(self) -> Tail:
        """The newest entries that are committed."""
        self._catch_up()
        return self._tail

    def update(self) -> None:
        # To read those of thousands of commands takes its time, and until the round of Paxos that
        # brought them is over, here and at the others, no client is answered.
        if not self._loaded:
            self._behind = True
            self._catch_up()
        elif not self._behind:
            self._behind = True
            self.monitor.loop.call_later(_READ_AFTER_S, self._catch_up_later)

    def _catch_up_later(self) -> None:
        if self.monitor.running:
            self._catch_up()

    def stop(self) -> None:
        """The monitor stops: what was committed goes into its files before."""
        self._tell()
        self._catch_up()

    def _catch_up(self) -> None:
        """Read what was committed since."""
        if not self._behind:
            return
        self._behind = False
        tail, config = self._tail, self.monitor.config
        if self.last_committed == tail.version:
            self._loaded = True
            return
        latest = get_number(self.monitor.store, self.NAME, "full_latest")
        if latest > tail.version or self.last_committed < tail.version:
            full = self.get_full(latest)
            self._tail = tail = Tail.decode(full) if full else Tail()
            tail.version = latest
        most = config.get_int("mon_log_max_summary")
        new: list[LogEntry] = []
        while tail.version < self.last_committed:
            tail.version += 1
            for entry in self._entries(tail.version):
                tail.add(entry, most)
                new.append(entry)
        for entry in new if self._own else ():
            key = key_of(entry)
            self._own.pop(key, None)
            self._fresh.pop(key, None)
        if self._loaded:
            # What was committed before this monitor started is in its file already.
            for path, lines in files.sort_out(config, new).items():
                self.monitor.ports.cluster_log(path, "".join(f"{line}\n" for line in lines))
        self._loaded = True
        self.notify_subscribers()

    def _entries(self, version: int) -> list[LogEntry]:
        """The entries of a version; none of a version that is not kept."""
        known = self._decoded.get(version)
        if known is None:
            encoded = self.get_version(version)
            proposed, self._proposed = self._proposed, None
            if proposed is not None and proposed[0] == encoded:
                known = proposed[1]
            else:
                known = decode_version(encoded) if encoded else []
            self._decoded[version] = known
            self._forget_decoded()
        return known

    def _forget_decoded(self) -> None:
        decoded = self._decoded
        held = sum(map(len, decoded.values()))
        while len(decoded) > _DECODED or (len(decoded) > 1 and held > _MOST_DECODED):
            held -= len(decoded.popitem(last=False)[1])

    def create_pending(self) -> None:
        self.pending = []
        self._pending_keys = set()

    def append(self, entry: LogEntry) -> None:
        """At the leader: one more entry for what is pending."""
        self.pending.append(entry)
        self._pending_keys.add(key_of(entry))

    def propose_soon(self) -> None:
        """Propose, but not more often than once a second unless there is a lot."""
        most = self.monitor.config.get_int("mon_max_log_entries_per_event")
        if 0 < most <= len(self.pending):
            self.propose()
        elif self.due is None:
            self.propose(self.damped())

    def encode_pending(self, transaction: Transaction) -> None:
        version = self.last_committed + 1
        if self._is_full_due():
            self.put_full(transaction, self.tail.version, self.tail.encode())
        ordered = in_order(self.pending)
        self._proposed = (encode_version(ordered), ordered)
        self.put_version(transaction, version, self._proposed[0])

    def _is_full_due(self) -> bool:
        """Whether reading the log would have to go through many versions, or to missing ones."""
        latest = get_number(self.monitor.store, self.NAME, "full_latest")
        interval = self.monitor.config.get_int("paxos_stash_full_interval")
        return latest <= self.trim_to() or self.last_committed - latest > interval

    def trim_to(self) -> int:
        return max(self.last_committed - self.monitor.config.get_int("mon_max_log_epochs"), 0)

    def on_restart(self) -> None:
        self._catch_up()
        self._fresh = dict(self._own)

    def on_active(self) -> None:
        self._send_own()

    # --- messages

    def _is_new(self, entry: LogEntry) -> bool:
        key = key_of(entry)
        return key not in self.tail and key not in self._pending_keys

    def preprocess(self, request: Request) -> bool:
        message = request.message
        if (
            not isinstance(message, MLog)
            or not message.entries
            or message.fsid != self.monitor.monmap.fsid
            or not request.session.is_capable("log", write=True)
        ):
            request.no_reply()
            return True
        own = request.session is self.monitor.local_session
        if not own and all(key_of(entry) in self.tail for entry in message.entries):
            # It was told so, or would have been but for a lost connection.
            self._acknowledge(request, message)
            return True
        return False

    def prepare(self, request: Request) -> None:
        message = request.message
        if not isinstance(message, MLog):
            return
        for entry in message.entries:
            if self._is_new(entry):
                entry.channel = entry.channel or CHANNEL_CLUSTER
                self.append(entry)
        self.when_committed(lambda: self._acknowledge(request, message))
        self.propose_soon()

    def _acknowledge(self, request: Request, message: MLog) -> None:
        request.reply(MLogAck(fsid=message.fsid, last=message.entries[-1].seq))

    # --- subscriptions

    def on_subscribe(self, session: MonSession, subscription: Subscription) -> None:
        # A client listens at one level; the last one that it asked for.
        for what in list(session.subscriptions):
            if what.startswith(_PREFIX) and what != subscription.what:
                self.monitor.sessions.unsubscribe(session, what)
        super().on_subscribe(session, subscription)

    def check_subscription(self, session: MonSession, subscription: Subscription) -> None:
        if subscription.next > self.tail.version:
            return
        level = LEVELS[subscription.what.removeprefix(_PREFIX)]
        first = subscription.next or self.last_committed
        entries = []
        if first < self.first_committed:
            text = f"skipped log messages from {first} to {self.first_committed}"
            stamp = UTime.at(self.monitor.wall())
            entries.append(LogEntry(stamp=stamp, prio=LogLevel.WARN, msg=text))
            first = self.first_committed
        for version in range(first, self.tail.version + 1):
            entries += [entry for entry in self._entries(version) if entry.prio >= level]
        if entries:
            message = MLog(
                version=self.tail.version, fsid=self.monitor.monmap.fsid, entries=entries
            )
            self.monitor.send(session, message)
        if subscription.onetime:
            self.monitor.sessions.unsubscribe(session, subscription.what)
        else:
            subscription.next = self.tail.version + 1
