--- Commands of the program: `gan-lua NAME ...` runs the module gan.commands.NAME.
--
-- Such a module returns a table:
--
--     summary  what it does, in one line: for lists
--     run      function(args) -> exit code; nil is 0
--     usage    the words after the name, as in "RUN..."; words = {1, math.huge}, how many
--     about    a text about it; the first part of its --help and of the manual
--     options  what gan.opts takes: {{"port", 0, "where to listen"}, ...}
--
-- With `options`, `run` gets what gan.opts made of the command line, after --help was dealt with:
-- options by name, words in the list part. Without, it gets the words as they are. A file in this
-- folder is a command, and appears in lists, manual and completion by itself.

local commands = {}

local PREFIX = "gan.commands."

-- An error that prints as a plain line and says with which code the program ends.
local failure = { __name = "failure", __tostring = function(e) return e.message end }

--- Ends a command: prints a line, no traceback. `code` defaults to 1.
function commands.fail(message, ...)
  error(setmetatable({ message = message:format(...), exit_code = 1 }, failure), 0)
end

--- The value, or the command's end with the message that came with nil: commands.must(f()).
function commands.must(value, message)
  if value == nil or value == false then
    commands.fail("%s", message)
  end
  return value
end

--- Whether there is a command of that name; reads no code.
function commands.exists(name)
  return package.preload[PREFIX .. name] ~= nil
    or package.searchpath(PREFIX .. name, package.path) ~= nil
end

--- The names of the commands that the program brings along, in order.
function commands.names()
  local names = {}
  for module in pairs(package.preload) do
    local name = type(module) == "string" and module:match "^gan%.commands%.([a-z]+)$"
    if name then
      names[#names + 1] = name
    end
  end
  table.sort(names)
  return names
end

--- The table of a command.
function commands.load(name)
  return require(PREFIX .. name)
end

--- "sample       draws images": the commands, a line each, for the program's --help.
function commands.list()
  local lines = { "Commands are (each has --help):" }
  for i, name in ipairs(commands.names()) do
    lines[i + 1] = ("  %-12s %s"):format(name, commands.load(name).summary)
  end
  return table.concat(lines, "\n") .. "\n"
end

--- Reads the words of a command line as the command's `options` say; nil after --help.
local function parse(name, command, words)
  local declared = { args = words, usage = ("gan-lua %s %s"):format(name,
    command.usage or "[options]") }
  declared[1] = command.about or command.summary
  table.move(command.options, 1, #command.options, 2, declared)
  local opt = require "gan.train.options"(declared)
  local fewest, most = table.unpack(command.words or { 0, 0 })
  if opt and #opt > most then
    commands.fail("%s: '%s' is a word too much; see gan-lua %s --help", name, opt[most + 1], name)
  elseif opt and #opt < fewest then
    commands.fail("usage: %s; see gan-lua %s --help", declared.usage, name)
  end
  return opt
end

--- Runs a command with the words of its command line; returns the exit code.
function commands.run(name, ...)
  local command, args = commands.load(name), { ... }
  if command.options then
    args = parse(name, command, args)
    if not args then
      return 0
    end
  end
  return command.run(args) or 0
end

return commands
