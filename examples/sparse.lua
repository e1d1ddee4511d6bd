-- A sparse auto-encoder: the hidden layer is larger than the image, so that without a regulariser
-- nothing need be learnt; with one, few units are active for each image, and each comes to stand
-- for a stroke. A linear classifier on the frozen units then shows what they are worth.
--
--   gan-lua examples/sparse.lua --sparsity k --active 25 --out runs/sparse

local gan = require "gan"
local nn, optim, loss = gan.nn, gan.optim, gan.loss

local opt = gan.opts{
  "Trains a sparse auto-encoder with tied weights and a classifier on its features.",
  {"sparsity", "k", "what keeps units silent", choices = {"k", "l1", "kl", "none"}},
  {"active", 25, "k: units that stay active; many more at first, so that every unit learns"},
  {"eval_active", 100, "k: those that the classifier sees"},
  {"weight", 0.1, "l1, kl: weight of the penalty"},
  {"rate", 0.05, "kl: mean activity that each unit should have"},
  {"units", 1000, "hidden units"},
  {"epochs", 10, "passes over the training images"},
  {"probe_epochs", 20, "passes of the classifier"},
  {"copies", 0, "of each image, moved by up to a pixel, that the classifier learns from as well"},
  {"batch_size", 128, "images in a batch"},
  {"lr", 1e-3, "learning rate"},
  {"data", "fashion_mnist", "what to learn", choices = {"fashion_mnist", "mnist"}},
  {"images", 60000, "use only the first so many images"},
  run = "runs/sparse",
}
if not opt then return end
gan.manual_seed(opt.seed)

local train = assert(gan.data[opt.data]{split = "train"})
local test = assert(gan.data[opt.data]{split = "test"})
train.images, train.labels = train.images:slice(1, 1, opt.images), train.labels:slice(1, 1,
  opt.images)
local batches = gan.data.batches{train.images, batch_size = opt.batch_size, shuffle = true}

local layer = nn.Linear{784, opt.units}
local hidden = ({
  k = function() return nn.KSparse{opt.active, eval_k = opt.eval_active} end,
  kl = nn.Sigmoid, l1 = nn.ReLU, none = nn.ReLU,
})[opt.sparsity]{}
local encoder = nn.Sequential{nn.Flatten{}, layer, hidden}
local decoder = nn.TiedLinear{layer} -- the encoder's weights, transposed
local net = nn.Sequential{encoder, decoder}
local adam = optim.Adam{net:parameters(), lr = opt.lr}
local schedule = optim.CosineLR{adam, steps = opt.epochs, floor = 0.05}

-- of the units' activities h (N, units)
local penalties = {
  l1 = function(h) return loss.l1(h) end,                               -- sum_j |h_j|
  kl = function(h) return loss.sparsity_kl(h, {rate = opt.rate}) end,   -- sum_j KL(rate, mean h_j)
}
local penalty_of = penalties[opt.sparsity]

-- how many units stay active: it is halved until, after half of the training, `active` remain
local progress = {k = opt.active}
local function decide(part)
  progress.k = opt.sparsity == "k" and math.max(opt.active, 8 * opt.active >> (part * 6 // 1)) or 0
end
decide(0)

-- `k` is an argument: a recorded step is made for each of its values
local function step(images, k)
  hidden.k = k
  local h = encoder(images)
  local error = loss.squared_error(decoder(h), images:flatten(2))
  local total = penalty_of and error + penalty_of(h) * opt.weight or error
  adam:zero_grad()
  total:backward()
  adam:step()
  return {error = error}
end

-- features of all images of a set; how many of them are not 0
local function features(images)
  return gan.metrics.features(encoder, images, {range = {0, 1}, quiet = true})
end

local run = gan.report.run{opt.out, options = opt, resume = opt.resume}

local function after_epoch(epoch, _, part)
  local strokes = layer.weight:detach():slice(1, 1, math.min(100, opt.units)):reshape(-1, 1, 28, 28)
  local scale = strokes:abs():amax({2, 3, 4}, {keepdim = true}) + 1e-8
  run:image(("weights-%03d"):format(epoch), strokes / scale, {columns = 10, range = {-1, 1}})
  run:save(net)
  schedule:reach(part)
  decide(part)
  local h = features(test.images)
  return {active = gan.ne(h, 0):mean():item() * opt.units,
    dead = gan.eq(h:abs():amax{1}, 0):sum():item()}
end

if opt.compile then
  step = gan.compile(step)
end
gan.train.loop{
  epochs = opt.epochs, steps = opt.steps, minutes = opt.minutes, batches = batches, run = run,
  step = function(images) return step(images, progress.k) end, after_epoch = after_epoch,
  state = {net = net, adam = adam, schedule = schedule, progress = progress},
}

-- logistic regression on the features, on the pixels, and on untrained features of the same kind,
-- of the training images and of moved copies
local images, labels = {train.images}, {train.labels}
for copy = 1, opt.copies do
  images[copy + 1], labels[copy + 1] = gan.data.augment.shift{1}(train.images), train.labels
end
images, labels = gan.cat(images, {dim = 1}), gan.cat(labels, {dim = 1})
local function probe(features_of)
  local wrong, _, classifier = gan.metrics.linear_probe{features_of(images), labels,
    features_of(test.images), test.labels, classes = 10, epochs = opt.probe_epochs,
    standardize = false, decay = 1e-4}
  return wrong, classifier
end
local function pixels(x) return x:flatten(2):to(gan.config.real) / 255 end
local wrong, classifier = probe(features)
assert(gan.data.save_npz(run:path "probe.npz",
  {weight = classifier.weight:detach(), bias = classifier.bias:detach()}))
nn.init.kaiming_uniform_(layer.weight)
local result = {
  error = wrong, pixels = (probe(pixels)), untrained = (probe(features)),
}
run:result(result)
print(("wrong test images of a linear classifier: %.2f %% by these features, %.2f %% by untrained "
  .. "ones, %.2f %% by pixels"):format(100 * result.error, 100 * result.untrained,
  100 * result.pixels))
print("pictures, metrics and weights are in " .. opt.out)
