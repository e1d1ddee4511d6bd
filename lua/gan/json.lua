--- JSON: a writer with sorted keys, and a small strict reader (RFC 8259).
--
-- Lua tables with elements 1..n become arrays, other tables objects; an empty table is an object
-- unless it was made by `json.array`. `json.null` stands for null. Integers stay integers.

local json = {}

local MAX_DEPTH = 200

--- Stands for null, in what decode returns and for encode.
json.null = setmetatable({}, { __tostring = function() return "null" end })

local array_meta = { __name = "json.array" }

--- Marks a table as an array, which matters only when it is empty.
function json.array(t)
  return setmetatable(t or {}, array_meta)
end

local escapes = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

local function quote(s)
  return '"' .. s:gsub('[%c"\\\127]', function(c)
    return escapes[c] or ("\\u%04x"):format(c:byte())
  end) .. '"'
end

local function number(v)
  if math.type(v) == "integer" then
    return ("%d"):format(v)
  end
  if v ~= v or v == math.huge or v == -math.huge then
    return quote(v ~= v and "nan" or v > 0 and "inf" or "-inf") -- JSON has no word for these
  end
  local short = ("%.9g"):format(v)
  short = tonumber(short) == v and short or ("%.17g"):format(v)
  return (short:gsub(",", ".")) -- a host may have set a locale with a decimal comma
end

local encode_value

local function encode_array(t, depth, out)
  out[#out + 1] = "["
  for i = 1, #t do
    out[#out + 1] = i > 1 and "," or ""
    encode_value(t[i], depth, out)
  end
  out[#out + 1] = "]"
end

local function encode_object(t, depth, out)
  local keys = {}
  for key in pairs(t) do
    if type(key) ~= "string" then
      error("json: a table has both list elements and keys, or a key that is not a string", 0)
    end
    keys[#keys + 1] = key
  end
  table.sort(keys)
  out[#out + 1] = "{"
  for i, key in ipairs(keys) do
    out[#out + 1] = (i > 1 and "," or "") .. quote(key) .. ":"
    encode_value(t[key], depth, out)
  end
  out[#out + 1] = "}"
end

function encode_value(v, depth, out)
  local kind = type(v)
  if depth > MAX_DEPTH then
    error("json: nested too deeply, or a table that contains itself", 0)
  elseif v == json.null or v == nil then
    out[#out + 1] = "null"
  elseif kind == "string" then
    out[#out + 1] = quote(v)
  elseif kind == "number" then
    out[#out + 1] = number(v)
  elseif kind == "boolean" then
    out[#out + 1] = tostring(v)
  elseif kind ~= "table" then
    error("json: cannot write a " .. kind, 0)
  elseif #v > 0 or getmetatable(v) == array_meta then
    if #v > 0 and next(v, #v) ~= nil then
      error("json: a table has both list elements and keys", 0)
    end
    encode_array(v, depth + 1, out)
  else
    encode_object(v, depth + 1, out)
  end
end

--- The JSON text of a value, on one line. NaN and infinities become the strings "nan", "inf",
-- "-inf". Functions, tensors and mixed tables are errors.
function json.encode(v)
  local out = {}
  encode_value(v, 0, out)
  return table.concat(out)
end

-- ---- reader ------------------------------------------------------------------------------------
-- A failure is thrown as a table { at, message } and turned into nil, message at the edge.

local function fail(at, message)
  error({ at = at, message = message }, 0)
end

local function skip(s, i)
  return s:find("[^ \t\r\n]", i) or #s + 1
end

local function utf16(s, i)
  local hex = s:match("^\\u(%x%x%x%x)", i)
  return hex and tonumber(hex, 16), i + 6
end

local plain = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", ['"'] = '"', ["\\"] = "\\",
  ["/"] = "/" }

local function escape(s, i)
  local simple = plain[s:sub(i + 1, i + 1)]
  if simple then
    return simple, i + 2
  end
  local code, after = utf16(s, i)
  if not code then
    fail(i, "invalid escape")
  end
  if code >= 0xD800 and code <= 0xDFFF then
    local low, after_low = utf16(s, after)
    if code > 0xDBFF or not low or low < 0xDC00 or low > 0xDFFF then
      fail(i, "half of a surrogate pair")
    end
    code, after = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00), after_low
  end
  return utf8.char(code), after
end

local function decode_string(s, i)
  local parts, from = {}, i + 1
  while true do
    local at = s:find('["\\%c]', from)
    if not at then
      fail(i, "a string without an end")
    end
    parts[#parts + 1] = s:sub(from, at - 1)
    local c = s:sub(at, at)
    if c == '"' then
      return table.concat(parts), at + 1
    elseif c == "\\" then
      parts[#parts + 1], from = escape(s, at)
    elseif c == "\127" then
      parts[#parts + 1], from = c, at + 1
    else
      fail(at, "a control character in a string")
    end
  end
end

local function decode_number(s, i)
  local text = s:match("^-?%d+%.%d+[eE][+-]?%d+", i) or s:match("^-?%d+%.%d+", i)
    or s:match("^-?%d+[eE][+-]?%d+", i) or s:match("^-?%d+", i)
  if not text or text:find("^-?0%d") then
    fail(i, "a value was expected")
  end
  return tonumber(text), i + #text
end

local decode_value

local function decode_list(s, i, depth, closing, item)
  i = skip(s, i + 1)
  if s:sub(i, i) == closing then
    return i + 1
  end
  while true do
    i = skip(s, item(i, depth))
    local c = s:sub(i, i)
    if c == closing then
      return i + 1
    elseif c ~= "," then
      fail(i, ("',' or '%s' was expected"):format(closing))
    end
    i = skip(s, i + 1)
  end
end

local words = { t = { "true", true }, f = { "false", false }, n = { "null", json.null } }

function decode_value(s, i, depth)
  local c = s:sub(i, i)
  if depth > MAX_DEPTH then
    fail(i, "nested too deeply")
  elseif c == '"' then
    return decode_string(s, i)
  elseif c == "[" then
    local t, n = json.array(), 0
    return t, decode_list(s, i, depth + 1, "]", function(at, d)
      n = n + 1
      t[n], at = decode_value(s, at, d)
      return at
    end)
  elseif c == "{" then
    local t = {}
    return t, decode_list(s, i, depth + 1, "}", function(at, d)
      local key
      if s:sub(at, at) ~= '"' then
        fail(at, "a key in quotes was expected")
      end
      key, at = decode_string(s, at)
      at = skip(s, at)
      if s:sub(at, at) ~= ":" then
        fail(at, "':' was expected")
      end
      t[key], at = decode_value(s, skip(s, at + 1), d)
      return at
    end)
  end
  local word = words[c]
  if word and s:sub(i, i + #word[1] - 1) == word[1] then
    return word[2], i + #word[1]
  end
  return decode_number(s, i)
end

--- Reads one JSON value. Returns it, or nil and a message with the line of the fault.
function json.decode(s)
  local ok, v = pcall(function()
    local v, i = decode_value(s, skip(s, 1), 0)
    i = skip(s, i)
    if i <= #s then
      fail(i, "something follows the value")
    end
    return v
  end)
  if ok then
    return v
  elseif type(v) ~= "table" or not v.at then
    error(v, 0)
  end
  local _, newlines = s:sub(1, v.at - 1):gsub("\n", "")
  return nil, ("json: line %d: %s"):format(newlines + 1, v.message)
end

return json
