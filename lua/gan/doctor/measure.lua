--- What the doctor measures: samples of a fixed set of codes beside real samples.

local gan = require "gan"
local common = require "gan.metrics.common"

local measure = {}

local WIDE = 128  -- samples of more numbers are projected
local WIDTH = 64  -- to so many
local NEIGHBOUR = 5
local CLUSTERS = 16
local TOUCH = 1e-3 -- so near to a bound are saturated numbers
local MARGIN = 0.1 -- real numbers may lie so far beyond it
local SAME = 1e-5 -- of the mean distance: what rounding makes of copies that were projected

--- A fixed random projection of rows of `width` numbers, which keeps distances roughly; nil where
-- they are narrow.
function measure.projection(width)
  if width <= WIDE then
    return nil
  end
  return common.seeded(1, function()
    return gan.randn(width, WIDTH) * (1 / math.sqrt(WIDTH))
  end)
end

--- Samples as rows of moderate width.
function measure.rows(x, projection)
  x = x:detach()
  x = x:dim() > 2 and x:flatten(2) or x:dim() == 1 and x:unsqueeze(2) or x
  return projection and x:matmul(projection) or x
end

local function to_real(mask)
  return mask:to(gan.config.real)
end

--- Mean of the distances of all pairs, median of that of the nearest neighbours.
local function inner_distances(x)
  local n = #x
  x = x - x:mean({ 1 }, { keepdim = true }) -- smaller numbers, more digits of the distances
  local d = common.squared(x, x):sqrt() * (1 - gan.eye(n))
  local near = (d + gan.eye(n) * 1e30):amin{ 2 }
  return d:sum():item() / (n * (n - 1)), common.median(near)
end

--- (sum of the variances)^2 / sum of their squares along the main axes: how many directions the
-- rows fill.
local function effective_rank(x)
  local rest = x - x:mean({ 1 }, { keepdim = true })
  local gram = #x < x:size(2) and rest:matmul(rest:t()) or rest:t():matmul(rest)
  local total = rest:square():sum():item()
  local squares = gram:square():sum():item()
  return squares > 0 and total * total / squares or 0
end

