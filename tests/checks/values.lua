--- Values, gradients and penalty gradients against the committed numbers of PyTorch.
local common = require "tests.checks.common"
local gan = require "gan"

local values = {}

--- y against golden y (or against the case's own reference).
function values.forward(e, golden)
  local made = {}
  local out = common.call(e, common.make, made)
  local tol = e.case.tol or (common.double and 1e-8 or 1e-5)
  if golden then
    for k, g in ipairs(golden.y) do
      assert(gan.is_tensor(out[k]), e.name .. ": output " .. k .. " is missing")
      local why = common.differs(out[k], g[3], g[2], tol)
      assert(not why, ("%s: output %d: %s"):format(e.name, k, why))
    end
  elseif e.case.expect then
    local want = table.pack(e.case.expect(gan, table.unpack(made)))
    for k = 1, want.n do
      if gan.is_tensor(want[k]) then
        local why = common.differs(out[k], common.flat(want[k]), want[k]:shape(), tol)
        assert(not why, ("%s: output %d: %s"):format(e.name, k, why))
      else assert(want[k] == nil or want[k] == out[k], e.name .. ": output " .. k) end
    end
  end
end

local function tracked(e, made, wrt)
  return common.call(e, function(entry, k)
    local t = common.make(entry)
    for _, w in ipairs(wrt) do if w == k then t = gan.require_grad(t) end end
    return t
  end, made)
end

-- Gradients (nil: zeros) against golden ones.
local function compare(e, what, got, want, xs, tol)
  for i, w in ipairs(want) do
    local why = common.differs(got[i] or gan.zeros_like(xs[i]), w[3], w[2], tol)
    assert(not why, ("%s: %s for tensor %d: %s"):format(e.name, what, common.wrt(e)[i], why))
  end
end

-- The sum of the squares of those gradients that have a graph; nil when none has.
local function squares(g)
  local total
  for i = 1, g.n do
    if g[i] and g[i]:requires_grad() then
      local term = (g[i] * g[i]):sum()
      total = total and total + term or term
    end
  end
  return total
end

--- First gradients, and the gradients of the sum of their squares.
function values.gradient(e, golden)
  if not golden or not golden.g then return end
  local wrt, made = common.wrt(e), {}
  local total = common.scalar(e, tracked(e, made, wrt))
  if not total then return end
  local xs = {}
  for i, w in ipairs(wrt) do xs[i] = made[w] end
  local options = { create_graph = golden.h ~= nil, allow_unused = true }
  local g = table.pack(gan.grad(total, xs, options))
  local tol = (e.case.tol or (common.double and 1e-8 or 1e-5)) * (common.double and 1 or 4)
  compare(e, "gradient", g, golden.g, xs, tol)
  if not golden.h then return end
  local penalty = squares(g)
  local h = penalty and table.pack(gan.grad(penalty, xs, { allow_unused = true })) or {}
  compare(e, "penalty gradient", h, golden.h, xs, tol * (common.double and 1 or 10))
end

--- The fused gradient of every op equals the composed one.
function values.fused(e)
  local wrt, grads = common.wrt(e), {}
  for pass = 1, 2 do
    local made, xs = {}, {}
    local total = common.scalar(e, tracked(e, made, wrt))
    if not total then return end
    for i, w in ipairs(wrt) do xs[i] = made[w] end
    gan.debug.force_composed(pass == 2)
    local ok, g = pcall(function()
      return table.pack(gan.grad(total, xs, { allow_unused = true }))
    end)
    gan.debug.force_composed(false)
    assert(ok, g)
    grads[pass] = g
  end
  for i = 1, #wrt do
    local a, b = grads[1][i], grads[2][i]
    assert((a == nil) == (b == nil), e.name .. ": one of the two gradients is missing")
    if a then
      local why = common.differs(a, common.flat(b), b:shape(), common.double and 1e-10 or 2e-5)
      assert(not why, ("%s: fused against composed, tensor %d: %s"):format(e.name, wrt[i], why))
    end
  end
end

return values
