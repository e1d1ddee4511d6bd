--- Penalties on the slope of a discriminator. `require "gan.loss"` has all of them.
--
-- D is the discriminator, or a function of one argument (a conditional one closes over its labels).
-- Each penalty is differentiated twice: D must be made of ops that can be.

local gan = require "gan"
local options = require "gan.options"

local loss = {}

--- The gradient of D's output for each input of a batch (N, ...), with a graph of its own.
local function slope(D, x)
  x = gan.require_grad(x:detach())
  return gan.grad(D(x):sum(), x, { create_graph = true })
end

--- (N, 1, ..., 1), for as many dimensions as x has.
local function per_sample(x)
  local sizes = { x:size(1) }
  for i = 2, x:dim() do
    sizes[i] = 1
  end
  return sizes
end

--- mean over the batch of (|slope| - center)^2, or of what is above center.
local function from_center(g, o)
  local excess = g:flatten(2):norm(2, { dims = { 2 } }) - o.center
  return (o.one_sided and excess:relu() or excess):square():mean()
end

--- The penalty of Gulrajani et al. 2017: mean over the batch of (|gradient of D| - center)^2 at
-- random points between real and fake inputs (N, ...). Multiply by 10 and add to the critic's
-- loss. Options: center = 1; one_sided = true lets smaller slopes be (Petzka et al. 2018).
function loss.gradient_penalty(D, real, fake, given)
  local o = options.check("gradient_penalty", given or {},
    "; center:number=1 one_sided:bool=false")
  local part = gan.rand(per_sample(real))
  return from_center(slope(D, part * real + (1 - part) * fake), o)
end

--- R1 of Mescheder et al. 2018: mean over the batch of |gradient of D|^2 at real inputs; multiply
-- by gamma / 2. At generated ones it is their R2.
function loss.r1_penalty(D, real)
  return slope(D, real):square():flatten(2):sum(2):mean()
end

--- DRAGAN (Kodali et al. 2017): as gradient_penalty, at points around the real inputs: each is
-- moved by a random part of uniform noise of [0, strength * standard deviation of the batch).
-- Options: strength = 0.5, center = 1, one_sided = false.
function loss.dragan_penalty(D, real, given)
  local o = options.check("dragan_penalty", given or {},
    "; strength:number=0.5 center:number=1 one_sided:bool=false")
  local spread = real:detach():std{ correction = 0 } * o.strength
  local moved = real + gan.rand(per_sample(real)) * spread * gan.rand_like(real)
  return from_center(slope(D, moved), o)
end

return loss
