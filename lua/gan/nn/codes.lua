--- Layers of auto-encoders: noise at the input, sparse codes, tied weights, quantised codes.

local gan = require "gan"
local module = require "gan.nn.module"
local noise = require "gan.noise"

local codes = {}

-- ---- noise ------------------------------------------------------------------------------------

--- nn.GaussianNoise{std=0.25}: adds N(0, std^2) to every element in training, nothing in
-- evaluation.
codes.GaussianNoise = module.define("nn.GaussianNoise", {
  options = "std:number=0.25",
  forward = function(self, x)
    return self.training and noise.gaussian(x, self._options.std) or x
  end,
})

--- nn.MaskingNoise{p=0.5}: sets a share p of the elements to 0 in training, none in evaluation.
-- What remains is not made larger, unlike in nn.Dropout.
codes.MaskingNoise = module.define("nn.MaskingNoise", {
  options = "p:number=0.5",
  forward = function(self, x)
    return self.training and noise.masking(x, self._options.p) or x
  end,
})

--- nn.SaltAndPepperNoise{p=0.2, low=0, high=1}: sets a share p of the elements to `low` or `high`
-- in training, none in evaluation.
codes.SaltAndPepperNoise = module.define("nn.SaltAndPepperNoise", {
  options = "p:number=0.2 ; low:number=0 high:number=1",
  forward = function(self, x)
    local o = self._options
    return self.training and noise.salt_and_pepper(x, o.p, { low = o.low, high = o.high }) or x
  end,
})

-- ---- sparse codes -----------------------------------------------------------------------------

--- x where it is among the k largest along a dimension, else 0; of equal ones the first stay.
local function keep_largest(x, k, dim)
  local _, places = gan.no_grad(gan.topk, x, k, dim)
  local kept = gan.no_grad(function()
    return gan.zeros(x:shape()):scatter(places, gan.ones(places:shape()), dim)
  end)
  return x * kept
end

--- k-sparse codes (Makhzani and Frey 2013): of every sample, the k largest units stay, the others
-- become 0. nn.KSparse{k, eval_k=k}; x (..., units). In evaluation eval_k stay (the paper takes
-- up to three times as many); `layer.k` may be changed between steps, to begin with a larger one.
codes.KSparse = module.define("nn.KSparse", {
  options = "k:count ; eval_k:count?",
  init = function(self, o) self.k = o.k end,
  forward = function(self, x)
    local k = self.training and self.k or self._options.eval_k or self.k
    return keep_largest(x, math.min(k, x:size(-1)), x:dim())
  end,
})

