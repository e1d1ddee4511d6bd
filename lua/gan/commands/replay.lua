--- gan-lua replay RUN: does a run once more, with what was changed while it ran.

local gan = require "gan"
local basics = require "gan.basics"
local checkpoint = require "gan.checkpoint"
local commands = require "gan.commands"
local journal = require "gan.report.journal"
local json = require "gan.json"

--- RUN-replay, or RUN-replay-2 and so on: a folder that is not there yet.
local function free_folder(folder)
  local name, i = folder .. "-replay", 1
  while gan.files.list(name) do
    i = i + 1
    name = ("%s-replay-%d"):format(folder, i)
  end
  return name
end

--- The text of the script that is to be run, and its name.
local function choose_script(opt, folder, start)
  local text = basics.read(start.script)
  local kept = basics.read(folder .. "/script.lua")
  if opt.recorded then
    if not kept or journal.hash(kept) ~= start.hash then
      commands.fail("%s/script.lua is not the script that was run", folder)
    end
    return kept
  elseif not text then
    commands.fail("%s cannot be read; --recorded takes the text kept in %s", start.script, folder)
  elseif journal.hash(text) ~= start.hash and not opt.force then
    commands.fail("%s is not the script that was run: it has changed since. --recorded takes the "
      .. "text kept in %s, --force this one", start.script, folder)
  end
  return text
end

--- metrics.jsonl without what the clock and the memory say.
local function metrics(folder)
  local list = {}
  for line in (basics.read(folder .. "/metrics.jsonl") or ""):gmatch "[^\n]+" do
    local values = json.decode(line)
    if type(values) == "table" then
      values.seconds, values.peak_bytes = nil, nil
      list[#list + 1] = json.encode(values)
    end
  end
  return list
end

--- Whether the latest checkpoints hold the same tensors; nil where there are none.
local function same_checkpoints(from, to)
  local a, b = checkpoint.list(from)[1], checkpoint.list(to)[1]
  local x, y = a and gan.files.load_safetensors(a), b and gan.files.load_safetensors(b)
  if not x or not y then
    return nil
  end
  for name, t in pairs(x) do
    if not y[name] or y[name]:dtype() ~= t:dtype() or y[name]:bytes() ~= t:bytes() then
      return false
    end
  end
  for name in pairs(y) do
    if not x[name] then
      return false
    end
  end
  return true
end

--- Tells which of what both folders have is the same; whether all of it is. Of a run that was
-- killed, the replay may have gone on to the end: its log begins like that of the run.
local function compare(from, to)
  local same, a, b = true, metrics(from), metrics(to)
  local killed = journal.object(from .. "/run.json").status == "running"
  local function tell(name, equal, yes)
    print(("%s: %s"):format(name, equal and yes or "different"))
    same = same and equal
  end
  if #a > 0 then
    local last = killed and math.min(#a, #b) or #b
    tell("metrics.jsonl", table.concat(a, "\n") == table.concat(b, "\n", 1, last),
      #a .. " lines, the same")
  end
  if killed then
    print "the run was killed, so there is no end of it to be compared"
    return same
  end
  local text = basics.read(from .. "/weights.safetensors")
  if text then
    tell("weights.safetensors", text == basics.read(to .. "/weights.safetensors"),
      "the same, bit for bit")
  end
  local equal = same_checkpoints(from, to)
  if equal ~= nil then
    tell("latest checkpoint", equal, "the same tensors, bit for bit")
  end
  return same
end

--- The words of the command line, with the new folder for --out.
local function words_for(start, folder, to)
  local words = journal.words(start)
  if start.out ~= nil and journal.object(folder .. "/options.json").out == start.out then
    words[#words + 1] = "--out"
    words[#words + 1] = to
    return words, to
  end
  return words, start.out
end

--- Runs the script as the program would; what ends an interrupted run is no error here.
local function execute(text, start, words)
  local chunk = commands.must(load(text, "@" .. start.script))
  local old = arg
  local list = { [0] = start.script, [-1] = old[-1] or old[0] }
  table.move(words, 1, #words, 1, list)
  _G.arg = list
  local ok, e = xpcall(chunk, function(e)
    return type(e) == "table" and e or debug.traceback(tostring(e), 2)
  end, table.unpack(words))
  _G.arg = old
  if ok then
    return
  elseif type(e) ~= "table" or not rawget(e, "exit_code") then
    error(e, 0)
  end
  print(tostring(e))
end

local function run(opt)
  local folder = opt[1]:gsub("(.)/+$", "%1")
  local start = commands.must(journal.start(folder))
  local text = choose_script(opt, folder, start)
  local to = opt.to ~= "" and opt.to or free_folder(folder)
  if gan.files.list(to) then
    commands.fail("%s is there already: give another folder with --to", to)
  end
  if start.real ~= gan.config.real then
    commands.fail("the run computed in %s, this program computes in %s", tostring(start.real),
      gan.config.real)
  end
  gan.threads(start.threads)
  local words, out = words_for(start, folder, to)
  journal.replay{ from = folder, to = to, out = out, entries = journal.entries(folder) }
  print(("%s %s -> %s"):format(start.script, table.concat(words, " "), to))
  execute(text, start, words)
  if compare(folder, to) then
    return 0
  end
  print(start.version ~= gan.config.version and ("the run was made by version %s, this is %s")
    :format(tostring(start.version), gan.config.version) or "the runs differ")
  return 1
end

return {
  summary = "does a run once more, bit for bit, with what was changed while it ran",
  usage = "RUN [options]", words = { 1, 1 },
  about = [[
Runs the script of a run folder again, with the same options, seed and number of threads, into a new
folder, and does what was done to the run (its live.jsonl) after the same steps. Then it compares:
metrics and weights are the same to the last bit, if the script takes its random numbers from a seed
(gan.manual_seed, math.randomseed) and does not look at the clock (--minutes does).]],
  options = {
    { "to", "", "the new folder; otherwise RUN-replay" },
    { "recorded", false, "run the script as it was then, which is kept in RUN" },
    { "force", false, "run the script although it has changed" },
  },
  run = run,
}
