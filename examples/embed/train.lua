-- Trains the generator that the hosts in this folder load.
--
--   cd examples/embed && gan-lua train.lua [generator.safetensors [steps]]

local tiny_gan = require "tiny_gan"

local trainer, G = tiny_gan.trainer{steps = tonumber(arg[2]) or 1500}
while trainer:step(1) do
  print(("step %4d  D %.3f  G %.3f"):format(trainer.steps, trainer.losses.D, trainer.losses.G))
end
assert(G:save(arg[1] or "generator.safetensors"))
