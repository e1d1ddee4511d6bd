-- A variational auto-encoder (Kingma and Welling 2014): the encoder gives a mean and a variance for
-- every number of the code, the decoder restores the image from a random draw of them. New images
-- come from codes drawn from N(0, 1).
--
--   gan-lua examples/vae.lua --code 20 --out runs/vae

local gan = require "gan"
local nn, optim, loss = gan.nn, gan.optim, gan.loss

local opt = gan.opts{
  "Trains a variational auto-encoder on Fashion-MNIST.",
  {"epochs", 10, "passes over the training images"},
  {"batch_size", 128, "images in a batch"},
  {"lr", 1e-3, "learning rate"},
  {"code", 20, "numbers that describe an image"},
  {"seed", 1, "start of the random numbers"},
  {"images", 60000, "use only the first so many images"},
  {"steps", 0, "stop after so many steps (0: do not)"},
  {"out", "runs/vae", "run folder"},
}
if not opt then return end
gan.manual_seed(opt.seed)

local train = assert(gan.data.fashion_mnist{split = "train"})
local test = assert(gan.data.fashion_mnist{split = "test"})
local batches = gan.data.batches{
  train.images:slice(1, 1, opt.images), batch_size = opt.batch_size, shuffle = true,
}
local test_batches = gan.data.batches{test.images, batch_size = 500}

local encoder = nn.Sequential{ name = "encoder",
  nn.Flatten{},
  nn.Linear{784, 400}, nn.ReLU{},
  nn.Linear{400, 2 * opt.code}, -- means, and logarithms of variances
}
local decoder = nn.Sequential{ name = "decoder",
  nn.Linear{opt.code, 400}, nn.ReLU{},
  nn.Linear{400, 784}, -- logits: the brightness of a pixel is their sigmoid
  nn.Unflatten{2, {1, 28, 28}},
}
local adam = optim.Adam{encoder, decoder, lr = opt.lr}

-- The two parts of a batch's loss: how badly the images are restored, and how far the codes are
-- from N(0, 1). Their sum bounds -ln p(image) from above.
local function bound(images)
  local mean, logvar = encoder(images):chunk(2, 2)
  local code = mean + (logvar * 0.5):exp() * gan.randn(mean:shape())
  return loss.cross_entropy_logits(decoder(code), images), loss.kl_gaussian(mean, logvar)
end

local function step(images)
  local restoration, kl = bound(images)
  local total = restoration + kl
  adam:zero_grad()
  total:backward()
  adam:step()
  return {bound = total, kl = kl}
end

local function test_bound()
  local sum = 0
  for images in test_batches:epoch() do
    sum = sum + gan.scope(gan.no_grad, function()
      local restoration, kl = bound(images)
      return (restoration + kl):item() * #images
    end)
  end
  return sum / #test.images
end

local run = gan.report.run{opt.out, options = opt}
local fixed_codes = gan.randn(100, opt.code) -- the same for every picture

local function after_epoch(epoch)
  local images = gan.no_grad(decoder, fixed_codes):sigmoid()
  local path = run:path(("samples-%03d.png"):format(epoch))
  assert(gan.image.save(path, images, {columns = 10}))
  run:save{encoder = encoder, decoder = decoder}
  return {test = test_bound()}
end

gan.train.loop{
  epochs = opt.epochs, steps = opt.steps, batches = batches, run = run,
  step = step, after_epoch = after_epoch,
}
print("pictures, metrics and weights are in " .. opt.out)
