--- gan.image: pictures to and from tensors.

local gan = require "gan"
local options = require "gan.options"

local image = {}

--- uint8 from x, whose values from low to high become 0 to 255; what lies outside is clamped, and
-- NaN becomes 0.
local function to_bytes(x, low, high)
  if x:dtype() == "uint8" then
    return x
  end
  local span = high - low
  local y = ((x:detach() - low) * (255 / (span ~= 0 and span or 1))):clamp{ min = 0, max = 255 }
  return gan.where(y:isnan(), gan.zeros(1), y):round():to("uint8")
end

local function check_range(name, x, range)
  if range == "auto" then
    if x:numel() == 0 then
      return 0, 1
    end
    local y = x:to(gan.config.real)
    return y:amin():item(), y:amax():item()
  elseif range == nil then
    return 0, 1
  elseif type(range) ~= "table" or type(range[1]) ~= "number" or type(range[2]) ~= "number" then
    error(name .. ": option 'range' is {low, high} or \"auto\"", 3)
  end
  return range[1], range[2]
end

--- image.grid(x, {columns=, padding=2, range={0, 1}, background=0}) -> uint8 (C, H, W)
--
-- One picture of many: x is (N, C, H, W) or (N, H, W), uint8 or of the compute type, whose values
-- from range[1] to range[2] become black to white ("auto": from the smallest to the largest).
-- Images go from left to right, then down, `columns` in a row (default: as square as possible),
-- with `padding` pixels of `background` (0 to 255) between and around them.
function image.grid(x, given)
  local o = options.check("image.grid", given or {},
    "; columns:count? padding:int=2 range:any? background:int=0")
  if not gan.is_tensor(x) or (x:dim() ~= 3 and x:dim() ~= 4) or x:numel() == 0 then
    error("image.grid: images are a tensor (N, C, H, W) or (N, H, W), not "
      .. (gan.is_tensor(x) and "(" .. table.concat(x:shape(), " x ") .. ")" or type(x)), 2)
  elseif o.padding < 0 then
    error("image.grid: padding must not be negative", 2)
  end
  return gan.scope(function()
    local low, high = check_range("image.grid", x, o.range)
    local y = to_bytes(x, low, high)
    if y:dim() == 3 then
      y = y:unsqueeze(2)
    end
    local n, p = y:size(1), o.padding
    local columns = math.min(o.columns or math.ceil(math.sqrt(n)), n)
    local rows = (n + columns - 1) // columns
    -- empty places at the end, and padding to the right of and below each image
    y = y:pad{
      pads = { 0, rows * columns - n, 0, 0, 0, p, 0, p }, value = o.background,
    }
    local c, h, w = y:size(2), y:size(3), y:size(4)
    y = y:reshape(rows, columns, c, h, w):permute(3, 1, 4, 2, 5):reshape(c, rows * h, columns * w)
    return y:pad{ pads = { 0, 0, p, 0, p, 0 }, value = o.background }
  end)
end

local function folder_of(path)
  return path:match("^(.*[^/])/+[^/]*$")
end

--- One picture, uint8 (C, H, W) or (H, W), of what is given to image.save and image.encode.
local function picture(name, x, given)
  local o = options.check(name, given or {},
    "; columns:count? padding:int=2 range:any? background:int=0", 4)
  if x:dim() == 4 then
    x = image.grid(x, given)
  elseif x:dim() ~= 2 and x:dim() ~= 3 then
    error(name .. ": a picture is (C, H, W) or (H, W), not (" .. table.concat(x:shape(), " x ")
      .. ")", 3)
  end
  return to_bytes(x, check_range(name, x, o.range))
end

--- image.encode(x, {range=, columns=, padding=, background=}) -> string
--
-- The bytes of a PNG file, for those who send or keep it themselves. x is (C, H, W) with 1 to 4
-- channels, or (H, W), uint8 or with values from range[1] to range[2] (default 0 to 1);
-- (N, C, H, W) becomes a grid.
function image.encode(x, given)
  if not gan.is_tensor(x) then
    error("image.encode: takes a tensor", 2)
  end
  return gan.scope(function()
    return gan.files.encode_png(picture("image.encode", x, given)):bytes()
  end)
end

--- image.save(path, x, {range=, columns=, padding=, background=}) -> true, or nil and a message
--
-- Writes the PNG that image.encode makes as a file, atomically, making its folder.
function image.save(path, x, given)
  if type(path) ~= "string" or not gan.is_tensor(x) then
    error("image.save: takes a path and a tensor", 2)
  end
  local pixels = picture("image.save", x, given)
  local folder = folder_of(path)
  if folder then
    local ok, message = gan.files.mkdir(folder)
    if not ok then
      return nil, message
    end
  end
  return gan.files.write_png(path, pixels)
end

--- image.load(path, {channels=, size=, fit="crop"}) -> uint8 (C, H, W), or nil and a message
--
-- PNG or JPEG; channels 1 is grey, 3 is RGB; default: as in the file. size: a number of pixels, or
-- {height, width}; fit "crop" keeps the proportions and cuts off evenly what does not fit,
-- "stretch" does not keep them.
function image.load(path, given)
  local o = options.check("image.load", given or {},
    "; channels:count? size:ints? fit:crop|stretch=crop")
  if not o.size then
    return gan.files.read_image(path, { channels = o.channels })
  end
  local size = type(o.size) == "table" and o.size or { o.size, o.size }
  if not size[2] then
    error("image.load: option 'size' is a number of pixels or {height, width}", 2)
  end
  return gan.files.read_picture(path, o.channels or 0, size[1], size[2], o.fit == "crop")
end

return image
