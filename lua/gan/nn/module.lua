--- Module: what every layer and model is.
--
-- A layer is a plain table that can be called. Its parameters, buffers and child layers are
-- simply its fields; they are found by walking the fields, list part first, then the keys in
-- alphabetical order. Fields whose name begins with `_` are private and are not walked.
--
--     local Net = nn.module("Net", {
--       init = function(self, o)
--         self.hidden = nn.Linear{2, o.width}
--         self.out = nn.Linear{o.width, 1}
--       end,
--       forward = function(self, x) return self.out(self.hidden(x):relu()) end,
--     })
--     local net = Net{width = 32}
--     local y = net(x)
--
-- A tensor field that requires a gradient is a parameter (make one with `nn.parameter`), any
-- other tensor field is a buffer: saved with the model, but not trained. A parameter stays one
-- while it is frozen. Names in files are PyTorch's: `hidden.weight`, lists count from 0.

local gan = require "gan"
local options = require "gan.options"

local Module = {}
local marked = setmetatable({}, { __mode = "k" }) -- tensors that are parameters, frozen or not
local tracing -- during summary and export: function(module, outputs...)
local entering -- during export and recording: function(module), before its forward

--- nn.is_module(v): whether a value is a layer or model.
local function is_module(v)
  local meta = type(v) == "table" and getmetatable(v)
  return type(meta) == "table" and meta.is_module == true
end

--- nn.parameter(t): t becomes a parameter: it requires a gradient and outlives its scope.
local function parameter(t)
  t:requires_grad_(true):keep()
  marked[t] = true
  return t
end

local function is_parameter(t)
  if marked[t] then
    return true
  elseif t:requires_grad() then
    marked[t] = true
    return true
  end
  return false
end

