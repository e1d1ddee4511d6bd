--- Elementwise ops in ONNX. A handler is f(graph, arguments, record) -> names of the results.

local proto = require "gan.onnx.proto"

local ops = {}

-- ---- by the same name ---------------------------------------------------------------------

for op, onnx in pairs{
  neg = "Neg", abs = "Abs", sign = "Sign", exp = "Exp", log = "Log", sqrt = "Sqrt",
  reciprocal = "Reciprocal", sin = "Sin", cos = "Cos", tan = "Tan", sinh = "Sinh", cosh = "Cosh",
  asin = "Asin", acos = "Acos", atan = "Atan", erf = "Erf", floor = "Floor", ceil = "Ceil",
  round = "Round", tanh = "Tanh", sigmoid = "Sigmoid", relu = "Relu", softsign = "Softsign",
  neg_ = "Neg", relu_ = "Relu",
} do
  ops[op] = function(g, a)
    return g:node(onnx, { g:use(a.x) })
  end
end

-- ---- two operands -------------------------------------------------------------------------

--- An operand, which may be a number.
local function operand(g, v, dtype)
  return type(v) == "number" and g:number(v, dtype) or g:use(v)
end

for op, onnx in pairs{ add = "Add", sub = "Sub", mul = "Mul", div = "Div", pow = "Pow",
  maximum = "Max", minimum = "Min" } do
  ops[op] = function(g, a)
    return g:node(onnx, { operand(g, a.a), operand(g, a.b) })
  end
end

function ops.add_(g, a)
  local b = operand(g, a.b)
  if a.alpha and a.alpha ~= 1 then
    b = g:node("Mul", { b, g:floats(a.alpha) })
  end
  return g:node("Add", { g:use(a.x), b })
end

function ops.sub_(g, a)
  return ops.add_(g, { x = a.x, b = a.b, alpha = -(a.alpha or 1) })
end

function ops.mul_(g, a) return g:node("Mul", { g:use(a.x), operand(g, a.b) }) end
function ops.div_(g, a) return g:node("Div", { g:use(a.x), operand(g, a.b) }) end

function ops.add_scalar(g, a) return g:node("Add", { g:use(a.x), g:floats(a.value) }) end
function ops.mul_scalar(g, a) return g:node("Mul", { g:use(a.x), g:floats(a.value) }) end
function ops.pow_scalar(g, a) return g:node("Pow", { g:use(a.x), g:floats(a.exponent) }) end

-- ---- comparisons and truth ----------------------------------------------------------------

--- A result that is true or false: the type that Lua sees, and the truth for those who want it.
local function truth(g, x, out)
  out.truth = x
  return g:cast(x, out.dtype)
end

--- Both operands in a type that ONNX can compare.
local function comparable(g, a)
  local dtype = (type(a.a) == "number" and a.b or a.a).dtype
  if dtype ~= "uint8" then
    return operand(g, a.a, dtype), operand(g, a.b, dtype)
  end
  local function wide(v)
    return type(v) == "number" and g:floats(v) or g:cast(g:use(v), "float32")
  end
  return wide(a.a), wide(a.b)
end

for op, onnx in pairs{ eq = "Equal", lt = "Less", le = "LessOrEqual", gt = "Greater",
  ge = "GreaterOrEqual" } do
  ops[op] = function(g, a, r)
    return truth(g, g:node(onnx, { comparable(g, a) }), r.outs[1])
  end
end

function ops.ne(g, a, r)
  local equal = g:node("Equal", { comparable(g, a) })
  return truth(g, g:node("Not", { equal }), r.outs[1])
end

local function truth_of(g, v)
  if type(v) == "number" then
    return g:node("Cast", { g:floats(v) }, { to = proto.types.bool })
  end
  return g:truth(v)
end

