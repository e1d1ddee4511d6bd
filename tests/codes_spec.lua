-- The parts of auto-encoders: noise, sparse and quantised codes, tied layers, losses on codes,
-- bounds, pre-training.

local gan = require "gan"
local support = require "tests.support"
local nn, loss, fails = gan.nn, gan.loss, support.fails

local function close(a, b, tol)
  a, b = gan.is_tensor(a) and a or gan.tensor(a), gan.is_tensor(b) and b or gan.tensor(b)
  assert.same(a:shape(), b:shape())
  local worst = a:numel() == 0 and 0 or (a - b):abs():amax():item()
  assert.is_true(worst <= (tol or 1e-5), ("differs by %g"):format(worst))
end

describe("noise", function()
  before_each(function() gan.manual_seed(3) end)

  it("has the deviation and the shares that were asked for", function()
    local x = gan.full({ 200, 500 }, 0.5)
    close((gan.noise.gaussian(x, 0.25) - x):std(), 0.25, 2e-3)
    local masked = gan.noise.masking(x, 0.3)
    close(gan.eq(masked, 0):mean(), 0.3, 5e-3)
    close(gan.eq(masked, 0.5):mean(), 0.7, 5e-3)
    local salted = gan.noise.salt_and_pepper(x, 0.2)
    close(gan.eq(salted, 0):mean(), 0.1, 5e-3)
    close(gan.eq(salted, 1):mean(), 0.1, 5e-3)
    assert.equal(1, gan.noise.salt_and_pepper(x, 1, { low = -1 }):abs():amin():item())
  end)

  it("of nothing is nothing, and of an empty tensor is empty", function()
    local x = gan.randn(3, 4)
    close(gan.noise.gaussian(x, 0), x)
    close(gan.noise.masking(x, 0), x)
    close(gan.noise.salt_and_pepper(x, 0), x)
    close(gan.noise.masking(x, 1), gan.zeros(3, 4))
    assert.same({ 0, 4 }, gan.noise.masking(gan.zeros(0, 4), 0.5):shape())
  end)

  it("perturbs codes with numbers of the same units, or in the units' own deviations", function()
    local codes = gan.randn(500, 3) * gan.tensor{ 1, 10, 0 } + gan.tensor{ 0, 100, 7 }
    local exchanged = gan.noise.perturb(codes, { share = 0.4 })
    local kept = gan.eq(exchanged, codes):mean{ 1 }
    assert.is_true(math.abs(kept:get(1) - 0.6) < 0.07 and math.abs(kept:get(2) - 0.6) < 0.07)
    local known = {}
    for _, row in ipairs(codes:totable()) do
      known[row[2]] = true
    end
    for _, row in ipairs(exchanged:totable()) do
      assert.is_true(known[row[2]], "a number that no sample has in this unit")
    end
    local added = (gan.noise.perturb(codes, { std = 0.5 }) - codes):std{ 1 }
    close(added, gan.tensor{ 0.5, 5, 0 } * gan.tensor{ codes:std{ 1 }:get(1),
      codes:std{ 1 }:get(2) / 10, 0 }, 0.4)
  end)

  it("says what is wrong", function()
    fails("noise.masking: the share is a number from 0 to 1, not 2", gan.noise.masking,
      gan.zeros(2), 2)
    fails("noise.gaussian: the standard deviation is a number from 0, not nil", gan.noise.gaussian,
      gan.zeros(2))
    fails("noise.masking: takes a tensor of float%d+, not uint8", gan.noise.masking,
      gan.zeros({ 2 }, { dtype = "uint8" }), 0.5)
    fails("noise.perturb: codes have the shape %(N, width%), not %(4%)", gan.noise.perturb,
      gan.zeros(4), { std = 1 })
  end)

  it("is a layer that acts in training only", function()
    local x = gan.full({ 50, 50 }, 0.5)
    for _, layer in ipairs{ nn.GaussianNoise{ 0.1 }, nn.MaskingNoise{ 0.5 },
      nn.SaltAndPepperNoise{ 0.5 } } do
      assert.is_true((layer(x) - x):abs():sum():item() > 1)
      layer:eval()
      close(layer(x), x, 0)
    end
  end)
end)

