"""`spirula store power-cut`: it tells what is durable, and finds whatever is not as it was told."""

from __future__ import annotations

import json
import multiprocessing

import pytest

from spirula.cli.main import main
from spirula.cli.store.power_cut import CID, COUNTER, begin, last_of, transaction, verify
from spirula.errors import InputOutput
from spirula.store.memory import MemoryObjectStore
from spirula.store.objectstore import list_all
from spirula.types.transaction import Transaction


@pytest.fixture
def folder(tmp_path, capsys):
    path = tmp_path / "store"
    assert main(["store", "mkfs", str(path), "--size", "1G"]) == 0
    capsys.readouterr()
    return path


def run(capsys, folder, *words, status=0):
    assert main(["store", "power-cut", str(folder), *words]) == status
    return capsys.readouterr()


def test_write_and_verify(capsys, folder):
    assert run(capsys, folder, "--count", "40").out.split() == [str(n) for n in range(1, 41)]
    assert run(capsys, folder, "--count", "3").out.split() == ["41", "42", "43"]
    expected = "all 41 that were durable are whole, and 43 are there\n"
    assert run(capsys, folder, "--verify", "41").out == expected
    shown = run(capsys, folder, "--verify", "43", "--json").out
    assert json.loads(shown) == {"told": 43, "last": 43}
    error = run(capsys, folder, "--verify", "44", status=5).err
    assert "44 transactions were durable, and 43 are left" in error
    assert main(["store", "fsck", str(folder), "--deep"]) == 0


def test_another_store_is_left_alone(capsys, folder):
    assert main(["store", "mkcoll", str(folder), "meta"]) == 0
    error = run(capsys, folder, status=22).err
    assert "give it a new one of its own" in error


@pytest.mark.slow
def test_a_writer_that_is_killed(capsys, folder):
    ended = run(capsys, folder, "--kill", "2", "--seed", "5")
    assert ended.err.count(", all whole\n") == 2
    assert not multiprocessing.active_children()


# --- what verification finds ---


@pytest.fixture
def store():
    """What 60 transactions make, in memory."""
    made = MemoryObjectStore(lambda call: call)
    made.mount()
    made.queue_transactions(CID, [begin(9), *(transaction(9, n) for n in range(1, 61))])
    return made


def some_object(store):
    return next(oid for oid in list_all(store, CID) if oid != COUNTER and store.stat(CID, oid).size)


CHANGES = [
    (lambda txn, oid: txn.write(CID, oid, 0, b"altered"), "has other data"),
    (lambda txn, oid: txn.setattr(CID, oid, "by", b"nobody"), "has other attributes"),
    (lambda txn, oid: txn.omap_setheader(CID, oid, b"x"), "has another omap"),
    (lambda txn, oid: txn.remove(CID, oid), "is not there"),
    (
        lambda txn, oid: txn.touch(CID, type(oid)(oid.hobj.at_snap(99))),
        "should not be there",
    ),
]


@pytest.mark.parametrize(("change", "text"), CHANGES)
def test_what_is_not_as_told_is_found(store, change, text):
    assert last_of(store) == (60, 9)
    assert verify(store, 55) == 60
    oid = some_object(store)
    txn = Transaction()
    change(txn, oid)
    store.queue_transactions(CID, [txn])
    with pytest.raises(
        InputOutput, match=f"after 60 transactions, of which 55 were told: .*{text}"
    ):
        verify(store, 55)


def test_half_a_transaction_is_found(store):
    txn = transaction(9, 61)
    assert len(txn.ops) > 3
    txn.ops[:] = txn.ops[-1:]
    store.queue_transactions(CID, [txn])
    with pytest.raises(InputOutput, match="after 61 transactions"):
        verify(store, 60)
