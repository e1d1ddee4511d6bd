-- How ops are called from Lua: positions and names, lists, results, operators, the tables that
-- describe them.
local gan = require "gan"
local support = require "tests.support"
local fails = support.fails

describe("arguments", function()
  local x = gan.tensor{ { 1, 2, 3 }, { 4, 5, 6 } }

  it("are given by position, by name, or both", function()
    local want = x:leaky_relu(0.5):totable()
    assert.same(want, gan.leaky_relu(x, 0.5):totable())
    assert.same(want, gan.leaky_relu(x, { slope = 0.5 }):totable())
    assert.same(want, gan.leaky_relu{ x = x, slope = 0.5 }:totable())
    fails("leaky_relu: 'slope' is given twice", gan.leaky_relu, x, 0.5, { slope = 0.5 })
    fails("leaky_relu: 'x' is given twice", gan.leaky_relu, x, { x = x })
  end)

  it("may be nil or left out where they are optional", function()
    local w = gan.ones(2, 3)
    local want = gan.linear(x, w):totable()
    assert.same(want, gan.linear(x, w, nil):totable())
    assert.same(want, gan.linear(x, w, nil, nil, nil):totable())
    assert.same(want, gan.linear(x, w, {}):totable())
    assert.same(want, gan.linear(x, w, nil, {}):totable())
    assert.same(want, gan.linear(x, w, { activation = "relu" }):totable())
    assert.same({ { 7, 7 }, { 16, 16 } }, gan.linear(x, w, gan.ones(2)):totable())
    assert.same({ { 7, 7 }, { 16, 16 } }, gan.linear(x, w, { b = gan.ones(2) }):totable())
  end)

  it("that are lists come as a table, as numbers, or as one number", function()
    assert.same({ 2, 3 }, gan.zeros(2, 3):shape())
    assert.same({ 2, 3 }, gan.zeros({ 2, 3 }):shape())
    assert.same({ 4 }, gan.zeros(4):shape())
    assert.same({}, gan.zeros{}:shape())
    assert.same({ 3, 2 }, x:permute(2, 1):shape())
    assert.same({ 3, 2 }, x:permute{ 2, 1 }:shape())
    assert.equal(21, x:sum(1, 2):item())
    assert.equal(21, x:sum{ 1, 2 }:item())
    assert.same({ 1, 1 }, x:sum(1, 2, { keepdim = true }):shape())
    assert.same({ 1, 3 }, x:sum(1, { keepdim = true }):shape())
    assert.same({ 1, 1 }, x:sum({ keepdim = true }):shape())
    assert.equal(21, x:sum{}:item())
    assert.same({ 5, 7, 9 }, x:sum{ dim = 1 }:totable())
    fails("'dim' is given twice", x.sum, x, 1, { dim = 1 })
    assert.same({ 2, 3.0 }, gan.zeros(2.0, 3):shape())
  end)

  it("that are lists may carry options", function()
    local z = gan.zeros{ 2, 3, dtype = "uint8" }
    assert.same({ 2, 3 }, z:shape())
    assert.equal("uint8", z:dtype())
    assert.same({ 2, 6 }, gan.cat{ x, x, dim = 2 }:shape())
    assert.same({ 1, 3 }, x:sum{ 1, keepdim = true }:shape())
  end)

  it("that are tensors come as a table or one by one", function()
    assert.same({ 4, 3 }, gan.cat(x, x):shape())
    assert.same({ 4, 3 }, gan.cat({ x, x }):shape())
    assert.same({ 2, 6 }, gan.cat(x, x, { dim = 2 }):shape())
    assert.same({ 2, 6 }, gan.cat(x, x, 2):shape())
    assert.same({ 2, 6 }, gan.cat({ x, x }, 2):shape())
    local many = {}
    for i = 1, 1000 do
      many[i] = x
    end
    assert.same({ 2000, 3 }, gan.cat(many):shape())
    assert.same({ 100, 2, 3 }, gan.stack(table.unpack(many, 1, 100)):shape())
  end)

  it("count dimensions from 1, negative from the end", function()
    assert.same({ 5, 7, 9 }, x:sum(1):totable())
    assert.same({ 5, 7, 9 }, x:sum(-2):totable())
    assert.same({ 6, 15 }, x:sum(2):totable())
    fails("sum: dimensions start at 1", x.sum, x, 0)
    fails("softmax: dimensions start at 1", x.softmax, x, 0)
    fails("select: positions start at 1", x.select, x, 1, 0)
  end)

  it("that are words and types are checked, with a suggestion", function()
    assert.equal("none", gan.mse_loss(x, x, { reduction = "none" }) and "none")
    fails("got 'non', did you mean 'none'%?", gan.mse_loss, x, x, { reduction = "non" })
    fails("must be one of none, tanh, got 'x'$", gan.gelu, x, { approximate = "x" })
  end)

  it("that are numbers take inf by name, and no strings", function()
    assert.equal(6, x:norm("inf"):item())
    assert.equal(6, x:norm(math.huge):item())
    fails("must be a number, got string '1'", x.norm, x, "1")
  end)

  it("that are misspelt are refused with a suggestion", function()
    fails("sum: unknown option 'keepdm', did you mean 'keepdim'", x.sum, x, { keepdm = true })
    fails("sum: unknown option 'keepidm', did you mean 'keepdim'", x.sum, x, { keepidm = true })
    fails("sum: unknown option 'zzz' %(there are: dims, keepdim%)", x.sum, x, { zzz = true })
    fails("relu: unknown option 'zzz' %(there are none%)", x.relu, x, { zzz = true })
  end)

  it("too many are refused", function()
    fails("relu: argument 2 %(3%) is too many", x.relu, x, 3)
    fails("given by name: {keepdim=...}", x.sum, x, 1, true)
    fails("options are given by name, 1 is not a name", x.relu, x, { 3 })
  end)

  it("are read once more when lists are long, with the same result", function()
    local params, grads = {}, {}
    for i = 1, 500 do
      params[i], grads[i] = gan.ones(1), gan.full({ 1 }, i)
    end
    gan.sgd_step_(params, grads, { lr = 1, step = 1 })
    for i = 1, 500 do
      assert.equal(1 - i, params[i]:item())
    end
  end)
end)

