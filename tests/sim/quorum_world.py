"""Monitors' quorum members in virtual time: a network, disks, clocks, faults, clients, checkers.

Members are pure, so this needs no event loop: a heap of calls at virtual times is the whole world,
and thousands of histories a minute fit into one process. What is checked all the time: one value
per version on all monitors; no read, under a lease, is older than what was acknowledged or read
before it was asked for. `settle` ends the faults and checks that nothing acknowledged is lost, that
all monitors hold the same, and that commits go on.
"""

from __future__ import annotations

import hashlib
import heapq
import random
from collections import deque
from dataclasses import dataclass, field, replace
from typing import ClassVar
from uuid import UUID

from spirula.denc.features import PACIFIC
from spirula.errors import NoSpace
from spirula.messages.base import decode_message
from spirula.messages.quorum import MMonSync, SyncOp
from spirula.mon.quorum.member import Member
from spirula.mon.quorum.state import (
    ClusterLog,
    Joined,
    Left,
    Phase,
    Refresh,
    Settings,
    SteppedAside,
    Stopped,
)
from spirula.mon.store import PAXOS, Transaction, get_number, get_version
from spirula.store.keyvalue import MemoryKeyValueStore
from spirula.types.entity import EntityAddrVec
from spirula.types.mon import ElectionStrategy, MonFeature, MonInfo, MonMap

SERVICE = "svc"
WALL_AT_0 = 1_700_000_000.0
PROGRESS_LIMIT_S = 120.0
MAX_CALLS = 400_000


@dataclass(frozen=True)
class Trouble:
    """What goes wrong in a history. Probabilities, rates a second, and seconds."""

    crash_at_commit: float = 0.0
    crash_rate: float = 0.0
    partition_rate: float = 0.0
    loss: float = 0.0
    pause_rate: float = 0.0
    skew_s: float = 0.0
    drift: float = 0.0
    slow_disk: float = 0.0
    slow_link: float = 0.0
    late_member: bool = False
    split: bool = False
    encode: bool = False
    hints: bool = False
    false_hint_rate: float = 0.0
    same_host: bool = False
    full_disk_rate: float = 0.0
    leave_rate: float = 0.0
    crash_commit_number: int = -1
    crash_after_landing: bool = False

    @classmethod
    def drawn(cls, rng: random.Random) -> Trouble:
        def maybe(chance, value):
            return value if rng.random() < chance else type(value)()

        return cls(
            crash_at_commit=maybe(0.5, rng.choice((0.002, 0.01, 0.03))),
            crash_rate=maybe(0.3, 0.1),
            partition_rate=maybe(0.6, rng.choice((0.05, 0.2))),
            loss=maybe(0.3, rng.choice((0.001, 0.02))),
            pause_rate=maybe(0.3, 0.1),
            skew_s=maybe(0.6, rng.choice((0.1, 2.0, 30.0))),
            drift=maybe(0.3, 1e-4),
            slow_disk=maybe(0.2, 0.5),
            slow_link=maybe(0.2, 0.3),
            late_member=rng.random() < 0.2,
            split=rng.random() < 0.15,
            encode=rng.random() < 0.1,
            hints=rng.random() < 0.7,
            false_hint_rate=maybe(0.3, rng.choice((0.02, 0.3))),
            full_disk_rate=maybe(0.2, 0.05),
            leave_rate=maybe(0.2, 0.05),
        )


def monmap_of(
    count: int, strategy: int = ElectionStrategy.CLASSIC, *, same_host: bool = False
) -> MonMap:
    names = [chr(ord("a") + number) for number in range(count)]
    places = [(1, 3300 + number) if same_host else (number + 1, 3300) for number in range(count)]
    infos = {
        name: MonInfo(name, EntityAddrVec.parse(f"[v2:10.0.0.{host}:{port}/0]"))
        for name, (host, port) in zip(names, places, strict=True)
    }
    monmap = MonMap(fsid=UUID(int=7).bytes, epoch=1, mon_info=infos, ranks=names)
    monmap.strategy = strategy
    if strategy != ElectionStrategy.CLASSIC:
        monmap.disallowed_leaders = {"a"}
    return monmap


