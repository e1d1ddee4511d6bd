--- gan.doctor: watches the training of a GAN, and says what is wrong with it while it happens.
--
--     gan.train.loop{ ..., doctor = gan.doctor{G, D, codes = 64} }
--
-- In a loop of your own, doctor:step(losses, real) after every step does the same.
--
-- Every so many steps it decodes the same codes, lets D judge them beside a real batch, and
-- compares them with real samples that it kept: how often D is right and how sure it is, the
-- gradient that arrived at G, how diverse the samples are, which modes they fall into and whether
-- they jump between them, whether they are copies. Losses are looked at in every step: when one is
-- no number any more, the layer that made the first NaN is named. A diagnosis is one sentence,
-- followed by one of advice; it is printed once, and goes into the run's metrics file as a line
-- with the fields `doctor`, `sentence`, `advice`, `step`.
--
-- The doctor changes nothing: weights, running statistics and random numbers are those of a run
-- without it. It looks more rarely where its share of the time would exceed a fiftieth and, for the
-- whole run, six hundredths of a second: less than 3 % of any run of six seconds and more.
--
-- Kinds of diagnoses: nan, duplicate data, data out of range, divergence, vanishing gradient,
-- labels exchanged, discriminator too strong, discriminator too weak, cycling, mode collapse,
-- memorisation.

local gan = require "gan"
local measure = require "gan.doctor.measure"
local module = require "gan.nn.module"
local options = require "gan.options"
local trace = require "gan.doctor.trace"
local verdict = require "gan.doctor.verdict"
local common = require "gan.metrics.common"

local SAMPLES = 128   -- codes that are decoded each time
local REFERENCE = 256 -- real samples that are kept for comparison
local BANK = 2048     -- and for the search for copies
local KEPT = 64       -- records that are kept
local TRAIL = 8       -- sets of samples that are kept, to see whether G comes back to them
local SHARE = 0.02    -- of the time
local ALLOWANCE = 0.06 -- seconds beside it, so that short runs are seen as well; but no more than
local EARLY = 0.03    -- this share of the time
local LOUD = 50       -- scores so large are no logits whose cross entropy is a loss
local EXIT_CODE = 10

local Doctor = { __name = "gan.doctor" }
Doctor.__index = Doctor

local spec = "G:any D:any ; codes:any sample:callable? score:callable? real:callable? run:table? "
  .. "every:count=50 stop:bool=false say:callable? share:number=" .. SHARE

local function code_tensor(codes)
  if gan.is_tensor(codes) then
    return codes:detach():clone():keep()
  end
  local shape = type(codes) == "table" and { SAMPLES, table.unpack(codes) } or { SAMPLES, codes }
  return common.seeded(1, gan.randn, shape):keep()
end

--- gan.doctor{G, D, codes=, every=50, stop=false, run=, sample=, score=, real=, say=}
--   codes   the width of a code, or a list of its sizes, or the codes themselves (a tensor)
--   every   steps between two checks
--   share   of the training time that checks may take (default 0.02; 1: check at fixed steps)
--   stop    true ends the run at a diagnosis: an error with the exit code 10
--   run     run folder; train.loop gives its own
--   sample  function(codes) -> samples; default: G(codes)
--   score   function(samples, real) -> what D says of them, one number each; default: D(samples).
--           `real` is true for real samples; needed where D takes labels or packed samples
--   real    function(batch ...) -> real samples among what the step gets; default: its first value
--   say     function(text); default: the standard error
local function new(given)
  local o = options.check("doctor", given, spec)
  for _, name in ipairs{ "G", "D" } do
    if not module.is_module(o[name]) then
      error(("doctor: %s must be a model, as in gan.doctor{G, D, codes = 64}"):format(name), 2)
    end
  end
  local kind = gan.is_tensor(o.codes) and "table" or math.type(o.codes) or type(o.codes)
  if kind ~= "table" and kind ~= "integer" then
    error("doctor: 'codes' is the width of a code, a list of sizes, or a tensor", 2)
  end
  local self = setmetatable({
    G = o.G, D = o.D, codes = code_tensor(o.codes), every = o.every, stop = o.stop, run = o.run,
    say = o.say, share = o.share, steps = 0, spent = 0, told = {}, history = {}, trail = {},
    sample = o.sample or function(codes) return o.G(codes) end,
    score = o.score or function(x) return o.D(x) end,
    real = o.real or function(batch) return batch end,
    models = { { "G", o.G }, { "D", o.D } },
    diagnoses = {},
  }, Doctor)
  self.G_params, self.D_params = o.G:parameters(), o.D:parameters()
  self.G_start, self.D_start = measure.size(self.G_params), measure.size(self.D_params)
  self:take_snapshot()
  return self
