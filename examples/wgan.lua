-- The Wasserstein GAN of Arjovsky, Chintala and Bottou 2017, algorithm 1 to the letter: a critic
-- without a sigmoid, whose score itself is the loss; five updates of the critic for one of the
-- generator; RMSprop, which has no momentum; the critic's weights clipped to [-c, c] after each
-- update. The generator needs no batch normalisation.
--
-- Minus the critic's loss, the column `distance`, estimates how far the samples are from the data.
--
--   gan-lua examples/wgan.lua --epochs 25 --out runs/wgan

local gan = require "gan"
local nn, optim, loss = gan.nn, gan.optim, gan.loss

local opt = gan.opts{
  "Trains a Wasserstein GAN with clipped weights; leaves pictures, metrics.jsonl and weights.",
  {"epochs", 25, "passes over the training images"},
  {"data", "fashion_mnist", "what to learn", choices = {"fashion_mnist", "mnist"}},
  {"batch_size", 64, "images in a batch"},
  {"lr", 5e-5, "learning rate of both optimisers"},
  {"clip", 0.01, "c: the critic's weights stay in [-c, c]"},
  {"d_steps", 5, "updates of the critic for one of the generator"},
  {"code", 64, "random numbers from which an image is decoded"},
  {"images", 60000, "use only the first so many images"},
  {"write", 0, "after every epoch, write so many generated images to a file"},
  run = "runs/wgan",
}
if not opt then return end
gan.manual_seed(opt.seed)

local data = assert(gan.data[opt.data]{split = "train"})
local batches = gan.adversarial.rounds(gan.data.batches{
  data.images:slice(1, 1, opt.images), batch_size = opt.batch_size, shuffle = true,
  drop_last = true, range = {-1, 1},
}, opt.d_steps)

local G = nn.Sequential{ name = "G",
  nn.Linear{opt.code, 512}, nn.ReLU{},
  nn.Linear{512, 512}, nn.ReLU{},
  nn.Linear{512, 784}, nn.Tanh{},
  nn.Unflatten{2, {1, 28, 28}},
}
local critic = nn.Sequential{ name = "D",
  nn.Flatten{},
  nn.Linear{784, 512}, nn.LeakyReLU{0.2},
  nn.Linear{512, 512}, nn.LeakyReLU{0.2},
  nn.Linear{512, 1}, -- a score
}
local G_params = G:parameters()
local G_opt = optim.RMSprop{G_params, lr = opt.lr}
local critic_opt = optim.RMSprop{critic, lr = opt.lr}
local clip = gan.adversarial.clipping{critic_opt, c = opt.clip}
local wasserstein = loss.adversarial.wasserstein

local function step(...)
  -- the critic is trained for several rounds, with the generator fixed
  local distance
  for _, real in ipairs{...} do
    local fake = gan.no_grad(G, gan.randn(#real, opt.code))
    critic_opt:zero_grad()
    local critic_loss = wasserstein.discriminator(critic(real), critic(fake))
    critic_loss:backward()
    critic_opt:step()
    clip()
    distance = -critic_loss
  end
  -- then the generator for one
  G_opt:zero_grad()
  local G_loss = wasserstein.generator(critic(G(gan.randn(opt.batch_size, opt.code))))
  G_loss:backward{inputs = G_params}
  G_opt:step()
  return {distance = distance, G = G_loss}
end

local run = gan.report.run{opt.out, options = opt, resume = opt.resume}
local fixed_codes = gan.randn(64, opt.code) -- the same for every picture

local function draw(epoch)
  run:image(("samples-%03d"):format(epoch), gan.no_grad(G, fixed_codes), {range = {-1, 1}})
  run:save{G = G, D = critic}
  run:generated(opt.write, function(n) return G(gan.randn(n, opt.code)) end,
    {range = {-1, 1}, name = ("generated-%03d"):format(epoch)})
end

gan.train.loop{
  epochs = opt.epochs, steps = opt.steps, minutes = opt.minutes, batches = batches, run = run,
  step = step, compile = opt.compile, after_epoch = draw,
  doctor = gan.doctor{G, critic, codes = opt.code},
  state = {G = G, D = critic, G_opt = G_opt, D_opt = critic_opt},
}
print("pictures, metrics and weights are in " .. opt.out)
