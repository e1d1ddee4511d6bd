-- Cases of runtime/ops/norm*.c: see tests/case.lua.
local t = require "tests.case"

local nan = 0 / 0

-- F.batch_norm changes the running statistics that it is given
local function running(call)
  return ("(lambda m, v: (F.batch_norm(%s), m, v))(d.detach().clone(), e.detach().clone())")
    :format(call)
end

local function batch(call)
  return ("(lambda y, x: (y, x.mean(1), x.var(1)))(%s, a.detach().transpose(0, 1).flatten(1))")
    :format(call)
end

-- (N, C, H, W) with the channels next to each other in memory
local function channels_last(x)
  return x:permute(1, 3, 4, 2):contiguous():permute(1, 4, 2, 3)
end

local function close(gan, what, a, b)
  local worst = (a - b):abs():amax():item()
  assert(worst <= (gan.config.real == "float64" and 1e-10 or 2e-5), what .. " differs by " .. worst)
end

-- The result for channels-last memory; its layout and its gradients are checked on the way.
local function on_channels_last(call)
  return function(gan, x, ...)
    local rest = table.pack(...)
    local function run(change)
      local leaf = gan.require_grad(x:detach())
      local tracked = {}
      for i = 1, rest.n do tracked[i] = gan.require_grad(rest[i]:detach()) end
      local y = call(gan, change(leaf), table.unpack(tracked, 1, rest.n))
      local weight = gan.linspace(-1, 1, y:numel()):reshape(y:shape())
      local grads = { gan.grad((y * weight):sum(), { leaf, table.unpack(tracked) }) }
      return y, grads
    end
    local _, plain = run(function(v) return v end)
    local y, grads = run(channels_last)
    for i = 1, #plain do close(gan, "gradient " .. i, plain[i], grads[i]) end
    assert(y:stride()[2] == 1 or y:size(2) == 1, "the layout was lost")
    return y
  end
end

