--- A run folder, read for a report: what is missing or damaged is left out and named, and is never
-- an error.

local gan = require "gan"
local basics = require "gan.basics"
local json = require "gan.json"

local read = {}

local LARGEST = 64 * 2 ^ 20 -- bytes of a text file that is read

local LIMIT = 1e100 -- of a value that is drawn

-- Fields of a log's line that are no curves of their own.
local bookkeeping = { epoch = true, step = true, steps = true, seconds = true, peak_bytes = true,
  partial = true }

local function text_of(path)
  local file = io.open(path, "rb")
  local text = file and file:read(LARGEST)
  if file then
    file:close()
  end
  return text
end

--- A JSON file as a table; an empty one when it is not there.
local function object(run, name)
  local text = text_of(run.path .. "/" .. name)
  if not text then
    return {}
  end
  local value, message = json.decode(text)
  if type(value) ~= "table" then
    run.problems[#run.problems + 1] = ("%s: %s"):format(name, message or "no object")
    return {}
  end
  return value
end

local function add_row(run, row)
  if row.doctor ~= nil then
    run.doctor[#run.doctor + 1] = row
    return
  end
  run.rows[#run.rows + 1] = row
  for name, v in pairs(row) do
    if type(name) == "string" and not bookkeeping[name] and (type(v) == "number"
      or v == "nan" or v == "inf" or v == "-inf") then
      run.names[name] = true
    end
  end
end

--- The lines of the log. The last one may be half written: a training may be running.
local function read_log(run)
  local damaged = 0
  for line in (text_of(run.path .. "/metrics.jsonl") or ""):gmatch "([^\n]+)\n" do
    local row = json.decode(line)
    if type(row) == "table" then
      add_row(run, row)
    else
      damaged = damaged + 1
    end
  end
  if damaged > 0 then
    run.problems[#run.problems + 1] = ("metrics.jsonl: %d lines are damaged"):format(damaged)
  end
end

local function axis(run)
  for _, name in ipairs{ "epoch", "step" } do
    local all = #run.rows > 0
    for _, row in ipairs(run.rows) do
      all = all and type(row[name]) == "number"
    end
    if all then
      return name
    end
  end
  return "line"
end

--- The pictures: `series` of numbered ones (samples-001.png ...) in order, others by themselves.
local function read_pictures(run)
  local by_name = {}
  for _, file in ipairs(gan.files.list(run.path) or {}) do
    local name, number = file:match "^(.+)%-(%d+)%.png$"
    name = name or file:match "^(.+)%.png$"
    if name and not file:find "%.tmp$" then
      if not by_name[name] then
        by_name[name] = { name = name }
        run.series[#run.series + 1] = by_name[name]
      end
      local frame = { file = file, number = math.tointeger(tonumber(number)) or 0,
        label = number or "" }
      table.insert(by_name[name], frame)
    end
  end
  for _, series in ipairs(run.series) do
    table.sort(series, function(a, b)
      if a.number ~= b.number then
        return a.number < b.number
      end
      return a.file < b.file
    end)
  end
  table.sort(run.series, function(a, b)
    if #a ~= #b and (#a == 1 or #b == 1) then
      return #a > #b -- what changes over time comes first
    end
    return a.name < b.name
  end)
end

--- Whether a folder looks like a run's.
function read.is_run(folder)
  for _, name in ipairs{ "metrics.jsonl", "run.json", "options.json" } do
    local file = io.open(folder .. "/" .. name, "rb")
    if file then
      file:close()
      return true
    end
  end
  return false
end

--- read.run(folder) -> a table:
--   name, path   of the folder
--   options, status, result, models    what its JSON files hold
--   rows         the lines of the log, without the doctor's; names: of its curves, in order
--   axis         "epoch", "step" or "line": what the curves are drawn over
--   doctor       the doctor's lines
--   series       lists of pictures {file, number, label}, with a name
--   problems     sentences about what could not be read
function read.run(folder)
  local path = folder:gsub("(.)/+$", "%1")
  local run = { path = path, name = path:match "([^/]+)$" or path, rows = {}, names = {},
    doctor = {}, series = {}, problems = {} }
  run.options, run.status = object(run, "options.json"), object(run, "run.json")
  run.result, run.models = object(run, "result.json"), object(run, "model.json")
  read_log(run)
  run.axis = axis(run)
  run.names = basics.keys(run.names)
  read_pictures(run)
  return run
end

--- A curve of a run: three lists, the positions on its axis, the seconds, the values; what is no
-- finite number is false.
function read.curve(run, name)
  local x, t, y = {}, {}, {}
  for i, row in ipairs(run.rows) do
    local v = row[name]
    if v ~= nil then
      local n = #x + 1
      x[n] = run.axis == "line" and i or row[run.axis]
      t[n] = type(row.seconds) == "number" and row.seconds or false
      y[n] = type(v) == "number" and math.abs(v) < LIMIT and v or false
    end
  end
  return x, t, y
end

--- At most `most` points of a curve: of each stretch the smallest and the largest value, so that no
-- peak is lost. Takes and returns lists x, t, y.
function read.thin(x, t, y, most)
  if #x <= most then
    return x, t, y
  end
  local nx, nt, ny, parts = {}, {}, {}, math.max(most // 2, 1)
  local function take(i)
    nx[#nx + 1], nt[#nt + 1], ny[#ny + 1] = x[i], t[i], y[i]
  end
  for part = 1, parts do
    local first, last = (part - 1) * #x // parts + 1, part * #x // parts
    local low, high = first, first
    for i = first + 1, last do
      if y[i] and (not y[low] or y[i] < y[low]) then
        low = i
      end
      if y[i] and (not y[high] or y[i] > y[high]) then
        high = i
      end
    end
    take(math.min(low, high))
    if low ~= high then
      take(math.max(low, high))
    end
  end
  return nx, nt, ny
end

return read
