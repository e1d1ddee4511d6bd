-- A small style-based generator (Karras et al. 2019, 2020) of 32 x 32 images. A mapping network
-- turns a random code into a style; the image grows from a learnt constant of 4 x 4 pixels, each
-- convolution modulated by the style; noise adds what is left to chance. D's slope is penalised
-- (R1, every fourth step), the generator's weights are averaged, and styles are mixed.
--
-- Pictures: samples; mixing (coarse layers follow the row's code, fine ones the column's);
-- truncation (styles are drawn towards their mean, from left to right less and less).
--   gan-lua examples/style_gan.lua --epochs 20 --out runs/style

local gan = require "gan"
local nn, optim, loss = gan.nn, gan.optim, gan.loss

local opt = gan.opts{
  "Trains a style-based GAN; leaves pictures, metrics.jsonl and weights in a run folder.",
  {"epochs", 20, "passes over the training images"},
  {"data", "fashion_mnist", "what to learn", choices = {"fashion_mnist", "mnist"}},
  {"batch_size", 32, "images in a batch"},
  {"lr", 1e-3, "learning rate of both optimisers; the mapping network's is a tenth"},
  {"r1", 1.0, "weight of the penalty of D's slope"},
  {"code", 64, "random numbers of a code, and width of a style"},
  {"width", 32, "channels of the widest images"},
  {"images", 60000, "use only the first so many images"},
  {"write", 0, "in the end, write so many generated images to generated.npz"},
  run = "runs/style",
}
if not opt then return end
gan.manual_seed(opt.seed)

local data = assert(gan.data[opt.data]{split = "train"}).images:slice(1, 1, opt.images)
local batches = gan.adversarial.rounds(gan.data.batches{ -- four batches at a time, for lazy R1
  data:pad{pads = {0, 0, 0, 0, 2, 2, 2, 2}}, batch_size = opt.batch_size, shuffle = true,
  drop_last = true, range = {-1, 1},
}, 4)

local w, LAYERS = opt.width, 8 -- two convolutions at each of 4, 8, 16 and 32 pixels

