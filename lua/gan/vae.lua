--- gan.vae: bounds of variational auto-encoders.
--
-- An encoder gives mean and logvar, both (N, d), of q(z | x) = N(mean, exp(logvar)); a decoder
-- gives logits of the pixels for codes z; z comes from N(0, 1).
--
--     local log_w = gan.vae.log_weights(encode, decode, x, 5)   -- (5, N)
--     local loss = gan.vae.bound(log_w)                         -- -L_5, to be made small

local gan = require "gan"
local options = require "gan.options"

local vae = {}

local LOG_2PI = math.log(2 * math.pi)

--- A draw from N(mean, exp(logvar)) that has a gradient: mean + exp(logvar / 2) e, e from N(0, 1).
-- Kingma and Welling 2014.
function vae.sample(mean, logvar)
  return mean + (logvar * 0.5):exp() * gan.randn_like(mean)
end

--- ln N(z; mean, exp(logvar)), summed over the last dimension.
function vae.log_normal(z, mean, logvar)
  return ((z - mean):square() * (-logvar):exp() + logvar + LOG_2PI):sum{ -1 } * -0.5
end

--- ln N(z; 0, 1), summed over the last dimension.
function vae.log_standard(z)
  return (z:square() + LOG_2PI):sum{ -1 } * -0.5
end

--- ln p(x) of pixels x in [0, 1] that are 1 with probability sigmoid(logits), summed over the last
-- dimension: -(max(l, 0) - x l + ln(1 + exp(-|l|))).
function vae.log_bernoulli(logits, x)
  return gan.bce_with_logits(logits, x, { reduction = "none" }):sum{ -1 } * -1
end

--- ln w = ln p(x, z) - ln q(z | x) for k draws of z from q(z | x): (k, N).
-- encode(x) -> mean, logvar; decode(z) -> logits (k N, ...) as x (N, ...). `log_p` takes logits and
-- x as (..., pixels), default vae.log_bernoulli.
function vae.log_weights(encode, decode, x, k, log_p)
  local mean, logvar = encode(x)
  local n, d = mean:size(1), mean:size(2)
  local e = gan.randn(k, n, d)
  local z = mean + (logvar * 0.5):exp() * e
  local log_q = (e:square() + logvar + LOG_2PI):sum{ -1 } * -0.5 -- (z - mean) / deviation is e
  local flat = x:flatten(2)
  local logits = decode(z:reshape(k * n, d)):reshape(k, n, flat:size(2))
  return (log_p or vae.log_bernoulli)(logits, flat:unsqueeze(1):expand(logits:shape()))
    + vae.log_standard(z) - log_q
end

--- The importance-weighted bound, negative: -mean over the batch of ln 1/k sum_k w_k. log_w (k, N)
-- of vae.log_weights. k = 1 is the bound of the variational auto-encoder, and with k it comes
-- nearer to -ln p(x). Burda, Grosse and Salakhutdinov 2016.
function vae.bound(log_w)
  return -(log_w:logsumexp{ 1 } - math.log(log_w:size(1))):mean()
end

--- A table of estimates of -ln p(x), in nats, averaged over images: vae.evaluate{encode=, decode=,
-- images=, samples=5000, at={1, 5, 50}, batch_size=, chunk=50, log_p=, binarize=false}
-- -> { [1] = -L_1, [5] = -L_5, ..., [samples] = -L_samples }.
--
-- All come from the same draws: those at smaller k are averages over all groups of k among them.
-- images: uint8 or 0..1, (M, ...); binarize: every pixel is 1 with its brightness as probability,
-- once per image. encode and decode as for log_weights.
function vae.evaluate(given)
  local o = options.check("vae.evaluate", given, "; encode:callable decode:callable images:tensor "
    .. "samples:count=5000 at:list? batch_size:count=100 chunk:count=50 log_p:callable? "
    .. "binarize:bool=false")
  local sums = {}
  for first = 1, #o.images, o.batch_size do
    local function batch()
      local x = o.images:slice(1, first, math.min(first + o.batch_size - 1, #o.images))
      x = x:dtype() == "uint8" and x:to(gan.config.real) / 255 or x
      x = o.binarize and gan.bernoulli(x) or x
      local rows = {}
      for done = 0, o.samples - 1, o.chunk do
        rows[#rows + 1] = gan.scope(vae.log_weights, o.encode, o.decode, x,
          math.min(o.chunk, o.samples - done), o.log_p)
      end
      local log_w, result = gan.cat(rows, { dim = 1 }), {}
      local function estimate(k)
        local groups = o.samples // k
        local w = log_w:slice(1, 1, groups * k):reshape(groups, k, #x)
        result[k] = -(w:logsumexp{ 2 } - math.log(k)):mean():item() * #x
      end
      for _, k in ipairs(o.at or {}) do
        estimate(k)
      end
      estimate(o.samples)
      return result
    end
    for k, sum in pairs(gan.scope(gan.no_grad, batch)) do
      sums[k] = (sums[k] or 0) + sum
    end
  end
  for k, sum in pairs(sums) do
    sums[k] = sum / #o.images
  end
  return sums
end

return vae
