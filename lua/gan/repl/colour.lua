--- Colours of the terminal, where there is one that shows them: colour.dim(text), colour.red(text),
-- colour.bold(text). The text comes back as it was where NO_COLOR is set, TERM is "dumb", or the
-- output is no terminal.

local gan = require "gan"

local colour = {}

local codes = { dim = "2", red = "31", bold = "1", cyan = "36" }

--- Whether what is written to a file descriptor (1: output, 2: messages) may be coloured.
function colour.wanted(fd)
  local term, no = os.getenv "TERM" or "dumb", os.getenv "NO_COLOR"
  return gan.files.isatty(fd or 1) and term ~= "dumb" and (no == nil or no == "")
end

for name, code in pairs(codes) do
  colour[name] = function(text, fd)
    if text == "" or not colour.wanted(fd) then
      return text
    end
    return "\27[" .. code .. "m" .. text .. "\27[0m"
  end
end

return colour
