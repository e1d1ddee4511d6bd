--- Tables and arrays in single files.

local gan = require "gan"
local options = require "gan.options"

local tables = {}

--- data.csv(path, {columns=, labels=, header=true, separator=","}) -> {x=, columns=, labels=,
-- classes=}, or nil and a message that names the line
--
-- A table of numbers, plain or gzip: x is (rows, columns), `columns` the names. By default every
-- column that is no label is read; columns = {"width", "height"} chooses, by name or number, and
-- orders. A missing value (nothing, NA, NaN, null, none, ?) is NaN.
--
-- labels = "kind" is a column of texts or numbers that become 1, 2, ... (int64) in the order of
-- `classes`, which is that of numbers where all are numbers, else that of letters. With a list,
-- labels = {"kind", "place"}, labels and classes are tables by name.
function tables.csv(path, given)
  local o = options.check("data.csv", given or {},
    "; columns:list? labels:any? header:bool=true separator:text=,")
  local labels = type(o.labels) == "table" and o.labels or { o.labels }
  local x, names, found = gan.files.load_csv(path, o.separator, o.header, o.columns, labels)
  if not x then
    return nil, names
  end
  local result = { x = x, columns = names }
  if type(o.labels) == "table" then
    result.labels, result.classes = {}, {}
    for _, l in ipairs(found) do
      result.labels[l[1]], result.classes[l[1]] = l[2], l[3]
    end
  elseif found[1] then
    result.labels, result.classes = found[1][2], found[1][3]
  end
  return result
end

--- data.wav(path, {first=1, frames=}) -> (channels, frames) from -1 to 1, {rate=, channels=,
-- frames=, bits=, format=} of the whole file; or nil and a message
--
-- PCM of 8, 16, 24, 32 bits or floating point; a part of a long recording is read without the rest.
function tables.wav(path, given)
  local o = options.check("data.wav", given or {}, "; first:count? frames:int?")
  return gan.files.load_wav(path, o.first, o.frames)
end

--- data.save_wav(path, x, {rate=, bits=16, format="pcm"}) -> true, or nil and a message
--
-- x is (channels, frames) or (frames), from -1 to 1 (what is outside is clamped). bits: 8, 16, 24,
-- 32; format "float" writes floating point of 32 bits, which is not clamped.
function tables.save_wav(path, x, given)
  local o = options.check("data.save_wav", given, "; rate:count bits:count? format:pcm|float=pcm")
  local floating = o.format == "float"
  return gan.files.save_wav(path, x, o.rate, o.bits or (floating and 32 or 16), floating)
end

return tables
