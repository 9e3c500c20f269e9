from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys

import pytest

from spirula.errors import Busy, InputOutput, NoSpace, WireError
from spirula.mon.store import Transaction
from spirula.store.keyvalue import MemoryKeyValueStore
from spirula.store.sqlite import SqliteKeyValueStore
from spirula.types.mon import StoreOp, StoreTransaction


class Bench:
    """A store of either engine, on a loop of its own; `reopen` closes it properly first."""

    def __init__(self, kind, path):
        self.kind = kind
        self.path = path
        self.loop = asyncio.new_event_loop()
        self.store = self.make()

    def make(self):
        if self.kind == "memory":
            return MemoryKeyValueStore(self.loop.call_soon)
        return SqliteKeyValueStore(self.path, self.loop.call_soon_threadsafe)

    def apply(self, transaction):
        self.store.stage(transaction.value)

    def commit(self):
        async def landed():
            future = self.loop.create_future()
            self.store.commit(future.set_result)
            assert not future.done()
            return await future

        return self.loop.run_until_complete(landed())

    def reopen(self):
        if self.kind == "memory":
            self.store = self.store.after_crash(self.loop.call_soon)
        else:
            self.store.close()
            self.store = self.make()

    def end(self):
        if self.kind == "sqlite":
            self.store.close()
        self.loop.close()


@pytest.fixture(params=["memory", "sqlite"])
def bench(request, tmp_path):
    bench = Bench(request.param, tmp_path / "store.db")
    yield bench
    bench.end()


def test_what_is_staged_is_read_at_once_and_kept_after_the_commit(bench):
    bench.apply(Transaction().put("paxos", 7, b"seven").put("monitor", "joined", 1))
    assert bench.store.get("paxos", "7") == b"seven"
    assert bench.store.get("monitor", "joined") == (1).to_bytes(8, "little")
    assert bench.commit() is None
    assert bench.store.get("paxos", "7") == b"seven"
    bench.reopen()
    assert bench.store.get("paxos", "7") == b"seven"
    assert bench.store.get("paxos", "8") is None
    assert bench.store.get("pax", "os7") is None


def test_a_later_operation_of_a_transaction_wins(bench):
    bench.apply(
        Transaction().put("p", "k", b"1").erase("p", "k").put("p", "k", b"").erase("p", "x")
    )
    assert bench.store.get("p", "k") == b""
    bench.commit()
    bench.reopen()
    assert bench.store.get("p", "k") == b""


def test_keys_come_in_the_order_of_their_bytes_whatever_they_are(bench):
    keys = ["", "1", "10", "2", "a\0b", "ä", "\U0001f40c", "￿", "\udc80", "\udcff"]
    transaction = Transaction()
    for key in keys:
        transaction.put("p", key, key.encode("utf-8", "surrogateescape"))
    bench.apply(transaction.put("q", "z", b"").put("o", "z", b""))
    expected = sorted(keys, key=lambda key: key.encode("utf-8", "surrogateescape"))
    assert [key for key, _ in bench.store.items("p")] == expected
    bench.commit()
    assert [key for key, _ in bench.store.items("p")] == expected
    assert list(bench.store.items("p", "1", "2")) == [("1", b"1"), ("10", b"10")]
    assert list(bench.store.items("none")) == []


def test_ranges_are_erased_without_their_end_and_within_their_prefix(bench):
    for prefix in ("a", "b", "c"):
        for key in "0123456789":
            bench.apply(Transaction().put(prefix, key, key.encode()))
    bench.commit()
    bench.apply(Transaction().put("b", "35", b"").erase_range("b", "2", "7").put("b", "3", b"new"))
    for _ in range(2):
        assert "".join(key for key, _ in bench.store.items("b")) == "013789"
        assert bench.store.get("b", "3") == b"new"
        assert len(list(bench.store.items("a"))) == len(list(bench.store.items("c"))) == 10
        bench.commit()
        bench.reopen()


def test_compacting_changes_nothing_that_can_be_read(bench):
    bench.apply(Transaction().put("p", "a", bytes(100_000)).put("p", "b", b"b"))
    bench.commit()
    bench.apply(Transaction().erase("p", "a").compact("p"))
    assert bench.commit() is None
    assert list(bench.store.items("p")) == [("b", b"b")]


