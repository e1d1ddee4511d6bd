--- gan.train: the loop around a training step. It is short on purpose: copy it into a script and
-- change it when it does not fit.
--
--     gan.train.loop{
--       epochs = 20, batches = batches, run = run,
--       step = function(batch) ... return {loss = loss} end,
--       after_epoch = function(epoch, means) ... end,
--     }

local gan = require "gan"
local options = require "gan.options"
local progress = require "gan.train.progress"

local train = { options = require "gan.train.options", progress = progress }

local spec = "; epochs:count batches:callable step:callable after_epoch:callable? run:table? "
  .. "steps:int=0 first_epoch:count=1 quiet:bool=false terminal:bool?"

--- Makes a batch and runs a step on it. Its losses, numbers or tensors of one element, come back
-- as numbers; nil at the end of the epoch.
local function one_step(batches, step)
  local batch, values = table.pack(batches()), {}
  if batch[1] == nil then
    return nil
  end
  for name, v in pairs(step(table.unpack(batch, 1, batch.n)) or {}) do
    values[name] = gan.is_tensor(v) and v:item() or v
  end
  return values
end

local function add(sums, values)
  for name, v in pairs(values) do
    sums[name] = (sums[name] or 0) + v
  end
end

local function means(sums, n)
  local result = {}
  for name, sum in pairs(sums) do
    result[name] = sum / math.max(n, 1)
  end
  return result
end

--- The number of batches in an epoch, nil for a function.
local function length(batches)
  return type(batches) == "table" and #batches or nil
end

--- One pass over the batches, at most `limit` steps. Each step runs in a scope: its tensors,
-- those of the batch included, are freed at its end, whatever the collector does. Fills `state` as
-- it goes, so that it can be read after an interruption.
local function pass(o, bar, epoch, limit, state)
  local label = ("epoch %d/%d"):format(epoch, o.epochs)
  local n = length(o.batches)
  n = n and math.min(n, limit)
  while state.n < limit do
    local values = gan.scope(one_step, o.batches, o.step)
    if not values then
      break
    end
    add(state.sums, values)
    state.n = state.n + 1
    if not o.quiet then
      bar:step(label, state.n, n, means(state.sums, state.n))
    end
  end
end

--- Writes the line of an epoch into the run's log and onto the screen.
local function log(o, bar, state, partial)
  local rate, _, elapsed = bar:rate()
  local values = means(state.sums, state.n)
  for name, v in pairs(state.extra or {}) do
    values[name] = v
  end
  if not o.quiet then
    bar:line(("epoch %d/%d  %s  %.3g steps/s  %s"):format(state.epoch, o.epochs,
      progress.losses(values), rate, progress.clock(elapsed)))
  end
  if o.run then
    values.epoch, values.steps, values.seconds = state.epoch, state.n, elapsed
    values.peak_bytes, values.partial = gan.memory().peak, partial
    o.run:log(values)
  end
end

local function run_epochs(o, bar, state)
  local left = o.steps > 0 and o.steps or math.huge
  for epoch = o.first_epoch, o.epochs do
    state.epoch, state.sums, state.n, state.extra = epoch, {}, 0, nil
    pass(o, bar, epoch, left, state)
    left = left - state.n
    if o.after_epoch then
      state.extra = gan.scope(o.after_epoch, epoch, means(state.sums, state.n))
    end
    state.logged = epoch
    log(o, bar, state)
    if left <= 0 then
      return
    end
  end
end

--- Completes the log of a run that an error ends.
local function abandon(o, bar, state, message)
  local interrupted = tostring(message):find("interrupted!", 1, true) ~= nil
  if state.n > 0 and state.logged ~= state.epoch then
    log(o, bar, state, true)
  end
  if o.run then
    o.run:finish(interrupted and "interrupted" or "failed: " .. tostring(message))
    if interrupted and not o.quiet then
      bar:line("interrupted; what was learnt up to the last epoch is in " .. o.run.out)
    end
  end
end

--- Trains. Options:
--   epochs       how many passes
--   batches      what gan.data.batches makes, or any function that returns the tensors of the next
--                batch, and nil at the end of each epoch
--   step         function(images, labels) -> table of losses by name; runs in a scope
--   after_epoch  function(epoch, means), for pictures and weights; may return a table of more
--                numbers for the log; optional
--   run          run folder (gan.report.run); optional
--   steps        end after so many steps altogether; 0: do not
--   first_epoch  where to begin, for a resumed run
--   quiet        true prints nothing; terminal = true or false overrides what was detected
-- An error, also that of Ctrl-C, first completes the log of the run, then goes on to the caller.
function train.loop(given)
  local o = options.check("train.loop", given, spec)
  local n = length(o.batches)
  local total = n and n * (o.epochs - o.first_epoch + 1)
  if o.steps > 0 then
    total = math.min(o.steps, total or math.huge)
  end
  local bar = progress.new{ total = total, terminal = o.terminal }
  local state = { sums = {}, n = 0 }
  -- a variable that is closed instead of pcall: the error keeps its traceback
  local _ <close> = setmetatable({}, { __close = function(_, message)
    if message ~= nil then
      abandon(o, bar, state, message)
    end
  end })
  run_epochs(o, bar, state)
  if o.run then
    o.run:finish "finished"
  end
end

return train
