--- gan.poll{run=, state=, losses=, epoch=, save=}: makes a training loop of your own live.
--
--     for i = 1, 10000 do
--       local losses = step(batch())
--       if not gan.poll{run = run, state = {G = G, G_opt = G_opt}, losses = losses} then break end
--     end
--
-- Called after every step, it does what gan.train.loop does there: Ctrl-C opens a prompt at the
-- terminal, `gan-lua attach` is served, lines of a replay are run: see gan.train.live. It returns
-- true to go on, and false when the run is to end. Everything may be left out; without a run folder
-- nothing is recorded. `save` is a function for the command of that name.
--
-- In hosts other than the program gan-lua there is neither prompt nor signal. After the loop,
-- gan.poll.close() gives Ctrl-C its usual meaning back; a poll that returned false has done so.

local gan = require "gan"
local live = require "gan.train.live"
local options = require "gan.options"

local poll = {}

local current -- the Live of the loop that polls

local function program()
  return package.loaded["gan.program"]
end

--- The function that called gan.poll: its variables are those of the script.
local function caller()
  local level = 3
  local here = debug.getinfo(1, "S").source
  while true do
    local info = debug.getinfo(level, "Sf")
    if not info then
      return nil
    elseif info.what ~= "C" and info.source ~= here then
      return info.func
    end
    level = level + 1
  end
end

--- Ends the polling: the socket goes, Ctrl-C stops the program as usual.
function poll.close()
  if not current then
    return
  end
  current:close()
  if program() and current.before ~= true then
    program().defer(current.before)
  end
  current = nil
end

local function open(o)
  poll.close()
  local f = caller()
  local saver = o.save and { save = function() o.save() end,
    whereabouts = function() return "saved" end }
  current = live.new{
    position = { epoch = o.epoch or 1, steps = 0 }, run = o.run, state = o.state, saver = saver,
    list = function() return { f } end, say = print, warn = print, batch = o.batch,
  }
  current.given = o.run
  current.before = program() and program().defer(true)
  current:start()
end

--- Whether the run goes on, after what had to be done between two steps.
local function go_on()
  if current:poll() then
    return false
  end
  local code = program() and program().pending()
  if not code then
    return true
  end
  return code == 130 and current:is_interactive() and current:prompt()
end

local function call(_, given)
  local o = options.check("poll", given or {},
    "; run:table? state:table? losses:table? epoch:int? save:callable? batch:bool?")
  if not current or current.given ~= o.run then
    open(o)
  end
  current.position.steps = current.position.steps + 1
  current.position.epoch = o.epoch or current.position.epoch
  local losses = {}
  for name, v in pairs(o.losses or {}) do
    losses[name] = gan.is_tensor(v) and v:item() or v
  end
  current.losses = losses
  if go_on() then
    return true
  end
  current:ended()
  poll.close()
  return false
end

return setmetatable(poll, { __call = call })
