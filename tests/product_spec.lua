-- Matrix products of the sizes that the blocked kernel does: every layout, edge tile and epilogue.
-- Whole numbers make sums exact in any order, so results are compared for equality.
local gan = require "gan"

-- A matrix of whole numbers from -2 to 2. As it is, stored transposed, or inside a wider matrix.
local function whole(rows, cols, layout)
  local function fill(r, c)
    return (gan.rand(r, c) * 5 - 0.5):round():clamp{ min = 0, max = 4 } - 2
  end
  if layout == "rows" then return fill(rows, cols) end
  if layout == "columns" then return fill(cols, rows):t() end
  return fill(rows + 2, cols + 5):slice(1, 2, rows + 1):slice(2, 4, cols + 3)
end

local function product(a, b)
  local m, n, k = a:size(1), b:size(2), a:size(2)
  local x, y, c = a:totable(), b:t():contiguous():totable(), {}
  for i = 1, m do
    local row = {}
    for j = 1, n do
      local p, q, sum = x[i], y[j], 0
      for l = 1, k do sum = sum + p[l] * q[l] end
      row[j] = sum
    end
    c[i] = row
  end
  return gan.tensor(c)
end

local function same(want, got)
  assert.are.same(want:shape(), got:shape())
  assert.are.equal(0, (want - got):abs():amax():item())
end

local sizes = { -- m, n, k: whole tiles, tiles cut on each side, several blocks of the depth
  { 28, 64, 48 }, { 45, 35, 41 }, { 33, 30, 70 }, { 17, 100, 33 }, { 100, 17, 40 },
  { 20, 24, 1100 }, { 200, 9, 37 }, { 9, 150, 64 }, { 47, 300, 19 }, { 64, 31, 512 }
}
local layouts = { "rows", "columns", "inside" }

describe("a product", function()
  for _, s in ipairs(sizes) do
    local m, n, k = table.unpack(s)
    it(("of %d x %d x %d is exact in every layout"):format(m, n, k), function()
      gan.manual_seed(m * n + k)
      for _, la in ipairs(layouts) do
        for _, lb in ipairs(layouts) do
          local a, b = whole(m, k, la), whole(k, n, lb)
          same(product(a, b), a:matmul(b))
        end
      end
    end)
  end

  it("reads matrices whose rows are whole pages apart", function()
    gan.manual_seed(1)
    local a, b = whole(40, 1024, "rows"), whole(1024, 40, "columns")
    same(product(a, b), a:matmul(b))
    a, b = whole(48, 30, "rows"):contiguous(), whole(30, 1024, "rows")
    same(product(a, b), a:matmul(b))
    same(product(b:t(), a:t()), b:t():matmul(a:t()))
  end)

  it("has the same bits for any number of threads", function()
    local before = gan.threads()
    gan.manual_seed(2)
    local a, w, g = gan.randn(64, 300), gan.randn(200, 300), gan.randn(64, 200)
    local function all()
      return { a:matmul(w:t()):totable(), g:matmul(w):totable(), g:t():matmul(a):totable() }
    end
    gan.threads(1)
    local one = all()
    gan.threads(3)
    local three = all()
    gan.threads(before)
    assert.are.same(one, three)
  end)

  it("passes NaN and infinity to their row and column alone", function()
    gan.manual_seed(3)
    for _, lb in ipairs{ "rows", "columns" } do
      local a, b = whole(40, 50, "rows"), whole(50, 60, lb)
      local want = a:matmul(b)
      a:slice(1, 7, 7):slice(2, 9, 9):fill_(0 / 0)
      b:slice(1, 50, 50):slice(2, 60, 60):fill_(1 / 0)
      local got = a:matmul(b)
      for i = 1, 40 do
        for j = 1, 60 do
          local x = got:get(i, j)
          if i == 7 then assert.is_true(x ~= x)
          elseif j < 60 then assert.are.equal(want:get(i, j), x)
          else assert.is_true(x ~= x or math.abs(x) == 1 / 0) end -- 0 times infinity too
        end
      end
    end
  end)
end)

describe("what follows a product", function()
  it("is what the ops would do one after the other", function()
    gan.manual_seed(4)
    for _, s in ipairs{ { 64, 90, 70 }, { 33, 47, 100 }, { 90, 20, 64 }, { 40, 32, 1050 } } do
      local m, n, k = table.unpack(s)
      local x, w, b = whole(m, k, "rows"), whole(n, k, "rows"), whole(1, n, "rows"):reshape(n)
      local sum = product(x, w:t()) + b
      same(sum, x:linear(w, b))
      same(sum:relu(), x:linear(w, b, { activation = "relu" }))
      same(sum:leaky_relu{ slope = 0.25 },
           x:linear(w, b, { activation = "leaky_relu", slope = 0.25 }))
      for _, f in ipairs{ "tanh", "sigmoid" } do
        local small = x:linear(w * 2 ^ -10, b * 2 ^ -10, { activation = f })
        local diff = (small - gan[f](sum * 2 ^ -10)):abs():amax():item()
        assert.is_true(diff < 1e-6)
      end
    end
  end)

  it("adds a multiple of what was there, which does not count with beta 0", function()
    gan.manual_seed(5)
    for _, s in ipairs{ { 45, 70, 33 }, { 64, 64, 1100 } } do
      local m, n, k = table.unpack(s)
      for _, lb in ipairs(layouts) do
        local a, b, c = whole(m, k, "rows"), whole(k, n, lb), whole(m, n, "rows")
        same(product(a, b) * 0.5 - c * 2, gan.addmm(c, a, b, { alpha = 0.5, beta = -2 }))
        c:fill_(0 / 0)
        same(product(a, b), gan.addmm(c, a, b, { beta = 0 }))
      end
    end
  end)
end)
