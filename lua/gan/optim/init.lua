--- gan.optim: optimisers, learning-rate schedules, clipping, averaged weights.

local gan = require "gan"
local options = require "gan.options"

local optim = {}

for _, part in ipairs{ "rules", "schedule", "ema" } do
  for name, v in pairs(require("gan.optim." .. part)) do
    optim[name] = v
  end
end

--- The list of parameters of a model, or the list itself.
local function parameters_of(given)
  return given.parameters and given:parameters() or given
end

local function check_limit(name, what, v)
  if type(v) == "number" and v >= 0 then
    return
  end
  error(("optim.%s: %s must be a number, 0 or more"):format(name, what), 3)
end

--- Limits every weight to [-c, c], in place: the clipping of the Wasserstein GAN. Takes a list of
-- parameters or a model.
function optim.clip_weights(params, c)
  check_limit("clip_weights", "the limit", c)
  gan.clip_(parameters_of(params), -c, c)
end

local function gradients(params)
  local grads = {}
  for _, p in ipairs(parameters_of(params)) do
    grads[#grads + 1] = p:grad()
  end
  return grads
end

--- Scales all gradients together so that their norm is at most max_norm: the factor is
-- min(1, max_norm / (norm + 1e-6)). Option p = 2: which norm (a number or "inf"). Returns the norm
-- before, a number; one NaN spreads to all gradients.
function optim.clip_grad_norm(params, max_norm, given)
  local o = options.check("optim.clip_grad_norm", given or {}, "; p:any=2")
  check_limit("clip_grad_norm", "max_norm", max_norm)
  local grads = gradients(params)
  if #grads == 0 then
    return 0.0
  end
  local total = gan.clip_grad_norm_(grads, max_norm, { p = o.p })
  return total:item()
end

--- Limits every element of every gradient to [-limit, limit].
function optim.clip_grad_value(params, limit)
  check_limit("clip_grad_value", "the limit", limit)
  local grads = gradients(params)
  gan.clip_(grads, -limit, limit)
end

return optim
