--- gan.nn.init: starting values of weights. Each function changes its tensor in place, records no
-- gradient, and returns the tensor.
--
-- For a weight of sizes (out, in, k...), fan_in = in * k... and fan_out = out * k...; transposed
-- convolutions keep (in, out, k...), where the two names change places (as in PyTorch).

local gan = require "gan"
local options = require "gan.options"

local weights = {}

--- fan_in, fan_out of a weight with at least two dimensions.
function weights.fans(w)
  local shape = w:shape()
  if #shape < 2 then
    error("nn.init: fan_in and fan_out need a tensor of 2 or more dimensions", 3)
  end
  local field = 1
  for i = 3, #shape do
    field = field * shape[i]
  end
  return shape[2] * field, shape[1] * field
end

local function in_place(t, op, ...)
  gan.no_grad(gan[op], t, ...)
  return t
end

--- Uniform in [lo, hi), default [0, 1).
function weights.uniform_(t, lo, hi)
  return in_place(t, "uniform_", lo or 0, hi or 1)
end

--- Normal with this mean and standard deviation, default 0 and 1.
function weights.normal_(t, mean, std)
  return in_place(t, "normal_", mean or 0, std or 1)
end

--- All elements the same.
function weights.constant_(t, value)
  return in_place(t, "fill_", value)
end

--- All zero.
function weights.zeros_(t)
  return weights.constant_(t, 0)
end

--- All one.
function weights.ones_(t)
  return weights.constant_(t, 1)
end

local gains = { linear = 1, conv = 1, sigmoid = 1, tanh = 5 / 3, relu = math.sqrt(2), selu = 3 / 4 }

--- The gain recommended before this nonlinearity: "linear", "sigmoid", "tanh", "relu", "selu" or
-- "leaky_relu" (whose slope is `a`).
function weights.gain(nonlinearity, a)
  if nonlinearity == "leaky_relu" then
    return math.sqrt(2 / (1 + (a or 0.01) ^ 2))
  end
  local names = { "leaky_relu" }
  for name in pairs(gains) do
    names[#names + 1] = name
  end
  return gains[nonlinearity] or error(("nn.init: unknown nonlinearity '%s'%s"):format(
    tostring(nonlinearity), options.hint(nonlinearity, names)), 2)
end

--- Glorot and Bengio 2010: uniform with variance gain^2 * 2 / (fan_in + fan_out).
function weights.xavier_uniform_(t, gain)
  local fan_in, fan_out = weights.fans(t)
  local bound = (gain or 1) * math.sqrt(6 / (fan_in + fan_out))
  return weights.uniform_(t, -bound, bound)
end

--- Glorot and Bengio 2010: normal with variance gain^2 * 2 / (fan_in + fan_out).
function weights.xavier_normal_(t, gain)
  local fan_in, fan_out = weights.fans(t)
  return weights.normal_(t, 0, (gain or 1) * math.sqrt(2 / (fan_in + fan_out)))
end

local function kaiming_std(t, given)
  local o = options.check("kaiming", given or {},
    "; a:number=0 mode:fan_in|fan_out=fan_in nonlinearity:text=leaky_relu", 4)
  local fan_in, fan_out = weights.fans(t)
  local gain = weights.gain(o.nonlinearity, o.a)
  return gain / math.sqrt(o.mode == "fan_in" and fan_in or fan_out)
end

--- He et al. 2015: uniform with variance gain^2 / fan. Options: a = 0 (slope of the leaky
-- rectifier), mode = "fan_in" or "fan_out", nonlinearity = "leaky_relu".
function weights.kaiming_uniform_(t, given)
  local bound = math.sqrt(3) * kaiming_std(t, given)
  return weights.uniform_(t, -bound, bound)
end

--- He et al. 2015: normal with variance gain^2 / fan; options as above.
function weights.kaiming_normal_(t, given)
  return weights.normal_(t, 0, kaiming_std(t, given))
end

--- Rows made orthonormal one after another. The projection runs twice, which keeps them
-- orthogonal to rounding even when a row is nearly dependent on those above it.
local function orthonormal_rows(m)
  local rows = { m[1] / m[1]:norm() }
  for i = 2, m:size(1) do
    local q, v = gan.stack(rows), m[i]
    for _ = 1, 2 do
      v = v - q:permute(2, 1):matmul(q:matmul(v))
    end
    rows[i] = v / v:norm()
  end
  return gan.stack(rows)
end

--- Saxe et al. 2013: a (semi-)orthogonal matrix times `gain`; dimensions after the first count as
-- columns.
function weights.orthogonal_(t, gain)
  local rows = t:size(1)
  local columns = t:numel() // math.max(rows, 1)
  if t:numel() == 0 then
    return t
  end
  gan.no_grad(gan.scope, function()
    local tall = rows > columns
    local m = tall and gan.randn(columns, rows) or gan.randn(rows, columns)
    local q = orthonormal_rows(m) * (gain or 1)
    t:copy_((tall and q:permute(2, 1) or q):reshape(t:shape()))
  end)
  return t
end

--- The start of Radford et al. 2016 for a whole model: weights of convolutions, transposed
-- convolutions and linear layers N(0, 0.02), of batch normalisations N(1, 0.02), biases of the
-- latter 0. Returns the model.
function weights.dcgan_(model)
  return model:apply(function(m)
    local kind = m:kind()
    if not m.weight then
      return
    elseif kind:find "^Conv" or kind == "Linear" then
      weights.normal_(m.weight, 0, 0.02)
    elseif kind:find "^BatchNorm" then
      weights.normal_(m.weight, 1, 0.02)
      weights.zeros_(m.bias)
    end
  end)
end

--- PyTorch's start of linear and convolutional layers: weight and bias uniform in
-- +-1/sqrt(fan_in), which is kaiming_uniform_ with a = sqrt(5).
function weights.default_(weight, bias)
  local fan_in = weights.fans(weight)
  local bound = fan_in > 0 and 1 / math.sqrt(fan_in) or 0
  weights.uniform_(weight, -bound, bound)
  if bias then
    weights.uniform_(bias, -bound, bound)
  end
end

return weights
