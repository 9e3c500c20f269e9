"""One quorum member on a bench, for unit tests: an instant disk, and time by hand."""

from __future__ import annotations

from spirula.denc.features import PACIFIC
from spirula.mon.quorum.member import Member
from spirula.mon.quorum.state import Phase, Settings
from spirula.mon.store import Transaction, get_number
from spirula.store.keyvalue import MemoryKeyValueStore
from spirula.types.entity import EntityAddrVec
from spirula.types.mon import MonInfo, MonMap

FSID = bytes(range(16))
WALL = 1_700_000_000.0


def addrs_of(rank):
    return EntityAddrVec.parse(f"[v2:10.0.0.{rank + 1}:3300/0,v1:10.0.0.{rank + 1}:6789/0]")


def monmap_of(count, **fields):
    names = "abcde"[:count]
    info = {name: MonInfo(name, addrs_of(rank)) for rank, name in enumerate(names)}
    return MonMap(fsid=FSID, epoch=1, mon_info=info, ranks=list(names), **fields)


class Bench:
    """One member, with a disk that is as quick as thought; time stands at `now`."""

    def __init__(self, rank, count, store=None, monmap=None, **settings):
        self.store = store or MemoryKeyValueStore(lambda land: land())
        self.now = 100.0
        self.events = []
        self.outcomes = []
        self.member = Member(
            "abcde"[rank],
            addrs_of(rank),
            monmap or monmap_of(count),
            self.store,
            Settings(sync_prefixes=("paxos", "svc"), **settings),
        )

    def clocks(self):
        return self.now, WALL + self.now

    def done(self):
        """The messages that may leave now, with whom they are for."""
        ready = self.member.take()
        if ready.persist:
            self.store.commit(lambda error: None)
        self.events += ready.events
        self.outcomes += ready.outcomes
        return [(send.to, send.message) for send in ready.messages]

    def start(self):
        self.member.start(*self.clocks())
        return self.done()

    def hear(self, rank, message, features=PACIFIC):
        self.member.on_message(addrs_of(rank), features, message, *self.clocks())
        return self.done()

    def wait(self, seconds):
        self.now += seconds
        self.member.wake(*self.clocks())
        return self.done()

    def propose(self, key, value, token):
        transaction = Transaction().put("svc", key, value).value
        began = self.member.propose(transaction, token, *self.clocks())
        return began, self.done()

    def readable(self):
        return self.member.readable(*self.clocks())

    def number(self, key):
        return get_number(self.store, "paxos", key)


def connect(*benches):
    """Deliver everything, in order, until nothing more is said; who is `None` hears nothing."""
    waiting = []
    ranks = {addrs_of(rank): rank for rank in range(len(benches))}

    def run(sender, messages):
        waiting.extend((sender, to, message) for to, message in messages)
        while waiting:
            one, to, message = waiting.pop(0)
            other = benches[ranks[to]]
            if other is not None:
                answers = other.hear(one, message)
                waiting.extend((ranks[to], onward, answer) for onward, answer in answers)

    return run


def pass_time(benches, run, seconds):
    """Let the same time pass for all, and then whatever is due happen."""
    for bench in benches:
        bench.now += seconds
    for rank, bench in enumerate(benches):
        run(rank, bench.wait(0.0))


def quorum_of(count, **settings):
    benches = [Bench(rank, count, **settings) for rank in range(count)]
    run = connect(*benches)
    for rank, bench in enumerate(benches):
        run(rank, bench.start())
    pass_time(benches, run, 6.0)
    assert benches[0].member.state.phase is Phase.LEADER
    return benches, run
