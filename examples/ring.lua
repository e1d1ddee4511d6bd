-- A GAN on a mixture of Gaussians in the plane: eight on a ring, or twenty-five on a grid
-- (examples/grid.lua). Here one sees what a GAN does wrong: which modes it finds, leaves out or
-- goes round between. With --pack 2 the discriminator judges two samples at a time (PacGAN).
--
--   gan-lua examples/ring.lua --out runs/ring

local gan = require "gan"
local nn, optim, loss = gan.nn, gan.optim, gan.loss

local opt = gan.opts{
  "Trains a GAN on a mixture of Gaussians; leaves a picture of its samples over time.",
  {"epochs", 20, "of 1000 steps each"},
  {"data", "ring", "the mixture", choices = {"ring", "grid"}},
  {"batch_size", 256, "samples in a batch"},
  {"lr", 1e-3, "learning rate of both optimisers in the beginning; it falls to 0"},
  {"loss", "non_saturating", "objective", choices = {"minimax", "non_saturating",
    "least_squares", "hinge", "relativistic"}},
  {"r1", 0.0, "weight of the penalty of D's slope at real samples"},
  {"pack", 2, "samples that D judges together"},
  {"width", 128, "units of the hidden layers"},
  {"seed", 1, "start of the random numbers"},
  {"steps", 0, "stop after so many steps (0: do not)"},
  {"out", "runs/ring", "run folder"},
  {"compile", false, "record a step and replay it: faster, with the same results"},
  {"resume", false, "go on with the run in that folder, from its latest checkpoint"},
}
if not opt then return end
gan.manual_seed(opt.seed)

-- the centres, and the standard deviation of each Gaussian
local points, std = {}, opt.data == "ring" and 0.01 or 0.05
if opt.data == "ring" then
  for i = 1, 8 do
    points[i] = {math.cos(i * math.pi / 4), math.sin(i * math.pi / 4)}
  end
else
  for i = 0, 24 do
    points[i + 1] = {i // 5 - 2, i % 5 - 2}
  end
end
local centers = gan.tensor(points)

local function draw_real(n)
  return centers:index_select(gan.randint(n, {hi = #points})) + gan.randn(n, 2) * std
end

local w, code = opt.width, 2
local G = nn.Sequential{ name = "G",
  nn.Linear{code, w}, nn.ReLU{}, nn.Linear{w, w}, nn.ReLU{}, nn.Linear{w, w}, nn.ReLU{},
  nn.Linear{w, 2},
}
local D = nn.Sequential{ name = "D",
  nn.Linear{2 * opt.pack, w}, nn.LeakyReLU{0.2},
  nn.Linear{w, w}, nn.LeakyReLU{0.2}, nn.Linear{w, w}, nn.LeakyReLU{0.2},
  nn.Linear{w, 1},
}
local G_params, D_params = G:parameters(), D:parameters()
local G_opt = optim.Adam{G_params, lr = opt.lr, betas = {0.5, 0.999}}
local D_opt = optim.Adam{D_params, lr = opt.lr, betas = {0.5, 0.999}}
local average = optim.EMA{G, decay = 0.999, warmup = true}
local objective = loss.adversarial[opt.loss]

local function judge(x)
  return D(gan.adversarial.pack(x, opt.pack))
end

local function step(real)
  local fake = G(gan.randn(#real, code))
  D_opt:zero_grad()
  local D_loss = objective.discriminator(judge(real), judge(fake:detach()))
  local penalty = opt.r1 > 0 and loss.r1_penalty(judge, real) * (opt.r1 / 2)
  local total = penalty and D_loss + penalty or D_loss
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
  place.step = place.step + 1
  return place.step % 1001 > 0 and draw_real(opt.batch_size) or nil
end

local run = gan.report.run{opt.out, options = opt, resume = opt.resume}
local edge = opt.data == "ring" and 1.3 or 2.6

--- Samples as points of a picture; real ones grey behind them.
local function plot(x)
  local size = 160
  local cell = ((x / edge + 1) * (size / 2)):floor():clamp{min = 0, max = size - 1}
  local index = (cell:slice(2, 2, 2) * size + cell:slice(2, 1, 1) + 1):flatten():to "int64"
  return gan.zeros(size * size):index_add(index, gan.ones(#x)):clamp{max = 1}:reshape(size, size)
end

local real, frames = plot(draw_real(2500)), {}
local function after(epoch)
  local result
  average:use(function()
    local x = gan.no_grad(G, gan.randn(2500, code))
    result = gan.metrics.mixture(x, {centers = centers, std = std})
    frames[#frames + 1] = plot(x):keep()
  end)
  local pictures = {table.unpack(frames)}
  pictures[#pictures + 1] = real
  run:image("samples", gan.stack(pictures):unsqueeze(2), {background = 80})
  run:save{G = G, D = D}
  for _, rate in ipairs{G_opt, D_opt} do
    rate.lr = opt.lr * (1 - epoch / opt.epochs)
  end
  return {modes = result.modes, quality = result.quality, kl = result.kl}
end

gan.train.loop{
  epochs = opt.epochs, steps = opt.steps, batches = batches, run = run,
  step = step, compile = opt.compile, after_epoch = after,
  doctor = gan.doctor{G, D, codes = code, score = judge},
  state = {G = G, D = D, G_opt = G_opt, D_opt = D_opt, average = average, place = place,
    frames = frames},
}
print("the samples after each epoch, and last the real ones, are in " .. opt.out .. "/samples.png")