def test_an_unknown_operation_is_refused_whole(bench):
    with pytest.raises(WireError):
        bench.store.stage(StoreTransaction([StoreOp(1, "p", "k", b"v", ""), StoreOp(9)], 0, 0))
    assert bench.store.get("p", "k") is None


def test_commits_call_back_in_order(bench):
    async def run():
        landed = []
        for number in range(20):
            bench.apply(Transaction().put("p", number, number))
            bench.store.commit(lambda error, number=number: landed.append((number, error)))
        last = bench.loop.create_future()
        bench.store.commit(last.set_result)
        await last
        return landed

    assert bench.loop.run_until_complete(run()) == [(number, None) for number in range(20)]


def test_both_engines_hold_the_same_after_any_changes(bench):
    rng = random.Random(5)
    model = {}
    keys = [str(number) for number in range(600)]
    for step in range(120):
        transaction = Transaction()
        for _ in range(rng.randrange(12)):
            prefix, key = rng.choice("pq"), rng.choice(keys)
            match rng.randrange(6):
                case 0:
                    transaction.erase(prefix, key)
                    model.pop((prefix, key), None)
                case 1 if step % 10 == 0:
                    end = rng.choice(keys)
                    transaction.erase_range(prefix, key, end)
                    for found in [k for k in model if k[0] == prefix and key <= k[1] < end]:
                        del model[found]
                case _:
                    model[prefix, key] = rng.randbytes(9)
                    transaction.put(prefix, key, model[prefix, key])
        bench.apply(transaction)
        if rng.random() < 0.3:
            bench.commit()
        if rng.random() < 0.05:
            bench.commit()
            bench.reopen()
        for prefix in "pq":
            expected = sorted((k, v) for (p, k), v in model.items() if p == prefix)
            assert list(bench.store.items(prefix)) == expected
            for key in rng.sample(keys, 20):
                assert bench.store.get(prefix, key) == model.get((prefix, key))


def test_a_simulated_crash_keeps_what_was_committed_and_nothing_else():
    disk = []
    landed = []
    store = MemoryKeyValueStore(disk.append)
    store.stage(Transaction().put("p", "a", b"1").value)
    store.commit(landed.append)
    store.stage(Transaction().put("p", "a", b"2").put("p", "b", b"2").value)
    store.commit(landed.append)
    store.stage(Transaction().put("p", "c", b"3").value)
    disk[0]()
    left = store.after_crash(disk.append)
    disk[1]()
    assert landed == [None]
    assert list(left.items("p")) == [("a", b"1")]


def test_a_full_simulated_disk_fails_every_commit_from_then_on():
    landed = []
    disk = []
    store = MemoryKeyValueStore(disk.append)
    store.fail(NoSpace())
    store.stage(Transaction().put("p", "a", b"1").value)
    store.commit(landed.append)
    disk.pop()()
    assert isinstance(landed[0], NoSpace)
    assert store.after_crash(disk.append).get("p", "a") is None


def test_a_full_disk_fails_every_commit_from_then_on(tmp_path):
    bench = Bench("sqlite", tmp_path / "store.db")
    bench.apply(Transaction().put("p", "a", b"1"))
    assert bench.commit() is None
    pages = bench.store._writer.execute("PRAGMA page_count").fetchone()[0]
    bench.store._writer.execute(f"PRAGMA max_page_count = {pages}")
    bench.apply(Transaction().put("p", "b", bytes(100_000)))
    assert isinstance(bench.commit(), NoSpace)
    bench.apply(Transaction().put("p", "c", b"small"))
    assert isinstance(bench.commit(), NoSpace)
    bench.reopen()
    assert [key for key, _ in bench.store.items("p")] == ["a"]
    bench.end()


