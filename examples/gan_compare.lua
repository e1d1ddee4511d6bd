-- Which objective? One generator, one discriminator, one budget, all losses: after training, each
-- is measured on features of a small classifier that is trained here first. The table goes into
-- compare.json, the samples of each into a picture.
--
--   gan-lua examples/gan_compare.lua --epochs 10 --only hinge,wgan_gp --out runs/compare

local gan = require "gan"
local nn, optim, loss, metrics = gan.nn, gan.optim, gan.loss, gan.metrics

local opt = gan.opts{
  "Trains the same GAN with every objective and compares the samples.",
  {"epochs", 10, "passes over the training images for each objective"},
  {"data", "fashion_mnist", "what to learn", choices = {"fashion_mnist", "mnist"}},
  {"only", "", "names of objectives, separated by commas; default: all"},
  {"batch_size", 64, "images in a batch"},
  {"lr", 2e-4, "learning rate in the beginning; it falls to a twentieth"},
  {"code", 64, "random numbers from which an image is decoded"},
  {"width", 32, "channels of the widest images"},
  {"samples", 5000, "generated and real images that are compared"},
  {"images", 60000, "use only the first so many images"},
  {"write", 0, "for each, write so many generated images to generated.npz"},
  run = "runs/compare", -- the steps and minutes are those of each
}
if not opt then return end

local function read(split) return assert(gan.data[opt.data]{split = split}) end
local train, test = read "train", read "test"
local images = train.images:slice(1, 1, opt.images)
-- what differs: the pair of losses, a penalty of the slope, clipping, updates of D for one of G
local recipes = {
  {name = "minimax"}, {name = "non_saturating"}, {name = "least_squares"}, {name = "hinge"},
  {name = "relativistic"},
  {name = "wgan", pair = "wasserstein", clip = 0.01, rmsprop = true, d_steps = 5},
  {name = "wgan_gp", pair = "wasserstein", d_steps = 5, betas = {0, 0.9},
    penalty = function(D, real, fake) return loss.gradient_penalty(D, real, fake) * 10 end},
  {name = "r1", pair = "non_saturating",
    penalty = function(D, real) return loss.r1_penalty(D, real) * 0.5 end},
}

-- ---- features: the hidden layer of a classifier ----
gan.manual_seed(opt.seed)
local C = metrics.classifier{images, train.labels:slice(1, 1, opt.images), classes = 10}
local features = nn.Sequential{table.unpack(C, 1, #C - 1)}
local real_features = metrics.features(features, test.images:slice(1, 1, opt.samples))

-- ---- one objective ----
local function train_one(recipe)
  local w = opt.width
  gan.manual_seed(opt.seed)
  local G = nn.Sequential{ name = "G",
    nn.Linear{opt.code, 2 * w * 7 * 7}, nn.Unflatten{2, {2 * w, 7, 7}},
    nn.BatchNorm2d{2 * w}, nn.ReLU{},
    nn.ConvTranspose2d{2 * w, w, kernel_size = 4, stride = 2, padding = 1}, -- 14 x 14
    nn.BatchNorm2d{w}, nn.ReLU{},
    nn.ConvTranspose2d{w, 1, kernel_size = 4, stride = 2, padding = 1}, nn.Tanh{},
  }
  local D = nn.Sequential{ name = "D",
    nn.Conv2d{1, w, kernel_size = 4, stride = 2, padding = 1}, nn.LeakyReLU{0.2},
    nn.Conv2d{w, 2 * w, kernel_size = 4, stride = 2, padding = 1}, nn.LeakyReLU{0.2},
    nn.Flatten{}, nn.Linear{2 * w * 7 * 7, 1},
  }
  local function optimizer(params)
    return recipe.rmsprop and optim.RMSprop{params, lr = opt.lr / 4}
      or optim.Adam{params, lr = opt.lr, betas = recipe.betas or {0.5, 0.999}}
  end
  local G_params = G:parameters()
  local G_opt, D_opt = optimizer(G_params), optimizer(D)
  local function falling(rule) return optim.CosineLR{rule, steps = opt.epochs, floor = 0.05} end
  local rates = {falling(G_opt), falling(D_opt)}
  local average = optim.EMA{G, decay = 0.999, warmup = true}
  local clip = recipe.clip and gan.adversarial.clipping{D_opt, c = recipe.clip}
  local pair = loss.adversarial[recipe.pair or recipe.name]
  local function step(...)
    local D_loss
    for _, real in ipairs{...} do
      local fake = gan.no_grad(G, gan.randn(#real, opt.code))
      D_loss = pair.discriminator(D(real), D(fake))
      local total = recipe.penalty and D_loss + recipe.penalty(D, real, fake) or D_loss
      D_opt:zero_grad()
      total:backward()
      D_opt:step()
      if clip then clip() end
    end
    local real = ...
    local G_loss = pair.generator(D(G(gan.randn(#real, opt.code))), D(real):detach())
    G_opt:zero_grad()
    G_loss:backward{inputs = G_params}
    G_opt:step()
    average:update()
    return {D = D_loss, G = G_loss}
  end
  local batches = gan.adversarial.rounds(gan.data.batches{images, batch_size = opt.batch_size,
    shuffle = true, drop_last = true, range = {-1, 1}}, recipe.d_steps or 1)
  local run = gan.report.run{opt.out .. "/" .. recipe.name, options = opt, resume = opt.resume}
  local doctor = gan.doctor{G, D, codes = opt.code}
  local function after(_, _, part)
    for _, rate in ipairs(rates) do rate:reach(part) end
  end
  gan.train.loop{
    epochs = opt.epochs, steps = opt.steps, minutes = opt.minutes, batches = batches, run = run,
    step = step, compile = opt.compile, doctor = doctor, after_epoch = after,
    state = {G = G, D = D, G_opt = G_opt, D_opt = D_opt, rates = rates, average = average},
  }
  average:copy_to(G) -- normalised by the batch: running statistics are of other weights
  local f = metrics.features(function(codes) return features(G(codes)) end,
    gan.randn(opt.samples, opt.code))
  run:image("samples", gan.no_grad(G, gan.randn(64, opt.code)), {range = {-1, 1}})
  run:save{G = G, D = D}
  run:generated(opt.write, function(n) return G(gan.randn(n, opt.code)) end, {range = {-1, 1}})
  local result, diagnosis = metrics.prdc(real_features, f), doctor.diagnoses[1]
  result.frechet = metrics.frechet(real_features, f)
  result.one_nn = metrics.one_nn(real_features, f).accuracy
  result.doctor = diagnosis and diagnosis.doctor or "-"
  return result
end

local results, only = {}, "," .. opt.only .. ","
for _, recipe in ipairs(recipes) do
  if opt.only == "" or only:find("," .. recipe.name .. ",", 1, true) then
    print("--- " .. recipe.name)
    results[recipe.name] = train_one(recipe)
    assert(gan.files.replace(opt.out .. "/compare.json", gan.json.encode(results) .. "\n"))
  end
end
print("objective           frechet  precision     recall   coverage     one_nn  doctor")
for _, recipe in ipairs(recipes) do
  local r = results[recipe.name]
  if r then
    print(("%-16s %10.4g %10.3f %10.3f %10.3f %10.3f  %s"):format(recipe.name, r.frechet,
      r.precision, r.recall, r.coverage, r.one_nn, r.doctor))
  end
end
