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
  {"lr", 1e-3, "learning rate; it falls to zero"},
  {"code", 30, "numbers that remain of an image"},
  {"loss", "squared_error", "what is an error", choices = {"squared_error", "cross_entropy"}},
  {"shift", 0, "move training images by up to so many pixels: long training overfits less"},
  {"images", 60000, "use only the first so many images"},
  run = "runs/autoencoder",
}
if not opt then return end
gan.manual_seed(opt.seed)

local train = assert(gan.data[opt.data]{split = "train"})
local test = assert(gan.data[opt.data]{split = "test"})
local batches = gan.data.batches{
  train.images:slice(1, 1, opt.images), batch_size = opt.batch_size, shuffle = true,
  augment = opt.shift > 0 and {gan.data.augment.shift{opt.shift}} or nil,
}

local encoder = nn.Sequential{
  nn.Flatten{},
  nn.Linear{784, 1000}, nn.SELU{},
  nn.Linear{1000, 500}, nn.SELU{},
  nn.Linear{500, 250}, nn.SELU{},
  nn.Linear{250, opt.code}, -- linear: a code may be any number
}
local decoder = nn.Sequential{
  nn.Linear{opt.code, 250}, nn.SELU{},
  nn.Linear{250, 500}, nn.SELU{},
  nn.Linear{500, 1000}, nn.SELU{},
  nn.Linear{1000, 784}, nn.Sigmoid{}, -- pixels are in 0..1
  nn.Unflatten{2, {1, 28, 28}},
}
local net = nn.Sequential{encoder, decoder}
for name, p in net:named_parameters() do
  if name:find "weight" then
    -- what passes through the eight layers neither fades nor grows (Klambauer et al. 2017)
    nn.init.kaiming_normal_(p, {nonlinearity = "linear"})
  end
end
local adam = optim.Adam{net:parameters(), lr = opt.lr}
local schedule = optim.CosineLR{adam, steps = opt.epochs, floor = 0.002, warmup = 2}
local error_of = loss[opt.loss] -- E = sum_i (y_i - t_i)^2, or the cross entropy of the pixels

local function step(images)
  local error = error_of(net(images), images)
  adam:zero_grad()
  error:backward()
  adam:step()
  return {error = error}
end

local function each(f, x) -- f of all rows, in batches
  return gan.metrics.features(f, x, {range = {0, 1}, quiet = true})
end

local run = gan.report.run{opt.out, options = opt, resume = opt.resume}
local clean = test.images:to(gan.config.real) / 255

local function after_epoch(epoch, _, part)
  -- rows of originals, each with the restored images below it
  local restored = each(net, clean):reshape(clean:shape())
  local rows = {}
  for first = 1, 20, 10 do
    rows[#rows + 1] = clean:slice(1, first, first + 9)
    rows[#rows + 1] = restored:slice(1, first, first + 9)
  end
  run:image(("restored-%03d"):format(epoch), gan.cat(rows, {dim = 1}), {columns = 10})
  run:save(net)
  schedule:reach(part)
  return {test = gan.metrics.summed_error(restored, clean)}
end

gan.train.loop{
  epochs = opt.epochs, steps = opt.steps, minutes = opt.minutes, batches = batches, run = run,
  step = step, compile = opt.compile, after_epoch = after_epoch,
  state = {net = net, adam = adam, schedule = schedule},
}

-- the best that a linear encoder and decoder can do with as many numbers
local pca = gan.metrics.pca(train.images, opt.code):error(test.images)
local codes = each(encoder, clean)
local restored = each(decoder, codes)
local reached = gan.metrics.summed_error(restored, clean:flatten(2))
assert(gan.data.save_npy(run:path "codes.npy", codes))
assert(gan.data.save_npy(run:path "restored.npy", restored))
run:result{error = reached, pca = pca}
print(("a test image's error is %.2f; with %d principal components it is %.2f"):format(reached,
  opt.code, pca))
print("pictures, metrics, weights and the codes of the test images are in " .. opt.out)
