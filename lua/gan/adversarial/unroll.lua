--- The generator's loss against a discriminator that has already learnt from it (Metz et al. 2017).

local gan = require "gan"
local module = require "gan.nn.module"
local options = require "gan.options"

--- Where the parameters of a model are kept: a list of { table, key, tensor }.
local function slots_of(model)
  local params, slots, seen = {}, {}, {}
  for _, p in ipairs(model:parameters()) do
    params[p] = true
  end
  local function visit(t)
    seen[t] = true
    for key, v in pairs(t) do
      if gan.is_tensor(v) and params[v] then
        slots[#slots + 1] = { t, key, v }
      elseif type(v) == "table" and not seen[v]
        and (module.is_module(v) or getmetatable(v) == nil) then
        visit(v)
      end
    end
  end
  visit(model)
  return slots
end

--- The different tensors that lie in the slots at present, and for each slot its place in the list.
local function distinct(slots)
  local list, place, where = {}, {}, {}
  for i, slot in ipairs(slots) do
    local t = slot[3]
    if not place[t] then
      list[#list + 1] = t
      place[t] = #list
    end
    where[i] = place[t]
  end
  return list, where
end

local rules = {}

function rules.sgd(g, o)
  return g * o.lr
end

--- Adam from its beginning. The small number is under the root, where it keeps the gradient of the
-- root finite.
function rules.adam(g, o, moments, step)
  local b1, b2 = o.beta1, o.beta2
  moments.m = moments.m and moments.m * b1 + g * (1 - b1) or g * (1 - b1)
  moments.v = moments.v and moments.v * b2 + g:square() * (1 - b2) or g:square() * (1 - b2)
  local root = (moments.v / (1 - b2 ^ step) + 1e-16):sqrt()
  return moments.m / root * (o.lr / (1 - b1 ^ step))
end

--- Puts the model's own tensors back, and the values of its running statistics.
local function restorer(slots, buffers)
  local copies = {}
  for i, b in ipairs(buffers) do
    copies[i] = gan.no_grad(b.clone, b)
  end
  return setmetatable({}, { __close = function()
    for _, slot in ipairs(slots) do
      slot[1][slot[2]] = slot[3]
    end
    gan.no_grad(function()
      for i, b in ipairs(buffers) do
        b:copy_(copies[i])
      end
    end)
  end })
end

local spec = "D:table ; steps:count=5 lr:number rule:sgd|adam=sgd beta1:number=0.5 "
  .. "beta2:number=0.999 loss:callable generator:callable second_order:bool=true"

--- adversarial.unroll{D, steps=5, lr=, rule="sgd", loss=function() ... end,
--                    generator=function() ... end}
--
-- D learns for `steps` steps to make loss() small; then generator() is called, and its result
-- returned; then D is as it was, statistics included. Through second_order = true (the default) the
-- gradient of the result knows how D's learning depends on the generator: loss() must be computed
-- from generated samples that are not detached. rule: "sgd", or "adam" with beta1=0.5, beta2=0.999.
return function(given)
  local o = options.check("adversarial.unroll", given, spec)
  if not module.is_module(o.D) then
    error("adversarial.unroll: takes a model first, as in adversarial.unroll{D, lr = 1e-3, ...}", 2)
  end
  local slots = slots_of(o.D)
  local now, where = distinct(slots)
  local _ <close> = restorer(slots, o.D:buffers())
  local moments = {}
  for step = 1, o.steps do
    local grads = table.pack(gan.grad(o.loss(), now,
      { create_graph = o.second_order, allow_unused = true }))
    for i, p in ipairs(now) do
      moments[i] = moments[i] or {}
      if grads[i] then
        now[i] = p - rules[o.rule](grads[i], o, moments[i], step)
        if not o.second_order then
          now[i] = gan.require_grad(now[i]:detach())
        end
      end
    end
    for i, slot in ipairs(slots) do
      slot[1][slot[2]] = now[where[i]]
    end
  end
  return o.generator()
end
