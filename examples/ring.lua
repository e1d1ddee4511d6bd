-- A GAN on a mixture of Gaussians in the plane: eight on a ring, or twenty-five on a grid
-- (examples/grid.lua). Here one sees what a GAN does wrong: which modes it finds, leaves out or
-- goes round between. What makes it right is a penalty of the discriminator's slope at real
-- samples (R1): strong in the beginning, so that the samples spread over all modes, then fainter
-- and fainter, so that they gather in them. Without it (--r1 0) modes are lost; with --pack 2 the
-- discriminator judges two samples at a time (PacGAN).
--
-- The discriminator is two nets. The one that sees positions keeps the modes' shares right, but is
-- blind to how samples lie within a mode; the other sees positions as waves, and keeps the modes as
-- wide as they are. Alone it loses modes.
--
--   gan-lua examples/ring.lua --compile --out runs/ring

local gan = require "gan"
local nn, optim, loss = gan.nn, gan.optim, gan.loss

local opt = gan.opts{
  "Trains a GAN on a mixture of Gaussians; leaves a picture of its samples over time.",
  {"epochs", 40, "of 1000 steps each"},
  {"data", "ring", "the mixture", choices = {"ring", "grid"}},
  {"radius", 1.0, "of the ring; its Gaussians have a hundredth of it as standard deviation"},
  {"batch_size", 256, "samples in a batch"},
  {"lr", 1e-3, "learning rate of both optimisers in the beginning; it falls to 0"},
  {"loss", "non_saturating", "objective", choices = {"minimax", "non_saturating",
    "least_squares", "hinge", "relativistic"}},
  {"r1", 0.1, "weight of the penalty in the beginning, of a ring of radius 1"},
  {"r1_end", 1e-5, "and after four fifths of the training"},
  {"pack", 1, "samples that D judges together"},
  {"width", 128, "units of the hidden layers"},
  run = "runs/ring",
}
if not opt then return end
gan.manual_seed(opt.seed)

-- the centres, and the standard deviation of each Gaussian
local points, std, edge = {}, 0.05, 4.8 -- as far as pictures go
if opt.data == "ring" then
  std, edge = 0.01 * opt.radius, 1.3 * opt.radius
  for i = 1, 8 do
    local angle = i * math.pi / 4
    points[i] = {opt.radius * math.cos(angle), opt.radius * math.sin(angle)}
  end
