--- gan.train: the loop around a training step. It is short on purpose: copy it into a script and
-- change it when it does not fit.
--
--     gan.train.loop{
--       epochs = 20, batches = batches, run = run,
--       step = function(batch) ... return {loss = loss} end,
--       after_epoch = function(epoch, means) ... end,
--       state = {G = G, D = D, G_opt = G_opt, D_opt = D_opt},   -- checkpoints, and --resume
--     }

local gan = require "gan"
local options = require "gan.options"
local progress = require "gan.train.progress"
local saver = require "gan.train.saver"

local train = { options = require "gan.train.options", progress = progress,
  pretrain = require "gan.train.pretrain" }

local spec = "; epochs:count batches:callable step:callable after_epoch:callable? run:table? "
  .. "steps:int=0 first_epoch:count=1 quiet:bool=false terminal:bool? state:table? "
  .. "checkpoint:table? compile:bool=false doctor:table?"

--- Makes a batch and runs a step on it. Its losses, numbers or tensors of one element, come back
-- as numbers; nil at the end of the epoch.
local function one_step(batches, step, doctor)
  local batch, values = table.pack(batches()), {}
  if batch[1] == nil then
    return nil
  end
  for name, v in pairs(step(table.unpack(batch, 1, batch.n)) or {}) do
    values[name] = gan.is_tensor(v) and v:item() or v
  end
  if doctor then
    doctor:step(values, table.unpack(batch, 1, batch.n))
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

-- ---- leaving ----------------------------------------------------------------------------------

-- In the program gan-lua, Ctrl-C and SIGTERM wait for the end of the step; see runtime/main.c.
-- Other hosts have their own ways: what they raise ends the loop at once.
local function program()
  return package.loaded["gan.program"]
end

--- Until it is closed, signals wait.
local function defer_signals()
  local p = program()
  local before = p and p.defer(true)
  return setmetatable({}, { __close = function()
    if p and not before then
      p.defer(false)
    end
  end })
end

local stopped = { __name = "interruption", __tostring = function(e) return e.message end }

