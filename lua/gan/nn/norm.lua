--- Normalisations. All divide by sqrt(biased variance + eps).

local gan = require "gan"
local module = require "gan.nn.module"
local ranks = require "gan.ranks"

local norm = {}

--- weight of ones and bias of zeros, where wanted.
local function affine(self, wanted, ...)
  if wanted then
    self.weight = module.parameter(gan.ones(...))
    self.bias = module.parameter(gan.zeros(...))
  end
end

local function running(self, features)
  self.running_mean = gan.zeros(features)
  self.running_var = gan.ones(features)
  self.num_batches_tracked = gan.tensor(0, { dtype = "int64" })
end

--- The weight of this batch in the running statistics; without `momentum`, a plain average.
local function momentum_of(self)
  local momentum = self._options.momentum
  return momentum >= 0 and momentum or 1 / (self.num_batches_tracked:item() + 1)
end

local function check_dims(x, low, high)
  local dims = x:dim()
  if dims < low or dims > high then
    local wanted = low == high and ("%d"):format(low) or ("%d or %d"):format(low, high)
    error(("takes %s dimensions, not (%s)"):format(wanted, table.concat(x:shape(), " x ")), 0)
  end
end

--- Normalises with the statistics of the batch that all ranks of a job share.
local function normalise_together(self, x, activation, slope)
  local sync_norm = require "gan.nn.sync_norm"
  local y, mean, var = sync_norm(x, self.weight, self.bias,
    { eps = self._options.eps, activation = activation, slope = slope })
  if self.running_mean then
    local momentum = momentum_of(self)
    gan.no_grad(function()
      gan.increment_(self.num_batches_tracked)
      self.running_mean:copy_(self.running_mean * (1 - momentum) + mean * momentum)
      self.running_var:copy_(self.running_var * (1 - momentum) + var * momentum)
    end)
  end
  return y
end

local function normalise(self, x, low, high, activation, slope)
  check_dims(x, low, high)
  local mean, var = self.running_mean, self.running_var
  local update = self.training and mean ~= nil
  if ranks.part and ranks.sync_norm and self.training then
    return normalise_together(self, x, activation, slope)
  end
  local y, new_mean, new_var = gan.batch_norm(x, self.weight, self.bias, mean, var, {
    training = self.training or mean == nil, momentum = update and momentum_of(self) or 0,
    eps = self._options.eps, activation = activation, slope = slope,
  })
  if update then
    gan.increment_(self.num_batches_tracked)
    mean:copy_(new_mean)
    var:copy_(new_var)
  end
  return y
end

local function batch_norm(name, low, high)
  return module.define(name, {
    fresh = true,
    options = "num_features:count ; eps:number=1e-5 momentum:number=0.1 affine:bool=true "
      .. "track_running_stats:bool=true",
    init = function(self, o)
      affine(self, o.affine, o.num_features)
      if o.track_running_stats then
        running(self, o.num_features)
      end
    end,
    forward = function(self, x) return normalise(self, x, low, high) end,
    -- with the activation in the same pass; Sequential uses it where such an activation follows
    fuses = { relu = true, leaky_relu = true },
    forward_fused = function(self, x, activation, slope)
      return normalise(self, x, low, high, activation, slope)
    end,
  })
end

--- nn.BatchNorm1d{features, eps=1e-5, momentum=0.1, affine=true, track_running_stats=true}:
-- (N, C) or (N, C, L), normalised per channel C over everything else (Ioffe and Szegedy 2015).
-- Training uses the batch's statistics and moves the running ones (unbiased variance) towards
-- them; evaluation uses the running ones. A negative momentum means a plain average of all batches.
-- In a job of several processes the batch is this process's share of it; the whole one with
-- --mpi-sync-norm (see gan.mpi).
norm.BatchNorm1d = batch_norm("nn.BatchNorm1d", 2, 3)

--- nn.BatchNorm2d{...}: as BatchNorm1d, for (N, C, H, W).
norm.BatchNorm2d = batch_norm("nn.BatchNorm2d", 4, 4)

--- nn.LayerNorm{sizes, eps=1e-5, affine=true}: over the last dimensions, whose sizes are given
-- (a number for one dimension).
norm.LayerNorm = module.define("nn.LayerNorm", {
  fresh = true,
  options = "normalized_shape:ints ; eps:number=1e-5 affine:bool=true",
  init = function(self, o)
    local shape = o.normalized_shape
    self._shape = type(shape) == "number" and { shape } or shape
    affine(self, o.affine, table.unpack(self._shape))
  end,
  forward = function(self, x)
    local sizes, wanted = x:shape(), self._shape
    for i = 1, #wanted do
      if sizes[#sizes - #wanted + i] ~= wanted[i] then
        error(("the last sizes must be (%s), not those of (%s)"):format(
          table.concat(wanted, " x "), table.concat(sizes, " x ")), 0)
      end
    end
    return gan.layer_norm(x, self.weight, self.bias, { ndim = #wanted, eps = self._options.eps })
  end,
})

local function instance_norm(name, dims)
  return module.define(name, {
    fresh = true,
    options = "num_features:count ; eps:number=1e-5 affine:bool=false",
    init = function(self, o)
      affine(self, o.affine, o.num_features)
    end,
    forward = function(self, x)
      check_dims(x, dims, dims)
      return gan.instance_norm(x, self.weight, self.bias, { eps = self._options.eps })
    end,
  })
end

--- nn.InstanceNorm1d{features, eps=1e-5, affine=false}: each plane of (N, C, L) by itself.
norm.InstanceNorm1d = instance_norm("nn.InstanceNorm1d", 3)

--- nn.InstanceNorm2d{...}: each plane of (N, C, H, W) by itself.
norm.InstanceNorm2d = instance_norm("nn.InstanceNorm2d", 4)

--- nn.GroupNorm{groups, channels, eps=1e-5, affine=true}: over each group of channels and all
-- positions (Wu and He 2018).
norm.GroupNorm = module.define("nn.GroupNorm", {
  fresh = true,
  options = "num_groups:count num_channels:count ; eps:number=1e-5 affine:bool=true",
  init = function(self, o)
    if o.num_channels % o.num_groups ~= 0 then
      error(("nn.GroupNorm: %d channels do not divide into %d groups"):format(o.num_channels,
        o.num_groups), 3)
    end
    affine(self, o.affine, o.num_channels)
  end,
  forward = function(self, x)
    local o = self._options
    return gan.group_norm(x, self.weight, self.bias, { groups = o.num_groups, eps = o.eps })
  end,
})

--- nn.PixelNorm{eps=1e-8}: x / sqrt(mean over channels of x^2 + eps), for (N, C, ...) (Karras et
-- al. 2018).
norm.PixelNorm = module.define("nn.PixelNorm", {
  fresh = true,
  options = "; eps:number=1e-8",
  forward = function(self, x)
    return gan.pixel_norm(x, { eps = self._options.eps })
  end,
})

--- nn.LocalResponseNorm{size, alpha=1e-4, beta=0.75, k=1}: x / (k + alpha/size * sum over the
-- window of channels of x^2)^beta (Krizhevsky et al. 2012).
norm.LocalResponseNorm = module.define("nn.LocalResponseNorm", {
  options = "size:count ; alpha:number=1e-4 beta:number=0.75 k:number=1",
  forward = function(self, x)
    local o = self._options
    return gan.local_response_norm(x, { size = o.size, alpha = o.alpha, beta = o.beta, k = o.k })
  end,
})

return norm
