--- gan.help() lists what there is; gan.help "conv2d", gan.help "nn.Linear" or gan.help(gan.relu) is
-- about one thing.
--
-- Help of ops comes from their records, help of what is written in Lua from the comments in front
-- of it: there is no text to keep in step. help.text(topic) returns what help(topic) prints.

local gan = require "gan"
local options = require "gan.options"

local help = {}

-- the parts of the library that are written in Lua, in the order in which they are listed
local parts = { "nn", "nn.init", "optim", "loss", "data", "image", "train", "metrics", "report",
  "noise", "vae", "onnx", "json", "files" }

-- what gan itself has besides ops: name, summary, and for some the module whose first comment says
-- more
local core = {
  { "tensor", "tensor(value, {dtype=, shape=}): a tensor from a number, nested table or bytes" },
  { "manual_seed", "manual_seed(n): starts the generator again; same seed, same numbers" },
  { "grad", "grad(y, x..., {create_graph=}): gradients of y, without touching x:grad()" },
  { "no_grad", "no_grad(f, ...): calls f without recording a graph" },
  { "Function", "Function{forward=, backward=}: an op of your own, written in Lua" },
  { "scope", "scope(f, ...): frees the tensors made in f at its end, except its results" },
  { "keep", "keep(x): lets x outlive the scope it was made in" },
  { "memory", "memory(): bytes in use, their peak, numbers of tensors and graph nodes" },
  { "memory_limit", "memory_limit(bytes): the most that tensors may use; nil: no limit" },
  { "threads", "threads(n): sets or tells the number of threads" },
  { "compile", "compile(step): records a training step and replays it", "compile" },
  { "profile", "profile(f, ...): where the time of f(...) goes, op by op", "profile" },
  { "gradcheck", "gradcheck(f, x...): compares gradients with finite differences" },
}

-- what is written in C and has no comment to be found
local written_in_c = {
  ["files.load_idx"] = "files.load_idx(path) -> tensor, or nil and a message: IDX, plain or gzip",
  ["files.read_image"] =
    "files.read_image(path, {channels=}) -> uint8 (C, H, W), or nil and a message",
  ["files.write_png"] = "files.write_png(path, x): uint8 (C, H, W) or (H, W) as a PNG file",
  ["files.save_safetensors"] = "files.save_safetensors(path, {name = tensor}, {key = text})",
  ["files.load_safetensors"] = "files.load_safetensors(path) -> {name = tensor}, {key = text}",
  ["files.replace"] = "files.replace(path, bytes): writes a file as a whole or not at all",
  ["files.mkdir"] = "files.mkdir(path): makes a folder, with its parents",
  ["files.time"] = "files.time() -> seconds of a clock that is never set back",
  ["files.isatty"] = "files.isatty(fd=1) -> whether a file descriptor is a terminal",
  ["files.terminal_width"] = "files.terminal_width() -> columns, or nil without a terminal",
  ["files.crc32"] = "files.crc32(bytes, crc=0) -> checksum, continued from that of earlier bytes",
  ["files.sources"] = "files.sources(name) -> text of a Lua module inside the binary; their names",
}

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
  return ("%s(%s) -> %s"):format(record.name, table.concat(positional, ", "),
    table.concat(outputs, ", "))
end

local kind_names = {
  tensor = "tensor", any = "tensor of any type", labels = "int64 tensor, values from 1",
  tensors = "list of tensors", operand = "tensor or number", anyoperand = "tensor or number",
  number = "number", int = "integer", bool = "true or false", dim = "dimension, from 1",
  dims = "dimensions, from 1", ints = "integer or list", shape = "sizes",
  index = "position, from 1", text = "string", dtype = '"float32", "uint8" or "int64"',
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
  local lines = { "gan." .. signature(record) }
  local first = record.params[1]
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

local function find_op(name)
  for _, record in ipairs(gan.ops()) do
    if record.name == name or (name == "repeat" and record.name == "tile") then
      return record
    end
  end
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
    local start, more = line:match("^%-%-%- ?(.*)$"), line:match("^%-%- ?(.*)$")
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
  local list = {}
  read_comments(list, "gan." .. part)
  for _, module in ipairs(gan.files.sources()) do
    if module:sub(1, #part + 5) == "gan." .. part .. "." then
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
  if written_in_c[part .. "." .. name] then
    return written_in_c[part .. "." .. name]
  end
  local last = part:match("[^.]+$")
  local short = "^%s*" .. escape(last .. "." .. name) .. "%f[^%w_]"
  local definition = "%f[%w_]" .. escape(name) .. "%s*[=(]"
  local by_code
  for _, block in ipairs(blocks(part)) do
    if block.text:find(full) or block.text:find(short) then
      return block.text
    elseif block.code:find("^function%s.*" .. definition)
        or block.code:find("^[%w_.]*" .. definition)
        or block.code:find("^local function " .. escape(name) .. "%s*%(") then
      by_code = by_code or block.text
    end
  end
  return by_code
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
  lines[#lines + 1] = "\ngan:"
  for _, entry in ipairs(core) do
    lines[#lines + 1] = ("  %-20s %s"):format(entry[1], entry[2])
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
  for _, entry in ipairs(core) do
    if rawequal(gan[entry[1]], v) then
      return entry[1]
    end
  end
  return tostring(v)
end

--- The text about a topic (a name, or the function itself); without one, the list of everything.
function help.text(topic)
  if topic == nil then
    return listing()
  end
  topic = type(topic) == "string" and topic:gsub("^gan%.", "") or name_of(topic)
  local record = find_op(topic)
  if record then
    return op_text(record)
  end
  for _, part in ipairs(parts) do
    if part == topic and part_table(part) then
      return part_text(part)
    end
  end
  for _, entry in ipairs(core) do
    if entry[1] == topic then
      local more = entry[3] and blocks(entry[3])[1]
      return "gan." .. entry[2] .. (more and "\n\n" .. more.text or "")
    end
  end
  local part, name = find_in_parts(topic)
  if part then
    local text = comment_of(part, name)
    return part .. "." .. name .. "\n\n" .. (text or "(no description)")
  end
  return unknown(topic)
end

return setmetatable(help, {
  __call = function(_, topic)
    io.write(help.text(topic), "\n")
  end,
})
