local gan = require "gan"
local nn, optim = gan.nn, gan.optim

local function message_of(f, ...)
  local ok, message = pcall(f, ...)
  assert.is_false(ok)
  return message
end

local function near(expected, found, tol)
  assert.is_true(math.abs(expected - found) <= (tol or 1e-6) * math.max(1, math.abs(expected)),
    ("%.9g for %.9g"):format(found, expected))
end

--- The value of one parameter that starts at 1 after steps with these gradients.
local function trajectory(kind, o, grads)
  local p = nn.parameter(gan.ones(1))
  o[1] = { p }
  local opt = optim[kind](o)
  local values = {}
  for i, g in ipairs(grads) do
    p:set_grad(gan.full({ 1 }, g))
    opt:step()
    values[i] = p:item()
  end
  return values
end

describe("optimisers", function()
  -- values of PyTorch 1.13 in double precision for p = 1 and these gradients
  local grads = { 0.5, -0.2, 0.3 }
  local cases = {
    { "SGD", { lr = 0.1 }, { 0.95, 0.97, 0.94 } },
    { "SGD", { lr = 0.1, momentum = 0.9 }, { 0.95, 0.925, 0.8725 } },
    { "SGD", { lr = 0.1, momentum = 0.9, nesterov = true, weight_decay = 0.1 },
      { 0.886, 0.858566, 0.750536646 } },
    { "SGD", { lr = 0.1, momentum = 0.9, dampening = 0.5 }, { 0.95, 0.915, 0.8685 } },
    { "Adam", { lr = 0.1, betas = { 0.5, 0.999 } }, { 0.900000002, 0.891244654, 0.839052455 } },
    { "Adam", { lr = 0.1, weight_decay = 0.1, amsgrad = true },
      { 0.900000002, 0.847519063, 0.779112161 } },
    { "AdamW", { lr = 0.1, weight_decay = 0.1 }, { 0.890000002, 0.846539418, 0.783629989 } },
    { "RMSprop", { lr = 0.1 }, { 1.9999996e-07, 0.373002054, -0.117140948 } },
    { "RMSprop", { lr = 0.1, centered = true, momentum = 0.9 },
      { -0.00503761324, -0.536003796, -1.50632563 } },
    { "Adagrad", { lr = 0.1, lr_decay = 0.1 }, { 0.9, 0.933762789, 0.893207433 } },
    { "Adamax", { lr = 0.1 }, { 0.900000002, 0.873657871, 0.834834877 } },
    { "NAdam", { lr = 0.1 }, { 0.895046884, 0.928187774, 0.870414295 } },
    { "RAdam", { lr = 0.1 }, { 0.95, 0.936842105, 0.917469412 } },
    { "Adadelta", { lr = 1 }, { 0.996837786, 0.998575224, 0.996119163 } },
    { "Rprop", { lr = 0.1 }, { 0.9, 0.9, 0.85 } },
  }
  for i, case in ipairs(cases) do
    it(("agree with PyTorch: %s (%d)"):format(case[1], i), function()
      local values = trajectory(case[1], case[2], grads)
      for k, expected in ipairs(case[3]) do
        near(expected, values[k], 1e-5)
      end
    end)
  end

  it("take lists, models, single tensors and groups with options of their own", function()
    local a, b, c = nn.Linear{ 2, 2 }, nn.Linear{ 2, 2 }, nn.parameter(gan.ones(2))
    assert.equal(5, #optim.SGD{ a, b:parameters(), c, lr = 1 }:parameters())
    local opt = optim.Adam{ { params = a, lr = 0.5 }, { params = b:parameters() }, lr = 0.1 }
    assert.equal(0.5, opt.groups[1].lr)
    assert.equal(0.1, opt.groups[2].lr)
    opt.lr = 0.2
    assert.equal(0.2, opt.groups[1].lr)
    assert.equal(0.2, opt.lr)
  end)

  it("leave alone what has no gradient, and count its steps apart", function()
    local a, b = nn.parameter(gan.ones(1)), nn.parameter(gan.ones(1))
    local opt = optim.Adam{ { a, b }, lr = 0.1 }
    a:set_grad(gan.ones(1))
    opt:step()
    near(0.9, a:item())
    assert.equal(1, b:item())
    b:set_grad(gan.ones(1))
    opt:step()
    near(0.9, b:item())
    near(0.8, a:item())
    opt:zero_grad()
    assert.is_nil(a:grad())
  end)

  it("keep their state when the scope of the first step closes", function()
    local p = nn.parameter(gan.ones(3))
    local opt = optim.Adam{ { p }, lr = 0.1 }
    for _ = 1, 3 do
      gan.scope(function()
        opt:zero_grad()
        p:square():sum():backward()
        opt:step()
      end)
    end
    near(0.7, p:get(1), 2e-2)
  end)

  it("refuse bad options", function()
    local p = nn.parameter(gan.ones(1))
    local function try(kind, o)
      o[1] = { p }
      return message_of(optim[kind], o)
    end
    assert.matches("optim.Adam: lr must be a finite number, 0 or more, not nan",
      (try("Adam", { lr = 0 / 0 }):gsub("%-nan", "nan")), 1, true)
    assert.matches("optim.SGD: lr must be a finite number, 0 or more, not -0.1",
      try("SGD", { lr = -0.1 }), 1, true)
    assert.matches("optim.SGD: 'lr' is missing", try("SGD", {}), 1, true)
    assert.matches("optim.Adam: betas[2] must be at least 0 and less than 1, not 1",
      try("Adam", { betas = { 0.5, 1 } }), 1, true)
    assert.matches("optim.Adam: unknown option 'momentun'", try("Adam", { momentun = 1 }), 1, true)
    assert.matches("did you mean 'weight_decay'?", try("Adam", { weigth_decay = 1 }), 1, true)
    assert.matches("no parameters were given", message_of(optim.SGD, { lr = 1 }), 1, true)
    local function give(list)
      return message_of(optim.SGD, { list, lr = 1 })
    end
    assert.matches("parameter 1 was computed", give{ p * 2 }, 1, true)
    assert.matches("parameter 2 is given twice", give{ p, p }, 1, true)
    local opt = optim.SGD{ { p }, lr = 1 }
    assert.matches("lr must be a finite number",
      message_of(function() opt.lr = -1 end), 1, true)
    opt.groups[1].lr = 0 / 0
    assert.matches("lr must be a finite number", message_of(opt.step, opt), 1, true)
  end)

  it("continue from their saved state", function()
    local function run(split)
      local p = nn.parameter(gan.ones(4))
      local opt = optim.Adam{ { p }, lr = 0.1 }
      for i = 1, 6 do
        if i == split then
          local saved = opt:state_dict()
          opt = optim.Adam{ { p }, lr = 9 }
          opt:load_state_dict(saved)
        end
        p:set_grad(p:detach():square() + i)
        opt:step()
      end
      return p:totable()
    end
    assert.same(run(0), run(4))
    local opt = optim.SGD{ { nn.parameter(gan.ones(1)) }, lr = 1 }
    assert.matches("1 groups of 1 parameters together, not 1 of 2", message_of(opt.load_state_dict,
      optim.SGD{ { nn.parameter(gan.ones(1)), nn.parameter(gan.ones(1)) }, lr = 1 },
      opt:state_dict()), 1, true)
  end)

  it("refuse lists with holes, and states that do not fit, without changing anything", function()
    local p, q = nn.parameter(gan.ones(2)), nn.parameter(gan.ones(2))
    assert.matches("parameter 2 is not a tensor but a nil",
      message_of(optim.SGD, { { p, nil, q }, lr = 1 }), 1, true)
    local opt = optim.Adam{ { p }, lr = 0.1 }
    local start = opt:state_dict()
    p:set_grad(gan.ones(2))
    opt:step()
    local before = opt:state_dict()
    for _, bad in ipairs{
      { groups = { { lr = "x" } }, steps = { 1 }, tensors = {} },
      { groups = { { params = 3 } }, steps = { 1 }, tensors = {} },
      { groups = { { lr = 1 } }, steps = { "a" }, tensors = {} },
      { groups = { { lr = 1 } }, steps = { 2 }, tensors = {} },
      { groups = { { lr = 1 } }, steps = { 2 },
        tensors = { ["1.m"] = gan.ones(3), ["1.v"] = gan.ones(2) } },
    } do
      assert.is_false((pcall(opt.load_state_dict, opt, bad)))
      assert.same(before.steps, opt:state_dict().steps)
      assert.equal(0.1, opt.lr)
    end
    opt:load_state_dict(start) -- of before the first step: no moments
    opt:step()
    assert.same(before.tensors["1.m"]:totable(), opt:state_dict().tensors["1.m"]:totable())
  end)

  it("take options that ask for other states while they run", function()
    local p = nn.parameter(gan.ones(1))
    local opt = optim.SGD{ { p }, lr = 0.1 }
    for _ = 1, 3 do
      p:set_grad(gan.ones(1))
      opt:step()
      opt.groups[1].momentum = 0.9
    end
    near(1 - 0.1 - 0.1 - 0.19, p:item(), 1e-6)
  end)

  it("count a step only when it was made, whichever allocation fails", function()
    local function run(fail)
      local p, q = nn.parameter(gan.ones(3)), nn.parameter(gan.ones(3))
      local r = nn.parameter(gan.ones(1))
      local opt = optim.Adam{ { params = { p, r } }, { params = { q } }, lr = 0.1 }
      p:set_grad(gan.ones(3))
      q:set_grad(gan.ones(3))
      gan.debug.fail_after(fail)
      local ok = pcall(opt.step, opt)
      gan.debug.fail_after(nil)
      local steps = opt:state_dict().steps
      assert.equal(0, steps[2]) -- it has no gradient
      for place, t in pairs{ p, [3] = q } do
        assert.equal(t:totable()[1] < 0.95 and 1 or 0, steps[place])
      end
      return ok
    end
    local k = 0
    while not run(k) do
      k = k + 1
    end
    assert.is_true(k > 0)
  end)

  it("train: the loss of a small net falls", function()
    local kinds = { "SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adamax", "NAdam", "RAdam",
      "Adadelta", "Rprop" }
    if os.getenv "QUICK" then
      kinds = { "Rprop" }
    end
    for _, kind in ipairs(kinds) do
      gan.manual_seed(1)
      local net = nn.Sequential{ nn.Linear{ 2, 16 }, nn.Tanh{}, nn.Linear{ 16, 1 } }
      local x = gan.randn(64, 2)
      local t = x:slice(2, 1, 1) * x:slice(2, 2, 2)
      local opt = optim[kind]{ net, lr = ({ SGD = 0.1, Adadelta = 1 })[kind] or 0.01 }
      local first, last
      for _ = 1, 200 do
        gan.scope(function()
          local loss = gan.mse_loss(net(x), t)
          opt:zero_grad()
          loss:backward()
          opt:step()
          first, last = first or loss:item(), loss:item()
        end)
      end
      assert.is_true(last < 0.7 * first, ("%s: %g to %g"):format(kind, first, last))
    end
  end)
end)

describe("clipping", function()
  it("limits weights", function()
    local net = nn.Linear{ 3, 3 }
    gan.no_grad(function() net.weight:fill_(2) net.bias:fill_(-2) end)
    optim.clip_weights(net, 0.01)
    near(0.01, net.weight:amax():item())
    near(-0.01, net.bias:amin():item())
    assert.matches("must be a number, 0 or more", message_of(optim.clip_weights, net, -1), 1, true)
  end)

  it("limits the norm of all gradients together", function()
    local a, b = nn.parameter(gan.zeros(1)), nn.parameter(gan.zeros(1))
    a:set_grad(gan.full({ 1 }, 3))
    b:set_grad(gan.full({ 1 }, 4))
    near(5, optim.clip_grad_norm({ a, b }, 1))
    near(0.6, a:grad():item(), 1e-5)
    near(0.8, b:grad():item(), 1e-5)
    near(1, optim.clip_grad_norm({ a, b }, 10), 1e-5)
    near(0.6, a:grad():item(), 1e-5)
    optim.clip_grad_value({ a, b }, 0.7)
    near(0.6, a:grad():item(), 1e-5)
    near(0.7, b:grad():item(), 1e-5)
    assert.equal(0, optim.clip_grad_norm({ nn.parameter(gan.zeros(1)) }, 1))
  end)
end)

describe("schedules", function()
  local function rates(make, n)
    local opt = optim.SGD{ { nn.parameter(gan.ones(1)) }, lr = 1 }
    local schedule, list = make(opt), { opt.lr }
    for i = 2, n do
      schedule:step()
      list[i] = opt.lr
    end
    return list, schedule, opt
  end

  it("go to a part of their course", function()
    local opt = optim.SGD{ gan.nn.Linear{ 1, 1 }, lr = 1 }
    local schedule = optim.CosineLR{ opt, steps = 2 }
    for part, lr in pairs{ [0] = 1, [0.5] = 0.5, [1] = 0 } do
      schedule:reach(part)
      near(lr, opt.groups[1].lr)
    end
    assert.has_error(function() schedule:reach(1.5) end,
      "optim.schedule: a part lies between 0 and 1, not 1.5")
    local endless = optim.ExponentialLR{ opt, gamma = 0.5 }
    assert.has_error(function() endless:reach(0.5) end,
      "optim.schedule: only a schedule with an end ('steps') can reach a part of it")
  end)

  it("set the rates of their formulas", function()
    local function check(expected, make)
      for i, lr in ipairs(rates(make, #expected)) do
        near(expected[i], lr)
      end
    end
    check({ 1, 1, 0.1, 0.1, 0.01 }, function(o) return optim.StepLR{ o, step_size = 2 } end)
    check({ 1, 0.1, 0.1, 0.01 }, function(o)
      return optim.MultiStepLR{ o, milestones = { 1, 3 } }
    end)
    check({ 1, 0.5, 0.25 }, function(o) return optim.ExponentialLR{ o, gamma = 0.5 } end)
    check({ 1, 0.5, 0, 0 }, function(o) return optim.CosineLR{ o, steps = 2 } end)
    check({ 1, 0.55, 0.1 }, function(o) return optim.CosineLR{ o, steps = 2, floor = 0.1 } end)
    check({ 1, 1 / 2, 1 / 3 }, function(o)
      return optim.LambdaLR{ o, f = function(t) return 1 / (1 + t) end }
    end)
    check({ 0.25, 0.5, 0.75, 1, 1 }, function(o) return optim.WarmupLR{ o, warmup = 4 } end)
    check({ 0.5, 0.5, 0.25 }, function(o)
      return optim.ExponentialLR{ o, gamma = 0.5, warmup = 2 }
    end)
  end)

  it("continue from their saved state, and refuse what is no optimiser", function()
    local _, schedule, opt = rates(function(o) return optim.ExponentialLR{ o, gamma = 0.5 } end, 3)
    local again = optim.ExponentialLR{ optim.SGD{ { nn.parameter(gan.ones(1)) }, lr = 7 },
      gamma = 0.5 }
    again:load_state_dict(schedule:state_dict())
    assert.equal(opt.lr, again.optimizer.lr)
    assert.matches("takes an optimiser first", message_of(optim.StepLR, { {}, step_size = 1 }), 1,
      true)
  end)
end)

describe("averaged weights", function()
  it("follow the parameters and can be used for a while", function()
    local net = nn.Linear{ 1, 1, bias = false }
    gan.no_grad(function() net.weight:fill_(0) end)
    local ema = optim.EMA{ net, decay = 0.5 }
    gan.no_grad(function() net.weight:fill_(1) end)
    ema:update()
    ema:update()
    near(0.75, ema:use(function() return net.weight:item() end))
    near(1, net.weight:item())
    pcall(ema.use, ema, function() error "x" end)
    near(1, net.weight:item())
    local copy = nn.Linear{ 1, 1, bias = false }
    ema:copy_to(copy)
    near(0.75, copy.weight:item())
    ema = optim.EMA{ net, warmup = true }
    gan.no_grad(function() net.weight:fill_(12) end)
    ema:update()
    near(10, ema:use(function() return net.weight:item() end))
    assert.matches("decay must be from 0 to 1", message_of(optim.EMA, { net, decay = 2 }), 1, true)
  end)
end)