end

-- ---- leaving no trace -----------------------------------------------------------------------

--- Everything that a forward pass in training may change.
local function statistics(self)
  local list = self.G:buffers()
  table.move(self.D:buffers(), 1, #self.D:buffers(), #list + 1, list)
  return list
end

--- Calls f(...) without gradients, in a scope; random numbers and statistics are as before.
local function unnoticed(self, f, ...)
  local random, buffers, copies = gan.rng_state(), statistics(self), {}
  for i, b in ipairs(buffers) do
    copies[i] = gan.no_grad(b.clone, b)
  end
  local _ <close> = setmetatable({}, { __close = function()
    gan.set_rng_state(random)
    gan.no_grad(function()
      for i, b in ipairs(buffers) do
        b:copy_(copies[i])
        copies[i]:release()
      end
    end)
  end })
  return (function(...) return ... end)(gan.scope(gan.no_grad, f, ...))
end

-- ---- snapshots ------------------------------------------------------------------------------

local function all_tensors(self)
  local list = statistics(self)
  table.move(self.G_params, 1, #self.G_params, #list + 1, list)
  table.move(self.D_params, 1, #self.D_params, #list + 1, list)
  return list
end

--- Remembers the weights, which are to be finite at this moment.
function Doctor:take_snapshot()
  gan.no_grad(function()
    local tensors, copies = all_tensors(self), self.snapshot
    self.snapshot = self.snapshot or {}
    for i, t in ipairs(tensors) do
      if copies then
        copies[i]:copy_(t)
      else
        self.snapshot[i] = t:clone():keep()
      end
    end
  end)
  self.snapshot_step = self.steps
end

--- Exchanges the models' tensors and the remembered ones.
local function swap_snapshot(self)
  gan.no_grad(function()
    for i, t in ipairs(all_tensors(self)) do
      local own = t:clone()
      t:copy_(self.snapshot[i])
      self.snapshot[i]:copy_(own)
      own:release()
    end
  end)
end

-- ---- telling --------------------------------------------------------------------------------

local stopped = { __name = "doctor", __tostring = function(e) return e.message end }

local function tell(self, kind, sentence, advice)
  self.told[kind] = true
  local entry = { doctor = kind, sentence = sentence, advice = advice, step = self.steps }
  self.diagnoses[#self.diagnoses + 1] = entry
  local say = self.say or function(text) io.stderr:write(text, "\n") end
  say(("doctor: %s (step %d): %s"):format(kind, self.steps, sentence))
  say("  advice: " .. advice)
  if self.run then
    self.run:log(entry)
  end
  if self.stop then
    error(setmetatable({ message = ("doctor: %s: %s"):format(kind, sentence),
      exit_code = EXIT_CODE }, stopped), 0)
  end
end

-- ---- NaN ------------------------------------------------------------------------------------

--- The layer that makes a NaN, with the weights of the models as they are.
local function find_bad_layer(self, real)
  return unnoticed(self, function()
    return trace.first_bad(self.models, function()
      local fake = self.sample(self.codes)
      self.score(real, true)
      self.score(fake, false)
    end)
  end)
end

local function explain_nan(self, name, real)
  local bad_input = not trace.is_finite(real)
  local parameter = trace.bad_parameter(self.models)
  local place
  if self.snapshot and not bad_input then
    swap_snapshot(self)
    local _ <close> = setmetatable({}, { __close = function() swap_snapshot(self) end })
    place = find_bad_layer(self, real)
  end
  if not place and not parameter and not bad_input then
    place = find_bad_layer(self, real)
  end
  local sentence = ("the loss '%s' is no finite number"):format(name)
  if bad_input then
    tell(self, "nan", sentence .. ": the real batch holds one already",
      "check how the data are loaded and scaled")
  elseif place then
    tell(self, "nan", ("%s: the first NaN or infinity comes out of %s"):format(sentence, place),
      "look at what goes into that layer: logarithms and roots of negative numbers, divisions by "
      .. "zero, exponentials of large ones")
  elseif parameter then
    tell(self, "nan", ("%s: every layer computes finite numbers with the weights of a moment ago, "
      .. "but an update has ruined the weights; the first is %s"):format(sentence, parameter),
      "lower the learning rates, clip the gradients, and keep logarithms, roots and norms in the "
      .. "losses away from zero")
  else
    tell(self, "nan", sentence .. ": the layers compute finite numbers, the loss itself does not",
      "use losses on logits, and keep logarithms and roots in the loss away from zero")
  end
end

-- ---- checks ---------------------------------------------------------------------------------

--- Adds real samples to those that are kept.
local function collect(self, real)
  local width = real:numel() // math.max(#real, 1)
  if self.projection == nil then
    local p = measure.projection(width)
    self.projection = p and p:keep() or false
  end
  local rows = measure.rows(real, self.projection or nil)
  local bank = self.bank
  self.bank = (bank and gan.cat({ bank, rows }, { dim = 1 }) or rows:clone()):keep()
  if bank then
    bank:release()
  end
  if not self.reference and #self.bank >= REFERENCE then
    self.reference = measure.reference(self.bank:slice(1, 1, REFERENCE))
  end
end

--- What D's output is: a probability, a logit (the losses then include their cross entropy), or
-- something else.
local function form_of(self, scores, losses)
  if scores.low >= 0 and scores.high <= 1 and self.form ~= "logit" and self.form ~= "score" then
    self.form = "probability"
    return
  end
  self.votes = self.votes or 0
  if scores.size > LOUD and self.votes ~= 0 then
    return -- what it was before: now the difference of the two is a matter of a few percent
  end
  local fits = false
  for _, v in pairs(losses) do
    local e = scores.cross_entropy
    fits = fits or type(v) == "number" and (math.abs(v - e) < 0.25 * math.abs(e) + 0.05
      or math.abs(2 * v - e) < 0.25 * math.abs(e) + 0.05)
  end
  self.votes = math.max(-5, math.min(5, self.votes + (fits and 1 or -1)))
  self.form = self.votes > 0 and "logit" or "score"
end

--- How far the samples of the codes went since the last check, and how far they are now from where
-- they were at the nearest of the checks before that.
local function follow(self, rows)
  local trail, jump, back = self.trail, nil, nil
  for i = #trail, 1, -1 do
    local way = measure.way(trail[i], rows, self.reference)
    if jump then
      back = math.min(back or way, way)
    end
    jump = jump or way
  end
  trail[#trail + 1] = rows:clone():keep()
  if #trail > TRAIL then
    table.remove(trail, 1):release()
  end
  return jump, back
end

--- By how much D has changed its mind on the same samples since the last check: above 0 where it
-- tells them apart better.
local function turn(self, real, fake, now)
  swap_snapshot(self)
  local _ <close> = setmetatable({}, { __close = function() swap_snapshot(self) end })
  local before = measure.scores(self.score(real, true), self.score(fake, false))
  return now.real - now.fake - (before.real - before.fake)
end

local function examine(self, losses, real)
  if #real > SAMPLES then
    real = real:slice(1, 1, SAMPLES)
  end
  local fake = self.sample(self.codes)
  local scores = measure.scores(self.score(real, true), self.score(fake, false))
  form_of(self, scores, losses)
  local rows = measure.rows(fake, self.projection or nil)
  local r = measure.samples(rows, self.reference)
  r.jump, r.back = follow(self, rows)
  r.step, r.form = self.steps, self.form
  r.order, r.real_score, r.fake_score = scores.order, scores.real, scores.fake
  r.score_size, r.score_range = scores.size, scores.high - scores.low
  local bounds = measure.bounds(real, fake)
  r.low, r.high, r.beyond = bounds.low, bounds.high, bounds.beyond
  r.gradient = measure.gradient(self.G_params)
  r.G_size, r.D_size = measure.size(self.G_params), measure.size(self.D_params)
  r.G_growth, r.D_growth = r.G_size / self.G_start, r.D_size / self.D_start
  if self.snapshot_step and verdict.is_contrary(r) then
    r.turn = turn(self, real, fake, scores)
  end
  self.checks = (self.checks or 0) + 1
  if self.checks % 10 == 0 then
    r.copies = measure.copies(rows, self.bank)
    self.history.copied = r.copies > 0.5 and (self.history.copied or 0) + 1 or 0
  end
  return r
end

--- By which part of their size G's and D's weights have changed in a step since the last check; nil
-- in the first one of a run that goes on.
local function movements(self)
  if not self.snapshot_step then
    return
  end
  local steps, first = self.steps - self.snapshot_step, #statistics(self) + 1
  local last = first + #self.G_params - 1
  local function movement(params, from)
    return measure.change(params, self.snapshot, from) / math.max(steps, 1)
  end
  return movement(self.G_params, first), movement(self.D_params, last + 1)
end

--- Numbers that a check cannot do without are finite: otherwise the next loss will say so.
local function is_sound(r)
  for name, v in pairs(r) do
    if type(v) == "number" and (v ~= v or math.abs(v) == math.huge) then
      return false, name
    end
  end
  return true
end

local function remember(self, r)
  local h = self.history
  h[#h + 1] = r
  if r.gradient and self.checks <= 10 then
    h.early_gradient = math.max(h.early_gradient or 0, r.gradient)
  end
  if #h > KEPT then
    table.remove(h, 1)
  end
end

local function check(self, losses, real)
  if not self.reference or #self.bank < BANK then
    collect(self, real)
  end
  if not self.reference then
    return
  end
  local r = examine(self, losses, real)
  r.G_move, r.D_move = movements(self)
  if not is_sound(r) then
    return
  end
  remember(self, r)
  self:take_snapshot()
  return verdict.of(self.history, self)
end

--- Whether this is a step to look closer. Time is that of the processor: a busy machine, which may
-- stop the program in the middle of a check, makes no check dear.
local function is_due(self)
  if self.steps % self.every ~= 0 then
    return not self.reference -- real samples are gathered in the first steps
  elseif self.share >= 1 then
    return true
  end
  local now = os.clock()
  self.started = self.started or now
  local elapsed = (now - self.started) / gan.threads() -- at least so long, with all threads busy
  local allowed = self.share * elapsed + math.min(ALLOWANCE, EARLY * elapsed)
  return self.spent <= allowed or #self.history < 3
end

--- After a training step: `losses` is its table of numbers (or tensors of one element) by name, the
-- rest what the step was given, real samples first.
function Doctor:step(losses, ...)
  self.steps = self.steps + 1
  local real = self.real(...)
  local numbers = {}
  for name, v in pairs(losses) do
    v = gan.is_tensor(v) and v:item() or v
    numbers[name] = v
    if type(v) == "number" and (v ~= v or math.abs(v) == math.huge) and not self.told.nan then
      explain_nan(self, name, real)
    end
  end
  if self.told.nan or not is_due(self) then
    return
  end
  local before = os.clock()
  local kind, sentence, advice = unnoticed(self, check, self, numbers, real)
  if #self.history > 0 then -- gathering samples in the beginning does not count
    self.spent = self.spent + os.clock() - before
  end
  if kind and not self.told[kind] then
    tell(self, kind, sentence, advice)
  end
end

--- The latest measurements, or nil: fields order (share of pairs that D puts in the right order),
-- real_score, fake_score, gradient (arriving at G, root mean square), pair, near, rank (diversity),
-- precision, coverage, used (clusters), gap, copies, low and high (the samples' extremes), beyond
-- (share of real numbers beyond them where the samples touch a bound).
function Doctor:latest()
  return self.history[#self.history]
end

-- ---- checkpoints ----------------------------------------------------------------------------

--- What the doctor has seen, for checkpoints.
function Doctor:state_dict()
  local records = {}
  for i, r in ipairs(self.history) do
    records[i] = r
  end
  return {
    steps = self.steps, checks = self.checks or 0, form = self.form, votes = self.votes,
    told = self.told, codes = self.codes, bank = self.bank,
    G_start = self.G_start, D_start = self.D_start, trail = self.trail,
    history = { records = records, copied = self.history.copied,
      early_gradient = self.history.early_gradient },
  }
end

--- Takes over what state_dict gave.
function Doctor:load_state_dict(state)
  self.steps, self.checks, self.snapshot_step = state.steps, state.checks, nil
  self.form, self.votes, self.told = state.form, state.votes, state.told
  self.G_start, self.D_start = state.G_start, state.D_start
  gan.no_grad(self.codes.copy_, self.codes, state.codes)
  self.bank, self.reference = state.bank and state.bank:clone():keep(), nil
  self.trail = {}
  for i, rows in ipairs(state.trail or {}) do
    self.trail[i] = rows:clone():keep()
  end
  self.history = state.history.records or {}
  self.history.copied = state.history.copied
  self.history.early_gradient = state.history.early_gradient
end

return new
