"""One bit of a store is flipped, anywhere: what is read is right, or there is an error."""

from __future__ import annotations

import random
import shutil
from collections import Counter, deque

import pytest

from spirula.errors import CephError, InputOutput, InvalidArgument
from spirula.store.disk.fsck import fsck
from spirula.store.disk.medium import FolderMedium
from spirula.store.disk.mkfs import mkfs
from spirula.store.disk.read_only import ReadOnlyMedium
from spirula.store.disk.state import Options
from spirula.store.disk.store import DiskObjectStore
from spirula.store.objectstore import list_all
from tests.unit.store.conformance import META, PG, History, ordered, txn
from tests.unit.store.disk.images import image_of

SIZE = 8 << 20
LABEL, MARK, DATA = range(50), range(4096, 8192), range(8192, SIZE)


class Image:
    """A store's folder as it is when its process is killed, or stopped; and what is in it."""

    def __init__(self, folder, *, killed):
        mkfs(folder / "alive", size=SIZE)
        calls = deque()
        store = DiskObjectStore(
            FolderMedium(folder / "alive"), calls.append, Options(), threaded=False
        )
        store.mount()
        for cid in (META, PG):
            store.queue_transactions(cid, [txn(("create_collection", cid, 0))])
        history = History(random.Random(7))
        while len(history.model.objects) < 12:
            store.queue_transactions(PG, history.batch())
            store.land(3, apply=history.rng.random() < 0.5)
        oid = next(iter(history.model.objects))
        many = {f"many{number}": history.rng.randbytes(200) for number in range(300)}
        made = txn(("omap_setkeys", history.home(oid), oid, many))
        store.queue_transactions(PG, [made])
        history.model.objects[oid].omap.update(many)
        while store.land():
            pass
        self.model = history.model
        self.folder = folder / "image"
        if killed:
            image_of(folder / "alive", self.folder)
        store.umount()
        if not killed:
            shutil.copytree(folder / "alive", self.folder)

    def places(self, kind):
        """Files and ranges of bytes that are of this kind."""
        if kind == "label":
            return [("block", LABEL)]
        if kind == "mark":
            files = [path for path in [self.folder / "mark"] if path.exists()]
            return [("block", MARK), *[(path.name, MARK) for path in files]]
        if kind == "journal":
            content = (self.folder / kind).read_bytes()
            used = [at for at in range(0, len(content), 4096) if any(content[at : at + 4096])]
            return [(kind, range(at, at + 4096)) for at in used]
        if kind == "data":
            content = (self.folder / "block").read_bytes()
            used = [at for at in DATA[::4096] if any(content[at : at + 4096])]
            return [("block", range(at, at + 4096)) for at in used]
        paths = [path for path in self.folder.glob(kind) if path.stat().st_size]
        return [(str(path.relative_to(self.folder)), range(path.stat().st_size)) for path in paths]

    def flipped(self, folder, rng, kind):
        """A copy in which one bit is not as it was."""
        shutil.copytree(self.folder, folder)
        name, inside = rng.choice(self.places(kind))
        at = rng.choice(inside)
        path = folder / name
        content = bytearray(path.read_bytes())
        content[at] ^= 1 << rng.randrange(8)
        path.write_bytes(content)

    def outcome(self, folder):
        """Mount what is there and read all of it."""
        store = DiskObjectStore(FolderMedium(folder), deque().append, threaded=False)
        try:
            store.mount()
        except (InputOutput, InvalidArgument) as error:
            assert str(error)
            return "refused"
        errors = 0
        try:
            assert store.list_collections() == sorted([META, *self.model.bits])
            for cid in self.model.bits:
                inside = ordered(self.model.inside(cid))
                errors += wrong(lambda cid=cid: list(list_all(store, cid, 5)), inside)
                for oid in inside:
                    errors += self.errors_of(store, cid, oid)
        finally:
            try:
                store.umount()
            except InputOutput:
                errors += 1
        return "error" if errors else "harmless"

    def errors_of(self, store, cid, oid):
        plain = self.model.objects[oid]
        return sum([
            wrong(lambda: store.stat(cid, oid).size, len(plain.data)),
            wrong(lambda: store.read(cid, oid), bytes(plain.data)),
            wrong(lambda: store.getattrs(cid, oid), plain.attrs),
            wrong(lambda: store.omap_get(cid, oid), (plain.header, plain.omap)),
        ])  # fmt: skip


def wrong(read, expected):
    """Whether it is an error; anything but that and what is expected is not to be."""
    try:
        assert read() == expected
    except InputOutput:
        return True
    return False


@pytest.fixture(scope="module", params=["killed", "stopped"])
def image(request, tmp_path_factory):
    return Image(tmp_path_factory.mktemp("image"), killed=request.param == "killed")


EXPECTED = {
    "label": {"refused"},
    "mark": {"harmless"},  # there are two, and the other one is hardly older
    "data": {"error", "harmless"},  # blocks that were freed keep what was in them
    "db/*.log": {"refused", "harmless"},
    "journal": {"refused", "harmless"},
    "db/*.sst": {"refused", "error", "harmless"},
    "db/MANIFEST-*": {"refused"},
    "db/CURRENT": {"refused"},
    "db/IDENTITY": {"harmless"},
    "db/OPTIONS-*": {"harmless"},
    "fsid": {"refused"},
    "type": {"refused"},
    "mkfs_done": {"refused"},
}


MANY = {"data", "journal", "db/*.log", "db/*.sst"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", EXPECTED)
def test_a_flipped_bit_is_never_read(image, tmp_path, kind, scale):
    if not image.places(kind):
        pytest.skip("a killed store may have no tables")
    assert image.outcome(copy_of(image, tmp_path / "whole")) == "harmless"
    rng, outcomes = random.Random(kind), Counter()
    for number in range((20 if kind in MANY else 5) * scale):
        folder = tmp_path / str(number)
        image.flipped(folder, rng, kind)
        found = findings(folder) if kind in MANY else []
        outcome = image.outcome(folder)
        outcomes[outcome] += 1
        if outcome == "error":
            assert found, "fsck sees what reads see"
        shutil.rmtree(folder)
    assert set(outcomes) <= EXPECTED[kind]
    if kind in {"data", "db/*.sst"}:
        assert {"error", "refused"} & set(outcomes)


def copy_of(image, folder):
    shutil.copytree(image.folder, folder)
    return folder


def findings(folder):
    """What fsck says of it, before anybody has mounted it."""
    try:
        opened = ReadOnlyMedium(folder).open(4 << 20)
    except CephError as error:
        return [error]
    try:
        return fsck(opened, deep=True).findings
    except CephError as error:
        return [error]
    finally:
        opened.close()
