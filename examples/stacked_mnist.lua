-- A thousand modes: three digits, drawn at random, are the colours of one image (Metz et al. 2017;
-- Srivastava et al. 2017). A classifier of single digits, trained here first, reads each colour of
-- the samples: how many of the 1000 numbers appear, and how evenly?
--
-- With --pack 2 the discriminator judges two images at a time; --unroll 5 lets the generator look
-- five updates of the discriminator ahead; --d-width 16 makes the discriminator small.
--
--   gan-lua examples/stacked_mnist.lua --epochs 10 --out runs/stacked

local gan = require "gan"
local nn, optim, loss = gan.nn, gan.optim, gan.loss

local opt = gan.opts{
  "Trains a DCGAN on stacked MNIST and counts the modes of its samples.",
  {"epochs", 10, "of 1000 steps each"},
  {"batch_size", 64, "images in a batch"},
  {"lr", 2e-4, "learning rate of both optimisers"},
  {"code", 100, "random numbers from which an image is decoded"},
  {"width", 64, "channels of the generator's widest images"},
  {"d_width", 64, "the same of the discriminator"},
  {"pack", 1, "images that the discriminator judges together"},
  {"unroll", 0, "updates of the discriminator that the generator looks ahead"},
  {"r1", 0.0, "weight of the penalty of D's slope at real images"},
  {"samples", 26000, "generated images whose modes are counted"},
  {"images", 60000, "use only the first so many digits"},
  run = "runs/stacked",
}
if not opt then return end
gan.manual_seed(opt.seed)

local data = assert(gan.data.mnist{split = "train"})
local digits = data.images:slice(1, 1, opt.images)

-- ---- a classifier of digits ----
local C = gan.metrics.classifier{digits, data.labels:slice(1, 1, opt.images), hidden = 128,
  classes = 10}

--- The number from 1 to 1000 that a classifier reads in the three colours.
local function read(images)
  local label = gan.metrics.classify(C, images:reshape(-1, 1, 28, 28))
  local d = label:to(gan.config.real):reshape(-1, 3) - 1
  return ((d * gan.tensor{100, 10, 1}):sum(2) + 1):to "int64"
end

-- ---- the GAN ----
local w, v = opt.width, opt.d_width
local G = nn.Sequential{ name = "G",
  nn.Linear{opt.code, 2 * w * 7 * 7}, nn.Unflatten{2, {2 * w, 7, 7}},
  nn.BatchNorm2d{2 * w}, nn.ReLU{},
  nn.ConvTranspose2d{2 * w, w, kernel_size = 4, stride = 2, padding = 1}, -- 14 x 14
  nn.BatchNorm2d{w}, nn.ReLU{},
  nn.ConvTranspose2d{w, 3, kernel_size = 4, stride = 2, padding = 1}, nn.Tanh{}, -- 28 x 28
}
local D = nn.Sequential{ name = "D",
  nn.Conv2d{3 * opt.pack, v, kernel_size = 4, stride = 2, padding = 1}, nn.LeakyReLU{0.2},
  nn.Conv2d{v, 2 * v, kernel_size = 4, stride = 2, padding = 1}, nn.LeakyReLU{0.2},
  nn.Conv2d{2 * v, 4 * v, kernel_size = 3, stride = 2, padding = 1}, nn.LeakyReLU{0.2}, -- 4 x 4
  nn.Flatten{}, nn.Linear{4 * v * 4 * 4, 1},
}
local G_params = G:parameters()
local G_opt = optim.Adam{G_params, lr = opt.lr, betas = {0.5, 0.999}}
local D_opt = optim.Adam{D, lr = opt.lr, betas = {0.5, 0.999}}
local objective = loss.adversarial.non_saturating

local function judge(x)
  return D(gan.adversarial.pack(x, opt.pack))
end

local function G_loss_of(real, fake)
  if opt.unroll == 0 then
    return objective.generator(judge(fake))
  end
  return gan.adversarial.unroll{D, steps = opt.unroll, lr = opt.lr, rule = "adam",
    loss = function() return objective.discriminator(judge(real), judge(fake)) end,
    generator = function() return objective.generator(judge(fake)) end}
end

local function step(real)
  local fake = G(gan.randn(#real, opt.code))
  local D_loss = objective.discriminator(judge(real), judge(fake:detach()))
  local total = opt.r1 > 0 and D_loss + loss.r1_penalty(judge, real) * (opt.r1 / 2) or D_loss
  D_opt:zero_grad()
  total:backward()
  D_opt:step()

  G_opt:zero_grad()
  local G_loss = G_loss_of(real, fake)
  G_loss:backward{inputs = G_params}
  G_opt:step()
  return {D = D_loss, G = G_loss}
end

local place = {step = 0} -- data without end: a thousand batches are an epoch
local function batches()
  place.step = place.step + 1
  if place.step % 1001 == 0 then return nil end
  local x = digits:index_select(gan.randint(3 * opt.batch_size, {hi = #digits}))
  return (x:to(gan.config.real) * (2 / 255) - 1):reshape(opt.batch_size, 3, 28, 28)
end

local run = gan.report.run{opt.out, options = opt, resume = opt.resume}
local latest = {modes = 0, kl = math.huge}
local fixed_codes = gan.randn(64, opt.code)

local function count(epoch)
  G:eval()
  run:image(("samples-%03d"):format(epoch), gan.no_grad(G, fixed_codes), {range = {-1, 1}})
  local labels = {}
  for first = 1, opt.samples, 1000 do
    local n = math.min(1000, opt.samples - first + 1)
    labels[#labels + 1] = gan.scope(function()
      return read(gan.no_grad(G, gan.randn(n, opt.code)))
    end)
  end
  G:train()
  run:save{G = G, D = D, C = C}
  local modes = gan.metrics.label_modes(gan.cat(labels), {classes = 1000})
  latest.modes, latest.kl = modes.modes, modes.kl
  return latest
end

gan.train.loop{
  epochs = opt.epochs, steps = opt.steps, minutes = opt.minutes, batches = batches, run = run,
  step = step, compile = opt.compile, after_epoch = count,
  doctor = gan.doctor{G, D, codes = opt.code, score = judge},
  state = {G = G, D = D, G_opt = G_opt, D_opt = D_opt, C = C, place = place, latest = latest},
}
run:result(latest)
print(("%d of 1000 modes, KL divergence %.3f"):format(latest.modes, latest.kl))
print("pictures, metrics and weights are in " .. opt.out)
