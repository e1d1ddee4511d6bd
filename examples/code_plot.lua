-- Dimensionality reduction, and its picture: a code of two numbers is a point in the plane. Every
-- test image is drawn at its code, in the colour of its class (which training has not seen).
--
--   gan-lua examples/code_plot.lua --out runs/code_plot

local gan = require "gan"
local nn, optim, loss = gan.nn, gan.optim, gan.loss

local opt = gan.opts{
  "Trains an auto-encoder with a code of two numbers, and draws the codes.",
  {"epochs", 10, "passes over the training images"},
  {"batch_size", 128, "images in a batch"},
  {"lr", 1e-3, "learning rate"},
  {"size", 600, "pixels of the picture's side"},
  {"data", "fashion_mnist", "what to learn", choices = {"fashion_mnist", "mnist"}},
  {"images", 60000, "use only the first so many images"},
  run = "runs/code_plot",
}
if not opt then return end
gan.manual_seed(opt.seed)

local train = assert(gan.data[opt.data]{split = "train"})
local test = assert(gan.data[opt.data]{split = "test"})
train.images, train.labels = train.images:slice(1, 1, opt.images), train.labels:slice(1, 1,
  opt.images)
local batches = gan.data.batches{train.images, batch_size = opt.batch_size, shuffle = true}

local encoder = nn.Sequential{ name = "encoder",
  nn.Flatten{}, nn.Linear{784, 1000}, nn.ReLU{}, nn.Linear{1000, 500}, nn.ReLU{},
  nn.Linear{500, 250}, nn.ReLU{}, nn.Linear{250, 2},
}
local decoder = nn.Sequential{ name = "decoder",
  nn.Linear{2, 250}, nn.ReLU{}, nn.Linear{250, 500}, nn.ReLU{},
  nn.Linear{500, 1000}, nn.ReLU{}, nn.Linear{1000, 784}, nn.Sigmoid{},
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

local function codes_of(images)
  return gan.scope(gan.no_grad, function()
    return encoder(images:to(gan.config.real) / 255)
  end)
end

local colours = { -- one for each of ten classes
  {31, 119, 180}, {255, 127, 14}, {44, 160, 44}, {214, 39, 40}, {148, 103, 189},
  {140, 86, 75}, {227, 119, 194}, {127, 127, 127}, {188, 189, 34}, {23, 190, 207},
}

--- A picture (3, size, size) of points (N, 2), each a square of 3 x 3 pixels. What lies far out,
-- one code in a hundred on each side, is drawn at the edge.
local function plot(points, labels, size)
  local sorted = points:sort(1)
  local margin = math.max(1, #points // 100)
  local low, high = sorted[margin], sorted[#points + 1 - margin]
  local at = ((points - low) / (high - low + 1e-8) * (size - 3) + 2):clamp{min = 2, max = size - 1}
  local flat, class = at:round():totable(), labels:totable()
  local picture = gan.full({3 * size * size}, 255)
  local index, values = {}, {}
  for i, p in ipairs(flat) do
    for dy = -1, 1 do
      for dx = -1, 1 do
        for c = 1, 3 do
          local place = (c - 1) * size * size + (size - p[2] // 1 - dy) * size + p[1] // 1 + dx
          index[#index + 1] = math.max(1, math.min(3 * size * size, place)) // 1
          values[#values + 1] = colours[class[i]][c]
        end
      end
    end
  end
  return picture:scatter(gan.tensor(index, {dtype = "int64"}), gan.tensor(values), 1)
    :reshape(3, size, size):to("uint8")
end

local run = gan.report.run{opt.out, options = opt, resume = opt.resume}

local function after_epoch(epoch, _, part)
  run:image(("codes-%03d"):format(epoch), plot(codes_of(test.images), test.labels, opt.size))
  run:save{encoder = encoder, decoder = decoder}
  schedule:reach(part)
  local restored = gan.scope(gan.no_grad, decoder, codes_of(test.images))
  return {test = gan.metrics.summed_error(restored,
    test.images:flatten(2):to(gan.config.real) / 255)}
end

gan.train.loop{
  epochs = opt.epochs, steps = opt.steps, minutes = opt.minutes, batches = batches, run = run,
  step = step, compile = opt.compile, after_epoch = after_epoch,
  state = {encoder = encoder, decoder = decoder, adam = adam, schedule = schedule},
}

--- How often the nearest of the training codes has the same class.
local function same_class(seen, new)
  local right = 0
  for first = 1, #new, 500 do
    right = right + gan.scope(gan.no_grad, function()
      local part, last = new:slice(1, first, first + 499), math.min(first + 499, #new)
      local d = seen:square():sum(2) - gan.linear(part, seen) * 2 -- and |part|^2, the same for all
      local found = train.labels:index_select(d:argmin(2), 1)
      return gan.eq(found, test.labels:slice(1, first, last)):sum():item()
    end)
  end
  return right / #new
end

local pca = gan.metrics.pca(train.images, 2)
run:image("codes-pca", plot(pca:encode(test.images), test.labels, opt.size))
gan.data.save_npy(run:path "codes.npy", codes_of(test.images))
local result = {
  accuracy = same_class(codes_of(train.images), codes_of(test.images)),
  pca_accuracy = same_class(pca:encode(train.images), pca:encode(test.images)),
  pca_error = pca:error(test.images), error = after_epoch(opt.epochs, nil, 1).test,
}
run:result(result)
print(("two numbers: the nearest neighbour has the same class for %.1f %% of the test images, "
  .. "error %.2f; with principal components %.1f %%, error %.2f"):format(100 * result.accuracy,
  result.error, 100 * result.pca_accuracy, result.pca_error))
print("the pictures codes-*.png, metrics and weights are in " .. opt.out)
