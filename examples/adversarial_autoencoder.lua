-- An adversarial auto-encoder (Makhzani et al. 2015): in the place of the divergence of a
-- variational one, a discriminator looks at the codes. It learns to tell them from draws of N(0,
-- 1), and the encoder to be taken for N(0, 1): then decoded random draws are new images.
--
--   gan-lua examples/adversarial_autoencoder.lua --out runs/adversarial_autoencoder

local gan = require "gan"
local nn, optim, loss = gan.nn, gan.optim, gan.loss

local opt = gan.opts{
  "Trains an auto-encoder whose codes a discriminator takes for normal ones.",
  {"code", 8, "numbers that describe an image"},
  {"weight", 20.0, "weight of the encoder's adversarial loss beside the squared error"},
  {"epochs", 20, "passes over the training images"},
  {"batch_size", 128, "images in a batch"},
  {"lr", 1e-3, "learning rate"},
  {"data", "fashion_mnist", "what to learn", choices = {"fashion_mnist", "mnist"}},
  {"images", 60000, "use only the first so many images"},
  run = "runs/adversarial_autoencoder",
}
if not opt then return end
gan.manual_seed(opt.seed)

local train = assert(gan.data[opt.data]{split = "train"})
local test = assert(gan.data[opt.data]{split = "test"})
local batches = gan.data.batches{
  train.images:slice(1, 1, opt.images), batch_size = opt.batch_size, shuffle = true,
}

local encoder = nn.Sequential{ name = "encoder",
  nn.Flatten{}, nn.Linear{784, 1000}, nn.ReLU{}, nn.Linear{1000, 500}, nn.ReLU{},
  nn.Linear{500, opt.code},
}
local decoder = nn.Sequential{ name = "decoder",
  nn.Linear{opt.code, 500}, nn.ReLU{}, nn.Linear{500, 1000}, nn.ReLU{},
  nn.Linear{1000, 784}, nn.Sigmoid{},
}
local D = nn.Sequential{ name = "D", -- code -> logit of the probability that it is from N(0, 1)
  nn.Linear{opt.code, 300}, nn.LeakyReLU{0.2}, nn.Linear{300, 300}, nn.LeakyReLU{0.2},
  nn.Linear{300, 1},
}
local adam = optim.Adam{encoder, decoder, lr = opt.lr}
local schedule = optim.CosineLR{adam, steps = opt.epochs, floor = 0.02}
local D_adam = optim.Adam{D, lr = opt.lr / 2, betas = {0.5, 0.999}}

local function step(images)
  local code = encoder(images)

  -- the discriminator: real are draws, generated are codes
  local D_loss = loss.gan_discriminator_loss_logits(D(gan.randn_like(code)), D(code:detach()))
  D_adam:zero_grad()
  D_loss:backward()
  D_adam:step()

  -- the auto-encoder: restore the image, by a code that is taken for a draw
  local error = loss.squared_error(decoder(code), images:flatten(2))
  local adversarial = loss.gan_generator_loss_logits(D(code))
  adam:zero_grad()
  ;(error + adversarial * opt.weight):backward{inputs = adam:parameters()}
  adam:step()
  return {error = error, D = D_loss}
end

local run = gan.report.run{opt.out, options = opt, resume = opt.resume}
run:generator{decoder, codes = opt.code, sizes = {1, 28, 28}}
local fixed_codes = gan.randn(100, opt.code) -- the same for every picture
local clean = test.images:flatten(2):to(gan.config.real) / 255

local function after_epoch(epoch, _, part)
  run:image(("samples-%03d"):format(epoch), gan.no_grad(decoder, fixed_codes)
    :reshape(100, 1, 28, 28), {columns = 10})
  run:save{encoder = encoder, decoder = decoder, D = D}
  schedule:reach(part)
  local codes = gan.no_grad(encoder, clean)
  return {test = gan.metrics.summed_error(gan.no_grad(decoder, codes), clean)}
end

gan.train.loop{
  epochs = opt.epochs, steps = opt.steps, minutes = opt.minutes, batches = batches, run = run,
  step = step, compile = opt.compile, after_epoch = after_epoch,
  state = {encoder = encoder, decoder = decoder, D = D, adam = adam, D_adam = D_adam,
    schedule = schedule},
}

-- how far the codes are from N(0, 1), each direction for itself: exact for one dimension
local codes = gan.scope(gan.no_grad, encoder, clean)
local normal, worst = gan.randn_like(codes), 0
for i = 1, opt.code do
  worst = math.max(worst, gan.metrics.wasserstein_1d(codes:select(2, i), normal:select(2, i)))
end
local result = {
  error = gan.metrics.summed_error(gan.scope(gan.no_grad, decoder, codes), clean),
  pca = gan.metrics.pca(train.images, opt.code):error(test.images), distance = worst,
}
run:result(result)
print(("a test image's error is %.2f (%.2f with %d principal components); the distance "
  .. "of a code's numbers from N(0, 1) is at most %.3f"):format(result.error, result.pca, opt.code,
  result.distance))
print("pictures, metrics and weights are in " .. opt.out)