describe("sparse codes", function()
  it("keep the k largest of a sample, with their gradients", function()
    local x = gan.require_grad(gan.tensor{ { 3, 1, 2, -5 }, { 7, 7, 7, 0 } })
    local y = nn.KSparse{ 2 }(x)
    close(y, gan.tensor{ { 3, 0, 2, 0 }, { 7, 7, 0, 0 } })
    y:sum():backward()
    close(x:grad(), gan.tensor{ { 1, 0, 1, 0 }, { 1, 1, 0, 0 } })
    local layer = nn.KSparse{ 1, eval_k = 3 }
    assert.equal(2, gan.ne(layer(x), 0):sum():item())
    assert.equal(6, gan.ne(layer:eval()(x), 0):sum():item())
    close(nn.KSparse{ 9 }(x), x:detach())
  end)

  it("keep the winners of a unit over the batch, at least one", function()
    local x = gan.tensor{ { 1, -9 }, { 4, -2 }, { 3, -4 }, { 2, -8 } }
    close(nn.WinnerTakeAll{ 0.5 }(x), gan.tensor{ { 0, 0 }, { 4, -2 }, { 3, -4 }, { 0, 0 } })
    close(nn.WinnerTakeAll{ 0.01 }(x), gan.tensor{ { 0, 0 }, { 4, -2 }, { 0, 0 }, { 0, 0 } })
    close(nn.WinnerTakeAll{ 0.01 }:eval()(x), x)
    fails("nn.WinnerTakeAll: option 'rate' must be over 0", nn.WinnerTakeAll, { 0 })
  end)

  it("are punished by how far their rates are from the target", function()
    local h = gan.require_grad(gan.tensor{ { 0.2, 0.05 }, { 0.4, 0.05 } })
    local function kl(r, a)
      return r * math.log(r / a) + (1 - r) * math.log((1 - r) / (1 - a))
    end
    local value = loss.sparsity_kl(h)
    close(value, kl(0.05, 0.3))
    value:backward()
    close(h:grad(), gan.tensor{ { 1, 0 }, { 1, 0 } } * (0.5 * (0.95 / 0.7 - 0.05 / 0.3)))
    close(loss.sparsity_kl(gan.zeros(2, 3)), 3 * kl(0.05, 1e-6), 1e-3)
    close(loss.l1(gan.tensor{ { 1, -2 }, { 0, 3 } }), 3)
    fails("'rate' must lie between 0 and 1", loss.sparsity_kl, h, { rate = 1 })
  end)
end)

describe("a contraction penalty", function()
  it("is the squared Jacobian, in closed form and estimated", function()
    gan.manual_seed(5)
    local layer = nn.Sequential{ nn.Linear{ 4, 3 }, nn.Sigmoid{} }
    local x = gan.randn(6, 4)
    local input, exact = gan.require_grad(x:clone()), 0
    local h = layer(input)
    for j = 1, 3 do
      local slope = gan.grad(h:slice(2, j, j):sum(), input, { retain_graph = true })
      exact = exact + slope:square():sum():item() / 6
    end
    close(loss.contractive(layer(x), layer[1].weight), exact)
    close(loss.jacobian_penalty(layer, x, { probes = 2000 }), exact, 0.05 * exact)
    loss.jacobian_penalty(layer, x):backward()
    assert.is_true(layer[1].weight:grad():abs():sum():item() > 0)
    assert.is_nil(x:grad())
  end)

  it("has the gradients that differences give", function()
    local w = gan.randn(3, 4)
    assert.is_true(gan.gradcheck(function(a, b)
      return loss.contractive(gan.matmul(b, a:t()):sigmoid(), a)
    end, { w, gan.randn(2, 4) }))
  end)
end)

