-- A vector-quantised auto-encoder (van den Oord et al. 2017): the code is a map of 7 x 7 indices
-- into a table of learnt vectors, each the nearest to what the encoder says at that place. An image
-- is 49 small numbers, and its size in bits is known.
--
--   gan-lua examples/vqvae.lua --vectors 256 --out runs/vqvae

local gan = require "gan"
local nn, optim, loss = gan.nn, gan.optim, gan.loss

local opt = gan.opts{
  "Trains an auto-encoder with a table of code vectors.",
  {"vectors", 256, "in the table"},
  {"width", 32, "of a vector"},
  {"beta", 0.25, "weight of keeping the encoder near its vectors"},
  {"epochs", 10, "passes over the training images"},
  {"batch_size", 128, "images in a batch"},
  {"lr", 1e-3, "learning rate"},
  {"data", "fashion_mnist", "what to learn", choices = {"fashion_mnist", "mnist"}},
  {"images", 60000, "use only the first so many images"},
  run = "runs/vqvae",
}
if not opt then return end
gan.manual_seed(opt.seed)

local train = assert(gan.data[opt.data]{split = "train"})
local test = assert(gan.data[opt.data]{split = "test"})
train.images = train.images:slice(1, 1, opt.images)
local batches = gan.data.batches{train.images, batch_size = opt.batch_size, shuffle = true}

local encoder = nn.Sequential{ name = "encoder",
  nn.Conv2d{1, 32, kernel_size = 4, stride = 2, padding = 1}, nn.ReLU{},
  nn.Conv2d{32, 64, kernel_size = 4, stride = 2, padding = 1}, nn.ReLU{},
  nn.Conv2d{64, opt.width, kernel_size = 1},                              -- 7 x 7
}
local quantizer = nn.VectorQuantizer{opt.vectors, opt.width, beta = opt.beta}
local decoder = nn.Sequential{ name = "decoder",
  nn.ConvTranspose2d{opt.width, 64, kernel_size = 4, stride = 2, padding = 1}, nn.ReLU{},
  nn.ConvTranspose2d{64, 32, kernel_size = 4, stride = 2, padding = 1}, nn.ReLU{},
  nn.Conv2d{32, 1, kernel_size = 3, padding = 1}, nn.Sigmoid{},
}
local adam = optim.Adam{encoder, quantizer, decoder, lr = opt.lr}
local schedule = optim.CosineLR{adam, steps = opt.epochs, floor = 0.02}

-- the first vectors are codes of images
local first = train.images:slice(1, 1, math.min(500, #train.images)):to(gan.config.real) / 255
quantizer:revive(gan.no_grad(encoder, first))

local function step(images)
  local code, distance = quantizer(encoder(images)) -- the gradient passes through unchanged
  local error = loss.squared_error(decoder(code), images)
  adam:zero_grad()
  ;(error + distance * 784):backward()
  adam:step()
  return {error = error, distance = distance}
end

local run = gan.report.run{opt.out, options = opt, resume = opt.resume}

-- the error of the test images, and the perplexity of the indices: how many vectors are in use
local function test_error()
  local sum, counts = 0, gan.zeros(opt.vectors)
  for images in gan.data.batches{test.images, batch_size = 500}:epoch() do
    gan.scope(gan.no_grad, function()
      local code, _, index = quantizer(encoder(images))
      sum = sum + loss.squared_error(decoder(code), images, {reduction = "sum"}):item()
      gan.add_(counts, gan.one_hot(index, opt.vectors):sum{1})
    end)
  end
  local p = counts / counts:sum()
  return sum / #test.images, math.exp(-(p * (p + 1e-10):log()):sum():item())
end

local samples = test.images:slice(1, 1, 10):to(gan.config.real) / 255

local function after_epoch(epoch, _, part)
  local restored = gan.no_grad(function() return decoder((quantizer(encoder(samples)))) end)
  run:image(("restored-%03d"):format(epoch), gan.cat({samples, restored}, {dim = 1}),
    {columns = 10})
  run:save{encoder = encoder, quantizer = quantizer, decoder = decoder}
  schedule:reach(part)
  quantizer:revive(gan.no_grad(encoder, first)) -- vectors that no code is near begin anew
  local error, perplexity = test_error()
  return {test = error, vectors = perplexity}
end

gan.train.loop{
  epochs = opt.epochs, steps = opt.steps, minutes = opt.minutes, batches = batches, run = run,
  step = step, compile = opt.compile, after_epoch = after_epoch,
  state = {encoder = encoder, quantizer = quantizer, decoder = decoder, adam = adam,
    schedule = schedule},
}

local bits = 49 * math.log(opt.vectors, 2)
local bytes = math.max(1, math.ceil(bits / 8)) -- principal components at one byte each
local error, perplexity = test_error()
local result = {error = error, vectors = perplexity, bits = bits,
  pca = gan.metrics.pca(train.images, math.min(bytes, 100)):error(test.images)}
run:result(result)
print(("%.0f bits an image, a test image's error is %.2f with %.0f of %d vectors used; %d principal"
  .. " components, not yet rounded to bytes: %.2f"):format(bits, error, perplexity, opt.vectors,
  math.min(bytes, 100), result.pca))
print("pictures, metrics and weights are in " .. opt.out)
