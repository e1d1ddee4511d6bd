--- gan.show(x, {range={0, 1}, columns=, mode=, path=}): draws a picture in the terminal.
--
-- x is (H, W), (C, H, W) with 1 or 3 channels, or (N, C, H, W) or (N, H, W), which become a grid;
-- uint8, or values of which range[1] becomes black and range[2] white ("auto": the smallest and the
-- largest). A terminal of 24-bit colours (COLORTERM=truecolor) shows two pixels in a character, so
-- does one of 256 colours; others, and NO_COLOR, get characters of ten darknesses. Pictures that
-- are too wide are made smaller. Where the output is no terminal, or with `path`, a PNG file is
-- written, and its name printed. mode = "truecolor", "256" or "ascii" overrides what was found.

local gan = require "gan"
local options = require "gan.options"

local show = {}

local RAMP = " .:-=+*#%@"
local WIDEST = 160 -- characters

--- What the output can show: { mode =, width =, blocks = whether there are half blocks }, or nil
-- when it is no terminal.
function show.terminal()
  if not gan.files.isatty(1) then
    return nil
  end
  local term, colours = os.getenv "TERM" or "dumb", os.getenv "COLORTERM" or ""
  local no, mode = os.getenv "NO_COLOR" or "", "ascii"
  if no ~= "" or term == "dumb" then
    mode = "ascii"
  elseif colours:find "truecolor" or colours:find "24bit" then
    mode = "truecolor"
  elseif term:find "256color" or term:find "kitty" or term:find "direct" then
    mode = "256"
  end
  local locale = ""
  for _, name in ipairs{ "LC_ALL", "LC_CTYPE", "LANG" } do
    local v = os.getenv(name) or ""
    locale = locale ~= "" and locale or v
  end
  return { mode = mode, width = gan.files.terminal_width() or 80,
    blocks = locale:upper():find "UTF%-?8" ~= nil }
end

-- ---- characters -----------------------------------------------------------------------------

