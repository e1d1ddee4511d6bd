--- The optimisers. Each update is one op that passes once over all parameters (help "adam_step_").
-- Formulas and defaults are PyTorch's.

local gan = require "gan"
local define = require("gan.optim.optimizer").define

local rules = {}

--- optim.SGD{params, lr=, momentum=0, dampening=0, weight_decay=0, nesterov=false}.
rules.SGD = define{
  name = "SGD",
  options = "; lr:number momentum:number=0 dampening:number=0 weight_decay:number=0 "
    .. "nesterov:bool=false",
  states = function(o) return o.momentum > 0 and { "buf" } or {} end,
  update = function(l, o, step)
    gan.sgd_step_(l.params, l.grads, l.buf, {
      lr = o.lr, momentum = o.momentum, dampening = o.dampening, nesterov = o.nesterov,
      weight_decay = o.weight_decay, step = step,
    })
  end,
}

--- optim.RMSprop{params, lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0, momentum=0,
-- centered=false}.
rules.RMSprop = define{
  name = "RMSprop",
  options = "; lr:number=1e-2 alpha:number=0.99 eps:number=1e-8 weight_decay:number=0 "
    .. "momentum:number=0 centered:bool=false",
  states = function(o)
    local names = { "v" }
    names[#names + 1] = o.centered and "g_avg" or nil
    names[#names + 1] = o.momentum > 0 and "buf" or nil
    return names
  end,
  update = function(l, o)
    gan.rmsprop_step_(l.params, l.grads, l.v, {
      g_avg = l.g_avg, buf = l.buf, lr = o.lr, alpha = o.alpha, eps = o.eps,
      weight_decay = o.weight_decay, momentum = o.momentum,
    })
  end,
}

local function adam_options(o, step)
  return {
    lr = o.lr, beta1 = o.betas and o.betas[1] or 0.9, beta2 = o.betas and o.betas[2] or 0.999,
    eps = o.eps, weight_decay = o.weight_decay, step = step,
  }
end

local function adam(name, weight_decay, decoupled)
  return define{
    name = name,
    options = "; lr:number=1e-3 betas:list? eps:number=1e-8 amsgrad:bool=false "
      .. "weight_decay:number=" .. weight_decay,
    states = function(o) return o.amsgrad and { "m", "v", "v_max" } or { "m", "v" } end,
    update = function(l, o, step)
      local a = adam_options(o, step)
      a.v_max, a.decoupled = l.v_max, decoupled
      gan.adam_step_(l.params, l.grads, l.m, l.v, a)
    end,
  }
end

--- optim.Adam{params, lr=1e-3, betas={0.9, 0.999}, eps=1e-8, weight_decay=0, amsgrad=false}:
-- Kingma and Ba 2015; weight_decay adds to the gradient.
rules.Adam = adam("Adam", 0, false)

--- optim.AdamW{...}, as Adam with weight_decay=0.01 that shrinks the weights themselves:
-- Loshchilov and Hutter 2019.
rules.AdamW = adam("AdamW", 0.01, true)

--- optim.Adagrad{params, lr=1e-2, lr_decay=0, eps=1e-10, weight_decay=0}.
rules.Adagrad = define{
  name = "Adagrad",
  options = "; lr:number=1e-2 lr_decay:number=0 eps:number=1e-10 weight_decay:number=0",
  states = function() return { "sum" } end,
  update = function(l, o, step)
    gan.adagrad_step_(l.params, l.grads, l.sum, {
      lr = o.lr, lr_decay = o.lr_decay, eps = o.eps, weight_decay = o.weight_decay, step = step,
    })
  end,
}

--- optim.Adamax{params, lr=2e-3, betas={0.9, 0.999}, eps=1e-8, weight_decay=0}: Adam with the
-- largest gradient as denominator (Kingma and Ba 2015, section 7).
rules.Adamax = define{
  name = "Adamax",
  options = "; lr:number=2e-3 betas:list? eps:number=1e-8 weight_decay:number=0",
  states = function() return { "m", "u" } end,
  update = function(l, o, step)
    gan.adamax_step_(l.params, l.grads, l.m, l.u, adam_options(o, step))
  end,
}

--- optim.RAdam{params, lr=1e-3, betas={0.9, 0.999}, eps=1e-8, weight_decay=0}: Adam whose step is
-- rectified while its variance is uncertain (Liu et al. 2020).
rules.RAdam = define{
  name = "RAdam",
  options = "; lr:number=1e-3 betas:list? eps:number=1e-8 weight_decay:number=0",
  states = function() return { "m", "v" } end,
  update = function(l, o, step)
    gan.radam_step_(l.params, l.grads, l.m, l.v, adam_options(o, step))
  end,
}

--- The product of the momenta of the steps before this one.
local function momentum_product(o, step)
  local product, beta1 = 1, o.betas and o.betas[1] or 0.9
  for t = 1, step - 1 do
    product = product * beta1 * (1 - 0.5 * 0.96 ^ (t * o.momentum_decay))
    if product < 1e-30 then
      return 0
    end
  end
  return product
end

--- optim.NAdam{params, lr=2e-3, betas={0.9, 0.999}, eps=1e-8, weight_decay=0,
-- momentum_decay=4e-3}: Adam with Nesterov momentum (Dozat 2016).
rules.NAdam = define{
  name = "NAdam",
  options = "; lr:number=2e-3 betas:list? eps:number=1e-8 weight_decay:number=0 "
    .. "momentum_decay:number=4e-3",
  states = function() return { "m", "v" } end,
  update = function(l, o, step)
    local a = adam_options(o, step)
    a.momentum_decay, a.mu_product = o.momentum_decay, momentum_product(o, step)
    gan.nadam_step_(l.params, l.grads, l.m, l.v, a)
  end,
}

--- optim.Adadelta{params, lr=1, rho=0.9, eps=1e-6, weight_decay=0}: Zeiler 2012.
rules.Adadelta = define{
  name = "Adadelta",
  options = "; lr:number=1 rho:number=0.9 eps:number=1e-6 weight_decay:number=0",
  states = function() return { "v", "delta" } end,
  update = function(l, o)
    gan.adadelta_step_(l.params, l.grads, l.v, l.delta,
      { lr = o.lr, rho = o.rho, eps = o.eps, weight_decay = o.weight_decay })
  end,
}

--- optim.Rprop{params, lr=1e-2, eta_minus=0.5, eta_plus=1.2, step_min=1e-6, step_max=50}: only the
-- signs of gradients count; for full batches (Riedmiller and Braun 1993).
rules.Rprop = define{
  name = "Rprop",
  options = "; lr:number=1e-2 eta_minus:number=0.5 eta_plus:number=1.2 step_min:number=1e-6 "
    .. "step_max:number=50",
  states = function() return { "prev", "size" } end,
  update = function(l, o, step)
    gan.rprop_step_(l.params, l.grads, l.prev, l.size, {
      lr = o.lr, eta_minus = o.eta_minus, eta_plus = o.eta_plus, step_min = o.step_min,
      step_max = o.step_max, step = step,
    })
  end,
}

return rules
