--- What a model computes, as a list of ops: the model is called, and every op reports.
--
-- A *value* is a tensor as it was at one moment: { shape, dtype, tensor, copy, dynamic, random,
-- record, index }. Dynamic values depend on an input; the others are constants, and the ops that
-- made them need not be exported. A *record* is an op that made dynamic values: { op, args, outs,
-- layer }.

local gan = require "gan"
local module = require "gan.nn.module"

local trace = {}

-- of these only the shape of the argument counts
local shape_only = { zeros_like = true, ones_like = true, full_like = true }

local random_ops, mutated = {}, {} -- op -> true; op -> name of the argument that it changes
for _, op in ipairs(gan.ops()) do
  random_ops[op.name] = op.random or nil
  for _, p in ipairs(op.params) do
    mutated[op.name] = p.mutated and p.name or mutated[op.name]
  end
end

--- Whether a call draws random numbers.
local function draws(op, args)
  return random_ops[op] and not (op == "dropout" and (not args.training or args.p == 0))
end

local Tracer = {}
Tracer.__index = Tracer

--- Where in the model the next op stands: "`main.3` (nn.Conv2d)".
function Tracer:place()
  local m = self.stack[#self.stack]
  if not m then
    return nil
  end
  local name = self.names[m]
  name = name ~= "" and name or rawget(m, "name") or nil
  return { name = name or m:kind(), text = ("%snn.%s"):format(
    name and ("`%s`, "):format(name) or "", m:kind()) }
end

function Tracer:fail(message)
  local place = self:place()
  error("onnx.export: " .. (place and "in layer " .. place.text .. ": " or "") .. message, 0)
end

function Tracer:remember(t, fields)
  local key, memory, version = gan.debug.memory(t)
  local value = fields
  value.shape, value.dtype, value.tensor, value.version = t:shape(), t:dtype(), t, version
  value.key, value.layer = key, self:place()
  self.values[key] = value
  if value.dynamic then
    self.dynamic_memory[memory] = true
  end
  return value
end

--- The value that a tensor holds now, or held `changes` changes in place ago.
function Tracer:value_of(t, changes)
  local key, memory, version = gan.debug.memory(t)
  local value = self.values[key]
  if value and value.version == version - (changes or 0) then
    return value
  elseif self.dynamic_memory[memory] then
    self:fail("a tensor that depends on the input was changed in place, through another view of it "
      .. "or by x[i] = v, which cannot be followed")
  end
  return self:remember(t, { dynamic = false })
end

--- The arguments of an op with values in place of tensors; whether one is dynamic, or random.
function Tracer:arguments(op, args)
  local result, dynamic, random = {}, false, false
  local function convert(v, changes)
    if not gan.is_tensor(v) then
      return v
    end
    v = self:value_of(v, changes)
    dynamic, random = dynamic or v.dynamic, random or v.random
    return v
  end
  for name, v in pairs(args) do
    if type(v) == "table" then
      local list = {}
      for i, item in ipairs(v) do
        list[i] = convert(item)
      end
      result[name] = list
    else
      result[name] = convert(v, mutated[op] == name and 1 or 0)
    end
  end
  return result, dynamic, random
end

--- The argument that a result is, where an op gives one back as it is.
local function given_again(self, args, t)
  local key, _, version = gan.debug.memory(t)
  local value = self.values[key]
  for _, v in pairs(value and value.version == version and args or {}) do
    if v == value then
      return value
    end
  end
end

--- The listener: an op was called.
function Tracer:record(op, given, results)
  local args, dynamic, random = self:arguments(op, given)
  dynamic = dynamic and not shape_only[op]
  local drawn = draws(op, args)
  random = random or drawn
  local record = { op = op, args = args, outs = {}, layer = self:place(), random = drawn }
  for i, t in pairs(results) do
    record.outs[i] = given_again(self, args, t) or self:remember(t, {
      dynamic = dynamic, random = random, record = record, index = i,
      copy = not dynamic and t:clone() or nil, -- it may be changed in place later
    })
  end
  if dynamic then
    self.records[#self.records + 1] = record
  end
end

--- Switches a module to evaluation until the trace is over.
function Tracer:evaluate(m)
  if m.training then
    self.modes[m] = true
    m.training = false
  end
end

function Tracer:enter(m)
  self.stack[#self.stack + 1] = m
  self:evaluate(m)
end

function Tracer:leave(m)
  repeat
    local last = table.remove(self.stack)
  until last == m or last == nil
end

--- Lists what the model returned, tensors in plain tables too.
function Tracer:results(...)
  local list = {}
  local function add(v)
    if gan.is_tensor(v) then
      list[#list + 1] = self:value_of(v)
    elseif type(v) == "table" and getmetatable(v) == nil then
      for _, item in ipairs(v) do
        add(item)
      end
    end
  end
  for i = 1, select("#", ...) do
    add((select(i, ...)))
  end
  return list
end

--- Calls f(inputs...), layers in evaluation mode, and returns { records, inputs, results }: what
-- happened, and the values that went in and came out. `names` maps layers to names.
function trace.run(f, inputs, names)
  local self = setmetatable({ records = {}, values = {}, dynamic_memory = {}, stack = {},
    names = names, modes = {} }, Tracer)
  local values = {}
  for i, t in ipairs(inputs) do
    values[i] = self:remember(t, { dynamic = true, input = i })
  end
  for m in pairs(names) do
    self:evaluate(m)
  end
  local rng = gan.rng_state()
  local ok, results = pcall(function()
    return module.trace(function(m) self:leave(m) end, function()
      return self:results(gan.no_grad(gan.debug.trace, function(...) self:record(...) end, f,
        table.unpack(inputs)))
    end, function(m) self:enter(m) end)
  end)
  gan.set_rng_state(rng)
  for m in pairs(self.modes) do
    m.training = true
  end
  if not ok then
    error(results, 0)
  end
  return { records = self.records, inputs = values, results = results, values = self.values }
end

-- ---- three traces as one ------------------------------------------------------------------
-- The model is traced with batches of different sizes and different contents. Sizes that differ
-- depend on the batch, in a straight line through two traces, on which the third must lie; anything
-- else that differs cannot be exported.

local function complain(layer, message, ...)
  error("onnx.export: " .. (layer and "in layer " .. layer.text .. ": " or "")
    .. message:format(...), 0)
end

--- What a size that is n1 and n2 in the first two traces is in the third.
local function predict(batch, n1, n2)
  return n1 + (n2 - n1) * (batch[3] - batch[1]) // (batch[2] - batch[1])
end

--- `a` learns what its sizes are in the second trace, `b`, or compares its own with the third's.
local function pair_values(a, b, batch)
  if a.dynamic ~= b.dynamic or #a.shape ~= #b.shape or a.dtype ~= b.dtype then
    complain(a.layer, "what is computed depends on the input's values or sizes")
  elseif not batch then
    a.pair, a.shape2 = b, b.shape
    return
  end
  for d, n in ipairs(a.shape) do
    if predict(batch, n, a.shape2[d]) ~= b.shape[d] then
      complain(a.layer, "a size is %d, %d, %d in batches of %d, %d, %d, which cannot be expressed",
        n, a.shape2[d], b.shape[d], table.unpack(batch))
    end
  end
end

-- lengths and places that may depend on the size of the batch: they are computed in the graph
local symbolic = {
  reshape = { shape = true }, view = { shape = true }, expand = { shape = true },
  slice = { start = true, stop = true }, narrow = { start = true, length = true },
  select = { index = true }, split = { sizes = true }, sum_to = { shape = true },
  tile = { reps = true },
}

local pair_arguments

local function pair_argument(r, name, a, b, a2, batch)
  if type(a) == "table" and a.shape then
    if type(b) ~= "table" or not b.shape then
      complain(r.layer, "%s: its operands depend on the input's values or sizes", r.op)
    end
    pair_values(a, b, batch)
  elseif type(a) == "table" and type(b) == "table" and #a == #b then
    pair_arguments(r, name, a, b, a2, batch)
  elseif (symbolic[r.op] or {})[name] then
    if batch and predict(batch, a, a2) ~= b then
      complain(r.layer, "%s: '%s' is %d, %d, %d in batches of %d, %d, %d, which cannot be "
        .. "expressed", r.op, name, a, a2, b, table.unpack(batch))
    end
  elseif a ~= b and not (a ~= a and b ~= b) then
    complain(r.layer, "%s: '%s' depends on the size of the batch or on the input's values "
      .. "(%s once, %s another time)", r.op, name, a, b)
  end
end

--- `list`: the name of the argument that a and b are lists of; nil: they are all arguments.
function pair_arguments(r, list, a, b, a2, batch)
  for key, v in pairs(a) do
    pair_argument(r, list or key, v, b[key], a2 and a2[key], batch)
  end
end

local function pair(first, other, batch)
  for i, value in ipairs(first.inputs) do
    pair_values(value, other.inputs[i], batch)
  end
  for i, a in ipairs(first.records) do
    local b = other.records[i]
    if not b or a.op ~= b.op or #a.outs ~= #b.outs or #first.records ~= #other.records then
      complain(a.layer, "which ops are called depends on the size of the batch or on the input's "
        .. "values, from %s on", a.op)
    end
    pair_arguments(a, nil, a.args, b.args, a.args2, batch)
    a.args2 = a.args2 or b.args
    for k, out in pairs(a.outs) do
      pair_values(out, b.outs[k], batch)
    end
  end
  if #first.results ~= #other.results then
    complain(nil, "how much the model returns depends on the input's values or sizes")
  end
  for i, value in ipairs(first.results) do
    pair_values(value, other.results[i], batch)
  end
end

--- Joins traces of a model, whose batches have the sizes `batch`: every value of the first gets its
-- sizes in the second, `shape2`, and every record its arguments there, `args2`.
function trace.join(traces, batch)
  pair(traces[1], traces[2])
  if traces[3] then
    pair(traces[1], traces[3], batch)
  end
  return traces[1]
end

return trace
