--- gan.help() lists what there is; gan.help "conv2d", gan.help "nn.Linear" or gan.help(gan.relu) is
-- about one thing.
--
-- Help of ops comes from their records, help of what is written in Lua from the comments in front
-- of it: there is no text to keep in step. help.text(topic) returns what help(topic) prints.

local gan = require "gan"
local options = require "gan.options"
local core = require "gan.help.core" -- records of what is written in C and is no op

local help = {}

-- the parts of the library that are written in Lua, in the order in which they are listed
local parts = { "nn", "nn.init", "optim", "loss", "data", "data.augment", "image", "train",
  "train.progress", "metrics", "report", "checkpoint", "adversarial", "noise", "vae", "onnx", "mpi",
  "ranks", "json", "show", "poll", "pretty", "options", "help", "repl" }

-- what gan itself has besides: functions, each explained at the head of its file
local wholes = { "compile", "doctor", "gradcheck", "opts", "profile" }

-- ---- ops ----------------------------------------------------------------------------------------

local function list_text(v)
  local list = {}
  for i, item in ipairs(v) do
    list[i] = tostring(item)
  end
  return "{" .. table.concat(list, ", ") .. "}"
end

local function default_text(p)
  if p.default == nil then
    return nil
  elseif type(p.default) == "table" then
    return list_text(p.default)
  elseif type(p.default) == "string" then
    return ("%q"):format(p.default)
  end
  return tostring(p.default)
end

