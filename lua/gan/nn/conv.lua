--- Convolutions, 1-D and 2-D, and transposed ones ("deconvolutions").
--
-- x is (N, C, L) or (N, C, H, W). kernel_size, stride, padding, dilation and output_padding are a
-- number or one number per dimension, (h, w). Sizes: out = (in + 2 padding - dilation (k-1) - 1)
-- // stride + 1; transposed: (in-1) stride - 2 padding + dilation (k-1) + output_padding + 1.

local gan = require "gan"
local module = require "gan.nn.module"
local weights = require "gan.nn.init.weights"

local conv = {}

local function kernel(name, size, dims)
  if type(size) == "number" then
    local list = {}
    for i = 1, dims do
      list[i] = size
    end
    return list
  elseif #size ~= dims then
    error(("%s: kernel_size must be one number or %d"):format(name, dims), 4)
  end
  return size
end

--- Makes weight and bias; `first` and `second` are the leading sizes of the weight.
local function make_weights(self, name, o, dims, first, second)
  if o.in_channels % o.groups ~= 0 or o.out_channels % o.groups ~= 0 then
    error(("%s: groups %d must divide in_channels %d and out_channels %d"):format(name, o.groups,
      o.in_channels, o.out_channels), 4)
  end
  local sizes = kernel(name, o.kernel_size, dims)
  self.weight = module.parameter(gan.zeros(first, second // o.groups, table.unpack(sizes)))
  if o.bias then
    self.bias = module.parameter(gan.zeros(o.out_channels))
  end
  weights.default_(self.weight, self.bias)
end

local fuses = { relu = true, leaky_relu = true, tanh = true, sigmoid = true }

--- The options of the op with the activation; a table for each activation is kept.
local function forward_fused(op)
  return function(self, x, activation, slope)
    local kept = self._fused
    if not kept or kept.activation ~= activation or kept.slope ~= slope then
      kept = { activation = activation, slope = slope }
      for name, v in pairs(self._attributes) do
        kept[name] = v
      end
      self._fused = kept
    end
    return op(x, self.weight, self.bias, kept)
  end
end

local function convolution(name, op, dims)
  return module.define(name, {
    fresh = true,
    options = "in_channels:count out_channels:count kernel_size:ints ; "
      .. "stride:ints=1 padding:ints=0 dilation:ints=1 groups:count=1 bias:bool=true",
    init = function(self, o)
      make_weights(self, name, o, dims, o.out_channels, o.in_channels)
      self._attributes = {
        stride = o.stride, padding = o.padding, dilation = o.dilation, groups = o.groups,
      }
    end,
    forward = function(self, x)
      return op(x, self.weight, self.bias, self._attributes)
    end,
    -- convolution, bias and activation in one pass; Sequential uses it where one follows
    fuses = fuses,
    forward_fused = forward_fused(op),
  })
end

local function transposed(name, op, dims)
  return module.define(name, {
    fresh = true,
    options = "in_channels:count out_channels:count kernel_size:ints ; stride:ints=1 "
      .. "padding:ints=0 output_padding:ints=0 dilation:ints=1 groups:count=1 bias:bool=true",
    init = function(self, o)
      make_weights(self, name, o, dims, o.in_channels, o.out_channels)
      self._attributes = {
        stride = o.stride, padding = o.padding, output_padding = o.output_padding,
        dilation = o.dilation, groups = o.groups,
      }
    end,
    forward = function(self, x)
      return op(x, self.weight, self.bias, self._attributes)
    end,
    -- convolution, bias and activation in one pass; Sequential uses it where one follows
    fuses = fuses,
    forward_fused = forward_fused(op),
  })
end

--- nn.Conv1d{in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1,
-- bias=true}: (N, Cin, L) -> (N, Cout, L'). weight (Cout, Cin/groups, k).
conv.Conv1d = convolution("nn.Conv1d", gan.conv1d, 1)

--- nn.Conv2d{...}, options as Conv1d: (N, Cin, H, W) -> (N, Cout, H', W'). weight
-- (Cout, Cin/groups, kh, kw); weight and bias start uniform in +-1/sqrt(Cin/groups kh kw).
conv.Conv2d = convolution("nn.Conv2d", gan.conv2d, 2)

--- nn.ConvTranspose1d{in_channels, out_channels, kernel_size, stride=1, padding=0,
-- output_padding=0, dilation=1, groups=1, bias=true}. weight (Cin, Cout/groups, k).
conv.ConvTranspose1d = transposed("nn.ConvTranspose1d", gan.conv_transpose1d, 1)

--- nn.ConvTranspose2d{...}, options as ConvTranspose1d. weight (Cin, Cout/groups, kh, kw).
conv.ConvTranspose2d = transposed("nn.ConvTranspose2d", gan.conv_transpose2d, 2)

return conv
