-- Linear baselines and figures of quality, against cases that can be computed by hand.

local gan = require "gan"
local support = require "tests.support"
local metrics, fails = gan.metrics, support.fails

local function near(expected, got, tol)
  assert.is_true(math.abs(expected - got) <= (tol or 1e-5), ("%g, not %g"):format(got, expected))
end

describe("metrics.pca", function()
  it("finds the directions, variances and error of data made for it", function()
    gan.manual_seed(1)
    -- an orthonormal basis of 8 dimensions: the eigenvectors of a random symmetric matrix
    local m = gan.randn(8, 8)
    local _, basis = gan.eigh(m + m:t())
    basis = basis:t()
    local deviations = { 5, 3, 2, 0.5, 0.4, 0.3, 0.2, 0.1 }
    local codes = gan.randn(2000, 8)
    codes = codes - codes:mean({ 1 }, { keepdim = true })
    local x = gan.matmul(codes * gan.tensor(deviations), basis) + 3
    local pca = metrics.pca(x, 3)
    local identity = gan.matmul(pca.components:t(), pca.components)
    near(0, (identity - gan.eye(3)):abs():amax():item(), 1e-4)
    for i, sd in ipairs{ 5, 3, 2 } do
      near(1, pca.variances[i] / sd ^ 2, 0.1)
    end
    local rest = 0
    for i = 4, 8 do
      rest = rest + deviations[i] ^ 2
    end
    near(1, pca:error(x) / rest, 0.1)
    near(pca.total - pca.variances[1] - pca.variances[2] - pca.variances[3], pca:error(x), 1e-2)
    near(0, (pca:decode(pca:encode(x)) - x):square():sum(2):mean():item() - pca:error(x), 1e-4)
    near(0, (pca.mean - 3):abs():amax():item(), 1e-4)
  end)

  it("restores everything with all components, also of data of lower rank", function()
    gan.manual_seed(2)
    local x = gan.matmul(gan.randn(50, 2), gan.randn(2, 6))
    near(0, metrics.pca(x, 6):error(x), 1e-4)
    near(0, metrics.pca(x, 2):error(x), 1e-4)
    assert.is_true(metrics.pca(x, 1):error(x) > 0.1)
    near(0, metrics.pca(gan.full({ 5, 4 }, 2), 2):error(gan.full({ 5, 4 }, 2)), 1e-5)
  end)

  it("takes bytes as 0..1, leaves the generator alone and gives the same again", function()
    local x = gan.randint({ 40, 1, 3, 3 }, { lo = 0, hi = 255 }):to("uint8")
    local state = gan.rng_state()
    local a, b = metrics.pca(x, 4), metrics.pca(x:to(gan.config.real) / 255, 4)
    assert.equal(state, gan.rng_state())
    near(a:error(x), b:error(x:to(gan.config.real) / 255), 1e-5)
    assert.same(a.variances, metrics.pca(x, 4).variances)
  end)

  it("has the likelihood of the Gaussian it describes", function()
    gan.manual_seed(3)
    local x = gan.randn(3000, 4) * gan.tensor{ 3, 2, 0.7, 0.7 }
    -- variances 9, 4 and noise .49: minus the entropy of that Gaussian
    local entropy = 0.5 * (4 * math.log(2 * math.pi * math.exp(1)) + math.log(9 * 4 * 0.49 ^ 2))
    near(-entropy, metrics.pca(x, 2):log_likelihood(x), 0.1)
  end)

  it("refuses what has no components", function()
    fails("metrics.pca: 5 components of 4", metrics.pca, gan.zeros(3, 4), 5)
    fails("metrics.pca: takes a tensor", metrics.pca, gan.zeros(0, 4), 1)
    fails("metrics.pca: takes a tensor .* not table", metrics.pca, {}, 1)
  end)
end)

describe("metrics.linear_map", function()
  it("recovers an affine map, and the best denoiser", function()
    gan.manual_seed(4)
    local x, a = gan.randn(4000, 5), gan.randn(5, 3)
    local y = gan.matmul(x, a) + 2
    local f = metrics.linear_map(x, y, { ridge = 0 })
    near(0, (f(x) - y):abs():amax():item(), 1e-3)
    -- x from N(0, 1) with noise of variance 1: the best map is x / 2, with error 1/2
    local g = metrics.linear_map(x, x, { change = function(v) return gan.noise.gaussian(v, 1) end,
      repeats = 5 })
    near(0.5, g(gan.ones(1, 5)):mean():item() - g(gan.zeros(1, 5)):mean():item(), 0.05)
    near(0.5, gan.mse_loss(g(gan.noise.gaussian(x, 1)), x):item(), 0.03)
    fails("4000 rows of x and 2 of y", metrics.linear_map, x, gan.zeros(2, 3))
  end)
end)