for op, onnx in pairs{ logical_and = "And", logical_or = "Or", logical_xor = "Xor" } do
  ops[op] = function(g, a, r)
    return truth(g, g:node(onnx, { truth_of(g, a.a), truth_of(g, a.b) }), r.outs[1])
  end
end

function ops.logical_not(g, a, r)
  return truth(g, g:node("Not", { g:truth(a.x) }), r.outs[1])
end

function ops.isnan(g, a, r)
  return truth(g, g:node("IsNaN", { g:use(a.x) }), r.outs[1])
end

ops["where"] = function(g, a)
  return g:node("Where", { g:truth(a.cond), operand(g, a.a), operand(g, a.b) })
end

function ops.masked_fill(g, a)
  return g:node("Where", { g:truth(a.mask), g:floats(a.value), g:use(a.x) })
end

-- ---- composed -----------------------------------------------------------------------------

function ops.lerp(g, a)
  local from = g:use(a.a or a.x)
  local way = g:node("Sub", { g:use(a.b), from })
  return g:node("Add", { from, g:node("Mul", { way, operand(g, a.weight) }) })
end
ops.lerp_ = ops.lerp

function ops.addcmul(g, a)
  local product = g:node("Mul", { g:use(a.a), g:use(a.b) })
  if a.value ~= 1 then
    product = g:node("Mul", { product, g:floats(a.value) })
  end
  return g:node("Add", { g:use(a.x), product })
end
ops.addcmul_ = ops.addcmul

function ops.log1p(g, a)
  return g:node("Log", { g:node("Add", { g:use(a.x), g:floats(1) }) })
end

function ops.expm1(g, a)
  return g:node("Sub", { g:node("Exp", { g:use(a.x) }), g:floats(1) })
end

function ops.rsqrt(g, a)
  return g:node("Reciprocal", { g:node("Sqrt", { g:use(a.x) }) })
end

function ops.square(g, a)
  return g:node("Mul", { g:use(a.x), g:use(a.x) })
end

function ops.trunc(g, a)
  local x = g:use(a.x)
  local size = g:node("Floor", { g:node("Abs", { x }) })
  return g:node("Mul", { g:node("Sign", { x }), size })
end

-- ---- activations --------------------------------------------------------------------------

function ops.leaky_relu(g, a)
  return g:node("LeakyRelu", { g:use(a.x) }, { alpha = a.slope })
end

--- x limited to low..high; nil: no limit.
local function clip(g, x, low, high)
  return g:node("Clip", { x, low and g:floats(low) or false, high and g:floats(high) })
end

function ops.clamp(g, a) return clip(g, g:use(a.x), a.min, a.max) end
ops.clamp_ = ops.clamp
ops.hardtanh = ops.clamp
function ops.relu6(g, a) return clip(g, g:use(a.x), 0, 6) end

function ops.elu(g, a)
  return g:node("Elu", { g:use(a.x) }, { alpha = a.alpha })
end

--- alpha elu(x / alpha)
function ops.celu(g, a)
  local y = g:node("Elu", { g:node("Div", { g:use(a.x), g:floats(a.alpha) }) }, { alpha = 1.0 })
  return g:node("Mul", { y, g:floats(a.alpha) })
end

function ops.selu(g, a)
  return g:node("Selu", { g:use(a.x) },
    { alpha = 1.6732632423543772, gamma = 1.0507009873554805 })
end

function ops.gelu(g, a)
  local inner
  local x = g:use(a.x)
  if a.approximate == "none" then
    inner = g:node("Erf", { g:node("Mul", { x, g:floats(math.sqrt(0.5)) }) })
  else
    local cube = g:node("Mul", { g:node("Mul", { x, x }), x })
    inner = g:node("Add", { x, g:node("Mul", { cube, g:floats(0.044715) }) })
    inner = g:node("Tanh", { g:node("Mul", { inner, g:floats(math.sqrt(2 / math.pi)) }) })
  end
  local half = g:node("Mul", { x, g:floats(0.5) })
  return g:node("Mul", { half, g:node("Add", { inner, g:floats(1) }) })
