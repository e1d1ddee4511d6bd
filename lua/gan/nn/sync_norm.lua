--- Batch normalisation with the statistics of the whole batch, of which every rank of a job
-- (gan.mpi) has a share. nn.BatchNorm uses it where gan.ranks.sync_norm says so.
--
-- One message carries the statistics of all ranks, another one in the backward pass the sums of the
-- gradient. Every rank merges what all found in the same order, so that all have the same numbers.

local gan = require "gan"
local ranks = require "gan.ranks"

--- The sum of x over the ranks. Each rank's loss counts as much as its share of the batch, and a
-- gradient is that of its own loss: those of the others are weighed before they are added.
local all_sum
all_sum = gan.Function{
  name = "all_sum",
  forward = function(ctx, x)
    ctx.part = ranks.part
    return ranks.job.sum(x)
  end,
  backward = function(ctx, gy)
    return all_sum(gy * ctx.part) / ctx.part
  end,
}

--- All dimensions but that of the channels.
local function but_channels(x)
  local dims = { 1 }
  for d = 3, x:dim() do
    dims[#dims + 1] = d
  end
  return dims
end

--- (C) as (C, 1, 1) beside x.
local function per_channel(v, x)
  local shape = { v:numel() }
  for d = 3, x:dim() do
    shape[d - 1] = 1
  end
  return v:reshape(shape)
end

--- Mean and biased variance of the whole batch, and how many values a channel has in it (Chan,
-- Golub, LeVeque 1979).
local function statistics(x)
  local dims, c, n = but_channels(x), x:size(2), x:numel() // x:size(2)
  local own = gan.cat({ x:mean(dims), x:var(dims, { correction = 0 }), gan.full({ 1 }, n) },
    { dim = 1 })
  local all = gan.zeros(ranks.size, 2 * c + 1)
  all:slice(1, ranks.rank + 1, ranks.rank + 1):copy_(own:reshape(1, 2 * c + 1))
  all = ranks.job.sum(all)
  local means, vars, counts = all:slice(2, 1, c), all:slice(2, c + 1, 2 * c),
    all:slice(2, 2 * c + 1, 2 * c + 1)
  local total = counts:sum():item()
  local mean = (means * counts):sum(1) / total
  local var = ((vars + (means - mean):square()) * counts):sum(1) / total
  return mean, var, total
end

local activations = {
  none = function(y) return y end,
  relu = function(y) return y:relu() end,
  leaky_relu = function(y, slope) return y:leaky_relu(slope) end,
}

--- The same made of ops that have gradients of any order.
local function composed(x, w, b, o, total)
  local dims = but_channels(x)
  local centred = x - per_channel(all_sum(x:sum(dims)) / total, x)
  local var = all_sum(centred:square():sum(dims)) / total
  local y = centred * per_channel((var + o.eps):rsqrt() * w, x) + per_channel(b, x)
  return activations[o.activation](y, o.slope)
end

local function given(o, ...)
  return { training = false, eps = o.eps, activation = ..., slope = o.slope }
end

--- With fixed statistics, the gradient of x is `gx`, and those of weight and bias hold the sums by
-- which x changes the statistics.
local function fused(ctx, gy, x, w, b, mean, var)
  local o, total, part = ctx.o, ctx.total, ctx.part
  local gx, gw, gb = gan.enable_grad(function()
    local leaves = { gan.require_grad(x), gan.require_grad(w), gan.require_grad(b) }
    local y = gan.batch_norm(leaves[1], leaves[2], leaves[3], mean, var,
      given(o, o.activation))
    return gan.grad(y, leaves, { grad_outputs = gy, create_graph = false })
  end)
  local c = gw:numel()
  local sums = ranks.job.sum(gan.cat({ gw, gb }, { dim = 1 }) * part) / part
  local scale = (var + o.eps):rsqrt() * w * (-1 / total)
  local through = gan.batch_norm(x, scale * sums:slice(1, 1, c),
    scale * sums:slice(1, c + 1, 2 * c), mean, var, given(o, "none"))
  return gx + through, gw, gb
end

local normalise = gan.Function{
  name = "sync_batch_norm",
  forward = function(ctx, o, x, w, b)
    local mean, var, total = statistics(x)
    if total <= 1 then
      error("one value per channel has no variance", 0)
    end
    ctx.o, ctx.total, ctx.part = o, total, ranks.part
    ctx:save(x, w, b)
    ctx:save_constant(mean, var)
    return gan.batch_norm(x, w, b, mean, var, given(o, o.activation)), mean,
      var * (total / (total - 1))
  end,
  backward = function(ctx, gy)
    local x, w, b, mean, var = ctx:saved()
    if gan.is_grad_enabled() then
      local y = composed(x, w, b, ctx.o, ctx.total)
      return nil, gan.grad(y, { x, w, b }, { grad_outputs = gy, create_graph = true })
    end
    return nil, fused(ctx, gy, x, w, b, mean, var)
  end,
}

--- sync_norm(x, weight or nil, bias or nil, {eps=, activation=, slope=}) -> y, and mean and
-- unbiased variance of the whole batch. x: (N, C, ...).
return function(x, weight, bias, o)
  local c = x:size(2)
  o.activation, o.slope = o.activation or "none", o.slope or 0.01
  local y, mean, var = normalise(o, x, weight or gan.ones(c), bias or gan.zeros(c))
  return y, mean:detach(), var:detach()
end
