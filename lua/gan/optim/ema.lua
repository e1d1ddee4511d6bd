--- Averaged weights: a running mean of a model's parameters over the steps of its training, often
-- the better generator.

local gan = require "gan"
local options = require "gan.options"
local dynamic = require "gan.dynamic"

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
  local names, params = {}, {}
  for name, p in o.model:named_parameters() do
    names[#names + 1], params[#params + 1] = name, p
  end
  return setmetatable({ decay = o.decay, warmup = o.warmup, steps = 0, params = params,
    names = names, shadow = copies(params) }, EMA)
end

local function update(self)
  self.steps = self.steps + 1
  local decay = self.decay
  if self.warmup then
    decay = math.min(decay, (1 + self.steps) / (10 + self.steps))
  end
  gan.ema_(self.shadow, self.params, { decay = decay })
end

--- After each optimiser step: shadow = decay shadow + (1 - decay) parameters.
function EMA:update()
  dynamic(update, self)
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

--- { steps = updates so far, weights = name -> tensor }: the tensors are the average's own, under
-- the names of the parameters.
function EMA:state_dict()
  local weights = {}
  for i, name in ipairs(self.names) do
    weights[name] = self.shadow[i]
  end
  return { steps = self.steps, weights = weights }
end

local function fits(t, like)
  return gan.is_tensor(t) and t:dtype() == like:dtype()
    and table.concat(t:shape(), " ") == table.concat(like:shape(), " ")
end

--- Takes over what state_dict of an average over an equal model gave; what does not fit raises,
-- and nothing has changed then.
function EMA:load_state_dict(state)
  local list = {}
  if math.type(state.steps) ~= "integer" or state.steps < 0 then
    error("optim.EMA: the state has no number of steps", 2)
  end
  for i, name in ipairs(self.names) do
    list[i] = type(state.weights) == "table" and state.weights[name]
    if not fits(list[i], self.shadow[i]) then
      error(("optim.EMA: '%s' is missing in the state, or of another shape"):format(name), 2)
    end
  end
  copy_all(list, self.shadow)
  self.steps = state.steps
end

--- Writes the averaged parameters into another model of the same shape.
function EMA:copy_to(model)
  copy_all(self.shadow, model:parameters())
end

return { EMA = new }
