--- Metrics of nearest neighbours, on features or plain samples.

local gan = require "gan"
local options = require "gan.options"
local common = require "gan.metrics.common"

local neighbours = {}

--- Squared distance of each row from its k-th nearest other row.
local function radii(x, k, quiet)
  local parts = {}
  common.blocks("neighbours", x, #x, quiet, function(first, _, block)
    local near = common.squared(block, x):topk(k + 1, 2, { largest = false })
    parts[#parts + 1] = { first, near:slice(2, k + 1, k + 1):flatten():keep() }
  end)
  local list = {}
  for i, part in ipairs(parts) do
    list[i] = part[2]
  end
  return gan.cat(list, { dim = 1 })
end

local function to_real(mask)
  return mask:to(gan.config.real)
end

--- metrics.prdc(real, fake, {k=5, quiet=false}) -> {precision=, recall=, density=, coverage=}
--
-- A sample's ball reaches to its k-th nearest neighbour in its own set.
--   precision  share of fakes in the ball of a real one (Kynkäänniemi et al. 2019)
--   recall     share of reals in the ball of a fake one
--   density    mean number of real balls around a fake, divided by k (Naeem et al. 2020)
--   coverage   share of real balls with a fake inside
neighbours.prdc = common.metric("metrics.prdc", function(real, fake, given)
  local o = options.check("metrics.prdc", given or {}, "; k:count=5 quiet:bool=false")
  real, fake = common.pair("metrics.prdc", real, fake, o.k + 1)
  local middle = real:mean({ 1 }, { keepdim = true })
  real, fake = real - middle, fake - middle -- smaller numbers, more digits of the distances
  local real_radius, fake_radius = radii(real, o.k, o.quiet), radii(fake, o.k, o.quiet)
  local inside, around = 0, 0
  local recalled, nearest = gan.zeros(#real), gan.full({ #real }, math.huge)
  common.blocks("precision and recall", fake, #real, o.quiet, function(first, last, block)
    local d = common.squared(block, real)
    local balls = to_real(gan.le(d, real_radius))
    inside = inside + balls:amax{ 2 }:sum():item()
    around = around + balls:sum():item()
    local own = to_real(gan.le(d, fake_radius:slice(1, first, last):unsqueeze(2)))
    recalled:copy_(gan.maximum(recalled, own:amax{ 1 }))
    nearest:copy_(gan.minimum(nearest, d:amin{ 1 }))
  end)
  return {
    precision = inside / #fake, recall = recalled:mean():item(), density = around / (o.k * #fake),
    coverage = to_real(gan.le(nearest, real_radius)):mean():item(),
  }
end)

--- metrics.one_nn(real, fake, {quiet=false}) -> {accuracy=, real=, fake=}
--
-- How often a sample's nearest neighbour among all the others is of its own kind (Lopez-Paz and
-- Oquab 2017): 0.5 when the two sets cannot be told apart, 1 when they are apart; below 0.5, fakes
-- are copies of reals. `real` and `fake` are the shares of each kind. Use sets of one size.
neighbours.one_nn = common.metric("metrics.one_nn", function(real, fake, given)
  local o = options.check("metrics.one_nn", given or {}, "; quiet:bool=false")
  real, fake = common.pair("metrics.one_nn", real, fake, 2)
  local middle, n = real:mean({ 1 }, { keepdim = true }), #real
  local all = gan.cat({ real - middle, fake - middle }, { dim = 1 })
  local right = { 0, 0 }
  common.blocks("nearest neighbours", all, #all, o.quiet, function(first, last, block)
    local rows = gan.arange(first, last, { dtype = "int64" })
    local self = gan.one_hot(rows, { classes = #all })
    local d = common.squared(block, all):masked_fill(self, { value = math.huge })
    local near_real, is_real = gan.le(d:argmin{ dim = 2 }, n), gan.le(rows, n)
    right[1] = right[1] + gan.logical_and(near_real, is_real):count_nonzero():item()
    right[2] = right[2] + gan.logical_not(gan.logical_or(near_real, is_real)):count_nonzero():item()
  end)
  return { accuracy = (right[1] + right[2]) / #all, real = right[1] / n, fake = right[2] / #fake }
end)

--- Rows as numbers: bytes are spread over a range.
local function numbers(name, x, range, what)
  if gan.is_tensor(x) and x:dtype() == "uint8" then
    local low, high = range[1], range[2]
    x = x:to(gan.config.real) * ((high - low) / 255) + low
  end
  return common.rows(name, x, what)
end

local function part_of(data, first, last, o)
  return numbers("metrics.nearest", data:slice(1, first, last), o.range, "the data")
end

local function nearest(x, data, given)
  local name = "metrics.nearest"
  local o = options.check(name, given or {}, "; k:count=1 range:list? quiet:bool=false")
  o.range = o.range or { -1, 1 }
  x = numbers(name, x, o.range, "the first set")
  if not gan.is_tensor(data) or data:dim() == 0 or #data < o.k then
    error(("%s: the data must be a tensor with %d rows at least"):format(name, o.k), 0)
  elseif data:numel() // #data ~= x:size(2) then
    error(("%s: samples of %d and of %d numbers cannot be compared"):format(name, x:size(2),
      data:numel() // #data), 0)
  end
  local rows = math.max(o.k, (4 << 20) // math.max(x:size(2), #x, 1))
  local total = (#data + rows - 1) // rows
  local bar = common.bar("nearest in the data", total, o.quiet or total < 4)
  local best, place
  for i = 1, total do
    local first, last = (i - 1) * rows + 1, math.min(i * rows, #data)
    best, place = gan.scope(function()
      local d = common.squared(x, part_of(data, first, last, o))
      local near, where = d:topk(math.min(o.k, last - first + 1), 2, { largest = false })
      where = where:to(gan.config.real) + (first - 1)
      if best then
        near, where = gan.cat({ best, near }, { dim = 2 }), gan.cat({ place, where }, { dim = 2 })
        local order
        near, order = near:topk(o.k, 2, { largest = false })
        where = where:gather(order, 2)
      end
      return near, where
    end)
    bar(i)
  end
  bar()
  place = place:to "int64"
  -- distances anew, from differences: those above are off where x is a copy
  local found = data:index_select(place:flatten())
  local close = part_of(found, 1, #found, o):reshape(#x, o.k, x:size(2))
  return (close - x:unsqueeze(2)):square():sum{ 3 }:sqrt(), place
end

--- metrics.nearest(x, data, {k=1, range={-1, 1}, quiet=false}) -> distances (n, k), places (n, k)
--
-- The k nearest rows of a data set to each row of x, nearest first: Euclidean distances, and int64
-- places from 1. Data of bytes (images) become numbers of `range`. Up to 2^24 rows.
neighbours.nearest = common.metric("metrics.nearest", nearest)

--- metrics.memorisation(fake, train, held_out, {range={-1, 1}, threshold=0.3, quiet=false})
--   -> {ratio=, copies=, nearest=}
--
-- ratio: the median distance of a fake from the nearest training sample, divided by that of a held
-- out real one; near 1 or above for new samples, near 0 for copies. copies: the share of fakes that
-- are nearer than `threshold` times the held-out median. nearest: (n) places of the nearest.
neighbours.memorisation = common.metric("metrics.memorisation",
  function(fake, train, held_out, given)
    local o = options.check("metrics.memorisation", given or {},
      "; range:list? threshold:number=0.3 quiet:bool=false")
    local search = { range = o.range, quiet = o.quiet }
    local d, place = nearest(fake, train, search)
    local usual = common.median((nearest(held_out, train, search)))
    return {
      ratio = common.median(d) / usual,
      copies = to_real(gan.lt(d, o.threshold * usual)):mean():item(),
      nearest = place:flatten(),
    }
  end)

return neighbours