describe("results", function()
  it("are several where an op has several", function()
    local v, i = gan.tensor{ 3, 9, 4 }:max_dim(1)
    assert.equal(9, v:item())
    assert.equal(2, i:item())
    assert.equal(3, select("#", gan.ones(3, 2):split(1)))
    assert.equal(20, select("#", gan.ones(200, 2):split(10)))
    local parts = { gan.arange(1, 300):chunk(300) }
    assert.equal(300, #parts)
    assert.equal(300, parts[300]:item())
  end)

  it("of ops that change an argument are that argument", function()
    local x = gan.ones(3)
    assert.is_true(rawequal(x, x:add_(1)))
    assert.is_true(rawequal(x, x:mul_(2):neg_()))
    assert.same({ -4, -4, -4 }, x:totable())
    assert.is_true(rawequal(x, gan.fill_(x, 0)))
  end)

  it("of other ops are tensors of their own, even when they share memory", function()
    local x = gan.ones(2, 3)
    local y = x:contiguous()
    y:release()
    assert.equal(6, x:sum():item())
    local z = x:reshape(6)
    z:fill_(2)
    assert.equal(12, x:sum():item())
  end)
end)

describe("operators", function()
  local x = gan.tensor{ 1, 2, 4 }

  it("work elementwise, with numbers on either side", function()
    assert.same({ 2, 4, 8 }, (x + x):totable())
    assert.same({ 3, 4, 6 }, (x + 2):totable())
    assert.same({ 3, 4, 6 }, (2 + x):totable())
    assert.same({ -1, 0, 2 }, (x - 2):totable())
    assert.same({ 1, 0, -2 }, (2 - x):totable())
    assert.same({ 0, 0, 0 }, (x - x):totable())
    assert.same({ 3, 6, 12 }, (x * 3):totable())
    assert.same({ 3, 6, 12 }, (3 * x):totable())
    assert.same({ 1, 4, 16 }, (x * x):totable())
    assert.same({ 0.5, 1, 2 }, (x / 2):totable())
    assert.same({ 4, 2, 1 }, (4 / x):totable())
    assert.same({ 1, 1, 1 }, (x / x):totable())
    assert.same({ 1, 4, 16 }, (x ^ 2):totable())
    assert.same({ 2, 4, 16 }, (2 ^ x):totable())
    assert.same({ 1, 4, 256 }, (x ^ x):totable())
    assert.same({ -1, -2, -4 }, (-x):totable())
  end)

  it("broadcast", function()
    assert.same({ 2, 3 }, (gan.ones(2, 1) + gan.ones(3)):shape())
  end)

  it("have gradients", function()
    local p = gan.require_grad(gan.tensor{ 2 })
    local y = (3 - p) * p + p / 4 + 8 / p + p ^ 3 + 2 ^ p - -p
    y:sum():backward()
    assert.near(3 - 4 + 0.25 - 2 + 12 + 4 * math.log(2) + 1, p:grad():item(), 1e-4)
  end)

  it("leave equality to identity", function()
    local y = x
    assert.is_true(x == y)
    assert.is_false(x == gan.tensor{ 1, 2, 4 })
    assert.same({ 1, 0, 0 }, x:eq(1):totable())
  end)

  it("do not order or concatenate", function()
    fails("use x:lt%(y%)", function() return x < x end)
    fails("use x:lt%(y%)", function() return x > 1 end)
    fails("use x:le%(y%)", function() return x <= x end)
    fails("concatenate", function() return x .. x end)
  end)
end)

describe("names", function()
  it("are the same function as method and in the module", function()
    local x = gan.ones(1)
    assert.equal(gan.relu, x.relu)
    assert.equal(gan.matmul, x.matmul)
    assert.equal(gan.keep, gan.keep)
    assert.is_nil(x.cat)
    assert.is_nil(x.zeros)
    assert.is_nil(x.no_such_method)
    assert.is_nil(gan.no_such_function)
  end)

  it("that are words of Lua have an alias", function()
    assert.same({ 1, 2, 1, 2 }, gan["repeat"](gan.tensor{ 1, 2 }, 2):totable())
    assert.same({ 2, 6 }, gan.ones(2)["repeat"](gan.ones(2), 2, 3):shape())
  end)

  it("of methods can be added in Lua", function()
    gan.methods.thrice = function(x) return x * 3 end
    assert.equal(3, gan.ones(1):thrice():item())
    gan.methods.thrice = nil
    assert.is_nil(gan.ones(1).thrice)
  end)

  it("of the metatable are shown, the metatable is not", function()
    local meta = getmetatable(gan.ones(1))
    assert.same({ __name = "gan.tensor" }, meta)
    meta.__gc = nil
    assert.is_function(debug.getmetatable(gan.ones(1)).__gc)
  end)

  it("are the module's alone", function()
    for name, value in pairs(_G) do
      assert.is_false(rawequal(value, gan), name)
      assert.is_nil(tostring(name):match("^gan"))
    end
  end)
end)

describe("gan.ops", function()
  local ops = gan.ops()

  it("lists every op with its parameters", function()
    assert.is_true(#ops > 150)
    local by_name = {}
    for _, op in ipairs(ops) do
      assert.is_function(gan[op.name])
      assert.is_string(op.family)
      assert.is_string(op.sig)
      by_name[op.name] = op
    end
    local conv = by_name.conv2d
    assert.equal("conv", conv.family)
    assert.equal("tensor", conv.params[1].kind)
    assert.is_true(conv.params[1].positional)
    assert.is_true(conv.params[3].optional)
    assert.same({ "ints", 1, false }, { conv.params[4].kind, conv.params[4].default,
                                        conv.params[4].positional })
    assert.same({ "none", "mean", "sum" }, by_name.mse_loss.params[3].words)
    assert.equal("mean", by_name.mse_loss.params[3].default)
    assert.equal(1, by_name.cat.params[2].default)
    assert.equal(-1, by_name.softmax.params[2].default)
    assert.is_true(by_name.add_.params[1].mutated)
    assert.same({ { name = "values", nograd = false }, { name = "indices", nograd = true } },
      by_name.max_dim.outputs)
    assert.is_true(by_name.randn.random)
    assert.is_true(by_name.adam_step_.update)
    assert.is_true(by_name.split.variable)
  end)

  it("documents every op", function()
    for _, op in ipairs(ops) do
      assert.is_true(type(op.doc) == "string" and #op.doc > 0, op.name .. " has no doc line")
    end
  end)
end)

describe("the process and the generator", function()
  it("give the same numbers for the same seed", function()
    gan.manual_seed(7)
    local a = gan.randn(5):totable()
    local state = gan.rng_state()
    assert.matches("^%x+$", state)
    assert.equal(32, #state)
    local b = gan.randn(5):totable()
    gan.manual_seed(7)
    assert.same(a, gan.randn(5):totable())
    gan.manual_seed(8)
    gan.set_rng_state(state)
    assert.same(b, gan.randn(5):totable())
    fails("set_rng_state: argument 1 'state'", gan.set_rng_state, ("g"):rep(32))
  end)

  it("tell and set the number of threads", function()
    local before = gan.threads()
    assert.equal(1, gan.threads(1))
    assert.equal(2, gan.threads(2))
    assert.equal(2, gan.threads())
    gan.threads(before)
    fails("at least 1 thread", gan.threads, 0)
    fails("must be an integer, got 1.5", gan.threads, 1.5)
  end)

  it("describe the build", function()
    assert.matches("^%d+%.%d+%.%d+$", gan.config.version)
    assert.is_true(gan.config.real == "float32" or gan.config.real == "float64")
    assert.is_string(gan.config.blas)
    assert.is_true(({ base = true, avx2 = true, avx512 = true })[gan.isa()])
  end)
end)

describe("coroutines and protected calls", function()
  it("change nothing", function()
    local x = gan.ones(2)
    local co = coroutine.wrap(function()
      local y = x + 1
      coroutine.yield(y)
      coroutine.yield(select(2, pcall(x.matmul, x, gan.ones(3))))
    end)
    assert.same({ 2, 2 }, co():totable())
    assert.matches("matmul", co())
    assert.same({ 2, 2 }, (x + 1):totable())
  end)

  it("find error messages with the position of the caller", function()
    local f = assert(load("local x = ... return (x:relu(1))", "=user"))
    local _, message = pcall(f, gan.ones(1))
    assert.matches("^user:1: relu: ", message)
    _, message = pcall(gan.relu)
    assert.matches("^relu: argument 1", message)
  end)
end)

describe("a call", function()
  it("costs little besides its arithmetic", function()
    if os.getenv "COLLECT_EVERY" then return end
    local a, b = gan.tensor{ 1 }, gan.tensor{ 2 }
    local best = math.huge
    for _ = 1, 20 do
      local start = os.clock()
      for _ = 1, 5000 do
        local _ = a + b
      end
      best = math.min(best, (os.clock() - start) / 5000)
    end
    assert.is_true(best < 5e-6, ("a + b took %.0f ns"):format(best * 1e9)) -- generous: sanitizers
  end)
end)
