--- Classifiers that measure: a linear one of frozen features (how much of the classes do they
-- show?), and one of images, by which generated images are judged.

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

local function largest(labels)
  return labels:to(gan.config.real):amax():item() // 1 | 0
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
  local layer = gan.nn.Linear{ train:size(2), o.classes or largest(o.labels) }
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

--- Two convolutions, each of which halves the sides, and a hidden layer.
local function small_net(channels, height, width, hidden, classes)
  local nn = gan.nn
  local function half(n) return (n + 1) // 2 end
  return nn.Sequential{ name = "classifier",
    nn.Conv2d{ channels, 16, kernel_size = 5, stride = 2, padding = 2 }, nn.ReLU{},
    nn.Conv2d{ 16, 32, kernel_size = 5, stride = 2, padding = 2 }, nn.ReLU{},
    nn.Flatten{}, nn.Linear{ 32 * half(half(height)) * half(half(width)), hidden }, nn.ReLU{},
    nn.Linear{ hidden, classes },
  }
end

--- Trains a small classifier of images (N, C, H, W) with labels (N) in 1..classes, and returns it:
-- an nn.Sequential that gives logits, and whose layers but the last give features.
--
--     local net = metrics.classifier{images, labels, hidden = 64, classes = 10}
--     local label = metrics.classify(net, samples)
--     local x = metrics.features(nn.Sequential{table.unpack(net, 1, #net - 1)}, samples)
--
-- Options: hidden=64 (width of the features), classes (default: the largest label), epochs=2,
-- batch_size=128, lr=1e-3 (Adam), quiet=false. Bytes become numbers from -1 to 1. First weights and
-- the order of the images are drawn from the generator.
function probe.classifier(given)
  local o = options.check("metrics.classifier", given, "images:tensor labels:tensor ; "
    .. "hidden:count=64 classes:count? epochs:count=2 batch_size:count=128 lr:number=0.001 "
    .. "quiet:bool=false")
  if o.images:dim() ~= 4 then
    error("metrics.classifier: images must be a tensor (N, C, H, W)", 2)
  end
  local net = small_net(o.images:size(2), o.images:size(3), o.images:size(4), o.hidden,
    o.classes or largest(o.labels))
  local adam = gan.optim.Adam{ net, lr = o.lr }
  gan.train.loop{
    epochs = o.epochs, quiet = o.quiet,
    batches = gan.data.batches{ o.images, o.labels, batch_size = o.batch_size, shuffle = true,
      range = { -1, 1 } },
    step = function(x, labels)
      local wrong = net(x):cross_entropy(labels)
      adam:zero_grad()
      wrong:backward()
      adam:step()
      return { classifier = wrong }
    end,
  }
  return net
end

return probe
