-- gan.metrics against closed forms and against definitions computed the long way.

local gan = require "gan"
local fails = require("tests.support").fails
local metrics = gan.metrics

local function close(got, want, tol, what)
  assert(math.abs(got - want) <= tol, ("%s%.9g is not %.9g"):format(what or "", got, want))
end

--- The least mean cost over all assignments.
local function best_assignment(cost)
  local least, used = math.huge, {}
  local function try(i, sum)
    if i > #cost then
      least = math.min(least, sum / #cost)
      return
    end
    for j = 1, #cost do
      if not used[j] then
        used[j] = true
        try(i + 1, sum + cost[i][j])
        used[j] = nil
      end
    end
  end
  try(1, 0)
  return least
end

local function distance(a, b)
  local sum = 0
  for k = 1, #a do
    sum = sum + (a[k] - b[k]) ^ 2
  end
  return math.sqrt(sum)
end

describe("earth mover's distances", function()
  it("of numbers are exact", function()
    local a = gan.tensor{ 3, 0, 1 }
    assert.equal(5, metrics.wasserstein_1d(a, gan.tensor{ 5, 6, 8 }))
    close(metrics.wasserstein_1d(a, a + 2, { p = 3 }), 2, 1e-6)
    close(metrics.wasserstein_1d(gan.tensor{ 0, 0 }, gan.tensor{ 3, 4 }, { p = 2 }),
      math.sqrt(12.5), 1e-6)
    -- different sizes: half of the mass goes 1, half goes 2
    close(metrics.wasserstein_1d(gan.tensor{ 0 }, gan.tensor{ 1, 2 }), 1.5, 1e-6)
    close(metrics.wasserstein_1d(gan.tensor{ 0, 1, 1, 5 }, gan.tensor{ 1, 2 }), 1.25, 1e-6)
    local x, copies = gan.randn(50), {}
    for i = 1, 3 do
      copies[i] = x
    end
    close(metrics.wasserstein_1d(gan.cat(copies), x), 0, 1e-5)
  end)

  it("of vectors are those of the best of all assignments", function()
    gan.manual_seed(3)
    for _, p in ipairs{ 1, 2, 3 } do
      local a, b = gan.randn(6, 3), gan.randn(6, 3)
      local x, y, cost = a:totable(), b:totable(), {}
      for i = 1, 6 do
        cost[i] = {}
        for j = 1, 6 do
          cost[i][j] = distance(x[i], y[j]) ^ p
        end
      end
      close(metrics.emd(a, b, { p = p }), best_assignment(cost) ^ (1 / p), 1e-5)
    end
    local a = gan.randn(40, 20)
    local d, places = metrics.emd(a, a:index_select(gan.randperm(40)) + 0.5)
    close(d, 0.5 * math.sqrt(20), 1e-4)
    assert.equal(40 * 41 / 2, places:to(gan.config.real):sum():item())
    close(metrics.emd(gan.randn(5), gan.randn(5) + 100), 100, 5) -- numbers are vectors of one
  end)

  it("by slices have the expectation of a random direction", function()
    gan.manual_seed(4)
    local a = gan.randn(100, 2)
    -- the mean of |cos| over directions is 2/pi, that of cos^2 is 1/2
    close(metrics.sliced_wasserstein(a, a + gan.tensor{ 3, 4 }, { projections = 4000 }),
      5 * 2 / math.pi, 0.06)
    close(metrics.sliced_wasserstein(a, a + gan.tensor{ 3, 4 }, { projections = 4000, p = 2 }),
      5 * math.sqrt(0.5), 0.06)
    local state = gan.rng_state()
    local one = metrics.sliced_wasserstein(a, a * 2, { seed = 5 })
    assert.equal(one, metrics.sliced_wasserstein(a, a * 2, { seed = 5 }))
    assert.not_equal(one, metrics.sliced_wasserstein(a, a * 2, { seed = 6 }))
    assert.equal(state, gan.rng_state())
  end)

  it("refuse what cannot be compared, by name", function()
    fails("metrics.wasserstein_1d: takes two sets of numbers", metrics.wasserstein_1d,
      gan.zeros(3, 2), gan.zeros(3, 2))
    fails("metrics.wasserstein_1d: p is 2; sets of 3 and 2", metrics.wasserstein_1d, gan.zeros(3),
      gan.zeros(2), { p = 2 })
    fails("metrics.emd: sets of one size, not 3 and 2", metrics.emd, gan.zeros(3, 2),
      gan.zeros(2, 2))
    fails("metrics.emd: samples of 2 and of 3", metrics.emd, gan.zeros(3, 2), gan.zeros(3, 3))
    fails("unknown option 'projection', did you mean 'projections'", metrics.sliced_wasserstein,
      gan.zeros(3, 2), gan.zeros(3, 2), { projection = 3 })
    fails("p must be a finite number", metrics.emd, gan.zeros(3, 2), gan.zeros(3, 2), { p = 0 })
    fails("1 samples of each", metrics.emd, gan.zeros(0, 2), gan.zeros(3, 2))
  end)
end)

describe("modes of a mixture", function()
  local centers = gan.tensor{ { 0, 0 }, { 1, 0 }, { 0, 1 }, { 1, 1 } }

  it("are counted, and quality and spread are those of a perfect sampler", function()
    gan.manual_seed(1)
    local which = gan.randint(40000, { hi = 4 })
    local x = centers:index_select(which) + gan.randn(40000, 2) * 0.01
    local r = metrics.mixture(x, { centers = centers, std = 0.01 })
    assert.equal(4, r.modes)
    close(r.quality, 1 - math.exp(-4.5), 0.002)
    close(r.kl, 0, 1e-3)
    for _, s in ipairs(r.spread) do
      close(s, 0.974, 0.015)
    end
  end)

  it("are missed, and the divergences say how much", function()
    local x = gan.tensor{ { 0, 0 }, { 0.001, 0 }, { 1, 0 }, { 0.5, 0.2 } } -- the last is no good
    local r = metrics.mixture(x, { centers = centers, std = 0.01 })
    assert.equal(2, r.modes)
    assert.equal(0.75, r.quality)
    assert.same({ 2, 1, 0, 0 }, r.counts)
    -- shares 3/4, 1/4 (a sample in the middle belongs to the first of the nearest)
    close(r.kl, 0.75 * math.log(3), 1e-5)
    local weighted = metrics.mixture(x, { centers = centers, std = 0.01,
      weights = gan.tensor{ 6, 2, 0, 0 } })
    close(weighted.kl, 0, 1e-6)
    close(weighted.js, 0, 1e-6)
  end)

  it("are counted from labels", function()
    local labels = gan.tensor({ 1, 1, 2, 4 }, { dtype = "int64" })
    local r = metrics.label_modes(labels, { classes = 5 })
    assert.equal(3, r.modes)
    close(r.kl, 0.5 * math.log(2.5) + 0.5 * math.log(1.25), 1e-5)
    close(metrics.label_modes(labels, { classes = 5, reference = labels }).js, 0, 1e-6)
    fails("metrics.label_modes: labels", metrics.label_modes, gan.ones(3), { classes = 5 })
  end)

  it("scores of a detector: AUROC", function()
    assert.equal(1, metrics.auroc(gan.tensor{ 2, 3 }, gan.tensor{ 0, 1 }))
    assert.equal(0, metrics.auroc(gan.tensor{ 0, 1 }, gan.tensor{ 2, 3 }))
    assert.equal(0.5, metrics.auroc(gan.ones(3), gan.ones(4)))
    close(metrics.auroc(gan.tensor{ 1, 3 }, gan.tensor{ 2, 1 }), (0 + 0.5 + 1 + 1) / 4, 1e-6)
  end)
end)

describe("distances of features", function()
  it("Frechet: of Gaussians with known moments", function()
    -- four points have exactly mean m and covariance 4/3 s^2 in each of two coordinates
    local function cross(m, s, t)
      return gan.tensor{ { m + s, t }, { m - s, t }, { m + s, -t }, { m - s, -t } }
    end
    local a, b = cross(0, 1, 2), cross(5, 3, 1)
    -- commuting covariances: |m|^2 + 4/3 ((1 - 3)^2 + (2 - 1)^2)
    close(metrics.frechet(a, b), 25 + 4 / 3 * 5, 1e-4)
    assert.is_true(metrics.frechet(a, a) < 1e-5)
  end)

  it("Frechet: the cross term does not depend on the basis, nor suffers from lost ranks", function()
    gan.manual_seed(2)
    local a, b = gan.randn(200, 6), gan.randn(200, 6):matmul(gan.randn(6, 6))
    local _, turn = (function(x) return (x + x:t()):eigh() end)(gan.randn(6, 6))
    local d = metrics.frechet(a, b)
    close(metrics.frechet(a:matmul(turn), b:matmul(turn)), d, 1e-3 * d)
    close(metrics.frechet(b, a), d, 1e-3 * d)
    local function wide(x) -- 60 columns of rank 6
      return x:matmul(turn:tile(1, 10)) * math.sqrt(0.1)
    end
    close(metrics.frechet(wide(a), wide(b)), d, 2e-3 * d)
    assert.is_true(metrics.frechet(wide(b), wide(b) + 0) < 2e-3 * wide(b):square():sum(2):mean()
      :item())
  end)

  it("kernel distance: the definition, and nothing between equal distributions", function()
    gan.manual_seed(5)
    local a, b = gan.randn(5, 3), gan.randn(5, 3) + 1
    local x, y, sum = a:totable(), b:totable(), 0
    local function k(u, v)
      return ((u[1] * v[1] + u[2] * v[2] + u[3] * v[3]) / 3 + 1) ^ 3
    end
    for i = 1, 5 do
      for j = 1, 5 do
        sum = sum + (i ~= j and (k(x[i], x[j]) + k(y[i], y[j])) / 20 or 0) - 2 * k(x[i], y[j]) / 25
      end
    end
    local mean, deviation = metrics.kid(a, b, { subsets = 3 })
    close(mean, sum, 1e-4)
    assert.is_true(deviation < 1e-3) -- the subsets are the whole
    local near = metrics.kid(gan.randn(2000, 8), gan.randn(2000, 8), { subset = 500 })
    assert.is_true(math.abs(near) < 0.01)
  end)

  it("come from a net in evaluation", function()
    local net = gan.nn.Sequential{ gan.nn.Dropout{ 0.5 }, gan.nn.Linear{ 4, 3 } }
    local images = gan.randint({ 10, 1, 2, 2 }, { lo = 0, hi = 255 }):to "uint8"
    local f = metrics.features(net, images:reshape(10, 4), { batch_size = 3 })
    assert.same({ 10, 3 }, f:shape())
    assert.is_false(f:requires_grad())
    assert.is_true(net.training and net[1].training)
    local direct = net[2](images:reshape(10, 4):to(gan.config.real) * (2 / 255) - 1)
    assert.is_true((direct - f):abs():amax():item() < 1e-5)
    local doubled = metrics.features(function(x) return x * 2 end, images, { range = { 0, 1 } })
    close(doubled:amax():item(), images:to(gan.config.real):amax():item() * 2 / 255, 1e-5)
    local labels, p = metrics.classify(net, images:reshape(10, 4))
    assert.equal("int64", labels:dtype())
    close(p:sum():item(), 10, 1e-4)
    assert.is_true(gan.eq(labels, f:argmax{ dim = 2 }):all():item() == 1)
  end)
end)

describe("nearest neighbours", function()
  it("precision, recall, density and coverage follow their definitions", function()
    gan.manual_seed(6)
    local n, m, k = 20, 30, 3
    local real, fake = gan.randn(n, 2), gan.randn(m, 2) * 0.5 + 0.5
    local r, f = real:totable(), fake:totable()
    local function radius(set, i)
      local list = {}
      for j = 1, #set do
        list[j] = j == i and math.huge or distance(set[i], set[j])
      end
      table.sort(list)
      return list[k]
    end
    local precision, recall, density, coverage = 0, 0, 0, 0
    for j = 1, m do
      local balls = 0
      for i = 1, n do
        balls = balls + (distance(r[i], f[j]) <= radius(r, i) and 1 or 0)
      end
      density = density + balls / (k * m)
      precision = precision + (balls > 0 and 1 / m or 0)
    end
    for i = 1, n do
      local recalled, covered = false, false
      for j = 1, m do
        recalled = recalled or distance(r[i], f[j]) <= radius(f, j)
        covered = covered or distance(r[i], f[j]) <= radius(r, i)
      end
      recall = recall + (recalled and 1 / n or 0)
      coverage = coverage + (covered and 1 / n or 0)
    end
    local got = metrics.prdc(real, fake, { k = k })
    close(got.precision, precision, 1e-6, "precision ")
    close(got.recall, recall, 1e-6, "recall ")
    close(got.density, density, 1e-6, "density ")
    close(got.coverage, coverage, 1e-6, "coverage ")
  end)

  it("the two-sample test tells apart what is apart, and finds copies", function()
    gan.manual_seed(7)
    local x = gan.randn(400, 20)
    close(metrics.one_nn(x, gan.randn(400, 20)).accuracy, 0.5, 0.06)
    assert.equal(1, metrics.one_nn(x, x + 50).accuracy)
    assert.equal(0, metrics.one_nn(x, x + 1e-3).accuracy)
  end)

  it("in a data set: places and distances, blocks of bytes too", function()
    gan.manual_seed(8)
    local data = gan.randint({ 50, 1, 5, 5 }, { lo = 0, hi = 255 }):to "uint8"
    local x = data:slice(1, 11, 13):to(gan.config.real) * (2 / 255) - 1
    local d, place = metrics.nearest(x, data, { k = 2 })
    assert.same({ 11, 12, 13 }, place:slice(2, 1, 1):flatten():totable())
    close(d:slice(2, 1, 1):amax():item(), 0, 1e-6)
    local rows = (data:to(gan.config.real) * (2 / 255) - 1):flatten(2):totable()
    local best = math.huge
    for j = 1, 50 do
      best = j ~= 11 and math.min(best, distance(rows[11], rows[j])) or best
    end
    close(d[1][2]:item(), best, 1e-4)
    fails("metrics.nearest: samples of 25 and of 24", metrics.nearest, gan.zeros(2, 25),
      gan.zeros(3, 24))
  end)

  it("tell copies from new samples", function()
    gan.manual_seed(9)
    local train, held_out = gan.randn(500, 10), gan.randn(100, 10)
    local copies = metrics.memorisation(train:slice(1, 1, 60) + 0.01, train, held_out)
    assert.is_true(copies.ratio < 0.05 and copies.copies == 1)
    assert.equal(7, copies.nearest[7]:item())
    local new = metrics.memorisation(gan.randn(60, 10), train, held_out)
    assert.is_true(math.abs(new.ratio - 1) < 0.15 and new.copies < 0.05)
  end)
end)
