-- Cases of runtime/ops/optim.c: see tests/case.lua. The trajectories of whole optimisers against
-- PyTorch are in tests/optim_spec.lua; here every formula is written out for one number, and
-- applied to tensors of several sizes and layouts.
local t = require "tests.case"

local sqrt, abs, max, min = math.sqrt, math.abs, math.max, math.min

-- One step of update(w, g, state..., o) for each element, compared with the op.
local function compare(gan, op, states, o, update, p, g, s)
  local call = { { p }, { g } }
  local names = {}
  for i, name in ipairs(states) do
    call[2 + i] = { s[i] }
    names[i] = name
  end
  call[#call + 1] = o
  local function flat(x) return x:detach():reshape(x:numel()):totable() end
  local before = { flat(p), flat(g) }
  for i = 1, #states do before[2 + i] = flat(s[i]) end
  local grad = flat(g)
  gan[op](table.unpack(call))
  local after = { flat(p), grad }
  for i = 1, #states do after[2 + i] = flat(s[i]) end
  local tol = gan.config.real == "float64" and 1e-12 or 2e-6
  for k = 1, #before[1] do
    local args = {}
    for i = 1, #before do args[i] = before[i][k] end
    args[#args + 1] = o
    local want = table.pack(update(table.unpack(args)))
    local got = { after[1][k] }
    for i = 1, #states do got[1 + i] = after[2 + i][k] end
    for i = 1, want.n do
      assert(abs(got[i] - want[i]) <= tol * max(1, abs(want[i])),
        ("%s: %s of element %d is %.9g, expected %.9g"):format(op, i == 1 and "p" or names[i - 1],
          k,
          got[i], want[i]))
    end
  end
  assert(#flat(g) == 0 or flat(g)[1] == grad[1], "the gradient was changed")
end

-- Sizes around those of vectors and chunks, another order in memory, a slice.
local function check(op, states, o, update)
  return function(gan)
    local function fresh(...)
      local s = {}
      for i = 1, #states do s[i] = gan.rand(...) end
      return s
    end
    for _, n in ipairs{ 0, 1, 37 } do
      compare(gan, op, states, o, update, gan.randn(n), gan.randn(n), fresh(n))
    end
    local function turned(x) return x:permute(2, 1):contiguous():permute(2, 1) end
    local s = fresh(3, 5)
    for i = 1, #s do s[i] = turned(s[i]) end
    compare(gan, op, states, o, update, turned(gan.randn(3, 5)), gan.randn(3, 5), s)
    compare(gan, op, states, o, update, gan.randn(4, 6):slice(2, 2, 4), turned(gan.randn(4, 3)),
      fresh(4, 3))
    -- several tensors at once, and more than one chunk, are the same as each alone
    local ps, gs, alone, lists = {}, {}, {}, {}
    for i, n in ipairs{ 20000, 3, 0, 9000 } do
      ps[i], gs[i] = gan.randn(n), gan.randn(n)
      alone[i] = ps[i]:clone()
    end
    local ss = {}
    for k = 1, #states do
      ss[k] = {}
      for i = 1, #ps do ss[k][i] = gan.rand(ps[i]:numel()) end
    end
    for i = 1, #ps do
      lists = { { alone[i] }, { gs[i] } }
      for k = 1, #states do lists[2 + k] = { ss[k][i]:clone() } end
      lists[#lists + 1] = o
      gan[op](table.unpack(lists))
    end
    lists = { ps, gs }
    for k = 1, #states do lists[2 + k] = ss[k] end
    lists[#lists + 1] = o
    gan[op](table.unpack(lists))
    for i = 1, #ps do
      if ps[i]:numel() > 0 then assert(ps[i]:eq(alone[i]):amin():item() == 1, op .. ": tensor "
        .. i) end
    end
  end
end

local function refused(pattern, f, ...)
  local ok, message = pcall(f, ...)
  assert(not ok, "was accepted")
  assert(tostring(message):find(pattern), message)
end

local function one(values) return t.list{ t.values(values) } end

local function sgd(w, g, buf, o)
  local d = g + (o.weight_decay or 0) * w
  if not o.momentum then return w - o.lr * d end
  local b = (o.step or 1) == 1 and d or o.momentum * buf + (1 - (o.dampening or 0)) * d
  return w - o.lr * (o.nesterov and d + o.momentum * b or b), b
end

local function moments(w, g, m, v, o)
  local d = g + (not o.decoupled and o.weight_decay or 0) * w
  local b1, b2 = o.beta1 or 0.9, o.beta2 or 0.999
  return d, b1 * m + (1 - b1) * d, b2 * v + (1 - b2) * d * d, 1 - b1 ^ o.step, 1 - b2 ^ o.step
end

local function adam(w, g, m, v, o)
  local _, m1, v1, bc1, bc2 = moments(w, g, m, v, o)
  if o.decoupled then w = w * (1 - o.lr * o.weight_decay) end
  return w - o.lr * (m1 / bc1) / (sqrt(v1 / bc2) + (o.eps or 1e-8)), m1, v1
end

local function amsgrad(w, g, m, v, most, o)
  local _, m1, v1, bc1, bc2 = moments(w, g, m, v, o)
  local x = max(most, v1)
  return w - o.lr * (m1 / bc1) / (sqrt(x / bc2) + (o.eps or 1e-8)), m1, v1, x
end

local function adamax(w, g, m, u, o)
  local d, m1, _, bc1 = moments(w, g, m, 0, o)
  local u1 = max((o.beta2 or 0.999) * u, abs(d) + (o.eps or 1e-8))
  return w - o.lr / bc1 * m1 / u1, m1, u1
end

local function nadam(w, g, m, v, o)
  local d, m1, v1, _, bc2 = moments(w, g, m, v, o)
  local function mu(s) return 0.9 * (1 - 0.5 * 0.96 ^ (s * 0.004)) end
  local now, next_mu = mu(o.step), mu(o.step + 1)
  local product, root = o.mu_product * now, sqrt(v1 / bc2) + 1e-8
  return w - o.lr * (1 - now) / (1 - product) * d / root
    - o.lr * next_mu / (1 - product * now * next_mu) * m1 / root, m1, v1
end

local function radam(w, g, m, v, o)
  local _, m1, v1, bc1, bc2 = moments(w, g, m, v, o)
  local b2 = o.beta2 or 0.999
  local most = 2 / (1 - b2) - 1
  local rho = most - 2 * o.step * b2 ^ o.step / bc2
  if rho <= 5 then return w - o.lr * m1 / bc1, m1, v1 end
  local r = sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho))
  return w - o.lr * r * m1 / bc1 * sqrt(bc2) / (sqrt(v1) + 1e-8), m1, v1
end

local function rmsprop(w, g, v, o)
  local d = g + (o.weight_decay or 0) * w
  local v1 = (o.alpha or 0.99) * v + (1 - (o.alpha or 0.99)) * d * d
  return w - o.lr * d / (sqrt(v1) + (o.eps or 1e-8)), v1
end

local function rmsprop_full(w, g, v, mean, buf, o)
  local v1, m1 = 0.9 * v + 0.1 * g * g, 0.9 * mean + 0.1 * g
  local x = g / (sqrt(max(v1 - m1 * m1, 0)) + o.eps)
  local b = o.momentum * buf + x
  return w - o.lr * b, v1, m1, b
end

local function adagrad(w, g, sum, o)
  local d = g + (o.weight_decay or 0) * w
  local s = sum + d * d
  return w - o.lr / (1 + (o.step - 1) * (o.lr_decay or 0)) * d / (sqrt(s) + 1e-10), s
end

local function adadelta(w, g, v, delta, o)
  local d = g + (o.weight_decay or 0) * w
  local v1 = 0.9 * v + 0.1 * d * d
  local x = sqrt(delta + 1e-6) / sqrt(v1 + 1e-6) * d
  return w - o.lr * x, v1, 0.9 * delta + 0.1 * x * x
end

local function rprop(w, g, prev, size, o)
  if o.step == 1 then prev, size = 0, o.lr end
  local turn = g * prev
  size = max(1e-6, min(50, size * (turn > 0 and 1.2 or turn < 0 and 0.5 or 1)))
  if turn < 0 then g = 0 end
  return w - (g > 0 and size or g < 0 and -size or 0), g, size
end

local function clipped(tensors, limit, p)
  return ("(lambda *xs: (lambda n: "
    .. "tuple(x * torch.clamp(%g / (n + 1e-6), max=1) for x in xs) + (n,))"
    .. "(torch.norm(torch.cat([x.flatten() for x in xs]), %s)))(%s)"):format(limit, p, tensors)
end

return {
  sgd_step_ = {
    { one{ 1, 2 }, one{ 0.5, -1 }, { lr = 0.1 }, torch = false,
      expect = check("sgd_step_", {}, { lr = 0.1, weight_decay = 0.3 }, function(w, g,
        o) return sgd(w, g, 0, o) end) },
    { one{ 1 }, one{ 2 }, one{ 3 }, { lr = 0.1, momentum = 0.9 }, torch = false,
      expect = check("sgd_step_", { "buf" }, { lr = 0.1, momentum = 0.9, dampening = 0.2,
        step = 2 }, sgd) },
    { one{ 1 }, one{ 2 }, one{ 3 }, { lr = 0.1, momentum = 0.9 }, torch = false,
      expect = check("sgd_step_", { "buf" }, { lr = 0.1, momentum = 0.9, dampening = 0.2,
        step = 1 }, sgd) },
    { one{ 1 }, one{ 2 }, one{ 3 }, { lr = 0.1, momentum = 0.9 }, torch = false,
      expect = check("sgd_step_", { "buf" },
        { lr = 0.1, momentum = 0.9, nesterov = true, weight_decay = 0.1, step = 3 }, sgd) },
    { one{ 1 }, one{ 2 }, { lr = 0.1 }, torch = false, expect = function(gan)
      local p, g = { gan.ones(2) }, { gan.ones(2) }
      refused("'lr'.*nan", gan.sgd_step_, p, g, { lr = 0 / 0 })
      refused("'lr'.*inf", gan.sgd_step_, p, g, { lr = math.huge })
      refused("'buf'", gan.sgd_step_, p, g, { lr = 1, momentum = 0.9 })
      refused("nesterov", gan.sgd_step_, p, g, p, { lr = 1, nesterov = true })
      refused("tensor 1.*2.*3", gan.sgd_step_, p, { gan.ones(3) }, { lr = 1 })
      refused("2 tensors", gan.sgd_step_, { gan.ones(2), gan.ones(2) }, g, { lr = 1 })
      refused("expanded", gan.sgd_step_, { gan.ones(1, 2):expand(3, 2) }, { gan.ones(3, 2) },
        { lr = 1 })
      assert(p[1]:eq(1):amin():item() == 1, "a refused call changed the parameters")
      gan.sgd_step_({}, {}, { lr = 1 })
      -- parameters that require gradients are changed without ceremony, and graphs notice
      local w = gan.require_grad(gan.ones(2))
      local y = (w * w):sum()
      gan.sgd_step_({ w }, g, { lr = 1 })
      assert(w:amax():item() == 0)
      refused("changed in place", y.backward, y)
    end },
  },
  adam_step_ = {
    { one{ 1, 2 }, one{ 0.5, -1 }, one{ 0, 0 }, one{ 0, 0 }, { step = 1 }, torch = false,
      expect = check("adam_step_", { "m", "v" }, { lr = 0.1, step = 3, weight_decay = 0.2 },
        adam) },
    { one{ 1 }, one{ 1 }, one{ 0 }, one{ 0 }, { step = 1 }, torch = false,
      expect = check("adam_step_", { "m", "v" },
        { lr = 0.1, step = 2, weight_decay = 0.2, decoupled = true, beta1 = 0.5, beta2 = 0.9,
          eps = 1e-3 }, adam) },
    { one{ 1 }, one{ 1 }, one{ 0 }, one{ 0 }, { step = 1 }, torch = false,
      expect = check("adam_step_", { "m", "v", "v_max" }, { lr = 0.1, step = 2 }, amsgrad) },
    { one{ 1 }, one{ 1 }, one{ 0 }, one{ 0 }, { step = 1 }, torch = false, expect = function(gan)
      local x = function() return { gan.ones(2) } end
      refused("'beta2'", gan.adam_step_, x(), x(), x(), x(), { step = 1, beta2 = 1 })
      refused("'step'", gan.adam_step_, x(), x(), x(), x(), { step = 0 })
      refused("'eps'", gan.adam_step_, x(), x(), x(), x(), { step = 1, eps = 0 / 0 })
    end },
  },
  adamax_step_ = {
    { one{ 1 }, one{ 1 }, one{ 0 }, one{ 0 }, { step = 1 }, torch = false,
      expect = check("adamax_step_", { "m", "u" }, { lr = 0.1, step = 2, weight_decay = 0.1 },
        adamax) },
  },
  nadam_step_ = {
    { one{ 1 }, one{ 1 }, one{ 0 }, one{ 0 }, { step = 1 }, torch = false,
      expect = check("nadam_step_", { "m", "v" }, { lr = 0.1, step = 2, mu_product = 0.45 },
        nadam) },
  },
  radam_step_ = {
    { one{ 1 }, one{ 1 }, one{ 0 }, one{ 0 }, { step = 1 }, torch = false,
      expect = check("radam_step_", { "m", "v" }, { lr = 0.1, step = 2 }, radam) },
    { one{ 1 }, one{ 1 }, one{ 0 }, one{ 0 }, { step = 1 }, torch = false,
      expect = check("radam_step_", { "m", "v" }, { lr = 0.1, step = 20, weight_decay = 0.1 },
        radam) },
  },
  rmsprop_step_ = {
    { one{ 1 }, one{ 1 }, one{ 0 }, torch = false,
      expect = check("rmsprop_step_", { "v" }, { lr = 0.1, weight_decay = 0.1 }, rmsprop) },
    { one{ 1 }, one{ 1 }, one{ 0 }, one{ 0 }, one{ 0 }, { lr = 0.1, momentum = 0.5 }, torch = false,
      expect = check("rmsprop_step_", { "v", "g_avg", "buf" },
        { lr = 0.1, alpha = 0.9, eps = 0.1, momentum = 0.5 }, rmsprop_full) },
    { one{ 1 }, one{ 1 }, one{ 0 }, { lr = 0.1 }, torch = false, expect = function(gan)
      refused("'buf'", gan.rmsprop_step_, { gan.ones(1) }, { gan.ones(1) }, { gan.ones(1) },
        { momentum = 0.9 })
    end },
  },
  adagrad_step_ = {
    { one{ 1 }, one{ 1 }, one{ 0 }, torch = false,
      expect = check("adagrad_step_", { "sum" }, { lr = 0.1, lr_decay = 0.2, step = 3,
        weight_decay = 0.1 }, adagrad) },
  },
  adadelta_step_ = {
    { one{ 1 }, one{ 1 }, one{ 0 }, one{ 0 }, torch = false,
      expect = check("adadelta_step_", { "v", "delta" }, { lr = 0.5, weight_decay = 0.1 },
        adadelta) },
  },
  rprop_step_ = {
    { one{ 1 }, one{ 1 }, one{ 0 }, one{ 0 }, torch = false,
      expect = check("rprop_step_", { "prev", "size" }, { lr = 0.1, step = 1 }, rprop) },
    { one{ 1 }, one{ 1 }, one{ 0 }, one{ 0 }, { step = 2 }, torch = false,
      expect = check("rprop_step_", { "prev", "size" }, { lr = 0.1, step = 2 }, rprop) },
  },
  clip_ = {
    { one{ -3, 0.5, 3 }, -1, 1, torch = false, expect = function(gan, p)
      assert(p:eq(gan.tensor{ -1, 0.5, 1 }):amin():item() == 1)
      local x = gan.tensor{ 0 / 0, math.huge, -math.huge }
      local y = gan.randn(4, 6):slice(2, 2, 4)
      gan.clip_({ x, y }, { lo = -0.1, hi = 0.1 })
      local v = x:totable()
      assert(v[1] ~= v[1] and abs(v[2] - 0.1) < 1e-7 and abs(v[3] + 0.1) < 1e-7)
      assert(y:abs():amax():item() < 0.1000001)
      refused("order", gan.clip_, { x }, 1, -1)
      refused("order", gan.clip_, { x }, 0 / 0, 1)
    end },
  },
  ema_ = {
    { one{ 1, 2 }, one{ 3, 5 }, { decay = 0.75 }, torch = false, expect = function(gan, s)
      assert(s:eq(gan.tensor{ 1.5, 2.75 }):amin():item() == 1)
      refused("'decay'", gan.ema_, { s }, { s }, { decay = 1.5 })
    end },
  },
  clip_grad_norm_ = {
    { one{ 3, 4 }, 1, torch = false, expect = function(gan, g)
      local x = g:totable()
      assert(abs(x[1] - 0.6) < 1e-5 and abs(x[2] - 0.8) < 1e-5)
      -- as the functional form, for every p, many blocks and other layouts
      for _, p in ipairs{ 1, 2, 3.5, math.huge } do
        local a, b = gan.randn(30000), gan.randn(3, 4):permute(2, 1)
        local wanted = table.pack(gan.clip_grad_norm({ a, b }, 1, { p = p }))
        local total = gan.clip_grad_norm_({ a, b }, 1, { p = p })
        assert(abs(total:item() - wanted[3]:item()) <= 1e-4 * total:item())
        assert((a - wanted[1]):abs():amax():item() < 1e-6)
        assert((b - wanted[2]):abs():amax():item() < 1e-6)
      end
      local small = gan.tensor{ 0.3, 0.4 }
      local same = small:clone()
      assert(abs(gan.clip_grad_norm_({ small }, 1):item() - 0.5) < 1e-6)
      assert(small:eq(same):amin():item() == 1, "a short gradient was changed")
      local bad = gan.tensor{ 0 / 0, 1 }
      gan.clip_grad_norm_({ bad }, 1)
      assert(bad:totable()[2] ~= bad:totable()[2], "a NaN was hidden")
      assert(gan.clip_grad_norm_({}, 1):item() == 0)
      refused("max_norm", gan.clip_grad_norm_, { small }, -1)
      refused("'p'", gan.clip_grad_norm_, { small }, 1, { p = 0 })
    end },
  },
  increment_ = {
    { t.labels{ 3, n = 5 }, torch = false, expect = function(gan, x)
      local before = x:clone():to("float32")
      assert(gan.increment_(x) == x)
      assert((x:to("float32") - before):eq(1):amin():item() == 1)
      gan.increment_(x, { by = -3 })
      assert((before - x:to("float32")):eq(2):amin():item() == 1)
      refused("contiguous", gan.increment_, gan.zeros(2, 3, { dtype = "int64" }):permute(2, 1))
    end },
  },
  clip_grad_norm = {
    { t.list{ t.randn{3, 5}, t.randn{4}, t.randn{0} }, 1, torch = clipped("a, b, c", 1, 2) },
    { t.list{ t.randn{3, 5}, t.randn{4} }, 100, torch = clipped("a, b", 100, 2) },
    { t.list{ t.randn{3, 5} }, 0.5, { p = 1 }, torch = clipped("a", 0.5, 1) },
    { t.list{ t.randn{3, 5}, t.randn{2} }, 1, { p = 3 }, torch = clipped("a, b", 1, 3) },
    { t.list{ t.randn{3, 5}, t.randn{2} }, 1, { p = math.huge },
      torch = clipped("a, b", 1, "inf") },
  },
}
