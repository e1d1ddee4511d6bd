--- A changed script takes the place of the one that runs, and what was learnt stays.
--
-- The new text is run from its first line, like the old one was, with the same arguments, up to its
-- gan.train.loop; there it is stopped, and its functions (step, after_epoch, and those which they
-- call) are taken. Their variables are then tied to the running ones of the same name:
--
--   functions of the script    the new ones
--   models, optimisers, data,  the running ones: weights, moments and positions stay. So a layer or
--   anything with methods      an optimiser that the new text makes differently has no effect
--   numbers, strings,          what the new text says, where it says something else than the text
--   booleans, fields of        before did; otherwise the running ones, so that counters go on
--   plain tables
--   variables with new names   the new ones
--
-- What the text does before the loop is done again (data are read, models made, and dropped), but
-- the generators of random numbers stay where they were, and so does the run folder.

local gan = require "gan"
local scope = require "gan.train.scope"

local reload = {}

local found = { __name = "the loop of a script that is read again" }

--- Called by gan.train.loop: hands its options over to whoever reads the script again.
function reload.hand_over(given)
  if reload.active then
    error(setmetatable({ given = given }, found), 0)
  end
end

--- Runs a text up to its loop, whose options it returns; nil and a message where it does not get
-- there.
local function capture(text, name, run)
  local chunk, message = load(text, "@" .. name, "t")
  if not chunk then
    return nil, message
  end
  local random, host = gan.rng_state(), gan.host_rng_state()
  local old_print = print
  local _ <close> = setmetatable({}, { __close = function()
    reload.active, _G.print = nil, old_print
    gan.set_rng_state(random)
    gan.set_host_rng_state(host)
  end })
  reload.active, _G.print = run or true, function() end
  local arg = rawget(_G, "arg") or {}
  local ok, e = xpcall(chunk, function(e)
    return type(e) == "table" and e or debug.traceback(tostring(e), 2)
  end, table.unpack(arg))
  if ok then
    return nil, name .. ": it ends without a gan.train.loop"
  elseif getmetatable(e) ~= found then
    return nil, tostring(e):match "^(.-)\nstack traceback" or tostring(e)
  end
  return e.given
end

--- What is plain in the variables of functions, by name: a number, or the plain fields of a table.
function reload.snapshot(first, source)
  local snapshot = {}
  scope.each_upvalue(scope.functions(first, source), function(name, f, i)
    local _, v = debug.getupvalue(f, i)
    local copy, plain = scope.plain_copy(v)
    if plain and snapshot[name] == nil then
      snapshot[name] = { copy }
    end
  end)
  return snapshot
end

local function show(v)
  return type(v) == "string" and ("%q"):format(v) or tostring(v)
end

--- Gives fields of a plain table that the new text changes their new values.
local function update_table(name, old, new, before, changes)
  for key, v in next, new do
    if scope.is_plain(v) and v ~= before[key] and v ~= old[key] then
      changes[#changes + 1] = ("%s.%s %s -> %s"):format(name, tostring(key), show(old[key]),
        show(v))
      old[key] = v
    end
  end
end

--- Ties the variable i of a new function to the running one.
local function join(name, f, i, running, before, changes)
  local _, new = debug.getupvalue(f, i)
  local old = running.get()
  if scope.is_plain(new) and scope.is_plain(old) then
    if before and before[1] ~= new and old ~= new then
      running.set(new)
      changes[#changes + 1] = ("%s %s -> %s"):format(name, show(old), show(new))
    end
  elseif type(new) == "table" and type(old) == "table" and not getmetatable(new)
      and not getmetatable(old) and before and type(before[1]) == "table" then
    update_table(name, old, new, before[1], changes)
  end
  if running.f then
    debug.upvaluejoin(f, i, running.f, running.i)
  else
    debug.setupvalue(f, i, running.get())
  end
end

--- The running variables, by name; those that functions share can be tied to, the others copied.
local function running_variables(first, source)
  local variables = scope.variables(first, source)
  local shared = {}
  scope.each_upvalue(scope.functions(first, source), function(name, f, i)
    if not shared[name] then
      shared[name] = { f = f, i = i,
        get = function() return select(2, debug.getupvalue(f, i)) end,
        set = function(v) debug.setupvalue(f, i, v) end }
    end
  end)
  for name, variable in pairs(variables) do
    shared[name] = shared[name] or variable
  end
  return shared
end

--- Reads a text in the place of the script. `first` lists the functions of the running one,
-- `snapshot` is what reload.snapshot gave of them when they were new. Returns the options of its
-- loop, whose functions are tied to the running variables, a snapshot of these, and a list of what
-- has changed; or nil and a message, and then nothing has.
function reload.read(text, name, first, source, snapshot, run)
  local given, message = capture(text, name, run)
  if not given then
    return nil, message
  end
  local new = { n = 3, given.step, given.after_epoch,
    type(given.batches) == "function" and given.batches or nil }
  local new_source = "@" .. name
  local fresh = reload.snapshot(new, new_source)
  local functions, running = scope.functions(new, new_source), running_variables(first, source)
  local changes, is_new = {}, {}
  for _, f in ipairs(functions) do
    is_new[f] = true
  end
  scope.each_upvalue(functions, function(variable, f, i)
    local _, v = debug.getupvalue(f, i)
    if running[variable] and not is_new[v] then
      join(variable, f, i, running[variable], snapshot[variable], changes)
    end
  end)
  return given, fresh, changes
end

return reload