local Generator = nn.module("Generator", {
  init = function(self)
    self.mapping = nn.Sequential{ nn.PixelNorm{} }
    for i = 2, 8, 2 do
      self.mapping[i] = nn.equalized_lr(nn.Linear{opt.code, opt.code}, {lr_mul = 0.1})
      self.mapping[i + 1] = nn.LeakyReLU{0.2}
    end
    self.constant = nn.parameter(gan.randn(1, 4 * w, 4, 4))
    self.convs, self.noises, self.to_image = {}, {}, {}
    local from = 4 * w
    for i = 1, LAYERS do
      local to = i <= 4 and 4 * w or i <= 6 and 2 * w or w
      self.convs[i] = nn.ModulatedConv2d{from, to, 3, opt.code}
      self.noises[i] = nn.NoiseInjection{}
      if i % 2 == 0 then
        self.to_image[i // 2] = nn.ModulatedConv2d{to, 1, 1, opt.code, demodulate = false}
      end
      from = to
    end
  end,
  draw = function(self, styles) -- a style (N, code) for each layer
    local x, image = self.constant:expand(styles[1]:size(1), 4 * w, 4, 4), nil
    for i = 1, LAYERS do
      if i % 2 == 1 and i > 1 then
        local size = {2 * x:size(3), 2 * x:size(4)}
        x, image = x:upsample_nearest(size), image:upsample_nearest(size)
      end
      x = self.noises[i](self.convs[i](x, styles[i])):leaky_relu(0.2)
      local part = i % 2 == 0 and self.to_image[i // 2](x, styles[i])
      image = part and image and image + part or part or image
    end
    return image
  end,
  forward = function(self, codes)
    local style, styles = self.mapping(codes), {}
    for i = 1, LAYERS do styles[i] = style end
    return self:draw(styles)
  end,
  -- half of the images get the style of a second code from a random layer on
  mixed = function(self, n)
    local a, b = self.mapping(gan.randn(n, opt.code)), self.mapping(gan.randn(n, opt.code))
    local from, styles = gan.rand(n, 1) * 2 * LAYERS, {}
    for i = 1, LAYERS do styles[i] = gan.where(gan.gt(from, i), a, b) end
    return self:draw(styles)
  end,
})
local G = Generator{}

local function down(a, b) return nn.Conv2d{a, b, kernel_size = 4, stride = 2, padding = 1} end
local D = nn.Sequential{ name = "D",
  nn.Conv2d{1, w, kernel_size = 1}, nn.LeakyReLU{0.2}, down(w, 2 * w), nn.LeakyReLU{0.2},
  down(2 * w, 4 * w), nn.LeakyReLU{0.2}, down(4 * w, 4 * w), nn.LeakyReLU{0.2},
  nn.MinibatchStd{}, nn.Conv2d{4 * w + 1, 4 * w, kernel_size = 3, padding = 1}, nn.LeakyReLU{0.2},
  nn.Flatten{}, nn.Linear{4 * w * 4 * 4, 1},
}
local G_params = G:parameters()
local G_opt = optim.Adam{G_params, lr = opt.lr, betas = {0, 0.99}}
local D_opt = optim.Adam{D, lr = opt.lr, betas = {0, 0.99}}
local average = optim.EMA{G, decay = 0.998, warmup = true}
local objective = loss.adversarial.non_saturating

local function step(...)
  local D_loss, G_loss
  for i, real in ipairs{...} do
    D_loss = objective.discriminator(D(real), D(gan.no_grad(G.mixed, G, #real)))
    -- every fourth step, four times as much: nearly the same, and cheaper
    local total = i == 1 and D_loss + loss.r1_penalty(D, real) * (opt.r1 / 2 * 4) or D_loss
    D_opt:zero_grad()
    total:backward()
    D_opt:step()
    G_loss = objective.generator(D(G:mixed(#real)))
    G_opt:zero_grad()
    G_loss:backward{inputs = G_params}
    G_opt:step()
    average:update()
  end
  return {D = D_loss, G = G_loss}
end

local run = gan.report.run{opt.out, options = opt, resume = opt.resume}
local codes = gan.randn(64, opt.code)

--- Images of layers whose styles are f(layer), a list in the order of the picture.
local function picture(name, f, columns)
  local styles = {}
  for i = 1, LAYERS do styles[i] = f(i) end
  run:image(name, G:draw(styles), {columns = columns, range = {-1, 1}})
end

local function draw(epoch)
  average:use(gan.no_grad, function()
    run:image(("samples-%03d"):format(epoch), G(codes), {range = {-1, 1}})
    local s = G.mapping(codes:slice(1, 1, 8))
    local rows = s:unsqueeze(2):expand(8, 8, opt.code):reshape(64, opt.code)
    local columns = s:unsqueeze(1):expand(8, 8, opt.code):reshape(64, opt.code)
    picture("mixing", function(i) return i <= 4 and rows or columns end, 8)
    local mean = G.mapping(gan.randn(1000, opt.code)):mean({1}, {keepdim = true})
    local psi = gan.linspace(0, 1, 8):tile(8):unsqueeze(2)
    picture("truncation", function() return mean + (rows - mean) * psi end, 8)
    run:save{G = G, D = D}
  end)
end

gan.train.loop{
  epochs = opt.epochs, steps = opt.steps, minutes = opt.minutes, batches = batches, run = run,
  step = step, compile = opt.compile, after_epoch = draw,
  doctor = gan.doctor{G, D, codes = opt.code},
  state = {G = G, D = D, G_opt = G_opt, D_opt = D_opt, average = average},
}
average:use(run.generated, run, opt.write, function(n) return G(gan.randn(n, opt.code)) end,
  {range = {-1, 1}})
print("pictures, metrics and weights are in " .. opt.out)
