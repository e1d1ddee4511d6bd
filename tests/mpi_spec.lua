-- Training by several processes: shares, gradients, statistics, losses like those of one process,
-- and what is left when a process dies. tests/ranks.lua is what the processes run.

local gan = require "gan"
local basics = require "gan.basics"
local killing = require "tests.killing"

local shell, read = killing.shell, basics.read

local program = require("tests.support").program()
local has_mpi = shell "command -v mpirun" == 0 and shell(program .. " -e 'gan = require [[gan]] "
  .. "gan.mpi.start()'") == 0
local folder = os.tmpname()
os.remove(folder)
gan.files.mkdir(folder)

-- what every Open MPI and MPICH understand; the rest is for more ranks than processors, as root,
-- and for time to save
local _, version = shell "mpirun --version"
local mpirun = "mpirun " .. (version:find("Open MPI", 1, true) and "--allow-run-as-root "
  .. "--oversubscribe --mca odls_base_sigkill_timeout 2 " or "")

--- Runs a case by n processes; n = 0: without mpirun. Returns exit code and output.
local function run(n, case, options)
  local command = ("GAN_THREADS=1 %s%s tests/ranks.lua %s %s %s"):format(
    n > 0 and mpirun .. "-n " .. n .. " " or "", program, case, options or "",
    n > 0 and "--mpi --mpi-sync-norm" or "")
  return shell(command)
end

local function must(n, case, options)
  local code, text = run(n, case, options)
  assert(code == 0, text)
  return text
end

local function at(name)
  return folder .. "/" .. name
end

--- A test that needs processes. The slow builds look at other things.
local function with_mpi(name, f)
  it(name, function()
    if not has_mpi then
      pending "there is no MPI: scripts/setup --mpi"
    elseif os.getenv "QUICK" then
      pending "too slow in this build"
    else
      f()
    end
  end)
end

