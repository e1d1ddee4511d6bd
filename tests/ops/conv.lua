-- Cases of runtime/ops/conv.c: see tests/case.lua.
local t = require "tests.case"

local nan, huge = 0 / 0, math.huge

local function python(v)
  if type(v) == "table" then return "(" .. table.concat(v, ", ") .. ("," .. ")") end
  return tostring(v)
end

-- A case: sizes of x and weight, a bias or not, options with PyTorch's names.
local function case_of(f, x, w, bias, options)
  local names, extra, act, slope = {}, "", (options or {}).activation, (options or {}).slope
  for k in pairs(options or {}) do
    if k ~= "activation" and k ~= "slope" then names[#names + 1] = k end
  end
  table.sort(names)
  for _, k in ipairs(names) do extra = extra .. (", %s=%s"):format(k, python(options[k])) end
  local c = { t.randn(x), t.randn(w) }
  if bias then c[3] = t.randn{bias} end
  if options then c[#c + 1] = options end
  c.torch = ("F.%s(a, b%s%s)"):format(f, bias and ", c" or "", extra)
  if act == "leaky_relu" then
    c.torch = ("F.leaky_relu(%s, %s)"):format(c.torch, slope or 0.01)
  elseif act then
    c.torch = ("torch.%s(%s)"):format(act, c.torch)
  end
  return c
end

local function cases(f, list)
  local out = {}
  for i, c in ipairs(list) do out[i] = case_of(f, table.unpack(c, 1, 4)) end
  return out
end

local conv1d = cases("conv1d", {
  { {2, 3, 7}, {4, 3, 3}, 4 },
  { {2, 3, 7}, {4, 3, 3}, nil, { stride = 2, padding = 1 } },
  { {1, 2, 9}, {3, 2, 3}, 3, { dilation = 3, padding = 2 } },
  { {2, 4, 6}, {6, 2, 2}, 6, { groups = 2, stride = {3} } },
  { {3, 4, 5}, {4, 1, 3}, nil, { groups = 4, padding = 1 } },
  { {2, 1, 1}, {2, 1, 1} },
  { {0, 2, 5}, {3, 2, 3}, 3 },
  { {2, 3, 7}, {4, 3, 3}, 4, { activation = "relu" } },
})

local conv2d = cases("conv2d", {
  { {2, 3, 5, 6}, {4, 3, 3, 2}, 4 },
  { {1, 1, 6, 6}, {2, 1, 4, 4}, nil, { stride = 2, padding = 1 } },
  { {2, 2, 7, 5}, {3, 2, 3, 3}, 3, { stride = {2, 1}, padding = {1, 0} } },
  { {1, 2, 7, 8}, {2, 2, 2, 3}, nil, { dilation = {3, 2}, padding = {0, 2} } },
  { {2, 6, 4, 4}, {4, 3, 3, 3}, 4, { groups = 2, padding = 1 } },
  { {2, 4, 5, 4}, {8, 1, 3, 3}, nil, { groups = 4, padding = 1, stride = 2 } },
  { {2, 3, 4, 5}, {3, 1, 2, 3}, 3, { groups = 3, dilation = {1, 2}, padding = {0, 1} } },
  { {9, 2, 3, 3}, {5, 2, 3, 3}, 5, { padding = 2, stride = 3 } }, -- images as places of a tile
  { {9, 2, 3, 3}, {5, 2, 3, 3}, 5, { padding = 2, activation = "leaky_relu", slope = 0.2 } },
  { {2, 3, 5, 6}, {4, 3, 3, 2}, 4, { stride = 2, activation = "tanh" } },
  { {2, 6, 4, 4}, {4, 3, 3, 3}, 4, { groups = 2, padding = 1, activation = "sigmoid" } },
  { {2, 4, 5, 4}, {8, 1, 3, 3}, nil, { groups = 4, stride = 2, activation = "relu" } },
  { {2, 17, 3, 3}, {2, 17, 2, 2}, 2, { padding = 1 } }, -- vectors along the input
  { {1, 2, 3, 4}, {18, 2, 1, 1}, 18 },
  { {2, 3, 1, 1}, {4, 3, 1, 1}, 4, { stride = 3 } },
  { {1, 2, 1, 2}, {3, 2, 3, 3}, nil, { padding = 1 } },
  { {1, 2, 4, 4}, {2, 2, 4, 4}, 2 },
  { {0, 2, 5, 5}, {3, 2, 3, 3}, 3, { padding = 1 } },
})

local transpose1d = cases("conv_transpose1d", {
  { {2, 3, 5}, {3, 4, 3}, 4 },
  { {2, 3, 4}, {3, 2, 4}, nil, { stride = 2, padding = 1 } },
  { {1, 2, 4}, {2, 3, 3}, 3, { stride = 3, output_padding = 2, dilation = 2 } },
  { {2, 4, 3}, {4, 2, 2}, 4, { groups = 2, stride = 2 } },
  { {2, 3, 4}, {3, 1, 3}, nil, { groups = 3, padding = 1 } },
  { {2, 1, 1}, {1, 2, 1} },
  { {0, 2, 3}, {2, 3, 3}, 3 },
  { {2, 3, 5}, {3, 4, 4}, 4, { stride = 2, activation = "sigmoid" } },
})

local transpose2d = cases("conv_transpose2d", {
  { {2, 3, 3, 4}, {3, 2, 3, 2}, 2 },
  { {2, 2, 3, 3}, {2, 3, 4, 4}, 3, { stride = 2, padding = 1 } },
  { {1, 2, 3, 2}, {2, 2, 3, 3}, nil,
    { stride = {2, 3}, padding = {1, 0}, output_padding = {1, 2} } },
  { {1, 2, 3, 3}, {2, 1, 2, 3}, 1, { dilation = {2, 3}, stride = {3, 2}, padding = 1 } },
  { {1, 2, 2, 3}, {2, 2, 2, 2}, 2, { dilation = 2, stride = 4 } }, -- some places have no tap
  { {2, 4, 3, 3}, {4, 3, 3, 3}, 6, { groups = 2, padding = 1, stride = 2 } },
  { {2, 4, 3, 3}, {4, 1, 3, 3}, nil, { groups = 4, stride = 2, output_padding = 1 } },
  { {9, 5, 1, 1}, {5, 2, 4, 4}, 2 },
  { {2, 17, 2, 2}, {17, 1, 4, 4}, 1, { stride = 2, padding = 1 } },
  { {1, 2, 3, 3}, {2, 18, 1, 1}, 18 },
  { {0, 2, 3, 3}, {2, 3, 3, 3}, 3 },
  { {2, 3, 4, 3}, {3, 4, 4, 4}, 4, { stride = 2, padding = 1, activation = "leaky_relu" } },
  { {9, 2, 2, 3}, {2, 5, 3, 3}, 5, { activation = "tanh" } },
  { {2, 4, 3, 3}, {4, 2, 3, 3}, 4, { groups = 2, activation = "relu" } },
})

-- one option for all dimensions as a list; no bias
conv2d[#conv2d + 1] = { t.randn{1, 2, 4, 4}, t.randn{2, 2, 3, 3}, t.none, { padding = {1} },
  torch = "F.conv2d(a, b, padding=1)" }
-- a NaN reaches exactly the windows that cover it, an infinity times 0 is a NaN
local kernel = t.values{{{{1, 0}, {0, 2}}}}
local function with(v)
  return t.values{{{{1, 2, 3, 4}, {0, v, 0, 1}, {2, 1, 0, 3}, {1, 1, 1, 1}}}}
end
conv2d[#conv2d + 1] = { with(nan), kernel, torch = "F.conv2d(a, b)", smooth = false, grad = false }
conv2d[#conv2d + 1] = { with(huge), kernel, { padding = 1 }, torch = "F.conv2d(a, b, padding=1)",
  smooth = false, grad = false }
transpose2d[#transpose2d + 1] = { with(nan), kernel, { stride = 2 }, smooth = false, grad = false,
  torch = "F.conv_transpose2d(a, b, stride=2)" }
-- output_padding between stride and dilation, which PyTorch cannot differentiate
transpose2d[#transpose2d + 1] = { t.randn{1, 1, 2, 3}, t.randn{1, 2, 2, 2}, t.randn{2},
  { dilation = 4, output_padding = {3, 1} }, torch = false,
  expect = function(gan, x, w, b)
    -- the outputs that the formula without output_padding has, and then the bias alone
    local y = gan.conv_transpose2d(x, w, { dilation = 4 })
    y = gan.pad(y, { 0, 0, 0, 0, 0, 3, 0, 1 })
    return y + b:reshape(1, 2, 1, 1)
  end }

return {
  conv1d = conv1d, conv2d = conv2d, conv_transpose1d = transpose1d, conv_transpose2d = transpose2d,
}
