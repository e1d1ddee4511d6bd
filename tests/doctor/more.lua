--- More runs that fail and more healthy ones, on which none of the doctor's thresholds was chosen:
-- other data, nets, losses, learning rates and batch sizes than those of tests/doctor/cases.lua.
local gan = require "gan"
local cases = require "tests.doctor.cases"
local nn, optim = gan.nn, gan.optim

-- ---- data -------------------------------------------------------------------------------------

--- Numbers around -2 (three in ten) and 1.
local function two_peaks(n)
  local left = gan.lt(gan.rand(n, 1), 0.3)
  return gan.where(left, gan.full({ n, 1 }, -2.0), gan.full({ n, 1 }, 1.0)) + gan.randn(n, 1) * 0.2
end

--- Points of a spiral.
local function spiral(n)
  local t = gan.rand(n, 1):sqrt() * (3 * math.pi)
  return gan.cat({ t:cos() * t, t:sin() * t }, { dim = 2 }) / 9 + gan.randn(n, 2) * 0.03
end

--- A square filled evenly.
local function square(n)
  return gan.rand(n, 2) * 2 - 1
end

--- Vectors of ten numbers that go together.
local mixing = gan.eye(10) * 0.3 + 0.2
local function correlated(n)
  return gan.randn(n, 10):matmul(mixing) + 0.5
end

--- Bumps of random place and width, 64 samples each.
local function bumps(n)
  local t = gan.arange(64):unsqueeze(1) / 32 - 1
  local place, width = gan.rand(n, 1) * 1.2 - 0.6, gan.rand(n, 1) * 0.2 + 0.1
  return ((t - place) / width):square():neg():exp() * 2 - 1
end

