-- gan.doctor: short runs; the long list is tests/doctor/suite.lua. Checks come at fixed steps here
-- (share = 1), whatever the speed of the machine.

local gan = require "gan"
local fails = require("tests.support").fails
local gan_step = require "tests.gan_step"
local cases = require "tests.doctor.cases"
local measure = require "gan.doctor.measure"
local verdict = require "gan.doctor.verdict"
local nn, optim = gan.nn, gan.optim

local function first(diagnoses)
  return diagnoses[1] and diagnoses[1].doctor, diagnoses[1] and diagnoses[1].sentence
end

--- A small GAN with everything that a forward pass changes: batch and spectral norm, dropout.
local function small()
  gan.manual_seed(11)
  local G = nn.Sequential{ nn.Linear{ 4, 8 }, nn.BatchNorm1d{ 8 }, nn.ReLU{}, nn.Linear{ 8, 3 } }
  local D = nn.Sequential{ nn.spectral_norm(nn.Linear{ 3, 8 }), nn.LeakyReLU{ 0.2 },
    nn.Dropout{ 0.3 }, nn.Linear{ 8, 1 } }
  return G, D, gan_step(G, D, optim.Adam{ G }, optim.Adam{ D }, 4)
end

local function digest(G, D)
  local parts = {}
  for _, m in ipairs{ G, D } do
    local names, state = {}, m:state_dict()
    for name in pairs(state) do
      names[#names + 1] = name
    end
    table.sort(names)
    for _, name in ipairs(names) do
      parts[#parts + 1] = state[name]:bytes()
    end
  end
  return table.concat(parts) .. gan.rng_state()
end

describe("the doctor", function()
  it("leaves no trace in the run that it watches", function()
    local results = {}
    for pass = 1, 2 do
      local G, D, step = small()
      local doctor = pass == 2 and gan.doctor{ G, D, codes = 4, every = 3, share = 1 }
      for _ = 1, 30 do
        gan.scope(function()
          local real = gan.randn(64, 3)
          local losses = step(real)
          if doctor then
            doctor:step(losses, real)
          end
        end)
      end
      results[pass] = digest(G, D)
      assert.is_true(not doctor or #doctor.history >= 5)
    end
    assert.is_true(results[1] == results[2])
  end)

  it("names the layer that made the first NaN, when the weights are ruined already", function()
    local diagnoses = cases.run(cases.waves{ steps = 40, share = 1,
      bad_layer = nn.Lambda{ function(x) return x:sqrt() end, name = "root" } })
    local kind, sentence = first(diagnoses)
    assert.equal("nan", kind)
    assert.matches("layer 8 `root` of G", sentence, 1, true)
  end)

  it("tells a NaN in the data and in the loss from one in a layer", function()
    for what, pattern in pairs{ data = "the real batch holds one",
      loss = "the loss itself does not" } do
      local G, D, step = small()
      local said = {}
      local doctor = gan.doctor{ G, D, codes = 4, say = function(text) said[#said + 1] = text end }
      local real = gan.randn(64, 3)
      if what == "data" then
        doctor:step({ D = 0 / 0 }, real:masked_fill(gan.gt(real, 0), { value = 0 / 0 }))
      else
        step(real)
        doctor:step({ D = math.huge }, real)
      end
      assert.matches(pattern, doctor.diagnoses[1].sentence, 1, true)
      assert.equal(2, #said)
      doctor:step({ D = 0 / 0 }, real) -- told once
      assert.equal(2, #said)
    end
  end)

  it("sees duplicates, a generator without capacity, and a discriminator that is lost", function()
    gan.manual_seed(1)
    local data = cases.waves{}.data
    local few = data(4):keep()
    assert.equal("duplicate data", (first(cases.run(cases.waves{ steps = 400, share = 1,
      data = function(n) return few:index_select(gan.randint(n, { hi = 4 })) end }))))
    assert.equal("mode collapse", (first(cases.run(cases.ring{ capacity = 1, steps = 2500,
      share = 1 }))))
    assert.equal("discriminator too weak",
      (first(cases.run(cases.ring{ D_speed = 0, pack = 1, steps = 2500, share = 1 }))))
  end)

  it("is quiet about a healthy run", function()
    gan.manual_seed(1)
    local diagnoses, doctor = cases.run(cases.waves{ steps = 2500, share = 1 })
    assert.same({}, diagnoses)
    local r = doctor:latest()
    assert.is_true(r.coverage > 0.7 and r.pair > 0.7 and r.order < 0.95)
  end)

  it("marks the metrics, stops the run with a code of its own, and goes on from a checkpoint",
    function()
      local folder = os.tmpname()
      os.remove(folder)
      local G, D, step = small()
      local doctor = gan.doctor{ G, D, codes = 4, every = 1, stop = true, share = 1,
        say = function() end }
      local few = gan.randn(4, 3)
      local run = gan.report.run{ folder }
      local ok, e = xpcall(gan.train.loop, function(e) return e end, {
        epochs = 3, quiet = true, run = run, doctor = doctor, step = step,
        batches = gan.data.batches{ few:tile(100, 1), batch_size = 50, shuffle = true },
        state = { G = G, D = D },
      })
      assert.is_false(ok)
      assert.equal(10, e.exit_code)
      local text = assert(io.open(folder .. "/metrics.jsonl")):read "a"
      local line = assert(gan.json.decode((text:match "^[^\n]*")))
      assert.equal("duplicate data", line.doctor)
      assert.is_true(#line.sentence > 10 and #line.advice > 10)
      os.execute("rm -rf '" .. folder .. "'")

      local again = gan.doctor{ G, D, codes = 4 }
      again:load_state_dict(doctor:state_dict())
      assert.equal(doctor.steps, again.steps)
      assert.is_true(again.told["duplicate data"])
      assert.is_true((again.codes - doctor.codes):abs():amax():item() == 0)
      again:step(step(few:tile(13, 1)), few:tile(13, 1)) -- not told again
      assert.equal(0, #again.diagnoses)
    end)

  it("refuses what it cannot watch", function()
    local G, D = small()
    fails("G must be a model", gan.doctor, { print, D, codes = 4 })
    fails("'codes' is missing", gan.doctor, { G, D })
    fails("'codes' is the width of a code", gan.doctor, { G, D, codes = "many" })
  end)
end)

describe("what the doctor measures", function()
  --- Two peaks on a line, close enough together for a few thousand samples to be crowded.
  local function peaks(n)
    return gan.where(gan.lt(gan.rand(n, 1), 0.3), gan.full({ n, 1 }, -2), gan.ones(n, 1))
      + gan.randn(n, 1) * 0.2
  end

  it("tells copies from new samples of crowded data", function()
    gan.manual_seed(3)
    local bank = peaks(2048)
    assert.is_true(measure.copies(peaks(128), bank) < 0.3)
    local copied = bank:slice(1, 1, 128) + gan.randn(128, 1) * 1e-6
    assert.is_true(measure.copies(copied, bank) > 0.9)
    local images = gan.rand(512, 100)
    assert.equal(0, measure.copies(gan.rand(64, 100), images))
    assert.equal(1, measure.copies(images:slice(1, 1, 64) + gan.randn(64, 100) * 0.01, images))
  end)

  it("takes crowded data for no duplicates", function()
    gan.manual_seed(3)
    local points = gan.randint(256, { hi = 8 }):to(gan.config.real):unsqueeze(2)
    local crowded = gan.cat({ points:cos(), points:sin() }, { dim = 2 }) + gan.randn(256, 2) * 0.01
    assert.equal(0, measure.reference(crowded).copies)
    assert.equal(1, measure.reference(crowded:slice(1, 1, 128):tile(2, 1)).copies)
  end)

  it("has numbers for data that are always the same", function()
    local same = gan.ones(256, 3)
    local ref = measure.reference(same)
    assert.equal(1, ref.copies)
    for name, v in pairs(measure.samples(gan.rand(64, 3), ref)) do
      assert.is_true(v == v and math.abs(v) < math.huge, name)
    end
    assert.equal(0, measure.copies(gan.rand(64, 3), same)) -- far from the only one there is
  end)

  it("sees that a bounded layer cannot reach the data", function()
    local real = gan.tensor{ -1, -1, 0, 1 }
    assert.equal(0.5, measure.bounds(real, gan.tensor{ 0.0001, 0.9, 0.5, 0.2 }).beyond) -- sigmoid
    assert.equal(0, measure.bounds(real, gan.tensor{ -0.9999, 0.9999 }).beyond)
    assert.equal(0.5, measure.bounds(real * 100 + 100, gan.tensor{ -0.3, 1 }).beyond)
    assert.equal(0, measure.bounds(real * 100, gan.tensor{ -0.3, 0.5 }).beyond) -- on its way
    assert.equal(0, measure.bounds(real * 100, gan.tensor{ -3, 5 }).beyond)
  end)

  it("is how far weights and samples have gone", function()
    local before, after = gan.full({ 4 }, 2), gan.full({ 4 }, 2.5)
    assert.equal(0.25, measure.change({ after }, { gan.ones(9), before }, 2))
    assert.equal(1.5, measure.way(gan.zeros(5, 1), gan.full({ 5, 1 }, 3), { pair = 2 }))
  end)
end)

describe("a diagnosis", function()
  --- n records of a healthy run with changes, 50 steps apart.
  local function history(n, change)
    local list = { early_gradient = 1e-2 }
    for i = 1, n do
      list[i] = { step = 50 * i, form = "logit", order = 0.8, real_score = 0.5, fake_score = -0.5,
        score_size = 3, gradient = 1e-2, G_size = 0.1, D_size = 0.1, G_growth = 1, D_growth = 1,
        pair = 0.9, near = 0.9, rank = 9, precision = 0.8, coverage = 0.8, used = 0.9, gap = 0.02,
        jump = 0.02, back = 0.03 }
      for key, v in pairs(change and change(i) or {}) do
        list[i][key] = v
      end
    end
    return list
  end
  local doctor = { reference = { copies = 0, rank = 10 }, told = {} }

  it("about the data leaves the word to what comes of them", function()
    local repeated = { reference = { copies = 0.9, rank = 10 }, told = {} }
    local records = history(40, function() return { pair = 0.05 } end)
    assert.equal("duplicate data", (verdict.of(records, repeated)))
    repeated.told["duplicate data"] = true
    assert.equal("mode collapse", (verdict.of(records, repeated)))
  end)

  it("needs a reason that lasts", function()
    assert.is_nil((verdict.of(history(40), doctor)))
    local function sure(from, to)
      return function(i)
        return i >= from and i <= to and { real_score = 9, fake_score = -9, order = 1, gap = 0.5 }
          or {}
      end
    end
    assert.equal("discriminator too strong", (verdict.of(history(40, sure(25, 40)), doctor)))
    assert.is_nil((verdict.of(history(40, sure(38, 40)), doctor)))
    assert.is_nil((verdict.of(history(40, sure(10, 30)), doctor)))
  end)

  it("names each failure", function()
    local function of(change)
      return (verdict.of(history(40, function() return change end), doctor))
    end
    assert.equal("vanishing gradient", of{ gradient = 1e-7, order = 1, gap = 0.5 })
    assert.equal("divergence", of{ G_growth = 30, D_growth = 40 })
    assert.equal("discriminator too strong", of{ D_growth = 20 })
    assert.equal("discriminator too weak", of{ order = 0.5, gap = 0.6 })
    assert.equal("discriminator too weak", of{ D_move = 1e-6, G_move = 1e-3, order = 0.8, gap = 0.6,
      pair = 0.05 })
    assert.equal("discriminator too strong", of{ D_move = 1e-3, G_move = 1e-6, order = 1,
      gap = 0.6, form = "score" })
    assert.equal("vanishing gradient", of{ gradient = 1e-8, G_move = 1e-9, D_move = 1e-9,
      gap = 0.6, form = "score" })
    assert.equal("discriminator too strong", (verdict.of(history(40, function(i)
      return { form = "score", score_range = 1.2 ^ i }
    end), doctor)))
    assert.equal("mode collapse", of{ pair = 0.05 })
    assert.equal("mode collapse", of{ rank = 1.2, coverage = 0.4 })
    assert.equal("mode collapse", of{ used = 0.2, coverage = 0.4 })
    assert.is_nil((of{ used = 0.4, rank = 1.2, coverage = 0.9 })) -- what is covered is not left out
    assert.equal("data out of range", of{ beyond = 0.3, low = 0, high = 1 })
    assert.equal("labels exchanged", of{ order = 0, real_score = -5, fake_score = 5, gap = 2,
      turn = -0.1 })
    assert.equal("discriminator too weak", of{ order = 0, real_score = -5, fake_score = 5, gap = 2,
      turn = 0.1 }) -- it runs after G
    assert.equal("discriminator too strong", of{ order = 1, real_score = 11, fake_score = -1,
      gap = 0.5 })
    local function wanders(back)
      return (verdict.of(history(40, function(i)
        return { jump = i % 2 == 0 and 0.6 or 0.1, back = i % 2 == 0 and back or 0.5, used = 0.55,
          pair = 0.4 }
      end), doctor))
    end
    assert.equal("cycling", wanders(0.1))
    assert.is_nil(wanders(0.5)) -- it goes elsewhere each time
    local copied = history(40, function() return { copies = 0.9 } end)
    copied.copied = 3
    assert.equal("memorisation", (verdict.of(copied, doctor)))
  end)
end)
