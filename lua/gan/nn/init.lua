--- gan.nn: layers, containers, starting values of weights.
--
-- nn.module defines new kinds of layers; nn.init fills weights. Every constructor takes exactly
-- one table: nn.Conv2d{1, 64, kernel_size=4, stride=2, padding=1, name="first"}.

local module = require "gan.nn.module"
require "gan.nn.state"
require "gan.nn.summary"

local nn = {
  module = module.define,
  parameter = module.parameter,
  is_module = module.is_module,
  init = require "gan.nn.init.weights",
}

for _, part in ipairs{ "container", "linear", "activation", "conv", "pool", "norm", "dropout",
  "shape", "rnn", "attention", "reparam", "codes", "conditional", "style" } do
  for name, v in pairs(require("gan.nn." .. part)) do
    nn[name] = v
  end
end

return nn
