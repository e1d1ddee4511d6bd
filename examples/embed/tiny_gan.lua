--- A GAN small enough for a host's idle moments: it learns to draw discs of 16 x 16 pixels. What
-- the hosts in this folder have in common.
--
--     local tiny_gan = require "tiny_gan"
--     local draw = tiny_gan.open "generator.safetensors"
--     local png = draw(4, 7)               -- four pictures from the seed 7, as a PNG file's bytes

local gan = require "gan"
local nn, optim, loss = gan.nn, gan.optim, gan.loss

local tiny_gan = {}

local CODE, SIDE = 8, 16

function tiny_gan.generator()
  return nn.Sequential{
    nn.Linear{CODE, 64}, nn.BatchNorm1d{64}, nn.LeakyReLU{0.2},
    nn.Linear{64, 128}, nn.BatchNorm1d{128}, nn.LeakyReLU{0.2},
    nn.Linear{128, SIDE * SIDE}, nn.Tanh{},
    nn.Unflatten{2, {1, SIDE, SIDE}},
  }
end

local function discriminator()
  return nn.Sequential{
    nn.Flatten{},
    nn.Linear{SIDE * SIDE, 128}, nn.LeakyReLU{0.2},
    nn.Linear{128, 64}, nn.LeakyReLU{0.2},
    nn.Linear{64, 1}, nn.Sigmoid{},
  }
end

--- n pictures with values in (-1, 1): white discs at random places, with soft rims.
local function discs(n)
  local function axis(shape)
    return gan.arange(1, SIDE):reshape(shape) - (gan.rand(n, 1, 1, 1) * 6 + 5.5)
  end
  local x, y = axis{1, 1, 1, SIDE}, axis{1, 1, SIDE, 1}
  return (4 - (x * x + y * y):sqrt()):tanh()
end

--- tiny_gan.trainer{steps, seed = 1} -> a trainer (gan.train.trainer), and the generator
function tiny_gan.trainer(o)
  gan.manual_seed(o.seed or 1)
  local G, D = tiny_gan.generator(), discriminator()
  local G_params, D_params = G:parameters(), D:parameters()
  local G_opt = optim.Adam{G_params, lr = 1e-3, betas = {0.5, 0.999}}
  local D_opt = optim.Adam{D_params, lr = 1e-3, betas = {0.5, 0.999}}
  local function batch()
    return discs(32)
  end
  local function step(real)
    local fake = G(gan.randn(#real, CODE))
    local G_loss = loss.gan_generator_loss(D(fake))
    G_opt:zero_grad()
    G_loss:backward{inputs = G_params, retain_graph = true}
    G_opt:step()
    local D_loss = loss.gan_discriminator_loss(D(real), D(fake:detach()))
    D_opt:zero_grad()
    D_loss:backward{inputs = D_params}
    D_opt:step()
    return {D = D_loss, G = G_loss}
  end
  return gan.train.trainer{epochs = 1, steps = o.steps, batches = batch, step = step}, G
end

--- draw(n, seed) for a generator: n pictures side by side, as the bytes of a PNG file.
function tiny_gan.artist(G)
  G:eval()
  return function(n, seed)
    gan.manual_seed(seed)
    return gan.scope(function()
      return gan.image.encode(gan.no_grad(G, gan.randn(n, CODE)), {columns = n, range = {-1, 1}})
    end)
  end
end

--- The same for the weights in a safetensors file.
function tiny_gan.open(path)
  local G = tiny_gan.generator()
  assert(G:load(path))
  return tiny_gan.artist(G)
end

--- What the small hosts here do: draw four pictures with the weights in the file GENERATOR
-- (an environment variable), and write them to the file PICTURE.
function tiny_gan.demonstrate()
  local draw = tiny_gan.open(os.getenv "GENERATOR" or "generator.safetensors")
  assert(gan.files.replace(os.getenv "PICTURE" or "picture.png", draw(4, 1)))
end

return tiny_gan
