--- Runs that are built to fail, and healthy ones, for gan.doctor. Each is made by run{...} from a
--- healthy recipe and what is changed in it; `wants` lists the names of the failure that are right.
local gan = require "gan"
local nn, optim, loss = gan.nn, gan.optim, gan.loss

local cases = {}

-- ---- data -------------------------------------------------------------------------------------

local function mixture(centers, std)
  local points = gan.tensor(centers):keep()
  return function(n)
    return points:index_select(gan.randint(n, { hi = #centers })) + gan.randn(n, 2) * std
  end
end

local function ring()
  local points = {}
  for i = 1, 8 do
    points[i] = { math.cos(i * math.pi / 4), math.sin(i * math.pi / 4) }
  end
  return mixture(points, 0.02)
end

local function grid()
  local points = {}
  for i = 0, 24 do
    points[i + 1] = { (i // 5 - 2) / 2, (i % 5 - 2) / 2 }
  end
  return mixture(points, 0.03)
end

--- Waves of random phase, height and frequency, 32 samples each.
local function waves()
  local t = (gan.arange(32):unsqueeze(1) * (2 * math.pi / 32)):keep()
  return function(n)
    local frequency, phase = gan.rand(n, 1) * 2 + 1, gan.rand(n, 1) * (2 * math.pi)
    return (t * frequency + phase):sin() * (gan.rand(n, 1) * 0.5 + 0.5)
  end
end

local function images(set, count)
  local data = assert(gan.data[set]{ split = "train" }).images:slice(1, 1, count)
  return function(n)
    local x = data:index_select(gan.randint(n, { hi = count }))
    return (x:to(gan.config.real) * (2 / 255) - 1):flatten(2)
  end
end

-- ---- a run ------------------------------------------------------------------------------------

local function generator(o)
  local w, layers = o.width, {}
  layers[1], layers[2] = nn.Linear{ o.code, o.capacity or w }, nn.ReLU{}
  if not o.capacity then
    layers[2] = nn.BatchNorm1d{ w }
    layers[3], layers[4] = nn.ReLU{}, nn.Linear{ w, w }
    layers[5], layers[6] = nn.BatchNorm1d{ w }, nn.ReLU{}
  end
  layers[#layers + 1] = nn.Linear{ o.capacity or w, o.size }
  layers[#layers + 1] = o.tanh and nn.Tanh{} or nil
  layers[#layers + 1] = o.bad_layer
  layers.name = "G"
  return nn.Sequential(layers)
end

local function discriminator(o)
  local w = o.D_width or o.width
  local D = nn.Sequential{ name = "D",
    nn.Linear{ o.size * (o.pack or 1), w }, nn.LeakyReLU{ 0.2 },
    nn.Linear{ w, w }, nn.LeakyReLU{ 0.2 }, nn.Linear{ w, 1 },
  }
  if o.spectral then
    for _, i in ipairs{ 1, 3, 5 } do
      nn.spectral_norm(D[i])
    end
  end
  return D
end

--- Trains by the recipe o and returns the doctor's diagnoses in order, the doctor, and a function
-- that makes n samples.
function cases.run(o)
  local G, D = (o.generator or generator)(o), (o.discriminator or discriminator)(o)
  local G_params = G:parameters()
  local make = o.optimizer or o.rmsprop and function(p, lr) return optim.RMSprop{ p, lr = lr } end
    or function(p, lr) return optim.Adam{ p, lr = lr, betas = { o.beta or 0.5, 0.999 } } end
  local G_opt, D_opt = make(G_params, o.lr * (o.G_speed or 1)), make(D, o.lr * (o.D_speed or 1))
  if o.sgd then -- a step as small as the gradient; Adam makes faint ones strong
    G_opt = optim.SGD{ G_params, lr = o.sgd }
  end
  local objective = o.objective or (o.probability and loss.probability or loss.adversarial)[o.loss]
  local latent = o.latent or function(n) return gan.randn(n, o.code) end
  local average = o.ema and optim.EMA{ G, decay = o.ema, warmup = true }
  local function sample(codes)
    return average and average:use(G, codes) or G(codes)
  end
  local function judge(x)
    return D(gan.adversarial.pack(x, o.pack or 1))
  end
  local function train_D(real, fake)
    D_opt:zero_grad()
    local D_loss = objective.discriminator(judge(real), judge(fake:detach()),
      o.smoothing and { smoothing = o.smoothing } or nil)
    local total = D_loss
    if o.r1 then
      total = total + loss.r1_penalty(judge, real) * (o.r1 / 2)
    elseif o.gp then
      total = total + loss.gradient_penalty(judge, real, fake:detach()) * o.gp
    end
    total:backward()
    D_opt:step()
    if o.clip then
      gan.clip_(D:parameters(), { lo = -o.clip, hi = o.clip })
    end
    return D_loss
  end
  local function step(real)
    local D_loss
    for _ = 1, o.d_steps or 1 do
      D_loss = train_D(real, gan.no_grad(G, latent(#real)))
    end
    local fake = G(latent(#real))
    G_opt:zero_grad()
    local G_loss = objective.generator(judge(fake), judge(real):detach())
    G_loss:backward{ inputs = G_params }
    G_opt:step()
    if average then
      average:update()
    end
    return { D = D_loss, G = G_loss }
  end
  for _ = 1, o.converge or 0 do -- D learns while G stands still
    gan.scope(function()
      train_D(o.data(o.batch), gan.no_grad(G, latent(o.batch)))
    end)
  end
  local doctor = gan.doctor{ G, D, codes = o.codes or o.code, score = judge, sample = sample,
    say = function() end, share = o.share }
  local stepper = gan.compile{ step, notify = function() end }
  for _ = 1, o.steps do
    gan.scope(function()
      local real = o.data(o.batch)
      doctor:step(stepper(real), real)
    end)
    if doctor.told.nan then
      break
    end
  end
  return doctor.diagnoses, doctor, function(n) return sample(latent(n)) end
end

-- ---- recipes ----------------------------------------------------------------------------------

--- A recipe like another, with changes.
function cases.recipe(base, change)
  local o = {}
  for _, t in ipairs{ base, change } do
    for key, v in pairs(t) do
      o[key] = v
    end
  end
  return o
end

local recipe = cases.recipe

function cases.ring(change)
  return recipe({ data = ring(), size = 2, code = 2, width = 128, batch = 128, lr = 1e-3,
    loss = "non_saturating", steps = 4000, pack = 2 }, change)
end

function cases.waves(change)
  return recipe({ data = waves(), size = 32, code = 8, width = 128, batch = 64, lr = 5e-4,
    loss = "non_saturating", steps = 4000 }, change)
end

function cases.images(set, change, count)
  return recipe({ data = images(set, count or 10000), size = 784, code = 32, width = 256,
    batch = 64, lr = 2e-4, loss = "non_saturating", steps = 2500, tanh = true }, change)
end

local function constant_data(data, count)
  local fixed = data(count):keep()
  return function(n)
    return fixed:index_select(gan.randint(n, { hi = count }))
  end
end

local strong = { "discriminator too strong", "divergence", "vanishing gradient" }

--- name -> { wants, recipe }
cases.failing = {
  { "discriminator learns 100 times too fast", strong, function()
    return cases.ring{ D_speed = 100, pack = 1 }
  end },
  { "the same on images", strong, function() return cases.images("fashion_mnist",
    { D_speed = 100 }) end },
  { "generator of capacity 1", { "mode collapse" }, function()
    return cases.ring{ capacity = 1 }
  end },
  { "generator of capacity 1 on images", { "mode collapse" }, function()
    return cases.images("mnist", { capacity = 1 })
  end },
  { "minimax against a converged discriminator", { "vanishing gradient" }, function()
    return cases.images("mnist", { loss = "minimax", converge = 1500, sgd = 0.02 })
  end },
  { "minimax on a ring far from a converged discriminator", { "vanishing gradient" }, function()
    local data = ring()
    return cases.ring{ loss = "minimax", converge = 1500, pack = 1, sgd = 0.02,
      data = function(n) return data(n) + 8 end }
  end },
  { "learning rate that diverges", { "divergence", "nan" }, function()
    return cases.waves{ lr = 1, gp = 10, loss = "wasserstein" }
  end },
  { "a batch of duplicates", { "duplicate data" }, function()
    return cases.waves{ data = constant_data(waves(), 5) }
  end },
  { "a discriminator that does not learn", { "discriminator too weak" }, function()
    return cases.ring{ D_speed = 0, pack = 1 }
  end },
  { "a layer that makes NaN", { "nan" }, function()
    return cases.waves{ bad_layer = nn.Lambda{ function(x) return x:sqrt() end, name = "root" } }
  end },
  { "collapse to few modes", { "mode collapse", "cycling", "discriminator too weak" }, function()
    return cases.ring{ pack = 1, loss = "minimax", beta = 0.9, lr = 2e-3, D_width = 8,
      steps = 12000 }
  end },
  { "generator that learns 100 times too fast", { "cycling", "mode collapse", "divergence",
    "discriminator too weak" }, function() return cases.ring{ G_speed = 50, pack = 1 } end },
  { "twenty images learnt by heart", { "memorisation", "duplicate data" }, function()
    return cases.images("mnist", { steps = 4000 }, 20)
  end },
}

cases.healthy = {
  { "ring, non-saturating, packed", function() return cases.ring{} end },
  { "ring, R1", function() return cases.ring{ r1 = 0.1, pack = 1 } end },
  { "ring, gradient penalty", function()
    return cases.ring{ loss = "wasserstein", gp = 1, d_steps = 3, pack = 1, beta = 0, lr = 5e-4,
      steps = 3000 }
  end },
  { "grid, packed", function() return cases.ring{ data = grid() } end },
  { "grid, relativistic with R1", function()
    return cases.ring{ data = grid(), loss = "relativistic", r1 = 0.1, pack = 1 }
  end },
  { "waves, non-saturating", function() return cases.waves{} end },
  { "waves, hinge with spectral norm", function()
    return cases.waves{ loss = "hinge", spectral = true }
  end },
  { "waves, clipped critic", function()
    return cases.waves{ loss = "wasserstein", clip = 0.05, rmsprop = true, d_steps = 3, lr = 2e-4 }
  end },
  { "digits, non-saturating", function() return cases.images("mnist", {}) end },
  { "digits, least squares", function()
    return cases.images("mnist", { loss = "least_squares" })
  end },
  { "clothes, gradient penalty", function()
    return cases.images("fashion_mnist", { loss = "wasserstein", gp = 10, d_steps = 2, beta = 0,
      steps = 1500 })
  end },
  { "clothes, hinge with R1", function()
    return cases.images("fashion_mnist", { loss = "hinge", r1 = 1 })
  end },
}

return cases
