--- model:summary(input): a table of layers, output sizes and numbers of parameters.

local gan = require "gan"
local module = require "gan.nn.module"

local Module = module.Module

local function sizes(...)
  local parts = {}
  for i = 1, select("#", ...) do
    local v = (select(i, ...))
    parts[i] = gan.is_tensor(v) and "(" .. table.concat(v:shape(), " x ") .. ")" or type(v)
  end
  return table.concat(parts, ", ")
end

--- The parameters of this module that do not belong to a module inside it.
local function own_parameters(m)
  local below, total = {}, 0
  for _, inner in m:modules() do
    if inner ~= m then
      for _, p in ipairs(inner:parameters()) do
        below[p] = true
      end
    end
  end
  for _, p in ipairs(m:parameters()) do
    total = total + (below[p] and 0 or p:numel())
  end
  return total
end

local function pad(s, width)
  return s .. (" "):rep(width - #s)
end

local function render(self)
  local lines, widths = {}, { 5, 5, 6 }
  local rows = { { "name", "layer", "output", "parameters" } }
  for _, row in ipairs(self) do
    rows[#rows + 1] = { row.name, row.layer, row.output, ("%d"):format(row.parameters) }
  end
  for _, row in ipairs(rows) do
    for i = 1, 3 do
      widths[i] = math.max(widths[i], #row[i])
    end
  end
  for i, row in ipairs(rows) do
    lines[i] = ("%s  %s  %s  %10s"):format(pad(row[1], widths[1]), pad(row[2], widths[2]),
      pad(row[3], widths[3]), row[4])
  end
  lines[#lines + 1] = ("%d parameters, %d of them trained"):format(self.parameters, self.trainable)
  return table.concat(lines, "\n")
end

--- Runs the model once, in evaluation mode and without gradients, and lists its layers in the
-- order of their calls. `input` is a list of sizes, batch included, or a tensor. Returns an array
-- of { name=, layer=, output=, parameters= } with the fields `parameters` and `trainable` (totals);
-- printing it gives a table.
function Module:summary(input)
  local names, modes, result = {}, {}, setmetatable({}, { __tostring = render })
  for name, m in self:modules() do
    names[m], modes[m] = name, m.training
  end
  self:eval()
  local ok, message = pcall(gan.scope, function()
    local x = gan.is_tensor(input) and input or gan.zeros(table.unpack(input))
    module.trace(function(m, ...)
      result[#result + 1] = {
        name = names[m] == "" and "(whole)" or names[m] or "?", layer = module.signature(m),
        output = sizes(...), parameters = own_parameters(m),
      }
    end, function() gan.no_grad(self, x) end)
  end)
  for m, mode in pairs(modes) do
    m.training = mode
  end
  if not ok then
    error(message, 2)
  end
  result.parameters = self:num_parameters()
  result.trainable = self:num_parameters{ trainable = true }
  return result
end
