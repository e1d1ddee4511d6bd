-- Compression: the encoder's code, rounded to a few bits a number, is all that is kept of an image.
-- The codes of the test images are written into a file, read from it again and decoded.
--
--   gan-lua examples/compression.lua --bytes 30 --out runs/compression

local gan = require "gan"
local nn, optim, loss = gan.nn, gan.optim, gan.loss

local opt = gan.opts{
  "Trains an image codec; compares bytes and error with PNG and with principal components.",
  {"bytes", 30, "of an image's code"},
  {"bits", 4, "of a number of the code: many rough numbers say more than a few exact ones",
    choices = {2, 4, 8}},
  {"epochs", 10, "passes over the training images"},
  {"batch_size", 128, "images in a batch"},
  {"lr", 1e-3, "learning rate"},
  {"data", "fashion_mnist", "what to learn", choices = {"fashion_mnist", "mnist"}},
  {"images", 60000, "use only the first so many images"},
  run = "runs/compression",
}
if not opt then return end
gan.manual_seed(opt.seed)

local train = assert(gan.data[opt.data]{split = "train"})
local test = assert(gan.data[opt.data]{split = "test"})
train.images = train.images:slice(1, 1, opt.images)
local batches = gan.data.batches{train.images, batch_size = opt.batch_size, shuffle = true}

local each = 8 // opt.bits -- numbers in a byte
local numbers, levels = opt.bytes * each, 2 ^ opt.bits // 1 | 0
local encoder = nn.Sequential{ name = "encoder",
  nn.Flatten{}, nn.Linear{784, 1000}, nn.ReLU{}, nn.Linear{1000, 500}, nn.ReLU{},
  nn.Linear{500, numbers}, nn.Sigmoid{}, -- in (0, 1), to become one of the levels
}
local decoder = nn.Sequential{ name = "decoder",
  nn.Linear{numbers, 500}, nn.ReLU{}, nn.Linear{500, 1000}, nn.ReLU{},
  nn.Linear{1000, 784}, nn.Sigmoid{}, nn.Unflatten{2, {1, 28, 28}},
}
for _, net in ipairs{encoder, decoder} do
  for name, p in net:named_parameters() do
    if name:find "weight" then
      nn.init.kaiming_normal_(p)
    end
  end
end
local adam = optim.Adam{encoder, decoder, lr = opt.lr}
local schedule = optim.CosineLR{adam, steps = opt.epochs, floor = 0.002, warmup = 2}

-- Rounding has no gradient: in training, noise as large as a rounding error stands for it.
local function step(images)
  local code = encoder(images)
  local rounding = (gan.rand_like(code) - 0.5) / (levels - 1)
  local error = loss.squared_error(decoder(code + rounding), images)
  adam:zero_grad()
  error:backward()
  adam:step()
  return {error = error}
end

-- ---- the codec ----------------------------------------------------------------------------------

local HEADER = "<c4I4I4" -- "GANC", number of images, bytes of each
local places = gan.arange(0, each - 1, {dtype = gan.config.real}) -- of a number within its byte
places = gan.full({each}, levels):pow(places)

local function compress(images, path)
  local codes = gan.scope(gan.no_grad, function()
    local code = encoder(images:to(gan.config.real) / 255)
    return ((code * (levels - 1)):round():reshape(-1, opt.bytes, each) * places):sum{3}
      :to("uint8")
  end)
  return gan.files.replace(path, HEADER:pack("GANC", #codes, opt.bytes) .. codes:bytes())
end

local function restore(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "a"
  file:close()
  local mark, n, bytes, first = HEADER:unpack(text)
  assert(mark == "GANC" and bytes == opt.bytes and #text == first - 1 + n * bytes,
    path .. ": not a file of this codec")
  local codes = gan.tensor(text:sub(first), {shape = {n, bytes}, dtype = "uint8"})
  return gan.scope(gan.no_grad, function()
    local digits = (codes:to(gan.config.real):unsqueeze(3) / places):floor()
    digits = digits - (digits / levels):floor() * levels
    return decoder(digits:reshape(n, numbers) / (levels - 1))
  end), #text
end

local run = gan.report.run{opt.out, options = opt, resume = opt.resume}
local clean = test.images:to(gan.config.real) / 255

local function after_epoch(epoch, _, part)
  assert(compress(test.images, run:path "test.codes"))
  local restored = restore(run:path "test.codes")
  run:image(("restored-%03d"):format(epoch), gan.cat({clean:slice(1, 1, 10),
    restored:slice(1, 1, 10)}, {dim = 1}), {columns = 10})
  run:save{encoder = encoder, decoder = decoder}
  schedule:reach(part)
  return {psnr = gan.metrics.psnr(restored, clean)}
end

gan.train.loop{
  epochs = opt.epochs, steps = opt.steps, minutes = opt.minutes, batches = batches, run = run,
  step = step, compile = opt.compile, after_epoch = after_epoch,
  state = {encoder = encoder, decoder = decoder, adam = adam, schedule = schedule},
}

-- ---- beside it: PNG, and principal components rounded to bytes ----------------------------------

local function png_bytes() -- of the first 500 test images, each a file, on average
  local path, sum, n = run:path "one.png", 0, math.min(500, #test.images)
  for i = 1, n do
    assert(gan.image.save(path, test.images[i]))
    local file = assert(io.open(path, "rb"))
    sum = sum + file:seek "end"
    file:close()
  end
  os.remove(path)
  return sum / n
end

local pca = gan.metrics.pca(train.images, math.min(opt.bytes, 784))
local seen, codes = pca:encode(train.images), pca:encode(test.images)
local low, high = seen:amin{1}, seen:amax{1} -- a byte covers the range of the training codes
local rounded = ((codes - low) / (high - low) * 255):round():clamp{min = 0, max = 255}
local by_pca = pca:decode(rounded / 255 * (high - low) + low):clamp{min = 0, max = 1}

local restored, bytes = restore(run:path "test.codes")
local result = {
  bytes = bytes / #test.images, psnr = gan.metrics.psnr(restored, clean),
  error = gan.metrics.summed_error(restored, clean), png_bytes = png_bytes(),
  pca_psnr = gan.metrics.psnr(by_pca:reshape(clean:shape()), clean),
}
assert(gan.data.save_npy(run:path "restored.npy", restored))
run:result(result)
print(("%.1f bytes an image (PNG without loss: %.0f), %.2f dB; principal components in as many: "
  .. "%.2f dB"):format(result.bytes, result.png_bytes, result.psnr, result.pca_psnr))
print("the compressed test images, pictures, metrics and weights are in " .. opt.out)
