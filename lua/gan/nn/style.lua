--- Layers of style-based generators (Karras et al. 2019, 2020).

local gan = require "gan"
local module = require "gan.nn.module"
local linear = require "gan.nn.linear"
local weights = require "gan.nn.init.weights"

local style = {}

local function as_channels(v)
  return v:reshape(v:size(1), v:size(2), 1, 1)
end

--- nn.ModulatedConv2d{in, out, kernel_size, style_width, demodulate=true}: layer(x, style) is a
-- convolution, padded to keep the size, whose weights are multiplied for each sample by one number
-- for each input channel, an affine function of the style (N, style_width); with demodulate, they
-- are then divided by the norm that they have for each output channel (StyleGAN2: Karras et al.
-- 2020, section 2.2). x (N, in, H, W) -> (N, out, H, W); kernel_size is odd.
style.ModulatedConv2d = module.define("nn.ModulatedConv2d", {
  options = "in_channels:count out_channels:count kernel_size:count style_width:count ; "
    .. "demodulate:bool=true",
  init = function(self, o)
    if o.kernel_size % 2 == 0 then
      error(("nn.ModulatedConv2d: kernel_size must be odd, not %d"):format(o.kernel_size), 3)
    end
    local k, fan_in = o.kernel_size, o.in_channels * o.kernel_size ^ 2
    self.weight = module.parameter(gan.randn(o.out_channels, o.in_channels, k, k)
      * (1 / math.sqrt(fan_in)))
    self.bias = module.parameter(gan.zeros(o.out_channels))
    self.style = linear.Linear{ o.style_width, o.in_channels }
    weights.normal_(self.style.weight, 0, 1 / math.sqrt(o.style_width))
    weights.ones_(self.style.bias)
  end,
  forward = function(self, x, w)
    local o, s = self._options, self.style(w)
    -- weights times a number for each input channel: the same as the input times it
    local y = gan.conv2d(x * as_channels(s), self.weight, { padding = o.kernel_size // 2 })
    if o.demodulate then
      local squares = self.weight:square():sum{ 3, 4 }
      y = y * as_channels((gan.linear(s:square(), squares) + 1e-8):rsqrt())
    end
    return y + self.bias:reshape(1, -1, 1, 1)
  end,
})

--- nn.NoiseInjection{}: x (N, C, H, W) plus normal noise, one plane for each sample, times a learnt
-- strength, which starts at 0.
style.NoiseInjection = module.define("nn.NoiseInjection", {
  options = "",
  init = function(self)
    self.strength = module.parameter(gan.zeros(1))
  end,
  forward = function(self, x)
    return x + gan.randn(x:size(1), 1, x:size(3), x:size(4)) * self.strength
  end,
})

--- nn.MinibatchStd{group=4}: x (N, C, H, W) gets one more channel: the mean standard deviation of
-- the values over each group of so many samples, by which a discriminator sees samples that are too
-- much alike (Karras et al. 2018). N must be divisible by the group.
style.MinibatchStd = module.define("nn.MinibatchStd", {
  options = "group:count=4",
  forward = function(self, x)
    local n, group = x:size(1), self._options.group
    if n % group ~= 0 then
      error(("a batch of %d does not divide into groups of %d"):format(n, group), 0)
    end
    local y = x:reshape(group, n // group, -1)
    local rest = y - y:mean({ 1 }, { keepdim = true })
    local spread = (rest:square():mean{ 1 } + 1e-8):sqrt():mean(2) -- (n / group)
    local plane = spread:reshape(1, n // group, 1):expand(group, n // group, x:size(3) * x:size(4))
    return gan.cat({ x, plane:reshape(n, 1, x:size(3), x:size(4)) }, { dim = 2 })
  end,
})

return style
