--- Normalisations in ONNX: evaluation's form.

local graph = require "gan.onnx.graph"

local ops = {}

local function axis_of(d, n)
  return d > 0 and d - 1 or n + d
end

local function mean(g, x, axes)
  return g:node("ReduceMean", { x }, { axes = axes, keepdims = 1 })
end

--- (x - mean) / sqrt(biased variance + eps) over the axes.
local function standardise(g, x, axes, eps)
  local away = g:node("Sub", { x, mean(g, x, axes) })
  local variance = mean(g, g:node("Mul", { away, away }), axes)
  local root = g:node("Sqrt", { g:node("Add", { variance, g:floats(eps) }) })
  return g:node("Div", { away, root })
end

--- x * weight + bias, both values with one number for each channel, or nil.
local function affine(g, x, a, sizes)
  local y = x
  if a.weight then
    y = g:node("Mul", { y, g:reshape(g:use(a.weight), sizes) })
  end
  return a.bias and g:node("Add", { y, g:reshape(g:use(a.bias), sizes) }) or y
end

--- Sizes that put channels beside dimension 2 of x.
local function beside_channels(x)
  local sizes = { x.shape[2] }
  for d = 3, #x.shape do
    sizes[d - 1] = 1
  end
  return sizes
end

--- n numbers alike, as a constant.
local function repeated(g, v, n)
  local list = {}
  for i = 1, n do
    list[i] = v
  end
  return g:floats(list)
end

local function batch_norm(g, a)
  local x, channels = g:use(a.x), a.x.shape[2]
  if not a.training and a.running_mean and a.running_var then
    return g:node("BatchNormalization", { x,
      a.weight and g:use(a.weight) or repeated(g, 1, channels),
      a.bias and g:use(a.bias) or repeated(g, 0, channels),
      g:use(a.running_mean), g:use(a.running_var) }, { epsilon = a.eps })
  end
  if a.running_mean then
    g:fail "it is in training mode"
  end
  local axes = { 0 } -- the statistics of the batch itself
  for d = 3, #a.x.shape do
    axes[d - 1] = d - 1
  end
  return affine(g, standardise(g, x, axes, a.eps), a, beside_channels(a.x))
end

function ops.batch_norm(g, a)
  local y = batch_norm(g, a)
  if a.activation == "relu" then
    return g:node("Relu", { y })
  elseif a.activation == "leaky_relu" then
    return g:node("LeakyRelu", { y }, { alpha = a.slope })
  end
  return y
end

function ops.instance_norm(g, a)
  local channels = a.x.shape[2]
  return g:node("InstanceNormalization", { g:use(a.x),
    a.weight and g:use(a.weight) or repeated(g, 1, channels),
    a.bias and g:use(a.bias) or repeated(g, 0, channels) }, { epsilon = a.eps })
end

function ops.layer_norm(g, a)
  local n, axes, sizes = #a.x.shape, {}, {}
  local last = a.ndim or a.weight and #a.weight.shape or 1
  for d = 1, last do
    axes[d], sizes[d] = n - last + d - 1, a.x.shape[n - last + d]
  end
  return affine(g, standardise(g, g:use(a.x), axes, a.eps), a, sizes)
end

--- The groups become the channels of an instance normalisation.
function ops.group_norm(g, a)
  local s, t = a.x.shape, a.x.shape2
  local function grouped(sizes)
    local n = 1
    for d = 2, #sizes do
      n = n * sizes[d]
    end
    return { sizes[1], a.groups, n // a.groups }
  end
  local x = g:reshape(g:use(a.x), grouped(s), grouped(t))
  x = g:node("InstanceNormalization", { x, repeated(g, 1, a.groups), repeated(g, 0, a.groups) },
    { epsilon = a.eps })
  return affine(g, g:reshape(x, a.x), a, beside_channels(a.x))
end

--- x / sqrt(mean over channels of x^2 + eps)
function ops.pixel_norm(g, a)
  local x = g:use(a.x)
  local square = mean(g, g:node("Mul", { x, x }), { 1 })
  return g:node("Div", { x, g:node("Sqrt", { g:node("Add", { square, g:floats(a.eps) }) }) })
end

--- x / max(|x|, eps)
function ops.l2_normalize(g, a)
  local x = g:use(a.x)
  local length = g:node("ReduceL2", { x },
    { axes = { axis_of(a.dim, #a.x.shape) }, keepdims = 1 })
  return g:node("Div", { x, g:node("Max", { length, g:floats(a.eps) }) })
end

--- ONNX's window begins elsewhere when its size is even, and runtimes take images alone; otherwise
-- the neighbours are added up.
function ops.local_response_norm(g, a)
  local x = g:use(a.x)
  if a.size % 2 == 1 and #a.x.shape == 4 then
    return g:node("LRN", { x }, { size = a.size, alpha = a.alpha, beta = a.beta, bias = a.k })
  end
  for _, d in ipairs(graph.varying_dims(a.x)) do
    if d == 2 then
      g:fail "the number of channels depends on the batch"
    end
  end
  local pads = {}
  for d = 1, 2 * #a.x.shape do
    pads[d] = 0
  end
  pads[2], pads[#a.x.shape + 2] = a.size // 2, a.size - 1 - a.size // 2
  local squares = g:node("Pad", { g:node("Mul", { x, x }), g:ints(pads) })
  local sum
  for i = 0, a.size - 1 do
    local part = g:node("Slice", { squares, g:ints{ i }, g:ints{ i + a.x.shape[2] },
      g:ints{ 1 } })
    sum = sum and g:node("Add", { sum, part }) or part
  end
  local scaled = g:node("Mul", { sum, g:floats(a.alpha / a.size) })
  local base = g:node("Add", { scaled, g:floats(a.k) })
  return g:node("Div", { x, g:node("Pow", { base, g:floats(a.beta) }) })
end

return ops
