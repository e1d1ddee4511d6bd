--- Batches: rows of one or more tensors, in order or shuffled, epoch after epoch.

local gan = require "gan"
local options = require "gan.options"

local Batches = { __name = "gan.data.batches" }
Batches.__index = Batches

local spec = "; batch_size:count=64 shuffle:bool=false seed:int? drop_last:bool=false "
  .. "range:any?"

--- Separates the tensors of the list part from the options, and checks both.
local function read(given)
  local tensors, named = {}, {}
  if type(given) ~= "table" then
    error("data.batches: takes one table, as in data.batches{images, labels, batch_size = 64}", 3)
  end
  for key, v in pairs(given) do
    if math.type(key) == "integer" then
      tensors[key] = v
    else
      named[key] = v
    end
  end
  for i = 1, math.max(#tensors, 1) do
    if not gan.is_tensor(tensors[i]) or tensors[i]:dim() == 0 then
      error(("data.batches: value %d must be a tensor of rows"):format(i), 3)
    elseif tensors[i]:size(1) ~= tensors[1]:size(1) then
      error(("data.batches: tensor 1 has %d rows, tensor %d has %d"):format(tensors[1]:size(1), i,
        tensors[i]:size(1)), 3)
    end
  end
  return tensors, options.check("data.batches", named, spec, 4)
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

--- data.batches{images, labels, batch_size=64, shuffle=false, seed=, drop_last=false, range={0, 1}}
--
-- Batches of rows of tensors that have equally many. A batch in order is a view, a shuffled one is
-- a copy of its rows. uint8 becomes the compute type when a batch is made, with 0..255 spread over
-- `range` ({-1, 1} suits tanh; false leaves bytes as they are); other types stay.
--
-- The order of an epoch depends on `seed` and the epoch's number only; without a seed, one is taken
-- from the generator, so that gan.manual_seed decides. `#batches` is the number of batches in an
-- epoch; drop_last leaves out a shorter last one.
local function new(given)
  local tensors, o = read(given)
  local low, high = check_range(o.range)
  local rows = tensors[1]:size(1)
  if o.drop_last and rows < o.batch_size then
    error(("data.batches: %d rows do not fill one batch of %d, and drop_last is set"):format(rows,
      o.batch_size), 2)
  end
  local seed = o.seed
  if o.shuffle and not seed then
    seed = math.floor(gan.rand(1):item() * (1 << 24))
  end
  return setmetatable({
    tensors = tensors, rows = rows, batch_size = o.batch_size, shuffle = o.shuffle,
    drop_last = o.drop_last, low = low, high = high, seed = seed or 0, number = 1, position = 0,
  }, Batches)
end

function Batches:__len()
  local full = self.rows // self.batch_size
  return (self.drop_last or full * self.batch_size == self.rows) and full or full + 1
end

--- The order of an epoch, as positions; leaves the generator as it was.
local function permutation(self)
  local before = gan.rng_state()
  gan.manual_seed((self.seed << 24) ~ self.number)
  local order = gan.randperm(self.rows)
  gan.set_rng_state(before)
  return order:keep()
end

local function convert(self, x)
  if x:dtype() ~= "uint8" or not self.low then
    return x
  end
  local span = (self.high - self.low) / 255
  x = x:to(gan.config.real)
  if span ~= 1 then
    x = x * span
  end
  return self.low ~= 0 and x + self.low or x
end

--- Rows first..last of the epoch's order, of every tensor.
local function make(self, first, last)
  return gan.scope(function() -- frees what is made on the way
    local batch = {}
    local index = self.shuffle and self.order:slice(1, first, last)
    for i, x in ipairs(self.tensors) do
      local part = index and x:index_select(index, { dim = 1 }) or x:slice(1, first, last)
      batch[i] = convert(self, part)
    end
    return table.unpack(batch)
  end)
end

local function start_epoch(self, number)
  self.number, self.position = number, 0
  if self.order then
    self.order:release()
    self.order = nil
  end
end

--- The next batch; nil once at the end of each epoch. `for images, labels in batches do` is the
-- rest of the epoch.
function Batches:__call()
  local first = self.position + 1
  local last = math.min(self.position + self.batch_size, self.rows)
  if first > self.rows or (self.drop_last and last - self.position < self.batch_size) then
    start_epoch(self, self.number + 1)
    return nil
  end
  if self.shuffle and not self.order then
    self.order = permutation(self)
  end
  self.resumed = false
  self.position = last
  return make(self, first, last)
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
-- longer). After set_state it is the rest of the epoch that was saved.
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

--- Where the batches are: a table of integers for a checkpoint.
function Batches:state()
  return { seed = self.seed, epoch = self.number, position = self.position }
end

--- Goes to a position that `state` gave: the next batch is the one that would have come then.
function Batches:set_state(state)
  local o = options.check("batches:set_state", state, "; seed:int epoch:count position:int")
  if o.position < 0 or o.position > self.rows then
    error(("batches:set_state: position %d is not in 0..%d; is it another data set?"):format(
      o.position, self.rows), 2)
  end
  start_epoch(self, o.epoch)
  self.seed, self.position, self.resumed = o.seed, o.position, true
end

return new
