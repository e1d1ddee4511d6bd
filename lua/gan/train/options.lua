--- Options of a script from its command line: gan.opts{...}.
--
--     local opt = gan.opts{
--       "Trains a GAN on Fashion-MNIST.",
--       {"epochs", 20, "passes over the training images"},
--       {"lr", 2e-4, "learning rate of both optimisers"},
--       {"data", "fashion", "what to learn", choices = {"fashion", "mnist"}},
--     }
--     if not opt then return end        -- it was --help
--
-- `gan-lua script.lua --epochs 5 --lr=1e-3`: a default's type is the option's type (integers stay
-- integers), `--no-NAME` switches a boolean off, `-` and `_` in names are the same. Extra words are
-- kept in the list part of the result. What is wrong is an error without a stack traceback.
--
-- `run = "runs/name"` adds the options that training scripts have in common: --seed, --steps,
-- --minutes, --out (that folder), --compile, --resume, --watch, --batch, and those of gan.mpi.
--
-- A script whose options include {"out", folder} and {"resume", false} continues runs: with
-- --resume, options that are not given have the values of the run in that folder (options.json).

local basics = require "gan.basics"
local json = require "gan.json"
local options = require "gan.options"

-- An error that prints as a plain line: the interpreter adds no traceback to it.
local usage_error = { __name = "usage error", __tostring = function(e) return e.message end }

local function fail(message, ...)
  error(setmetatable({ message = message:format(...) }, usage_error), 0)
end

local function kind_of(default)
  return math.type(default) or type(default)
end

local function flag(name)
  return "--" .. name:gsub("_", "-")
end

local words = { integer = "N", float = "X", string = "TEXT", boolean = "" }

local function help(declared)
  local lines, width = {}, #"--help"
  for i, field in ipairs(declared) do
    local word = field.choices and table.concat(field.choices, "|") or words[kind_of(field[2])]
    lines[i] = flag(field[1]) .. (word ~= "" and " " .. word or "")
    width = math.max(width, #lines[i])
  end
  for i, field in ipairs(declared) do
    local default = field[2] == "" and "" or (" (%s)"):format(tostring(field[2]))
    lines[i] = "  " .. lines[i] .. (" "):rep(width - #lines[i] + 2) .. (field[3] or "") .. default
  end
  table.insert(lines, 1, (declared.usage and "usage: " .. declared.usage .. "\n\n" or "")
    .. (declared.about and declared.about .. "\n\n" or "") .. "Options:")
  lines[#lines + 1] = "  --help" .. (" "):rep(width - 4) .. "this text"
  return table.concat(lines, "\n")
end

local function convert(field, text)
  local kind, v = kind_of(field[2]), text
  if kind == "integer" then
    v = math.tointeger(tonumber(text))
  elseif kind == "float" then
    v = tonumber(text)
    v = v and v + 0.0
  elseif kind == "boolean" then
    v = ({ ["true"] = true, ["false"] = false })[text]
  end
  if v == nil or v ~= v then
    fail("%s: %s is not %s", flag(field[1]), text, kind == "integer" and "an integer"
      or kind == "float" and "a number" or "true or false")
  end
  for _, choice in ipairs(field.choices or {}) do
    if choice == v then
      return v
    end
  end
  if field.choices then
    fail("%s: '%s' is not one of %s%s", flag(field[1]), text, table.concat(field.choices, ", "),
      options.hint(text, field.choices))
  end
  return v
end

--- The options of every training script, as gan.train.loop knows them.
local function common(folder)
  return {
    { "seed", 1, "start of the random numbers" },
    { "steps", 0, "stop after so many steps (0: do not)" },
    { "minutes", 0.0, "stop after so many minutes of training (0: do not)" },
    { "out", folder, "run folder" },
    { "compile", false, "record a step and replay it: faster, with the same results" },
    { "resume", false, "go on with the run in that folder, from its latest checkpoint" },
    { "watch", false, "read the script again when it changes, and keep what was learnt" },
    { "batch", false, "let Ctrl-C save and end the run instead of asking at the terminal" },
    { "mpi", false, "be one of the processes that mpirun started" },
    { "mpi_sync_norm", false, "with --mpi: batch normalisation sees the batch of all processes" },
  }
end

local function declare(given)
  local declared = { by_name = {}, names = { "help" }, usage = given.usage }
  local fields = table.move(given, 1, #given, 1, {})
  local added = given.run and common(given.run) or {}
  table.move(added, 1, #added, #fields + 1, fields)
  for _, field in ipairs(fields) do
    if type(field) == "string" then
      declared.about = field
    else
      assert(type(field[1]) == "string" and field[2] ~= nil,
        "opts: an option is {name, default, text}")
      declared[#declared + 1] = field
      declared.by_name[field[1]] = field
      declared.names[#declared.names + 1] = field[1]
    end
  end
  return declared
end

--- The field, value and number of words used up by words[i], which begins with `--`.
local function read_option(declared, given, i)
  local name, value = given[i]:match("^%-%-([^=]+)=?(.*)$")
  name = name and name:gsub("-", "_")
  local field = name and declared.by_name[name]
  if not field and name and name:find "^no_" then
    field = declared.by_name[name:sub(4)]
    if field and kind_of(field[2]) == "boolean" then
      return field, "false", 1
    end
    field = nil
  end
  if not field then
    fail("unknown option %s%s", given[i], options.hint(name or "", declared.names)
      :gsub("'([%w_]+)'", function(n) return flag(n) end))
  elseif given[i]:find("=", 1, true) then
    return field, value, 1
  elseif kind_of(field[2]) == "boolean" then
    return field, "true", 1
  elseif given[i + 1] == nil then
    fail("%s: a value is missing", flag(name))
  end
  return field, given[i + 1], 2
end

--- The options with which the run in a folder was started, as far as they are declared the same.
local function saved_options(declared, folder)
  local text, result = basics.read(folder .. "/options.json"), {}
  local saved = text and json.decode(text)
  for name, v in pairs(type(saved) == "table" and saved or {}) do
    local field = declared.by_name[name]
    local kind = field and kind_of(field[2])
    if kind == "float" and type(v) == "number" then
      v = v + 0.0
    end
    if kind == kind_of(v) and name ~= "resume" and name ~= "out" and name ~= "watch"
        and name ~= "batch" and name ~= "mpi" then
      result[name] = v
    end
  end
  return result
end

--- Reads the command line (the global `arg`, or the list `args`). Returns a table with every
-- option, or nil after printing help.
return function(given)
  local declared, result = declare(given), {}
  local list = given.args or rawget(_G, "arg") or {}
  local i = 1
  while i <= #list do
    if list[i] == "--help" or list[i] == "-h" then
      print(help(declared))
      return nil
    elseif list[i]:sub(1, 2) == "--" and #list[i] > 2 then
      local field, text, used = read_option(declared, list, i)
      result[field[1]] = convert(field, text)
      i = i + used
    else
      if list[i] ~= "--" then
        result[#result + 1] = list[i]
      end
      i = i + 1
    end
  end
  local saved = result.resume == true and saved_options(declared, result.out
    or declared.by_name.out and declared.by_name.out[2] or "") or {}
  for _, field in ipairs(declared) do
    local name = field[1]
    if result[name] == nil then
      result[name] = saved[name]
    end
    if result[name] == nil then
      result[name] = field[2]
    end
  end
  if result.mpi == true and declared.by_name.mpi_sync_norm then
    require("gan.mpi").start{ sync_norm = result.mpi_sync_norm }
  end
  return result
end