--- Leaves the loop, after a checkpoint, when a signal came: the error carries the exit code. (What
-- the program's error handler makes of it is a string, and that is what `abandon` sees.)
local function leave_if_asked(loop)
  local code = program() and program().pending()
  if not code then
    return
  end
  local text = ("%s after step %d of the run"):format(code == 143 and "terminated" or "interrupted",
    loop.position.steps)
  if loop.saver then
    loop.saver:save()
    text = text .. ": " .. loop.saver:whereabouts()
  end
  loop.stopped = code
  error(setmetatable({ message = text, exit_code = code }, stopped), 0)
end

-- ---- epochs -----------------------------------------------------------------------------------

--- Steps to the end of the epoch, or of the number of steps. Each runs in a scope: its tensors,
-- those of the batch included, are freed at its end, whatever the collector does. Returns whether
-- the epoch was ended by the number of steps.
local function pass(o, loop)
  local position, bar = loop.position, loop.bar
  local label = ("epoch %d/%d"):format(position.epoch, o.epochs)
  local last, n = o.steps > 0 and o.steps or math.huge, length(o.batches)
  n = n and math.min(n, position.n + last - position.steps)
  while position.steps < last do
    local values = gan.scope(one_step, o.batches, o.step, o.doctor)
    if not values then
      return false
    end
    add(position.sums, values)
    position.n, position.steps = position.n + 1, position.steps + 1
    position.seconds = loop.before + bar:elapsed()
    if not o.quiet then
      bar:step(label, position.n, n, means(position.sums, position.n))
    end
    if loop.saver then
      loop.saver:after_step()
    end
    leave_if_asked(loop)
  end
  return true
end

--- Writes the line of an epoch into the run's log and onto the screen.
local function log(o, loop, extra, partial)
  local position, bar = loop.position, loop.bar
  local values = means(position.sums, position.n)
  for name, v in pairs(extra or {}) do
    values[name] = v
  end
  if not o.quiet then
    bar:line(("epoch %d/%d  %s  %.3g steps/s  %s"):format(position.epoch, o.epochs,
      progress.losses(values), bar:rate(), progress.clock(position.seconds)))
  end
  if o.run then
    values.epoch, values.steps, values.seconds = position.epoch, position.n, position.seconds
    values.peak_bytes, values.partial = gan.memory().peak, partial
    o.run:log(values)
  end
end

--- A number of steps that ends within an epoch is not an end that training would have by itself:
-- the checkpoint is made before after_epoch, so that more steps can follow as if there were no end.
local function run_epochs(o, loop)
  local position = loop.position
  while position.epoch <= o.epochs do
    local cut = pass(o, loop)
    if cut and loop.saver then
      loop.saver:save()
    end
    local extra = o.after_epoch
      and gan.scope(o.after_epoch, position.epoch, means(position.sums, position.n))
    loop.logged = position.epoch
    log(o, loop, extra)
    if cut then
      return
    end
    position.epoch, position.n, position.sums = position.epoch + 1, 0, {}
    if loop.saver then
      loop.saver:after_epoch(position.epoch > o.epochs)
    end
    leave_if_asked(loop)
  end
end

--- Completes the log of a run that an error ends.
local function abandon(o, loop, e)
  if loop.position.n > 0 and loop.logged ~= loop.position.epoch then
    log(o, loop, nil, true)
  end
  local at_once = not loop.stopped and tostring(e):find("interrupted!", 1, true)
  if o.run then
    o.run:finish(loop.stopped == 143 and "terminated" or (loop.stopped or at_once)
      and "interrupted" or "failed: " .. tostring(e))
  end
  if at_once and not o.quiet and (o.run or loop.saver) then
    loop.bar:line("interrupted; " .. (loop.saver and loop.saver:whereabouts()
      or "what was learnt up to the last epoch is in " .. o.run.out))
  end
end

--- The bar of the steps that are still to come.
local function make_bar(o, position)
  local n = length(o.batches)
  local total = n and math.max(n * (o.epochs - position.epoch + 1) - position.n, 0)
  if o.steps > 0 then
    total = math.min(math.max(o.steps - position.steps, 0), total or math.huge)
  end
  return progress.new{ total = total, terminal = o.terminal }
end

--- How lines are printed, given the options: what it says, and warnings.
local function voices(o, loop)
  local function warn(text)
    if o.quiet then
      io.stderr:write(text, "\n")
    else
      loop.bar:line(text)
    end
  end
  return function(text)
    if not o.quiet then
      loop.bar:line(text)
    end
  end, warn
end

--- Trains. Options:
--   epochs       how many passes
--   batches      what gan.data.batches makes, or any function that returns the tensors of the next
--                batch, and nil at the end of each epoch
--   step         function(images, labels) -> table of losses by name; runs in a scope
--   after_epoch  function(epoch, means), for pictures and weights; may return a table of more
--                numbers for the log; optional
--   run          run folder (gan.report.run); optional
--   state        what is trained, by name: models, optimisers, schedules, averages, and plain
--                tables of whatever else changes from step to step. With it, checkpoints are
--                written, and a run that was stopped anywhere goes on as if it had not been
--                stopped, to the last bit (with the same number of threads): see gan.checkpoint.
--                Batches, random numbers, the log and the sums of the epoch are saved as well; a
--                function as `batches` keeps its own place in `state`. Gradients are not saved:
--                where they accumulate over several steps, do that inside one.
--   checkpoint   {folder = the run's, every = seconds, keep = 2, resume = run's}. Written every
--                minute (less often if that took more than a twentieth of the time), at the end of
--                an epoch, and when Ctrl-C or SIGTERM ends the run after the step under way
--   compile      true: the step is recorded and replayed (gan.compile), which changes nothing but
--                its speed; a step for which that cannot be done says so and runs as it is
--   doctor       a gan.doctor, which is shown every step
--   steps        end after so many steps altogether; 0: do not
--   first_epoch  where to begin
--   quiet        true prints nothing but warnings; terminal = true or false overrides what was
--                detected
-- An error, also that of Ctrl-C, first completes the log of the run, then goes on to the caller.
function train.loop(given)
  local o = options.check("train.loop", given, spec)
  local position = { epoch = o.first_epoch, n = 0, steps = 0, sums = {}, seconds = 0 }
  local loop = { position = position, bar = make_bar(o, position) }
  local say, warn = voices(o, loop)
  if o.compile then
    o.step = gan.compile{ o.step, notify = warn }
  end
  loop.saver = saver.new(o, position, say, warn)
  local _signals <close> = defer_signals()
  if o.run then
    o.run.say = warn
  end
  if o.doctor then
    o.doctor.say, o.doctor.run = o.doctor.say or warn, o.doctor.run or o.run
  end
  if loop.saver then
    loop.saver:start()
    loop.bar = make_bar(o, position)
  end
  loop.before = position.seconds
  -- a variable that is closed instead of pcall: the error keeps its traceback
  local _ <close> = setmetatable({}, { __close = function(_, message)
    if message ~= nil then
      abandon(o, loop, message)
    end
  end })
  run_epochs(o, loop)
  if loop.saver and loop.saver.failure then
    warn("the end of the run has no checkpoint: " .. loop.saver.failure)
  end
  if o.run then
    o.run:finish "finished"
  end
end

return train