class Node:
    """One monitor: its process when it runs, its disk, its clocks, and what may leave it when."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        rng = world.rng
        self.addrs = world.monmap.mon_info[name].public_addrs
        self.skew = rng.uniform(-1, 1) * world.trouble.skew_s
        self.rate = 1 + rng.uniform(-1, 1) * world.trouble.drift
        self.slow_disk = rng.random() < world.trouble.slow_disk
        self.store = MemoryKeyValueStore(self.land_later)
        self.member: Member | None = None
        self.life = 0
        self.paused_until = 0.0
        self.disk_free_at = 0.0
        self.asked = self.durable = 0
        self.outbox: deque = deque()
        self.wake_at: float | None = None
        self.room_after_s: float | None = None

    def clocks(self):
        """Monotonic and wall clock of this host."""
        elapsed = self.world.now * self.rate
        return elapsed + 1000, elapsed + WALL_AT_0 + self.skew

    # --- life and death

    def start(self) -> None:
        if self.member is not None:
            return
        world = self.world
        monmap = MonMap.decode(world.monmap.encode())
        self.member = Member(self.name, self.addrs, monmap, self.store, world.settings)
        world.note(f"{self.name} starts")
        self.member.start(*self.clocks())
        self.flush()

    def crash(self, down: float | None = None) -> None:
        if self.member is None:
            return
        self.world.note(f"{self.name} crashes")
        self.life += 1
        self.member = None
        self.outbox.clear()
        self.asked = self.durable = 0
        self.wake_at = None
        self.disk_free_at = 0.0
        self.store = self.store.after_crash(self.land_later)
        if down is None:
            down = self.world.rng.choice((0.05, 1.0, 4.0, 15.0)) * self.world.rng.random()
        self.world.at(down, self.start)

    # --- the disk

    def land_later(self, land) -> None:
        world = self.world
        latency = world.rng.uniform(0.0002, 0.003)
        if self.slow_disk and world.rng.random() < 0.1:
            latency += world.rng.random() * 3
        self.disk_free_at = max(self.disk_free_at, world.now) + latency
        life = self.life
        world.commits += 1
        doomed = world.faulty and (
            world.rng.random() < world.trouble.crash_at_commit
            or world.commits == world.trouble.crash_commit_number
        )
        after = world.trouble.crash_after_landing
        if world.commits != world.trouble.crash_commit_number:
            after = world.rng.random() < 0.5

        def happen():
            if life != self.life:
                return
            if doomed and not after:
                self.crash()
                return
            if doomed:
                # It is on the disk, and nobody will hear of it from this process.
                self.hold = True
            land()
            if doomed:
                self.crash()

        world.at(self.disk_free_at - world.now, happen)

    def landed(self, number: int, error) -> None:
        if error is not None:
            self.store_failed(error)
            return
        self.durable = number
        if not getattr(self, "hold", False):
            self.release()
        self.hold = False

    # --- doing what the member says

    def flush(self) -> None:
        ready = self.member.take()
        if self.member.store_failed:
            # Nothing of it is on the disk, nor needs to be.
            for send in ready.messages:
                self.transmit(send)
            self.arm()
            return
        for event in ready.events:
            self.world.on_event(self, event)
        if ready.persist:
            self.asked += 1
            number = self.asked
            self.store.commit(lambda error: self.landed(number, error))
        for send in ready.messages:
            self.outbox.append((self.asked, self.transmit, send))
        for outcome in ready.outcomes:
            self.outbox.append((self.asked, self.world.on_outcome, outcome))
        self.release()
        self.arm()

    def release(self) -> None:
        while self.outbox and self.outbox[0][0] <= self.durable:
            _, action, what = self.outbox.popleft()
            action(what)

    def transmit(self, send) -> None:
        self.world.transmit(self, send.to, send.message)

    def arm(self) -> None:
        deadline = self.member.deadline()
        if deadline is None:
            return
        when = max(self.world.now, (deadline - 1000) / self.rate)
        if self.wake_at is not None and self.wake_at <= when:
            return
        self.wake_at = when
        self.world.at(when - self.world.now, lambda life=self.life: self.woken(life, when))

    def woken(self, life: int, when: float) -> None:
        if life != self.life or self.wake_at != when:
            return
        if self.postponed(lambda: self.woken(life, when)):
            return
        self.wake_at = None
        self.member.wake(*self.clocks())
        self.flush()

    def postponed(self, action) -> bool:
        """Whether the process stands still now; the action is done when it goes on."""
        if self.paused_until <= self.world.now:
            return False
        life = self.life
        self.world.at(
            self.paused_until - self.world.now, lambda: action() if life == self.life else None
        )
        return True

    def receive(self, sender: EntityAddrVec, message) -> None:
        if self.member is None:
            self.world.refuse(self, sender)
            return
        if self.postponed(lambda: self.receive(sender, message)):
            return
        self.member.on_message(sender, PACIFIC, message, *self.clocks())
        self.flush()

    def refused(self, addrs: EntityAddrVec) -> None:
        """The host at that address has refused a connection, or seems to have."""
        if self.member is None or self.postponed(lambda: self.refused(addrs)):
            return
        self.member.on_unreachable(addrs, *self.clocks())
        self.flush()

    def leave(self) -> None:
        """Somebody tells this monitor to stand aside for a while."""
        if self.member is None or self.paused_until > self.world.now:
            return
        self.world.note(f"{self.name} steps aside")
        self.member.step_aside("told to", *self.clocks())
        self.flush()
        back = self.world.rng.choice((0.2, 3.0, 12.0)) * self.world.rng.random()
        self.world.at(back, lambda life=self.life: self.come_back(life))

    def come_back(self, life: int) -> None:
        if life == self.life and self.member is not None:
            self.member.rejoin(*self.clocks())
            self.flush()

    def fill(self) -> None:
        """The disk is full, for a while."""
        if self.member is not None and not self.member.store_failed:
            self.world.note(f"{self.name} has no space")
            self.store.fail(NoSpace("monitor store: full"))

    def store_failed(self, error: NoSpace) -> None:
        """A commit has failed: what waits for it is gone; the store is opened anew later."""
        if self.member.store_failed:
            return
        self.outbox.clear()
        self.member.on_store_failed(str(error), *self.clocks())
        for send in self.member.take().messages:
            self.transmit(send)
        self.arm()
        room = self.room_after_s
        if room is None:
            room = self.world.rng.choice((0.2, 3.0, 12.0)) * self.world.rng.random()
        self.world.at(room, lambda life=self.life: self.start_again(life))

    def start_again(self, life: int) -> None:
        if life == self.life:
            self.crash(down=0.0)

    # --- clients at this monitor

    def write(self) -> None:
        world = self.world
        if self.member is None or self.paused_until > world.now or self.name in world.quiet:
            return
        world.writes += 1
        token = world.writes
        transaction = Transaction().put(SERVICE, f"w{token}", token)
        transaction.put(SERVICE, "register", token)
        if token % 7 == 0:
            transaction.erase_range(SERVICE, "x", "y").put(SERVICE, f"x{token}", token)
        if self.member.propose(transaction.value, token, *self.clocks()):
            world.proposed.add(token)
            self.flush()

    def read(self) -> None:
        if self.member is None or self.paused_until > self.world.now:
            return
        if self.member.readable(*self.clocks()):
            least = self.world.newest_seen
            version = self.member.paxos.last_committed
            self.outbox.append((self.asked, self.world.on_read, (self.name, version, least)))
            self.release()


@dataclass
class World:
    """The history of one seed."""

    seed: int
    count: int
    trouble: Trouble
    strategy: int = ElectionStrategy.CLASSIC
    settings: Settings = field(default_factory=Settings)
    keep_trace: bool = False
    node_class: ClassVar[type[Node]] = Node

    def __post_init__(self) -> None:
        self.rng = random.Random(f"{self.seed}/world")
        self.now = 0.0
        self.calls: list = []
        self.serial = 0
        self.monmap = monmap_of(self.count, self.strategy, same_host=self.trouble.same_host)
        self.trace: list[str] = []
        self.hash = hashlib.blake2b(digest_size=16)
        self.faulty = True
        self.commits = self.writes = self.reads = self.syncs = self.elections = 0
        self.asides = 0
        self.logged: list[tuple[str, str]] = []
        self.proposed: set[int] = set()
        self.quiet: set[str] = set()
        self.acknowledged: dict[int, int] = {}
        self.newest_seen = 0
        self.chosen: dict[int, bytes] = {}
        self.checked: dict[str, int] = {}
        self.blocked: dict[tuple[str, str], list | None] = {}
        self.link_free_at: dict[tuple[str, str], float] = {}
        self.slow_links: set[tuple[str, str]] = set()
        self.nodes = {name: self.node_class(self, name) for name in self.monmap.ranks}
        self.name_at = {node.addrs: name for name, node in self.nodes.items()}
        for one in self.nodes:
            for other in self.nodes:
                if self.rng.random() < self.trouble.slow_link:
                    self.slow_links.add((one, other))

    # --- time

    def at(self, after: float, call) -> None:
        self.serial += 1
        heapq.heappush(self.calls, (self.now + max(0.0, after), self.serial, call))

    def run(self, seconds: float, until=None) -> bool:
        """Let time pass; True as soon as `until()` holds."""
        end = self.now + seconds
        while self.calls and self.calls[0][0] <= end:
            self.now, serial, call = heapq.heappop(self.calls)
            assert serial < MAX_CALLS, "the history does not come to rest"
            call()
            if until is not None and until():
                return True
        self.now = end
        return False

    def note(self, text: str) -> None:
        self.hash.update(f"{self.now:.9f} {text}".encode())
        if self.keep_trace:
            self.trace.append(f"{self.now:10.4f} {text}")

    # --- the network

    def transmit(self, sender: Node, to: EntityAddrVec, message) -> None:
        name = self.name_at.get(to)
        if name is None:
            return
        if self.keep_trace:
            self.trace.append(f"{self.now:10.4f} {sender.name} -> {name} {message}"[:250])
        if isinstance(message, MMonSync) and message.op == SyncOp.LAST_CHUNK:
            self.syncs += 1
        if self.trouble.encode:
            version, compat, front = message.encode_payload(PACIFIC)
            message = decode_message(type(message).TYPE, version, compat, front)
        if self.faulty and self.rng.random() < self.trouble.loss:
            return
        self.carry(sender.name, name, sender.life, message)

    def carry(self, one: str, other: str, life: int, message) -> None:
        link = (one, other)
        if link in self.blocked:
            held = self.blocked[link]
            if held is not None:
                held.append((one, other, life, message))
            return
        delay = self.rng.expovariate(1 / 0.0008) + 0.0001
        if link in self.slow_links and self.faulty:
            delay += self.rng.random() * 0.4
        arrival = max(self.link_free_at.get(link, 0.0), self.now + delay)
        self.link_free_at[link] = arrival
        addrs = self.nodes[one].addrs
        self.at(arrival - self.now, lambda: self.nodes[other].receive(addrs, message))

    def refuse(self, dead: Node, sender: EntityAddrVec) -> None:
        """Nobody listens at `dead`: the sender is told, if the answer can reach it."""
        asker = self.name_at[sender]
        if self.trouble.hints and (dead.name, asker) not in self.blocked:
            delay = self.rng.expovariate(1 / 0.0008) + 0.0001
            self.at(delay, lambda: self.nodes[asker].refused(dead.addrs))

    def mislead(self, one: str = "", other: str = "") -> None:
        """Tell one monitor that another one is gone, which need not be true."""
        if not one:
            one, other = self.rng.sample(list(self.nodes), 2)
        self.nodes[one].refused(self.nodes[other].addrs)

    # --- faults

    def partition(self) -> None:
        """Cut some links, whole groups or single ones, one way or both; mended after a while."""
        rng = self.rng
        names = list(self.nodes)
        group = set(rng.sample(names, rng.randrange(1, len(names))))
        kind = rng.randrange(3)
        links = [
            (one, other)
            for one in names
            for other in names
            if one != other
            and (
                (kind == 0 and (one in group) != (other in group))
                or (kind == 1 and one in group and other not in group)
                or (kind == 2 and rng.random() < 0.3)
            )
        ]
        keeps = rng.random() < 0.5
        made = [link for link in links if link not in self.blocked]
        for link in made:
            self.blocked[link] = [] if keeps else None
        self.note(f"cut {made}")
        self.at(rng.choice((0.5, 5.0, 20.0)) * rng.random(), lambda: self.mend(made))

    def split(self) -> None:
        """Cut the leader off with a minority, and let the others elect another one at once.

        What the old leader says to its minority may be held up, and arrive long after.
        """
        leaders = [
            node
            for node in self.nodes.values()
            if node.member is not None and node.member.state.phase is Phase.LEADER
        ]
        if not leaders:
            self.at(0.5, self.split)
            return
        others = [name for name in self.nodes if name != leaders[0].name]
        self.rng.shuffle(others)
        minority = [leaders[0].name, *others[: (self.count - 1) // 2 - 1]]
        majority = [name for name in self.nodes if name not in minority]
        links = [(a, b) for a in minority for b in majority]
        links += [(b, a) for a, b in links]
        links = [link for link in links if link not in self.blocked]
        for link in links:
            self.blocked[link] = None
        held = [(minority[0], name) for name in minority[1:] if self.rng.random() < 0.5]
        held = [link for link in held if link not in self.blocked]
        for link in held:
            self.blocked[link] = []
        self.note(f"split {minority} from {majority}, held {held}")
        self.at(self.rng.uniform(4.0, 9.0), lambda: self.mend(held))
        self.at(20.0, lambda: self.mend(links))
        # A proposal would end the leases of the minority.
        self.quiet = set(minority)
        self.at(20.0, self.quiet.clear)
        for name in minority:
            self.often(10.0, self.nodes[name].read, self.now + 20.0)
        if not self.trouble.false_hint_rate:
            self.nodes[majority[0]].crash()
            self.at(0.01, self.nodes[majority[0]].start)
        else:
            for name in majority:
                for gone in minority:
                    self.at(0.02, lambda name=name, gone=gone: self.mislead(name, gone))

    def mend(self, links) -> None:
        for link in links:
            for message in self.blocked.pop(link, None) or ():
                self.carry(*message)

    def pause(self) -> None:
        node = self.rng.choice(list(self.nodes.values()))
        node.paused_until = self.now + self.rng.choice((0.5, 4.0, 12.0)) * self.rng.random()
        self.note(f"{node.name} stands still until {node.paused_until:.3f}")

    def often(self, rate: float, action, until: float) -> None:
        """Do something at random times, at a mean rate."""
        if rate <= 0:
            return

        def again():
            if self.now < until:
                action()
                self.at(self.rng.expovariate(rate), again)

        self.at(self.rng.expovariate(rate), again)

    def somewhere(self, method: str):
        def action():
            getattr(self.rng.choice(list(self.nodes.values())), method)()

        return action

    # --- what members say, and the checks

    def on_event(self, node: Node, event) -> None:
        if isinstance(event, Refresh):
            self.check_versions(node)
        elif isinstance(event, Joined):
            self.elections += 1
            self.note(f"{node.name} joins {event.epoch} {event.leader} {sorted(event.quorum)}")
            assert event.leader in event.quorum
            assert len(event.quorum) > self.count // 2
        elif isinstance(event, ClusterLog):
            self.logged.append((event.level, event.text))
        elif isinstance(event, SteppedAside):
            self.asides += 1
        elif isinstance(event, Left):
            self.note(f"{node.name} leaves")
        assert not isinstance(event, Stopped), f"{node.name} stopped: {event}"

    def check_versions(self, node: Node) -> None:
        """One value per version on all: compare what is newly committed here."""
        last = node.member.paxos.last_committed
        assert last == get_number(node.store, PAXOS, "last_committed")
        self.note(f"{node.name} has {last}")
        first = max(self.checked.get(node.name, 0) + 1, node.member.paxos.first_committed)
        for version in range(first, last + 1):
            value = get_version(node.store, PAXOS, version)
            assert value is not None, f"{node.name} lacks version {version}"
            assert self.chosen.setdefault(version, value) == value, f"two values of {version}"
        self.checked[node.name] = last if last >= self.checked.get(node.name, 0) else 0

    def on_outcome(self, outcome) -> None:
        self.note(f"write {outcome.token} is {outcome.version}")
        if outcome.version is not None:
            assert outcome.token not in self.acknowledged
            self.acknowledged[outcome.token] = outcome.version
            self.newest_seen = max(self.newest_seen, outcome.version)

    def on_read(self, read) -> None:
        name, version, least = read
        self.reads += 1
        assert version >= least, f"{name} served {version} when {least} had been seen"
        self.newest_seen = max(self.newest_seen, version)

    # --- a whole history

    def history(self, seconds: float = 30.0) -> None:
        self.begin(seconds)
        self.run(seconds)
        self.settle()

    def begin(self, seconds: float) -> None:
        """Arrange for the monitors to start, and for all that happens in that time."""
        trouble = self.trouble
        late = self.rng.choice(list(self.nodes)) if trouble.late_member else None
        for name, node in self.nodes.items():
            start = 15.0 if name == late else self.rng.random() * 0.5
            self.at(start, node.start)
        end = self.now + seconds
        self.often(4.0, self.leader_writes, end)
        self.often(0.5, self.somewhere("write"), end)
        self.often(6.0, self.somewhere("read"), end)
        self.often(trouble.crash_rate, self.somewhere("crash"), end)
        self.often(trouble.partition_rate, self.partition, end)
        self.often(trouble.pause_rate, self.pause, end)
        self.often(trouble.false_hint_rate, self.mislead, end)
        self.often(trouble.full_disk_rate, self.somewhere("fill"), end)
        self.often(trouble.leave_rate, self.somewhere("leave"), end)
        if trouble.split:
            self.at(8.0, self.split)

    def leader_writes(self) -> None:
        for node in self.nodes.values():
            if node.member is not None and node.member.state.phase is Phase.LEADER:
                node.write()

    def settle(self) -> None:
        """No more faults: a full quorum, commits, and the same everywhere."""
        before = self.heal()
        assert self.run(PROGRESS_LIMIT_S, lambda: self.whole(before)), "no progress after healing"
        assert self.run(10.0, self.quiet_now), "does not come to rest"
        self.check_final()

    def heal(self) -> int:
        """End the faults, and go on writing; how many writes are acknowledged so far."""
        self.note("settle")
        self.faulty = False
        self.mend(list(self.blocked))
        for node in self.nodes.values():
            node.paused_until = self.now
            node.slow_disk = False
            if node.member is not None and node.member.store_failed:
                node.crash(down=0.0)
            node.start()
            node.come_back(node.life)
        self.often(1.0, self.leader_writes, self.now + PROGRESS_LIMIT_S)
        return len(self.acknowledged)

    def check_final(self) -> None:
        final = [dict(node.store.items(SERVICE)) for node in self.nodes.values()]
        assert all(content == final[0] for content in final), "stores differ"
        for token, version in self.acknowledged.items():
            assert final[0].get(f"w{token}") is not None, f"acknowledged {token} is lost"
            assert version in self.chosen
        assert {int(key[1:]) for key in final[0] if key[0] == "w"} <= self.proposed
        assert self.model() == final[0], "applying all versions in order gives something else"
        for node in self.nodes.values():
            assert node.member.readable(*node.clocks())

    def whole(self, before: int) -> bool:
        members = [node.member for node in self.nodes.values()]
        return (
            len(self.acknowledged) > before + 2
            and all(m is not None and len(m.state.quorum) == self.count for m in members)
            and all(m.paxos.readable() for m in members)
            and len({m.paxos.last_committed for m in members}) == 1
        )

    def quiet_now(self) -> bool:
        """Whether all hold the same version, and nothing waits for a disk."""
        nodes = self.nodes.values()
        return (
            all(n.asked == n.durable and not n.member.paxos._value for n in nodes)
            and len({n.member.paxos.last_committed for n in nodes}) == 1
            and all(n.member.readable(*n.clocks()) for n in nodes)
        )

    def model(self) -> dict[str, bytes]:
        """What the service's prefix holds when all versions are applied in order."""
        store = MemoryKeyValueStore(lambda land: None)
        for version in range(1, max(self.chosen, default=0) + 1):
            store.stage(Transaction().append_encoded(self.chosen[version]).value)
        return dict(store.items(SERVICE))

    def digest(self) -> str:
        return self.hash.hexdigest()


