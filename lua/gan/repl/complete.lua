--- What a word may become when the tab key is pressed: names, fields, methods; the options of the
-- call in whose braces it stands; the files of a folder where it stands in a string.
--
-- No code of the user runs: metatables are followed through tables only. The library itself is
-- different: its parts are loaded when they are asked for.

local gan = require "gan"
local options = require "gan.options"

local complete = {}

local keywords = { "and", "break", "do", "else", "elseif", "end", "false", "for", "function",
  "goto", "if", "in", "local", "nil", "not", "or", "repeat", "return", "then", "true", "until",
  "while" }

-- ---- where the word stands ------------------------------------------------------------------

local closing = { ["("] = ")", ["["] = "]", ["{"] = "}" }

--- The position behind a string or comment that begins at i; nil when it does not end.
local function skip(text, i)
  local level = text:match("^%-?%-?%[(=*)%[", i)
  if level then
    local _, e = text:find("]" .. level .. "]", i, true)
    return e and e + 1
  elseif text:sub(i, i + 1) == "--" then
    return (text:find("\n", i, true))
  end
  local quote = text:sub(i, i)
  i = i + 1
  while i <= #text do
    local c = text:sub(i, i)
    if c == quote then
      return i + 1
    end
    i = i + (c == "\\" and 2 or 1)
  end
end

