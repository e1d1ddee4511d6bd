-- Cases of runtime/ops/resize.c: see tests/case.lua.
local t = require "tests.case"

local function python(v)
  if type(v) == "table" then return "(" .. table.concat(v, ", ") .. ")" end
  return "(" .. v .. ",)"
end

-- sizes of x and of the result
local function nearest(x, size)
  return { t.randn(x), size, torch = ("F.interpolate(a, %s, mode='nearest')"):format(python(size)) }
end

local function linear(x, size, align)
  return { t.randn(x), size, { align_corners = align },
    torch = ("F.interpolate(a, %s, mode='%s', align_corners=%s)"):format(
      python(size), #x == 3 and "linear" or "bilinear", align and "True" or "False") }
end

return {
  upsample_nearest = {
    nearest({2, 3, 4}, 8), nearest({1, 2, 5}, 7), nearest({1, 2, 6}, 4),
    nearest({2, 2, 3, 4}, {6, 8}), nearest({1, 2, 3, 5}, {7, 5}), nearest({1, 1, 1, 1}, {3, 2}),
    nearest({1, 17, 2, 2}, {3, 4}),
    { t.randn{0, 2, 3, 3}, {6, 6}, torch = "torch.zeros(0, 2, 6, 6)" },
    { t.randn{1, 2, 3, 3}, 6, torch = "F.interpolate(a, (6, 6))" },
    { t.randn{1, 2, 3, 3}, { scale = 2 }, torch = "F.interpolate(a, scale_factor=2)" },
    -- the ratio is that of the sizes, not 1 / 1.5
    { t.randn{1, 1, 3}, { scale = 1.5 }, torch = "F.interpolate(a, (4,))" },
  },
  upsample_linear = {
    linear({2, 3, 4}, 8, false), linear({2, 3, 4}, 8, true), linear({1, 2, 5}, 7, false),
    linear({1, 2, 6}, 4, true), linear({1, 2, 6}, 4, false),
    linear({2, 2, 3, 4}, {6, 8}, false), linear({2, 2, 3, 4}, {6, 8}, true),
    linear({1, 2, 3, 5}, {7, 5}, false), linear({1, 2, 3, 5}, {4, 1}, true),
    linear({1, 2, 1, 1}, {3, 2}, true), linear({1, 2, 1, 1}, {3, 2}, false),
    linear({1, 17, 2, 2}, {3, 4}, false),
    { t.randn{1, 2, 3, 3}, { scale = 2, align_corners = false },
      torch = "F.interpolate(a, scale_factor=2, mode='bilinear', align_corners=False)" },
  },
  pixel_shuffle = {
    { t.randn{2, 8, 2, 3}, 2, torch = "F.pixel_shuffle(a, 2)" },
    { t.randn{1, 9, 1, 2}, { factor = 3 }, torch = "F.pixel_shuffle(a, 3)" },
    { t.randn{1, 3, 2, 2}, 1, torch = "F.pixel_shuffle(a, 1)" },
    { t.randn{0, 4, 2, 2}, 2, torch = "torch.zeros(0, 1, 4, 4)" },
  },
  pixel_unshuffle = {
    { t.randn{2, 2, 4, 6}, 2, torch = "F.pixel_unshuffle(a, 2)" },
    { t.randn{1, 1, 3, 6}, { factor = 3 }, torch = "F.pixel_unshuffle(a, 3)" },
    { t.randn{0, 1, 4, 4}, 2, torch = "torch.zeros(0, 4, 2, 2)" },
  },
}