describe("a tied layer", function()
  local function net()
    local encoder = nn.Linear{ 6, 3 }
    return nn.Sequential{ encoder, nn.Tanh{}, nn.TiedLinear{ encoder }, nn.Sigmoid{} }
  end

  it("uses the other's weights transposed, and halves the parameters", function()
    gan.manual_seed(1)
    local model, x = net(), gan.randn(2, 6)
    local w, b = model[1].weight, model[1].bias
    close(model(x), gan.matmul((gan.matmul(x, w:t()) + b):tanh(), w):sigmoid())
    assert.equal(6 * 3 + 3 + 6, model:num_parameters())
    assert.matches("nn.TiedLinear{Linear}", tostring(model), 1, true)
  end)

  it("adds the gradients of both uses", function()
    local x = gan.randn(5, 6)
    local w, b = gan.randn(3, 6), gan.randn(6)
    assert.is_true(gan.gradcheck(function(weight, bias)
      local encoder = nn.Linear{ 6, 3, bias = false }
      encoder.weight = weight
      local decoder = nn.TiedLinear{ encoder }
      decoder.bias = bias
      return decoder(encoder(x):tanh()):square():mean()
    end, { w, b }))
  end)

  it("stays tied through training, saving and loading; its file has half the weights", function()
    local model, path = net(), os.tmpname()
    local adam = gan.optim.Adam{ model:parameters(), lr = 0.01 }
    for _ = 1, 5 do
      local x = gan.randn(4, 6)
      local e = loss.squared_error(model(x), x)
      adam:zero_grad()
      e:backward()
      adam:step()
    end
    assert(model:save(path))
    local state, n = assert(gan.files.load_safetensors(path)), 0
    for _, t in pairs(state) do
      n = n + t:numel()
    end
    assert.equal(27, n)
    local other, x = net(), gan.randn(2, 6)
    assert(other:load(path))
    close(other(x), model(x))
    gan.no_grad(function() other[1].weight:zero_() end)
    close(other[3](gan.ones(1, 3)), other[3].bias:unsqueeze(1))
    os.remove(path)
    fails("nn.TiedLinear: takes a linear layer", nn.TiedLinear, { nn.ReLU{} })
  end)
end)

describe("a vector quantiser", function()
  it("gives the nearest vector, its loss, and passes the gradient on", function()
    local q = nn.VectorQuantizer{ 3, 2, beta = 0.5 }
    q.vectors:detach():copy_(gan.tensor{ { 0, 0 }, { 4, 0 }, { 0, 4 } })
    local x = gan.require_grad(gan.tensor{ { 1, 0 }, { 3, 1 } })
    local y, l, index = q(x)
    close(y, gan.tensor{ { 0, 0 }, { 4, 0 } })
    assert.same({ 1, 2 }, index:totable())
    close(l, 1.5 * 3 / 4)
    ;(y * gan.tensor{ { 1, 2 }, { 3, 4 } }):sum():backward{ retain_graph = true }
    close(x:grad(), gan.tensor{ { 1, 2 }, { 3, 4 } })
    x:zero_grad()
    q:zero_grad()
    l:backward()
    close(x:grad(), gan.tensor{ { 1, 0 }, { -1, 1 } } * (0.5 * 2 / 4))
    close(q.vectors:grad(), gan.tensor{ { -1, 0 }, { 1, -1 }, { 0, 0 } } * (2 / 4))
    close(q:decode(index), y:detach())
  end)

  it("takes maps of vectors, and revives those that are not used", function()
    gan.manual_seed(2)
    local q = nn.VectorQuantizer{ 8, 2 }
    local x = gan.randn(3, 2, 4, 5)
    local y, _, index = q(x)
    assert.same({ 3, 2, 4, 5 }, y:shape())
    assert.same({ 60 }, index:shape())
    local place = (2 - 1) * 20 + (3 - 1) * 5 + 4
    close(gan.tensor{ y:get(2, 1, 3, 4), y:get(2, 2, 3, 4) },
      q.vectors[index:get(place)]:detach())
    q.vectors:detach()[7]:fill_(1e6)
    assert.is_true(q:revive(x) >= 1)
    assert.is_true(q.vectors:abs():amax():item() < 10)
  end)
end)

