--- gan.profile(f, ...): where the time of f(...) goes, op by op.
--
--     gan.profile(function() for _ = 1, 100 do step(batch) end end)
--
--     op                       calls   time ms   share   us/call   GFLOP/s    GB/s
--     linear backward            400     98.20   48.1%     245.5     171.0     8.1
--     linear                     400     51.07   25.0%     127.7     164.4     9.0
--     ...
--     outside ops                          6.02    2.9%
--
-- Prints the table and returns it: a list of {op=, backward=, calls=, seconds=, flops=, bytes=},
-- the longest first, with the field seconds (all of f). gan.profile{f, quiet=true} prints nothing;
-- tostring(result) is the table as text. A gradient counts as one call, with the ops inside it.
-- flops are those of products and convolutions; bytes are those of the tensors that came in and
-- went out, each once. Of a step that gan.compile replays the table shows every operation by
-- itself, so chains of loops are not run block by block meanwhile. A profile inside another is an
-- error.

local gan = require "gan"
local options = require "gan.options"

local Profile = { __name = "gan.profile" }

local running = false

--- A quotient as text; a dash where there is nothing to divide.
local function rate(amount, seconds)
  return amount > 0 and seconds > 0 and ("%.1f"):format(amount / seconds * 1e-9) or "-"
end

function Profile:__tostring()
  local lines = { ("%-24s %8s %9s %7s %9s %9s %7s"):format("op", "calls", "time ms", "share",
    "us/call", "GFLOP/s", "GB/s") }
  local inside = 0
  for _, r in ipairs(self) do
    inside = inside + r.seconds
    lines[#lines + 1] = ("%-24s %8d %9.2f %6.1f%% %9.1f %9s %7s"):format(
      r.op .. (r.backward and " backward" or ""), r.calls, r.seconds * 1e3,
      100 * r.seconds / self.seconds, r.seconds / r.calls * 1e6, rate(r.flops, r.seconds),
      rate(r.bytes, r.seconds))
  end
  local outside = self.seconds - inside
  lines[#lines + 1] = ("%-24s %8s %9.2f %6.1f%%"):format("outside ops", "", outside * 1e3,
    100 * outside / self.seconds)
  lines[#lines + 1] = ("%-24s %8s %9.2f"):format("all", "", self.seconds * 1e3)
  return table.concat(lines, "\n")
end

return function(given, ...)
  local o = { quiet = false }
  if type(given) == "table" and not (getmetatable(given) or {}).__call then
    o = options.check("profile", given, "f:callable ; quiet:bool=false")
  elseif type(given) ~= "function" and type(given) ~= "table" then
    error("profile: takes a function, as in gan.profile(function() ... end)", 2)
  else
    o.f = given
  end
  if running then
    error("profile: is running already", 2)
  end
  -- switched off again when f fails
  local _ <close> = setmetatable({}, { __close = function()
    running = false
    gan.debug.profile(false)
  end })
  running = true
  gan.debug.profile(true)
  local start = gan.files.time()
  o.f(...)
  local seconds = gan.files.time() - start
  local result = setmetatable(gan.debug.profile(false) or {}, Profile)
  result.seconds = seconds
  table.sort(result, function(a, b) return a.seconds > b.seconds end)
  if not o.quiet then
    print(result)
  end
  return result
end
