--- Ops with places and labels in ONNX.

local ops = {}

local function axis_of(d, n)
  return d > 0 and d - 1 or n + d
end

function ops.embedding(g, a)
  return g:node("Gather", { g:use(a.table), g:places(a.idx) }, { axis = 0 })
end

function ops.index_select(g, a, r)
  local x
  x, r.outs[1].zero_based = g:raw(a.x)
  return g:node("Gather", { x, g:places(a.idx) }, { axis = axis_of(a.dim, #a.x.shape) })
end

function ops.gather(g, a, r)
  local x
  x, r.outs[1].zero_based = g:raw(a.x)
  return g:node("GatherElements", { x, g:places(a.idx) }, { axis = axis_of(a.dim, #a.x.shape) })
end

function ops.scatter(g, a)
  return g:node("ScatterElements", { g:use(a.x), g:places(a.idx), g:use(a.src) },
    { axis = axis_of(a.dim, #a.x.shape) })
end

function ops.one_hot(g, a, r)
  local out = r.outs[1]
  if not a.classes then
    g:fail "the number of classes depends on the labels: give it"
  end
  local x = g:node("OneHot", { g:places(a.idx), g:ints(a.classes), g:floats{ 0, 1 } },
    { axis = -1 })
  return out.dtype == "float32" and x or g:cast(x, out.dtype)
end

--- The k first in order, and their places.
local function top(g, a, r, k, largest)
  local axis = axis_of(a.dim, #a.x.shape)
  local values, places = g:node("TopK", { g:use(a.x), k },
    { axis = axis, largest = largest and 1 or 0, sorted = 1 }, 2)
  r.outs[#r.outs].zero_based = true
  if #r.outs == 1 then
    return places
  end
  return values, places
end

function ops.topk(g, a, r)
  return top(g, a, r, g:ints{ a.k }, a.largest)
end

function ops.sort(g, a, r)
  local axis = axis_of(a.dim, #a.x.shape) + 1
  local k = g:varying({ a.x.shape[axis] }, { a.x.shape2[axis] })
  return top(g, a, r, k, a.descending)
end
ops.argsort = ops.sort

return ops
