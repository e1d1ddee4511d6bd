--- Pooling, unpooling.

local gan = require "gan"
local module = require "gan.nn.module"

local pool = {}

local function max_pool(name, op)
  return module.define(name, {
    fresh = true,
    options = "kernel_size:ints ; stride:ints? padding:ints=0 dilation:ints=1 "
      .. "ceil_mode:bool=false return_indices:bool=false",
    init = function(self, o)
      self._attributes = {
        kernel_size = o.kernel_size, stride = o.stride or o.kernel_size, padding = o.padding,
        dilation = o.dilation, ceil_mode = o.ceil_mode,
      }
    end,
    forward = function(self, x)
      local y, positions = op(x, self._attributes)
      if self._options.return_indices then
        return y, positions
      end
      return y
    end,
  })
end

local function max_unpool(name, op)
  return module.define(name, {
    fresh = true,
    options = "kernel_size:ints ; stride:ints? padding:ints=0",
    init = function(self, o)
      self._attributes = {
        kernel_size = o.kernel_size, stride = o.stride or o.kernel_size, padding = o.padding,
      }
    end,
    forward = function(self, x, positions, output_size)
      local a = self._attributes
      return op(x, positions, {
        kernel_size = a.kernel_size, stride = a.stride, padding = a.padding,
        output_size = output_size,
      })
    end,
  })
end

local function avg_pool(name, op, dims)
  return module.define(name, {
    fresh = true,
    options = "kernel_size:ints ; stride:ints? padding:ints=0 ceil_mode:bool=false "
      .. "count_include_pad:bool=true" .. (dims == 2 and " divisor_override:count?" or ""),
    init = function(self, o)
      self._attributes = {
        kernel_size = o.kernel_size, stride = o.stride or o.kernel_size, padding = o.padding,
        ceil_mode = o.ceil_mode, count_include_pad = o.count_include_pad,
        divisor_override = o.divisor_override,
      }
    end,
    forward = function(self, x) return op(x, self._attributes) end,
  })
end

local function adaptive(name, op)
  return module.define(name, {
    fresh = true,
    options = "output_size:ints",
    forward = function(self, x)
      return (op(x, { output_size = self._options.output_size }))
    end,
  })
end

--- nn.MaxPool1d{kernel_size, stride=kernel_size, padding=0, dilation=1, ceil_mode=false,
-- return_indices=false}. With return_indices, the second result says where in its plane each
-- maximum stood (from 1), for MaxUnpool1d.
pool.MaxPool1d = max_pool("nn.MaxPool1d", gan.max_pool1d)

--- nn.MaxPool2d{...}, options as MaxPool1d.
pool.MaxPool2d = max_pool("nn.MaxPool2d", gan.max_pool2d)

--- nn.MaxUnpool1d{kernel_size, stride=kernel_size, padding=0}: layer(x, positions, output_size)
-- puts the values back where they came from, zeros elsewhere. Without output_size (a list), the
-- size is (in-1) stride - 2 padding + kernel.
pool.MaxUnpool1d = max_unpool("nn.MaxUnpool1d", gan.max_unpool1d)

--- nn.MaxUnpool2d{...}, as MaxUnpool1d.
pool.MaxUnpool2d = max_unpool("nn.MaxUnpool2d", gan.max_unpool2d)

--- nn.AvgPool1d{kernel_size, stride=kernel_size, padding=0, ceil_mode=false,
-- count_include_pad=true}.
pool.AvgPool1d = avg_pool("nn.AvgPool1d", gan.avg_pool1d, 1)

--- nn.AvgPool2d{...}, as AvgPool1d; also divisor_override, the number to divide by.
pool.AvgPool2d = avg_pool("nn.AvgPool2d", gan.avg_pool2d, 2)

--- nn.AdaptiveAvgPool1d{output_size}: windows i n/o .. (i+1) n/o.
pool.AdaptiveAvgPool1d = adaptive("nn.AdaptiveAvgPool1d", gan.adaptive_avg_pool1d)

--- nn.AdaptiveAvgPool2d{output_size}: nn.AdaptiveAvgPool2d{1} is global average pooling.
pool.AdaptiveAvgPool2d = adaptive("nn.AdaptiveAvgPool2d", gan.adaptive_avg_pool2d)

--- nn.AdaptiveMaxPool2d{output_size}.
pool.AdaptiveMaxPool2d = adaptive("nn.AdaptiveMaxPool2d", gan.adaptive_max_pool2d)

return pool
