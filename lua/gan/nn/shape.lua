--- Layers that only move or repeat values: flattening, resizing, padding.

local gan = require "gan"
local module = require "gan.nn.module"

local shape = {}

--- nn.Flatten{start=2, stop=-1}: these dimensions become one. nn.Flatten{}: (N, ...) -> (N, n).
shape.Flatten = module.define("nn.Flatten", {
  fresh = true,
  options = "start:int=2 stop:int=-1",
  forward = function(self, x)
    return gan.flatten(x, self._options.start, self._options.stop)
  end,
})

--- nn.Unflatten{dim, sizes}: one dimension becomes several; one size may be -1.
-- nn.Unflatten{2, {128, 7, 7}}: (N, 6272) -> (N, 128, 7, 7).
shape.Unflatten = module.define("nn.Unflatten", {
  fresh = true,
  options = "dim:int sizes:ints",
  forward = function(self, x)
    local sizes, result, dim = x:shape(), {}, self._options.dim
    dim = dim < 0 and #sizes + 1 + dim or dim
    if dim < 1 or dim > #sizes then
      error(("no dimension %d in (%s)"):format(self._options.dim, table.concat(sizes, " x ")), 0)
    end
    local new = self._options.sizes
    table.move(sizes, 1, dim - 1, 1, result)
    for _, size in ipairs(type(new) == "number" and { new } or new) do
      result[#result + 1] = size
    end
    table.move(sizes, dim + 1, #sizes, #result + 1, result)
    return x:reshape(result)
  end,
})

local function target_size(x, o)
  local sizes, target = x:shape(), {}
  for i = 3, #sizes do
    local size, scale = o.size, o.scale_factor
    size = type(size) == "table" and size[i - 2] or size
    scale = type(scale) == "table" and scale[i - 2] or scale
    target[i - 2] = size or sizes[i] * scale // 1 | 0
  end
  return target
end

--- nn.Upsample{size=, scale_factor=, mode="nearest", align_corners=false}: (N, C, ...) resized.
-- mode is "nearest" or "linear" (bilinear in 2-D). Give size or scale_factor.
shape.Upsample = module.define("nn.Upsample", {
  fresh = true,
  options = "; size:ints? scale_factor:any? mode:nearest|linear|bilinear=nearest "
    .. "align_corners:bool=false",
  init = function(_, o)
    if (o.size == nil) == (o.scale_factor == nil) then
      error("nn.Upsample: give either size or scale_factor", 3)
    end
  end,
  forward = function(self, x)
    local o = self._options
    local size = target_size(x, o)
    if o.mode == "nearest" then
      return gan.upsample_nearest(x, { size = size })
    end
    return gan.upsample_linear(x, { size = size, align_corners = o.align_corners })
  end,
})

--- nn.PixelShuffle{factor}: (N, C r r, H, W) -> (N, C, H r, W r) (Shi et al. 2016).
shape.PixelShuffle = module.define("nn.PixelShuffle", {
  fresh = true,
  options = "factor:count",
  forward = function(self, x) return gan.pixel_shuffle(x, self._options.factor) end,
})

--- nn.PixelUnshuffle{factor}: the inverse of PixelShuffle.
shape.PixelUnshuffle = module.define("nn.PixelUnshuffle", {
  options = "factor:count",
  forward = function(self, x) return gan.pixel_unshuffle(x, self._options.factor) end,
})

-- (left, right, top, bottom), as PyTorch orders them: the last dimension first.
local function edges(x, padding, spatial)
  local list = {}
  for i = 1, 2 * spatial do
    list[i] = type(padding) == "number" and padding or padding[i] or 0
  end
  local pads = {}
  for i = 1, 2 * (x:dim() - spatial) do
    pads[i] = 0
  end
  for d = spatial, 1, -1 do
    pads[#pads + 1] = list[2 * d - 1]
    pads[#pads + 1] = list[2 * d]
  end
  return pads
end

local function padding(name, spatial, mode, spec)
  shape[name] = module.define("nn." .. name, {
    fresh = true,
    options = "padding:ints" .. (spec or ""),
    init = function(_, o)
      if type(o.padding) == "table" and #o.padding ~= 2 * spatial then
        error(("nn.%s: padding must be one number or %d"):format(name, 2 * spatial), 3)
      end
    end,
    forward = function(self, x)
      return gan.pad(x, edges(x, self._options.padding, spatial),
        { mode = mode, value = self._options.value or 0 })
    end,
  })
end

--- nn.ZeroPad2d{padding}: zeros around (N, C, H, W); one number or {left, right, top, bottom}.
padding("ZeroPad2d", 2, "constant")

--- nn.ReflectionPad1d{padding}: mirrored without the edge; one number or {left, right}.
padding("ReflectionPad1d", 1, "reflect")

--- nn.ReflectionPad2d{padding}: mirrored without the edge; {left, right, top, bottom}.
padding("ReflectionPad2d", 2, "reflect")

--- nn.ReplicationPad1d{padding}: the edge repeated; one number or {left, right}.
padding("ReplicationPad1d", 1, "replicate")

--- nn.ReplicationPad2d{padding}: the edge repeated; one number or {left, right, top, bottom}.
padding("ReplicationPad2d", 2, "replicate")

--- nn.ConstantPad1d{padding, value}: a value on both sides; one number or {left, right}.
padding("ConstantPad1d", 1, "constant", " value:number")

--- nn.ConstantPad2d{padding, value}: a value around; one number or {left, right, top, bottom}.
padding("ConstantPad2d", 2, "constant", " value:number")

return shape
