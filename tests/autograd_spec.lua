-- Gradients as a Lua user meets them: backward, grad, leaves, recording, functions of one's own.
local gan = require "gan"
local support = require "tests.support"
local fails, settle = support.fails, support.settle

local function leaf(t)
  return gan.tensor(t, { requires_grad = true })
end

describe("backward", function()
  it("adds into the leaves' gradients", function()
    local x = leaf{ 1, 2, 3 }
    assert.is_nil(x:grad())
    ;(x * x):sum():backward()
    assert.same({ 2, 4, 6 }, x:grad():totable())
    ;(x * 10):sum():backward()
    assert.same({ 12, 14, 16 }, x:grad():totable())
    x:zero_grad()
    assert.is_nil(x:grad())
  end)

  it("takes a gradient for what is not a single number", function()
    local x = leaf{ 1, 2 }
    local y = x * x
    fails("backward: the tensor has shape %(2%)", y.backward, y)
    y:backward(gan.tensor{ 10, 100 })
    assert.same({ 20, 400 }, x:grad():totable())
    local z = x * 2
    fails("backward: the gradient given has shape %(3%)", z.backward, z, gan.ones(3))
  end)

  it("reaches only the inputs that are asked for", function()
    local a, b = leaf{ 2 }, leaf{ 3 }
    ;(a * b):sum():backward{ inputs = { a } }
    assert.same({ 3 }, a:grad():totable())
    assert.is_nil(b:grad())
    ;(a * b):sum():backward{ inputs = b }
    assert.same({ 2 }, b:grad():totable())
    local y = a * b
    fails("input 1 is not a leaf", y.backward, y, { inputs = { y } })
    y:backward{ inputs = {} }
    assert.same({ 3 }, a:grad():totable())
  end)

  it("frees the graph unless it is to be kept", function()
    local x = leaf{ 2 }
    local y = (x * x):sum()
    y:backward{ retain_graph = true }
    y:backward()
    assert.same({ 8 }, x:grad():totable())
    fails("already used by a backward pass.*retain_graph=true", y.backward, y)
  end)

  it("refuses tensors without a graph", function()
    local x = gan.ones(1)
    fails("does not depend on anything that requires a gradient", x.backward, x)
  end)

  it("commits all gradients or none", function()
    local x, w = leaf{ 1, 2 }, leaf{ 3, 4 }
    ;(x * w):sum():backward()
    local before_x, before_w = x:grad():totable(), w:grad():totable()
    for k = 0, 60 do
      local y = (x:exp() * w + x * w:exp()):sum()
      gan.debug.fail_after(k)
      local ok, message = pcall(y.backward, y)
      gan.debug.fail_after(nil)
      if ok then
        assert.is_true(k > 3)
        return
      end
      assert.matches("memory", message)
      assert.same(before_x, x:grad():totable())
      assert.same(before_w, w:grad():totable())
    end
    error("never succeeded")
  end)

  it("creates a graph of the gradient when asked", function()
    local x = leaf{ 3 }
    ;(x ^ 3):sum():backward{ create_graph = true }
    local g = x:grad()
    assert.is_true(g:requires_grad())
    assert.same({ 18 }, gan.grad(g:sum(), x):totable())
  end)

  it("leaves no cycle behind when gradients have graphs", function()
    local base = settle()
    for _ = 1, 3 do
      gan.scope(function()
        local a, b = leaf{ 3, 4 }, leaf{ 5, 6 }
        ;(a ^ 3 * b ^ 2):sum():backward{ create_graph = true }
        assert.is_true(a:grad():requires_grad() and b:grad():requires_grad())
      end)
    end
    assert.equal(base.nodes, gan.memory().nodes)
    assert.equal(base.tensors, gan.memory().tensors)
  end)

  it("takes a long chain without running out of stack", function()
    local x = leaf{ 1 }
    local y = x
    for _ = 1, 20000 do
      y = y + x
    end
    y:sum():backward()
    assert.same({ 20001 }, x:grad():totable())
    y = nil
    collectgarbage()
    collectgarbage()
  end)

  it("sees in-place changes of what it needs", function()
    local x = leaf{ 1, 2 }
    local w = gan.ones(2)
    local y = (x * w):sum()
    w:add_(1)
    fails("changed in place", y.backward, y)
    assert.is_nil(x:grad())
  end)
end)

