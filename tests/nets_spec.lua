-- Whole nets against PyTorch, step by step: the losses of ten optimiser steps from the same weights
-- and data. scripts/golden.d/nets.py is the other side; tests/golden/nets.lua holds its numbers.
local gan = require "gan"
local case = require "tests.case"
local common = require "tests.checks.common"
local nn, optim = gan.nn, gan.optim

local STEPS = 10
local tol = common.double and 1e-9 or 1e-4

local function data(name, lo, hi, ...)
  local sizes = { ... }
  sizes.lo, sizes.hi = lo, hi
  return common.tensor(case.expand(case.uniform(sizes), name))
end

--- Gives every parameter its values by name, the same as on the other side.
local function set_weights(model, prefix, scale)
  gan.no_grad(function()
    for name, p in model:named_parameters() do
      p:copy_(data(prefix .. "." .. name, -scale, scale, table.unpack(p:shape())))
    end
  end)
  return model
end

local function leaky() return nn.LeakyReLU{ 0.2 } end

local nets = {}

function nets.dcgan()
  local G = set_weights(nn.Sequential{
    nn.Linear{ 8, 54 }, nn.Unflatten{ 2, { 6, 3, 3 } }, nn.BatchNorm2d{ 6 }, nn.ReLU{},
    nn.ConvTranspose2d{ 6, 4, kernel_size = 4, stride = 2, padding = 1, bias = false },
    nn.BatchNorm2d{ 4 }, nn.ReLU{},
    nn.ConvTranspose2d{ 4, 1, kernel_size = 4, stride = 2, padding = 1 }, nn.Tanh{},
  }, "G", 0.5)
  local D = set_weights(nn.Sequential{
    nn.Conv2d{ 1, 4, kernel_size = 4, stride = 2, padding = 1 }, leaky(),
    nn.Conv2d{ 4, 6, kernel_size = 4, stride = 2, padding = 1, bias = false },
    nn.BatchNorm2d{ 6 }, leaky(), nn.Flatten{}, nn.Linear{ 54, 1 },
  }, "D", 0.5)
  local G_opt = optim.Adam{ G:parameters(), lr = 2e-3, betas = { 0.5, 0.999 } }
  local D_opt = optim.Adam{ D:parameters(), lr = 2e-3, betas = { 0.5, 0.999 } }
  local ones, zeros = gan.ones(4, 1), gan.zeros(4, 1)
  return function(k)
    local fake = G(data("dcgan.z" .. k, -1, 1, 4, 8))
    local d_loss = D(data("dcgan.x" .. k, -1, 1, 4, 1, 12, 12)):bce_with_logits(ones)
                   + D(fake:detach()):bce_with_logits(zeros)
    D_opt:zero_grad()
    d_loss:backward()
    D_opt:step()
    local g_loss = D(fake):bce_with_logits(ones)
    G_opt:zero_grad()
    g_loss:backward{ inputs = G:parameters() }
    G_opt:step()
    return d_loss, g_loss
  end
end

function nets.conv_autoencoder()
  local net = set_weights(nn.Sequential{
    nn.Conv2d{ 1, 3, kernel_size = 3, padding = 1 },
    nn.Conv2d{ 3, 5, kernel_size = 3, padding = 1 },
    nn.ConvTranspose2d{ 5, 3, kernel_size = 3, padding = 1 },
    nn.ConvTranspose2d{ 3, 1, kernel_size = 3, padding = 1 },
  }, "A", 0.4)
  local opt = optim.SGD{ net:parameters(), lr = 0.5, momentum = 0.9, nesterov = true }
  return function(k)
    local x = data("conv_autoencoder.x" .. k, 0, 1, 4, 1, 8, 8)
    local h, i, j = net[1](x):relu(), nil, nil
    h, i = h:max_pool2d{ kernel_size = 2 }
    h, j = net[2](h):relu():max_pool2d{ kernel_size = 2 }
    h = net[3](h:max_unpool2d(j, { kernel_size = 2 })):relu()
    local y = net[4](h:max_unpool2d(i, { kernel_size = 2 })):sigmoid()
    local loss = y:mse_loss(x)
    opt:zero_grad()
    loss:backward()
    opt:step()
    return loss
  end
