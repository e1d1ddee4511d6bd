--- Earth mover's distances.

local gan = require "gan"
local options = require "gan.options"
local common = require "gan.metrics.common"

local transport = {}

local function check_power(name, p)
  if not (p >= 1 and p < math.huge) then
    error(("%s: p must be a finite number of 1 or more, not %g"):format(name, p), 0)
  end
end

local function vector(name, x)
  x = common.rows(name, x, "each set")
  if x:size(2) ~= 1 or #x == 0 then
    error(("%s: takes two sets of numbers, not (%s)"):format(name, table.concat(x:shape(), " x ")),
      0)
  end
  return x:flatten()
end

--- The area between the two distribution functions.
local function between(a, b)
  local values, order = gan.cat{ a, b }:sort()
  local first = gan.le(order, #a):to(gan.config.real)
  local gap = (first:cumsum(1) / #a - (1 - first):cumsum(1) / #b):abs()
  local n = #values
  return (gap:slice(1, 1, n - 1) * (values:slice(1, 2, n) - values:slice(1, 1, n - 1))):sum():item()
end

--- metrics.wasserstein_1d(a, b, {p=1}): the exact distance of two sets of numbers, (n) and (m).
-- W_p = (mean of |a_i - b_i|^p)^(1/p) in order of size. Sets of different sizes need p = 1: the
-- area between their distribution functions.
transport.wasserstein_1d = common.metric("metrics.wasserstein_1d", function(a, b, given)
  local name = "metrics.wasserstein_1d"
  local o = options.check(name, given or {}, "; p:number=1")
  check_power(name, o.p)
  a, b = vector(name, a), vector(name, b)
  if #a ~= #b then
    if o.p ~= 1 then
      error(("%s: p is %g; sets of %d and %d numbers need p = 1"):format(name, o.p, #a, #b), 0)
    end
    return between(a, b)
  end
  local gap = (a:sort() - b:sort()):abs()
  return (o.p == 1 and gap or gap:pow_scalar(o.p)):mean():item() ^ (1 / o.p)
end)

--- metrics.emd(a, b, {p=1}): the exact distance of two sets of as many vectors, (n, ...): each a is
-- moved to a b of its own, for the least mean of |a - b|^p; the result is that mean's p-th root.
-- Takes time of order n^3: two thousand vectors are seconds. Also returns the place in b (n, int64)
-- to which each a goes.
transport.emd = common.metric("metrics.emd", function(a, b, given)
  local name = "metrics.emd"
  local o = options.check(name, given or {}, "; p:number=1")
  check_power(name, o.p)
  a, b = common.pair(name, a, b)
  if #a ~= #b then
    error(("%s: sets of one size, not %d and %d"):format(name, #a, #b), 0)
  end
  local cost = common.squared(a, b)
  cost = o.p == 2 and cost or cost:pow_scalar(o.p / 2)
  local places = cost:assignment()
  local mean = cost:gather(places:unsqueeze(2), 2):mean():item()
  return mean ^ (1 / o.p), places
end)

--- metrics.sliced_wasserstein(a, b, {projections=256, p=1, seed=1, quiet=false}): the mean over
-- random directions of the distance of the projections, (mean of W_p^p)^(1/p). Two sets of one
-- size.
transport.sliced_wasserstein = common.metric("metrics.sliced_wasserstein", function(a, b, given)
  local name = "metrics.sliced_wasserstein"
  local o = options.check(name, given or {},
    "; projections:count=256 p:number=1 seed:int=1 quiet:bool=false")
  check_power(name, o.p)
  a, b = common.pair(name, a, b)
  if #a ~= #b then
    error(("%s: sets of one size, not %d and %d"):format(name, #a, #b), 0)
  end
  local directions = common.seeded(o.seed, gan.randn, o.projections, a:size(2))
  directions = directions:l2_normalize{ dim = 2 }
  local sum = 0
  common.blocks("sliced distance", directions, #a, o.quiet, function(_, _, block)
    local gap = (block:matmul(a:t()):sort() - block:matmul(b:t()):sort()):abs()
    sum = sum + (o.p == 1 and gap or gap:pow_scalar(o.p)):mean(2):sum():item()
  end)
  return (sum / o.projections) ^ (1 / o.p)
end)

return transport
