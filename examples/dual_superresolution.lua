-- Two auto-encoders, one of low and one of high resolution, whose codes have the same width and
-- come to agree: loss = error of domain 1 + error of domain 2 + distance of the two codes. Encoding
-- in one domain and decoding in the other turns small images into large ones.
--
--   gan-lua examples/dual_superresolution.lua --factor 4 --out runs/dual_superresolution

local gan = require "gan"
local nn, optim, loss = gan.nn, gan.optim, gan.loss

local opt = gan.opts{
  "Trains dual auto-encoders of small and large images; compares with the best linear map.",
  {"factor", 2, "how many times smaller the small images are", choices = {2, 4}},
  {"code", 16, "channels of the codes, each of 7 x 7 numbers"},
  {"width", 32, "channels of the other layers"},
  {"distance", 0.1, "weight of the distance of the codes"},
  {"cross", 1.0, "weight of the error of translated images; the lecture's loss has 0"},
  {"correlation", 0.0, "weight of the correlation of the codes"},
  {"epochs", 10, "passes over the training images"},
  {"batch_size", 64, "images in a batch"},
  {"lr", 2e-3, "learning rate; it falls to zero"},
  {"data", "fashion_mnist", "what to learn", choices = {"fashion_mnist", "mnist"}},
  {"images", 60000, "use only the first so many images"},
  run = "runs/dual_superresolution",
}
if not opt then return end
gan.manual_seed(opt.seed)

local train = assert(gan.data[opt.data]{split = "train"})
local test = assert(gan.data[opt.data]{split = "test"})
train.images = train.images:slice(1, 1, opt.images)
local batches = gan.data.batches{train.images, batch_size = opt.batch_size, shuffle = true}

local function shrink(images) return images:avg_pool2d(opt.factor) end

local w = opt.width
local function block(layer, channels)
  return nn.Sequential{layer, nn.BatchNorm2d{channels}, nn.ReLU{}}
end
-- images of 7 * 2^halvings pixels a side -> (N, code, 7, 7) and back
local function encoder(halvings)
  local layers = {block(nn.Conv2d{1, w, kernel_size = 3, padding = 1}, w)}
  for _ = 1, halvings do
    layers[#layers + 1] = block(nn.Conv2d{w, w, kernel_size = 4, stride = 2, padding = 1}, w)
  end
  layers[#layers + 1] = block(nn.Conv2d{w, 2 * w, kernel_size = 3, padding = 1}, 2 * w)
  layers[#layers + 1] = nn.Conv2d{2 * w, opt.code, kernel_size = 3, padding = 1}
  return nn.Sequential(layers)
end
local function decoder(doublings)
  local layers = {block(nn.Conv2d{opt.code, 2 * w, kernel_size = 3, padding = 1}, 2 * w),
    block(nn.Conv2d{2 * w, w, kernel_size = 3, padding = 1}, w)}
  for _ = 1, doublings do
    layers[#layers + 1] = block(
      nn.ConvTranspose2d{w, w, kernel_size = 4, stride = 2, padding = 1}, w)
  end
  layers[#layers + 1] = nn.Conv2d{w, 1, kernel_size = 3, padding = 1}
  layers[#layers + 1] = nn.Sigmoid{}
  return nn.Sequential(layers)
end
local halvings = opt.factor == 2 and 1 or 0 -- from the small images to the codes
-- domain 1: small images, domain 2: large ones
local net = nn.MultiAutoencoder{
  encoders = {encoder(halvings), encoder(2)}, decoders = {decoder(halvings), decoder(2)},
}
local adam = optim.Adam{net:parameters(), lr = opt.lr}
local schedule = optim.CosineLR{adam, steps = opt.epochs, floor = 0.002}

-- sum_i |decoder_i(encoder_i(x_i)) - x_i|^2 + distance |encoder_1(x_1) - encoder_2(x_2)|^2 ...
local function step(images)
  local total, parts = loss.multi_view(net, {shrink(images), images}, {
    distance = opt.distance, cross = opt.cross, correlation = opt.correlation,
  })
  adam:zero_grad()
  total:backward()
  adam:step()
  return {loss = total, reconstruction = parts.reconstruction, distance = parts.distance}
end

local clean = test.images:to(gan.config.real) / 255
local given = shrink(clean)
local function translated()
  return gan.metrics.features(function(x)
    net:eval()
    return net:translate(x, 1, 2)
  end, given, {quiet = true}):reshape(clean:shape())
end

local function enlarged(x) return x:slice(1, 1, 10):upsample_nearest{28, 28} end

local run = gan.report.run{opt.out, options = opt, resume = opt.resume}

local function after_epoch(epoch, _, part)
  local restored = translated()
  net:train()
  run:image(("translated-%03d"):format(epoch), gan.cat({enlarged(given), enlarged(restored),
    enlarged(clean)}, {dim = 1}), {columns = 10})
  run:save(net)
  schedule:reach(part)
  return {psnr = gan.metrics.psnr(restored, clean)}
end

gan.train.loop{
  epochs = opt.epochs, steps = opt.steps, minutes = opt.minutes, batches = batches, run = run,
  step = step, compile = opt.compile, after_epoch = after_epoch,
  state = {net = net, adam = adam, schedule = schedule},
}

-- the linear map with the least squared error
local linear = gan.metrics.linear_map(train.images, train.images, {
  change = function(x) return shrink(x:reshape(-1, 1, 28, 28)):flatten(2) end,
})
local result = {
  psnr = gan.metrics.psnr(translated(), clean),
  linear = gan.metrics.psnr(gan.no_grad(linear, given:flatten(2)):clamp{min = 0, max = 1},
    clean:flatten(2)),
}
run:result(result)
print(("small to large test images: %.2f dB, the best linear map %.2f dB"):format(
  result.psnr, result.linear))
print("pictures, metrics and weights are in " .. opt.out)
