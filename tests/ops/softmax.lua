-- Cases of runtime/ops/softmax.c: see tests/case.lua.
local t = require "tests.case"

local inf, nan = math.huge, 0 / 0

local function cases(f)
  local function torch(dim) return ("F.%s(a, %d)"):format(f, dim) end
  return {
    { t.randn{3, 5}, 2, torch = torch(1) },
    { t.randn{3, 5}, { dim = 1 }, torch = torch(0) },
    { t.randn{3, 5}, torch = torch(-1) },
    { t.randn{2, 3, 4}, 2, torch = torch(1) },
    { t.randn{2, 3, 4}, -3, torch = torch(0) },
    { t.randn{3, 45}, 2, torch = torch(1) },
    { t.randn{2, 5, 70}, 2, torch = torch(1) },
    { t.randn{70, 3}, 2, torch = torch(1) },
    { t.values(1.5), 1, torch = torch(0) },
    { t.randn{4, 1}, 2, torch = torch(1) },
    { t.randn{0, 3}, 2, torch = torch(1) },
    { t.randn{3, 0}, 2, torch = torch(1) },
    { t.values{ { 1000, -1000, 999 }, { -1000, -1000, -1001 } }, 2, torch = torch(1) },
    { t.values{ { 1000, -1000 }, { 999, -1001 } }, 1, torch = torch(0) },
    { t.values{ { -inf, 0, 1 }, { 0, nan, 1 } }, 2, torch = torch(1), smooth = false },
    { t.values{ { -inf, -inf }, { inf, 1 } }, 2, torch = torch(1), smooth = false },
  }
end

return { softmax = cases "softmax", log_softmax = cases "log_softmax" }
