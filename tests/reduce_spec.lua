-- What cases of a few elements do not show about reductions: accuracy, layouts, threads, errors.
local gan = require "gan"

local function refuses(pattern, f, ...)
  local ok, why = pcall(f, ...)
  assert.is_false(ok)
  assert.truthy(tostring(why):find(pattern), tostring(why))
end

local function close(want, got, tol)
  assert.is_true(math.abs(want - got) <= tol * math.abs(want), ("%.9g, not %.9g"):format(got, want))
end

describe("a sum", function()
  it("of a million elements is exact to 1e-6", function()
    local x = gan.full({ 1000000 }, 0.1)
    local want = x:get(1) * 1000000
    close(want, x:sum():item(), 1e-6)
    close(want / 4, x:view(250000, 4):sum(1):get(3), 1e-6)
    close(want / 1000, x:view(1000, 1000):sum(1):get(3), 1e-6)
    close(want / 1000, x:view(1000, 1000):sum(2):get(3), 1e-6)
    close(want / 8, x:view(125, 8, 1000):sum(1, 3):get(3), 1e-6)
    close(x:get(1), x:mean():item(), 1e-6)
  end)

  it("is the same for a dense layout of any order and for an expanded tensor", function()
    gan.manual_seed(3)
    local x = gan.randn(5, 6, 7, 3)
    local y = x:permute(1, 3, 4, 2):contiguous():permute(1, 4, 2, 3)
    for _, dims in ipairs{ { 1 }, { 2 }, { 1, 3, 4 }, { 2, 4 }, { 1, 2, 3, 4 } } do
      local a, b = x:sum(dims), y:sum(dims)
      assert.are.same(a:shape(), b:shape())
      assert.is_true((a - b):abs():amax():item() < 1e-4)
    end
    local e = x:slice(2, 1, 1):expand(5, 6, 7, 3)
    assert.is_true((e:sum(2, 3) - e:contiguous():sum(2, 3)):abs():amax():item() < 1e-4)
    assert.is_true((e:var(2, 3) - e:contiguous():var(2, 3)):abs():amax():item() < 1e-4)
  end)

  it("does not depend on the number of threads", function()
    local before = gan.threads()
    local x = gan.randn(300, 1000)
    local function all()
      return { x:sum():item(), x:sum(1):totable(), x:sum(2):totable(), x:var(1):totable() }
    end
    gan.threads(1)
    local one = all()
    gan.threads(3)
    local three = all()
    gan.threads(before)
    assert.are.same(one, three)
  end)
end)

describe("variance", function()
  it("of numbers far from 0 is not lost", function()
    local x = gan.tensor{ 10001, 10002, 10003, 10004 }
    close(5 / 3, x:var():item(), 1e-6)
    close(1.25, x:var({ correction = 0 }):item(), 1e-6)
  end)
end)

describe("a reduction", function()
  it("names a dimension that does not exist or is listed twice", function()
    local x = gan.zeros(2, 3)
    refuses("dimension 3 is out of range", x.sum, x, 3)
    refuses("dimension 2 is listed twice", x.sum, x, { 2, -1 })
    refuses("dimension 2 of x %(2 x 0%) has size 0", gan.amax, gan.zeros(2, 0))
    refuses("no elements", gan.argmax, gan.zeros(0))
    refuses("cannot be broadcast", x.sum_to, x, 2)
  end)

  it("asks for the compute type", function()
    local x = gan.zeros({ 3 }, { dtype = "uint8" })
    refuses("x:to%(", x.sum, x)
  end)
end)
