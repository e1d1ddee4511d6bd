-- What the tables of scripts/quality share: runs the rows, keeps their results, compares with bars.

local gan = require "gan"

local Table = {}

local function read_results(path)
  local file = io.open(path, "rb")
  local text = file and file:read "a"
  if file then
    file:close()
  end
  return text and gan.json.decode(text) or {}
end

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

local function interpreter()
  local i = -1
  while arg[i - 1] do
    i = i - 1
  end
  return arg[i]
end

--- The user and system seconds of all children, from the second line of what `times` prints.
local function processor_seconds(path)
  local file, sum = io.open(path, "rb"), 0
  local text = file and file:read "a" or ""
  if file then
    file:close()
    os.remove(path)
  end
  for m, s in (text:match "\n(.*)" or ""):gmatch "(%d+)m([%d.]+)s" do
    sum = sum + 60 * m + s
  end
  return sum
end

--- {NAME} in options is the run folder of that part of the row.
local function fill(options, part, folder, seed)
  local stem = folder:sub(1, #folder - #("%s-%d"):format(part.name, seed))
  return (options:gsub("{([%w_]+)}", function(name)
    return quote(("%s%s-%d"):format(stem, name, seed))
  end))
end

--- Runs a script to its end in a folder, from where it was stopped if it was. Adds the minutes it
-- took to the record, and at its end the values of its result.json.
local function run_script(part, folder, seed, test, record)
  local words = { quote(interpreter()), part.script, "--out", quote(folder), "--seed",
    tostring(seed), fill(part.options or "", part, folder, seed), test and part.test or "" }
  if part.minutes then
    words[#words + 1] = ("--minutes %g"):format(part.minutes)
  end
  if #gan.checkpoint.list(folder) > 0 then
    words[#words + 1] = "--resume"
  end
  local command, spent = table.concat(words, " "), folder .. ".times"
  print("  " .. command)
  local started = gan.files.time()
  local ok, how, code = os.execute(("%s; code=$?; times >%s; exit $code"):format(command,
    quote(spent)))
  record.minutes = record.minutes + (gan.files.time() - started) / 60
  record.processor_minutes = record.processor_minutes + processor_seconds(spent) / 60
  record.values = ok and read_results(folder .. "/result.json") or nil
  return ok or ("quality: %s ended with %s %s"):format(part.script, how, code)
end

local function key_of(row, part, seed)
  return ("%s/%s/%d"):format(part.row or row.id, part.name, seed)
end

local function is_own(row, part)
  return part.row == nil or part.row == row.id
end

local function passes(bar, value, limit)
  if type(value) ~= "number" or value ~= value or limit == nil then
    return false
  end
  if bar.below then
    return value <= limit
  end
  return value >= limit
end

--- "must 3 reached, target 2.55 not": how a value stands to a bar.
local function verdict(bar, value, test)
  if test then
    local ok = passes(bar, value, bar.test)
    return ok, ("test bar %g %s"):format(bar.test, ok and "reached" or "MISSED")
  end
  local words, ok = {}, bar.must == nil or passes(bar, value, bar.must)
  for _, name in ipairs{ "must", "target", "stretch" } do
    if bar[name] then
      words[#words + 1] = ("%s %g %s"):format(name, bar[name], passes(bar, value, bar[name])
        and "reached" or (name == "must" and "MISSED" or "not"))
    end
  end
  return ok, table.concat(words, ", ")
end

--- One row with one seed: its parts are run (those that are finished are known), and their values
-- joined under "part.name". `minutes` and `processor_minutes` are those of all parts that are not
-- another row's, with their data, their evaluation, and the sittings in which they were stopped.
local function measure(row, seed, o, results, save)
  local values = { minutes = 0, processor_minutes = 0 }
  for _, part in ipairs(row) do
    local key = key_of(row, part, seed)
    local record = results[key] or { minutes = 0, processor_minutes = 0 }
    results[key] = record
    if not record.values then
      local outcome = run_script(part, o.out .. "/" .. key:gsub("/", "-"), seed, o.test, record)
      save()
      if outcome ~= true then
        error(outcome, 0)
      end
    end
    for name, v in pairs(record.values) do
      values[part.name .. "." .. name] = v
    end
    for _, name in ipairs{ "minutes", "processor_minutes" } do
      values[name] = values[name] + (is_own(row, part) and record[name] or 0)
      values[part.name .. "." .. name] = record[name]
    end
  end
  for name, f in pairs(row.derived or {}) do
    values[name] = f(values)
  end
  return values
end

local function report(row, seed, values, o)
  local all = true
  for _, bar in ipairs(row.bars) do
    if not o.test or bar.test ~= nil then
      local value = values[bar.value]
      local ok, text = verdict(bar, value, o.test)
      all = all and ok
      print(("  %-4s seed %d  %-44s %10.4f  (%s)"):format(row.id, seed, bar.text, value or 0 / 0,
        text))
    end
  end
  local in_time = o.test or values.minutes <= row.minutes
  print(("  %-4s seed %d  %.1f minutes, %.1f of the processor%s"):format(row.id, seed,
    values.minutes, values.processor_minutes, o.test and "" or (in_time and " (budget %g, kept)"
      or " (budget %g, MISSED)"):format(row.minutes)))
  return all and in_time
end

--- Forgets what is known of a row with one seed.
local function forget(row, seed, o, results)
  for _, part in ipairs(row) do
    local key = key_of(row, part, seed)
    if is_own(row, part) then
      results[key] = nil
      os.execute("rm -rf " .. quote(o.out .. "/" .. key:gsub("/", "-")))
    end
  end
end

local function is_complete(row, seed, results)
  for _, part in ipairs(row) do
    local record = results[key_of(row, part, seed)]
    if not (record and record.values) then
      return false
    end
  end
  return true
end

--- A row with the seeds that are wanted; adds to the list of those that were missed.
local function run_row(row, o, results, save, missed)
  print(("%s %s"):format(row.id, row.title))
  local first, last = 1, o.test and 1 or row.seeds
  if o.seed > 0 then
    first, last = o.seed, o.seed
  end
  for seed = first, last do
    if o.again then
      forget(row, seed, o, results)
    end
    if o.list and not is_complete(row, seed, results) then
      print(("  %-4s seed %d  not run yet"):format(row.id, seed))
    elseif not report(row, seed, measure(row, seed, o, results, save), o) then
      missed[#missed + 1] = ("%s (seed %d)"):format(row.id, seed)
    end
  end
end

--- Runs a table of rows: Table.run{title=, name=, rows=}. A row is a list of parts with id, title,
-- minutes (the budget of a seed, with two quiet cores), seeds, bars and `derived`, functions of all
-- values by name. A part is { name=, script=, options=, test=, minutes=, row= }: `test` are further
-- options of the reduced budget, after `minutes` its training ends and its checkpoint counts, `row`
-- is the id of the row that it belongs to, if others look at it as well. A bar is { value=, text=,
-- below=, must=, target=, stretch=, test= }. A planted failure is a part whose bar demands that it
-- fails.
function Table.run(given)
  local o = gan.opts{
    given.title,
    { "only", "", "rows to run, with commas (all)" },
    { "seed", 0, "run this seed only (0: as many as the row has)" },
    { "test", false, "a reduced budget with bars to match: a few minutes for the whole table" },
    { "again", false, "forget what is known of these rows" },
    { "list", false, "say what is known, run nothing" },
    { "out", "", "folder (runs/quality, with --test runs/quality-test)" },
  }
  if not o then
    return
  end
  o.out = o.out ~= "" and o.out or (o.test and "runs/quality-test" or "runs/quality")
  assert(gan.files.mkdir(o.out))
  local path, wanted = o.out .. "/" .. given.name .. ".json", {}
  for id in o.only:gmatch "[%w_]+" do
    wanted[id:upper()] = true
  end
  local results = read_results(path)
  local function save()
    assert(gan.files.replace(path, gan.json.encode(results) .. "\n"))
  end
  local missed, known = {}, {}
  for _, row in ipairs(given.rows) do
    known[row.id] = true
    if not next(wanted) or wanted[row.id] then
      run_row(row, o, results, save, missed)
    end
  end
  for id in pairs(wanted) do
    if not known[id] then
      error(("quality: there is no row %s"):format(id), 0)
    end
  end
  print(#missed == 0 and "nothing missed; results are in " .. path
    or "missed: " .. table.concat(missed, ", ") .. "; results are in " .. path)
  os.exit(#missed == 0 and 0 or 1, true)
end

return Table