else
  for i = 0, 24 do
    points[i + 1] = {2 * (i // 5 - 2), 2 * (i % 5 - 2)}
  end
end
local centers = gan.tensor(points)

local function draw_real(n)
  return centers:index_select(gan.randint(n, {hi = #points})) + gan.randn(n, 2) * std
end

local w, code = opt.width, 16
local OCTAVES = 6 -- the shortest wave is about as long as a Gaussian is wide
local G = nn.Sequential{ name = "G",
  nn.Linear{code, w}, nn.ReLU{}, nn.Linear{w, w}, nn.ReLU{}, nn.Linear{w, w}, nn.ReLU{},
  nn.Linear{w, 2},
}
local function critic(inputs)
  return nn.Sequential{
    nn.Linear{inputs * opt.pack, w}, nn.LeakyReLU{0.2}, nn.Linear{w, w}, nn.LeakyReLU{0.2},
    nn.Linear{w, w}, nn.LeakyReLU{0.2}, nn.Linear{w, 1},
  }
end
local D = nn.Sequential{ name = "D", critic(2), critic(2 + 4 * OCTAVES) }
local G_params, D_params = G:parameters(), D:parameters()
local G_opt = optim.Adam{G_params, lr = opt.lr, betas = {0.5, 0.999}}
local D_opt = optim.Adam{D_params, lr = opt.lr, betas = {0.5, 0.999}}
local average = optim.EMA{G, decay = 0.999, warmup = true}
local objective = loss.adversarial[opt.loss]
local r1 = gan.tensor(opt.r1) -- a tensor, because it changes from step to step
local unit = (edge / 1.3) ^ 2 -- larger data have smaller slopes

-- A position x as waves: x, and sin and cos of 2^k pi x / edge, weighted (Tancik et al. 2020). They
-- come in one after another, the longest first (Lin et al. 2021), each in a tenth of the training,
-- or in 4000 steps where that is more.
local weights = gan.zeros(1, 2 + 4 * OCTAVES)
weights:slice(2, 1, 2):fill_(1)

local function let_in(step)
  local came = step / math.max(4000, 100 * opt.epochs) - 1
  for k = 0, OCTAVES - 1 do
    local share = math.max(0, math.min(1, came - k))
    weights:slice(2, 3 + 4 * k, 6 + 4 * k):fill_(share * 2 ^ (-k / 2))
  end
end

local function waves(x)
  local parts = {x}
  for k = 0, OCTAVES - 1 do
    local angle = x * (2 ^ k * math.pi / edge)
    parts[#parts + 1], parts[#parts + 2] = angle:sin(), angle:cos()
  end
  return gan.cat(parts, {dim = 2}) * weights
end

--- Logits (N / pack, 2): of the positions, and of the waves.
local function judge(x)
  local function pack(y) return gan.adversarial.pack(y, opt.pack) end
  return gan.cat({D[1](pack(x)), D[2](pack(waves(x)))}, {dim = 2})
end

local function step(real)
  local fake = G(gan.randn(#real, code))
  D_opt:zero_grad()
  local D_loss = objective.discriminator(judge(real), judge(fake:detach()))
  local total = opt.r1 > 0 and D_loss + loss.r1_penalty(judge, real) * r1 / 2 or D_loss
  total:backward()
  D_opt:step()

  G_opt:zero_grad()
  local G_loss = objective.generator(judge(fake), judge(real):detach())
  G_loss:backward{inputs = G_params}
  G_opt:step()
  average:update()
  return {D = D_loss, G = G_loss}
end

-- a thousand batches are an epoch; data without end need no more than a counter
local place = {step = 0}
local function batches()
  if place.step > 0 and place.step % 1000 == 0 and not place.between then
    place.between = true
    return nil
  end
  place.between, place.step = false, place.step + 1
  local part = place.step / (1000 * opt.epochs)
  local rate = opt.lr * math.max(0.5 + 0.5 * math.cos(math.pi * math.min(part, 1)), 1e-3)
  G_opt.lr, D_opt.lr = rate, rate
  let_in(place.step)
  r1:fill_(unit * opt.r1 * (opt.r1_end / math.max(opt.r1, opt.r1_end)) ^ math.min(1, part / 0.8))
  return draw_real(opt.batch_size)
end

local run = gan.report.run{opt.out, options = opt, resume = opt.resume}

--- Samples as points of a picture.
local function plot(x)
  local size = 160
  local cell = ((x / edge + 1) * (size / 2)):floor():clamp{min = 0, max = size - 1}
  local index = (cell:slice(2, 2, 2) * size + cell:slice(2, 1, 1) + 1):flatten():to "int64"
  return gan.zeros(size * size):index_add(index, gan.ones(#x)):clamp{max = 1}:reshape(size, size)
end

--- How good n samples of the averaged generator are, and a plot of them.
local function examine(n)
  local x = average:use(gan.no_grad, G, gan.randn(n, code))
  return gan.metrics.mixture(x, {centers = centers, std = std}), plot(x)
end

local real, frames = plot(draw_real(2500)), {}
local function after()
  local result, frame = examine(2500)
  frames[#frames + 1] = frame:keep()
  local pictures = {table.unpack(frames)}
  pictures[#pictures + 1] = real
  run:image("samples", gan.stack(pictures):unsqueeze(2), {background = 80})
  run:save{G = G, D = D}
  return {modes = result.modes, quality = result.quality, kl = result.kl}
end

gan.train.loop{
  epochs = opt.epochs, steps = opt.steps, minutes = opt.minutes, batches = batches, run = run,
  step = step, compile = opt.compile, after_epoch = after,
  doctor = gan.doctor{G, D, codes = code, score = function(x) return judge(x):mean{2} end},
  state = {G = G, D = D, G_opt = G_opt, D_opt = D_opt, average = average, place = place,
    frames = frames},
}
local few, many = examine(2500), examine(50000)
table.sort(many.spread)
run:result{modes = few.modes, quality = few.quality, kl = few.kl, quality_of_many = many.quality,
  narrowest = many.spread[1], widest = many.spread[#points]}
print(("%d of %d modes, %.1f %% within three standard deviations, KL divergence %.4f"):format(
  few.modes, #points, 100 * few.quality, few.kl))
print("the samples after each epoch, and last the real ones, are in " .. opt.out .. "/samples.png")
