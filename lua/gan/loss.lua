--- Losses of auto-encoders and adversarial nets, each in the form in which it is taught.
--
-- "Per sample" sums follow the formulas: the error of one sample is a sum over its elements, and
-- a batch is averaged over its samples (dimension 1). The ops gan.mse_loss, gan.bce_loss,
-- gan.cross_entropy and so on average over all elements instead, or do what `reduction` says.
-- Everything here is written with ops and can be differentiated twice.

local gan = require "gan"
local options = require "gan.options"

local loss = {}

--- Sums over all dimensions but the first, then averages, sums or leaves the samples.
local function per_sample(x, given, name)
  local o = options.check(name, given or {}, "; reduction:mean|sum|none=mean", 4)
  local sums = x:dim() > 1 and x:flatten(2):sum(2) or x
  if o.reduction == "none" then
    return sums
  end
  return o.reduction == "mean" and sums:mean() or sums:sum()
end

-- ---- reconstruction -------------------------------------------------------------------------

--- E = sum_i (y_i - t_i)^2 per sample. y and t have the same sizes (N, ...).
-- Option reduction: "mean" (over samples), "sum" or "none".
function loss.squared_error(y, t, given)
  return per_sample(gan.mse_loss(y, t, { reduction = "none" }), given, "squared_error")
end

--- E = -sum_i (t_i ln y_i + (1 - t_i) ln(1 - y_i)) per sample, for probabilities y in [0, 1];
-- the logarithms end at -100. Option reduction as above.
function loss.cross_entropy(y, t, given)
  return per_sample(gan.bce_loss(y, t, { reduction = "none" }), given, "cross_entropy")
end

--- The same E with y = sigmoid(x), computed from x without overflow:
-- max(x, 0) - x t + ln(1 + exp(-|x|)).
function loss.cross_entropy_logits(x, t, given)
  return per_sample(gan.bce_with_logits(x, t, { reduction = "none" }), given,
    "cross_entropy_logits")
end

--- The divergence of N(mu, exp(logvar)) from N(0, 1) per sample:
-- 1/2 sum_i (mu_i^2 + exp(logvar_i) - 1 - logvar_i). Kingma and Welling 2014, appendix B.
function loss.kl_gaussian(mu, logvar, given)
  return per_sample((mu:square() + logvar:exp() - logvar - 1) * 0.5, given, "kl_gaussian")
end

-- ---- adversarial losses on probabilities ----------------------------------------------------
-- p is what the discriminator says, the probability that its input is real, in [0, 1].

--- -ln(p), averaged.
local function minus_log(p)
  return gan.bce_loss(p, gan.ones_like(p))
end

--- -ln(1 - p), averaged.
local function minus_log_rest(p)
  return gan.bce_loss(p, gan.zeros_like(p))
end

--- The discriminator's loss: -ln(p_real) on real inputs and -ln(1 - p_fake) on generated ones,
-- each averaged over its batch. Either may be left out (nil), for updates in two halves.
function loss.gan_discriminator_loss(p_real, p_fake)
  if not p_real then
    return minus_log_rest(p_fake)
  elseif not p_fake then
    return minus_log(p_real)
  end
  return minus_log(p_real) + minus_log_rest(p_fake)
end

--- The generator's loss "in practice" (non-saturating): -ln(p_fake).
function loss.gan_generator_loss(p_fake)
  return minus_log(p_fake)
end

--- The generator's loss of the minimax game: ln(1 - p_fake), which vanishes where the
-- discriminator is sure.
function loss.gan_generator_minimax_loss(p_fake)
  return -minus_log_rest(p_fake)
end

-- ---- the same on logits, p = sigmoid(x) -----------------------------------------------------
-- Equal values and gradients, and finite ones for any x: -ln sigmoid(x) = softplus(-x).

--- As gan_discriminator_loss, from the discriminator's logits.
function loss.gan_discriminator_loss_logits(real, fake)
  if not real then
    return -(-fake):logsigmoid():mean()
  elseif not fake then
    return -real:logsigmoid():mean()
  end
  return -(real:logsigmoid():mean() + (-fake):logsigmoid():mean())
end

--- As gan_generator_loss, from logits.
function loss.gan_generator_loss_logits(fake)
  return -fake:logsigmoid():mean()
end

--- As gan_generator_minimax_loss, from logits.
function loss.gan_generator_minimax_loss_logits(fake)
  return (-fake):logsigmoid():mean()
end

--- Pairs of losses on the discriminator's raw outputs: loss.adversarial.hinge.discriminator(real,
-- fake) and .generator(fake). Names: minimax, non_saturating, least_squares (Mao et al. 2017),
-- hinge (Lim and Ye 2017), wasserstein (Arjovsky et al. 2017).
loss.adversarial = {
  minimax = {
    discriminator = loss.gan_discriminator_loss_logits,
    generator = loss.gan_generator_minimax_loss_logits,
  },
  non_saturating = {
    discriminator = loss.gan_discriminator_loss_logits,
    generator = loss.gan_generator_loss_logits,
  },
  least_squares = {
    discriminator = function(real, fake)
      return ((real - 1):square():mean() + fake:square():mean()) * 0.5
    end,
    generator = function(fake) return (fake - 1):square():mean() * 0.5 end,
  },
  hinge = {
    discriminator = function(real, fake)
      return (1 - real):relu():mean() + (1 + fake):relu():mean()
    end,
    generator = function(fake) return -fake:mean() end,
  },
  wasserstein = {
    discriminator = function(real, fake) return fake:mean() - real:mean() end,
    generator = function(fake) return -fake:mean() end,
  },
}

-- ---- penalties ------------------------------------------------------------------------------

--- The penalty of Gulrajani et al. 2017: mean over the batch of (|gradient of D| - center)^2 at
-- random points between real and fake inputs (N, ...). Multiply by 10 and add to the critic's
-- loss. Option center = 1.
function loss.gradient_penalty(D, real, fake, given)
  local o = options.check("gradient_penalty", given or {}, "; center:number=1")
  local sizes = { real:size(1) }
  for i = 2, real:dim() do
    sizes[i] = 1
  end
  local part = gan.rand(sizes)
  local between = gan.require_grad((part * real + (1 - part) * fake):detach())
  local slope = gan.grad(D(between):sum(), between, { create_graph = true })
  return (slope:flatten(2):norm(2, { dims = { 2 } }) - o.center):square():mean()
end

--- R1 of Mescheder et al. 2018: mean over the batch of |gradient of D|^2 at real inputs; multiply
-- by gamma / 2.
function loss.r1_penalty(D, real)
  local x = gan.require_grad(real:detach())
  local slope = gan.grad(D(x):sum(), x, { create_graph = true })
  return slope:square():flatten(2):sum(2):mean()
end

return loss
