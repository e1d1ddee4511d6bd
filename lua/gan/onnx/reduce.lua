--- Sums, means, extremes in ONNX.

local ops = {}

local function axis_of(d, n)
  return d > 0 and d - 1 or n + d
end

--- The axes that go; nil: all.
local function axes_of(a)
  local axes = {}
  for i, d in ipairs(a.dims or {}) do
    axes[i] = axis_of(d, #a.x.shape)
  end
  return a.dims and axes
end

--- keep: overrides the option keepdim.
local function reduce(g, op, x, a, keep)
  keep = keep == nil and a.keepdim or keep
  local axes, keepdims = axes_of(a), keep and 1 or 0
  if axes and #axes == 0 then
    return x
  elseif op == "ReduceSum" then -- takes its axes as an input, the others do not yet
    return g:node(op, { x, axes and g:ints(axes) }, { keepdims = keepdims })
  end
  return g:node(op, { x }, { axes = axes or nil, keepdims = keepdims })
end

for op, onnx in pairs{ sum = "ReduceSum", mean = "ReduceMean", prod = "ReduceProd",
  amax = "ReduceMax", amin = "ReduceMin" } do
  ops[op] = function(g, a)
    return reduce(g, onnx, g:use(a.x), a)
  end
end

--- The largest is subtracted before exp and added after log.
function ops.logsumexp(g, a)
  local x = g:use(a.x)
  local top = reduce(g, "ReduceMax", x, a, true)
  local sum = reduce(g, "ReduceSum", g:node("Exp", { g:node("Sub", { x, top }) }), a, a.keepdim)
  local top_as_result = a.keepdim and top or reduce(g, "ReduceMax", x, a, false)
  return g:node("Add", { g:node("Log", { sum }), top_as_result })
end

--- How many elements are reduced to one, as a number in the graph.
local function count(g, a)
  local axes, n, n2 = axes_of(a), 1, 1
  for d, size in ipairs(a.x.shape) do
    local reduced = not axes
    for _, axis in ipairs(axes or {}) do
      reduced = reduced or axis == d - 1
    end
    n, n2 = n * (reduced and size or 1), n2 * (reduced and a.x.shape2[d] or 1)
  end
  return g:varying({ n }, { n2 })
end

function ops.var(g, a)
  local x = g:use(a.x)
  local away = g:node("Sub", { x, reduce(g, "ReduceMean", x, a, true) })
  local sum = reduce(g, "ReduceSum", g:node("Mul", { away, away }), a, true)
  local n = g:node("Sub", { count(g, a), g:ints{ a.correction } })
  local y = g:node("Div", { sum, g:cast(n, "float32") })
  return a.keepdim and y or reduce(g, "ReduceMax", y, a, false) -- drops the sizes of 1
end

function ops.std(g, a)
  return g:node("Sqrt", { (ops.var(g, a)) })
end

function ops.norm(g, a)
  local x, p = g:use(a.x), a.p
  if p == 1 then
    return reduce(g, "ReduceL1", x, a)
  elseif p == 2 then
    return reduce(g, "ReduceL2", x, a)
  end
  local size = g:node("Abs", { x })
  if p == math.huge then
    return reduce(g, "ReduceMax", size, a)
  elseif p == 0 then
    return reduce(g, "ReduceSum", g:node("Sign", { size }), a)
  end
  local sum = reduce(g, "ReduceSum", g:node("Pow", { size, g:floats(p) }), a)
  return g:node("Pow", { sum, g:floats(1 / p) })
end

--- Sums to a shape that could be broadcast to x's.
function ops.sum_to(g, a, r)
  local out, dims = r.outs[1], {}
  local lead = #a.x.shape - #out.shape
  for d, n in ipairs(a.x.shape) do
    if d <= lead or out.shape[d - lead] == 1 and out.shape2[d - lead] == 1
      and not (n == 1 and a.x.shape2[d] == 1) then
      dims[#dims + 1] = d
    end
  end
  local x = reduce(g, "ReduceSum", g:use(a.x), { x = a.x, dims = dims }, true)
  return lead > 0 and g:reshape(x, out) or x
end

-- ---- truth --------------------------------------------------------------------------------

--- Reduces 1 for true, 0 for false.
local function of_truth(onnx)
  return function(g, a, r)
    local x = g:cast(g:truth(a.x), "float32")
    return g:cast(reduce(g, onnx, x, a), r.outs[1].dtype)
  end
end
ops.count_nonzero, ops.any, ops.all =
  of_truth "ReduceSum", of_truth "ReduceMax", of_truth "ReduceMin"

-- ---- places -------------------------------------------------------------------------------

local function arg(onnx)
  return function(g, a, r)
    local x = g:use(a.x)
    r.outs[1].zero_based = true
    if not a.dim then
      x = g:node("Reshape", { x, g:ints{ -1 } })
      return g:reshape(g:node(onnx, { x }, { axis = 0, keepdims = 0 }), r.outs[1])
    end
    return g:node(onnx, { x },
      { axis = axis_of(a.dim, #a.x.shape), keepdims = a.keepdim and 1 or 0 })
  end
end
ops.argmax, ops.argmin = arg "ArgMax", arg "ArgMin"

local function extreme(values, places)
  return function(g, a, r)
    r.outs[2].zero_based = true
    local list = { x = a.x, dims = { a.dim }, keepdim = a.keepdim }
    return reduce(g, values, g:use(a.x), list), g:node(places, { g:use(a.x) },
      { axis = axis_of(a.dim, #a.x.shape), keepdims = a.keepdim and 1 or 0 })
  end
end
ops.max_dim, ops.min_dim = extreme("ReduceMax", "ArgMax"), extreme("ReduceMin", "ArgMin")

function ops.cumsum(g, a)
  return g:node("CumSum", { g:use(a.x), g:ints(axis_of(a.dim, #a.x.shape)) })
end

-- ---- softmax ------------------------------------------------------------------------------

for op, onnx in pairs{ softmax = "Softmax", log_softmax = "LogSoftmax" } do
  ops[op] = function(g, a)
    return g:node(onnx, { g:use(a.x) }, { axis = axis_of(a.dim, #a.x.shape) })
  end
end

return ops
