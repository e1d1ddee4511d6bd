--- Linear classifiers on frozen features: how much of the classes do they show?

local gan = require "gan"
local options = require "gan.options"

local probe = {}

--- The share of rows whose largest score stands at their label: metrics.accuracy(scores, labels),
-- scores (N, classes), labels (N) int64 from 1.
function probe.accuracy(scores, labels)
  return gan.no_grad(function()
    return gan.eq(scores:argmax(2), labels):sum():item() / #labels
  end)
end

--- max(0, 1 - y s)^2 summed over classes, y = 1 for the label and -1 for the others: one linear
-- support vector machine for each class.
local function squared_hinge(scores, labels)
  local sign = gan.one_hot(labels, scores:size(2)) * 2 - 1
  return (1 - scores * sign):relu():square():sum(2):mean()
end

--- Trains a linear classifier on features (N, d) with labels (N) in 1..classes, and returns the
-- share of the test rows that it gets wrong, the same of the training rows, and the classifier, an
-- nn.Linear (of features that are standardized, if they are):
--
--     metrics.linear_probe{features, labels, test_features, test_labels, loss = "softmax"}
--
-- loss: "softmax", logistic regression, or "hinge", linear support vector machines one against all
-- (squared hinge). Options: classes (default: the largest label), epochs=20, batch_size=256,
-- lr=0.01 (Adam, to 0 by a cosine), decay=1e-4 (of the weights, per step), standardize=true
-- (features to mean 0 and deviation 1). Its random numbers begin at `seed`=1; the generator stays
-- as it was.
function probe.linear_probe(given)
  local o = options.check("metrics.linear_probe", given, "features:tensor labels:tensor "
    .. "test_features:tensor test_labels:tensor ; loss:softmax|hinge=softmax classes:count? "
    .. "epochs:count=20 batch_size:count=256 lr:number=0.01 decay:number=1e-4 "
    .. "standardize:bool=true seed:int=1")
  local state = gan.rng_state()
  local _ <close> = setmetatable({}, { __close = function() gan.set_rng_state(state) end })
  gan.manual_seed(o.seed)
  local train, test = o.features:flatten(2), o.test_features:flatten(2)
  if o.standardize then
    local mean = train:mean{ 1 }
    local scale = (train:var({ 1 }, { correction = 0 }) + 1e-8):rsqrt()
    train, test = (train - mean) * scale, (test - mean) * scale
  end
  local classes = o.classes or o.labels:to(gan.config.real):amax():item() // 1 | 0
  local layer = gan.nn.Linear{ train:size(2), classes }
  gan.nn.init.zeros_(layer.weight)
  local batches = gan.data.batches{ train, o.labels, batch_size = o.batch_size, shuffle = true }
  local adam = gan.optim.AdamW{ layer:parameters(), lr = o.lr, weight_decay = o.decay / o.lr }
  local schedule = gan.optim.CosineLR{ adam, steps = o.epochs * #batches }
  local loss = o.loss == "hinge" and squared_hinge or gan.cross_entropy
  for _ = 1, o.epochs do
    for x, labels in batches:epoch() do
      gan.scope(function()
        local value = loss(layer(x), labels)
        adam:zero_grad()
        value:backward()
        adam:step()
      end)
      schedule:step()
    end
  end
  local wrong, wrong_seen = gan.scope(gan.no_grad, function()
    return 1 - probe.accuracy(layer(test), o.test_labels),
      1 - probe.accuracy(layer(train), o.labels)
  end)
  return wrong, wrong_seen, layer
end

return probe
