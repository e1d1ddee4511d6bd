-- A GAN that is told what to draw (Mirza and Osindero 2014): the generator gets a class with the
-- code, through the gains and biases of its batch normalisation; the discriminator judges whether
-- an image is real and of that class, by projection (Miyato and Koyama 2018). Each column of the
-- pictures is one class, each row one code.
--
-- With --write N the trained generator also writes N images and their labels (npz), from which a
-- classifier can be trained.
--
--   gan-lua examples/conditional_gan.lua --data mnist --epochs 20 --out runs/conditional

local gan = require "gan"
local nn, optim, loss = gan.nn, gan.optim, gan.loss

local opt = gan.opts{
  "Trains a class-conditional GAN; leaves pictures, metrics.jsonl and weights in a run folder.",
  {"epochs", 20, "passes over the training images"},
  {"data", "mnist", "what to learn", choices = {"mnist", "fashion_mnist"}},
  {"batch_size", 64, "images in a batch"},
  {"lr", 2e-4, "learning rate of both optimisers in the beginning; it falls to a twentieth"},
  {"code", 64, "random numbers from which an image is decoded"},
  {"width", 32, "channels of the widest images"},
  {"write", 0, "in the end, write so many generated images to generated.npz"},
  {"images", 60000, "use only the first so many images"},
  run = "runs/conditional",
}
if not opt then return end
gan.manual_seed(opt.seed)

local data = assert(gan.data[opt.data]{split = "train"})
local classes = 10
local batches = gan.data.batches{
  data.images:slice(1, 1, opt.images), data.labels:slice(1, 1, opt.images),
  batch_size = opt.batch_size, shuffle = true, drop_last = true, range = {-1, 1},
}

local w = opt.width
local G = nn.Conditional{ name = "G",
  nn.LabelConcat{classes, 16},
  nn.Linear{opt.code + 16, 4 * w * 7 * 7}, nn.Unflatten{2, {4 * w, 7, 7}},
  nn.ConditionalBatchNorm2d{4 * w, classes}, nn.ReLU{},
  nn.ConvTranspose2d{4 * w, 2 * w, kernel_size = 4, stride = 2, padding = 1}, -- 14 x 14
  nn.ConditionalBatchNorm2d{2 * w, classes}, nn.ReLU{},
  nn.ConvTranspose2d{2 * w, 1, kernel_size = 4, stride = 2, padding = 1},     -- 28 x 28
  nn.Tanh{},
}
local D = nn.Conditional{ name = "D",
  nn.Conv2d{1, w, kernel_size = 4, stride = 2, padding = 1}, nn.LeakyReLU{0.2},     -- 14 x 14
  nn.Conv2d{w, 2 * w, kernel_size = 4, stride = 2, padding = 1}, nn.LeakyReLU{0.2}, -- 7 x 7
  nn.Flatten{}, nn.Dropout{0.3},
  nn.Projection{2 * w * 7 * 7, classes},
}
local G_params = G:parameters()
local G_opt = optim.Adam{G_params, lr = opt.lr, betas = {0.5, 0.999}}
local D_opt = optim.Adam{D, lr = opt.lr, betas = {0.5, 0.999}}
local G_rate = optim.CosineLR{G_opt, steps = opt.epochs, floor = 0.05}
local D_rate = optim.CosineLR{D_opt, steps = opt.epochs, floor = 0.05}
local average = optim.EMA{G, decay = 0.999, warmup = true}
local objective = loss.adversarial.non_saturating

local function step(real, labels)
  -- generated images have the classes of the real ones
  local fake = G(gan.randn(#real, opt.code), labels)
  D_opt:zero_grad()
  local D_loss = objective.discriminator(D(real, labels), D(fake:detach(), labels))
  D_loss:backward()
  D_opt:step()

  G_opt:zero_grad()
  local G_loss = objective.generator(D(fake, labels))
  G_loss:backward{inputs = G_params}
  G_opt:step()
  average:update()
  return {D = D_loss, G = G_loss}
end

local run = gan.report.run{opt.out, options = opt, resume = opt.resume}
run:generator{G, codes = opt.code, labels = classes}

-- a code for each row, a class for each column: 1 2 ... 10 1 2 ...
local function every_class(rows)
  return gan.arange(classes, {dtype = "int64"}):tile(rows)
end
local fixed_codes = gan.randn(8, 1, opt.code):expand(8, classes, opt.code):reshape(-1, opt.code)

local function draw(epoch, _, part)
  average:use(function() -- normalised by the batch: running statistics are of other weights
    run:image(("samples-%03d"):format(epoch), gan.no_grad(G, fixed_codes, every_class(8)),
      {columns = classes, range = {-1, 1}})
    run:save{G = G, D = D}
  end)
  G_rate:reach(part)
  D_rate:reach(part)
end

-- what the doctor looks at: as many of each class
local watched = every_class(13):slice(1, 1, 128)

gan.train.loop{
  epochs = opt.epochs, steps = opt.steps, minutes = opt.minutes, batches = batches, run = run,
  step = step, compile = opt.compile, after_epoch = draw,
  doctor = gan.doctor{G, D, codes = opt.code,
    sample = function(codes) return G(codes, watched) end,
    score = function(x) return D(x, watched:slice(1, 1, #x)) end},
  state = {G = G, D = D, G_opt = G_opt, D_opt = D_opt, G_rate = G_rate, D_rate = D_rate,
    average = average},
}
average:use(run.generated, run, opt.write, function(n)
  local labels = gan.randint(n, {hi = classes})
  return G(gan.randn(n, opt.code), labels), labels
end, {range = {-1, 1}})
print("pictures, metrics and weights are in " .. opt.out)
