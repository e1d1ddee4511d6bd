--- The same results for other memory layouts, subsets of gradients and numbers of threads.
local common = require "tests.checks.common"
local gan = require "gan"

local layouts = {}
local TOL = common.double and 1e-10 or 1e-5

-- Other layouts of the same values: reversed dimension order in memory, and every second element
-- of a larger block with an offset.
local function permuted(t)
  local n = t:dim()
  if n < 2 then return t end
  local back, forth = {}, {}
  for d = 1, n do back[d], forth[d] = n + 1 - d, n + 1 - d end
  return t:permute(back):contiguous():permute(forth)
end

local function spread(t)
  local s = t:shape()
  if #s == 0 or t:numel() == 0 then return t end
  local wide = { table.unpack(s) }
  wide[#s] = 2 * s[#s] + 1
  local block = gan.zeros(wide, { dtype = t:dtype() })
  local view = block:slice(#s, 2, 2 * s[#s], { step = 2 })
  view:copy_(t)
  return view
end

local function same(e, what, a, b)
  for k = 1, a.n do
    if gan.is_tensor(a[k]) then
      local why = common.differs(b[k], common.flat(a[k]), a[k]:shape(), TOL)
      assert(not why, ("%s: %s, output %d: %s"):format(e.name, what, k, why))
    end
  end
end

function layouts.strided(e)
  local base = common.call(e, common.make)
  for what, change in pairs{ ["permuted memory"] = permuted, ["strided views"] = spread } do
    same(e, "with " .. what, base, common.call(e, function(entry)
      return change(common.make(entry))
    end))
  end
end

-- Gradients through permuted inputs, laid out as the values of plain ones.
function layouts.strided_gradient(e)
  local wrt = common.wrt(e)
  local function gradients(change)
    local made = {}
    local out = common.call(e, function(entry, k)
      local t = common.make(entry)
      for _, w in ipairs(wrt) do if w == k then t = gan.require_grad(t) end end
      made[k] = t
      return change(t)
    end)
    local total = common.scalar(e, out)
    if not total then return nil end
    local xs = {}
    for i, w in ipairs(wrt) do xs[i] = made[w] end
    local g = table.pack(gan.grad(total, xs, { allow_unused = true }))
    g.n = #wrt
    return g
  end
  local plain = gradients(function(t) return t end)
  if not plain then return end
  same(e, "gradient through permuted memory", plain, gradients(permuted))
end

-- Asking for the gradient of one input alone gives what asking for all gives.
function layouts.subsets(e)
  local wrt = common.wrt(e)
  local function gradient_of(set)
    local made = {}
    local total = common.scalar(e, common.call(e, function(entry, k)
      local t = common.make(entry)
      return set[k] and gan.require_grad(t) or t
    end, made))
    if not total then return {} end
    total:backward()
    local g = {}
    for k in pairs(set) do g[k] = made[k]:grad() end
    return g
  end
  local all = {}
  for _, w in ipairs(wrt) do all[w] = true end
  local full = gradient_of(all)
  for _, w in ipairs(wrt) do
    local one = gradient_of{ [w] = true }
    if full[w] and one[w] then
      local why = common.differs(one[w], common.flat(full[w]), full[w]:shape(), TOL)
      assert(not why, ("%s: gradient of tensor %d alone: %s"):format(e.name, w, why))
    else
      assert(not full[w] or common.flat(full[w])[1] == nil or full[w]:abs():sum():item() == 0,
             ("%s: the gradient of tensor %d is lost when asked for alone"):format(e.name, w))
    end
  end
end

function layouts.threads(e)
  local before = gan.threads()
  gan.threads(1)
  local one = common.call(e, common.make)
  gan.threads(2)
  local two = common.call(e, common.make)
  gan.threads(before)
  same(e, "with two threads", one, two)
end

return layouts