--- What is open at the end of a text: { string = its beginning }, { comment = true }, or the list
-- of brackets, each { bracket =, at =, from = position behind its last comma,
-- commas = how many there are }.
local function open_at_end(text)
  local stack, i = {}, 1
  while i <= #text do
    local c = text:sub(i, i)
    local comment, long = text:sub(i, i + 1) == "--", text:find("^%[=*%[", i)
    if comment or long or c == '"' or c == "'" then
      local after = skip(text, i)
      if not after then
        return comment and { comment = true }
          or { string = text:sub(long and text:find("%[", i + 1) + 1 or i + 1) }
      end
      i = after
    else
      if closing[c] then
        stack[#stack + 1] = { bracket = c, at = i, from = i + 1, commas = 0 }
      elseif stack[#stack] and c == closing[stack[#stack].bracket] then
        stack[#stack] = nil
      elseif stack[#stack] and (c == "," or c == ";") then
        stack[#stack].from, stack[#stack].commas = i + 1, stack[#stack].commas + 1
      end
      i = i + 1
    end
  end
  return stack
end

-- ---- values and their fields ----------------------------------------------------------------

--- A field without running anybody's code.
local function field(t, key)
  for _ = 1, 10 do
    if type(t) == "table" then
      local v = rawget(t, key)
      if v ~= nil then
        return v
      elseif t == gan then
        return gan[key]
      end
    end
    local meta = debug.getmetatable(t)
    t = type(meta) == "table" and rawget(meta, "__index")
    if type(t) ~= "table" then
      return nil
    end
  end
end

local function add_names(names, t, methods)
  if type(t) ~= "table" then
    return
  end
  for key, v in next, t do
    if type(key) == "string" and key:find("^[%a_][%w_]*$") and key:sub(1, 2) ~= "__"
        and (not methods or type(v) == "function") then
      names[key] = v
    end
  end
end

--- The methods of tensors: those of the metatable, and every op whose first argument is a tensor.
local function tensor_methods()
  local methods, x = {}, gan.ones(1)
  for _, record in ipairs(gan.ops()) do
    methods[record.name] = x[record.name]
  end
  for _, name in ipairs{ "shape", "size", "dim", "numel", "dtype", "stride", "item", "get", "set",
    "totable", "bytes", "is_contiguous", "requires_grad", "requires_grad_", "grad", "set_grad",
    "zero_grad", "is_leaf", "detach", "backward", "keep", "release" } do
    methods[name] = x[name]
  end
  return methods
end

--- All names that can follow `t.` or `t:`.
local function names_of(t, methods)
  local names = {}
  if gan.is_tensor(t) then
    add_names(names, tensor_methods(), true)
    return names
  end
  if t == gan then
    add_names(names, debug.getmetatable(gan).parts, methods)
  end
  for _ = 1, 10 do
    add_names(names, t, methods)
    local meta = debug.getmetatable(t)
    t = type(meta) == "table" and rawget(meta, "__index")
    if type(t) ~= "table" then
      break
    end
  end
  return names
end

--- The global variables, as a scope: { get(name) -> value, names() -> table by name }.
complete.globals = {
  get = function(name) return field(_G, name) end,
  names = function() return names_of(_G) end,
}

--- The value of `a.b[1].c` in a scope, nil where there is none.
local function value_of(path, scope)
  local name, rest = path:match("^([%a_][%w_]*)(.*)$")
  local v = name and scope.get(name)
  while v ~= nil and rest ~= "" do
    local key, after = rest:match("^[.:]([%a_][%w_]*)(.*)$")
    if not key then
      key, after = rest:match("^%[(%d+)%](.*)$")
      key = math.tointeger(tonumber(key))
    end
    if not key then
      key, after = rest:match("^%[[\"']([^\"']*)[\"']%](.*)$")
    end
    if not key then
      return nil
    end
    v, rest = field(v, key), after
  end
  return v
end

complete.value_of = value_of

--- The `a.b[1].c` with which a text ends, "" where it ends with something else.
local function path_at_end(text)
  local path = text:match("[%a_][%w_.:%[%]\"']*$") or ""
  while path:find("^[^%[]*%]") do -- the bracket was opened before: t[i].x in f(a[b
    path = path:match("%](.*)$"):match("[%a_].*$") or ""
  end
  return path
end

-- ---- options of calls -----------------------------------------------------------------------

local function named_params(name, names)
  for _, record in ipairs(gan.ops()) do
    if record.name == name then
      for _, p in ipairs(record.params) do
        if not p.positional then
          names[p.name .. "="] = true
        end
      end
      return true
    end
  end
end

--- Adds the options that a comment names, in its first f{a, b, range={0, 1}, columns=}. Returns how
-- many of these have no name; nil where there is no such text.
local function options_in_text(text, names)
  for braces in text:gmatch "%b{}" do
    local first = braces:find "[%a_][%w_]*="
    if first then
      for name in braces:gmatch "([%a_][%w_]*)=" do
        names[name .. "="] = true
      end
      return select(2, braces:sub(1, first - 1):gsub(",", ""))
    end
  end
end

--- Adds the options that a call of `callee` ("nn.Conv2d", "x:conv2d") takes in its table. Returns
-- how many values may stand there by position; nil where it takes no options.
local function add_options(callee, scope, names)
  local v, method = value_of(callee, scope), callee:match("[.:]([%w_]+)$")
  local op = method and v ~= nil and gan[method] == v or callee:find(":", 1, true)
  if op and named_params(method, names) then
    return 0
  end
  local fields = v ~= nil and options.fields_of(v)
  if type(v) == "function" and not fields then
    return options_in_text(gan.help.text(v, true) or "", names)
  end
  for _, option in ipairs(fields or {}) do
    names[option.name .. "="] = true
  end
  return fields and fields.positional
end

--- The callee in whose table of options the end of the text is: f{ and f(a, {. Nil elsewhere.
local function callee_at_end(text, stack)
  local top = stack[#stack]
  if not top or top.bracket ~= "{" or not text:find("^%s*$", top.from) then
    return nil
  end
  local before = text:sub(1, top.at - 1)
  local outer = stack[#stack - 1]
  if before:find("[,(]%s*$") and outer and outer.bracket == "(" then
    before = text:sub(1, outer.at - 1)
  end
  local path = path_at_end((before:gsub("%s+$", "")))
  return path ~= "" and path or nil
end

-- ---- files ----------------------------------------------------------------------------------

--- Names of the files whose path begins with `typed`, of which the last #word bytes are the word.
local function file_names(typed, word)
  local folder = typed:match("^.*/") or ""
  local head, list = typed:sub(#folder + 1), {}
  local from = #head - #word
  local home = folder:gsub("^~/", (os.getenv "HOME" or "~") .. "/")
  for _, name in ipairs(gan.files.list(home == "" and "." or home) or {}) do
    if name:sub(1, #head) == head and (name:sub(1, 1) ~= "." or head:sub(1, 1) == ".") then
      local inside = gan.files.list(home .. name) and "/" or ""
      list[#list + 1] = name:sub(from + 1) .. inside
    end
  end
  table.sort(list)
  return list
end

-- ---- words ----------------------------------------------------------------------------------

--- What stands behind a name in the list: calls are prepared.
local function ending(name, v)
  if type(v) ~= "function" then
    return ""
  end
  return name:find "^%u" and name:find "%l" and "{" or "("
end

--- The names that may stand at the end of `text`; whether variables may not.
local function names_at(text, stack, scope)
  local lead, separator = text:match("^(.-)([.:]?)%s*$")
  if separator ~= "" and not lead:find("[.:]$") then
    local v = value_of(path_at_end(lead), scope)
    return v ~= nil and names_of(v, separator == ":") or {}, true
  end
  local names, callee = {}, callee_at_end(text, stack)
  local positional = callee and add_options(callee, scope, names)
  return names, positional and stack[#stack].commas >= positional
end

--- The words that `word` may become, sorted. `before` is what was typed in front of it, `scope`
-- where names are looked up (default: the global variables).
function complete.words(word, before, scope)
  scope = scope or complete.globals
  before = before or ""
  local text = before .. word
  local stack = open_at_end(text)
  if stack.string then
    return file_names(stack.string, word)
  elseif stack.comment then
    return {}
  end
  local prefix = text:match("[%w_]*$")
  if prefix:find "^%d" then
    return {}
  end
  local lead = text:sub(1, #text - #prefix)
  local names, no_variables = names_at(lead, stack, scope)
  if not no_variables then
    for name, v in pairs(scope.names()) do
      names[name] = names[name] or v
    end
    for _, keyword in ipairs(keywords) do
      names[keyword] = true
    end
  end
  local list, front = {}, word:sub(1, #word - #prefix)
  for name, v in pairs(names) do
    if name:sub(1, #prefix) == prefix then
      list[#list + 1] = front .. name .. ending(name, v)
    end
  end
  table.sort(list)
  return list
end

return complete
