local gan = require "gan"
local nn = gan.nn
local keys = require("gan.basics").keys

local function close(a, b, tol)
  assert.same(a:shape(), b:shape())
  local worst = a:numel() == 0 and 0 or (a - b):abs():amax():item()
  assert.is_true(worst <= (tol or 1e-5), ("differs by %g"):format(worst))
end

local function message_of(f, ...)
  local ok, message = pcall(f, ...)
  assert.is_false(ok)
  return message
end

local function size_of(x)
  return table.concat(x:shape(), "x")
end

describe("constructors", function()
  it("take exactly one table", function()
    assert.matches("nn.Linear: takes one table, as in nn.Linear{...}, not 3",
      message_of(nn.Linear, 3, 4), 1, true)
    assert.matches("nn.ReLU: takes one table", message_of(nn.ReLU), 1, true)
  end)

  it("name a misspelt option and the nearest one", function()
    assert.matches("nn.Conv2d: unknown option 'stide', did you mean 'stride'?",
      message_of(nn.Conv2d, { 1, 8, kernel_size = 3, stide = 2 }), 1, true)
  end)

  it("name a missing or wrong option", function()
    assert.matches("nn.Linear: 'out_features' is missing", message_of(nn.Linear, { 3 }), 1, true)
    assert.matches("nn.Linear: option 'in_features' must be a positive integer, not 0",
      message_of(nn.Linear, { 0, 3 }), 1, true)
    assert.matches("nn.Linear: option 'bias' must be true or false, not \"no\"",
      message_of(nn.Linear, { 3, 3, bias = "no" }), 1, true)
    assert.matches("nn.Linear: takes 2 values by position, number 3 is too much",
      message_of(nn.Linear, { 3, 3, 3 }), 1, true)
  end)

  it("blame the line that called them", function()
    assert.matches("^[^:]*nn_spec.lua:%d+: nn.Linear", message_of(function() nn.Linear{ 3 } end))
  end)

  it("take values by position or by name", function()
    local a, b = nn.Conv2d{ 2, 4, 3, stride = 2 },
      nn.Conv2d{ in_channels = 2, out_channels = 4, kernel_size = 3, stride = 2 }
    assert.equal(tostring(a), tostring(b))
    assert.equal("nn.Conv2d{2, 4, 3, stride=2}", tostring(a))
  end)
end)

