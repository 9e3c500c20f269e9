"""A class does the same in a process of its own as in the daemon's, whatever it asks of handles."""

from __future__ import annotations

import textwrap

import pytest

from spirula.classes.declare import class_of
from spirula.classes.handle import ObjectHandle
from spirula.classes.isolated import HANDLE_CALLS
from spirula.classes.pipe import MAX_NESTING, frame, value_of
from spirula.classes.registry import ClassRegistry
from spirula.classes.worker import RemoteHandle, load
from spirula.errors import LimitExceeded, Truncated, WireError
from spirula.types.base import UTime
from tests.unit.classes.memory_handle import CLIENT, MemoryHandle, StoredObject

EVERYTHING = '''
"""Calls everything that handles have, and answers what it saw."""
from __future__ import annotations
from spirula.classes.declare import Reply, method
from spirula.classes.handle import ALL, ObjectHandle
from spirula.errors import CephError

CALLS = [
    ("stat",), ("read", 0, 0), ("read", 2, 3, 32), ("getxattr", "a"), ("getxattr", "nosuch"),
    ("getxattrs",), ("map_get_keys", "", 1), ("map_get_keys", "", ALL),
    ("map_get_vals", "k1", "k", 5),
    ("map_get_all_vals",), ("map_get_val", "k1"), ("map_get_val", "nosuch"),
    ("map_get_vals_by_keys", ["k1", "k2", "nosuch"]), ("map_read_header",), ("list_watchers",),
    ("get_request_origin",), ("get_client_features",), ("current_version",), ("get_features",),
    ("get_required_osd_release",), ("get_min_compatible_client",), ("get_snapset_seq",),
    ("get_osd_min_alloc_size",), ("get_pool_stripe_width",), ("has_chunk", "chunk"),
    ("has_chunk", "nosuch"), ("gen_random_bytes", 16), ("create", True), ("create", False),
    ("write", 3, b"abc"), ("write", 1, b"x", 32), ("truncate", 20), ("write_zero", 4, 2),
    ("write_full", b"new data"), ("replace", 2, b"newer"), ("setxattr", "b", b"\\xff\\x00"),
    ("setxattr", "long", b"x" * 70000), ("map_set_val", "k\\udcff", b"v"),
    ("map_set_vals", {"z": b""}),
    ("map_write_header", b"header"), ("map_remove_key", "k1"), ("map_remove_range", "a", "k2"),
    ("snap_revert", 5), ("call", "hello", "say_hello", b"you"), ("call", "hello", "nosuch", b""),
    ("chunk_write_and_set", 0, b"x", 0, b""), ("current_subop_num",), ("log", 5, "said"),
]

@method("reads", read=True, write=True)
def reads(handle: ObjectHandle, request: bytes) -> Reply:
    seen = [repr(handle.now), repr(request)]
    for what, *words in CALLS:
        try:
            seen.append((what, getattr(handle, what)(*words)))
        except CephError as error:
            seen.append((what, error.errno))
    seen += [handle.num_read, handle.num_write]
    return Reply(repr(seen).encode(), 5)

@method("clears", write=True)
def clears(handle: ObjectHandle) -> None:
    handle.map_clear()
    handle.remove()
    handle.create(True)

@method("names", read=True)
def names(handle: ObjectHandle) -> bytes:
    return " ".join(sorted({call[0] for call in CALLS} | {"map_clear", "remove"})).encode()
'''


def test_both_ways_are_the_same(tmp_path):
    path = tmp_path / "everything.py"
    path.write_text(textwrap.dedent(EVERYTHING))
    registry = ClassRegistry(class_dir=str(tmp_path))
    try:
        there, here = registry.open("everything"), class_of(load("everything", str(path)))
        assert there.methods.keys() == here.methods.keys()
        assert there.method("names").call(
            MemoryHandle(StoredObject()), b""
        ).data.decode().split() == (sorted(HANDLE_CALLS))
        for method, code in (("reads", 5), ("clears", 0)):
            assert there.method(method).flags == here.method(method).flags
            handles = [
                MemoryHandle(
                    StoredObject(
                        True,
                        b"some data",
                        {"a": b"1"},
                        {"k1": b"v1", "k2": b"", "q": b"3"},
                        b"h",
                        7,
                    ),
                    chunks={"chunk"},
                )
                for _ in range(2)
            ]
            replies = [
                cls.method(method).call(handle, b"in")
                for cls, handle in zip((here, there), handles, strict=True)
            ]
            assert replies[0].code == code, handles[0].logged
            seen = [reply.data.split(b", (") for reply in replies]
            assert [pair for pair in zip(*seen, strict=True) if pair[0] != pair[1]] == []
            assert replies[0].code == replies[1].code
            assert handles[0].pending == handles[1].pending
            assert handles[0].logged == handles[1].logged
    finally:
        registry.close()


def test_the_remote_handle_has_all_that_handles_have():
    declared = {name for name in vars(ObjectHandle) if not name.startswith("_")} - {"now"}
    assert declared <= set(vars(RemoteHandle))


@pytest.mark.parametrize(
    "value",
    [None, True, False, 0, -1, 2**63, -(2**80), b"", b"\xff", "", "é\udcff", [], [1, [2]], {}],
    ids=repr,
)
def test_values_come_through_the_pipe(value):
    assert value_of(frame(value)[4:]) == value
    assert value_of(frame([value, {"k": value}])[4:]) == [value, {"k": value}]


def test_declared_types_come_through_the_pipe():
    assert value_of(frame([CLIENT, UTime(1, 2)])[4:]) == [CLIENT, UTime(1, 2)]
    with pytest.raises(WireError):
        frame(object())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"Z",
        b"i\0",
        b"B\5\0\0\0abc",
        b"L\xff\xff\xff\xff",
        b"I\1\0\0\0x",
        b"NN",
        b"D\1\0\0\0NN",
    ],
)
def test_nonsense_in_the_pipe_is_refused(data):
    with pytest.raises(WireError):
        value_of(data)


def test_the_pipe_has_bounds(monkeypatch):
    value = []
    for _ in range(MAX_NESTING):
        value = [value]
    with pytest.raises(LimitExceeded):
        value_of(frame(value)[4:])
    whole = frame({"key": [b"bytes", 5, None, UTime(1, 2)]})[4:]
    for end in range(len(whole)):
        with pytest.raises((Truncated, LimitExceeded)):
            value_of(whole[:end])
    monkeypatch.setattr("spirula.classes.pipe.MAX_FRAME_BYTES", 10)
    with pytest.raises(LimitExceeded):
        frame(bytes(20))
