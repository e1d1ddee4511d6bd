--- A run that can be questioned and changed between two steps: by the prompt that Ctrl-C opens in
-- it, by `gan-lua attach RUN` from another terminal, by --watch when its script changes, and by
-- `gan-lua replay RUN`, which does again what was done to another run.
--
-- All of them run lines of Lua in one environment: the names in `state` (G, D, G_opt, ...), the
-- variables of the script (to be read and set: noise = 0.1), `opt`, `losses` (of the latest step),
-- `means` (of the epoch), `epoch`, `step`, `run`, gan, and the globals; _ is the last result. New
-- names stay with the prompt. save(), stop() and reload() are functions and, at a prompt, commands.
--
-- What such a line may change is written into the run's live.jsonl (gan.report.journal) with the
-- number of steps after which it ran. That is true of a look that calls something, too: it may draw
-- random numbers. Names and fields alone (losses.G, G_opt.lr) are not written.

local gan = require "gan"
local basics = require "gan.basics"
local colour = require "gan.repl.colour"
local journal = require "gan.report.journal"
local progress = require "gan.train.progress"
local reload = require "gan.train.reload"
local scope = require "gan.train.scope"
local server = require "gan.train.server"

local Live = { __name = "gan.train.live" }
Live.__index = Live

local WATCH = 0.5  -- seconds between two looks at the script
local LISTEN = 0.2 -- and for somebody who wants to attach

-- Ctrl-C, a terminal and its line reader are the program's, not those of other hosts.
local function program()
  return package.loaded["gan.program"]
end

-- ---- names ----------------------------------------------------------------------------------

--- What is the loop's own: read, not set.
local own = {
  losses = function(self) return self.losses end,
  means = function(self) return self.means() end,
  epoch = function(self) return self.position.epoch end,
  step = function(self) return self.position.steps end,
  run = function(self) return self.run end,
  gan = function() return gan end,
  print = function(self) return self.print end,
  save = function(self) return function() self:command_save() end end,
  stop = function(self) return function() self.stopping = true end end,
  reload = function(self) return function(name) self:read_script(name) end end,
}

function Live:functions()
  local list = self.list()
  for i = 1, 3 do -- a callable table is not the script's
    if type(list[i]) ~= "function" then
      list[i] = nil
    end
  end
  return { n = 3, list[1], list[2], list[3] }
end

--- The variables of the script: name -> { get(), set(v) }.
function Live:variables()
  return scope.variables(self:functions(), self.source)
end

local function options_of(self)
  return self.run and self.run.given
end

--- The value of a name at the prompt.
function Live:get(name, variables)
  if own[name] then
    return own[name](self)
  elseif self.state[name] ~= nil then
    return self.state[name]
  end
  local variable = (variables or self:variables())[name]
  if variable then
    return variable.get()
  elseif self.scratch[name] ~= nil then
    return self.scratch[name]
  elseif name == "opt" and options_of(self) then
    return options_of(self)
  end
  return _G[name]
end

--- Whether a global name is Lua's own: a line that takes it for something else does so for the
-- prompt, not for the program around it.
local function is_standard(name)
  local v = rawget(_G, name)
  return v ~= nil and (package.loaded[name] == v
    or type(v) == "function" and debug and debug.getinfo(v, "S").what == "C")
end

function Live:set(name, v)
  local variable = not own[name] and self:variables()[name]
  if variable then
    variable.set(v)
  elseif own[name] or self.state[name] ~= nil then
    error(("'%s' belongs to the loop and cannot be set"):format(name), 3)
  elseif rawget(_G, name) ~= nil and not is_standard(name) then
    _G[name] = v
  else
    self.scratch[name] = v
  end
end

--- All names, for completion.
function Live:names()
  local names = {}
  for name, v in pairs(_G) do
    names[name] = v
  end
  local variables = self:variables()
  for _, list in ipairs{ self.scratch, variables, self.state, own } do
    for name in pairs(list) do
      local v = self:get(name, variables)
      names[name] = v == nil and true or v
    end
  end
  names.opt = names.opt or options_of(self)
  return names
