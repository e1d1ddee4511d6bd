--- gan.adversarial: what helps the training of adversarial nets, apart from their objectives
-- (gan.loss) and layers (gan.nn).
--
--     local batches = adversarial.rounds(batches, 5)       -- five critic updates for one of G
--     local clip = adversarial.clipping{D_opt, c = 0.01}   -- the weights of a critic
--     D(adversarial.pack(images, 2))                       -- PacGAN
--     local augment = adversarial.augment{"translation", "cutout"}
--     local noise = adversarial.noise{0.1, steps = 2000}
--     adversarial.unroll{D, steps = 5, lr = 1e-3, loss = ..., generator = ...}

local gan = require "gan"
local options = require "gan.options"
local dynamic = require "gan.dynamic"

local adversarial = {
  augment = require "gan.adversarial.augment",
  unroll = require "gan.adversarial.unroll",
}

-- ---- schedules ------------------------------------------------------------------------------

local Rounds = { __name = "gan.adversarial.rounds" }
Rounds.__index = Rounds

--- adversarial.rounds(batches, k): k batches at a time, for steps that update the discriminator k
-- times: step(first, second, ...). With labels, step(images, labels, images, labels, ...). What is
-- left over at the end of an epoch is not used. `batches` is what gan.data.batches makes, or a
-- function that returns nil at the end of each epoch.
function adversarial.rounds(batches, k)
  if math.type(k) ~= "integer" or k < 1 then
    error("adversarial.rounds: takes batches and a positive integer", 2)
  end
  return setmetatable({ batches = batches, k = k }, Rounds)
end

function Rounds:__call()
  local all = { n = 0 }
  for _ = 1, self.k do
    local batch = table.pack(self.batches())
    if batch[1] == nil then
      return nil
    end
    table.move(batch, 1, batch.n, all.n + 1, all)
    all.n = all.n + batch.n
  end
  return table.unpack(all, 1, all.n)
end

--- Rounds in an epoch.
function Rounds:__len()
  return #self.batches // self.k
end

--- As batches:share.
function Rounds:share(rank, size)
  if type(self.batches) == "table" and self.batches.share then
    self.batches:share(rank, size)
  else
    error("adversarial.rounds: batches that are shared are those of gan.data.batches", 2)
  end
end

--- The place in the data, for checkpoints.
function Rounds:state_dict()
  return self.batches.state_dict and self.batches:state_dict() or {}
end

--- Goes back to the place that state_dict gave.
function Rounds:load_state_dict(state)
  if self.batches.load_state_dict then
    self.batches:load_state_dict(state)
  end
end

-- ---- weights --------------------------------------------------------------------------------

--- Whether a group of an optimiser's parameters has momentum; beta 1 is 0.9 where it is not given.
local function has_momentum(optimizer, group)
  local adaptive = optimizer._kind and optimizer._kind.options:find("betas", 1, true)
  return (group.momentum or 0) > 0
    or adaptive ~= nil and (group.betas and group.betas[1] or 0.9) > 0
end

--- adversarial.clipping{optimizer, c=0.01, warn=function}: a function that limits the weights that
-- the optimiser trains to [-c, c]: call it after each step of the critic (Arjovsky et al. 2017,
-- algorithm 1). An optimiser with momentum is warned of, once: the paper found that training with
-- it becomes unstable, because the critic's loss is not stationary. `warn` gets the sentence;
-- default: the standard error.
function adversarial.clipping(given)
  local o = options.check("adversarial.clipping", given,
    "optimizer:table ; c:number=0.01 warn:callable?")
  if type(o.optimizer.groups) ~= "table" then
    error("adversarial.clipping: takes an optimiser, as in adversarial.clipping{D_opt, c = 0.01}",
      2)
  elseif o.c <= 0 then
    error(("adversarial.clipping: c must be above 0, not %g"):format(o.c), 2)
  end
  local params, warn = {}, o.warn or function(text) io.stderr:write(text, "\n") end
  for _, group in ipairs(o.optimizer.groups) do
    table.move(group.params, 1, #group.params, #params + 1, params)
    if warn and has_momentum(o.optimizer, group) then
      warn("adversarial.clipping: the critic's optimiser has momentum, with which a Wasserstein "
        .. "GAN with clipped weights is unstable; use optim.RMSprop, or betas = {0, 0.9}")
      warn = nil
    end
  end
  return function()
    gan.clip_(params, { lo = -o.c, hi = o.c })
  end
end

-- ---- inputs of the discriminator ------------------------------------------------------------

--- adversarial.pack(x, m): m samples side by side in the channels, which the discriminator judges
-- together (PacGAN: Lin et al. 2018). (N, C, ...) -> (N/m, m C, ...): sample i is packed with those
-- that follow it. Use it for real and generated inputs, and give D m times the channels.
function adversarial.pack(x, m)
  local sizes = x:shape()
  if #sizes < 2 or math.type(m) ~= "integer" or m < 1 or sizes[1] % m ~= 0 then
    error(("adversarial.pack: (%s) cannot be packed by %s"):format(table.concat(sizes, " x "),
      tostring(m)), 2)
  end
  sizes[1], sizes[2] = sizes[1] // m, sizes[2] * m
  return x:reshape(sizes)
end

local Noise = { __name = "gan.adversarial.noise" }
Noise.__index = Noise

--- adversarial.noise{std, steps=0}: instance noise (Sønderby et al. 2017), a function that adds
-- normal noise to what the discriminator sees, real or generated. With `steps` the standard
-- deviation falls along a line to 0 in so many calls of noise:step(), one for each training step.
function adversarial.noise(given)
  local o = options.check("adversarial.noise", given, "std:number ; steps:int=0")
  if not (o.std >= 0 and o.std < math.huge) or o.steps < 0 then
    error("adversarial.noise: std and steps must not be negative", 2)
  end
  return setmetatable({ std = o.std, steps = o.steps, done = 0,
    scale = gan.tensor(o.std + 0.0):keep() }, Noise)
end

--- The standard deviation at present.
function Noise:now()
  return self.steps > 0 and self.std * math.max(0, 1 - self.done / self.steps) or self.std
end

function Noise:__call(x)
  return x + gan.randn_like(x) * self.scale
end

local function set_scale(self)
  self.scale:fill_(self:now())
end

local function advance(self)
  self.done = self.done + 1
  set_scale(self)
end

--- One training step is over.
function Noise:step()
  gan.no_grad(dynamic, advance, self)
end

--- The steps so far, for checkpoints.
function Noise:state_dict()
  return { done = self.done }
end

--- Takes over what state_dict gave.
function Noise:load_state_dict(state)
  self.done = math.tointeger(state.done) or 0
  gan.no_grad(set_scale, self)
end

return adversarial