end

function nets.vae()
  local net = set_weights(nn.Sequential{
    nn.Linear{ 36, 16 }, nn.Linear{ 16, 6 }, nn.Linear{ 3, 16 }, nn.Linear{ 16, 36 },
  }, "V", 0.3)
  local opt = optim.AdamW{ net:parameters(), lr = 1e-2 }
  return function(k)
    local x = data("vae.x" .. k, 0, 1, 5, 36)
    local mu, logvar = net[2](net[1](x):relu()):chunk(2, 2)
    local z = mu + data("vae.e" .. k, -2, 2, 5, 3) * (logvar * 0.5):exp()
    local logits = net[4](net[3](z):relu())
    local kl = (1 + logvar - mu:square() - logvar:exp()):sum() * -0.5
    local loss = logits:bce_with_logits(x, { reduction = "sum" }) + kl
    opt:zero_grad()
    loss:backward()
    opt:step()
    return loss
  end
end

function nets.wgan_gp()
  local D = set_weights(nn.Sequential{
    nn.Conv2d{ 1, 4, kernel_size = 4, stride = 2, padding = 1 }, leaky(),
    nn.Conv2d{ 4, 6, kernel_size = 4, stride = 2, padding = 1 }, nn.Tanh{},
    nn.Flatten{}, nn.Linear{ 24, 1 },
  }, "C", 0.5)
  local opt = optim.Adam{ D:parameters(), lr = 2e-3, betas = { 0, 0.9 } }
  return function(k)
    local real = data("wgan_gp.x" .. k, -1, 1, 4, 1, 8, 8)
    local fake = data("wgan_gp.f" .. k, -1, 1, 4, 1, 8, 8)
    local eps = data("wgan_gp.e" .. k, 0, 1, 4, 1, 1, 1)
    local mix = gan.require_grad(eps * real + (1 - eps) * fake)
    local g = gan.grad(D(mix):sum(), mix, { create_graph = true })
    local penalty = (g:flatten(2):norm(2, { dims = 2 }) - 1):square():mean()
    local loss = D(fake):mean() - D(real):mean() + penalty * 10
    opt:zero_grad()
    loss:backward()
    opt:step()
    return loss, penalty
  end
end

function nets.gru()
  local net = nn.GRU{ 3, 5, batch_first = true }
  local out = nn.Linear{ 5, 4 }
  set_weights(net, "R", 0.5)
  set_weights(out, "O", 0.5)
  local params = net:parameters()
  for _, p in ipairs(out:parameters()) do params[#params + 1] = p end
  local opt = optim.RMSprop{ params, lr = 1e-2, momentum = 0.5, centered = true }
  local labels = gan.tensor({ 1, 3, 4, 2, 2, 1 }, { dtype = "int64" })
  return function(k)
    local h = net(data("gru.x" .. k, -1, 1, 6, 7, 3))
    local loss = out(h:select(2, -1)):cross_entropy(labels)
    opt:zero_grad()
    loss:backward()
    opt:step()
    return loss
  end
end

describe("ten steps of", function()
  local golden = dofile("tests/golden/nets.lua")
  for _, name in ipairs{ "dcgan", "conv_autoencoder", "vae", "wgan_gp", "gru" } do
    it(name .. " agree with PyTorch", function()
      local step = nets[name]()
      for k = 1, STEPS do
        local losses = table.pack(step(k))
        for i = 1, losses.n do
          local got, want = losses[i]:item(), golden[name][k][i]
          assert(math.abs(got - want) <= tol * math.abs(want),
                 ("step %d, loss %d: %.12g, PyTorch %.12g"):format(k, i, got, want))
        end
      end
    end)
  end
end)
