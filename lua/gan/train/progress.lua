--- A progress bar on the terminal; nothing but the closing lines when there is none.
--
--     epoch 3/20 [=========>          ] 214/469  84/s  d 1.212  g 0.934  2:31 left

local gan = require "gan"
local basics = require "gan.basics"

local Progress = {}
Progress.__index = Progress

local INTERVAL = 0.1 -- seconds between two drawings

--- "1:05", "2:03:04".
local function clock(seconds)
  local s = math.max(0, seconds) // 1 | 0
  if s >= 3600 then
    return ("%d:%02d:%02d"):format(s // 3600, s // 60 % 60, s % 60)
  end
  return ("%d:%02d"):format(s // 60, s % 60)
end

--- Losses by name, in alphabetical order: "d 1.212  g 0.934".
local function losses(values)
  local parts = {}
  for i, name in ipairs(basics.keys(values)) do
    parts[i] = ("%s %.4g"):format(name, values[name])
  end
  return table.concat(parts, "  ")
end

--- A bar over `total` steps of the whole training, `done` of which lie behind it already.
-- `terminal` can be forced for tests; `write` is where the bar goes, default standard error.
function Progress.new(o)
  local self = setmetatable({}, Progress)
  self.total, self.done, self.started = o.total, 0, gan.files.time()
  self.drawn = -math.huge
  self.terminal = o.terminal
  if self.terminal == nil then
    self.terminal = gan.files.isatty(2)
  end
  self.write = o.write or function(text) io.stderr:write(text) end
  self.say = o.say or print
  return self
end

--- Steps per second since the start, and the seconds left at that rate (nil if unknown).
function Progress:rate()
  local rate = self.done / math.max(self:elapsed(), 1e-9)
  return rate, self.total and (self.total - self.done) / math.max(rate, 1e-9)
end

--- Seconds since the start.
function Progress:elapsed()
  return gan.files.time() - self.started
end

--- So many seconds were not spent on training.
function Progress:pause(seconds)
  self.started = self.started + seconds
end

local function bar(i, n, width)
  local filled = width * i // n
  return "[" .. ("="):rep(filled - 1) .. (filled > 0 and ">" or "") .. (" "):rep(width - filled)
    .. "]"
end

--- One step done: the i-th of n (n nil: unknown) in the part called `label`.
function Progress:step(label, i, n, values)
  self.done = self.done + 1
  local now = gan.files.time()
  if not self.terminal or now - self.drawn < INTERVAL and i ~= n then
    return
  end
  self.drawn = now
  local rate, left = self:rate()
  local tail = ("%s%d%s  %.3g/s  %s%s"):format(n and " " or "", i, n and "/" .. n or "", rate,
    losses(values), left and "  " .. clock(left) .. " left" or "")
  local width = (gan.files.terminal_width() or 80) - 1
  local room = math.min(20, width - #label - #tail - 3)
  local line = label .. " " .. (n and room >= 4 and bar(i, n, room) or "") .. tail
  self.write("\r" .. line:sub(1, width) .. "\27[K")
end

--- Takes the bar away and prints a line that stays.
function Progress:line(text)
  if self.terminal then
    self.write("\r\27[K")
  end
  self.say(text)
end

return { new = Progress.new, clock = clock, losses = losses }
