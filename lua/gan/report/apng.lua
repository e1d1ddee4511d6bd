--- Animated PNG (the APNG specification, now a part of PNG's third edition) of pictures that are
-- PNG files already: their compressed data are moved, not touched.
--
--     apng.join({"samples-001.png", "samples-002.png"}, {delay = 0.3})     -- the bytes
--
-- The first picture is also what a program shows that knows no animation.

local gan = require "gan"
local basics = require "gan.basics"
local options = require "gan.options"

local apng = {}

local SIGNATURE = "\137PNG\r\n\26\n"

local function chunk(kind, body)
  return (">I4"):pack(#body) .. kind .. body .. (">I4"):pack(gan.files.crc32(kind .. body))
end

--- The chunks of a PNG file, { kind, body } in order; nil and a message where it is damaged.
local function chunks_of(bytes)
  if bytes:sub(1, 8) ~= SIGNATURE then
    return nil, "is no PNG file"
  end
  local list, at = {}, 9
  while at + 11 <= #bytes do
    local size = (">I4"):unpack(bytes, at)
    if at + 11 + size > #bytes then
      break
    end
    local kind, body = bytes:sub(at + 4, at + 7), bytes:sub(at + 8, at + 7 + size)
    if (">I4"):unpack(bytes, at + 8 + size) ~= gan.files.crc32(kind .. body) then
      return nil, ("has a chunk %q with a wrong checksum"):format(kind)
    end
    list[#list + 1] = { kind, body }
    at = at + 12 + size
    if kind == "IEND" then
      return list
    end
  end
  return nil, "ends too early"
end

local function read_picture(path)
  local bytes, message = basics.read(path)
  if not bytes then
    return nil, message
  end
  local list, problem = chunks_of(bytes)
  if not list then
    return nil, ("%s: %s"):format(path, problem)
  end
  local picture = { data = {}, before = {} }
  for _, c in ipairs(list) do
    if c[1] == "IHDR" then
      picture.header = c[2]
    elseif c[1] == "IDAT" then
      picture.data[#picture.data + 1] = c[2]
    elseif c[1] == "PLTE" or c[1] == "tRNS" then
      picture.before[#picture.before + 1] = chunk(c[1], c[2])
    end
  end
  picture.before = table.concat(picture.before)
  if not picture.header or #picture.header ~= 13 or #picture.data == 0 then
    return nil, path .. ": has no picture"
  end
  return picture
end

--- The control chunk of a frame: it replaces what was there, over the whole picture.
local function control(sequence, header, delay)
  local NONE, SOURCE = 0, 0 -- what becomes of the frame afterwards; how it is put over the last
  local hundredths = math.max(1, math.min(65535, math.floor(delay * 100 + 0.5)))
  return chunk("fcTL", (">I4"):pack(sequence) .. header:sub(1, 8)
    .. (">I4I4I2I2BB"):pack(0, 0, hundredths, 100, NONE, SOURCE))
end

--- apng.join(paths, {delay=0.25, rest=1.5, loops=0}) -> bytes; or nil and a message
--
-- The pictures in order, each for `delay` seconds, the last for `rest`; loops 0: for ever. All have
-- the sizes and the colours of the last; others are left out, and their number is the second value.
function apng.join(paths, given)
  local o = options.check("apng.join", given or {},
    "; delay:number=0.25 rest:number=1.5 loops:int=0")
  local frames, left_out = {}, 0
  for i = #paths, 1, -1 do
    local picture, message = read_picture(paths[i])
    if not picture then
      return nil, message
    end
    local model = frames[1] or picture
    if picture.header == model.header and picture.before == model.before then
      table.insert(frames, 1, picture)
    else
      left_out = left_out + 1
    end
  end
  if #frames == 0 then
    return nil, "there are no pictures to animate"
  end
  local first, sequence = frames[1], 0
  local out = { SIGNATURE, chunk("IHDR", first.header), chunk("acTL", (">I4I4"):pack(#frames,
    o.loops)), first.before }
  for i, frame in ipairs(frames) do
    out[#out + 1] = control(sequence, frame.header, i == #frames and o.rest or o.delay)
    sequence = sequence + 1
    for _, body in ipairs(frame.data) do
      if i == 1 then
        out[#out + 1] = chunk("IDAT", body)
      else
        out[#out + 1] = chunk("fdAT", (">I4"):pack(sequence) .. body)
        sequence = sequence + 1
      end
    end
  end
  out[#out + 1] = chunk("IEND", "")
  return table.concat(out), left_out
end

return apng
