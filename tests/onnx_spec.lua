-- Exported models against ONNX's own checker (python3-onnx), and run by onnxruntime-web from npm;
-- scripts/setup --test installs both. Where one is absent, its tests are pending. float32 and
-- float64 builds write the same kind of file.
local gan = require "gan"
local support = require "tests.support"
local nn = gan.nn
local fails = support.fails

local TOLERANCE = 1e-5
local folder = os.tmpname()
os.remove(folder)
assert(gan.files.mkdir(folder))

local function path(name) return folder .. "/" .. name end

local function read(name)
  local file = assert(io.open(name, "rb"))
  local bytes = file:read "a"
  file:close()
  return bytes
end

local function succeeds(command)
  return (os.execute(command .. " >/dev/null 2>&1"))
end

local npm = os.getenv "GAN_NPM"
  or (os.getenv "XDG_CACHE_HOME" or (os.getenv "HOME" or "") .. "/.cache") .. "/gan-lua/npm"
local python = "/usr/bin/python3"
local has_checker = succeeds(python .. " -c 'import onnx'")
local has_runtime = succeeds "node --version"
  and succeeds(("test -d '%s/node_modules/onnxruntime-web'"):format(npm))

-- ---- models with values that no test passes by accident ----------------------------------------

--- Random weights; running variances stay positive.
local function shake(model)
  if not nn.is_module(model) then
    return
  end
  gan.no_grad(function()
    for name, t in pairs(model:state_dict()) do
      if name:find "running_var$" then
        t:copy_(gan.rand(t:shape()) + 0.5)
      elseif name:find "running_mean$" or name:find "bias$" then
        t:copy_(gan.randn(t:shape()) * 0.5)
      elseif t:dtype() ~= "int64" and not name:find "weight_[uv]$" and t:dim() < 2 then
        t:copy_(gan.rand(t:shape()) + 0.3)
      end
    end
  end)
end

