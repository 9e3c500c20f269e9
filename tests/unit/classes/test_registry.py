from __future__ import annotations

import errno
import importlib.metadata
import os
import textwrap
from pathlib import Path

import pytest

from spirula.classes.declare import MethodFlag
from spirula.classes.registry import BUILT_IN, ISOLATED, ClassRegistry, in_class_list
from spirula.errors import CephError, InputOutput, NotPermitted
from tests.unit.classes.memory_handle import MemoryHandle, StoredObject, execute


@pytest.fixture
def class_dir(tmp_path):
    """Writes classes into a folder; gives a registry that finds them."""
    registries = []

    def make(**sources):
        for name, source in sources.items():
            (tmp_path / f"{name}.py").write_text(HEADER + textwrap.dedent(source))
        registries.append(ClassRegistry(class_dir=str(tmp_path)))
        return registries[-1]

    yield make
    for registry in registries:
        registry.close()


HEADER = """
from __future__ import annotations
from spirula.classes.declare import Reply, method
from spirula.classes.handle import ObjectHandle
from spirula.denc import Struct, struct, u64
"""


def refusal(registry, name):
    with pytest.raises(CephError) as caught:
        registry.open(name)
    return caught.value


def test_what_the_lists_permit():
    assert in_class_list("lock", "hello lock")
    assert in_class_list("lock", "*")
    assert not in_class_list("lock", "lock2 hello")
    registry = ClassRegistry(load_list="hello", default_list="lock")
    assert not registry.open("hello").allowed
    assert isinstance(refusal(registry, "numops"), NotPermitted)
    assert ClassRegistry(default_list="hello").open("hello").allowed


def test_what_is_unknown():
    registry = ClassRegistry()
    assert refusal(registry, "nosuch").errno == errno.EOPNOTSUPP
    with pytest.raises(CephError) as caught:
        registry.open("hello").method("nosuch")
    assert caught.value.errno == errno.EOPNOTSUPP
    assert refusal(ClassRegistry(class_dir="."), "../evil").errno == errno.EOPNOTSUPP


def test_every_class_of_ours_loads():
    registry = ClassRegistry()
    try:
        assert set(registry.open_all()) >= {*BUILT_IN, *ISOLATED}
    finally:
        registry.close()
    assert ClassRegistry(load_list="hello nosuch").open_all() == ["hello"]


def test_methods_that_break_their_flags():
    stored = StoredObject(exists=True, data=b"old")
    reply, handle = execute(stored, "hello", "bad_reader")
    assert reply.code == -errno.EIO
    assert "not marked RD" in handle.logged[-1][1]
    assert execute(stored, "hello", "bad_writer", b"new")[0].code == -errno.EIO
    assert stored.data == b"old"


def test_a_filter_of_listings():
    chosen = ClassRegistry().open("hello").filter("hello", b"\4\0\0\0said\2\0\0\0yo")
    assert chosen.xattr == "said"
    assert chosen.accepts("object", b"yo")
    assert not chosen.accepts("object", b"yo!")
    for name, params in (("hello", b"\4\0\0\0sai"), ("nosuch", b"")):
        with pytest.raises(CephError) as caught:
            ClassRegistry().open("hello").filter(name, params)
        assert caught.value.errno == errno.EINVAL


# ------------------------------------------------------------------------- users' own classes


def test_a_class_of_ones_own(class_dir):
    registry = class_dir(
        counter="""
        VERSION = (2, 1)

        @struct
        class Amount(Struct):
            value: u64

        @method("add", read=True, write=True)
        def add(handle: ObjectHandle, request: Amount) -> None:
            total = Amount.decode(handle.getxattr("total")) if handle.num_read else Amount(0)
            try:
                total = Amount.decode(handle.getxattr("total"))
            except Exception:
                handle.log(5, "first")
            total.value += request.value
            handle.setxattr("total", total.encode())

        @method("get", read=True)
        def get(handle: ObjectHandle) -> Amount:
            return Amount.decode(handle.getxattr("total"))

        @method("facts", read=True, write=True)
        def facts(handle: ObjectHandle, request: bytes) -> Reply:
            origin = handle.get_request_origin()
            handle.map_set_vals({"a": b"1", "b\\udcff": b"2"})
            return Reply(f"{origin.name} {handle.stat().size} {handle.now.sec}".encode(), -7)
        """
    )
    found = registry.open("counter")
    assert found.version == (2, 1)
    assert found.method("add").flags == MethodFlag.READ | MethodFlag.WRITE
    stored = StoredObject()
    for _ in range(2):
        reply, handle = execute(stored, "counter", "add", b"\5" + bytes(7), registry=registry)
        assert reply.code == 0, handle.logged
    reply, _ = execute(stored, "counter", "get", registry=registry)
    assert reply.data == b"\x0a" + bytes(7)
    assert execute(stored, "counter", "add", b"\5", registry=registry)[0].code == -errno.EINVAL
    reply, handle = execute(stored, "counter", "facts", registry=registry)
    assert (reply.code, reply.data) == (-7, b"client.4123 0 1600000000")
    assert handle.pending.omap == {"a": b"1", "b\udcff": b"2"}


