--- gan.compile(step): a training step that is recorded once and then replayed, without graph or
-- allocation, on memory whose use was planned; of its Lua only the updates of optimisers run, whose
-- numbers may change. The results are those of the step itself, bit for bit.
--
--     local step = gan.compile(function(images)
--       opt:zero_grad()
--       local loss = model(images):mse_loss(images)
--       loss:backward()
--       opt:step()
--       return { loss = loss }
--     end)
--     for images in batches do print(step(images).loss:item()) end
--
-- What can be replayed: operations, gradients, layers, optimisers (their learning rate may change
-- at any time), averaged weights, random numbers. What differs from call to call must come in as
-- an argument: tensors, whose shapes may vary, or other values, of which there should be few; each
-- combination is recorded anew. So is the step after model:eval() or requires_grad_(false). The
-- step must not look at values (x:item(), x:totable()), make tensors from data (gan.tensor,
-- batches), change an argument in place, or change Lua variables that the next call reads.
--
-- A step is called as usual the first time, recorded in the next two calls, and replayed from then
-- on if both did the same. Where it cannot be replayed it goes on being called as usual, and
-- `notify` gets one sentence that says why.
--
-- What nobody can see is what the step will do another time. A number, a tensor or a branch that
-- was the same in the calls that were compared is taken to be the same for ever: a weight that
-- changes every thousandth step, `if` on a Lua variable, a layer that is exchanged, a tensor that
-- is passed as an argument and is used under its own name as well. Compile the step again then.
--
-- The results are copies without a graph, so they may be kept; so may x:grad(). step.status is
-- "recording", "replaying" or "eager", after the latest call; step.reason says why it is eager;
-- step.plans lists { operations=, bytes=, bytes_apart= }: the operations of a replay, the bytes of
-- its intermediate results, and those without sharing.

local gan = require "gan"
local options = require "gan.options"
local dynamic = require "gan.dynamic"
local module = require "gan.nn.module"

local MOST_PLANS = 8  -- combinations of arguments that are worth a plan
local MOST_TRIES = 4  -- recordings of one combination until two of them must agree

local Compiled = { __name = "gan.compile" }

-- ---- arguments and results ------------------------------------------------------------------

