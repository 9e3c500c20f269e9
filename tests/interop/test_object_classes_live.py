"""Object classes on a cluster of ours, called by Debian's python3-rados and `rados`.

The scripts that test_object_classes.py compares with a real OSD run on a live OSD of ours; a class
of a user's own and programs in Lua run in processes beside it.
"""

from __future__ import annotations

import errno
import json
import shutil
from types import SimpleNamespace

import pytest

from spirula.classes import isolated
from spirula.classes.registry import ClassRegistry
from tests.interop import (
    class_calls_fifo,
    class_calls_lua,
    class_calls_queues,
    class_calls_records,
    class_calls_simple,
)
from tests.interop.class_scripts import SCRIPTS, Call, Script, client_of, dec, differences, on_real
from tests.interop.realcluster import why_not
from tests.interop.spirulacluster import our_cluster, settings

assert class_calls_fifo
assert class_calls_lua
assert class_calls_queues
assert class_calls_records
assert class_calls_simple

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(why_not() is not None or shutil.which("rados") is None, reason="no Ceph"),
]
POOL, ANOTHER = "classes", "more-classes"
CLASS = '''
"""The object class `greeter`: remembers whom it has greeted."""
from __future__ import annotations
from spirula.classes.declare import method
from spirula.classes.handle import ObjectHandle
from spirula.errors import Exists

@method("greet", read=True, write=True)
def greet(handle: ObjectHandle, request: bytes) -> None:
    known, _ = handle.map_get_keys("", 10)
    if request.decode() in known:
        raise Exists("again?")
    handle.map_set_val(request.decode(), str(handle.get_request_origin().name.num).encode())

@method("known", read=True)
def known(handle: ObjectHandle) -> bytes:
    return " ".join(handle.map_get_keys("", 10)[0]).encode()

@method("forever", read=True)
def forever(handle: ObjectHandle) -> None:
    sum(range(10**15))
'''


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classes")
    (folder / "greeter.py").write_text(CLASS)
    options = {
        "osd class dir": str(folder),
        "osd class load list": "*",
        "osd pool default size": "1",
    }
    with our_cluster(1, *settings(options), osds=1) as made:
        for pool in (POOL, ANOTHER):
            made.ceph("osd", "pool", "create", pool, "1", "1")
        yield SimpleNamespace(conf=made.conf, keyring=made.folder / "keyring", run=made.run)


@pytest.fixture(scope="module")
def registry():
    made = ClassRegistry()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(isolated, "MAX_CALL_S", 60.0)
        patch.setattr(isolated, "MAX_LOAD_S", 60.0)
        yield made
    made.close()


def test_all_classes_answer_and_store_as_elsewhere(cluster, registry):
    def differing(pool, scripts):
        answers = on_real(cluster, pool, scripts)
        client = client_of(answers)
        return {
            name: found
            for name, script in scripts.items()
            if (found := differences(script, answers["rows"][name], client, registry))
        }

    differ = differing(POOL, SCRIPTS)
    if any(f"real {-errno.ETIMEDOUT}," in line for found in differ.values() for line in found):
        # The OSD gives a program a second, which a busy machine may take away from it.
        differ = differing(ANOTHER, {name: SCRIPTS[name] for name in differ})
    assert differ == {}


def test_a_class_of_ones_own(cluster):
    steps = [Call("greeter", "greet", name) for name in (b"you", b"me", b"you")]
    steps += [Call("greeter", "known"), Call("greeter", "forever"), Call("greeter", "known")]
    rows = on_real(cluster, POOL, {"own": Script(steps)})["rows"]["own"]
    assert [row["code"] for row in rows] == [0, 0, -17, 6, -110, 6]
    assert dec(rows[-1]["output"]) == b"me you"


def test_a_program_without_an_end_holds_nobody_up_for_long(cluster):
    loop = json.dumps({"script": "while true do end", "handler": ""}).encode()
    steps = [Call("hello", "record_hello"), Call("lua", "eval_json", loop), Call("hello", "replay")]
    rows = on_real(cluster, POOL, {"loop": Script(steps)})["rows"]["loop"]
    assert [row["code"] for row in rows] == [0, -110, 13]
    assert rows[2]["now"] - rows[1]["now"] < 30


def test_the_locks_of_rados(cluster):
    def rados(*words, **more):
        return cluster.run("rados", "-p", POOL, *words, **more)

    rados("create", "locked")
    rados("lock", "get", "locked", "mine", "--lock-cookie", "c", "--lock-description", "why")
    held = json.loads(rados("lock", "info", "locked", "mine"))
    assert (held["name"], held["type"]) == ("mine", "exclusive")
    assert [holder["description"] for holder in held["lockers"]] == ["why"]
    assert "mine" in rados("lock", "list", "locked")
    rados("lock", "get", "locked", "mine", "--lock-cookie", "d", check=False)
    assert json.loads(rados("lock", "info", "locked", "mine")) == held
    rados("lock", "break", "locked", "mine", held["lockers"][0]["name"], "--lock-cookie", "c")
    assert json.loads(rados("lock", "info", "locked", "mine"))["lockers"] == []
