-- A denoising auto-encoder (Vincent et al. 2010): what it reads is corrupted, what it must write is
-- clean. E = |decoder(encoder(noisy x)) - x|^2, with new noise at every step.
--
--   gan-lua examples/denoising.lua --noise masking --level 0.5 --out runs/denoising

local gan = require "gan"
local nn, optim, loss, noise = gan.nn, gan.optim, gan.loss, gan.noise

local opt = gan.opts{
  "Trains a convolutional denoising auto-encoder and compares it with the best linear denoiser.",
  {"noise", "gaussian", "what is done to the images",
    choices = {"gaussian", "masking", "salt_and_pepper"}},
  {"level", 0.5, "standard deviation, or the share of the pixels that is lost"},
  {"width", 32, "channels of the first layer"},
  {"epochs", 5, "passes over the training images"},
  {"batch_size", 128, "images in a batch"},
  {"lr", 2e-3, "learning rate"},
  {"data", "fashion_mnist", "what to learn", choices = {"fashion_mnist", "mnist"}},
  {"images", 60000, "use only the first so many images"},
  run = "runs/denoising",
}
if not opt then return end
gan.manual_seed(opt.seed)

local train = assert(gan.data[opt.data]{split = "train"})
local test = assert(gan.data[opt.data]{split = "test"})
train.images = train.images:slice(1, 1, opt.images)
local batches = gan.data.batches{train.images, batch_size = opt.batch_size, shuffle = true}

local function corrupt(x)
  return noise[opt.noise](x, opt.level):clamp{min = 0, max = 1} -- a picture again
end

local w = opt.width
local function conv(from, to, size, stride)
  return nn.Sequential{
    nn.Conv2d{from, to, kernel_size = size, stride = stride, padding = 1, bias = false},
    nn.BatchNorm2d{to}, nn.ReLU{},
  }
end
local function deconv(from, to)
  return nn.Sequential{
    nn.ConvTranspose2d{from, to, kernel_size = 4, stride = 2, padding = 1, bias = false},
    nn.BatchNorm2d{to}, nn.ReLU{},
  }
end
local encoder = nn.Sequential{
  conv(1, w, 4, 2), conv(w, 2 * w, 4, 2), conv(2 * w, 2 * w, 3, 1), -- 7 x 7
}
local decoder = nn.Sequential{
  deconv(2 * w, w), deconv(w, w),                                   -- 28 x 28
  nn.Conv2d{w, 1, kernel_size = 3, padding = 1}, nn.Sigmoid{},
}
local net = nn.Sequential{encoder, decoder}
local adam = optim.Adam{net:parameters(), lr = opt.lr}
local schedule = optim.CosineLR{adam, steps = opt.epochs, floor = 0.05}

local function step(images)
  local error = loss.squared_error(net(corrupt(images)), images) -- noise in, clean out
  adam:zero_grad()
  error:backward()
  adam:step()
  return {error = error}
end

-- the test images, corrupted once and for all
local clean = test.images:to(gan.config.real) / 255
local noisy = corrupt(clean)
local function restore(f)
  return gan.metrics.features(f, noisy, {quiet = true}):reshape(clean:shape()):clamp{min = 0,
    max = 1}
end

local run = gan.report.run{opt.out, options = opt, resume = opt.resume}

local function after_epoch(epoch, _, part)
  local restored = restore(net)
  local rows = {}
  for i, images in ipairs{clean, noisy, restored} do
    rows[i] = images:slice(1, 1, 10)
  end
  run:image(("restored-%03d"):format(epoch), gan.cat(rows, {dim = 1}), {columns = 10})
  run:save(net)
  schedule:reach(part)
  return {psnr = gan.metrics.psnr(restored, clean)}
end

gan.train.loop{
  epochs = opt.epochs, steps = opt.steps, minutes = opt.minutes, batches = batches, run = run,
  step = step, compile = opt.compile, after_epoch = after_epoch,
  state = {net = net, adam = adam, schedule = schedule},
}

-- the linear map from noisy to clean images with the least squared error
local linear = gan.metrics.linear_map(train.images, train.images, {change = corrupt})
local result = {
  psnr = gan.metrics.psnr(restore(net), clean),
  linear = gan.metrics.psnr(restore(linear), clean),
  noisy = gan.metrics.psnr(noisy, clean),
}
run:result(result)
print(("test images: %.2f dB noisy, %.2f dB restored, %.2f dB by the best linear denoiser"):format(
  result.noisy, result.psnr, result.linear))
print("pictures, metrics and weights are in " .. opt.out)
