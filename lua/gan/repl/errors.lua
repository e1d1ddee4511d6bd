--- What the REPL says about an error: the message, the line as it was typed with a caret under the
-- place, where that can be known, and the calls that led there, unless there were none.

local colour = require "gan.repl.colour"

local errors = {}

--- "  text" and "     ^" below it.
local function point(line, column)
  local blanks = line:sub(1, column - 1):gsub("[\128-\191]", ""):gsub("[^\t]", " ")
  return "  " .. line .. "\n  " .. blanks .. colour.bold("^", 2)
end

local function nth_line(text, n)
  local i = 0
  for line in (text .. "\n"):gmatch("(.-)\n") do
    i = i + 1
    if i == n then
      return line
    end
  end
end

--- The end of the word or sign at which the compiler gives up; nil where it is not known. The
-- compiler gets one character after the other and has read one more than it refuses.
local function wrong_at(text)
  local i = 0
  local _, message = load(function()
    i = i + 1
    return text:sub(i, i)
  end, "=stdin", "t")
  if not message or message:find "<eof>$" or message:find "^stdin:%d+: unfinished"
      or not message:find " near '" then
    return nil
  end
  return math.min(i - 1, #text)
end

--- The message of the compiler with the place.
function errors.syntax(text, message)
  local at = wrong_at(text)
  message = colour.red(message, 2)
  if not at then
    return message
  end
  local start = at
  while start > 1 and text:find("^[%w_]", start) and text:find("^[%w_]", start - 1) do
    start = start - 1
  end
  local before = text:sub(1, start - 1)
  local _, n = before:gsub("\n", "")
  local line = nth_line(text, n + 1)
  return message .. "\n" .. point(line, #before:match("[^\n]*$") + 1)
end

local signs = { add = "+", sub = "-", mul = "*", div = "/", pow = "^", neg = "-", arithmetic = "" }

--- The only place of `what` in a line, as a word where it is one; nil where there are more.
local function only(line, what)
  local pattern = what:gsub("%p", "%%%0")
  if what:find "^[%w_]+$" then
    pattern = "%f[%w_]" .. pattern .. "%f[^%w_]"
  end
  local at, e = line:find(pattern)
  return at and not line:find(pattern, e + 1) and at or nil
end

--- The column of a line that a message is about: the variable that it names, or the operation.
local function column_of(line, message)
  local name = message:match "%(%l+ '([^']+)'%)"
  if name then
    return only(line, name)
  end
  local op = message:match "^([%a_][%w_.]*):"
  local last = op and op:match "[^.]+$"
  return op and (only(line, op) or only(line, last) or signs[last] and signs[last] ~= ""
    and only(line, signs[last]))
end

--- The calls of a traceback, without those of the library; "" where only the typed line is left.
local function calls(trace)
  local list = {}
  for frame in trace:gmatch "\n\t([^\n]*)" do
    if frame:find "^%[C%]: in [^\n]*'call'" or frame:find "^%[C%]: in field 'call'" then
      break
    end
    if not frame:find "^gan[%w_.]*:%d+: in " then -- the library's own
      list[#list + 1] = frame
    end
  end
  local told = false
  for _, frame in ipairs(list) do
    told = told or not (frame:find "^%[C%]: in " or frame:find "^stdin:%d+: in main chunk"
      or frame == "(...tail calls...)")
  end
  return told and "\n\t" .. table.concat(list, "\n\t") or ""
end

--- A message of an error with its traceback, about a chunk that was typed.
function errors.runtime(text, message)
  local told, trace = message:match "^(.-)\nstack traceback:(.*)$"
  told, trace = told or message, calls(trace or "")
  local result = colour.red(told, 2)
  local n, what = told:match "^stdin:(%d+): (.*)$"
  local line = n and text and nth_line(text, tonumber(n))
  local column = line and column_of(line, what)
  if column then
    result = result .. "\n" .. point(line, column)
  elseif line and text:find "\n" then
    result = result .. "\n  " .. line
  end
  return result .. colour.dim(trace, 2)
end

return errors
