"""Data that is synced beside the journal: after a crash it is looked for before it counts."""

from __future__ import annotations

import random
from uuid import UUID

import pytest

from spirula.errors import InputOutput
from spirula.kernels.crc32c import crc32c
from spirula.store.checksums import ChecksumType, checksums
from spirula.store.disk.behind import SyncBehind
from spirula.store.disk.commit import _summed
from spirula.store.disk.engine import Batch, MemoryEngine
from spirula.store.disk.freelist import rewrite
from spirula.store.disk.journal import SMALLEST_JOURNAL, Journal
from spirula.store.disk.journaled import JournaledEngine, data_is_there, make_durable
from spirula.store.disk.layout import DATA, decode_pieces, encode_pieces
from spirula.store.disk.memory_block import MemoryBlockDevice

BLOCK = 4096
STORE = UUID(int=5)


def summed(content, start, end):
    return (
        start,
        end - start,
        crc32c(0xFFFFFFFF, checksums(ChecksumType.CRC32C, content[start:end], BLOCK)),
    )


def test_what_a_group_gives_back_or_logs_is_not_summed():
    content = random.Random(1).randbytes(40 * BLOCK)
    parts = [(10, 20), (30, 32)]
    direct = {
        low * BLOCK: checksums(ChecksumType.CRC32C, content[low * BLOCK : high * BLOCK], BLOCK)
        for low, high in reversed(parts)
    }
    assert list(_summed(direct, [], [])) == [
        summed(content, low * BLOCK, high * BLOCK) for low, high in parts
    ]
    given = [(18 * BLOCK, 5 * BLOCK), (31 * BLOCK, BLOCK), (0, BLOCK)]
    found = list(_summed(direct, [11, 13, 14, 35, 30], given))
    parts = [(10, 11), (12, 13), (15, 18)]
    assert found == [summed(content, low * BLOCK, high * BLOCK) for low, high in parts]
    assert list(decode_pieces(encode_pieces(found))) == found
    with pytest.raises(InputOutput, match="damaged"):
        decode_pieces(encode_pieces(found)[:-1])


class Late:
    """Data that is written, and durable when the test says so."""

    def __init__(self, wait):
        self.wait = wait

    def begin(self):
        """It is on its way."""


def world(marked):
    """A group whose journal record is durable, and whose data is not yet."""
    device, journal = MemoryBlockDevice(1 << 20), MemoryBlockDevice(SMALLEST_JOURNAL)
    engine = MemoryEngine()
    journaled = JournaledEngine(engine, Journal(journal, STORE))
    batch = Batch()
    rewrite(batch, 1 << 20, [(8192, (1 << 20) - 8192)], 4)
    batch.put(b"o", b"named")
    data = b"new!" * 2 * BLOCK
    device.write(1 << 16, [data])
    sums = checksums(ChecksumType.CRC32C, data, BLOCK)
    batch.put(DATA, encode_pieces([(1 << 16, len(data), crc32c(0xFFFFFFFF, sums))]))
    seen = []

    def wait():
        seen.append((engine.get(b"o"), journal.syncs))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_durable(journaled, batch, Late(wait))
    assert seen == [(None, 1)]  # the engine has it only when the data is there
    engine, journal = engine.after_crash(), Journal(journal.after_crash(), STORE)

    def again(device):
        return JournaledEngine(engine, journal, data_is_there(device, marked))

    return device, again


def test_a_group_without_its_data_was_never_there():
    device, again = world(marked=3)
    recovered = again(device.after_crash())
    assert recovered.get(b"o") is None
    batch = Batch()
    batch.put(b"p", b"next")
    recovered.write(batch)
    recovered.sync()
    # The record that was left out does not come back, not even when its data does.
    recovered = again(device)
    assert (recovered.get(b"o"), recovered.get(b"p")) == (None, b"next")


def test_a_group_with_its_data_is_there():
    device, again = world(marked=3)
    device.sync()
    assert again(device.after_crash()).get(b"o") == b"named"


def test_what_was_acknowledged_is_there_and_its_data_is_for_reads_to_check():
    device, again = world(marked=4)
    assert again(device.after_crash()).get(b"o") == b"named"


def test_an_engine_without_a_journal_gets_nothing_before_the_data_is_durable():
    engine, batch, seen = MemoryEngine(), Batch(), []
    batch.put(b"o", b"named")
    make_durable(engine, batch, Late(lambda: seen.append(engine.get(b"o"))))
    assert seen == [None]
    assert engine.after_crash().get(b"o") == b"named"


@pytest.mark.parametrize("threaded", [False, True])
def test_a_sync_that_was_begun_tells_its_error_when_it_is_waited_for(threaded):
    device = MemoryBlockDevice(1 << 20)
    behind = SyncBehind(device)
    if threaded:
        behind.start()
    behind.begin()()
    assert device.syncs == 1
    device.fail(InputOutput("the disk is gone"))
    for _ in range(2):
        wait = behind.begin()
        with pytest.raises(InputOutput, match="gone"):
            wait()
    behind.stop()
