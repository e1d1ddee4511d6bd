-- Cases of runtime/ops/index.c and sort.c: see tests/case.lua.
local t = require "tests.case"

local nan, huge = 0 / 0, math.huge

-- The cheapest assignment, by trying all.
local function cheapest(gan, x)
  local cost, best, least, columns = x:totable(), nil, huge, {}
  local function try(i, sum, used)
    if i > #cost then
      if sum < least then
        best, least = { table.unpack(columns) }, sum
      end
      return
    end
    for j = 1, #cost[1] do
      if not used[j] then
        used[j], columns[i] = true, j
        try(i + 1, sum + cost[i][j], used)
        used[j] = nil
      end
    end
  end
  try(1, 0, {})
  return gan.tensor(best, { dtype = "int64" })
end

return {
  index_select = {
    { t.randn{4, 3}, t.labels{5, n = 4}, torch = "a.index_select(0, b)" },
    { t.randn{2, 3, 4}, t.labels{2, n = 3}, 2, torch = "a.index_select(1, b)" },
    { t.randn{3, 4}, t.labels{6, n = 4}, { dim = -1 }, torch = "a.index_select(-1, b)" },
    { t.randn{3, 4}, t.labels{0, n = 4}, torch = "a.index_select(0, b)" },
    { t.bytes{4, 3}, t.labels{2, n = 4}, torch = "a.index_select(0, b)" },
    { t.labels{6, n = 9}, t.labels{3, n = 6}, torch = "a.index_select(0, b)" },
    { t.randn{4, 2}, t.values({ -1, 2, -4 }, "int64"), torch = false, -- negative: no PyTorch
      expect = function(gan, x) return gan.stack(x[4], x[2], x[1]) end },
  },
  index_add = {
    { t.randn{4, 3}, t.values({ 2, 2, 4 }, "int64"), t.randn{3, 3},
      torch = "a.index_add(0, b, c)" },
    { t.randn{2, 3, 4}, t.labels{5, n = 3}, t.randn{2, 5, 4}, 2, torch = "a.index_add(1, b, c)" },
    { t.randn{2, 4}, t.labels{5, n = 4}, t.randn{2, 5}, { dim = -1 },
      torch = "a.index_add(1, b, c)" },
    { t.randn{2, 4}, t.labels{0, n = 4}, t.randn{0, 4}, torch = "a.index_add(0, b, c)" },
  },
  gather = {
    { t.randn{3, 4}, t.labels{3, 2, n = 4}, 2, torch = "a.gather(1, b)" },
    { t.randn{3, 4}, t.labels{5, 4, n = 3}, 1, torch = "a.gather(0, b)" },
    { t.randn{2, 3, 4}, t.labels{2, 5, 3, n = 3}, { dim = 2 }, torch = "a.gather(1, b)" },
    { t.randn{2, 3, 4}, t.labels{1, 2, 6, n = 4}, -1, torch = "a.gather(-1, b)" },
    { t.bytes{2, 3}, t.labels{2, 2, n = 3}, 2, torch = "a.gather(1, b)" },
    { t.randn{2, 3}, t.labels{2, 0, n = 3}, 2, torch = "a.gather(1, b)" },
    { t.values(2.5), t.values(1, "int64"), 1, torch = "a.gather(0, b)" },
    { t.randn{4}, t.values({ -1, 2 }, "int64"), 1, torch = false, -- negative: no PyTorch
      expect = function(gan, x) return gan.stack(x[4], x[2]) end },
  },
  scatter_add = {
    { t.randn{3, 4}, t.labels{3, 2, n = 4}, t.randn{3, 2}, 2, torch = "a.scatter_add(1, b, c)" },
    { t.randn{3, 4}, t.labels{5, 4, n = 3}, t.randn{5, 4}, 1, torch = "a.scatter_add(0, b, c)" },
    { t.randn{3, 4}, t.labels{2, 3, n = 3}, t.randn{3, 5}, 1,
      torch = "a.scatter_add(0, b, c[:2, :3])" },
    { t.randn{2, 3, 4}, t.labels{2, 5, 3, n = 3}, t.randn{2, 5, 3}, 2,
      torch = "a.scatter_add(1, b, c)" },
    { t.randn{4}, t.values({ 2, 2, 2 }, "int64"), t.randn{3}, 1, torch = "a.scatter_add(0, b, c)" },
    { t.values(2.5), t.values(1, "int64"), t.values(1.5), 1, torch = "a.scatter_add(0, b, c)" },
  },
  scatter = {
    { t.randn{3, 4}, t.values({ { 2, 1 }, { 4, 3 }, { 1, 2 } }, "int64"), t.randn{3, 2}, 2,
      torch = "a.scatter(1, b, c)" },
    { t.randn{3, 4}, t.values({ { 1, 3, 2 } }, "int64"), t.randn{2, 4}, 1,
      torch = "a.scatter(0, b, c[:1, :3])" },
    { t.bytes{4}, t.values({ 2, 3 }, "int64"), t.bytes{2}, 1, torch = "a.scatter(0, b, c)" },
    { t.randn{4}, t.values({ 2, 3, 2 }, "int64"), t.randn{3}, 1, torch = false, -- the last one wins
      expect = function(gan, x, _, src) return gan.stack(x[1], src[3], src[2], x[4]) end },
  },
  one_hot = {
    { t.labels{5, n = 4}, 4, torch = "F.one_hot(a, 4).double()" },
    { t.values({ { 1, 3 }, { 2, 1 } }, "int64"), torch = "F.one_hot(a).double()" },
    { t.labels{3, n = 3}, { classes = 5, dtype = "int64" }, torch = "F.one_hot(a, 5) - 1" },
    { t.values(2, "int64"), 3, torch = "F.one_hot(a, 3).double()" },
    { t.labels{0, n = 3}, 3, torch = "F.one_hot(a, 3).double()" },
  },
  embedding = {
    { t.labels{5, n = 4}, t.randn{4, 3}, torch = "F.embedding(a, b)" },
    { t.labels{2, 3, n = 4}, t.randn{4, 3}, torch = "F.embedding(a, b)" },
    { t.values(2, "int64"), t.randn{4, 3}, torch = "F.embedding(a, b)" },
    { t.labels{0, n = 4}, t.randn{4, 3}, torch = "F.embedding(a, b)" },
  },
  masked_select = {
    { t.randn{2, 3}, t.values{ { 1, 0, 1 }, { 0, 0, 1 } }, wrt = { 1 },
      torch = "a.masked_select(b != 0)" },
    { t.randn{2, 3}, t.values({ 1, 0, 1 }, "uint8"), torch = "a.masked_select(b != 0)" },
    { t.randn{3, 1}, t.values({ 1, 0 }, "uint8"), torch = "a.masked_select(b != 0)" },
    { t.randn{3}, t.values({ 0, 0, 0 }, "uint8"), torch = "a.masked_select(b != 0)" },
  },
  sort = {
    { t.values{ { 3, 1, 2 }, { -1, 5, 0 } }, torch = "a.sort(dim=-1, stable=True)" },
    { t.values{ { 3, 1, 2 }, { -1, 5, 0 } }, 1, { descending = true },
      torch = "a.sort(0, descending=True)" },
    { t.values{ 2, 1, 2, 1, 2 }, { descending = true }, smooth = false,
      torch = "torch.sort(a, stable=True, dim=0, descending=True)" },
    { t.values{ 2, nan, -huge, huge, 1 }, smooth = false, torch = "a.sort()" },
    -- more than one run of the merge sort
    { t.values{ 5, 3, 17, 2, 16, 1, 15, 4, 14, 6, 13, 7, 12, 8, 11, 9, 10, 0, -1, -5, 20, 18, 40,
                22, 19, 30, -7, 31, 33, 32, 35, 34, 37, 36, 39 }, torch = "a.sort()" },
    { t.randn{2, 0}, torch = "a.sort()" },
    { t.values(2.5), torch = "a.sort()" },
  },
  argsort = {
    { t.values{ { 3, 1, 2 }, { -1, 5, 0 } }, torch = "a.argsort()" },
    { t.values{ { 3, 1, 2 }, { -1, 5, 0 } }, 1, { descending = true },
      torch = "a.argsort(0, descending=True)" },
    { t.values{ 2, 1, 2, 1 }, torch = "torch.sort(a, stable=True)[1]" },
  },
  assignment = {
    { t.values{ { 4, 1, 3 }, { 2, 0, 5 }, { 3, 2, 2 } }, torch = false,
      expect = function(gan) return gan.tensor({ 2, 1, 3 }, { dtype = "int64" }) end },
    { t.values{ { 9, 2, 7, 8 }, { 6, 4, 3, 7 } }, torch = false, -- more columns than rows
      expect = function(gan) return gan.tensor({ 2, 3 }, { dtype = "int64" }) end },
    { t.randn{0, 3}, torch = false,
      expect = function(gan) return gan.zeros(0, { dtype = "int64" }) end },
    { t.randn{6, 7}, torch = false, expect = function(gan, x) return cheapest(gan, x) end },
  },
  topk = {
    { t.values{ { 3, 1, 2, 7 }, { -1, 5, 0, 6 } }, 2, torch = "a.topk(2)" },
    { t.values{ { 3, 1, 2, 7 }, { -1, 5, 0, 6 } }, 1, 1, { largest = false },
      torch = "a.topk(1, 0, largest=False)" },
    { t.values{ 3, 1, 2, 7 }, { k = 4 }, torch = "a.topk(4)" },
    { t.values{ 3, nan, 2, 7 }, 2, smooth = false, torch = "a.topk(2)" },
    { t.values{ 3, 1, 2 }, 0, torch = "a.topk(0)" },
  },
}
