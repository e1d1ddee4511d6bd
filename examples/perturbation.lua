-- Generation by perturbation: images are encoded, a few neurons of their codes are changed at
-- random, or noise is added to all, and the codes are decoded: images that are like the first, but
-- new.
--
--   gan-lua examples/perturbation.lua --share 0.2 --out runs/perturbation

local gan = require "gan"
local nn, optim, loss, noise = gan.nn, gan.optim, gan.loss, gan.noise

local opt = gan.opts{
  "Trains an auto-encoder and makes new images by perturbing codes.",
  {"share", 0.2, "of a code's neurons are exchanged for those of other images"},
  {"std", 0.5, "noise added to all neurons, in their standard deviations"},
  {"code", 30, "numbers that remain of an image"},
  {"epochs", 10, "passes over the training images"},
  {"batch_size", 128, "images in a batch"},
  {"lr", 1e-3, "learning rate"},
  {"data", "fashion_mnist", "what to learn", choices = {"fashion_mnist", "mnist"}},
  {"images", 60000, "use only the first so many images"},
  run = "runs/perturbation",
}
if not opt then return end
gan.manual_seed(opt.seed)

local train = assert(gan.data[opt.data]{split = "train"})
local test = assert(gan.data[opt.data]{split = "test"})
train.images = train.images:slice(1, 1, opt.images)
local batches = gan.data.batches{train.images, batch_size = opt.batch_size, shuffle = true}

local encoder = nn.Sequential{ name = "encoder",
  nn.Flatten{}, nn.Linear{784, 1000}, nn.ReLU{}, nn.Linear{1000, 500}, nn.ReLU{},
  nn.Linear{500, opt.code},
}
local decoder = nn.Sequential{ name = "decoder",
  nn.Linear{opt.code, 500}, nn.ReLU{}, nn.Linear{500, 1000}, nn.ReLU{},
  nn.Linear{1000, 784}, nn.Sigmoid{},
}
local adam = optim.Adam{encoder, decoder, lr = opt.lr}
local schedule = optim.CosineLR{adam, steps = opt.epochs, floor = 0.05}

local function step(images)
  local error = loss.squared_error(decoder(encoder(images)), images:flatten(2))
  adam:zero_grad()
  error:backward()
  adam:step()
  return {error = error}
end

local run = gan.report.run{opt.out, options = opt, resume = opt.resume}
local originals = test.images:slice(1, 1, 500):flatten(2):to(gan.config.real) / 255

-- images from perturbed codes: the codes of a batch, changed, decoded
local function generate(how)
  return gan.scope(gan.no_grad, function()
    return decoder(noise.perturb(encoder(originals), how))
  end)
end

local function after_epoch(epoch, _, part)
  local rows = {originals:slice(1, 1, 10), generate{}:slice(1, 1, 10)}
  for _ = 1, 4 do
    rows[#rows + 1] = generate{share = opt.share}:slice(1, 1, 10)
  end
  for _ = 1, 4 do
    rows[#rows + 1] = generate{std = opt.std}:slice(1, 1, 10)
  end
  run:image(("perturbed-%03d"):format(epoch), gan.cat(rows, {dim = 1}):reshape(-1, 1, 28, 28),
    {columns = 10})
  run:save{encoder = encoder, decoder = decoder}
  schedule:reach(part)
end

gan.train.loop{
  epochs = opt.epochs, steps = opt.steps, minutes = opt.minutes, batches = batches, run = run,
  step = step, compile = opt.compile, after_epoch = after_epoch,
  state = {encoder = encoder, decoder = decoder, adam = adam, schedule = schedule},
}

-- Do they look like the data? The squared distance of an image to the nearest of 10,000 training
-- images, on average; and how far it went from the image that it was made from.
local seen = train.images:slice(1, 1, math.min(10000, #train.images)):flatten(2)
  :to(gan.config.real) / 255
local function judge(x)
  local square = (x:square():sum({2}, {keepdim = true}) + seen:square():sum(2)
    - gan.linear(x, seen) * 2)
  return {nearest = square:amin{2}:mean():item(),
    moved = (x - originals):square():sum(2):mean():item()}
end
local codes = judge(generate{share = opt.share})
-- the same done to pixels, so strong that they move as far
local low, high = 0, 1
for _ = 1, 12 do
  local middle = (low + high) / 2
  if judge(noise.perturb(originals, {share = middle})).moved < codes.moved then
    low = middle
  else
    high = middle
  end
end
local pixels = judge(noise.perturb(originals, {share = low}))
local result = {moved = codes.moved, nearest = codes.nearest, pixels_nearest = pixels.nearest,
  real_nearest = judge(originals).nearest}
run:result(result)
print(("perturbed codes: images move by %.1f and are %.1f from the nearest training image; pixels "
  .. "that move as far: %.1f; untouched test images: %.1f"):format(result.moved, result.nearest,
  result.pixels_nearest, result.real_nearest))
print("pictures, metrics and weights are in " .. opt.out)
