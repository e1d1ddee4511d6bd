--- Activations: layers around ops of the same meaning, without parameters (but PReLU).

local gan = require "gan"
local module = require "gan.nn.module"

local activation = {}

--- A layer that applies an op with its options. `fuse` is the word under which a linear layer
-- before it can do the same in one pass.
local function define(name, op, spec, fuse)
  activation[name] = module.define("nn." .. name, {
    fresh = true,
    options = spec or "",
    init = function(self, o)
      self.slope = o.slope
      if spec then
        self._attributes = {}
        for key, v in pairs(o) do
          if key ~= "name" then
            self._attributes[key] = v
          end
        end
      end
    end,
    forward = function(self, x)
      if self._attributes then
        return gan[op](x, self._attributes)
      end
      return gan[op](x)
    end,
    fuse = function(self)
      return (not self.slope or self.slope > 0) and fuse or nil
    end,
  })
end

--- nn.ReLU{}: max(x, 0).
define("ReLU", "relu", nil, "relu")

--- nn.LeakyReLU{slope=0.01}: x where it is positive, else slope x.
define("LeakyReLU", "leaky_relu", "slope:number=0.01", "leaky_relu")

--- nn.Tanh{}: the hyperbolic tangent, in (-1, 1).
define("Tanh", "tanh", nil, "tanh")

--- nn.Sigmoid{}: 1 / (1 + exp(-x)), in (0, 1).
define("Sigmoid", "sigmoid", nil, "sigmoid")

--- nn.ReLU6{}: x limited to 0..6.
define("ReLU6", "relu6")

--- nn.ELU{alpha=1}: x, below zero alpha (exp(x) - 1).
define("ELU", "elu", "alpha:number=1")

--- nn.CELU{alpha=1}: x, below zero alpha (exp(x / alpha) - 1).
define("CELU", "celu", "alpha:number=1")

--- nn.SELU{}: the scaled ELU that keeps mean 0 and variance 1 (Klambauer et al. 2017).
define("SELU", "selu")

--- nn.GELU{approximate="none"}: x times the normal distribution's cumulative probability, exact or
-- by the "tanh" formula.
define("GELU", "gelu", "; approximate:none|tanh=none")

--- nn.SiLU{}: x sigmoid(x).
define("SiLU", "silu")

--- nn.Mish{}: x tanh(softplus(x)).
define("Mish", "mish")

--- nn.Softplus{beta=1, threshold=20}: ln(1 + exp(beta x)) / beta, linear above threshold / beta.
define("Softplus", "softplus", "; beta:number=1 threshold:number=20")

--- nn.Softsign{}: x / (1 + |x|).
define("Softsign", "softsign")

--- nn.LogSigmoid{}: ln sigmoid(x).
define("LogSigmoid", "logsigmoid")

--- nn.Hardswish{}: x relu6(x + 3) / 6.
define("Hardswish", "hardswish")

--- nn.Hardsigmoid{}: relu6(x + 3) / 6.
define("Hardsigmoid", "hardsigmoid")

--- nn.Hardtanh{min=-1, max=1}: x limited to min..max.
define("Hardtanh", "hardtanh", "min:number=-1 max:number=1")

--- nn.Softshrink{lambda=0.5}: x moved towards 0 by lambda, 0 within lambda of it.
define("Softshrink", "softshrink", "lambda:number=0.5")

--- nn.Hardshrink{lambda=0.5}: x, but 0 within lambda of 0.
define("Hardshrink", "hardshrink", "lambda:number=0.5")

--- nn.Threshold{threshold, value}: x where it is above the threshold, else value.
define("Threshold", "threshold", "threshold:number value:number")

--- nn.Softmax{dim=-1}: exp(x) divided by its sum along a dimension.
define("Softmax", "softmax", "dim:int=-1")

--- nn.Softmin{dim=-1}: the softmax of -x.
activation.Softmin = module.define("nn.Softmin", {
  options = "dim:int=-1",
  forward = function(self, x) return gan.softmax(-x, { dim = self._options.dim }) end,
})

--- nn.LogSoftmax{dim=-1}: the logarithm of the softmax.
define("LogSoftmax", "log_softmax", "dim:int=-1")

--- nn.GLU{dim=-1}: the first half along a dimension times the sigmoid of the second.
define("GLU", "glu", "dim:int=-1")

--- nn.PReLU{count=1, start=0.25}: max(x, 0) + weight min(x, 0), one trained slope, or one per
-- channel (He et al. 2015).
activation.PReLU = module.define("nn.PReLU", {
  options = "num_parameters:count=1 ; start:number=0.25",
  init = function(self, o)
    self.weight = module.parameter(gan.full({ o.num_parameters }, o.start))
  end,
  forward = function(self, x) return gan.prelu(x, self.weight) end,
})

return activation