--- Centres of clusters of the rows, by a few steps of Lloyd's from rows far apart.
local function clusters(x)
  local count = math.min(CLUSTERS, #x // 4)
  local centers = x:slice(1, 1, 1)
  for _ = 2, count do
    local far = common.squared(x, centers):amin{ 2 }:argmax()
    centers = gan.cat({ centers, x:index_select(far:reshape(1)) }, { dim = 1 })
  end
  for _ = 1, 8 do
    local own = gan.one_hot(common.squared(x, centers):argmin{ dim = 2 }, { classes = count })
    own = own:to(gan.config.real)
    local size = own:sum{ 1 }:unsqueeze(2)
    centers = gan.where(gan.gt(size, 0), own:t():matmul(x) / size:clamp{ min = 1 }, centers)
  end
  return centers
end

--- How many clusters the rows fall into: exp(entropy) of their shares.
local function clusters_in_use(x, centers)
  local place = common.squared(x, centers):argmin{ dim = 2 }
  local shares = (gan.zeros(#centers):index_add(place, gan.ones(#x)) / #x):totable()
  local entropy = 0
  for _, p in ipairs(shares) do
    entropy = entropy - (p > 0 and p * math.log(p) or 0)
  end
  return math.exp(entropy)
end

--- The squared radius of the ball of each row, which reaches to its fifth neighbour: (n, 1).
local function radii(x)
  local near = common.squared(x, x):topk(NEIGHBOUR + 1, 2, { largest = false })
  return near:slice(2, NEIGHBOUR + 1, NEIGHBOUR + 1)
end

--- From squared distances (real, fake): the share of fakes in the ball of a real one, the share of
-- balls with a fake inside.
local function precision_and_coverage(d, radius)
  local inside = to_real(gan.le(d, radius))
  return inside:amax{ 1 }:mean():item(), inside:amax{ 2 }:mean():item()
end

--- Energy distance of two sets, divided by the mean distance within the first: 0 for one and the
-- same distribution, 1 and more for sets that are apart.
local function gap(d, within_real, within_fake)
  local between = d:sqrt():mean():item()
  return (2 * between - within_real - within_fake) / math.max(within_real, 1e-30)
end

--- The share of rows that have a copy among the others. Products give the distances of copies only
-- roughly, so the nearest row is compared number by number.
local function repeated(x, pair)
  local d = common.squared(x, x) + gan.eye(#x) * 1e30
  local nearest = x:index_select(d:argmin{ dim = 2 })
  return to_real(gan.le((x - nearest):abs():amax{ 2 }, SAME * pair)):mean():item()
end

--- All that is to be known of the real samples (rows), once.
function measure.reference(x)
  local half = #x // 2
  local a, b = x:slice(1, 1, half), x:slice(1, half + 1, 2 * half)
  local ref = { rows = a:clone(), centers = clusters(x) }
  ref.pair, ref.near = inner_distances(a)
  ref.rank = effective_rank(x)
  ref.used = clusters_in_use(x, ref.centers)
  ref.radius = radii(a):clone():keep()
  ref.precision, ref.coverage = precision_and_coverage(common.squared(a, b), ref.radius)
  ref.copies = repeated(x, ref.pair)
  ref.rows:keep()
  ref.centers:keep()
  return ref
end

--- Fakes (rows) beside the reference, as numbers. All ratios are 1 for a perfect generator.
function measure.samples(fake, ref)
  local pair, near = inner_distances(fake)
  local d = common.squared(ref.rows, fake)
  local precision, coverage = precision_and_coverage(d, ref.radius)
  local used = clusters_in_use(fake, ref.centers)
  return {
    pair = pair / math.max(ref.pair, 1e-30),
    near = near / math.max(ref.near, 1e-6 * ref.pair, 1e-30),
    rank = effective_rank(fake), precision = precision / math.max(ref.precision, 1e-3),
    coverage = coverage / math.max(ref.coverage, 1e-3), used = used / ref.used,
    gap = gap(d, ref.pair, pair),
  }
end

--- Where G's last layer bounds its samples: their extremes, and the share of real numbers beyond
-- a bound that they touch. Tanh, sigmoid and ReLU end at -1, 0 and 1.
function measure.bounds(real, fake)
  local low, high = fake:amin():item(), fake:amax():item()
  local beyond = 0
  if high <= 1 and high > 1 - TOUCH then
    beyond = to_real(gan.gt(real, 1 + MARGIN)):mean():item()
  end
  if low >= 0 and low < TOUCH or low >= -1 and low < -1 + TOUCH then
    beyond = beyond + to_real(gan.lt(real, low - MARGIN)):mean():item()
  end
  return { low = low, high = high, beyond = beyond }
end

--- The share of fakes that are copies: four times nearer to a row of the bank than that row is to
-- any other. Of new samples of one distribution that are a fifth at most (on a line, where the two
-- distances have the same exponential distribution: 0.25 / 1.25), in more dimensions next to none.
function measure.copies(fake, bank)
  local near, place = common.squared(fake, bank):min_dim(2)
  local d = common.squared(bank:index_select(place), bank):sqrt()
  -- and copies of it; products lose half the digits of distances (see common.squared)
  local itself = gan.le(d, (bank:size(2) > 16 and 5e-3 or SAME) * d:mean():item())
  local usual = (d + to_real(itself) * 1e30):amin{ 2 }
  usual = gan.where(gan.lt(usual, 1e29), usual, gan.zeros_like(usual)) -- there is no other
  return to_real(gan.lt(near:sqrt(), usual * 0.25)):mean():item()
end

--- How far the samples of the same codes have gone from one check to another: the mean, divided by
-- the mean distance of real samples.
function measure.way(from, to, ref)
  return (to - from):square():sum(2):sqrt():mean():item() / math.max(ref.pair, 1e-30)
end

--- What D says of real and of generated samples: the share of pairs in the right order, means,
-- spread.
function measure.scores(real, fake)
  real, fake = real:detach():flatten(), fake:detach():flatten()
  local right = to_real(gan.gt(real:unsqueeze(2), fake:unsqueeze(1))):mean():item()
  local ties = to_real(gan.eq(real:unsqueeze(2), fake:unsqueeze(1))):mean():item()
  local all = gan.cat{ real, fake }
  return {
    order = right + ties / 2, real = real:mean():item(), fake = fake:mean():item(),
    size = all:abs():amax():item(), low = all:amin():item(), high = all:amax():item(),
    cross_entropy = -(real:logsigmoid():mean() + (-fake):logsigmoid():mean()):item(),
  }
end

--- Root of the mean square of all elements of a list of tensors; nil for none.
function measure.size(list)
  local norms, count = {}, 0
  for i, t in ipairs(list) do
    norms[i], count = t:detach():norm(), count + t:numel()
  end
  return count > 0 and gan.stack(norms):norm():item() / math.sqrt(count) or nil
end

--- The norm of the difference of tensors from the copies from place `first` on, divided by that of
-- the copies.
function measure.change(list, copies, first)
  local differences, sizes = {}, {}
  for i, t in ipairs(list) do
    local before = copies[first + i - 1]
    differences[i], sizes[i] = (t:detach() - before):norm(), before:norm()
  end
  return gan.stack(differences):norm():item() / math.max(gan.stack(sizes):norm():item(), 1e-30)
end

--- The root mean square of the gradients that the last step left; nil where it left none.
function measure.gradient(params)
  local grads = {}
  for _, p in ipairs(params) do
    grads[#grads + 1] = p:grad()
  end
  return measure.size(grads)
end

return measure