--- Tensors and other values of an argument list, and the place of a table that has no type: what
-- is in it may change.
local function sort_arguments(...)
  local tensors, others, loose = {}, { n = select("#", ...) }, nil
  for i = 1, others.n do
    local v = select(i, ...)
    if gan.is_tensor(v) then
      tensors[#tensors + 1] = v
      others[i] = true
    else
      others[i] = { v }
      loose = loose or type(v) == "table" and not getmetatable(v) and i
    end
  end
  return tensors, others, loose
end

local function same_others(a, b)
  if a.n ~= b.n then
    return false
  end
  for i = 1, a.n do
    local x, y = a[i], b[i]
    if (x == true) ~= (y == true) or x ~= true and not rawequal(x[1], y[1]) then
      return false
    end
  end
  return true
end

--- What a result looks like: tensors are replaced by { place in the list }; tables are walked.
local function outline(v, tensors, depth)
  if gan.is_tensor(v) then
    tensors[#tensors + 1] = v
    return { tensor = #tensors }
  elseif type(v) == "table" and not getmetatable(v) and depth < 8 then
    local fields = {}
    for key, field in pairs(v) do
      fields[key] = outline(field, tensors, depth + 1)
    end
    return { fields = fields }
  end
  return { value = v }
end

--- Results as they were, with the tensors of this call. Places are given in the order of pairs(),
-- which is kept in the outline.
local function rebuild(o, tensors)
  if o.tensor then
    return tensors[o.tensor]
  elseif o.fields then
    local t = {}
    for key, field in pairs(o.fields) do
      t[key] = rebuild(field, tensors)
    end
    return t
  end
  return o.value
end

--- Where two outlines differ in something other than tensors, nil where they do not.
local function changed(a, b, name)
  if a.fields and b.fields then
    for key, field in pairs(a.fields) do
      local where = not b.fields[key] and tostring(key) or changed(field, b.fields[key], key)
      if where then
        return where
      end
    end
    for key in pairs(b.fields) do
      if not a.fields[key] then
        return tostring(key)
      end
    end
    return nil
  end
  local same = (a.tensor ~= nil) == (b.tensor ~= nil) and (a.fields ~= nil) == (b.fields ~= nil)
    and (a.tensor ~= nil or rawequal(a.value, b.value))
  return not same and tostring(name) or nil
end

-- ---- recording ------------------------------------------------------------------------------

--- Notes a module and those in it with their modes; what was noted stays.
local function note_modes(modes, m)
  if modes[m] == nil then
    for _, part in m:modules() do
      modes[part] = part.training
    end
  end
end

local function same_modes(modes)
  for m, training in pairs(modes) do
    if m.training ~= training then
      return false
    end
  end
  return true
end

--- What is done with dynamic functions while a step is recorded. It does not hold on to the
-- recording, which may be left to the collector by an interrupt.
local function listener_for(take)
  local weak = setmetatable({ take = take }, { __mode = "v" })
  local function listen(f, ...)
    local recording, args = weak.take and weak.take.recording, table.pack(...)
    dynamic.listener = nil -- a dynamic function inside another is part of it
    if not recording then
      return f(...)
    end
    table.insert(weak.take.calls, {
      at = recording:pause(true), f = function() f(table.unpack(args, 1, args.n)) end,
    })
    local ok, err = pcall(f, ...)
    recording:pause(false)
    dynamic.listener = listen
    if not ok then
      recording:refuse("it goes on after an error in the step of an optimiser")
      error(err, 0)
    end
  end
  return listen
end

--- step(...), packed. In a coroutine it has one of its own, so that it shows when it yields: a
-- replay would not, and what is done meanwhile is not part of the step.
local function run_step(take, step, ...)
  if not coroutine.isyieldable() then
    return table.pack(step(...))
  end
  local co = coroutine.create(function(...) return step(...) end)
  local results = table.pack(coroutine.resume(co, ...))
  while coroutine.status(co) == "suspended" do
    take.recording:refuse("it yields")
    take.recording:stop{}
    dynamic.listener = nil
    module.watch(nil)
    results = table.pack(coroutine.resume(co,
      coroutine.yield(table.unpack(results, 2, results.n))))
  end
  if not results[1] then
    error(results[2], 0)
  end
  return table.pack(table.unpack(results, 2, results.n))
end

--- Calls the step while what it does goes to `take`. Its results, packed; nil and a message where
-- that is not possible.
local function run_recorded(take, tensors, step, ...)
  local done, watched = false, module.watch(nil)
  local _ <close> = setmetatable({}, { __close = function()
    if not done then
      take.recording:drop()
    end
    dynamic.listener = nil
    module.watch(watched)
  end })
  local modes = take.modes
  local ok, message = pcall(take.recording.start, take.recording, tensors)
  if not ok then
    return nil, message
  end
  module.watch(function(m) note_modes(modes, m) end)
  dynamic.listener = listener_for(take)
  local results = run_step(take, step, ...)
  done = true
  return results
end

--- Records one call. Returns its results, and { recording, calls, modes, shape, places } or nil and
-- the reason.
local function record(step, tensors, ...)
  local take = { recording = gan.debug.recording(), calls = {}, modes = {}, shape = {} }
  local results, reason = run_recorded(take, tensors, step, ...)
  if not results then
    return table.pack(step(...)), nil, reason
  end
  local found = {}
  take.shape.n = results.n
  for i = 1, results.n do
    take.shape[i] = outline(results[i], found, 1)
  end
  take.places, reason = take.recording:stop(found)
  if not take.places then
    take.recording:drop()
    return results, nil, reason
  end
  return results, take
end

--- nil when two recordings are of the same step, otherwise what differs.
local function difference(a, b)
  local same, reason = b.recording:same(a.recording)
  if not same then
    return reason
  end
  for i = 1, math.max(a.shape.n, b.shape.n) do
    local where = changed(a.shape[i] or {}, b.shape[i] or {}, i)
    if where then
      return ("its result '%s' changed from call to call"):format(where)
    end
  end
  for i = 1, math.max(#a.calls, #b.calls) do
    if (a.calls[i] or {}).at ~= (b.calls[i] or {}).at then
      return "its optimisers stepped elsewhere in the next call"
    end
  end
end

-- ---- calling --------------------------------------------------------------------------------

local function give_up(self, entry, reason)
  entry.eager, entry.take = reason, nil
  if not self._told then
    self._told = true
    self._notify("gan.compile: the step is called as usual: " .. reason)
  end
end

local function make_plan(self, entry, take)
  local operations, bytes, apart = take.recording:plan()
  if not operations then
    take.recording:drop()
    give_up(self, entry, "its plan cannot be made: " .. bytes)
    return
  end
  entry.plan, entry.take = take, nil
  table.insert(self.plans, { operations = operations, bytes = bytes, bytes_apart = apart })
end

--- The second call and those after it, until two recordings agree.
local function try(self, entry, tensors, ...)
  local results, take, reason = record(self._step, tensors, ...)
  local last = entry.take
  entry.tries, entry.take = entry.tries + 1, take
  local different = take and last and difference(last, take)
  if last then
    last.recording:drop()
  end
  if not take then
    give_up(self, entry, reason)
  elseif last and not different then
    make_plan(self, entry, take)
  elseif entry.tries >= MOST_TRIES then
    take.recording:drop()
    give_up(self, entry, different)
  end
  return results
end

--- A plan that went astray in the middle is of no use any more: the step is recorded again, once.
local function forget_plan(self, entry, message)
  entry.plan.recording:drop()
  entry.plan, entry.tries, entry.failures = nil, 0, (entry.failures or 0) + 1
  if entry.failures > 1 then
    give_up(self, entry, message)
  end
end

local function replay(self, entry, tensors)
  local plan = entry.plan
  local ok, found = pcall(plan.recording.run, plan.recording, tensors, plan.places, plan.calls)
  if not ok then
    if plan.recording:astray() then
      forget_plan(self, entry, tostring(found))
    end
    error(found, 0)
  end
  local results = { n = plan.shape.n }
  for i = 1, results.n do
    results[i] = rebuild(plan.shape[i], found)
  end
  return results
end

--- Shapes and layouts of tensors, as text.
local function signature(tensors)
  local parts = { gan.threads() }
  for _, t in ipairs(tensors) do
    parts[#parts + 1] = t:dtype() .. table.concat(t:shape(), "x") .. ":"
      .. table.concat(t:stride(), "x") .. (t:requires_grad() and "g" or "")
  end
  return table.concat(parts, " ")
end

--- The plan, or the state of the recordings, for arguments like these.
local function entry_for(self, tensors, others)
  for _, entry in ipairs(self._entries) do
    local plan = entry.plan
    if plan and plan.recording:fits(tensors) and same_others(entry.others, others)
        and same_modes(plan.modes) then
      return entry
    end
  end
  local key = signature(tensors)
  for _, entry in ipairs(self._entries) do
    if not entry.plan and entry.key == key and same_others(entry.others, others) then
      return entry
    end
  end
  local entry = { key = key, others = others, tries = 0, calls = 0 }
  if #self._entries < MOST_PLANS then
    table.insert(self._entries, entry)
  else
    give_up(self, entry, ("it was called with more than %d combinations of arguments")
      :format(MOST_PLANS))
  end
  return entry
end

--- Calls the step, by the plan where there is one; its results, packed.
local function call(self, entry, tensors, ...)
  entry.calls = entry.calls + 1
  if entry.plan then
    return replay(self, entry, tensors)
  elseif entry.eager or entry.calls == 1 then
    return table.pack(self._step(...))
  end
  return try(self, entry, tensors, ...)
end

function Compiled:__call(...)
  if not gan.debug.can_record() then
    return self._step(...)
  end
  local tensors, others, loose = sort_arguments(...)
  local entry = entry_for(self, tensors, others)
  if loose and not entry.eager then
    give_up(self, entry, ("argument %d is a table (pass its tensors as arguments)"):format(loose))
  end
  local results = call(self, entry, tensors, ...)
  self.status = entry.plan and "replaying" or entry.eager and "eager" or "recording"
  self.reason = entry.eager
  return table.unpack(results, 1, results.n)
end

local function tell(text)
  io.stderr:write(text, "\n")
end

--- gan.compile(step) or gan.compile{step, notify = function(text) ... end}. `notify` is called
-- once, where the step cannot be replayed; by default the sentence goes to the standard error.
return function(given)
  if type(given) == "function" then
    given = { given }
  end
  local o = options.check("compile", given, "step:callable ; notify:callable?")
  return setmetatable({ status = "recording", plans = {}, _step = o.step, _entries = {},
    _notify = o.notify or tell }, Compiled)
end
