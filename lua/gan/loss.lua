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

-- ---- codes; adversarial losses and their penalties ------------------------------------------

for _, part in ipairs{ "codes", "adversarial", "penalty" } do
  for name, f in pairs(require("gan.loss." .. part)) do
    loss[name] = f
  end
end

return loss
