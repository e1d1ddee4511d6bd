--- What a run says of itself for others to see: its models (model.json) and its page (index.html).
-- The functions here are methods of runs.

local gan = require "gan"
local describe = require "gan.report.model"
local json = require "gan.json"

local EVERY = 60 -- seconds between two writings of the page while a run goes on, at least
local SHARE = 50 -- times what writing it takes lie between two, at least

local Shown = {}

--- pcall that lets Ctrl-C through.
local function try(f, ...)
  local ok, result = pcall(f, ...)
  if not ok and tostring(result):find("interrupted!", 1, true) then
    error(result, 0)
  end
  return ok, result
end

--- Says which model makes samples: run:generator{G, codes = 64}, so that `gan-lua sample` and
-- others can use it; before train.loop, which knows of a GAN with a doctor by itself. Options:
--   codes             the size or sizes of a code, whose numbers are drawn from N(0, 1)
--   labels            the number of classes, where the model takes labels as well
--   range             {low, high} of its values; default: as its last layer tells
--   activation        "sigmoid" or "tanh", to be applied to its values
--   sizes             of a sample where the model gives rows, as in {1, 28, 28}
--   batch_statistics  true: samples are made in training mode; default: where the model has
--                     averaged weights, whose running statistics belong to others
function Shown:generator(given)
  self.maker = describe.check(given)
end

--- Writes model.json: the layers of the models in `state`, a table by name. train.loop does it; a
-- loop of one's own calls run:describe{G = G, D = D}. Returns true, or nil and a message, which is
-- printed: a model that cannot be described does not end its run.
function Shown:describe(state, doctor)
  local ok, text = try(function()
    return json.encode(describe.describe(state, self.maker, doctor)) .. "\n"
  end)
  if not ok then
    return self:reported("model.json", nil, self:path "model.json" .. ": " .. tostring(text))
  end
  return self:reported("model.json", gan.files.replace(self:path "model.json", text))
end

--- The page of the run as it stands. Addresses of pictures are kept: a minute later most of them
-- are the same.
local function render(self)
  self.addresses = self.addresses or {}
  return require "gan.report.page".render({ require "gan.report.read".run(self.out) },
    { cache = self.addresses })
end

--- Writes index.html (gan.report.page). While the run goes on, not more often than once a minute,
-- and less often where that takes long; `now` writes it in any case. Whatever goes wrong is told
-- once, and does not end the run. Returns true, or nil and a message.
function Shown:show(now)
  local started = gan.files.time()
  local wait = math.max(EVERY, SHARE * (self.page_cost or 0))
  if not now and self.shown and started - self.shown < wait then
    return true
  end
  local ok, text = try(render, self)
  local message = not ok and ("%s: %s"):format(self:path "index.html", tostring(text)) or nil
  if ok then
    ok, message = gan.files.replace(self:path "index.html", text)
  end
  self.shown = gan.files.time()
  self.page_cost = self.shown - started
  return self:reported("index.html", ok or nil, message)
end

--- A picture was written: what the page knows of one with that name is out of date.
function Shown:forget(path)
  if self.addresses then
    self.addresses[path] = nil
  end
end

return Shown