def test_small_values_are_read_from_memory_and_large_ones_are_not_kept(tmp_path):
    bench = Bench("sqlite", tmp_path / "store.db")
    bench.apply(Transaction().put("p", "number", 7).put("p", "large", bytes(1000)))
    bench.apply(Transaction().put("p", "shrinks", bytes(1000)).put("p", "grows", b"small"))
    bench.commit()
    assert bench.store.get("p", "missing") is None
    bench.apply(Transaction().put("p", "missing", b"now there").put("p", "grows", bytes(2000)))
    bench.apply(Transaction().put("p", "shrinks", b"small").erase("p", "number"))
    bench.commit()
    reader, bench.store._reader = bench.store._reader, None  # who asks it now, fails
    assert bench.store.get("p", "number") is None
    assert bench.store.get("p", "missing") == b"now there"
    assert bench.store.get("p", "shrinks") == b"small"
    for key in ("large", "grows"):
        with pytest.raises(AttributeError):
            bench.store.get("p", key)
    bench.store._reader = reader
    assert bench.store.get("p", "grows") == bytes(2000)
    bench.end()


def test_the_log_is_copied_into_the_data_file_while_it_is_open(tmp_path):
    bench = Bench("sqlite", tmp_path / "store.db")
    for number in range(5):
        bench.apply(Transaction().put("p", number, bytes(4 << 20)))
        bench.commit()
    bench.commit()  # it has seen to the log of the commit before
    assert bench.path.stat().st_size > 16 << 20
    assert len(list(bench.store.items("p"))) == 5
    bench.end()


def test_two_processes_cannot_have_it(tmp_path):
    bench = Bench("sqlite", tmp_path / "store.db")
    with pytest.raises(Busy):
        SqliteKeyValueStore(bench.path, bench.loop.call_soon_threadsafe)
    bench.end()


def test_what_is_no_store_is_refused(tmp_path):
    path = tmp_path / "store.db"
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(InputOutput):
        SqliteKeyValueStore(path, print)


def test_a_backup_is_a_store(tmp_path):
    bench = Bench("sqlite", tmp_path / "store.db")
    for number in range(1000):
        bench.apply(Transaction().put("p", number, number))
    bench.commit()
    bench.store.backup(tmp_path / "copy.db")
    bench.apply(Transaction().put("p", "later", b""))
    bench.end()
    copy = Bench("sqlite", tmp_path / "copy.db")
    assert len(list(copy.store.items("p"))) == 1000
    copy.end()


CHILD = """
import asyncio, pathlib, sys
from spirula.mon.store import Transaction
from spirula.store.sqlite import SqliteKeyValueStore

async def main():
    loop = asyncio.get_running_loop()
    store = SqliteKeyValueStore(pathlib.Path(sys.argv[1]), loop.call_soon_threadsafe)
    number = int(sys.argv[2])
    while True:
        batch = [loop.create_future() for _ in range(number % 5 + 1)]
        for future in batch:
            transaction = Transaction().put("a", number, number).put("b", number, bytes(3000))
            if number >= 50:
                transaction.erase("b", number - 50)
            store.stage(transaction.put("a", "last", number).value)
            store.commit(future.set_result)
            future.add_done_callback(lambda _, n=number: print(n, flush=True))
            number += 1
        await asyncio.gather(*batch)

asyncio.run(main())
"""


@pytest.mark.slow
def test_acknowledged_commits_survive_kill_9(tmp_path):
    """Five times: a child writes, says what was committed, and is killed in the middle of it."""
    path = tmp_path / "store.db"
    acknowledged = -1
    for _ in range(5):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path), str(acknowledged + 1)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(60):
            acknowledged = int(child.stdout.readline())
        os.kill(child.pid, signal.SIGKILL)
        rest = child.stdout.read()
        child.wait()
        child.stdout.close()
        acknowledged = max([acknowledged, *map(int, rest.split("\n")[:-1])])

        bench = Bench("sqlite", path)
        last = int.from_bytes(bench.store.get("a", "last"), "little")
        assert last >= acknowledged
        assert {int(key) for key, _ in bench.store.items("a") if key != "last"} == set(
            range(last + 1)
        )
        assert {int(key) for key, _ in bench.store.items("b")} == set(
            range(max(0, last - 49), last + 1)
        )
        bench.end()
        acknowledged = last
    with sqlite3.connect(path) as check:
        assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    check.close()