end

--- What is plain in variables and options, flat: "noise", "opt.lr" -> value.
local function plain_values(self)
  local flat, opt = {}, self:get "opt"
  for name, variable in pairs(self:variables()) do
    local v = variable.get()
    if v ~= nil and scope.is_plain(v) then
      flat[name] = v
    end
  end
  for name, v in pairs(type(opt) == "table" and opt or {}) do
    if type(name) == "string" and scope.is_plain(v) then
      flat["opt." .. name] = v
    end
  end
  return flat
end

local function differences(before, after)
  local list
  for name, v in pairs(after) do
    if before[name] ~= v then
      list = list or {}
      list[name] = v
    end
  end
  return list
end

-- ---- lines ----------------------------------------------------------------------------------

--- Whether a line only looks: names or fields of them.
local function is_look(text)
  for part in text:gsub("^%s*=", ""):gmatch "[^,]+" do
    if not part:find "^%s*[%a_][%w_.]*%s*$" then
      return false
    end
  end
  return true
end

--- After a line: the record of it, and what follows from it.
function Live:ran(text, from, ok, message)
  if is_look(text) then
    return
  end
  local after = plain_values(self)
  local entry = { step = self.position.steps, epoch = self.position.epoch, lua = text, from = from,
    set = differences(self.plain or {}, after) }
  if not ok then
    entry.error = tostring(message):match "^[^\n]*"
  end
  self.plain = after
  if self.run and not self.stopping then -- a stop is written when the checkpoint is
    self.run.journal:add(entry)
  end
  self.changed()
end

--- Runs a line that did not come from the prompt. Returns true or false and the text to be shown;
-- true and nil when the line is unfinished.
function Live:evaluate(text, from)
  local repl = require "gan.repl"
  local chunk, message = repl.compile(text, self.env)
  if not chunk then
    return message == true, message ~= true and require "gan.repl.errors".syntax(text, message)
      or nil
  end
  self.plain = plain_values(self)
  local p = program()
  local results
  if p and p.reader then -- Ctrl-C, or SIGINT, ends the line and not the run
    local before = p.defer "prompt"
    results = table.pack(p.reader.call(chunk))
    p.defer(before)
  else
    results = table.pack(xpcall(chunk, debug.traceback))
  end
  self:ran(text, from, results[1], results[2])
  if not results[1] then
    return false, require "gan.repl.errors".runtime(text, tostring(results[2]))
  end
  self.scratch._ = results[2]
  return true, results.n > 1 and repl.values(table.pack(table.unpack(results, 2, results.n))) or ""
end

-- ---- commands -------------------------------------------------------------------------------

function Live:command_save()
  if not self.saver then
    return self.print "nothing is saved: gan.train.loop was not given a 'state'"
  end
  self.saver:save()
  self.print(self.saver:whereabouts())
end

