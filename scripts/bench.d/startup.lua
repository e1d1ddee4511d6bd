-- Wall milliseconds of whole processes, alternating between ours and PyTorch's import.
local gan = require "gan"

local function wall(command)
  local start = gan.files.time()
  local ok = os.execute(command)
  return ok and (gan.files.time() - start) * 1e3
end

local function median(list)
  table.sort(list)
  return list[(#list + 1) // 2], list[1]
end

local commands = {
  { "gan-lua -e ''", "build/gan-lua -e ''", 20 },
  { "gan-lua, one 64x784 product", "build/gan-lua -e 'local gan = require \"gan\" "
    .. "gan.ones(64, 784):matmul(gan.ones(784, 784))'", 20 },
  { "lua5.4 -e ''", "lua5.4 -e ''", 20 },
  { "python3 -c 'import torch'", "/usr/bin/python3 -c 'import torch' 2>/dev/null", 3 },
}
for _, c in ipairs(commands) do
  local times = {}
  for i = 1, c[3] do times[i] = wall(c[2]) or 0 / 0 end
  local mid, best = median(times)
  if mid == mid then print(("%-32s median %8.1f ms, best %8.1f ms"):format(c[1], mid, best))
  else print(("%-32s not installed"):format(c[1])) end
end
