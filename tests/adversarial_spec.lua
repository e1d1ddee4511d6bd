-- gan.adversarial, the objectives of gan.loss and the layers that are told a class.

local gan = require "gan"
local fails = require("tests.support").fails
local nn, optim, loss, adversarial = gan.nn, gan.optim, gan.loss, gan.adversarial

local function close(got, want, tol, what)
  got = gan.is_tensor(got) and got:item() or got
  assert(math.abs(got - want) <= (tol or 1e-5),
    ("%s%.9g is not %.9g"):format(what or "", got, want))
end

local function same(a, b, tol)
  assert.same(a:shape(), b:shape())
  assert(a:numel() == 0 or (a - b):abs():amax():item() <= (tol or 1e-6), "the tensors differ")
end

describe("objectives", function()
  local real, fake = gan.tensor{ 2, -1 }, gan.tensor{ 0.5, -3 }

  it("have the values of their formulas", function()
    local pairs_of = loss.adversarial
    local function softplus(x) return math.log(1 + math.exp(x)) end
    local d = (softplus(-2) + softplus(1)) / 2 + (softplus(0.5) + softplus(-3)) / 2
    close(pairs_of.minimax.discriminator(real, fake), d)
    close(pairs_of.minimax.generator(fake), -(softplus(0.5) + softplus(-3)) / 2)
    close(pairs_of.non_saturating.generator(fake), (softplus(-0.5) + softplus(3)) / 2)
    close(pairs_of.least_squares.discriminator(real, fake), (1 + 4) / 4 + (0.25 + 9) / 4)
    close(pairs_of.least_squares.generator(fake), (0.25 + 16) / 4)
    close(pairs_of.hinge.discriminator(real, fake), (0 + 2) / 2 + (1.5 + 0) / 2)
    close(pairs_of.hinge.generator(fake), 1.25)
    close(pairs_of.wasserstein.discriminator(real, fake), -1.25 - 0.5)
    close(pairs_of.relativistic.discriminator(real, fake), (softplus(-1.5) + softplus(-2)) / 2)
    close(pairs_of.relativistic.generator(fake, real), (softplus(1.5) + softplus(2)) / 2)
  end)

  it("add up from two halves", function()
    for name, pair in pairs(loss.adversarial) do
      if name ~= "relativistic" then
        close(pair.discriminator(real, nil) + pair.discriminator(nil, fake),
          pair.discriminator(real, fake):item(), 1e-6, name .. ": ")
        fails("neither a real nor a generated", pair.discriminator)
      end
    end
    for _, pair in pairs(loss.probability) do
      local p, q = real:sigmoid(), fake:sigmoid()
      close(pair.discriminator(p) + pair.discriminator(nil, q), pair.discriminator(p, q):item())
    end
  end)

  it("smooth the labels of real inputs only", function()
    local p, q = real:sigmoid(), fake:sigmoid()
    local smooth = { smoothing = 0.1 }
    local want = 0
    for _, v in ipairs(p:totable()) do
      want = want - (0.9 * math.log(v) + 0.1 * math.log(1 - v)) / 2
    end
    local rest = loss.gan_discriminator_loss(nil, q):item()
    close(loss.gan_discriminator_loss(p, q, smooth), want + rest)
    close(loss.gan_discriminator_loss_logits(real, fake, smooth), want + rest)
    close(loss.adversarial.least_squares.discriminator(real, nil, smooth), (1.21 + 3.61) / 4)
    fails("smoothing must be", loss.gan_discriminator_loss_logits, real, fake, { smoothing = 1 })
  end)

  it("penalise slopes around the data, on one side if wanted", function()
    local function critic(x) return x:flatten(2):sum(2) * 0.25 end -- slope 0.5 in 4 dimensions
    local x = gan.randn(6, 1, 2, 2)
    close(loss.dragan_penalty(critic, x), 0.25)
    close(loss.dragan_penalty(critic, x, { center = 0 }), 0.25)
    close(loss.dragan_penalty(critic, x, { one_sided = true }), 0)
    close(loss.gradient_penalty(critic, x, x + 1, { one_sided = true }), 0)
    local seen
    loss.dragan_penalty(function(y) seen = y return y:flatten(2):sum(2) end, x, { strength = 0 })
    same(seen, x)
  end)
end)

