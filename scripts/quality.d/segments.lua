-- Rows G5 and G6: two parallel segments in the plane, real samples (0, z) and generated ones
-- (theta, z), z from 0 to 1 (Arjovsky et al. 2017, example 1). Their Jensen-Shannon divergence is
-- the same for any distance but 0; the Wasserstein distance is |theta|.
--
-- --task distances: clipped critics at eleven distances from 0 to 1; their estimates are to be
-- proportional to the distance. (Beyond 1, where biases and weights are clipped alike, half of the
-- units cannot reach: the slope of the estimate falls to three fifths.) --task gradient: at
-- distance 1, the gradient that a converged discriminator leaves of the minimax loss for theta,
-- beside that of a critic; then theta is trained by either.

local gan = require "gan"
local nn, optim, loss = gan.nn, gan.optim, gan.loss

local opt = gan.opts{
  "Measures critics and discriminators between parallel segments.",
  {"task", "distances", "what to measure", choices = {"distances", "gradient"}},
  {"steps", 1500, "updates of each critic"},
  {"batch_size", 128, "samples of either kind in a batch"},
  {"lr", 1e-3, "learning rate of RMSprop"},
  {"clip", 0.1, "the critic's weights stay in [-c, c]"},
  {"width", 64, "units of the hidden layers"},
  {"moves", 400, "task gradient: updates of theta, one after five of the critic"},
  {"seed", 1, "start of the random numbers"},
  {"out", "runs/segments", "run folder"},
  {"compile", false, "record a step and replay it: faster, with the same results"},
  {"resume", false, "start again in that folder: it takes a minute"},
}
if not opt then return end
local run = gan.report.run{opt.out, options = opt}
local pairs_of = loss.adversarial

local function real(n) return gan.cat({gan.zeros(n, 1), gan.rand(n, 1)}, {dim = 2}) end

local function fake(n, theta) return gan.cat({theta:expand(n, 1), gan.rand(n, 1)}, {dim = 2}) end

--- A net that judges points, and a function that trains it once against samples at theta.
local function judge(name, theta)
  local w = opt.width
  local net = nn.Sequential{
    nn.Linear{2, w}, nn.LeakyReLU{0.2}, nn.Linear{w, w}, nn.LeakyReLU{0.2}, nn.Linear{w, 1},
  }
  local rule = optim.RMSprop{net, lr = opt.lr}
  local clip = name == "wasserstein" and gan.adversarial.clipping{rule, c = opt.clip}
  local function update()
    local x = fake(opt.batch_size, theta:detach())
    local error_of_net = pairs_of[name].discriminator(net(real(opt.batch_size)), net(x))
    rule:zero_grad()
    error_of_net:backward()
    rule:step()
    if clip then clip() end
    return {loss = error_of_net}
  end
  local step = opt.compile and gan.compile{update} or update
  return net, function(n)
    for _ = 1, n do gan.scope(step) end
  end
end

--- What the critic thinks the distance is.
local function estimate(critic, theta)
  return gan.no_grad(function()
    return (critic(real(5000)):mean() - critic(fake(5000, theta)):mean()):item()
  end)
end

local function correlation(a, b)
  a, b = gan.tensor(a), gan.tensor(b)
  a, b = a - a:mean(), b - b:mean()
  return ((a * b):sum() / (a:norm() * b:norm())):item()
end

local function distances()
  local truth, found = {}, {}
  for i = 0, 10 do
    gan.manual_seed(opt.seed)
    local theta = gan.tensor{{i / 10}}:keep()
    local critic, train = judge("wasserstein", theta)
    train(opt.steps)
    truth[i + 1], found[i + 1] = i / 10, estimate(critic, theta)
    print(("distance %.1f: the critic says %.4f"):format(truth[i + 1], found[i + 1]))
  end
  return {correlation = correlation(truth, found), first = found[1], last = found[11]}
end

--- The generator's loss at theta, and its gradient.
local function slope(name, net, theta)
  local generator_loss = pairs_of[name].generator(net(fake(2000, theta)))
  return gan.grad(generator_loss, theta)
end

--- Trains theta from 1: where it ends, and its gradient in the beginning.
local function descend(name)
  gan.manual_seed(opt.seed)
  local theta = nn.parameter(gan.ones(1, 1))
  local net, train = judge(name, theta)
  train(opt.steps)
  local first = math.abs(slope(name, net, theta):item())
  local rule = optim.RMSprop{{theta}, lr = 0.01}
  local schedule = optim.CosineLR{rule, steps = opt.moves}
  -- RMSprop would enlarge any gradient, however small: the discriminator's theta takes plain steps
  if name == "minimax" then rule = optim.SGD{{theta}, lr = 0.01} end
  for _ = 1, opt.moves do
    train(5)
    gan.scope(function()
      rule:zero_grad()
      pairs_of[name].generator(net(fake(opt.batch_size, theta))):backward{inputs = {theta}}
      rule:step()
    end)
    schedule:step()
  end
  return first, math.abs(theta:item())
end

local function gradient()
  local wasserstein, near = descend "wasserstein"
  local minimax, far = descend "minimax"
  print(("gradient for theta: critic %.3g, converged discriminator %.3g"):format(wasserstein,
    minimax))
  print(("distance after training: critic %.4f, discriminator %.4f"):format(near, far))
  return {gradient = wasserstein, minimax_gradient = minimax, ratio = minimax / wasserstein,
    distance = near, minimax_distance = far}
end

run:result(opt.task == "distances" and distances() or gradient())
