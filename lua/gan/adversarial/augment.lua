--- Differentiable augmentation (Zhao et al. 2020): real and generated images are changed at random
-- before the discriminator sees them, and the generator's gradient flows back through the change.
-- It keeps a discriminator from learning a small data set by heart.

local gan = require "gan"
local options = require "gan.options"

-- Every function changes each image of x (N, C, H, W) by itself.
local changes = {}

local function coins(x, lo, hi)
  return gan.rand({ x:size(1), 1, 1, 1 }, { lo = lo, hi = hi })
end

--- Brightness, saturation and contrast.
function changes.color(x)
  x = x + coins(x, -0.5, 0.5)
  if x:size(2) > 1 then
    local grey = x:mean({ 2 }, { keepdim = true })
    x = (x - grey) * coins(x, 0, 2) + grey
  end
  local level = x:mean({ 2, 3, 4 }, { keepdim = true })
  return (x - level) * coins(x, 0.5, 1.5) + level
end

--- 1 2 ... n as (1, n, 1) or (1, 1, n).
local function places(n, dim)
  return dim == 2 and gan.arange(n):reshape(1, n, 1) or gan.arange(n):reshape(1, 1, n)
end

--- (N, 1, n, n) matrices that move lines of n pixels by up to `most` each way: rows of zeros come
-- in.
local function shifts(count, n, most)
  local by = gan.rand({ count, 1, 1 }, { lo = -most, hi = most + 1 }):floor()
  return gan.eq(places(n, 2) + by, places(n, 3)):to(gan.config.real):unsqueeze(2)
end

--- Moves by up to an eighth of the size; what comes in is 0.
function changes.translation(x)
  local n, h, w = x:size(1), x:size(3), x:size(4)
  local down, right = shifts(n, h, (h + 4) // 8), shifts(n, w, (w + 4) // 8)
  return down:matmul(x):matmul(right:transpose(3, 4))
end

--- (N, n) of 1 inside a window of half the length at a random place, part of which may lie outside.
local function windows(count, n)
  local half = n // 2
  local low, high = 1 - half // 2, n + 2 - half + half // 2
  local first = gan.rand({ count, 1 }, { lo = low, hi = high }):floor()
  local place = gan.arange(n):reshape(1, n)
  return (gan.ge(place, first) * gan.lt(place, first + half)):to(gan.config.real)
end

--- A square of half the size becomes 0.
function changes.cutout(x)
  local n, h, w = x:size(1), x:size(3), x:size(4)
  local hole = windows(n, h):unsqueeze(3) * windows(n, w):unsqueeze(2)
  return x * (1 - hole):unsqueeze(2)
end

local words = { "color", "translation", "cutout" }

--- adversarial.augment{"color", "translation", "cutout"}: a function of images (N, C, H, W), which
-- applies the changes named, in this order: D(augment(real)), D(augment(fake)). Names of changes
-- may be functions of your own.
return function(given)
  local list = {}
  if type(given) ~= "table" or #given == 0 then
    error("adversarial.augment: takes a list of changes: " .. table.concat(words, ", "), 2)
  end
  for i, name in ipairs(given) do
    list[i] = type(name) == "function" and name or changes[name]
    if not list[i] then
      error(("adversarial.augment: no change is called '%s'%s"):format(tostring(name),
        options.hint(name, words)), 2)
    end
  end
  return function(x)
    if x:dim() ~= 4 then
      error(("adversarial.augment: takes images (N, C, H, W), not (%s)"):format(
        table.concat(x:shape(), " x ")), 2)
    end
    for _, change in ipairs(list) do
      x = change(x)
    end
    return x
  end
end
