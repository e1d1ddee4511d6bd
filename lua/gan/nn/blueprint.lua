--- Models as data: what layers a model is made of, so that it can be built again without running
-- the script that made it.
--
--     local plan = blueprint.describe(G)     -- a table for JSON; or nil, and what is in the way
--     local G2 = blueprint.build(plan)       -- new weights; or nil and a message
--
-- A plan names layers of gan.nn and their options (numbers, words, lists), and the layers inside
-- them. It holds no code: whoever reads one may only get layers of the library. Modules and
-- functions of a script have no plan.

local module = require "gan.nn.module"
local options = require "gan.options"

local blueprint = {}

local MAX_DEPTH = 64
local MAX_SIZE = 2 ^ 31 -- of a number in a plan: more is no size of a layer

-- Not in a plan: they hold functions, or weights of another layer.
local excluded = { Lambda = true, TiedLinear = true }

-- What may have been done to a layer after it was made (gan.nn.reparam).
local remakes = { spectral_norm = true, weight_norm = true, equalized_lr = true }

local containers = { Sequential = true, Conditional = true }

--- The constructor of a kind of layer of the library, or nil.
local function constructor(kind)
  local nn = require "gan.nn"
  local f = type(kind) == "string" and kind:find "^%u" and not excluded[kind] and nn[kind]
  return type(f) == "function" and f or nil
end

-- ---- describing -----------------------------------------------------------------------------

local function refuse(message, ...)
  error({ refusal = message:format(...) }, 0)
end

local function is_plain(v)
  local kind = type(v)
  return kind == "number" or kind == "string" or kind == "boolean"
end

local describe

--- An option's value as data: a plain value, a list of such, a layer, or a list of layers.
local function value(v, name, depth)
  if is_plain(v) then
    return v
  elseif module.is_module(v) then
    return describe(v, depth)
  elseif type(v) ~= "table" or getmetatable(v) ~= nil then
    refuse("its option '%s' is a %s", name, type(v))
  end
  local list = {}
  for i, item in ipairs(v) do
    list[i] = value(item, name, depth + 1)
  end
  for key in pairs(v) do
    if math.type(key) ~= "integer" or key < 1 or key > #list then
      refuse("its option '%s' is a table of names", name)
    end
  end
  return list
end

local function describe_options(layer, depth)
  local spec, result, any = getmetatable(layer).spec, {}, false
  for _, field in ipairs(spec and options.parse(spec) or {}) do
    local v = layer._options[field.name]
    if v ~= nil and (v ~= field.default or not field.optional) then
      result[field.name], any = value(v, field.name, depth), true
    end
  end
  return any and result or nil
end

local function at(layer, depth)
  local kind = layer:kind()
  local name = getmetatable(layer).__name
  if depth > MAX_DEPTH then
    refuse("it is nested too deeply")
  elseif excluded[kind] and name == "nn." .. kind then
    refuse(kind == "Lambda" and "it holds a function of the script" or "it uses the weight of "
      .. "another layer")
  elseif name ~= "nn." .. kind or not constructor(kind) then
    refuse("it is a module of the script, no layer of the library")
  elseif rawget(layer, "forward") and not rawget(layer, "_remade") then
    refuse("its forward was replaced")
  end
  local plan = { layer = kind, options = describe_options(layer, depth + 1) }
  if containers[kind] then
    plan.layers, plan.name = {}, rawget(layer, "name")
    for i, inner in ipairs(layer) do
      plan.layers[i] = describe(inner, depth + 1)
    end
  end
  for i, step in ipairs(rawget(layer, "_remade") or {}) do
    plan.remade = plan.remade or {}
    plan.remade[i] = { with = step[1], options = {} }
    for key, v in pairs(step[2]) do
      plan.remade[i].options[key] = value(v, key, depth)
    end
  end
  return plan
end

--- The plan of a layer; what stands in the way is raised with the layer's place.
function describe(layer, depth)
  local ok, plan = pcall(at, layer, depth)
  if ok then
    return plan
  elseif type(plan) ~= "table" then
    error(plan, 0)
  elseif not plan.place then
    plan.place = rawget(layer, "name") or layer:kind()
  end
  error(plan, 0)
end

--- blueprint.describe(model) -> plan; or nil and a sentence.
function blueprint.describe(model)
  local ok, plan = pcall(describe, model, 1)
  if ok then
    return plan
  elseif type(plan) ~= "table" then
    error(plan, 0)
  end
  return nil, ("`%s` cannot be described as data: %s"):format(plan.place, plan.refusal)
end

-- ---- building -------------------------------------------------------------------------------

local build

--- An option's value from data.
local function restored(v, depth)
  if type(v) == "number" and (v ~= v or math.abs(v) >= MAX_SIZE) then
    refuse("the number %s is out of range", tostring(v))
  elseif is_plain(v) then
    return v
  elseif type(v) ~= "table" or depth > MAX_DEPTH then
    refuse("a value is no data")
  elseif v.layer ~= nil then
    return build(v, depth + 1)
  end
  local list = {}
  for i, item in ipairs(v) do
    list[i] = restored(item, depth + 1)
  end
  return list
end

local function restored_options(given, depth)
  local result = {}
  if given ~= nil and type(given) ~= "table" then
    refuse("'options' is no table")
  end
  for key, v in pairs(given or {}) do
    if type(key) ~= "string" then
      refuse("'options' is a list")
    end
    result[key] = restored(v, depth)
  end
  return result
end

local function remake(layer, steps, depth)
  if type(steps) ~= "table" then
    refuse("'remade' is no list")
  end
  for _, step in ipairs(steps) do
    local name = type(step) == "table" and step.with
    if not remakes[name] then
      refuse("'%s' is no change of a layer that is known", tostring(name))
    end
    require("gan.nn.reparam")[name](layer, restored_options(step.options, depth))
  end
  return layer
end

function build(plan, depth)
  if type(plan) ~= "table" or depth > MAX_DEPTH then
    refuse("a layer is no table, or nested too deeply")
  end
  local make = constructor(plan.layer)
  if not make then
    refuse("'%s' is no layer of the library", tostring(plan.layer))
  end
  local o = restored_options(plan.options, depth)
  if containers[plan.layer] then
    if type(plan.layers) ~= "table" then
      refuse("a %s without 'layers'", plan.layer)
    end
    o.name = type(plan.name) == "string" and plan.name or nil
    for i, inner in ipairs(plan.layers) do
      o[i] = build(inner, depth + 1)
    end
  end
  local layer = make(o)
  if not module.is_module(layer) then
    refuse("'%s' is no layer of the library", plan.layer)
  end
  return plan.remade and remake(layer, plan.remade, depth) or layer
end

--- blueprint.build(plan) -> a model with starting weights; or nil and a message. Nothing in a plan
-- is run: what is no layer of the library, or an option that it does not have, is refused.
function blueprint.build(plan)
  local ok, model = pcall(build, plan, 1)
  if ok then
    return model
  end
  local message = type(model) == "table" and model.refusal
    or tostring(model):gsub("^[%w_.]+:%d+: ", "") -- without the place in the library
  return nil, "the description of a model is not usable: " .. message
end

return blueprint
