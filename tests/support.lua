--- What several specs share.
local gan = require "gan"

local support = {}

--- The program under test, by a path that is good in every folder.
function support.program()
  local lowest = 0
  while arg[lowest - 1] do
    lowest = lowest - 1
  end
  if arg[lowest]:find "^/" then
    return arg[lowest]
  end
  local pipe = assert(io.popen "pwd")
  local here = pipe:read "l"
  pipe:close()
  return here .. "/" .. arg[lowest]
end

--- Calls f and demands an error whose message matches the pattern.
function support.fails(pattern, f, ...)
  local ok, message = pcall(f, ...)
  assert(not ok, "no error, expected: " .. pattern)
  message = tostring(message)
  assert(message:find(pattern), ("the error '%s' does not match '%s'"):format(message, pattern))
end

--- Frees everything that is garbage (references of dead nodes are given back at the next call) and
--- returns gan.memory().
function support.settle()
  for _ = 1, 3 do
    collectgarbage()
    gan.is_grad_enabled()
  end
  return gan.memory()
end

return support