describe("several encoders", function()
  local function net()
    return nn.MultiAutoencoder{ encoders = { nn.Linear{ 4, 2 }, nn.Linear{ 3, 2 }, nn.Linear{ 5,
      2 } },
      decoders = { nn.Linear{ 2, 4 }, nn.Linear{ 2, 3 }, nn.Linear{ 2, 5 } } }
  end

  it("have the loss of the lecture: reconstructions and distances of all pairs", function()
    gan.manual_seed(4)
    local model = net()
    local views = { gan.randn(6, 4), gan.randn(6, 3), gan.randn(6, 5) }
    local total, parts = loss.multi_view(model, views, { distance = 2, cross = 0.5,
      correlation = 0.1 })
    local expected, distance, cross, correlation, codes = 0, 0, 0, 0, {}
    for i = 1, 3 do
      codes[i] = model.encoders[i](views[i])
      expected = expected + loss.squared_error(model.decoders[i](codes[i]), views[i])
    end
    for i = 1, 3 do
      for k = 1, 3 do
        if k ~= i then
          cross = cross + loss.squared_error(model:translate(views[i], i, k), views[k])
        end
        if k > i then
          distance = distance + (codes[i] - codes[k]):square():sum(2):mean()
          correlation = correlation + loss.correlation(codes[i], codes[k])
        end
      end
    end
    close(parts.distance, distance)
    close(parts.cross, cross, 1e-4)
    close(total, expected + distance * 2 + cross * 0.5 - correlation * 0.1, 1e-4)
    assert.is_nil(select(2, loss.multi_view(model, views)).cross)
    fails("2 encoders and 1 decoders", nn.MultiAutoencoder, { encoders = { {}, {} },
      decoders = { {} } })
  end)

  it("are told apart by contrast", function()
    local a = gan.tensor{ { 1, 0 }, { 0, 3 } }
    local b = gan.tensor{ { 2, 0 }, { 0, 1 } }
    close(loss.contrastive(a, b, { temperature = 0.5 }), 2 * math.log(1 + math.exp(-2)))
    close(loss.contrastive(a, b:flip{ 1 }, { temperature = 0.5 }), 2 * math.log(1 + math.exp(2)))
  end)

  it("correlate fully with a scaled copy, and not with something else", function()
    gan.manual_seed(4)
    local a = gan.randn(4000, 3)
    close(loss.correlation(a, a * 5 + 2), 3, 1e-3)
    close(loss.correlation(a, -a), -3, 1e-3)
    close(loss.correlation(a, gan.randn(4000, 3)), 0, 0.1)
  end)
end)