--- The number of the nearest of xterm's 256 colours: the cube of 6, or a grey.
local function colour256(r, g, b)
  local low, high = math.min(r, g, b), math.max(r, g, b)
  if high - low < 12 then
    local grey = (r + g + b) // 3
    if grey < 4 then
      return 16
    elseif grey > 246 then
      return 231
    end
    return 232 + math.min(23, math.max(0, (grey - 3) // 10))
  end
  local function level(v)
    return v < 48 and 0 or v < 115 and 1 or (v - 35) // 40
  end
  return 16 + 36 * level(r) + 6 * level(g) + level(b)
end

--- The escape sequence that sets the colour of the character (38) or of its ground (48).
local function paint(layer, mode, r, g, b)
  if mode == "truecolor" then
    return ("%d;2;%d;%d;%d"):format(layer, r, g, b)
  end
  return ("%d;5;%d"):format(layer, colour256(r, g, b))
end

--- The text of a picture: pixel(row, column) -> r, g, b.
local function draw_colours(h, w, pixel, mode, blocks)
  local lines = {}
  for row = 1, h, blocks and 2 or 1 do
    local parts, last = {}, nil
    for column = 1, w do
      local style = paint(48, mode, pixel(row, column))
      if blocks then
        local lower = row < h and paint(48, mode, pixel(row + 1, column)) or "49"
        style = paint(38, mode, pixel(row, column)) .. ";" .. lower
      end
      parts[#parts + 1] = style ~= last and "\27[" .. style .. "m" or ""
      parts[#parts + 1] = blocks and "\u{2580}" or "  "
      last = style
    end
    lines[#lines + 1] = table.concat(parts) .. "\27[0m"
  end
  return lines
end

--- A character is about twice as high as it is wide: it stands for two rows.
local function draw_characters(h, w, pixel)
  local lines = {}
  local function light(row, column)
    local r, g, b = pixel(row, column)
    return 0.299 * r + 0.587 * g + 0.114 * b
  end
  for row = 1, h, 2 do
    local parts = {}
    for column = 1, w do
      local v = (light(row, column) + light(math.min(row + 1, h), column)) / 2
      local k = math.min(#RAMP, 1 + math.floor(v / 256 * #RAMP))
      parts[column] = RAMP:sub(k, k)
    end
    lines[#lines + 1] = (table.concat(parts):gsub("%s+$", ""))
  end
  return lines
end

-- ---- pictures -------------------------------------------------------------------------------

--- A picture (C, H, W) of bytes that is no wider than `most` pixels: means of blocks.
local function narrow(y, most)
  local k = math.ceil(y:size(3) / most)
  if k <= 1 then
    return y
  end
  local h, w = y:size(2) // k * k, y:size(3) // k * k
  if h == 0 then
    return y
  end
  y = y:slice(2, 1, h):slice(3, 1, w):to(gan.config.real)
  return y:unsqueeze(1):avg_pool2d{ kernel_size = k, stride = k }:squeeze(1):round():to "uint8"
end

--- pixel(row, column) -> r, g, b of a uint8 tensor (C, H, W).
local function reader(y)
  local c, h, w = y:size(1), y:size(2), y:size(3)
  local bytes, plane = y:contiguous():bytes(), h * w
  return h, w, function(row, column)
    local at = (row - 1) * w + column
    if c < 3 then
      local v = bytes:byte(at)
      return v, v, v
    end
    return bytes:byte(at), bytes:byte(at + plane), bytes:byte(at + 2 * plane)
  end
end

--- x as a list of images (N, C, H, W), and whether it was one.
local function as_images(x)
  local d = x:dim()
  if d == 2 then
    return x:unsqueeze(1):unsqueeze(1), true
  elseif d == 3 and (x:size(1) == 1 or x:size(1) == 3) then
    return x:unsqueeze(1), true
  elseif d == 3 then
    return x:unsqueeze(2)
  end
  return x
end

local function check(x)
  if not gan.is_tensor(x) then
    error("show: a picture is a tensor, not a " .. type(x), 3)
  end
  local d, c = x:dim(), x:dim() == 4 and x:size(2) or 1
  if d < 2 or d > 4 or x:numel() == 0 or (c ~= 1 and c ~= 3) then
    error(("show: a picture is (H, W), (C, H, W) or (N, C, H, W) with 1 or 3 channels, not (%s)")
      :format(table.concat(x:shape(), " x ")), 3)
  end
end

--- The picture of a tensor as lines of text, for a terminal { mode=, width=, blocks= }.
function show.lines(x, terminal, given)
  local o = given or {}
  return gan.scope(function()
    local images, single = as_images(x)
    local most = math.min(terminal.width, WIDEST)
    if terminal.mode ~= "ascii" and not terminal.blocks then
      most = most // 2
    end
    local columns = o.columns
    if not single and not columns then -- as many as fit, and no more than make a square
      local fit = math.max(1, (most - 1) // (images:size(4) + 1))
      columns = math.min(fit, math.ceil(math.sqrt(images:size(1) * 2)))
    end
    local y = gan.image.grid(images, { range = o.range, padding = single and 0 or 1,
      columns = columns, background = 64 })
    local h, w, pixel = reader(narrow(y, most))
    if terminal.mode == "ascii" then
      return draw_characters(h, w, pixel)
    end
    return draw_colours(h, w, pixel, terminal.mode, terminal.blocks)
  end)
end

--- A name that no file has yet.
local function free_name()
  for i = 1, math.maxinteger do
    local name = ("show-%03d.png"):format(i)
    local f = io.open(name)
    if not f then
      return name
    end
    f:close()
  end
end

local function save(x, path, o)
  local images, single = as_images(x)
  path = path or free_name()
  local ok, message = gan.image.save(path, single and images:squeeze(1) or images,
    { range = o.range, columns = o.columns })
  if not ok then
    return nil, message
  end
  return ("%s: a picture of (%s)"):format(path, table.concat(x:shape(), " x "))
end

--- Where pictures go: nil is the standard output; { write = function(text), terminal = } is a
-- prompt elsewhere (gan-lua attach). Returns what was there before.
function show.redirect(to)
  local before = show.target
  show.target = to
  return before
end

local function call(_, x, given)
  local o = options.check("show", given or {},
    "; range:any? columns:count? mode:truecolor|256|ascii? path:text?")
  check(x)
  local target = show.target
  local write = target and target.write or function(text) io.write(text) end
  local terminal = target and target.terminal or not target and show.terminal() or nil
  if o.mode then
    terminal = terminal or { width = 80, blocks = true }
    terminal = { mode = o.mode, width = terminal.width, blocks = terminal.blocks }
  end
  if o.path or not terminal then
    write(assert(save(x, o.path, o)) .. "\n")
    return
  end
  write(table.concat(show.lines(x, terminal, o), "\n") .. "\n")
  if x:dtype() ~= "uint8" and not o.range then
    local low, high = gan.no_grad(function() return x:amin():item(), x:amax():item() end)
    if low < 0 or high > 1 then
      write(("values from %.3g to %.3g: what lies outside of 0 to 1 was cut off; "
        .. "range = {-1, 1} or \"auto\"\n"):format(low, high))
    end
  end
end

return setmetatable(show, { __call = call })
