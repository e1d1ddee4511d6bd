-- A convolutional GAN on pictures of your own: a folder of PNG and JPEG files of any size, which
-- are cropped and scaled to squares. With few pictures the discriminator would soon know them by
-- heart, so it sees them, and the generator's, moved and recoloured at random (Zhao et al. 2020).
--
--   gan-lua examples/own_images.lua photos --size 64 --epochs 200 --out runs/photos

local gan = require "gan"
local nn, optim, loss = gan.nn, gan.optim, gan.loss

local opt = gan.opts{
  "Trains a GAN on the pictures of a folder; leaves samples, metrics and weights in a run folder.",
  usage = "gan-lua examples/own_images.lua FOLDER [options]",
  {"folder", "", "the pictures; also the first word without a name"},
  {"epochs", 200, "passes over the pictures"},
  {"size", 32, "pixels of a side, a power of two from 8 to 256"},
  {"channels", 3, "3: colours, 1: shades of grey"},
  {"batch_size", 32, "pictures in a batch"},
  {"lr", 2e-4, "learning rate of both optimisers"},
  {"code", 64, "random numbers from which a picture is decoded"},
  {"width", 32, "channels at full size; every halving of the size doubles them, up to 8 times"},
  {"augment", true, "change what the discriminator sees at random"},
  {"flip", true, "pictures may be mirrored left to right"},
  run = "runs/own_images",
}
if not opt then return end
opt.folder = opt.folder ~= "" and opt.folder or opt[1] or ""
local halvings = math.tointeger(math.log(opt.size, 2) - 2)
if opt.folder == "" or not halvings or halvings < 1 or halvings > 6 then
  error("give a folder of pictures and a --size of 8, 16, 32, 64, 128 or 256 (see --help)", 0)
end
gan.manual_seed(opt.seed)

local set = assert(gan.data.images{opt.folder, size = opt.size, channels = opt.channels})
local batches = gan.data.batches{
  set.images, batch_size = math.min(opt.batch_size, #set.images), shuffle = true, drop_last = true,
  range = {-1, 1}, augment = opt.flip and {gan.data.augment.flip{}} or nil,
}
print(("%d pictures in %s"):format(#set.images, opt.folder))

--- Channels of the images that were halved i times.
local function channels(i)
  return opt.width * math.min(2 ^ i, 8) // 1
end

local G = nn.Sequential{ name = "G",
  nn.Linear{opt.code, channels(halvings) * 16}, nn.Unflatten{2, {channels(halvings), 4, 4}},
  nn.BatchNorm2d{channels(halvings)}, nn.ReLU{},
}
local D = nn.Sequential{ name = "D",
  nn.Conv2d{opt.channels, channels(1), kernel_size = 4, stride = 2, padding = 1},
  nn.LeakyReLU{0.2},
}
for i = halvings, 2, -1 do
  G:append(nn.ConvTranspose2d{channels(i), channels(i - 1), kernel_size = 4, stride = 2,
    padding = 1, bias = false})
  G:append(nn.BatchNorm2d{channels(i - 1)})
  G:append(nn.ReLU{})
end
G:append(nn.ConvTranspose2d{channels(1), opt.channels, kernel_size = 4, stride = 2, padding = 1})
G:append(nn.Tanh{})
for i = 1, halvings - 1 do
  D:append(nn.Conv2d{channels(i), channels(i + 1), kernel_size = 4, stride = 2, padding = 1,
    bias = false})
  D:append(nn.BatchNorm2d{channels(i + 1)})
  D:append(nn.LeakyReLU{0.2})
end
D:append(nn.Flatten{})
D:append(nn.Linear{channels(halvings) * 16, 1})
nn.init.dcgan_(G)
nn.init.dcgan_(D)

local G_params = G:parameters()
local G_opt = optim.Adam{G_params, lr = opt.lr, betas = {0.5, 0.999}}
local D_opt = optim.Adam{D, lr = opt.lr, betas = {0.5, 0.999}}
local average = optim.EMA{G, decay = 0.995, warmup = true}
local seen = opt.augment and gan.adversarial.augment{"color", "translation"}
  or function(x) return x end

local function step(real)
  local fake = G(gan.randn(#real, opt.code))
  D_opt:zero_grad()
  local D_loss = loss.gan_discriminator_loss_logits(D(seen(real)), D(seen(fake:detach())))
  D_loss:backward()
  D_opt:step()
  G_opt:zero_grad()
  local G_loss = loss.gan_generator_loss_logits(D(seen(fake)))
  G_loss:backward{inputs = G_params}
  G_opt:step()
  average:update()
  return {D = D_loss, G = G_loss}
end

local run = gan.report.run{opt.out, options = opt, resume = opt.resume}
local fixed_codes = gan.randn(64, opt.code)

local function draw(epoch)
  if epoch % 5 ~= 0 and epoch ~= opt.epochs then return end
  average:use(function()
    run:image(("samples-%04d"):format(epoch), gan.no_grad(G, fixed_codes),
      {columns = 8, range = {-1, 1}})
    run:save{G = G, D = D}
  end)
end

gan.train.loop{
  epochs = opt.epochs, steps = opt.steps, minutes = opt.minutes, batches = batches, run = run,
  step = step, compile = opt.compile, after_epoch = draw,
  doctor = gan.doctor{G, D, codes = opt.code},
  state = {G = G, D = D, G_opt = G_opt, D_opt = D_opt, average = average},
}
print("samples, metrics and weights are in " .. opt.out)
