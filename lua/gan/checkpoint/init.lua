--- Checkpoints: all that a run needs in order to go on, in one safetensors file.
--
--     gan.checkpoint.save{"runs/mine", state = {G = G, G_opt = G_opt, position = {step = 1200}}}
--     gan.checkpoint.load{"runs/mine", state = {G = G, G_opt = G_opt, position = position}}
--
-- gan.train.loop does this by itself; these functions are for loops of your own. The files of a
-- folder are called checkpoint-000001.safetensors and so on; the highest number is the latest. Each
-- is written beside its place, synced and renamed, and older ones are removed after that, so that
-- there is a readable one at any moment. Tensors are called by the path to them in the state
-- (`G.0.weight`); everything else is JSON in the metadata. A checkpoint is data: loading runs
-- nothing.

local gan = require "gan"
local basics = require "gan.basics"
local options = require "gan.options"
local pack = require "gan.checkpoint.pack"

local checkpoint = {}

local FORMAT = "gan-lua checkpoint 1"
local NAME = "^checkpoint%-(%d+)%.safetensors$"
local STALE = "^checkpoint%-%d+%.safetensors%.%d+%-%d+%.tmp$"

-- ---- one file -------------------------------------------------------------------------------

--- A checksum over texts and tensors: the format itself has none.
local function checksum(metadata, tensors)
  local crc = gan.files.crc32(metadata.state .. "\0" .. metadata.about)
  for _, name in ipairs(basics.keys(tensors)) do
    local t = tensors[name]
    crc = gan.files.crc32(("\0%s\0%s %s\0"):format(name, t:dtype(), table.concat(t:shape(), " ")),
      crc)
    crc = gan.files.crc32(t, crc)
  end
  return ("%08x"):format(crc)
end

local script_about

--- Which script this is: its name and a hash of its text. Nil in the REPL and in other hosts.
local function script()
  if script_about == nil then
    local name = type(rawget(_G, "arg")) == "table" and _G.arg[0]
    local text = type(name) == "string" and basics.read(name)
    script_about = text and { name = name, hash = ("%08x"):format(gan.files.crc32(text)) } or false
  end
  return script_about or nil
end

local function about(o)
  return {
    script = script(), options = o, random = gan.rng_state(), host_random = gan.host_rng_state(),
    threads = gan.threads(), real = gan.config.real, version = gan.config.version,
    time = os.date "!%Y-%m-%dT%H:%M:%SZ",
  }
end

local function write(path, state, script_options)
  local text, tensors = pack.pack(state)
  local metadata = { format = FORMAT, state = text, about = pack.pack(about(script_options)) }
  metadata.checksum = checksum(metadata, tensors)
  return gan.files.save_safetensors(path, tensors, metadata)
end

--- The trees of a file: state and about. Otherwise nil, a message, and whether the file is damaged.
local function read(path)
  local tensors, metadata = gan.files.load_safetensors(path)
  if not tensors then
    local file = io.open(path, "rb") -- what cannot be opened may be whole
    return nil, metadata, file ~= nil and file:close()
  elseif metadata.format ~= FORMAT then
    return nil, ("%s: not a checkpoint of this version but %s"):format(path,
      metadata.format or "another file"), metadata.format == nil
  end
  local header, message = pack.unpack(metadata.about or "", {})
  if header and header.real ~= gan.config.real then
    return nil, ("%s: made in %s, this program computes in %s"):format(path,
      tostring(header.real), gan.config.real), false
  elseif not header or not metadata.state or checksum(metadata, tensors) ~= metadata.checksum then
    return nil, ("%s: %s"):format(path, message or "damaged, the checksum is wrong"), true
  end
  local state
  state, message = pack.unpack(metadata.state, tensors)
  if not state then
    return nil, ("%s: %s"):format(path, message), true
  end
  return state, header
end

-- ---- the files of a folder ------------------------------------------------------------------

