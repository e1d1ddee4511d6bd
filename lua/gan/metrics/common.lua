--- What the metrics share: sets of rows, distances block by block, bars, seeds.

local gan = require "gan"

local common = {}

local BLOCK = 4 << 20 -- elements of the largest intermediate result
local NARROW = 16     -- up to so many columns, differences are formed one by one

--- The samples of a set as rows of the compute type, without a graph: (N, ...) -> (N, D). One
-- number each is D = 1.
function common.rows(name, x, what)
  if not gan.is_tensor(x) or x:dim() == 0 then
    error(("%s: %s must be a tensor of samples (N, ...)"):format(name, what), 0)
  end
  x = x:detach()
  if x:dtype() ~= gan.config.real then
    x = x:to(gan.config.real)
  end
  if x:dim() == 1 then
    return x:unsqueeze(2)
  end
  return x:dim() == 2 and x or x:flatten(2)
end

--- Two sets with rows of one width, at least `least` of them each.
function common.pair(name, a, b, least)
  a, b = common.rows(name, a, "the first set"), common.rows(name, b, "the second set")
  if a:size(2) ~= b:size(2) then
    error(("%s: samples of %d and of %d numbers cannot be compared"):format(name, a:size(2),
      b:size(2)), 0)
  elseif #a < (least or 1) or #b < (least or 1) then
    error(("%s: needs %d samples of each at least, not %d and %d"):format(name, least or 1, #a, #b),
      0)
  end
  return a, b
end

--- f(...) without gradients, in a scope; errors that begin with the metric's name point at the line
-- that called it.
function common.metric(name, f)
  return function(...)
    local results = table.pack(pcall(gan.scope, gan.no_grad, f, ...))
    if not results[1] then
      local own = type(results[2]) == "string" and results[2]:sub(1, #name + 1) == name .. ":"
      error(results[2], own and 2 or 0)
    end
    return table.unpack(results, 2, results.n)
  end
end

--- Squared distances of the rows of a (n, d) from those of b (m, d): (n, m).
--
-- Products are fast, but lose small distances of large vectors: those of narrow rows, such as
-- points of the plane, are sums of squared differences.
function common.squared(a, b)
  local d = a:size(2)
  if d <= NARROW then
    local sum
    for k = 1, d do
      local part = (a:slice(2, k, k) - b:slice(2, k, k):t()):square()
      sum = sum and sum + part or part
    end
    return sum or gan.zeros(#a, #b)
  end
  local norms = b:square():sum(2):unsqueeze(1) + a:square():sum(2):unsqueeze(2)
  return (norms - a:matmul(b:t()) * 2):relu()
end

--- A bar over `total` parts; bar(i) after each, bar() takes it away.
function common.bar(label, total, quiet)
  if quiet or not gan.files.isatty(2) then
    return function() end
  end
  local bar = require("gan.train.progress").new{ total = total }
  return function(i)
    if i then
      bar:step(label, i, total, {})
    else
      bar.write "\r\27[K"
    end
  end
end

--- Calls f(first, last, block) for ranges of the rows of x that are small enough for `others`
-- columns of results each.
function common.blocks(label, x, others, quiet, f)
  local rows = math.max(1, BLOCK // math.max(others, 1))
  local total = (#x + rows - 1) // rows
  local bar = common.bar(label, total, quiet or total < 4)
  for i = 1, total do
    local first, last = (i - 1) * rows + 1, math.min(i * rows, #x)
    gan.scope(f, first, last, x:slice(1, first, last))
    bar(i)
  end
  bar()
end

--- Calls f with the generator begun anew from a seed; afterwards it is as it was.
function common.seeded(seed, f, ...)
  local before = gan.rng_state()
  local _ <close> = setmetatable({}, { __close = function() gan.set_rng_state(before) end })
  gan.manual_seed(seed)
  return (function(...) return ... end)(f(...))
end

--- The middle of the values of a tensor, the lower of two.
function common.median(x)
  local flat = x:flatten():sort()
  return flat[(flat:numel() + 1) // 2]:item()
end

return common
