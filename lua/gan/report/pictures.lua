--- Pictures within a page: which of them, and as what.

local basics = require "gan.basics"

local pictures = {}

local LIMIT = 6 * 2 ^ 20 -- bytes of pictures in a page
local DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local pairs_of_digits = {} -- of twelve bits
for i = 0, 4095 do
  local a, b = (i >> 6) + 1, (i & 63) + 1
  pairs_of_digits[i] = DIGITS:sub(a, a) .. DIGITS:sub(b, b)
end

--- Base64 (RFC 4648, section 4), with padding.
function pictures.base64(s)
  local out, n, whole = {}, 0, #s - #s % 3
  for i = 1, whole, 3 do
    local a, b, c = s:byte(i, i + 2)
    out[n + 1], out[n + 2] = pairs_of_digits[a << 4 | b >> 4], pairs_of_digits[(b & 15) << 8 | c]
    n = n + 2
  end
  local a, b = s:byte(whole + 1, #s)
  if b then
    out[n + 1] = pairs_of_digits[a << 4 | b >> 4]
    out[n + 2] = pairs_of_digits[(b & 15) << 8]:sub(1, 1) .. "="
  elseif a then
    out[n + 1] = pairs_of_digits[a << 4] .. "=="
  end
  return table.concat(out)
end

local function size_of(path)
  local file = io.open(path, "rb")
  local size = file and file:seek "end"
  if file then
    file:close()
  end
  return size or 0
end

--- A picture as an address that holds all of it; nil when it cannot be read or is no PNG.
function pictures.inline(path)
  local bytes = basics.read(path)
  if not bytes or bytes:sub(1, 8) ~= "\137PNG\r\n\26\n" then
    return nil
  end
  return "data:image/png;base64," .. pictures.base64(bytes)
end

--- `count` of a series' frames: the newest, and evenly spaced ones before it, the first among them.
local function spaced(series, count)
  if count >= #series then
    return table.move(series, 1, #series, 1, {})
  elseif count == 1 then
    return { series[#series] }
  end
  local list = {}
  for i = 1, count do
    list[i] = series[1 + (i - 1) * (#series - 1) // (count - 1)]
  end
  return list
end

--- How many frames of each series fit into `limit` bytes; the newest always does.
local function fitting(runs, limit)
  local all, most = {}, 1
  for _, run in ipairs(runs) do
    for _, series in ipairs(run.series) do
      all[#all + 1] = { length = #series, size = size_of(run.path .. "/" .. series[#series].file) }
      most = math.max(most, #series)
    end
  end
  while most > 1 do
    local sum = 0
    for _, s in ipairs(all) do
      sum = sum + math.min(s.length, most) * s.size
    end
    if sum <= limit then
      break
    end
    most = math.min(most - 1, math.max(1, math.ceil(most * limit / sum)))
  end
  return most
end

local function inlined(run, f, cache, used)
  local path = run.path .. "/" .. f.file
  used[path] = cache and cache[path] or pictures.inline(path)
  return used[path]
end

--- From now on `cache` holds what was used, and no more.
local function keep(cache, used)
  for path in pairs(cache) do
    cache[path] = used[path]
  end
  for path, address in pairs(used) do
    cache[path] = address
  end
end

--- pictures.choose(runs, {picture=, limit=, cache=}) -> { [series] = {frames} }, and a sentence
-- where some were left out. A frame is { file, number, label, address }. `cache` keeps addresses
-- between two pages.
function pictures.choose(runs, given)
  local most = given.picture and math.huge or fitting(runs, given.limit or LIMIT)
  local chosen, left_out, used = {}, 0, {}
  for _, run in ipairs(runs) do
    for _, series in ipairs(run.series) do
      local list = {}
      for _, f in ipairs(spaced(series, most)) do
        local address = given.picture and given.picture(run, f.file)
          or not given.picture and inlined(run, f, given.cache, used)
        if address then
          list[#list + 1] = { file = f.file, number = f.number, label = f.label,
            address = address }
        end
      end
      left_out = left_out + #series - #list
      chosen[series] = list
    end
  end
  keep(given.cache or {}, used)
  return chosen, left_out > 0 and ("%d of the pictures are not on this page, to keep it small; of "
    .. "each series the newest and evenly spaced ones are."):format(left_out) or nil
end

return pictures
