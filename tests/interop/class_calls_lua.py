"""Scripts of calls: programs for the class lua.

Calls that may write answer nothing to python3-rados: programs leave their results in the object.
"""

from __future__ import annotations

import json

from spirula.types.cls.lua import EvalOp
from tests.interop.class_scripts import Call, Put, script

PRELUDE = """
local function show(...)
  local words = table.pack(...)
  for i = 1, words.n do
    local word = words[i]
    if type(word) == "userdata" then word = "<" .. word:str() .. ">" end
    words[i] = tostring(word)
  end
  local text = table.concat(words, ",")
  local bl = bufferlist.new()
  bl:append(text)
  objclass.map_set_val("shown", bl)
end
function go(input, output)
"""

TWO_LISTS = """
local a, b = bufferlist.new(), bufferlist.new()
a:append('x')
b:append('y')
show(a .. b, #a, a < b, a <= b, a == b, a > b, a == input, a ~= b)
"""
NAMES_OF = """
local t = {}
local function add(name, value) t[#t+1] = name .. (type(value) == 'number' and value or '') end
for k, v in pairs"""
SHOW_SORTED = "do add(k, v) end table.sort(t) show(table.concat(t, ' '))"


def run(body, data=b"", handler="go", *, head=PRELUDE, tail="\nend\nobjclass.register(go)"):
    return Call("lua", "eval_bufferlist", EvalOp(head + body + tail, handler, data))


def raw(program, handler="", data=b""):
    return Call("lua", "eval_bufferlist", EvalOp(program, handler, data))


def as_json(**words):
    return Call("lua", "eval_json", json.dumps(words).encode())


@script("lua: objects")
def lua_objects():
    yield run("return objclass.stat()")
    yield run("local ok, code, what = pcall(objclass.stat) show(ok, code, what)")
    yield Put("remove")
    yield run("objclass.create(true)")
    yield run("objclass.create(true)")
    yield run("objclass.create(false)")
    yield run("objclass.create()")
    yield run("show(pcall(objclass.create, true))")
    yield run("objclass.write(2, #input, input)", b"hello")
    yield run("objclass.write(0, 3, input)", b"hello")
    yield run("objclass.write(-1, #input, input)", b"hello")
    yield run("objclass.write('1', 5.0, input)", b"hello")
    yield run("objclass.write(1.5, 5, input)", b"hello")
    yield run("objclass.write(nil, 5, input)", b"hello")
    yield run("objclass.write(1, 5, 'text')", b"hello")
    yield run("show(objclass.read(0, 0), objclass.read(1, 3), objclass.read(-1, 3))")
    yield run("show(objclass.read(0, -1), objclass.read(100, 3), #objclass.read(0, 100))")
    yield run("show((objclass.stat()))")
    yield run("objclass.write_full(input)", bytes(range(256)))
    yield run("show(objclass.read(0, 0) == input)", bytes(range(256)))
    yield run("objclass.remove()")
    yield run("objclass.remove()")
    yield run("local ok, code, what = pcall(objclass.remove) show(ok, code == -objclass.ENOENT)")


@script("lua: attributes and omap")
def lua_attributes():
    yield run("show(pcall(objclass.getxattr, 'a'))")
    yield run("objclass.getxattr('a')")
    yield run("objclass.setxattr('a', input)", b"value")
    yield run("show(objclass.getxattr('a'))")
    yield run("show(pcall(objclass.getxattr, 'b'))")
    yield run("objclass.getxattr('b')")
    yield run("objclass.setxattr(7, input) objclass.setxattr('c\\0d', input)", b"seven")
    yield run(
        "local t = {} for k, v in pairs(objclass.getxattrs()) do t[#t+1] = k .. v:str() end "
        "table.sort(t) show(table.unpack(t))"
    )
    yield run("objclass.setxattr('x', 'no bufferlist')")
    yield run("objclass.map_set_val('k', input)", b"v")
    yield run("show(objclass.map_get_val('k'))")
    yield run("show(pcall(objclass.map_get_val, 'nosuch'))")
    yield run("objclass.map_get_val('nosuch')")
    yield run("objclass.map_set_vals({a = 'one', b = 'two', [7] = 'three', [1.5] = 'four'})")
    yield run("objclass.map_set_vals({a = 1})")
    yield run("show(pcall(objclass.map_set_vals, {a = 1}))")
    yield run("show(pcall(objclass.map_set_vals, {a = {}}))")
    yield run("show(pcall(objclass.map_set_vals, {[true] = 'x'}))")
    yield run("show(pcall(objclass.map_set_vals, {a = input}))")
    yield run("show(pcall(objclass.map_set_vals, 5))")
    for arguments in ("'', 100", "'a', 2", "'', 0", "'', -1", "'', 'x'", ""):
        yield run(
            f"local t = {{}} for k, v in pairs(objclass.map_get_keys({arguments})) do "
            "t[#t+1] = k .. tostring(v) end table.sort(t) show(table.unpack(t))"
        )
    for arguments in ("'', '', 100", "'a', '', 2", "'', 'b', 9", "'', '', -1"):
        yield run(
            f"local t = {{}} for k, v in pairs(objclass.map_get_vals({arguments})) do "
            "t[#t+1] = k .. v:str() end table.sort(t) show(table.unpack(t))"
        )
    yield run("objclass.map_remove_key('a') objclass.map_remove_key('nosuch')")
    yield run("show(objclass.map_read_header())")
    yield run("objclass.map_write_header(input)", b"header")
    yield run("show(objclass.map_read_header())")
    yield run(
        "show(objclass.current_version(), objclass.current_subop_num(), "
        "objclass.current_subop_version(), objclass.current_subop_num())"
    )
    yield run("objclass.map_clear()")
    yield run("show(objclass.map_read_header())")


