-- Cases of runtime/ops/pool.c: see tests/case.lua.
local t = require "tests.case"

local nan, huge = 0 / 0, math.huge

local function python(v)
  if type(v) == "boolean" then return v and "True" or "False" end
  if type(v) == "table" then return "(" .. table.concat(v, ", ") .. ("," .. ")") end
  return tostring(v)
end

local function arguments(options)
  local names, extra = {}, ""
  for k in pairs(options or {}) do names[#names + 1] = k end
  table.sort(names)
  for _, k in ipairs(names) do extra = extra .. (", %s=%s"):format(k, python(options[k])) end
  return extra
end

-- Scattered values of which no two are equal: a maximum with a rival has no derivative.
local function distinct(sizes)
  local n, at = 1, 0
  for _, s in ipairs(sizes) do n = n * s end
  if n == 0 then return t.randn(sizes) end
  local prime = 1009
  local function nest(d)
    if d > #sizes then
      at = at + 1
      return (at * 382 % prime - 500) / 256
    end
    local list = {}
    for i = 1, sizes[d] do list[i] = nest(d + 1) end
    return list
  end
  return t.values(nest(1))
end

-- each entry: sizes of x, kernel size, options with PyTorch's names
local function cases(f, list, tail)
  local out = {}
  for i, e in ipairs(list) do
    local c = { (f:find("max") and distinct or t.randn)(e[1]), e[2] }
    if e[3] then c[3] = e[3] end
    c.torch = ("F.%s(a, %s%s%s)"):format(f, python(e[2]), arguments(e[3]), tail or "")
    out[i] = c
  end
  return out
end

local INDICES = ", return_indices=True"

local max1d = cases("max_pool1d", {
  { {2, 3, 7}, 2 },
  { {2, 2, 8}, 3, { stride = 2, padding = 1 } },
  { {1, 2, 9}, 3, { stride = 1, dilation = 2, padding = 1 } },
  { {1, 2, 8}, 3, { stride = 2, ceil_mode = true } },
  { {1, 2, 2}, 3, { stride = 2, ceil_mode = true } }, -- smaller than its window
  { {2, 1, 1}, 1 },
  { {0, 2, 4}, 2 },
}, INDICES)

local max2d = cases("max_pool2d", {
  { {2, 3, 4, 4}, 2 },
  { {2, 2, 5, 5}, {3, 2}, { stride = {1, 2} } },
  { {1, 2, 5, 7}, 3, { stride = 2, padding = 1 } },
  { {1, 2, 6, 7}, {2, 3}, { stride = {2, 3}, ceil_mode = true } },
  { {1, 2, 7, 6}, 2, { stride = 3, padding = 1, ceil_mode = true } },
  { {1, 3, 7, 7}, 3, { stride = 1, dilation = {1, 2}, padding = {0, 1} } },
  { {1, 1, 1, 1}, 2, { padding = 1 } },
  { {1, 17, 3, 3}, 2, { stride = 1 } },
  { {0, 2, 4, 4}, 2 },
}, INDICES)
-- equal values: the first; NaN wins, the first one; all -inf is still a place
max2d[#max2d + 1] = { t.values{{{{1, 1, 2, 2}, {1, 1, 2, 2}, {0, 0, -1, 5}, {0, 0, 5, 5}}}}, 2,
  torch = "F.max_pool2d(a, 2, return_indices=True)", smooth = false }
max2d[#max2d + 1] = { t.values{{{{1, nan, -huge, -huge}, {3, nan, -huge, -huge}}}}, 2,
  torch = false, -- the last NaN wins there
  smooth = false,
  expect = function(gan)
    return gan.tensor{{{{nan, -huge}}}}, gan.tensor({{{{2, 3}}}}, { dtype = "int64" })
  end }

local unpool1d = {
  { t.randn{2, 2, 3}, t.values({{{2, 3, 6}, {1, 4, 5}}, {{1, 3, 5}, {2, 4, 6}}}, "int64"), 2,
    torch = "F.max_unpool1d(a, b, 2)" },
  { t.randn{1, 1, 3}, t.values({{{1, 4, 7}}}, "int64"), 2, { output_size = 7 },
    torch = "F.max_unpool1d(a, b, 2, output_size=(7,))" },
  { t.randn{1, 2, 2}, t.values({{{1, 3}, {2, 3}}}, "int64"), 3, 2, 1,
    torch = "F.max_unpool1d(a, b, 3, stride=2, padding=1)" },
  { t.randn{0, 2, 3}, t.labels{0, 2, 3, n = 6}, 2, torch = "torch.zeros(0, 2, 6)" },
}

local unpool2d = {
  { t.randn{1, 2, 2, 2}, t.values({{{{1, 3}, {9, 16}}, {{6, 4}, {10, 12}}}}, "int64"), 2,
    torch = "F.max_unpool2d(a, b, 2)" },
  { t.randn{1, 1, 2, 2}, t.values({{{{7, 3}, {16, 25}}}}, "int64"), 2, { output_size = {5, 5} },
    torch = "F.max_unpool2d(a, b, 2, output_size=(5, 5))" },
  { t.randn{1, 1, 1, 2}, t.values({{{{2, 5}}}}, "int64"), {2, 1}, { stride = {1, 2} },
    torch = "F.max_unpool2d(a, b, (2, 1), stride=(1, 2))" },
  -- places that occur twice keep the last value; only that one has a gradient (PyTorch gives the
  -- gradient to both)
  { t.randn{1, 1, 2, 2}, t.values({{{{5, 5}, {5, 1}}}}, "int64"), 2, torch = false,
    expect = function(gan, y)
      local x = gan.zeros(1, 1, 4, 4)
      x:set(y:get(1, 1, 2, 2), 1, 1, 1, 1)
      x:set(y:get(1, 1, 2, 1), 1, 1, 2, 1)
      return x
    end },
}

local AVERAGES = {
  { {2, 2, 7}, 2 },
  { {1, 2, 8}, 3, { stride = 2, padding = 1 } },
  { {1, 2, 8}, 3, { stride = 2, padding = 1, count_include_pad = false } },
  { {1, 2, 8}, 3, { stride = 2, padding = 1, ceil_mode = true } },
  { {1, 1, 5}, 2, { stride = 4, ceil_mode = true, count_include_pad = false } },
  { {0, 2, 4}, 2 },
}

local avg2d = cases("avg_pool2d", {
  { {2, 2, 4, 6}, 2 },
  { {1, 2, 5, 5}, {3, 2}, { stride = {1, 2} } },
  { {1, 2, 5, 7}, 3, { stride = 2, padding = 1 } },
  { {1, 2, 5, 7}, 3, { stride = 2, padding = {1, 0}, count_include_pad = false } },
  { {1, 2, 6, 7}, {2, 3}, { stride = 3, ceil_mode = true } },
  { {1, 2, 6, 6}, 3, { stride = 2, padding = 1, ceil_mode = true } },
  { {1, 2, 6, 6}, 3, { stride = 2, padding = 1, ceil_mode = true, count_include_pad = false } },
  { {1, 2, 4, 5}, 2, { stride = 1, divisor_override = 3 } },
  { {1, 17, 3, 3}, 2, { stride = 1 } },
  { {0, 2, 4, 4}, 2 },
})

return {
  max_pool1d = max1d, max_pool2d = max2d, max_unpool1d = unpool1d, max_unpool2d = unpool2d,
  avg_pool1d = cases("avg_pool1d", AVERAGES), avg_pool2d = avg2d,
  adaptive_avg_pool1d = cases("adaptive_avg_pool1d", {
    { {2, 3, 7}, 3 }, { {1, 2, 5}, 5 }, { {1, 2, 3}, 7 }, { {2, 1, 6}, 1 }, { {0, 2, 6}, 4 },
  }),
  adaptive_avg_pool2d = cases("adaptive_avg_pool2d", {
    { {2, 2, 5, 7}, 3 }, { {1, 2, 6, 4}, {2, 3} }, { {2, 3, 4, 4}, 1 }, { {1, 2, 2, 3}, {3, 5} },
    { {1, 17, 3, 4}, 2 },
  }),
  adaptive_max_pool1d = cases("adaptive_max_pool1d", {
    { {2, 3, 7}, 3 }, { {1, 2, 3}, 5 },
  }, INDICES),
  adaptive_max_pool2d = cases("adaptive_max_pool2d", {
    { {2, 2, 5, 7}, 3 }, { {1, 2, 6, 4}, {2, 3} }, { {2, 3, 4, 4}, 1 }, { {1, 2, 2, 3}, {3, 5} },
    { {1, 17, 3, 4}, 2 },
  }, INDICES),
}
