--- Models and functions that tests/onnx_spec.lua exports: { name, model, inputs, options }. An
-- input is a list of sizes, the batch among them, with dtype and, for labels, their number
-- `classes`; `positive` asks for values in 0.1 .. 2.
local gan = require "gan"
local nn = gan.nn

local list = {}

local function add(name, model, inputs, options)
  inputs = type(inputs[1]) == "number" and { inputs } or inputs
  list[#list + 1] = { name = name, model = model, inputs = inputs, options = options or {} }
end

-- ---- the nets of the examples, and others of their kind ---------------------------------------

add("dense generator", nn.Sequential{ nn.Linear{ 10, 32 }, nn.LeakyReLU{ 0.2 }, nn.Linear{ 32, 32 },
  nn.BatchNorm1d{ 32 }, nn.ReLU{}, nn.Dropout{ 0.5 }, nn.Linear{ 32, 2 }, nn.Tanh{} }, { 4, 10 })

local w = 6
add("dcgan 28 x 28, generator", nn.Sequential{ name = "G",
  nn.Linear{ 20, 2 * w * 7 * 7 }, nn.Unflatten{ 2, { 2 * w, 7, 7 } },
  nn.BatchNorm2d{ 2 * w }, nn.ReLU{},
  nn.ConvTranspose2d{ 2 * w, w, kernel_size = 4, stride = 2, padding = 1, bias = false },
  nn.BatchNorm2d{ w }, nn.ReLU{},
  nn.ConvTranspose2d{ w, 1, kernel_size = 4, stride = 2, padding = 1 }, nn.Tanh{},
}, { 4, 20 }, { input_names = { "z" }, output_names = { "image" } })

add("dcgan 28 x 28, discriminator", nn.Sequential{ name = "D",
  nn.Conv2d{ 1, w, kernel_size = 4, stride = 2, padding = 1 }, nn.LeakyReLU{ 0.2 },
  nn.Conv2d{ w, 2 * w, kernel_size = 4, stride = 2, padding = 1, bias = false },
  nn.BatchNorm2d{ 2 * w }, nn.LeakyReLU{ 0.2 },
  nn.Flatten{}, nn.Linear{ 2 * w * 7 * 7, 1 }, nn.Sigmoid{},
}, { 4, 1, 28, 28 })

local function up(from, to, ...)
  return nn.Sequential{
    nn.ConvTranspose2d{ from, to, kernel_size = 4, bias = false, ... }, nn.BatchNorm2d{ to },
    nn.ReLU{} }
end
add("dcgan 64 x 64, generator", nn.Sequential{
  up(16, 16), -- 4 x 4
  nn.ConvTranspose2d{ 16, 8, kernel_size = 4, stride = 2, padding = 1, bias = false },
  nn.BatchNorm2d{ 8 }, nn.ReLU{},
  nn.ConvTranspose2d{ 8, 8, kernel_size = 4, stride = 2, padding = 1, bias = false },
  nn.BatchNorm2d{ 8 }, nn.ReLU{},
  nn.ConvTranspose2d{ 8, 4, kernel_size = 4, stride = 2, padding = 1, bias = false },
  nn.BatchNorm2d{ 4 }, nn.ReLU{},
  nn.ConvTranspose2d{ 4, 3, kernel_size = 4, stride = 2, padding = 1, bias = false }, nn.Tanh{},
}, { 2, 16, 1, 1 })

local AutoEncoder = nn.module("AutoEncoder", {
  init = function(self, o)
    self.conv1 = nn.Conv2d{ 1, 4, kernel_size = 3, padding = 1 }
    self.conv2 = nn.Conv2d{ 4, 3, kernel_size = 3, padding = 1 }
    self.deconv2 = nn.ConvTranspose2d{ 3, 4, kernel_size = 3, padding = 1 }
    self.deconv1 = nn.ConvTranspose2d{ 4, 1, kernel_size = 3, padding = 1 }
    self.pool = nn.MaxPool2d{ 2, return_indices = true, ceil_mode = o.ceil_mode }
    self.unpool = nn.MaxUnpool2d{ 2 }
    self._sized = o.sized
  end,
  forward = function(self, x)
    local p1, p2
    local x1 = self.conv1(x):relu()
    local h
    h, p1 = self.pool(x1)
    local x2 = self.conv2(h):relu()
    h, p2 = self.pool(x2)
    local function size(t)
      return self._sized and { t:size(3), t:size(4) } or nil
    end
    h = self.deconv2(self.unpool(h, p2, size(x2))):relu()
    return self.deconv1(self.unpool(h, p1, size(x1))):sigmoid()
  end,
})
add("convolutional auto-encoder with unpooling", AutoEncoder{}, { 3, 1, 28, 28 })
add("unpooling to odd sizes", AutoEncoder{ sized = true, ceil_mode = true }, { 3, 1, 13, 11 })
add("unpooling to odd sizes, rounded down", AutoEncoder{ sized = true }, { 3, 1, 13, 11 })

local encoder = nn.Sequential{ nn.Flatten{}, nn.Linear{ 64, 20 }, nn.ReLU{}, nn.Linear{ 20, 10 } }
add("vae encoder with two heads", function(x) return encoder(x):chunk(2, 2) end, { 4, 1, 8, 8 },
  { output_names = { "mean", "logvar" } })
add("vae decoder", nn.Sequential{ nn.Linear{ 5, 20 }, nn.ReLU{}, nn.Linear{ 20, 64 },
  nn.Unflatten{ 2, { 1, 8, 8 } }, nn.Sigmoid{} }, { 4, 5 })
add("vae with its noise as an input", nn.module("VAE", {
  init = function(self)
    self.enc, self.dec = nn.Linear{ 12, 6 }, nn.Linear{ 3, 12 }
  end,
  forward = function(self, x, noise)
    local mean, logvar = self.enc(x):chunk(2, 2)
    return self.dec(mean + (logvar * 0.5):exp() * noise), mean, logvar
  end,
}){}, { { 4, 12 }, { 4, 3 } }, { input_names = { "x", "noise" } })

local spectral = nn.spectral_norm(nn.Conv2d{ 4, 8, kernel_size = 3, padding = 1 })
for _ = 1, 20 do -- power steps, until its vectors fit the weight
  spectral(gan.zeros(1, 4, 4, 4))
end
add("upsampling generator", nn.Sequential{
  nn.Linear{ 8, 4 * 4 * 4 }, nn.Unflatten{ 2, { 4, 4, 4 } },
  nn.Upsample{ scale_factor = 2 }, nn.Conv2d{ 4, 4, kernel_size = 3, padding = 1 }, nn.PReLU{ 4 },
  nn.Upsample{ scale_factor = 2, mode = "bilinear" }, nn.PixelNorm{},
  spectral, nn.PixelShuffle{ 2 },
  nn.weight_norm(nn.Conv2d{ 2, 1, kernel_size = 1 }) }, { 3, 8 })

local UNet = nn.module("UNet", {
  init = function(self)
    self.down = nn.Conv2d{ 2, 4, kernel_size = 4, stride = 2, padding = 1 }
    self.up = nn.ConvTranspose2d{ 4, 4, kernel_size = 4, stride = 2, padding = 1 }
    self.out = nn.Conv2d{ 6, 1, kernel_size = 1 }
  end,
  forward = function(self, x)
    local h = self.up(self.down(x):leaky_relu(0.2)):relu()
    return self.out(gan.cat({ h, x }, { dim = 2 })):tanh()
  end,
})
add("skip connections", UNet{}, { 3, 2, 8, 8 })

local Conditional = nn.module("Conditional", {
  init = function(self)
    self.embed = nn.Embedding{ 10, 6 }
    self.body = nn.Sequential{ nn.Linear{ 14, 16 }, nn.ELU{}, nn.Linear{ 16, 4 } }
  end,
  forward = function(self, z, labels)
    return self.body(gan.cat({ z, self.embed(labels) }, { dim = 2 }))
  end,
})
add("conditional generator with an embedding", Conditional{},
  { { 4, 8 }, { 4, dtype = "int64", classes = 10 } }, { input_names = { "z", "label" } })
add("embedding with padding", nn.Embedding{ 5, 3, padding = 2 },
  { 4, 6, dtype = "int64", classes = 5 })

add("gru", nn.GRU{ 3, 5, batch_first = true, num_layers = 2, bidirectional = true }, { 4, 6, 3 })
add("lstm, batch second", nn.LSTM{ 3, 4 }, { 5, 3, 3 }, { batch = 2 })
local masked = nn.GRU{ 3, 4, batch_first = true, bidirectional = true }
add("gru with lengths", function(x, lengths)
  local y, h = masked(x, nil, lengths)
  return y, h
end, { { 4, 5, 3 }, { 4, dtype = "int64", classes = 5, zero_based = false } })
add("rnn", nn.RNN{ 3, 4, batch_first = true }, { 3, 4, 3 })
add("attention", nn.MultiheadAttention{ 8, 2, batch_first = true }, { 3, 5, 8 })
add("causal attention", nn.module("Causal", {
  init = function(self) self.a = nn.MultiheadAttention{ 8, 2, batch_first = true } end,
  forward = function(self, x) return (self.a(x, nil, nil, { causal = true })) end,
}){}, { 3, 5, 8 })

local tied = nn.module("Tied", {
  init = function(self)
    self.enc = nn.Linear{ 6, 4 }
    self.bias = nn.parameter(gan.zeros(6))
  end,
  forward = function(self, x)
    return self.enc(x):sigmoid():linear(self.enc.weight:t(), self.bias)
  end,
})
add("tied weights", tied{}, { 4, 6 })

local square = gan.Function{
  name = "square",
  forward = function(ctx, x) ctx:save(x) return x * x end,
  backward = function(ctx, gy) return gy * ctx:saved() * 2 end,
}
add("a function with a gradient of its own", function(x) return square(x) + 1 end, { 4, 3 })

-- ---- layers one by one ------------------------------------------------------------------------

for _, layer in ipairs{ nn.ReLU{}, nn.LeakyReLU{ 0.3 }, nn.Tanh{}, nn.Sigmoid{}, nn.ReLU6{},
  nn.ELU{ 0.7 }, nn.CELU{ 1.3 }, nn.SELU{}, nn.GELU{}, nn.GELU{ approximate = "tanh" }, nn.SiLU{},
  nn.Mish{}, nn.Softplus{}, nn.Softplus{ beta = 2, threshold = 1 }, nn.Softsign{}, nn.LogSigmoid{},
  nn.Hardswish{}, nn.Hardsigmoid{}, nn.Hardtanh{ -0.5, 0.7 }, nn.Softmax{ 2 }, nn.LogSoftmax{ 3 },
  nn.GLU{ 2 }, nn.PReLU{}, nn.PReLU{ 4 }, nn.Identity{}, nn.Dropout2d{ 0.3 }, nn.LayerNorm{ 6 },
  nn.LayerNorm{ { 4, 6 } }, nn.InstanceNorm1d{ 4, affine = true }, nn.InstanceNorm1d{ 4 },
  nn.BatchNorm1d{ 4 }, nn.BatchNorm1d{ 4, affine = false }, nn.GroupNorm{ 2, 4 },
  nn.LocalResponseNorm{ 3, alpha = 0.5 }, nn.LocalResponseNorm{ 2, alpha = 0.5 }, nn.PixelNorm{},
  nn.Conv1d{ 4, 6, kernel_size = 3, stride = 2, padding = 1, dilation = 2, groups = 2 },
  nn.ConvTranspose1d{ 4, 6, kernel_size = 3, stride = 2, padding = 1, output_padding = 1 },
  nn.MaxPool1d{ 2 }, nn.AvgPool1d{ 3, stride = 2, padding = 1 }, nn.AdaptiveAvgPool1d{ 4 },
  nn.Upsample{ size = 9 }, nn.Upsample{ size = 9, mode = "linear" }, nn.ReflectionPad1d{ 2 },
  nn.Flatten{}, nn.Linear{ 6, 3 },
} do
  add("layer " .. tostring(layer), layer, { 3, 4, 6 })
end
for _, layer in ipairs{ nn.BatchNorm2d{ 4 }, nn.InstanceNorm2d{ 4, affine = true },
  nn.GroupNorm{ 2, 4 }, nn.LayerNorm{ { 4, 6, 7 } },
  nn.Conv2d{ 4, 6, kernel_size = { 3, 2 }, stride = { 1, 2 }, padding = { 2, 1 }, groups = 2 },
  nn.ConvTranspose2d{ 4, 2, kernel_size = { 3, 4 }, stride = 3, output_padding = { 1, 2 } },
  nn.MaxPool2d{ 3, stride = 2, padding = 1 }, nn.MaxPool2d{ 2, dilation = 2, stride = 1 },
  nn.MaxPool2d{ 3, stride = 2, ceil_mode = true },
  nn.MaxPool2d{ 3, stride = 2, padding = 1, ceil_mode = true },
  nn.AvgPool2d{ 2 }, nn.AvgPool2d{ 3, stride = 2, padding = 1 },
  nn.AvgPool2d{ 3, stride = 2, padding = 1, ceil_mode = true },
  nn.AvgPool2d{ 3, stride = 2, padding = 1, ceil_mode = true, count_include_pad = false },
  nn.AvgPool2d{ 3, stride = 2, padding = 1, ceil_mode = true, divisor_override = 4 },
  nn.AdaptiveAvgPool2d{ 1 }, nn.AdaptiveAvgPool2d{ { 4, 3 } }, nn.AdaptiveMaxPool2d{ { 3, 1 } },
  nn.Upsample{ scale_factor = 2 }, nn.Upsample{ size = { 9, 7 } },
  nn.Upsample{ scale_factor = 3, mode = "bilinear" },
  nn.Upsample{ size = { 9, 5 }, mode = "bilinear" },
  nn.Upsample{ scale_factor = 2, mode = "bilinear", align_corners = true },
  nn.PixelShuffle{ 2 }, nn.ZeroPad2d{ { 1, 2, 0, 3 } }, nn.ZeroPad2d{ -1 },
  nn.ReflectionPad2d{ 2 }, nn.ReplicationPad2d{ 2 }, nn.ConstantPad2d{ 1, 2.5 },
} do
  add("layer " .. tostring(layer), layer, { 3, 4, 6, 7 })
end
add("layer PixelUnshuffle", nn.PixelUnshuffle{ 2 }, { 3, 2, 4, 6 })
add("layer BatchNorm without statistics", nn.BatchNorm2d{ 3, track_running_stats = false },
  { 4, 3, 5, 5 })

-- ---- ops --------------------------------------------------------------------------------------

local function op(name, f, ...)
  local inputs = { ... }
  add("op " .. name, f, #inputs > 0 and inputs or { 3, 4, 5 })
end

for _, name in ipairs{ "neg", "abs", "sign", "exp", "sin", "cos", "tan", "sinh", "cosh", "atan",
  "erf", "floor", "ceil", "round", "trunc", "expm1", "square", "relu", "tanh", "sigmoid",
  "hardshrink", "softshrink", "isnan", "logical_not", "copy", "clone", "contiguous", "softsign" } do
  op(name, function(x) return gan[name](x) end)
end
for _, name in ipairs{ "log", "log1p", "sqrt", "rsqrt", "reciprocal" } do
  op(name, function(x) return gan[name](x) end, { 3, 4, positive = true })
end
for _, name in ipairs{ "asin", "acos" } do
  op(name, function(x) return gan[name](x:tanh()) end)
end
for _, name in ipairs{ "add", "sub", "mul", "maximum", "minimum", "eq", "ne", "lt", "le", "gt",
  "ge", "logical_and", "logical_or", "logical_xor" } do
  op(name, function(x, y)
    return gan[name](x, y), gan[name](x, 0.5), gan[name](x:floor(), y:floor())
  end, { 3, 4 }, { 3, 1 })
end
op("div and pow", function(x, y) return x / y, 2 / y, y ^ x, y ^ 2, 2 - y, y ^ 0.5 end, { 3, 4 },
  { 3, 4, positive = true })
op("clamp, threshold", function(x)
  return x:clamp(-0.5, 0.5), x:clamp{ min = 0 }, x:clamp{ max = 0 }, gan.threshold(x, 0.1, 7)
end)
op("where, masked_fill, lerp, addcmul", function(x, y)
  return gan.where(x:gt(0), x, y), gan.where(x, 1, y), x:masked_fill(y:lt(0), -3),
    x:lerp(y, 0.3), x:addcmul(y, y, { value = 2 })
end, { 3, 4 }, { 3, 4 })
op("changes in place", function(x, y)
  local a = x * 2
  a:add_(y, { alpha = 3 })
  a:mul_(2):sub_(1):div_(y:abs() + 1):relu_():clamp_(0.1, 5):neg_()
  local b = gan.zeros_like(x):copy_(y)
  b:lerp_(x, 0.5):addcmul_(x, y)
  local c, d = (x + 1):fill_(3), gan.ones(3, 4)[1]:unsqueeze(1) * 2
  local e = gan.ones_like(x):add_(x)
  return a, b, c, d:add_(1) + x, e
end, { 3, 4 }, { 3, 4 })

op("sums and means", function(x)
  return x:sum(), x:sum(2), x:sum({ 1, 3 }, { keepdim = true }), x:mean(-1), x:mean(),
    x:prod(3), x:amax{ 2, 3 }, x:amin(1), x:logsumexp(2), x:logsumexp({ 2, 3 }, { keepdim = true })
end)
op("spread", function(x)
  return x:var(2), x:var({ 1, 3 }, { keepdim = true }), x:std(3, { correction = 0 })
end)
op("spread over everything", function(x) return x:var(), x:std() end, { 3, 4 })
op("norms", function(x)
  return x:norm(), x:norm(1, { dims = 2 }), x:norm(math.huge, { dims = { 1, 2 } }),
    x:norm(3, { dims = 3, keepdim = true }), x:norm(0, { dims = 3 }),
    gan.l2_normalize(x, { dim = 2 })
end)
op("truths", function(x)
  local y = x:relu()
  return y:count_nonzero(2), y:any(3), y:all{ 2, 3 }, y:any()
end)
op("places of extremes", function(x)
  local v, i = x:max_dim(2)
  local u, j = x:min_dim(3, { keepdim = true })
  return x:argmax(2), x:argmin(3, { keepdim = true }), v, i, u, j, x:gather(j, 3),
    x:argmax(3):to(gan.config.real)
end)
op("argmax of everything", function(x) return x:argmax() end)
op("cumsum, softmax", function(x)
  return x:cumsum(2), x:softmax(2), x:log_softmax(-1)
end)
op("order", function(x)
  local v, i = x:sort(2, { descending = true })
  local u, j = x:topk(2, 3)
  local l = x:topk(2, 3, { largest = false })
  return v, i, u, j, l, x:argsort(3), (x:sort(1))
end)

op("sizes", function(x)
  return x:reshape(-1, 20), x:reshape(x:size(1), 2, 10), x:reshape(x:size(1) * 4, 5),
    x:flatten(2), x:flatten(1, 2), x:flatten(), x:unsqueeze(2), x:unsqueeze(-1):squeeze(4),
    x:view(x:size(1), 5, 4), x:reshape(x:size(1), 4, 5, 1):expand(-1, -1, -1, 3)
end)
op("sizes and two open ones", function(x)
  return x:reshape(1, x:size(1) * 2, 2, 5):expand(x:size(1), -1, -1, -1), x:tile(2, 1, 3),
    x:tile(2, 1, 1, 1), x:sum(1, { keepdim = true }):expand(x:size(1), -1, -1),
    x:permute(2, 1, 3):reshape(4, x:size(1) * 5)
end)
op("order of dimensions", function(x)
  return x:permute(3, 1, 2), x:transpose(1, -1), x:select(2, 1):t(), x:flip(2, 3), x:flip(),
    x:flip(1)
end)
op("parts", function(x)
  return x:slice(2, 2, 3), x:slice(3, 1, -1, 2), x:slice(3, -2), x:slice(1, 2), x:slice(1, 1, -2),
    x:narrow(2, 2, 3), x:narrow(3, -2, 2), x:select(3, -1), x:select(2, 2), x[1], x[-1],
    x:slice(1, 1, x:size(1) - 1), x:select(1, x:size(1))
end, { 3, 4, 5 })
op("parts again", function(x)
  local a, b, c = x:split(2, 3)
  local d, e = x:split({ 1, 3 }, 2)
  local f, h = x:chunk(2, 2)
  return a, b, c, d, e, f, h
end)
op("together", function(x, y)
  return gan.cat({ x, y }, { dim = 2 }), gan.cat({ x, y, x }), gan.stack({ x, y }, { dim = 2 }),
    gan.stack({ x, y }), gan.stack({ x, y }, { dim = -1 })
end, { 3, 4 }, { 3, 4 })
op("around", function(x)
  local none = { 0, 0 }
  local function pad(a, b, mode)
    return x:pad({ none[1], none[2], a, b, b, a }, { mode = mode })
  end
  return x:roll(1, { dims = 2 }), x:roll({ -1, 7 }, { dims = { 2, 3 } }), pad(1, 2, "constant"),
    pad(1, 2, "reflect"), pad(2, 1, "replicate"), pad(2, 1, "circular"), pad(-1, 1, "circular"),
    pad(-1, 2, "constant"), x:tril(), x:triu(1), x:tril(-1)
end)

op("labels", function(x, i)
  return i:embedding(gan.arange(1, 12):reshape(4, 3)), i:one_hot(4), i:eq(2), i:ge(3),
    gan.cat({ i, i }), i:to(gan.config.real) * x:select(2, 1), i:unsqueeze(2), i,
    x:gather(i:unsqueeze(2), 2), x:index_select(gan.tensor({ 3, 1 }, { dtype = "int64" }), 2),
    i:one_hot(4, { dtype = "int64" })
end, { 3, 4 }, { 3, dtype = "int64", classes = 4 })
op("scatter", function(x, i)
  return x:scatter(i:unsqueeze(2), gan.ones(x:size(1), 1), 2)
end, { 3, 4 }, { 3, dtype = "int64", classes = 4 })
op("types", function(x, u)
  return u:gt(100), u:lt(300), u:to(gan.config.real) / 255, u:eq(u), u, (x * 300):to("uint8"),
    (x * 3):to("int64")
end, { 3, 4 }, { 3, 4, dtype = "uint8" })

op("products", function(x, y)
  return x:matmul(y), x:bmm(y), x:matmul(gan.ones(5, 2)), x:select(2, 1):matmul(gan.ones(5)),
    gan.einsum({ x, y }, "bij,bjk->bik"), x:linear(gan.ones(2, 5), gan.ones(2))
end, { 3, 4, 5 }, { 3, 5, 2 })
op("products of two dimensions", function(x)
  local a = x:linear(gan.ones(4, 5), nil, { activation = "leaky_relu", slope = 0.3 })
  return a, gan.addmm(gan.ones(4), x, gan.ones(5, 4), { alpha = 0.5, beta = 2 }),
    x:linear(gan.ones(4, 5), gan.ones(4), { activation = "tanh" }),
    x:select(2, 1):dot(x:select(2, 2)), gan.outer(x:select(2, 1), x:select(2, 2))
end, { 3, 5 })

op("fused normalisation and activation", function(x)
  local mean, var = gan.zeros(4) + 0.1, gan.ones(4) * 2
  return (gan.batch_norm(x, nil, nil, mean, var, { activation = "leaky_relu", slope = 0.1 })),
    (gan.batch_norm(x, nil, nil, mean, var, { activation = "relu" }))
end)
op("unpooling by positions from elsewhere", function(x)
  local y, i = x:max_pool2d{ kernel_size = 2 }
  return (y * 2):max_unpool2d(i:flip(3), { kernel_size = 2 }), i
end, { 3, 2, 4, 6 })
op("pooling in one dimension", function(x)
  local y, i = x:max_pool1d{ kernel_size = 3, stride = 2, padding = 1 }
  local z, j = x:max_pool1d{ kernel_size = 2 }
  return y, i, z:max_unpool1d(j, { kernel_size = 2 }), (gan.adaptive_max_pool1d(x, 5)),
    y:max_unpool1d(i, { kernel_size = 3, stride = 2, padding = 1, output_size = 10 })
end, { 3, 2, 10 })
op("constants", function(x)
  return x + gan.ones(x:size(1), 4), gan.zeros_like(x) + x, gan.full({ 2, 3 }, 5), x, x
end, { 3, 4 })

add("an input without a batch", function(x, scale) return x * scale + x:mean() end,
  { { 4, 3 }, { 3, batch = false } })
add("fixed sizes", nn.Sequential{ nn.Linear{ 4, 3 }, nn.Tanh{} }, { 5, 4 }, { batch = false })

return list
