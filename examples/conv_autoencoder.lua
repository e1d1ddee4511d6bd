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
  {"epochs", 5, "passes over the training images"},
  {"batch_size", 64, "images in a batch"},
  {"lr", 1e-3, "learning rate"},
  {"seed", 1, "start of the random numbers"},
  {"images", 60000, "use only the first so many images"},
  {"steps", 0, "stop after so many steps (0: do not)"},
  {"out", "runs/conv_autoencoder", "run folder"},
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
    self.conv1 = nn.Conv2d{1, 16, kernel_size = 3, padding = 1}
    self.conv2 = nn.Conv2d{16, 8, kernel_size = 3, padding = 1}
    self.deconv2 = nn.ConvTranspose2d{8, 16, kernel_size = 3, padding = 1}
    self.deconv1 = nn.ConvTranspose2d{16, 1, kernel_size = 3, padding = 1}
    self.pool = nn.MaxPool2d{2, return_indices = true}
    self.unpool = opt.unpool == "positions" and nn.MaxUnpool2d{2} or spread
  end,
  forward = function(self, x)                 -- (N, 1, 28, 28)
    local positions1, positions2
    x = self.conv1(x):relu()                  -- (N, 16, 28, 28)
    x, positions1 = self.pool(x)              -- (N, 16, 14, 14)
    x = self.conv2(x):relu()                  -- (N, 8, 14, 14)
    x, positions2 = self.pool(x)              -- (N, 8, 7, 7)
    x = self.unpool(x, positions2)
    x = self.deconv2(x):relu()                -- (N, 16, 14, 14)
    x = self.unpool(x, positions1)
    return self.deconv1(x):sigmoid()          -- (N, 1, 28, 28)
  end,
})

local net = Net{}
local adam = optim.Adam{net:parameters(), lr = opt.lr}

local function step(images)
  local error = loss.squared_error(net(images), images)
  adam:zero_grad()
  error:backward()
  adam:step()
  return {error = error}
end

local run = gan.report.run{opt.out, options = opt, resume = opt.resume}
local samples = test.images:slice(1, 1, 10):to(gan.config.real) / 255

local function after_epoch(epoch)
  local restored = gan.no_grad(net, samples)
  local rows = gan.cat({samples, restored}, {dim = 1})
  run:image(("restored-%03d"):format(epoch), rows, {columns = 10})
  run:save(net)
  return {test = loss.squared_error(restored, samples):item()}
end

gan.train.loop{
  epochs = opt.epochs, steps = opt.steps, batches = batches, run = run,
  step = step, compile = opt.compile, after_epoch = after_epoch,
  state = {net = net, adam = adam},
}

-- a deconvolution is a convolution with the kernel turned around: flipped, in and out exchanged
local layer, codes = net.deconv2, gan.randn(1, 8, 14, 14)
local turned = layer.weight:flip(3, 4):transpose(1, 2)
local difference = layer(codes) - codes:conv2d(turned, layer.bias, {padding = 1})
print(("deconv2, computed as a convolution, differs by at most %.1e"):format(
  difference:abs():amax():item()))

-- the error of a test image, beside that of half its size, enlarged again
local sum, halved = 0, 0
for images in gan.data.batches{test.images, batch_size = 500}:epoch() do
  local errors = gan.scope(gan.no_grad, function()
    local small = images:avg_pool2d(2):upsample_nearest{28, 28}
    return {loss.squared_error(net(images), images, {reduction = "sum"}):item(),
      loss.squared_error(small, images, {reduction = "sum"}):item()}
  end)
  sum, halved = sum + errors[1], halved + errors[2]
end
local result = {error = sum / #test.images, halved = halved / #test.images}
run:result(result)
print(("a test image's error is %.3f with unpooling by %s; halved and enlarged it is %.3f"):format(
  result.error, opt.unpool, result.halved))
print("pictures, metrics and weights are in " .. opt.out)
