-- gan.compile: what is replayed, what is refused and why, and that neither errors nor want of
-- memory nor an impatient user leave anything wrong behind. That replays are exact is the business
-- of compile_ops_spec and compile_nets_spec.
local gan = require "gan"
local support = require "tests.support"
local nn, optim = gan.nn, gan.optim

local function quietly(step) return gan.compile{ step, notify = function() end } end

local function text(v)
  if gan.is_tensor(v) then
    return table.concat(v:shape(), "x") .. ":" .. v:detach():contiguous():bytes()
  elseif type(v) == "table" then
    local keys, list = {}, {}
    for key in pairs(v) do keys[#keys + 1] = key end
    table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
    for i, key in ipairs(keys) do list[i] = tostring(key) .. "=" .. text(v[key]) end
    return table.concat(list, ";")
  end
  return tostring(v)
end

--- build() -> step, arguments(k), [between(k, results)], state. What the calls give, and the step.
local function run(build, calls, compile)
  gan.manual_seed(9)
  local step, arguments, between, state = build()
  if compile then step = quietly(step) end
  local all = {}
  for k = 1, calls do
    local results = table.pack(pcall(step, arguments(k)))
    if not results[1] then results[2] = tostring(results[2]):gsub("^%S+:%d+: ", "") end
    all[k] = text(results)
    if between then between(k, results) end
    all[k] = all[k] .. text(state and state() or {}) .. gan.rng_state()
  end
  return all, step
end

--- The same with and without compilation; returns the compiled step.
local function exact(build, calls)
  local eager = run(build, calls or 8, false)
  local compiled, step = run(build, calls or 8, true)
  for k = 1, #eager do
    assert(eager[k] == compiled[k], ("call %d is not the same (%s)"):format(k, step.status))
  end
  return step
end

local function random(...)
  local sizes = { ... }
  return function() return gan.randn(sizes) end
end

--- A model of two layers, its optimiser, and a step that trains it.
local function trained(o)
  local model = nn.Sequential{ nn.Linear{ 4, 8 }, nn.Tanh{}, nn.Linear{ 8, 3 } }
  local opt = optim.Adam{ model, lr = o and o.lr or 0.01 }
  local function step(x)
    opt:zero_grad()
    local error = model(x):square():mean()
    error:backward()
    opt:step()
    return error
  end
  local function state() return { model:state_dict(), opt:state_dict() } end
  return step, random(5, 4), nil, state, model, opt
end

-- ---- refused ------------------------------------------------------------------------------------

local refused = {
  { "looks at a value", "item looks at a value", function()
    return function(x)
      local y = x:sum()
      return y:item() > 0 and y or -y
    end, random(3)
  end },
  { "looks at a value from outside that it changes later", "item looks at", function()
    local n = gan.zeros(1)
    return function(x)
      local y = n:item() > 5 and x * 2 or x + 0
      n:add_(1)
      return y
    end, random(3)
  end },
  { "reads all values", "totable looks at", function()
    return function(x) return gan.tensor(x:totable()) * 2 end, random(3)
  end },
  { "makes a tensor from data", "not made by an operation", function()
    return function(x) return x * gan.tensor{ 1, 2, 3 } end, random(3)
  end },
  { "makes a number and changes it in place", "not made by|changes a number", function()
    return function(x)
      local t = gan.tensor(0.5)
      return t:add_(x:sum())
    end, random(3)
  end },
  { "reads batches", "manual_seed|not made by", function()
    local batches = gan.data.batches{ gan.randn(8, 3), batch_size = 2, shuffle = true, seed = 1 }
    local next_batch = batches:epoch()
    return function(x)
      local b = next_batch()
      if not b then
        next_batch = batches:epoch()
        b = next_batch()
      end
      return x * b
    end, random(2, 3)
  end },
  { "counts in Lua", "changed from call to call", function()
    local n = 0
    return function(x)
      n = n + 1
      return x * n
    end, random(3)
  end },
  { "carries a tensor over", "an earlier call", function()
    local h = gan.zeros(3)
    return function(x)
      h = (h * 0.5 + x):tanh()
      return h
    end, random(3)
  end },
  { "adds to the gradients of the call before", "zero_grad", function()
    local w = gan.require_grad(gan.randn(3))
    return function(x)
      (x * w):sum():backward()
      return w:grad():clone()
    end, random(3)
  end },
  { "changes an argument", "changes argument 1", function()
    return function(x) return x:mul_(2) end, random(3)
  end },
  { "gets an argument that requires a gradient", "argument 1 of the step requires", function()
    return function(x)
      local y = (x * x):sum()
      y:backward()
      return y, x:grad()
    end, function() return gan.require_grad(gan.randn(3)) end
  end },
  { "makes an argument require a gradient", "an argument of the step collects", function()
    return function(x)
      x:requires_grad_()
      x:square():sum():backward()
      return x:grad()
    end, random(3)
  end },
  { "gives a result made from data", "result 1 of the step is made from data", function()
    return function(x) return gan.tensor{ 1, 2 }, x + 0 end, random(3)
  end },
  { "gives another Lua value each time", "its result '2' changed", function()
    local n = 0
    return function(x)
      n = n + 1
      return x + 0, n
    end, random(3)
  end },
  { "gets one memory twice", "share memory", function()
    return function(x, y) return x * y end, function()
      local x = gan.randn(4)
      return x, x
    end
  end },
  { "knows an argument under another name", "under another name", function()
    local all = gan.randn(4, 3)
    return function(x) return x + all:mean(1) end, function() return all:slice(1, 1, 2) end
  end },
  { "gets a table", "argument 1 is a table", function()
    return function(t) return t.x * 2 end, function() return { x = gan.randn(3) } end
  end },
  { "writes elements", "set writes|not made by", function()
    local w = gan.zeros(3)
    return function(x)
      w:set(1, 2)
      return x + w
    end, random(3)
  end },
  { "writes rows", "x%[i%] = v writes", function()
    local w = gan.zeros(3, 2)
    return function(x)
      w[1] = x
      return w:sum(1)
    end, random(2)
  end },
  { "seeds", "manual_seed", function()
    return function(x)
      gan.manual_seed(4)
      return x + gan.randn(3)
    end, random(3)
  end },
  { "sets the state of the generator", "set_rng_state", function()
    local s = gan.rng_state()
    return function(x)
      gan.set_rng_state(s)
      return x + gan.randn(3)
    end, random(3)
  end },
  { "changes the number of threads", "gan.threads", function()
    return function(x)
      gan.threads(gan.threads())
      return x + 1
    end, random(3)
  end },
  { "sets a gradient from outside", "not made in the step", function()
    local w, g = gan.require_grad(gan.randn(3)), gan.ones(3)
    return function(x)
      w:set_grad(g)
      return x + w:grad()
    end, random(3)
  end },
  { "goes another way by chance", "changed|did|tensors", function()
    local n = 0
    return function(x)
      n = n + 1
      return n % 2 == 0 and x * 2 or x:exp()
    end, random(3)
  end },
  { "catches an error of an optimiser", "after an error", function()
    local step, arguments, _, state, _, opt = trained()
    return function(x)
      local y = step(x)
      opt.groups[1].lr = -1
      pcall(opt.step, opt)
      opt.groups[1].lr = 0.01
      return y
    end, arguments, nil, state
  end },
}

local function any_of(message, patterns)
  for pattern in patterns:gmatch("[^|]+") do
    if message:find(pattern) then return true end
  end
end

describe("gan.compile calls a step as usual that", function()
  for _, row in ipairs(refused) do
    it(row[1], function()
      local step = exact(row[3])
      assert.equal("eager", step.status)
      assert(any_of(step.reason, row[2]), step.reason)
      assert.equal(0, #step.plans)
    end)
  end

  it("is called with many different numbers", function()
    local step = exact(function()
      return function(x, n) return x * n end, function(k) return gan.ones(2), k // 2 end
    end, 24)
    assert.equal("eager", step.status)
    assert.matches("more than 8 combinations", step.reason)
  end)

  it("and tells why, once", function()
    local told = {}
    local step = gan.compile{ function(x) return x:item() end,
      notify = function(t) told[#told + 1] = t end }
    for _ = 1, 5 do step(gan.ones(1)) end
    for _ = 1, 5 do step(gan.ones(1, 1)) end
    assert.equal(1, #told)
    assert.matches("^gan.compile: the step is called as usual: item", told[1])
  end)
end)

-- ---- replayed -----------------------------------------------------------------------------------

--- exact, and replayed at the end by so many plans.
local function replayed(build, calls, plans)
  local step = exact(build, calls)
  assert(step.status == "replaying", step.reason)
  assert.equal(plans or 1, #step.plans)
  return step
end

describe("a compiled step", function()
  it("is recorded in the second and the third call and replayed then", function()
    local calls = 0
    local step = gan.compile(function(x)
      calls = calls + 1
      return x + 1
    end)
    for k, status in ipairs{ "recording", "recording", "replaying", "replaying" } do
      step(gan.ones(2))
      assert.equal(status, step.status)
      assert.equal(math.min(k, 3), calls)
    end
    assert.equal(1, step.plans[1].operations)
    assert.is_nil(step.reason)
  end)

  it("gives copies of results of any form, and arguments and parameters among them", function()
    local w = gan.require_grad(gan.randn(2))
    local f = function() end
    replayed(function()
      return function(x, y)
        return { a = { x * 2, { y } }, n = 3, f = f }, nil, w, "text", x, x:exp():expand(3, 2), nil
      end, function() return gan.randn(2), gan.randn(0, 3) end
    end)
    local step = quietly(function(x) return x * 2, w end)
    for _ = 1, 4 do step(gan.ones(2)) end
    local a, p = step(gan.ones(2))
    local b = step(gan.zeros(2))
    assert.same({ { 2, 2 }, { 0, 0 } }, { a:totable(), b:totable() })
    assert.is_false(p:requires_grad())
    p:mul_(0)
    assert.is_true(w:abs():sum():item() > 0)
  end)

  it("may have no arguments and no results", function()
    local w = gan.zeros(2)
    local step = gan.compile(function() w:add_(1) end)
    for k = 1, 6 do
      assert.equal(0, select("#", step()))
      assert.equal(k, w:amin():item())
    end
    assert.equal("replaying", step.status)
  end)

  it("follows the learning rate", function()
    replayed(function()
      local step, arguments, _, state, _, opt = trained()
      return step, arguments, function(k) opt.lr = 0.1 / k end, state
    end)
  end)

  it("follows an optimiser whose state or options are exchanged", function()
    replayed(function()
      local step, arguments, _, state, _, opt = trained()
      local saved
      return step, arguments, function(k)
        if k == 2 then
          saved = opt:state_dict()
          for name, t in pairs(saved.tensors) do saved.tensors[name] = t:clone() end
        elseif k == 6 then
          opt:load_state_dict(saved)
        elseif k == 8 then
          opt.groups[1].betas = { 0.5, 0.9 }
        end
      end, state
    end, 12)
  end)

  it("has a plan for each combination of shapes, types, layouts and other values", function()
    replayed(function()
      return function(x, mode) return mode == "sum" and x:sum() or x:mean() end, function(k)
        local x = k % 3 == 0 and gan.randn(3, 4) or gan.randn(4, 3)
        return k % 3 == 2 and x:permute(2, 1) or x, k % 2 == 0 and "sum" or "mean"
      end
    end, 40, 6)
  end)

  it("goes along with eval and train, and with layers that are frozen", function()
    replayed(function()
      local model = nn.Sequential{ nn.Linear{ 4, 6 }, nn.BatchNorm1d{ 6 }, nn.Dropout{ 0.5 } }
      local opt = optim.Adam{ model, lr = 0.01 }
      return function(x)
        opt:zero_grad()
        local error = model(x):square():mean()
        error:backward()
        opt:step()
        return error
      end, random(5, 4), function(k)
        if k % 5 == 0 then model[3].training = not model[3].training end
        if k % 9 == 0 then
          model:train(not model.training)
        elseif k == 12 or k == 17 then
          model[1].weight:requires_grad_(k == 17)
        end
      end, function() return { model:state_dict(), opt:state_dict() } end
    end, 40, 5)
  end)

  it("may switch parameters off and on itself", function()
    replayed(function()
      local step, arguments, _, state, model = trained()
      return function(x)
        model[1].weight:requires_grad_(false)
        local before = model(x):sum()
        model[1].weight:requires_grad_(true)
        return before, step(x)
      end, arguments, nil, state
    end)
  end)

  it("notices gradients that were left in the parameters", function()
    local step = exact(function()
      local w = gan.require_grad(gan.randn(3))
      return function(x)
        (x * w):sum():backward()
        local g = w:grad():clone()
        w:zero_grad()
        return g
      end, random(3), function(k)
        if k == 6 then (w * w):sum():backward() end
      end, function() return { w:grad() } end
    end, 12)
    assert.equal(1, #step.plans)
  end)

  it("leaves gradients that may be kept", function()
    replayed(function()
      local w, kept = gan.require_grad(gan.randn(3, 2)), {}
      return function(x)
        w:zero_grad()
        ;(x * w):sin():sum():backward()
        return w:grad():norm()
      end, random(3, 2), function(k)
        if k % 3 == 0 then kept[#kept + 1] = w:grad() end
        if k % 4 == 0 then kept[#kept + 1] = w:grad()[2] end
        if k % 5 == 0 then w:grad():mul_(2) end
      end, function() return { w:grad(), table.unpack(kept) } end
    end, 20)
  end)

  it("may be given its own gradient as an argument", function()
    replayed(function()
      local w = gan.require_grad(gan.randn(3))
      return function(x)
        w:zero_grad()
        local y = (x:square() * w):sin()
        y:sum():backward()
        return y
      end, function() return w:grad() or gan.ones(3) end, nil, function() return { w:grad() } end
    end)
  end)

  it("can be called inside another one, under no_grad and in a coroutine", function()
    local inner_step, arguments, _, state = trained()
    local inner = quietly(inner_step)
    local outer = quietly(function(x) return inner(x) * 2 end)
    local co = coroutine.wrap(function()
      for _ = 1, 6 do coroutine.yield(outer(arguments())) end
    end)
    for _ = 1, 6 do co() end
    assert.equal("replaying", outer.status)
    assert.is_truthy(state())
    local double = quietly(function(x) return x * 2 end)
    for k = 1, 6 do
      gan.no_grad(function() assert.equal(2 * k, double(gan.full({ 1 }, k)):item()) end)
    end
    assert.equal("replaying", double.status)
  end)

  it("that yields in the middle does not go on being recorded", function()
    local step = quietly(function(x)
      coroutine.yield()
      return x + 1
    end)
    local function start()
      local co = coroutine.create(function() step(gan.ones(1)) end)
      coroutine.resume(co)
      return co
    end
    coroutine.resume(start())
    start() -- abandoned while it is recorded
    support.settle()
    assert.is_true(gan.debug.can_record())
    local other = quietly(function(x) return x * 3 end)
    for _ = 1, 5 do assert.equal(3, other(gan.ones(1)):item()) end
    assert.equal("replaying", other.status)
  end)

  it("is called as usual while every NaN is looked for", function()
    local step = quietly(function(x) return x:log() end)
    for _ = 1, 5 do step(gan.ones(1)) end
    gan.debug.anomaly(true)
    local ok, message = pcall(step, -gan.ones(1))
    gan.debug.anomaly(false)
    assert.is_false(ok)
    assert.matches("first NaN", message)
    step(gan.ones(1))
    assert.equal("replaying", step.status)
  end)

  it("goes on when the number of threads changes", function()
    local before = gan.threads()
    replayed(function()
      local step, arguments, _, state = trained()
      return step, arguments, function(k) gan.threads(k % 6 < 3 and 1 or 2) end, state
    end, 24, 2)
    gan.threads(before)
  end)

  it("refuses what it does not know", function()
    support.fails("notfy", gan.compile, { print, notfy = print })
    support.fails("step", gan.compile, { 3 })
    support.fails("compile", gan.compile)
  end)
end)

-- ---- errors -------------------------------------------------------------------------------------

describe("an error in a compiled step", function()
  it("leaves all as without compilation, wherever it happens", function()
    for bad = 1, 8 do
      replayed(function()
        local model = nn.Linear{ 4, 3 }
        local first, second = optim.Adam{ model, lr = 0.01 }, optim.SGD{ model, lr = 0.1 }
        return function(x, labels)
          first:zero_grad()
          model(x):square():mean():backward()
          first:step()
          first:zero_grad()
          local error = model(x):cross_entropy(labels) -- fails, in the middle
          error:backward()
          second:step()
          return error
        end, function(k)
          local labels = gan.randint(5, { hi = 3 })
          if k == bad or k == bad + 3 then labels:fill_(4) end
          return gan.randn(5, 4), labels
        end, nil, function() return { model:state_dict(), first:state_dict() } end
      end, 14)
    end
  end)

  it("may be any value", function()
    for _, value in ipairs{ 1, "text", {}, false } do
      local thrown = value or nil
      local step, n = nil, 0
      step = quietly(function(x)
        n = n + 1
        if n == 2 then error(thrown, 0) end
        return x + 1
      end)
      step(gan.ones(1))
      local ok, message = pcall(step, gan.ones(1))
      assert.is_false(ok)
      assert.is_true(message == thrown)
      for _ = 1, 4 do assert.equal(2, step(gan.ones(1)):item()) end
      assert.equal("replaying", step.status)
    end
  end)

  it("of an optimiser's options is that of the optimiser", function()
    local step, arguments, _, _, _, opt = trained()
    step = quietly(step)
    for _ = 1, 5 do step(arguments()) end
    opt.groups[1].lr = -1
    support.fails("lr must be a finite number", step, arguments())
    opt.lr = 0.1
    step(arguments())
    assert.equal("replaying", step.status)
  end)

end)

-- ---- memory -------------------------------------------------------------------------------------

local function settled()
  local m = support.settle()
  gan.trim()
  return { tensors = m.tensors, nodes = m.nodes, live = m.live }
end

describe("the memory of a compiled step", function()
  it("comes back", function()
    local build = trained
    local function use()
      local step, arguments, _, _, model = build()
      step = quietly(step)
      for _ = 1, 6 do step(arguments()) end
      assert.equal("replaying", step.status)
      local held = model[1].weight:grad()
      step, model = nil, nil
      support.settle()
      assert.equal(8 * 4, held:numel())
      return held:sum():item()
    end
    use()
    local before = settled()
    for _ = 1, 3 do use() end
    assert.same(before, settled())
  end)

  it("is not held by a step that is called as usual or was interrupted", function()
    local function use()
      for _, row in ipairs(refused) do run(row[3], 4, true) end
    end
    use()
    local before = settled()
    use()
    assert.same(before, settled())
  end)

  it("is shared by results that are not needed at the same time", function()
    local step = quietly(function(x)
      for _ = 1, 20 do x = x:cumsum(1) end
      return x:sum()
    end)
    for _ = 1, 4 do step(gan.ones(1000)) end
    assert.is_true(step.plans[1].bytes <= 3 * 4096 * (gan.config.real == "float64" and 2 or 1))
    assert.is_true(step.plans[1].bytes_apart >= 20 * 4000)
  end)

  it("may be too little for the plan", function()
    local told
    local step = gan.compile{ function(x)
      local kept = {}
      for i = 1, 8 do kept[i] = x * i end
      return gan.stack(kept, { dim = 1 }):sum()
    end, notify = function(t) told = t end }
    local x = gan.ones(100000)
    gan.scope(step, x)
    gan.scope(step, x)
    support.settle()
    gan.trim()
    local item = gan.config.real == "float64" and 8 or 4
    gan.memory_limit(gan.memory().live + 1850000 * item)
    local values = {}
    for i = 1, 3 do values[i] = gan.scope(function() return step(x):item() end) end
    gan.memory_limit(nil)
    assert.same({ 3600000, 3600000, 3600000 }, values)
    assert(told == nil or told:find("memory"), told)
  end)

  it("may fail at every allocation", function()
    for k = 0, 1500 do
      gan.manual_seed(1)
      local step, arguments = trained()
      local x = arguments()
      step = quietly(step)
      step(x)
      step(x)
      gan.debug.fail_after(k)
      local failed = false
      for _ = 1, 3 do -- recording, planning, replaying
        local ok, message = pcall(step, x)
        failed = failed or not ok
        assert(ok or tostring(message):find("memory"), message)
      end
      local pending = gan.debug.fail_after(nil)
      for _ = 1, 2 do step(x) end
      assert(step.status ~= "eager" or step.reason:find("memory"), step.reason)
      if pending then return end
      assert.is_true(gan.debug.can_record())
    end
    error("did not succeed after 1500 allocations")
  end)

  it("survives a collector that runs all the time", function()
    local before = gan.debug.collect_every(1)
    local ok, message = pcall(exact, trained, 6)
    gan.debug.collect_every(type(before) == "number" and before or nil)
    assert(ok, message)
  end)
end)

-- ---- interruption -------------------------------------------------------------------------------

describe("a compiled step that is interrupted", function()
  it("can be called again", function()
    for _, first in ipairs{ 2, 6 } do -- while it is recorded, while it is replayed
      for count = 1, 400, first == 2 and 7 or 1 do
        local step, arguments, _, _, model = trained()
        step = quietly(step)
        for _ = 2, first do step(arguments()) end
        local x = arguments()
        local ok, message = pcall(function()
          debug.sethook(function()
            debug.sethook()
            error("interrupted!")
          end, "", count)
          step(x)
          debug.sethook()
        end)
        assert(ok or tostring(message):find("interrupted!"), message)
        support.settle()
        assert.is_true(gan.debug.can_record())
        for _ = 1, 4 do
          local error = step(x)
          assert(error:item() == error:item())
        end
        assert.equal("replaying", step.status)
        assert.is_not_nil(model[1].weight:grad())
        if ok and count > 60 then break end
      end
    end
  end)

  it("does not stop the program from closing", function()
    local program = arg[-1] or "gan-lua"
    for _, tail in ipairs{ "", "os.exit(0, true)", "error('end')", "step = nil" } do
      local path = os.tmpname()
      local f <close> = assert(io.open(path, "w"))
      f:write([[
        local gan = require "gan"
        local w = gan.require_grad(gan.randn(3))
        step = gan.compile(function(x)
          w:zero_grad()
          local y = (w * x):exp():sum()
          y:backward()
          return y
        end)
        for _ = 1, 5 do y = step(gan.ones(3)) end
        kept = w:grad()
        print(step.status)
      ]], tail, "\n")
      f:close()
      local p = assert(io.popen(("%s %s 2>/dev/null; echo $?"):format(program, path)))
      local out = p:read("a")
      p:close()
      os.remove(path)
      assert.equal("replaying\n" .. (tail:find("^error") and "1" or "0") .. "\n", out)
    end
  end)
end)
