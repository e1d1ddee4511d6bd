-- Cases of runtime/ops/random.c: see tests/case.lua. Random results are checked by their statistics
-- over many draws, and by what must hold for each of them.
local t = require "tests.case"

local function moments(x)
  local mean = x:mean():item()
  return mean, math.sqrt((x - mean):square():mean():item())
end

local function near(what, got, want, tol)
  assert(math.abs(got - want) <= tol, ("%s is %g, expected %g"):format(what, got, want))
end

local function within(x, lo, hi)
  assert(x:amin():item() >= lo and x:amax():item() < hi, "outside the range")
end

local function uniform(x, lo, hi)
  within(x, lo, hi)
  local mean, std = moments(x)
  near("mean", mean, (lo + hi) / 2, 0.02 * (hi - lo))
  near("standard deviation", std, (hi - lo) / math.sqrt(12), 0.02 * (hi - lo))
end

local function normal(x, mean, std)
  local m, s = moments(x)
  near("mean", m, mean, 0.05 * std)
  near("standard deviation", s, std, 0.05 * std)
  local within_one = ((x - mean):abs() / std):lt(1):mean():item()
  near("share within one standard deviation", within_one, 0.6827, 0.02)
end

-- The same seed gives the same numbers, for any number of threads; another seed others.
local function reproducible(gan, f)
  local before, state = gan.threads(), gan.rng_state()
  local results = {}
  for i, threads in ipairs{ 1, 2, 3, 1 } do
    gan.threads(threads)
    gan.manual_seed(i < 4 and 7 or 8)
    results[i] = f()
  end
  gan.threads(before)
  gan.set_rng_state(state)
  for i = 2, 3 do assert(results[1]:eq(results[i]):amin():item() == 1,
    "threads change the numbers") end
  assert(results[1]:eq(results[4]):amin():item() == 0, "another seed gives the same numbers")
end

local function refused(f, ...)
  local ok, message = pcall(f, ...)
  assert(not ok, "was accepted")
  return message
end

local MANY = 20000

