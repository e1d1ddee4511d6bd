--- Kills training runs at random moments and resumes them: used by tests/checkpoint_spec.lua and
-- scripts/kill-test. The end must be that of a run that was left alone, byte for byte.

local gan = require "gan"
local basics = require "gan.basics"

local killing = {}

local function quote(s)
  return "'" .. s:gsub("'", "'\\''") .. "'"
end

--- Runs a command of the shell: its exit code (128 + n after signal n) and what it printed.
function killing.shell(command)
  local name = os.tmpname()
  local _, how, code = os.execute(("(%s; exit $?) > %s 2>&1"):format(command, name))
  local f = assert(io.open(name, "rb"))
  local text = f:read "a"
  f:close()
  os.remove(name)
  return how == "signal" and 128 + code or code, text
end

--- The log without what differs from run to run.
function killing.log(folder)
  local text = basics.read(folder .. "/metrics.jsonl") or ""
  return (text:gsub('"seconds":[^,}]*', ""):gsub('"peak_bytes":[^,}]*', ""))
end

--- Demands that a folder's latest checkpoint can be read, if there is any.
local function check_latest(folder)
  if #gan.checkpoint.list(folder) > 0 then
    assert(gan.checkpoint.load{ folder, state = {}, strict = false, say = error })
  end
end

local function compare(left, killed)
  assert(killing.log(left) == killing.log(killed), "the logs differ")
  assert(basics.read(left .. "/weights.safetensors")
    == basics.read(killed .. "/weights.safetensors"), "the weights differ")
  for _, name in ipairs(gan.files.list(killed)) do
    assert(not name:find "%.tmp$", name .. " was left behind")
  end
end

--- How long a command takes.
local function time(command)
  local started = gan.files.time()
  local code, text = killing.shell(command)
  assert(code == 0, text)
  return gan.files.time() - started
end

--- killing.try{program=, command = script and options, folder=, kills=, seed=}: one run left alone,
-- and runs that are killed and resumed, so many times altogether, until the last of them ends.
-- Returns a table: kills, those after which there was a checkpoint to go on from, ends reached.
-- Raises when an end differs.
function killing.try(o)
  math.randomseed(o.seed or 1)
  local left, killed = o.folder .. "/left", o.folder .. "/killed"
  local run = quote(o.program) .. " " .. o.command .. " --out "
  local whole = time(run .. quote(left))
  local startup = time(quote(o.program) .. " -e 'require \"gan\"'")
  local count = { kills = 0, resumed = 0, ends = 0 }
  while count.kills < o.kills or count.code ~= 0 do
    -- some moments are in the first milliseconds, the last run is left alone
    local delay = 0.002 + math.random() * (startup + whole / 4)
    local timeout = count.kills < o.kills and ("timeout -s KILL %.4f "):format(delay) or ""
    local before, text = #gan.checkpoint.list(killed), nil
    count.code, text = killing.shell(timeout .. run .. quote(killed) .. " --resume")
    count.resumed = count.resumed + (before > 0 and 1 or 0)
    check_latest(killed)
    if count.code == 0 then
      compare(left, killed)
      count.ends = count.ends + 1
      os.execute("rm -rf " .. quote(killed))
    else
      assert(count.code == 137, text)
      count.kills = count.kills + 1
    end
  end
  return count
end

return killing