local function numbers(path)
  local list = {}
  for line in assert(read(path)):gmatch "[^\n]+" do
    local d, g = line:match "^(%S+) (%S+)$"
    if d then
      list[#list + 1] = { tonumber(d), tonumber(g) }
    end
  end
  return list
end

describe("batches", function()
  --- The rows of the shares of every batch, put together again.
  local function united(make, size)
    local parts, result = {}, {}
    for rank = 0, size - 1 do
      parts[rank] = make()
      parts[rank]:share(rank, size)
    end
    for _ = 1, 2 * #parts[0] + 2 do
      local batch = {}
      for rank = 0, size - 1 do
        local x = parts[rank]()
        batch[#batch + 1] = x and x:reshape(#x):totable()
      end
      local rows = {}
      for _, part in ipairs(batch) do
        table.move(part, 1, #part, #rows + 1, rows)
      end
      result[#result + 1] = rows
    end
    return result
  end

  it("are cut into shares that make them up, in order", function()
    local x = gan.arange(1, 23):reshape(23, 1)
    local file = os.tmpname() .. ".npy"
    assert(gan.files.save_npy(file, x))
    for _, source in ipairs{ function() return x end,
      function() return assert(gan.data.rows(file)) end } do
      for _, shuffle in ipairs{ false, true } do
        local function make()
          return gan.data.batches{ source(), batch_size = 8, shuffle = shuffle, seed = 7 }
        end
        local whole = united(make, 1)
        assert.equal(8, #whole[1])
        assert.same(whole, united(make, 2))
        assert.same(whole, united(make, 3))
        assert.same(whole, united(make, 7))
      end
    end
    os.remove(file)
  end)

  it("say when they are too small to be shared", function()
    local batches = gan.data.batches{ gan.zeros(10, 2), batch_size = 8 }
    assert.has_error(function() batches:share(0, 3) end,
      "batches:share: a batch of 2 rows cannot be shared by 3 processes, drop_last = true leaves "
      .. "it out")
    batches = gan.data.batches{ gan.zeros(10, 2), batch_size = 2 }
    assert.has_error(function() batches:share(0, 3) end,
      "batches:share: a batch of 2 rows cannot be shared by 3 processes")
  end)
end)

describe("without gan.mpi", function()
  it("--mpi names the packages", function()
    local copy = at "gan-lua"
    assert(shell(("cp '%s' '%s'"):format(program, copy)) == 0)
    local code, text = shell(("LUA_CPATH=none '%s' tests/ranks.lua random --mpi"):format(copy))
    os.remove(copy)
    assert.not_equal(0, code)
    assert.matches("gan.mpi was not built", text, 1, true)
    assert.matches("libopenmpi-dev and openmpi-bin", text, 1, true)
    assert.matches("scripts/setup --mpi", text, 1, true)
  end)
end)

describe("the processes of a job", function()
  teardown(function()
    os.execute("rm -rf '" .. folder .. "'")
  end)

  with_mpi("draw their parts of what one process draws", function()
    must(3, "random")
  end)

  with_mpi("normalise by the whole batch, with gradients of two orders", function()
    must(3, "norm")
  end)

  with_mpi("average gradients, of shares of different sizes, while they are computed", function()
    must(1, "gradients")
    must(2, "gradients")
  end)

  with_mpi("have the losses of one process over 100 steps, and equal weights", function()
    must(0, "losses", "--losses " .. at "0" .. " --out " .. at "r0")
    local alone = numbers(at "0")
    assert.equal(200, #alone)
    for _, n in ipairs{ 1, 2, 4 } do
      local name = at(tostring(n))
      must(n, "losses", "--losses " .. name .. " --out " .. name .. "r")
      local found = numbers(name)
      assert.equal(#alone, #found)
      for i, pair in ipairs(found) do
        for k = 1, 2 do
          assert(math.abs(pair[k] - alone[i][k]) <= 1e-5 * math.abs(alone[i][k]),
            ("%d ranks, step %d: %.9g, alone %.9g"):format(n, i, pair[k], alone[i][k]))
        end
      end
    end
    must(2, "losses", "--losses " .. at "again" .. " --out " .. at "againr")
    assert(read(at "2") == read(at "again"), "a second run differs")
  end)

  with_mpi("leave writing and printing to the first of them, and do not compile", function()
    local text = must(2, "run", "--epochs 2 --compile --out " .. at "run")
    local lines = select(2, text:gsub("epoch %d/2", ""))
    assert.equal(2, lines)
    assert.matches("its gradients are averaged over the processes of a job", text, 1, true)
    local files = gan.files.list(at "run")
    table.sort(files)
    assert.matches("checkpoint-000002.safetensors", table.concat(files, " "), 1, true)
    assert.matches("of-rank-0.npy", table.concat(files, " "), 1, true)
    for _, name in ipairs(files) do
      assert(name ~= "of-rank-1.npy" and not name:find "tmp$", name)
    end
  end)

  for _, victim in ipairs{ 1, 0 } do
    with_mpi(("save and say so when number %d dies, and can be resumed"):format(victim), function()
      local out = at("dead" .. victim)
      -- one that is killed when the first epoch is in the log
      local code, text = shell(([[
        %s -n 3 sh -c '
          rank=${OMPI_COMM_WORLD_RANK:-$PMI_RANK}
          if [ "$rank" = %d ]; then
            GAN_THREADS=1 %s tests/ranks.lua run --epochs 1000000 --out %s --mpi & child=$!
            until [ -s %s/metrics.jsonl ]; do sleep 0.05; done
            kill -KILL $child
            wait $child
          else
            GAN_THREADS=1 exec %s tests/ranks.lua run --epochs 1000000 --out %s --mpi
          fi']]):format(mpirun, victim, program, out, out, program, out))
      assert.not_equal(0, code)
      assert.matches("was given up", text, 1, true)
      local step, path = text:match "step (%d+) is saved in (%S+)"
      assert(step, text)
      local position = {}
      assert(gan.checkpoint.load{ out, strict = false, say = error,
        state = { loop = { state_dict = function() return {} end,
          load_state_dict = function(_, saved) position = saved end } } }, path)
      assert.equal(tonumber(step), position.steps)
      -- one process goes on where three were
      local resumed = must(0, "run", ("--resume --epochs 1000000 --steps %d --out %s"):format(
        position.steps + 3, out))
      assert.matches("after step " .. step, resumed, 1, true)
    end)
  end
end)