end

function ops.silu(g, a)
  local x = g:use(a.x)
  return g:node("Mul", { x, g:node("Sigmoid", { x }) })
end

function ops.mish(g, a)
  local x = g:use(a.x)
  return g:node("Mul", { x, g:node("Tanh", { g:node("Softplus", { x }) }) })
end

function ops.softplus(g, a)
  local x = g:use(a.x)
  local scaled = a.beta == 1 and x or g:node("Mul", { x, g:floats(a.beta) })
  local y = g:node("Softplus", { scaled })
  if a.beta ~= 1 then
    y = g:node("Div", { y, g:floats(a.beta) })
  end
  if a.threshold < 15 then -- above, the difference to the line is smaller than float32 shows
    y = g:node("Where", { g:node("Greater", { scaled, g:floats(a.threshold) }), x, y })
  end
  return y
end

function ops.logsigmoid(g, a)
  return g:node("Neg", { g:node("Softplus", { g:node("Neg", { g:use(a.x) }) }) })
end

function ops.hardsigmoid(g, a)
  return g:node("HardSigmoid", { g:use(a.x) }, { alpha = 1 / 6, beta = 0.5 })
end

function ops.hardswish(g, a)
  return g:node("Mul", { g:use(a.x), ops.hardsigmoid(g, a) })
end

function ops.softshrink(g, a)
  return g:node("Shrink", { g:use(a.x) }, { lambd = a.lambda, bias = a.lambda })
end

function ops.hardshrink(g, a)
  return g:node("Shrink", { g:use(a.x) }, { lambd = a.lambda, bias = 0.0 })
end

function ops.threshold(g, a)
  local x = g:use(a.x)
  return g:node("Where", { g:node("Greater", { x, g:floats(a.threshold) }), x,
    g:floats(a.value) })
end

--- The slopes of the channels stand beside dimension 2.
function ops.prelu(g, a)
  local slope, dims = g:use(a.slope), {}
  local n = a.slope.tensor:numel()
  for d = 1, math.max(#a.x.shape - 1, 1) do
    dims[d] = d == 1 and n or 1
  end
  return g:node("PRelu", { g:use(a.x), n == 1 and slope or g:reshape(slope, dims) })
end

function ops.glu(g, a)
  local n = #a.x.shape
  local axis = a.dim > 0 and a.dim - 1 or n + a.dim
  local first, second = g:node("Split", { g:use(a.x) }, { axis = axis }, 2)
  return g:node("Mul", { first, g:node("Sigmoid", { second }) })
end

-- ---- copies and types ---------------------------------------------------------------------

--- The same value under another name.
local function same(g, a, r)
  local name
  name, r.outs[1].zero_based = g:raw(a.x)
  return name
end
ops.copy, ops.clone, ops.contiguous = same, same, same

function ops.to(g, a, r)
  if a.x.dtype == a.dtype then
    return same(g, a, r)
  end
  local x = g:use(a.x)
  if a.dtype == "uint8" then -- what does not fit becomes the nearest end
    x = clip(g, g:cast(x, "float32"), 0, 255)
  end
  return g:cast(x, a.dtype)
end

--- Dropout does nothing in evaluation.
function ops.dropout(g, a, r)
  if a.training and a.p ~= 0 then
    g:fail "it draws random numbers (in evaluation it would do nothing)"
  end
  return same(g, a, r)
end

function ops.copy_(g, a, r)
  if a.src.dtype ~= a.x.dtype then
    g:fail "it changes the type"
  end
  return g:node("Expand", { g:use(a.src), g:varying(r.outs[1].shape, r.outs[1].shape2) })
end

function ops.fill_(g, a, r)
  local out = r.outs[1]
  return g:node("Expand", { g:number(a.value or 0, out.dtype), g:varying(out.shape, out.shape2) })
end
ops.zero_ = ops.fill_

return ops