--- The fields of a table that are walked, as an array of { key, value, name }.
local function fields(t)
  local list, keys, length, hidden = {}, {}, #t, rawget(t, "_hidden")
  for i = 1, length do
    local named = is_module(t[i]) and rawget(t[i], "name")
    list[i] = { i, t[i], named or tostring(i - 1) }
  end
  for key in pairs(t) do
    if type(key) == "string" and key:sub(1, 1) ~= "_" and not (hidden and hidden[key]) then
      keys[#keys + 1] = key
    end
  end
  table.sort(keys)
  for _, key in ipairs(keys) do
    list[#list + 1] = { key, t[key], key }
  end
  return list
end

--- Calls on_tensor(name, tensor) and on_module(name, module) for everything below `t`, in the
-- fixed order. A table that is met again inside itself is passed over.
local function walk(t, prefix, on_tensor, on_module, active)
  active = active or {}
  active[t] = true
  for _, field in ipairs(fields(t)) do
    local value, name = field[2], prefix .. field[3]
    if gan.is_tensor(value) then
      on_tensor(name, value)
    elseif type(value) == "table" and not active[value]
      and (is_module(value) or getmetatable(value) == nil) then
      walk(value, name .. ".", on_tensor, on_module, active)
      if on_module and is_module(value) then
        on_module(name, value)
      end
    end
  end
  active[t] = nil
end

local function collect(self, wanted)
  local names, tensors, seen = {}, {}, {}
  walk(self, "", function(name, t)
    if not seen[t] and wanted(t) then
      seen[t] = true
      names[#names + 1], tensors[#tensors + 1] = name, t
    end
  end)
  return names, tensors
end

local function pairs_of(names, values)
  local i = 0
  return function()
    i = i + 1
    return names[i], values[i]
  end
end

local function is_buffer(t)
  return not is_parameter(t)
end

--- All parameters in a list, each once even if two layers share it.
function Module:parameters()
  local _, tensors = collect(self, is_parameter)
  return tensors
end

--- Iterator: `for name, p in model:named_parameters() do`.
function Module:named_parameters()
  return pairs_of(collect(self, is_parameter))
end

--- All buffers (running statistics and the like) in a list.
function Module:buffers()
  local _, tensors = collect(self, is_buffer)
  return tensors
end

--- Iterator over names and buffers.
function Module:named_buffers()
  return pairs_of(collect(self, is_buffer))
end

--- Iterator over names and modules: every layer below this one, children before parents, and
-- last the module itself under the name "". A shared layer comes once.
function Module:modules()
  local names, modules, seen = {}, {}, {}
  local function add(name, m)
    if not seen[m] then
      seen[m] = true
      names[#names + 1], modules[#modules + 1] = name, m
    end
  end
  walk(self, "", function() end, add)
  add("", self)
  return pairs_of(names, modules)
end

--- Calls f(module) for every module below, then for this one. Returns the model.
function Module:apply(f)
  for _, m in self:modules() do
    f(m)
  end
  return self
end

--- Switches to training (the default) or, with false, to evaluation: concerns dropout, batch
-- normalisation and spectral normalisation. Returns the model.
function Module:train(mode)
  for _, m in self:modules() do
    m.training = mode ~= false
  end
  return self
end

--- Switches to evaluation. Returns the model.
function Module:eval()
  return self:train(false)
end

--- Drops the gradients of all parameters.
function Module:zero_grad()
  for _, p in ipairs(self:parameters()) do
    p:zero_grad()
  end
end

--- Freezes (false) or thaws all parameters. Returns the model.
function Module:requires_grad_(wanted)
  for _, p in ipairs(self:parameters()) do
    p:requires_grad_(wanted ~= false)
  end
  return self
end

--- The number of trained values; with { trainable = true }, of those not frozen.
function Module:num_parameters(given)
  local o = options.check("num_parameters", given or {}, "; trainable:bool=false")
  local total = 0
  for _, p in ipairs(self:parameters()) do
    if p:requires_grad() or not o.trainable then
      total = total + p:numel()
    end
  end
  return total
end

--- The name of this kind of layer, without the `nn.`: "Conv2d".
function Module:kind()
  return (getmetatable(self).__name:gsub("^nn%.", ""))
end

-- ---- printing -------------------------------------------------------------------------------

local function literal(v)
  if type(v) == "string" then
    return ("%q"):format(v)
  elseif gan.is_tensor(v) then
    return "tensor"
  elseif is_module(v) then
    return v:kind()
  elseif type(v) ~= "table" then
    return type(v) == "function" and "function" or tostring(v)
  end
  local parts = {}
  for i, item in ipairs(v) do
    parts[i] = literal(item)
  end
  return "{" .. table.concat(parts, ", ") .. "}"
end

--- "nn.Conv2d{1, 64, 4, stride=2}": the options that differ from their defaults.
local function signature(self)
  local meta, parts = getmetatable(self), {}
  local by_position = true
  for i, field in ipairs(meta.spec and options.parse(meta.spec) or {}) do
    local v = self._options[field.name]
    by_position = by_position and v ~= nil and i <= options.parse(meta.spec).positional
    if v ~= nil and (v ~= field.default or not field.optional) and field.name ~= "name" then
      parts[#parts + 1] = by_position and literal(v) or field.name .. "=" .. literal(v)
    else
      by_position = false
    end
  end
  return meta.__name .. "{" .. table.concat(parts, ", ") .. "}"
end

local function children(t)
  local list = {}
  for _, field in ipairs(fields(t)) do
    local value = field[2]
    if is_module(value) or type(value) == "table" and getmetatable(value) == nil
      and #children(value) > 0 then
      list[#list + 1] = field
    end
  end
  return list
end

local function describe(self, indent, active)
  local below = children(self)
  local title = is_module(self) and getmetatable(self).__name or ""
  if #below == 0 then
    return is_module(self) and signature(self) or "{}"
  elseif active[self] then
    return title .. "{...}"
  end
  active[self] = true
  local lines = { title .. "{" }
  for _, field in ipairs(below) do
    local label = is_module(field[2]) and rawget(field[2], "name") or tostring(field[1])
    lines[#lines + 1] = indent .. "  " .. label .. ": "
      .. describe(field[2], indent .. "  ", active)
  end
  active[self] = nil
  return table.concat(lines, "\n") .. "\n" .. indent .. "}"
end

-- ---- calls and errors -----------------------------------------------------------------------
-- An error inside a layer travels up through the modules around it; each adds where it stands:
-- "layer 3 `deconv2` of `decoder` of `Net`: conv_transpose2d: ...". Interrupts pass untouched.

-- The last one: text, path, rest, and the module that raised it.
local failure = setmetatable({ text = "" }, { __mode = "v" })

local function short_name(m)
  return rawget(m, "name") or m:kind()
end

--- How `inner` is called inside `outer`: "layer 3 `deconv2`", "`encoder`", or nil.
local function label(outer, inner, active)
  for _, field in ipairs(fields(outer)) do
    local key, value = field[1], field[2]
    if value == inner then
      local name = type(key) == "string" and key or short_name(inner)
      return (math.type(key) == "integer" and "layer " .. key .. " " or "") .. "`" .. name .. "`"
    elseif type(value) == "table" and getmetatable(value) == nil and not active[value] then
      active[value] = true
      local found = label(value, inner, active)
      if found then
        return found .. " of `" .. tostring(key) .. "`"
      end
    end
  end
end

local function without_library_position(message)
  return (message:gsub("^[^%s:]*gan[./]nn[./][%w_./]+:%d+: ", ""))
end

local function ends_with(s, tail)
  return tail ~= "" and s:sub(-#tail) == tail
end

--- Raises `message` again with the place of this module before it. `inside` is the label of the
-- child that failed, if it is known here, and `sizes` the sizes on the way to it.
local function raise(self, message, inside, sizes)
  if type(message) ~= "string" or message:find("interrupted!", 1, true) then
    error(message, 0)
  end
  local path, rest = inside, ": " .. without_library_position(message)
  if ends_with(message, failure.text) and failure.module ~= self then
    inside = inside or label(self, failure.module, {})
    if inside then
      path = failure.path and failure.path .. " of " .. inside or inside
      rest = failure.rest
    end
  end
  if sizes then
    rest = rest .. sizes
  end
  local text = path and path .. " of `" .. short_name(self) .. "`" .. rest or rest:sub(3)
  failure.text, failure.path, failure.rest, failure.module = text, path, rest, self
  error(text, 2) -- the functions between here and the user's line ended in tail calls
end

local function finish(self, ok, ...)
  if ok then
    return ...
  end
  return raise(self, (...))
end

--- Tells the summary that is being made, if any, what a module returned.
local function report(self, ...)
  if tracing then
    tracing(self, ...)
  end
end

--- Tells the export or recording that is being made, if any, that a module is called.
local function enter(self)
  if entering then
    entering(self)
  end
end

local function traced(self, ok, ...)
  if ok then
    report(self, ...)
  end
  return finish(self, ok, ...)
end

local function call(self, ...)
  enter(self)
  if tracing then
    return traced(self, pcall(self.forward, self, ...))
  end
  return finish(self, pcall(self.forward, self, ...))
end

-- ---- definition -----------------------------------------------------------------------------

local function define_methods(def)
  local methods = {}
  for key, v in pairs(def) do
    if key ~= "init" and key ~= "options" and key ~= "call" then
      methods[key] = v
    end
  end
  return setmetatable(methods, { __index = Module })
end

--- nn.module(name, {init=, forward=, options=}): defines a kind of layer, returns its constructor.
--
-- forward(self, ...) computes, init(self, o) makes the fields from the option table; other
-- functions become methods. With `options`, a text in the form of gan.options, the option table is
-- checked, and every layer also takes `name`, by which error messages and files call it.
local function define(name, def)
  local spec = def.options and def.options .. (def.options:find(";", 1, true) and "" or " ;")
    .. " name:text?"
  local meta = {
    __index = define_methods(def), __call = def.call or call, __name = name, spec = spec,
    is_module = true, init = def.init,
    __tostring = function(self) return describe(self, "", {}) end,
  }
  return function(given)
    local o = given or {}
    if spec then
      o = options.check(name, given, spec)
    end
    local self = setmetatable({ training = true, name = o.name, _options = o }, meta)
    if def.init then
      def.init(self, o)
    end
    walk(self, "", function(_, t)
      is_parameter(t)
      t:keep()
    end)
    return self
  end
end

--- Runs f; after every layer call inside, on_call(module, outputs...) is called, and before it
-- on_enter(module), if there is one.
local function trace(on_call, f, on_enter)
  local before, before_enter = tracing, entering
  tracing, entering = on_call, on_enter
  local results = table.pack(pcall(f))
  tracing, entering = before, before_enter
  if not results[1] then
    error(results[2], 0)
  end
  return table.unpack(results, 2, results.n)
end

--- From now on on_enter(module), if there is one, is called before every layer call. Returns what
-- was called so far.
local function watch(on_enter)
  local before = entering
  entering = on_enter
  return before
end

return {
  Module = Module, define = define, parameter = parameter, is_module = is_module, walk = walk,
  raise = raise, enter = enter, report = report, trace = trace, watch = watch,
  signature = signature,
  is_tracing = function() return tracing ~= nil end,
}
