"""Programs for the class lua that want too much, or what is not theirs.

What others do is compared with real OSDs in tests/interop/test_object_classes.py.
"""

from __future__ import annotations

import errno

import pytest

from spirula.classes.registry import ClassRegistry
from spirula.types.cls.lua import EvalOp
from tests.unit.classes.memory_handle import StoredObject, execute


@pytest.fixture(scope="module")
def registry():
    made = ClassRegistry(load_list="lua")
    yield made
    made.close()


def run(registry, script, handler="", data=b""):
    stored = StoredObject(exists=True, data=b"as it was")
    request = EvalOp(script, handler, data).encode()
    reply, handle = execute(stored, "lua", "eval_bufferlist", request, registry=registry)
    return reply, stored, handle


def test_a_handler_answers_with_code_and_output(registry):
    script = "function f(i, o) o:append(i:str():upper()) return #i end objclass.register(f)"
    reply, _, _ = run(registry, script, "f", b"abc\xff")
    assert reply == (b"ABC\xff", 4)
    script = "function f(i, o) o:append('why') return -7 end objclass.register(f)"
    assert run(registry, script, "f")[0] == (b"why", -7)


@pytest.mark.parametrize(
    "program",
    [
        "while true do end",
        "objclass.write_full(bufferlist.new()) while true do end",
        "while true do objclass.read(0, 0) end",
        # Backtracking within one call of a C function, where no hook is asked.
        "string.find(string.rep('a', 1000), string.rep('a-', 30) .. 'b')",
        "while true do pcall(error) end",
    ],
)
def test_a_program_without_an_end_is_stopped(program, registry, monkeypatch):
    monkeypatch.setattr("spirula.classes.isolated.MAX_CALL_S", 0.3)
    reply, stored, handle = run(registry, program)
    assert reply.code == -errno.ETIMEDOUT
    assert stored.data == b"as it was"
    assert "was stopped" in handle.logged[-1][1]
    monkeypatch.undo()
    assert run(registry, "objclass.create()")[0].code == 0


@pytest.mark.parametrize(
    "program",
    [
        "local s = string.rep('x', 1 << 40)",
        "local t = {} while true do t[#t + 1] = string.rep('x', 1 << 20) .. #t end",
        "local b = bufferlist.new() while true do b:append(string.rep('x', 1 << 20) .. #b) end",
    ],
)
def test_a_program_gets_so_much_memory(program, registry, monkeypatch):
    monkeypatch.setattr("spirula.classes.isolated.MAX_CALL_S", 60)
    reply, _, handle = run(registry, program)
    assert reply.code == -errno.ENOMEM or "too large" in str(handle.logged)
    assert run(registry, "objclass.create()")[0].code == 0


@pytest.mark.parametrize(
    "program",
    [
        "os.exit(1)",
        "io.open('x', 'w')",
        "require('os')",
        "python.eval('1')",
        "debug.getregistry()",
        "load(string.dump(function() end))()",
        "string.format('%d', objclass.create.__globals__)",
        "getmetatable(bufferlist.new()).__index.str(5)",
        "for k, v in pairs(objclass) do if type(v) == 'userdata' then return end end error('none')",
    ],
)
def test_a_program_does_not_get_out(program, registry):
    reply, _, handle = run(registry, program)
    assert reply.code == -errno.EIO
    assert handle.logged
    assert run(registry, "objclass.create()")[0].code == 0


def test_programs_know_nothing_of_one_another(registry):
    assert run(registry, "mine = 5 string.rep = nil")[0].code == 0
    assert run(registry, "assert(mine == nil and string.rep)")[0].code == 0
