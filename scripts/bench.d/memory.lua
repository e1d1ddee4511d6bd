-- 20,000 steps of a small net: what the program holds with the collector alone and with a scope.
local gan = require "gan"

local w1, w2 = gan.randn(256, 256):requires_grad_(), gan.randn(256, 64):requires_grad_()
local x = gan.randn(128, 256)

local function step()
  local loss = x:matmul(w1):tanh():matmul(w2):square():mean()
  loss:backward()
  w1:zero_grad()
  w2:zero_grad()
end

local function run(n, f)
  collectgarbage()
  collectgarbage()
  gan.reset_peak()
  for _ = 1, n do f() end
  return gan.memory()
end

local mib = 2 ^ 20
local steps = tonumber(arg[1]) or 20000
local base = gan.memory().live
local one = run(1, function() gan.scope(step) end)
print(("one step needs           %8.2f MiB"):format((one.peak - base) / mib))
local scoped = run(steps, function() gan.scope(step) end)
print(("%d steps, scoped      %8.2f MiB peak, %.3f times one step"):format(
  steps, (scoped.peak - base) / mib, (scoped.peak - base) / (one.peak - base)))
local loose = run(steps, step)
print(("%d steps, no scope    %8.2f MiB peak"):format(steps, (loose.peak - base) / mib))
gan.memory_limit(64 * mib)
local limited = run(steps, step)
print(("%d steps, limit 64 MiB%8.2f MiB peak"):format(steps, limited.peak / mib))
