--- The best linear methods, which auto-encoders are measured against: principal components, and the
-- linear map of least squares. Both are closed forms, computed by the runtime.

local gan = require "gan"
local options = require "gan.options"
local matrix = require "gan.metrics.matrix"

local linear = {}

local ROWS = 8192 -- that are converted and multiplied at once

--- Rows first..last of a table (N, ...), as (n, d) of the compute type; bytes become 0..1.
local function rows(x, first, last)
  local part = x:slice(1, first, last)
  if part:dtype() ~= gan.config.real then
    part = part:to(gan.config.real) / (part:dtype() == "uint8" and 255 or 1)
  end
  return part:flatten(2)
end

--- Calls f(part, first) for pieces of the rows of x, each in a scope.
local function each_part(x, f)
  for first = 1, #x, ROWS do
    gan.scope(gan.no_grad, function()
      f(rows(x, first, math.min(first + ROWS - 1, #x)), first)
    end)
  end
end

local function check_table(name, x)
  if not gan.is_tensor(x) or x:dim() < 2 or x:numel() == 0 then
    error(("metrics.%s: takes a tensor (N, ...) that is not empty, not %s"):format(name,
      gan.is_tensor(x) and "(" .. table.concat(x:shape(), " x ") .. ")" or type(x)), 3)
  end
end

local function width(x)
  return x:numel() // #x
end

local function mean_of(x)
  local sum = gan.zeros(width(x))
  each_part(x, function(part)
    gan.add_(sum, part:sum{ 1 })
  end)
  return sum / #x
end

--- The covariance (d, d) of rows of x around its mean, divided by N.
local function covariance(x, mean)
  local sum = gan.zeros(width(x), width(x))
  each_part(x, function(part)
    local centred = part - mean
    gan.add_(sum, gan.matmul(centred:t(), centred))
  end)
  return sum / #x
end

-- ---- principal components ---------------------------------------------------------------------

--- Columns (d, m) that span the same space as z, orthonormal: z L^-T with L L^T = z^T z.
local function orthonormal(z)
  z = z / z:square():sum({ 1 }, { keepdim = true }):sqrt()
  local l = matrix.cholesky(gan.matmul(z:t(), z):totable())
  if not l then
    return nil
  end
  return gan.matmul(z, gan.tensor(matrix.invert_lower(l)):t())
end

--- The k largest eigenvalues (a list) and eigenvectors (d, k) of a symmetric positive semidefinite
-- matrix (d, d), by subspace iteration with a few vectors more, and a Rayleigh-Ritz step. Columns
-- beyond the matrix's rank are any that complete the basis.
local function leading(c, k)
  local d = #c
  local m = math.min(d, k + 16)
  local jitter = gan.eye(d) * (1e-7 * (c * gan.eye(d)):sum():item() / d + 1e-30)
  c = c + jitter -- no vector is sent to zero
  local q = orthonormal(gan.randn(d, m))
  for step = 1, 200 do
    local before = q
    local after = orthonormal(gan.matmul(c, q))
    if not after then
      break
    end
    q = after
    if step % 10 == 0 then -- the cosines between the old space and the new
      local inside = gan.matmul(before:slice(2, 1, math.min(k, m)):t(), q):square():sum():item()
      if inside > k * (1 - 1e-7) then
        break
      end
    end
  end
  local rising, vectors = gan.eigh(gan.matmul(gan.matmul(q:t(), c), q))
  local values = rising:flip(1):slice(1, 1, k):relu()
  return values:totable(), gan.matmul(q, vectors:flip(2):slice(2, 1, k))
end

local PCA = {}
PCA.__index = PCA
PCA.__name = "metrics.pca"

--- Principal components of the rows of x: metrics.pca(x, k). x (N, ...), uint8 (as 0..1) or of the
-- compute type; k at most the elements of a row, and made for up to a hundred: the cost of its
-- small matrices grows with the cube of k. The result has
--   mean        (d)                  components  (d, k), orthonormal, largest first
--   variances   list of k            total       the variance of all d directions
--   :encode(x) -> (n, k)             :decode(codes) -> (n, d)
--   :error(x)   the mean over rows of the sum of the squared errors
--   :log_likelihood(x)  of probabilistic PCA, nats a row (Tipping and Bishop 1999)
-- The random start of the iteration has its own seed, and leaves the generator as it was.
function linear.pca(x, k)
  check_table("pca", x)
  if math.type(k) ~= "integer" or k < 1 or k > width(x) then
    error(("metrics.pca: %s components of %d"):format(tostring(k), width(x)), 2)
  end
  local state = gan.rng_state()
  local _ <close> = setmetatable({}, { __close = function() gan.set_rng_state(state) end })
  gan.manual_seed(1)
  local mean, components, variances, total = gan.scope(gan.no_grad, function()
    local mean = mean_of(x)
    local c = covariance(x, mean)
    local values, vectors = leading(c, k)
    return mean, vectors, values, (c * gan.eye(#c)):sum():item()
  end)
  return setmetatable({ mean = mean, components = components, variances = variances,
    total = total }, PCA)
end

--- The codes (n, k) of rows.
function PCA:encode(x)
  return gan.matmul(rows(x, 1, #x) - self.mean, self.components)
end

--- The rows (n, d) of codes.
function PCA:decode(codes)
  return gan.matmul(codes, self.components:t()) + self.mean
end

--- The mean over rows of x of the sum over their elements of the squared error.
function PCA:error(x)
  local sum = 0
  each_part(x, function(part)
    sum = sum + gan.mse_loss(self:decode(self:encode(part)), part, { reduction = "sum" }):item()
  end)
  return sum / #x
end

--- The mean of ln p(x) under x = mean + W z + noise, z from N(0, 1), with the W and the noise of
-- greatest likelihood: noise variance s = (total - sum of the k variances) / (d - k).
function PCA:log_likelihood(x)
  local k, d = #self.variances, #self.mean
  local rest, log_det = self.total, 0
  for _, v in ipairs(self.variances) do
    rest, log_det = rest - v, log_det + math.log(v)
  end
  local s = rest / (d - k)
  local inside, outside = 0, 0 -- |.|^2 within the components, in their deviations, and beside them
  each_part(x, function(part)
    local codes = self:encode(part)
    inside = inside + (codes:square() / gan.tensor(self.variances)):sum():item()
    outside = outside + (part - self.mean):square():sum():item() - codes:square():sum():item()
  end)
  return -0.5 * (d * math.log(2 * math.pi) + log_det + (d - k) * math.log(s)
    + inside / #x + outside / s / #x)
end

-- ---- least squares ----------------------------------------------------------------------------

--- Solves a X = b for a symmetric positive definite a (d, d) and b (d, m), all columns at once, by
-- conjugate gradients with a's diagonal as preconditioner.
local function solve(a, b, tolerance)
  local scale = 1 / (a * gan.eye(#a)):sum({ 2 }, { keepdim = true })
  local x, r = gan.zeros(b:shape()), b
  local z = r * scale
  local p, rz = z, (r * z):sum({ 1 }, { keepdim = true })
  local goal = tolerance ^ 2 * b:square():sum():item()
  for _ = 1, 4 * #a do
    local ap = gan.matmul(a, p)
    local curvature = (p * ap):sum({ 1 }, { keepdim = true })
    local alpha = rz / (curvature + 1e-30)
    x, r = x + p * alpha, r - ap * alpha
    if r:square():sum():item() <= goal then
      break
    end
    z = r * scale
    local next_rz = (r * z):sum({ 1 }, { keepdim = true })
    p, rz = z + p * (next_rz / (rz + 1e-30)), next_rz
  end
  return x
end

--- The affine map from rows of x to rows of y of least squares: metrics.linear_map(x, y,
-- {ridge=1e-4, repeats=1, change=}) -> function(x) -> y (n, ...), flattened to (n, d_y). With
-- `change`, a function of a piece of x (n, d) such as noise, the map is from change(x) to y, fitted
-- on `repeats` draws. ridge is a share of the mean variance, added to every variance.
function linear.linear_map(x, y, given)
  local o = options.check("metrics.linear_map", given or {}, "; ridge:number=1e-4 "
    .. "repeats:count=1 change:callable?")
  check_table("linear_map", x)
  check_table("linear_map", y)
  if #x ~= #y then
    error(("metrics.linear_map: %d rows of x and %d of y"):format(#x, #y), 2)
  end
  local weight, mean_x, mean_y = gan.scope(gan.no_grad, function()
    local my = mean_of(y)
    local mx, sxx, sxy, n
    for _ = 1, o.repeats do
      each_part(x, function(part, first)
        local target = rows(y, first, first + #part - 1) - my
        part = o.change and o.change(part) or part
        if not mx then -- near the mean: differences stay small
          mx = part:mean{ 1 }:keep()
          n, sxx = 0, gan.zeros(part:size(2), part:size(2)):keep()
          sxy = gan.zeros(part:size(2), target:size(2)):keep()
        end
        local one = gan.cat({ part - mx }, { dim = 2 })
        gan.add_(sxx, gan.matmul(one:t(), one))
        gan.add_(sxy, gan.matmul(one:t(), target))
        n = n + #part
      end)
    end
    sxx, sxy = sxx / n, sxy / n
    local trace = (sxx * gan.eye(#sxx)):sum():item()
    sxx = sxx + gan.eye(#sxx) * (o.ridge * trace / #sxx)
    return solve(sxx, sxy, 1e-5), mx, my
  end)
  return function(new)
    return gan.matmul(rows(new, 1, #new) - mean_x, weight) + mean_y
  end
end

return linear
