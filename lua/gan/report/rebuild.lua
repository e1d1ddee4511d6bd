--- Models of a run folder, built again: from model.json, which is data, or by the run's script,
-- which somebody who trusts it has named.

local gan = require "gan"
local basics = require "gan.basics"
local blueprint = require "gan.nn.blueprint"
local json = require "gan.json"
local module = require "gan.nn.module"
local describe = require "gan.report.model"

local rebuild = {}

-- ---- from the script ------------------------------------------------------------------------

local arrived = {} -- raised where the script begins to train

--- A run that writes nothing and stops at the training loop.
local function make_visitor(seen)
  local Visitor = { __index = function(_, name)
    return function()
      error(("the script calls run:%s before its training loop"):format(tostring(name)), 0)
    end
  end }
  return function(given)
    return setmetatable({
      out = given.out, options = given.options or {}, resume = false,
      path = function(self, name) return self.out .. "/" .. name end,
      generator = function(_, o) seen.generator = describe.check(o) end,
      visit = function(loop)
        seen.state, seen.doctor = loop.state or {}, loop.doctor
        error(arrived, 0)
      end,
    }, Visitor)
  end
end

--- Runs `script` with the options of the run, up to its training loop. Returns what it trains, by
-- name, and a table as in model.json; or nil and a message.
local function from_script(script, folder)
  local chunk, message = loadfile(script, "t")
  if not chunk then
    return nil, message
  end
  local report, seen, before = require "gan.report", {}, rawget(_G, "arg")
  report.visitor = make_visitor(seen)
  rawset(_G, "arg", { [0] = script, "--resume", "--out", folder })
  local ok, problem = pcall(chunk, "--resume", "--out", folder)
  report.visitor = nil
  rawset(_G, "arg", before)
  if not seen.state then
    return nil, ok and script .. ": the script ended without gan.train.loop{run = run, ...}"
      or ("%s: %s"):format(script, tostring(problem))
  end
  return seen.state, describe.describe(seen.state, seen.generator, seen.doctor)
end

-- ---- from the folder ------------------------------------------------------------------------

local function read_json(path)
  local text, message = basics.read(path)
  if not text then
    return nil, message
  end
  local value, problem = json.decode(text)
  if type(value) ~= "table" then
    return nil, path .. ": " .. (problem or "no JSON object")
  end
  return value
end

