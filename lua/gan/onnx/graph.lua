--- The ONNX graph under construction: nodes, constants, names, sizes that depend on the batch.

local gan = require "gan"
local proto = require "gan.onnx.proto"

local Graph = {}
Graph.__index = Graph

local graph = {}

-- ---- names --------------------------------------------------------------------------------

--- A name that nothing else has: `main.0/conv`, then `main.0/conv_2`.
function Graph:unique(name)
  local n = (self.taken[name] or 0) + 1
  self.taken[name] = n
  return n == 1 and name or self:unique(("%s_%d"):format(name, n))
end

function Graph:prefix()
  local layer = self.record and self.record.layer
  return layer and layer.name .. "/" or ""
end

--- Says what cannot be expressed, and where.
function Graph:fail(message, ...)
  local layer = self.record and self.record.layer
  error(("onnx.export: %s%s%s"):format(layer and "in layer " .. layer.text .. ": " or "",
    self.record and self.record.op .. ": " or "", message:format(...)), 0)
end

-- ---- nodes --------------------------------------------------------------------------------

--- Adds a node; the names of its outputs (`count`, by default 1) are the results. An input that is
-- false is left out.
function Graph:node(op, inputs, attributes, count)
  local name = self:unique(self:prefix() .. op:lower())
  local node = { op = op, name = name, inputs = {}, outputs = {}, attributes = attributes or {} }
  for i, input in ipairs(inputs) do
    node.inputs[i] = input or ""
  end
  for i = 1, count or 1 do
    node.outputs[i] = i == 1 and name .. "_y" or ("%s_y%d"):format(name, i)
  end
  self.nodes[#self.nodes + 1] = node
  return table.unpack(node.outputs)
end

-- ---- constants ----------------------------------------------------------------------------

function Graph:initializer(name, sizes, dtype, bytes)
  self.initializers[#self.initializers + 1] = { name = name, sizes = sizes, dtype = dtype,
    bytes = bytes }
  return name
end

local function constant(self, sizes, dtype, bytes)
  local key = dtype .. table.concat(sizes, ",") .. ":" .. bytes
  if not self.constants[key] then
    self.constants[key] = self:initializer(self:unique "constant", sizes, dtype, bytes)
  end
  return self.constants[key]
end

--- The name of a constant list of integers; of a single integer without dimensions.
function Graph:ints(list)
  if type(list) == "number" then
    return constant(self, {}, "int64", ("<i8"):pack(list))
  end
  return constant(self, { #list }, "int64", ("<i8"):rep(#list):pack(table.unpack(list)))
end

--- The name of a constant number, without dimensions; of a list of numbers.
function Graph:floats(v)
  if type(v) == "number" then
    return constant(self, {}, "float32", ("<f"):pack(v))
  end
  local parts = {}
  for i, x in ipairs(v) do
    parts[i] = ("<f"):pack(x)
  end
  return constant(self, { #v }, "float32", table.concat(parts))
end

--- A constant number in the given type.
function Graph:number(v, dtype)
  if dtype == "int64" then
    return self:ints(math.tointeger(v) or self:fail("the number %s is not an integer", v))
  elseif dtype == "uint8" then
    return constant(self, {}, "uint8", ("B"):pack(math.max(0, math.min(v, 255)) // 1 | 0))
  end
  return self:floats(v)
end

--- The bytes of a tensor in its file type: the compute type becomes float32.
local function bytes_of(t)
  if t:dtype() ~= "float64" then
    return t:bytes()
  end
  local parts, bytes = {}, t:bytes()
  for at = 1, #bytes, 8 do
    parts[#parts + 1] = ("<f"):pack((("<d"):unpack(bytes, at)))
  end
  return table.concat(parts)
end

--- A tensor as a constant of the file.
function Graph:tensor(t, name)
  return self:initializer(self:unique(name or self:prefix() .. "constant"), t:shape(), t:dtype(),
    bytes_of(t))
end

-- ---- sizes --------------------------------------------------------------------------------

--- A size that is n1 and n2 in the first two traces as a list of one integer in the graph.
local function symbolic(self, n1, n2)
  local b1, b2 = self.batch[1], self.batch[2]
  local slope = (n2 - n1) // (b2 - b1)
  local rest = n1 - slope * b1
  local key = ("%d,%d"):format(slope, rest)
  if not self.sizes[key] then
    local batch = self:node("Gather", { self:node("Shape", { self.batch_input }),
      self:ints{ self.batch_dim - 1 } }, { axis = 0 })
    batch = slope == 1 and batch or self:node("Mul", { batch, self:ints{ slope } })
    self.sizes[key] = rest == 0 and batch or self:node("Add", { batch, self:ints{ rest } })
  end
  return self.sizes[key]
end

--- A list of integers, given as it was in the first two traces.
function Graph:varying(first, second)
  local parts, run, varies = {}, {}, false
  local function flush()
    if #run > 0 then
      parts[#parts + 1], run = self:ints(run), {}
    end
  end
  for i, n in ipairs(first) do
    if n == second[i] then
      run[#run + 1] = n
    else
      flush()
      varies = true
      parts[#parts + 1] = symbolic(self, n, second[i])
    end
  end
  if not varies then
    return self:ints(first)
  end
  flush()
  return #parts == 1 and parts[1] or self:node("Concat", parts, { axis = 0 })
end

--- The dimensions whose size depends on the batch.
function graph.varying_dims(value)
  local dims = {}
  for d, n in ipairs(value.shape) do
    if n ~= value.shape2[d] then
      dims[#dims + 1] = d
    end
  end
  return dims
end

--- x reshaped to the sizes of a value (or to two lists of sizes).
function Graph:reshape(x, to, to2)
  local first, second = to.shape or to, to.shape2 or to2 or to
  local target, free = {}, nil
  for d, n in ipairs(first) do
    target[d] = n
    if n ~= second[d] and not free then
      target[d], free = -1, d
    elseif n ~= second[d] then
      return self:node("Reshape", { x, self:varying(first, second) })
    elseif n == 0 then
      self:fail "a size of 0 cannot be expressed"
    end
  end
  return self:node("Reshape", { x, self:ints(target) })
end

-- ---- values -------------------------------------------------------------------------------
-- int64 tensors that name places (labels, positions) count from 1 in Lua and from 0 in the graph;
-- those have value.zero_based.

--- What a constant held when it was used.
local function contents(value)
  return value.copy or value.tensor
end

local function same_contents(a, b)
  return a.key == b.key or contents(a):bytes() == contents(b):bytes()
end

--- A constant whose sizes depend on the batch: it must be the same all along those dimensions.
local function spread(self, value)
  local first, second = contents(value), contents(value.pair)
  for _, d in ipairs(graph.varying_dims(value)) do
    for _, t in ipairs{ first, second } do
      for i = 2, t:size(d) do
        if t:slice(d, i, i):bytes() ~= t:slice(d, 1, 1):bytes() then
          self:fail("a constant of sizes (%s) depends on the size of the batch",
            table.concat(value.shape, " x "))
        end
      end
    end
    first, second = first:slice(d, 1, 1), second:slice(d, 1, 1)
  end
  if first:bytes() ~= second:bytes() then
    self:fail "a constant depends on the size of the batch, or on the input's values"
  end
  return self:node("Expand", { self:tensor(first), self:varying(value.shape, value.shape2) })
end

local function name_constant(self, value)
  local other = value.pair
  if value.random then
    self:fail("it uses random numbers, which a graph does not draw: make them an input")
  elseif #graph.varying_dims(value) > 0 then
    return spread(self, value)
  elseif other and not same_contents(value, other) then
    self:fail "a constant depends on the size of the batch, or on the input's values"
  end
  self.used_constants[#self.used_constants + 1] = not value.copy and value or nil
  return self:tensor(contents(value), self.weights[value.key])
end

--- The name of a value as it is.
local function name_of(self, value)
  if value.name then
    return value.name
  elseif value.dynamic then
    self:fail("result %d of %s is not available in ONNX", value.index, value.record.op)
  end
  value.name = name_constant(self, value)
  return value.name
end

--- The name of a value, counted as in Lua.
function Graph:use(value)
  local name = name_of(self, value)
  if not value.zero_based then
    return name
  end
  value.plain = value.plain or self:node("Add", { name, self:ints(1) })
  return value.plain
end

--- The name of labels or positions, counted from 0.
function Graph:places(value)
  if value.zero_based then
    return name_of(self, value)
  elseif not value.places then
    value.places = self:node("Sub", { name_of(self, value), self:ints(1) })
  end
  return value.places
end

--- For ops that only move elements: the name of a value however it counts, and how it does.
function Graph:raw(value)
  return name_of(self, value), value.zero_based
end

--- A value as truth values.
function Graph:truth(value)
  if value.truth then
    return value.truth
  end
  return self:node("Cast", { self:use(value) }, { to = proto.types.bool })
end

--- Converts to the type that a value has.
function Graph:cast(x, dtype)
  return self:node("Cast", { x }, { to = proto.types[dtype] })
end

-- ---- the end ------------------------------------------------------------------------------

--- The nodes and constants that the outputs need. Positions that nobody reads are cut off.
local function live(self, outputs)
  local wanted, nodes, tensors = {}, {}, {}
  for _, name in ipairs(outputs) do
    wanted[name] = true
  end
  for i = #self.nodes, 1, -1 do
    local node, used = self.nodes[i], false
    for k = #node.outputs, 1, -1 do
      if wanted[node.outputs[k]] then
        used = true
      elseif not used and node.op == "MaxPool" then
        node.outputs[k] = nil
      end
    end
    if used then
      table.insert(nodes, 1, node)
      for _, name in ipairs(node.inputs) do
        wanted[name] = true
      end
    end
  end
  for _, t in ipairs(self.initializers) do
    if wanted[t.name] then
      tensors[#tensors + 1] = t
    end
  end
  return nodes, tensors
end

--- The names that the results have inside, and what they are called instead. An input or a constant
-- that is a result, or one result twice, is copied.
local function name_outputs(self, outputs, names)
  local last, renamed, made = {}, {}, {}
  for _, node in ipairs(self.nodes) do
    for _, name in ipairs(node.outputs) do
      made[name] = true
    end
  end
  for i, value in ipairs(outputs) do
    local name = self:raw(value)
    if not made[name] or renamed[name] then
      name = self:node("Identity", { name })
    end
    last[i], renamed[name] = name, names[i]
  end
  return last, renamed
end

local function sizes_of(self, value)
  local sizes = {}
  for d, n in ipairs(value.shape) do
    local n2 = value.shape2[d]
    sizes[d] = n == n2 and n
      or n == self.batch[1] and n2 == self.batch[2] and "batch"
  end
  return sizes
end

--- The bytes of the file, and the number of its nodes. `inputs` and `outputs` are lists of values,
-- `names` the names of the outputs.
function Graph:encode(model_name, inputs, outputs, names)
  local model = { name = model_name, nodes = {}, tensors = {}, inputs = {}, outputs = {},
    version = gan.config.version }
  local last, renamed = name_outputs(self, outputs, names)
  for i, list in pairs{ inputs = inputs, outputs = outputs } do
    for k, value in ipairs(list) do
      model[i][k] = proto.value(i == "inputs" and value.name or names[k], proto.types[value.dtype],
        sizes_of(self, value))
    end
  end
  local nodes, tensors = live(self, last)
  for i, node in ipairs(nodes) do
    for _, list in ipairs{ node.inputs, node.outputs } do
      for k, name in ipairs(list) do
        list[k] = renamed[name] or name
      end
    end
    model.nodes[i] = proto.node(node)
  end
  for i, t in ipairs(tensors) do
    model.tensors[i] = proto.tensor(t.name, t.sizes, proto.types[t.dtype], t.bytes)
  end
  return proto.model(model, 13), #nodes
end

--- batch: its sizes in the traces (two that follow each other), weights: names of constants by
-- memory.
function graph.new(batch, weights)
  return setmetatable({ nodes = {}, initializers = {}, constants = {}, sizes = {}, taken = {},
    batch = batch, weights = weights, used_constants = {} }, Graph)
end

return graph
