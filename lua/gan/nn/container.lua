--- Containers: Sequential, and Lambda for a plain function as a layer.

local gan = require "gan"
local module = require "gan.nn.module"

local container = {}

--- A function as a layer: nn.Lambda{function(x) return x:square() end}.
container.Lambda = module.define("nn.Lambda", {
  options = "f:callable",
  init = function(self, o) self._f = o.f end,
  forward = function(self, ...) return self._f(...) end,
})

-- ---- Sequential -----------------------------------------------------------------------------

local function as_layer(i, v)
  if module.is_module(v) then
    return v
  elseif type(v) == "function" then
    return container.Lambda{ v }
  end
  error(("nn.Sequential: element %d is not a layer but a %s"):format(i,
    gan.is_tensor(v) and "tensor" or type(v)), 4)
end

--- The activation of the layer after this one, if this one can compute it in the same pass.
local function fused(layer, after)
  local word = layer.fuses and after and after.fuse and after:fuse()
  return word and layer.fuses[word] and not module.is_tracing() and word
end

local Sizes = {} -- marks the sizes of a tensor that is gone

--- Whether a layer makes a new tensor and keeps neither that nor its input: then nobody but the
-- container has the two, and what the graph does not need can go at once.
local function is_fresh(layer)
  return layer.fresh and rawget(layer, "forward") == nil and not module.is_tracing()
end

--- Runs the layers. `inputs[i]` becomes the input of layer i, or its sizes, for the message of an
-- error. A linear layer or batch normalisation and the activation after it are one op:
-- `forward_fused`.
local function run(self, x, inputs)
  local i, n, own = 1, #self, false -- own: x was made here, and nobody else has it
  while i <= n do
    local layer, after, at = self[i], self[i + 1], i
    local activation, fresh = fused(layer, after), is_fresh(layer)
    inputs[i] = x == nil and "nothing" or x
    local y
    if activation then
      y = layer:forward_fused(x, activation, after.slope)
      i = i + 2
    else
      y = layer(x)
      i = i + 1
    end
    if not rawequal(x, y) then
      if own and fresh then
        inputs[at] = setmetatable(x:shape(), Sizes)
        x:release()
      end
      own = fresh
    end
    x, own = y, own and fresh
  end
  return x
end

local function size_of(v)
  if gan.is_tensor(v) or getmetatable(v) == Sizes then
    return "(" .. table.concat(gan.is_tensor(v) and v:shape() or v, " x ") .. ")"
  end
  return type(v) == "string" and v or type(v)
end

--- "; sizes: (64 x 100) Linear (64 x 6272) Unflatten": how the input of the last layer came about.
local function chain(self, inputs)
  local parts, previous = {}, nil
  for i = 1, #self do
    if inputs[i] ~= nil then
      parts[#parts + 1] = previous and "-> " .. previous or nil
      parts[#parts + 1] = size_of(inputs[i])
      previous = self[i]:kind()
    end
  end
  return "; sizes: " .. table.concat(parts, " ") .. " -> " .. tostring(previous)
end

local function last_index(self, inputs)
  for i = #self, 1, -1 do
    if inputs[i] ~= nil then
      return i
    end
  end
end

local function fail(self, inputs, message)
  local i = last_index(self, inputs)
  local name = rawget(self[i], "name") or self[i]:kind()
  return module.raise(self, message, ("layer %d `%s`"):format(i, name), chain(self, inputs))
end

local function call(self, x)
  local inputs = {}
  module.enter(self)
  local ok, y = pcall(run, self, x, inputs)
  if ok then
    module.report(self, y)
    return y
  end
  return fail(self, inputs, y)
end

--- Puts a layer, or a function, behind the others: net:append(nn.ReLU{}) -> net.
local function append(self, layer)
  local added = as_layer(#self + 1, layer)
  local name = rawget(added, "name")
  for _, other in ipairs(self) do
    if name and rawget(other, "name") == name then
      error(("nn.Sequential: two layers are called '%s'"):format(name), 2)
    end
  end
  self[#self + 1] = added
  return self
end

--- One layer after another: nn.Sequential{nn.Linear{2, 16}, nn.ReLU{}, nn.Linear{16, 1}}.
-- Layers are its list part (`net[1]`, `#net`); functions may stand among them. Option: `name`.
-- net:append(layer) puts one more behind them and returns the net.
container.Sequential = module.define("nn.Sequential", {
  init = function(self, o)
    local names = {}
    for key, v in pairs(o) do
      if math.type(key) ~= "integer" and (key ~= "name" or type(v) ~= "string") then
        error(("nn.Sequential: unknown option '%s'; layers are listed in order"):format(
          tostring(key)), 3)
      end
    end
    for i = 1, #o do
      self[i] = as_layer(i, o[i])
      local name = rawget(self[i], "name")
      if name and names[name] then
        error(("nn.Sequential: two layers are called '%s'"):format(name), 3)
      end
      names[name or i] = true
    end
  end,
  append = append,
  call = call,
  forward = call,
})

return container
