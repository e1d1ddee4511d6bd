--- gan.pretty(v): the text of a value, as tostring(x) gives it for tensors and the REPL for all.
--
--     tensor (2 x 3) float32, requires grad
--       [ 0.1250, -1.5000,  2.0000]
--       [ 0.0000,  3.2500,  1.0000]
--
-- Large tensors are shown by their corners. Plain tables are shown two levels deep.

local pretty = {}

local LIMIT = 1000 -- elements up to which a tensor is shown whole by tostring
local LINES = 300  -- and by gan.pretty, which is for the screen
local WIDTH = 80

--- The positions 1..n that are shown along a dimension; 0 stands for those left out.
local function shown(n, edge)
  local list = {}
  if n <= 2 * edge + 1 then
    for i = 1, n do
      list[i] = i
    end
    return list
  end
  for i = 1, edge do
    list[i] = i
    list[edge + 1 + i] = n - edge + i
  end
  list[edge + 1] = 0
  return list
end

--- Calls f(value) for every element that is shown, in order.
local function each(x, axes, f)
  local at = {}
  local function walk(d)
    if d > #axes then
      f(x:get(table.unpack(at)))
      return
    end
    for _, i in ipairs(axes[d]) do
      if i > 0 then
        at[d] = i
        walk(d + 1)
      end
    end
  end
  walk(1)
end

local function special(v)
  if v ~= v then
    return "nan"
  elseif v == math.huge then
    return "inf"
  elseif v == -math.huge then
    return "-inf"
  end
end

--- The format that suits all values: whole numbers, four decimals, or an exponent.
local function choose_format(values)
  local whole, low, high = true, math.huge, 0
  for _, v in ipairs(values) do
    if not special(v) then
      local a = math.abs(v)
      whole = whole and v == math.floor(v) and a < 1e7
      high = math.max(high, a)
      low = a > 0 and math.min(low, a) or low
    end
  end
  if whole then
    return math.type(values[1]) == "integer" and "%d" or "%.0f."
  elseif high >= 1e5 or (low < 1e-3 and high / low > 1e4) or high < 1e-2 then
    return "%.4e"
  end
  return "%.4f"
end

