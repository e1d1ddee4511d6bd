--- Definition files for editors (LuaCATS, the annotations of lua-language-server): classes of
-- tensors, layers and option tables, and every function with its parameters. They are written from
-- the same entries as the reference; nothing in them runs.

local gan = require "gan"
local collect = require "collect"

local types = {}

-- kinds of the signatures of ops and of option specifications
local kinds = {
  tensor = "gan.tensor", any = "gan.tensor", labels = "gan.tensor", tensors = "gan.tensor[]",
  operand = "gan.tensor|number", anyoperand = "gan.tensor|number", number = "number",
  int = "integer", count = "integer", bool = "boolean", dim = "integer",
  dims = "integer|integer[]", ints = "integer|integer[]", shape = "integer|integer[]",
  index = "integer", text = "string", dtype = '"float32"|"uint8"|"int64"', value = "any",
  table = "table", list = "any[]", callable = "function",
}

-- the kinds of options by what gan.options calls them
local option_kinds = {
  ["a number"] = "number", ["an integer"] = "integer", ["a positive integer"] = "integer",
  ["true or false"] = "boolean", ["a string"] = "string",
  ["an integer or a list of integers"] = "integer|integer[]", ["a list"] = "any[]",
  ["a table"] = "table", ["a tensor"] = "gan.tensor", ["a function"] = "function",
  ["a value"] = "any",
}

-- Parameters of Lua functions: in this library the same name always means the same.
local names = {
  x = "gan.tensor", h = "gan.tensor", t = "gan.tensor", w = "gan.tensor", mu = "gan.tensor",
  mean = "gan.tensor", logvar = "gan.tensor", logits = "gan.tensor", weight = "gan.tensor",
  p_real = "gan.tensor", p_fake = "gan.tensor", real = "gan.tensor", fake = "gan.tensor",
  y = "gan.tensor", z = "gan.tensor", a = "gan.tensor", b = "gan.tensor", codes = "any",
  labels = "gan.tensor", scores = "gan.tensor", images = "any", path = "string",
  folder = "string", text = "string",
  given = "table", f = "function", model = "any", net = "any", n = "integer", seconds = "number",
}

