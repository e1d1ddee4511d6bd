-- Row A1: linear nets whose optimum is known. A linear auto-encoder and its tied form reach the
-- error of principal components, a linear variational one with learnt noise the likelihood of
-- probabilistic principal components (Lucas et al. 2019), and a linear denoiser that of ridge
-- regression.

local gan = require "gan"
local nn, optim, loss = gan.nn, gan.optim, gan.loss

local opt = gan.opts{
  "Trains linear nets and compares them with closed forms.",
  {"epochs", 40, "passes over the training images for each net"},
  {"batch_size", 256, "images in a batch"},
  {"lr", 2e-3, "learning rate"},
  {"code", 30, "numbers that remain of an image"},
  {"level", 0.25, "standard deviation of the denoiser's noise"},
  {"data", "mnist", "what to learn", choices = {"fashion_mnist", "mnist"}},
  {"images", 60000, "use only the first so many images"},
  run = "runs/closed_forms",
}
if not opt then return end
gan.manual_seed(opt.seed)

local train = assert(gan.data[opt.data]{split = "train"}).images:slice(1, 1, opt.images)
local test = assert(gan.data[opt.data]{split = "test"}).images:flatten(2):to(gan.config.real) / 255
local pca = gan.metrics.pca(train, opt.code)
local batches = gan.data.batches{train, batch_size = opt.batch_size, shuffle = true}
local function centred(images) return images:flatten(2) - pca.mean end

local encoder = nn.Linear{784, opt.code, bias = false}
local nets = {
  plain = nn.Sequential{nn.Linear{784, opt.code}, nn.Linear{opt.code, 784}},
  tied = nn.Sequential{encoder, nn.TiedLinear{encoder}},
  vae = nn.Sequential{nn.Linear{784, opt.code}, nn.Linear{opt.code, 784}},
  denoiser = nn.Sequential{nn.Linear{784, 784}},
}
nets.vae.logvar = nn.parameter(gan.full({opt.code}, -3))
nets.vae.lognoise = nn.parameter(gan.full({1}, -3))
-- a code enters as N(0, 1): columns of the decoder begin as long as deviations of the data
nets.denoiser[1].weight:detach():copy_(gan.eye(784) * 0.9)

-- -ln p bounds of a batch. The expectation over codes of mean m and variances v is exact: E |x - W
-- z|^2 = |x - W m|^2 + sum_j v_j |W_j|^2.
local function negative_bound(x)
  local net = nets.vae
  local mean, variance = net[1](x), net.logvar:exp()
  local squares = loss.squared_error(net[2](mean), x)
    + (net[2].weight:square():sum{1} * variance):sum()
  local kl = loss.kl_gaussian(mean, net.logvar:expand(mean:shape()))
  return (squares * (-net.lognoise):exp() + (net.lognoise
    + math.log(2 * math.pi)) * 784):sum() * 0.5
    + kl
end

local function noisy(images) return gan.noise.gaussian(images:flatten(2), opt.level) end

local losses = {
  plain = function(x) return loss.squared_error(nets.plain(centred(x)), centred(x)) end,
  tied = function(x) return loss.squared_error(nets.tied(centred(x)), centred(x)) end,
  vae = function(x) return negative_bound(centred(x)) end,
  denoiser = function(x) return loss.squared_error(nets.denoiser(noisy(x)), x:flatten(2)) end,
}
local names, adams, schedules = {"plain", "tied", "vae", "denoiser"}, {}, {}
for _, name in ipairs(names) do
  adams[name] = optim.Adam{nets[name]:parameters(), lr = opt.lr}
  schedules[name] = optim.CosineLR{adams[name], steps = opt.epochs, floor = 0.002}
end

local function step(images)
  local values = {}
  for _, name in ipairs(names) do
    values[name] = losses[name](images)
    adams[name]:zero_grad()
    values[name]:backward()
    adams[name]:step()
  end
  return values
end

local run = gan.report.run{opt.out, options = opt, resume = opt.resume}

gan.train.loop{
  epochs = opt.epochs, steps = opt.steps, minutes = opt.minutes, batches = batches, run = run,
  step = step, compile = opt.compile,
  after_epoch = function(_, _, part)
    for _, name in ipairs(names) do
      schedules[name]:reach(part)
    end
    run:save(nets)
  end,
  state = {nets = {nets.plain, nets.tied, nets.vae, nets.denoiser}, adams = adams,
    schedules = schedules},
}

-- Least squares over all noise, not one draw of it, is ridge regression on clean images with the
-- variance of the noise as ridge, which linear_map takes as a share of the mean variance.
local given = noisy(test)
local fitted = gan.metrics.linear_map(train, train, {ridge = opt.level ^ 2 * 784 / pca.total})
local x = test - pca.mean
local result = gan.no_grad(function()
  return {
    pca = pca:error(test), plain = gan.metrics.summed_error(nets.plain(x), x),
    tied = gan.metrics.summed_error(nets.tied(x), x),
    ppca = pca:log_likelihood(test), vae = -negative_bound(x):item(),
    ridge = gan.metrics.psnr(fitted(given), test),
    denoiser = gan.metrics.psnr(nets.denoiser(given), test),
  }
end)
result.worst_error = math.max(result.plain, result.tied) / result.pca - 1
result.nats = math.abs(result.ppca - result.vae)
result.decibels = math.abs(result.ridge - result.denoiser)
run:result(result)
print(("error %.3f, tied %.3f, principal components %.3f; likelihood %.2f, theirs %.2f; "
  .. "denoiser %.2f dB, ridge regression %.2f"):format(result.plain, result.tied, result.pca,
    result.vae,
  result.ppca, result.denoiser, result.ridge))
