-- The twelve workloads of `scripts/bench train`, written as a user of gan-lua would write them; the
-- peer's side, with the same nets, losses, batches and optimisers, is in torch_train.py.
--
-- workloads[name]() returns a table:
--   nets     the models by name; their weights are exchanged with the peer's for the equality check
--   data     tensor of preloaded samples, or nil where a step takes none
--   batch    samples in one batch tensor
--   batches  how many batch tensors a step takes
--   samples  samples that count for the rate: those of all updates in a step
--   step     function(batch...) -> losses; draws its own random numbers

local gan = require "gan"
local nn, optim, loss = gan.nn, gan.optim, gan.loss

local workloads = {}

-- ---- data and nets ------------------------------------------------------------------------------

--- n samples in [lo, 1], 19 % of the values lit as in MNIST; the speed does not depend on them.
local function images(lo, n, ...)
  return gan.rand(n, ...):add_(-0.81):relu_():mul_((1 - lo) / 0.19):add_(lo)
end

--- n points on a ring of 8 Gaussians, radius 2, deviation 0.02.
local function ring(n)
  local angle = (gan.rand(n) * 8):floor() * (math.pi / 4)
  return gan.stack({ angle:cos(), angle:sin() }, { dim = 2 }) * 2 + gan.randn(n, 2) * 0.02
end

