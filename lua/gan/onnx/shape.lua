--- Ops that move elements, in ONNX. Positions keep their base on the way.

local gan = require "gan"
local graph = require "gan.onnx.graph"

local ops = {}

local LAST = math.maxinteger

--- 0-based, from the front.
local function axis_of(d, n)
  return d > 0 and d - 1 or n + d
end

--- Makes a handler: move(g, x, arguments, record) with the name of x.
local function moving(move)
  return function(g, a, r)
    local x, zero_based = g:raw(a.x)
    for _, out in pairs(r.outs) do
      out.zero_based = zero_based
    end
    return move(g, x, a, r)
  end
end

-- ---- sizes --------------------------------------------------------------------------------

local function to_result(g, x, _, r)
  return g:reshape(x, r.outs[1])
end

ops.reshape, ops.view = moving(to_result), moving(to_result)
ops.squeeze, ops.unsqueeze = ops.reshape, ops.reshape

ops.flatten = moving(function(g, x, a, r)
  local n = #a.x.shape
  if axis_of(a.start, n) == 1 and axis_of(a.stop, n) == n - 1 then
    return g:node("Flatten", { x }, { axis = 1 })
  end
  return to_result(g, x, a, r)
end)

--- x repeated up to the sizes of a value. What stays as it is needs no size.
local function expand(g, x, from, to)
  local first, second = {}, {}
  local new, changed = #to.shape - #from.shape, false
  for d, n in ipairs(to.shape) do
    local same = d > new and from.shape[d - new] == n and from.shape2[d - new] == to.shape2[d]
    first[d], second[d] = same and 1 or n, same and 1 or to.shape2[d]
    changed = changed or not same
  end
  return changed and g:node("Expand", { x, g:varying(first, second) }) or x
end

ops.expand = moving(function(g, x, a, r)
  return expand(g, x, a.x, r.outs[1])
end)

