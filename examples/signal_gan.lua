-- A GAN of sounds: short notes of a plucked string, each with its own pitch, hardness and decay,
-- made by a formula. The generator decodes random codes into sounds by transposed convolutions in
-- one dimension (as WaveGAN: Donahue et al. 2019); what it plays is written as a WAV file every
-- epoch, next to real notes. With --data FOLDER it learns from WAV files of your own.
--
--   gan-lua examples/signal_gan.lua --epochs 20 --out runs/signal

local gan = require "gan"
local nn, optim, loss = gan.nn, gan.optim, gan.loss

local opt = gan.opts{
  "Trains a GAN on sounds; leaves WAV files, metrics.jsonl and weights in a run folder.",
  {"epochs", 20, "passes over the sounds"},
  {"batch_size", 64, "sounds in a batch"},
  {"lr", 2e-4, "learning rate of both optimisers"},
  {"r1", 1.0, "weight of the penalty of D's slope at real sounds"},
  {"code", 64, "random numbers from which a sound is decoded"},
  {"width", 32, "channels next to the sound"},
  {"rate", 8000, "samples in a second"},
  {"data", "", "a folder of WAV files to learn from"},
  {"images", 8192, "use only so many sounds"},
  run = "runs/signal",
}
if not opt then return end
gan.manual_seed(opt.seed)

local LENGTH = 2048 -- samples in a sound: a quarter of a second

--- Notes: harmonics of a pitch between 110 and 440 Hz, the higher the softer and the sooner gone.
local function notes(n)
  local t = gan.arange(0, LENGTH - 1):unsqueeze(1) / opt.rate
  local pitch = (gan.rand(n, 1) * 2):mul_scalar(math.log(2)):exp() * 110
  local decay, hardness = gan.rand(n, 1) * 12 + 4, gan.rand(n, 1) * 0.5 + 0.3
  local sum = gan.zeros(n, LENGTH)
  for k = 1, 6 do
    local phase = gan.rand(n, 1) * (2 * math.pi)
    sum = sum + hardness:pow_scalar(k - 1) * (t * decay * (-0.5 - k / 2)):exp()
      * (t * pitch * (2 * math.pi * k) + phase):sin()
  end
  return (sum / sum:abs():amax({2}, {keepdim = true}) * 0.9):unsqueeze(2)
end

--- Pieces of the WAV files of a folder, one channel, as loud as the notes.
local function recordings(folder)
  local parts = {}
  for _, name in ipairs(assert(gan.files.list(folder))) do
    if name:lower():find "%.wav$" then
      local x = assert(gan.data.wav(folder .. "/" .. name)):mean{1}
      local n = x:numel() // LENGTH
      parts[#parts + 1] = n > 0 and x:slice(1, 1, n * LENGTH):reshape(n, 1, LENGTH) or nil
    end
  end
  assert(#parts > 0, folder .. ": there are no WAV files of a quarter of a second")
  local all = gan.cat(parts, {dim = 1})
  return all / all:abs():amax() * 0.9
end

local sounds = opt.data ~= "" and recordings(opt.data) or gan.scope(notes, opt.images)
sounds = sounds:slice(1, 1, opt.images)
local batches = gan.data.batches{sounds, batch_size = opt.batch_size, shuffle = true,
  drop_last = true}

-- 8 * 4^4 = 2048: each layer makes four samples of one
local w = opt.width
local function up(from, to)
  return nn.ConvTranspose1d{from, to, kernel_size = 16, stride = 4, padding = 6}
end
local function down(from, to)
  return nn.Conv1d{from, to, kernel_size = 16, stride = 4, padding = 6}
end
local G = nn.Sequential{ name = "G",
  nn.Linear{opt.code, 8 * w * 8}, nn.Unflatten{2, {8 * w, 8}}, nn.ReLU{},
  up(8 * w, 4 * w), nn.BatchNorm1d{4 * w}, nn.ReLU{},
  up(4 * w, 2 * w), nn.BatchNorm1d{2 * w}, nn.ReLU{},
  up(2 * w, w), nn.BatchNorm1d{w}, nn.ReLU{},
  up(w, 1), nn.Tanh{},
}
local D = nn.Sequential{ name = "D",
  down(1, w), nn.LeakyReLU{0.2},
  down(w, 2 * w), nn.LeakyReLU{0.2},
  down(2 * w, 4 * w), nn.LeakyReLU{0.2},
  down(4 * w, 8 * w), nn.LeakyReLU{0.2},
  nn.Flatten{}, nn.Linear{8 * w * 8, 1},
}
local G_params = G:parameters()
local G_opt = optim.Adam{G_params, lr = opt.lr, betas = {0.5, 0.999}}
local D_opt = optim.Adam{D, lr = opt.lr, betas = {0.5, 0.999}}
local objective = loss.adversarial.non_saturating

local function step(real)
  local fake = G(gan.randn(#real, opt.code))
  local D_loss = objective.discriminator(D(real), D(fake:detach()))
  local total = D_loss + loss.r1_penalty(D, real) * (opt.r1 / 2)
  D_opt:zero_grad()
  total:backward()
  D_opt:step()

  G_opt:zero_grad()
  local G_loss = objective.generator(D(fake))
  G_loss:backward{inputs = G_params}
  G_opt:step()
  return {D = D_loss, G = G_loss}
end

local run = gan.report.run{opt.out, options = opt, resume = opt.resume}
local fixed_codes = gan.randn(16, opt.code)

local function play(name, x) -- one after the other
  assert(gan.data.save_wav(run:path(name .. ".wav"), x:reshape(1, -1), {rate = opt.rate}))
end
play("real", sounds:slice(1, 1, 16))

local function after(epoch)
  G:eval()
  play(("samples-%03d"):format(epoch), gan.no_grad(G, fixed_codes))
  G:train()
  run:save{G = G, D = D}
end

gan.train.loop{
  epochs = opt.epochs, steps = opt.steps, minutes = opt.minutes, batches = batches, run = run,
  step = step, compile = opt.compile, after_epoch = after,
  doctor = gan.doctor{G, D, codes = opt.code},
  state = {G = G, D = D, G_opt = G_opt, D_opt = D_opt},
}
print("sounds, metrics and weights are in " .. opt.out)
