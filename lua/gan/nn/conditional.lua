--- Layers that are told a class: labels are int64 (N), counted from 1.

local gan = require "gan"
local module = require "gan.nn.module"
local container = require "gan.nn.container"
local linear = require "gan.nn.linear"
local norm = require "gan.nn.norm"
local weights = require "gan.nn.init.weights"

local conditional = {}

--- (N, C) as (N, C, 1, ...), for as many dimensions as x has.
local function like_channels(v, x)
  local sizes = { v:size(1), v:size(2) }
  for i = 3, x:dim() do
    sizes[i] = 1
  end
  return v:reshape(sizes)
end

local function conditional_norm(name, base)
  return module.define(name, {
    options = "num_features:count num_classes:count ; eps:number=1e-5 momentum:number=0.1",
    init = function(self, o)
      self.norm = base{ o.num_features, eps = o.eps, momentum = o.momentum, affine = false }
      self.gain = module.parameter(gan.ones(o.num_classes, o.num_features))
      self.bias = module.parameter(gan.zeros(o.num_classes, o.num_features))
    end,
    takes_labels = true,
    forward = function(self, x, labels)
      local gain = like_channels(gan.embedding(labels, self.gain), x)
      return self.norm(x) * gain + like_channels(gan.embedding(labels, self.bias), x)
    end,
  })
end

--- nn.ConditionalBatchNorm1d{features, classes, eps=1e-5, momentum=0.1}: layer(x, labels) is batch
-- normalisation with a gain and a bias for every class (Dumoulin et al. 2017).
conditional.ConditionalBatchNorm1d =
  conditional_norm("nn.ConditionalBatchNorm1d", norm.BatchNorm1d)

--- nn.ConditionalBatchNorm2d{...}: the same for (N, C, H, W).
conditional.ConditionalBatchNorm2d =
  conditional_norm("nn.ConditionalBatchNorm2d", norm.BatchNorm2d)

--- nn.LabelConcat{classes, width}: layer(x, labels) puts `width` learnt numbers for the class after
-- the features of x: (N, F) -> (N, F + width), (N, C, H, W) -> (N, C + width, H, W) (Mirza and
-- Osindero 2014).
conditional.LabelConcat = module.define("nn.LabelConcat", {
  options = "num_classes:count width:count",
  init = function(self, o)
    self.table = linear.Embedding{ o.num_classes, o.width }
  end,
  takes_labels = true,
  forward = function(self, x, labels)
    local v = like_channels(self.table(labels), x)
    if x:dim() > 2 then
      local sizes = x:shape()
      sizes[2] = v:size(2)
      v = v:expand(sizes)
    end
    return gan.cat({ x, v }, { dim = 2 })
  end,
})

--- nn.Projection{features, classes}: the last layer of a discriminator that knows classes (Miyato
-- and Koyama 2018): layer(x, labels) = w x + b + <v(label), x>, (N, features) -> (N, 1). The
-- vectors v start N(0, 1/features), so that the products are as large as the features.
conditional.Projection = module.define("nn.Projection", {
  options = "num_features:count num_classes:count",
  init = function(self, o)
    self.score = linear.Linear{ o.num_features, 1 }
    self.table = linear.Embedding{ o.num_classes, o.num_features }
    weights.normal_(self.table.weight, 0, 1 / math.sqrt(o.num_features))
  end,
  takes_labels = true,
  forward = function(self, x, labels)
    return self.score(x) + (self.table(labels) * x):sum({ 2 }, { keepdim = true })
  end,
})

--- nn.Conditional{layers ...}: a net(x, labels) of layers in order, of which those that take labels
-- (the ones above, and modules with the field takes_labels) get them.
conditional.Conditional = module.define("nn.Conditional", {
  init = function(self, o)
    for i, layer in ipairs(o) do
      self[i] = type(layer) == "function" and container.Lambda{ layer } or layer
      if not module.is_module(self[i]) then
        error(("nn.Conditional: element %d is not a layer but a %s"):format(i,
          gan.is_tensor(layer) and "tensor" or type(layer)), 3)
      end
    end
    self.name = o.name
  end,
  takes_labels = true,
  forward = function(self, x, labels)
    for _, layer in ipairs(self) do
      if layer.takes_labels then
        x = layer(x, labels)
      else
        x = layer(x)
      end
    end
    return x
  end,
})

return conditional