ops.tile = moving(function(g, x, a, r)
  local reps, reps2 = a.reps, r.args2.reps
  local n, lead = #a.x.shape, #reps - #a.x.shape
  if lead > 0 then
    local first, second = {}, {}
    for d = 1, #reps do
      first[d] = d > lead and a.x.shape[d - lead] or 1
      second[d] = d > lead and a.x.shape2[d - lead] or 1
    end
    x = g:reshape(x, first, second)
  end
  local full, full2 = {}, {}
  for d = 1, math.max(n, #reps) do
    local k = d - math.max(n - #reps, 0)
    full[d], full2[d] = k > 0 and reps[k] or 1, k > 0 and reps2[k] or 1
  end
  return g:node("Tile", { x, g:varying(full, full2) })
end)

-- ---- order --------------------------------------------------------------------------------

local function transpose(g, x, perm)
  return g:node("Transpose", { x }, { perm = perm })
end

ops.permute = moving(function(g, x, a)
  local perm = {}
  for i, d in ipairs(a.dims) do
    perm[i] = axis_of(d, #a.dims)
  end
  return transpose(g, x, perm)
end)

ops.transpose = moving(function(g, x, a)
  local n, perm = #a.x.shape, {}
  for i = 1, n do
    perm[i] = i - 1
  end
  local d1, d2 = axis_of(a.d1, n), axis_of(a.d2, n)
  perm[d1 + 1], perm[d2 + 1] = d2, d1
  return transpose(g, x, perm)
end)

ops.t = moving(function(g, x, a)
  return #a.x.shape < 2 and x or transpose(g, x, { 1, 0 })
end)

-- ---- parts --------------------------------------------------------------------------------

--- Places start .. stop - 1, from 0, of an axis; lists of integers.
local function slice(g, x, axes, starts, stops, steps)
  return g:node("Slice",
    { x, g:ints(starts), g:ints(stops), g:ints(axes), steps and g:ints(steps) })
end

ops.slice = moving(function(g, x, a, r)
  local axis, b = axis_of(a.dim, #a.x.shape), r.args2
  -- "from 1, inclusive, negative from the end" to "from 0, exclusive"
  local function first(n) return n > 0 and n - 1 or n == 0 and 0 or n end
  local function last(n) return n == -1 and LAST or n < 0 and n + 1 or n end
  if (a.start > 0) ~= (b.start > 0) or (a.stop >= 0) ~= (b.stop >= 0) then
    g:fail "small batches count from the other end"
  end
  return g:node("Slice", { x, g:varying({ first(a.start) }, { first(b.start) }),
    g:varying({ last(a.stop) }, { last(b.stop) }), g:ints{ axis }, g:ints{ a.step } })
end)

ops.narrow = moving(function(g, x, a, r)
  local axis, b = axis_of(a.dim, #a.x.shape), r.args2
  local function first(args, value)
    local n = args.start
    return n > 0 and n - 1 or value.shape[axis + 1] + n
  end
  local from, from2 = first(a, a.x), first(b, b.x)
  return g:node("Slice", { x, g:varying({ from }, { from2 }),
    g:varying({ from + a.length }, { from2 + b.length }), g:ints{ axis } })
end)

ops.select = moving(function(g, x, a, r)
  local n = #a.x.shape
  local axis = axis_of(a.dim, n)
  local function place(args) return args.index > 0 and args.index - 1 or args.index end
  local i, i2 = place(a), place(r.args2)
  if i == i2 then
    return g:node("Gather", { x, g:ints(i) }, { axis = axis })
  end
  local picked = g:node("Gather", { x, g:varying({ i }, { i2 }) }, { axis = axis })
  return g:node("Squeeze", { picked, g:ints{ axis } })
end)

--- The parts are as long as they were.
local function split(g, x, a, r)
  local axis, sizes, sizes2 = axis_of(a.dim, #a.x.shape), {}, {}
  for i, out in ipairs(r.outs) do
    sizes[i], sizes2[i] = out.shape[axis + 1], out.shape2[axis + 1]
  end
  return g:node("Split", { x, g:varying(sizes, sizes2) }, { axis = axis }, #r.outs)
end
ops.split, ops.chunk = moving(split), moving(split)

-- ---- together -----------------------------------------------------------------------------

--- The names of a list of values that count from the same base.
local function names_of(g, list, r)
  local all = true
  for _, value in ipairs(list) do
    all = all and value.zero_based
  end
  local names = {}
  for i, value in ipairs(list) do
    names[i] = all and (g:raw(value)) or g:use(value)
  end
  r.outs[1].zero_based = all
  return names
end

function ops.cat(g, a, r)
  return g:node("Concat", names_of(g, a.x, r), { axis = axis_of(a.dim, #r.outs[1].shape) })
end

function ops.stack(g, a, r)
  local axis, names = axis_of(a.dim, #r.outs[1].shape), names_of(g, a.x, r)
  for i, name in ipairs(names) do
    names[i] = g:node("Unsqueeze", { name, g:ints{ axis } })
  end
  return g:node("Concat", names, { axis = axis })
end

-- ---- around -------------------------------------------------------------------------------

ops.flip = moving(function(g, x, a)
  local axes, starts, stops, steps = {}, {}, {}, {}
  local dims = a.dims
  if not dims then
    dims = {}
    for d = 1, #a.x.shape do
      dims[d] = d
    end
  end
  for i, d in ipairs(dims) do
    axes[i], starts[i], stops[i], steps[i] = axis_of(d, #a.x.shape), -1, math.mininteger, -1
  end
  return #axes == 0 and x or slice(g, x, axes, starts, stops, steps)
end)

--- Dimension `axis` of n elements turned so that element n - shift comes first.
local function roll(g, x, axis, n, shift)
  shift = n > 0 and shift % n or 0
  if shift == 0 then
    return x
  end
  local tail = slice(g, x, { axis }, { n - shift }, { LAST })
  return g:node("Concat", { tail, slice(g, x, { axis }, { 0 }, { n - shift }) }, { axis = axis })
end

ops.roll = moving(function(g, x, a, r)
  local varying = {}
  for _, d in ipairs(graph.varying_dims(a.x)) do
    varying[d - 1] = true
  end
  if not a.dims then
    if next(varying) then
      g:fail "it mixes the examples of a batch"
    end
    local n = a.x.tensor:numel()
    return g:reshape(roll(g, g:reshape(x, { n }), 0, n, a.shifts[1]), r.outs[1])
  end
  for i, d in ipairs(a.dims) do
    local axis = axis_of(d, #a.x.shape)
    if varying[axis] then
      g:fail "it moves examples in a batch of open size"
    end
    x = roll(g, x, axis, a.x.shape[axis + 1], a.shifts[i] or a.shifts[1])
  end
  return x
end)

--- Both ends of a dimension continued with the other end's elements.
local function circular(g, x, pads)
  for i = 1, #pads, 2 do
    local axis, before, after = i // 2, pads[i], pads[i + 1]
    local parts = {}
    if before > 0 then
      parts[1] = slice(g, x, { axis }, { -before }, { LAST })
    end
    parts[#parts + 1] = x
    if after > 0 then
      parts[#parts + 1] = slice(g, x, { axis }, { 0 }, { after })
    end
    x = #parts > 1 and g:node("Concat", parts, { axis = axis }) or x
    if before < 0 or after < 0 then
      x = slice(g, x, { axis }, { math.max(-before, 0) }, { after < 0 and after or LAST })
    end
  end
  return x
end

ops.pad = moving(function(g, x, a)
  local pads, n = {}, #a.pads // 2
  for i = 1, n do
    pads[i], pads[n + i] = a.pads[2 * i - 1], a.pads[2 * i]
  end
  if a.mode == "circular" then
    return circular(g, x, a.pads)
  end
  local value = a.mode == "constant" and g:number(a.value, a.x.dtype)
  return g:node("Pad", { x, g:ints(pads), value or nil },
    { mode = a.mode == "replicate" and "edge" or a.mode })
end)

--- Zero above or below a diagonal: a mask of ones, made here, decides.
local function triangle(op)
  return function(g, a, r)
    local rows, columns = a.x.shape[#a.x.shape - 1], a.x.shape[#a.x.shape]
    for _, d in ipairs(graph.varying_dims(a.x)) do
      if d > #a.x.shape - 2 then
        g:fail "the last two sizes depend on the batch"
      end
    end
    local mask = gan.ones(rows, columns, { dtype = "uint8" })
    mask = g:cast(g:tensor(mask[op](mask, a.diagonal)), "bool")
    return g:node("Where", { mask, g:use(a.x), g:number(0, r.outs[1].dtype) })
  end
end
ops.tril, ops.triu = triangle "tril", triangle "triu"

-- ---- channels and space -------------------------------------------------------------------

ops.pixel_shuffle = moving(function(g, x, a)
  return g:node("DepthToSpace", { x }, { blocksize = a.factor, mode = "CRD" })
end)

--- ONNX's SpaceToDepth orders the channels otherwise.
ops.pixel_unshuffle = moving(function(g, x, a, r)
  local s, t, f = a.x.shape, a.x.shape2, a.factor
  local h, w = s[3] // f, s[4] // f
  x = g:reshape(x, { s[1], s[2], h, f, w, f }, { t[1], t[2], h, f, w, f })
  return g:reshape(transpose(g, x, { 0, 1, 3, 5, 2, 4 }), r.outs[1])
end)

return ops
