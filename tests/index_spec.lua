-- Index values: counted from 1, negative from the end, checked before anything is written.
local gan = require "gan"

local function ints(t) return gan.tensor(t, { dtype = "int64" }) end

local function refuses(pattern, f, ...)
  local ok, why = pcall(f, ...)
  assert.is_false(ok)
  assert.truthy(tostring(why):find(pattern), tostring(why))
end

describe("an index", function()
  it("out of range is an error that names the value and the range", function()
    local x = gan.arange(4)
    refuses("idx holds 5 at position 2, outside 1 .. 4", x.index_select, x, ints{ 1, 5 })
    refuses("idx holds %-5 at position 1", x.index_select, x, ints{ -5 })
    refuses("places start at 1", x.gather, x, ints{ 0 }, 1)
    refuses("idx holds 9", x.scatter_add, x, ints{ 1, 9 }, gan.ones(2), 1)
    refuses("idx holds 9", gan.embedding, ints{ 9 }, gan.zeros(3, 2))
    refuses("idx holds 4", gan.one_hot, ints{ 4 }, 3)
    assert.are.same({ 1, 2, 3, 4 }, x:totable())
  end)

  it("counts from the end when it is negative", function()
    local x = gan.arange(4)
    assert.are.same({ 4, 1 }, x:index_select(ints{ -1, -4 }):totable())
    assert.are.same({ { 0, 0, 1 } }, gan.one_hot(ints{ -1 }, 3):totable())
  end)

  it("must have the type and shape that its op needs", function()
    local x = gan.zeros(3, 4)
    refuses("int64", x.index_select, x, gan.ones(2))
    refuses("one dimension", x.index_select, x, ints{ { 1 } })
    refuses("no larger sizes", x.gather, x, ints{ { 1 }, { 1 }, { 1 }, { 1 } }, 2)
    refuses("at least as large", x.scatter, x, ints{ { 1, 2 } }, gan.zeros(1, 1), 2)
  end)

  it("that chooses a million rows adds up exactly", function()
    local n = 100000
    local idx = gan.ones({ n }, { dtype = "int64" })
    local y = gan.zeros(2, 3):index_add(idx, gan.ones(n, 3))
    assert.are.same({ { n, n, n }, { 0, 0, 0 } }, y:totable())
  end)
end)

describe("sorting", function()
  it("agrees with table.sort on many sizes, both ways, and keeps equals in order", function()
    for _, n in ipairs{ 1, 2, 15, 16, 17, 31, 33, 100, 257 } do
      local x = gan.rand(3, n):mul(20):floor()
      local v, i = x:sort(2)
      local d, j = x:sort(2, { descending = true })
      for r = 1, 3 do
        local row, order = x[r]:totable(), {}
        for k = 1, n do order[k] = k end
        table.sort(order, function(a, b)
          if row[a] ~= row[b] then return row[a] < row[b] end
          return a < b
        end)
        assert.are.same(order, i[r]:totable())
        table.sort(order, function(a, b)
          if row[a] ~= row[b] then return row[a] > row[b] end
          return a < b
        end)
        assert.are.same(order, j[r]:totable())
      end
      assert.are.same(v:totable(), x:gather(i, 2):totable())
      assert.are.same(d:totable(), x:gather(j, 2):totable())
    end
  end)

  it("and topk give the same places", function()
    local x = gan.rand(4, 100):mul(30):floor()
    local _, j = x:sort(2, { descending = true })
    for _, k in ipairs{ 1, 5, 32, 33, 99, 100 } do
      local _, i = x:topk(k, 2)
      assert.are.same(j:slice(2, 1, k):totable(), i:totable())
    end
    refuses("k is 101", x.topk, x, 101)
  end)
end)
