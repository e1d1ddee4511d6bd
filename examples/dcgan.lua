-- A deep convolutional GAN (Radford, Metz and Chintala 2016): strided convolutions in the
-- discriminator, transposed ones in the generator, batch normalisation in both. The learning rates
-- fall in the course of training, and the pictures are those of the generator's averaged weights.
--
--   gan-lua examples/dcgan.lua --epochs 5 --out runs/dcgan

local gan = require "gan"
local nn, optim, loss = gan.nn, gan.optim, gan.loss

local opt = gan.opts{
  "Trains a DCGAN; leaves pictures, metrics.jsonl and weights in a run folder.",
  {"epochs", 5, "passes over the training images"},
  {"data", "fashion_mnist", "what to learn", choices = {"fashion_mnist", "mnist"}},
  {"batch_size", 64, "images in a batch"},
  {"lr", 2e-4, "learning rate of both optimisers in the beginning"},
  {"code", 100, "random numbers from which an image is decoded"},
  {"width", 64, "channels of the widest images; halve it for a quick look"},
  {"images", 60000, "use only the first so many images"},
  {"write", 0, "in the end, write so many generated images to generated.npz"},
  run = "runs/dcgan",
}
if not opt then return end
gan.manual_seed(opt.seed)

local data = assert(gan.data[opt.data]{split = "train"})
local batches = gan.data.batches{
  data.images:slice(1, 1, opt.images), batch_size = opt.batch_size, shuffle = true,
  drop_last = true, range = {-1, 1},
}

local w = opt.width
local G = nn.Sequential{ name = "G",
  nn.Linear{opt.code, 2 * w * 7 * 7}, nn.Unflatten{2, {2 * w, 7, 7}},
  nn.BatchNorm2d{2 * w}, nn.ReLU{},
  nn.ConvTranspose2d{2 * w, w, kernel_size = 4, stride = 2, padding = 1, bias = false}, -- 14 x 14
  nn.BatchNorm2d{w}, nn.ReLU{},
  nn.ConvTranspose2d{w, 1, kernel_size = 4, stride = 2, padding = 1}, nn.Tanh{},        -- 28 x 28
}
local D = nn.Sequential{ name = "D",
  nn.Conv2d{1, w, kernel_size = 4, stride = 2, padding = 1}, nn.LeakyReLU{0.2},         -- 14 x 14
  nn.Conv2d{w, 2 * w, kernel_size = 4, stride = 2, padding = 1, bias = false},          -- 7 x 7
  nn.BatchNorm2d{2 * w}, nn.LeakyReLU{0.2},
  nn.Flatten{}, nn.Linear{2 * w * 7 * 7, 1}, -- a logit: the probability is its sigmoid
}
nn.init.dcgan_(G)
nn.init.dcgan_(D)

local G_params, D_params = G:parameters(), D:parameters()
local G_opt = optim.Adam{G_params, lr = opt.lr, betas = {0.5, 0.999}}
local D_opt = optim.Adam{D_params, lr = opt.lr, betas = {0.5, 0.999}}
local G_rate = optim.CosineLR{G_opt, steps = opt.epochs, floor = 0.05}
local D_rate = optim.CosineLR{D_opt, steps = opt.epochs, floor = 0.05}
local average = optim.EMA{G, decay = 0.999, warmup = true}

local function step(real)
  local fake = G(gan.randn(#real, opt.code))

  -- the discriminator sees real images, then generated ones, which it must not change
  D_opt:zero_grad()
  local D_loss = loss.gan_discriminator_loss_logits(D(real), D(fake:detach()))
  D_loss:backward()
  D_opt:step()

  -- the generator is trained through the improved discriminator, which stays as it is
  G_opt:zero_grad()
  local G_loss = loss.gan_generator_loss_logits(D(fake))
  G_loss:backward{inputs = G_params}
  G_opt:step()
  average:update()

  return {D = D_loss, G = G_loss}
end

local run = gan.report.run{opt.out, options = opt, resume = opt.resume}
local fixed_codes = gan.randn(64, opt.code) -- the same for every picture

local function draw(epoch, _, part)
  average:use(function() -- normalised by the batch: running statistics are of other weights
    local images = gan.no_grad(G, fixed_codes)
    run:image(("samples-%03d"):format(epoch), images, {columns = 8, range = {-1, 1}})
    run:save{G = G, D = D}
  end)
  G_rate:reach(part)
  D_rate:reach(part)
end

gan.train.loop{
  epochs = opt.epochs, steps = opt.steps, minutes = opt.minutes, batches = batches, run = run,
  step = step, compile = opt.compile, after_epoch = draw,
  doctor = gan.doctor{G, D, codes = opt.code},
  state = {G = G, D = D, G_opt = G_opt, D_opt = D_opt, G_rate = G_rate, D_rate = D_rate,
    average = average},
}
average:use(run.generated, run, opt.write, function(n) return G(gan.randn(n, opt.code)) end,
  {range = {-1, 1}})
print("pictures, metrics and weights are in " .. opt.out)
