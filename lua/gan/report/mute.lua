--- The run folder of a process that does not write (gan.mpi): everything that a run does, done by
-- another process.

local gan = require "gan"
local ranks = require "gan.ranks"

local function size_of(path)
  local file = io.open(path, "rb")
  local size = file and file:seek "end" or 0
  if file then
    file:close()
  end
  return size
end

local function done()
  return true
end

local function nothing() end

--- What works here, too. When the writer is gone, a process may have to take its place.
local function methods(Run)
  local live = { path = Run.path, load_state_dict = nothing }
  function live.finish(self, status)
    return not ranks.writer or Run.finish(self, status)
  end
  function live.state_dict(self)
    return { size = size_of(self:path "metrics.jsonl"), live = size_of(self:path "live.jsonl") }
  end
  return live
end

--- The run of class Run with the fields given, without its effects.
return function(Run, self)
  local live = methods(Run)
  self.started, self.clock, self.warned = os.time(), gan.files.time(), {}
  self.journal = setmetatable({ size = 0 }, { __index = function() return nothing end })
  return setmetatable(self, { __name = Run.__name, __index = function(_, name)
    return live[name] or type(Run[name]) == "function" and done or Run[name]
  end })
end
