--- Batches: rows of one or more tensors or sources, in order or shuffled, epoch after epoch.

local gan = require "gan"
local options = require "gan.options"
local ranks = require "gan.ranks"
local feed = require "gan.data.feed"

local Batches = { __name = "gan.data.batches" }
Batches.__index = Batches

local spec = "; batch_size:count=64 shuffle:bool=false seed:int? drop_last:bool=false "
  .. "range:any? augment:any? prefetch:int=2"

--- Separates the data of the list part from the options, and checks both.
local function read(given)
  local data, named = {}, {}
  if type(given) ~= "table" then
    error("data.batches: takes one table, as in data.batches{images, labels, batch_size = 64}", 3)
  end
  for key, v in pairs(given) do
    if math.type(key) == "integer" then
      data[key] = v
    else
      named[key] = v
    end
  end
  for i = 1, math.max(#data, 1) do
    local x = data[i]
    if not feed.is_source(x) and (not gan.is_tensor(x) or x:dim() == 0) then
      error(("data.batches: value %d must be a tensor of rows, or a source"):format(i), 3)
    elseif #x ~= #data[1] then
      error(("data.batches: tensor 1 has %d rows, tensor %d has %d"):format(#data[1], i, #x), 3)
    end
  end
  return data, options.check("data.batches", named, spec, 4)
end

local function check_range(range)
  if range == nil then
    return 0, 1
  elseif range == false then
    return
  elseif type(range) ~= "table" or type(range[1]) ~= "number" or type(range[2]) ~= "number" then
    error("data.batches: option 'range' is {low, high} or false", 3)
  end
  return range[1], range[2]
end

local function is_callable(v)
  local meta = getmetatable(v)
  return type(v) == "function" or (type(meta) == "table" and meta.__call ~= nil)
end

--- The functions of option 'augment': one, or a list.
local function check_augment(augment)
  local list = (augment == nil or is_callable(augment)) and { augment } or augment
  if type(list) ~= "table" then
    error("data.batches: option 'augment' is a function or a list of functions", 3)
  end
  for i, f in ipairs(list) do
    if not is_callable(f) then
      error(("data.batches: 'augment' %d is a %s, not a function"):format(i, type(f)), 3)
    end
  end
  return list
end

--- data.batches{images, labels, batch_size=64, shuffle=false, seed=, drop_last=false, range={0, 1},
--              augment=, prefetch=2}
--
-- Batches of rows of tensors, or of sources (data.images, data.rows, data.sounds), that have as
-- many. A batch of a tensor in order is a view, a shuffled one is a copy of its rows. uint8 becomes
-- the compute type when a batch is made, with 0..255 spread over `range` ({-1, 1} suits tanh; false
-- leaves bytes as they are); other types stay.
--
-- Sources are read ahead by a thread, `prefetch` batches (0: when they are asked for).
--
-- `augment` is a function, or a list of them, called in turn with the batch as it would be: what
-- they return takes its place, from the left; a value that they do not return stays. They find the
-- generator in a state that depends on the seed and the place in the epoch only, and what they draw
-- leaves no trace in it: the same batch is always augmented in the same way. See data.augment.
--
-- The order of an epoch depends on `seed` and the epoch's number only; without a seed, one is taken
-- from the generator, so that gan.manual_seed decides. `#batches` is the number of batches in an
-- epoch; drop_last leaves out a shorter last one.
local function new(given)
  local data, o = read(given)
  local low, high = check_range(o.range)
  local augment = check_augment(o.augment)
  local rows = #data[1]
  if o.drop_last and rows < o.batch_size then
    error(("data.batches: %d rows do not fill one batch of %d, and drop_last is set"):format(rows,
      o.batch_size), 2)
  elseif o.prefetch < 0 or o.prefetch > 64 then
    error("data.batches: option 'prefetch' is 0 to 64 batches", 2)
  end
  local seed = o.seed
  if (o.shuffle or #augment > 0) and not seed then
    seed = math.floor(gan.rand(1):item() * (1 << 24))
  end
  return setmetatable({
    data = data, rows = rows, batch_size = o.batch_size, shuffle = o.shuffle,
    drop_last = o.drop_last, low = low, high = high, augment = augment, seed = seed or 0,
    number = 1, position = 0, orders = {}, rank = 0, ranks = 1,
    feed = feed.new(data, math.min(o.batch_size, math.max(rows, 1)), o.prefetch),
  }, Batches)
end

function Batches:__len()
  local full = self.rows // self.batch_size
  return (self.drop_last or full * self.batch_size == self.rows) and full or full + 1
end

--- Calls f(...) with the generator begun anew from `seed`, and puts it back.
local function with_seed(seed, f, ...)
  local before = gan.rng_state()
  local _ <close> = setmetatable({}, { __close = function() gan.set_rng_state(before) end })
  gan.manual_seed(seed)
  return f(...)
end

--- The order of an epoch, as positions; nil when it is that of the rows. Orders of the epoch at
-- hand and of later ones (which are read ahead) are kept.
local function order_of(self, number)
  if not self.shuffle then
    return
  end
  if not self.orders[number] then
    self.orders[number] = with_seed((self.seed << 24) ~ number, gan.randperm, self.rows):keep()
  end
  return self.orders[number]
end

local function forget_orders(self, before)
  for number, order in pairs(self.orders) do
    if number < before then
      order:release()
      self.orders[number] = nil
    end
  end
end

--- The rows of a batch that begins behind `position` in an epoch: first and last; nil at its end.
local function span(self, position)
  local first, last = position + 1, math.min(position + self.batch_size, self.rows)
  if first > self.rows or (self.drop_last and last - position < self.batch_size) then
    return
  end
  return first, last
end

--- Of rows first..last those that this process has to make.
local function own_rows(self, first, last)
  if self.ranks == 1 then
    return first, last
  end
  local from, to = ranks.share(last - first + 1, self.rank, self.ranks)
  return first + from - 1, first + to - 1
end

--- For the feed: the batch after the one that ends at `position` of epoch `number`: its epoch, its
-- last row, and what is to be read, as the arguments of source:read.
function Batches:following(number, position)
  local first, last = span(self, position)
  if not first then
    number = number + 1
    first, last = span(self, 0)
  end
  local order = order_of(self, number)
  local from, to = own_rows(self, first, last)
  if order then
    return number, last, order:slice(1, from, to)
  end
  return number, last, from, to
end

local function convert(self, x)
  if x:dtype() ~= "uint8" or not self.low then
    return x
  end
  local range = (self.high - self.low) / 255
  x = x:to(gan.config.real)
  if range ~= 1 then
    x = x * range
  end
  return self.low ~= 0 and x + self.low or x
end

--- Puts what an augmentation returned in the place of what it was given.
local function replace(batch, ...)
  for i = 1, math.min(select("#", ...), #batch) do
    local x = select(i, ...)
    batch[i] = x ~= nil and x or batch[i]
  end
end

local function augment(self, batch)
  for _, f in ipairs(self.augment) do
    replace(batch, f(table.unpack(batch)))
  end
end

--- A seed for what happens to one batch.
local function batch_seed(self, first)
  local h = (self.seed + 1) * 0x9E3779B97F4A7C15 + self.number
  h = (h ~ h >> 29) * 0xBF58476D1CE4E5B9 + first
  return (h ~ h >> 32) * 0x94D049BB133111EB
end

--- In a job, tells the ranks which rows of the batch at hand are this one's.
local function announce(self, first, last, from, to)
  if self.shared then
    ranks.job.share(from - first + 1, to - from + 1, last - first + 1)
    ranks.part = (to - from + 1) / (last - first + 1)
  end
end

--- Rows first..last of the epoch's order, of every tensor and source, or this process's share of
-- them.
local function make(self, first, last)
  return gan.scope(function() -- frees what is made on the way
    local batch = {}
    local order = order_of(self, self.number)
    local from, to = own_rows(self, first, last)
    local index = order and order:slice(1, from, to)
    announce(self, first, last, from, to)
    for i, x in ipairs(self.data) do
      local part
      if not gan.is_tensor(x) then
        part = self.feed:take(self, i, self.number, first, last, from, to, index)
      elseif index then
        part = x:index_select(index, { dim = 1 })
      else
        part = x:slice(1, from, to)
      end
      batch[i] = convert(self, part)
    end
    if #self.augment > 0 then
      with_seed(batch_seed(self, first), augment, self, batch)
    end
    return table.unpack(batch)
  end)
end

local function start_epoch(self, number)
  self.number, self.position = number, 0
  forget_orders(self, number)
end

--- The next batch; nil once at the end of each epoch. `for images, labels in batches do` is the
-- rest of the epoch. A file that cannot be read raises an error, which names it.
function Batches:__call()
  local first, last = span(self, self.position)
  if not first then
    start_epoch(self, self.number + 1)
    return nil
  end
  local batch = table.pack(make(self, first, last))
  self.resumed = false
  self.position = last
  return table.unpack(batch, 1, batch.n)
end

--- The next batch, of the next epoch after the last: never nil, for loops that draw as they need.
function Batches:next()
  if self.rows == 0 then
    error("data.batches: there are no rows", 2)
  end
  local batch = table.pack(self())
  if batch[1] == nil then
    return self()
  end
  return table.unpack(batch, 1, batch.n)
end

local function release(batch)
  for i = 1, batch.n do
    if gan.is_tensor(batch[i]) then
      batch[i]:release()
    end
  end
end

--- Iterator over one epoch from its beginning: for images, labels in batches:epoch() do ... end
--
-- The tensors of a batch are released when the next one is asked for (`x:copy()` what is to live
-- longer). After load_state_dict it is the rest of the epoch that was saved.
function Batches:epoch()
  if self.position > 0 and not self.resumed then
    start_epoch(self, self.number + 1)
  end
  local last = { n = 0 }
  return function()
    release(last)
    last = table.pack(self())
    return table.unpack(last, 1, last.n)
  end
end

--- From now on gives share `rank` (from 0) of every batch, of `size` that make it up in order and
-- differ by one row at most. gan.train.loop does so in a job of several processes (gan.mpi), where
-- the shares of all processes belong to one batch.
function Batches:share(rank, size)
  if math.type(rank) ~= "integer" or math.type(size) ~= "integer" or rank < 0 or rank >= size then
    error("batches:share: takes a rank from 0 and the number of ranks", 2)
  end
  local rest = self.drop_last and 0 or self.rows % self.batch_size
  if self.batch_size < size or rest > 0 and rest < size then
    error(("batches:share: a batch of %d rows cannot be shared by %d processes%s"):format(
      rest > 0 and rest or self.batch_size, size, rest > 0 and ", drop_last = true leaves it out"
      or ""), 2)
  end
  self.feed:cancel()
  self.rank, self.ranks, self.shared = rank, size, ranks.job ~= nil
end

--- Where the batches are: a table of integers for a checkpoint. `seed` decides the order of every
-- epoch, `position` is the number of rows that this one has given.
function Batches:state_dict()
  return { seed = self.seed, epoch = self.number, position = self.position, rows = self.rows }
end

--- Goes to a place that state_dict gave: the next batch is the one that would have come then. What
-- was read ahead is forgotten.
function Batches:load_state_dict(state)
  local o = options.check("batches:load_state_dict", state,
    "; seed:int epoch:count position:int rows:int?")
  if o.position < 0 or o.position > self.rows or (o.rows or self.rows) ~= self.rows then
    error(("batches:load_state_dict: position %d of %d rows, and there are %d; is it another data "
      .. "set?"):format(o.position, o.rows or self.rows, self.rows), 2)
  end
  self.feed:cancel()
  forget_orders(self, math.huge)
  start_epoch(self, o.epoch)
  self.seed, self.position, self.resumed = o.seed, o.position, true
end

--- How the reading ahead keeps up: batches taken from sources, how many of them were not ready, and
-- the seconds that were spent waiting.
function Batches:stats()
  return self.feed:stats()
end

--- Ends the threads that read ahead and frees their buffers, as the collector would; also at the
-- end of `local batches <close> = data.batches{...}`. The next batch begins anew.
function Batches:close()
  self.feed:close()
end
Batches.__close = Batches.close

return new
