--- Which layer made the first NaN.

local gan = require "gan"
local module = require "gan.nn.module"

local trace = {}

local function is_finite(t)
  if t:dtype() ~= gan.config.real or t:numel() == 0 then
    return true
  end
  local largest = t:detach():abs():amax():item()
  return largest == largest and largest < math.huge
end

trace.is_finite = is_finite

--- "layer 3 `Linear` of G" for the layers of a list, otherwise "`encoder.norm` of G".
local function place_of(model, label, wanted)
  for i, layer in ipairs(model) do
    if layer == wanted then
      return ("layer %d `%s` of %s"):format(i, rawget(layer, "name") or layer:kind(), label)
    end
  end
  for name, m in model:modules() do
    if m == wanted and name ~= "" then
      return ("`%s` (%s) of %s"):format(name, m:kind(), label)
    end
  end
  return label
end

--- Runs f() and returns the first innermost layer of the models {label = model} with an output that
-- is not finite: its place and what it gave; nil when all are finite. A layer of layers comes after
-- those in it, which is how the first is an innermost one.
function trace.first_bad(models, f)
  local found
  local ok = pcall(module.trace, function(m, ...)
    for i = 1, select("#", ...) do
      local y = select(i, ...)
      if not found and gan.is_tensor(y) and not is_finite(y) then
        found = { m, y }
      end
    end
  end, f)
  if not found then
    return nil, ok
  end
  for _, entry in ipairs(models) do
    for _, m in entry[2]:modules() do
      if m == found[1] then
        return place_of(entry[2], entry[1], m)
      end
    end
  end
end

--- The first parameter of the models that is not finite: "`3.weight` of G"; nil when all are.
function trace.bad_parameter(models)
  for _, entry in ipairs(models) do
    for name, p in entry[2]:named_parameters() do
      if not is_finite(p) then
        return ("`%s` of %s"):format(name, entry[1])
      end
    end
  end
end

return trace