describe("the discriminator's inputs", function()
  it("are packed sample by sample", function()
    local x = gan.arange(24):reshape(4, 2, 3)
    local y = adversarial.pack(x, 2)
    assert.same({ 2, 4, 3 }, y:shape())
    same(y[2]:slice(1, 3, 4), x[4])
    same(adversarial.pack(gan.arange(4):reshape(4, 1), 4), gan.arange(4):reshape(1, 4))
    fails("cannot be packed by 3", adversarial.pack, x, 3)
  end)

  it("get noise that fades, and goes on where it was", function()
    gan.manual_seed(1)
    local noise = adversarial.noise{ 0.5, steps = 4 }
    local x = gan.zeros(20000)
    close(noise(x):std(), 0.5, 0.02)
    noise:step()
    noise:step()
    close(noise(x):std(), 0.25, 0.01)
    local again = adversarial.noise{ 0.5, steps = 4 }
    again:load_state_dict(noise:state_dict())
    close(again(x):std(), 0.25, 0.01)
    noise:step()
    noise:step()
    noise:step()
    same(noise(x), x)
    local step = gan.compile(function(y) noise:step() return noise(y) end)
    noise:load_state_dict{ done = 0 }
    local spread = {}
    for i = 1, 5 do
      spread[i] = step(x):std():item()
    end
    assert.equal("replaying", step.status)
    close(spread[1], 0.375, 0.02)
    close(spread[3], 0.125, 0.01)
    assert.equal(0, spread[5])
  end)

  it("are changed at random, and gradients flow back", function()
    gan.manual_seed(2)
    local x = gan.require_grad(gan.rand(5, 3, 8, 8))
    for _, name in ipairs{ "color", "translation", "cutout" } do
      local y = adversarial.augment{ name }(x)
      assert.same(x:shape(), y:shape())
      assert.is_true((y - x):abs():amax():item() > 0.01, name)
      assert.is_true(gan.grad(y:sum(), x):abs():sum():item() > 0, name)
    end
    -- a translation keeps what stays inside: every pixel is one of the same image, or 0
    local one = gan.arange(64):reshape(1, 1, 8, 8)
    local moved, shifts = adversarial.augment{ "translation" }, {}
    for _ = 1, 60 do
      local y = moved(one):totable()[1][1]
      local dy, dx
      for i = 1, 8 do
        for j = 1, 8 do
          local v = math.tointeger(y[i][j])
          if v > 0 then
            local a, b = (v - 1) // 8 + 1 - i, (v - 1) % 8 + 1 - j
            assert.is_true((dy or a) == a and (dx or b) == b)
            dy, dx = a, b
          end
        end
      end
      shifts[dy .. "," .. dx] = true
      assert.is_true(math.abs(dy) <= 1 and math.abs(dx) <= 1)
    end
    local count = 0
    for _ in pairs(shifts) do
      count = count + 1
    end
    assert.equal(9, count)
    local hole = adversarial.augment{ "cutout" }(gan.ones(200, 1, 8, 8))
    local left = hole:mean({ 2, 3, 4 })
    close(left:amin(), 0.75, 1e-6) -- a whole quarter is missing
    assert.is_true(left:amax():item() > 0.75) -- a part of the window lay outside
    fails("did you mean 'cutout'", adversarial.augment, { "cutuot" })
  end)
end)

