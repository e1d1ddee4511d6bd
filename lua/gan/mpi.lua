--- gan.mpi: training by several processes, on one machine or many.
--
--     mpirun -n 4 gan-lua examples/dcgan.lua --mpi
--
-- Every process (rank) runs the same script on its share of each batch; gradients are averaged
-- while they are computed. Scripts that read their options by gan.opts{..., run = folder} and train
-- by gan.train.loop need no change: --mpi is an option of all of them, and --mpi-sync-norm lets
-- batch normalisation use the statistics of the whole batch. In other scripts, before the models
-- are made:
--
--     local mpi = require("gan.mpi").start{sync_norm = true}     -- mpi.rank, mpi.size
--
-- What holds then, in gan.train.loop:
--   - Batches are cut: the shares of the ranks make up the batch that one process would have, in
--     the same order. Losses have to be means over the batch.
--   - loss:backward() leaves in p:grad() the gradient of the whole batch's loss, for every
--     parameter that an optimiser of the run trains. gan.grad is about this process only.
--   - Random numbers for a tensor with as many rows as the share, or twice as many, are this rank's
--     part of what one process would draw; all other numbers are the same on every rank. So with
--     the same batch size the losses are those of a single process, up to rounding. What looks at
--     the whole batch in other ways (nn.BatchNorm without sync_norm, batch statistics of a loss)
--     sees the share.
--   - Losses, the log and the progress are those of the whole batch. Rank 0 alone prints and
--     writes; a checkpoint can be resumed by any number of ranks.
--   - Every rank has to take the same way through the script: conditions on values of its own share
--     must not decide which gradients are computed, nor the order of pairs() that of operations.
--   - gan.compile does not record such a step, says so, and calls it as it is.
--
-- When a rank dies, the others are told to end: they give up the step, and the lowest rank that is
-- left on rank 0's machine saves the state at the end of the step before. Open MPI gives them one
-- second, which `mpirun --mca odls_base_sigkill_timeout 10` makes longer. If the whole machine is
-- gone, the checkpoint of every minute is what is left.
--
-- The ranks of a machine share its processors: each uses as many threads as there are processors
-- for each rank, and no more than it is bound to (mpirun --bind-to none), unless GAN_THREADS says
-- otherwise.

local gan = require "gan"
local options = require "gan.options"
local ranks = require "gan.ranks"

local mpi = {}

local HINT = "gan.mpi was not built: install an MPI (Debian: libopenmpi-dev and openmpi-bin, or "
  .. "scripts/setup --mpi) and run make again"

--- Where gan/mpi.so may be: beside the program or module that holds this code, where `make install`
-- puts it for a program in bin, and where Lua looks for modules.
local function find()
  local home, tried = gan.debug.job.home(), {}
  for _, folder in ipairs(home and { home, home .. "/../lib/lua/5.4" } or {}) do
    tried[#tried + 1] = folder .. "/gan/mpi.so"
  end
  tried[#tried + 1] = package.searchpath("gan.mpi", package.cpath)
  for _, path in ipairs(tried) do
    local file = io.open(path, "rb")
    if file then
      file:close()
      return path
    end
  end
  error(HINT .. " (looked for " .. table.concat(tried, ", ") .. ")", 0)
end

local function load_core()
  local path = find()
  local open, message = package.loadlib(path, "luaopen_gan_mpi_core")
  if not open then
    error(("%s cannot be loaded: %s"):format(path, message), 0)
  end
  return open()
end

--- Threads of a rank that shares its machine with `count` ranks.
local function share_processors(count)
  if not os.getenv "GAN_THREADS" then
    local processors = gan.debug.job.processors()
    gan.threads(math.max(1, math.min(gan.threads(), processors // count)))
  end
end

--- What a rank that does not write would write to files is left out.
local function mute(core)
  core.mute(1)
  for _, name in ipairs{ "save_safetensors", "save_npy", "save_npz", "save_wav", "write_png",
    "replace", "mkdir" } do
    local write = gan.files[name]
    gan.files[name] = write and function(...)
      if ranks.writer then
        return write(...)
      end
      return true
    end
  end
end

--- Makes this process a rank of the job that mpirun started; without mpirun, of a job of one. To be
-- called once, before models and optimisers are made. Returns the module, with `rank` (from 0) and
-- `size`. Option sync_norm: nn.BatchNorm uses the statistics of the whole batch. Raises where
-- gan.mpi was not built.
function mpi.start(given)
  local o = options.check("mpi.start", given or {}, "; sync_norm:bool=false")
  ranks.sync_norm = o.sync_norm
  if ranks.job then
    return mpi
  end
  local program, core = package.loaded["gan.program"] or {}, load_core()
  mpi.core, mpi.handle = core, core.begin(program.failed)
  mpi.rank, mpi.size = mpi.handle:place()
  mpi.processes = mpi.handle:neighbours()
  local count = 0
  for _ in pairs(mpi.processes) do
    count = count + 1
  end
  share_processors(count)
  gan.debug.job.open(mpi.handle:transport(), program.signal)
  ranks.rank, ranks.size, ranks.job = mpi.rank, mpi.size, gan.debug.job
  ranks.writer = mpi.rank == 0
  if not ranks.writer then
    mute(core)
  end
  return mpi
end

--- Tells MPI whether the ranks are to end together, as they do unless one of them is left alone.
function mpi.clean(yes)
  mpi.handle:clean(yes)
end

--- Whether a rank of this machine is gone; false also for one of another machine.
local function is_gone(rank)
  return mpi.processes[rank] ~= nil and not mpi.core.alive(mpi.processes[rank])
end

--- The ranks of this machine that are gone.
function mpi.dead()
  local list = {}
  for rank in pairs(mpi.processes) do
    list[#list + 1] = is_gone(rank) and rank or nil
  end
  table.sort(list)
  return list
end

--- Decides who saves what is left when the job ends early: the lowest rank that is alive on rank
-- 0's machine. From then on it writes. The others print nothing any more.
function mpi.elect()
  local heir = mpi.processes[0] ~= nil
  for rank = 0, mpi.rank - 1 do
    heir = heir and (mpi.processes[rank] == nil or is_gone(rank))
  end
  ranks.writer = heir
  if not heir then
    mpi.core.mute(2)
  end
  return heir
end

--- What was sent so far, for measurements: passes (whose gradients were averaged), messages and
-- bytes of them, early (messages that had arrived before their pass was over), waiting and passing
-- (seconds at the ends of passes, and in passes), others and other_bytes (statistics and losses).
function mpi.stats()
  return gan.debug.job.stats()
end

return mpi
