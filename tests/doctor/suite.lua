-- How often the doctor is right: gan-lua tests/doctor/suite.lua [PART OF A NAME]
-- Trains every case of tests/doctor/cases.lua, more.lua and textbook.lua, takes minutes, and prints
-- a table. Ends with an error when fewer than eleven of twelve failures are named right, or more
-- than one in twelve healthy runs has an alarm. "more" or "textbook" as the part of a name: the
-- cases of that file alone.
local gan = require "gan"
local cases = require "tests.doctor.cases"

local more, textbook = require "tests.doctor.more", require "tests.doctor.textbook"
local sets = { cases, more, textbook }
local alone = ({ more = more, textbook = textbook })[arg[1]]
local only = not alone and arg[1] or nil
gan.manual_seed(tonumber(arg[2]) or 1)

local function show(name, diagnoses, right, doctor, seconds)
  local list = {}
  for i, d in ipairs(diagnoses) do
    list[i] = ("%s (%d)"):format(d.doctor, d.step)
  end
  print(("%-6s %-52s %s  [%.0f s, doctor %.1f %%]"):format(right and "right" or "WRONG", name,
    #list > 0 and table.concat(list, ", ") or "-", seconds, 100 * doctor.spent / seconds))
  for _, d in ipairs(diagnoses) do
    print("         " .. d.sentence)
  end
  local r = doctor:latest()
  if r and (only or not right) then
    local keys = {}
    for key, v in pairs(r) do
      keys[#keys + 1] = type(v) == "number" and ("%s=%.3g"):format(key, v) or nil
    end
    table.sort(keys)
    print("         " .. tostring(r.form) .. " " .. table.concat(keys, " "))
  end
  io.stdout:flush()
end

local function has(list, word)
  for _, v in ipairs(list) do
    if v == word then
      return true
    end
  end
  return false
end

local function count(list, judge)
  local good, total = 0, 0
  for _, case in ipairs(list) do
    if not only or case[1]:find(only, 1, true) then
      local started = os.clock()
      local diagnoses, doctor = cases.run(case[#case]())
      local right = judge(case, diagnoses)
      show(case[1], diagnoses, right, doctor, os.clock() - started)
      good, total = good + (right and 1 or 0), total + 1
      collectgarbage()
    end
  end
  return good, total
end

local function join(name)
  local list = {}
  for _, set in ipairs(alone and { alone } or sets) do
    table.move(set[name], 1, #set[name], #list + 1, list)
  end
  return list
end

local found, failing = count(join "failing", function(case, diagnoses)
  return diagnoses[1] ~= nil and has(case[2], diagnoses[1].doctor)
end)
local quiet, healthy = count(join "healthy", function(_, diagnoses) return #diagnoses == 0 end)
print(("%d of %d failures named right, %d false alarms in %d healthy runs"):format(found, failing,
  healthy - quiet, healthy))
if found * 12 < failing * 11 or (healthy - quiet) * 12 > healthy then
  error("the doctor is not good enough", 0)
end
