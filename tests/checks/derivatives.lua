--- First and second derivatives against finite differences along random directions (double build).
local case = require "tests.case"
local common = require "tests.checks.common"
local gan = require "gan"

local derivatives = {}

local EPS, TOL = 1e-5, 2e-5

-- Builds the inputs moved by t along their directions; leaves are tracked when asked for.
local function inputs(e, wrt, directions, t, track)
  local made = {}
  local out = common.call(e, function(entry, k)
    local x = common.make(entry)
    for i, w in ipairs(wrt) do
      if w == k then
        if t ~= 0 then x = x + directions[i] * t end
        if track then x = gan.require_grad(x:detach()) end
      end
    end
    return x
  end, made)
  return out, made
end

local function leaves(made, wrt)
  local xs = {}
  for i, w in ipairs(wrt) do xs[i] = made[w] end
  return xs
end

-- Gradients of sum(w y) for the inputs, zeros where there are none.
local function first(e, wrt, directions, t, create)
  local out, made = inputs(e, wrt, directions, t, true)
  local total, xs = common.scalar(e, out), leaves(made, wrt)
  if not total then return nil end
  local g = table.pack(gan.grad(total, xs, { create_graph = create, allow_unused = true }))
  return g, xs, total:item()
end

local function project(g, directions)
  local sum = 0
  for i, d in ipairs(directions) do
    if g[i] then sum = sum + (g[i] * d):sum():item() end
  end
  return sum
end

local function directions_for(e, wrt, tag)
  local tensors, list = case.tensors(e.case, e.name), {}
  for i, w in ipairs(wrt) do
    local _, shape = case.expand(tensors[w].spec, tensors[w].name)
    local n = 1
    for _, s in ipairs(shape) do n = n * s end
    list[i] = common.tensor(case.cotangent(e.name .. tag, i, n), shape, "real")
  end
  return list
end

local function agree(e, what, got, want, scale)
  assert(math.abs(got - want) <= TOL * math.max(1, math.abs(want), scale or 0),
         ("%s: %s %.10g, by finite differences %.10g"):format(e.name, what, got, want))
end

function derivatives.first(e)
  if e.case.smooth == false or e.case.grad == false then return end
  local wrt = common.wrt(e)
  if #wrt == 0 then return end
  local v = directions_for(e, wrt, "/v")
  local g = first(e, wrt, v, 0, false)
  if not g then return end
  local function value(t)
    local _, _, total = first(e, wrt, v, t, false)
    return total
  end
  local plus, minus = value(EPS), value(-EPS)
  agree(e, "the derivative is", project(g, v), (plus - minus) / (2 * EPS),
        math.abs(plus) * 1e-1)
end

-- The derivative of u . dL/dx along v, against differences of the first gradient.
function derivatives.second(e)
  if e.case.smooth == false or e.case.second == false or e.case.grad == false then return end
  local wrt = common.wrt(e)
  if #wrt == 0 then return end
  local v, u = directions_for(e, wrt, "/v"), directions_for(e, wrt, "/u")
  local g, xs = first(e, wrt, v, 0, true)
  if not g then return end
  local s
  for i = 1, #wrt do
    if g[i] and g[i]:requires_grad() then
      local term = (g[i] * u[i]):sum()
      s = s and s + term or term
    end
  end
  local exact = 0
  if s then exact = project(table.pack(gan.grad(s, xs, { allow_unused = true })), v) end
  local plus = project((first(e, wrt, v, EPS, false)), u)
  local minus = project((first(e, wrt, v, -EPS, false)), u)
  agree(e, "the second derivative is", exact, (plus - minus) / (2 * EPS), math.abs(plus) * 1e-1)
end

return derivatives
