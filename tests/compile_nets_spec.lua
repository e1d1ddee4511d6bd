-- Training steps of all kinds, compiled and not: the same losses, parameters, optimiser states,
-- running statistics and random numbers, bit for bit. SLOW=1 adds the largest workload.
local gan = require "gan"
local gan_step = require "tests.gan_step"
local nn, optim, loss = gan.nn, gan.optim, gan.loss

local STEPS = 10

local function leaky() return nn.LeakyReLU{ 0.2 } end

local function leak_mlp(...)
  local sizes, layers = { ... }, {}
  for i = 1, #sizes - 1 do
    layers[#layers + 1] = nn.Linear{ sizes[i], sizes[i + 1] }
    layers[#layers + 1] = i < #sizes - 1 and leaky() or nil
  end
  return nn.Sequential(layers)
end

--- The step of a model that is trained to reach a target.
local function regression(model, opt, after)
  return function(x, y)
    opt:zero_grad()
    local error = model(x):mse_loss(y)
    error:backward()
    local more = after and after(model, opt)
    opt:step()
    return { loss = error, more = more }
  end
end

-- ---- worlds: name -> function() -> step, arguments(call), what to compare -----------------------

local worlds = {}

local function dense(n, m)
  return function() return gan.randn(7, n), gan.randn(7, m) end
end

local optimisers = {
  SGD = { lr = 0.05 }, ["SGD momentum"] = { lr = 0.05, momentum = 0.9, nesterov = true },
  RMSprop = { lr = 1e-3 }, ["RMSprop centered"] = { lr = 1e-3, centered = true, momentum = 0.5 },
  Adam = { lr = 1e-3 }, ["Adam weight_decay"] = { lr = 1e-3, weight_decay = 0.1 },
  ["Adam amsgrad"] = { lr = 1e-3, amsgrad = true }, AdamW = { lr = 1e-3 }, Adagrad = { lr = 0.01 },
  Adamax = { lr = 1e-3 }, RAdam = { lr = 1e-3 }, NAdam = { lr = 1e-3 }, Adadelta = { lr = 1 },
  Rprop = { lr = 1e-3 },
}

for name, o in pairs(optimisers) do
  worlds["optim." .. name] = function()
    local model, given = leak_mlp(4, 9, 3), { false }
    for key, v in pairs(o) do given[key] = v end
    given[1] = model
    local opt = optim[name:match("^%w+")](given)
    return regression(model, opt), dense(4, 3), { model, opt }
  end
end

local schedules = {
  StepLR = { step_size = 3 }, MultiStepLR = { milestones = { 2, 5 } },
  ExponentialLR = { gamma = 0.9 }, CosineLR = { steps = 8 }, WarmupLR = { warmup = 4 },
  LambdaLR = { f = function(t) return 1 / (1 + t) end },
}

for name, o in pairs(schedules) do
  worlds["optim." .. name] = function()
    local model = leak_mlp(4, 9, 3)
    local opt = optim.Adam{ model, lr = 0.01 }
    local given = { opt }
    for key, v in pairs(o) do given[key] = v end
    local schedule = optim[name](given)
    local step = regression(model, opt)
    return function(...)
      local r = step(...)
      schedule:step()
      return r
    end, dense(4, 3), { model, opt, schedule }
  end
end

worlds["optim.EMA, groups, clipping of gradients and weights"] = function()
  local model = leak_mlp(4, 9, 3)
  local opt = optim.Adam{ { params = model[1], lr = 1e-2 }, { params = model[3] }, lr = 1e-3 }
  local average = optim.EMA{ model, decay = 0.9, warmup = true }
  local step = regression(model, opt, function(m)
    local grads = {}
    for i, p in ipairs(m:parameters()) do grads[i] = p:grad() end
    local norm = gan.clip_grad_norm_(grads, 0.5)
    optim.clip_grad_value(m, 0.2)
    return norm
  end)
  return function(...)
    local r = step(...)
    optim.clip_weights(model, 0.4)
    average:update()
    return r
  end, dense(4, 3), { model, opt, average }
end

worlds["the parameters of an optimiser that are used by turns"] = function()
  local model = leak_mlp(4, 9, 3)
  local opt = optim.Adam{ model, lr = 1e-2 }
  local first = model[1]:parameters()
  return function(x, y)
    opt:zero_grad()
    model(x):mse_loss(y):backward{ inputs = first }
    opt:step() -- of the first layer alone
    local error = model(x):mse_loss(y)
    error:backward()
    opt:step()
    return error
  end, dense(4, 3), { model, opt }
end

worlds["gradients that are added up, and left to the caller"] = function()
  local model = leak_mlp(4, 9, 3)
  local opt = optim.SGD{ model, lr = 1e-2 }
  return function(x, y)
    model(x):mse_loss(y):backward()
    model(x * 2):mse_loss(y):backward()
    opt:step()
    opt:zero_grad()
    model(x):l1_loss(y):backward()
    local g = model[1].weight:grad()
    local sum = g:sum()
    opt:zero_grad()
    return sum
  end, dense(4, 3), { model, opt }
end

local layers = {
  { "Linear", function() return nn.Linear{ 6, 5 } end, { 4, 6 } },
  { "PReLU", function() return nn.PReLU{ 6 } end, { 4, 6 } },
  { "Dropout", function() return nn.Dropout{ 0.4 } end, { 40, 60 } },
  { "Dropout2d", function() return nn.Dropout2d{ 0.4 } end, { 3, 8, 4, 4 } },
  { "BatchNorm1d", function() return nn.BatchNorm1d{ 6 } end, { 5, 6 } },
  { "BatchNorm2d", function() return nn.BatchNorm2d{ 3 } end, { 5, 3, 4, 4 } },
  { "BatchNorm1d, fast", function() return nn.BatchNorm1d{ 6, momentum = 0.3 } end, { 5, 6 } },
  { "InstanceNorm2d", function() return nn.InstanceNorm2d{ 3, affine = true } end,
    { 2, 3, 4, 4 } },
  { "LayerNorm", function() return nn.LayerNorm{ 6 } end, { 5, 6 } },
  { "GroupNorm", function() return nn.GroupNorm{ 2, 4 } end, { 3, 4, 5, 5 } },
  { "PixelNorm", function() return nn.PixelNorm{} end, { 3, 4, 5, 5 } },
  { "Conv1d", function() return nn.Conv1d{ 2, 5, kernel_size = 3 } end, { 3, 2, 9 } },
  { "Conv2d", function() return nn.Conv2d{ 2, 5, kernel_size = 3, stride = 2 } end,
    { 3, 2, 9, 9 } },
  { "ConvTranspose2d", function()
    return nn.ConvTranspose2d{ 2, 5, kernel_size = 4, stride = 2, padding = 1 }
  end, { 3, 2, 5, 5 } },
  { "MaxPool2d", function() return nn.MaxPool2d{ 2 } end, { 3, 2, 6, 6 } },
  { "Upsample", function() return nn.Upsample{ scale_factor = 2 } end, { 3, 2, 6, 6 } },
  { "spectral norm", function() return nn.spectral_norm(nn.Linear{ 6, 5 }) end, { 4, 6 } },
  { "weight norm", function() return nn.weight_norm(nn.Linear{ 6, 5 }) end, { 4, 6 } },
  { "equalized_lr", function() return nn.equalized_lr(nn.Linear{ 6, 5 }) end, { 4, 6 } },
  { "RNN", function() return nn.RNN{ 3, 4 } end, { 5, 2, 3 } },
  { "GRU", function() return nn.GRU{ 3, 4, num_layers = 2, dropout = 0.2 } end, { 5, 2, 3 } },
  { "LSTM", function() return nn.LSTM{ 3, 4, bidirectional = true } end, { 5, 2, 3 } },
}

for _, row in ipairs(layers) do
  worlds["nn." .. row[1]] = function()
    local model = nn.Sequential{ row[2]() }
    local learned = #model:parameters() > 0
    local opt = learned and optim.Adam{ model, lr = 0.01 }
    return function(x)
      local y = model[1](gan.require_grad(x))
      y = (y * y):sum()
      if opt then opt:zero_grad() end
      y:backward()
      if opt then opt:step() end
      return y
    end, function() return gan.randn(row[3]) end, { model, opt }
  end
end

worlds["a sequence of many steps, whose lists are long"] = function()
  local model = nn.GRU{ 3, 4 }
  local opt = optim.Adam{ model, lr = 0.01 }
  return function(x)
    opt:zero_grad()
    local error = model(x):square():mean()
    error:backward()
    opt:step()
    return error
  end, function() return gan.randn(300, 2, 3) end, { model, opt }
end

worlds["nn.Embedding"] = function()
  local model = nn.Embedding{ 10, 4 }
  local opt = optim.Adam{ model, lr = 0.01 }
  return regression(model, opt), function()
    return gan.randint(6, { hi = 10 }), gan.randn(6, 4)
  end, { model, opt }
end

worlds["gan.Function and gan.no_grad"] = function()
  local model = leak_mlp(4, 9, 3)
  local opt = optim.Adam{ model, lr = 0.01 }
  local cube = gan.Function{
    forward = function(ctx, x) ctx:save(x); return x * x * x end,
    backward = function(ctx, gy) return gy * 3 * ctx:saved():square() end,
  }
  return function(x, y)
    local noise = gan.no_grad(function() return model(x) * 0.1 end)
    local error = (cube(model(x)) + noise):mse_loss(y)
    opt:zero_grad()
    error:backward()
    opt:step()
    return error, noise
  end, dense(4, 3), { model, opt }
end

local function gan_nets()
  local G = nn.Sequential{
    nn.Linear{ 5, 16 }, nn.BatchNorm1d{ 16 }, leaky(), nn.Linear{ 16, 12 }, nn.Tanh{},
  }
  local D = nn.Sequential{
    nn.Linear{ 12, 16 }, leaky(), nn.Dropout{ 0.3 }, nn.Linear{ 16, 1 }, nn.Sigmoid{},
  }
  return G, D
end

local function batch_of_12() return gan.randn(6, 12) end

worlds["a discriminator shared by both losses, as in examples/gan.lua"] = function()
  local G, D = gan_nets()
  local G_params, D_params = G:parameters(), D:parameters()
  local G_opt = optim.Adam{ G_params, lr = 2e-3, betas = { 0.5, 0.999 } }
  local D_opt = optim.Adam{ D_params, lr = 4e-3, betas = { 0.5, 0.999 } }
  local average = optim.EMA{ G, decay = 0.999, warmup = true }
  return function(real)
    local p = D(G(gan.randn(#real, 5)))
    local D_loss_fake = loss.gan_discriminator_loss(nil, p)
    local G_loss = loss.gan_generator_loss(p)
    G_opt:zero_grad()
    G_loss:backward{ inputs = G_params, retain_graph = true }
    G_opt:step()
    average:update()
    D_opt:zero_grad()
    D_loss_fake:backward{ inputs = D_params }
    local D_loss_real = loss.gan_discriminator_loss(D(real), nil)
    D_loss_real:backward()
    D_opt:step()
    return { D = D_loss_fake + D_loss_real, G = G_loss }
  end, batch_of_12, { G, D, G_opt, D_opt, average }
end

worlds["a generator's loss that reaches the discriminator too"] = function()
  local G, D = gan_nets()
  local G_opt, D_opt = optim.Adam{ G, lr = 1e-3 }, optim.SGD{ D, lr = 1e-2, momentum = 0.5 }
  return function(real)
    local fake = G(gan.randn(#real, 5))
    local D_loss = loss.gan_discriminator_loss(D(real), D(fake:detach()))
    D_opt:zero_grad()
    D_loss:backward()
    D_opt:step()
    local G_loss = loss.gan_generator_loss(D(fake))
    G_opt:zero_grad()
    G_loss:backward() -- D's gradients are there until its next zero_grad
    G_opt:step()
    return D_loss, G_loss
  end, batch_of_12, { G, D, G_opt, D_opt }
end

worlds["a DCGAN as in examples/dcgan.lua"] = function()
  local G = nn.init.dcgan_(nn.Sequential{
    nn.Linear{ 6, 72 }, nn.Unflatten{ 2, { 8, 3, 3 } }, nn.BatchNorm2d{ 8 }, nn.ReLU{},
    nn.ConvTranspose2d{ 8, 4, kernel_size = 4, stride = 2, padding = 1, bias = false },
    nn.BatchNorm2d{ 4 }, nn.ReLU{},
    nn.ConvTranspose2d{ 4, 1, kernel_size = 4, stride = 2, padding = 1 }, nn.Tanh{},
  })
  local D = nn.init.dcgan_(nn.Sequential{
    nn.Conv2d{ 1, 4, kernel_size = 4, stride = 2, padding = 1 }, leaky(),
    nn.Conv2d{ 4, 8, kernel_size = 4, stride = 2, padding = 1, bias = false },
    nn.BatchNorm2d{ 8 }, leaky(), nn.Flatten{}, nn.Linear{ 72, 1 },
  })
  local G_opt, D_opt = optim.Adam{ G, lr = 2e-4 }, optim.Adam{ D, lr = 2e-4 }
  return gan_step(G, D, G_opt, D_opt, 6), function() return gan.randn(5, 1, 12, 12) end,
    { G, D, G_opt, D_opt }
end

for _, name in ipairs{ "gradient_penalty", "r1_penalty" } do
  worlds["loss." .. name] = function()
    local D = leak_mlp(12, 16, 1)
    local opt = optim.Adam{ D, lr = 1e-3 }
    return function(real, fake)
      local penalty = loss[name](D, real, fake)
      local D_loss = D(fake):mean() - D(real):mean() + penalty * 10
      opt:zero_grad()
      D_loss:backward()
      opt:step()
      return D_loss, penalty
    end, function() return gan.randn(6, 12), gan.randn(6, 12) end, { D, opt }
  end
end

worlds["long chains of loops over many elements"] = function()
  local w = gan.require_grad(gan.randn(5003))
  return function(x)
    w:zero_grad()
    local y = ((x * w + 1):tanh():exp() - w:sigmoid() * x):square():log1p():mish() / 3
    y:sum():backward()
    gan.no_grad(function() w:sub_(w:grad(), { alpha = 0.01 }) end)
    return y, w:grad()
  end, function() return gan.randn(5003) end, { w }
end

-- ---- running ------------------------------------------------------------------------------------

local function add(list, v, seen)
  if gan.is_tensor(v) then
    list[#list + 1] = v:detach():contiguous():bytes()
    add(list, v:grad() or false, seen)
  elseif type(v) == "table" and not seen[v] then
    seen[v] = true
    if v.state_dict then v = v:state_dict() end
    local keys = {}
    for key in pairs(v) do keys[#keys + 1] = key end
    table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
    for _, key in ipairs(keys) do
      list[#list + 1] = tostring(key)
      add(list, v[key], seen)
    end
  elseif type(v) ~= "function" and type(v) ~= "table" then
    list[#list + 1] = tostring(v)
  end
end

local function bits(v)
  local list = {}
  add(list, v, {})
  return table.concat(list, "\n")
end

--- Runs a world for some steps; the bits after each, and the compiled step.
local function run(world, steps, compile)
  gan.manual_seed(3)
  local step, arguments, state = world()
  if compile then
    step = gan.compile{ step, notify = function() end }
  end
  local all = {}
  for k = 1, steps do
    gan.scope(function()
      local results = table.pack(step(arguments(k)))
      all[k] = bits{ results, k == steps and state, gan.rng_state() }
    end)
  end
  return all, step
end

local function same(world, steps)
  local eager = run(world, steps, false)
  local compiled, step = run(world, steps, true)
  assert(step.status == "replaying", step.reason)
  for k = 1, steps do
    assert(eager[k] == compiled[k], ("step %d is not the same"):format(k))
  end
end

describe("a compiled step trains as the step itself, with", function()
  local names, before = {}, gan.threads()
  for name in pairs(worlds) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    it(name, function()
      for threads = 1, 2 do
        gan.threads(threads)
        local ok, message = pcall(same, worlds[name], STEPS)
        gan.threads(before)
        assert(ok, message)
      end
    end)
  end
end)

describe("the workload", function()
  local workloads = dofile "scripts/bench.d/workloads.lua"
  local large = { dcgan64 = true, gen_latency_b64 = true }
  for name, build in pairs(workloads) do
    if not large[name] or os.getenv "SLOW" then
      it(name .. " is replayed to the same weights", function()
        same(function()
          local w = build()
          return w.step, function(k)
            local list, n = {}, w.batches
            for b = 1, n do
              local first = (k * n + b) % (w.data:size(1) // w.batch) * w.batch
              list[b] = w.data:slice(1, first + 1, first + w.batch)
            end
            return table.unpack(list)
          end, { w.nets }
        end, 5)
      end)
    end
  end
end)
