"""A store's process is killed at random points, over and over; run by `test_kill` as a program.

Each round is a child of this process, forked, so that it starts at once (this process never opens
the store: RocksDB's threads would be missing in the children). The child makes or mounts the store,
compares all of it with the model and has it checked, then writes, telling the parent by a pipe what
it queued and what was committed, until it is killed: perhaps while it still mounts. Transactions
carry their number, so that what is left tells which was the last: none that was committed may be
missing, and none can be there by half. With `outages` the power fails as well.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import struct
import sys
import time
import traceback
from copy import deepcopy
from pathlib import Path
from queue import SimpleQueue

from spirula.store.disk.fsck import fsck
from spirula.store.disk.medium import FolderMedium
from spirula.store.disk.mkfs import mkfs
from spirula.store.disk.state import Options
from spirula.store.disk.store import DiskObjectStore
from tests.unit.store.conformance import META, PG, History, obj, txn
from tests.unit.store.disk.outage import WatchedMedium, cut_power

COUNTER = obj("counter", pool=-1)
IN_FLIGHT = 16
SIZE = 64 << 20
EVENT = struct.Struct("<cI")
QUEUED, COMMITTED, LEFT = b"q", b"c", b"l"


class Small(History):
    """As quick as can be: most of a round is what surrounds the writing."""

    SIZES = (1, 100, 4096, 5000, 65536, 70000)


class Campaign:
    """The store, and the model as of the last transaction that is known to be in it."""

    def __init__(self, folder, seed, *, outages=False):
        self.folder, self.seed, self.outages = folder, seed, outages
        self.notes = folder.with_name(folder.name + ".notes")
        self.rng = random.Random(seed)
        self.history = Small(random.Random(0))
        self.round = self.last = 0
        self.queued = self.committed = 0

    def batch(self, history, number):
        """The transactions of this number, made of the round before and the content so far."""
        history.rng = random.Random(f"{self.seed}/{self.round}/{number}")
        batch = history.batch()
        batch[-1].setattr(META, COUNTER, "n", b"%d" % number)
        return batch

    def replay(self, number):
        """Bring the model from the last known transaction to this one."""
        while self.last < number:
            self.last += 1
            self.batch(self.history, self.last)

    def medium(self):
        return WatchedMedium(self.folder, self.notes) if self.outages else FolderMedium(self.folder)

    def options(self):
        rng = random.Random(f"{self.seed}/{self.round}")
        return Options(
            log_new_below=rng.choice([0, 64 << 10]),
            log_bytes=rng.choice([1 << 16, 1 << 20, 16 << 20]),
            discard_from=rng.choice([4096, 65536]),
            discard_together=rng.choice([1, 1 << 16, 16 << 20]),
            memory_target=rng.choice([1 << 20, 32 << 20]),
        )


def main(folder, rounds, seed, outages):
    """Kill and look so many times; what happened, as JSON."""
    campaign = Campaign(folder, seed, outages=outages)
    told = {"kills": 0, "while_mounting": 0, "committed": 0, "most_lost": 0, "ends": 0}
    begin = time.monotonic()
    for _ in range(rounds):
        kind = one_round(campaign)
        told[kind] += 1
        told["most_lost"] = max(told["most_lost"], campaign.queued - campaign.committed)
    told["committed"] = campaign.committed
    told["seconds"] = round(time.monotonic() - begin, 1)
    print(json.dumps(told))


def one_round(campaign):
    """Fork, wait, kill; the model is brought to what the child found."""
    rng = campaign.rng
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        status = 1
        try:
            if campaign.outages:
                cut_power(campaign.folder, campaign.notes, campaign.rng)
            mkfs(campaign.folder, size=SIZE)
            live(campaign, writer)
            status = 0
        except BaseException:  # noqa: BLE001 - whatever it is, the parent has to hear of it
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)  # no clean-up: it is the parent's
    os.close(writer)
    mounting = rng.random() < 0.15
    deadline = time.monotonic() + (rng.random() * 0.03 if mounting else 60)
    commits = rng.choice([0, 1, 3, 10, 40])
    extra = rng.random() * 0.01
    left, events = None, b""
    killed = False
    while True:
        timeout = max(0.0, deadline - time.monotonic())
        ready, _, _ = select.select([reader], [], [], timeout)
        if not ready and not killed:
            os.kill(child, signal.SIGKILL)
            killed, deadline = True, time.monotonic() + 60
            continue
        data = os.read(reader, 65536)
        if not data:
            break
        events += data
        whole = len(events) - len(events) % EVENT.size
        for kind, number in EVENT.iter_unpack(events[:whole]):
            if kind == LEFT:
                left = number
                campaign.replay(number)
                campaign.queued = campaign.committed = number
                campaign.round += 1
            elif kind == QUEUED:
                campaign.queued = number
            else:
                campaign.committed = number
                commits -= 1
        events = events[whole:]
        if left is not None and commits <= 0 and not killed:
            deadline, commits = time.monotonic() + extra, 1 << 30
    os.close(reader)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status):
        if os.WEXITSTATUS(status):
            raise SystemExit(f"round {campaign.round} of seed {campaign.seed}: see above")
        return "ends"
    return "kills" if left is not None else "while_mounting"


def live(campaign, writer):
    """The child: look at what is left, then write until killed (or now and then to an end)."""

    def tell(kind, number):
        os.write(writer, EVENT.pack(kind, number))

    rng = random.Random(f"{campaign.seed}/{campaign.round}/life")
    if rng.random() < 0.4:
        check(campaign.folder, deep=rng.random() < 0.5)
    calls = SimpleQueue()
    store = DiskObjectStore(campaign.medium(), calls.put, campaign.options())
    store.mount()
    last = look(campaign, store, calls)
    tell(LEFT, last)
    campaign.replay(last)
    campaign.round += 1
    history = campaign.history
    end = rng.choice([None, None, None, None, None, None, None, 20])
    done = number = last

    def committed(error, count):
        nonlocal done
        assert error is None, error
        assert count == done + 1, "out of order"
        done = count
        tell(COMMITTED, count)

    while end is None or number < last + end:
        number += 1
        batch = campaign.batch(history, number)
        tell(QUEUED, number)
        store.queue_transactions(
            PG, batch, None, lambda error, count=number: committed(error, count)
        )
        while not calls.empty() or number - done >= IN_FLIGHT:
            calls.get(timeout=60)()
    store.umount()
    assert done == number
    check(campaign.folder, deep=True)


def look(campaign, store, calls):
    """The number of the last transaction that is in the store, which has it and all before it."""
    if not store.list_collections():
        assert not campaign.committed
        told = []
        first = txn(
            ("create_collection", META, 0),
            ("create_collection", PG, 0),
            ("touch", META, COUNTER),
            ("setattr", META, COUNTER, "n", b"0"),
        )
        store.queue_transactions(META, [first], None, told.append)
        while not told:
            calls.get(timeout=60)()
    last = int(store.getattr(META, COUNTER, "n"))
    assert campaign.committed <= last <= campaign.queued, (campaign.committed, last)
    found = Campaign(campaign.folder, campaign.seed)
    found.__dict__ |= deepcopy(campaign.__dict__)
    found.replay(last)
    found.history.model.check(store)
    return last


def check(folder, *, deep):
    """Let fsck look at it, before it is mounted."""
    opened = FolderMedium(folder).open(4 << 20)
    try:
        report = fsck(opened, deep=deep)
    finally:
        opened.close()
    assert report.is_clean, report.findings


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "outages")
