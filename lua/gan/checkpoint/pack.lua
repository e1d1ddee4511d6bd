--- State as data: a tree of tables, numbers, strings, booleans, tensors and objects becomes a JSON
-- text and named tensors, and comes back equal to the last bit. Objects are what has state_dict and
-- load_state_dict: models, optimisers, schedules, averages, batches.
--
-- What JSON does not have is a table with one reserved key: {"$": name of a tensor},
-- {"#": the 64 bits of a float in hexadecimal}, {"%": bytes in hexadecimal},
-- {"@": list of keys and values in turn}. Reading builds tables from these, and runs nothing.

local gan = require "gan"
local json = require "gan.json"

local pack = {}

local reserved = { ["$"] = true, ["#"] = true, ["%"] = true, ["@"] = true }

local function is_object(v)
  return type(v) == "table" and type(v.state_dict) == "function"
    and type(v.load_state_dict) == "function"
end

local function join(path, key)
  return path == "" and tostring(key) or path .. "." .. tostring(key)
end

local function hex(s)
  return (s:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

local function unhex(s)
  if type(s) ~= "string" or #s % 2 == 1 or s:find("[^0-9a-f]") then
    error({ "malformed bytes" }, 0)
  end
  return (s:gsub("..", function(digits) return string.char(tonumber(digits, 16)) end))
end

local function pack_scalar(v)
  if math.type(v) == "float" and (v ~= v or v % 1 == 0 or v - v ~= 0) then
    return { ["#"] = hex((">d"):pack(v)) } -- as a JSON number it would come back an integer
  elseif type(v) == "string" and not utf8.len(v) then
    return { ["%"] = hex(v) }
  end
  return v
end

--- "list", "object" or "pairs": how a table can be written.
local function form_of(t)
  local count, form = 0, "object"
  for key in pairs(t) do
    count = count + 1
    if type(key) ~= "string" or reserved[key] or not utf8.len(key) then
      form = "pairs"
    end
  end
  for i = 1, count do
    if t[i] == nil then
      return form
    end
  end
  return count > 0 and "list" or form
end

local pack_value

local function pack_pairs(out, t, path)
  local list = json.array()
  for key, v in pairs(t) do
    if type(key) ~= "string" and type(key) ~= "number" and type(key) ~= "boolean" then
      error(("%s: a key is a %s"):format(path, type(key)), 0)
    end
    list[#list + 1] = pack_scalar(key)
    list[#list + 1] = pack_value(out, v, join(path, key))
  end
  return { ["@"] = list }
end

local function pack_table(out, t, path)
  local form, result = form_of(t), {}
  if out.active[t] then
    error(path .. ": a table that contains itself", 0)
  end
  out.active[t] = true
  if form == "pairs" then
    result = pack_pairs(out, t, path)
  else
    for key, v in pairs(t) do
      result[key] = pack_value(out, v, join(path, key))
    end
  end
  out.active[t] = nil
  return result
end

local function pack_tensor(out, t, path)
  local name = path
  while out.tensors[name] do
    name = name .. "'"
  end
  out.tensors[name] = t
  return { ["$"] = name }
end

function pack_value(out, v, path)
  local kind = type(v)
  if gan.is_tensor(v) then
    return pack_tensor(out, v, path)
  elseif is_object(v) then
    return pack_table(out, v:state_dict(), path)
  elseif kind == "table" and getmetatable(v) == nil then
    return pack_table(out, v, path)
  elseif kind == "number" or kind == "string" or kind == "boolean" then
    return pack_scalar(v)
  end
  error(("%s: a %s cannot be saved%s"):format(path, kind, kind == "table"
    and ", it has no methods state_dict and load_state_dict" or ""), 0)
end

--- The JSON text of a tree, and its tensors by name: the path of keys that leads to each.
function pack.pack(tree)
  local out = { tensors = {}, active = {} }
  return json.encode(pack_table(out, tree, "")), out.tensors
end

local unpack_value

local function unpack_table(v, tensors)
  local result = {}
  if v["#"] then
    return ((">d"):unpack(unhex(v["#"])))
  elseif v["%"] then
    return unhex(v["%"])
  elseif v["$"] then
    return tensors[v["$"]] or error({ "there is no tensor " .. tostring(v["$"]) }, 0)
  elseif v["@"] then
    for i = 1, #v["@"], 2 do
      local key = unpack_value(v["@"][i], tensors)
      if key == nil or key ~= key then
        error({ "malformed key" }, 0)
      end
      result[key] = unpack_value(v["@"][i + 1], tensors)
    end
    return result
  end
  for key, item in pairs(v) do
    result[key] = unpack_value(item, tensors)
  end
  return result
end

function unpack_value(v, tensors)
  if v == json.null then
    return nil
  end
  return type(v) == "table" and unpack_table(v, tensors) or v
end

--- The tree of a text that `pack` made, with plain tables in the place of objects; or nil and a
-- message.
function pack.unpack(text, tensors)
  local tree, message = json.decode(text)
  if type(tree) ~= "table" then
    return nil, message or "not a table"
  end
  local ok, result = pcall(unpack_value, tree, tensors)
  if not ok then
    return nil, type(result) == "table" and result[1] or tostring(result)
  end
  return result
end

local function shape_of(t)
  return ("%s (%s)"):format(t:dtype(), table.concat(t:shape(), " x "))
end

local function restore_tensor(live, saved, path)
  if not gan.is_tensor(saved) or shape_of(saved) ~= shape_of(live) then
    error(("%s: %s here, %s saved"):format(path, shape_of(live),
      gan.is_tensor(saved) and shape_of(saved) or type(saved)), 0)
  end
  gan.no_grad(live.copy_, live, saved)
end

local function is_structure(v)
  return type(v) == "table" or gan.is_tensor(v)
end

--- Schedules come first: they set learning rates, of which the optimiser's own have the last word.
local function in_order(t)
  local keys = {}
  for key in pairs(t) do
    keys[#keys + 1] = key
  end
  table.sort(keys, function(a, b)
    local first = is_object(t[a]) and t[a].optimizer ~= nil
    if first ~= (is_object(t[b]) and t[b].optimizer ~= nil) then
      return first
    elseif type(a) == type(b) then
      return a < b
    end
    return type(a) < type(b)
  end)
  return keys
end

--- What is kept of the file after it was read: tensors outside any scope, tables of their own.
local function adopt(v)
  if gan.is_tensor(v) then
    return v:keep()
  elseif type(v) ~= "table" then
    return v
  end
  local copy = {}
  for key, item in pairs(v) do
    copy[key] = adopt(item)
  end
  return copy
end

local restore_value

--- A plain table becomes what was saved; the objects and tensors in it stay the same objects.
local function restore_table(live, saved, path)
  for _, key in ipairs(in_order(live)) do
    local v = live[key]
    if saved[key] == nil and (gan.is_tensor(v) or is_object(v) or path == "" and is_structure(v))
    then
      error(("%s is not in the checkpoint"):format(join(path, key)), 0)
    elseif is_structure(v) and saved[key] ~= nil then
      restore_value(v, saved[key], join(path, key))
    else
      live[key] = adopt(saved[key])
    end
  end
  for key, v in pairs(saved) do
    if live[key] == nil then
      live[key] = adopt(v)
    end
  end
end

function restore_value(live, saved, path)
  if gan.is_tensor(live) then
    restore_tensor(live, saved, path)
  elseif type(saved) ~= "table" then
    error(("%s: a %s was saved, and here is a table"):format(path, type(saved)), 0)
  elseif is_object(live) then
    local ok, message = pcall(live.load_state_dict, live, saved)
    if not ok then
      error(path .. ": " .. tostring(message), 0)
    end
  else
    restore_table(live, saved, path)
  end
end

--- Puts a saved tree into the live one: objects load their part, tensors are overwritten, plain
-- tables get the saved keys. Raises where they do not fit.
pack.restore = restore_value

return pack
