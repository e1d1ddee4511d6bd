-- What the rows of images share: a classifier of ours, trained once for each data set and kept,
-- whose hidden layer gives the features, and the bars that are made of real images.

local gan = require "gan"
local nn, optim, metrics = gan.nn, gan.optim, gan.metrics

local judge = {}

local function make()
  return nn.Sequential{ name = "judge",
    nn.Conv2d{1, 32, kernel_size = 5, stride = 2, padding = 2}, nn.ReLU{},
    nn.Conv2d{32, 64, kernel_size = 5, stride = 2, padding = 2}, nn.ReLU{}, nn.Flatten{},
    nn.Dropout{0.4}, nn.Linear{64 * 7 * 7, 128}, nn.ReLU{}, nn.Dropout{0.4}, nn.Linear{128, 10},
  }
end

--- A classifier trained on images (N, 1, 28, 28) in bytes with labels from 1.
function judge.train(images, labels, epochs)
  local net, batch_size = make(), 128
  local adam = optim.Adam{net, lr = 1e-3}
  local schedule = optim.CosineLR{adam, steps = epochs * (#images // batch_size), floor = 0.02}
  gan.train.loop{
    epochs = epochs, compile = true,
    batches = gan.data.batches{images, labels, batch_size = batch_size, shuffle = true,
      drop_last = true, range = {-1, 1}},
    step = function(x, y)
      local wrong = net(x):cross_entropy(y)
      adam:zero_grad()
      wrong:backward()
      adam:step()
      schedule:step()
      return {loss = wrong}
    end,
  }
  net:eval()
  return net
end

--- The share of images that a classifier gets right.
function judge.accuracy(net, set)
  local right = gan.eq(metrics.classify(net, set.images, {quiet = true}), set.labels)
  return right:count_nonzero():item() / #set.labels
end

--- The classifier of a data set. It is trained with the same random numbers whatever the seed, so
-- that all rows are measured by one; `epochs` of less than a few is for tests.
function judge.of(data, epochs)
  local path = ("runs/quality/judge-%s-%d.safetensors"):format(data, epochs)
  local net = make()
  local file = io.open(path, "rb")
  if file then
    file:close()
    assert(net:load(path))
    net:eval()
    return net
  end
  local set = assert(gan.data[data]{split = "train"})
  gan.manual_seed(1)
  net = judge.train(set.images, set.labels, epochs)
  assert(gan.files.mkdir "runs/quality")
  assert(net:save(path))
  return net
end

--- Features of images (N, 1, 28, 28): what the last layer gets, one row each.
function judge.features(net, images)
  return metrics.features(nn.Sequential{table.unpack(net, 1, #net - 2)}, images, {quiet = true})
end

--- Images blurred by the mean of 3 x 3 pixels, in bytes again.
function judge.blurred(images)
  local parts = {}
  for first = 1, #images, 1000 do
    local x = images:slice(1, first, math.min(first + 999, #images)):to(gan.config.real)
    parts[#parts + 1] = x:conv2d(gan.full({1, 1, 3, 3}, 1 / 9), nil, {padding = 1}):round()
      :to "uint8"
  end
  return gan.cat(parts, {dim = 1})
end

--- How near generated images are to test images, and the bars: test images that are blurred; five
-- hundred training images over and over; as many other training images, what nothing can beat.
function judge.compare(net, generated, data)
  local test = assert(gan.data[data]{split = "test"}).images
  local train = assert(gan.data[data]{split = "train"}).images
  local n = math.min(#generated, #test)
  local function features(images) return judge.features(net, images):keep() end
  local real, fake = features(test:slice(1, 1, n)), features(generated:slice(1, 1, n))
  local function distance(images) return metrics.frechet(real, features(images)) end
  local result = metrics.prdc(real, fake, {quiet = true})
  result.frechet = metrics.frechet(real, fake)
  result.one_nn = metrics.one_nn(real, fake, {quiet = true}).accuracy
  result.blurred = distance(judge.blurred(test:slice(1, 1, n)))
  result.memorised = distance(train:slice(1, 1, 500):tile((n + 499) // 500, 1, 1, 1)
    :slice(1, 1, n))
  result.training = distance(train:slice(1, #train - n + 1, #train))
  result.to_blurred = result.frechet / result.blurred
  result.to_memorised = result.frechet / result.memorised
  return result
end

return judge
