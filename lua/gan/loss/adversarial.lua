--- The objectives of adversarial nets. `require "gan.loss"` has all of them.
--
-- Every discriminator's loss takes what D says of real and of generated inputs; either may be left
-- out (nil), for updates in two halves. Averages are over the batch.

local gan = require "gan"
local options = require "gan.options"

local loss = {}

--- 1, or less with option `smoothing`: what the discriminator is to say of real inputs.
local function target_of(name, given)
  local o = given and options.check(name, given, "; smoothing:number=0", 4)
  if o and not (o.smoothing >= 0 and o.smoothing < 1) then
    error(("%s: smoothing must be at least 0 and less than 1, not %g"):format(name, o.smoothing), 3)
  end
  return o and 1 - o.smoothing or 1
end

--- The sum of the two halves of which there are any.
local function both(name, real, fake)
  if not real and not fake then
    error(name .. ": there is neither a real nor a generated input", 3)
  end
  return real and fake and real + fake or real or fake
end

-- ---- on probabilities -----------------------------------------------------------------------
-- p is what the discriminator says, the probability that its input is real, in [0, 1].

--- -ln(p), averaged; with a target t below 1, -t ln(p) - (1 - t) ln(1 - p).
local function minus_log(p, target)
  return gan.bce_loss(p, gan.full_like(p, target or 1))
end

--- -ln(1 - p), averaged.
local function minus_log_rest(p)
  return gan.bce_loss(p, gan.zeros_like(p))
end

--- The discriminator's loss: -ln(p_real) on real inputs and -ln(1 - p_fake) on generated ones,
-- each averaged over its batch. Either may be left out (nil), for updates in two halves. With
-- {smoothing = 0.1} real inputs are to be given 0.9 (one-sided: Salimans et al. 2016).
function loss.gan_discriminator_loss(p_real, p_fake, given)
  local target = target_of("gan_discriminator_loss", given)
  return both("gan_discriminator_loss", p_real and minus_log(p_real, target),
    p_fake and minus_log_rest(p_fake))
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
function loss.gan_discriminator_loss_logits(real, fake, given)
  local target = target_of("gan_discriminator_loss_logits", given)
  if target < 1 then
    return both("gan_discriminator_loss_logits",
      real and gan.bce_with_logits(real, gan.full_like(real, target)),
      fake and -(-fake):logsigmoid():mean())
  elseif real and fake then
    return -(real:logsigmoid():mean() + (-fake):logsigmoid():mean())
  end
  return both("gan_discriminator_loss_logits", real and -real:logsigmoid():mean(),
    fake and -(-fake):logsigmoid():mean())
end

--- As gan_generator_loss, from logits.
function loss.gan_generator_loss_logits(fake)
  return -fake:logsigmoid():mean()
end

--- As gan_generator_minimax_loss, from logits.
function loss.gan_generator_minimax_loss_logits(fake)
  return (-fake):logsigmoid():mean()
end

-- ---- pairs ----------------------------------------------------------------------------------

--- Least squares (Mao et al. 2017): D is to say 1 of real inputs and 0 of generated ones. Option
-- smoothing as above.
local least_squares = {
  discriminator = function(real, fake, given)
    local target = target_of("least_squares", given)
    return both("least_squares", real and (real - target):square():mean() * 0.5,
      fake and fake:square():mean() * 0.5)
  end,
  generator = function(fake) return (fake - 1):square():mean() * 0.5 end,
}

--- Hinge (Lim and Ye 2017): D's scores beyond -1 and 1 count nothing.
local hinge = {
  discriminator = function(real, fake)
    return both("hinge", real and (1 - real):relu():mean(), fake and (1 + fake):relu():mean())
  end,
  generator = function(fake) return -fake:mean() end,
}

--- Wasserstein (Arjovsky et al. 2017): D is a critic, whose slope has to be kept below a bound:
-- by adversarial.clipping, loss.gradient_penalty or nn.spectral_norm. Minus its loss is the
-- estimate of the distance.
local wasserstein = {
  discriminator = function(real, fake)
    return both("wasserstein", real and -real:mean(), fake and fake:mean())
  end,
  generator = function(fake) return -fake:mean() end,
}

--- Relativistic pairs (Jolicoeur-Martineau 2019): -ln sigmoid of how much more real the real one
-- of each pair is. Both losses need both batches: generator(fake, real).
local relativistic = {
  discriminator = function(real, fake)
    return -(real - fake):logsigmoid():mean()
  end,
  generator = function(fake, real)
    return -(fake - real):logsigmoid():mean()
  end,
}

--- Pairs of losses on D's raw outputs: loss.adversarial.hinge.discriminator(real, fake) and
-- .generator(fake). Names: minimax, non_saturating (both on logits), least_squares, hinge,
-- wasserstein, relativistic.
loss.adversarial = {
  minimax = {
    discriminator = loss.gan_discriminator_loss_logits,
    generator = loss.gan_generator_minimax_loss_logits,
  },
  non_saturating = {
    discriminator = loss.gan_discriminator_loss_logits,
    generator = loss.gan_generator_loss_logits,
  },
  least_squares = least_squares,
  hinge = hinge,
  wasserstein = wasserstein,
  relativistic = relativistic,
}

--- The same of the forms on probabilities: loss.probability.minimax and .non_saturating.
loss.probability = {
  minimax = {
    discriminator = loss.gan_discriminator_loss, generator = loss.gan_generator_minimax_loss,
  },
  non_saturating = {
    discriminator = loss.gan_discriminator_loss, generator = loss.gan_generator_loss,
  },
}

return loss
