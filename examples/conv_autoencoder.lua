-- A convolutional auto-encoder. The encoder alternates convolution and pooling, and pooling
-- remembers the position of each maximum; the decoder undoes both in reverse order: unpooling puts
-- every value back to its position, deconvolution (transposed convolution) restores its
-- surroundings.
--
--   gan-lua examples/conv_autoencoder.lua --out runs/conv_autoencoder

local gan = require "gan"
local nn, optim, loss = gan.nn, gan.optim, gan.loss

local opt = gan.opts{
  "Trains a convolutional auto-encoder with unpooling.",
  {"unpool", "positions", "where a value goes back to: the remembered position, the corner of its "
    .. "window, or all of it", choices = {"positions", "corner", "nearest"}},
  {"data", "fashion_mnist", "what to learn", choices = {"fashion_mnist", "mnist"}},
  {"width", 16, "channels of the first layer"},
  {"channels", 8, "of the code, each of 7 x 7 numbers"},
  {"epochs", 5, "passes over the training images"},
  {"batch_size", 64, "images in a batch"},
  {"lr", 2e-3, "learning rate"},
  {"images", 60000, "use only the first so many images"},
  run = "runs/conv_autoencoder",
}
if not opt then return end
gan.manual_seed(opt.seed)

local train = assert(gan.data[opt.data]{split = "train"})
local test = assert(gan.data[opt.data]{split = "test"})
local batches = gan.data.batches{
  train.images:slice(1, 1, opt.images), batch_size = opt.batch_size, shuffle = true,
}

-- what unpooling does without positions, for comparison
local function spread(x)
  local h, w = 2 * x:size(3), 2 * x:size(4)
  local wide = x:upsample_nearest{h, w}
  if opt.unpool == "nearest" then
    return wide
  end
  local row, column = gan.arange(1, h) * 0.5, gan.arange(1, w) * 0.5 -- odd ones are no integers
  return wide * gan.outer(gan.ne(row, row:floor()), gan.ne(column, column:floor()))
end

local Net = nn.module("Net", {
  init = function(self)
    self.conv1 = nn.Conv2d{1, opt.width, kernel_size = 3, padding = 1}
    self.conv2 = nn.Conv2d{opt.width, opt.channels, kernel_size = 3, padding = 1}
    self.deconv2 = nn.ConvTranspose2d{opt.channels, opt.width, kernel_size = 3, padding = 1}
    self.deconv1 = nn.ConvTranspose2d{opt.width, 1, kernel_size = 3, padding = 1}
    self.pool = nn.MaxPool2d{2, return_indices = true}
    self.unpool = opt.unpool == "positions" and nn.MaxUnpool2d{2} or spread
  end,
  forward = function(self, x)                 -- (N, 1, 28, 28)
    local positions1, positions2
    x = self.conv1(x):relu()                  -- (N, width, 28, 28)
    x, positions1 = self.pool(x)              -- (N, width, 14, 14)
    x = self.conv2(x):relu()                  -- (N, channels, 14, 14)
    x, positions2 = self.pool(x)              -- (N, channels, 7, 7): the code
    x = self.unpool(x, positions2)
    x = self.deconv2(x):relu()                -- (N, width, 14, 14)
    x = self.unpool(x, positions1)
    return self.deconv1(x):sigmoid()          -- (N, 1, 28, 28)
  end,
})

local net = Net{}
local adam = optim.Adam{net:parameters(), lr = opt.lr}
local schedule = optim.CosineLR{adam, steps = opt.epochs, floor = 0.02}

local function step(images)
  local error = loss.squared_error(net(images), images)
  adam:zero_grad()
  error:backward()
  adam:step()
  return {error = error}
end

local run = gan.report.run{opt.out, options = opt, resume = opt.resume}
local samples = test.images:slice(1, 1, 10):to(gan.config.real) / 255

local function after_epoch(epoch, _, part)
  local restored = gan.no_grad(net, samples)
  local rows = gan.cat({samples, restored}, {dim = 1})
  run:image(("restored-%03d"):format(epoch), rows, {columns = 10})
  run:save(net)
  schedule:reach(part)
  return {test = loss.squared_error(restored, samples):item()}
end

gan.train.loop{
  epochs = opt.epochs, steps = opt.steps, minutes = opt.minutes, batches = batches, run = run,
  step = step, compile = opt.compile, after_epoch = after_epoch,
  state = {net = net, adam = adam, schedule = schedule},
}

-- a deconvolution is a convolution with the kernel turned around: flipped, in and out exchanged
local layer, codes = net.deconv2, gan.randn(1, opt.channels, 14, 14)
local turned = layer.weight:flip(3, 4):transpose(1, 2)
local difference = layer(codes) - codes:conv2d(turned, layer.bias, {padding = 1})
print(("deconv2, computed as a convolution, differs by at most %.1e"):format(
  difference:abs():amax():item()))

-- the error of a test image, beside that of half its size, enlarged again
local clean = test.images:to(gan.config.real) / 255
local function error_of(f)
  return gan.metrics.summed_error(gan.metrics.features(f, clean, {quiet = true}), clean:flatten(2))
end
local result = {error = error_of(net), halved = error_of(function(x)
  return x:avg_pool2d(2):upsample_nearest{28, 28}
end)}
run:result(result)
print(("a test image's error is %.3f with unpooling by %s; halved and enlarged it is %.3f"):format(
  result.error, opt.unpool, result.halved))
print("pictures, metrics and weights are in " .. opt.out)
