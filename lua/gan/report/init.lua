--- Run folders: what one training run leaves behind.
--
--     runs/gan/options.json          the options it was started with
--     runs/gan/metrics.jsonl         one line of numbers per epoch
--     runs/gan/run.json              how it ended, when, how long it took
--     runs/gan/weights.safetensors   replaced whole, never half written
--     runs/gan/*.png                 pictures
--
-- Every file is readable at any moment: also after Ctrl-C or a crash.

local gan = require "gan"
local json = require "gan.json"
local options = require "gan.options"

local report = {}

local Run = {}
Run.__index = Run
Run.__name = "gan.report.run"

local function plain(o)
  local copy = {}
  for key, v in pairs(o) do
    local kind = type(v)
    if kind == "string" or kind == "number" or kind == "boolean" then
      copy[key] = v
    end
  end
  return copy
end

local function must(ok, message)
  if not ok then
    error(message, 3)
  end
  return ok
end

--- Makes the folder and opens its log: report.run{"runs/gan", options=opt}. What an earlier run of
-- the same name logged is replaced. `options` is any table of strings, numbers and booleans.
-- Raises when the folder cannot be written.
function report.run(given)
  local o = options.check("report.run", given, "out:text ; options:table?")
  must(gan.files.mkdir(o.out))
  local self = setmetatable({ out = o.out, started = os.time(), clock = gan.files.time() }, Run)
  must(gan.files.replace(self:path "options.json", json.encode(plain(o.options or {})) .. "\n"))
  self.metrics = must(io.open(self:path "metrics.jsonl", "w"))
  self:finish "running"
  return self
end

--- The name of a file in the folder.
function Run:path(name)
  return self.out .. "/" .. name
end

--- Adds a line of numbers (and strings) to metrics.jsonl and hands it to the system at once.
function Run:log(values)
  must(self.metrics:write(json.encode(values), "\n"))
  must(self.metrics:flush())
end

--- Writes the weights of a model, or of several: run:save{G = G, D = D} gives the names
-- `G.0.weight`, `D.0.weight`. `name` is the file's name without ending, default "weights".
function Run:save(models, name)
  local state = {}
  if models.state_dict then
    state = models:state_dict()
  else
    for prefix, model in pairs(models) do
      for key, t in pairs(model:state_dict()) do
        state[prefix .. "." .. key] = t
      end
    end
  end
  must(gan.files.save_safetensors(self:path((name or "weights") .. ".safetensors"), state))
end

--- Notes how the run stands: "finished", "interrupted", or the message of an error.
function Run:finish(status)
  local text = json.encode{
    status = status or "finished", started = os.date("!%Y-%m-%dT%H:%M:%SZ", self.started),
    seconds = gan.files.time() - self.clock, version = gan.config.version,
    real = gan.config.real, threads = gan.threads(),
  }
  must(gan.files.replace(self:path "run.json", text .. "\n"))
end

return report
