-- Row G4: what the critic of a Wasserstein GAN says of distances that are known. Between N(0, I)
-- and the same shifted by v it is |v|; between N(0, I) and N(0, s^2 I), every point moves along its
-- radius: (s - 1) E|x|. The critic is that of examples/wgan_gp.lua in little: a net whose slope is
-- penalised where it is above 1. (To penalise smaller slopes as well, as that example does, would
-- keep a slope of -1 from ever becoming 1 on a line.) A penalty of weight w lets the slope of a
-- shift by v grow to 1 + |v| / 2w, so w is to be large beside the distance; the learning rate falls
-- to 0, and the estimate is that of fresh samples.

local gan = require "gan"
local nn, optim, loss = gan.nn, gan.optim, gan.loss

local opt = gan.opts{
  "Trains critics between shifted and scaled Gaussians and compares them with the true distance.",
  {"steps", 2000, "updates of each critic"},
  {"batch_size", 256, "samples of either kind in a batch"},
  {"lr", 2e-3, "learning rate in the beginning"},
  {"penalty", 100.0, "weight of the gradient penalty"},
  {"shift", 2.0, "how far one Gaussian lies from the other"},
  {"scale", 3.0, "how much wider one is than the other"},
  {"width", 64, "units of the hidden layers"},
  {"samples", 100000, "samples that the trained critic judges"},
  {"seed", 1, "start of the random numbers"},
  {"out", "runs/critic_truth", "run folder"},
  {"compile", false, "record a step and replay it: faster, with the same results"},
  {"resume", false, "start again in that folder: a critic is a matter of seconds"},
}
if not opt then return end
local run = gan.report.run{opt.out, options = opt}

--- ln of the gamma function at half a natural number n.
local function lgamma_half(n)
  local x, sum = n / 2, n % 2 == 0 and 0 or 0.5 * math.log(math.pi)
  for k = n % 2 == 0 and 1 or 0.5, x - 1 do
    sum = sum + math.log(k)
  end
  return sum
end

--- The mean length of a vector of N(0, I) in d dimensions.
local function mean_length(d)
  return math.sqrt(2) * math.exp(lgamma_half(d + 1) - lgamma_half(d))
end

--- The distance of two distributions in d dimensions that a freshly trained critic tells.
local function estimate(d, from, to)
  gan.manual_seed(opt.seed)
  local w = opt.width
  local critic = nn.Sequential{
    nn.Linear{d, w}, nn.LeakyReLU{0.2}, nn.Linear{w, w}, nn.LeakyReLU{0.2}, nn.Linear{w, 1},
  }
  local adam = optim.Adam{critic, lr = opt.lr, betas = {0.5, 0.9}}
  local schedule = optim.CosineLR{adam, steps = opt.steps}
  local function step(a, b)
    local distance = -loss.adversarial.wasserstein.discriminator(critic(a), critic(b))
    local penalty = loss.gradient_penalty(critic, a, b, {one_sided = true})
    local total = penalty * opt.penalty - distance
    adam:zero_grad()
    total:backward()
    adam:step()
    schedule:step()
    return {distance = distance}
  end
  gan.train.loop{
    epochs = 1, steps = opt.steps, quiet = true, step = step, compile = opt.compile,
    batches = function() return from(opt.batch_size, d), to(opt.batch_size, d) end,
  }
  local sum, n = 0, math.max(1, opt.samples // 1000)
  for _ = 1, n do
    sum = sum + gan.scope(gan.no_grad, function()
      return (critic(from(1000, d)):mean() - critic(to(1000, d)):mean()):item()
    end)
  end
  return sum / n
end

local function normal(n, d) return gan.randn(n, d) end

-- a shift in a direction in which all coordinates take part
local function shifted(n, d) return gan.randn(n, d) + opt.shift / math.sqrt(d) end

local function wide(n, d) return gan.randn(n, d) * opt.scale end

local result = {}
for _, d in ipairs{1, 2, 10} do
  local errors = {}
  for i, case in ipairs{
    {"shift", shifted, opt.shift}, {"scale", wide, (opt.scale - 1) * mean_length(d)},
  } do
    local name, distribution, truth = table.unpack(case)
    local found = estimate(d, distribution, normal)
    errors[i], result[("%s_%d"):format(name, d)] = math.abs(found / truth - 1), found
    print(("%2d dimensions, %s: %.4f, truth %.4f (%+.1f %%)"):format(d, name, found, truth,
      100 * (found / truth - 1)))
  end
  result[("error_%d"):format(d)] = math.max(table.unpack(errors))
end
run:result(result)
