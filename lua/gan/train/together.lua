--- The part of gan.train.loop that is for a rank of a job (gan.mpi): shares of batches, losses of
-- the whole batch, and what is done when the job ends early.

local gan = require "gan"
local basics = require "gan.basics"
local checkpoint = require "gan.checkpoint"
local pack = require "gan.checkpoint.pack"
local ranks = require "gan.ranks"

local together = {}

-- parts of a loop's state that are not the same on every rank, or change between steps only
local apart = { run = true, doctor = true }

-- ---- before the first step ------------------------------------------------------------------

--- What every rank must begin with, as text and tensors by name.
local function common_state(state)
  local common = {}
  for name, v in pairs(state) do
    common[name] = not apart[name] and v or nil
  end
  return pack.pack(common)
end

--- Ranks that do not begin alike would train different models.
local function check_alike(state)
  local text, tensors = common_state(state)
  local crc = gan.files.crc32(text .. gan.rng_state())
  for _, name in ipairs(basics.keys(tensors)) do
    crc = gan.files.crc32(tensors[name], gan.files.crc32(name, crc))
  end
  local sum = ranks.job.sum_numbers{ crc }[1] -- exact: 32 bits each
  local others = sum ~= crc * ranks.size and 1 or 0
  if ranks.job.sum_numbers{ others }[1] > 0 then
    error("train.loop: the processes of this job do not begin alike: give them the same seed "
      .. "(gan.manual_seed), options and checkpoint", 0)
  end
end

local function mark(state)
  for _, v in pairs(state) do
    if type(v) == "table" and v.parameters then
      for _, p in ipairs(v:parameters()) do
        ranks.job.mark(p)
      end
    end
  end
end

-- ---- steps ----------------------------------------------------------------------------------

--- This rank's rows of tensors that have as many rows as the first; the others stay.
local function cut(batch)
  local total = gan.is_tensor(batch[1]) and batch[1]:dim() > 0 and #batch[1] or 0
  if total < ranks.size then
    error(("train.loop: a batch of %d rows cannot be shared by %d processes"):format(total,
      ranks.size), 0)
  end
  local first, last = ranks.share(total, ranks.rank, ranks.size)
  for i = 1, batch.n do
    local x = batch[i]
    if gan.is_tensor(x) and x:dim() > 0 and #x == total then
      batch[i] = x:slice(1, first, last)
    end
  end
  ranks.job.share(first, last - first + 1, total)
  ranks.part = (last - first + 1) / total
end

--- The means over the whole batch of the losses of the ranks.
local function average(values)
  local names, numbers = basics.keys(values), {}
  for i, name in ipairs(names) do
    local v = values[name]
    numbers[i] = (gan.is_tensor(v) and v:item() or v) * ranks.part
  end
  local result = {}
  for i, sum in ipairs(ranks.job.sum_numbers(numbers)) do
    result[names[i]] = sum
  end
  return result
end

local leaving = setmetatable({}, { __close = function()
  ranks.part = nil
  ranks.job.share()
end })

--- The step of this rank, whose losses are those of the whole batch.
local function shared_step(step, is_cut)
  return function(...)
    local batch <const>, _ <close> = table.pack(...), leaving
    if not is_cut then
      cut(batch)
    end
    return average(step(table.unpack(batch, 1, batch.n)) or {})
  end
end

--- Remembers the state at the beginning of a step.
local function remember(self)
  local text, tensors = common_state(self.state)
  local names, list = basics.keys(tensors), {}
  for i, name in ipairs(names) do
    list[i] = tensors[name]
  end
  ranks.job.remember(list)
  self.text, self.names = text, names
  self.random, self.host_random = gan.rng_state(), gan.host_rng_state()
end