local function comment(lines, text)
  for line in ((text or "") .. "\n"):gmatch "(.-)\n" do
    lines[#lines + 1] = ("---%s"):format(line ~= "" and " " .. line or "")
  end
end

local function type_of_param(p)
  if p.words and #p.words > 0 then
    return '"' .. table.concat(p.words, '"|"') .. '"'
  end
  return kinds[p.kind]
end

local function type_of_field(field)
  local kind = field.kind[1]
  local words = kind:match "^one of (.*)$"
  if words then
    return '"' .. words:gsub(", ", '"|"') .. '"'
  end
  return option_kinds[kind] or "any"
end

-- names that Lua keeps for itself
local reserved = { ["end"] = true, ["repeat"] = true, ["function"] = true, ["in"] = true }

local function safe(name)
  return reserved[name] and name .. "_" or name
end

--- "function gan.name(...) end", also for names that are words of Lua.
local function definition(owner, name, params)
  if reserved[name] then
    return ("%s[%q] = function(%s) end"):format(owner, name, table.concat(params, ", "))
  end
  return ("function %s.%s(%s) end"):format(owner, name, table.concat(params, ", "))
end

--- The options of a record as the type of one table.
local function named_type(record, from)
  local list = {}
  for i = from, #record.params do
    local p = record.params[i]
    list[#list + 1] = ("%s?: %s"):format(safe(p.name), type_of_param(p))
  end
  return #list > 0 and "{ " .. table.concat(list, ", ") .. " }" or nil
end

local function results(lines, record)
  for _, o in ipairs(record.outputs) do
    lines[#lines + 1] = ("---@return %s%s %s"):format(o.kind and kinds[o.kind] or "gan.tensor",
      o.optional and "?" or "", o.name)
  end
end

--- The part of a signature after its positional arguments: sizes and lists of tensors may also be
-- given as separate arguments; what else there is goes into a table.
local function rest(lines, record, positional, params)
  local last = record.params[positional]
  local named = named_type(record, positional + 1)
  if params[#params] == "..." then
    return
  elseif #params > 0 and (last.kind == "shape" or last.kind == "tensors") then
    params[#params + 1] = "..."
    lines[#lines + 1] = ("---@param ... %s|table"):format(kinds[last.kind])
  elseif named then
    params[#params + 1] = "options"
    lines[#lines + 1] = "---@param options? " .. named
  end
end

--- What is written in C. The first `skip` arguments are left out: a method's is `self`.
local function record_lines(lines, owner, name, record, skip)
  local params, positional = {}, skip
  comment(lines, record.doc)
  for i = skip + 1, #record.params do
    local p = record.params[i]
    if p.positional then
      positional = i
      local may_lack = p.name ~= "..." and (p.optional or p.default ~= nil)
      params[#params + 1] = safe(p.name)
      lines[#lines + 1] = ("---@param %s%s %s"):format(safe(p.name), may_lack and "?" or "",
        type_of_param(p))
    end
  end
  rest(lines, record, positional, params)
  results(lines, record)
  if owner == "tensor" then
    table.insert(params, 1, "self")
  end
  lines[#lines + 1] = definition(owner, name, params)
  lines[#lines + 1] = ""
end

--- The class of an option table. What may be given by position or by name is optional in both.
local function options_class(lines, class, fields, takes_list)
  lines[#lines + 1] = "---@class " .. class
  lines[#lines + 1] = takes_list and "---@field [integer] any what is trained" or nil
  for i, field in ipairs(fields) do
    local kind = type_of_field(field)
    if i <= fields.positional then
      lines[#lines + 1] = ("---@field [%d]? %s %s"):format(i, kind, field.name)
    end
    lines[#lines + 1] = ("---@field %s%s %s%s"):format(safe(field.name),
      (field.optional or i <= fields.positional) and "?" or "", kind,
      field.default ~= nil and (" default %s"):format(field.default) or "")
  end
  lines[#lines + 1] = ""
end

--- What a Lua function returns, as far as its comment says so.
local function result_of(part, entry)
  local class = collect.class_of(part, entry.key)
  local said = ((entry.text or ""):match "%->%s*([^\n]*)" or "")
  if class then
    return part == "nn" and "gan.nn.Module" or "gan." .. part .. "." .. class
  elseif part == "loss" or said:find "^uint8" or said:find "^tensor" or said:find "^%(" then
    return "gan.tensor" .. (said:find "nil" and "?" or "")
  elseif said:find "^true, or nil" then
    return "boolean?"
  elseif said:find "^string" then
    return "string"
  end
  return "any"
end

local function lua_lines(lines, owner, part, entry)
  local params, class = {}, "gan." .. part .. "." .. entry.key .. ".options"
  if entry.fields then
    options_class(lines, class, entry.fields, collect.class_of(part, entry.key) == "Optimizer")
  end
  comment(lines, entry.text)
  local list = entry.params or { "..." }
  for i, name in ipairs(list) do
    local is_options = i == #list and entry.fields and name ~= "..."
    params[i] = is_options and "options" or safe(name)
    lines[#lines + 1] = ("---@param %s%s %s"):format(params[i],
      name ~= "..." and (i > 1 or is_options and entry.key:find "^%l") and "?" or "",
      is_options and class or names[name] or "any")
  end
  local result = result_of(part, entry)
  lines[#lines + 1] = "---@return " .. result
  if result:find "%?$" or entry.text and entry.text:find "nil and a message" then
    lines[#lines + 1] = "---@return any message"
  end
  lines[#lines + 1] = definition(owner, entry.key, params)
  lines[#lines + 1] = ""
end

--- The type of a value: of tables of functions, such as loss.adversarial, field by field.
local function value_type(v)
  if type(v) ~= "table" then
    return type(v) == "function" and "function" or math.type(v) or type(v)
  end
  local list = {}
  for key, field in pairs(v) do
    list[#list + 1] = ("%s: %s"):format(key, value_type(field))
  end
  table.sort(list)
  return #list > 0 and "{ " .. table.concat(list, ", ") .. " }" or "table"
end

local function methods_lines(lines, part, object)
  local class = ("gan.%s.%s"):format(part, object.class)
  lines[#lines + 1] = "---@class " .. class
  if object.class == "Module" then
    lines[#lines + 1] = "---@field training boolean"
    lines[#lines + 1] = "---@field name? string"
    lines[#lines + 1] = "---@field [any] any"
    lines[#lines + 1] = "---@overload fun(...: any): gan.tensor, ..."
  elseif object.class == "Optimizer" then
    lines[#lines + 1] = "---@field lr number"
  elseif object.class == "Batches" then
    lines[#lines + 1] = "---@overload fun(): gan.tensor?, ..."
  elseif object.class == "Trainer" then
    lines[#lines + 1] = "---@field steps integer\n---@field epoch integer\n---@field losses table"
  end
  lines[#lines + 1] = ("local %s = {}\n"):format(object.class)
  for _, entry in ipairs(object.entries) do
    comment(lines, entry.text)
    for name in entry.params:gmatch "[%w_.]+" do
      lines[#lines + 1] = ("---@param %s%s %s"):format(name, name == "..." and "" or "?",
        names[name] or "any")
    end
    lines[#lines + 1] = "---@return any"
    lines[#lines + 1] = ("function %s:%s(%s) end\n"):format(object.class, entry.key, entry.params)
  end
end

local function part_file(page, part)
  local owner = part:match "[^.]+$"
  local lines = { "---@meta gan." .. part, "" }
  for _, object in ipairs(page.methods) do
    methods_lines(lines, part, object)
  end
  comment(lines, page.intro)
  lines[#lines + 1] = "---@class gan." .. part
  for _, inner in ipairs(gan.help.sources.parts) do
    if inner:match "^(.*)%." == part then
      lines[#lines + 1] = ("---@field %s gan.%s"):format(inner:match "[^.]+$", inner)
    end
  end
  for _, entry in ipairs(page.entries) do
    if entry.kind == "value" then
      lines[#lines + 1] = ("---@field %s %s %s"):format(entry.key, value_type(entry.value),
        ((entry.text or ""):match "^[^\n]*"))
    end
  end
  local meta = debug.getmetatable(page.value)
  if type(meta) == "table" and meta.__call then
    lines[#lines + 1] = "---@overload fun(...: any): any"
  end
  lines[#lines + 1] = ("local %s = {}\n"):format(owner)
  for _, entry in ipairs(page.entries) do
    if entry.record and entry.kind ~= "value" then
      record_lines(lines, owner, entry.key, entry.record, 0)
    elseif entry.kind == "function" then
      lua_lines(lines, owner, part, entry)
    end
  end
  lines[#lines + 1] = "return " .. owner
  return table.concat(lines, "\n") .. "\n"
end

local operators = { "add", "sub", "mul", "div", "pow" }

local function tensor_file(list)
  local lines = { "---@meta gan.tensor", "" }
  for _, page in ipairs(list) do
    if page.part == "tensor" then
      comment(lines, page.intro)
    end
  end
  lines[#lines + 1] = "---@class gan.tensor"
  for _, name in ipairs(operators) do
    lines[#lines + 1] = ("---@operator %s(gan.tensor|number): gan.tensor"):format(name)
  end
  lines[#lines + 1] = "---@operator unm: gan.tensor\n---@operator len: integer"
  lines[#lines + 1] = "---@field [integer] gan.tensor"
  lines[#lines + 1] = "local tensor = {}\n"
  for _, page in ipairs(list) do
    for _, entry in ipairs(page.entries) do
      if page.part == "tensor" then
        record_lines(lines, "tensor", entry.key, entry.record, 0)
      elseif entry.kind == "op" and gan.methods[entry.key] then
        record_lines(lines, "tensor", entry.key, entry.record, 1)
      elseif entry.kind == "alias" then
        lines[#lines + 1] = ("tensor[%q] = tensor.%s\n"):format(entry.key, entry.of)
      end
    end
  end
  lines[#lines + 1] = "return tensor"
  return table.concat(lines, "\n") .. "\n"
end

--- The fields of `gan`: its parts, and values such as gan.config.
local function root_fields(lines, list)
  for _, page in ipairs(list) do
    local part = page.part
    if part and part ~= "gan" and part ~= "tensor" and not part:find "%." then
      lines[#lines + 1] = ("---@field %s gan.%s"):format(part, part)
    end
    for _, entry in ipairs(part == "gan" and page.entries or {}) do
      if entry.kind == "value" and entry.key ~= "debug" then
        lines[#lines + 1] = ("---@field %s %s"):format(entry.key,
          entry.key == "methods" and "table<string, function>" or value_type(gan[entry.key]))
      end
    end
  end
end

local function root_entry(lines, page, entry)
  if entry.kind == "op" or entry.record and entry.kind == "function" and page.part == "gan" then
    record_lines(lines, "gan", entry.key, entry.record, 0)
  elseif entry.kind == "function" and page.part == "gan" then
    lua_lines(lines, "gan", "gan", entry)
  end
end

local function root_file(list)
  local lines, later = { "---@meta gan", "" }, {}
  for _, page in ipairs(list) do
    for _, object in ipairs(page.part == "gan" and page.methods or {}) do
      methods_lines(lines, "gan", object)
    end
  end
  lines[#lines + 1] = "---@class gan"
  root_fields(lines, list)
  lines[#lines + 1] = "local gan = {}\n"
  for _, page in ipairs(list) do
    for _, entry in ipairs(page.entries) do
      root_entry(lines, page, entry)
      if entry.kind == "alias" then
        later[#later + 1] = ("gan[%q] = gan.%s\n"):format(entry.key, entry.of)
      end
    end
  end
  table.move(later, 1, #later, #lines + 1, lines)
  lines[#lines + 1] = "return gan"
  return table.concat(lines, "\n") .. "\n"
end

--- { name of the file = its text }.
function types.write(list)
  local files = { ["init.lua"] = root_file(list), ["tensor.lua"] = tensor_file(list) }
  for _, page in ipairs(list) do
    if page.part and page.part ~= "gan" and page.part ~= "tensor" then
      files[page.part:gsub("%.", "_") .. ".lua"] = part_file(page, page.part)
    end
  end
  return files
end

return types
