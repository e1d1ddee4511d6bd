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
local live = require "gan.train.live"
local options = require "gan.options"
local progress = require "gan.train.progress"
local ranks = require "gan.ranks"
local reload = require "gan.train.reload"
local saver = require "gan.train.saver"
local together = require "gan.train.together"

local train = { options = require "gan.train.options", progress = progress,
  pretrain = require "gan.train.pretrain" }

local spec = "; epochs:count batches:callable step:callable after_epoch:callable? run:table? "
  .. "steps:int=0 minutes:number=0 first_epoch:count=1 quiet:bool=false terminal:bool? "
  .. "state:table? checkpoint:table? compile:bool=false doctor:table? pause:callable? "
  .. "watch:bool? batch:bool?"

--- Makes a batch and runs a step on it. Its losses, numbers or tensors of one element, come back
-- as numbers; nil at the end of the epoch.
local function one_step(batches, step, doctor)
  local batch, values = table.pack(batches()), {}
  if batch[1] == nil then
    return nil
  end
  local losses = step(table.unpack(batch, 1, batch.n)) or {}
  if type(losses) ~= "table" then
    error("train.loop: 'step' returns a table of losses by name, not a " .. type(losses), 0)
  end
  for name, v in pairs(losses) do
    values[name] = gan.is_tensor(v) and v:item() or v
    if type(values[name]) ~= "number" then
      error(("train.loop: the loss '%s' of 'step' is a %s, not a number"):format(tostring(name),
        type(v)), 0)
    end
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

-- In the program gan-lua, Ctrl-C, SIGTERM and SIGHUP wait for the end of the step; see
-- runtime/main.c.
-- Other hosts have their own ways: what they raise ends the loop at once.
local function program()
  return package.loaded["gan.program"]
end

--- Until it is closed, signals wait; not so in f, when signals.during(f, ...) calls it.
local function defer_signals()
  local p = program()
  local before = p and p.defer(true)
  local function defer(on)
    if p and before ~= true then
      p.defer(on or before)
    end
  end
  local function during(f, ...)
    defer(false)
    local result = f(...)
    defer(true)
    return result
  end
  return setmetatable({ during = during }, { __close = function() defer(false) end })
end

local stopped = { __name = "interruption", __tostring = function(e) return e.message end }

--- Does what waits between steps: lines of other terminals, and the prompt where Ctrl-C opens one.
-- Leaves the loop, after a checkpoint, when a signal came or somebody says so: the error carries
-- the exit code. (What the program's error handler makes of it is a string, and that is what
-- `abandon` sees.)
local function leave_if_asked(loop, asked)
  asked = loop.live:poll() or asked
  local code = asked and 130 or program() and program().pending()
  if not code or code == 130 and not asked and loop.live:is_interactive()
      and loop.live:prompt() then
    return
  end
  code = asked and code or program().pending() or code -- a signal may have ended the prompt
  local text = ("%s after step %d of the run"):format(code == 130 and "interrupted" or "terminated",
    loop.position.steps)
  if ranks.job then
    together.elect(loop)
  end
  if loop.saver then
    loop.saver:save()
    text = text .. ": " .. loop.saver:whereabouts()
  end
  loop.live:ended()
  loop.stopped = code
  error(setmetatable({ message = text, exit_code = code }, stopped), 0)
end

-- ---- epochs -----------------------------------------------------------------------------------

local function is_late(o, position)
  return o.minutes > 0 and position.seconds >= o.minutes * 60
end

--- Steps to the end of the epoch, of the number of steps or of the time. Each runs in a scope: its
-- tensors, those of the batch included, are freed at its end, whatever the collector does. Returns
-- whether the epoch was cut short.
local function pass(o, loop)
  local position, bar = loop.position, loop.bar
  local label = ("epoch %d/%d"):format(position.epoch, o.epochs)
  local last, n = o.steps > 0 and o.steps or math.huge, length(o.batches)
  n = n and math.min(n, position.n + last - position.steps)
  while position.steps < last and not is_late(o, position) do
    local values = loop.attempt(one_step, o.batches, o.step, o.doctor)
    if not values then
      return false
    end
    loop.live.losses = values
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
    if o.pause then
      leave_if_asked(loop, loop.signals.during(o.pause, values, position))
    end
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

--- How much of the training is behind: of its epochs or, if that is more, of its minutes.
local function part_of(o, position)
  local time = o.minutes > 0 and position.seconds / (o.minutes * 60) or 0
  return math.min(1, math.max(position.epoch / o.epochs, time))
end