return {
  batch_norm = {
    { t.randn{6, 3}, t.randn{3}, t.randn{3}, { training = true },
      torch = batch "F.batch_norm(a, None, None, b, c, True)" },
    { t.randn{5, 3, 4, scale = 3, shift = 10}, t.randn{3}, t.randn{3}, t.randn{3},
      t.uniform{3, lo = 0.5, hi = 2}, { training = true }, wrt = { 1, 2, 3 },
      torch = running "a, m, v, b, c, True" },
    { t.randn{2, 4, 3, 5}, t.none, t.randn{4}, { training = true, eps = 0.1 },
      torch = batch "F.batch_norm(a, None, None, None, b, True, eps=0.1)" },
    { t.randn{3, 2, 2, 2, 2}, t.randn{2}, { training = true },
      torch = batch "F.batch_norm(a, None, None, b, None, True)" },
    { t.randn{4, 3, 2}, t.randn{3}, t.randn{3}, t.randn{3}, t.uniform{3, lo = 0.5, hi = 2},
      { training = true, momentum = 0.4 }, wrt = { 1, 2, 3 },
      torch = running "a, m, v, b, c, True, 0.4" },
    { t.randn{4, 3, 2, 2}, t.randn{3}, t.randn{3}, t.randn{3}, t.uniform{3, lo = 0.5, hi = 2},
      wrt = { 1, 2, 3 }, torch = running "a, m, v, b, c, False" },
    { t.randn{4, 3}, t.none, t.none, t.randn{3}, t.uniform{3, lo = 0.5, hi = 2}, { eps = 1e-3 },
      wrt = { 1 }, torch = "(F.batch_norm(a, b, c, eps=1e-3), b.detach(), c.detach())" },
    { t.randn{5, 2, 3}, torch = batch "F.batch_norm(a, None, None, None, None, True)" },
    -- columns that do not fill a vector, and more than one panel
    { t.randn{9, 19}, t.randn{19}, t.randn{19}, { training = true },
      torch = batch "F.batch_norm(a, None, None, b, c, True)" },
    { t.randn{3, 90}, { training = true },
      torch = batch "F.batch_norm(a, None, None, None, None, True)",
      tol = 1e-4 },
    -- activations; smooth away from the kink
    { t.randn{6, 3}, t.randn{3}, t.randn{3}, { training = true, activation = "relu" },
      torch = batch "F.relu(F.batch_norm(a, None, None, b, c, True))" },
    { t.randn{3, 18, 2}, t.randn{18}, t.randn{18}, { training = true, activation = "leaky_relu",
      slope = 0.2 },
      torch = batch "F.leaky_relu(F.batch_norm(a, None, None, b, c, True), 0.2)" },
    { t.randn{4, 3, 2, 2}, t.randn{3}, t.randn{3}, t.randn{3}, t.uniform{3, lo = 0.5, hi = 2},
      { activation = "leaky_relu" }, wrt = { 1, 2, 3 },
      torch = "(F.leaky_relu(F.batch_norm(a, d.detach(), e.detach(), b, c)), d.detach(), "
        .. "e.detach())" },
    { t.randn{4, 3, 2, 2}, t.randn{3}, t.randn{3}, t.randn{3}, t.uniform{3, lo = 0.5, hi = 2},
      { activation = "relu" }, wrt = { 1, 2, 3 },
      torch = "(F.relu(F.batch_norm(a, d.detach(), e.detach(), b, c)), d.detach(), e.detach())" },
    -- an empty batch; a variance that would vanish beside the mean; NaN stays in its channel
    { t.randn{0, 3}, t.none, t.none, t.randn{3}, t.uniform{3, lo = 0.5, hi = 2},
      { training = true }, wrt = { 1 }, torch = "(a * 1, b.detach(), c.detach())" },
    { t.randn{0, 3, 2}, t.none, t.none, t.randn{3}, t.uniform{3, lo = 0.5, hi = 2},
      wrt = { 1 }, torch = "(a * 1, b.detach(), c.detach())" },
    -- badly conditioned
    { t.randn{16, 2, shift = 256}, { training = true }, smooth = false, second = false,
      torch = batch "F.batch_norm(a, None, None, None, None, True)", tol = 1e-3 },
    { t.values{ { 1, nan }, { 2, 1 }, { 4, 2 } }, { training = true }, smooth = false,
      torch = batch "F.batch_norm(a, None, None, None, None, True)" },
    -- channels last
    { t.randn{3, 5, 2, 3}, t.randn{5}, t.randn{5}, { training = true }, torch = false,
      expect = on_channels_last(function(gan, x, w, b)
        return (gan.batch_norm(x, w, b, { training = true }))
      end) },
    { t.randn{2, 37, 3, 3}, t.randn{37}, t.randn{37}, { training = true, activation = "relu" },
      torch = false,
      expect = on_channels_last(function(gan, x, w, b)
        return (gan.batch_norm(x, w, b, { training = true, activation = "relu" }))
      end) },
    { t.randn{2, 66, 20, 15}, { training = true }, torch = false, -- more than one block of rows
      expect = on_channels_last(function(gan, x) return (gan.batch_norm(x,
        { training = true })) end),
      wrt = { 1 }, second = false }, -- too large for finite differences of second order
  },
  instance_norm = {
    { t.randn{2, 3, 5}, t.randn{3}, t.randn{3}, torch = "F.instance_norm(a, weight=b, bias=c)" },
    { t.randn{2, 3, 2, 4}, torch = "F.instance_norm(a)" },
    { t.randn{1, 2, 3, 2, 2}, t.randn{2}, { eps = 0.1 },
      torch = "F.instance_norm(a, weight=b, eps=0.1)" },
    { t.randn{2, 1, 40}, t.none, t.randn{1}, torch = "F.instance_norm(a, bias=b)" },
    { t.randn{0, 3, 4}, torch = "a * 1" },
    { t.randn{2, 5, 3, 2}, t.randn{5}, t.randn{5}, torch = false,
      expect = on_channels_last(function(gan, x, w, b) return gan.instance_norm(x, w, b) end) },
    { t.randn{2, 21, 3, 2}, t.randn{21}, t.randn{21}, torch = false,
      expect = on_channels_last(function(gan, x, w, b) return gan.instance_norm(x, w, b) end) },
  },
  group_norm = {
    { t.randn{2, 6, 4}, t.randn{6}, t.randn{6}, { groups = 3 },
      torch = "F.group_norm(a, 3, b, c)" },
    { t.randn{2, 4, 3, 2}, { groups = 1 }, torch = "F.group_norm(a, 1)" },
    { t.randn{3, 6}, t.randn{6}, { groups = 2, eps = 0.01 },
      torch = "F.group_norm(a, 2, b, eps=0.01)" },
    { t.randn{2, 4, 35}, t.none, t.randn{4}, { groups = 4 },
      torch = "F.group_norm(a, 4, None, b)" },
    { t.randn{0, 4, 3}, { groups = 2 }, torch = "a * 1" },
    { t.randn{2, 6, 3, 2}, t.randn{6}, t.randn{6}, { groups = 2 }, torch = false,
      expect = on_channels_last(function(gan, x, w, b) return gan.group_norm(x, w, b,
        { groups = 2 }) end) },
    { t.randn{2, 70, 2, 2}, t.randn{70}, t.randn{70}, { groups = 7 }, torch = false, tol = 1e-4,
      expect = on_channels_last(function(gan, x, w, b) return gan.group_norm(x, w, b,
        { groups = 7 }) end) },
  },
  layer_norm = {
    { t.randn{3, 5}, t.randn{5}, t.randn{5}, torch = "F.layer_norm(a, (5,), b, c)" },
    { t.randn{2, 3, 4}, torch = "F.layer_norm(a, (4,))" },
    { t.randn{2, 3, 4}, t.randn{3, 4}, t.randn{3, 4}, torch = "F.layer_norm(a, (3, 4), b, c)" },
    { t.randn{2, 3, 4}, { ndim = 3, eps = 0.1 }, torch = "F.layer_norm(a, (2, 3, 4), eps=0.1)" },
    { t.randn{2, 37}, t.randn{37}, torch = "F.layer_norm(a, (37,), b)", tol = 1e-4 },
    { t.randn{2, 3, 4}, t.none, t.randn{4}, { ndim = 1 },
      torch = "F.layer_norm(a, (4,), None, b)" },
    { t.randn{70, 3}, t.randn{3}, t.randn{3}, torch = "F.layer_norm(a, (3,), b, c)", tol = 1e-4,
      second = false }, -- three values: second derivatives of nearly equal ones are huge
    { t.randn{7}, torch = "F.layer_norm(a, (7,))" },
    { t.randn{0, 3}, torch = "a * 1" },
    { t.randn{3, 1}, torch = "F.layer_norm(a, (1,))", smooth = false },
  },
  local_response_norm = {
    { t.randn{2, 5, 3}, 3, torch = "F.local_response_norm(a, 3)" },
    { t.randn{2, 4, 2, 3}, 2, { alpha = 0.5, beta = 0.6, k = 2 },
      torch = "F.local_response_norm(a, 2, 0.5, 0.6, 2)" },
    { t.randn{1, 3, 2, 2, 2}, 5, { alpha = 1 }, torch = "F.local_response_norm(a, 5, 1.0)" },
    { t.randn{2, 3, 4}, { size = 1 }, torch = "F.local_response_norm(a, 1)" },
    { t.randn{0, 3, 4}, 3, torch = "a * 1" },
  },
  l2_normalize = {
    { t.randn{3, 5}, torch = "F.normalize(a)" },
    { t.randn{2, 3, 4}, { dim = 1 }, torch = "F.normalize(a, dim=0)" },
    { t.randn{2, 3, 4}, { dim = -1, eps = 3 }, torch = "F.normalize(a, dim=-1, eps=3)" },
    { t.randn{4}, { dim = 1 }, torch = "F.normalize(a, dim=0)" },
    { t.randn{2, 0}, torch = "F.normalize(a)" },
    { t.values{ { 0, 0 }, { 3, 4 } }, { eps = 0.5 }, torch = "F.normalize(a, eps=0.5)",
      second = false }, -- PyTorch's second derivative of the length is NaN at the origin
    { t.values{ { nan, 1 }, { 3, 4 } }, torch = "F.normalize(a)", smooth = false },
  },
  pixel_norm = {
    { t.randn{2, 3, 2, 2}, torch = "a / torch.sqrt((a * a).mean(1, keepdim=True) + 1e-8)" },
    { t.randn{3, 5}, { eps = 0.1 }, torch = "a / torch.sqrt((a * a).mean(1, keepdim=True) + 0.1)" },
    { t.values{ { 0, 0, 0 } }, { eps = 1 },
      torch = "a / torch.sqrt((a * a).mean(1, keepdim=True) + 1)" },
    { t.randn{0, 3}, torch = "a * 1" },
  },
  weight_norm = {
    { t.randn{3, 4}, t.randn{3, 1}, torch = "a * (b / a.square().sum(1, keepdim=True).sqrt())" },
    { t.randn{3, 4}, t.randn{1, 4}, { dim = 2 },
      torch = "a * (b / a.square().sum(0, keepdim=True).sqrt())" },
    { t.randn{2, 3, 2, 2}, t.randn{2, 1, 1, 1},
      torch = "torch._weight_norm(a, b, 0)", second = false }, -- wrong in PyTorch 1.13,
    { t.randn{2, 3, 2, 2}, t.randn{1, 3, 1, 1}, { dim = 2 },
      torch = "a * (b / a.square().sum((0, 2, 3), keepdim=True).sqrt())" },
    { t.randn{4}, t.randn{4}, torch = "a * (b / a.abs())" },
  },
  spectral_norm = { -- u and v made from w are constants for the gradient: no finite differences
    { t.randn{3, 4}, t.randn{3}, wrt = { 1 }, smooth = false,
      torch = "(lambda m: (lambda v: (lambda u: (a / (u @ a @ v), u, v))"
        .. "(F.normalize(m @ v, dim=0)))"
        .. "(F.normalize(m.T @ b, dim=0)))(a.detach())" },
    { t.randn{3, 2, 2}, t.randn{3}, { n_iter = 3 }, wrt = { 1 }, smooth = false, tol = 1e-4,
      torch = "(lambda m: (lambda w: (lambda u: (lambda v: (lambda u: (lambda v: (lambda u: "
        .. "(a / (u @ w @ v), u, v))(F.normalize(m @ v, dim=0)))(F.normalize(m.T @ u, dim=0)))"
        .. "(F.normalize(m @ v, dim=0)))(F.normalize(m.T @ u, dim=0)))"
        .. "(F.normalize(m @ F.normalize(m.T @ b, dim=0),"
        .. " dim=0)))(a.flatten(1)))(a.detach().flatten(1))" },
    { t.randn{3, 4}, t.randn{3}, t.randn{4}, { n_iter = 0 }, wrt = { 1 },
      torch = "(a / (b @ a @ c), b.detach(), c.detach())" },
    { t.randn{3, 4}, t.randn{3}, { n_iter = 0 }, wrt = { 1 }, smooth = false,
      torch = "(lambda v: (a / (b @ a @ v), b.detach(), v))"
        .. "(F.normalize(a.detach().T @ b, dim=0))" },
    { t.randn{2, 3, 2}, t.randn{3}, t.randn{4}, { n_iter = 0, dim = 2 }, wrt = { 1 },
      torch = "(a / (b @ a.transpose(0, 1).flatten(1) @ c), b.detach(), c.detach())" },
  },
}
