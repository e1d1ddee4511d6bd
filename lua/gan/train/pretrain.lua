--- Greedy layer-wise pre-training (Hinton and Salakhutdinov 2006; Bengio et al. 2007): one hidden
-- layer at a time is trained as an auto-encoder of the layer below, the others standing still; then
-- the whole, unrolled, is fine-tuned.
--
--     local layers = gan.train.pretrain{
--       encoder = {e1, e2, e3}, decoder = {d3, d2, d1},
--       optimiser = function(parameters) return optim.Adam{parameters, lr = 1e-3} end,
--     }
--     for _ = 1, #layers do
--       for images in batches:epoch() do print(layers:step(images)) end
--       layers:advance()
--     end
--     local net = nn.Sequential{e1, e2, e3, d3, d2, d1}        -- now fine-tune it

local gan = require "gan"
local module = require "gan.nn.module"
local options = require "gan.options"

local Pretraining = {}
Pretraining.__index = Pretraining
Pretraining.__name = "gan.train.pretrain"

--- train.pretrain{...}: the stages of a pre-training. Options:
--   encoder    list of modules, from the input to the code; each is one stage
--   decoder    list of as many, from the code to the output: the last belongs to the first encoder
--   optimiser  function(parameters) -> an optimiser over them
--   error      function(output, target) -> a tensor of one element, or a list of one per stage;
--              default gan.loss.squared_error
--   corrupt    function(input) -> what the encoder of the stage reads instead (gan.noise);
--              optional: with it, the stages are denoising auto-encoders (Vincent et al. 2010)
-- The result's length is the number of stages; its field `stage` is the one that is trained,
-- `done` whether all are. Its state goes into train.loop's `state`.
local function new(given)
  local o = options.check("train.pretrain", given, "; encoder:list decoder:list "
    .. "optimiser:callable error:any? corrupt:callable?")
  if #o.encoder == 0 or #o.encoder ~= #o.decoder then
    error(("train.pretrain: %d encoders and %d decoders"):format(#o.encoder, #o.decoder), 2)
  end
  local self = setmetatable({ encoder = o.encoder, decoder = {}, optimisers = {}, errors = {},
    stage = 1, done = false, _corrupt = o.corrupt }, Pretraining)
  for i, encoder in ipairs(o.encoder) do
    local decoder = o.decoder[#o.decoder + 1 - i]
    if not module.is_module(encoder) or not module.is_module(decoder) then
      error(("train.pretrain: stage %d is not a pair of modules"):format(i), 2)
    end
    local parameters, seen = {}, {}
    for _, m in ipairs{ encoder, decoder } do
      for _, p in ipairs(m:parameters()) do
        parameters[#parameters + 1] = not seen[p] and p or nil
        seen[p] = true
      end
    end
    self.decoder[i], self.optimisers[i] = decoder, o.optimiser(parameters)
    self.errors[i] = type(o.error) == "table" and not (getmetatable(o.error) or {}).__call
      and o.error[i] or o.error or gan.loss.squared_error
  end
  return self
end

function Pretraining:__len()
  return #self.encoder
end

--- What the encoder of stage `i` reads: the images, encoded by the stages below.
function Pretraining:input(x, i)
  return gan.no_grad(function()
    for k = 1, i - 1 do
      x = self.encoder[k](x)
    end
    return x
  end)
end

--- One step of the present stage (or of stage `i`) on a batch. Returns its error.
function Pretraining:step(x, i)
  i = i or self.stage
  local h = self:input(x, i)
  local optimiser = self.optimisers[i]
  local read = self._corrupt and self._corrupt(h) or h
  local error_now = self.errors[i](self.decoder[i](self.encoder[i](read)), h)
  optimiser:zero_grad()
  error_now:backward()
  optimiser:step()
  return error_now
end

--- Goes on to the next stage. Returns true, or false when that was the last.
function Pretraining:advance()
  if self.stage < #self.encoder then
    self.stage = self.stage + 1
    return true
  end
  self.done = true
  return false
end

--- Where the pre-training stands; what the modules have learnt is theirs to save.
function Pretraining:state_dict()
  local state = { stage = self.stage, done = self.done, optimisers = {} }
  for i, optimiser in ipairs(self.optimisers) do
    state.optimisers[i] = optimiser:state_dict()
  end
  return state
end

--- Takes over what state_dict gave.
function Pretraining:load_state_dict(state)
  for i, optimiser in ipairs(self.optimisers) do
    optimiser:load_state_dict(state.optimisers[i])
  end
  self.stage, self.done = math.tointeger(state.stage), state.done
end

return new
