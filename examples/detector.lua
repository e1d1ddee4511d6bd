-- "Does it belong to the repository?" A discriminator learns to tell the data from what a generator
-- makes, and so knows something about everything that is not the data. Here it has to tell digits
-- from clothes that it has never seen (--data mnist), or clean signals from noisy ones
-- (--data signals). The score of an auto-encoder, how badly it reproduces an input, is shown beside
-- it: both as area under the ROC curve, where 0.5 is guessing and 1 is without error.
--
--   gan-lua examples/detector.lua --data mnist --out runs/detector

local gan = require "gan"
local nn, optim, loss = gan.nn, gan.optim, gan.loss

local opt = gan.opts{
  "Trains a discriminator and an auto-encoder as detectors; prints the area under the ROC curves.",
  {"epochs", 10, "passes over the training data"},
  {"data", "mnist", "what belongs", choices = {"mnist", "fashion_mnist", "signals"}},
  {"batch_size", 64, "samples in a batch"},
  {"lr", 2e-4, "learning rate of all optimisers in the beginning"},
  {"r1", 1.0, "weight of the penalty of D's slope at real samples"},
  {"noise", 0.1, "signals: standard deviation of the noise of those that do not belong"},
  {"code", 32, "random numbers that make a sample; width of the auto-encoder's code"},
  {"images", 60000, "use only the first so many samples"},
  run = "runs/detector",
}
if not opt then return end
gan.manual_seed(opt.seed)

--- Sums of two sines of random pitch, height and phase, 128 samples each.
local function signals(n)
  local t, sum = gan.arange(128):unsqueeze(1) * (2 * math.pi / 128), gan.zeros(n, 128)
  for _ = 1, 2 do
    sum = sum + (t * (gan.rand(n, 1) * 6 + 1) + gan.rand(n, 1) * (2 * math.pi)):sin()
      * (gan.rand(n, 1) * 0.4 + 0.1)
  end
  return sum
end

-- data to learn from; unseen data that belong; data that do not
local train, inside, outside
if opt.data == "signals" then
  train, inside, outside = signals(math.min(opt.images, 20000)), signals(2000), signals(2000)
  outside = (outside + gan.randn_like(outside) * opt.noise):clamp{min = -1, max = 1}
else
  local other = opt.data == "mnist" and "fashion_mnist" or "mnist"
  local function rows(name, split, n)
    local x = assert(gan.data[name]{split = split}).images
    return (x:slice(1, 1, n):to(gan.config.real) * (2 / 255) - 1):flatten(2)
  end
  train = rows(opt.data, "train", opt.images)
  inside, outside = rows(opt.data, "test", 2000), rows(other, "test", 2000)
end
local size = train:size(2)
local batches = gan.data.batches{train, batch_size = opt.batch_size, shuffle = true,
  drop_last = true}

local G = nn.Sequential{ name = "G",
  nn.Linear{opt.code, 256}, nn.BatchNorm1d{256}, nn.ReLU{},
  nn.Linear{256, 512}, nn.BatchNorm1d{512}, nn.ReLU{},
  nn.Linear{512, size}, nn.Tanh{},
}
local D = nn.Sequential{ name = "D",
  nn.Linear{size, 512}, nn.LeakyReLU{0.2}, nn.Linear{512, 256}, nn.LeakyReLU{0.2},
  nn.Linear{256, 1},
}
local A = nn.Sequential{ name = "A",
  nn.Linear{size, 256}, nn.ReLU{}, nn.Linear{256, opt.code},
  nn.Linear{opt.code, 256}, nn.ReLU{}, nn.Linear{256, size}, nn.Tanh{},
}
local G_params = G:parameters()
local G_opt = optim.Adam{G_params, lr = opt.lr, betas = {0.5, 0.999}}
local D_opt = optim.Adam{D, lr = opt.lr, betas = {0.5, 0.999}}
local A_opt = optim.Adam{A, lr = 5 * opt.lr}
local rates = {}
for i, rule in ipairs{G_opt, D_opt, A_opt} do
  rates[i] = optim.CosineLR{rule, steps = opt.epochs, floor = 0.02}
end

--- What is far from every sample belongs no more than what the generator makes: noise, and samples
-- with noise, are shown to D beside generated ones.
local function strange(real, fake)
  local half = #real // 2
  local noisy = real:slice(1, 1, half) + gan.randn(half, size) * gan.rand(half, 1)
  return gan.cat({fake:slice(1, 1, #real - half), noisy}, {dim = 1})
end

local function step(real)
  local fake = G(gan.randn(#real, opt.code))
  local D_loss = loss.gan_discriminator_loss_logits(D(real), D(strange(real, fake:detach())))
  local total = D_loss + loss.r1_penalty(D, real) * (opt.r1 / 2)
  D_opt:zero_grad()
  total:backward()
  D_opt:step()

  G_opt:zero_grad()
  local G_loss = loss.gan_generator_loss_logits(D(fake))
  G_loss:backward{inputs = G_params}
  G_opt:step()

  A_opt:zero_grad()
  local A_loss = loss.squared_error(A(real), real)
  A_loss:backward()
  A_opt:step()
  return {D = D_loss, G = G_loss, A = A_loss}
end

local run = gan.report.run{opt.out, options = opt, resume = opt.resume}

local function auroc(score)
  return gan.metrics.auroc(gan.no_grad(score, inside), gan.no_grad(score, outside))
end

local function error_of_A(x)
  return -(A(x) - x):square():sum(2)
end

local function evaluate(_, _, part)
  for _, rate in ipairs(rates) do rate:reach(part) end
  run:save{G = G, D = D, A = A}
  return {auroc_D = auroc(D), auroc_A = auroc(error_of_A)}
end

gan.train.loop{
  epochs = opt.epochs, steps = opt.steps, minutes = opt.minutes, batches = batches, run = run,
  step = step, compile = opt.compile, after_epoch = evaluate,
  doctor = gan.doctor{G, D, codes = opt.code},
  state = {G = G, D = D, A = A, G_opt = G_opt, D_opt = D_opt, A_opt = A_opt,
    rates = rates},
}
local result = {discriminator = auroc(D), autoencoder = auroc(error_of_A)}
run:result(result)
print(("area under the ROC curve: discriminator %.3f, auto-encoder %.3f"):format(
  result.discriminator, result.autoencoder))
