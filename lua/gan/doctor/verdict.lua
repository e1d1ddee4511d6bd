--- From the history of measurements to a diagnosis.
--
-- A record is one check: see gan.doctor.measure. Every rule looks at the latest records and gives
-- the numbers of its sentence, or nil. The first rule that applies has the word; one about the data
-- (`once`) has it a single time, and then leaves it to what comes of them. Thresholds hold for
-- samples of which a perfect generator would have 1 everywhere; they are wide, because a false
-- alarm costs trust.

local verdict = {}

local PATIENCE = 5   -- checks in a row for which something has to hold
local WARM_UP = 1000 -- steps that a generator has to find its feet

--- True when f(record) holds for the latest record and four in five of the last n.
local function lasting(history, n, f)
  if #history < n or not f(history[#history]) then
    return false
  end
  local count = 0
  for i = #history - n + 1, #history do
    count = count + (f(history[i]) and 1 or 0)
  end
  return count >= 0.8 * n
end

--- The mean of a field over records first..last.
local function mean(history, name, first, last)
  local sum, count = 0, 0
  for i = math.max(1, first), math.min(last, #history) do
    if history[i][name] then
      sum, count = sum + history[i][name], count + 1
    end
  end
  return count > 0 and sum / count or nil
end

--- Whether a field has risen by a part of its value in the latter half of the last 2n records.
local function rising(history, name, n, factor)
  local now = mean(history, name, #history - n + 1, #history)
  local before = mean(history, name, #history - 2 * n + 1, #history - n)
  return not before or not now or now > before * (factor or 1.1)
end

local function is_far(r)
  return r.gap > 0.1
end

--- Half of the real samples have one of G's nearby: nothing has collapsed, however few directions
-- or clusters they fill.
local function covers(r)
  return r.coverage >= 0.5
end

--- One of the nets learns so much slower than the other (fields of their movements) that it might
-- as well stand still.
local function stands_still(r, slow, fast)
  return r[slow] and r[fast] > 0 and r[slow] < 0.01 * r[fast]
end

local function logit(p)
  p = math.max(1e-7, math.min(1 - 1e-7, p))
  return math.log(p / (1 - p))
end

--- Whether D is sure, where its output is a probability or a logit: it gives both kinds the right
-- sign, and as wide a margin as between probabilities of 0.99 and 0.01. The two need not lie evenly
-- around 0: after a bias of D, a margin of the same width misleads G no less.
local function is_sure(r)
  local real, fake = r.real_score, r.fake_score
  if r.form == "probability" then
    real, fake = logit(real), logit(fake)
  elseif r.form ~= "logit" then
    return false
  end
  return real > 0 and fake < 0 and real - fake > 9.2
end

--- Whether D says the contrary of what is so, and is sure of it: because it is taught so, or
-- because G gets away from it.
function verdict.is_contrary(r)
  local apart = r.fake_score - r.real_score
  return r.order < 0.02 and r.gap > 0.25 and apart > (r.form == "probability" and 0.8 or 4)
end

local rules = {}

rules[#rules + 1] = { "duplicate data", function(_, doctor)
  local copies = doctor.reference.copies
  if copies > 0.3 then
    return ("the training data repeat themselves, or are few: %.0f %% of the real samples have an "
      .. "exact copy among the few hundred looked at"):format(100 * copies)
  end
end, "check how the data are loaded and shuffled; a generator can only learn what is there, and "
  .. "learns a few samples by heart", once = true }

rules[#rules + 1] = { "data out of range", function(history)
  local now = history[#history]
  if lasting(history, PATIENCE, function(r) return (r.beyond or 0) > 0.05 end) then
    return ("G's samples stay between %.3g and %.3g, and %.0f %% of the real numbers lie beyond: G "
      .. "ends with a layer that cannot make them"):format(now.low, now.high, 100 * now.beyond)
  end
end, "scale the data to the range of G's last layer (-1 to 1 for tanh, 0 to 1 for a sigmoid), or "
  .. "end G with a linear layer", once = true }

rules[#rules + 1] = { "divergence", function(history)
  local now = history[#history]
  if lasting(history, 3, function(r)
    return r.G_growth > 8 or r.form ~= "probability" and r.score_size > 1e5
  end) then
    return ("training diverges: G's weights are %.3g times as large as in the beginning, D's %.3g "
      .. "times, D's largest score is %.3g"):format(now.G_growth, now.D_growth, now.score_size)
  end
end, "divide both learning rates by ten, or bound D: spectral norm, R1, a gradient penalty" }

rules[#rules + 1] = { "vanishing gradient", function(history)
  local now = history[#history]
  local early = history.early_gradient
  if not now.gradient or not early then
    return
  end
  local function faint(r)
    if not r.gradient or not is_far(r) then
      return false
    end
    local frozen = r.G_move and r.G_move < 1e-7 and r.gradient < 1e-6 * r.G_size
    return frozen or r.order > 0.98
      and (r.gradient < 1e-3 * early or is_sure(r) and r.gradient < 1e-4 * r.G_size)
  end
  if lasting(history, PATIENCE, faint) then
    return ("the gradient that reaches G has all but vanished: %.2g, where its weights are about "
      .. "%.2g; D tells %.1f %% of the pairs apart"):format(now.gradient, now.G_size,
      100 * now.order)
  end
end, "use the non-saturating loss, hinge or a Wasserstein GAN instead of minimax, or weaken D: "
  .. "fewer d_steps, a lower learning rate, instance noise" }

rules[#rules + 1] = { "discriminator too strong", function(history)
  local now = history[#history]
  local before = mean(history, "score_range", #history - 2 * PATIENCE + 1, #history - PATIENCE)
  if before and now.form ~= "probability" and lasting(history, PATIENCE, function(r)
    return r.score_range > 300 and r.score_range > 1.5 * before
  end) then
    return ("nothing bounds D: its scores lie %.3g apart, and more and more"):format(
      now.score_range)
  end
  if lasting(history, PATIENCE, function(r)
    return r.D_growth > 6 and r.D_growth > 2 * r.G_growth
  end) then
    return ("D learns too fast: its weights are %.3g times as large as in the beginning, its "
      .. "scores go up to %.3g, and it tells %.1f %% of the pairs apart"):format(now.D_growth,
      now.score_size, 100 * now.order)
  end
end, "lower D's learning rate, or penalise its slope (R1, a gradient penalty)" }

rules[#rules + 1] = { "labels exchanged", function(history)
  local now = history[#history]
  local before = mean(history, "gap", #history - 2 * PATIENCE + 1, #history - PATIENCE)
  if lasting(history, 2 * PATIENCE, function(r)
    return verdict.is_contrary(r) and (r.turn or 0) < 0
  end) and mean(history, "gap", #history - PATIENCE + 1, #history) > 0.9 * before then
    return ("D learns to take G's samples for more real than the real ones, with mean scores of "
      .. "%.3g and %.3g, and G does not come nearer to the data"):format(now.fake_score,
      now.real_score)
  end
end, "look at the labels and signs in D's loss and G's: both must call the same samples real" }

rules[#rules + 1] = { "discriminator too weak", function(history)
  local now = history[#history]
  if now.step >= WARM_UP and lasting(history, PATIENCE, function(r)
    return stands_still(r, "D_move", "G_move") and r.order < 0.9 and r.gap > 0.25
  end) then
    return ("D hardly learns: in a step its weights change by %.2g of their size, G's by %.2g, and "
      .. "it puts %.0f %% of the pairs in the right order"):format(now.D_move, now.G_move,
      100 * now.order)
  elseif now.step >= WARM_UP and lasting(history, 2 * PATIENCE, function(r)
    return r.order < 0.7 and r.gap > 0.25
  end) then
    return ("D cannot tell samples apart that differ: %.0f %% of the pairs in the right order, "
      .. "although the distance between the two kinds is %.2g of that within the real ones")
      :format(100 * now.order, now.gap)
  end
end, "raise D's learning rate, give it more units or more d_steps, or take away regularisation" }

rules[#rules + 1] = { "mode collapse", function(history, doctor)
  local now, rank = history[#history], doctor.reference.rank
  local narrow = 1 + 0.2 * (rank - 1)
  if now.step >= WARM_UP and rank > 1.5
    and lasting(history, 2 * PATIENCE, function(r) return r.rank < narrow and not covers(r) end)
    and not rising(history, "rank", PATIENCE) then
    return ("G's samples fill %.1f directions, the real ones %.1f: G has too little capacity, or "
      .. "has collapsed"):format(now.rank, rank)
  end
end, "give G more units and layers, and a code of more numbers" }

rules[#rules + 1] = { "discriminator too strong", function(history)
  local now = history[#history]
  if now.step >= WARM_UP and lasting(history, 2 * PATIENCE, function(r)
    return stands_still(r, "G_move", "D_move") and is_far(r) and r.order > 0.98
  end) then
    return ("G hardly learns beside D: in a step its weights change by %.2g of their size, D's by "
      .. "%.2g, and D tells %.1f %% of the pairs apart"):format(now.G_move, now.D_move,
      100 * now.order)
  end
  if now.step >= WARM_UP
    and lasting(history, 2 * PATIENCE, function(r) return is_sure(r) and is_far(r) end)
    and mean(history, "order", #history - 2 * PATIENCE, #history) > 0.98
    and not rising(history, "coverage", PATIENCE, 1.2) then
    return ("D is sure of everything: it tells %.1f %% of the pairs apart with mean scores of %.3g "
      .. "for real and %.3g for generated samples"):format(100 * now.order, now.real_score,
      now.fake_score)
  end
end, "lower D's learning rate, smooth its labels, add instance noise or dropout, or penalise its "
  .. "slope (R1)" }

rules[#rules + 1] = { "cycling", function(history)
  if #history < 12 or history[#history].step < WARM_UP then
    return
  end
  local jumps, returns, n = 0, 0, 10
  for i = #history - n + 1, #history do
    local r = history[i]
    if r.jump and r.jump > 0.25 then
      jumps = jumps + 1
      returns = returns + (r.back and r.back < 0.5 * r.jump and 1 or 0)
    end
  end
  if jumps >= 5 and returns >= 2 and mean(history, "used", #history - n + 1, #history) < 0.6
    and not rising(history, "coverage", PATIENCE) then
    return ("G goes round between modes: its samples of the same codes jumped %d times in the last "
      .. "%d checks, and came back %d times"):format(jumps, n, returns)
  end
end, "lower both learning rates or the momentum (betas[1] = 0), average G's weights, unroll D, or "
  .. "use a Wasserstein GAN with gradient penalty" }

rules[#rules + 1] = { "mode collapse", function(history)
  local now = history[#history]
  if now.step < WARM_UP then
    return
  end
  if lasting(history, PATIENCE, function(r) return r.pair < 0.2 or r.near < 0.02 end)
    and not rising(history, "pair", PATIENCE) then
    return ("G makes the same few samples whatever the code: their mean distance is %.2g of that "
      .. "of real ones"):format(now.pair)
  elseif lasting(history, 2 * PATIENCE, function(r)
    return r.used < 0.5 and not covers(r) or r.precision > 0.7 and r.coverage < 0.35
  end) and not rising(history, "coverage", PATIENCE) and not rising(history, "used", PATIENCE) then
    return ("G leaves out modes: its samples cover %.0f %% of what real ones do and fall into "
      .. "%.0f %% of their clusters"):format(100 * now.coverage, 100 * now.used)
  end
end, "give D several samples at a time (adversarial.pack), use a Wasserstein GAN with gradient "
  .. "penalty, unroll D, or give G more capacity" }

rules[#rules + 1] = { "memorisation", function(history)
  local now = history[#history]
  if (now.copies or 0) > 0.5 and (history.copied or 0) >= 2 then
    return ("%.0f %% of G's samples are copies of training samples"):format(100 * now.copies)
  end
end, "use more data or differentiable augmentation (adversarial.augment), a smaller G, and stop "
  .. "earlier" }

--- The diagnosis of a history: kind, sentence, advice; nil for a run in which nothing is wrong.
function verdict.of(history, doctor)
  for _, rule in ipairs(rules) do
    local sentence, kind
    if not (rule.once and doctor.told[rule[1]]) then
      sentence, kind = rule[2](history, doctor)
    end
    if sentence then
      return kind or rule[1], sentence, rule[3]
    end
  end
end

return verdict