--- conv2d(x, w, b?, {stride=1, ...}) -> y
local function signature(record)
  local positional, named, outputs = {}, {}, {}
  for _, p in ipairs(record.params) do
    local default = default_text(p)
    if p.positional then
      positional[#positional + 1] = p.name .. ((p.optional or default) and "?" or "")
    else
      named[#named + 1] = p.name .. "=" .. (default or "")
    end
  end
  if #named > 0 then
    positional[#positional + 1] = "{" .. table.concat(named, ", ") .. "}"
  end
  for i, o in ipairs(record.outputs) do
    outputs[i] = o.name
  end
  return (record.prefix or "gan.") .. record.name
    .. (record.is_value and "" or ("(%s)"):format(table.concat(positional, ", ")))
    .. (#outputs > 0 and " -> " .. table.concat(outputs, ", ") or "")
end

local kind_names = {
  tensor = "tensor", any = "tensor of any type", labels = "int64 tensor, values from 1",
  tensors = "list of tensors", operand = "tensor or number", anyoperand = "tensor or number",
  number = "number", int = "integer", bool = "true or false", dim = "dimension, from 1",
  dims = "dimensions, from 1", ints = "integer or list", shape = "sizes",
  index = "position, from 1", text = "string", dtype = '"float32", "uint8" or "int64"',
  value = "any value", callable = "function", count = "positive integer",
}

local function param_line(p)
  local kind = p.words and #p.words > 0 and '"' .. table.concat(p.words, '", "') .. '"'
    or kind_names[p.kind] or p.kind
  local default = default_text(p)
  local note = default and "default " .. default or p.optional and "may be left out" or ""
  if p.mutated then
    note = note .. (note ~= "" and "; " or "") .. "changed in place"
  end
  return ("  %-14s %s%s"):format(p.name, kind, note ~= "" and "  (" .. note .. ")" or "")
end

local function summary(text)
  return (text or ""):match("^[^\n]*")
end

local function op_text(record)
  local lines = { signature(record) }
  local first = not record.prefix and record.params[1]
  if first and (first.kind == "tensor" or first.kind == "any" or first.kind == "operand"
      or first.kind == "anyoperand" or first.kind == "labels") then
    lines[#lines + 1] = ("also as a method: %s:%s(...)"):format(first.name, record.name)
  end
  lines[#lines + 1] = ""
  lines[#lines + 1] = record.doc or ""
  if #record.params > 0 then
    lines[#lines + 1] = ""
  end
  for _, p in ipairs(record.params) do
    lines[#lines + 1] = param_line(p)
  end
  if record.example then
    lines[#lines + 1] = ""
    lines[#lines + 1] = "Example:  " .. record.example
  end
  return table.concat(lines, "\n")
end

--- The records of an op, or of what else is written in C: "conv2d", "backward", "files.list". There
-- are two of what is both a function and a method, such as "grad".
local function find_records(name)
  local found = {}
  for _, record in ipairs(gan.ops()) do
    if record.name == (core.aliases[name] or name) then
      return { record }
    end
  end
  for _, record in ipairs(core) do
    local family = record.family
    if (record.name == name and (family == "gan" or family == "tensor"))
        or family .. "." .. record.name == name then
      found[#found + 1] = record
    end
  end
  return found
end

-- ---- what is written in Lua ---------------------------------------------------------------------

local function part_table(part)
  local t = gan
  for name in part:gmatch("[^.]+") do
    local ok, v = pcall(function()
      return t[name]
    end)
    t = ok and v
    if type(t) ~= "table" then
      return nil
    end
  end
  return t
end

local function read_comments(list, module)
  local comment
  for line in ((gan.files.sources(module) or "") .. "\n"):gmatch("(.-)\r?\n") do
    local start, more = line:match "^%s*%-%-%- ?(.*)$", line:match "^%s*%-%- ?(.*)$"
    if start then
      comment = { start }
    elseif comment and more then
      comment[#comment + 1] = more
    elseif comment then
      list[#list + 1] = { text = table.concat(comment, "\n"), code = line }
      comment = nil
    end
  end
end

--- The comment blocks of the sources of a part: an array of { text, code }, the code being the
-- line that follows the comment.
local blocks_of = {}

local function blocks(part)
  if blocks_of[part] then
    return blocks_of[part]
  end
  local list, name = {}, debug.getmetatable(gan).parts[part] or "gan." .. part
  read_comments(list, name)
  for _, module in ipairs(gan.files.sources()) do
    if module:sub(1, #name + 1) == name .. "." then
      read_comments(list, module)
    end
  end
  blocks_of[part] = list
  return list
end

local function escape(name)
  return (name:gsub("%p", "%%%0"))
end

--- The comment that documents `part.name`, or nil.
local function comment_of(part, name)
  local full = "^%s*" .. escape(part .. "." .. name) .. "%f[^%w_]"
  local last = part:match("[^.]+$")
  local short = "^%s*" .. escape(last .. "." .. name) .. "%f[^%w_]"
  local definition = "%f[%w_]" .. escape(name) .. "%s*[=(]"
  local by_code
  for _, block in ipairs(blocks(part)) do
    local text = block.text:gsub("^gan%.", "")
    if text:find(full) or text:find(short) then
      return block.text
    elseif block.code:find("^function%s.*" .. definition)
        or block.code:find("^[%w_.]*" .. definition)
        or block.code:find("^local function " .. escape(name) .. "%s*%(")
        or block.code:find("^local " .. escape(name) .. "%s*=") then
      by_code = by_code or block.text
    end
  end
  local own = not by_code and gan.files.sources(("gan.%s.%s"):format(part, name))
    and blocks(part .. "." .. name)[1]
  return by_code or own and own.text
end

--- Sorted names of what a part offers.
local function names_in(part)
  local t, list = part_table(part), {}
  for key, v in pairs(t or {}) do
    if type(key) == "string" and not key:find("^_")
        and (type(v) == "function" or (type(v) == "table" and not part_table(part .. "." .. key)
          or type(v) == "table" and getmetatable(v) and getmetatable(v).__call)) then
      list[#list + 1] = key
    end
  end
  table.sort(list)
  return list
end

local function find_in_parts(topic)
  local part, name = topic:match("^(.*)%.([^.]+)$")
  for _, p in ipairs(parts) do
    local t = (not part or part == p) and part_table(p)
    if t and t[name or topic] ~= nil then
      return p, name or topic
    end
  end
end

-- ---- topics -------------------------------------------------------------------------------------

local function listing()
  local lines, family = {}, nil
  for _, record in ipairs(gan.ops()) do
    if record.family ~= family then
      family = record.family
      lines[#lines + 1] = (#lines > 0 and "\n" or "") .. family .. ":"
    end
    lines[#lines + 1] = ("  %-20s %s"):format(record.name, summary(record.doc))
  end
  for _, record in ipairs(core) do
    if record.family ~= family then
      family = record.family
      lines[#lines + 1] = "\n" .. (family == "tensor" and "methods of tensors" or family) .. ":"
    end
    lines[#lines + 1] = ("  %-20s %s"):format(record.name, summary(record.doc))
  end
  lines[#lines + 1] = ""
  for _, name in ipairs(wholes) do
    lines[#lines + 1] = ("  %-20s %s"):format(name,
      (summary(blocks(name)[1].text):gsub("^gan%.", "")))
  end
  for _, part in ipairs(parts) do
    local names = names_in(part)
    if #names > 0 then
      lines[#lines + 1] = "\n" .. part .. ":"
    end
    for _, name in ipairs(names) do
      lines[#lines + 1] = ("  %-20s %s"):format(name, summary(comment_of(part, name)))
    end
  end
  lines[#lines + 1] = '\nhelp "name" tells more, such as help "conv2d" or help "nn.Linear".'
  return table.concat(lines, "\n")
end

--- What to say of a topic that does not exist: near names, and ops whose summary has the word.
local function unknown(topic)
  local names, found = {}, {}
  for _, record in ipairs(gan.ops()) do
    names[#names + 1] = record.name
    if summary(record.doc):lower():find(topic:lower(), 1, true) then
      found[#found + 1] = record.name
    end
  end
  for _, record in ipairs(core) do
    names[#names + 1] = record.name
  end
  for _, part in ipairs(parts) do
    for _, name in ipairs(names_in(part)) do
      names[#names + 1] = part .. "." .. name
      names[#names + 1] = name
    end
  end
  local text = ("There is no help for '%s'%s"):format(topic, options.hint(topic, names))
  return #found > 0 and text .. "\nIt is mentioned by: " .. table.concat(found, ", ") or text
end

local function part_text(part)
  local lines = {}
  local first = blocks(part)[1] -- the comment at the head of its file
  if first then
    lines = { first.text, "" }
  end
  for _, name in ipairs(names_in(part)) do
    lines[#lines + 1] = ("  %-20s %s"):format(part .. "." .. name, summary(comment_of(part, name)))
  end
  return table.concat(lines, "\n")
end

--- The topic of a function or layer that was passed itself.
local function name_of(v)
  for _, record in ipairs(gan.ops()) do
    if gan[record.name] == v then
      return record.name
    end
  end
  for _, part in ipairs(parts) do
    for key, field in pairs(part_table(part) or {}) do
      if field == v then
        return part .. "." .. key
      end
    end
  end
  for _, record in ipairs(core) do
    local t = record.family == "gan" and gan or record.family == "tensor" and gan.methods
      or gan[record.family]
    if rawequal(t[record.name], v) then
      return record.family == "gan" and record.name or record.family .. "." .. record.name
    end
  end
  for _, name in ipairs(wholes) do
    if rawequal(gan[name], v) then
      return name
    end
  end
  return tostring(v)
end

--- "{in_features, out_features, bias=true}": what has no `=` may be given by position, what is in
-- brackets has no default and may be left out.
local function options_text(fields)
  local list = {}
  for i, field in ipairs(fields) do
    local default, sign = default_text(field), i > fields.positional and "=" or ""
    list[i] = default and field.name .. "=" .. default
      or field.optional and "[" .. field.name .. sign .. "]" or field.name .. sign
  end
  return "{" .. table.concat(list, ", ") .. "}"
end

--- The names of a Lua function's parameters; nil for what is written in C and for values.
local function parameter_names(f)
  local meta = debug.getmetatable(f)
  local is_table = type(f) == "table" and type(meta) == "table"
  f = is_table and meta.__call or f
  local info = type(f) == "function" and debug.getinfo(f, "Su")
  if not info or info.what == "C" then
    return nil
  end
  local names = {}
  for i = is_table and 2 or 1, info.nparams do
    names[#names + 1] = debug.getlocal(f, i)
  end
  names[#names + 1] = info.isvararg and "..." or nil
  return names
end

--- "nn.Linear{in_features, out_features, bias=true}", "loss.l1(h)": how something is called. What
-- takes a table of options and nothing else is called with braces.
local function call_of(name, f)
  local names, fields = parameter_names(f), options.fields_of(f)
  if not names then
    return name .. (type(f) == "function" and "(...)" or "")
  elseif not fields or names[#names] == "..." then
    return ("%s(%s)"):format(name, table.concat(names, ", "))
  elseif #names <= 1 then
    return name .. options_text(fields)
  end
  names[#names] = options_text(fields)
  return ("%s(%s)"):format(name, table.concat(names, ", "))
end

--- About a value of the user's that was asked for by `name`: its type, and what a table offers.
function help.value(v, name)
  if gan.is_tensor(v) then
    return name .. " is a " .. gan.pretty.tensor(v, true)
  elseif type(v) == "function" then
    local info = debug.getinfo(v, "S")
    return ("%s is a function%s"):format(name, info.what == "C" and " written in C"
      or (", %s line %d; ??%s shows it"):format(info.short_src, info.linedefined, name))
  elseif type(v) == "table" and getmetatable(v) then
    return name .. " is " .. tostring(v)
  end
  return ("%s is a %s: %s"):format(name, type(v), gan.pretty(v))
end

--- The text about a topic (a name, or the function itself); without one, the list of everything.
-- With `known_only`, nil where there is no such topic.
function help.text(topic, known_only)
  if topic == nil then
    return listing()
  end
  topic = type(topic) == "string" and topic:gsub("^gan%.", "") or name_of(topic)
  local texts = {}
  for i, record in ipairs(find_records(topic)) do
    texts[i] = op_text(record)
  end
  if #texts > 0 then
    return table.concat(texts, "\n\n")
  end
  for _, part in ipairs(parts) do
    if part == topic and part_table(part) then
      return part_text(part)
    end
  end
  for _, name in ipairs(wholes) do
    if name == topic then
      local text = blocks(name)[1].text
      return (text:match "^gan%.[%w_]+%b()" or call_of("gan." .. name, gan[name])) .. "\n\n" .. text
    end
  end
  local part, name = find_in_parts(topic)
  if part then
    local text = comment_of(part, name)
    return call_of(part .. "." .. name, part_table(part)[name]) .. "\n\n"
      .. (text or "(no description)")
  end
  return not known_only and unknown(topic) or nil
end

-- what scripts/reference makes its pages of
help.sources = {
  core = core, parts = parts, wholes = wholes, part_table = part_table, blocks = blocks,
  comment_of = comment_of, call_of = call_of, signature = signature, default_text = default_text,
  kind_names = kind_names, parameter_names = parameter_names,
}

return setmetatable(help, {
  __call = function(_, topic)
    io.write(help.text(topic), "\n")
  end,
})