--- Reads the script again (name: a text kept in the run folder). What comes of it is printed.
function Live:read_script(name)
  local path = self.source:sub(2)
  local text = name and self.run and self.run.journal:script(name) or basics.read(path)
  if name and self.run and text then
    self.run.journal:keep_script(text)
  end
  if not text then
    error(("%s cannot be read"):format(name or path), 0)
  end
  local given, snapshot, changes = reload.read(text, path, self:functions(), self.source,
    self.snapshot, self.run)
  if not given then
    error(snapshot, 0)
  end
  self.replace(given)
  self.snapshot = snapshot
  collectgarbage()
  collectgarbage()
  self.print(("%s was read again; models and optimisers stay%s"):format(path,
    #changes > 0 and "; " .. table.concat(changes, ", ") or ""))
end

--- Notices a change of the script, or reads it because somebody asks for it.
function Live:reload(from)
  local text = basics.read(self.source:sub(2))
  if not text then
    return self.warn(self.source:sub(2) .. " cannot be read; the run goes on with what it has")
  end
  self.text = text
  local line = "reload()"
  if self.run then
    line = ("reload %q"):format(self.run.journal:keep_script(text))
  end
  local ok, message = self:evaluate(line, from)
  if not ok then
    self.warn(message .. "\nthe run goes on with the script as it was")
  end
end

function Live:watch_script()
  local now = gan.files.time()
  if now - self.looked < WATCH then
    return
  end
  self.looked = now
  local text = basics.read(self.source:sub(2))
  if text and text ~= "" and text ~= self.text then
    self:reload "watch"
  end
end

-- ---- replay ---------------------------------------------------------------------------------

--- Does what was done to the run that is repeated, when its turn has come.
function Live:repeat_lines()
  local queue, position = self.queue, self.position
  while queue[1] and (queue[1].step < position.steps or queue[1].step == position.steps
      and (queue[1].epoch or 0) <= position.epoch) do
    local entry = table.remove(queue, 1)
    self.say(("step %d: %s"):format(position.steps, entry.lua))
    local before = gan.show.redirect{ write = function() end, terminal = { mode = "ascii",
      width = 80 } }
    local ok, message = self:evaluate(entry.lua, "replay")
    gan.show.redirect(before)
    if not ok and not entry.error then
      self.warn(message or entry.lua .. ": unfinished")
    end
  end
end

--- The run is where it begins. A resumed one has its state from the checkpoint; variables and
-- options get the values that they were given live. Its functions are those of the script that was
-- started: what lies in a run folder is never run, but by gan-lua replay.
function Live:start()
  if not (self.run and self.run.resume) then
    return
  end
  local variables, opt, last = self:variables(), self:get "opt", nil
  for _, entry in ipairs(journal.entries(self.run.out)) do
    for name, v in pairs(entry.set or {}) do
      local key = name:match "^opt%.(.*)$"
      if key and type(opt) == "table" then
        opt[key] = v
      elseif variables[name] then
        variables[name].set(v)
      end
    end
    last = entry.lua:match '^reload "(.-)"' or last
  end
  local path = self.source:sub(2)
  if last and basics.read(path) ~= basics.read(self.run:path(last)) then
    self.warn(("%s is not the script that the run read last, %s: it goes on with the former")
      :format(path, self.run:path(last)))
  end
end

-- ---- between steps --------------------------------------------------------------------------

--- Opens the socket when somebody asks for it.
function Live:listen()
  local now = gan.files.time()
  if now - self.listened >= LISTEN then
    self.listened = now
    self.server = server.wanted(self.run.out) and server.open(self.run.out) or nil
  end
end

--- Between two steps: lines of replay, of other terminals, and the script. Returns true when the
-- run is to end.
function Live:poll()
  if #self.queue > 0 then
    self:repeat_lines()
  end
  if self.server then
    self.server:poll(self)
  elseif self.run and program() then
    self:listen()
  end
  if self.watch then
    self:watch_script()
  end
  return self.stopping
end

--- A line from another terminal; `answer` gets the text of what it prints, piece by piece. Returns
-- false when the line is unfinished.
function Live:line_from(text, answer, terminal)
  local before_print, before_show = self.print, gan.show.redirect{ write = answer,
    terminal = terminal }
  self.print = function(...)
    local list = table.pack(...)
    for i = 1, list.n do
      list[i] = tostring(list[i])
    end
    answer(table.concat(list, "\t") .. "\n")
  end
  local word, help = text:match "^%s*(%a*)%s*$", require "gan.repl".help_text(text, self.scope)
  local finished, message = true, help
  if word == "reload" then
    self:reload "attach"
  elseif word == "save" then
    self:command_save()
  elseif word == "stop" then
    self.stopping, message = true, "the run ends after this step"
  elseif word == "continue" then
    message = "the run goes on all the time"
  elseif not help then
    local ok
    ok, message = self:evaluate(text, "attach")
    finished = not (ok and message == nil)
  end
  self.print = before_print
  gan.show.redirect(before_show)
  if message and message ~= "" then
    answer(message .. "\n")
  end
  return finished
end

-- ---- the prompt -----------------------------------------------------------------------------

--- Whether somebody sits at the terminal and may be asked.
function Live:is_interactive()
  local p = program()
  return p and p.reader and not self.batch and gan.files.isatty(0) and gan.files.isatty(1)
    and p.foreground()
end

local function greet(self)
  local names = basics.keys(self.state)
  names[#names + 1] = "opt losses epoch step"
  self.say(("paused after step %d, epoch %d: %s"):format(self.position.steps, self.position.epoch,
    progress.losses(self.losses)))
  print(colour.dim(table.concat(names, " ")
    .. ", and the script's variables can be read and set\n"
    .. "continue (or Ctrl-D), save, stop, reload, ?name; Ctrl-C again saves and ends"))
end

--- Opens the prompt; returns true when the run goes on.
function Live:prompt()
  local p, started = program(), gan.files.time()
  local before = p.defer "prompt"
  local commands = { continue = true, stop = true, save = true, reload = true, [""] = true }
  local function command(text, asked)
    local word = text:match "^%s*(%a*)%s*$"
    if asked or not commands[word] then
      return commands[word]
    elseif word == "save" then
      self:command_save()
    elseif word == "reload" then
      self:reload "prompt"
    else
      self.stopping = word == "stop"
      return "leave"
    end
  end
  greet(self)
  self.plain = plain_values(self)
  local ended = require "gan.repl".session{
    reader = p.reader, env = self.env, scope = self.scope, command = command, interrupts = true,
    prompts = function(first) return first and "live> " or "....> " end,
    keep = function(v) self.scratch._ = v end,
    ran = function(text, results)
      self:ran(text, "prompt", results[1], results[2])
    end,
    done = function() return self.stopping end,
  }.run()
  self.stopping = self.stopping or ended == "interrupt"
  p.defer(before)
  if self.bar then
    self.bar:pause(gan.files.time() - started)
  end
  if not self.stopping then
    print(colour.dim "the run goes on")
  end
  return not self.stopping
end

--- The run ends here: noted, so that its replay ends here too.
function Live:ended()
  if self.run then
    self.run.journal:add{ step = self.position.steps, epoch = self.position.epoch, lua = "stop()",
      from = "end" }
  end
end

function Live:close()
  if self.server then
    self.server:close()
    self.server = nil
  end
end

Live.__close = Live.close

local function nothing() end

--- What a loop needs in order to be live. Fields of `o`:
--   position   table with epoch and steps (altogether)
--   list       function() -> the script's functions, in a table: step, after_epoch, batches
--   run, state, saver, bar      those of the loop, optional
--   means      function() -> the losses of the epoch so far
--   say, warn  print a line
--   changed    called after a line that may have changed anything
--   replace    function(options of the loop as read again); nil: it cannot be read again
--   watch, batch    true: looks at the script, never asks
function Live.new(o)
  local self = setmetatable(o, Live)
  self.state, self.losses, self.scratch = o.state or {}, {}, {}
  self.means, self.changed = o.means or function() return {} end, o.changed or nothing
  self.print, self.looked, self.listened, self.queue = print, gan.files.time(), -math.huge, {}
  local first = self:functions()
  self.source = debug and debug.getinfo(first[1] or first[2] or first[3] or nothing, "S").source
    or "" -- a host may have no debug library
  if self.source:sub(1, 1) ~= "@" or not o.replace then
    self.watch = false
  end
  self.snapshot = reload.snapshot(first, self.source)
  self.text = self.watch and basics.read(self.source:sub(2))
  self.env = setmetatable({}, {
    __index = function(_, name) return self:get(name) end,
    __newindex = function(_, name, v) self:set(name, v) end,
  })
  self.scope = { get = function(name) return self:get(name) end,
    names = function() return self:names() end }
  if journal.plan and self.run and self.run.replays then
    self.queue = self.run.replays
  end
  return self
end


return Live
