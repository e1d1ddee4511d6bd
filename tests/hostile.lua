-- busted's helper for the run with a hostile collector: a full collection at every call of the
-- runtime, and Lua's own collector as eager as it can be.
local gan = require "gan"

-- busted empties package.loaded after each file: what is loaded here, before them, stays the same
-- for all, and the parts of the library share their state through modules
for _, part in ipairs{ "nn", "optim", "loss", "data", "image", "train", "report", "help", "compile",
  "profile", "onnx", "checkpoint", "metrics", "noise", "vae", "adversarial", "doctor" } do
  assert(gan[part])
end

gan.debug.collect_every(tonumber(os.getenv "COLLECT_EVERY") or 1)
collectgarbage("incremental", 100, 1000, 1)
