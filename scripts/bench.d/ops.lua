-- Times single ops: gan-lua's side of `scripts/bench ops`; torch_ops.py has the same cases.
--
-- A case has a large size, whose speed is told in GB/s (everything read and written once) or
-- GFLOP/s, and, where it says anything, a tiny one: what a call costs besides arithmetic.

local gan = require "gan"

local opt = gan.opts{
  "Times single ops; prints a JSON list.",
  { "threads", 2, "number of threads" },
  { "seconds", 0.1, "how long each op is measured" },
  { "only", "", "only ops whose name contains this" },
}
if not opt then return end

local CHUNK = 100 -- tiny results that are alive at a time, as in a training step
local cases = {}

--- amount: bytes or operations of one call of `large`.
local function case(family, name, unit, amount, large, tiny)
  cases[#cases + 1] = { family = family, name = name, unit = unit, amount = amount, large = large,
    tiny = tiny }
end

--- Median seconds of one call of f among measurements of `n` calls in a scope each.
local function seconds(f, n)
  local times, start = {}, gan.files.time()
  local function calls() for _ = 1, n do f() end end
  gan.scope(calls)
  repeat
    local t = gan.files.time()
    gan.scope(calls)
    local now = gan.files.time()
    times[#times + 1] = (now - t) / n
  until now - start > opt.seconds and #times >= 5
  table.sort(times)
  return times[(#times + 1) // 2]
end

local F = 4 -- bytes of a number

-- ---- elementwise, reductions, shapes ------------------------------------------------------------

local N = 1 << 20
local a, b, c = gan.randn(1024, 1024), gan.randn(1024, 1024), gan.rand(1024, 1024)
local a4, b4 = gan.randn(4), gan.randn(4)
local row, column = gan.randn(1024), gan.randn(1024, 1)
local mask = gan.gt(a, 0)

local function unary(name, f)
  case("elementwise", name, "GB/s", 2 * F * N, function() return f(a) end,
    function() return f(a4) end)
end

case("elementwise", "add", "GB/s", 3 * F * N, function() return a + b end,
  function() return a4 + b4 end)
case("elementwise", "add row", "GB/s", 2 * F * N, function() return a + row end)
case("elementwise", "add column", "GB/s", 2 * F * N, function() return a + column end)
unary("mul number", function(x) return x * 2 end)
for _, name in ipairs{ "relu", "tanh", "sigmoid", "exp", "gelu" } do
  unary(name, gan[name])
end
unary("leaky_relu", function(x) return gan.leaky_relu(x, 0.2) end)
case("elementwise", "log", "GB/s", 2 * F * N, function() return c:log() end)
case("elementwise", "where", "GB/s", 3 * F * N + N, function() return gan.where(mask, a, b) end)
case("reduction", "sum", "GB/s", F * N, function() return a:sum() end,
  function() return a4:sum() end)
case("reduction", "sum rows", "GB/s", F * N, function() return a:sum(2) end)
case("reduction", "sum columns", "GB/s", F * N, function() return a:sum(1) end)
case("reduction", "amax rows", "GB/s", F * N, function() return a:amax(2) end)
case("reduction", "softmax", "GB/s", 2 * F * N, function() return a:softmax(2) end)
case("shape", "transposed copy", "GB/s", 2 * F * N,
  function() return a:permute(2, 1):contiguous() end)
case("shape", "cat", "GB/s", 4 * F * N, function() return gan.cat({ a, b }, { dim = 1 }) end)
case("shape", "slice", "GB/s", F * N, function() return a:slice(2, 1, 512):contiguous() end)
case("random", "rand", "GB/s", F * N, function() return gan.rand(1024, 1024) end)
case("random", "randn", "GB/s", F * N, function() return gan.randn(1024, 1024) end)

local rows = gan.tensor((function()
  local list = {}
  for i = 1, 1024 do list[i] = (i * 7919) % 1024 + 1 end
  return list
end)(), { dtype = "int64" })
case("index", "index_select", "GB/s", 2 * F * N, function() return a:index_select(rows, 1) end)
case("index", "embedding", "GB/s", 2 * F * N, function() return gan.embedding(rows, a) end)

-- ---- products -----------------------------------------------------------------------------------

local function product(m, n, k, which)
  local x = which == "TN" and gan.randn(k, m):permute(2, 1) or gan.randn(m, k)
  local y = which == "NT" and gan.randn(n, k):permute(2, 1) or gan.randn(k, n)
  case("product", ("%dx%dx%d %s"):format(m, n, k, which), "GFLOP/s", 2 * m * n * k,
    function() return x:matmul(y) end)
end

for _, s in ipairs{ { 1024, 1024, 1024 }, { 128, 1000, 784 }, { 64, 1024, 784 }, { 64, 512, 256 },
  { 256, 128, 128 }, { 256, 128, 2 }, { 128, 784, 1000 }, { 784, 1024, 64 } } do
  for _, which in ipairs{ "NN", "NT", "TN" } do product(s[1], s[2], s[3], which) end
end
local left, right = gan.randn(64, 64, 64), gan.randn(64, 64, 64)
case("product", "batched 64x64x64", "GFLOP/s", 2 * 64 ^ 4, function() return left:bmm(right) end)
local x8, w8, b8 = gan.randn(8, 8), gan.randn(8, 8), gan.randn(8)
local x784, w784, b784 = gan.randn(128, 784), gan.randn(1000, 784), gan.randn(1000)
case("product", "linear 128x1000x784", "GFLOP/s", 2 * 128 * 1000 * 784,
  function() return gan.linear(x784, w784, b784) end, function() return gan.linear(x8, w8, b8) end)

-- ---- convolutions: forward, and forward with all gradients --------------------------------------

local function with_gradients(f, ...)
  local inputs = { ... }
  for _, t in ipairs(inputs) do t:requires_grad_(true) end
  return function()
    f(table.unpack(inputs)):sum():backward()
    for _, t in ipairs(inputs) do t:zero_grad() end
  end
end

local function convolution(op, batch, i, o, size, kernel, stride, padding)
  local transposed = op == gan.conv_transpose2d
  local x = gan.randn(batch, i, size, size)
  local w = gan.randn(transposed and i or o, transposed and o or i, kernel, kernel):mul_(0.05)
  local attributes = { stride = stride, padding = padding }
  local function f(input, weight) return op(input, weight, nil, attributes) end
  local out = f(x, w):size(3)
  local places = transposed and size * size or out * out
  local flops = 2 * batch * i * o * kernel * kernel * places
  local name = ("%d %d-%d k%d %d-%d"):format(batch, i, o, kernel, size, out)
  local family = transposed and "conv_transpose2d" or "conv2d"
  case(family, name, "GFLOP/s", flops, function() return gan.no_grad(f, x, w) end)
  case(family, name .. " +gradients", "GFLOP/s", 3 * flops,
    with_gradients(f, x:clone(), w:clone()))
end

for _, s in ipairs{ { 64, 1, 64, 28, 4, 2, 1 }, { 64, 64, 128, 14, 4, 2, 1 },
  { 32, 64, 128, 32, 4, 2, 1 }, { 32, 256, 512, 8, 4, 2, 1 }, { 64, 16, 32, 14, 3, 1, 1 } } do
  convolution(gan.conv2d, table.unpack(s))
end
for _, s in ipairs{ { 64, 128, 64, 7, 4, 2, 1 }, { 64, 64, 1, 14, 4, 2, 1 },
  { 32, 128, 64, 16, 4, 2, 1 }, { 32, 512, 256, 4, 4, 2, 1 } } do
  convolution(gan.conv_transpose2d, table.unpack(s))
end

-- ---- pooling, normalisation, losses, optimisers -------------------------------------------------

-- as a convolution leaves them
local maps = gan.no_grad(gan.conv2d, gan.randn(64, 1, 28, 28), gan.randn(16, 1, 3, 3), nil,
  { padding = 1 })
local M = 64 * 16 * 28 * 28
local pooled, positions = maps:max_pool2d({ kernel_size = 2, stride = 2 })
case("pooling", "max_pool2d", "GB/s", F * M * 5 // 4,
  function() return maps:max_pool2d{ kernel_size = 2, stride = 2 } end)
case("pooling", "max_unpool2d", "GB/s", F * M * 5 // 4,
  function() return pooled:max_unpool2d(positions, { kernel_size = 2, stride = 2 }) end)
case("pooling", "avg_pool2d", "GB/s", F * M * 5 // 4,
  function() return maps:avg_pool2d{ kernel_size = 2, stride = 2 } end)

local scale, shift = gan.ones(1024), gan.zeros(1024)
local scale16, shift16 = gan.ones(16), gan.zeros(16)
local function batch_norm(x, w, s)
  return (gan.batch_norm(x, w, s, nil, nil, { training = true }))
end

case("normalisation", "batch_norm 1024x1024", "GB/s", 2 * F * N,
  function() return batch_norm(a, scale, shift) end)
case("normalisation", "batch_norm 64x16x28x28", "GB/s", 2 * F * M,
  function() return batch_norm(maps, scale16, shift16) end)
case("normalisation", "batch_norm 64x16x28x28 +gradients", "GB/s", 5 * F * M,
  with_gradients(batch_norm, maps:clone(), gan.ones(16), gan.zeros(16)))
case("normalisation", "layer_norm", "GB/s", 2 * F * N,
  function() return gan.layer_norm(a, scale, shift) end)

case("loss", "mse_loss", "GB/s", 2 * F * N, function() return gan.mse_loss(a, b) end,
  function() return gan.mse_loss(a4, b4) end)
case("loss", "bce_with_logits", "GB/s", 2 * F * N, function() return gan.bce_with_logits(a, c) end)
case("loss", "bce_with_logits +gradients", "GB/s", 5 * F * N,
  with_gradients(function(x) return gan.bce_with_logits(x, c) end, a:clone()))
case("loss", "cross_entropy", "GB/s", F * N, function() return gan.cross_entropy(a, rows) end)

--- One step of Adam over parameters of these sizes, with gradients that stay.
local function adam(name, sizes)
  local params, count = {}, 0
  for i, s in ipairs(sizes) do
    params[i] = gan.randn(table.unpack(s)):requires_grad_(true)
    gan.scope(function() params[i]:sum():backward() end)
    count = count + params[i]:numel()
  end
  local optimiser = gan.optim.Adam{ params, lr = 1e-3 }
  case("optimiser", name, "GB/s", 7 * F * count, function() optimiser:step() end)
end

adam("Adam, 2.8 million weights", { { 1000, 784 }, { 1000 }, { 500, 1000 }, { 500 }, { 250, 500 },
  { 250 }, { 30, 250 }, { 30 }, { 250, 30 }, { 250 }, { 500, 250 }, { 500 }, { 1000, 500 },
  { 1000 }, { 784, 1000 }, { 784 } })
adam("Adam, 34 thousand weights", { { 128, 2 }, { 128 }, { 128, 128 }, { 128 }, { 2, 128 }, { 2 },
  { 128, 2 }, { 128 }, { 128, 128 }, { 128 }, { 1, 128 }, { 1 } })

gan.threads(opt.threads)
local results = {}
for _, k in ipairs(cases) do
  if k.name:find(opt.only, 1, true) or k.family:find(opt.only, 1, true) then
    results[#results + 1] = {
      family = k.family, name = k.name, unit = k.unit, amount = k.amount,
      us = seconds(k.large, 1) * 1e6, ns = k.tiny and seconds(k.tiny, CHUNK) * 1e9,
    }
  end
end
print(gan.json.encode(gan.json.array(results)))
