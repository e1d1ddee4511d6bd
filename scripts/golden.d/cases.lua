-- Prints the cases of the named families (default: all) as one JSON object a line, for golden.py.
package.path = "./?.lua;" .. package.path
local case = require "tests.case"

local function json(v)
  if type(v) == "string" then
    return '"' .. v:gsub('[%c"\\]', function(c) return ("\\u%04x"):format(c:byte()) end) .. '"'
  elseif type(v) == "number" then
    if v ~= v then return "NaN" end
    if v == math.huge then return "Infinity" end
    if v == -math.huge then return "-Infinity" end
    return math.type(v) == "integer" and tostring(v) or ("%.17g"):format(v)
  elseif type(v) == "boolean" then return tostring(v) end
  local out = {}
  if #v > 0 or next(v) == nil then
    for i, x in ipairs(v) do out[i] = json(x) end
    return "[" .. table.concat(out, ",") .. "]"
  end
  for k, x in pairs(v) do out[#out + 1] = json(k) .. ":" .. json(x) end
  table.sort(out)
  return "{" .. table.concat(out, ",") .. "}"
end

local families = #arg > 0 and arg or case.families
for _, family in ipairs(families) do
  print(json{ family = family })
  for _, e in ipairs((case.load(family))) do
    if e.case.torch then
      local inputs = {}
      for i, t in ipairs(case.tensors(e.case, e.name)) do
        local data, shape, dtype = case.expand(t.spec, t.name)
        inputs[i] = { data = data, shape = shape, dtype = dtype }
      end
      print(json{ name = e.name, torch = e.case.torch, inputs = inputs, wrt = e.case.wrt or {},
                  grad = e.case.grad ~= false, second = e.case.second ~= false })
    end
  end
end
