--- Option tables of constructors, checked against one line of text.
--
-- A specification reads like the signature of an op:
--
--     "in_channels:count out_channels:count kernel_size:ints ; stride:ints=1 bias:bool=true"
--
-- Before `;` a value may be given by position or by name, after it by name only. `name:kind`,
-- then `?` (may be absent) or `=default`. Kinds: number, int, count (an integer of 1 or more),
-- bool, text, ints (an integer, or a list of integers), list, table, tensor, callable, any, or
-- words (`none|mean|sum`).
--
-- A misspelt option is an error that names the nearest one: Lua itself would ignore it.

local gan = require "gan"

local options = {}

--- The number of single-letter edits (insert, delete, replace, swap) between two words.
local function distance(a, b)
  local before, last, row = {}, {}, {}
  for j = 0, #b do
    last[j] = j
  end
  for i = 1, #a do
    row[0] = i
    for j = 1, #b do
      local cost = a:byte(i) == b:byte(j) and 0 or 1
      row[j] = math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + cost)
      local swapped = i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j)
      if swapped then
        row[j] = math.min(row[j], before[j - 2] + 1)
      end
    end
    before, last, row = last, row, before
  end
  return last[#b]
end

--- The word of `candidates` (a list) that was probably meant by `word`, or nil.
function options.suggest(word, candidates)
  local best, best_distance = nil, math.max(1, #word // 3) + 1
  for _, candidate in ipairs(candidates) do
    local d = distance(word:lower(), candidate:lower())
    if d < best_distance then
      best, best_distance = candidate, d
    end
  end
  return best
end

--- ", did you mean 'stride'?" or an empty string.
function options.hint(word, candidates)
  local best = options.suggest(tostring(word), candidates)
  return best and (", did you mean '%s'?"):format(best) or ""
end

local function is_integer(v) -- 3.0 counts, "3" does not
  return type(v) == "number" and math.tointeger(v) ~= nil
end

local function is_callable(v)
  local meta = getmetatable(v)
  return type(v) == "function" or (type(meta) == "table" and meta.__call ~= nil)
end

local function ints(v)
  if is_integer(v) then
    return true, math.tointeger(v)
  end
  local list = {}
  if type(v) == "table" then
    for i, size in ipairs(v) do
      if not is_integer(size) then
        return false
      end
      list[i] = math.tointeger(size)
    end
  end
  return #list > 0, list
end

local function of_type(name)
  return function(v)
    return type(v) == name, v
  end
end

local function whole(v)
  return is_integer(v), is_integer(v) and math.tointeger(v)
end

-- kind -> { what it is called in messages, function(v) -> fits, the value to use }
local kinds = {
  number = { "a number", of_type("number") },
  int = { "an integer", whole },
  count = { "a positive integer", function(v)
    return is_integer(v) and v >= 1, math.tointeger(v)
  end },
  bool = { "true or false", of_type("boolean") },
  text = { "a string", of_type("string") },
  ints = { "an integer or a list of integers", ints },
  list = { "a list", of_type("table") },
  table = { "a table", of_type("table") },
  tensor = { "a tensor", of_type("userdata") },
  callable = { "a function", function(v) return is_callable(v), v end },
  any = { "a value", function(v) return true, v end },
}

local function kind_of(text)
  if kinds[text] then
    return kinds[text]
  end
  assert(text:find("|", 1, true), "unknown kind of option: " .. text)
  local words = {}
  for word in text:gmatch("[^|]+") do
    words[word] = true
  end
  return { "one of " .. text:gsub("|", ", "), function(v) return words[v] ~= nil, v end }
end

local function literal(text)
  if text == "true" or text == "false" then
    return text == "true"
  end
  return tonumber(text) or text
end

local function parse(spec)
  local fields = { names = {}, by_name = {}, positional = 0 }
  local before, after = spec:match("^([^;]*);?(.*)$")
  for part, text in ipairs{ before, after } do
    for item in text:gmatch("%S+") do
      local name, kind, rest = item:match("^([%a_][%w_]*):([%a_|%d]+)(.*)$")
      assert(name, "malformed option specification: " .. item)
      local field = { name = name, kind = kind_of(kind), optional = rest ~= "" }
      if rest:sub(1, 1) == "=" then
        field.default = literal(rest:sub(2))
      end
      fields[#fields + 1] = field
      fields.names[#fields] = name
      fields.by_name[name] = field
      fields.positional = fields.positional + (part == 1 and 1 or 0)
    end
  end
  return fields
end

local parsed = {}

--- The parsed form of a specification: an array of { name=, kind=, optional=, default= }.
function options.parse(spec)
  local fields = parsed[spec]
  if not fields then
    fields = parse(spec)
    parsed[spec] = fields
  end
  return fields
end

local function describe(v)
  if type(v) == "string" then
    return ("%q"):format(v)
  elseif type(v) == "number" or type(v) == "boolean" then
    return tostring(v)
  end
  return type(v) == "userdata" and "a tensor" or "a " .. type(v)
end

local function take(name, field, v, level)
  local fits, value = field.kind[2](v)
  if not fits then
    error(("%s: option '%s' must be %s, not %s"):format(name, field.name, field.kind[1],
      describe(v)), level)
  end
  return value
end

local asking -- what fields_of waits for

--- The options that a function of the library takes, as options.parse gives them; nil where it
-- takes none. The function is called, but only up to the point where it checks its options.
function options.fields_of(f)
  local meta = debug.getmetatable(f)
  if type(f) ~= "function" then
    f = type(meta) == "table" and meta.__call
  end
  local info = type(f) == "function" and debug.getinfo(f, "S")
  if not info then
    return nil
  end
  local text = info.source:find "^=gan%." and gan.files.sources(info.source:sub(2))
  local n, checks = 0, false
  for line in ((text or "") .. "\n"):gmatch "(.-)\n" do
    n = n + 1
    checks = checks or n >= info.linedefined and n <= info.lastlinedefined
      and line:find("options.check(", 1, true) ~= nil
  end
  if not checks then
    return nil
  end
  local found
  asking = function(fields)
    found = fields
    error "asked"
  end
  pcall(f, {}, {}, {})
  asking = nil
  return found
end

--- Checks the option table `given` of the constructor `name` against `spec`.
-- Returns a new table with every option under its name, defaults filled in. Errors point at the
-- caller's caller (`level` 3), that is, at the line where the constructor was used.
function options.check(name, given, spec, level)
  if asking then
    asking(options.parse(spec))
  end
  level = (level or 3) + 1
  if type(given) ~= "table" then
    error(("%s: takes one table, as in %s{...}, not %s"):format(name, name,
      given == nil and "nothing" or describe(given)), level - 1)
  end
  local fields, values = options.parse(spec), {}
  for key, v in pairs(given) do
    local field = fields.by_name[key]
    if math.type(key) == "integer" and key >= 1 and key <= fields.positional then
      field = fields[key]
      if given[field.name] ~= nil then
        error(("%s: '%s' given twice, by position and by name"):format(name, field.name), level - 1)
      end
    elseif not field and type(key) == "number" then
      error(("%s: takes %d values by position, number %s is too much"):format(name,
        fields.positional, key), level - 1)
    elseif not field then
      error(("%s: unknown option '%s'%s"):format(name, tostring(key),
        options.hint(key, fields.names)), level - 1)
    end
    values[field.name] = take(name, field, v, level)
  end
  for _, field in ipairs(fields) do
    if values[field.name] == nil then
      if not field.optional then
        error(("%s: '%s' is missing (%s)"):format(name, field.name, field.kind[1]), level - 1)
      end
      values[field.name] = field.default
    end
  end
  return values
end

return options
