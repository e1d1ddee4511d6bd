--- Run folders: what one training run leaves behind.
--
--     runs/gan/options.json            the options it was started with
--     runs/gan/metrics.jsonl           one line of numbers per epoch
--     runs/gan/result.json             what it reached (run:result)
--     runs/gan/run.json                how it ended, when, how long it took
--     runs/gan/model.json              what models it has, and how to build them (report.model)
--     runs/gan/index.html              all of it on one page (report.page)
--     runs/gan/weights.safetensors     replaced whole, never half written
--     runs/gan/checkpoint-*            what --resume goes on from (gan.checkpoint)
--     runs/gan/start.json, script.lua  how it was started (gan.report.journal)
--     runs/gan/live.jsonl              what was changed while it ran
--     runs/gan/*.png                   pictures
--     runs/gan/generated.npz           samples for other programs (run:generated)
--     runs/gan/previous/               the run that was here before, with its checkpoints
--
-- Every file is readable at any moment: also after Ctrl-C or a crash. Training goes on where one
-- cannot be written (the disk is full): that is reported once, and tried again the next time.

local gan = require "gan"
local basics = require "gan.basics"
local checkpoint = require "gan.checkpoint"
local journal = require "gan.report.journal"
local json = require "gan.json"
local mute = require "gan.report.mute"
local options = require "gan.options"
local ranks = require "gan.ranks"
local reload = require "gan.train.reload"
local shown = require "gan.report.shown"

local report = {}

local Run = setmetatable({}, { __index = shown })
Run.__index = Run
Run.__name = "gan.report.run"

local function plain(o)
  local copy = {}
  for key, v in pairs(o) do
    local kind = type(v)
    if type(key) == "string" and (kind == "string" or kind == "number" or kind == "boolean") then
      copy[key] = v
    end
  end
  return copy
end

local function must(ok, message)
  if not ok then
    error(message, 4)
  end
  return ok
end

--- Removes what processes that were killed did not finish writing. A folder belongs to one run at a
-- time.
local function clean(folder)
  for _, name in ipairs(gan.files.list(folder) or {}) do
    if name:find "^.+%.%d+%-%d+%.tmp$" then
      os.remove(folder .. "/" .. name)
    end
  end
end

--- The pictures of moments of a run: samples-001.png.
local function pictures_of(folder)
  local paths = {}
  for _, name in ipairs(gan.files.list(folder) or {}) do
    if name:find "%-%d+%.png$" then
      paths[#paths + 1] = folder .. "/" .. name
    end
  end
  return paths
end

--- Makes room for a new run: an earlier one that could be resumed, or has pictures that the new one
-- might not replace, moves to the folder `previous`, and takes the place of what was there.
local function set_aside(out)
  local paths, previous = checkpoint.list(out), out .. "/previous"
  local pictures = pictures_of(out)
  if #paths + #pictures == 0 or not gan.files.mkdir(previous) then
    return
  end
  for _, list in ipairs{ checkpoint.list(previous), pictures_of(previous) } do
    for _, path in ipairs(list) do
      os.remove(path)
    end
  end
  table.move(pictures, 1, #pictures, #paths + 1, paths)
  for _, name in ipairs{ "options.json", "metrics.jsonl", "run.json", "weights.safetensors",
    "start.json", "script.lua", "live.jsonl", "result.json", "model.json", "index.html" } do
    os.remove(previous .. "/" .. name)
    paths[#paths + 1] = out .. "/" .. name
  end
  for _, path in ipairs(paths) do
    os.rename(path, previous .. path:sub(#out + 1))
  end
end

--- The metrics that a run has logged so far.
local function logged(run)
  return basics.read(run:path "metrics.jsonl") or ""
end

--- Makes the folder and opens its log: report.run{"runs/gan", options=opt, resume=opt.resume}.
-- `options` is any table of strings, numbers and booleans. With resume, the log goes on, and
-- gan.train.loop from the latest checkpoint; otherwise what an earlier run logged is replaced, and
-- one that has checkpoints is moved to the folder `previous`. Raises when the folder cannot be
-- written.
function report.run(given)
  local o = options.check("report.run", given, "out:text ; options:table? resume:bool=false")
  if report.visitor then
    return report.visitor(o) -- somebody wants the models of the script: gan.report.rebuild
  end
  if type(reload.active) == "table" then
    return reload.active -- the script is read again: see gan.train.reload
  end
  local given_out, plan = o.out, journal.plan
  if plan then
    o.out, o.resume = plan.to .. (o.out == plan.out and "" or "/" .. o.out:match "[^/]*$"), false
  end
  if not ranks.writer then
    return mute(Run, { out = o.out, given = o.options, given_out = given_out,
      options = plain(o.options or {}), resume = o.resume })
  end
  must(gan.files.mkdir(o.out))
  clean(o.out)
  if not o.resume then
    set_aside(o.out)
  end
  local self = setmetatable({ out = o.out, given = o.options, given_out = given_out,
    options = plain(o.options or {}), resume = o.resume, started = os.time(),
    clock = gan.files.time(), size = 0, unwritten = "", warned = {},
    random = gan.rng_state() }, Run)
  must(gan.files.replace(self:path "options.json", json.encode(self.options) .. "\n"))
  must(self:cut(o.resume and #logged(self) or 0))
  self.journal = journal.open(self, o.resume)
  self.replays = plan and given_out == plan.out and plan.entries or nil
  self:finish "running"
  return self
end

--- The name of a file in the folder.
function Run:path(name)
  return self.out .. "/" .. name
end

-- ---- the log --------------------------------------------------------------------------------

--- Puts `text` in the place of the log and goes on behind it.
local function rewrite(self, text)
  local path = self:path "metrics.jsonl"
  if self.metrics then
    self.metrics:close()
    self.metrics = nil
  end
  local ok, message = gan.files.replace(path, text)
  if ok then
    self.metrics, message = io.open(path, "a")
    self.size = #text
  end
  return self.metrics ~= nil, message
end

--- Shortens the log to its first `size` bytes, less if a line would be torn.
function Run:cut(size)
  local text = logged(self):sub(1, size):match("^.*\n") or ""
  self.unwritten = ""
  return rewrite(self, text)
end

--- Nothing was found from which to go on: the log is emptied.
function Run:restart()
  self.journal:cut(0)
  return self:cut(0)
end

--- The length of the log, for checkpoints; what lies before is on the disk.
function Run:state_dict()
  gan.files.sync(self:path "metrics.jsonl")
  return { size = self.size + #self.unwritten, live = self.journal.size }
end

--- Takes back what was logged after the checkpoint.
function Run:load_state_dict(state)
  self.journal:cut(math.tointeger(state.live) or 0)
  local ok, message = self:cut(math.tointeger(state.size) or 0)
  if not ok then
    self:warn(message)
  end
end

--- Prints a line about a file that cannot be written; `say` is where to (default standard error).
-- Each file is complained about once.
function Run:warn(message, name)
  if not self.warned[name or message] then
    self.warned[name or message] = true
    local say = self.say or function(text) io.stderr:write(text, "\n") end
    say(message .. "; going on without")
  end
end

--- Adds a line of numbers (and strings) to metrics.jsonl and hands it to the system at once. What
-- cannot be written is kept, and written with the next line. Returns true, or nil and a message.
function Run:log(values)
  self.unwritten = self.unwritten .. json.encode(values) .. "\n"
  local ok, message
  if self.metrics then
    ok, message = self.metrics:write(self.unwritten)
    if ok then
      ok, message = self.metrics:flush()
    end
  else -- what an earlier attempt wrote of its lines is cut off
    ok, message = rewrite(self, logged(self):sub(1, self.size)
      .. self.unwritten)
    if ok then
      self.size = self.size - #self.unwritten
    end
  end
  if ok then
    self.size, self.unwritten = self.size + #self.unwritten, ""
    self:show()
    return true
  end
  if self.metrics then
    self.metrics:close() -- it may write a part of the lines, or fail again
    self.metrics = nil
  end
  message = ("%s: %s"):format(self:path "metrics.jsonl", message)
  self:warn(message, "metrics.jsonl")
  return nil, message
end

-- ---- weights and pictures -------------------------------------------------------------------

local function reported(self, name, ok, message)
  if ok then
    return true
  end
  self:warn(message, name)
  return nil, message
end

Run.reported = reported

--- Writes the weights of a model, or of several: run:save{G = G, D = D} gives the names
-- `G.0.weight`, `D.0.weight`. `name` is the file's name without ending, default "weights". Returns
-- true, or nil and a message, which is printed the first time.
function Run:save(models, name)
  local state = {}
  name = (name or "weights") .. ".safetensors"
  if models.state_dict then
    state = models:state_dict()
  else
    for prefix, model in pairs(models) do
      for key, t in pairs(model:state_dict()) do
        state[prefix .. "." .. key] = t
      end
    end
  end
  return reported(self, name, gan.files.save_safetensors(self:path(name), state))
end

--- Writes images as one picture, run:image("samples-001", images, {columns = 10}): see
-- gan.image.save. Returns true, or nil and a message, which is printed the first time.
function Run:image(name, images, given)
  self:forget(self:path(name .. ".png"))
  return reported(self, "pictures", gan.image.save(self:path(name .. ".png"), images, given))
end

--- Writes n generated images, for a judge that needs nothing else, into generated.npz, or NAME.npz:
-- run:generated(10000, function(n) return G(gan.randn(n, 64)) end, {range = {-1, 1}, name = NAME}).
-- The function gets numbers of at most 500, runs without gradients, and returns images (n, C, H, W)
-- and, if there are any, their labels (n). In the file: `images`, uint8, and `labels`. Nothing is
-- written when n is 0. Returns true, or nil and a message, which is printed the first time.
function Run:generated(n, f, given)
  local o = options.check("run:generated", given or {}, "; range:list? name:text=generated")
  local lo, hi = table.unpack(o.range or { 0, 1 })
  local images, labels = {}, {}
  if n == 0 then
    return true
  end
  for first = 1, n, 500 do
    local x, y = gan.scope(function()
      local x, y = gan.no_grad(f, math.min(500, n - first + 1))
      return ((x - lo) * (255 / (hi - lo))):clamp{ min = 0, max = 255 }:round():to "uint8", y
    end)
    images[#images + 1], labels[#labels + 1] = x, y
  end
  local arrays = { images = gan.cat(images, { dim = 1 }),
    labels = #labels > 0 and gan.cat(labels, { dim = 1 }) or nil }
  local name = o.name .. ".npz"
  return reported(self, name, gan.files.save_npz(self:path(name), arrays))
end

--- Writes what the run reached, a table of numbers and strings, into result.json. Returns true, or
-- nil and a message, which is printed the first time.
function Run:result(values)
  return reported(self, "result.json", gan.files.replace(self:path "result.json",
    json.encode(values) .. "\n"))
end

--- Notes how the run stands: "finished", "interrupted", "terminated", or the message of an error.
function Run:finish(status)
  local text = json.encode{
    status = status or "finished", started = os.date("!%Y-%m-%dT%H:%M:%SZ", self.started),
    seconds = gan.files.time() - self.clock, version = gan.config.version,
    real = gan.config.real, threads = gan.threads(), isa = gan.isa(), blas = gan.config.blas,
    lua = _VERSION, random = self.random,
  }
  local ok, message = reported(self, "run.json", gan.files.replace(self:path "run.json",
    text .. "\n"))
  if status ~= "running" then
    self:show(true)
  end
  return ok, message
end

return report
