--- A script that tests/mpi_spec.lua runs by mpirun, and alone: gan-lua tests/ranks.lua CASE ...
-- What is wrong is an error, which ends the job with an exit code.

local gan = require "gan"
local ranks = require "gan.ranks"
local gan_step = require "tests.gan_step"
local nn, optim = gan.nn, gan.optim

local opt = gan.opts{
  "Cases for tests/mpi_spec.lua.",
  {"epochs", 5, "passes over 640 samples"},
  {"losses", "", "file for the losses of every step"},
  run = os.tmpname(),
}
if not opt then return end

local cases = {}

-- ---- training -------------------------------------------------------------------------------

local function dense()
  return nn.Sequential{ nn.Linear{8, 64}, nn.BatchNorm1d{64}, nn.LeakyReLU{0.2}, nn.Linear{64, 32},
    nn.Tanh{}, nn.Unflatten{2, {2, 4, 4}} },
    nn.Sequential{ nn.Flatten{}, nn.Linear{32, 64}, nn.LeakyReLU{0.2}, nn.Dropout{0.3},
      nn.Linear{64, 1} }
end

local function convolutional()
  return nn.Sequential{ nn.Linear{8, 128, bias = false}, nn.Unflatten{2, {32, 2, 2}},
    nn.BatchNorm2d{32}, nn.ReLU{},
    nn.ConvTranspose2d{32, 2, kernel_size = 4, stride = 2, padding = 1}, nn.Tanh{} },
    nn.Sequential{ nn.Conv2d{2, 16, kernel_size = 4, stride = 2, padding = 1, bias = false},
      nn.BatchNorm2d{16}, nn.LeakyReLU{0.2}, nn.Flatten{}, nn.Dropout{0.3}, nn.Linear{64, 1} }
end

local function make(models)
  gan.manual_seed(opt.seed)
  local G, D = models()
  local betas = { 0.5, 0.999 }
  return { G = G, D = D, G_opt = optim.Adam{ G, lr = 1e-3, betas = betas },
    D_opt = optim.Adam{ D, lr = 1e-3, betas = betas } }
end

--- Weights that differ between the ranks in one bit are an error.
local function check_equal(state)
  local crc = 0
  for _, name in ipairs{ "G", "D" } do
    for _, p in ipairs(state[name]:parameters()) do
      crc = gan.files.crc32(p, crc)
    end
  end
  if ranks.job then
    assert(ranks.job.sum_numbers{ crc }[1] == crc * ranks.size, "the weights differ")
  end
  return crc
end

--- Trains both nets; a line for each step, the losses with all their digits.
local function train(models, rows, out, run)
  local state = make(models)
  local file = out ~= "" and ranks.writer and assert(io.open(out, "a"))
  gan.train.loop{
    epochs = opt.epochs, steps = opt.steps, run = run, compile = opt.compile, state = state,
    checkpoint = not run and { folder = opt.out, resume = false } or nil,
    step = gan_step(state.G, state.D, state.G_opt, state.D_opt, 8),
    batches = gan.data.batches{ gan.rand(rows, 2, 4, 4), batch_size = 32, shuffle = true,
      range = false },
    pause = function(losses)
      if file then
        file:write(("%.17g %.17g\n"):format(losses.D, losses.G))
      end
    end,
    after_epoch = function()
      if run then
        run:image("samples", state.G(gan.randn(4, 8)):slice(2, 1, 1), { range = { -1, 1 } })
        run:save{ G = state.G }
        assert(gan.files.save_npy(("%s/of-rank-%d.npy"):format(opt.out, ranks.rank), gan.ones(2)))
      end
    end,
  }
  local crc = check_equal(state)
  if file then
    file:write(("%08x\n"):format(crc))
    file:close()
  end
end

--- Losses of 100 steps of two GANs; the last batch of an epoch is shorter when 635 rows are given.
function cases.losses()
  train(dense, 640, opt.losses)
  train(convolutional, 635, opt.losses)
end

--- A run with its folder.
function cases.run()
  train(dense, 640, opt.losses, gan.report.run{ opt.out, options = opt, resume = opt.resume })
end

-- ---- shares ---------------------------------------------------------------------------------