--- Images of a quarter of the size, 14 x 14, in [-1, 1], as images.
local function small_images(set)
  local data = assert(gan.data[set]{ split = "test" }).images:to(gan.config.real)
  data = (data:avg_pool2d(2) * (2 / 255) - 1):keep()
  return function(n)
    return data:index_select(gan.randint(n, { hi = #data }))
  end
end

local function few(data, count)
  local fixed = data(count):keep()
  return function(n)
    return fixed:index_select(gan.randint(n, { hi = count }))
  end
end

--- Data that are whole for a while, then hold a NaN.
local function spoilt(data, from)
  local calls = 0
  return function(n)
    calls = calls + 1
    return calls < from and data(n) or data(n) / gan.zeros(1)
  end
end

-- ---- nets -------------------------------------------------------------------------------------

--- Convolutional nets of 14 x 14 images.
local function conv_generator(o)
  local w = o.width
  return nn.Sequential{ name = "G",
    nn.Linear{ o.code, 2 * w * 49 }, nn.Unflatten{ 2, { 2 * w, 7, 7 } },
    nn.BatchNorm2d{ 2 * w }, nn.ReLU{},
    nn.ConvTranspose2d{ 2 * w, 1, kernel_size = 4, stride = 2, padding = 1 }, nn.Tanh{},
  }
end

local function conv_discriminator(o)
  local w = o.width
  return nn.Sequential{ name = "D",
    nn.Conv2d{ 1, w, kernel_size = 4, stride = 2, padding = 1 }, nn.LeakyReLU{ 0.2 },
    nn.Conv2d{ w, 2 * w, kernel_size = 3, stride = 2, padding = 1 }, nn.LeakyReLU{ 0.2 },
    nn.Flatten{}, nn.Linear{ 2 * w * 16, 1 },
  }
end

--- Dense nets without batch normalisation, of tanh units.
local function plain_generator(o)
  return nn.Sequential{ name = "G", nn.Linear{ o.code, o.width }, nn.Tanh{},
    nn.Linear{ o.width, o.width }, nn.Tanh{}, nn.Linear{ o.width, o.size } }
end

--- A discriminator that gives probabilities.
local function sure_discriminator(o)
  return nn.Sequential{ name = "D", nn.Linear{ o.size, o.width }, nn.LeakyReLU{ 0.2 },
    nn.Linear{ o.width, o.width }, nn.LeakyReLU{ 0.2 }, nn.Linear{ o.width, 1 }, nn.Sigmoid{} }
end

local function exploding_discriminator(o)
  return nn.Sequential{ name = "D", nn.Linear{ o.size, o.width }, nn.LeakyReLU{ 0.2 },
    nn.Lambda{ function(x) return (x * 40):exp():exp() end, name = "tower" },
    nn.Linear{ o.width, 1 } }
end

--- Whatever the code, the same.
local function deaf_generator(o)
  return nn.Sequential{ name = "G", nn.Lambda{ function(x) return x * 0 end },
    nn.Linear{ o.code, o.width }, nn.ReLU{}, nn.Linear{ o.width, o.size }, nn.Tanh{} }
end

-- ---- recipes ----------------------------------------------------------------------------------

local recipe = cases.recipe

local function signals(change)
  return recipe({ data = bumps, size = 64, code = 6, width = 96, batch = 50, lr = 4e-4,
    loss = "non_saturating", steps = 3000 }, change)
end

local function points(data, change)
  return recipe({ data = data, size = 2, code = 4, width = 96, batch = 200, lr = 7e-4,
    loss = "non_saturating", steps = 3000, r1 = 0.05 }, change)
end

local function numbers(change)
  return recipe({ data = two_peaks, size = 1, code = 1, width = 48, batch = 100, lr = 1e-3,
    loss = "non_saturating", steps = 3000, generator = plain_generator, r1 = 0.1 }, change)
end

local function pictures(set, change)
  return recipe({ data = small_images(set), generator = conv_generator,
    discriminator = conv_discriminator, code = 20, width = 16, batch = 40, lr = 4e-4,
    loss = "non_saturating", steps = 2000 }, change)
end

local strong = { "discriminator too strong", "divergence", "vanishing gradient" }

local more = {}

more.failing = {
  { "digits in convolutions, discriminator 100 times too fast", strong, function()
    return pictures("mnist", { D_speed = 100 })
  end },
  { "bumps, generator that does not learn", strong, function()
    return signals{ G_speed = 0 }
  end },
  { "spiral, critic without a bound", strong, function()
    return points(spiral, { loss = "wasserstein", r1 = false, d_steps = 5, lr = 2e-3 })
  end },
  { "numbers, minimax, probabilities, converged discriminator", { "vanishing gradient" },
    function()
      return numbers{ loss = "minimax", probability = true, r1 = false, converge = 2000,
        sgd = 0.01, discriminator = sure_discriminator,
        data = function(n) return two_peaks(n) + 12 end }
    end },
  { "bumps, generator of capacity 1", { "mode collapse" }, function()
    return signals{ capacity = 1 }
  end },
  { "clothes, generator that does not hear its code", { "mode collapse" }, function()
    return cases.images("fashion_mnist", { generator = deaf_generator, batch = 40, lr = 3e-4,
      steps = 2000 })
  end },
  { "hinge, plain descent with a rate of 30", { "divergence", "nan" }, function()
    return signals{ loss = "hinge", lr = 30.0,
      optimizer = function(p, lr) return optim.SGD{ p, lr = lr } end }
  end },
  { "seven pictures of clothes", { "duplicate data", "memorisation" }, function()
    return pictures("fashion_mnist", { data = few(small_images "fashion_mnist", 7) })
  end },
  { "square, discriminator that stands still", { "discriminator too weak" }, function()
    return points(square, { D_speed = 0, r1 = false })
  end },
  { "a discriminator that overflows", { "nan" }, function()
    return signals{ discriminator = exploding_discriminator }
  end },
  { "data that become NaN", { "nan" }, function()
    return points(spiral, { data = spoilt(spiral, 700) })
  end },
  { "digits, generator 200 times too fast", { "mode collapse", "cycling", "divergence",
    "discriminator too strong", "discriminator too weak" }, function()
    return cases.images("mnist", { G_speed = 200, batch = 32 })
  end },
  { "numbers, critic clipped to nothing", { "vanishing gradient", "discriminator too weak" },
    function()
      return numbers{ loss = "wasserstein", clip = 1e-3, rmsprop = true, r1 = false, sgd = 0.01 }
    end },
}

more.healthy = {
  { "numbers, R1", function() return numbers{} end },
  { "numbers, probabilities, smoothed labels", function()
    return numbers{ probability = true, smoothing = 0.1, discriminator = sure_discriminator }
  end },
  { "spiral, least squares", function() return points(spiral, { loss = "least_squares" }) end },
  { "square, hinge", function() return points(square, { loss = "hinge", r1 = 0.5 }) end },
  { "ten numbers, clipped critic", function()
    return points(correlated, { size = 10, loss = "wasserstein", r1 = false, clip = 0.1,
      rmsprop = true, d_steps = 4, lr = 3e-4 })
  end },
  { "bumps, non-saturating", function() return signals{} end },
  { "bumps, relativistic, small batches", function()
    return signals{ loss = "relativistic", r1 = 1, batch = 20 }
  end },
  { "digits in convolutions", function() return pictures("mnist", {}) end },
  { "clothes in convolutions, gradient penalty", function()
    return pictures("fashion_mnist", { loss = "wasserstein", gp = 10, d_steps = 3, beta = 0,
      steps = 1200 })
  end },
  { "clothes in convolutions, least squares", function()
    return pictures("fashion_mnist", { loss = "least_squares", batch = 80 })
  end },
  { "digits, twice the rate, half the batch", function()
    return cases.images("mnist", { lr = 4e-4, batch = 32, steps = 3000 })
  end },
  { "clothes, minimax with R1", function()
    return cases.images("fashion_mnist", { loss = "minimax", r1 = 2, batch = 100, steps = 2000 })
  end },
}

return more
