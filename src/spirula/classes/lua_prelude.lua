-- What programs of the object class `lua` find when they start: the modules `objclass` and
-- `bufferlist`, and of Lua's own libraries what cannot leave the sandbox. Loaded by lua.py with the
-- function `host` (name, arguments ... -> true, results ... or false, errno, message). Gives two
-- functions: one that runs a program, one that tells which errno ended it.

local host = ...

local error, load, next, pairs, pcall, select = error, load, next, pairs, pcall, select
local setmetatable, tonumber, tostring, type = setmetatable, tonumber, tostring, type
local concat, pack_values, unpack_values = table.concat, table.pack, table.unpack
local pack, unpack, format = string.pack, string.unpack, string.format
local gmatch, match = string.gmatch, string.match
local tointeger = math.tointeger
local globals = _G

-- ------------------------------------------------------------------------------------ bufferlists

local Bufferlist = { __name = "ClsLua.Bufferlist" }
Bufferlist.__index = Bufferlist

-- The pieces of each bufferlist, where programs cannot reach them.
local pieces = setmetatable({}, { __mode = "k" })

local function new(data)
  local made = setmetatable({}, Bufferlist)
  pieces[made] = { data, size = #data }
  return made
end

-- An error about the argument `at` of a function, in Lua's own words.
local function bad(at, name, expected, value)
  local got = type(value)
  if value == nil then
    got = "no value"
  elseif pieces[value] then
    got = Bufferlist.__name
  end
  local what = expected .. " expected, got " .. got
  error(format("bad argument #%d to '%s' (%s)", at, name, what), 0)
end

local function check(value, at, name)
  local held = value ~= nil and pieces[value]
  if not held then
    bad(at or 1, name or "?", Bufferlist.__name, value)
  end
  return held
end

local function str(value, at, name)
  local held = check(value, at, name)
  if #held > 1 then
    held = { concat(held), size = held.size }
    pieces[value] = held
  end
  return held[1] or ""
end

function Bufferlist:str()
  return str(self, 1, "str")
end

function Bufferlist:append(data)
  local held = check(self, 1, "append")
  if type(data) ~= "string" then
    bad(1, "append", "string", data)
  end
  held[#held + 1] = data
  held.size = held.size + #data
end

function Bufferlist.__concat(first, second)
  return new(str(first) .. str(second))
end

function Bufferlist.__len(value)
  return check(value).size
end

function Bufferlist.__eq(first, second)
  return str(first) == str(second)
end

function Bufferlist.__lt(first, second)
  return str(first) < str(second)
end

function Bufferlist.__le(first, second)
  return str(first) <= str(second)
end

local function type_of(...)
  if select("#", ...) > 0 and (...) ~= nil and pieces[(...)] then
    return "userdata"
  end
  return type(...)
end

-- --------------------------------------------------------------------------- arguments and errors

-- As C's int takes it.
local function int(value, at, name)
  local number = value
  if type(value) == "string" then
    number = tonumber(value)
  end
  if type(number) ~= "number" then
    bad(at, name, "number", value)
  end
  local whole = tointeger(number)
  if not whole then
    local what = "number has no integer representation"
    error(format("bad argument #%d to '%s' (%s)", at, name, what), 0)
  end
  whole = whole & 0xFFFFFFFF
  return whole < 0x80000000 and whole or whole - 0x100000000
end

-- As C's functions take it: up to the first zero byte.
local function text(value, at, name)
  local kind = type(value)
  if kind == "number" then
    value = tostring(value)
  elseif kind ~= "string" then
    bad(at, name, "string", value)
  end
  return match(value, "^[^\0]*")
end

-- The errno of the operation whose error is on its way.
local failure

local function fail(code, message)
  failure = code
  error(message, 0)
end

local function finish(ok, ...)
  if not ok then
    fail(...)
  end
  return ...
end

local function with_code(...)
  if failure == nil then
    return ...
  end
  local code, results = failure, pack_values(...)
  failure = nil
  results[results.n + 1] = results[results.n]
  results[results.n] = code
  return unpack_values(results, 1, results.n + 1)
end

-- -------------------------------------------------------------------------------------- objclass

local objclass, registered = {}, {}

for name, number in gmatch(finish(host("errnos")), "(%w+)=(%d+)") do
  objclass[name] = tonumber(number)
end
local unsupported = -objclass.EOPNOTSUPP
objclass.EOPNOTSUPP = nil

function objclass.register(handler)
  if type(handler) ~= "function" then
    bad(1, "objclass.register", "function", handler)
  end
  if registered[handler] then
    error("Cannot register handler more than once", 0)
  end
  registered[handler] = true
end

function objclass.log(...)
  local words = pack_values(...)
  if words.n == 0 then
    return
  end
  local level, first = 10, 1
  local given = words.n > 1 and tonumber(words[1])
  if given and given >= 0 then
    level, first = tointeger(given // 1) or level, 2
  end
  local parts = {}
  for at = first, words.n do
    local word, kind = words[at], type(words[at])
    local shown = kind == "string" or kind == "number" or kind == "boolean"
    parts[#parts + 1] = shown and tostring(word) or type_of(word)
  end
  local message = concat(parts, " ")
  host("log", level, message)
  return message
end

function objclass.create(exclusive)
  finish(host("create", exclusive and true or false))
end

function objclass.remove()
  finish(host("remove"))
end

function objclass.stat()
  return finish(host("stat"))
end

function objclass.read(offset, length)
  return new(finish(host("read", int(offset, 1, "objclass.read"), int(length, 2, "objclass.read"))))
end

function objclass.write(offset, length, data)
  local name = "objclass.write"
  finish(host("write", int(offset, 1, name), int(length, 2, name), str(data, 3, name)))
end

function objclass.write_full(data)
  finish(host("write_full", str(data, 1, "objclass.write_full")))
end

-- Strings one after another, each behind its length, as a table: with values, or of true.
local function entries(packed, alone)
  local made, at, key, value = {}, 1, nil, nil
  while at <= #packed do
    key, at = unpack("<s4", packed, at)
    if alone then
      made[key] = true
    else
      value, at = unpack("<s4", packed, at)
      made[key] = new(value)
    end
  end
  return made
end

function objclass.getxattr(name)
  return new(finish(host("getxattr", text(name, 1, "objclass.getxattr"))))
end

function objclass.getxattrs()
  return entries(finish(host("getxattrs")))
end

function objclass.setxattr(name, data)
  finish(host("setxattr", text(name, 1, "objclass.setxattr"), str(data, 2, "objclass.setxattr")))
  return data
end

function objclass.map_clear()
  finish(host("map_clear"))
end

function objclass.map_get_keys(start_after, max_to_get)
  local name = "objclass.map_get_keys"
  local after, most = text(start_after, 1, name), int(max_to_get, 2, name)
  return entries(finish(host("map_get_keys", after, most)), true)
end

function objclass.map_get_vals(start_after, filter_prefix, max_to_get)
  local name = "objclass.map_get_vals"
  local after, prefix = text(start_after, 1, name), text(filter_prefix, 2, name)
  return entries(finish(host("map_get_vals", after, prefix, int(max_to_get, 3, name))))
end

function objclass.map_read_header()
  return new(finish(host("map_read_header")))
end

function objclass.map_write_header(data)
  finish(host("map_write_header", str(data, 1, "objclass.map_write_header")))
end

function objclass.map_get_val(key)
  return new(finish(host("map_get_val", text(key, 1, "objclass.map_get_val"))))
end

function objclass.map_set_val(key, data)
  finish(host("map_set_val", text(key, 1, "objclass.map_set_val"), str(data, 2, "objclass.map_set_val")))
end

function objclass.map_set_vals(values)
  if type(values) ~= "table" or pieces[values] then
    bad(1, "objclass.map_set_vals", "table", values)
  end
  local packed = {}
  for key, value in next, values do
    local kind = type(key)
    if kind ~= "string" and kind ~= "number" then
      fail(-objclass.EINVAL, "map_set_vals: invalid key type (" .. type_of(key) .. ")")
    end
    if type(value) ~= "string" then
      local about = type_of(value) .. ") for key (" .. tostring(key) .. ")"
      fail(-objclass.EINVAL, "map_set_vals: invalid val type (" .. about)
    end
    packed[#packed + 1] = pack("<s4s4", text(key, 1, "objclass.map_set_vals"), value)
  end
  finish(host("map_set_vals", concat(packed)))
end

function objclass.map_remove_key(key)
  finish(host("map_remove_key", text(key, 1, "objclass.map_remove_key")))
end

function objclass.current_version()
  return finish(host("current_version"))
end

function objclass.current_subop_num()
  return finish(host("current_subop_num"))
end

function objclass.current_subop_version()
  return finish(host("current_subop_version"))
end

-- ------------------------------------------------------------------------------------ the sandbox

local keep = {}
for name in gmatch(
  "_G _VERSION assert collectgarbage error getmetatable ipairs load math next pairs pcall print"
    .. " rawequal rawget rawlen rawset select setmetatable string table tonumber tostring type",
  "%g+"
) do
  keep[name] = true
end
for name in pairs(globals) do
  if not keep[name] then
    globals[name] = nil
  end
end

globals.objclass = objclass
globals.bufferlist = {
  new = function()
    return new("")
  end,
}
globals.type = type_of
globals.pcall = function(...)
  return with_code(pcall(...))
end
-- Text only: compiled programs could do anything.
globals.load = function(chunk, name, mode, ...)
  return load(chunk, name, "t", ...)
end

local function run(program, handler, input)
  local output = new("")
  local chunk, message = load(match(program, "^[^\0]*"), nil, "t")
  if not chunk then
    error(message, 0)
  end
  chunk()
  if handler == "" then
    return 0, ""
  end
  local target = globals[match(handler, "^[^\0]*")]
  if type(target) ~= "function" then
    return unsupported, ""
  end
  if not registered[target] then
    error("Handler is not registered", 0)
  end
  local results = pack_values(target(new(input), output))
  if results.n == 0 then
    return 0, str(output)
  end
  return int(results[results.n], -1, "?"), str(output)
end

return run, function()
  return failure
end