local function equal(a, b, what)
  assert(#a == #b and a:bytes() == b:copy():bytes(), what)
end

--- Random tensors of a share are the rows that a single process would draw, and leave the generator
-- where it would be.
function cases.random()
  local first, last = ranks.share(7, ranks.rank, ranks.size)
  local rows, weights = last - first + 1, gan.rand(5)
  local draws = {
    randn = function(n) return gan.randn(n, 3, 5) end,
    rand = function(n) return gan.rand(n, 3) end,
    rand_like = function(n) return gan.zeros(n, 3):rand_like() end,
    uniform_ = function(n) return gan.zeros(n, 65):uniform_() end,
    dropout = function(n) return gan.ones(n, 3, 5):dropout(0.5) end,
    bernoulli = function(n) return gan.bernoulli(0.5, { n, 70 }) end,
    randint = function(n) return gan.randint({ n, 3 }, { lo = 1, hi = 100 }) end,
    multinomial = function(n) return gan.multinomial(weights, n) end,
  }
  for name, draw in pairs(draws) do
    gan.manual_seed(3)
    local whole, twice = draw(7), draw(14)
    local after = gan.rng_state()
    gan.manual_seed(3)
    ranks.job.share(first, rows, 7)
    local part, both = draw(rows), draw(2 * rows)
    local common = gan.rand(1, 1):item()
    ranks.job.share()
    equal(part, whole:slice(1, first, last), name)
    equal(both, gan.cat({ twice:slice(1, first, last), twice:slice(1, 7 + first, 7 + last) },
      { dim = 1 }), name .. " of twice as many rows")
    gan.set_rng_state(after)
    assert(gan.rand(1, 1):item() == common, "what all draw alike differs after " .. name)
  end
end

--- Layers, losses and gradients of a whole batch and of its shares, of different sizes.
function cases.norm()
  gan.manual_seed(5)
  local x, target = gan.randn(7, 3, 2, 2), gan.randn(7, 3, 2, 2)
  local w, b = gan.rand(3), gan.rand(3)
  local first, last = ranks.share(7, ranks.rank, ranks.size)
  local sync_norm = require "gan.nn.sync_norm"

  local function near(a, c, what)
    local d = (a - c):abs():amax():item()
    assert(d < 2e-5, ("%s differs by %g"):format(what, d))
  end

  --- The value, first gradients and those of a penalty on the gradient.
  local function derive(norm, from, to)
    local leaves = { x:slice(1, from, to):clone():requires_grad_(), w:clone():requires_grad_(),
      b:clone():requires_grad_() }
    local y = norm(leaves[1], leaves[2], leaves[3])
    local l = ((y - target:slice(1, from, to)):square() * y):mean()
    local firsts = { gan.grad(l, leaves, { create_graph = false, retain_graph = true }) }
    local g = gan.grad(l, leaves[1], { create_graph = true })
    return y, firsts, { gan.grad((g * x:slice(1, from, to)):sum(), leaves[1], leaves[2]) }
  end

  for _, activation in ipairs{ "none", "relu", "leaky_relu" } do -- pairs() has no common order
    local slope = 0.2
    local y, g, h = derive(function(p, q, r)
      return (gan.batch_norm(p, q, r, nil, nil, { training = true, eps = 1e-5,
        activation = activation, slope = slope }))
    end, 1, 7)
    ranks.job.share(first, last - first + 1, 7)
    ranks.part = (last - first + 1) / 7
    local y1, g1, h1 = derive(function(p, q, r)
      return (sync_norm(p, q, r, { activation = activation, slope = slope, eps = 1e-5 }))
    end, first, last)
    local part = ranks.part
    near(y1, y:slice(1, first, last), "the value")
    near(g1[1] * part, g[1]:slice(1, first, last), "the gradient of x")
    near(ranks.job.sum(g1[2] * part), g[2], "the gradient of the weight")
    near(ranks.job.sum(g1[3] * part), g[3], "the gradient of the bias")
    near(h1[1] * part, h[1]:slice(1, first, last), "the second gradient of x")
    near(ranks.job.sum(h1[2] * part), h[2], "the second gradient of the weight")
    ranks.part = nil
    ranks.job.share()
  end
end

--- Gradients of shares of any sizes have the mean of the batch; sums begin while the pass goes on.
function cases.gradients()
  gan.manual_seed(2)
  local net = nn.Sequential{ nn.Linear{16, 512}, nn.Tanh{}, nn.Linear{512, 512}, nn.Tanh{},
    nn.Linear{512, 1} }
  local sgd = optim.SGD{ net, lr = 0.1 }
  local x, first, last = gan.randn(9, 16), ranks.share(9, ranks.rank, ranks.size)
  net(x):square():mean():backward()
  local wanted = {}
  for i, p in ipairs(net:parameters()) do
    wanted[i] = p:grad():clone()
  end
  sgd:zero_grad()
  ranks.job.share(first, last - first + 1, 9)
  for _ = 1, 2 do -- the second pass adds
    net(x:slice(1, first, last)):square():mean():backward()
  end
  local leaf = x:slice(1, first, last):clone():requires_grad_()
  net(leaf):square():mean():backward{ inputs = { leaf } }
  ranks.job.share()
  for i, p in ipairs(net:parameters()) do
    local d = (p:grad() * 0.5 - wanted[i]):abs():amax():item()
    assert(d <= 1e-5 * wanted[i]:abs():amax():item() + 1e-7, "parameter " .. i)
  end
  local stats = gan.mpi.stats()
  assert(stats.bytes == 2 * 4 * (16 * 512 + 512 + 512 * 512 + 512 + 512 + 1)
    * (gan.config.real == "float64" and 2 or 1), "an input's own gradient was sent")
  assert(ranks.size > 1 or stats.early > 0, "no sum ended during its pass")
end

cases[opt[1]]()
