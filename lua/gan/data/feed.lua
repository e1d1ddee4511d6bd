--- What gan.data.batches reads from sources, and reads ahead.
--
-- A source is anything with `#source` rows and `source:read(rows)` or `source:read(first, last)`,
-- which gives a tensor of them, or nil and a message. Those of the runtime can also be read ahead:
-- `source:prefetch(batch, depth)`.

local gan = require "gan"

local Feed = {}
Feed.__index = Feed

local feed = {}

local function method(x, name)
  local ok, f = pcall(function() return x[name] end)
  return ok and f ~= nil
end

function feed.is_source(x)
  return (type(x) == "table" or type(x) == "userdata") and not gan.is_tensor(x)
    and method(x, "read")
end

--- The feed of a list of tensors and sources: `depth` batches of up to `size` rows are read ahead.
function feed.new(data, size, depth)
  local sources = {}
  for i, x in ipairs(data) do
    sources[i] = feed.is_source(x) and x or nil
  end
  return setmetatable({ sources = sources, size = size, depth = depth, ahead = {},
    counts = { taken = 0, waits = 0, seconds = 0 } }, Feed)
end

--- The reader of source i, made when it is first needed; nil where nothing is read ahead.
local function reader(self, i)
  local source = self.sources[i]
  if self.depth == 0 or not method(source, "prefetch") then
    return
  end
  if not self.ahead[i] then
    self.ahead[i] = { reader = assert(source:prefetch(self.size, self.depth)), queue = {} }
  end
  return self.ahead[i]
end

--- Asks for batches until the buffers are full; a.number and a.last are where the last one ends.
local function top_up(self, a, batches)
  while #a.queue < self.depth do
    gan.scope(function() -- frees the slice of the order
      local number, last, rows, to = batches:following(a.number, a.last)
      assert(a.reader:ask(rows, to))
      a.number, a.last = number, last
      a.queue[#a.queue + 1] = { number = number, last = last }
    end)
  end
end

local function read_ahead(self, a, batches, number, first, last)
  local head = a.queue[1]
  if not head or head.number ~= number or head.last ~= last then -- not what was foreseen
    a.reader:cancel()
    a.queue, a.number, a.last = {}, number, first - 1
    top_up(self, a, batches)
  end
  local x, message = a.reader:take()
  table.remove(a.queue, 1)
  if x then
    top_up(self, a, batches)
  end
  return x, message
end

--- Of the batch of rows first..last of epoch `number` rows from..to of source i; `index`: their
-- positions, nil when they are in order.
function Feed:take(batches, i, number, first, last, from, to, index)
  local x, message
  local a = reader(self, i)
  if a then
    x, message = read_ahead(self, a, batches, number, first, last)
  elseif index then
    x, message = self.sources[i]:read(index)
  else
    x, message = self.sources[i]:read(from, to)
  end
  if not x then
    error("data.batches: " .. tostring(message), 0)
  end
  return x
end

function Feed:cancel()
  for _, a in pairs(self.ahead) do
    a.reader:cancel()
    a.queue = {}
  end
end

function Feed:stats()
  local c = self.counts
  local taken, waits, seconds = c.taken, c.waits, c.seconds
  for _, a in pairs(self.ahead) do
    local t, w, s = a.reader:stats()
    taken, waits, seconds = taken + t, waits + w, seconds + s
  end
  return { taken = taken, waits = waits, seconds = seconds }
end

function Feed:close()
  self.counts = self:stats()
  for _, a in pairs(self.ahead) do
    a.reader:close()
  end
  self.ahead = {}
end

return feed
