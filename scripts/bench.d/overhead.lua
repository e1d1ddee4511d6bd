-- What a call costs besides arithmetic: ops on one element, called from Lua.
local gan = require "gan"

local function median_ns(n, f)
  local times = {}
  for round = 1, 7 do
    collectgarbage()
    local start = gan.files.time()
    gan.scope(f, n)
    times[round] = (gan.files.time() - start) / n * 1e9
  end
  table.sort(times)
  return times[4], times[1]
end

local function report(what, n, f)
  local median, best = median_ns(n, f)
  print(("%-58s %7.0f ns  (best %.0f)"):format(what, median, best))
end

local a, b = gan.ones(1), gan.ones(1)
local w = gan.ones(1):requires_grad_()
local CHUNK = 100 -- nodes or results alive at a time, as in a training step

report("a + b, one element, gradients off", 200000, function(n)
  gan.no_grad(function()
    for _ = 1, n // CHUNK do
      gan.scope(function() for _ = 1, CHUNK do local _ = a + b end end)
    end
  end)
end)
report("a:add(b), the same by name", 200000, function(n)
  gan.no_grad(function()
    for _ = 1, n // CHUNK do
      gan.scope(function() for _ = 1, CHUNK do local _ = a:add(b) end end)
    end
  end)
end)
report("a:sum(1, {keepdim = true}), with an option table", 200000, function(n)
  gan.no_grad(function()
    for _ = 1, n // CHUNK do
      gan.scope(function() for _ = 1, CHUNK do local _ = a:sum(1, { keepdim = true }) end end)
    end
  end)
end)
report("a + w recorded, without backward", 200000, function(n)
  for _ = 1, n // CHUNK do
    gan.scope(function() for _ = 1, CHUNK do local _ = a + w end end)
  end
end)
report("chain of multiplications, forward and backward, per node", 100000, function(n)
  for _ = 1, n // CHUNK do
    gan.scope(function()
      local x = w
      for _ = 1, CHUNK do x = x * a end
      x:sum():backward()
      w:zero_grad()
    end)
  end
end)
