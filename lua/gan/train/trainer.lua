--- gan.train.trainer: the training loop in turns, for a host that has a loop of its own.
--
--     local trainer = gan.train.trainer{epochs = 20, batches = batches, step = step}
--     -- in the host's timer or idle handler:
--     local more = trainer:step(0.01)      -- as many steps as fit into ten milliseconds
--     label:set_text(("%d steps, loss %.3f"):format(trainer.steps, trainer.losses.loss or 0))
--
-- It is gan.train.loop, run in a coroutine that is left after every step.

local gan = require "gan"
local options = require "gan.options"

local Trainer = { __name = "gan.train.trainer" }
Trainer.__index = Trainer

--- Runs the loop up to the end of its next step. False when it has ended; its errors are raised.
local function resume(self, ...)
  local ok, message = coroutine.resume(self.loop, ...)
  if ok and coroutine.status(self.loop) ~= "dead" then
    return true
  end
  local loop = self.loop
  self.loop = nil
  if not ok then
    if type(message) == "string" and debug then
      message = debug.traceback(loop, message)
    end
    coroutine.close(loop) -- completes the log and the run's record
    error(message, 0)
  end
  return false
end

--- trainer:step(seconds) -> whether there is more to do
--
-- Runs one step, and then others while they fit: none is begun that would not end within `seconds`
-- of the call, if it took as long as the longest of late. Without an argument it is one step. What
-- the loop does between epochs (after_epoch, checkpoints) belongs to the step that follows.
--
-- Errors of the loop and of its functions are raised here, and end the training.
function Trainer:step(seconds)
  if seconds ~= nil and (type(seconds) ~= "number" or seconds ~= seconds) then
    error("trainer:step: argument 1 'seconds' must be a number", 2)
  elseif self.loop and coroutine.status(self.loop) ~= "suspended" then
    error("trainer:step: called from inside its own step", 2)
  end
  local now = gan.files.time()
  local stop = now + (seconds or 0)
  while self.loop and resume(self, false) do
    local before = now
    now = gan.files.time()
    local took = now - before
    self.longest = math.max(took, (took + self.longest) / 2)
    if now + self.longest > stop then
      return true
    end
  end
  return false
end

--- Ends the training early, as Ctrl-C ends gan.train.loop: a checkpoint is written where the loop
-- has a `state`, the log is completed. Without effect when it has ended or has not begun.
function Trainer:stop()
  if not self.loop then
    return
  elseif coroutine.status(self.loop) ~= "suspended" then
    error("trainer:stop: called from inside its own step", 2)
  elseif self.steps == 0 then
    self.loop = nil -- has not begun
    return
  end
  local ok, e = pcall(resume, self, true)
  if not ok and not (type(e) == "table" and rawget(e, "exit_code")) then
    error(e, 0)
  end
end

return function(loop, spec)
  --- gan.train.trainer{...}: the options are those of gan.train.loop, except that `quiet` is true
  -- unless it is given as false: the host's output is the host's. Fields:
  --   steps    how many steps were run altogether, those before a resumed run's checkpoint included
  --   epoch    the one under way
  --   losses   of the last step, by name
  return function(given)
    local o = options.check("train.trainer", given, spec)
    if o.pause then
      error("train.trainer: 'pause' is an option of train.loop; a trainer pauses by itself", 2)
    end
    o.quiet = given.quiet ~= false
    local self = setmetatable({ steps = 0, epoch = o.first_epoch, losses = {}, longest = 0 },
      Trainer)
    function o.pause(losses, position)
      self.losses, self.steps, self.epoch = losses, position.steps, position.epoch
      return coroutine.yield()
    end
    self.loop = coroutine.create(function() loop(o) end)
    return self
  end
end