describe("gan.grad", function()
  it("returns gradients and touches nothing", function()
    local a, b = leaf{ 2 }, leaf{ 5 }
    local ga, gb = gan.grad((a * a * b):sum(), a, b)
    assert.same({ 20 }, ga:totable())
    assert.same({ 4 }, gb:totable())
    assert.is_nil(a:grad())
    assert.is_false(ga:requires_grad())
    local again = gan.grad((a * b):sum(), { a, b })
    assert.same({ 5 }, again:totable())
    assert.equal(2, select("#", gan.grad((a * b):sum(), { a, b })))
  end)

  it("goes to any order", function()
    local x = leaf{ 2 }
    local g = (x ^ 4):sum()
    local want = { 32, 48, 48, 24 }
    for order = 1, 4 do
      g = gan.grad(g:sum(), x, { create_graph = true })
      assert.near(want[order], g:item(), 1e-4)
    end
  end)

  it("asks for inputs in the middle of the graph", function()
    local x = leaf{ 2 }
    local y = x * x
    local z = (y * y):sum()
    assert.same({ 8 }, gan.grad(z, y):totable())
  end)

  it("says which input is unused, or gives nil", function()
    local a, b = leaf{ 1 }, leaf{ 1 }
    local y = (a * 2):sum()
    fails("does not depend on input 2.*allow_unused", gan.grad, y, a, b, { retain_graph = true })
    local ga, gb = gan.grad((a * 2):sum(), a, b, { allow_unused = true })
    assert.same({ 2 }, ga:totable())
    assert.is_nil(gb)
    fails("input 1 does not require a gradient", gan.grad, (a * 2):sum(), gan.ones(1))
  end)

  it("weights outputs", function()
    local x = leaf{ 1, 2 }
    local g = gan.grad(x * x, x, { grad_outputs = gan.tensor{ 1, 10 } })
    assert.same({ 2, 40 }, g:totable())
  end)

  it("takes many inputs", function()
    local xs, y = {}, nil
    for i = 1, 100 do
      xs[i] = leaf{ i }
      y = y and y + xs[i] * i or xs[i] * i
    end
    local gs = table.pack(gan.grad(y:sum(), xs))
    assert.equal(100, gs.n)
    assert.equal(73, gs[73]:item())
  end)
end)

describe("leaves", function()
  it("are switched on and off", function()
    local x = gan.ones(2)
    assert.is_true(x:is_leaf())
    assert.is_false(x:requires_grad())
    assert.equal(x, x:requires_grad_())
    assert.is_true(x:requires_grad())
    local y = x * 2
    assert.is_true(y:requires_grad())
    assert.is_false(y:is_leaf())
    fails("only leaves can be switched off", y.requires_grad_, y, false)
    x:requires_grad_(false)
    assert.is_false((x * 2):requires_grad())
    fails("int64 tensor cannot require", gan.ones{ 2, dtype = "int64" }.requires_grad_,
      gan.ones{ 2, dtype = "int64" })
    fails("argument 2 must be true or false, got 0", x.requires_grad_, x, 0)
  end)

  it("are cut from the graph by detach, sharing memory", function()
    local x = leaf{ 1, 2 }
    local y = (x * 2):detach()
    assert.is_false(y:requires_grad())
    local z = x:detach()
    z:fill_(7)
    assert.same({ 7, 7 }, x:totable())
    local p = gan.require_grad(x)
    assert.is_true(p:is_leaf() and p:requires_grad())
    p:sum():backward()
    assert.is_nil(x:grad())
  end)

  it("take gradients from outside", function()
    local x = leaf{ 1, 2 }
    local g = gan.tensor{ 3, 4 }
    x:set_grad(g)
    assert.same({ 3, 4 }, x:grad():totable())
    x:sum():backward()
    assert.same({ 4, 5 }, x:grad():totable())
    assert.same({ 3, 4 }, g:totable())
    x:set_grad(nil)
    assert.is_nil(x:grad())
    fails("set_grad: the gradient is a", x.set_grad, x, gan.ones(3))
    fails("set_grad: the gradient is a", x.set_grad, x, gan.ones{ 2, dtype = "uint8" })
  end)
end)

describe("recording", function()
  it("is off inside no_grad, also after errors, and nests", function()
    local x = leaf{ 1 }
    local y, n = gan.no_grad(function(a, b)
      assert.is_false(gan.is_grad_enabled())
      local z = gan.enable_grad(function() return x * 2 end)
      assert.is_true(z:requires_grad())
      assert.is_false(gan.is_grad_enabled())
      return x * a, b
    end, 3, "b")
    assert.is_false(y:requires_grad())
    assert.equal("b", n)
    assert.is_true(gan.is_grad_enabled())
    fails("oops", gan.no_grad, function() error("oops") end)
    assert.is_true(gan.is_grad_enabled())
    assert.is_true(gan.set_grad_enabled(false))
    assert.is_false((x * 2):requires_grad())
    assert.is_false(gan.set_grad_enabled(true))
  end)

  it("lets error values through unchanged", function()
    local mine = setmetatable({}, { __tostring = function() return "mine" end })
    local ok, e = pcall(gan.no_grad, function() error(mine) end)
    assert.is_false(ok)
    assert.equal(mine, e)
  end)
end)

