--- Dropout: in training, each value is zero with probability p and otherwise divided by 1 - p;
-- in evaluation nothing happens (Srivastava et al. 2014).

local gan = require "gan"
local module = require "gan.nn.module"

local dropout = {}

local function probability(name, o)
  if not (o.p >= 0 and o.p <= 1) then
    error(("%s: p must be between 0 and 1, not %s"):format(name, o.p), 4)
  end
end

--- nn.Dropout{p=0.5}: each element by itself.
dropout.Dropout = module.define("nn.Dropout", {
  fresh = true,
  options = "p:number=0.5",
  init = function(_, o) probability("nn.Dropout", o) end,
  forward = function(self, x)
    return gan.dropout(x, { p = self._options.p, training = self.training })
  end,
})

--- nn.Dropout2d{p=0.5}: whole planes of (N, C, H, W), or rows of (N, C, L).
dropout.Dropout2d = module.define("nn.Dropout2d", {
  options = "p:number=0.5",
  init = function(_, o) probability("nn.Dropout2d", o) end,
  forward = function(self, x)
    local p = self._options.p
    if not self.training or p == 0 then
      return x
    end
    local sizes = x:shape()
    for i = 3, #sizes do
      sizes[i] = 1
    end
    return x * gan.dropout(gan.ones(sizes), { p = p, training = true })
  end,
})

return dropout
