-- Layer-wise pre-training. Each hidden layer is trained as an auto-encoder of the layer below (the
-- 1st, 2nd, 3rd, 4th training); then the halves are unrolled into one deep net, and the "5th
-- training" tunes all of it. The same net from the same small weights, trained at once, learns
-- little more than the mean image: --no-pretrain shows it.
--
--   gan-lua examples/pretraining.lua --out runs/pretraining
--   gan-lua examples/pretraining.lua --no-pretrain --out runs/no_pretraining

local gan = require "gan"
local nn, optim, loss = gan.nn, gan.optim, gan.loss

local opt = gan.opts{
  "Trains a deep auto-encoder of sigmoid units, with layer-wise pre-training or without.",
  {"pretrain", true, "train layer by layer first; the total number of epochs stays"},
  {"layer_epochs", 2, "passes over the training images for each layer"},
  {"epochs", 20, "passes altogether"},
  {"batch_size", 128, "images in a batch"},
  {"lr", 3e-3, "learning rate; it falls to a hundredth"},
  {"eps", 1e-3, "of Adam: gradients far below it hardly move a weight"},
  {"sigma", 0.01, "standard deviation of the first weights"},
  {"data", "fashion_mnist", "what to learn", choices = {"fashion_mnist", "mnist"}},
  {"images", 60000, "use only the first so many images"},
  run = "runs/pretraining",
}
if not opt then return end
gan.manual_seed(opt.seed)

local train = assert(gan.data[opt.data]{split = "train"})
local test = assert(gan.data[opt.data]{split = "test"})
local batches = gan.data.batches{
  train.images:slice(1, 1, opt.images), batch_size = opt.batch_size, shuffle = true,
}
local clean = test.images:flatten(2):to(gan.config.real) / 255

local sizes = {784, 1000, 500, 250, 30}
local encoder, decoder = {}, {}
for i = 1, #sizes - 1 do
  local wide, narrow = sizes[i], sizes[i + 1]
  encoder[i] = i < #sizes - 1 and nn.Sequential{nn.Linear{wide, narrow}, nn.Sigmoid{}}
    or nn.Linear{wide, narrow} -- the code is linear
  table.insert(decoder, 1, nn.Sequential{nn.Linear{narrow, wide}, nn.Sigmoid{}})
end
local net = nn.Sequential{nn.Sequential(encoder), nn.Sequential(decoder)}
for name, p in net:named_parameters() do
  nn.init[name:find "weight" and "normal_" or "zeros_"](p, 0, opt.sigma)
end

-- Adam divides a gradient by its own size plus eps: with the usual 1e-8 it would blow up the noise
-- of gradients that have all but vanished
local function new_adam(parameters)
  return optim.Adam{parameters, lr = opt.lr, eps = opt.eps}
end
local layers = gan.train.pretrain{
  encoder = encoder, decoder = decoder, optimiser = new_adam, error = loss.cross_entropy,
}
local adam = new_adam(net:parameters())
local schedule = optim.CosineLR{adam, steps = opt.epochs, floor = 0.01}
local pretraining = {stage = opt.pretrain and 1 or 0} -- 0: the whole net

-- `stage` is an argument: a recorded step is made for each of its values
local function step(images, stage)
  images = images:flatten(2)
  if stage > 0 then
    return {layer = layers:step(images, stage)} -- encoder i and its decoder only
  end
  local restored = net(images)
  local error = loss.cross_entropy(restored, images)
  adam:zero_grad()
  error:backward()
  adam:step()
  return {error = loss.squared_error(restored:detach(), images), cross_entropy = error}
end
if opt.compile then
  step = gan.compile(step)
end

local run = gan.report.run{opt.out, options = opt, resume = opt.resume}

local function test_error()
  return gan.metrics.summed_error(gan.metrics.features(net, clean, {quiet = true}), clean)
end

local function after_epoch(epoch, _, part)
  if opt.pretrain then -- the next layer, and after the last the whole
    local stage = epoch // opt.layer_epochs + 1
    pretraining.stage = stage <= #layers and stage or 0
  end
  local samples = clean:slice(1, 1, 10)
  run:image(("restored-%03d"):format(epoch), gan.cat({samples, gan.no_grad(net, samples)},
    {dim = 1}):reshape(20, 1, 28, 28), {columns = 10})
  run:save(net)
  schedule:reach(part)
  return {test = test_error()}
end

gan.train.loop{
  epochs = opt.epochs, steps = opt.steps, minutes = opt.minutes, batches = batches, run = run,
  step = function(images) return step(images, pretraining.stage) end, after_epoch = after_epoch,
  state = {net = net, adam = adam, schedule = schedule, layers = layers, pretraining = pretraining},
}

-- what a net that gives the same picture for everything would reach
local mean = train.images:slice(1, 1, opt.images):flatten(2):to(gan.config.real):mean{1} / 255
local mean_error = gan.metrics.summed_error(mean:unsqueeze(1):expand(clean:shape()), clean)
local reached = test_error()
run:result{error = reached, mean = mean_error, pretrained = opt.pretrain}
print(("%s pre-training a test image's error is %.2f; the mean image's is %.2f"):format(
  opt.pretrain and "with" or "without", reached, mean_error))
print("pictures, metrics and weights are in " .. opt.out)
