-- gan.train.trainer: the training loop in turns of a host's loop; pictures as bytes.
local gan = require "gan"
local fails = require("tests.support").fails
local settle = require("tests.support").settle
local scratch = require("tests.scratch").new()

teardown(scratch.remove)

--- A net that learns to add; the options of its training, and the net.
local function problem(more)
  gan.manual_seed(3)
  local net = gan.nn.Linear{ 2, 1 }
  local adam = gan.optim.Adam{ net:parameters(), lr = 0.02 }
  local x = gan.randn(64, 2)
  local o = {
    epochs = 3, batches = gan.data.batches{ x, x:sum{ dim = 2, keepdim = true }, batch_size = 16 },
    step = function(a, b)
      local loss = gan.mse_loss(net(a), b)
      adam:zero_grad()
      loss:backward()
      adam:step()
      return { loss = loss }
    end,
  }
  for key, v in pairs(more or {}) do
    o[key] = v
  end
  o.state = o.state and { net = net, adam = adam }
  return o, net
end

describe("a trainer", function()
  it("takes one step at a time, and arrives where the loop does, to the last bit", function()
    local o, net = problem()
    o.quiet = true
    gan.train.loop(o)
    local wanted = net.weight:bytes()
    o, net = problem()
    local trainer, turns = gan.train.trainer(o), 0
    assert.equal(0, trainer.steps)
    while trainer:step() do
      turns = turns + 1
      assert.equal(turns, trainer.steps)
      assert.equal((turns - 1) // 4 + 1, trainer.epoch)
      assert.equal("number", type(trainer.losses.loss))
    end
    assert.equal(12, turns)
    assert.is_true(wanted == net.weight:bytes())
    assert.is_false(trainer:step())
  end)

  it("wants a table of numbers from its steps", function()
    for _, wrong in ipairs{ 5, "loss" } do
      local trainer = gan.train.trainer(problem{ step = function() return wrong end })
      fails("a table of losses by name, not a " .. type(wrong), trainer.step, trainer)
    end
    local trainer = gan.train.trainer(problem{ step = function() return { G = "x" } end })
    fails("the loss 'G' of 'step' is a string, not a number", trainer.step, trainer)
  end)

  it("frees every step, also while the host has a scope open", function()
    local o = problem{ epochs = 1000 }
    local trainer = gan.train.trainer(o)
    trainer:step()
    local before = settle().tensors
    gan.scope(function()
      for _ = 1, 20 do
        trainer:step()
      end
    end)
    assert.equal(before, settle().tensors)
  end)

  it("keeps to a budget of time", function()
    -- on a clock of its own: a step takes 4 ms of it, however busy the machine is
    local o, real, now = problem{ epochs = 1e6 }, gan.files.time, 1000
    finally(function() gan.files.time = real end)
    gan.files.time = function() return now end
    local step = o.step
    function o.step(...)
      now = now + 0.004
      return step(...)
    end
    local trainer = gan.train.trainer(o)
    trainer:step()
    for _ = 1, 8 do
      local steps = trainer.steps
      assert.is_true(trainer:step(0.05))
      local taken = trainer.steps - steps
      assert.is_true(taken >= 11 and taken <= 13, taken .. " steps of 4 ms in 50 ms")
    end
    local steps = trainer.steps
    assert.is_true(trainer:step(0))
    assert.equal(steps + 1, trainer.steps)
  end)

  it("prints nothing unless it is asked to", function()
    local globals, printed = package.loaded._G, {}
    local real = globals.print
    finally(function() globals.print = real end)
    globals.print = function(text) printed[#printed + 1] = text end
    for _, quiet in ipairs{ true, false } do
      local trainer = gan.train.trainer(problem{ quiet = quiet, terminal = false })
      while trainer:step(1) do end
      assert.equal(quiet and 0 or 3, #printed)
    end
    local unasked = gan.train.trainer(problem())
    while unasked:step(1) do end
    assert.equal(3, #printed)
  end)

  it("is stopped with a checkpoint, from which another goes on", function()
    local o, net = problem()
    o.quiet = true
    gan.train.loop(o)
    local wanted = net.weight:bytes()

    local out = scratch.path "run"
    local trainer = gan.train.trainer(problem{ state = true, run = gan.report.run{ out } })
    for _ = 1, 6 do
      trainer:step()
    end
    trainer:stop()
    trainer:stop()
    assert.is_false(trainer:step())
    local status = assert(gan.json.decode(scratch.read "run/run.json"))
    assert.equal("interrupted", status.status)

    local again
    again, net = problem{ state = true, run = gan.report.run{ out, resume = true } }
    trainer = gan.train.trainer(again)
    assert.is_true(trainer:step())
    assert.equal(7, trainer.steps)
    while trainer:step() do end
    assert.is_true(wanted == net.weight:bytes())
  end)

  it("raises what goes wrong in a step, with its traceback, and has ended then", function()
    local o = problem{ run = gan.report.run{ scratch.path "failing" } }
    function o.step() error "no luck" end
    local trainer = gan.train.trainer(o)
    fails("no luck.*stack traceback", trainer.step, trainer)
    assert.is_false(trainer:step())
    assert.truthy(scratch.read("failing/run.json"):find("no luck", 1, true))
    local inside
    o = problem()
    function o.step() inside:step() end
    inside = gan.train.trainer(o)
    fails("inside its own step", inside.step, inside)
  end)

  it("refuses what the loop refuses", function()
    fails("train.trainer: unknown option 'epoch', did you mean 'epochs'",
      gan.train.trainer, problem{ epoch = 3 })
    fails("train.trainer: takes one table", gan.train.trainer)
    fails("pauses by itself", gan.train.trainer, problem{ pause = print })
    local trainer = gan.train.trainer(problem())
    fails("'seconds' must be a number", trainer.step, trainer, "soon")
  end)
end)

describe("the loop's pause", function()
  it("is called after every step and may end the run", function()
    local o = problem{ quiet = true }
    local seen = {}
    function o.pause(losses, position)
      seen[#seen + 1] = losses.loss
      return position.steps == 5
    end
    fails("interrupted after step 5", gan.train.loop, o)
    assert.equal(5, #seen)
  end)
end)

describe("image.encode", function()
  it("makes the bytes of the file that image.save writes", function()
    local path = scratch.path "picture.png"
    for _, case in ipairs{ { gan.rand(3, 5, 7) }, { gan.rand(4, 6) },
        { gan.randn(5, 1, 4, 4), { range = { -1, 1 }, columns = 3 } } } do
      assert(gan.image.save(path, case[1], case[2]))
      local bytes = gan.image.encode(case[1], case[2])
      assert.equal("\137PNG\r\n\26\n", bytes:sub(1, 8))
      assert.is_true(bytes == scratch.read "picture.png")
    end
  end)

  it("leaves no tensor behind, also when memory is short", function()
    local x = gan.rand(1, 8, 8)
    scratch.survives_failing_allocations(function() return gan.image.encode(x) end)
  end)

  it("says what it cannot draw", function()
    fails("image.encode: takes a tensor", gan.image.encode, 1)
    fails("image.encode: a picture is", gan.image.encode, gan.ones(3))
    fails("image.encode: unknown option 'ranges', did you mean 'range'", gan.image.encode,
      gan.ones(3, 3), { ranges = { 0, 1 } })
    fails("1 to 4 channels", gan.image.encode, gan.ones(5, 3, 3))
    fails("uint8", gan.files.encode_png, gan.ones(3, 3))
  end)
end)