local function plan_of(described, name, folder)
  local models = type(described.models) == "table" and described.models or {}
  local entry = models[name]
  if type(entry) ~= "table" then
    local names = basics.keys(models)
    return nil, ("%s has no model '%s'; it has %s"):format(folder, name,
      #names > 0 and table.concat(names, ", ") or "none")
  elseif not entry.plan then
    local why = type(entry.refusal) == "string" and entry.refusal
      or ("model '%s' is not described"):format(name)
    return nil, ("%s: %s; name the script that trained the run: --script FILE.lua"):format(folder,
      why)
  end
  return entry.plan
end

local SLACK = 64 * 2 ^ 20 -- bytes

--- A model as planned, with starting weights; nil and a message where it is much larger than the
-- weights `all` of the run, whatever its plan asks for.
local function build(plan, all)
  local bytes = 0
  for _, t in pairs(all) do
    bytes = bytes + 8 * t:numel()
  end
  local most = math.tointeger(gan.memory().live + 4 * bytes + SLACK)
  local before = gan.memory_limit(most)
  gan.memory_limit(before > 0 and math.min(before, most) or most)
  local m, message = blueprint.build(plan)
  gan.memory_limit(before > 0 and before or nil)
  return m, message
end

--- Loads weights of the model `name` out of `all` those of the run; a run with one model may have
-- saved it without its name. path: where they are from.
local function load_weights(m, name, all, path)
  local own, prefix = {}, name .. "."
  for key, t in pairs(all) do
    if key:sub(1, #prefix) == prefix then
      own[key:sub(#prefix + 1)] = t
    end
  end
  local ok, problem = pcall(m.load_state_dict, m, next(own) and own or all)
  if not ok then
    return nil, ("%s does not fit model '%s': %s"):format(path, name, tostring(problem))
  end
  return true
end

--- rebuild.model{folder, name=, script=} -> model with the run's weights, its name, and the table
-- of model.json; or nil and a message. Without a name it is the generator.
function rebuild.model(folder, given)
  local described, message, state
  if given.script then
    state, described = from_script(given.script, folder)
    message = described
  else
    described, message = read_json(folder .. "/model.json")
  end
  if given.script and not state or not described then
    return nil, message
  end
  local maker = type(described.generator) == "table" and described.generator or {}
  local name = given.name or maker.model
  if type(name) ~= "string" then
    return nil, folder .. ": the run has no generator: nothing in it makes samples from codes "
      .. "(a script says so by run:generator{G, codes = 64})"
  end
  local path = folder .. "/weights.safetensors"
  local all, unread = gan.files.load_safetensors(path)
  if not all then
    return nil, unread
  end
  local m = state and module.is_module(state[name]) and state[name]
  if not m then
    local plan, problem = plan_of(described, name, folder)
    if not plan then
      return nil, problem
    end
    m, message = build(plan, all)
    if not m then
      return nil, ("%s/model.json: %s"):format(folder, message)
    end
  end
  local ok, problem = load_weights(m, name, all, path)
  if not ok then
    return nil, problem
  end
  return m, name, described
end

-- ---- the generator --------------------------------------------------------------------------

local Generator = {}
Generator.__index = Generator

local LARGEST = 2 ^ 26 -- of the product of sizes

local function is_sizes(v)
  local product = 1.0
  if type(v) ~= "table" or #v == 0 then
    return false
  end
  for _, n in ipairs(v) do
    if math.type(n) ~= "integer" or n < 1 then
      return false
    end
    product = product * n
  end
  return product <= LARGEST
end

--- rebuild.generator(folder, {script=}) -> a generator; or nil and a message. Its fields: `codes`,
-- the sizes of a code; `labels`, the number of classes, or nil; `range`, of the values, or nil.
function rebuild.generator(folder, given)
  local m, name, described = rebuild.model(folder, { script = given.script })
  if not m then
    return nil, name
  end
  local o = described.generator
  if not is_sizes(o.codes) or o.sizes ~= nil and not is_sizes(o.sizes)
    or o.labels ~= nil and not is_sizes{ o.labels } then
    return nil, folder .. "/model.json: the sizes of the generator's codes are no list of "
      .. "integers, or too large"
  end
  local range = type(o.range) == "table" and type(o.range[1]) == "number"
    and type(o.range[2]) == "number" and o.range or nil
  return setmetatable({ model = m, name = name, codes = o.codes, labels = o.labels, range = range,
    sizes = o.sizes, activation = o.activation, statistics = o.batch_statistics }, Generator)
end

--- n random codes, (n, ...) from N(0, 1).
function Generator:draw(n)
  return gan.randn(n, table.unpack(self.codes))
end

local BATCH = 64 -- enough for statistics of a batch, little enough for the memory

--- Samples of codes, with their labels where the generator wants them. Where the run used the
-- statistics of a batch, so does this: fewer codes than a batch get company that is not returned.
function Generator:__call(codes, labels)
  local n, parts = #codes, {}
  self.model:train(self.statistics == true)
  for first = 1, n, BATCH do
    local last = math.min(n, first + BATCH - 1)
    local z, l = codes:slice(1, first, last), labels and labels:slice(1, first, last)
    local more = self.statistics and BATCH - (last - first + 1) or 0
    if more > 0 then
      z = gan.cat({ z, self:draw(more) }, { dim = 1 })
      l = l and gan.cat({ l, gan.randint(more, { hi = self.labels }) }, { dim = 1 })
    end
    local y = gan.no_grad(self.model, z, l)
    parts[#parts + 1] = more > 0 and y:slice(1, 1, last - first + 1) or y
  end
  local y = gan.cat(parts, { dim = 1 })
  if self.activation == "sigmoid" or self.activation == "tanh" then
    y = y[self.activation](y)
  end
  return self.sizes and y:reshape(n, table.unpack(self.sizes)) or y
end

return rebuild
