--- Pooling, unpooling and resizing in ONNX.
--
-- The sizes of the planes are fixed, so every window is known here: paddings are written out, and
-- what ONNX runtimes compute differently from each other (ceil_mode, ratios that are not whole) is
-- expressed by other means.

local gan = require "gan"
local graph = require "gan.onnx.graph"

local ops = {}

local function each(list, dims, default)
  local result = {}
  for d = 1, dims do
    result[d] = list and (list[d] or list[1]) or default[d]
  end
  return result
end

--- Fails where sizes of the planes of x are open.
local function planes(g, x, dims)
  for _, d in ipairs(graph.varying_dims(x)) do
    if d > #x.shape - dims then
      g:fail "the sizes of the planes depend on the batch"
    end
  end
  return table.move(x.shape, #x.shape - dims + 1, #x.shape, 1, {})
end

--- { kernel, strides, padding, dilations, ends, overhang, sizes }, lists by dimension. The windows
-- cover `ends` elements of padding behind, of which `overhang` lie past the padding asked for.
local function windows(g, a, out, dims)
  local w = { kernel = each(a.kernel_size, dims), sizes = planes(g, a.x, dims),
    out = planes(g, out, dims), ends = {}, overhang = {} }
  w.strides, w.padding = each(a.stride, dims, w.kernel), each(a.padding, dims)
  w.dilations = each(a.dilation or { 1 }, dims)
  for d = 1, dims do
    local span = w.dilations[d] * (w.kernel[d] - 1) + 1
    local need = (w.out[d] - 1) * w.strides[d] + span - w.sizes[d] - w.padding[d]
    w.overhang[d] = math.max(need - w.padding[d], 0)
    w.ends[d] = w.padding[d] + w.overhang[d]
  end
  return w
end

local function pads(before, after)
  return table.move(after, 1, #after, #before + 1, table.move(before, 1, #before, 1, {}))
end

-- ---- maxima -------------------------------------------------------------------------------
-- Positions count within a plane in Lua, within the whole tensor in ONNX. A value of positions has
-- `flat`, the name of ONNX's, and gets the others when somebody asks for them.

local function max_windows(g, a, r, w)
  local y, flat = g:node("MaxPool", { g:use(a.x) }, { kernel_shape = w.kernel,
    strides = w.strides, pads = pads(w.padding, w.ends), dilations = w.dilations }, 2)
  local size = 1
  for _, n in ipairs(w.sizes) do
    size = size * n
  end
  local index = r.outs[2]
  index.zero_based, index.flat, index.of = true, flat, a.x
  return y, g:node("Mod", { flat, g:ints(size) })
end

local function max_pool(dims)
  return function(g, a, r)
    return max_windows(g, a, r, windows(g, a, r.outs[1], dims))
  end
end
ops.max_pool1d, ops.max_pool2d = max_pool(1), max_pool(2)

--- Windows of an adaptive pooling, where they are all alike; else nil.
local function even_windows(g, a, r, dims)
  local sizes, out = planes(g, a.x, dims), planes(g, r.outs[1], dims)
  local w = { kernel = {}, strides = {}, sizes = sizes, out = out, padding = {}, ends = {},
    dilations = {} }
  for d = 1, dims do
    if sizes[d] % out[d] ~= 0 then
      return nil
    end
    w.kernel[d] = sizes[d] // out[d]
    w.strides[d], w.padding[d], w.ends[d], w.dilations[d] = w.kernel[d], 0, 0, 1
  end
  return w
end

local function adaptive_max_pool(dims)
  return function(g, a, r)
    local w = even_windows(g, a, r, dims)
      or g:fail "the windows have different sizes, for which ONNX has no op"
    return max_windows(g, a, r, w)
  end
end
ops.adaptive_max_pool1d, ops.adaptive_max_pool2d = adaptive_max_pool(1), adaptive_max_pool(2)

local function same_sizes(a, b)
  for d = 1, math.max(#a.shape, #b.shape) do
    if a.shape[d] ~= b.shape[d] or a.shape2[d] ~= b.shape2[d] then
      return false
    end
  end
  return true
end

--- Values scattered into planes of zeros, wherever the positions come from and whatever the size.
local function scatter(g, a, out, dims)
  local s, t, lead = a.y.shape, a.y.shape2, #a.y.shape - dims
  local function flat(size, last)
    local list = table.move(size, 1, lead, 1, {})
    list[lead + 1] = 1
    for d = lead + 1, #last do
      list[lead + 1] = list[lead + 1] * last[d]
    end
    return list
  end
  local y, places = g:use(a.y), g:places(a.index)
  y, places = g:reshape(y, flat(s, s), flat(t, t)), g:reshape(places, flat(s, s), flat(t, t))
  local sizes = g:varying(flat(s, out.shape), flat(t, out.shape2))
  local zeros = g:node("Expand", { g:floats(0), sizes })
  return g:reshape(g:node("ScatterElements", { zeros, places, y }, { axis = lead }), out)
end

--- MaxUnpool where its own idea of the size is the one wanted, and the positions come from a
-- pooling of exactly these planes.
local function max_unpool(dims)
  return function(g, a, r)
    local out = r.outs[1]
    local kernel, sizes = each(a.kernel_size, dims), planes(g, out, dims)
    local strides, padding = each(a.stride, dims, kernel), each(a.padding, dims)
    local inputs, usual = planes(g, a.y, dims), true
    for d = 1, dims do
      usual = usual
        and sizes[d] == (inputs[d] - 1) * strides[d] - 2 * padding[d] + kernel[d]
    end
    if not (usual and a.index.flat and same_sizes(a.index.of, out)) then
      return scatter(g, a, out, dims)
    end
    return g:node("MaxUnpool", { g:use(a.y), a.index.flat },
      { kernel_shape = kernel, strides = strides, pads = pads(padding, padding) })
  end
end
ops.max_unpool1d, ops.max_unpool2d = max_unpool(1), max_unpool(2)

-- ---- means --------------------------------------------------------------------------------

--- Zeros around the planes.
local function surround(g, x, value, before, after)
  local list, lead = {}, #value.shape - #before
  for d = 1, 2 * #value.shape do
    list[d] = 0
  end
  local any = false
  for d, n in ipairs(before) do
    list[lead + d], list[lead + #value.shape + d] = n, after[d]
    any = any or n > 0 or after[d] > 0
  end
  return any and g:node("Pad", { x, g:ints(list) }) or x
end

local function none(list)
  local zeros = {}
  for d = 1, #list do
    zeros[d] = 0
  end
  return zeros
end

--- Padding that counts is put there before; what hangs over never counts. With a divisor of its own
-- everything counts.
local function avg_pool(dims)
  return function(g, a, r)
    local w = windows(g, a, r.outs[1], dims)
    local left
    local x, zero = g:use(a.x), none(w.kernel)
    if a.divisor_override then
      x, left = surround(g, x, a.x, w.padding, w.ends), pads(zero, zero)
    elseif a.count_include_pad then
      x, left = surround(g, x, a.x, w.padding, w.padding), pads(zero, w.overhang)
    else
      left = pads(w.padding, w.ends)
    end
    local y = g:node("AveragePool", { x }, { kernel_shape = w.kernel, strides = w.strides,
      pads = left, count_include_pad = 0 })
    if a.divisor_override then
      local n = 1
      for _, k in ipairs(w.kernel) do
        n = n * k
      end
      y = g:node("Mul", { y, g:floats(n / a.divisor_override) })
    end
    return y
  end
end
ops.avg_pool1d, ops.avg_pool2d = avg_pool(1), avg_pool(2)

-- ---- matrices along the dimensions of the planes ----------------------------------------------
-- A resizing is linear in each dimension: row o of a matrix says of what element o is made.

--- x with every plane multiplied by the matrices, lists of rows, of its dimensions.
local function transform(g, x, matrices)
  local dims = #matrices
  for d, rows in ipairs(matrices) do
    local m = gan.tensor(rows):to(gan.config.real)
    if d == dims then -- along the last dimension: x m^T
      x = g:node("MatMul", { x, g:tensor(m:t():contiguous()) })
    else
      x = g:node("MatMul", { g:tensor(m), x })
    end
  end
  return x
end

local function matrices_of(sizes, out, weights)
  local matrices = {}
  for d, n in ipairs(sizes) do
    matrices[d] = {}
    for o = 1, out[d] do
      local row = {}
      for i = 1, n do
        row[i] = 0.0
      end
      weights(row, o - 1, n, out[d])
      matrices[d][o] = row
    end
  end
  return matrices
end

local function adaptive_avg_pool(dims)
  return function(g, a, r)
    local x, w = g:use(a.x), even_windows(g, a, r, dims)
    if w then
      return g:node("AveragePool", { x }, { kernel_shape = w.kernel, strides = w.strides })
    end
    local sizes, out = planes(g, a.x, dims), planes(g, r.outs[1], dims)
    return transform(g, x, matrices_of(sizes, out, function(row, o, n, count)
      local first, last = o * n // count, -(-(o + 1) * n // count)
      for i = first + 1, last do
        row[i] = 1 / (last - first)
      end
    end))
  end
end
ops.adaptive_avg_pool1d, ops.adaptive_avg_pool2d = adaptive_avg_pool(1), adaptive_avg_pool(2)

-- ---- resizing -----------------------------------------------------------------------------

--- The factors, where all are whole; else nil.
local function factors(sizes, out)
  local list = {}
  for d, n in ipairs(sizes) do
    if out[d] % n ~= 0 then
      return nil
    end
    list[d] = out[d] // n
  end
  return list
end

local function resize(g, x, value, scale, attributes)
  local scales = {}
  for d = 1, #value.shape do
    scales[d] = scale[d - (#value.shape - #scale)] or 1
  end
  return g:node("Resize", { x, false, g:floats(scales) }, attributes)
end

function ops.upsample_nearest(g, a, r)
  local dims, x = #a.x.shape - 2, g:use(a.x)
  local sizes, out = planes(g, a.x, dims), planes(g, r.outs[1], dims)
  local scale = factors(sizes, out)
  if scale then
    return resize(g, x, a.x, scale, { mode = "nearest", nearest_mode = "floor",
      coordinate_transformation_mode = "asymmetric" })
  end
  for d, n in ipairs(sizes) do
    local places = {}
    for o = 0, out[d] - 1 do
      places[o + 1] = o * n // out[d]
    end
    x = g:node("Gather", { x, g:ints(places) }, { axis = d + 1 })
  end
  return x
end

function ops.upsample_linear(g, a, r)
  local dims, x = #a.x.shape - 2, g:use(a.x)
  local sizes, out = planes(g, a.x, dims), planes(g, r.outs[1], dims)
  local scale = not a.align_corners and factors(sizes, out)
  if scale then
    return resize(g, x, a.x, scale, { mode = "linear",
      coordinate_transformation_mode = "half_pixel" })
  end
  return transform(g, x, matrices_of(sizes, out, function(row, o, n, count)
    local at = a.align_corners and (count > 1 and o * (n - 1) / (count - 1) or 0)
      or math.max(0, (o + 0.5) * n / count - 0.5)
    local i = math.min(at // 1 | 0, n - 1)
    local part = at - i
    row[i + 1] = 1 - part
    if part > 0 and i + 2 <= n then
      row[i + 2] = part
    elseif part > 0 then
      row[i + 1] = 1.0
    end
  end))
end

return ops
