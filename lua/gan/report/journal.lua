--- What makes a run repeatable: how it was started, and what was changed while it ran.
--
--     runs/gan/start.json      script, its hash, the words of its command line, threads
--     runs/gan/script.lua      the script itself
--     runs/gan/live.jsonl      {"step": 120, "epoch": 2, "lua": "G.lr = 1e-4", "from": "prompt"}
--     runs/gan/scripts/*.lua   what was read by --watch
--
-- A line of live.jsonl was run after that many steps of the whole run, in that epoch (that of the
-- next step); `set` lists the variables and options that it changed, which a resumed run sets
-- again. `gan-lua replay` does it all once more.

local gan = require "gan"
local basics = require "gan.basics"
local json = require "gan.json"

local Journal = {}
Journal.__index = Journal

local journal = { plan = nil } -- plan: what gan-lua replay is doing, see journal.replay

--- The object in a JSON file; an empty table where there is none.
function journal.object(path)
  local v = json.decode(basics.read(path) or "")
  return type(v) == "table" and v or {}
end

--- A hash by which a text is known.
function journal.hash(text)
  return ("%08x"):format(gan.files.crc32(text))
end

--- The script that runs: its name and text; nil in the REPL and in other hosts.
function journal.script()
  local arg = rawget(_G, "arg")
  if type(arg) ~= "table" or type(arg[0]) ~= "string" or arg[-1] == nil then
    return nil
  end
  local text = basics.read(arg[0])
  return text and arg[0], text
end

local function words()
  local list = {}
  for _, word in ipairs(rawget(_G, "arg") or {}) do
    if word ~= "--resume" and word ~= "--watch" then
      list[#list + 1] = word
    end
  end
  return list
end

local function is_entry(v)
  return type(v) == "table" and type(v.lua) == "string" and math.type(v.step) == "integer"
    and (v.epoch == nil or math.type(v.epoch) == "integer")
    and (v.set == nil or type(v.set) == "table" and #v.set == 0)
end

--- The records of a folder's live.jsonl, in order; broken lines are left out.
function journal.entries(folder)
  local list = {}
  for line in (basics.read(folder .. "/live.jsonl") or ""):gmatch "([^\n]*)\n" do
    local entry = json.decode(line)
    if is_entry(entry) then
      list[#list + 1] = entry
    end
  end
  return list
end

local function is_list(v, kind)
  for _, item in ipairs(type(v) == "table" and v or {}) do
    if type(item) ~= kind then
      return false
    end
  end
  return v == nil or type(v) == "table"
end

local function is_start(v)
  if type(v.script) ~= "string" or type(v.hash) ~= "string" or math.type(v.threads) ~= "integer"
      or not is_list(v.words, "string") or not is_list(v.resumed, "table") then
    return false
  end
  for _, part in ipairs(v.resumed or {}) do
    if not is_list(part.words, "string") then
      return false
    end
  end
  return true
end

--- How a folder's run was started, or nil and a message.
function journal.start(folder)
  local text = basics.read(folder .. "/start.json")
  local start = text and json.decode(text)
  if not text then
    return nil, folder .. ": there is no start.json, so this run cannot be repeated"
  elseif type(start) ~= "table" or not is_start(start) then
    return nil, folder .. "/start.json: not what a run writes"
  end
  return start
end

--- The words with which a run is repeated: those of the start, and of each time it was resumed.
function journal.words(start)
  local list = {}
  for _, part in ipairs{ start, table.unpack(start.resumed or {}) } do
    table.move(part.words or {}, 1, #(part.words or {}), #list + 1, list)
  end
  return list
end

--- The journal of a run folder. A new run writes down how it starts; a resumed one adds its words.
function journal.open(run, resume)
  local self = setmetatable({ run = run, folder = run.out, size = 0 }, Journal)
  local name, text = journal.script()
  local start = resume and journal.start(self.folder)
  if not resume then
    os.remove(self.folder .. "/live.jsonl")
    os.remove(self.folder .. "/start.json")
  end
  self.size = #(basics.read(self.folder .. "/live.jsonl") or "")
  if not name then
    return self
  end
  local hash = journal.hash(text)
  if start then
    start.resumed = start.resumed or {}
    table.insert(start.resumed, { words = words(), hash = hash })
  else
    start = { script = name, hash = hash, words = words(), out = run.given_out, threads =
      gan.threads(), real = gan.config.real, version = gan.config.version }
    self:write("script.lua", text)
  end
  self:write("start.json", json.encode(start) .. "\n")
  return self
end

function Journal:write(name, text)
  local ok, message = gan.files.replace(self.folder .. "/" .. name, text)
  if not ok then
    self.run:warn(message, name)
  end
  return ok
end

--- Keeps a text that is read in the place of the script; returns its name in the folder.
function Journal:keep_script(text)
  local name = "scripts/" .. journal.hash(text) .. ".lua"
  gan.files.mkdir(self.folder .. "/scripts")
  self:write(name, text)
  return name
end

--- The text that was kept by a name; of the run that is repeated while one is.
function Journal:script(name)
  local folder = journal.plan and journal.plan.from or self.folder
  return basics.read(folder .. "/" .. name)
end

--- Adds a record. What cannot be written is reported once.
function Journal:add(entry)
  local path = self.folder .. "/live.jsonl"
  local line = json.encode(entry) .. "\n"
  local f, message = io.open(path, "a")
  local ok = f and f:write(line)
  ok = f and f:close() and ok
  if ok then
    self.size = self.size + #line
  else
    self.run:warn(message or path .. ": cannot be written", "live.jsonl")
  end
end

--- Goes back to the first `size` bytes: what was done after a checkpoint is taken back with it.
function Journal:cut(size)
  local text = basics.read(self.folder .. "/live.jsonl")
  if text and #text > size then
    self:write("live.jsonl", text:sub(1, size):match "^.*\n" or "")
  end
  self.size = math.min(self.size, size)
end

--- From now on runs repeat another one: report.run{plan.out} writes into plan.to, and
-- gan.train.loop does what entries say. plan: { from =, to =, out =, entries = }.
function journal.replay(plan)
  journal.plan = plan
end

return journal