--- Winner-take-all codes (Makhzani and Frey 2015): of every unit, the largest `rate` of its values
-- in the batch stay, at least one, the others become 0, so that no unit is dead.
-- nn.WinnerTakeAll{0.05}; x (N, units) in training; in evaluation everything stays.
codes.WinnerTakeAll = module.define("nn.WinnerTakeAll", {
  options = "rate:number=0.05",
  init = function(_, o)
    if not (o.rate > 0 and o.rate <= 1) then
      error("nn.WinnerTakeAll: option 'rate' must be over 0 and up to 1", 3)
    end
  end,
  forward = function(self, x)
    if not self.training or #x == 0 then
      return x
    end
    return keep_largest(x, math.max(1, math.floor(self._options.rate * #x + 0.5)), 1)
  end,
})

-- ---- tied weights -----------------------------------------------------------------------------

--- The decoder's half of a linear layer: y = x W + b with the weight W (out, in) of `layer`, x
-- (..., out) -> (..., in). nn.TiedLinear{layer, bias=true}. The weight belongs to `layer`: it is
-- neither counted nor saved a second time, and stays the same one through training and loading.
codes.TiedLinear = module.define("nn.TiedLinear", {
  options = "layer:table ; bias:bool=true",
  init = function(self, o)
    if not module.is_module(o.layer) or not gan.is_tensor(o.layer.weight)
        or o.layer.weight:dim() ~= 2 then
      error("nn.TiedLinear: takes a linear layer, as in nn.TiedLinear{encoder[1]}", 3)
    end
    self._layer = o.layer
    if o.bias then
      self.bias = module.parameter(gan.zeros(o.layer.weight:size(2)))
    end
  end,
  forward = function(self, x)
    return gan.linear(x, self._layer.weight:t(), self.bias)
  end,
  fuses = { relu = true, leaky_relu = true, tanh = true, sigmoid = true },
  forward_fused = function(self, x, activation, slope)
    return gan.linear(x, self._layer.weight:t(), self.bias,
      { activation = activation, slope = slope })
  end,
})

-- ---- quantised codes --------------------------------------------------------------------------

--- (N, D, ...) -> rows (M, D), and a function that takes rows back to that shape.
local function to_rows(x)
  if x:dim() == 2 then
    return x, function(rows) return rows end
  end
  local order, back, sizes = { 1 }, { 1, x:dim() }, { x:size(1) }
  for d = 3, x:dim() do
    order[#order + 1], back[#back + 1], sizes[#sizes + 1] = d, d - 1, x:size(d)
  end
  order[#order + 1], sizes[#sizes + 1] = 2, x:size(2)
  return x:permute(order):reshape(-1, x:size(2)), function(rows)
    return rows:reshape(sizes):permute(back)
  end
end

--- The nearest of `count` learnt vectors (van den Oord et al. 2017): nn.VectorQuantizer{count,
-- width, beta=0.25}. x (N, width) or (N, width, ...) -> quantised x, the loss, the indices.
--
-- With e the nearest vector, the loss is mean |sg(x) - e|^2 + beta mean |x - sg(e)|^2 (sg: no
-- gradient), to be added to the decoder's; the gradient of the output goes to x as it is. The
-- vectors start as N(0, 1); `layer:revive(x)` sets those that x does not use to vectors of x.
codes.VectorQuantizer = module.define("nn.VectorQuantizer", {
  options = "count:count width:count ; beta:number=0.25",
  init = function(self, o)
    self.vectors = module.parameter(gan.randn(o.count, o.width))
  end,
  forward = function(self, x)
    local rows, back = to_rows(x)
    local index = self:nearest(rows)
    local e = self.vectors:index_select(index, 1)
    local loss = gan.mse_loss(e, rows:detach())
      + gan.mse_loss(rows, e:detach()) * self._options.beta
    return back(rows + (e - rows):detach()), loss, index
  end,
  --- Rows (M, width) -> the indices (M) of their nearest vectors.
  nearest = function(self, rows)
    return gan.no_grad(function() -- |x|^2 is the same for all
      local e = self.vectors
      return (e:square():sum(2) - gan.linear(rows, e) * 2):argmin(2)
    end)
  end,
  --- Indices (M) -> vectors (M, width).
  decode = function(self, index)
    return self.vectors:index_select(index, 1)
  end,
  --- Sets every vector that no row of x is nearest to, to a random row of x. Returns how many.
  revive = function(self, x)
    return gan.scope(gan.no_grad, function()
      local rows = to_rows(x)
      local used, dead = {}, {}
      for _, i in ipairs(self:nearest(rows):totable()) do
        used[i] = true
      end
      for i = 1, #self.vectors do
        dead[#dead + 1] = not used[i] and i or nil
      end
      local picks = gan.randint({ math.max(#dead, 1) }, { lo = 1, hi = #rows }):totable()
      for n, i in ipairs(dead) do
        self.vectors[i]:copy_(rows[picks[n]])
      end
      return #dead
    end)
  end,
})

-- ---- several domains --------------------------------------------------------------------------

--- Auto-encoders of several domains whose codes have the same width, so that what one domain's
-- encoder reads another's decoder can write: nn.MultiAutoencoder{encoders={...}, decoders={...}}.
-- With loss.multi_view the codes of the same thing in all domains come to agree.
codes.MultiAutoencoder = module.define("nn.MultiAutoencoder", {
  options = "; encoders:list decoders:list",
  init = function(self, o)
    if #o.encoders ~= #o.decoders or #o.encoders == 0 then
      error(("nn.MultiAutoencoder: %d encoders and %d decoders"):format(#o.encoders, #o.decoders),
        3)
    end
    self.encoders, self.decoders = o.encoders, o.decoders
  end,
  --- net(views) -> the views restored, each from its own code; and the codes. Both are lists.
  forward = function(self, views)
    local restored, all = {}, {}
    for i, encoder in ipairs(self.encoders) do
      all[i] = encoder(views[i])
      restored[i] = self.decoders[i](all[i])
    end
    return restored, all
  end,
  --- Writes in domain `to` what x says in domain `from`.
  translate = function(self, x, from, to)
    return self.decoders[to](self.encoders[from](x))
  end,
})

return codes
