--- Errors of images.

local gan = require "gan"
local options = require "gan.options"

local image = {}

local function check_pair(name, y, t)
  local a, b = gan.is_tensor(y) and y:shape(), gan.is_tensor(t) and t:shape()
  if not a or not b or table.concat(a, " x ") ~= table.concat(b, " x ") or y:numel() == 0 then
    error(("metrics.%s: takes two tensors of equal shape that are not empty, not %s and %s"):format(
      name, a and "(" .. table.concat(a, " x ") .. ")" or type(y),
      b and "(" .. table.concat(b, " x ") .. ")" or type(t)), 3)
  end
end

--- The mean over images of the sum over their pixels of the squared error: metrics.summed_error(y,
-- t) for y and t (N, ...). The measure in which auto-encoders of MNIST are published.
function image.summed_error(y, t)
  check_pair("summed_error", y, t)
  return gan.no_grad(function()
    return gan.mse_loss(y, t, { reduction = "sum" }):item() / #y
  end)
end

--- The peak signal-to-noise ratio in dB of a whole set, 10 lg(peak^2 / mean squared error):
-- metrics.psnr(y, t, {peak=1}); or metrics.psnr(mean_squared_error, {peak=1}).
function image.psnr(y, t, given)
  local error_now = y
  if gan.is_tensor(y) then
    check_pair("psnr", y, t)
    error_now = gan.no_grad(function() return gan.mse_loss(y, t):item() end)
  else
    given = t
  end
  local o = options.check("metrics.psnr", given or {}, "; peak:number=1")
  return 10 * math.log(o.peak ^ 2 / error_now, 10)
end

return image
