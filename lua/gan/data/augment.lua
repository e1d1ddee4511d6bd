--- gan.data.augment: functions for the option `augment` of gan.data.batches.
--
--     gan.data.batches{ images, labels, shuffle = true,
--       augment = { augment.flip{}, augment.shift{2}, augment.noise{0.05} } }
--
-- Each takes a batch (N, ..., H, W) of the compute type and returns the changed one; a function of
-- your own may take all the tensors of the batch and return as many.

local gan = require "gan"
local options = require "gan.options"

local augment = {}

--- A mask (N, 1, ..., 1) that is true with probability p.
local function coin(x, p)
  local shape = { x:size(1) }
  for d = 2, x:dim() do
    shape[d] = 1
  end
  return gan.lt(gan.rand(table.unpack(shape)), p)
end

--- augment.flip{p=0.5, dim=-1}: mirrors each image with probability p; dim -1 is left and right.
function augment.flip(given)
  local o = options.check("augment.flip", given or {}, "p:number=0.5 ; dim:int=-1")
  return function(x)
    return gan.where(coin(x, o.p), x:flip{ dims = { o.dim } }, x)
  end
end

--- Cuts a window of h x w out of each image, at a place that is drawn for each.
local function windows(x, h, w)
  local n, high, wide = x:size(1), x:size(-2) - h, x:size(-1) - w
  local places, parts = gan.rand(math.max(n, 1), 2):totable(), {}
  for i = 1, n do
    local y = math.floor(places[i][1] * (high + 1))
    local z = math.floor(places[i][2] * (wide + 1))
    parts[i] = x[i]:slice(-2, y + 1, y + h):slice(-1, z + 1, z + w)
  end
  return n > 0 and gan.stack(parts, { dim = 1 }) or x:slice(-2, 1, h):slice(-1, 1, w)
end

local function padded(x, pixels, mode, value)
  local pads = {}
  for d = 1, 2 * x:dim() do
    pads[d] = d > 2 * x:dim() - 4 and pixels or 0
  end
  return x:pad{ pads = pads, mode = mode, value = value }
end

--- augment.shift{pixels, mode="constant", value=0}: moves each image by up to so many pixels up or
-- down and left or right; what comes in is `value`, or the image "reflect"ed or its edge
-- "replicate"d. Give the value of the background: -1 where black is -1.
function augment.shift(given)
  local o = options.check("augment.shift", given,
    "pixels:count ; mode:constant|reflect|replicate=constant value:number=0")
  return function(x)
    return windows(padded(x, o.pixels, o.mode, o.value), x:size(-2), x:size(-1))
  end
end

--- augment.crop{size}: a part of size x size, or {height, width}, from a random place of each.
function augment.crop(given)
  local o = options.check("augment.crop", given, "size:ints")
  local size = type(o.size) == "table" and o.size or { o.size, o.size }
  return function(x)
    if size[1] < 1 or size[2] < 1 or size[1] > x:size(-2) or size[2] > x:size(-1) then
      error(("augment.crop: no part of %d x %d in images of %d x %d"):format(size[1], size[2],
        x:size(-2), x:size(-1)), 0)
    end
    return windows(x, size[1], size[2])
  end
end

--- augment.noise{std}: adds independent normal noise of this standard deviation.
function augment.noise(given)
  local o = options.check("augment.noise", given, "std:number")
  return function(x)
    return x + gan.randn(table.unpack(x:shape())) * o.std
  end
end

return augment
