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

--- Runs a script to its end in a folder, from where it was stopped if it was; returns its
-- result.json.
local function run_script(part, folder, seed, test)
  local words = { quote(interpreter()), part.script, "--out", quote(folder), "--seed",
    tostring(seed) }
  for _, option in ipairs{ part.options or "", test and part.test or "" } do
    words[#words + 1] = option
  end
  if #gan.checkpoint.list(folder) > 0 then
    words[#words + 1] = "--resume"
  end
  local command = table.concat(words, " ")
  print("  " .. command)
  local ok, how, code = os.execute(command)
  if not ok then
    error(("quality: %s ended with %s %s"):format(part.script, how, code), 0)
  end
  return read_results(folder .. "/result.json")
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
  local words, ok = {}, passes(bar, value, bar.must)
  for _, name in ipairs{ "must", "target", "stretch" } do
    if bar[name] then
      words[#words + 1] = ("%s %g %s"):format(name, bar[name], passes(bar, value, bar[name])
        and "reached" or (name == "must" and "MISSED" or "not"))
    end
  end
  return ok, table.concat(words, ", ")
end

--- One row with one seed: its parts are run (those that are finished are known), and their values
-- joined under "part.name".
local function measure(row, seed, o, results, save)
  local values = {}
  for _, part in ipairs(row) do
    local key = ("%s/%s/%d"):format(row.id, part.name, seed)
    if not results[key] then
      local started = gan.files.time()
      local found = run_script(part, ("%s/%s-%s-%d"):format(o.out, row.id, part.name, seed), seed,
        o.test)
      results[key] = { values = found, minutes = (gan.files.time() - started) / 60 }
      save()
    end
    for name, v in pairs(results[key].values) do
      values[part.name .. "." .. name] = v
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
    if bar[o.test and "test" or "must"] ~= nil then
      local value = values[bar.value]
      local ok, text = verdict(bar, value, o.test)
      all = all and ok
      print(("  %-4s seed %d  %-44s %10.4f  (%s)"):format(row.id, seed, bar.text, value or 0 / 0,
        text))
    end
  end
  return all
end

--- Forgets what is known of a row with one seed.
local function forget(row, seed, o, results)
  for _, part in ipairs(row) do
    results[("%s/%s/%d"):format(row.id, part.name, seed)] = nil
    os.execute("rm -rf " .. quote(("%s/%s-%s-%d"):format(o.out, row.id, part.name, seed)))
  end
end

local function is_complete(row, seed, results)
  for _, part in ipairs(row) do
    if not results[("%s/%s/%d"):format(row.id, part.name, seed)] then
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

--- Runs a table of rows: Table.run{title=, name=, rows=}. A row is a list of parts { name=,
-- script=, options=, test= (further options of the reduced budget) } with id, title, minutes (a
-- seed), seeds, bars = { { value=, text=, below=, must=, target=, stretch=, test= }, ... } and
-- `derived`, functions of all values. A planted failure is a part whose bar demands that it fails.
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
