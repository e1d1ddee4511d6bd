-- gan.profile: what its table says, and that it is off again afterwards.
local gan = require "gan"
local support = require "tests.support"
local nn, optim = gan.nn, gan.optim

local function quiet(f) return gan.profile{ f, quiet = true } end

local function row(profile, op, backward)
  for _, r in ipairs(profile) do
    if r.op == op and r.backward == (backward or false) then return r end
  end
end

--- A step on two layers.
local function training()
  local model = nn.Sequential{ nn.Linear{ 8, 16 }, nn.Tanh{}, nn.Linear{ 16, 4 } }
  local opt = optim.Adam{ model, lr = 1e-3 }
  return function(x)
    opt:zero_grad()
    local error = (model(x) * 2):exp():log1p():square():mean()
    error:backward()
    opt:step()
    return error
  end
end

describe("gan.profile", function()
  it("counts calls, arithmetic and bytes", function()
    local item = gan.config.real == "float64" and 8 or 4
    local a, b = gan.randn(64, 32), gan.randn(32, 16)
    local profile = quiet(function()
      for _ = 1, 5 do a:matmul(b) end
      a:relu()
    end)
    local product, relu = row(profile, "matmul"), row(profile, "relu")
    assert.equal(2, #profile)
    assert.equal(5, product.calls)
    assert.equal(5 * 2 * 64 * 32 * 16, product.flops)
    assert.equal(5 * item * (64 * 32 + 32 * 16 + 64 * 16), product.bytes)
    assert.equal(1, relu.calls)
    assert.equal(0, relu.flops)
    assert.equal(item * 2 * 64 * 32, relu.bytes)
  end)

  it("counts the arithmetic of convolutions, whichever way they are computed", function()
    local x, w = gan.randn(2, 3, 8, 8), gan.randn(5, 3, 3, 3)
    local profile = quiet(function() x:conv2d(w, nil, { padding = 1 }) end)
    assert.equal(2 * 2 * 5 * 8 * 8 * 3 * 9, row(profile, "conv2d").flops)
  end)

  it("sorts by time, and what is in ops and outside is all", function()
    local step, x = training(), gan.randn(32, 8)
    local profile = quiet(function()
      for _ = 1, 20 do step(x) end
    end)
    local sum = 0
    for i, r in ipairs(profile) do
      sum = sum + r.seconds
      assert.is_true(r.seconds >= 0 and r.calls > 0)
      assert.is_true(i == 1 or profile[i - 1].seconds >= r.seconds)
    end
    assert.is_true(sum > 0 and sum <= profile.seconds)
    assert.equal(20, row(profile, "mean").calls)
    assert.equal(20, row(profile, "mean", true).calls)
    assert.equal(20, row(profile, "adam_step_").calls)
    local share, text = 0, tostring(profile)
    for percent in text:gmatch("([%d.]+)%%") do share = share + tonumber(percent) end
    assert.is_true(math.abs(share - 100) < 0.1 * (#profile + 2), text)
    assert.matches("outside ops", text)
    assert.matches("linear backward +40 ", text)
  end)

  it("prints the table, unless it is told not to, and passes arguments on", function()
    local globals = debug.getregistry()[2] -- those of a spec are its own
    local printed, before = {}, globals.print
    local got
    globals.print = function(v) printed[#printed + 1] = tostring(v) end
    local ok, message = pcall(function()
      gan.profile(function(...)
        got = { ... }
        gan.ones(2):exp()
      end, 1, "b")
      quiet(function() gan.ones(2):exp() end)
    end)
    globals.print = before
    assert(ok, message)
    assert.same({ 1, "b" }, got)
    assert.equal(1, #printed)
    assert.matches("^op +calls", printed[1])
    assert.matches("exp +1 ", printed[1])
  end)

  it("of nothing has no rows", function()
    local profile = quiet(function() end)
    assert.equal(0, #profile)
    assert.matches("outside ops", tostring(profile))
  end)

  it("is off after an error, which it passes on", function()
    local thrown = {}
    local ok, message = pcall(quiet, function()
      gan.ones(2):exp()
      error(thrown)
    end)
    assert.is_true(not ok and message == thrown)
    assert.is_nil(gan.debug.profile(false))
    support.fails("matmul", quiet, function() gan.ones(2, 3):matmul(gan.ones(2, 3)) end)
    local after = quiet(function() gan.ones(2):log() end)
    assert.is_nil(row(after, "exp"))
    assert.equal(1, row(after, "log").calls)
  end)

  it("is not there twice", function()
    local inner
    local profile = quiet(function()
      gan.ones(2):exp()
      inner = table.pack(pcall(quiet, function() end))
      gan.ones(2):exp()
    end)
    assert.is_false(inner[1])
    assert.matches("profile: is running already", inner[2])
    assert.equal(2, row(profile, "exp").calls)
  end)

  it("takes a function", function()
    support.fails("profile: takes a function", gan.profile)
    support.fails("profile: takes a function", gan.profile, 3)
    support.fails("profile", gan.profile, {})
    support.fails("quite", gan.profile, { print, quite = true })
  end)

  it("may be begun and ended inside an op", function()
    local inner
    local f = gan.Function{
      forward = function(_, x) return x * 2 end,
      backward = function(_, gy)
        inner = quiet(function() gy:exp() end)
        return gy * 2
      end,
    }
    local x = gan.require_grad(gan.ones(3))
    f(x):sum():backward()
    assert.equal(1, row(inner, "exp").calls)
    assert.same({ 2, 2, 2 }, x:grad():totable())
  end)

  it("shows the ops of a compiled step, and does not change what it computes", function()
    local x = gan.randn(32, 8)
    local values = {}
    for pass = 1, 2 do
      gan.manual_seed(4)
      local step = gan.compile(training())
      for _ = 1, 4 do step(x) end
      assert.equal("replaying", step.status)
      local list = {}
      local function calls()
        for k = 1, 6 do list[k] = step(x):item() end
      end
      if pass == 1 then calls()
      else
        local profile = quiet(calls)
        assert.equal(12, row(profile, "linear").calls)
        assert.equal(12, row(profile, "linear", true).calls)
        assert.equal(6 * 2 * 2 * 32 * (8 * 16 + 16 * 4), 2 * row(profile, "linear").flops)
        assert.equal(6, row(profile, "log1p", true).calls)
        assert.equal(6, row(profile, "adam_step_").calls)
      end
      values[pass] = list
    end
    assert.same(values[1], values[2])
  end)

  it("has help, as gan.compile has", function()
    for _, name in ipairs{ "profile", "compile" } do
      local text = gan.help.text(name)
      assert.matches("^gan." .. name .. "%(", text)
      assert.matches("gan." .. name .. "%(.*gan." .. name .. "%(", text)
      assert.equal(text, gan.help.text(gan[name]))
      assert.matches("\n  " .. name .. " +" .. name .. "%(", gan.help.text())
    end
    assert.matches("bit for bit", gan.help.text "gan.compile")
  end)
end)