@script("lua: programs")
def lua_programs():
    yield Put("data", value=b"x")
    for body in (
        "return 0", "return", "return 5", "return -5", "return '7'", "return '-7'", "return 2.0",
        "return 2.5", "return nil", "return 'x'", "return {}", "return 1, -2", "return true",
        "error('x')", "error({})", "error()",
        "local x = nil + 1", "undefined()", "return -objclass.EBUSY", "return objclass.EBUSY",
    ):  # fmt: skip
        yield run(body)
    for body in (
        "show(type(input), type(bufferlist.new()), type({}), type(nil))",
        TWO_LISTS,
        "input:append('x') show(input, #input, input:str())",
        "input:append(5)", "input:append()", "bufferlist.new():nosuch()", "show(input == 'in')",
        "return #(input .. 'x')", "input.str(5)",
        "show(objclass.log('a'), objclass.log(1, 'b', true, nil, {}, 5, 1.5, input))",
        "show(objclass.log(), objclass.log(5), objclass.log(-1, 'c'), objclass.log('3', 'd'))",
        "show(io, os, require, package, debug, coroutine, utf8, loadfile, dofile, xpcall)",
        f"{NAMES_OF}(_G) {SHOW_SORTED}",
        f"{NAMES_OF}(objclass) {SHOW_SORTED}",
        "show(load('return 1 + 1')(), load('x x'), type(load(function() end)))",
        "show(pcall(error, 'x'))", "show(pcall(function() return 1, 2 end))",
        "show(pcall(pcall, objclass.create, true))",
        "local ok, code = pcall(objclass.create, true) return code",
        "pcall(objclass.create, true) objclass.create(true)",
        "pcall(objclass.create, true) error('other')",
        "show(string.format('%5.2f|%d|%s', 1.5, 3, 'x'), ('x'):rep(3), #_VERSION, 7 // 2, 1 << 4)",
        "show(math.type(1), math.type(1.0), math.huge, 2^53, 10 / 2, tostring(1e15))",
        "objclass.register(5)", "objclass.register(go)", "objclass.register()",
    ):  # fmt: skip
        yield run(body, b"in")
    yield raw("function f() end", "f")
    yield raw("function f() end objclass.register(f)", "f")
    yield raw("f = 5", "f")
    yield raw("", "nosuch")
    yield raw("", "print")
    yield raw("")
    yield raw("syntax error")
    yield raw("error('x')")
    yield raw("objclass.create(true)")
    yield raw("objclass.setxattr('top', bufferlist.new())")
    yield raw("\x1bLua")
    yield raw("function f() return f() + 1 end f()")
    yield raw("local t = {} t.t = t return t")
    yield raw("x = 5 -- \0 syntax error")
    yield raw("function f() objclass.create(true) end objclass.register(f)", "f\0g")


@script("lua: JSON")
def lua_json():
    yield Put("data", value=b"x")
    program = "function f(i, o) objclass.write_full(i) return #i end objclass.register(f)"
    yield as_json(script=program, handler="f", input="in\u00e9\u20ac")
    yield as_json(script=program, handler="f", input="")
    yield as_json(script=program, handler="f")
    yield as_json(script=program, handler="")
    yield as_json(script=program)
    yield as_json(handler="f")
    yield as_json(script=5, handler="f")
    yield as_json(script=program, handler=None)
    yield as_json(script=program, handler="f", input=5)
    yield as_json(script=program, handler="f", input="x", more=[1, {}])
    # Not empty: a real OSD crashes on that.
    for data in (
        b"x", b"[]", b"5", b'"x"', b"{", b"{}", b'{"script": "", "handler": ""}',
        b'  {"script": "", "handler": ""}  x', b'{"script": "", "handler": ""}\0x',
        b'{"script": "x x", "handler": ""}', b'{"script": "\\u0000x", "handler": ""}',
    ):  # fmt: skip
        yield Call("lua", "eval_json", data)
    raw_bytes = json.dumps({"script": program, "handler": "f", "input": "@"}).encode()
    yield Call("lua", "eval_json", raw_bytes.replace(b"@", b"\xff\xc3\xa9\n"))
    for data in (b"", b"\1\1\xff\0\0\0", b"\x40\x40\1\0\0\0\1"):
        yield Call("lua", "eval_bufferlist", data)
