--- Distances of features: what a net makes of images.

local gan = require "gan"
local options = require "gan.options"
local common = require "gan.metrics.common"
local module = require "gan.nn.module"

local features = {}

--- Runs a net over images in batches, in evaluation, and gathers f(output).
local function run(name, net, images, o, f)
  if type(images) ~= "table" and (not gan.is_tensor(images) or images:dim() == 0) then
    error(name .. ": images must be a tensor (N, ...) or a source", 0)
  end
  local batches <close> = gan.data.batches{ images, batch_size = o.batch_size,
    range = o.range or { -1, 1 } }
  local parts, bar = {}, common.bar(o.label, #batches, o.quiet)
  local model = module.is_module(net) and net.training and net
  local _ <close> = setmetatable({}, { __close = function()
    if model then
      model:train()
    end
  end })
  if model then
    model:eval()
  end
  for batch in batches do
    parts[#parts + 1] = gan.scope(f, batch)
    bar(#parts)
  end
  bar()
  return #parts == 1 and parts[1] or gan.cat(parts, { dim = 1 })
end

local spec = "; batch_size:count=250 range:list? quiet:bool=false"

--- metrics.features(net, images, {batch_size=250, range={-1, 1}, quiet=false}) -> (N, F)
--
-- net(images) for all images, flattened. Bytes become numbers of `range` first. A model is run in
-- evaluation, and trains on afterwards; any function will do.
features.features = common.metric("metrics.features", function(net, images, given)
  local o = options.check("metrics.features", given or {}, spec)
  o.label = "features"
  return run("metrics.features", net, images, o, function(x) return net(x):flatten(2) end)
end)

--- metrics.classify(net, images, {batch_size=, range=, quiet=}) -> labels (N) int64 from 1,
-- probabilities (N, K). The net gives logits (N, K).
features.classify = common.metric("metrics.classify", function(net, images, given)
  local o = options.check("metrics.classify", given or {}, spec)
  o.label = "classes"
  local p = run("metrics.classify", net, images, o, function(x) return net(x):softmax(2) end)
  return p:argmax{ dim = 2 }, p
end)

--- Mean (F) and covariance (F, F), unbiased.
local function moments(x)
  local mean = x:mean{ 1 }
  local rest = x - mean
  return mean, rest:t():matmul(rest) / (#x - 1)
end

--- The symmetric root of a covariance: what rounding made negative counts as 0.
local function root(c)
  local values, vectors = c:eigh()
  return (vectors * values:relu():sqrt()):matmul(vectors:t())
end

--- The sum of the singular values of a square matrix m. They are the positive eigenvalues of
-- {{0, m}, {m', 0}}: those of m' m would lose half of the digits.
local function nuclear_norm(m)
  local zero = gan.zeros_like(m)
  local both = gan.cat({ gan.cat({ zero, m }, { dim = 2 }), gan.cat({ m:t(), zero }, { dim = 2 }) },
    { dim = 1 })
  return both:eigh():relu():sum():item()
end

--- metrics.frechet(a, b): the Frechet distance of two sets of features (N, F), taken as Gaussians
-- (Dowson and Landau 1982; Heusel et al. 2017 on Inception features, which these are not):
-- |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)). The trace of the last root is the sum of the
-- singular values of C1^(1/2) C2^(1/2). Depends on the number of samples: compare equal ones.
features.frechet = common.metric("metrics.frechet", function(a, b)
  a, b = common.pair("metrics.frechet", a, b, 2)
  local mean_a, cov_a = moments(a)
  local mean_b, cov_b = moments(b)
  local trace = ((cov_a + cov_b) * gan.eye(a:size(2))):sum():item()
  local cross = nuclear_norm(root(cov_a):matmul(root(cov_b)))
  return math.max(0, (mean_a - mean_b):square():sum():item() + trace - 2 * cross)
end)

--- Unbiased estimate of the squared distance of the means in the space of (x . y / F + 1)^3.
local function mmd(a, b)
  local n, m, width = #a, #b, a:size(2)
  local function kernel(x, y)
    return (x:matmul(y:t()) / width + 1):pow_scalar(3)
  end
  local function within(x, count)
    local k = kernel(x, x)
    return (k:sum():item() - (k * gan.eye(count)):sum():item()) / (count * (count - 1))
  end
  return within(a, n) + within(b, m) - 2 * kernel(a, b):mean():item()
end

--- metrics.kid(a, b, {subset=1000, subsets=20, seed=1, quiet=false}) -> mean, standard deviation
--
-- Kernel distance of two sets of features (Binkowski et al. 2018): the unbiased squared maximum
-- mean discrepancy with the kernel (x . y / F + 1)^3, over random subsets of at most so many
-- samples. It may be negative, and does not depend on the number of samples.
features.kid = common.metric("metrics.kid", function(a, b, given)
  local o = options.check("metrics.kid", given or {},
    "; subset:count=1000 subsets:count=20 seed:int=1 quiet:bool=false")
  a, b = common.pair("metrics.kid", a, b, 2)
  local n, m = math.min(o.subset, #a), math.min(o.subset, #b)
  if n < 2 or m < 2 then
    error("metrics.kid: a subset needs 2 samples", 0)
  end
  local bar = common.bar("kernel distance", o.subsets, o.quiet)
  return common.seeded(o.seed, function()
    local sum, squares = 0, 0
    for i = 1, o.subsets do
      local v = gan.scope(function()
        return mmd(a:index_select(gan.randperm(#a):slice(1, 1, n)),
          b:index_select(gan.randperm(#b):slice(1, 1, m)))
      end)
      sum, squares = sum + v, squares + v * v
      bar(i)
    end
    bar()
    local mean = sum / o.subsets
    return mean, math.sqrt(math.max(0, squares / o.subsets - mean * mean))
  end)
end)

return features
