-- What the tests of live training train: a line through made-up points, with a variable, an option
-- and an optimiser that can be changed while it runs. LIVE_PAUSE: seconds before every step.

local gan = require "gan"
local nn, optim = gan.nn, gan.optim

local opt = gan.opts{
  "Trains a linear layer; leaves weights.safetensors.",
  {"epochs", 3, "passes over the points"},
  {"lr", 0.01, "learning rate"},
  {"weight", 1.0, "factor of the loss"},
  run = "runs/live",
}
if not opt then return end
gan.manual_seed(opt.seed)
io.stdout:setvbuf "line"

local x = gan.randn(64, 4)
local pause = tonumber(os.getenv "LIVE_PAUSE" or 0)
local batches = gan.data.batches{x, batch_size = 8, shuffle = true, augment = function(real)
  local from = gan.files.time()
  while gan.files.time() - from < pause do end
  return real
end}
local G = nn.Linear{4, 2}
local G_opt = optim.Adam{G:parameters(), lr = opt.lr}
local noise = 0.1
local seen = {epochs = 0}

local function disturb(real)
  return real + gan.randn(real:shape()) * noise
end

local function step(real)
  local loss = G(disturb(real)):mse_loss(real:narrow(2, 1, 2) * 2) * opt.weight
  G_opt:zero_grad()
  loss:backward()
  G_opt:step()
  return {loss = loss}
end

local run = gan.report.run{opt.out, options = opt, resume = opt.resume}
gan.train.loop{
  epochs = opt.epochs, steps = opt.steps, batches = batches, run = run, compile = opt.compile,
  step = step,
  after_epoch = function()
    seen.epochs = seen.epochs + 1
    run:save{G = G}
    return {seen = seen.epochs, noise = noise}
  end,
  state = {G = G, G_opt = G_opt, seen = seen},
}
