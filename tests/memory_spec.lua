-- Who frees what, and when: scopes, keep, release, the byte budget, limits, failing allocations.
local gan = require "gan"
local support = require "tests.support"
local fails, settle = support.fails, support.settle

local closed = "tensor was released when its scope closed"

describe("gan.scope as a function", function()
  it("releases what was made inside, and only that", function()
    local outside = gan.ones(10)
    local base = settle()
    local inside
    local n = gan.scope(function(a, b)
      inside = outside + a
      for _ = 1, 10 do
        inside = inside * b
      end
      return inside:sum():item()
    end, 1, 2)
    assert.equal(2 * 1024 * 10, n)
    assert.equal(base.tensors, gan.memory().tensors)
    assert.equal(base.live, gan.memory().live)
    fails(closed, inside.sum, inside)
    assert.equal(10, outside:sum():item())
  end)

  it("returns tensors, also in plain tables, to the scope around", function()
    local kept
    gan.scope(function()
      local x, t, n = gan.scope(function()
        local y = gan.ones(2)
        return y * 2, { y, loss = y * 3, deep = { y * 4 } }, 5
      end)
      assert.equal(5, n)
      assert.equal(4, x:sum():item())
      assert.equal(2, t[1]:sum():item())
      assert.equal(6, t.loss:sum():item())
      fails(closed, t.deep[1].sum, t.deep[1])
      kept = t.loss
    end)
    fails(closed, kept.sum, kept)
    local top = gan.scope(function() return gan.ones(3) end)
    assert.equal(3, top:sum():item())
  end)

  it("leaves objects among the results alone", function()
    local object = gan.scope(function()
      return setmetatable({ x = gan.ones(1) }, {})
    end)
    fails(closed, object.x.item, object.x)
  end)

  it("closes on errors, which pass unchanged", function()
    local base, mine, inside = settle(), {}, nil
    local ok, e = pcall(gan.scope, function()
      inside = gan.ones(1000)
      error(mine)
    end)
    assert.is_false(ok)
    assert.equal(mine, e)
    fails(closed, inside.sum, inside)
    inside = nil
    assert.equal(base.live, settle().live)
  end)

  it("keeps gradients that belong to parameters from outside", function()
    local p = gan.require_grad(gan.ones(3))
    gan.scope(function() (p * p):sum():backward() end)
    assert.same({ 2, 2, 2 }, p:grad():totable())
  end)

  it("frees graphs at once, of any depth", function()
    local p = gan.require_grad(gan.ones(3))
    local base = settle()
    gan.scope(function()
      local y = p
      for _ = 1, 20000 do
        y = y * p
      end
      assert.is_true(gan.memory().nodes >= 20000)
    end)
    assert.equal(base.nodes, gan.memory().nodes)
    assert.equal(base.live, gan.memory().live)
  end)

  it("does not let a coroutine yield through it", function()
    local co = coroutine.create(function() gan.scope(coroutine.yield) end)
    local ok, message = coroutine.resume(co)
    assert.is_false(ok)
    assert.matches("yield", message)
  end)

  it("takes callable tables, refuses the rest", function()
    local callable = setmetatable({}, { __call = function(_, x) return x end })
    assert.equal(7, gan.scope(callable, 7))
    fails("scope: argument 1 'f' must be a function, got 3", gan.scope, 3)
  end)
end)

