--- The checkpoints of a training loop: when they are written, what is in them, and how a run goes
-- on from one.

local gan = require "gan"
local checkpoint = require "gan.checkpoint"
local options = require "gan.options"
local pack = require "gan.checkpoint.pack"
local ranks = require "gan.ranks"

local Saver = {}
Saver.__index = Saver

local MINUTE = 60
local SHARE = 20 -- of the time that a checkpoint takes lies between two, unless `every` is given

local spec = "; folder:text? every:number? keep:count=2 resume:bool?"

local function fail(message, ...)
  error("train.loop: " .. message:format(...), 0)
end

--- The tree that is saved: what the script names, and the loop's own.
local function whole_state(o, position)
  local state = {}
  for name, v in pairs(o.state) do
    if type(name) ~= "string" or name == "loop" or name == "batches" or name == "run"
      or name == "doctor" then
      fail("'%s' in 'state' is a name of the loop's own", tostring(name))
    end
    state[name] = v
  end
  state.loop, state.doctor = position, o.doctor
  if type(o.batches) == "table" and o.batches.state_dict then
    state.batches = o.batches
  end
  state.run = o.run
  return state
end

--- A saver for the options of a loop; nil when there is nothing to save. `position` is the loop's
-- table of numbers, `say` and `warn` print a line.
function Saver.new(o, position, say, warn)
  local resume = o.run and o.run.resume
  if not o.state then
    if resume or o.checkpoint then
      fail("a run that can be resumed needs 'state', the table of what is trained: models, "
        .. "optimisers, averages")
    end
    return nil
  end
  local c = options.check("train.loop: checkpoint", o.checkpoint or {}, spec, 5)
  local self = setmetatable({ folder = c.folder or o.run and o.run.out, every = c.every,
    keep = c.keep, say = say, warn = warn, cost = 0, last = gan.files.time() }, Saver)
  if not self.folder then
    fail("'checkpoint' needs a folder where there is no 'run'")
  end
  self.resume = c.resume
  if c.resume == nil then
    self.resume = resume
  end
  self.options = o.run and o.run.options
  self.state, self.position = whole_state(o, position), position
  pack.pack(self.state) -- what cannot be saved is to be known now, not after an hour
  return self
end

--- Goes to the latest checkpoint, if the run is to be resumed and there is one.
function Saver:start()
  if not self.resume then
    return
  end
  local found, message = checkpoint.load{ self.folder, state = self.state, say = self.warn }
  if not found then
    self.say(message .. "; starting from the beginning")
    if self.state.run then
      self.state.run:restart()
    end
    return
  end
  self.path, self.saved, self.saved_epoch = found.path, self.position.steps, self.position.epoch
  self.say(("resumed from %s, after step %d"):format(found.path, self.saved))
  for _, difference in ipairs(checkpoint.differences(found, self.options)) do
    self.say("  " .. difference)
  end
end

--- Writes a checkpoint, unless this moment has one or another process writes it (gan.mpi). Where
-- that fails, a warning is given once, training goes on, and the next turn tries again. `state`
-- takes the place of the live one.
function Saver:save(state)
  local saved = self.saved == self.position.steps and self.saved_epoch == self.position.epoch
  if saved or not ranks.writer then
    return
  end
  local started = gan.files.time()
  local path, message = checkpoint.save{ self.folder, state = state or self.state, keep = self.keep,
    options = self.options }
  self.last = gan.files.time()
  self.cost = self.last - started
  if path then
    self.path, self.saved, self.saved_epoch = path, self.position.steps, self.position.epoch
    if self.failure then
      self.warn "checkpoints are written again"
    end
  elseif not self.failure then
    self.warn("no checkpoint could be written, training goes on: " .. message)
  end
  self.failure = message
end

--- After a step: saves when it is time.
function Saver:after_step()
  local wait = self.every or math.max(MINUTE, SHARE * self.cost)
  if gan.files.time() - self.last >= wait then
    self:save()
  end
end

--- After an epoch: saves, unless epochs are so short that it would take much of the time.
function Saver:after_epoch(is_last)
  local wait = math.min(self.every or math.huge, SHARE * self.cost)
  if is_last or gan.files.time() - self.last >= wait then
    self:save()
  end
end

--- A sentence for a run that leaves: where its last step is.
function Saver:whereabouts()
  if not self.path then
    return "there is no checkpoint"
  end
  return ("step %d is saved in %s%s"):format(self.saved, self.path,
    self.options and self.options.resume ~= nil and "; --resume goes on from there" or "")
end

return Saver
