--- gan.noise: what is done to the inputs of denoising auto-encoders, and to codes for generation.
--
--     local restored = net(gan.noise.masking(images, 0.5))
--     local error = gan.loss.squared_error(restored, images)     -- the target is the clean image
--
-- Every function takes a tensor of any shape and returns a new one. The layers of the same names
-- (nn.GaussianNoise, nn.MaskingNoise, nn.SaltAndPepperNoise) do it in training only.

local gan = require "gan"
local options = require "gan.options"

local noise = {}

local function check_tensor(name, x)
  if not gan.is_tensor(x) or x:dtype() ~= gan.config.real then
    error(("noise.%s: takes a tensor of %s, not %s"):format(name, gan.config.real,
      gan.is_tensor(x) and x:dtype() or type(x)), 3)
  end
end

local function check_share(name, p)
  if type(p) ~= "number" or not (p >= 0 and p <= 1) then
    error(("noise.%s: the share is a number from 0 to 1, not %s"):format(name, tostring(p)), 3)
  end
end

--- x + std e with e from N(0, 1), every element apart: noise.gaussian(x, std).
function noise.gaussian(x, std)
  check_tensor("gaussian", x)
  if type(std) ~= "number" or std < 0 or std ~= std then
    error("noise.gaussian: the standard deviation is a number from 0, not " .. tostring(std), 2)
  end
  return x + gan.randn_like(x) * std
end

--- Every element is set to 0 with probability p; the others stay as they are (Vincent et al.
-- 2010): noise.masking(x, p).
function noise.masking(x, p)
  check_tensor("masking", x)
  check_share("masking", p)
  return x * gan.ge(gan.rand_like(x), p)
end

--- Every element is with probability p set to `low` or `high`, either as likely (Vincent et al.
-- 2010): noise.salt_and_pepper(x, p, {low=0, high=1}).
function noise.salt_and_pepper(x, p, given)
  check_tensor("salt_and_pepper", x)
  check_share("salt_and_pepper", p)
  local o = options.check("noise.salt_and_pepper", given or {}, "; low:number=0 high:number=1", 3)
  local u = gan.rand_like(x)
  local hit = gan.where(gan.lt(u, p / 2), gan.full({}, o.low), gan.full({}, o.high))
  return gan.where(gan.lt(u, p), hit, x)
end

--- Codes near those of a batch, for new samples that resemble it: noise.perturb(codes, options),
-- codes (N, width) with N of 1 or more. Options:
--   std    this much noise is added, in standard deviations that the unit has in the batch: 0
--   share  this share of the numbers is exchanged, each for that of another sample of the batch in
--          the same unit: 0
function noise.perturb(codes, given)
  check_tensor("perturb", codes)
  local o = options.check("noise.perturb", given or {}, "; std:number=0 share:number=0", 3)
  check_share("perturb", o.share)
  if codes:dim() ~= 2 or #codes == 0 then
    error("noise.perturb: codes have the shape (N, width), not ("
      .. table.concat(codes:shape(), " x ") .. ")", 2)
  end
  local result = codes
  if o.share > 0 then
    local rows = gan.randint(codes:shape(), { lo = 1, hi = #codes })
    local others = codes:gather(rows, 1)
    result = gan.where(gan.lt(gan.rand_like(codes), o.share), others, codes)
  end
  if o.std > 0 then
    local spread = codes:std({ 1 }, { correction = 0, keepdim = true })
    result = result + gan.randn_like(codes) * spread * o.std
  end
  return result
end

return noise