describe("schedules", function()
  it("give several batches at a time, and go on where they were", function()
    local function make()
      return adversarial.rounds(gan.data.batches{ gan.arange(10), gan.arange(10), batch_size = 2,
        shuffle = true, seed = 3 }, 2)
    end
    local rounds = make()
    assert.equal(2, #rounds)
    local a, la, b, lb = rounds()
    same(a, la)
    same(b, lb)
    local state = rounds:state_dict()
    local next_a = rounds()
    assert.is_nil((rounds())) -- one batch is left over
    local again = make()
    again:load_state_dict(state)
    same(again(), next_a)
    fails("a positive integer", adversarial.rounds, rounds, 0)
  end)

  it("clip what the optimiser trains, and warn of momentum", function()
    local D, said = nn.Linear{ 3, 2 }, {}
    gan.no_grad(D.weight.fill_, D.weight, 5)
    local function warn(text) said[#said + 1] = text end
    adversarial.clipping{ optim.RMSprop{ D }, c = 0.1, warn = warn }()
    assert.equal(0, #said)
    close(D.weight:amax(), 0.1)
    adversarial.clipping{ optim.Adam{ D, betas = { 0, 0.9 } }, warn = warn }
    assert.equal(0, #said)
    adversarial.clipping{ optim.Adam{ D }, warn = warn }
    adversarial.clipping{ optim.RMSprop{ D, momentum = 0.5 }, warn = warn }
    assert.equal(2, #said)
    assert.matches("momentum", said[1])
    fails("c must be above 0", adversarial.clipping, { optim.Adam{ D }, c = 0 })
  end)
end)

describe("an unrolled discriminator", function()
  -- D(x) = w x, loss w x^2 / 2 - ..., worked out by hand: loss(w) = (w g)^2 / 2 with g from G
  it("gives the gradient through its updates", function()
    for _, second in ipairs{ true, false } do
      local D = nn.Linear{ 1, 1, bias = false }
      gan.no_grad(D.weight.fill_, D.weight, 2)
      local g = gan.require_grad(gan.tensor{ { 3 } })
      local result = adversarial.unroll{ D, steps = 1, lr = 0.1, second_order = second,
        loss = function() return D(g):square():sum() * 0.5 end,
        generator = function() return D(g):sum() end }
      -- w' = w - 0.1 w g^2 = 2 - 1.8 = 0.2; D' g = w g - 0.1 w g^3
      close(result, 0.6)
      close(gan.grad(result, g), second and 2 - 0.1 * 2 * 3 * 9 or 0.2)
      close(D.weight, 2) -- as it was
      assert.is_true(D.weight:is_leaf())
    end
  end)

  it("leaves parameters and statistics alone, also after an error", function()
    local D = nn.Sequential{ nn.Linear{ 2, 4 }, nn.BatchNorm1d{ 4 }, nn.ReLU{}, nn.Linear{ 4, 1 } }
    local before, names = {}, {}
    for name, p in D:named_parameters() do
      before[name], names[#names + 1] = p, name
    end
    local mean = D[2].running_mean:clone()
    local x = gan.randn(8, 2)
    local given = { D, steps = 3, lr = 0.05, rule = "adam",
      loss = function() return loss.gan_discriminator_loss_logits(D(x), D(x + 1)) end,
      generator = function() return D(x):mean() end }
    assert.is_true(adversarial.unroll(given):item() > D(x):mean():item())
    D[2].running_mean:copy_(mean)
    given.generator = function() error "oops" end
    fails("oops", adversarial.unroll, given)
    for name, p in D:named_parameters() do
      assert.equal(before[name], p)
    end
    same(D[2].running_mean, mean)
    fails("takes a model first", adversarial.unroll,
      { {}, lr = 1, loss = print, generator = print })
  end)
end)

describe("layers that are told a class", function()
  local labels = gan.tensor({ 1, 3, 3 }, { dtype = "int64" })

  it("normalise with a gain and a bias for each", function()
    local layer = nn.ConditionalBatchNorm2d{ 2, 3 }
    local x = gan.randn(3, 2, 4, 4)
    same(layer(x, labels), nn.BatchNorm2d{ 2, affine = false }(x))
    gan.no_grad(layer.gain[3].fill_, layer.gain[3], 2)
    gan.no_grad(layer.bias[1].fill_, layer.bias[1], 5)
    local plain, y = nn.BatchNorm2d{ 2, affine = false }(x), layer(x, labels)
    same(y[1], plain[1] + 5)
    same(y[2], plain[2] * 2, 1e-5)
    assert.equal(2, #layer:parameters())
    same(nn.ConditionalBatchNorm1d{ 4, 3 }(x:flatten(2):slice(2, 1, 4), labels),
      nn.BatchNorm1d{ 4, affine = false }(x:flatten(2):slice(2, 1, 4)))
  end)

  it("append learnt numbers, and project onto the class", function()
    local concat = nn.LabelConcat{ 3, 2 }
    local y = concat(gan.zeros(3, 5, 2, 2), labels)
    assert.same({ 3, 7, 2, 2 }, y:shape())
    same(y[2]:slice(1, 6, 7):select(2, 1):select(2, 2), concat.table.weight[3])
    assert.same({ 3, 7 }, concat(gan.zeros(3, 5), labels):shape())
    local head, phi = nn.Projection{ 4, 3 }, gan.randn(3, 4)
    local want = head.score(phi)[2]:item() + (head.table.weight[3] * phi[2]):sum():item()
    close(head(phi, labels)[2], want)
  end)

  it("stand in nets that pass the labels on", function()
    local net = nn.Conditional{ nn.LabelConcat{ 3, 2 }, nn.Linear{ 6, 4 }, nn.ReLU{},
      nn.ConditionalBatchNorm1d{ 4, 3 }, function(x) return x * 2 end, nn.Projection{ 4, 3 } }
    local y = net(gan.randn(3, 4), labels)
    assert.same({ 3, 1 }, y:shape())
    y:sum():backward()
    assert.is_true(net[1].table.weight:grad():abs():sum():item() > 0)
    local state = net:state_dict()
    assert.is_true(state["0.table.weight"] ~= nil and state["3.norm.running_mean"] ~= nil)
    fails("element 2 is not a layer", nn.Conditional, { nn.ReLU{}, 5 })
  end)
end)

describe("a critic", function()
  it("estimates the distance of two distributions: shifted and scaled normal ones", function()
    -- W1 of N(0, 1) and N(3, 1) is 3; of N(0, 1) and N(0, 3^2), 2 E|x| = 2 sqrt(2 / pi)
    for _, case in ipairs{ { 3, 1, 3 }, { 0, 3, 2 * math.sqrt(2 / math.pi) } } do
      gan.manual_seed(5)
      local critic = nn.Sequential{ nn.Linear{ 1, 64 }, nn.ReLU{}, nn.Linear{ 64, 64 }, nn.ReLU{},
        nn.Linear{ 64, 1 } }
      local opt = optim.Adam{ critic, lr = 1e-3, betas = { 0, 0.9 } }
      local pair, estimate = loss.adversarial.wasserstein, 0
      for i = 1, 800 do
        opt.lr = 2e-3 * (1 - i / 801)
        gan.scope(function()
          local a, b = gan.randn(256, 1), gan.randn(256, 1) * case[2] + case[1]
          local value = pair.discriminator(critic(a), critic(b))
          opt:zero_grad()
          -- where a weight l stops the slope s: at the top of s W - l (s - 1)^2, 1 + W / 2l
          local total = value + loss.gradient_penalty(critic, a, b, { one_sided = true }) * 100
          total:backward()
          opt:step()
          estimate = estimate - (i > 700 and value:item() / 100 or 0)
        end)
      end
      close(estimate, case[3], 0.1 * case[3], "the estimate ")
    end
  end)
end)

describe("layers of style-based generators", function()
  it("modulate: as a convolution with weights of its own for each sample", function()
    gan.manual_seed(3)
    for _, demodulate in ipairs{ true, false } do
      local layer = nn.ModulatedConv2d{ 3, 4, 3, 5, demodulate = demodulate }
      local x, w = gan.randn(2, 3, 6, 6), gan.randn(2, 5)
      local y, s = layer(x, w), layer.style(w)
      for i = 1, 2 do
        local weight = layer.weight * s[i]:reshape(1, 3, 1, 1)
        if demodulate then
          weight = weight / weight:square():sum({ 2, 3, 4 }, { keepdim = true }):sqrt()
        end
        same(gan.conv2d(x:slice(1, i, i), weight, { padding = 1 }), y:slice(1, i, i), 1e-5)
      end
    end
    fails("kernel_size must be odd", nn.ModulatedConv2d, { 1, 1, 2, 3 })
  end)

  it("add noise by a strength that is learnt, and show how alike a batch is", function()
    local noise, x = nn.NoiseInjection{}, gan.randn(4, 2, 3, 3)
    same(noise(x), x)
    gan.no_grad(noise.strength.fill_, noise.strength, 2)
    local added = noise(x) - x
    same(added:select(2, 1), added:select(2, 2), 1e-5) -- one plane for all channels
    assert.is_true(added:abs():amax():item() > 1)
    local std = nn.MinibatchStd{ 2 }
    local y = std(gan.cat({ gan.ones(2, 2, 3, 3), gan.ones(2, 2, 3, 3) * 3 }, { dim = 1 }))
    assert.same({ 4, 3, 3, 3 }, y:shape())
    close(y:select(2, 3):mean(), 1, 1e-4) -- samples 1 and 3 are a group: 1 and 3
    close(std(gan.ones(4, 2, 3, 3)):select(2, 3):amax(), 1e-4, 1e-5)
    fails("does not divide into groups", std, gan.ones(3, 2, 3, 3))
  end)
end)
