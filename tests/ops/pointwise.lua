-- Cases of the pointwise family: see tests/case.lua for the form.
local t = require "tests.case"

local inf, nan = math.huge, 0 / 0

-- values at which functions of one tensor are told apart: both zeros are 0 here
local EXTREMES = { -inf, -1000, -30, -1, -1e-6, 0, 1e-6, 1, 30, 1000, inf, nan }
local SAFE = { -1000, -100, -88.5, -30, -1e-6, 0, 1e-6, 30, 88.5, 100, 1000 }

-- a smooth function: odd shapes, extremes, no elements, no dimensions
local function smooth(name, ...)
  local list = {
    { t.randn{3, 5}, torch = name },
    { t.randn{2, 3, 4, scale = 2}, torch = name },
    { t.values(0.75), torch = name },
    { t.values{}, torch = name },
  }
  for _, extra in ipairs{ ... } do list[#list + 1] = extra end
  return list
end

local function at(values, name, more)
  local c = { t.values(values), torch = name, smooth = false }
  for k, v in pairs(more or {}) do c[k] = v end
  return c
end

-- arguments kept inside an interval
local function inside(lo, hi, name, ...)
  return {
    { t.uniform{3, 5, lo = lo, hi = hi}, torch = name },
    { t.uniform{2, 3, 4, lo = lo, hi = hi}, torch = name },
    { t.values{}, torch = name },
    ...
  }
end

-- a function of two tensors that broadcast
local function binary(name, ...)
  return {
    { t.randn{3, 5}, t.randn{3, 5, shift = 0.1}, torch = name },
    { t.randn{2, 3, 4}, t.randn{4}, torch = name },
    { t.randn{3, 1}, t.randn{2, 1, 4}, torch = name },
    { t.randn{2, 3, 4}, t.values(1.5), torch = name },
    { t.values(1.5), t.values(-0.5), torch = name },
    { t.randn{2, 0, 3}, t.randn{1, 3}, torch = name },
    ...
  }
end

local function with(c, options)
  for k, v in pairs(options) do c[k] = v end
  return c
end

-- comparisons: never differentiable
local function comparison(name)
  local a = { t.values{ -1, 0, 1, 2, nan, inf }, t.values{ 0, 0, 1, 3, nan, inf } }
  local list = {
    with({ a[1], a[2] }, { torch = ("(torch.%s(a, b)).to(a.dtype)"):format(name) }),
    { t.values{ { 1, 2, 3 }, { 4, 5, 6 } }, t.values{ { 2 }, { 5 } } },
    { t.values{ 1, 2, 3 }, 2, torch = ("torch.%s(a, 2).to(a.dtype)"):format(name) },
    { t.bytes{2, 3}, t.bytes{3} },
    { t.values({ 1, 9007199254740993, 3 }, "int64"), t.values({ 1, 9007199254740992, 4 }, "int64"),
      torch = false, -- label tensors count from 0 there
      expect = function(gan, x, y)
        local out = {}
        for i = 1, 3 do
          local p, q = x[i]:item(), y[i]:item()
          local r = { eq = p == q, ne = p ~= q, lt = p < q, le = p <= q, gt = p > q, ge = p >= q }
          out[i] = r[name] and 1 or 0
        end
        return gan.tensor(out)
      end },
    { t.values({ 1, 2, 3 }, "int64"), 2.5, torch = false, -- see above
      expect = function(gan, x)
        local out = {}
        for i = 1, 3 do
          local p = x[i]:item()
          local r = { eq = false, ne = true, lt = p < 2.5, le = p < 2.5, gt = p > 2.5,
            ge = p > 2.5 }
          out[i] = r[name] and 1 or 0
        end
        return gan.tensor(out)
      end },
    { t.randn{0, 3}, t.randn{3} },
  }
  for _, c in ipairs(list) do
    c.smooth = false
    if c.torch == nil then
      c.torch = ("torch.%s(a, b).to(torch.get_default_dtype())"):format(name)
    end
  end
  return list
end

local function logic(name)
  local expr = ("torch.%s(a, b).to(torch.get_default_dtype())"):format(name)
  return {
    { t.values{ 0, 0, 1, -2, nan }, t.values{ 0, 3, 0, 0.5, 0 }, torch = expr, smooth = false },
    { t.values{ { 0, 1 }, { 2, 0 } }, t.values{ 0, 1 }, torch = expr, smooth = false },
    { t.values({ 0, 1, 2 }, "uint8"), t.values({ 1, 0, 7 }, "uint8"), torch = expr,
      smooth = false },
  }
end

-- steps: constant between their jumps
local function steps(name)
  return {
    { t.randn{3, 5, scale = 3, shift = 0.1}, torch = name },
    at({ -2.5, -1.5, -0.5, 0, 0.5, 1.5, 2.5, 1e9, -inf, inf, nan }, name),
    { t.values(1.25), torch = name },
    { t.values{}, torch = name },
  }
end

-- in place: the tensor itself is the result, gradients do not apply
local function inplace(list)
  for _, c in ipairs(list) do c.smooth, c.wrt = false, {} end
  return list
end

return {
  add = binary("a + b", { t.randn{2, 3}, 2.5, torch = "a + 2.5" },
    { 2.5, t.randn{2, 3}, torch = "2.5 + a" }),
  sub = binary("a - b", { t.randn{2, 3}, 2.5, torch = "a - 2.5" },
    { 2.5, t.randn{2, 3}, torch = "2.5 - a" }),
  mul = binary("a * b", { t.randn{2, 3}, 2.5, torch = "a * 2.5" },
    at({ inf, nan, 0 }, "a * 0.", { [2] = 0 })),
  div = {
    { t.randn{3, 5}, t.uniform{3, 5, lo = 0.5, hi = 2}, torch = "a / b" },
    { t.randn{2, 3, 4}, t.uniform{4, lo = 0.5, hi = 2}, torch = "a / b" },
    { t.randn{4}, t.uniform{2, 3, 1, lo = -2, hi = -0.5}, torch = "a / b" },
    { t.randn{2, 3}, 4, torch = "a / 4" },
    { 4, t.uniform{2, 3, lo = 0.5, hi = 2}, torch = "4 / a" },
    { t.values{ 1, -1, 0, inf }, t.values{ 0, 0, 0, inf }, torch = "a / b", smooth = false },
    { t.randn{2, 0}, t.values(2), torch = "a / b" },
  },
  pow = {
    { t.uniform{3, 5, lo = 0.2, hi = 2}, t.randn{3, 5}, torch = "torch.pow(a, b)" },
    { t.uniform{2, 3, 4, lo = 0.2, hi = 2}, t.values{ { 2 }, { -1.5 }, { 0.5 } },
      torch = "torch.pow(a, b)" },
    { t.uniform{4, lo = 0.2, hi = 2}, t.values(1.5), torch = "torch.pow(a, b)" },
    { t.randn{3, 4}, 2, torch = "a ** 2" },
    { t.randn{3, 4}, 3, torch = "a ** 3" },
    { t.uniform{3, 4, lo = 0.5, hi = 2}, -0.5, torch = "a ** -0.5" },
    { 2, t.randn{3, 4}, torch = "2 ** a" },
    { t.values{ 0, 0, -2, -2, 0, nan }, t.values{ 0, 2, 0.5, 3, -1, 0 }, torch = "torch.pow(a, b)",
      smooth = false, second = false }, -- at 0^0 PyTorch's second order is NaN, ours 0
    { t.values{ 0, -1, 2, nan }, 0, torch = "a ** 0", smooth = false },
  },
  maximum = binary("torch.maximum(a, b)",
    { t.values{ 1, 2, nan, 1, inf }, t.values{ 1, 3, 1, nan, -inf }, torch = "torch.maximum(a, b)",
      smooth = false },
    { t.randn{3, 4}, 0.25, torch = "torch.maximum(a, torch.full_like(a, 0.25))", smooth = false }),
  minimum = binary("torch.minimum(a, b)",
    { t.values{ 1, 2, nan, 1, inf }, t.values{ 1, 3, 1, nan, -inf }, torch = "torch.minimum(a, b)",
      smooth = false },
    { t.randn{3, 4}, 0.25, torch = "torch.minimum(a, torch.full_like(a, 0.25))", smooth = false }),

  eq = comparison("eq"), ne = comparison("ne"), lt = comparison("lt"), le = comparison("le"),
  gt = comparison("gt"), ge = comparison("ge"),
  logical_and = logic("logical_and"), logical_or = logic("logical_or"),
  logical_xor = logic("logical_xor"),
  logical_not = {
    at({ 0, 1, -0.5, nan }, "torch.logical_not(a).to(a.dtype)"),
    { t.values({ 0, 3 }, "uint8"), torch = "torch.logical_not(a).to(torch.get_default_dtype())" },
    { t.values{}, torch = "torch.logical_not(a).to(a.dtype)" },
  },
  isnan = {
    at(EXTREMES, "torch.isnan(a).to(a.dtype)"),
    { t.bytes{3}, torch = "torch.isnan(a).to(torch.get_default_dtype())" },
  },

  where = {
    { t.values{ { 1, 0, 1 }, { 0, 0, 2 } }, t.randn{2, 3}, t.randn{2, 3},
      torch = "torch.where(a != 0, b, c)",
      wrt = { 2, 3 } },
    { t.values({ 1, 0, 1 }, "uint8"), t.randn{2, 1}, t.randn{3},
      torch = "torch.where(a != 0, b, c)" },
    { t.values{ 1, 0 }, t.values{ 1, nan }, t.values{ nan, 2 }, torch = "torch.where(a != 0, b, c)",
      wrt = { 2, 3 }, smooth = false },
    { t.values{ 1, 0 }, t.randn{3, 2}, 0.5,
      torch = "torch.where(a != 0, b, torch.full_like(b, 0.5))",
      wrt = { 2 } },
    { t.values{ 1, 0 }, 3, t.randn{2}, torch = "torch.where(a != 0, torch.full_like(b, 3), b)",
      wrt = { 2 } },
    { t.randn{0, 2}, t.randn{2}, t.randn{1, 1}, torch = "torch.where(a != 0, b, c)",
      wrt = { 2, 3 } },
  },
  masked_fill = {
    { t.randn{2, 3}, t.values{ 1, 0, 1 }, -5, torch = "a.masked_fill(b != 0, -5)", wrt = { 1 } },
    { t.randn{3, 2}, t.values({ { 1 }, { 0 }, { 0 } }, "uint8"), -inf, smooth = false,
      torch = "a.masked_fill(b != 0, float('-inf'))" },
    { t.values{ nan, 1 }, t.values{ 1, 0 }, 2, torch = "a.masked_fill(b != 0, 2)", smooth = false,
      wrt = { 1 } },
    { t.randn{2, 0}, t.randn{2, 1}, 2, torch = "a.masked_fill(b != 0, 2)", wrt = { 1 } },
  },
  lerp = {
    { t.randn{2, 3}, t.randn{2, 3}, 0.25, torch = "torch.lerp(a, b, 0.25)" },
    { t.randn{2, 3}, t.randn{3}, t.uniform{2, 1},
      torch = "torch.lerp(*torch.broadcast_tensors(a, b, c))" },
    { t.randn{2, 3}, t.randn{2, 3}, 1, torch = "torch.lerp(a, b, 1.)" },
  },
  addcmul = {
    { t.randn{2, 3}, t.randn{2, 3}, t.randn{2, 3}, torch = "torch.addcmul(a, b, c)" },
    { t.randn{3}, t.randn{2, 1}, t.randn{4, 1, 3}, { value = -0.5 },
      torch = "torch.addcmul(a, b, c, value=-0.5)" },
  },
  add_scalar = {
    { t.randn{2, 3}, 1.5, torch = "a + 1.5" }, { t.values{}, 1, torch = "a + 1" },
    { t.values(2), { value = -1 }, torch = "a - 1" },
  },
  mul_scalar = {
    { t.randn{2, 3}, 1.5, torch = "a * 1.5" }, { t.values{}, 2, torch = "a * 2" },
    { t.values{ 1, inf, nan }, 0, torch = "a * 0", smooth = false },
  },
  pow_scalar = {
    { t.randn{2, 3}, 2, torch = "a ** 2" },
    { t.randn{2, 3}, 3, torch = "a ** 3" },
    { t.randn{2, 3}, 4, torch = "a ** 4" },
    { t.randn{2, 3}, 1, torch = "a ** 1" },
    { t.randn{2, 3}, 0, torch = "a ** 0" },
    { t.uniform{2, 3, lo = 0.5, hi = 2}, 0.5, torch = "a ** 0.5" },
    { t.uniform{2, 3, lo = 0.5, hi = 2}, -0.5, torch = "a ** -0.5" },
    { t.uniform{2, 3, lo = 0.5, hi = 2}, -1, torch = "a ** -1" },
    { t.uniform{2, 3, lo = 0.5, hi = 2}, 1.7, torch = "a ** 1.7" },
    { t.values{ 0, -1, nan, inf }, 0, torch = "a ** 0", smooth = false },
    { t.values{ -2, -1, 0, 4 }, 1.5, torch = "a ** 1.5", smooth = false },
    { t.values{ -2, 0, 4 }, -2, torch = "a ** -2", smooth = false },
  },

  neg = smooth("-a", at(EXTREMES, "-a")),
  abs = { { t.randn{3, 5}, torch = "torch.abs(a)" }, { t.values(-2), torch = "torch.abs(a)" },
    { t.values{}, torch = "torch.abs(a)" },
      at({ -inf, -1000, -1, 0, 1e-6, 1, inf }, "torch.abs(a)"),
    at({ nan }, "torch.abs(a)", { wrt = {} }) }, -- PyTorch's gradient at NaN is 0, ours NaN
  sign = {
    { t.randn{3, 5}, torch = "torch.sign(a)" },
    at({ -inf, -2, 0, 1e-6, inf }, "torch.sign(a)"),
    at({ nan, 1 }, false, { torch = false, -- sign(NaN) is 0 there
      expect = function(gan) return gan.tensor{ nan, 1 } end }),
  },
  exp = smooth("torch.exp(a)", at({ -inf, -1000, -100, -1e-6, 0, 30, inf, nan }, "torch.exp(a)"),
    at({ 88.5, 1000 }, "torch.exp(a)", { wrt = {} })), -- their squares are not float32 numbers
  expm1 = smooth("torch.expm1(a)",
    at({ -inf, -1000, -1e-6, 0, 1e-6, 30, inf, nan }, "torch.expm1(a)")),
  log = inside(0.05, 4, "torch.log(a)", at({ 0, -1, inf, nan, 1e-10, 1e30 }, "torch.log(a)")),
  log1p = inside(-0.9, 4, "torch.log1p(a)",
    at({ 0, -1, -2, inf, nan, 1e-7, -1e-7, 1e30 }, "torch.log1p(a)")),
  sqrt = inside(0.1, 4, "torch.sqrt(a)", at({ 0, 1, 4, -1, inf, nan }, "torch.sqrt(a)")),
  rsqrt = inside(0.1, 4, "torch.rsqrt(a)", at({ 0, 1, 4, -1, inf, nan }, "torch.rsqrt(a)")),
  square = smooth("a * a", at(EXTREMES, "a * a")),
  reciprocal = inside(0.2, 4, "1 / a", at({ 0, -2, inf, nan }, "1 / a")),
  sin = smooth("torch.sin(a)", at({ 0, 100, -1e5, 1e7, inf, nan }, "torch.sin(a)")),
  cos = smooth("torch.cos(a)", at({ 0, 100, -1e5, 1e7, inf, nan }, "torch.cos(a)")),
  tan = inside(-1.2, 1.2, "torch.tan(a)", at({ 0, 100, inf, nan }, "torch.tan(a)")),
  sinh = smooth("torch.sinh(a)", at({ 0, 40, -40, inf, nan }, "torch.sinh(a)")),
  cosh = smooth("torch.cosh(a)", at({ 0, 40, -40, inf, nan }, "torch.cosh(a)")),
  asin = inside(-0.9, 0.9, "torch.asin(a)", at({ -1, 0, 1, 2, nan }, "torch.asin(a)")),
  acos = inside(-0.9, 0.9, "torch.acos(a)", at({ -1, 0, 1, 2, nan }, "torch.acos(a)")),
  atan = smooth("torch.atan(a)", at(EXTREMES, "torch.atan(a)")),
  erf = smooth("torch.erf(a)", at(EXTREMES, "torch.erf(a)")),
  tanh = smooth("torch.tanh(a)", at(EXTREMES, "torch.tanh(a)"), at(SAFE, "torch.tanh(a)")),
  sigmoid = smooth("torch.sigmoid(a)", at(EXTREMES, "torch.sigmoid(a)"),
    at(SAFE, "torch.sigmoid(a)")),
  floor = steps("torch.floor(a)"), ceil = steps("torch.ceil(a)"), trunc = steps("torch.trunc(a)"),
  round = steps("torch.round(a)"),

  relu = smooth("F.relu(a)", at(EXTREMES, "F.relu(a)")),
  leaky_relu = {
    { t.randn{3, 5}, torch = "F.leaky_relu(a)" },
    { t.randn{2, 3, 4}, 0.2, torch = "F.leaky_relu(a, 0.2)" },
    { t.randn{3, 5}, { slope = 0 }, torch = "F.leaky_relu(a, 0.)" },
    { t.randn{3, 5}, { slope = -0.5 }, torch = "F.leaky_relu(a, -0.5)" },
    { t.values(-1), { slope = 0.5 }, torch = "F.leaky_relu(a, 0.5)" },
    { t.values{}, torch = "F.leaky_relu(a)" },
    at(EXTREMES, "F.leaky_relu(a)"),
  },
  relu6 = { { t.randn{3, 5, scale = 5, shift = 0.1}, torch = "F.relu6(a)" },
    at({ -1000, -1, 0, 3, 6, 7, 1000, inf }, "F.relu6(a)"), at({ nan }, "F.relu6(a)",
      { wrt = {} }) },
  hardtanh = {
    { t.randn{3, 5}, torch = "F.hardtanh(a)" },
    { t.randn{3, 5}, -0.5, 0.75, torch = "F.hardtanh(a, -0.5, 0.75)" },
    at({ -1000, -1, 0, 1, 1000 }, "F.hardtanh(a)"),
    at({ nan }, "F.hardtanh(a)", { wrt = {} }), -- its gradient depends on the place in PyTorch
  },
  clamp = {
    { t.randn{3, 5}, -0.5, 0.5, torch = "torch.clamp(a, -0.5, 0.5)" },
    { t.randn{3, 5}, { min = -0.25 }, torch = "torch.clamp(a, min=-0.25)" },
    { t.randn{3, 5}, { max = 0.25 }, torch = "torch.clamp(a, max=0.25)" },
    at({ -2, -1, 0, 1, 2, inf, -inf, nan }, "torch.clamp(a, -1, 1)", { [2] = -1, [3] = 1 }),
    at({ -2, 0, 2 }, "torch.clamp(a, 1, -1)", { [2] = 1, [3] = -1 }),
  },
  threshold = {
    { t.randn{3, 5}, 0.5, -2, torch = "F.threshold(a, 0.5, -2)" },
    at({ -1, 1, 2, inf, nan }, "F.threshold(a, 1, 7)", { [2] = 1, [3] = 7 }),
  },
  softshrink = {
    { t.randn{3, 5}, torch = "F.softshrink(a)" },
    { t.randn{3, 5}, { lambda = 0.3 }, torch = "F.softshrink(a, 0.3)" },
    at({ -1000, -0.5, 0, 0.5, 1000 }, "F.softshrink(a)"),
    at({ nan }, false, { torch = false, -- PyTorch 1.13 turns NaN into 0
      expect = function(gan) return gan.tensor{ nan } end }),
  },
  hardshrink = {
    { t.randn{3, 5}, torch = "F.hardshrink(a)" },
    { t.randn{3, 5}, { lambda = 0.3 }, torch = "F.hardshrink(a, 0.3)" },
    at({ -1000, -0.5, 0, 0.5, 1000, nan }, "F.hardshrink(a)"),
  },
  hardsigmoid = { { t.randn{3, 5, scale = 3, shift = 0.1}, torch = "F.hardsigmoid(a)" },
    at({ -1000, -3, 0, 3, 1000, nan }, "F.hardsigmoid(a)") },
  hardswish = { { t.randn{3, 5, scale = 3, shift = 0.1}, torch = "F.hardswish(a)" },
    at({ -1000, -3, 0, 3, 1000, nan }, "F.hardswish(a)") },
  softsign = { { t.randn{3, 5}, torch = "F.softsign(a)" }, { t.values{}, torch = "F.softsign(a)" },
    at({ -1000, 0, 1000, nan }, "F.softsign(a)") },
  logsigmoid = smooth("F.logsigmoid(a)", at(SAFE, "F.logsigmoid(a)"),
    at({ -inf, nan }, "F.logsigmoid(a)")),
  softplus = smooth("F.softplus(a)", at(SAFE, "F.softplus(a)"),
    at({ -inf, inf, nan }, "F.softplus(a)"),
    { t.randn{3, 5}, { beta = 2, threshold = 1 }, torch = "F.softplus(a, beta=2, threshold=1)" }),
  silu = smooth("F.silu(a)", at(SAFE, "F.silu(a)")),
  mish = smooth("F.mish(a)", -- PyTorch's second order is NaN at 1000
    at(SAFE, "F.mish(a)", { second = false })),
  elu = smooth("F.elu(a)", at(EXTREMES, "F.elu(a)"),
    { t.randn{3, 5}, 0.5, torch = "F.elu(a, 0.5)" }, { t.values{ 100, 200 }, torch = "F.elu(a)" }),
  celu = smooth("F.celu(a)", at(EXTREMES, "F.celu(a)"),
    { t.randn{3, 5}, { alpha = 0.5 }, torch = "F.celu(a, 0.5)" }, { t.values{ 100, 200 },
      torch = "F.celu(a)" }),
  selu = smooth("F.selu(a)", at(EXTREMES, "F.selu(a)"), { t.values{ 100, 200 },
    torch = "F.selu(a)" }),
  gelu = smooth("F.gelu(a)", at(SAFE, "F.gelu(a)"),
    { t.randn{3, 5}, { approximate = "tanh" }, torch = "F.gelu(a, approximate='tanh')" },
    at(SAFE, "F.gelu(a, approximate='tanh')", { [2] = { approximate = "tanh" } })),
  prelu = {
    { t.randn{3, 5}, t.values{ 0.25 }, torch = "F.prelu(a, b)" },
    { t.randn{2, 3, 4}, t.values{ 0.1, 0.25, -0.5 }, torch = "F.prelu(a, b)" },
    { t.randn{4, 3}, t.values{ 0.1, 0.25, -0.5 }, torch = "F.prelu(a, b)" },
    { t.values{ -1, 0, 1, nan }, t.values{ 0.25 }, torch = "F.prelu(a, b)", smooth = false,
      second = false }, -- the NaN reaches every element in PyTorch
  },
  glu = {
    { t.randn{3, 4}, torch = "F.glu(a)" },
    { t.randn{4, 3}, 1, torch = "F.glu(a, 0)" },
    { t.randn{2, 6, 3}, { dim = -2 }, torch = "F.glu(a, -2)" },
    { t.randn{0, 4}, torch = "F.glu(a)" },
    at({ 1000, -1000, 1000, -1000 }, "F.glu(a)"),
  },

  copy = { { t.randn{3, 5}, torch = "a.clone()" }, { t.bytes{3}, torch = "a.clone()" },
    { t.values(2), torch = "a.clone()" }, { t.values{}, torch = "a.clone()" } },
  clone = { { t.randn{3, 5}, torch = "a.clone()" } },
  to = {
    { t.values{ -1.5, 0.7, 254.9, 300, nan, inf, -inf }, "uint8", torch = false, -- wraps there
      expect = function(gan)
        return gan.tensor({ 0, 0, 254, 255, 0, 255, 0 }, { dtype = "uint8" })
      end },
    { t.values{ -1.5, 0.7, 3e9, nan }, "int64", torch = false, -- undefined for NaN there
      expect = function(gan) return gan.tensor({ -1, 0, 3000000000, 0 }, { dtype = "int64" }) end },
    { t.values({ { 0, 1 }, { 200, 255 } }, "uint8"), "float32",
      torch = "a.to(torch.get_default_dtype())" },
    { t.values({ -3, 0, 12 }, "int64"), "float32", torch = false, -- counts from 0 there
      expect = function(gan) return gan.tensor{ -3, 0, 12 } end },
    { t.values({ -3, 7, 300 }, "int64"), { dtype = "uint8" }, torch = false, -- see above
      expect = function(gan) return gan.tensor({ 0, 7, 255 }, { dtype = "uint8" }) end },
    { t.randn{2, 3}, "float32", torch = "a" },
  },

  add_ = inplace{
    { t.randn{2, 3}, t.randn{3}, torch = "a + b" }, { t.randn{2, 3}, 2, torch = "a + 2" },
    { t.randn{2, 3}, t.randn{2, 1}, { alpha = -0.5 }, torch = "a - 0.5 * b" },
    { t.randn{0, 3}, t.randn{3}, torch = "a + b" },
  },
  sub_ = inplace{
    { t.randn{2, 3}, t.randn{3}, torch = "a - b" }, { t.randn{2, 3}, 2, torch = "a - 2" },
    { t.randn{2, 3}, t.randn{2, 1}, { alpha = 2 }, torch = "a - 2 * b" },
  },
  mul_ = inplace{ { t.randn{2, 3}, t.randn{3}, torch = "a * b" }, { t.randn{2, 3}, 2,
    torch = "a * 2" } },
  div_ = inplace{ { t.randn{2, 3}, t.uniform{3, lo = 1, hi = 2}, torch = "a / b" },
    { t.randn{2, 3}, 2, torch = "a / 2" } },
  neg_ = inplace{ { t.randn{2, 3}, torch = "-a" } },
  relu_ = inplace{ { t.randn{2, 3}, torch = "F.relu(a)" }, at({ -1, 0, nan, 1 }, "F.relu(a)") },
  clamp_ = inplace{
    { t.randn{2, 3}, -0.5, 0.5, torch = "a.clamp(-0.5, 0.5)" },
    { t.randn{2, 3}, { max = 0 }, torch = "a.clamp(max=0)" },
  },
  lerp_ = inplace{
    { t.randn{2, 3}, t.randn{3}, 0.25, torch = "a + 0.25 * (b - a)" },
    { t.randn{2, 3}, t.randn{2, 3}, t.uniform{3}, torch = "torch.lerp(a, b, c)" },
  },
  addcmul_ = inplace{ { t.randn{2, 3}, t.randn{3}, t.randn{2, 1}, { value = 2 },
    torch = "a + 2 * b * c" } },
  copy_ = inplace{
    { t.randn{2, 3}, t.randn{3}, torch = "b.expand(2, 3)" },
    { t.randn{2, 3}, t.bytes{2, 1}, torch = "b.expand(2, 3).to(a.dtype)" },
    { t.bytes{3}, t.values{ -1, 7.9, 400 }, torch = false, -- wraps there
      expect = function(gan) return gan.tensor({ 0, 7, 255 }, { dtype = "uint8" }) end },
  },
  fill_ = inplace{
    { t.randn{2, 3}, 2.5, torch = "torch.full_like(a, 2.5)" },
    { t.bytes{3}, 300, torch = false, -- an error there
      expect = function(gan) return gan.tensor({ 255, 255, 255 }, { dtype = "uint8" }) end },
    { t.values({ 1, 2 }, "int64"), 9007199254740992, torch = false, -- counts from 0 there
      expect = function(gan)
        return gan.tensor({ 9007199254740992, 9007199254740992 }, { dtype = "int64" })
      end },
  },
  zero_ = inplace{ { t.randn{2, 3}, torch = "torch.zeros_like(a)" }, { t.bytes{3},
    torch = "torch.zeros_like(a)" } },
}