describe("gan.vae", function()
  -- a linear decoder of Gaussian pixels: p(x) = N(0, W W^T + I) is known
  local w = gan.tensor{ { 1.5, -0.5, 0.2, 1 } } -- (d = 1, pixels = 4)
  local function decode(z) return gan.matmul(z, w) end
  local function log_p(y, x) return gan.vae.log_standard(x - y) end
  local precision = 1 + w:square():sum():item()
  local function posterior(x)
    return gan.matmul(x, w:t()) / precision, gan.full({ #x, 1 }, -math.log(precision))
  end
  local function truth(x)
    local explained = gan.matmul(x, w:t()):square():sum(2) / precision
    return ((x:square():sum(2) - explained) * -0.5
      - (4 * math.log(2 * math.pi) + math.log(precision)) / 2):mean():item()
  end

  it("is exact with any k when the encoder is the true posterior", function()
    gan.manual_seed(6)
    local x = gan.randn(7, 4)
    for _, k in ipairs{ 1, 3, 20 } do
      close(gan.vae.bound(gan.vae.log_weights(posterior, decode, x, k, log_p)), -truth(x), 1e-4)
    end
  end)

  it("has bounds in order, that come near the truth, when it is not", function()
    gan.manual_seed(6)
    local x = gan.randn(40, 4)
    local function wrong(v)
      local mean, logvar = posterior(v)
      return mean + 0.3, logvar + 0.7
    end
    local l = gan.vae.evaluate{ encode = wrong, decode = decode, images = x, samples = 2000,
      at = { 1, 5, 50 }, chunk = 300, batch_size = 16, log_p = log_p }
    local t = -truth(x)
    assert.is_true(l[1] > l[5] and l[5] > l[50] and l[50] > l[2000] - 1e-3)
    assert.is_true(l[1] > t + 0.05)
    close(l[2000], t, 0.01)
  end)

  it("agrees with the closed form of the divergence", function()
    gan.manual_seed(6)
    local mean, logvar = gan.randn(1, 3), gan.randn(1, 3) * 0.5
    local many, spread = mean:expand(40000, 3), logvar:expand(40000, 3)
    local z = gan.vae.sample(many, spread)
    local kl = (gan.vae.log_normal(z, many, spread) - gan.vae.log_standard(z)):mean()
    close(kl, loss.kl_gaussian(mean, logvar), 0.05)
    local logits, x = gan.randn(2, 5), gan.bernoulli(0.5, { 2, 5 })
    close(gan.vae.log_bernoulli(logits, x), -loss.cross_entropy_logits(logits, x,
      { reduction = "none" }))
  end)
end)

describe("a recorded step", function()
  it("replays noise, sparse codes and tied weights with the same results", function()
    local function train(compiled)
      gan.manual_seed(9)
      local encoder = nn.Linear{ 12, 8 }
      local net = nn.Sequential{ nn.MaskingNoise{ 0.3 }, encoder, nn.KSparse{ 3 },
        nn.TiedLinear{ encoder }, nn.Sigmoid{} }
      local adam = gan.optim.Adam{ net:parameters(), lr = 0.01 }
      local x, losses = gan.rand(16, 12), {}
      local function step(batch)
        local h = net[2](net[1](batch))
        local total = loss.squared_error(net(batch), batch) + loss.sparsity_kl(h:sigmoid())
          + loss.contractive(h:sigmoid(), encoder.weight) * 0.1
        adam:zero_grad()
        total:backward()
        adam:step()
        return { total = total }
      end
      step = compiled and gan.compile(step) or step
      for i = 1, 8 do
        losses[i] = step(x).total:item()
      end
      return losses, compiled and step.status
    end
    local eager = train(false)
    local replayed, status = train(true)
    assert.equal("replaying", status)
    assert.same(eager, replayed)
  end)
end)

describe("layer-wise pre-training", function()
  local function layers(corrupt)
    gan.manual_seed(8)
    local e = { nn.Sequential{ nn.Linear{ 6, 5 }, nn.Tanh{} }, nn.Linear{ 5, 2 } }
    local d = { nn.Sequential{ nn.Linear{ 2, 5 }, nn.Tanh{} }, nn.Linear{ 5, 6 } }
    return gan.train.pretrain{ encoder = e, decoder = d, corrupt = corrupt,
      optimiser = function(p) return gan.optim.Adam{ p, lr = 0.01 } end }, e, d
  end
  local x = gan.randn(32, 2)
  x = gan.matmul(x, gan.randn(2, 6))

  it("trains one layer at a time, the others stand still", function()
    local stages, e, d = layers()
    assert.equal(2, #stages)
    local first, last
    for i = 1, 200 do
      local v = stages:step(x):item()
      first, last = first or v, i == 200 and v or nil
    end
    assert.is_true(last < 0.3 * first)
    local frozen = { e[1][1].weight:clone(), d[2].weight:clone() }
    local untouched = e[2].weight:clone()
    assert.is_true(stages:advance())
    stages:step(x)
    close(e[1][1].weight, frozen[1], 0)
    close(d[2].weight, frozen[2], 0)
    assert.is_true((e[2].weight - untouched):abs():sum():item() > 0)
    assert.is_false(stages:advance())
    assert.is_true(stages.done)
  end)

  it("goes on from its state as if it had not stopped", function()
    local a, ea, da = layers()
    a:step(x)
    a:advance()
    a:step(x)
    local b, eb, db = layers()
    b:load_state_dict(a:state_dict())
    for i = 1, 2 do
      eb[i]:load_state_dict(ea[i]:state_dict())
      db[i]:load_state_dict(da[i]:state_dict())
    end
    assert.equal(2, b.stage)
    for _ = 1, 3 do
      assert.equal(a:step(x):item(), b:step(x):item())
    end
  end)

  it("may corrupt what a stage reads", function()
    local stages = layers(function(h) return h * 0 end)
    local plain = layers()
    assert.is_true(stages:step(x):item() ~= plain:step(x):item())
    fails("1 encoders and 0 decoders", gan.train.pretrain, { encoder = { nn.ReLU{} },
      decoder = {}, optimiser = print })
  end)
end)
