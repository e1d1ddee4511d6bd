--- `require "gan"`: the tensors and ops of the runtime, and the parts of the library written in
-- Lua, which are loaded when they are first used. Makes no globals.

local gan = require "gan.core"

-- field of `gan` -> the file that it is loaded from
local parts = {
  nn = "gan.nn",
  optim = "gan.optim",
  loss = "gan.loss",
  data = "gan.data",
  image = "gan.image",
  train = "gan.train",
  metrics = "gan.metrics",
  noise = "gan.noise",
  vae = "gan.vae",
  checkpoint = "gan.checkpoint",
  report = "gan.report",
  repl = "gan.repl",
  help = "gan.help",
  json = "gan.json",
  options = "gan.options",
  gradcheck = "gan.gradcheck",
  pretty = "gan.pretty",
  opts = "gan.train.options",
  onnx = "gan.onnx",
  profile = "gan.profile",
  compile = "gan.compile",
  adversarial = "gan.adversarial",
  doctor = "gan.doctor",
  mpi = "gan.mpi",
  ranks = "gan.ranks",
  show = "gan.show",
  poll = "gan.train.poll",
}

-- Where package.loaded was emptied, the library is loaded again, and all of it: its parts share
-- state through their modules.
for key in pairs(parts) do
  rawset(gan, key, nil)
end

return setmetatable(gan, {
  parts = parts,
  __index = function(self, key)
    local part = parts[key] and require(parts[key])
    if part ~= nil then
      rawset(self, key, part)
    end
    return part
  end,
})
