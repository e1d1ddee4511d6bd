-- What the tests of resuming train: a small GAN, dense or convolutional, on images made up here,
-- with everything that has a state: Adam, dropout, batch normalisation, augmentation from both
-- random generators, averaged weights, a learning rate that changes at every step.

local gan = require "gan"
local nn, optim, loss = gan.nn, gan.optim, gan.loss

local opt = gan.opts{
  "Trains a small GAN; leaves weights.safetensors with all that it learnt.",
  {"net", "dense", "which one", choices = {"dense", "conv"}},
  {"epochs", 3, "passes over the images"},
  {"images", 96, "how many images"},
  {"size", 8, "pixels of a side, a multiple of 4"},
  {"width", 16, "size of the hidden layers"},
  {"every", 0.05, "seconds between checkpoints"},
  {"keep", 2, "checkpoints that stay"},
  {"signal", "", "sends itself this signal after --at steps"},
  {"at", 0, "in which step faults or signals come; 0: none"},
  {"fault", "", "lets checkpoints from that step on fail: full, error, readonly, kill"},
  {"after", 0, "so many file operations later"},
  {"times", 1, "so many times"},
  {"out", "runs/resumable", "run folder"},
  {"resume", false, "go on with the run in that folder, from its latest checkpoint"},
}
if not opt then return end
gan.manual_seed(1)
math.randomseed(1)

local s, w = opt.size, opt.width
local images = (gan.rand(opt.images, 1, s, s) * 255):to("uint8")
local batches = gan.data.batches{
  images, batch_size = 16, shuffle = true, range = {-1, 1},
  augment = function(x) return x + gan.randn(x:shape()) * 0.05 end,
}

local nets = {}

function nets.dense()
  return nn.Sequential{
    nn.Linear{8, w}, nn.BatchNorm1d{w}, nn.LeakyReLU{0.2}, nn.Dropout{0.2},
    nn.Linear{w, s * s}, nn.Tanh{}, nn.Unflatten{2, {1, s, s}},
  }, nn.Sequential{
    nn.Flatten{}, nn.Linear{s * s, w}, nn.LeakyReLU{0.2}, nn.Dropout{0.3}, nn.Linear{w, 1},
  }
end

function nets.conv()
  return nn.Sequential{
    nn.Linear{8, w * s * s // 16}, nn.Unflatten{2, {w, s // 4, s // 4}},
    nn.BatchNorm2d{w}, nn.ReLU{},
    nn.ConvTranspose2d{w, w, kernel_size = 4, stride = 2, padding = 1, bias = false},
    nn.BatchNorm2d{w}, nn.ReLU{}, nn.Dropout{0.1},
    nn.ConvTranspose2d{w, 1, kernel_size = 4, stride = 2, padding = 1}, nn.Tanh{},
  }, nn.Sequential{
    nn.Conv2d{1, w, kernel_size = 4, stride = 2, padding = 1}, nn.LeakyReLU{0.2}, nn.Dropout{0.3},
    nn.Conv2d{w, w, kernel_size = 4, stride = 2, padding = 1, bias = false},
    nn.BatchNorm2d{w}, nn.LeakyReLU{0.2},
    nn.Flatten{}, nn.Linear{w * s * s // 16, 1},
  }
end

local G, D = nets[opt.net]()
local G_params, D_params = G:parameters(), D:parameters()
local G_opt = optim.Adam{G_params, lr = 1e-3, betas = {0.5, 0.999}}
local D_opt = optim.AdamW{D_params, lr = 1e-3, amsgrad = true}
local schedule = optim.CosineLR{G_opt, steps = 500, warmup = 5}
local average = optim.EMA{G, decay = 0.99, warmup = true}
local mine = {steps = 0, last = {}}

-- Flipped or not, shifted, with other brightness: D sees real and generated images so (Zhao et al.
-- 2020, "Differentiable augmentation").
local function augment(x)
  if math.random() < 0.5 then
    x = x:flip(4)
  end
  local shift = math.random(-1, 1)
  return x:pad{pads = {0, 0, 0, 0, 0, 0, shift, -shift}} + gan.randn(#x, 1, 1, 1) * 0.1
end

local function step(real)
  mine.steps = mine.steps + 1
  if mine.steps == opt.at and opt.signal ~= "" then
    local pid = assert(io.open "/proc/self/stat"):read "n"
    io.popen(("kill -%s %d"):format(opt.signal, pid)):close()
  elseif mine.steps == opt.at and opt.fault ~= "" then
    gan.debug.fail_io(opt.after, opt.fault, opt.times)
  end
  local fake = G(gan.randn(#real, 8))
  D_opt:zero_grad()
  local D_loss = loss.gan_discriminator_loss_logits(D(augment(real)), D(augment(fake:detach())))
  D_loss:backward()
  D_opt:step()
  G_opt:zero_grad()
  local G_loss = loss.gan_generator_loss_logits(D(augment(fake)))
  G_loss:backward{inputs = G_params}
  G_opt:step()
  schedule:step()
  average:update()
  table.insert(mine.last, 1, G_loss:item())
  mine.last[4] = nil
  return {D = D_loss, G = G_loss}
end

local run = gan.report.run{opt.out, options = opt, resume = opt.resume}
gan.train.loop{
  epochs = opt.epochs, batches = batches, run = run, step = step,
  after_epoch = function() return {drawn = gan.rand(1):item()} end,
  state = {
    G = G, D = D, G_opt = G_opt, D_opt = D_opt, schedule = schedule, average = average, mine = mine,
  },
  checkpoint = {every = opt.every, keep = opt.keep},
}

-- everything that the end depends on, in one file whose bytes can be compared
local state = {next = gan.rand(4), host = gan.tensor{math.random()}}
for name, t in pairs(G:state_dict()) do state["G." .. name] = t end
for name, t in pairs(D:state_dict()) do state["D." .. name] = t end
for name, t in pairs(G_opt:state_dict().tensors) do state["G_opt." .. name] = t end
for name, t in pairs(D_opt:state_dict().tensors) do state["D_opt." .. name] = t end
for name, t in pairs(average:state_dict().weights) do state["average." .. name] = t end
state.last = gan.tensor(mine.last)
assert(gan.files.save_safetensors(run:path "weights.safetensors", state, {
  steps = tostring(mine.steps), lr = tostring(G_opt.lr),
}))
