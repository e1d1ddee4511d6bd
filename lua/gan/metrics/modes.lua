--- Which modes of a distribution samples come from.

local gan = require "gan"
local options = require "gan.options"
local common = require "gan.metrics.common"

local modes = {}

--- sum_i p_i ln(p_i / q_i), where p_i = 0 counts nothing; infinite where q_i = 0 < p_i.
local function divergence(p, q)
  local terms = p * (p / q):log()
  return gan.where(gan.gt(p, 0), terms, gan.zeros(1)):sum():item()
end

--- Shares of K classes from labels (N), 1 to K.
local function shares(labels, classes)
  local counts = gan.zeros(classes):index_add(labels, gan.ones(labels:numel()))
  return counts / labels:numel(), counts
end

--- How the shares p of generated samples differ from those wanted.
local function compare(result, p, q)
  local middle = (p + q) * 0.5
  result.kl = divergence(p, q)
  result.js = (divergence(p, middle) + divergence(q, middle)) / 2
  return result
end

--- Squared distance to the nearest centre, and which it is, for rows (N, d).
local function nearest_center(x, centers)
  local best, place = common.squared(x, centers):min_dim(2)
  return best, place
end

--- For each mode, the root mean square of a coordinate's deviation from the mean of those samples.
local function spreads(x, place, good, k)
  local weight = gan.one_hot(place, { classes = k }):to(gan.config.real) * good:unsqueeze(2)
  local count = weight:sum(1):unsqueeze(2)
  local mean = weight:t():matmul(x) / count
  local deviation = (x - mean:index_select(place)):square():mean(2) * good
  return (weight:t():matmul(deviation:unsqueeze(2)) / (count - 1)):squeeze(2):sqrt()
end

--- metrics.mixture(x, {centers=, std=, sigmas=3, weights=}) -> table
--
-- x (N, d), drawn from a mixture of Gaussians with these centres (K, d) and this standard deviation
-- of each coordinate. Each sample belongs to the nearest centre; it is good if it lies within
-- `sigmas` standard deviations.
--   modes     centres that have a good sample
--   quality   share of good samples (of a perfect sampler in the plane: 0.9889)
--   kl        KL divergence of the shares of the modes among all samples from `weights` (K; default
--             equal); js, that of Jensen and Shannon
--   counts    (K) good samples of each mode, a list
--   spread    (K) standard deviation of a coordinate of the good samples of each mode, divided by
--             std (of a perfect sampler in the plane with 3 sigmas: 0.974; NaN below 2 samples)
modes.mixture = common.metric("metrics.mixture", function(x, given)
  local name = "metrics.mixture"
  local o = options.check(name, given,
    "; centers:tensor std:number sigmas:number=3 weights:tensor?")
  local centers
  x, centers = common.pair(name, x, o.centers)
  local k = #centers
  local distance, place = nearest_center(x, centers)
  local good = gan.le(distance, (o.sigmas * o.std) ^ 2):to(gan.config.real)
  local counts = gan.zeros(k):index_add(place, good)
  local wanted = o.weights and o.weights / o.weights:sum() or gan.full({ k }, 1 / k)
  local p = shares(place, k)
  return compare({
    modes = math.tointeger(counts:count_nonzero():item()), quality = good:mean():item(),
    counts = counts:totable(), spread = (spreads(x, place, good, k) / o.std):totable(),
  }, p, wanted)
end)

--- metrics.label_modes(labels, {classes=, reference=}) -> {modes=, kl=, js=, counts=}
--
-- labels (N), int64 from 1, as a classifier gave them to generated samples. modes: classes that
-- appear; kl, js: divergence of their shares from those of the labels `reference` (default: equal
-- shares).
modes.label_modes = common.metric("metrics.label_modes", function(labels, given)
  local name = "metrics.label_modes"
  local o = options.check(name, given, "; classes:count reference:tensor?")
  if not gan.is_tensor(labels) or labels:dtype() ~= "int64" or labels:numel() == 0 then
    error(name .. ": labels must be an int64 tensor with elements", 0)
  end
  local p, counts = shares(labels:flatten(), o.classes)
  local q = o.reference and shares(o.reference:flatten(), o.classes)
    or gan.full({ o.classes }, 1 / o.classes)
  return compare({ modes = math.tointeger(counts:count_nonzero():item()),
    counts = counts:totable() }, p, q)
end)

--- metrics.auroc(inside, outside): the probability that a detector's score of something inside its
-- distribution is higher than of something outside; equal scores count half. 0.5 is guessing.
modes.auroc = common.metric("metrics.auroc", function(inside, outside)
  local name = "metrics.auroc"
  inside = common.rows(name, inside, "the first set of scores"):flatten()
  outside = common.rows(name, outside, "the second set of scores"):flatten()
  if #inside == 0 or #outside == 0 then
    error(name .. ": there are no scores", 0)
  end
  local wins = 0
  common.blocks("AUROC", inside, #outside, true, function(_, _, block)
    local a, b = block:unsqueeze(2), outside:unsqueeze(1)
    local better = gan.gt(a, b):to(gan.config.real) + gan.eq(a, b):to(gan.config.real) * 0.5
    wins = wins + better:mean(2):sum():item()
  end)
  return wins / #inside
end)

return modes
