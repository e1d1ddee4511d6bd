-- What scripts/kill-test runs: kill_all.lua PROGRAM FOLDER KILLS SEED.

local gan = require "gan"
local killing = require "tests.killing"

local program, folder, kills, seed = arg[1], arg[2], tonumber(arg[3]), tonumber(arg[4])

local cases = {
  { "dense GAN", "tests/resumable.lua --net dense --epochs 400 --width 64 --images 320" },
  { "convolutional GAN", "tests/resumable.lua --net conv --epochs 150 --width 16 --images 320" },
}
if gan.data.fashion_mnist{ split = "test" } then
  cases[3] = { "examples/gan.lua", "examples/gan.lua --images 2560 --epochs 12" }
  cases[4] = { "examples/dcgan.lua", "examples/dcgan.lua --images 5120 --epochs 12 --width 8" }
end

for i, case in ipairs(cases) do
  local started = gan.files.time()
  local count = killing.try{ program = program, command = case[2],
    folder = folder .. "/" .. i, kills = kills, seed = seed + i }
  assert(count.resumed > kills / 4, ("%s: killed before the first checkpoint in most cases, which "
    .. "shows little: make the run longer"):format(case[1]))
  print(("%s: killed %d times, resumed from a checkpoint %d times, to the end %d times: the same "
    .. "weights and log (%.0f s)"):format(case[1], count.kills, count.resumed, count.ends,
    gan.files.time() - started))
end
