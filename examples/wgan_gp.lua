-- A Wasserstein GAN with gradient penalty (Gulrajani et al. 2017): instead of clipping its weights,
-- the critic pays for every slope that is not 1 between real and generated images. Convolutional;
-- the critic has no batch normalisation, which would mix the slopes of a batch.
--
--   gan-lua examples/wgan_gp.lua --epochs 20 --out runs/wgan_gp

local gan = require "gan"
local nn, optim, loss = gan.nn, gan.optim, gan.loss

local opt = gan.opts{
  "Trains a WGAN with gradient penalty; leaves pictures, metrics.jsonl and weights.",
  {"epochs", 20, "passes over the training images"},
  {"data", "fashion_mnist", "what to learn", choices = {"fashion_mnist", "mnist"}},
  {"batch_size", 64, "images in a batch"},
  {"lr", 1e-4, "learning rate of both optimisers"},
  {"penalty", 10.0, "weight of the gradient penalty"},
  {"d_steps", 5, "updates of the critic for one of the generator"},
  {"code", 64, "random numbers from which an image is decoded"},
  {"width", 32, "channels of the widest images"},
  {"images", 60000, "use only the first so many images"},
  {"write", 0, "after every epoch, write so many generated images to a file"},
  run = "runs/wgan_gp",
}
if not opt then return end
gan.manual_seed(opt.seed)

local data = assert(gan.data[opt.data]{split = "train"})
local batches = gan.adversarial.rounds(gan.data.batches{
  data.images:slice(1, 1, opt.images), batch_size = opt.batch_size, shuffle = true,
  drop_last = true, range = {-1, 1},
}, opt.d_steps)

local w = opt.width
local G = nn.Sequential{ name = "G",
  nn.Linear{opt.code, 4 * w * 7 * 7}, nn.Unflatten{2, {4 * w, 7, 7}},
  nn.BatchNorm2d{4 * w}, nn.ReLU{},
  nn.ConvTranspose2d{4 * w, 2 * w, kernel_size = 4, stride = 2, padding = 1}, -- 14 x 14
  nn.BatchNorm2d{2 * w}, nn.ReLU{},
  nn.ConvTranspose2d{2 * w, 1, kernel_size = 4, stride = 2, padding = 1},     -- 28 x 28
  nn.Tanh{},
}
local critic = nn.Sequential{ name = "D",
  nn.Conv2d{1, w, kernel_size = 5, stride = 2, padding = 2}, nn.LeakyReLU{0.2},         -- 14 x 14
  nn.Conv2d{w, 2 * w, kernel_size = 5, stride = 2, padding = 2}, nn.LeakyReLU{0.2},     -- 7 x 7
  nn.Conv2d{2 * w, 4 * w, kernel_size = 5, stride = 2, padding = 2}, nn.LeakyReLU{0.2}, -- 4 x 4
  nn.Flatten{}, nn.Linear{4 * w * 4 * 4, 1},
}
local G_params = G:parameters()
local G_opt = optim.Adam{G_params, lr = opt.lr, betas = {0, 0.9}}
local critic_opt = optim.Adam{critic, lr = opt.lr, betas = {0, 0.9}}
local average = optim.EMA{G, decay = 0.999, warmup = true}
local wasserstein = loss.adversarial.wasserstein

local function step(...)
  local distance, penalty
  for _, real in ipairs{...} do
    local fake = gan.no_grad(G, gan.randn(#real, opt.code))
    distance = -wasserstein.discriminator(critic(real), critic(fake))
    penalty = loss.gradient_penalty(critic, real, fake)
    critic_opt:zero_grad()
    local total = penalty * opt.penalty - distance
    total:backward()
    critic_opt:step()
  end
  G_opt:zero_grad()
  local G_loss = wasserstein.generator(critic(G(gan.randn(opt.batch_size, opt.code))))
  G_loss:backward{inputs = G_params}
  G_opt:step()
  average:update()
  return {distance = distance, penalty = penalty, G = G_loss}
end

local run = gan.report.run{opt.out, options = opt, resume = opt.resume}
local fixed_codes = gan.randn(64, opt.code) -- the same for every picture

local function draw(epoch)
  average:use(function() -- batch statistics: those of the running average are of other weights
    run:image(("samples-%03d"):format(epoch), gan.no_grad(G, fixed_codes), {range = {-1, 1}})
    run:save{G = G, D = critic}
    run:generated(opt.write, function(n) return G(gan.randn(n, opt.code)) end,
      {range = {-1, 1}, name = ("generated-%03d"):format(epoch)})
  end)
end

gan.train.loop{
  epochs = opt.epochs, steps = opt.steps, minutes = opt.minutes, batches = batches, run = run,
  step = step, compile = opt.compile, after_epoch = draw,
  doctor = gan.doctor{G, critic, codes = opt.code},
  state = {G = G, D = critic, G_opt = G_opt, D_opt = critic_opt, average = average},
}
print("pictures, metrics and weights are in " .. opt.out)