--- Linear layers of these sizes with an activation after each but the last.
local function mlp(sizes, activation, last)
  local layers = {}
  for i = 1, #sizes - 1 do
    layers[#layers + 1] = nn.Linear{ sizes[i], sizes[i + 1] }
    layers[#layers + 1] = i < #sizes - 1 and activation() or last
  end
  return nn.Sequential(layers)
end

local function leaky() return nn.LeakyReLU{ 0.2 } end
local function relu() return nn.ReLU{} end

local function conv(i, o, bias)
  return nn.Conv2d{ i, o, kernel_size = 4, stride = 2, padding = 1, bias = bias }
end

local function deconv(i, o, bias)
  return nn.ConvTranspose2d{ i, o, kernel_size = 4, stride = 2, padding = 1, bias = bias }
end

local function mlp_gan_nets()
  local G = nn.Sequential{
    nn.Linear{ 100, 128 }, leaky(),
    nn.Linear{ 128, 256 }, nn.BatchNorm1d{ 256 }, leaky(),
    nn.Linear{ 256, 512 }, nn.BatchNorm1d{ 512 }, leaky(),
    nn.Linear{ 512, 1024 }, nn.BatchNorm1d{ 1024 }, leaky(),
    nn.Linear{ 1024, 784 }, nn.Tanh{},
  }
  return G, mlp({ 784, 512, 256, 1 }, leaky)
end

local function dcgan28_generator(c1, c2)
  return nn.Sequential{
    nn.Linear{ 100, c1 * 49 }, nn.Unflatten{ 2, { c1, 7, 7 } }, nn.BatchNorm2d{ c1 }, relu(),
    deconv(c1, c2, false), nn.BatchNorm2d{ c2 }, relu(),
    deconv(c2, 1), nn.Tanh{},
  }
end

-- ---- steps --------------------------------------------------------------------------------------

local function autoencoder_step(net, adam)
  return function(x)
    local error = gan.mse_loss(net(x), x)
    adam:zero_grad()
    error:backward()
    adam:step()
    return error
  end
end

--- One update of the discriminator and one of the generator, which share one batch of generated
-- samples. `sizes` are those of a batch of random codes. A discriminator without batch
-- normalisation may look at real and generated samples in one pass (`together`).
local function gan_step(G, D, G_opt, D_opt, sizes, together)
  local batch, G_params = sizes[1], G:parameters()
  local ones, zeros = gan.ones(batch, 1), gan.zeros(batch, 1)
  local targets = gan.cat({ ones, zeros }, { dim = 1 })
  return function(real)
    local fake = G(gan.randn(sizes))
    local D_loss
    D_opt:zero_grad()
    if together then
      local both = gan.cat({ real, fake:detach() }, { dim = 1 })
      D_loss = gan.bce_with_logits(D(both), targets) * 2
      D_loss:backward()
    else -- one after the other, so that only one graph is in memory
      local on_real = gan.bce_with_logits(D(real), ones)
      on_real:backward()
      local on_fake = gan.bce_with_logits(D(fake:detach()), zeros)
      on_fake:backward()
      D_loss = on_real:detach() + on_fake:detach()
    end
    D_opt:step()

    local G_loss = gan.bce_with_logits(D(fake), ones)
    G_opt:zero_grad()
    G_loss:backward{ inputs = G_params }
    G_opt:step()
    return D_loss, G_loss
  end
end

--- Mean score of generated samples minus that of real ones, in one pass.
local function wasserstein(D, real, fake)
  local score, n = D(gan.cat({ real, fake }, { dim = 1 })), #real
  return score:slice(1, n + 1):mean() - score:slice(1, 1, n):mean()
end

local function critic_penalty_update(D, D_opt, real, fake)
  local D_loss = wasserstein(D, real, fake) + loss.gradient_penalty(D, real, fake) * 10
  D_opt:zero_grad()
  D_loss:backward()
  D_opt:step()
  return D_loss
end

local function generator_update(G, D, G_opt, G_params, batch)
  local G_loss = -D(G(gan.randn(batch, 100))):mean()
  G_opt:zero_grad()
  G_loss:backward{ inputs = G_params }
  G_opt:step()
  return G_loss
end

--- WGAN-GP: one critic update for every batch given, then one of the generator.
local function penalty_step(G, D, lr, batch)
  local betas = { 0, 0.9 }
  local G_params = G:parameters()
  local G_opt = optim.Adam{ G_params, lr = lr, betas = betas }
  local D_opt = optim.Adam{ D, lr = lr, betas = betas }
  return function(...)
    local D_loss
    for _, real in ipairs{ ... } do
      local fake = gan.no_grad(G, gan.randn(batch, 100))
      D_loss = critic_penalty_update(D, D_opt, real, fake)
    end
    return D_loss, generator_update(G, D, G_opt, G_params, batch)
  end
end

local function two_adams(G, D, lr, betas)
  return optim.Adam{ G, lr = lr, betas = betas }, optim.Adam{ D, lr = lr, betas = betas }
end

-- ---- dense --------------------------------------------------------------------------------------

--- 784-1000-500-250-30-250-500-1000-784, MSE, batch 128, Adam 1e-3.
function workloads.mlp_ae()
  local net = nn.Sequential{
    nn.Linear{ 784, 1000 }, relu(), nn.Linear{ 1000, 500 }, relu(),
    nn.Linear{ 500, 250 }, relu(), nn.Linear{ 250, 30 },
    nn.Linear{ 30, 250 }, relu(), nn.Linear{ 250, 500 }, relu(),
    nn.Linear{ 500, 1000 }, relu(), nn.Linear{ 1000, 784 }, nn.Sigmoid{},
  }
  return {
    nets = { net = net }, data = images(0, 64 * 128, 784), batch = 128, batches = 1, samples = 128,
    step = autoencoder_step(net, optim.Adam{ net, lr = 1e-3 }),
  }
end

--- G 100-128-256-512-1024-784 with BN, D 784-512-256-1, BCE, batch 64, one D and one G update.
function workloads.mlp_gan()
  local G, D = mlp_gan_nets()
  local G_opt, D_opt = two_adams(G, D, 2e-4, { 0.5, 0.999 })
  return {
    nets = { G = G, D = D }, data = images(-1, 64 * 64, 784), batch = 64, batches = 1, samples = 64,
    step = gan_step(G, D, G_opt, D_opt, { 64, 100 }, true),
  }
end

--- mlp_gan's nets; 5 critic updates (RMSprop 5e-5, weights clipped to 0.01), one G update.
function workloads.wgan_clip()
  local G, D = mlp_gan_nets()
  local batch, G_params, D_params = 64, G:parameters(), D:parameters()
  local G_opt = optim.RMSprop{ G_params, lr = 5e-5 }
  local D_opt = optim.RMSprop{ D_params, lr = 5e-5 }
  local function step(...)
    local D_loss
    for _, real in ipairs{ ... } do
      local fake = gan.no_grad(G, gan.randn(batch, 100))
      D_loss = wasserstein(D, real, fake)
      D_opt:zero_grad()
      D_loss:backward()
      D_opt:step()
      optim.clip_weights(D_params, 0.01)
    end
    return D_loss, generator_update(G, D, G_opt, G_params, batch)
  end
  return {
    nets = { G = G, D = D }, data = images(-1, 64 * 64, 784), batch = 64, batches = 5,
    samples = 320, step = step,
  }
end

--- G 100-512x3-784 ReLU tanh, critic 784-512x3-1, penalty 10, 5 critic and one G update, batch 64.
function workloads.wgan_gp()
  local G = mlp({ 100, 512, 512, 512, 784 }, relu, nn.Tanh{})
  local D = mlp({ 784, 512, 512, 512, 1 }, leaky)
  return {
    nets = { G = G, D = D }, data = images(-1, 64 * 64, 784), batch = 64, batches = 5,
    samples = 320, step = penalty_step(G, D, 1e-4, 64),
  }
end

--- 784-400-(20,20)-400-784, cross entropy on logits + KL, both summed, batch 128, Adam 1e-3.
function workloads.vae()
  local encoder = mlp({ 784, 400, 40 }, relu)
  local decoder = mlp({ 20, 400, 784 }, relu)
  local adam = optim.Adam{ encoder, decoder, lr = 1e-3 }
  local function step(x)
    local mean, logvar = encoder(x):chunk(2, 2)
    local code = mean:addcmul(gan.randn(mean:shape()), (logvar * 0.5):exp())
    local restoration = gan.bce_with_logits(decoder(code), x, { reduction = "sum" })
    local total = restoration + loss.kl_gaussian(mean, logvar, { reduction = "sum" })
    adam:zero_grad()
    total:backward()
    adam:step()
    return total
  end
  return {
    nets = { encoder = encoder, decoder = decoder }, data = images(0, 64 * 128, 784),
    batch = 128, batches = 1, samples = 128, step = step,
  }
end

--- A ring of 8 Gaussians, G 2-128-128-2, D 2-128-128-1, batch 256, one D and one G update.
function workloads.ring_gan()
  local G, D = mlp({ 2, 128, 128, 2 }, relu), mlp({ 2, 128, 128, 1 }, relu)
  local G_opt, D_opt = two_adams(G, D, 1e-3)
  return {
    nets = { G = G, D = D }, data = ring(64 * 256), batch = 256, batches = 1, samples = 256,
    step = gan_step(G, D, G_opt, D_opt, { 256, 2 }, true),
  }
end

-- ---- convolutional ------------------------------------------------------------------------------

--- DCGAN at 1x28x28, G 128/64, D 64/128, batch 64, one D and one G update.
function workloads.dcgan28()
  local G = nn.init.dcgan_(dcgan28_generator(128, 64))
  local D = nn.init.dcgan_(nn.Sequential{
    conv(1, 64), leaky(), conv(64, 128, false), nn.BatchNorm2d{ 128 }, leaky(),
    nn.Flatten{}, nn.Linear{ 6272, 1 },
  })
  local G_opt, D_opt = two_adams(G, D, 2e-4, { 0.5, 0.999 })
  return {
    nets = { G = G, D = D }, data = images(-1, 32 * 64, 1, 28, 28), batch = 64, batches = 1,
    samples = 64, step = gan_step(G, D, G_opt, D_opt, { 64, 100 }),
  }
end

--- Radford et al.'s DCGAN, 3x64x64, 64 channels at the widest image, batch 32, one D, one G update.
function workloads.dcgan64()
  local f, G, D = 64, {}, {}
  local function up(i, o, first)
    local layer = first and nn.ConvTranspose2d{ i, o, kernel_size = 4, bias = false }
      or deconv(i, o, false)
    table.move({ layer, nn.BatchNorm2d{ o }, relu() }, 1, 3, #G + 1, G)
  end
  local function down(i, o)
    table.move({ conv(i, o, false), nn.BatchNorm2d{ o }, leaky() }, 1, 3, #D + 1, D)
  end
  up(100, f * 8, true)
  up(f * 8, f * 4)
  up(f * 4, f * 2)
  up(f * 2, f)
  table.move({ deconv(f, 3, false), nn.Tanh{} }, 1, 2, #G + 1, G)
  table.move({ conv(3, f, false), leaky() }, 1, 2, 1, D)
  down(f, f * 2)
  down(f * 2, f * 4)
  down(f * 4, f * 8)
  table.move({ nn.Conv2d{ f * 8, 1, kernel_size = 4, bias = false }, nn.Flatten{} }, 1, 2,
    #D + 1, D)
  G, D = nn.init.dcgan_(nn.Sequential(G)), nn.init.dcgan_(nn.Sequential(D))
  local G_opt, D_opt = two_adams(G, D, 2e-4, { 0.5, 0.999 })
  return {
    nets = { G = G, D = D }, data = images(-1, 8 * 32, 3, 64, 64), batch = 32, batches = 1,
    samples = 32, step = gan_step(G, D, G_opt, D_opt, { 32, 100, 1, 1 }),
  }
end

local UnpoolNet = nn.module("UnpoolNet", {
  init = function(self)
    self.c1 = nn.Sequential{ nn.Conv2d{ 1, 16, kernel_size = 3, padding = 1 }, relu() }
    self.c2 = nn.Sequential{ nn.Conv2d{ 16, 32, kernel_size = 3, padding = 1 }, relu() }
    self.d1 = nn.Sequential{ nn.ConvTranspose2d{ 32, 16, kernel_size = 3, padding = 1 }, relu() }
    self.d2 = nn.Sequential{
      nn.ConvTranspose2d{ 16, 1, kernel_size = 3, padding = 1 }, nn.Sigmoid{},
    }
    self.pool = nn.MaxPool2d{ 2, return_indices = true }
    self.unpool = nn.MaxUnpool2d{ 2 }
  end,
  forward = function(self, x)
    local positions1, positions2
    x, positions1 = self.pool(self.c1(x))
    x, positions2 = self.pool(self.c2(x))
    x = self.d1(self.unpool(x, positions2))
    return self.d2(self.unpool(x, positions1))
  end,
})

--- conv 1-16, pool, conv 16-32, pool, unpool, deconv 32-16, unpool, deconv 16-1; MSE, batch 64.
function workloads.conv_ae_unpool()
  local net = UnpoolNet{}
  return {
    nets = { net = net }, data = images(0, 32 * 64, 1, 28, 28), batch = 64, batches = 1,
    samples = 64, step = autoencoder_step(net, optim.Adam{ net, lr = 1e-3 }),
  }
end

--- Critic conv 1-32-64, linear; G as dcgan28 at 64/32; penalty 10, one critic, one G update, 32.
function workloads.wgan_gp_conv()
  local G = dcgan28_generator(64, 32)
  local D = nn.Sequential{
    conv(1, 32), leaky(), conv(32, 64), leaky(), nn.Flatten{}, nn.Linear{ 3136, 1 },
  }
  return {
    nets = { G = G, D = D }, data = images(-1, 32 * 32, 1, 28, 28), batch = 32, batches = 1,
    samples = 32, step = penalty_step(G, D, 1e-4, 32),
  }
end

--- dcgan28's generator in evaluation: `batch` images from codes that are always the same.
local function latency(batch)
  local G = nn.init.dcgan_(dcgan28_generator(128, 64))
  G:eval()
  local codes = gan.randn(batch, 100)
  return {
    nets = { G = G }, codes = codes, batch = batch, batches = 0, samples = batch,
    step = function() return gan.no_grad(G, codes) end,
  }
end

function workloads.gen_latency_b1() return latency(1) end

function workloads.gen_latency_b64() return latency(64) end

return workloads