--- Numbers of the checkpoints in a folder, latest first, and their names by number; removes what
-- an earlier process did not finish writing. A folder belongs to one run at a time.
local function list(folder)
  local numbers, names = {}, {}
  for _, name in ipairs(gan.files.list(folder) or {}) do
    local number = math.tointeger(tonumber(name:match(NAME)))
    if number then
      numbers[#numbers + 1], names[number] = number, folder .. "/" .. name
    elseif name:find(STALE) then
      os.remove(folder .. "/" .. name)
    end
  end
  table.sort(numbers, function(a, b) return a > b end)
  return numbers, names
end

--- The paths of a folder's checkpoints, latest first.
function checkpoint.list(folder)
  local numbers, names = list(folder)
  for i, number in ipairs(numbers) do
    numbers[i] = names[number]
  end
  return numbers
end

--- Writes a checkpoint: checkpoint.save{folder, state = {name = what, ...}, keep = 2, options =}.
--
-- `state` holds models, optimisers, schedules, averages, batches, tensors, numbers, strings,
-- booleans, and plain tables of these; anything with methods state_dict and load_state_dict. The
-- states of gan's generator and of math.random are always saved. The latest `keep` files stay;
-- `options` is a table of plain values that `load` gives back. Returns the path, or nil and a
-- message (the disk is full, the folder cannot be written).
function checkpoint.save(given)
  local o = options.check("checkpoint.save", given,
    "folder:text ; state:table keep:count=2 options:table?")
  local ok, message = gan.files.mkdir(o.folder)
  if not ok then
    return nil, message
  end
  local numbers, names = list(o.folder)
  local path = ("%s/checkpoint-%06d.safetensors"):format(o.folder, (numbers[1] or 0) + 1)
  ok, message = write(path, o.state, o.options)
  if not ok then
    return nil, message
  end
  for i = o.keep, #numbers do
    os.remove(names[numbers[i]])
  end
  return path
end

local function complain(text)
  io.stderr:write(text, "\n")
end

--- The state and header of the latest readable checkpoint, and its path. A damaged one is renamed,
-- so that it does not count among those that are kept.
local function read_latest(folder, say)
  local paths, failures = checkpoint.list(folder), {}
  for i, path in ipairs(paths) do
    local state, header, damaged = read(path)
    if state then
      return state, header, path
    end
    failures[i] = header
    if not damaged then
      break
    end
    os.rename(path, path .. ".damaged")
    say(header .. (paths[i + 1] and "; going back to " .. paths[i + 1] or ""))
  end
  return nil, failures[#failures] or folder .. ": there is no checkpoint"
end

--- What is in the live state and not in the saved one, or the other way round.
local function check_names(live, saved, path)
  for _, name in ipairs(basics.keys(saved)) do
    if live[name] == nil then
      error(("checkpoint.load: %s holds '%s', which 'state' does not name"):format(path, name), 0)
    end
  end
end

--- Reads the latest checkpoint of a folder into `state`:
-- checkpoint.load{folder, state = {...}, strict = true, say =}.
--
-- `state` is what was given to `save`: objects load their part, tensors are overwritten, plain
-- tables take the saved values. The generators continue where they were. A damaged file is reported
-- by `say` (default: a line on standard error) and the one before is taken. With strict = false,
-- only what `state` names is loaded, and the generators stay: for using a trained model.
-- Returns a table: path, options, time, threads, script = {name=, hash=}; nil and a message when
-- there is nothing that can be read. What does not fit raises.
function checkpoint.load(given)
  local o = options.check("checkpoint.load", given,
    "folder:text ; state:table strict:bool=true say:callable?")
  return gan.scope(function()
    local saved, header, path = read_latest(o.folder, o.say or complain)
    if not saved then
      return nil, header
    elseif o.strict then
      check_names(o.state, saved, path)
    else
      for name in pairs(saved) do
        saved[name] = o.state[name] ~= nil and saved[name] or nil
      end
    end
    local ok, message = pcall(pack.restore, o.state, saved, "")
    if not ok then
      error(("checkpoint.load: %s: %s"):format(path, tostring(message)), 0)
    end
    if o.strict then
      gan.set_rng_state(header.random)
      gan.set_host_rng_state(header.host_random)
    end
    header.path = path
    return header
  end)
end

--- How this process differs from the one that wrote a checkpoint (what `load` returned), as a list
-- of sentences: another script, other options, another number of threads.
function checkpoint.differences(header, current)
  local result, now, old = {}, script(), header.script
  if now and type(old) == "table" and now.hash ~= old.hash then
    result[1] = now.name .. " is not the script it was"
  end
  local before = type(header.options) == "table" and header.options or {}
  for _, name in ipairs(basics.keys(current or {})) do
    if before[name] ~= nil and before[name] ~= current[name] and name ~= "resume" then
      result[#result + 1] = ("%s was %s, is %s"):format(name, tostring(before[name]),
        tostring(current[name]))
    end
  end
  if header.threads ~= gan.threads() then
    result[#result + 1] = ("computed with %s threads, now with %d: the last digits may differ")
      :format(tostring(header.threads), gan.threads())
  end
  return result
end

return checkpoint
