--- Linear layers and tables of vectors.

local gan = require "gan"
local module = require "gan.nn.module"
local weights = require "gan.nn.init.weights"

local linear = {}

--- y = x W^T + b. nn.Linear{in_features, out_features, bias=true}; x (..., in) -> (..., out).
-- weight (out, in) and bias (out) start uniform in +-1/sqrt(in).
linear.Linear = module.define("nn.Linear", {
  fresh = true,
  options = "in_features:count out_features:count ; bias:bool=true",
  init = function(self, o)
    self.weight = module.parameter(gan.zeros(o.out_features, o.in_features))
    if o.bias then
      self.bias = module.parameter(gan.zeros(o.out_features))
    end
    weights.default_(self.weight, self.bias)
  end,
  forward = function(self, x)
    return gan.linear(x, self.weight, self.bias)
  end,
  -- product, bias and activation in one pass; Sequential uses it where such an activation follows
  fuses = { relu = true, leaky_relu = true, tanh = true, sigmoid = true },
  forward_fused = function(self, x, activation, slope)
    return gan.linear(x, self.weight, self.bias, { activation = activation, slope = slope })
  end,
})

--- Row i of a table for every index i: nn.Embedding{count, width, padding=index}.
-- indices (...) int64 in 1..count -> (..., width). The weight (count, width) starts N(0, 1). The
-- vector of the index `padding` is zero and is not trained.
linear.Embedding = module.define("nn.Embedding", {
  options = "num_embeddings:count embedding_dim:count ; padding:count?",
  init = function(self, o)
    if o.padding and o.padding > o.num_embeddings then
      error(("nn.Embedding: padding %d is larger than the table, %d"):format(o.padding,
        o.num_embeddings), 3)
    end
    self.weight = module.parameter(gan.randn(o.num_embeddings, o.embedding_dim))
    if o.padding then
      gan.no_grad(self.weight[o.padding].zero_, self.weight[o.padding])
    end
  end,
  forward = function(self, indices)
    local y = gan.embedding(indices, self.weight)
    local padding = self._options.padding
    if padding then
      y = y * gan.ne(indices, padding):unsqueeze(-1)
    end
    return y
  end,
})

--- The same vectors in, the same vectors out.
linear.Identity = module.define("nn.Identity", {
  options = "",
  forward = function(_, x) return x end,
})

return linear
