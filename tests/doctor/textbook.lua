--- Runs as a reader of textbooks makes them up, right or wrong, of dense and convolutional nets
-- without a recipe in common. What is right was written down before they were run; healthy ones
-- were checked with gan.metrics.
local gan = require "gan"
local cases = require "tests.doctor.cases"
local nn, optim, loss = gan.nn, gan.optim, gan.loss

-- ---- data -------------------------------------------------------------------------------------

--- Points of a mixture of Gaussians of one spread; centers is a list of points.
local function mixture(centers, std)
  local points = gan.tensor(centers):keep()
  return function(n)
    return points:index_select(gan.randint(n, { hi = #centers })) + gan.randn(n, #centers[1]) * std
  end
end

local function ring(count, radius, std)
  local points = {}
  for i = 1, count do
    local a = 2 * math.pi * i / count
    points[i] = { radius * math.cos(a), radius * math.sin(a) }
  end
  return mixture(points, std)
end

local function grid(side, gap, std)
  local points = {}
  for i = 0, side * side - 1 do
    points[i + 1] = { gap * (i // side - (side - 1) / 2), gap * (i % side - (side - 1) / 2) }
  end
  return mixture(points, std)
end

--- The example of many an introduction: N(4, 1.25).
local function gaussian(n)
  return gan.randn(n, 1) * 1.25 + 4
end

local three_peaks = mixture({ { -2 }, { 0 }, { 2 } }, 0.25)

local function moons(n)
  local t, upper = gan.rand(n, 1) * math.pi, gan.lt(gan.rand(n, 1), 0.5)
  local x = gan.where(upper, t:cos(), 1 - t:cos())
  local y = gan.where(upper, t:sin(), 0.5 - t:sin())
  return gan.cat({ x, y }, { dim = 2 }) + gan.randn(n, 2) * 0.05
end

local function swiss_roll(n)
  local t = (gan.rand(n, 1) * 2 + 1) * (1.5 * math.pi)
  return gan.cat({ t * t:cos(), t * t:sin() }, { dim = 2 }) / 7.5 + gan.randn(n, 2) * 0.05
end

--- x and y = x^2, as in a first tutorial.
local function parabola(n)
  local x = gan.randn(n, 1)
  return gan.cat({ x, x * x }, { dim = 2 })
end

--- Sines of random phase, `length` samples of one period, with a channel or without.
local function sines(length, channel)
  local t = (gan.arange(length):unsqueeze(1) * (2 * math.pi / length)):keep()
  return function(n)
    local x = (t + gan.rand(n, 1) * (2 * math.pi)):sin() * (gan.rand(n, 1) * 0.4 + 0.6)
    return channel and x:unsqueeze(2) or x
  end
end

--- Noise that remembers its last value.
local function drifting(n)
  local mixing = {}
  for i = 1, 20 do
    mixing[i] = {}
    for j = 1, 20 do
      mixing[i][j] = j >= i and 0.85 ^ (j - i) * 0.5 or 0
    end
  end
  return gan.randn(n, 20):matmul(gan.tensor(mixing))
end

--- Pictures: {set, count=, small=, flat=, range="tanh"|"sigmoid"|"bytes", first=}.
local function pictures(o)
  local data = assert(gan.data[o[1]]{ split = o.split or "train" }).images
  data = data:slice(1, 1, o.count or 8000):to(gan.config.real)
  data = o.small and data:avg_pool2d(2) or data
  data = o.range == "bytes" and data or o.range == "sigmoid" and data / 255 or data * (2 / 255) - 1
  data = (o.flat and data:flatten(2) or data):clone():keep()
  return function(n)
    return data:index_select(gan.randint(n, { hi = #data })), data
  end
end

local function spoil_one(data)
  local all
  return function(n)
    if not all then
      local _, whole = data(1)
      all = whole
      gan.no_grad(function()
        all:slice(1, 78, 78):copy_(gan.full_like(all:slice(1, 78, 78), 0 / 0))
      end)
    end
    return (data(n))
  end
end

local function skewed(n) return -gan.rand(n, 1):clamp{ min = 1e-4 }:log() end

local function chirps(n)
  local t = gan.arange(40):unsqueeze(1) / 40
  local speed, start = gan.rand(n, 1) * 4 + 2, gan.rand(n, 1) + 0.5
  return ((t * start + t * t * speed * 0.5) * (2 * math.pi)):sin() * 0.9
end

-- ---- nets -------------------------------------------------------------------------------------

local function relu_net(sizes, last)
  local layers = {}
  for i = 1, #sizes - 1 do
    layers[#layers + 1] = nn.Linear{ sizes[i], sizes[i + 1] }
    layers[#layers + 1] = i < #sizes - 1 and nn.ReLU{} or last
  end
  return nn.Sequential(layers)
end

local function leaky_net(sizes, last, dropout)
  local layers = {}
  for i = 1, #sizes - 1 do
    layers[#layers + 1] = nn.Linear{ sizes[i], sizes[i + 1] }
    if i < #sizes - 1 then
      layers[#layers + 1] = nn.LeakyReLU{ 0.2 }
      layers[#layers + 1] = dropout and nn.Dropout{ dropout } or nil
    end
  end
  layers[#layers + 1] = last
  return nn.Sequential(layers)
end

local function G_of(...)
  local given = { ... }
  return function() return relu_net(table.unpack(given)) end
end

local function D_of(...)
  local given = { ... }
  return function() return leaky_net(table.unpack(given)) end
end

--- A DCGAN of 14 x 14 pictures.
local function dcgan_G(w, batch_norm)
  return function(o)
    local layers = { nn.Linear{ o.code, 2 * w * 9 }, nn.Unflatten{ 2, { 2 * w, 3, 3 } } }
    local function add(m) layers[#layers + 1] = m end
    if batch_norm then add(nn.BatchNorm2d{ 2 * w }) end
    add(nn.ReLU{})
    add(nn.ConvTranspose2d{ 2 * w, w, kernel_size = 3, stride = 2 })
    if batch_norm then add(nn.BatchNorm2d{ w }) end
    add(nn.ReLU{})
    add(nn.ConvTranspose2d{ w, 1, kernel_size = 4, stride = 2, padding = 1 })
    add(nn.Tanh{})
    return nn.Sequential(layers)
  end
end

local function dcgan_D(w, norm)
  return function()
    local first = nn.Conv2d{ 1, w, kernel_size = 4, stride = 2, padding = 1 }
    local second = nn.Conv2d{ w, 2 * w, kernel_size = 3, stride = 2, padding = 1 }
    local last = nn.Linear{ 2 * w * 16, 1 }
    if norm == "spectral" then
      for _, m in ipairs{ first, second, last } do nn.spectral_norm(m) end
    end
    return nn.Sequential{ first, nn.LeakyReLU{ 0.2 }, second,
      norm == "batch" and nn.BatchNorm2d{ 2 * w } or nn.Identity{}, nn.LeakyReLU{ 0.2 },
      nn.Flatten{}, last }
  end
end

--- 1-D convolutions of signals of 32 samples.
local function wave_G(o)
  return nn.Sequential{ nn.Linear{ o.code, 32 * 8 }, nn.Unflatten{ 2, { 32, 8 } },
    nn.BatchNorm1d{ 32 }, nn.ReLU{},
    nn.ConvTranspose1d{ 32, 16, kernel_size = 4, stride = 2, padding = 1 },
    nn.BatchNorm1d{ 16 }, nn.ReLU{},
    nn.ConvTranspose1d{ 16, 1, kernel_size = 4, stride = 2, padding = 1 }, nn.Tanh{} }
end

local function wave_D()
  return nn.Sequential{
    nn.spectral_norm(nn.Conv1d{ 1, 16, kernel_size = 4, stride = 2, padding = 1 }),
    nn.LeakyReLU{ 0.2 },
    nn.spectral_norm(nn.Conv1d{ 16, 32, kernel_size = 4, stride = 2, padding = 1 }),
    nn.LeakyReLU{ 0.2 }, nn.Flatten{}, nn.spectral_norm(nn.Linear{ 256, 1 }) }
end

local function scaled(net, factor)
  return function(o)
    local G = net(o)
    gan.no_grad(function()
      for _, p in ipairs(G:parameters()) do
        p:copy_(p * factor)
      end
    end)
    return G
  end
end

--- Units of the first layer that no input wakes.
local function dead_G(sizes, last)
  return function()
    local G = relu_net(sizes, last)
    gan.no_grad(function() G[1].bias:fill_(-200) end)
    return G
  end
end

-- ---- optimisers -------------------------------------------------------------------------------

local function sgd(momentum)
  return function(p, lr) return optim.SGD{ p, lr = lr, momentum = momentum or 0 } end
end

-- ---- objectives of one's own ------------------------------------------------------------------

local usual = loss.adversarial

--- The critic's signs the other way round, as in the first program of the Wasserstein GAN: it is
-- small for what is real.
local reversed = {
  discriminator = function(real, fake) return real:mean() - fake:mean() end,
  generator = function(fake) return fake:mean() end,
}

--- Labels of real and generated samples exchanged in D's step only.
local exchanged = {
  discriminator = function(real, fake) return usual.non_saturating.discriminator(fake, real) end,
  generator = usual.non_saturating.generator,
}

--- Logarithms of probabilities without any care.
local careless = {
  discriminator = function(real, fake)
    return -(real:sigmoid():log():mean() + (1 - fake:sigmoid()):log():mean())
  end,
  generator = function(fake) return -fake:sigmoid():log():mean() end,
}

-- ---- the runs ---------------------------------------------------------------------------------

local function points(change)
  return cases.recipe({ size = 2, code = 8, width = 64, batch = 128, lr = 1e-3, steps = 4000,
    loss = "non_saturating", generator = G_of{ 8, 64, 64, 2 },
    discriminator = D_of{ 2, 64, 64, 1 } }, change)
end

local function line(change)
  return cases.recipe({ size = 1, code = 4, batch = 100, lr = 1e-3, steps = 3000,
    loss = "non_saturating", generator = G_of{ 4, 32, 32, 1 },
    discriminator = D_of{ 1, 32, 32, 1 } }, change)
end

local function dense(set, change)
  return cases.recipe({ data = pictures{ set, flat = true }, size = 784, code = 64, batch = 64,
    lr = 2e-4, steps = 2000, loss = "non_saturating",
    generator = function() return relu_net({ 64, 128, 256, 784 }, nn.Tanh{}) end,
    discriminator = D_of{ 784, 256, 128, 1 } }, change)
end

local function conv(set, change)
  return cases.recipe({ data = pictures{ set, small = true }, size = 196, code = 32, batch = 64,
    lr = 2e-4, steps = 2000, loss = "non_saturating", generator = dcgan_G(16, true),
    discriminator = dcgan_D(16) }, change)
end

local function waves(change)
  return cases.recipe({ data = sines(32, true), size = 32, code = 10, batch = 64, lr = 4e-4,
    steps = 2500, loss = "hinge", generator = wave_G, discriminator = wave_D }, change)
end

local strong = { "discriminator too strong", "divergence", "vanishing gradient" }

local textbook = {}

textbook.failing = {
  { "ring of 8, Adam, D's rate x100", strong, function()
    return points{ data = ring(8, 2, 0.02), D_speed = 100 }
  end },
  { "clothes DCGAN, D's rate x100", strong, function()
    return conv("fashion_mnist", { D_speed = 100 })
  end },
  { "grid, hinge, G's rate x100", { "mode collapse", "cycling", "divergence",
    "discriminator too weak" }, function()
    return points{ data = grid(5, 1, 0.05), loss = "hinge", G_speed = 100, lr = 5e-4 }
  end },
  { "sines, least squares, Adam with a rate of 2", { "divergence", "nan" }, function()
    return waves{ loss = "least_squares", lr = 2.0, discriminator = D_of{ 32, 64, 1 },
      data = sines(32), generator = G_of{ 10, 64, 32 } }
  end },
  { "numbers, Wasserstein with penalty, SGD with a rate of 10", { "divergence", "nan" },
    function()
      return line{ data = three_peaks, loss = "wasserstein", gp = 10, lr = 10.0,
        optimizer = sgd(0.9) }
    end },
  { "digits, bottleneck of one unit", { "mode collapse" }, function()
    return dense("mnist", { generator = function()
      return relu_net({ 64, 1, 128, 784 }, nn.Tanh{})
    end })
  end },
  { "moons, the same noise for every sample", { "mode collapse", "cycling" }, function()
    return points{ data = moons, latent = function(n) return gan.ones(n, 8) end,
      codes = gan.ones(128, 8) }
  end },
  { "clothes, dead units behind the code", { "mode collapse", "vanishing gradient" },
    function()
      return dense("fashion_mnist", { generator = dead_G({ 64, 128, 784 }, nn.Tanh{}) })
    end },
  { "clothes, minimax, Adam, D converged", { "vanishing gradient", "discriminator too strong" },
    function()
      return dense("fashion_mnist", { loss = "minimax", converge = 1000 })
    end },
  { "one digit over and over", { "duplicate data", "memorisation" }, function()
    return conv("mnist", { data = pictures{ "mnist", small = true, count = 1 } })
  end },
  { "twelve clothes, a large G", { "duplicate data", "memorisation" }, function()
    return conv("fashion_mnist", { data = pictures{ "fashion_mnist", small = true, count = 12 },
      generator = dcgan_G(48, true) })
  end },
  { "three hundred digits, a large G", { "duplicate data", "memorisation" }, function()
    return dense("mnist", { data = pictures{ "mnist", flat = true, small = true, count = 300 },
      size = 196, steps = 4000, lr = 1e-3, beta = 0.5,
      generator = function() return relu_net({ 64, 512, 512, 196 }, nn.Tanh{}) end,
      discriminator = D_of{ 196, 512, 512, 1 } })
  end },
  { "sines, D frozen, hinge", { "discriminator too weak" }, function()
    return waves{ D_speed = 0 }
  end },
  { "ring, D linear", { "discriminator too weak", "mode collapse", "cycling" }, function()
    return points{ data = ring(8, 2, 0.05), discriminator = D_of{ 2, 1 } }
  end },
  { "clothes, D of one unit", { "discriminator too weak", "mode collapse" }, function()
    return dense("fashion_mnist", { discriminator = D_of{ 784, 1, 1 } })
  end },
  { "digits, minimax, 50 steps of D", { "vanishing gradient", "discriminator too strong" },
    function()
      return dense("mnist", { loss = "minimax", d_steps = 50, steps = 400,
        data = pictures{ "mnist", flat = true, small = true }, size = 196,
        generator = function() return relu_net({ 64, 128, 196 }, nn.Tanh{}) end,
        discriminator = D_of{ 196, 128, 1 } })
    end },
  { "digits, labels exchanged", { "labels exchanged" }, function()
    return conv("mnist", { objective = exchanged })
  end },
  { "moons, labels exchanged", { "labels exchanged" },
    function() return points{ data = moons, objective = exchanged } end },
  { "one picture of NaN", { "nan" }, function()
    return conv("mnist", { data = spoil_one(pictures{ "mnist", small = true, count = 3000 }) })
  end },
  { "logarithm of 0", { "nan" }, function()
    return dense("mnist", { objective = careless, lr = 5e-3, d_steps = 3,
      data = pictures{ "mnist", flat = true, range = "bytes" } })
  end },
  { "peaks, SGD with momentum, fast G", { "cycling", "mode collapse", "divergence",
    "discriminator too weak" }, function()
    return line{ data = mixture({ { -4 }, { 0 }, { 4 } }, 0.1), lr = 0.02, G_speed = 10,
      optimizer = sgd(0.9), steps = 5000 }
  end },
  { "digits, tanh saturated from the start", strong, function()
    return dense("mnist", { generator = scaled(function()
      return relu_net({ 64, 128, 256, 784 }, nn.Tanh{})
    end, 30) })
  end },
  { "digits from 0 to 255 against tanh", { "data out of range" }, function()
      return conv("mnist", { data = pictures{ "mnist", small = true, range = "bytes" } })
    end },
  { "clothes from 0 to 255, dense, least squares", { "data out of range" }, function()
      return dense("fashion_mnist", { loss = "least_squares",
        data = pictures{ "fashion_mnist", flat = true, range = "bytes" } })
    end },
  { "digits, dense nets with a sigmoid that never come apart", { "mode collapse",
    "discriminator too strong" }, function()
    return dense("mnist", { data = pictures{ "mnist", flat = true, range = "sigmoid" },
      probability = true, generator = function()
        return relu_net({ 64, 128, 256, 784 }, nn.Sigmoid{})
      end, discriminator = D_of({ 784, 256, 128, 1 }, nn.Sigmoid{}, 0.3), smoothing = 0.1 })
  end },
  { "chirps, G with a bottleneck of one unit", { "mode collapse" }, function()
    return points{ data = chirps, size = 40, lr = 5e-4, r1 = 0.2, steps = 3000,
      generator = function() return relu_net{ 8, 1, 64, 40 } end,
      discriminator = D_of{ 40, 96, 96, 1 } }
  end },
  { "digits DCGAN, G's rate x100", { "mode collapse", "cycling", "divergence",
    "discriminator too weak" }, function() return conv("mnist", { G_speed = 100 }) end },
  { "moons, hinge, RMSprop with a rate of 0.5", { "divergence", "nan" }, function()
    return points{ data = moons, loss = "hinge", rmsprop = true, lr = 0.5 }
  end },
  { "exponential numbers, Wasserstein with penalty, narrow nets", { "mode collapse", "cycling" },
    function()
      return line{ data = skewed, loss = "wasserstein", gp = 1, d_steps = 3, beta = 0 }
    end },
  { "clothes from -1 to 1 against a sigmoid", { "data out of range" }, function()
    return dense("fashion_mnist", { size = 196,
      data = pictures{ "fashion_mnist", flat = true, small = true },
      generator = function() return relu_net({ 64, 128, 196 }, nn.Sigmoid{}) end,
      discriminator = D_of{ 196, 128, 1 } })
  end },
}

textbook.healthy = {
  { "N(4, 1.25), Adam", function()
    return line{ data = gaussian, batch = 256, lr = 1e-3, r1 = 0.02 }
  end },
  { "three peaks, least squares, RMSprop, R1", function()
    return line{ data = three_peaks, loss = "least_squares", rmsprop = true, r1 = 0.1,
      generator = G_of{ 4, 64, 64, 1 }, discriminator = D_of{ 1, 64, 64, 1 } }
  end },
  { "ring of 6, hinge, penalty", function()
    return points{ data = ring(6, 1.5, 0.1), loss = "hinge", gp = 0.5, beta = 0, d_steps = 2,
      steps = 3000, generator = G_of{ 8, 128, 128, 2 }, discriminator = D_of{ 2, 128, 128, 1 } }
  end },
  { "grid of 9, packs of 4, R1", function()
    return points{ data = grid(3, 1, 0.08), pack = 4, r1 = 0.1,
      generator = G_of{ 8, 128, 128, 2 }, discriminator = D_of{ 8, 128, 128, 1 } }
  end },
  { "moons, least squares, R1", function()
    return points{ data = moons, loss = "least_squares", r1 = 0.1 }
  end },
  { "Swiss roll, Wasserstein with penalty", function()
    return points{ data = swiss_roll, loss = "wasserstein", gp = 1, d_steps = 4, beta = 0,
      lr = 5e-4, steps = 3000, generator = G_of{ 8, 128, 128, 2 },
      discriminator = D_of{ 2, 128, 128, 1 } }
  end },
  { "sines in convolutions, hinge, spectral norm", function() return waves{} end },
  { "drifting noise, critic's signs the other way round", function()
    return points{ data = drifting, size = 20, code = 20, objective = reversed, gp = 10,
      d_steps = 3, beta = 0, lr = 5e-4, steps = 2500, generator = G_of{ 20, 96, 20 },
      discriminator = D_of{ 20, 96, 96, 1 } }
  end },
  { "parabola, minimax with R1", function()
    return points{ data = parabola, loss = "minimax", r1 = 0.2 }
  end },
  { "digits DCGAN", function() return conv("mnist", {}) end },
  { "clothes DCGAN, batch norm in both", function()
    return conv("fashion_mnist", { discriminator = dcgan_D(16, "batch") })
  end },
  { "clothes DCGAN, hinge, spectral norm, G without batch norm", function()
    return conv("fashion_mnist", { discriminator = dcgan_D(16, "spectral"), loss = "hinge",
      generator = dcgan_G(24), lr = 5e-4, beta = 0 })
  end },
  { "digits, averaged weights", function() return conv("mnist", { ema = 0.99, r1 = 0.5 }) end },
  { "clothes, clipped critic", function()
    return dense("fashion_mnist", { data = pictures{ "fashion_mnist", flat = true, small = true },
      size = 196, loss = "wasserstein", rmsprop = true, clip = 0.03, d_steps = 5, lr = 3e-4,
      steps = 1500, discriminator = D_of{ 196, 128, 128, 1 },
      generator = function() return relu_net({ 64, 128, 128, 196 }, nn.Tanh{}) end })
  end },
  { "ring, D four times as fast as G, R1, batches of 512", function()
    return points{ data = ring(8, 1, 0.05), batch = 512, D_speed = 4, lr = 5e-4, r1 = 0.2,
      beta = 0, steps = 3000, generator = G_of{ 8, 128, 128, 2 },
      discriminator = D_of{ 2, 128, 128, 1 } }
  end },
  { "digits, spectral norm, small batches, slow", function()
    return conv("mnist", { discriminator = dcgan_D(16, "spectral"), batch = 16, lr = 1e-4,
      steps = 3000 })
  end },
  { "a thousand digits DCGAN, R1", function()
    return conv("mnist", { data = pictures{ "mnist", small = true, count = 1000 }, r1 = 1 })
  end },
  { "ring, relativistic, R1, RMSprop", function()
    return points{ data = ring(8, 1, 0.04), loss = "relativistic", rmsprop = true, r1 = 0.2,
      generator = G_of{ 8, 100, 100, 2 }, discriminator = D_of{ 2, 100, 100, 1 } }
  end },
  { "clothes DCGAN, Wasserstein with penalty", function()
    return conv("fashion_mnist", { loss = "wasserstein", gp = 10, d_steps = 3, beta = 0,
      steps = 1200 })
  end },
  { "digits DCGAN, smoothed labels, batches of 128", function()
    return conv("mnist", { smoothing = 0.1, batch = 128, lr = 3e-4, steps = 1500 })
  end },
  { "chirps, least squares, R1", function()
    return points{ data = chirps, size = 40, loss = "least_squares", r1 = 0.2, lr = 5e-4,
      generator = G_of{ 8, 128, 128, 40 }, discriminator = D_of{ 40, 128, 128, 1 } }
  end },
}

return textbook