local function example(spec, dim, batch)
  local sizes = table.move(spec, 1, #spec, 1, {})
  sizes[dim or 0] = batch
  if spec.classes then
    return gan.randint(sizes, { hi = spec.classes })
  elseif spec.dtype == "uint8" then
    return gan.randint(sizes, { lo = 0, hi = 255 }):to "uint8"
  end
  return spec.positive and gan.rand(sizes) * 1.9 + 0.1 or gan.randn(sizes)
end

local files = 0

--- Writes a tensor as an ONNX runtime has it; places and labels count from 0 there.
local function entry(info, t)
  files = files + 1
  local file = path(files .. ".bin")
  local values = gan.no_grad(t.flatten, t):totable()
  local format = info.dtype == "int64" and "<i8" or info.dtype == "uint8" and "B" or "<f"
  for i, v in ipairs(values) do
    values[i] = format:pack(info.zero_based and v - 1 or v)
  end
  assert(gan.files.replace(file, table.concat(values)))
  return { name = info.name, file = file, dims = gan.json.array(t:shape()), dtype = info.dtype }
end

--- Inputs of a model, and what it makes of them, in the form of the manifest.
local function run_case(m, result, batch)
  local inputs, given, outputs = {}, {}, {}
  local dim = m.options.batch == nil and 1 or m.options.batch
  for i, spec in ipairs(m.inputs) do
    local own = spec.batch ~= false and dim
    given[i] = example(spec, own, batch or spec[own or 1])
    inputs[i] = entry(result.inputs[i], given[i])
  end
  local results = table.pack(gan.no_grad(m.model, table.unpack(given)))
  for i, info in ipairs(result.outputs) do
    outputs[i] = entry(info, results[i])
  end
  return { inputs = gan.json.array(inputs), outputs = gan.json.array(outputs) }
end

--- Exports a model; the second element says what went wrong.
local function export(m, file)
  local options = { input = {} }
  for key, v in pairs(m.options) do
    options[key] = v
  end
  options.input = m.inputs
  shake(m.model)
  if nn.is_module(m.model) then
    m.model:eval()
  end
  return gan.onnx.export(m.model, file, options)
end

describe("gan.onnx.export", function()
  local models, manifest = {}, {}
  local checked, run, failures = {}, {}, {}

  gan.manual_seed(20)
  for i, m in ipairs(dofile "tests/onnx/models.lua") do
    if not os.getenv "QUICK" or i % 9 == 1 then -- under tools that slow everything down: a few
      models[#models + 1] = m
    end
  end

  setup(function()
    for i, m in ipairs(models) do
      local file = path(i .. ".onnx")
      local ok, result = pcall(export, m, file)
      failures[m.name] = not ok and result or nil
      if ok then
        local cases = { run_case(m, result) }
        cases[2] = m.options.batch ~= false and run_case(m, result, 1) or nil
        manifest[#manifest + 1] = { name = m.name, file = file, cases = cases }
      end
    end
    assert(gan.files.replace(path "manifest.json", gan.json.encode(manifest)))
    if has_checker then
      assert(os.execute(("%s tests/onnx/check.py %s %s"):format(python, path "manifest.json",
        path "checked.json")))
      checked = gan.json.decode(read(path "checked.json"))
    end
    if has_runtime then
      assert(os.execute(("node tests/onnx/run.mjs '%s' %s %s"):format(npm, path "manifest.json",
        path "run.json")))
      run = gan.json.decode(read(path "run.json"))
    end
  end)

  for _, m in ipairs(models) do
    it("writes a valid file: " .. m.name, function()
      assert(not failures[m.name], failures[m.name])
      if not has_checker then
        pending "python3-onnx is missing: scripts/setup --test"
      else
        assert.are.equal("ok", checked[m.name])
      end
    end)

    it("agrees with a runtime: " .. m.name, function()
      assert(not failures[m.name], failures[m.name])
      if not has_runtime then
        pending "onnxruntime-web is missing: scripts/setup --test"
      else
        local got = run[m.name]
        assert(not got.error, got.error)
        assert(type(got.difference) == "number" and got.difference <= TOLERANCE,
          "differs by " .. tostring(got.difference))
      end
    end)
  end

  local file = path "x.onnx"

  it("tells what it wrote", function()
    local net = nn.Sequential{ nn.Linear{ 4, 3 }, nn.ReLU{} }
    local result = gan.onnx.export(net, file, { input = { 1, 4 }, input_names = { "z" } })
    assert.are.same({ { name = "z", sizes = { "batch", 4 }, dtype = "float32" } }, result.inputs)
    assert.are.same({ { name = "output", sizes = { "batch", 3 }, dtype = "float32" } },
      result.outputs)
    assert.are.equal(2, result.nodes)
    assert.are.equal(#read(file), result.bytes)
    assert.is_truthy(read(file):find("0.weight", 1, true))
  end)

  it("unpools with MaxUnpool where that means the same, and by scattering where not", function()
    local function ops_of(size)
      local function net(x)
        local y, i = x:max_pool2d{ kernel_size = 2 }
        return y:max_unpool2d(i, { kernel_size = 2, output_size = { size, size } })
      end
      assert(gan.onnx.export(net, file, { input = { 1, 3, size, size } }))
      local bytes = read(file)
      return bytes:find("MaxUnpool", 1, true) ~= nil, bytes:find("ScatterElements", 1, true) ~= nil
    end
    assert.are.same({ true, false }, { ops_of(6) })
    assert.are.same({ false, true }, { ops_of(7) })
  end)

  it("takes inputs without a batch, and numbers that are no labels", function()
    local gru = nn.GRU{ 2, 3, batch_first = true }
    local result = gan.onnx.export(function(scale, x, lengths)
      return (gru(x * scale, nil, lengths))
    end, file, { input = { { 2, batch = false }, { 1, 4, 2 },
      { 1, dtype = "int64", zero_based = false } } })
    assert.are.same({ { 2 }, { "batch", 4, 2 }, { "batch" } },
      { result.inputs[1].sizes, result.inputs[2].sizes, result.inputs[3].sizes })
    assert.is_nil(result.inputs[3].zero_based)
    local embedding = nn.Embedding{ 5, 2 }
    result = gan.onnx.export(embedding, file, { input = { 1, dtype = "int64" } })
    assert.is_true(result.inputs[1].zero_based)
  end)

  it("refuses normalisation in training", function()
    fails("batch_norm: it is in training mode", gan.onnx.export, function(x)
      return (gan.batch_norm(x, nil, nil, gan.zeros(4), gan.ones(4), { training = true }))
    end, file, { input = { 1, 4 } })
  end)

  it("leaves the model, the tensors and the random numbers as they were", function()
    local net = nn.Sequential{ nn.Linear{ 4, 3 }, nn.BatchNorm1d{ 3 }, nn.Dropout{ 0.5 } }
    net[3]:eval()
    local before, rng = net[2].running_mean:totable(), gan.rng_state()
    local x = gan.require_grad(gan.randn(5, 4))
    rng = gan.rng_state() or rng
    assert(gan.onnx.export(net, file, { input = x }))
    assert.is_true(net.training and net[1].training and net[2].training)
    assert.is_false(net[3].training)
    assert.are.same(before, net[2].running_mean:totable())
    assert.are.equal(rng, gan.rng_state())
    assert.is_true(gan.is_grad_enabled())
    assert.is_true(net(x):requires_grad() or net(x):sum():backward() == nil)
  end)

  it("keeps no tensors alive", function()
    local net = nn.Sequential{ nn.Linear{ 4, 3 }, nn.Tanh{} }
    local function once() assert(gan.onnx.export(net, file, { input = { 1, 4 } })) end
    once()
    local before = support.settle().tensors
    for _ = 1, 3 do
      once()
    end
    assert.are.equal(before, support.settle().tensors)
  end)

  it("writes the same file for the same model", function()
    local net = nn.Sequential{ nn.Linear{ 4, 3 }, nn.Softmax{ 2 } }
    assert(gan.onnx.export(net, file, { input = { 1, 4 } }))
    local first = read(file)
    assert(gan.onnx.export(net, file, { input = { 7, 4 } }))
    assert.are.equal(first, read(file))
  end)

  it("names the op and the layer that ONNX lacks", function()
    local net = nn.Sequential{ name = "G", nn.Linear{ 4, 4 },
      nn.Sequential{ nn.ReLU{}, nn.Lambda{ function(x) return x:cumprod(2) end } } }
    fails("in layer `1%.1`, nn%.Lambda: cumprod: ONNX has no op for it",
      gan.onnx.export, net, file, { input = { 1, 4 } })
    fails("nn%.AdaptiveMaxPool2d: adaptive_max_pool2d: the windows have different sizes",
      gan.onnx.export, nn.AdaptiveMaxPool2d{ 3 }, file, { input = { 1, 2, 7, 7 } })
  end)

  it("refuses random numbers", function()
    fails("random numbers", gan.onnx.export, function(x) return x + gan.randn(1, 4) end, file,
      { input = { 1, 4 } })
    fails("random numbers", gan.onnx.export, function(x) return x + gan.randn_like(x) end, file,
      { input = { 1, 4 } })
    fails("draws random numbers", gan.onnx.export,
      function(x) return gan.dropout(x, { p = 0.5 }) end, file, { input = { 1, 4 } })
  end)

  it("refuses what depends on the input's values or on the size of the batch", function()
    fails("depends on the size of the batch", gan.onnx.export,
      function(x) return x / x:size(1) end, file, { input = { 1, 4 } })
    fails("depends on the size of the batch or on the input's", gan.onnx.export,
      function(x) return x:get(1, 1) > 0.8 and x or x * 2 end, file, { input = { 1, 4 } })
    fails("depends on the size of the batch", gan.onnx.export,
      function(x) return x * x:sum():item() end, file, { input = { 1, 4 } })
    fails("a constant depends on", gan.onnx.export,
      function(x) return x + gan.tensor(x:totable()):mean() end, file, { input = { 1, 4 } })
    fails("a size is 4, 9, 25 in batches of 2, 3, 5", gan.onnx.export,
      function(x) return (x:unsqueeze(1) - x:unsqueeze(2)):reshape(-1, 4) end, file,
      { input = { 1, 4 } })
    fails("in batches of 2, 3, 5", gan.onnx.export, function(x) return (x:chunk(2, 1)) end, file,
      { input = { 1, 4 } })
    fails("'start' is 1, 1, 2 in batches", gan.onnx.export,
      function(x) return x:slice(1, x:size(1) // 2):sum(1) end, file, { input = { 1, 4 } })
    fails("a batch of 2 .*batch=false", gan.onnx.export,
      function(x) return x:reshape(5, 4) end, file, { input = { 5, 4 } })
    assert(gan.onnx.export(function(x) return x:reshape(4, 5) / x:size(1) end, file,
      { input = { 5, 4 }, batch = false }))
  end)

  it("refuses changes in place that it cannot follow", function()
    fails("changed in place", gan.onnx.export, function(x)
      local y = x * 2
      y:select(2, 1):mul_(3)
      return y
    end, file, { input = { 1, 4 } })
    fails("changed in place", gan.onnx.export, function(x)
      local y = x * 2
      y[1] = 0
      return y
    end, file, { input = { 1, 4 } })
    local mask = gan.ones(4)
    fails("changed in place", gan.onnx.export, function(x)
      local y = x * mask
      mask:add_(1)
      return y
    end, file, { input = { 1, 4 } })
  end)

  it("checks what it is given", function()
    local net = nn.Linear{ 4, 3 }
    fails("'inputs'", gan.onnx.export, net, file, { inputs = { 1, 4 } })
    fails("'input'", gan.onnx.export, net, file, {})
    fails("input 2 must be", gan.onnx.export, net, file, { input = { { 1, 4 }, 3 } })
    fails("no dimension 3", gan.onnx.export, net, file, { input = { 1, 4 }, batch = 3 })
    fails("'batch' must be", gan.onnx.export, net, file, { input = { 1, 4 }, batch = "x" })
    fails("size 2 of an input is 0", gan.onnx.export, net, file, { input = { 1, 0 } })
    fails("1 names for 2 inputs", gan.onnx.export, net, file,
      { input = { { 1, 4 }, { 1, 4 } }, input_names = { "a" } })
    fails("called 'a'", gan.onnx.export, net, file,
      { input = { 1, 4 }, input_names = { "a" }, output_names = { "a" } })
    fails("returned no tensor", gan.onnx.export, function() return 1 end, file,
      { input = { 1, 4 } })
    fails("linear: ", gan.onnx.export, net, file, { input = { 1, 5 } })
    fails("'model' must be a module or a function", gan.onnx.export, {}, file,
      { input = { 1, 4 } })
    fails("'path' must be a string", gan.onnx.export, net, 7, { input = { 1, 4 } })
  end)

  it("says when the file cannot be written, and leaves an old one", function()
    local ok, message = gan.onnx.export(nn.Linear{ 4, 3 }, path "none/x.onnx",
      { input = { 1, 4 } })
    assert.is_nil(ok)
    assert.is_truthy(message:find "No such file")
    assert(gan.onnx.export(nn.Linear{ 4, 3 }, file, { input = { 1, 4 } }))
    local before = read(file)
    assert.has_error(function()
      gan.onnx.export(function(x) return x:cumprod(1) end, file, { input = { 1, 4 } })
    end)
    assert.are.equal(before, read(file))
  end)

  it("survives every allocation failing", function()
    local net = nn.Sequential{ nn.Linear{ 4, 3 }, nn.BatchNorm1d{ 3 }, nn.ReLU{} }
    local k, done = 0, nil
    repeat
      gan.debug.fail_after(k)
      local ok, result = pcall(gan.onnx.export, net, file, { input = { 1, 4 } })
      done = gan.debug.fail_after(nil)
      assert(ok or tostring(result):find "memory", result)
      assert.is_true(net.training)
      k = k + 1
    until done
    assert.is_true(k > 10)
    assert(gan.onnx.export(net, file, { input = { 1, 4 } }))
  end)
end)

describe("gan.debug.trace", function()
  it("tells of every op, as a user would have written it, and of none after it", function()
    local seen = {}
    local function listen(op, args, results)
      seen[#seen + 1] = op
      for name, v in pairs(args) do
        seen[op .. "." .. name] = v
      end
      seen[op .. "#"] = #results
      assert.is_true(gan.is_tensor(gan.ones(2) + 1)) -- not traced itself
    end
    local y = gan.debug.trace(listen, function(x)
      local a = 2 - x[1]
      local b = (-a):reshape{ 2, 2 }:chunk(2, 2)
      b:relu_()
      return b:mse_loss(b, { reduction = "sum" })
    end, gan.ones(3, 4))
    assert.are.equal("select sub neg reshape chunk relu_ mse_loss", table.concat(seen, " "))
    assert.are.equal(2, seen["sub.a"])
    assert.are.same({ 4 }, seen["sub.b"]:shape())
    assert.are.same({ 1, 1 }, { seen["select.dim"], seen["select.index"] })
    assert.are.same({ 2, 2 }, seen["reshape.shape"])
    assert.are.equal(2, seen["chunk#"])
    assert.are.equal("sum", seen["mse_loss.reduction"])
    assert.are.equal(0, y:item())
    local count = #seen
    local _ = y + 1
    assert.are.equal(count, #seen)
  end)

  it("passes errors on, the listener's too, and stops", function()
    local n = 0
    local function listen() n = n + 1 end
    fails("here", gan.debug.trace, listen, function() error "here" end)
    fails("there", gan.debug.trace, function() error "there" end, gan.ones, 2)
    local _ = gan.ones(2)
    assert.are.equal(0, n)
    gan.debug.trace(listen, function()
      gan.debug.trace(function() end, gan.ones, 2)
      return gan.ones(2)
    end)
    assert.are.equal(1, n)
    assert.has_error(function() gan.debug.trace(listen) end)
    assert.has_error(function() gan.debug.trace(1, print) end)
  end)
end)

teardown(function() os.execute(("rm -rf '%s'"):format(folder)) end)
