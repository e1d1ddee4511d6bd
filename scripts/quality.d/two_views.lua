-- Row A10: the left and the right half of digits as two domains with codes in common (CorrNet,
-- Chandar et al. 2016). A linear classifier trained on codes of one half is tested on codes of the
-- other, over five folds of the test images.

local gan = require "gan"
local nn, optim, loss = gan.nn, gan.optim, gan.loss

local opt = gan.opts{
  "Trains dual auto-encoders of the halves of digits; transfers a classifier between them.",
  {"views", 2, "parts of an image, side by side"},
  {"code", 50, "width of the codes"},
  {"distance", 1.0, "weight of the distance of the codes"},
  {"cross", 1.0, "weight of the error of one half restored from the other"},
  {"correlation", 0.1, "weight of the correlation of the codes"},
  {"contrast", 30.0, "weight of telling the digits of a batch apart by their codes"},
  {"epochs", 20, "passes over the training images"},
  {"batch_size", 256, "images in a batch"},
  {"lr", 1e-3, "learning rate"},
  {"data", "mnist", "what to learn", choices = {"fashion_mnist", "mnist"}},
  {"validate", false, "test on the last training images instead: to choose settings by"},
  {"images", 60000, "use only the first so many images"},
  run = "runs/two_views",
}
if not opt then return end
gan.manual_seed(opt.seed)

local set = assert(gan.data[opt.data]{split = "train"})
local test = assert(gan.data[opt.data]{split = "test"})
if opt.validate then
  test = {images = set.images:slice(1, 50001, 60000), labels = set.labels:slice(1, 50001, 60000)}
  opt.images = math.min(opt.images, 50000)
end
local train = set.images:slice(1, 1, opt.images)
local batches = gan.data.batches{train, batch_size = opt.batch_size, shuffle = true}

local function views_of(images)
  local list = {}
  for i = 1, opt.views do
    local first, last = 28 * (i - 1) // opt.views + 1, 28 * i // opt.views
    list[i] = images:slice(4, first, last):flatten(2)
  end
  return list
end

local encoders, decoders = {}, {}
for i, view in ipairs(views_of(gan.zeros(1, 1, 28, 28))) do
  local width = view:size(2)
  encoders[i] = nn.Sequential{nn.Dropout{0.2}, nn.Linear{width, 800}, nn.ReLU{}, nn.Dropout{0.3},
    nn.Linear{800, 400}, nn.ReLU{}, nn.Linear{400, opt.code}}
  decoders[i] = nn.Sequential{nn.Linear{opt.code, 400}, nn.ReLU{}, nn.Linear{400, 800}, nn.ReLU{},
    nn.Linear{800, width}, nn.Sigmoid{}}
end
local net = nn.MultiAutoencoder{encoders = encoders, decoders = decoders}
local adam = optim.Adam{net:parameters(), lr = opt.lr}
local schedule = optim.CosineLR{adam, steps = opt.epochs, floor = 0.05}

local function step(images)
  local total, parts = loss.multi_view(net, views_of(images), {distance = opt.distance,
    cross = opt.cross, correlation = opt.correlation,
    contrast = opt.contrast})
  adam:zero_grad()
  total:backward()
  adam:step()
  return {loss = total, distance = parts.distance, reconstruction = parts.reconstruction}
end

local run = gan.report.run{opt.out, options = opt, resume = opt.resume}
gan.train.loop{
  epochs = opt.epochs, steps = opt.steps, minutes = opt.minutes, batches = batches, run = run,
  step = step, compile = opt.compile,
  after_epoch = function(_, _, part)
    schedule:reach(part)
    run:save(net)
  end,
  state = {net = net, adam = adam, schedule = schedule},
}

net:eval()
local codes = {}
for i, view in ipairs(views_of(test.images:to(gan.config.real) / 255)) do
  codes[i] = gan.scope(gan.no_grad, net.encoders[i], view)
end

--- The share of the rows of `codes[to]` that a classifier trained on `codes[from]` gets right.
local function transfer(from, to)
  local right, n = 0, #test.labels // 5
  local everything = gan.arange(1, 5 * n, {dtype = "int64"}):totable()
  for fold = 0, 4 do
    local inside, outside = {}, {}
    for _, k in ipairs(everything) do
      table.insert((k - 1) // n == fold and outside or inside, k)
    end
    inside = gan.tensor(inside, {dtype = "int64"})
    outside = gan.tensor(outside, {dtype = "int64"})
    right = right + 1 - gan.metrics.linear_probe{
      codes[from]:index_select(inside, 1), test.labels:index_select(inside, 1),
      codes[to]:index_select(outside, 1), test.labels:index_select(outside, 1),
      loss = "hinge", epochs = 30, seed = opt.seed,
    }
  end
  return 20 * right
end

local result, worst = {}, 100
for i = 1, opt.views do
  for k = 1, opt.views do
    if i ~= k then
      result[("from_%d_to_%d"):format(i, k)] = transfer(i, k)
      worst = math.min(worst, result[("from_%d_to_%d"):format(i, k)])
    end
  end
end
result.worst = worst
result.correlation = loss.correlation(codes[1], codes[2]):item()
run:result(result)
print(("%d views: the worst transfer is %.2f %%; sum of the correlations %.2f"):format(opt.views,
  result.worst, result.correlation))