def test_the_class_of_the_guide(class_dir):
    guide = Path(__file__).parents[3].joinpath("docs", "guide", "object-classes.md").read_text()
    lines = guide.partition("    # visits.py\n")[2].partition("\n\nPut it")[0]
    registry = class_dir(visits="")
    Path(registry.class_dir, "visits.py").write_text(textwrap.dedent(lines))
    stored, name = StoredObject(), b"\2\0\0\0me"
    for _ in range(2):
        reply, handle = execute(stored, "visits", "visit", name, registry=registry)
        assert reply.code == 0, handle.logged
    assert execute(stored, "visits", "count", name, registry=registry)[0].data == b"\2" + bytes(7)
    assert execute(stored, "visits", "count", b"\1\0\0\0x", registry=registry)[0].code == -2
    assert execute(stored, "visits", "visit", bytes(4), registry=registry)[0].code == -errno.EINVAL


BAD_HABITS = {
    "while True: pass": errno.ETIMEDOUT,
    "sum(range(10**15))": errno.ETIMEDOUT,
    "while True: handle.map_set_val('k', b'v')": errno.ETIMEDOUT,
    "bytes(1 << 40)": errno.ENOMEM,
    "sys.exit(3)": errno.EIO,
    "os._exit(3)": errno.EIO,
    "os.kill(os.getpid(), 11)": errno.EIO,
    "os.close(0); handle.stat()": errno.EIO,
    "handle.channel.send(['ask', '__class__', []]); handle.stat()": errno.EIO,
    "handle.channel.send([[[[[[]]]]]])": errno.EIO,
    "handle.channel.sink.write(bytes([255] * 8)); handle.channel.sink.flush()": errno.EIO,
    "handle.read(1, 2, 3, 4)": errno.EIO,
    "handle.channel.send(['ask', 'read', [1, 2, 3, 4]]); handle.channel.receive()": 0,
    "1 / 0": errno.EIO,
    "handle.call('bad', 'well', b'')": errno.EIO,
    "print('to stderr')": 0,
    "handle.write(0, bytes(100 << 20)); handle.write(0, bytes(100 << 20)); "
    "handle.write(0, bytes(100 << 20))": errno.EFBIG,
}


@pytest.mark.parametrize("habit", BAD_HABITS)
def test_a_class_cannot_harm_its_osd(habit, class_dir, monkeypatch):
    monkeypatch.setattr(
        "spirula.classes.isolated.MAX_CALL_S", 0.3 if BAD_HABITS[habit] == errno.ETIMEDOUT else 60
    )
    registry = class_dir(
        bad=f"""
        import os, sys

        @method("run", read=True, write=True)
        def run(handle: ObjectHandle) -> None:
            {habit}

        @method("well", write=True)
        def well(handle: ObjectHandle) -> None:
            handle.write_full(b"well")
        """
    )
    stored = StoredObject(exists=True)
    reply, handle = execute(stored, "bad", "run", registry=registry)
    assert reply.code == -BAD_HABITS[habit], handle.logged
    monkeypatch.undo()
    reply, handle = execute(stored, "bad", "well", registry=registry)
    assert reply.code == 0, handle.logged
    assert stored.data == b"well"


@pytest.mark.parametrize(
    "source",
    ["raise RuntimeError('no')", "x = 1", "import nosuchmodule", "def (", "import os; os._exit(0)"],
)
def test_classes_that_do_not_load(source, class_dir):
    registry = class_dir(broken=source)
    error = refusal(registry, "broken")
    assert isinstance(error, InputOutput)
    assert "broken" in error.message
    assert "broken" in registry.known()
    assert "broken" not in registry.open_all()


def test_a_class_that_did_not_load_is_tried_again_when_it_was_mended(class_dir, monkeypatch):
    registry = class_dir(mended="raise RuntimeError('first')")
    assert "first" in refusal(registry, "mended").message
    starts = []
    monkeypatch.setattr(registry._workshop.__class__, "load", lambda *words: starts.append(words))
    assert "first" in refusal(registry, "mended").message
    assert starts == []
    monkeypatch.undo()
    path = Path(registry.class_dir, "mended.py")
    path.write_text(HEADER + "@method('x')\ndef x(handle: ObjectHandle) -> None: pass\n")
    os.utime(path, ns=(1, 1))
    assert registry.open("mended").methods.keys() == {"x"}


def test_no_process_can_be_started(class_dir, monkeypatch):
    registry = class_dir(fine="x = 1")
    monkeypatch.setattr("spirula.classes.isolated.sys.executable", "nosuchprogram")
    assert isinstance(refusal(registry, "fine"), InputOutput)


def test_processes_end_with_the_registry(class_dir):
    source = """
    import os

    @method("pid", read=True)
    def pid(handle: ObjectHandle) -> bytes:
        return str(os.getpid()).encode()
    """
    registry = class_dir(ends=source)
    pid = int(execute(StoredObject(exists=True), "ends", "pid", registry=registry)[0].data)
    os.kill(pid, 0)
    registry.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_class_of_an_installed_package(monkeypatch):
    point = importlib.metadata.EntryPoint("salute", "spirula.classes.hello", "spirula.classes")

    def entry_points(group):
        assert group == "spirula.classes"
        return [point]

    monkeypatch.setattr("spirula.classes.registry.metadata.entry_points", entry_points)
    registry = ClassRegistry(load_list="salute")
    try:
        assert registry.known().count("salute") == 1
        handle = MemoryHandle(StoredObject(exists=True))
        reply = registry.open("salute").method("say_hello").call(handle, b"you")
        assert reply.data == b"Hello, you!"
    finally:
        registry.close()