describe("gan.Function", function()
  local swish = gan.Function{
    name = "swish",
    forward = function(ctx, x)
      ctx:save(x)
      return x * x:sigmoid()
    end,
    backward = function(ctx, gy)
      local x = ctx:saved()
      local s = x:sigmoid()
      return gy * (s + x * s * (1 - s))
    end,
  }

  local function close(a, b)
    assert.is_true(((a - b):abs():amax():item()) < 1e-5)
  end

  it("has the gradient that it says, to any order", function()
    local x = leaf{ -1, 0.5, 2 }
    local z = leaf{ -1, 0.5, 2 }
    local gx = gan.grad(swish(x):sum(), x, { create_graph = true })
    local gz = gan.grad(z:silu():sum(), z, { create_graph = true })
    close(gx, gz)
    local hx = gan.grad((gx * gx):sum(), x, { create_graph = true })
    local hz = gan.grad((gz * gz):sum(), z, { create_graph = true })
    close(hx, hz)
    close(gan.grad(hx:sum(), x), gan.grad(hz:sum(), z))
  end)

  it("may save its result", function()
    local exp = gan.Function{
      forward = function(ctx, x)
        local y = x:exp()
        ctx:save(y)
        return y
      end,
      backward = function(ctx, gy) return gy * ctx:saved() end,
    }
    local x = leaf{ 1 }
    local y = exp(x)
    local e = math.exp(1)
    local g = gan.grad(y, x, { create_graph = true })
    assert.near(e, g:item(), 1e-5)
    assert.near(e, gan.grad(g, x):item(), 1e-5)
  end)

  it("takes other values among the arguments, and gives several results", function()
    local both = gan.Function{
      forward = function(ctx, factor, x, y)
        ctx.factor = factor
        return x * factor, y * x
      end,
      backward = function(ctx, ga, gb)
        return nil, ga * ctx.factor + gb, gb * 2
      end,
    }
    local x, y = leaf{ 1, 1 }, leaf{ 5, 5 }
    local a, b = both(3, x, y)
    ;(a + b):sum():backward()
    assert.same({ 4, 4 }, x:grad():totable())
    assert.same({ 2, 2 }, y:grad():totable())
    x:zero_grad()
    a = both(3, x, y)
    a:sum():backward() -- the second result got no gradient: zeros arrive
    assert.same({ 3, 3 }, x:grad():totable())
  end)

  it("passes integer results through", function()
    local f = gan.Function{
      forward = function(_, x) return x:max_dim(1) end,
      backward = function(_, gy, gi)
        assert(gi == nil)
        return gy:unsqueeze(1):expand(3, 2)
      end,
    }
    local x = leaf{ { 1, 5 }, { 3, 4 }, { 2, 9 } }
    local v, i = f(x)
    assert.same({ 2, 3 }, i:totable())
    v:sum():backward()
    assert.same({ { 1, 1 }, { 1, 1 }, { 1, 1 } }, x:grad():totable())
  end)

  it("gives results a place of their own in the graph", function()
    local same = gan.Function{
      forward = function(_, x) return x end,
      backward = function(_, gy) return gy * 10 end,
    }
    local x = leaf{ 1 }
    local y = same(x)
    assert.is_true(x:is_leaf())
    assert.is_false(y:is_leaf())
    y:sum():backward()
    assert.same({ 10 }, x:grad():totable())
  end)

  it("refuses an intermediate under create_graph, not otherwise", function()
    local wrong = gan.Function{
      name = "wrong",
      forward = function(ctx, x)
        local s = x:sigmoid()
        ctx:save(x, s)
        return x * s
      end,
      backward = function(ctx, gy)
        local x, s = ctx:saved()
        return gy * (s + x * s * (1 - s))
      end,
    }
    local x = leaf{ 1, 2 }
    close(gan.grad(wrong(x):sum(), x), gan.grad(swish(x):sum(), x))
    fails("wrong: saved tensor 2 is neither an argument nor a result of forward",
      gan.grad, wrong(x):sum(), x, { create_graph = true })
    local mask = gan.Function{
      forward = function(ctx, v)
        local m = v:gt(1)
        ctx:save_constant(m)
        return v * m
      end,
      backward = function(ctx, gy) return gy * ctx:saved() end,
    }
    assert.same({ 0, 1 }, gan.grad(mask(x):sum(), x, { create_graph = true }):totable())
  end)

  it("sees in-place changes of what was saved", function()
    local w = gan.ones(2)
    local times = gan.Function{
      name = "times",
      forward = function(ctx, a, b) ctx:save(b) return a * b end,
      backward = function(ctx, gy) return gy * ctx:saved() end,
    }
    local x = leaf{ 1, 2 }
    local y = times(x, w):sum()
    w:add_(1)
    fails("times: saved tensor 1 was changed in place", y.backward, y)
  end)

  it("keeps the values of errors", function()
    local mine = setmetatable({ code = 7 }, { __tostring = function() return "mine" end })
    local bad = gan.Function{
      forward = function(_, x) return x * 1 end,
      backward = function() error(mine) end,
    }
    local x = leaf{ 1 }
    local ok, e = pcall(function() bad(x):sum():backward() end)
    assert.is_false(ok)
    assert.equal(mine, e)
    assert.is_nil(x:grad())
    ok, e = pcall(gan.grad, bad(x):sum(), x)
    assert.is_false(ok)
    assert.equal(mine, e)
    local none = gan.Function{ forward = function(_, v) return v * 1 end,
                               backward = function() error(nil) end }
    ok, e = pcall(gan.grad, none(x):sum(), x)
    assert.is_false(ok)
    assert.is_nil(e)
    assert.same({ 1 }, gan.grad((x * 1):sum(), x):totable())
    ok, e = pcall(gan.Function{ forward = function() error(mine) end, backward = print }, x)
    assert.is_false(ok)
    assert.equal(mine, e)
    assert.is_true(gan.is_grad_enabled())
  end)

  it("checks what Lua gives back", function()
    local x = leaf{ 1, 2 }
    local function returning(...)
      local values = table.pack(...)
      local f = gan.Function{ name = "f", forward = function(_, v) return v * 1 end,
                              backward = function() return table.unpack(values, 1, values.n) end }
      return function() return gan.grad(f(x):sum(), x) end
    end
    fails("f: backward must return a tensor %(or nil%) for argument 1, got 3", returning(3))
    fails("f: backward returned 2 gradients, forward has 1 arguments", returning(gan.ones(2), nil))
    fails("gradient of f for its input 1 has shape %(3%), the input %(2%)", returning(gan.ones(3)))
    fails("backward returned a uint8 tensor", returning(gan.ones{ 2, dtype = "uint8" }))
    fails("does not depend on input 1", returning(nil))
    local function forward(...)
      local values = table.pack(...)
      return gan.Function{ name = "g", backward = print, forward = function()
        return table.unpack(values, 1, values.n)
      end }
    end
    fails("g: forward must return a tensor", forward(), x)
    fails("g: result 2 of forward must be a tensor, got nil", forward(x, nil), x)
  end)

  it("checks its own use", function()
    fails("Function: takes one table", gan.Function, print)
    fails("Function: option 'backward' must be a function, got nil", gan.Function,
      { forward = print })
    fails("Function: unknown option 'backwards', did you mean 'backward'", gan.Function,
      { forward = print, backwards = print })
    fails("Function: option 'name' must be a string, got 3", gan.Function,
      { forward = print, backward = print, name = 3 })
    local kept
    local f = gan.Function{
      name = "f",
      forward = function(ctx, x)
        kept = ctx
        fails("ctx:saved belongs in backward", ctx.saved, ctx)
        fails("ctx:save takes tensors, argument 1 is 3", ctx.save, ctx, 3)
        fails("ctx.save is a method", function() ctx.save = 1 end)
        ctx.n = 5
        assert(ctx.n == 5 and ctx.other == nil)
        ctx:save(x)
        return x * 1
      end,
      backward = function(ctx, gy)
        fails("ctx:save belongs in forward", ctx.save, ctx, gy)
        return gy
      end,
    }
    local x = leaf{ 1 }
    f(x):sum():backward()
    fails("what ctx saved was freed by a backward pass", kept.saved, kept)
    fails("ctx:save belongs in forward", kept.save, kept, x)
    f(gan.ones(1))
    fails("freed", kept.saved, kept)
    fails("must be called as ctx:save", kept.save, {})
  end)

  it("calls gradients inside gradients", function()
    local inner = gan.Function{
      forward = function(ctx, x)
        ctx:save(x)
        local g
        gan.enable_grad(function()
          local v = gan.require_grad(x)
          g = gan.grad((v ^ 3):sum(), v)
        end)
        return g
      end,
      backward = function(ctx, gy)
        local x = ctx:saved()
        local p = gan.require_grad(gan.ones(1))
        gan.enable_grad(function() (p * 3):sum():backward() end) -- a pass inside the pass
        assert(p:grad():item() == 3)
        return gy * x * 6
      end,
    }
    local x = leaf{ 2 }
    local y = inner(x)
    assert.same({ 12 }, y:totable())
    y:sum():backward()
    assert.same({ 12 }, x:grad():totable())
  end)

  it("keeps gradients inside gradients apart from those outside", function()
    local w, x = gan.require_grad(gan.tensor{ 2 }), gan.require_grad(gan.tensor{ 3 })
    local inner, fine
    local F = gan.Function{
      forward = function(_, a) return a * 1 end,
      backward = function(_, g)
        gan.enable_grad(function()
          inner = gan.grad((w * 5):sum(), w):item()
          fine = pcall(gan.grad, (w * 5):sum(), w, x)
        end)
        return g
      end,
    }
    local loss = (F(x) + w * 7):sum()
    loss:backward()
    assert.same({ 5, false, 7, 1 }, { inner, fine, w:grad():item(), x:grad():item() })
  end)

  it("asked for inside another pass leave what that one asked for", function()
    local x, h = gan.require_grad(gan.tensor{ 3 }), nil
    local F = gan.Function{
      forward = function(_, a) return a * 1 end,
      backward = function(_, g)
        gan.enable_grad(function()
          local q = gan.require_grad(gan.tensor{ 1 })
          local a, b = gan.grad((q * 5):sum(), { q, h }, { allow_unused = true })
          assert.same({ 5 }, a:totable())
          assert.is_nil(b)
        end)
        return g
      end,
    }
    h = x * 2
    local a, b = gan.grad(F(h):sum(), h, x)
    assert.same({ 1, 2 }, { a:item(), b:item() })
  end)

  it("works twice with retain_graph", function()
    local x = leaf{ 1, 2 }
    local y, one = swish(x), gan.ones(2)
    y:backward(one, { retain_graph = true })
    local once = x:grad():totable()
    y:backward(one)
    close(x:grad(), gan.tensor(once) * 2)
    fails("already used.*swish", y.backward, y, one)
  end)

  it("does not record when nothing asks for it", function()
    local before = gan.memory().nodes
    assert.is_false(swish(gan.ones(2)):requires_grad())
    gan.no_grad(function() assert.is_false(swish(leaf{ 1 }):requires_grad()) end)
    assert.equal(before, gan.memory().nodes)
  end)

  it("leaves nothing behind, whatever refers to what", function()
    local x = leaf{ 1, 2 }
    local base = settle()
    gan.scope(function()
      local f
      f = gan.Function{
        forward = function(ctx, v)
          local y = v * 2
          ctx:save(v, y)
          ctx.result, ctx.self, ctx.f = y, ctx, f
          return y
        end,
        backward = function(_, gy) return gy * 2, f end,
      }
      local all = {}
      for i = 1, 10000 do
        all[i] = f(x)
      end
      assert.equal(10000, #all)
    end)
    local now = gan.memory()
    assert.equal(base.live, now.live)
    assert.equal(base.nodes, now.nodes)
    assert.equal(base.live, settle().live)
  end)

  it("survives memory failing anywhere", function()
    local x = leaf{ 1, 2 }
    local base = settle()
    for k = 0, 200 do
      local ok, message = pcall(gan.scope, function()
        gan.debug.fail_after(k)
        local fine, why = pcall(function()
          gan.grad(gan.grad(swish(x):sum(), x, { create_graph = true }):sum(), x)
        end)
        gan.debug.fail_after(nil)
        if not fine then error(why, 0) end
      end)
      gan.debug.fail_after(nil)
      assert.is_true(gan.is_grad_enabled())
      local now = settle()
      assert.equal(base.tensors, now.tensors)
      assert.equal(base.nodes, now.nodes)
      if ok then return end
      assert.matches("memory", message)
    end
    error("never succeeded")
  end)
end)

describe("anomaly mode", function()
  it("names the op whose result or gradient is the first NaN", function()
    gan.debug.anomaly(true)
    local x = leaf{ -1 }
    local ok, message = pcall(x.log, x)
    local y = leaf{ 0 }
    local fine, gradient = pcall(function() (y:sqrt() * 0):sum():backward() end)
    gan.debug.anomaly(false)
    assert.is_false(ok)
    assert.matches("log: the first NaN was made here", message)
    assert.is_false(fine)
    assert.matches("gradient of sqrt for its input 1 is the first with a NaN", gradient)
  end)
end)
