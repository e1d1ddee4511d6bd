--- Protocol buffers, as far as ONNX files need them: a message is a string, made from fields.
--
-- The field numbers are those of onnx.proto (IR version 8).

local basics = require "gan.basics"

local proto = {}

--- An integer, seven bits in a byte, the lowest first; negative ones as 64 bits.
local function varint(n)
  if n >= 0 and n < 128 then
    return string.char(n)
  end
  local bytes = {}
  repeat
    local low = n & 127
    n = n >> 7
    bytes[#bytes + 1] = string.char(n ~= 0 and low | 128 or low)
  until n == 0
  return table.concat(bytes)
end

--- A field that holds an integer.
local function int(field, n)
  return varint(field << 3) .. varint(n)
end

--- A field that holds text, bytes or another message.
local function text(field, s)
  return varint(field << 3 | 2) .. varint(#s) .. s
end

--- A field that holds a list of integers.
local function ints(field, list)
  local parts = {}
  for i, n in ipairs(list) do
    parts[i] = varint(n)
  end
  return text(field, table.concat(parts))
end

local function float(field, x)
  return varint(field << 3 | 5) .. ("<f"):pack(x)
end

--- The element types of ONNX.
proto.types = { float32 = 1, float64 = 1, uint8 = 2, int64 = 7, bool = 9 }

--- A named tensor: its sizes, its type's number and its elements' bytes.
function proto.tensor(name, sizes, type, bytes)
  return ints(1, sizes) .. int(2, type) .. text(8, name) .. text(9, bytes)
end

--- An attribute of a node: an integer, a float, a string, or a list of integers.
local function attribute(name, v)
  local body
  if math.type(v) == "integer" then
    body = int(3, v) .. int(20, 2)
  elseif math.type(v) == "float" then
    body = float(2, v) .. int(20, 1)
  elseif type(v) == "string" then
    body = text(4, v) .. int(20, 3)
  else
    body = ints(8, v) .. int(20, 7)
  end
  return text(5, text(1, name) .. body)
end

--- { op =, name =, inputs = names, outputs = names, attributes = by name }
function proto.node(node)
  local parts = {}
  for _, input in ipairs(node.inputs) do
    parts[#parts + 1] = text(1, input)
  end
  for _, output in ipairs(node.outputs) do
    parts[#parts + 1] = text(2, output)
  end
  parts[#parts + 1] = text(3, node.name) .. text(4, node.op)
  for _, name in ipairs(basics.keys(node.attributes)) do
    parts[#parts + 1] = attribute(name, node.attributes[name])
  end
  return table.concat(parts)
end

--- An input or output of the graph: sizes are integers, or names of sizes that may vary, or false
-- for those of which nothing is known.
function proto.value(name, type, sizes)
  local dims = {}
  for i, size in ipairs(sizes) do
    dims[i] = text(1, size and (math.type(size) == "integer" and int(1, size) or text(2, size))
      or "")
  end
  return text(1, name) .. text(2, text(1, int(1, type) .. text(2, table.concat(dims))))
end

--- The whole file: { name =, nodes =, tensors =, inputs =, outputs =, version = }, the lists being
-- messages made by the functions above.
function proto.model(model, opset)
  local graph = {}
  local function add(field, list)
    for _, message in ipairs(list) do
      graph[#graph + 1] = text(field, message)
    end
  end
  add(1, model.nodes)
  graph[#graph + 1] = text(2, model.name)
  add(5, model.tensors)
  add(11, model.inputs)
  add(12, model.outputs)
  return int(1, 8) .. text(2, "gan-lua") .. text(3, model.version)
    .. text(7, table.concat(graph)) .. text(8, text(1, "") .. int(2, opset))
end

return proto
