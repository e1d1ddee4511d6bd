-- A generative adversarial network that learns to draw clothing (Fashion-MNIST).
--
-- Two nets play against each other. The generator decodes random codes into images; the
-- discriminator says with which probability p an image comes from the data. The discriminator is
-- trained to be right, the generator to be taken for real.
--
--   gan-lua examples/gan.lua --epochs 25 --out runs/gan

local gan = require "gan"
local nn, optim, loss = gan.nn, gan.optim, gan.loss

local opt = gan.opts{
  "Trains a GAN on Fashion-MNIST; leaves pictures, metrics.jsonl and weights in a run folder.",
  {"epochs", 25, "passes over the training images"},
  {"batch_size", 128, "images in a batch"},
  {"lr", 2e-4, "learning rate of the generator, half of the discriminator's"},
  {"code", 64, "random numbers from which an image is decoded"},
  {"images", 60000, "use only the first so many images"},
  {"write", 0, "in the end, write so many generated images to generated.npz"},
  run = "runs/gan",
}
if not opt then return end
gan.manual_seed(opt.seed)

local data = assert(gan.data.fashion_mnist{split = "train"})
local batches = gan.data.batches{
  data.images:slice(1, 1, opt.images), batch_size = opt.batch_size, shuffle = true,
  drop_last = true, range = {-1, 1},
}

-- the generator: code -> image, with values in (-1, 1)
local G = nn.Sequential{ name = "G",
  nn.Linear{opt.code, 256}, nn.BatchNorm1d{256}, nn.LeakyReLU{0.2},
  nn.Linear{256, 512}, nn.BatchNorm1d{512}, nn.LeakyReLU{0.2},
  nn.Linear{512, 1024}, nn.BatchNorm1d{1024}, nn.LeakyReLU{0.2},
  nn.Linear{1024, 784}, nn.Tanh{},
  nn.Unflatten{2, {1, 28, 28}},
}

-- the discriminator: image -> probability that it is real
local D = nn.Sequential{ name = "D",
  nn.Flatten{},
  nn.Linear{784, 512}, nn.LeakyReLU{0.2}, nn.Dropout{0.3},
  nn.Linear{512, 256}, nn.LeakyReLU{0.2}, nn.Dropout{0.3},
  nn.Linear{256, 1}, nn.Sigmoid{},
}

local G_params, D_params = G:parameters(), D:parameters()
local G_opt = optim.Adam{G_params, lr = opt.lr, betas = {0.5, 0.999}}
local D_opt = optim.Adam{D_params, lr = 2 * opt.lr, betas = {0.5, 0.999}}

-- the mean of the generator's weights over its last thousand steps: its images have less noise
local average = optim.EMA{G, decay = 0.999, warmup = true}

-- one iteration on a batch of real images
local function step(real)
  -- 1. random codes, decoded into images
  local codes = gan.randn(#real, opt.code)
  local fake = G(codes)

  -- 2. the discriminator looks at them
  local p = D(fake)

  -- 3. losses of both; the generator is updated
  local D_loss_fake = loss.gan_discriminator_loss(nil, p) -- -ln(1 - p): they are not real
  local G_loss = loss.gan_generator_loss(p)               -- -ln(p): take them for real
  G_opt:zero_grad()
  G_loss:backward{inputs = G_params, retain_graph = true}
  G_opt:step()
  average:update()
  D_opt:zero_grad()
  D_loss_fake:backward{inputs = D_params}

  -- 4. real images: their p should be 1; the discriminator is updated for both kinds at once
  local D_loss_real = loss.gan_discriminator_loss(D(real), nil) -- -ln(p)
  D_loss_real:backward()
  D_opt:step()

  return {D = D_loss_fake + D_loss_real, G = G_loss}
end

local run = gan.report.run{opt.out, options = opt, resume = opt.resume}
local fixed_codes = gan.randn(100, opt.code) -- the same for every picture

local function draw(epoch)
  average:use(function()
    local images = gan.no_grad(G, fixed_codes)
    run:image(("samples-%03d"):format(epoch), images, {columns = 10, range = {-1, 1}})
    run:save{G = G, D = D}
  end)
end

gan.train.loop{
  epochs = opt.epochs, steps = opt.steps, minutes = opt.minutes, batches = batches, run = run,
  step = step, compile = opt.compile, after_epoch = draw,
  doctor = gan.doctor{G, D, codes = opt.code},
  state = {G = G, D = D, G_opt = G_opt, D_opt = D_opt, average = average},
}
average:use(run.generated, run, opt.write, function(n) return G(gan.randn(n, opt.code)) end,
  {range = {-1, 1}})
print("pictures, metrics and weights are in " .. opt.out)