return {
  rand = {
    { 3, 4, torch = false, expect = function(gan)
      uniform(gan.rand(MANY), 0, 1)
      uniform(gan.rand({ MANY }, { lo = -3, hi = 5 }), -3, 5)
      assert(gan.rand({ 4 }, { lo = 2, hi = 2 }):eq(2):amin():item() == 1)
      reproducible(gan, function() return gan.rand(100001) end)
      assert(gan.rand(0, 3):numel() == 0 and gan.rand{ shape = {} }:dim() == 0)
      -- rounding must not reach the upper end
      within(gan.rand({ 200000 }, { lo = 1, hi = 1.0001 }), 1, 1.0001)
      refused(gan.rand, { 2 }, { lo = 1, hi = 0 })
      refused(gan.rand, { 2 }, { hi = math.huge })
      refused(gan.rand, -1)
    end },
  },
  randn = {
    { 3, 4, torch = false, expect = function(gan)
      normal(gan.randn(MANY), 0, 1)
      normal(gan.randn({ MANY }, { mean = 3, std = 0.5 }), 3, 0.5)
      local x = gan.randn(200000)
      assert(x:abs():amax():item() > 3.9, "no tails")
      near("third moment", (x * x * x):mean():item(), 0, 0.05)
      near("fourth moment", x:square():square():mean():item(), 3, 0.1)
      near("neighbours' correlation", (x:slice(1, 1, -2) * x:slice(1, 2, -1)):mean():item(), 0,
        0.01)
      reproducible(gan, function() return gan.randn(100001) end)
      refused(gan.randn, { 2 }, { std = -1 })
      refused(gan.randn, { 2 }, { mean = 0 / 0 })
    end },
  },
  rand_like = {
    { t.randn{2, 3}, torch = false, expect = function(gan)
      uniform(gan.zeros(100, 200):rand_like(), 0, 1)
      assert(gan.ones(2, 3, { dtype = "uint8" }):rand_like():dtype() == gan.config.real)
    end },
  },
  randn_like = {
    { t.randn{2, 3},
      torch = false, expect = function(gan) normal(gan.zeros(100, 200):randn_like(), 0, 1) end },
  },
  randint = {
    { 2, 3, { hi = 6 }, torch = false, expect = function(gan)
      local x = gan.randint({ MANY }, { lo = -2, hi = 3 })
      assert(x:dtype() == "int64")
      local seen = {}
      for _, v in ipairs(x:totable()) do seen[v] = (seen[v] or 0) + 1 end
      for v = -2, 3 do near("share of " .. v, seen[v] / MANY, 1 / 6, 0.02) end
      for v in pairs(seen) do assert(v >= -2 and v <= 3) end
      local wide = gan.randint({ 64 }, { lo = math.mininteger, hi = math.maxinteger }):totable()
      local negative = 0
      for _, v in ipairs(wide) do negative = negative + (v < 0 and 1 or 0) end
      assert(negative > 10 and negative < 54)
      assert(gan.randint({ 5 }, { lo = 4, hi = 4 }):totable()[3] == 4)
      reproducible(gan, function()
        return gan.randint({ 3000 }, { lo = 0, hi = 1 << 50 }):to(gan.config.real)
      end)
      refused(gan.randint, { 2 }, { lo = 2, hi = 1 })
      refused(gan.randint, { 2 })
    end },
  },
  uniform_ = {
    { t.randn{2, 3}, torch = false, expect = function(gan, x)
      within(x, 0, 1)
      local y = gan.zeros(100, 200)
      assert(y:uniform_(-1, 1):eq(y):amin():item() == 1)
      uniform(y, -1, 1)
      -- the elements' order decides, not the memory's
      gan.manual_seed(3)
      local plain = gan.zeros(5, 7):uniform_()
      gan.manual_seed(3)
      local turned = gan.zeros(7, 5):permute(2, 1):uniform_()
      assert(plain:eq(turned):amin():item() == 1)
      refused(gan.uniform_, gan.zeros(1, 2):expand(3, 2))
    end },
  },
  normal_ = {
    { t.randn{2, 3}, torch = false, expect = function(gan)
      normal(gan.zeros(MANY):normal_(), 0, 1)
      normal(gan.zeros(MANY):normal_{ mean = -1, std = 0.02 }, -1, 0.02)
    end },
  },
  bernoulli = {
    { t.uniform{3, 4}, torch = false, expect = function(gan)
      local x = gan.bernoulli(0.3, { MANY })
      near("mean", x:mean():item(), 0.3, 0.02)
      assert((x:eq(0) + x:eq(1)):amin():item() == 1, "neither 0 nor 1")
      local p = gan.tensor{ 0, 1, 0.25 }:reshape(3, 1):expand(3, MANY)
      local share = gan.bernoulli(p):mean(2):totable()
      assert(share[1] == 0 and share[2] == 1)
      near("mean", share[3], 0.25, 0.02)
      assert(gan.bernoulli(1, { 9 }):amin():item() == 1 and gan.bernoulli(0,
        { 9 }):amax():item() == 0)
      assert(gan.bernoulli(0.5):dim() == 0 and gan.bernoulli(gan.zeros(0, 2)):numel() == 0)
      refused(gan.bernoulli, 1.5, { 2 })
      refused(gan.bernoulli, gan.tensor{ 0.5, -0.5 })
      refused(gan.bernoulli, gan.tensor{ 0 / 0 })
      refused(gan.bernoulli, gan.tensor{ 0.5 }, { 2 })
    end },
  },
  dropout = {
    { t.randn{3, 4}, 0.5, torch = false, expect = function(gan)
      local x = gan.require_grad(gan.full({ MANY }, 3))
      local y = x:dropout(0.25)
      near("share of zeros", y:eq(0):mean():item(), 0.25, 0.02)
      near("scale", y:amax():item(), 4, 1e-5)
      y:sum():backward()
      assert((x:grad() * 3 - y):abs():amax():item() < 1e-5, "the gradient has another mask")
      reproducible(gan, function() return gan.randn(1000) + gan.ones(1000):dropout(0.5) end)
    end },
    { t.randn{3, 4}, { p = 0 }, torch = "a * 1" },
    { t.randn{3, 4}, 1, torch = "a * 0" },
    { t.randn{3, 4}, 0.5, { training = false }, torch = "a * 1" },
    { t.randn{0, 4}, 0.5, torch = "a * 1" },
    { t.randn{2}, torch = false, expect = function(gan)
      refused(gan.dropout, gan.ones(2), 1.1)
      refused(gan.dropout, gan.ones(2), 0 / 0)
    end },
  },
  randperm = {
    { 5, torch = false, expect = function(gan)
      local seen = {}
      for _ = 1, 600 do
        local list = gan.randperm(3):totable()
        seen[table.concat(list)] = (seen[table.concat(list)] or 0) + 1
      end
      local kinds = 0
      for _, n in pairs(seen) do
        kinds = kinds + 1
        near("share of an order", n / 600, 1 / 6, 0.07)
      end
      assert(kinds == 6)
      local sorted = gan.randperm(1000):totable()
      table.sort(sorted)
      for i, v in ipairs(sorted) do assert(i == v) end
      assert(gan.randperm(0):numel() == 0)
      refused(gan.randperm, -1)
    end },
  },
  multinomial = {
    { t.uniform{4, lo = 0.1, hi = 1}, 6, torch = false, expect = function(gan)
      local w = gan.tensor{ { 1, 0, 3 }, { 0, 5, 0 } }
      local y = gan.multinomial(w, MANY)
      assert(y:dtype() == "int64" and y:size(1) == 2 and y:size(2) == MANY)
      local x = y:to(gan.config.real)
      near("share", x[1]:eq(3):mean():item(), 0.75, 0.02)
      near("share", x[1]:eq(1):mean():item(), 0.25, 0.02)
      assert(x[2]:eq(2):amin():item() == 1)
      -- without replacement: every draw once; the first is drawn as with replacement
      local first = 0
      for _ = 1, 2000 do
        local list = gan.multinomial(gan.tensor{ 1, 0, 2, 1 }, 3, { replacement = false }):totable()
        first = first + (list[1] == 3 and 1 or 0)
        table.sort(list)
        assert(list[1] == 1 and list[2] == 3 and list[3] == 4)
      end
      near("share of the first", first / 2000, 0.5, 0.05)
      assert(gan.multinomial(gan.ones(2), 0):numel() == 0)
      refused(gan.multinomial, gan.tensor{ 0, 0 }, 1)
      refused(gan.multinomial, gan.tensor{ 1, -1 }, 1)
      refused(gan.multinomial, gan.tensor{ 1, 0 / 0 }, 1)
      refused(gan.multinomial, gan.tensor{ 1, 0 }, 2, { replacement = false })
    end },
  },
}
