--- The interactive mode of gan-lua, over the line reader that the program passes in.
--
-- A line is tried as an expression, whose values are printed, then as a statement that may go on
-- over several lines. `?name` shows help. `gan` is a global here, and here only.

local gan = require "gan"

local repl = {}

local function history_path()
  local path = os.getenv "GAN_LUA_HISTORY"
  if path then
    return path ~= "" and path or nil -- empty: no history
  end
  local state, home = os.getenv "XDG_STATE_HOME", os.getenv "HOME"
  if state and state ~= "" then
    return state .. "/gan-lua/history"
  end
  return home and home .. "/.local/state/gan-lua/history"
end

--- Compiles what was typed; nil and true when it is the beginning of something longer, nil and a
-- message when it is wrong.
function repl.compile(text)
  local chunk = load("return " .. text, "=stdin", "t")
  if chunk then
    return chunk
  end
  local message
  chunk, message = load(text, "=stdin", "t")
  if chunk then
    return chunk
  end
  return nil, message:sub(-5) == "<eof>" or message
end

--- A field without running anybody's code: metatables are followed through tables only, but for the
-- library itself, whose parts are loaded when they are asked for.
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

--- All names that can follow `t.` or `t:`.
local function names_of(t, methods)
  local names = {}
  if gan.is_tensor(t) then
    add_names(names, repl.methods(), true)
    return names
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

--- The methods of tensors: those of the metatable, and every op whose first argument is a tensor.
function repl.methods()
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

local keywords = { "and", "break", "do", "else", "elseif", "end", "false", "for", "function",
  "goto", "if", "in", "local", "nil", "not", "or", "repeat", "return", "then", "true", "until",
  "while" }

--- The words that `word` (names joined by dots and one colon) may become.
function repl.complete(word)
  local path, separator, prefix = word:match("^(.-)([.:]?)([%a_]?[%w_]*)$")
  local t, names = _G
  if separator == "" then
    names = names_of(_G)
    for _, keyword in ipairs(keywords) do
      names[keyword] = true
    end
  else
    for name in path:gmatch("[^.:]+") do
      t = field(t, name)
    end
    if t == nil then
      return {}
    end
    names = names_of(t, separator == ":")
  end
  local list = {}
  for name, v in pairs(names) do
    if name:sub(1, #prefix) == prefix then
      list[#list + 1] = path .. separator .. name .. (type(v) == "function" and "(" or "")
    end
  end
  table.sort(list)
  return list
end

local function show(values)
  if values.n == 0 then
    return
  end
  local list = {}
  for i = 1, values.n do
    list[i] = gan.pretty(values[i])
  end
  print(table.concat(list, "\t"))
end

local function prompt(first)
  local name = first and "_PROMPT" or "_PROMPT2"
  local text = _G[name]
  return text ~= nil and tostring(text) or first and "> " or ">> "
end

local function help_on(line)
  local topic = line:match("^%s*%?%s*([%w_.]*)%s*$")
  return topic and function()
    gan.help(topic ~= "" and topic or nil)
  end
end

--- Reads a chunk, over several lines if need be. Returns it; or nil and the compiler's message;
-- false when it was given up; nothing at the end of the input.
local function read_chunk(reader)
  local text, chunk, message = "", nil, true
  while message == true do
    local line = reader.read(prompt(text == ""))
    if line == nil and text ~= "" then
      return nil, (select(2, load(text, "=stdin", "t")))
    elseif not line then
      return line
    end
    text = text == "" and line or text .. "\n" .. line
    chunk, message = help_on(text), nil
    if not chunk then
      chunk, message = repl.compile((text:gsub("^=", "return "))) -- `=` as Lua 5.1 had it
    end
  end
  if text:find("%S") then
    reader.remember(text)
  end
  return chunk, message
end

local function complain(message)
  -- the frames of the REPL itself are of no interest
  io.stderr:write((tostring(message):gsub("\n%s*%[C%]: in [^\n]*'call'.*$", "\n\t[C]: in ?")), "\n")
end

local function run_chunk(reader, chunk)
  local results = table.pack(reader.call(chunk))
  if not results[1] then
    return complain(results[2])
  end
  results = table.pack(reader.call(show, table.pack(table.unpack(results, 2, results.n))))
  if not results[1] then
    complain("error while the result is printed: " .. tostring(results[2]))
  end
end

--- Reads, evaluates and prints until the end of the input.
--
-- `reader` has read(prompt) -> line, nil (end of input) or false (given up by Ctrl-C);
-- remember(line); load_history(path), save_history(path); open(complete); and
-- call(f, ...) -> true, results... or false, message: Ctrl-C raises in f.
function repl.run(reader)
  _G.gan = _G.gan or gan
  reader.open(repl.complete)
  local path = gan.files.isatty(0) and history_path()
  if path and gan.files.mkdir(path:match("^(.*)/") or ".") then
    reader.load_history(path)
  else
    path = nil
  end
  while true do
    local chunk, message = read_chunk(reader)
    if path then
      reader.save_history(path) -- now: the chunk may end the program
    end
    if chunk then
      run_chunk(reader, chunk)
    elseif message then
      complain(message)
    elseif chunk == nil then
      break
    end
  end
  print()
end

return repl
