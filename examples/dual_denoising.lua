-- Two auto-encoders, one of noisy and one of clean images, whose codes have the same width and come
-- to agree: loss = error of domain 1 + error of domain 2 + distance of the two codes. Encoding a
-- noisy image in its domain and decoding it in the other removes the noise.
--
--   gan-lua examples/dual_denoising.lua --level 0.5 --out runs/dual_denoising

local gan = require "gan"
local nn, optim, loss = gan.nn, gan.optim, gan.loss

local opt = gan.opts{
  "Trains dual auto-encoders of noisy and clean images; compares with the best linear map.",
  {"noise", "gaussian", "what is done to the images",
    choices = {"gaussian", "masking", "salt_and_pepper"}},
  {"level", 0.5, "standard deviation, or the share of the pixels that is lost"},
  {"code", 64, "width of the codes"},
  {"distance", 1.0, "weight of the distance of the codes"},
  {"cross", 1.0, "weight of the error of translated images; the lecture's loss has 0"},
  {"correlation", 0.0, "weight of the correlation of the codes"},
  {"epochs", 10, "passes over the training images"},
  {"batch_size", 128, "images in a batch"},
  {"lr", 1e-3, "learning rate"},
  {"data", "fashion_mnist", "what to learn", choices = {"fashion_mnist", "mnist"}},
  {"images", 60000, "use only the first so many images"},
  run = "runs/dual_denoising",
}
if not opt then return end
gan.manual_seed(opt.seed)

local train = assert(gan.data[opt.data]{split = "train"})
local test = assert(gan.data[opt.data]{split = "test"})
train.images = train.images:slice(1, 1, opt.images)
local batches = gan.data.batches{train.images, batch_size = opt.batch_size, shuffle = true}

-- (N, 1, 28, 28) -> what the first domain sees of it, a row of pixels
local function degrade(images)
  return gan.noise[opt.noise](images, opt.level):clamp{min = 0, max = 1}:flatten(2)
end

local function encoder()
  return nn.Sequential{nn.Linear{784, 1000}, nn.ReLU{}, nn.Linear{1000, 500}, nn.ReLU{},
    nn.Linear{500, opt.code}}
end
local function decoder()
  return nn.Sequential{nn.Linear{opt.code, 500}, nn.ReLU{}, nn.Linear{500, 1000}, nn.ReLU{},
    nn.Linear{1000, 784}, nn.Sigmoid{}}
end
-- domain 1: noisy images, domain 2: clean ones
local net = nn.MultiAutoencoder{
  encoders = {encoder(), encoder()}, decoders = {decoder(), decoder()},
}
for name, p in net:named_parameters() do
  if name:find "weight" then
    nn.init.kaiming_normal_(p)
  end
end
local adam = optim.Adam{net:parameters(), lr = opt.lr}
local schedule = optim.CosineLR{adam, steps = opt.epochs, floor = 0.002}

-- sum_i |decoder_i(encoder_i(x_i)) - x_i|^2 + distance |encoder_1(x_1) - encoder_2(x_2)|^2 ...
local function step(images)
  local total, parts = loss.multi_view(net, {degrade(images), images:flatten(2)}, {
    distance = opt.distance, cross = opt.cross, correlation = opt.correlation,
  })
  adam:zero_grad()
  total:backward()
  adam:step()
  return {loss = total, reconstruction = parts.reconstruction, distance = parts.distance}
end

local clean = test.images:to(gan.config.real) / 255
local given = degrade(clean) -- once and for all
clean = clean:flatten(2)
local function translated()
  return gan.scope(gan.no_grad, net.translate, net, given, 1, 2)
end

local function pictures(x) return x:slice(1, 1, 10):reshape(-1, 1, 28, 28) end

local run = gan.report.run{opt.out, options = opt, resume = opt.resume}

local function after_epoch(epoch, _, part)
  local restored = translated()
  run:image(("translated-%03d"):format(epoch), gan.cat({pictures(given), pictures(restored),
    pictures(clean)}, {dim = 1}), {columns = 10})
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
  change = function(x) return degrade(x:reshape(-1, 1, 28, 28)) end,
})
local result = {
  psnr = gan.metrics.psnr(translated(), clean),
  linear = gan.metrics.psnr(gan.no_grad(linear, given):clamp{min = 0, max = 1}, clean),
}
run:result(result)
print(("noisy to clean test images: %.2f dB, the best linear map %.2f dB"):format(
  result.psnr, result.linear))
print("pictures, metrics and weights are in " .. opt.out)
