--- gan.onnx: writes models as ONNX files (opset 13), which other programs and browsers run.
--
--     gan.onnx.export(G, "generator.onnx", {input = {1, 100}})
--
-- The model is called, and the ops that it calls are written down, whatever it consists of: layers,
-- functions among them, several inputs or results. Layers are in evaluation mode: batch
-- normalisation uses its running statistics, dropout does nothing. What the model does must not
-- depend on the input's values. Random numbers are not drawn: make them an input.

local gan = require "gan"
local options = require "gan.options"
local module = require "gan.nn.module"
local trace = require "gan.onnx.trace"
local graph = require "gan.onnx.graph"

local onnx = {}

local handlers = {}
for _, family in ipairs{ "pointwise", "reduce", "shape", "index", "linear", "pool", "norm" } do
  for op, handler in pairs(require("gan.onnx." .. family)) do
    handlers[op] = handler
  end
end

local LIMIT = 2 ^ 31 - 1 -- bytes of a message, in every reader of protocol buffers

local function fail(message, ...)
  error("onnx.export: " .. message:format(...), 0)
end

-- ---- inputs -------------------------------------------------------------------------------

--- `input` as a list: a tensor or a list of sizes is one input.
local function input_list(input)
  if gan.is_tensor(input) or type(input) == "table" and math.type(input[1]) == "integer" then
    return { input }
  elseif type(input) ~= "table" or #input == 0 then
    fail("'input' must be a list of sizes, a tensor, or a list of such")
  end
  for i, item in ipairs(input) do
    if not gan.is_tensor(item) and (type(item) ~= "table" or #item == 0) then
      fail("input %d must be a list of sizes or a tensor", i)
    end
  end
  return input
end

--- The dimension of an input that counts examples; nil: none.
local function dim_of(item, dim)
  return (gan.is_tensor(item) or item.batch ~= false) and dim or nil
end

local function sizes_with(sizes, dim, batch)
  local copy = table.move(sizes, 1, #sizes, 1, {})
  copy[dim or 0] = batch
  return copy
end

--- Numbers in (0, 1); labels are all 1.
local function sample(spec, dim, batch, shift)
  local sizes = sizes_with(spec, dim, batch)
  if spec.dtype and spec.dtype ~= gan.config.real then
    return gan.ones(sizes, { dtype = spec.dtype })
  end
  local n = 1
  for i, size in ipairs(sizes) do
    if math.type(size) ~= "integer" or size < 1 then
      fail("size %d of an input is %s", i, size)
    end
    n = n * size
  end
  local x = gan.arange(1, n) * 0.6180339887 + shift
  return ((x - x:floor()) * 0.98 + 0.01):reshape(sizes)
end

--- A tensor with its batch made as large as wanted by repeating parts of it.
local function resized(t, dim, batch, shift)
  if not dim then
    return t:clone()
  end
  local places = {}
  for i = 1, batch do
    places[i] = (i - 1 + shift) % t:size(dim) + 1
  end
  return t:index_select(gan.tensor(places, { dtype = "int64" }), { dim = dim })
end

--- The inputs of a trace; `shift` makes those of the traces differ.
local function inputs_of(list, dim, batch, shift)
  local inputs = {}
  for i, item in ipairs(list) do
    if gan.is_tensor(item) then
      inputs[i] = resized(item:detach(), dim, batch, shift)
    else
      inputs[i] = sample(item, dim_of(item, dim), batch, shift * 0.37)
    end
  end
  return inputs
end

local function check_batch(list, dim)
  for i, item in ipairs(list) do
    local dims = gan.is_tensor(item) and item:dim() or #item
    local own = dim_of(item, dim)
    if own and (dims < own or (gan.is_tensor(item) and item:size(own) == 0)) then
      fail("input %d has no dimension %d for the batch (pass batch=false for none)", i, own)
    end
  end
end

-- ---- names --------------------------------------------------------------------------------

--- "z", or "z1", "z2" where there are several; or the names given.
local function names_of(given, count, word)
  local names, seen = {}, {}
  if given and #given ~= count then
    fail("%d names for %d %ss", #given, count, word)
  end
  for i = 1, count do
    names[i] = given and tostring(given[i]) or count == 1 and word or word .. i
    if names[i] == "" or seen[names[i]] then
      fail("two %ss are called '%s'", word, names[i])
    end
    seen[names[i]] = true
  end
  return names
end

--- Names of layers, and of weights by their memory.
local function model_names(model)
  local layers, weights = {}, {}
  if module.is_module(model) then
    for name, m in model:modules() do
      layers[m] = name
    end
    for name, t in pairs(model:state_dict()) do
      local key = gan.debug.memory(t)
      if not weights[key] or name < weights[key] then
        weights[key] = name
      end
    end
  end
  return layers, weights
end

-- ---- export -------------------------------------------------------------------------------

--- Traces the model with batches of the given sizes; also names of its weights.
local function trace_all(model, list, dim, batch)
  local layers, weights = model_names(model)
  local function once(k)
    local ok, result = pcall(trace.run, model, inputs_of(list, dim, batch[k], k - 1), layers)
    if not ok and type(result) == "string" and dim and not result:find("onnx.export", 1, true)
      and not result:find("interrupted!", 1, true) then
      result = ("onnx.export: called with a batch of %d (batch=false keeps the sizes given): %s")
        :format(batch[k], result)
    end
    return ok and result or error(result, 0)
  end
  local traces = {}
  for k = 1, #batch do
    traces[k] = once(k)
  end
  return trace.join(traces, batch), weights
end

local function describe(g, values, names)
  local list = {}
  for i, value in ipairs(values) do
    local sizes = table.move(value.shape, 1, #value.shape, 1, {})
    for _, d in ipairs(graph.varying_dims(value)) do
      sizes[d] = sizes[d] == g.batch[1] and value.shape2[d] == g.batch[2] and "batch" or "?"
    end
    list[i] = { name = names[i], sizes = sizes, dtype = value.dtype == "float64" and "float32"
      or value.dtype, zero_based = value.zero_based or nil }
  end
  return list
end

local function lower(g, traced)
  for _, record in ipairs(traced.records) do
    g.record = record
    local handler = handlers[record.op]
    if not handler then
      g:fail(record.random and "random numbers are not drawn in ONNX: make them an input"
        or "ONNX has no op for it")
    end
    local results = table.pack(handler(g, record.args, record))
    for i, out in pairs(record.outs) do
      out.name = out.name or results[i] or nil
    end
  end
  g.record = nil
  for _, value in ipairs(g.used_constants) do
    if select(3, gan.debug.memory(value.tensor)) ~= value.version then
      fail("a constant that the model uses was changed in place while it was called")
    end
  end
end

--- Reserves the names that the user sees, and gives the inputs theirs.
local function name_ends(g, traced, list, dim, o)
  local input_names = names_of(o.input_names, #list, "input")
  local output_names = names_of(o.output_names, #traced.results, "output")
  for _, names in ipairs{ input_names, output_names } do
    for _, name in ipairs(names) do
      if g:unique(name) ~= name then
        fail("an input and an output are called '%s'", name)
      end
    end
  end
  for i, value in ipairs(traced.inputs) do
    local item = list[i]
    value.name = input_names[i]
    value.zero_based = value.dtype == "int64"
      and (gan.is_tensor(item) or item.zero_based ~= false)
    if not g.batch_input and dim_of(item, dim) then
      g.batch_input, g.batch_dim = value.name, dim
    end
  end
  return input_names, output_names
end

--- The dimension that counts examples, or nil.
local function batch_dim(batch)
  if batch == false then
    return nil
  elseif math.type(batch) ~= "integer" or batch < 1 then
    fail("'batch' must be the dimension that counts examples, or false, not %s", tostring(batch))
  end
  return batch
end

local function build(model, o)
  local list, dim = input_list(o.input), batch_dim(o.batch)
  check_batch(list, dim)
  local batch = dim and { 2, 3, 5 } or { 1, 1 }
  local traced, weights = trace_all(model, list, dim, batch)
  if #traced.results == 0 then
    fail("the model returned no tensor")
  end
  local g = graph.new(batch, weights)
  local input_names, output_names = name_ends(g, traced, list, dim, o)
  lower(g, traced)
  local name = o.name or module.is_module(model) and (rawget(model, "name") or model:kind())
  local bytes, nodes = g:encode(name or "model", traced.inputs, traced.results, output_names)
  if #bytes > LIMIT then
    fail("the file would have %d bytes; ONNX files end at 2 GiB", #bytes)
  end
  return bytes, { nodes = nodes, bytes = #bytes, inputs = describe(g, traced.inputs, input_names),
    outputs = describe(g, traced.results, output_names) }
end

--- Writes what `model` (a module, or a function of tensors) computes as an ONNX file, atomically.
--
-- Options: `input`, a list of sizes such as {1, 100}, or a tensor, or a list of those for several
-- inputs; {1, dtype="int64"} for labels. batch = 1: the dimension whose size stays open, under the
-- name "batch"; false, for all or in one input's list: all sizes are fixed. input_names,
-- output_names: lists, by default "input", "output", or "input1" and so on. name: of the graph.
--
-- Labels and positions (int64) that go in or come out count from 0 in the file, as everywhere in
-- ONNX; an input of numbers that are none, such as lengths, says zero_based=false in its list.
-- Returns { nodes=, bytes=, inputs=, outputs= }, the latter lists of { name=, sizes=, dtype=,
-- zero_based= }; nil and a message where the file cannot be written. Raises where something has no
-- equivalent in ONNX, naming op and layer.
function onnx.export(model, path, given)
  local o = options.check("onnx.export", given or {},
    "; input:any batch:any=1 input_names:list? output_names:list? name:text?")
  local meta = getmetatable(model)
  if type(model) ~= "function" and not (type(meta) == "table" and meta.__call) then
    fail("argument 1 'model' must be a module or a function, not %s", type(model))
  elseif type(path) ~= "string" then
    fail("argument 2 'path' must be a string, not %s", type(path))
  end
  local ok, bytes, result = pcall(gan.scope, gan.no_grad, build, model, o)
  if not ok then
    error(bytes, 2)
  end
  local written, message = gan.files.replace(path, bytes)
  if not written then
    return nil, message
  end
  return result
end

return onnx
