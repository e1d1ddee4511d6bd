--- Layers whose weight is computed from other parameters at every call. Each function changes the
-- layer that it is given and returns it:
--
--     nn.spectral_norm(nn.Conv2d{64, 128, kernel_size=4})
--
-- Names of the parameters are those of torch.nn.utils, so that files fit. The computed weight is
-- the layer's field `weight` as before, but not a parameter, and not saved.

local gan = require "gan"
local options = require "gan.options"
local module = require "gan.nn.module"
local weights = require "gan.nn.init.weights"

local reparam = {}

local function check(name, layer, given, spec)
  if not module.is_module(layer) then
    error(("%s: takes a layer and a table of options"):format(name), 3)
  end
  local o = options.check(name, given or {}, spec .. " name:text=weight", 4)
  if not gan.is_tensor(rawget(layer, o.name)) then
    error(("%s: %s has no parameter '%s'"):format(name, layer:kind(), o.name), 3)
  end
  return o
end

--- From now on, layer[name] = compute(layer) before every call. What was done is noted, for
-- descriptions of the model (gan.nn.blueprint): the function `made` and its options.
local function replace(layer, name, compute, made, o)
  layer._remade = rawget(layer, "_remade") or {}
  table.insert(layer._remade, { made, o })
  local hidden = rawget(layer, "_hidden") or {}
  hidden[name] = true
  layer._hidden, layer[name] = hidden, nil
  for _, method in ipairs{ "forward", "forward_fused" } do
    local base = layer[method]
    if base then
      layer[method] = function(self, ...)
        self[name] = compute(self)
        return base(self, ...)
      end
    end
  end
  return layer
end

--- The dimension that counts outputs: the second for transposed convolutions.
local function output_dim(layer)
  return layer:kind():find "^ConvTranspose" and 2 or 1
end

local function unit(v, eps)
  return (v / (v:norm() + eps)):keep()
end

--- Spectral normalisation (Miyato et al. 2018): weight = weight_orig / sigma, where sigma, the
-- largest singular value of the matrix with one row per output, is followed by `n_iter` power
-- steps from the stored vectors weight_u and weight_v at every call in training, none in
-- evaluation. Options: n_iter = 1, eps = 1e-12, name = "weight", dim (default: the outputs').
function reparam.spectral_norm(layer, given)
  local o = check("spectral_norm", layer, given, "; n_iter:int=1 eps:number=1e-12 dim:count?")
  local name, dim = o.name, o.dim or output_dim(layer)
  local orig, u, v = name .. "_orig", name .. "_u", name .. "_v"
  local w = layer[name]
  layer[orig] = w
  layer[u] = unit(gan.randn(w:size(dim)), o.eps)
  layer[v] = unit(gan.randn(w:numel() // w:size(dim)), o.eps)
  return replace(layer, name, function(self)
    local steps = self.training and o.n_iter or 0
    local weight, new_u, new_v = gan.spectral_norm(self[orig], self[u], self[v],
      { n_iter = steps, eps = o.eps, dim = dim })
    if steps > 0 then
      self[u]:copy_(new_u)
      self[v]:copy_(new_v)
    end
    return weight
  end, "spectral_norm", o)
end

--- Weight normalisation (Salimans and Kingma 2016): weight = weight_g * weight_v / |weight_v|,
-- the norm over everything but dimension `dim`. Options: dim = 1, name = "weight".
function reparam.weight_norm(layer, given)
  local o = check("weight_norm", layer, given, "; dim:count=1")
  local name, w = o.name, layer[o.name]
  local v, g = name .. "_v", name .. "_g"
  layer[v] = w
  layer[g] = module.parameter(gan.no_grad(function()
    local dims = {}
    for d = 1, w:dim() do
      dims[#dims + 1] = d ~= o.dim and d or nil
    end
    return w:square():sum(dims, { keepdim = true }):sqrt()
  end))
  return replace(layer, name, function(self)
    return gan.weight_norm(self[v], self[g], { dim = o.dim })
  end, "weight_norm", o)
end

--- Equalised learning rate (Karras et al. 2018): weight_orig starts N(0, 1) and weight =
-- weight_orig * gain / sqrt(fan_in), so that every layer learns at the same pace; the bias starts
-- at 0. Options: gain = sqrt(2), lr_mul = 1 (slows the layer down), name = "weight".
function reparam.equalized_lr(layer, given)
  local o = check("equalized_lr", layer, given, "; gain:number? lr_mul:number=1")
  local name, w = o.name, layer[o.name]
  local fan_in, fan_out = weights.fans(w)
  if output_dim(layer) == 2 then
    fan_in = fan_out -- transposed convolutions keep (in, out, k...)
  end
  local scale = (o.gain or math.sqrt(2)) / math.sqrt(fan_in) * o.lr_mul
  layer[name .. "_orig"] = weights.normal_(w, 0, 1 / o.lr_mul)
  if layer.bias then
    weights.zeros_(layer.bias)
  end
  return replace(layer, name, function(self)
    return self[name .. "_orig"] * scale
  end, "equalized_lr", o)
end

return reparam