describe("gan.scope as a variable", function()
  it("closes at the end of the block", function()
    local x
    do
      local s <close> = gan.scope()
      x = gan.ones(2)
      assert.equal("gan.scope", getmetatable(s).__name)
    end
    fails(closed, x.sum, x)
  end)

  it("closes on errors, break and return", function()
    local x
    pcall(function()
      local s <close> = gan.scope()
      x = gan.ones(2)
      error("oops")
    end)
    fails(closed, x.sum, x)
    while true do
      local s <close> = gan.scope()
      x = gan.ones(2)
      break
    end
    fails(closed, x.sum, x)
    local function f()
      local s <close> = gan.scope()
      return gan.ones(2):keep()
    end
    assert.equal(2, f():sum():item())
  end)

  it("closes by hand, once", function()
    local s = gan.scope()
    local x = gan.ones(2)
    s:close()
    fails(closed, x.sum, x)
    s:close()
    assert.equal(2, gan.ones(2):sum():item())
    fails("close takes a scope", s.close, 3)
  end)

  it("closes inner ones that were left open", function()
    local outer = gan.scope()
    gan.scope()
    local x = gan.ones(2)
    outer:close()
    fails(closed, x.sum, x)
    local y = gan.ones(2)
    settle()
    assert.equal(2, y:sum():item())
  end)

  it("that is lost lets its tensors live on", function()
    local function lose() gan.scope() end
    lose()
    local x = gan.ones(2)
    settle()
    assert.equal(2, x:sum():item())
    gan.scope(function() end)
    assert.equal(2, x:sum():item())
  end)

  it("belongs to its coroutine", function()
    local others = {}
    local loader = coroutine.wrap(function()
      while true do
        local batch = gan.ones(4)
        others[#others + 1] = batch
        coroutine.yield(batch)
      end
    end)
    local mine
    do
      local s <close> = gan.scope()
      mine = loader() + 1
      loader()
    end
    fails(closed, mine.sum, mine)
    assert.equal(4, others[1]:sum():item())
    local inside
    local co = coroutine.wrap(function()
      local s <close> = gan.scope()
      inside = gan.ones(1)
      coroutine.yield()
    end)
    co()
    local x = gan.ones(3)
    co()
    assert.equal(3, x:sum():item())
    fails(closed, inside.sum, inside)
  end)

  it("of an abandoned coroutine is forgotten", function()
    local x
    local function abandon()
      local co = coroutine.create(function()
        local s <close> = gan.scope()
        x = gan.ones(3)
        coroutine.yield()
      end)
      coroutine.resume(co)
    end
    abandon()
    settle()
    assert.equal(3, x:sum():item())
    gan.scope(function() x = x + 1 return nil end)
  end)
end)

describe("keep and release", function()
  it("keep takes tensors out of every scope", function()
    local a, t
    gan.scope(function()
      gan.scope(function()
        a = gan.ones(2):keep()
        t = gan.keep{ gan.ones(3), name = gan.ones(4) }
      end)
    end)
    assert.equal(2, a:sum():item())
    assert.equal(7, t[1]:sum():item() + t.name:sum():item())
    local x, y = gan.keep(gan.ones(1), gan.ones(2))
    assert.equal(3, x:sum():item() + y:sum():item())
    fails("keep: argument 1 must be a tensor or a plain table", gan.keep, 3)
    fails("plain table", gan.keep, setmetatable({}, {}))
  end)

  it("release frees at once, and says so afterwards", function()
    local base = settle()
    local x = gan.ones(1000)
    local view = x[1]
    x:release()
    fails("argument 1 'x': tensor was released$", x.sum, x)
    fails("argument 2 'b': tensor was released$", gan.matmul, gan.ones(2, 2), x)
    fails("element 2: tensor was released", gan.cat, { gan.ones(1), x })
    x:release() -- once more does nothing
    fails("tensor was released", gan.keep, x)
    fails("tensor was released", function() return x + 1 end)
    fails("tensor was released", function() return x[1] end)
    fails("tensor was released", function() return #x end)
    assert.equal(1, view:item()) -- the memory has another owner
    assert.is_true(settle().live > base.live)
    view:release()
    assert.equal(base.live, gan.memory().live)
  end)

  it("works with <close>", function()
    local y
    do
      local x <close> = gan.ones(2)
      y = x
    end
    fails("tensor was released", y.sum, y)
  end)

  it("does not free what a graph needs", function()
    local p = gan.require_grad(gan.ones(2))
    local a = p * 3
    local y = (a * a):sum()
    a:release()
    y:backward()
    assert.same({ 18, 18 }, p:grad():totable())
  end)
end)

describe("the byte budget", function()
  it("holds back a loop without scopes", function()
    settle()
    gan.memory_limit(nil)
    gan.reset_peak()
    local base = gan.memory().live
    for i = 1, 20000 do
      local x = gan.ones(100, 100)
      if i % 100 == 0 then x = x + 1 end
    end
    assert.is_true(gan.memory().peak - base < 300 * 2 ^ 20)
  end)

  it("holds back a loop in either mode of the collector", function()
    for _, mode in ipairs{ "generational", "incremental" } do
      local before = collectgarbage(mode)
      settle()
      gan.reset_peak()
      local base = gan.memory().live
      for _ = 1, 700 do
        gan.zeros(1024, 256)
      end
      assert.is_true(gan.memory().peak - base < 300 * 2 ^ 20, mode)
      collectgarbage(before)
    end
  end)

  it("is not needed with scopes", function()
    settle()
    local function step()
      local x = gan.ones(256, 256)
      for _ = 1, 5 do
        x = x * 2
      end
    end
    gan.reset_peak()
    local base = gan.memory().live
    gan.scope(step)
    local one = gan.memory().peak - base
    gan.reset_peak()
    for _ = 1, 200 do
      gan.scope(step)
    end
    assert.is_true(gan.memory().peak - base <= 1.2 * one)
  end)

  it("holds back small tensors by their number", function()
    settle()
    local most = 0
    for i = 1, 200000 do
      local _ = gan.tensor(i)
      if i % 1000 == 0 then most = math.max(most, gan.memory().tensors) end
    end
    assert.is_true(most < 100000)
  end)
end)

describe("gan.memory_limit", function()
  after_each(function()
    gan.memory_limit(nil)
    gan.debug.fail_after(nil)
  end)

  it("is an error that loses nothing", function()
    settle()
    local x = gan.ones(100)
    gan.memory_limit(gan.memory().live + 2 ^ 20)
    fails("zeros: out of memory: .* MiB asked for.*the limit is", gan.zeros, 1024, 1024)
    fails("tensor: out of memory", gan.tensor, ("x"):rep(2 ^ 21), { dtype = "uint8" })
    assert.equal(100, (x * 1):sum():item())
    assert.is_true(gan.memory_limit(nil) > 0)
    assert.equal(2 ^ 20, gan.zeros(1024, 1024):numel())
    fails("bytes' must be positive", gan.memory_limit, 0)
    fails("bytes' must be an integer", gan.memory_limit, "1")
  end)

  it("collects garbage before it gives up", function()
    settle()
    gan.memory_limit(gan.memory().live + 5 * 2 ^ 20)
    for _ = 1, 100 do
      gan.zeros(1024, 256)
      gan.tensor(("x"):rep(2 ^ 20), { dtype = "uint8" })
    end
  end)

  it("lets finalisers run while memory is looked for", function()
    settle()
    local a = gan.ones(1024, 256)
    gan.memory_limit(gan.memory().live + 3 * 2 ^ 20 // 2)
    local ran = false
    for _ = 1, 20 do
      local trap = setmetatable({}, { __gc = function()
        ran = true
        a:release() -- in use by the op that is looking for memory
      end })
      trap = nil -- luacheck: ignore
      local b = gan.zeros(1024, 128)
      local ok, c = pcall(function() return a + a end)
      if ok then
        assert.equal(2, c:get(1, 1))
        c:release()
      end
      b = nil -- luacheck: ignore
      if ran then
        gan.memory_limit(nil)
        a = gan.ones(1024, 256)
        ran = false
        gan.memory_limit(gan.memory().live + 3 * 2 ^ 20 // 2)
      end
    end
  end)

  it("reports live, peak, cached and counts", function()
    settle()
    gan.reset_peak()
    local before = gan.memory()
    assert.equal(before.live, before.peak)
    local x = gan.zeros(1024, 1024)
    local now = gan.memory()
    assert.is_true(now.live - before.live >= 4 * 2 ^ 20)
    assert.equal(before.tensors + 1, now.tensors)
    x:release()
    assert.is_true(gan.memory().peak >= now.live)
    gan.trim()
    assert.equal(0, gan.memory().cached)
    assert.equal(0, now.limit)
  end)
end)

describe("an allocation that fails", function()
  it("is a clean error everywhere", function()
    local p = gan.require_grad(gan.ones(4))
    local function work()
      local x = gan.tensor{ { 1, 2 }, { 3, 4 } }
      local parts = { x:split(1, { dim = 1 }) }
      local y = gan.cat(parts, { dim = 1 })
      y[1] = 3
      y[2] = x[1]
      local _ = y:permute(2, 1):bytes()
      local z = (p[1] + y:sum()) * 2
      z:backward()
      p:zero_grad()
      return gan.tensor(y):detach(), gan.require_grad(x)
    end
    gan.scope(work)
    local base = settle()
    for k = 0, 300 do
      local ok, message = pcall(gan.scope, function()
        gan.debug.fail_after(k)
        local fine, why = pcall(work)
        gan.debug.fail_after(nil)
        if not fine then error(why, 0) end
      end)
      gan.debug.fail_after(nil)
      local now = settle()
      assert.equal(base.tensors, now.tensors)
      assert.equal(base.nodes, now.nodes)
      if ok then return end
      assert.matches("out of memory", message)
    end
    error("never succeeded")
  end)

  it("is counted", function()
    local n = gan.debug.allocations()
    local _ = gan.ones(2)
    assert.is_true(gan.debug.allocations() > n)
    assert.is_false(gan.debug.fail_after(5))
    assert.is_true(gan.debug.fail_after(nil))
  end)
end)

describe("a hostile collector", function()
  it("may run at every call", function()
    local before = gan.debug.collect_every(1)
    local p = gan.require_grad(gan.tensor{ { 1, 2 }, { 3, 4 } })
    local f = gan.Function{
      forward = function(ctx, x) ctx:save(x) return x * x end,
      backward = function(ctx, gy) return ctx:saved() * gy * 2 end,
    }
    for _ = 1, 5 do
      local s <close> = gan.scope()
      local y = f(p):sum() + gan.cat{ p, p[1]:unsqueeze(1) }:sum()
      y:backward()
      local _ = p:grad():totable()
    end
    gan.debug.collect_every(before)
    assert.same({ { 5 * 4, 5 * 6 }, { 5 * 7, 5 * 9 } }, p:grad():totable())
  end)
end)

describe("a whole training step", function()
  it("survives every allocation failing, and leaves nothing behind", function()
    local nn, optim = gan.nn, gan.optim
    local net = nn.Sequential{
      nn.Conv2d{ 1, 4, kernel_size = 3, padding = 1 }, nn.BatchNorm2d{ 4 }, nn.LeakyReLU{ 0.2 },
      nn.MaxPool2d{ 2 }, nn.Dropout{ 0.3 }, nn.Flatten{}, nn.Linear{ 36, 8 }, nn.Tanh{},
      nn.LayerNorm{ 8 }, nn.Linear{ 8, 1 },
    }
    local rnn, normed = nn.GRU{ 3, 4, batch_first = true }, nn.spectral_norm(nn.Linear{ 6, 5 })
    local adam = optim.Adam{ net:parameters(), lr = 1e-3 }
    local function step()
      local loss = net(gan.randn(2, 1, 6, 6)):square():mean()
        + rnn(gan.randn(2, 3, 3)):sum() + normed(gan.randn(2, 6)):square():mean()
      adam:zero_grad()
      loss:backward()
      optim.clip_grad_norm(net:parameters(), 1)
      adam:step()
    end
    gan.scope(step) -- what stays (moments, gradients of the other layers) is made now
    local base, failures = settle(), 0
    repeat
      local ok, message = pcall(gan.scope, function()
        gan.debug.fail_after(failures)
        local fine, why = pcall(step)
        gan.debug.fail_after(nil)
        if not fine then error(why, 0) end
      end)
      if not ok then
        failures = failures + 1
        assert.matches("memory", tostring(message))
      end
    until ok
    local now = settle()
    assert.is_true(failures > 100)
    assert.same({ base.tensors, base.nodes }, { now.tensors, now.nodes })
  end)
end)
