-- Run by lighttpd for each request. What modules hold lives as long as the server: the
-- generator is loaded once. GET /sample.png?n=4&seed=1; without a seed, fresh pictures.
-- luacheck: globals lighty
local gan = require "gan"
local tiny_gan = require "tiny_gan"

local kept = tiny_gan.kept
if not kept then
  gan.threads(1) -- an event loop: other connections wait while a picture is drawn
  kept = {
    draw = tiny_gan.open(os.getenv "GENERATOR" or "generator.safetensors"),
    seed = os.time() * 1000,
  }
  tiny_gan.kept = kept
end

local function number(name)
  local query = "&" .. (lighty.r.req_attr["uri.query"] or "")
  return math.tointeger(tonumber(query:match("&" .. name .. "=(%d+)")))
end

kept.seed = kept.seed + 1
local n = math.max(1, math.min(number "n" or 4, 64))
lighty.r.resp_body.set(kept.draw(n, number "seed" or kept.seed))
lighty.r.resp_header["Content-Type"] = "image/png"
lighty.r.resp_header["Cache-Control"] = "no-store"
return 200