--- A number of steps that ends within an epoch is not an end that training would have by itself:
-- the checkpoint is made before after_epoch, so that more steps can follow as if there were no end.
local function run_epochs(o, loop)
  local position = loop.position
  while position.epoch <= o.epochs and not (position.n == 0 and is_late(o, position)) do
    local cut = pass(o, loop)
    if cut and loop.saver then
      loop.saver:save()
    end
    local extra = o.after_epoch
      and gan.scope(o.after_epoch, position.epoch, means(position.sums, position.n),
        part_of(o, position))
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
    o.run:finish((loop.stopped or 130) ~= 130 and "terminated" or (loop.stopped or at_once)
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

--- What makes the loop live: see gan.train.live. `compile` makes o.step of the script's function.
local function make_live(o, loop, say, warn, compile)
  local position, from = loop.position, o.run and o.run.given or {}
  return live.new{
    position = position, run = not ranks.job and o.run or nil, state = o.state,
    saver = loop.saver, bar = loop.bar,
    say = say, warn = warn, watch = o.watch or o.watch == nil and from.watch,
    batch = o.batch or from.batch,
    list = function() return { loop.step, o.after_epoch, o.batches } end,
    means = function() return means(position.sums, position.n) end,
    changed = function() -- a compiled step does not see what has become of variables
      compile(loop.step)
      if loop.saver then
        loop.saver.saved = nil
      end
    end,
    replace = function(given)
      o.after_epoch, o.epochs, o.steps = given.after_epoch, given.epochs, given.steps
      if type(o.batches) == "function" and type(given.batches) == "function" then
        o.batches = given.batches
      end
      compile(given.step)
    end,
  }
end

--- How lines are printed, given the options: what it says, and warnings.
local function voices(o, loop)
  if not ranks.writer then
    o.quiet = true
    return function() end, function() end
  end
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
--   after_epoch  function(epoch, means, part), for pictures and weights; may return a table of more
--                numbers for the log; optional. part: how much of the training is done, from 0
--                to 1, of its epochs or of its minutes: schedule:reach(part)
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
--                an epoch, and when Ctrl-C, SIGTERM or SIGHUP ends the run after the step under
--                way
--   compile      true: the step is recorded and replayed (gan.compile), which changes nothing but
--                its speed; a step for which that cannot be done says so and runs as it is
--   doctor       a gan.doctor, which is shown every step
--   steps        end after so many steps altogether; 0: do not
--   minutes      end after so many minutes, those before a resumed run's checkpoint included; 0: do
--                not. Whatever comes first ends the run
--   first_epoch  where to begin
--   pause        function(losses, position), called after every step, outside of its scope; may
--                yield; what it returns, if true, ends the run as Ctrl-C does. position: epoch,
--                n (steps in it), steps (altogether), seconds
--   watch        true: when the script's file changes, its functions are read again, and what was
--                learnt stays: see gan.train.reload. Default: the option --watch of the run
--   batch        true: Ctrl-C ends the run instead of asking at the terminal; default: --batch
--   quiet        true prints nothing but warnings; terminal = true or false overrides what was
--                detected
-- Ctrl-C at a terminal opens a prompt in the run, when the step under way is done: gan.train.live.
-- An error, also that of Ctrl-C, first completes the log of the run, then goes on to the caller.
function train.loop(given)
  local o = options.check("train.loop", given, spec)
  if o.run and o.run.visit then
    o.run.visit(o) -- it wants the models, no training: gan.report.rebuild
  end
  reload.hand_over(o)
  local position = { epoch = o.first_epoch, n = 0, steps = 0, sums = {}, seconds = 0 }
  local loop = { position = position, bar = make_bar(o, position) }
  local say, warn = voices(o, loop)
  local function compile(step)
    loop.step = step
    o.step = o.compile and gan.compile{ step, notify = warn } or step
    o.step = loop.shared and loop.shared(o.step) or o.step
  end
  compile(o.step)
  loop.saver = saver.new(o, position, say, warn)
  local signals <close> = defer_signals()
  loop.signals = signals
  if o.run then
    o.run.say = warn
  end
  if o.doctor then
    o.doctor.say, o.doctor.run = o.doctor.say or warn, o.doctor.run or o.run
  end
  if o.run and o.run.describe then
    o.run:describe(o.state or {}, o.doctor)
  end
  if loop.saver then
    loop.saver:start()
    loop.bar = make_bar(o, position)
  end
  loop.before, loop.attempt = position.seconds, gan.scope
  if ranks.job then
    together.prepare(o, loop)
    compile(loop.step)
  end
  loop.live = make_live(o, loop, say, warn, compile)
  local _live <close> = loop.live
  loop.live:start()
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

train.trainer = require "gan.train.trainer"(train.loop, spec)

return train
