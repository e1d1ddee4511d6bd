--- ??name: the source of a function, a layer or an op.

local gan = require "gan"
local basics = require "gan.basics"
local complete = require "gan.repl.complete"

local source = { typed = {} } -- the chunks of this session that define functions

--- The text in which a function was defined; nil where it is not to be found.
local function text_of(info)
  local from, name = info.source:sub(1, 1), info.source:sub(2)
  if from == "@" then
    return basics.read(name), name
  elseif from == "=" then
    return gan.files.sources(name), name
  end
  return info.source, info.short_src -- a string that was loaded
end

--- Lines first to last of a text, and the comment in front of them.
local function lines_of(text, first, last)
  local lines = {}
  for line in (text .. "\n"):gmatch "(.-)\r?\n" do
    lines[#lines + 1] = line
  end
  while first > 1 and lines[first - 1]:find "^%s*%-%-" do
    first = first - 1
  end
  return table.concat(lines, "\n", first, math.min(last, #lines)), first
end

--- The latest chunk that was typed in which a function may have been defined.
local function typed_text(info, topic)
  local name = topic:match "[%w_]+$"
  for i = #source.typed, 1, -1 do
    local text = source.typed[i]
    local _, breaks = text:gsub("\n", "")
    if breaks + 1 >= info.lastlinedefined and text:find("%f[%w_]" .. name .. "%f[^%w_]") then
      return text
    end
  end
end

local function of_function(f, topic)
  local info = debug.getinfo(f, "S")
  if info.what == "C" then
    return nil
  elseif info.source == "=stdin" and typed_text(info, topic) then
    return "-- typed here\n" .. lines_of(typed_text(info, topic), info.linedefined,
      info.lastlinedefined), nil
  end
  local text, name = text_of(info)
  if not text then
    return ("-- line %d of %s, which is not at hand"):format(info.linedefined, info.short_src)
  elseif info.what == "main" then
    return "-- " .. name .. "\n" .. text
  end
  local body, first = lines_of(text, info.linedefined, info.lastlinedefined)
  return ("-- %s, line %d\n%s"):format(name, first, body)
end

--- The folder with the sources in C: the working folder, or one above the program.
local function find_tree()
  local folders, lowest = { "." }, 0
  local arg = rawget(_G, "arg") or {}
  while arg[lowest - 1] do
    lowest = lowest - 1
  end
  local program = tostring(arg[lowest]):match "^(.*)/[^/]*$"
  if program then
    folders[2] = program .. "/.."
  end
  for _, folder in ipairs(folders) do
    if gan.files.list(folder .. "/runtime/ops") then
      return folder .. "/runtime/ops"
    end
  end
end

--- The record of an op in the C source, from its line to the end of the block.
local function of_op(record)
  local tree = find_tree()
  for _, name in ipairs(tree and gan.files.list(tree) or {}) do
    local text = name:find "%.c$" and basics.read(tree .. "/" .. name) or ""
    local at = text:find('%.name = "' .. record.name .. '"')
      or text:find('[{(]%s*"' .. record.name .. '"%s*,')
    if at then
      local _, line = text:sub(1, at):gsub("\n", "")
      local start = text:sub(1, at):match ".*()\n%S" or at
      local _, last = text:find("\n%S?%S?;?[^\n]*\n", at)
      local stop = text:find("\n%s*}", at) or last or #text
      return ("// %s/%s, line %d\n%s"):format(tree, name, line + 1,
        text:sub(start + 1, (text:find("\n", stop + 1) or #text + 1) - 1))
    end
  end
  return ("-- an op of the family '%s', written in C: runtime/ops\n%s(%s)"):format(record.family,
    record.name, record.sig)
end

--- A layer's constructor is made by nn.module: what tells about it is the file.
local function of_layer(topic)
  local name = topic:match "[%w_]+$"
  for _, module in ipairs(gan.files.sources()) do
    local text = module:find "^gan%.nn" and gan.files.sources(module)
    local at = text and (text:find('["\']nn%.' .. name .. '["\']')
      or text:find("%f[%w_]" .. name .. "%s*=%s"))
    if at then
      local _, line = text:sub(1, at):gsub("\n", "")
      local first = text:sub(1, at):match ".*()\n\n" or 0
      return ("-- %s, line %d\n%s"):format(module, line + 1,
        text:sub(first):gsub("^%s+", ""):match "^(.-\n%S[^\n]*\n)\n" or text:sub(first))
    end
  end
end

local function of_op_named(topic, v)
  local name = topic:match "[%w_]+$"
  for _, record in ipairs(gan.ops()) do
    if record.name == name and (v == nil or v == gan[name]) then
      return of_op(record)
    end
  end
end

--- The source of what a topic ("nn.Linear", "conv2d", "x:relu", a function of yours) names.
function source.text(topic, scope)
  topic = topic:gsub("%s+", "")
  local v = complete.value_of(topic, scope or complete.globals)
  if v == nil then
    v = complete.value_of("gan." .. topic, complete.globals)
  end
  local meta = debug.getmetatable(v)
  if type(v) ~= "function" and type(meta) == "table" and type(meta.__call) == "function" then
    local forward = type(v) == "table" and type(meta.__index) == "table"
      and rawget(meta.__index, "forward")
    v = forward or meta.__call
  end
  if type(v) == "function" then
    local layer = debug.getinfo(v, "S").source == "=gan.nn.module" and of_layer(topic)
    local text = layer or of_op_named(topic, v) or of_function(v, topic)
    return text or ("-- %s is written in C"):format(topic)
  end
  return of_op_named(topic) or v ~= nil and ("-- %s is a %s, no function"):format(topic, type(v))
    or ("-- there is nothing that is called '%s'"):format(topic)
end

return source