describe("small matrices", function()
  it("have Cholesky factors", function()
    local matrix = require "gan.metrics.matrix"
    local l = matrix.cholesky{ { 4, 2 }, { 2, 5 } }
    near(2, l[1][1])
    near(1, l[2][1])
    near(2, l[2][2])
    near(-0.25, matrix.invert_lower(l)[2][1])
    local nothing, row = matrix.cholesky{ { 1, 2 }, { 2, 1 } }
    assert.is_nil(nothing)
    assert.equal(2, row)
  end)
end)

describe("errors of images", function()
  it("are sums over pixels, and decibels", function()
    local t = gan.zeros(2, 1, 2, 2)
    near(2, metrics.summed_error(gan.full({ 2, 1, 2, 2 }, math.sqrt(0.5)), t))
    near(20, metrics.psnr(t + 0.1, t), 1e-4)
    near(20, metrics.psnr(0.01))
    near(26.0206, metrics.psnr(t + 0.1, t, { peak = 2 }), 1e-4)
    fails("metrics.psnr: takes two tensors of equal shape", metrics.psnr, t, gan.zeros(2, 4))
  end)
end)

describe("metrics.linear_probe", function()
  it("separates what a line separates, and not what it does not", function()
    gan.manual_seed(5)
    local x = gan.randn(1200, 2)
    local side = gan.gt(x:slice(2, 1, 1) + x:slice(2, 2, 2) * 2, 0.5):squeeze{ 2 }
    local xor = gan.gt(x:slice(2, 1, 1) * x:slice(2, 2, 2), 0):squeeze{ 2 }
    for _, kind in ipairs{ "softmax", "hinge" } do
      local function wrong(y)
        y = (y + 1):to("int64")
        return (metrics.linear_probe{ x:slice(1, 1, 1000), y:slice(1, 1, 1000),
          x:slice(1, 1001, 1200), y:slice(1, 1001, 1200), loss = kind, epochs = 100 })
      end
      local state = gan.rng_state()
      assert.is_true(wrong(side) < 0.04)
      assert.is_true(wrong(xor) > 0.3)
      assert.equal(state, gan.rng_state())
    end
    near(0.5, metrics.accuracy(gan.tensor{ { 1, 2 }, { 2, 1 } },
      gan.tensor({ 2, 2 }, { dtype = "int64" })))
  end)
end)

describe("metrics.classifier", function()
  it("learns what images show, and its layers but the last give features", function()
    gan.manual_seed(6)
    local images = gan.randint({ 320, 1, 7, 9 }, { hi = 100 })
    local labels = gan.tensor((function()
      local list = {}
      for i = 1, 320 do
        list[i] = i % 2 + 1
      end
      return list
    end)(), { dtype = "int64" })
    -- the second class is bright at the left
    local left = gan.zeros(320, 1, 7, 9)
    left:slice(4, 1, 4):copy_((labels:to(gan.config.real) - 1):reshape(320, 1, 1, 1))
    images = (images:to(gan.config.real) + left * 100):to "uint8"
    local net = metrics.classifier{ images, labels, hidden = 12, epochs = 6, batch_size = 32,
      quiet = true }
    local found = metrics.classify(net, images, { quiet = true })
    assert.is_true(gan.eq(found, labels):sum():item() > 300)
    local features = gan.nn.Sequential{ table.unpack(net, 1, #net - 1) }
    assert.same({ 320, 12 }, metrics.features(features, images, { quiet = true }):shape())
    fails("images must be a tensor %(N, C, H, W%)", metrics.classifier,
      { gan.zeros(4, 9), labels:slice(1, 1, 4) })
  end)
end)

describe("retrieval", function()
  it("counts the queries that find their own", function()
    local c = gan.tensor{ { 1, 0 }, { 0, 1 }, { -1, 0 } }
    local q = gan.tensor{ { 5, 1 }, { 9, 1 }, { -2, 0.1 } }
    local share, found = metrics.precision_at_1(q, c)
    near(2 / 3, share)
    assert.same({ 1, 1, 3 }, found)
  end)

  it("compares words by their letters", function()
    local a, b = metrics.ngram_vectors{ { "nation", "água" }, { "nación", "agua", "zzz" } }
    assert.same({ 1, 2 }, select(2, metrics.precision_at_1(a, b)))
    assert.equal(a:size(2), b:size(2))
    near(0, gan.dot(a[1], b[3]):item(), 1e-6)
    near(1, gan.dot(b[2], b[2]):item())
  end)
end)

describe("metrics.rouge", function()
  it("counts the n-grams in common", function()
    local f, p, r = metrics.rouge("the cat sat", "The cat, the dog.")
    near(2 / 3, p)
    near(2 / 4, r)
    near(4 / 7, f)
    near(0.4, (metrics.rouge("the cat sat", "the cat the dog", 2)))
    near(0, (metrics.rouge("", "word")))
    near(1, (metrics.rouge("a a b", "b a a", 1)))
    fails("takes two texts", metrics.rouge, 3, "x")
  end)
end)
