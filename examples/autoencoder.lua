-- A dense auto-encoder: images are squeezed into a few numbers (the code) and restored from them.
--
--   gan-lua examples/autoencoder.lua --code 30 --out runs/autoencoder

local gan = require "gan"
local nn, optim, loss = gan.nn, gan.optim, gan.loss

local opt = gan.opts{
  "Trains a dense auto-encoder and compares it with principal components; leaves pictures, "
    .. "metrics.jsonl and weights in a run folder.",
  {"data", "fashion_mnist", "what to learn", choices = {"fashion_mnist", "mnist"}},
  {"epochs", 10, "passes over the training images"},
  {"batch_size", 128, "images in a batch"},
  {"lr", 1e-3, "learning rate"},
  {"code", 30, "numbers that remain of an image"},
  {"loss", "squared_error", "what is an error", choices = {"squared_error", "cross_entropy"}},
  {"seed", 1, "start of the random numbers"},
  {"images", 60000, "use only the first so many images"},
  {"steps", 0, "stop after so many steps (0: do not)"},
  {"out", "runs/autoencoder", "run folder"},
  {"compile", false, "record a step and replay it: faster, with the same results"},
  {"resume", false, "go on with the run in that folder, from its latest checkpoint"},
}
if not opt then return end
gan.manual_seed(opt.seed)

local train = assert(gan.data[opt.data]{split = "train"})
local test = assert(gan.data[opt.data]{split = "test"})
local batches = gan.data.batches{
  train.images:slice(1, 1, opt.images), batch_size = opt.batch_size, shuffle = true,
}
local test_batches = gan.data.batches{test.images, batch_size = 500}

local encoder = nn.Sequential{
  nn.Flatten{},
  nn.Linear{784, 1000}, nn.ReLU{},
  nn.Linear{1000, 500}, nn.ReLU{},
  nn.Linear{500, 250}, nn.ReLU{},
  nn.Linear{250, opt.code}, -- linear: a code may be any number
}
local decoder = nn.Sequential{
  nn.Linear{opt.code, 250}, nn.ReLU{},
  nn.Linear{250, 500}, nn.ReLU{},
  nn.Linear{500, 1000}, nn.ReLU{},
  nn.Linear{1000, 784}, nn.Sigmoid{}, -- pixels are in 0..1
  nn.Unflatten{2, {1, 28, 28}},
}
local net = nn.Sequential{encoder, decoder}
local adam = optim.Adam{net:parameters(), lr = opt.lr}
local schedule = optim.CosineLR{adam, steps = opt.epochs, floor = 0.05}
local error_of = loss[opt.loss] -- E = sum_i (y_i - t_i)^2, or the cross entropy of the pixels

local function step(images)
  local error = error_of(net(images), images)
  adam:zero_grad()
  error:backward()
  adam:step()
  return {error = error}
end

-- the squared error of a test image, summed over its pixels, averaged over the images
local function test_error()
  local sum = 0
  for images in test_batches:epoch() do
    sum = sum + gan.scope(gan.no_grad, function()
      return loss.squared_error(net(images), images, {reduction = "sum"}):item()
    end)
  end
  return sum / #test.images
end

local run = gan.report.run{opt.out, options = opt, resume = opt.resume}
local samples = test.images:slice(1, 1, 20):to(gan.config.real) / 255

local function after_epoch(epoch)
  -- rows of originals, each with the restored images below it
  local restored = gan.no_grad(net, samples)
  local rows = {}
  for first = 1, 20, 10 do
    rows[#rows + 1] = samples:slice(1, first, first + 9)
    rows[#rows + 1] = restored:slice(1, first, first + 9)
  end
  run:image(("restored-%03d"):format(epoch), gan.cat(rows, {dim = 1}), {columns = 10})
  run:save(net)
  schedule:step()
  return {test = test_error()}
end

gan.train.loop{
  epochs = opt.epochs, steps = opt.steps, batches = batches, run = run,
  step = step, compile = opt.compile, after_epoch = after_epoch,
  state = {net = net, adam = adam, schedule = schedule},
}

-- the best that a linear encoder and decoder can do with as many numbers
local pca = gan.metrics.pca(train.images, opt.code):error(test.images)
local reached = test_error()
run:result{error = reached, pca = pca}
print(("a test image's error is %.2f; with %d principal components it is %.2f"):format(reached,
  opt.code, pca))
print("pictures, metrics and weights are in " .. opt.out)
