--- What a run folder says about its models: the file model.json.
--
--     models.G.layers       name, layer, output sizes (where they are known), parameters
--     models.G.plan         the model as data (gan.nn.blueprint), where it can be put so
--     models.G.refusal      a sentence, where it cannot
--     generator             which model makes samples, from what codes, and what its values mean
--
-- `gan-lua sample` and its like build the generator from it, without running the run's script.

local gan = require "gan"
local blueprint = require "gan.nn.blueprint"
local module = require "gan.nn.module"
local options = require "gan.options"

local model = {}

local BATCH = 2 -- of the inputs with which models are called for their sizes

--- The layers of a model with the sizes of what they return, for an input of `sizes` without the
-- batch; nil when it takes no such input. Random numbers stay as they were.
local function sized_rows(m, sizes)
  local random = gan.rng_state()
  local ok, summary = pcall(m.summary, m, table.move(sizes, 1, #sizes, 2, { BATCH }))
  gan.set_rng_state(random)
  local list = {}
  for i, row in ipairs(ok and summary or {}) do
    row.output = row.output:gsub("%(" .. BATCH .. "%f[%D]", "(N")
    list[i] = row
  end
  return #list > 0 and list or nil
end

--- The sizes of a model's result without the batch, from its rows.
local function result_sizes(rows)
  local sizes = {}
  for n in rows[#rows].output:gmatch " x (%d+)" do
    sizes[#sizes + 1] = math.tointeger(tonumber(n))
  end
  return #sizes > 0 and sizes or nil
end

--- The layers of a model as rows, with sizes if those of its input are known.
local function rows_of(m, sizes)
  local list = sizes and sized_rows(m, sizes)
  if list then
    return list
  end
  list = {}
  for name, layer in m:modules() do
    local own = name == "" and 0 or layer:num_parameters()
    if name ~= "" and not layer[1] then
      list[#list + 1] = { name = name, layer = module.signature(layer), parameters = own }
    end
  end
  return list
end

local function describe(m, sizes)
  local plan, refusal = blueprint.describe(m)
  return { kind = m:kind(), parameters = m:num_parameters(),
    trainable = m:num_parameters{ trainable = true }, layers = gan.json.array(rows_of(m, sizes)),
    plan = plan, refusal = refusal }
end

-- Layers that leave the range of values as it is.
local moves = { Flatten = true, Unflatten = true, Identity = true, PixelShuffle = true }

--- The kind of the layer from which the values of a model come.
local function last_kind(m)
  for i = #m, 1, -1 do
    local kind = module.is_module(m[i]) and last_kind(m[i])
    if not moves[kind] then
      return kind
    end
  end
  return m:kind()
end

--- The range of a model's values as its last layer tells; nil: it does not.
local function range_of(m)
  local kind = last_kind(m)
  return kind == "Tanh" and { -1, 1 } or kind == "Sigmoid" and { 0, 1 } or nil
end

local function is_averaged(m, state)
  local first = m:parameters()[1]
  for _, v in pairs(state) do
    local meta = type(v) == "table" and getmetatable(v)
    if type(meta) == "table" and meta.__name == "gan.optim.EMA" and v.params[1] == first then
      return true
    end
  end
  return false
end

local spec = "model:any codes:ints ; labels:count? range:any? activation:none|sigmoid|tanh=none "
  .. "sizes:ints? batch_statistics:bool?"

--- Checks the table of run:generator.
function model.check(given)
  local o = options.check("run:generator", given, spec, 4)
  if not module.is_module(o.model) then
    error("run:generator: takes a model first, as in run:generator{G, codes = 64}", 3)
  end
  o.codes = type(o.codes) == "table" and o.codes or { o.codes }
  o.sizes = type(o.sizes) == "number" and { o.sizes } or o.sizes
  return o
end

--- What a GAN's doctor knows of the generator; nil where the generator wants more than codes.
local function from_doctor(doctor)
  if not doctor or doctor.G.takes_labels then
    return nil
  end
  return { model = doctor.G, codes = table.move(doctor.codes:shape(), 2, doctor.codes:dim(), 1, {}),
    activation = "none" }
end

--- The text of model.json, as a table: `state` is what is trained by name (models among it),
-- `generator` what run:generator was given, `doctor` the training loop's.
function model.describe(state, generator, doctor)
  generator = generator or from_doctor(doctor)
  local result = { models = {} }
  local made = generator and not generator.labels and sized_rows(generator.model, generator.codes)
  local sizes = made and (generator.sizes or result_sizes(made)) -- what a discriminator looks at
  for name, m in pairs(state) do
    if type(name) == "string" and module.is_module(m) then
      local is_generator = generator and rawequal(generator.model, m)
      result.models[name] = describe(m, made and (is_generator and generator.codes or sizes))
      if is_generator then
        local statistics = generator.batch_statistics
        if statistics == nil then
          statistics = is_averaged(m, state)
        end
        result.generator = { model = name, codes = generator.codes, labels = generator.labels,
          range = generator.range or generator.activation == "sigmoid" and { 0, 1 }
            or generator.activation == "tanh" and { -1, 1 } or range_of(m),
          activation = generator.activation, sizes = generator.sizes,
          batch_statistics = statistics }
      end
    end
  end
  return result
end

return model
