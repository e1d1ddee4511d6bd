-- Every op in a compiled step: results, gradients and the state of the generator are, bit for bit,
-- those of the step that is not compiled. OPS=conv2d,relu restricts the run.
local gan = require "gan"
local case = require "tests.case"
local common = require "tests.checks.common"

local only = os.getenv "OPS"
local CALLS = 6
local CASES = 4 -- of an op, in all modes but the first

-- ops that are not replayed under create_graph: a factor of their gradient is computed by a loop of
-- its own, not by an op, so the plan could not compute it again
local without_penalty = {
  cross_entropy = true, cumprod = true, masked_select = true, nll_loss = true, scatter = true,
}

local records = {}
for _, r in ipairs(gan.ops()) do
  records[r.name] = r
end

--- Which tensors of a case are changed in place.
local function mutated(e)
  local flags, k = {}, 0
  for i = 1, case.count(e.case) do
    local v, p = e.case[i], records[e.op].params[i]
    local n = not case.is_spec(v) and 0 or v.kind == "list" and #v.items
      or v.kind ~= "none" and 1 or 0
    for _ = 1, n do
      k = k + 1
      flags[k] = p and p.mutated or false
    end
  end
  return flags
end

--- The n-th value of a tensor: its elements, turned around every other time.
local function nth(x, n)
  if n % 2 == 1 or x:dim() == 0 or x:numel() == 0 then
    return x:clone()
  end
  local dims = {}
  for d = 1, x:dim() do
    dims[d] = d
  end
  return x:flip(dims)
end

--- A step for a case. Tensors in `outside` are held by it; the others are its arguments, in order.
local function world(e, mode, outside, tracked)
  local made, weights, leaves, held = {}, {}, {}, {}
  common.call(e, common.make, made) -- what the case's tensors are
  for k, x in ipairs(made) do
    if outside[k] then
      held[k] = x:clone()
      if tracked[k] then
        held[k]:requires_grad_()
        leaves[#leaves + 1] = held[k]
      end
    end
  end
  local function scalar(out)
    local total
    for k = 1, out.n do
      local y = out[k]
      if gan.is_tensor(y) and y:dtype() == gan.config.real and y:requires_grad() then
        weights[k] = weights[k]
          or common.tensor(case.cotangent(e.name, k, y:numel()), y:shape(), "real")
        local term = (y * weights[k]):sum()
        total = total and total + term or term
      end
    end
    return total
  end
  local function step(...)
    local given, n, xs = { ... }, 0, { table.unpack(leaves) }
    local args, count = case.arguments(e.case, e.name, function(_, k)
      if held[k] then
        return held[k]
      end
      n = n + 1
      local x = given[n]
      if tracked[k] then
        x = gan.require_grad(x)
        xs[#xs + 1] = x
      end
      return x
    end)
    for _, leaf in ipairs(leaves) do
      leaf:zero_grad()
    end
    local results = table.pack(gan[e.op](table.unpack(args, 1, count)))
    local total = scalar(results)
    local all = { n = results.n, outputs = results, total = total }
    if total and mode == "penalty" then
      local g = table.pack(gan.grad(total, xs, { create_graph = true, allow_unused = true }))
      local penalty
      for i = 1, #xs do
        if g[i] and g[i]:requires_grad() then
          local term = g[i]:square():sum()
          penalty = penalty and penalty + term or term
        end
      end
      all.first = g
      if penalty then
        penalty:backward()
      end
    elseif total then
      total:backward{ retain_graph = mode == "retained" }
      if mode == "retained" then
        total:backward()
      end
    end
    all.grads = {}
    for i, x in ipairs(xs) do
      all.grads[i] = x:grad()
    end
    return all
  end
  local function arguments(call)
    local list = {}
    for k, x in ipairs(made) do
      if not outside[k] then
        list[#list + 1] = nth(x, call)
      end
    end
    return table.unpack(list)
  end
  local function prepare(call)
    gan.no_grad(function()
      for k, x in pairs(held) do
        x:copy_(nth(made[k], call))
      end
    end)
  end
  return step, arguments, prepare, held
end

local function add_bytes(list, v)
  if gan.is_tensor(v) then
    list[#list + 1] = table.concat(v:shape(), "x") .. v:dtype() .. v:detach():contiguous():bytes()
  elseif type(v) == "table" then
    local keys = {}
    for key in pairs(v) do
      keys[#keys + 1] = key
    end
    table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
    for _, key in ipairs(keys) do
      list[#list + 1] = tostring(key)
      add_bytes(list, v[key])
    end
  else
    list[#list + 1] = tostring(v)
  end
end

--- What a world's calls give, as a list of strings, and the compiled step's state.
local function run(e, mode, outside, tracked, compile)
  gan.manual_seed(5)
  local step, arguments, prepare, held = world(e, mode, outside, tracked)
  if compile then
    step = gan.compile{ step, notify = function() end }
  end
  local calls = {}
  for call = 1, CALLS do
    prepare(call)
    local list = {}
    add_bytes(list, step(arguments(call)))
    for k = 1, 20 do
      add_bytes(list, held[k] or false)
    end
    list[#list + 1] = gan.rng_state()
    calls[call] = table.concat(list)
  end
  return calls, step
end

local function check(e, mode, outside, tracked, failures)
  gan.debug.force_composed(mode == "composed")
  local ok, message = pcall(function()
    local eager = run(e, mode, outside, tracked, false)
    local compiled, step = run(e, mode, outside, tracked, true)
    for call = 1, CALLS do
      if eager[call] ~= compiled[call] then
        error(("call %d differs (%s)"):format(call, step.status), 0)
      end
    end
    local excused = mode == "penalty" and without_penalty[e.op]
      and (step.reason or ""):find("not made by an operation", 1, true)
    if step.status ~= "replaying" and not excused then
      error(("%s: %s"):format(step.status, step.reason), 0)
    end
  end)
  gan.debug.force_composed(false)
  if not ok then
    failures[#failures + 1] = ("%s, %s: %s"):format(e.name, mode, tostring(message))
  end
end

--- All modes of one case. Tensors that are changed in place are never arguments.
local function check_case(e, number, failures)
  local changed, tracked, wrt = mutated(e), {}, {}
  local any_changed = false
  for _, k in ipairs(common.wrt(e)) do
    wrt[k] = true
  end
  for _, c in ipairs(changed) do
    any_changed = any_changed or c
  end
  local all_outside = {}
  for k, c in ipairs(changed) do
    tracked[k] = not any_changed and wrt[k] or nil
    all_outside[k] = c or tracked[k]
  end
  check(e, "first", all_outside, tracked, failures)
  if number > CASES then
    return
  end
  check(e, "arguments", changed, tracked, failures)
  if not any_changed and next(wrt) then
    check(e, "composed", all_outside, tracked, failures)
    check(e, "penalty", all_outside, tracked, failures)
    check(e, "retained", all_outside, tracked, failures)
  end
end

describe("a compiled step gives the same bits with", function()
  for _, family in ipairs(case.families) do
    local list, by_op, names = case.load(family), {}, {}
    for _, e in ipairs(list) do
      if not by_op[e.op] then
        by_op[e.op] = {}
        names[#names + 1] = e.op
      end
      table.insert(by_op[e.op], e)
    end
    it("the ops of " .. family, function()
      local failures = {}
      for _, name in ipairs(names) do
        if not only or ("," .. only .. ","):find("," .. name .. ",", 1, true) then
          for number, e in ipairs(by_op[name]) do
            gan.scope(check_case, e, number, failures)
          end
        end
      end
      assert.equal("", table.concat(failures, "\n"))
    end)
  end
end)
