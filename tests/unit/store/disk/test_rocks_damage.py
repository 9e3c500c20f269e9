"""What power cuts and flipped bits do to RocksDB as the store uses it: never wrong data.

Each group of the histories has its number under the key `n`: what comes back is the content after
some group, whole, or an error.
"""

from __future__ import annotations

import shutil
from random import Random

import pytest

from spirula.errors import InputOutput
from spirula.store.disk.engine import Batch, MemoryEngine
from spirula.store.disk.manifest import check_manifest
from spirula.store.disk.rocks import RocksEngine
from tests.unit.store.disk.images import image_of

pytestmark = pytest.mark.slow

SMALL = 4 << 20


class History:
    """Groups of random changes, and the folder as the last of them left it, with all open."""

    def __init__(self, folder, seed, groups, value, *, sync_all=False, deletes=0.3):
        rng, twin = Random(seed), MemoryEngine()
        engine = RocksEngine(folder / "alive", memory=SMALL, create=True)
        self.states, self.synced, self.lengths = [{}], 0, {}
        for number in range(1, groups + 1):
            batch = Batch()
            batch.put(b"n", b"%d" % number)
            for _ in range(rng.randrange(6)):
                key = b"%03d" % rng.randrange(100)
                if rng.random() > deletes:
                    batch.put(key, rng.randbytes(rng.randrange(value)))
                elif rng.random() < 0.8:
                    batch.delete(key)
                else:
                    batch.delete_range(key, b"%03d" % rng.randrange(100))
            for one in (engine, twin):
                one.write(batch)
            self.states.append(dict(twin.iterate(b"")))
            if sync_all or rng.random() < 0.1:
                engine.sync()
                self.synced = number
                logs = (folder / "alive").glob("*.log")
                self.lengths = {path.name: path.stat().st_size for path in logs}
        self.folder = folder / "image"
        image_of(folder / "alive", self.folder)
        engine.close()
        assert found(self.folder) == self.states[-1]

    def check(self, content):
        """The content is that of some group; its number."""
        number = int(content.get(b"n", b"0"))
        assert content == self.states[number]
        return number


def found(folder, *, read_only=True):
    engine = RocksEngine(folder, memory=SMALL, read_only=read_only)
    try:
        return dict(engine.iterate(b""))
    finally:
        engine.close()


def flipped(path, whole, bit):
    broken = bytearray(whole)
    broken[bit // 8] ^= 1 << bit % 8
    path.write_bytes(broken)


@pytest.fixture(scope="module", params=["in the log", "in tables"])
def history(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("history")
    if request.param == "in the log":
        return History(folder, 1, groups=300, value=100, sync_all=True)
    return History(folder, 2, groups=150, value=12000, sync_all=True, deletes=0.1)


@pytest.mark.parametrize("kind", ["*.log", "*.sst", "CURRENT", "IDENTITY", "OPTIONS-*", "rocks*"])
def test_a_flipped_bit_takes_back_groups_or_is_an_error(history, kind, scale):
    paths = [path for path in history.folder.glob(kind) if path.stat().st_size]
    if not paths:
        pytest.skip("the history is too short for tables")
    rng, outcomes = Random(3), set()
    for _ in range(40 * scale):
        path = rng.choice(paths)
        whole = path.read_bytes()
        flipped(path, whole, rng.randrange(8 * len(whole)))
        try:
            lost = history.check(found(history.folder)) < len(history.states) - 1
            outcomes.add("lost" if lost else "harmless")
        except InputOutput as error:
            outcomes.add("error")
            assert "damaged" in str(error)
        finally:
            path.write_bytes(whole)
    # What is lost is missed by the commit mark, which stands elsewhere; see test_mkfs.
    harmful = {"*.log": "lost", "*.sst": "error", "CURRENT": "error"}.get(kind, "harmless")
    assert outcomes <= {harmful, "harmless"}  # files may be out of use, and logs be in tables
    assert harmful in outcomes or (kind == "*.log" and list(history.folder.glob("*.sst")))


def test_a_flipped_bit_anywhere_in_the_manifest_is_an_error(history):
    [path] = history.folder.glob("MANIFEST-*")
    whole = path.read_bytes()
    check_manifest(history.folder)
    try:
        for bit in range(8 * len(whole)):
            flipped(path, whole, bit)
            with pytest.raises(InputOutput, match="MANIFEST"):
                check_manifest(history.folder)
    finally:
        path.write_bytes(whole)


def test_a_manifest_whose_last_record_was_not_yet_written(history):
    """RocksDB writes on only when it is durable: what it names can be lost, and is not needed."""
    [path] = history.folder.glob("MANIFEST-*")
    whole = path.read_bytes()
    try:
        for cut in range(1, 20):
            path.write_bytes(whole[:-cut])
            check_manifest(history.folder)
        path.write_bytes(whole + bytes(5000))  # space that was taken ahead
        check_manifest(history.folder)
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("value", [60, 6000])
def test_a_power_cut_leaves_all_that_was_synced(tmp_path, value, scale):
    rng = Random(value)
    for round_ in range(3 * scale):
        history = History(tmp_path / str(round_), rng.random(), groups=150, value=value)
        whole = {path: path.read_bytes() for path in history.folder.glob("*.log")}
        for trial in range(12):
            for path, data in whole.items():
                kept = history.lengths.get(path.name, 0)
                if path.name not in history.lengths and rng.random() < 0.3:
                    kept = 0  # a file that is new and empty
                path.write_bytes(torn(rng, data, kept))
            image = tmp_path / f"{round_}.{trial}"
            shutil.copytree(history.folder, image)
            number = history.check(found(image))
            assert history.synced <= number
            assert history.check(found(image, read_only=False)) == number
            assert history.check(found(image)) == number


def torn(rng, data, kept):
    """What a power cut leaves of a file of which the first bytes were synced."""
    cut = rng.randrange(kept, len(data) + 1)
    kind = rng.randrange(4)
    if kind == 0:
        return data[:cut]
    if kind == 1:
        return data[:cut] + bytes(len(data) - cut)
    if kind == 2:  # pages that were written out of order
        pages = range(cut, len(data), 4096)
        rest = (data[at : at + 4096] if rng.random() < 0.5 else bytes(4096) for at in pages)
        return data[:cut] + b"".join(rest)
    return data[:cut] + rng.randbytes(min(1000, len(data) - cut))


def test_logs_that_are_written_anew_do_not_bring_back_what_was_in_them(tmp_path):
    """The store lets RocksDB use the files of old logs again."""
    history = History(tmp_path, 7, groups=1500, value=6000, deletes=0.05)
    text = (tmp_path / "alive" / "LOG").read_text()
    assert "reusing log" in text
    assert history.check(found(history.folder, read_only=False)) == 1500
