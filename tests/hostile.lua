-- busted's helper for the run with a hostile collector: a full collection at every call of the
-- runtime, and Lua's own collector as eager as it can be.
local gan = require "gan"

gan.debug.collect_every(tonumber(os.getenv "COLLECT_EVERY") or 1)
collectgarbage("incremental", 100, 1000, 1)