--- The state at the beginning of the step, as a tree that can be saved; nil where it is lost.
local function recalled(self)
  local tensors = {}
  for i, name in ipairs(self.names) do
    tensors[name] = ranks.job.recall(i)
    if not tensors[name] then
      return nil
    end
  end
  local tree = assert(pack.unpack(self.text, tensors))
  for name in pairs(apart) do
    tree[name] = self.state[name]
  end
  return tree
end

-- ---- the end of a job -----------------------------------------------------------------------

local ended = { __name = "end of the job", __tostring = function(e) return e.message end }

--- Whether another rank has saved this step, or a later one, already.
local function is_saved(folder, steps)
  local position = { state_dict = function() return {} end }
  local found = #checkpoint.list(folder) > 0
  function position.load_state_dict(_, state)
    position.steps = state.steps
  end
  return found and checkpoint.load{ folder, state = { loop = position }, strict = false,
    say = function() end } ~= nil and (position.steps or 0) >= steps
end

local function save(self)
  local saver, steps = self.saver, self.position.steps
  if ranks.rank > 0 and is_saved(saver.folder, steps) then
    return ("step %d is saved in %s"):format(steps, saver.folder)
  end
  local tree = recalled(self)
  if not tree then
    return saver:whereabouts()
  end
  gan.set_rng_state(self.random)
  gan.set_host_rng_state(self.host_random)
  saver:save(tree)
  return saver.failure and saver.failure .. "; " .. saver:whereabouts() or saver:whereabouts()
end

local function gone()
  local dead = gan.mpi.dead()
  return #dead > 0 and ("process %s of the job is gone"):format(table.concat(dead, ", "))
    or "the job was told to end"
end

--- The step was given up, because another process is gone or all are to end: one of those that are
-- left saves the state before it.
local function give_up(self, code)
  gan.mpi.clean(false)
  local text = ("%s, step %d was given up"):format(gone(), self.position.steps + 1)
  if gan.mpi.elect() then
    text = self.saver and text .. ": " .. save(self) or text
    io.stderr:write("gan-lua: ", text, "\n") -- now: whoever ended the job does not wait for long
  end
  gan.mpi.core.mute(2)
  self.loop.stopped = code
  error(setmetatable({ message = text, exit_code = code }, ended), 0)
end

--- An error of the script ends this process, and so the job. Its traceback is made here.
local function fail(message)
  return type(message) == "string" and debug.traceback(message, 2) or message
end

--- As gan.scope(f, ...), for a step that may have to be given up.
local function attempt(self, f, ...)
  if self.state then
    remember(self)
  end
  local ok, result = xpcall(gan.scope, fail, f, ...)
  if ok then
    return result
  end
  local program = package.loaded["gan.program"]
  local code = program and program.pending()
  if ranks.job.broken() and code then
    give_up(self, code)
  end
  gan.mpi.clean(false)
  if type(result) == "string" then
    result = setmetatable({ message = result, exit_code = 1 }, ended)
  end
  error(result, 0)
end

--- For a rank that leaves between two steps: decides whether it is the one that saves.
function together.elect(loop)
  gan.mpi.clean(false)
  local heir = gan.mpi.elect()
  if heir and ranks.rank > 0 and loop.saver then
    ranks.writer = not is_saved(loop.saver.folder, loop.position.steps)
  end
end

--- Prepares a loop, given its options and the table of train.loop: `attempt` is called in the place
-- of gan.scope for every step, `shared` makes of a step that of a rank. Nobody is asked anything.
function together.prepare(o, loop)
  o.watch, o.batch = false, true
  local is_cut = type(o.batches) == "table" and o.batches.share ~= nil
  if is_cut then
    o.batches:share(ranks.rank, ranks.size)
  end
  local saver = loop.saver
  local self = { loop = loop, saver = saver, state = saver and saver.state,
    position = loop.position }
  if saver then
    mark(saver.state)
    check_alike(saver.state)
  end
  function loop.shared(step)
    return shared_step(step, is_cut)
  end
  function loop.attempt(f, ...)
    return attempt(self, f, ...)
  end
end

return together
