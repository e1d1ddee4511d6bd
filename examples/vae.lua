-- A variational auto-encoder (Kingma and Welling 2014): the encoder gives a mean and a variance for
-- every number of the code, the decoder restores the image from a random draw of them. New images
-- come from codes drawn from N(0, 1).
--
-- Steps beyond: --iwae K trains the importance-weighted bound of K draws (Burda et al. 2016),
-- --beta weighs the divergence, which disentangles the code at the cost of sharpness (Higgins et
-- al. 2017).
--
--   gan-lua examples/vae.lua --code 20 --out runs/vae
--   gan-lua examples/vae.lua --iwae 5 --out runs/iwae

local gan = require "gan"
local nn, optim, loss, vae = gan.nn, gan.optim, gan.loss, gan.vae

local opt = gan.opts{
  "Trains a variational auto-encoder.",
  {"epochs", 10, "passes over the training images"},
  {"batch_size", 128, "images in a batch"},
  {"lr", 1e-3, "learning rate; it falls to zero"},
  {"code", 20, "numbers that describe an image"},
  {"hidden", 400, "units of a hidden layer"},
  {"iwae", 1, "draws for each image: more make the bound tighter"},
  {"beta", 1.0, "weight of the divergence, with one draw"},
  {"binary", true, "pixels are black or white, drawn anew at each use with their brightness"},
  {"samples", 50, "draws for the likelihood of the test images at the end (published: 5000)"},
  {"data", "fashion_mnist", "what to learn", choices = {"fashion_mnist", "mnist"}},
  {"images", 60000, "use only the first so many images"},
  run = "runs/vae",
}
if not opt then return end
gan.manual_seed(opt.seed)

local train = assert(gan.data[opt.data]{split = "train"})
local test = assert(gan.data[opt.data]{split = "test"})
local batches = gan.data.batches{
  train.images:slice(1, 1, opt.images), batch_size = opt.batch_size, shuffle = true,
}

local h = opt.hidden
local encoder = nn.Sequential{ name = "encoder",
  nn.Flatten{},
  nn.Linear{784, h}, nn.Tanh{}, nn.Linear{h, h}, nn.Tanh{},
  nn.Linear{h, 2 * opt.code}, -- means, and logarithms of variances
}
local decoder = nn.Sequential{ name = "decoder",
  nn.Linear{opt.code, h}, nn.Tanh{}, nn.Linear{h, h}, nn.Tanh{},
  nn.Linear{h, 784}, -- logits: the brightness of a pixel is their sigmoid
}
local adam = optim.Adam{encoder, decoder, lr = opt.lr}
local schedule = optim.CosineLR{adam, steps = opt.epochs, floor = 0.002, warmup = 1}

local function encode(x) return encoder(x):chunk(2, 2) end

-- The two parts of a batch's loss: how badly the images are restored, and how far the codes are
-- from N(0, 1). Their sum bounds -ln p(image) from above.
local function bound(images)
  local mean, logvar = encode(images)
  local code = mean + (logvar * 0.5):exp() * gan.randn_like(mean)
  return loss.cross_entropy_logits(decoder(code), images:flatten(2)), loss.kl_gaussian(mean, logvar)
end

-- The bound of several draws: -ln 1/k sum_k p(x, z_k) / q(z_k | x)
local function weighted_bound(images)
  return vae.bound(vae.log_weights(encode, decoder, images, opt.iwae))
end

local function step(images)
  local x = opt.binary and gan.bernoulli(images) or images
  local total, kl
  if opt.iwae > 1 then
    total = weighted_bound(x)
  else
    total, kl = bound(x)
    total = total + kl * opt.beta
  end
  adam:zero_grad()
  total:backward()
  adam:step()
  return {bound = total, kl = kl}
end

-- estimates of -ln p of the test images: with one draw the bound, with many nearly the value
local function likelihood(samples, images)
  return vae.evaluate{
    encode = encode, decode = decoder, images = images, samples = samples,
    at = samples < 50 and {1} or {1, 5, 50},
    binarize = opt.binary,
  }
end

local run = gan.report.run{opt.out, options = opt, resume = opt.resume}
run:generator{decoder, codes = opt.code, activation = "sigmoid", sizes = {1, 28, 28}}
local fixed_codes = gan.randn(100, opt.code) -- the same for every picture

local function after_epoch(epoch, _, part)
  local images = gan.no_grad(decoder, fixed_codes):sigmoid():reshape(100, 1, 28, 28)
  if epoch % math.max(1, opt.epochs // 20) == 0 then
    run:image(("samples-%03d"):format(epoch), images, {columns = 10})
  end
  run:save{encoder = encoder, decoder = decoder}
  schedule:reach(part)
  return {test = likelihood(1, test.images)[1]}
end

gan.train.loop{
  epochs = opt.epochs, steps = opt.steps, minutes = opt.minutes, batches = batches, run = run,
  step = step, compile = opt.compile, after_epoch = after_epoch,
  state = {encoder = encoder, decoder = decoder, adam = adam, schedule = schedule},
}

-- beside it: independent pixels, each with its mean over the training images as brightness
local mean = train.images:slice(1, 1, opt.images):to(gan.config.real):mean{1}:flatten() / 255
local logits = (mean:clamp{min = 1e-3, max = 1 - 1e-3} / (1 - mean):clamp{min = 1e-3}):log()
local x = test.images:flatten(2):to(gan.config.real) / 255
x = opt.binary and gan.bernoulli(x) or x
local l = likelihood(opt.samples, test.images)
local result = {
  nll = l[opt.samples], bound = l[1], bound_5 = l[5], bound_50 = l[50], samples = opt.samples,
  independent = -vae.log_bernoulli(logits:expand(x:shape()), x):mean():item(),
}
run:result(result)
print(("-ln p of a test image: %.2f nats with %d draws, the bound of one is %.2f; with independent "
  .. "pixels %.2f"):format(result.nll, opt.samples, result.bound, result.independent))
print("pictures, metrics and weights are in " .. opt.out)