local function texts(x, axes)
  local values, list, width = {}, {}, 0
  each(x, axes, function(v)
    values[#values + 1] = v
  end)
  local format = #values > 0 and choose_format(values)
  for i, v in ipairs(values) do
    list[i] = special(v) or format:format(v)
    width = math.max(width, #list[i])
  end
  for i, text in ipairs(list) do
    list[i] = (" "):rep(width - #text) .. text
  end
  return list
end

--- "[a, b, c]" on as many lines as it takes.
local function row(parts, indent)
  local lines, line = {}, ""
  for i, part in ipairs(parts) do
    local text = part .. (i < #parts and "," or "")
    if line ~= "" and #indent + #line + #text + 3 > WIDTH then
      lines[#lines + 1] = line
      line = ""
    end
    line = line == "" and text or line .. " " .. text
  end
  lines[#lines + 1] = line
  return "[" .. table.concat(lines, "\n" .. indent .. " ") .. "]"
end

local function body(x, limit)
  local shape, axes = x:shape(), {}
  local edge = x:numel() <= limit and math.maxinteger // 4 or #shape <= 3 and 3 or #shape <= 5 and 2
    or 1
  for d, n in ipairs(shape) do
    axes[d] = shown(n, edge)
  end
  local list, k = texts(x, axes), 0
  local function block(d, indent)
    local parts = {}
    for i, position in ipairs(axes[d]) do
      if position == 0 then
        parts[i] = "..."
      elseif d < #axes then
        parts[i] = block(d + 1, indent .. " ")
      else
        k = k + 1
        parts[i] = list[k]
      end
    end
    if d == #axes then
      return row(parts, indent)
    end
    local gap = ("\n"):rep(math.min(#axes - d, 2)) .. indent .. " "
    return "[" .. table.concat(parts, "," .. gap) .. "]"
  end
  return block(1, "  ")
end

local function number(v)
  return v == math.floor(v) and math.abs(v) < 1e7 and ("%.0f"):format(v) or ("%.4g"):format(v)
end

--- ", -1.2 to 3.4, mean 0.01": what the values of a tensor of several elements are like; how many
-- of them are NaN or infinite, which do not count.
local function summary(x)
  local gan = require "gan"
  if x:numel() < 2 then
    return ""
  end
  return gan.no_grad(gan.scope, function()
    local y = x:to(gan.config.real)
    local good = y:abs():lt(math.huge) -- false for NaN
    local n = math.tointeger(good:sum():item())
    local text, zero = "", gan.zeros(1)
    if n > 0 then
      local low = n == x:numel() and y or gan.where(good, y, zero + math.huge)
      local high = n == x:numel() and y or gan.where(good, y, zero - math.huge)
      text = (", %s to %s, mean %s"):format(number(low:amin():item()), number(high:amax():item()),
        number(gan.where(good, y, zero):sum():item() / n))
    end
    local nans = math.tointeger(y:isnan():sum():item())
    return text .. (nans > 0 and (", %d NaN"):format(nans) or "")
      .. (x:numel() - n - nans > 0 and (", %d infinite"):format(x:numel() - n - nans) or "")
  end)
end

--- The text of a tensor; with `summarise`, its range and mean are told as well.
function pretty.tensor(x, summarise)
  local shape = x:shape()
  local head = ("tensor (%s) %s"):format(table.concat(shape, " x "), x:dtype())
  if x:requires_grad() then
    head = head .. (x:is_leaf() and ", requires grad" or ", has a gradient")
  end
  head = head .. (summarise and summary(x) or "")
  if x:numel() == 0 then
    return head .. "  []"
  elseif #shape == 0 then
    return head .. "  " .. texts(x, {})[1]:match("%S+")
  end
  return head .. "\n  " .. body(x, summarise and LINES or LIMIT)
end

local function key_text(k)
  if type(k) == "string" and k:find("^[%a_][%w_]*$") then
    return k
  end
  return "[" .. (type(k) == "string" and ("%q"):format(k) or tostring(k)) .. "]"
end

local function sorted_keys(t)
  local keys, n = {}, #t
  for k in pairs(t) do
    if not (math.type(k) == "integer" and k >= 1 and k <= n) then
      keys[#keys + 1] = k
    end
  end
  table.sort(keys, function(a, b)
    local ta, tb = type(a), type(b)
    if ta ~= tb then
      return ta < tb
    elseif ta == "number" or ta == "string" then
      return a < b
    end
    return tostring(a) < tostring(b)
  end)
  return keys
end

local function is_tensor(v)
  local meta = type(v) == "userdata" and getmetatable(v)
  return type(meta) == "table" and meta.__name == "gan.tensor"
end

local value

local function plain_table(t, depth)
  if depth == 0 then
    return next(t) == nil and "{}" or "{...}"
  end
  local parts, most = {}, depth == 2 and 50 or 10
  for i = 1, math.min(#t, most) do
    parts[i] = value(t[i], depth - 1)
  end
  for _, k in ipairs(sorted_keys(t)) do
    if #parts >= most then
      break
    end
    parts[#parts + 1] = key_text(k) .. " = " .. value(t[k], depth - 1)
  end
  if #parts >= most then
    parts[#parts + 1] = "..."
  end
  local line = "{ " .. table.concat(parts, ", ") .. " }"
  if #parts == 0 then
    return "{}"
  elseif #line <= WIDTH and not line:find("\n") then
    return line
  end
  for i, part in ipairs(parts) do
    parts[i] = "  " .. part:gsub("\n", "\n  ")
  end
  return "{\n" .. table.concat(parts, ",\n") .. "\n}"
end

function value(v, depth)
  if type(v) == "string" and depth < 2 then
    return ("%q"):format(v)
  elseif type(v) == "table" and getmetatable(v) == nil then
    return plain_table(v, depth)
  elseif is_tensor(v) and depth < 2 and v:numel() > 10 then
    return ("tensor (%s) %s"):format(table.concat(v:shape(), " x "), v:dtype())
  end
  return tostring(v)
end

--- The text of any value.
function pretty.value(v)
  return value(v, 2)
end

return setmetatable(pretty, {
  __call = function(_, v)
    if is_tensor(v) then
      return pretty.tensor(v, true)
    end
    return pretty.value(v)
  end,
})