def small_settings(rng: random.Random, *, pings: bool) -> Settings:
    """Settings with which trimming and synchronising happen within a history."""
    features = Settings().mon_features
    settings = Settings(
        sync_prefixes=("paxos", SERVICE),
        mon_features=features if pings else features & ~MonFeature.PINGING,
        mon_sync_max_payload_keys=rng.choice((3, 20, 2000)),
        mon_sync_timeout=8.0,
    )
    if rng.random() < 0.6:
        settings = replace(
            settings, paxos_min=8, paxos_trim_min=4, paxos_trim_max=6, paxos_max_join_drift=3
        )
    return settings


def drawn_world(seed: int, *, keep_trace: bool = False) -> World:
    """The world of a seed: three or five monitors, any strategy, any trouble."""
    rng = random.Random(f"{seed}/draw")
    strategy = rng.choices(list(ElectionStrategy), (8, 1, 1))[0]
    pings = strategy == ElectionStrategy.CONNECTIVITY or rng.random() < 0.2
    return World(
        seed,
        3 if rng.random() < 0.6 else 5,
        Trouble.drawn(rng),
        strategy,
        small_settings(rng, pings=pings),
        keep_trace,
    )


__all__ = ["Node", "Trouble", "World", "drawn_world", "monmap_of", "small_settings"]
