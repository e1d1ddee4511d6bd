--- The interactive mode of gan-lua, over the line reader that the program passes in.
--
--     > x = gan.randn(2, 3)         statements; a chunk may go on over several lines
--     > x:relu()                    values of expressions are printed; the first one stays in _
--     > ?conv2d   ?nn.Linear        what it is, its shapes and options, an example
--     > ??nn.Linear                 its source
--     > nn.Conv2d{1, 64, ke[TAB]    names, methods, options; files where a string is open
--
-- It is told how long a slow line took. Nothing is coloured where the output is no terminal, and
-- there is no prompt where the input is none, unless _PROMPT is set. `gan` is a global here, and
-- here only. A prompt elsewhere is a session of its own: repl.session (gan.train.live has one).

-- what a line does to these names does not concern the prompt
local io, load, os, require = io, load, os, require
local select, table, tostring = select, table, tostring

local gan = require "gan"
local colour = require "gan.repl.colour"
local complete = require "gan.repl.complete"
local errors = require "gan.repl.errors"

local repl = {}

local remembered = false -- whether the editor has the history
local told_of_local = false

local SLOW = 0.2 -- seconds from which on the time of a line is shown

--- Where lines are remembered, nil for nowhere.
function repl.history_path()
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

--- Writes the history as a whole or not at all: another REPL may be reading it.
function repl.save_history(reader, path)
  reader.save_history(path .. ".new")
  os.rename(path .. ".new", path)
end

--- Compiles what was typed; nil and true when it is the beginning of something longer, nil and a
-- message when it is wrong. The third value tells whether it is an expression.
function repl.compile(text, env)
  local chunk = load("return " .. text, "=stdin", "t", env or _G)
  if chunk then
    return chunk, nil, true
  end
  local message
  chunk, message = load(text, "=stdin", "t", env or _G)
  if chunk then
    return chunk
  end
  return nil, message:sub(-5) == "<eof>" or message
end

--- The words that `word` may become after `before`, in the scope of the global variables.
function repl.complete(word, before)
  return complete.words(word, before)
end

--- The text of values, as the REPL prints them.
function repl.values(values)
  local list = {}
  for i = 1, values.n do
    list[i] = gan.pretty(values[i])
  end
  return table.concat(list, "\t")
end

-- ---- help -----------------------------------------------------------------------------------

--- What `?name` and `??name` print; nil when the line is something else.
function repl.help_text(line, scope)
  local marks, topic = line:match "^%s*(%?%??)%s*(.-)%s*$"
  if not marks or topic:find "\n" then
    return nil
  elseif marks == "??" then
    return require "gan.repl.source".text(topic, scope)
  elseif topic == "" then
    return gan.help.text()
  end
  local v = complete.value_of(topic, scope or complete.globals)
  local known = not topic:find "[%[\"']" and gan.help.text(topic, true)
  if v ~= nil and (gan.is_tensor(v) or not known) then
    return gan.help.value(v, topic)
  end
  return known or gan.help.text((topic:gsub("^.*:", "")))
end

-- ---- sessions -------------------------------------------------------------------------------

--- A session reads chunks and runs them. Fields of `o`:
--   reader    read(prompt) -> line, nil (end of input) or false (given up by Ctrl-C);
--             remember(line); load_history(path), save_history(path); open(complete) -> the one
--             before; call(f, ...) -> true, results... or false, message: Ctrl-C raises in f
--   prompts   function(first) -> text
--   scope     where names are looked up, see gan.repl.complete; env, the environment of chunks
--   command   function(text) -> true when the line was a command of its own; "leave" ends
--   done      function() -> true when the session is over
--   keep      function(v) gets the first value of an expression
--   interrupts  true: Ctrl-C at the prompt ends the session
--   ran       function(text, results) after a chunk: results as of reader.call, packed
function repl.session(o)
  local self = { }
  local path = gan.files.isatty(0) and repl.history_path()
  if path and not gan.files.mkdir(path:match("^(.*)/") or ".") then
    path = nil
  end

  local function show(values)
    if values.n > 0 then
      print(repl.values(values))
    end
  end

  local function complain(text)
    io.stderr:write(text, "\n")
  end

  --- Reads a chunk, over several lines if need be. Returns its text and the chunk; the text, nil
  -- and the compiler's message; the text alone when it is a command; false when it was given up;
  -- nothing at the end of the input.
  local function read_chunk()
    local text, chunk, message = "", nil, true
    while message == true do
      local line = o.reader.read(o.prompts(text == ""))
      if line == nil and text ~= "" then
        return text, nil, (select(2, load(text, "=stdin", "t")))
      elseif not line then
        return line
      end
      text = text == "" and line or text .. "\n" .. line
      message = nil
      if not text:find "^%s*%?" and not (o.command and o.command(text, true)) then
        chunk, message = repl.compile((text:gsub("^=", "return ")), o.env) -- `=` as in Lua 5.1
      end
    end
    if text:find "%S" then
      o.reader.remember(text)
    end
    if chunk and text:find "function" then
      table.insert(require "gan.repl.source".typed, text)
    end
    return text, chunk, message
  end

  local function run(text, chunk)
    local started = gan.files.time()
    local results = table.pack(o.reader.call(chunk))
    local seconds = gan.files.time() - started
    if o.ran then
      o.ran(text, results)
    end
    if not results[1] then
      return complain(errors.runtime(text, tostring(results[2])))
    end
    if results.n > 1 and o.keep then
      o.keep(results[2])
    end
    results = table.pack(o.reader.call(show, table.pack(table.unpack(results, 2, results.n))))
    if not results[1] then
      complain("error while the result is printed: " .. tostring(results[2]))
    end
    if seconds >= SLOW and colour.wanted(1) then
      print(colour.dim(("%.2f s"):format(seconds)))
    end
    if text:find "^%s*local%s" and not told_of_local and gan.files.isatty(0) then
      told_of_local = true
      print(colour.dim "a local variable ends with its line; without `local` it stays")
    end
  end

  --- What is not a chunk; "leave" ends the session.
  local function run_other(text, message)
    local help = repl.help_text(text, o.scope)
    if help then
      print(help)
    elseif message then
      complain(errors.syntax(text, message))
    elseif o.command then
      return o.command(text)
    end
  end

  --- Reads, evaluates and prints; returns what ended it: "leave" (a command), "interrupt" (Ctrl-C
  -- at the prompt, where `interrupts` asks for it) or "end" (of the input).
  function self.run()
    local before = o.reader.open(function(word, typed)
      return complete.words(word, typed, o.scope)
    end)
    if path and not remembered then -- a prompt in a run shares the lines with that around it
      o.reader.load_history(path)
      remembered = true
    end
    local ended
    while not ended do
      local text, chunk, message = read_chunk()
      if path and text then
        repl.save_history(o.reader, path) -- now: the chunk may end the program
      end
      if chunk then
        run(text, chunk)
        ended = o.done and o.done() and "leave"
      elseif text then
        ended = run_other(text, message)
      elseif text == nil then
        ended = "end"
      elseif o.interrupts then
        ended = "interrupt"
      end
    end
    if before then
      o.reader.open(before)
    end
    return ended
  end
  return self
end

local function prompt(first)
  local text = rawget(_G, first and "_PROMPT" or "_PROMPT2")
  if text ~= nil then
    return tostring(text)
  elseif not gan.files.isatty(0) then
    return ""
  end
  return first and "> " or ">> "
end

--- Reads, evaluates and prints until the end of the input. `reader`: see repl.session.
function repl.run(reader)
  if rawget(_G, "gan") == nil then
    rawset(_G, "gan", gan)
  end
  repl.session{
    reader = reader, prompts = prompt, scope = complete.globals,
    keep = function(v) rawset(_G, "_", v) end,
  }.run()
  if prompt(true) ~= "" then
    print()
  end
end

return repl
