-- reference DOC TYPES: writes the reference (Markdown) and the definition files for editors.

local gan = require "gan"

package.path = (arg[0]:match "^(.*)/" or ".") .. "/?.lua;" .. package.path
local collect, pages, types = require "collect", require "pages", require "types"

local function write(folder, texts)
  assert(gan.files.mkdir(folder))
  local n = 0
  for name, text in pairs(texts) do
    assert(gan.files.replace(folder .. "/" .. name, text))
    n = n + 1
  end
  print(("%s: %d files"):format(folder, n))
end

local list = collect.pages()
write(arg[1], pages.write(list))
write(arg[2] .. "/gan", types.write(list))
