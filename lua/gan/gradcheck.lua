--- gan.gradcheck(f, inputs, options): do the gradients of f agree with differences?
--
-- f takes the tensors of the list `inputs` and returns one or more tensors. Its outputs are
-- projected on random directions u to one number, s = sum <u, f>, and for random directions v the
-- slope <ds/dx, v> is compared with (s(x + eps v) - s(x - eps v)) / (2 eps): a few evaluations
-- instead of one per element. With order = 2, the gradient itself is checked as a function of the
-- inputs and of u. Uses the double build's precision if there is one; in float32, expect 1e-2.

local gan = require "gan"
local options = require "gan.options"

local spec = "; order:int=1 eps:number? tol:number? directions:count=3 seed:int=1"

--- Random numbers of x's sizes, from a stream that f does not touch: f may itself be random.
local function direction(x)
  return gan.randn(x:shape())
end

local function differentiable(x)
  return x:dtype():find "^float" ~= nil
end

local function project(outputs, us)
  local s
  for i, y in ipairs(outputs) do
    local part = (y * us[i]):sum()
    s = s and s + part or part
  end
  return s
end

local function outputs_of(f, inputs)
  local outputs = table.pack(f(table.unpack(inputs)))
  local list = {}
  for i = 1, outputs.n do
    if gan.is_tensor(outputs[i]) and differentiable(outputs[i]) then
      list[#list + 1] = outputs[i]
    end
  end
  return list
end

--- s as a Lua number at `inputs`, with the random state that every evaluation starts from.
local function value_at(f, inputs, us, state)
  gan.set_rng_state(state)
  return gan.no_grad(function() return project(outputs_of(f, inputs), us):item() end)
end

local function shifted(inputs, wanted, v, eps)
  local moved = {}
  for i, x in ipairs(inputs) do
    moved[i] = wanted[i] and (x + v[i] * eps):detach() or x
  end
  return moved
end

--- The slope along v by central differences, and how far it can be trusted.
local function slope(f, inputs, wanted, v, us, o, state)
  local at = function(step) return value_at(f, shifted(inputs, wanted, v, step), us, state) end
  local high, low = at(o.eps), at(-o.eps)
  return (high - low) / (2 * o.eps)
end

local function gradients(f, inputs, wanted, us, state)
  local leaves, asked = {}, {}
  for i, x in ipairs(inputs) do
    leaves[i] = wanted[i] and gan.require_grad(x:detach()) or x
    asked[#asked + 1] = wanted[i] and leaves[i] or nil
  end
  gan.set_rng_state(state)
  local s = project(outputs_of(f, leaves), us)
  return table.pack(gan.grad(s, asked, { allow_unused = true }))
end

local function analytic(grads, wanted, v)
  local total, k = 0, 0
  for i = 1, #wanted do
    if wanted[i] then
      k = k + 1
      if grads[k] then
        total = total + (grads[k] * v[i]):sum():item()
      end
    end
  end
  return total
end

local function check_first(f, inputs, o, what)
  local wanted, count = {}, 0
  for i, x in ipairs(inputs) do
    wanted[i] = gan.is_tensor(x) and differentiable(x)
    count = count + (wanted[i] and 1 or 0)
  end
  if count == 0 then
    error("gradcheck: no input has a gradient", 3)
  end
  local state = gan.rng_state()
  local us = {}
  for i, y in ipairs(gan.no_grad(outputs_of, f, inputs)) do
    us[i] = direction(y)
  end
  local grads = gradients(f, inputs, wanted, us, state)
  for k = 1, o.directions do
    local v = {}
    for i, x in ipairs(inputs) do
      v[i] = wanted[i] and direction(x)
    end
    local after = gan.rng_state()
    local expected, found = slope(f, inputs, wanted, v, us, o, state), analytic(grads, wanted, v)
    gan.set_rng_state(after)
    local scale = math.max(1, math.abs(expected), math.abs(found))
    local agree = math.abs(expected - found) <= o.tol * scale
    if not agree then -- also when one of them is NaN
      error(("gradcheck: %s gradient, direction %d: differences give %.9g, the gradient %.9g")
        :format(what, k, expected, found), 0)
    end
  end
end

--- The gradient of f as a function of its inputs and of the directions of its outputs.
local function gradient_function(f, inputs, count)
  return function(...)
    local given, leaves, asked = { ... }, {}, {}
    for i = 1, #inputs do
      leaves[i] = given[i]
      if gan.is_tensor(given[i]) and differentiable(given[i]) then
        -- a fresh node, so that the outer check sees the dependence on this input
        leaves[i] = given[i]:requires_grad() and given[i] or gan.require_grad(given[i])
        asked[#asked + 1] = leaves[i]
      end
    end
    return gan.enable_grad(function()
      local us = table.move(given, #inputs + 1, #inputs + count, 1, {})
      local grads = table.pack(gan.grad(project(outputs_of(f, leaves), us), asked,
        { create_graph = true, allow_unused = true }))
      for i, x in ipairs(asked) do
        grads[i] = grads[i] or gan.zeros_like(x)
      end
      return table.unpack(grads, 1, #asked)
    end)
  end
end

local function check_second(f, inputs, o)
  local arguments = table.move(inputs, 1, #inputs, 1, {})
  local outputs = gan.no_grad(outputs_of, f, inputs)
  for _, y in ipairs(outputs) do
    arguments[#arguments + 1] = direction(y)
  end
  check_first(gradient_function(f, inputs, #outputs), arguments, o, "second")
end

--- Returns true, or raises what disagrees. Options: order = 1 or 2; eps, the step (1e-6 in the
-- double build, 1e-2 in float32); tol, relative to max(1, |slope|) (1e-5, 2e-2);
-- directions = 3, how many are tried; seed.
return function(f, inputs, given)
  local o = options.check("gradcheck", given or {}, spec)
  local double = gan.config.real == "float64"
  o.eps = o.eps or (double and 1e-6 or 1e-2)
  o.tol = o.tol or (double and 1e-5 or 2e-2)
  if gan.is_tensor(inputs) then
    inputs = { inputs }
  end
  local before = gan.rng_state()
  gan.manual_seed(o.seed)
  local ok, message = pcall(gan.scope, function()
    check_first(f, inputs, o, "first")
    if o.order >= 2 then
      check_second(f, inputs, o)
    end
  end)
  gan.set_rng_state(before)
  if not ok then
    error(message, 2)
  end
  return true
end
