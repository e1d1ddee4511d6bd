--- Averaged weights: a running mean of a model's parameters over the steps of its training, often
-- the better generator.

local gan = require "gan"
local options = require "gan.options"

local EMA = {}
EMA.__index = EMA
EMA.__name = "gan.optim.EMA"

local function copies(list)
  local result = {}
  for i, t in ipairs(list) do
    result[i] = gan.no_grad(t.clone, t):detach():keep()
  end
  return result
end

local function copy_all(from, to)
  gan.no_grad(function()
    for i, t in ipairs(to) do
      t:copy_(from[i])
    end
  end)
end

--- optim.EMA{model, decay=0.999, warmup=false}. With warmup, the decay of step t is at most
-- (1 + t) / (10 + t), so that the weights of the beginning are soon forgotten.
local function new(given)
  local o = options.check("optim.EMA", given, "model:any ; decay:number=0.999 warmup:bool=false")
  if type(o.model) ~= "table" or not o.model.parameters then
    error("optim.EMA: takes a model first, as in optim.EMA{G, decay=0.999}", 2)
  elseif not (o.decay >= 0 and o.decay <= 1) then
    error(("optim.EMA: decay must be from 0 to 1, not %g"):format(o.decay), 2)
  end
  local params = o.model:parameters()
  return setmetatable({ decay = o.decay, warmup = o.warmup, steps = 0, params = params,
    shadow = copies(params) }, EMA)
end

--- After each optimiser step: shadow = decay shadow + (1 - decay) parameters.
function EMA:update()
  self.steps = self.steps + 1
  local decay = self.decay
  if self.warmup then
    decay = math.min(decay, (1 + self.steps) / (10 + self.steps))
  end
  gan.ema_(self.shadow, self.params, { decay = decay })
end

--- Calls f(...) while the model has the averaged parameters, and returns its results. The
-- model's own parameters come back afterwards, also after an error.
function EMA:use(f, ...)
  local own = copies(self.params)
  local _ <close> = setmetatable({}, { __close = function()
    copy_all(own, self.params)
    for _, t in ipairs(own) do
      t:release()
    end
  end })
  copy_all(self.shadow, self.params)
  return (function(...) return ... end)(f(...))
end

--- Writes the averaged parameters into another model of the same shape.
function EMA:copy_to(model)
  copy_all(self.shadow, model:parameters())
end

return { EMA = new }