describe("a module", function()
  local function net()
    return nn.Sequential{ nn.Linear{ 4, 8 }, nn.BatchNorm1d{ 8 }, nn.ReLU{}, nn.Linear{ 8, 2 } }
  end

  it("names its state as PyTorch does", function()
    assert.same({ "0.bias", "0.weight", "1.bias", "1.num_batches_tracked", "1.running_mean",
      "1.running_var", "1.weight", "3.bias", "3.weight" }, keys(net():state_dict()))
  end)

  it("lists each parameter once, in a fixed order, buffers apart", function()
    local model, names = net(), {}
    for name in model:named_parameters() do
      names[#names + 1] = name
    end
    assert.same({ "0.bias", "0.weight", "1.bias", "1.weight", "3.bias", "3.weight" }, names)
    assert.equal(6, #model:parameters())
    assert.equal(3, #model:buffers())
    assert.equal(4 * 8 + 8 + 8 + 8 + 8 * 2 + 2, model:num_parameters())
  end)

  it("is made by nn.module from init and forward", function()
    local Net = nn.module("Net", {
      init = function(self, o)
        self.scale = nn.parameter(gan.ones(1))
        self.offset = gan.ones(1)
        self.blocks = { nn.Linear{ o.width, o.width }, nn.Linear{ o.width, 1 } }
      end,
      forward = function(self, x)
        return self.blocks[2](self.blocks[1](x):relu()) * self.scale + self.offset
      end,
      halve = function(self) return self.scale * 0.5 end,
    })
    local model = Net{ width = 3 }
    assert.same({ "blocks.0.bias", "blocks.0.weight", "blocks.1.bias", "blocks.1.weight", "offset",
      "scale" }, keys(model:state_dict()))
    assert.equal(5, #model:parameters())
    assert.equal("5x1", size_of(model(gan.randn(5, 3))))
    assert.equal(0.5, model:halve():item())
    assert.matches("Net{\n  blocks: {", tostring(model), 1, true)
  end)

  it("keeps tied weights one parameter", function()
    local Tied = nn.module("Tied", {
      init = function(self)
        self.encoder = nn.Linear{ 6, 3 }
        self.decoder = nn.Linear{ 3, 6 }
        self.decoder.weight = nil
      end,
      forward = function(self, x)
        return gan.linear(self.encoder(x), self.encoder.weight:transpose(1, 2), self.decoder.bias)
      end,
    })
    local model = Tied{}
    assert.equal(3, #model:parameters())
    model(gan.randn(2, 6)):square():mean():backward()
    assert.same({ 3, 6 }, model.encoder.weight:grad():shape())
    local shared = nn.Linear{ 2, 2 }
    local twice = nn.Sequential{ shared, nn.Tanh{}, shared }
    assert.equal(2, #twice:parameters())
    assert.equal(6, twice:num_parameters())
    assert.equal(4, #keys(twice:state_dict()))
  end)

  it("freezes and thaws: frozen parameters stay parameters and get no gradient", function()
    local model = net()
    model:requires_grad_(false)
    assert.equal(6, #model:parameters())
    assert.equal(0, model:num_parameters{ trainable = true })
    local x = gan.require_grad(gan.randn(3, 4))
    model(x):sum():backward()
    assert.is_nil(model[1].weight:grad())
    assert.is_not_nil(x:grad())
    model:requires_grad_(true)
    model(x):sum():backward()
    assert.is_not_nil(model[1].weight:grad())
    model:zero_grad()
    assert.is_nil(model[1].weight:grad())
  end)

  it("switches all its layers between training and evaluation", function()
    local model = net():eval()
    assert.is_false(model[2].training)
    local before = model[2].running_mean:totable()
    model(gan.randn(5, 4))
    assert.same(before, model[2].running_mean:totable())
    model:train()
    model(gan.randn(5, 4))
    assert.equal(1, model[2].num_batches_tracked:item())
    assert.not_same(before, model[2].running_mean:totable())
  end)

  it("applies a function to every layer below and to itself", function()
    local kinds = {}
    net():apply(function(m) kinds[#kinds + 1] = m:kind() end)
    assert.same({ "Linear", "BatchNorm1d", "ReLU", "Linear", "Sequential" }, kinds)
  end)

  it("outlives the scope in which it was made", function()
    local model
    gan.scope(function() model = net() end)
    assert.equal("2x2", size_of(model(gan.randn(2, 4))))
  end)

  it("prints its layers", function()
    local text = tostring(nn.Sequential{ nn.Linear{ 4, 8, name = "first" }, nn.Sequential{
      nn.ReLU{}, nn.Linear{ 8, 2, bias = false } } })
    assert.equal("nn.Sequential{\n  first: nn.Linear{4, 8}\n  2: nn.Sequential{\n    1: nn.ReLU{}\n"
      .. "    2: nn.Linear{8, 2, bias=false}\n  }\n}", text)
  end)

  it("summarises layers, sizes and parameters, and changes nothing", function()
    local model = net()
    local summary = model:summary{ 7, 4 }
    assert.equal(5, #summary)
    assert.equal("(7 x 8)", summary[1].output)
    assert.equal(40, summary[1].parameters)
    assert.equal("(whole)", summary[5].name)
    assert.equal("(7 x 2)", summary[5].output)
    assert.equal(model:num_parameters(), summary.parameters)
    assert.matches("74 parameters, 74 of them trained", tostring(summary), 1, true)
    assert.is_true(model[2].training)
    assert.equal(0, model[2].num_batches_tracked:item())
  end)
end)

describe("state dictionaries", function()
  local function net()
    return nn.Sequential{ nn.Linear{ 2, 3 }, nn.BatchNorm1d{ 3 } }
  end

  it("copy every tensor", function()
    local a, b = net(), net()
    a(gan.randn(4, 2))
    b:load_state_dict(a:state_dict())
    close(a[1].weight, b[1].weight, 0)
    close(a[2].running_var, b[2].running_var, 0)
    assert.equal(1, b[2].num_batches_tracked:item())
    assert.is_true(b[1].weight:requires_grad())
    gan.no_grad(function() a[1].weight:fill_(9) end)
    assert.not_equal(9, b[1].weight:get(1, 1))
  end)

  it("report what does not fit and change nothing", function()
    local model = net()
    local state = net():state_dict()
    local before = model[1].bias:totable()
    state["0.weight"], state["1.bias"], state.extra = gan.zeros(5, 5), nil, gan.zeros(1)
    assert.matches("load_state_dict: missing: 1.bias; unexpected: extra; misshaped: "
      .. "0.weight: (3 x 2) here, (5 x 5) given",
      message_of(model.load_state_dict, model, state), 1, true)
    assert.same(before, model[1].bias:totable())
    local report = model:load_state_dict(state, { strict = false })
    assert.same({ "1.bias" }, report.missing)
    assert.same({ "extra" }, report.unexpected)
    assert.equal(1, #report.misshaped)
    close(state["0.bias"], model[1].bias, 0)
  end)

  it("go to a file and back", function()
    local a, b, path = net(), net(), os.tmpname()
    a(gan.randn(4, 2))
    assert(a:save(path, { note = "one" }))
    local report, metadata = assert(b:load(path))
    assert.same({}, report.missing)
    assert.equal("one", metadata.note)
    for name, t in pairs(a:state_dict()) do
      assert.same(t:totable(), b:state_dict()[name]:totable())
    end
    local ok, message = nn.Linear{ 1, 1 }:load(path)
    assert.is_nil(ok)
    assert.matches("missing: bias, weight", message, 1, true)
    os.remove(path)
    ok, message = b:load(path)
    assert.is_nil(ok)
    assert.is_string(message)
  end)
end)

describe("errors inside a model", function()
  it("name the layer, its path and the sizes on the way", function()
    local G = nn.Sequential{ name = "G",
      nn.Linear{ 100, 6272 }, nn.ReLU{}, nn.Unflatten{ 2, { 128, 7, 7 } },
      nn.ConvTranspose2d{ 64, 1, kernel_size = 4, name = "deconv2" },
    }
    local message = message_of(G, gan.randn(3, 100))
    assert.matches("layer 4 `deconv2` of `G`: conv_transpose2d: ", message, 1, true)
    assert.matches("sizes: (3 x 100) -> Linear (3 x 6272) -> Unflatten (3 x 128 x 7 x 7) -> "
      .. "ConvTranspose2d", message, 1, true)
    assert.matches("^[^:]*nn_spec.lua:%d+: layer 4",
      message_of(function() G(gan.randn(3, 100)) end))
  end)

  it("grow by append, which refuses what is no layer and a name that is taken", function()
    local net = nn.Sequential{ nn.Linear{ 4, 3, name = "first" } }
    assert.equal(net, net:append(nn.ReLU{}):append(function(x) return x * 2 end))
    local x = gan.randn(2, 4)
    close(net[1](x):relu() * 2, net(x), 0)
    assert.equal(2, #net:parameters())
    assert.matches("element 4 is not a layer but a number", message_of(net.append, net, 7), 1, true)
    assert.matches("two layers are called 'first'",
      message_of(net.append, net, nn.ReLU{ name = "first" }), 1, true)
  end)

  it("name nested containers and fields", function()
    local Net = nn.module("Net", {
      init = function(self)
        self.encoder = nn.Sequential{ nn.Linear{ 4, 3 }, nn.Linear{ 5, 2 } }
      end,
      forward = function(self, x) return self.encoder(x) end,
    })
    assert.matches("layer 2 `Linear` of `encoder` of `Net`: linear: ",
      message_of(Net{}, gan.randn(2, 4)), 1, true)
    local inner = nn.Sequential{ nn.Linear{ 4, 3 }, nn.Linear{ 5, 2 } }
    local deep = nn.Sequential{ name = "outer", inner }
    assert.matches("layer 2 `Linear` of layer 1 `Sequential` of `outer`: linear: ",
      message_of(deep, gan.randn(2, 4)), 1, true)
  end)

  it("keep errors of the user's own code readable", function()
    local Net = nn.module("Net", { forward = function() error("own trouble") end })
    assert.matches("own trouble", message_of(Net{}, 1))
    assert.matches("layer 1 `Lambda` of `Sequential`:.*own trouble",
      message_of(nn.Sequential{ function() error("own trouble") end }, 1))
  end)

  it("pass error objects and interruptions on unchanged", function()
    local object = {}
    local model = nn.Sequential{ function() error(object) end }
    assert.equal(object, message_of(model, 1))
    model = nn.Sequential{ function() error("interrupted!", 0) end }
    assert.equal("interrupted!", message_of(model, 1))
  end)
end)

describe("Sequential", function()
  it("runs a linear layer and the activation after it as one op, with the same result", function()
    local x = gan.randn(5, 3)
    for _, activation in ipairs{ nn.ReLU{}, nn.LeakyReLU{ 0.2 }, nn.LeakyReLU{ 0 }, nn.Tanh{},
      nn.Sigmoid{}, nn.GELU{} } do
      local first = nn.Linear{ 3, 4 }
      close(activation(first(x)), nn.Sequential{ first, activation }(x))
    end
  end)

  it("takes functions, and refuses everything else", function()
    close(gan.full({ 2 }, 4), nn.Sequential{ function(x) return x * 2 end, nn.Identity{} }(
      gan.full({ 2 }, 2)))
    assert.matches("element 2 is not a layer but a string",
      message_of(nn.Sequential, { nn.ReLU{}, "x" }), 1, true)
    assert.matches("unknown option 'layers'", message_of(nn.Sequential, { layers = {} }), 1, true)
    assert.matches("two layers are called 'a'", message_of(nn.Sequential,
      { nn.ReLU{ name = "a" }, nn.ReLU{ name = "a" } }), 1, true)
  end)

  it("uses the names of its layers in files", function()
    local model = nn.Sequential{ nn.Linear{ 1, 1, name = "in" }, nn.Linear{ 1, 1 } }
    assert.same({ "1.bias", "1.weight", "in.bias", "in.weight" }, keys(model:state_dict()))
  end)
end)

describe("layers", function()
  -- name of the test -> layer, input, size of the output
  local shapes = {
    { "Linear", nn.Linear{ 3, 5 }, { 2, 7, 3 }, "2x7x5" },
    { "Conv1d", nn.Conv1d{ 2, 4, 3, stride = 2 }, { 2, 2, 9 }, "2x4x4" },
    { "Conv2d", nn.Conv2d{ 2, 4, { 3, 5 }, padding = { 1, 2 } }, { 2, 2, 9, 8 }, "2x4x9x8" },
    { "Conv2d groups", nn.Conv2d{ 4, 6, 3, groups = 2, dilation = 2 }, { 1, 4, 9, 9 }, "1x6x5x5" },
    { "ConvTranspose1d", nn.ConvTranspose1d{ 2, 3, 4, stride = 2, padding = 1 }, { 1, 2, 5 },
      "1x3x10" },
    { "ConvTranspose2d", nn.ConvTranspose2d{ 2, 3, 3, stride = 2, padding = 1, output_padding = 1 },
      { 1, 2, 5, 4 }, "1x3x10x8" },
    { "MaxPool1d", nn.MaxPool1d{ 2 }, { 1, 2, 9 }, "1x2x4" },
    { "MaxPool2d", nn.MaxPool2d{ 3, stride = 2, padding = 1 }, { 1, 2, 9, 8 }, "1x2x5x4" },
    { "MaxPool2d ceil", nn.MaxPool2d{ 2, ceil_mode = true }, { 1, 2, 9, 8 }, "1x2x5x4" },
    { "AvgPool1d", nn.AvgPool1d{ 3 }, { 1, 2, 9 }, "1x2x3" },
    { "AvgPool2d", nn.AvgPool2d{ 2 }, { 1, 2, 9, 8 }, "1x2x4x4" },
    { "AdaptiveAvgPool1d", nn.AdaptiveAvgPool1d{ 3 }, { 1, 2, 7 }, "1x2x3" },
    { "AdaptiveAvgPool2d", nn.AdaptiveAvgPool2d{ 1 }, { 1, 2, 7, 5 }, "1x2x1x1" },
    { "AdaptiveMaxPool2d", nn.AdaptiveMaxPool2d{ { 3, 2 } }, { 1, 2, 7, 5 }, "1x2x3x2" },
    { "BatchNorm1d", nn.BatchNorm1d{ 3 }, { 4, 3 }, "4x3" },
    { "BatchNorm1d sequences", nn.BatchNorm1d{ 3 }, { 4, 3, 5 }, "4x3x5" },
    { "BatchNorm2d", nn.BatchNorm2d{ 3 }, { 4, 3, 5, 2 }, "4x3x5x2" },
    { "LayerNorm", nn.LayerNorm{ { 3, 5 } }, { 4, 3, 5 }, "4x3x5" },
    { "InstanceNorm1d", nn.InstanceNorm1d{ 3 }, { 4, 3, 5 }, "4x3x5" },
    { "InstanceNorm2d", nn.InstanceNorm2d{ 3, affine = true }, { 4, 3, 5, 5 }, "4x3x5x5" },
    { "GroupNorm", nn.GroupNorm{ 2, 4 }, { 3, 4, 5 }, "3x4x5" },
    { "PixelNorm", nn.PixelNorm{}, { 3, 4, 5, 5 }, "3x4x5x5" },
    { "LocalResponseNorm", nn.LocalResponseNorm{ 3 }, { 3, 4, 5, 5 }, "3x4x5x5" },
    { "Dropout", nn.Dropout{ 0.3 }, { 3, 4 }, "3x4" },
    { "Dropout2d", nn.Dropout2d{ 0.3 }, { 3, 4, 2, 2 }, "3x4x2x2" },
    { "Flatten", nn.Flatten{}, { 3, 4, 2, 2 }, "3x16" },
    { "Unflatten", nn.Unflatten{ 2, { 4, -1 } }, { 3, 8 }, "3x4x2" },
    { "Upsample", nn.Upsample{ scale_factor = 2 }, { 3, 4, 2, 3 }, "3x4x4x6" },
    { "Upsample linear", nn.Upsample{ size = { 5, 7 }, mode = "bilinear" }, { 3, 4, 2, 3 },
      "3x4x5x7" },
    { "PixelShuffle", nn.PixelShuffle{ 2 }, { 1, 8, 3, 3 }, "1x2x6x6" },
    { "PixelUnshuffle", nn.PixelUnshuffle{ 2 }, { 1, 2, 6, 6 }, "1x8x3x3" },
    { "ZeroPad2d", nn.ZeroPad2d{ { 1, 2, 3, 4 } }, { 1, 1, 2, 2 }, "1x1x9x5" },
    { "ReflectionPad2d", nn.ReflectionPad2d{ 1 }, { 1, 1, 3, 4 }, "1x1x5x6" },
    { "ReplicationPad2d", nn.ReplicationPad2d{ { 1, 0, 0, 2 } }, { 1, 1, 3, 4 }, "1x1x5x5" },
    { "ConstantPad1d", nn.ConstantPad1d{ 2, 7 }, { 1, 1, 3 }, "1x1x7" },
    { "GLU", nn.GLU{}, { 3, 8 }, "3x4" },
    { "PReLU", nn.PReLU{ 4 }, { 3, 4 }, "3x4" },
    { "Softmax", nn.Softmax{ 2 }, { 3, 4 }, "3x4" },
    { "Threshold", nn.Threshold{ 0.1, 2 }, { 3, 4 }, "3x4" },
    { "RNNCell", nn.RNNCell{ 3, 4 }, { 2, 3 }, "2x4" },
    { "GRUCell", nn.GRUCell{ 3, 4, bias = false }, { 2, 3 }, "2x4" },
    { "LSTMCell", nn.LSTMCell{ 3, 4 }, { 2, 3 }, "2x4" },
    { "spectral_norm", nn.spectral_norm(nn.Linear{ 3, 5 }), { 2, 3 }, "2x5" },
    { "spectral_norm conv", nn.spectral_norm(nn.Conv2d{ 2, 4, 3 }), { 1, 2, 5, 5 }, "1x4x3x3" },
    { "spectral_norm deconv", nn.spectral_norm(nn.ConvTranspose2d{ 2, 4, 3 }), { 1, 2, 3, 3 },
      "1x4x5x5" },
    { "weight_norm", nn.weight_norm(nn.Conv2d{ 2, 4, 3 }), { 1, 2, 5, 5 }, "1x4x3x3" },
    { "equalized_lr", nn.equalized_lr(nn.Linear{ 3, 5 }), { 2, 3 }, "2x5" },
  }
  for _, name in ipairs{ "ReLU", "LeakyReLU", "Tanh", "Sigmoid", "ELU", "SELU", "CELU", "GELU",
    "SiLU", "Mish", "Softplus", "Softsign", "LogSigmoid", "LogSoftmax", "Hardtanh", "Hardswish",
    "Hardsigmoid", "ReLU6", "Softshrink", "Hardshrink", "Softmin", "Identity" } do
    shapes[#shapes + 1] = { name, nn[name]{}, { 2, 3 }, "2x3" }
  end

  for _, case in ipairs(shapes) do
    it("of kind " .. case[1] .. " give the right size, and gradients to all parameters", function()
      local layer = case[2]
      local x = gan.require_grad(gan.randn(case[3]))
      local y = layer(x)
      assert.equal(case[4], size_of(y))
      local loss = (y * gan.randn(y:shape())):sum()
      loss:backward()
      assert.same(x:shape(), x:grad():shape())
      for name, p in layer:named_parameters() do
        assert.is_not_nil(p:grad(), name)
        assert.same(p:shape(), p:grad():shape())
      end
      layer:eval()
      assert.equal(case[4], size_of(layer(x)))
    end)
  end

  it("start as PyTorch's: uniform in +-1/sqrt(fan_in)", function()
    gan.manual_seed(1)
    for _, layer in ipairs{ nn.Linear{ 100, 200 }, nn.Conv2d{ 4, 200, 5 },
      nn.ConvTranspose2d{ 200, 4, 5 } } do
      local bound = 1 / math.sqrt(100)
      local top = layer.weight:abs():amax():item()
      assert.is_true(top <= bound * 1.0001 and top > 0.99 * bound)
      assert.is_true(math.abs(layer.weight:mean():item()) < 0.05 * bound)
      assert.is_true(layer.bias:abs():amax():item() <= bound * 1.0001)
    end
    close(gan.ones(3), nn.BatchNorm2d{ 3 }.weight, 0)
    assert.is_nil(nn.BatchNorm2d{ 3, affine = false }.weight)
  end)

  it("unpool to where the values came from", function()
    local x = gan.rand(1, 1, 4, 4) + 1
    local y, positions = nn.MaxPool2d{ 2, return_indices = true }(x)
    local back = nn.MaxUnpool2d{ 2 }(y, positions)
    close(x, gan.where(back:gt(0), back, x), 0)
    close(y, nn.MaxPool2d{ 2 }(back), 0)
    assert.equal(4, back:count_nonzero():item())
    assert.equal("1x1x5x5", size_of(nn.MaxUnpool2d{ 2 }(y, positions, { 5, 5 })))
  end)

  it("drop and rescale in training only", function()
    gan.manual_seed(3)
    local layer = nn.Dropout{ 0.25 }
    local y = layer(gan.ones(100, 100))
    local zeros = 1 - y:count_nonzero():item() / 10000
    assert.is_true(math.abs(zeros - 0.25) < 0.02)
    assert.is_true(math.abs(y:amax():item() - 1 / 0.75) < 1e-5)
    local planes = nn.Dropout2d{ 0.5 }(gan.ones(8, 8, 4, 4)):mean{ dims = { 3, 4 } }
    assert.equal(64, planes:eq(0):sum():item() + planes:eq(2):sum():item())
    close(gan.ones(3, 3), layer:eval()(gan.ones(3, 3)), 0)
    assert.matches("p must be between 0 and 1", message_of(nn.Dropout, { 1.5 }), 1, true)
  end)

  it("look up embeddings and leave the padding untrained", function()
    local layer = nn.Embedding{ 5, 3, padding = 2 }
    local y = layer(gan.tensor({ { 1, 2 }, { 2, 5 } }, { dtype = "int64" }))
    assert.equal("2x2x3", size_of(y))
    close(gan.zeros(3), y[1][2], 0)
    y:sum():backward()
    close(gan.zeros(3), layer.weight:grad()[2], 0)
    close(gan.ones(3), layer.weight:grad()[5], 0)
  end)

  it("normalise batches as PyTorch does", function()
    local layer = nn.BatchNorm1d{ 2 }
    local x = gan.tensor{ { 1, 10 }, { 3, 10 }, { 5, 40 } }
    local y = layer(x)
    close(gan.tensor{ { -1.2247, -0.7071 }, { 0, -0.7071 }, { 1.2247, 1.4142 } }, y, 1e-3)
    close(gan.tensor{ 0.3, 2 }, layer.running_mean, 1e-5)
    close(gan.tensor{ 0.9 + 0.1 * 4, 0.9 + 0.1 * 300 }, layer.running_var, 1e-4)
    local average = nn.BatchNorm1d{ 2, momentum = -1 }
    average(x)
    average(x + 2)
    close(gan.tensor{ 4, 21 }, average.running_mean, 1e-4)
    assert.matches("takes 4 dimensions, not (3 x 2)", message_of(nn.BatchNorm2d{ 2 }, x), 1, true)
  end)

  it("keep the largest singular value at 1 under spectral_norm", function()
    gan.manual_seed(5)
    local layer = nn.spectral_norm(nn.Linear{ 6, 4, bias = false })
    assert.same({ "weight_orig", "weight_u", "weight_v" }, keys(layer:state_dict()))
    assert.equal(1, #layer:parameters())
    for _ = 1, 100 do
      gan.scope(function() layer(gan.ones(1, 6)) end)
    end
    layer:eval()
    local x = gan.randn(6, 1)
    layer(gan.ones(1, 6))
    local w = layer.weight:detach()
    for _ = 1, 100 do
      x = w:transpose(1, 2):matmul(w:matmul(x))
      x = x / x:norm()
    end
    assert.is_true(math.abs(w:matmul(x):norm():item() - 1) < 1e-3)
    local before = layer.weight_u:totable()
    layer(gan.ones(1, 6))
    assert.same(before, layer.weight_u:totable())
  end)

  it("reparametrise with PyTorch's names and the same first output", function()
    local layer = nn.Conv2d{ 2, 3, 3 }
    local x = gan.randn(1, 2, 5, 5)
    local before = layer(x)
    nn.weight_norm(layer)
    assert.same({ "bias", "weight_g", "weight_v" }, keys(layer:state_dict()))
    assert.same({ 3, 1, 1, 1 }, layer.weight_g:shape())
    close(before, layer(x), 1e-5)
    local equal = nn.equalized_lr(nn.Linear{ 50, 20 })
    assert.same({ "bias", "weight_orig" }, keys(equal:state_dict()))
    equal(gan.randn(1, 50))
    close(equal.weight_orig * math.sqrt(2 / 50), equal.weight, 1e-6)
    assert.matches("spectral_norm: ReLU has no parameter 'weight'",
      message_of(nn.spectral_norm, nn.ReLU{}), 1, true)
  end)
end)

--- Fills all parameters with numbers from -0.6 to 0.8.
local function ramp(layer)
  gan.no_grad(function()
    for _, p in ipairs(layer:parameters()) do
      p:copy_(gan.linspace(-0.6, 0.8, p:numel()):reshape(p:shape()))
    end
  end)
  return layer
end

describe("recurrent layers", function()
  it("give PyTorch's numbers", function()
    local expected = {
      LSTM = { 0.09745, 0.271823, 0.0963, 0.2699, 3.595465 }, -- the last one: sum of the cells
      GRU = { 0.677652, 0.476117, 0.705595, 0.465705, 9.033147 }, -- and of the states
      RNN = { -0.576811, 0.991543, -0.605922, 0.991819, 2.714383 },
    }
    local x = gan.linspace(-1, 1, 12):reshape(3, 2, 2)
    for kind, numbers in pairs(expected) do
      local layer = ramp(nn[kind]{ 2, 2, num_layers = 2, bidirectional = true })
      local y, h, c = layer(x)
      close(gan.tensor(numbers), gan.cat({ y[2][2], (c or h):sum():reshape(1) }, { dim = 1 }), 1e-5)
    end
  end)

  it("have PyTorch's names and sizes", function()
    local layer = nn.LSTM{ 3, 4, num_layers = 2, bidirectional = true }
    local names = keys(layer:state_dict())
    assert.equal(16, #names)
    assert.same({ 16, 8 }, layer.weight_ih_l1_reverse:shape())
    local y, h, c = layer(gan.randn(5, 2, 3))
    assert.equal("5x2x8", size_of(y))
    assert.equal("4x2x4", size_of(h))
    assert.equal("4x2x4", size_of(c))
    y, h, c = nn.GRU{ 3, 4, batch_first = true }(gan.randn(2, 5, 3))
    assert.equal("2x5x4", size_of(y))
    assert.equal("1x2x4", size_of(h))
    assert.is_nil(c)
  end)

  it("do the same as their cells, step by step", function()
    for _, kind in ipairs{ "RNN", "GRU", "LSTM" } do
      local layer, cell = nn[kind]{ 2, 3 }, nn[kind .. "Cell"]{ 2, 3 }
      for _, name in ipairs{ "weight_ih", "weight_hh", "bias_ih", "bias_hh" } do
        cell[name] = layer[name .. "_l0"]
      end
      local x, h, c = gan.randn(4, 5, 2), nil, nil
      for t = 1, 4 do
        h, c = cell(x[t], h, c)
      end
      local _, last, last_cell = layer(x)
      close(last[1], h, 1e-6)
      if kind == "LSTM" then
        close(last_cell[1], c, 1e-6)
      end
    end
  end)

  it("compute one step by the formula", function()
    local layer = nn.RNN{ 2, 3 }
    local x, h = gan.randn(1, 4, 2), gan.randn(1, 4, 3)
    local expected = (gan.linear(x[1], layer.weight_ih_l0, layer.bias_ih_l0)
      + gan.linear(h[1], layer.weight_hh_l0, layer.bias_hh_l0)):tanh()
    close(expected, layer(x, h)[1], 1e-5)
  end)

  it("ignore what follows the end of a sequence, in both directions", function()
    for _, kind in ipairs{ "RNN", "GRU", "LSTM" } do
      local layer = nn[kind]{ 2, 3, bidirectional = true }
      local x = gan.randn(6, 2, 2)
      local function run(input, lengths)
        if kind == "LSTM" then
          return layer(input, nil, nil, lengths)
        end
        return layer(input, nil, lengths)
      end
      local y, h = run(x, { 4, 6 })
      local short, last = run(x:slice(1, 1, 4))
      close(short:slice(2, 1, 1), y:slice(1, 1, 4):slice(2, 1, 1), 1e-5)
      close(last:slice(2, 1, 1), h:slice(2, 1, 1), 1e-5)
      close(gan.zeros(2, 1, 6), y:slice(1, 5, 6):slice(2, 1, 1), 0)
    end
  end)

  it("learn: gradients reach every weight", function()
    local layer = nn.GRU{ 2, 3, num_layers = 2, dropout = 0.1 }
    layer(gan.randn(4, 2, 2)):square():sum():backward()
    for name, p in layer:named_parameters() do
      assert.is_not_nil(p:grad(), name)
    end
  end)
end)

describe("attention", function()
  it("averages the values by similarity", function()
    local q, k, v = gan.randn(2, 3, 4), gan.randn(2, 5, 4), gan.randn(2, 5, 6)
    local y, p = nn.scaled_dot_product_attention(q, k, v)
    assert.equal("2x3x6", size_of(y))
    close(gan.ones(2, 3), p:sum(3), 1e-5)
    local mask = gan.zeros(5)
    mask:set(1, 2)
    y = nn.scaled_dot_product_attention(q, k, v, { mask = mask })
    close(v:slice(2, 2, 2):expand(2, 3, 6), y, 1e-5)
    y = nn.scaled_dot_product_attention(k, k, v, { causal = true })
    close(v:select(2, 1), y:select(2, 1), 1e-5)
  end)

  it("gives PyTorch's numbers", function()
    local y = ramp(nn.MultiheadAttention{ 4, 2 })(gan.linspace(-1, 1, 24):reshape(3, 2, 4))
    close(gan.tensor{ -0.565004, -0.253428, 0.058148, 0.369725 }, y[3][1], 1e-5)
  end)

  it("has several heads with PyTorch's names", function()
    local layer = nn.MultiheadAttention{ 8, 2, batch_first = true }
    assert.same({ "in_proj_bias", "in_proj_weight", "out_proj.bias", "out_proj.weight" },
      keys(layer:state_dict()))
    local x = gan.randn(3, 5, 8)
    local y, p = layer(x)
    assert.equal("3x5x8", size_of(y))
    assert.equal("3x2x5x5", size_of(p))
    local order = gan.tensor({ 3, 1, 2 }, { dtype = "int64" })
    local shuffled = layer(x:index_select(order, { dim = 1 }))
    close(y[3], shuffled[1], 1e-5)
  end)
end)

describe("nn.init", function()
  it("fills with the stated spread", function()
    gan.manual_seed(2)
    local function std(t) return t:std():item() end
    local function near(a, b) assert.is_true(math.abs(a / b - 1) < 0.05, a .. " for " .. b) end
    local w = gan.zeros(200, 100)
    near(std(nn.init.normal_(w, 1, 0.5)), 0.5)
    near(w:mean():item(), 1)
    near(std(nn.init.uniform_(w, -1, 1)), 1 / math.sqrt(3))
    near(std(nn.init.xavier_uniform_(w)), math.sqrt(2 / 300))
    near(std(nn.init.xavier_normal_(w, 2)), 2 * math.sqrt(2 / 300))
    near(std(nn.init.kaiming_normal_(w, { nonlinearity = "relu" })), math.sqrt(2 / 100))
    near(std(nn.init.kaiming_uniform_(w, { mode = "fan_out", a = 1 })), math.sqrt(1 / 200))
    close(gan.full({ 200, 100 }, 3), nn.init.constant_(w, 3), 0)
    assert.same({ 3 * 6, 2 * 6 }, { nn.init.fans(gan.zeros(2, 3, 2, 3)) })
    assert.matches("need a tensor of 2 or more dimensions",
      message_of(nn.init.xavier_normal_, gan.zeros(3)), 1, true)
  end)

  it("makes orthogonal rows or columns", function()
    gan.manual_seed(4)
    local wide = nn.init.orthogonal_(gan.zeros(4, 3, 3))
    local m = wide:flatten(2)
    close(gan.eye(4), m:matmul(m:transpose(1, 2)), 1e-5)
    local tall = nn.init.orthogonal_(gan.zeros(9, 4), 2)
    close(gan.eye(4) * 4, tall:transpose(1, 2):matmul(tall), 1e-4)
  end)

  it("starts a model as DCGAN does", function()
    gan.manual_seed(4)
    local model = nn.init.dcgan_(nn.Sequential{ nn.Conv2d{ 8, 64, 4 }, nn.BatchNorm2d{ 64 } })
    assert.is_true(math.abs(model[1].weight:std():item() - 0.02) < 0.001)
    assert.is_true(math.abs(model[2].weight:mean():item() - 1) < 0.02)
  end)
end)

describe("losses", function()
  local loss = gan.loss

  it("sum over a sample and average over the batch", function()
    local y, t = gan.tensor{ { 0.5, 0.25 }, { 0.5, 0.75 } }, gan.tensor{ { 1, 0 }, { 0, 1 } }
    close(gan.tensor(((0.25 + 0.0625) + (0.25 + 0.0625)) / 2), loss.squared_error(y, t), 1e-6)
    local e = -(math.log(0.5) + math.log(0.75))
    close(gan.tensor(e), loss.cross_entropy(y, t), 1e-5)
    close(gan.tensor{ e, e }, loss.cross_entropy(y, t, { reduction = "none" }), 1e-5)
    local x = (y / (1 - y)):log()
    close(gan.tensor(2 * e), loss.cross_entropy_logits(x, t, { reduction = "sum" }), 1e-5)
    close(gan.tensor(0), loss.kl_gaussian(gan.zeros(3, 2), gan.zeros(3, 2)), 0)
    close(gan.tensor(1), loss.kl_gaussian(gan.ones(3, 2), gan.zeros(3, 2)), 1e-6)
  end)

  it("give the same value and gradient on probabilities and on logits", function()
    local pairs_of_forms = {
      { function(p) return loss.gan_discriminator_loss(nil, p) end,
        function(x) return loss.gan_discriminator_loss_logits(nil, x) end },
      { function(p) return loss.gan_discriminator_loss(p, nil) end,
        function(x) return loss.gan_discriminator_loss_logits(x, nil) end },
      { function(p) return loss.gan_discriminator_loss(p, p) end,
        function(x) return loss.gan_discriminator_loss_logits(x, x) end },
      { loss.gan_generator_loss, loss.gan_generator_loss_logits },
      { loss.gan_generator_minimax_loss, loss.gan_generator_minimax_loss_logits },
    }
    for _, forms in ipairs(pairs_of_forms) do
      local x = gan.require_grad(gan.randn(7, 1) * 2)
      local a, b = forms[1](x:sigmoid()), forms[2](x)
      close(a, b, 1e-5)
      close(gan.grad(a, x), gan.grad(b, x), 1e-5)
    end
    local p = gan.tensor{ 0.25 }
    close(gan.tensor(-math.log(0.25)), loss.gan_generator_loss(p), 1e-6)
    close(gan.tensor(-math.log(0.75)), loss.gan_discriminator_loss(nil, p), 1e-6)
  end)

  it("stay finite on logits of +-1000", function()
    local x = gan.require_grad(gan.tensor{ -1000, 1000 })
    for name, pair in pairs(loss.adversarial) do
      local g = gan.grad(pair.discriminator(x, x) + pair.generator(x, x), x)
      assert.is_true(g:abs():amax():item() < 2000, name)
    end
  end)

  it("penalise slopes of the critic", function()
    local critic = function(x) return x:flatten(2):sum(2) * 0.5 end
    local real, fake = gan.randn(4, 1, 2, 2), gan.randn(4, 1, 2, 2)
    close(gan.tensor(0), loss.gradient_penalty(critic, real, fake), 1e-6)
    close(gan.tensor(1), loss.gradient_penalty(critic, real, fake, { center = 0 }), 1e-6)
    close(gan.tensor(1), loss.r1_penalty(critic, real), 1e-6)
    local D = nn.Sequential{ nn.Linear{ 3, 8 }, nn.Tanh{}, nn.Linear{ 8, 1 } }
    loss.gradient_penalty(D, gan.randn(5, 3), gan.randn(5, 3)):backward()
    assert.is_true(D[1].weight:grad():abs():amax():item() > 0)
  end)
end)

describe("gradcheck", function()
  it("accepts right gradients, to second order", function()
    local D = nn.Sequential{ nn.Linear{ 3, 4 }, nn.Tanh{}, nn.Linear{ 4, 1 } }
    assert.is_true(gan.gradcheck(function(x) return D(x) end, { gan.randn(5, 3) }, { order = 2 }))
    if gan.config.real == "float64" then
      gan.gradcheck(function(x) return D(x) end, { gan.randn(5, 3) }, { order = 2, tol = 1e-7 })
    end
    assert.is_true(gan.gradcheck(function(a, b) return a * b, a:sum() end,
      { gan.randn(3), gan.randn(3) }))
  end)

  it("finds a wrong gradient", function()
    local wrong = gan.Function{
      name = "wrong",
      forward = function(ctx, x) ctx:save(x) return x:square() end,
      backward = function(ctx, gy) return gy * ctx:saved() end,
    }
    assert.matches("gradcheck: first gradient", message_of(gan.gradcheck, wrong, { gan.randn(4) }))
  end)

  it("leaves the generator as it was", function()
    local x = gan.randn(9)
    local state = gan.rng_state()
    gan.gradcheck(function(v) return gan.dropout(v, { p = 0.5, training = true }) end, { x })
    assert.equal(state, gan.rng_state())
  end)
end)

describe("batch norm", function()
  it("counts a batch only when its forward succeeded", function()
    local m = nn.BatchNorm2d{ 3 }
    local x = gan.randn(2, 3, 4, 4)
    gan.debug.fail_after(0)
    local ok = pcall(m, x)
    gan.debug.fail_after(nil)
    assert.same({ false, 0 }, { ok, m.num_batches_tracked:item() })
    m(gan.randn(2, 3, 4, 4))
    assert.equal(1, m.num_batches_tracked:item())
  end)
end)
