-- Weights that travel between gan-lua and PyTorch through the scripts of examples/interop, both
-- ways; float32 and float64. Without python3-torch (scripts/setup --oracle) they are pending.
local gan = require "gan"
local nn = gan.nn

local python = "/usr/bin/python3"
local has_torch = os.execute(python .. " -c 'import torch' >/dev/null 2>&1")
local REASON = "python3-torch is missing: scripts/setup --oracle"

local Net = nn.module("Net", {
  init = function(self)
    self.main = nn.Sequential{
      nn.Conv2d{ 3, 4, kernel_size = { 3, 2 }, stride = 2, padding = 1 }, nn.BatchNorm2d{ 4 },
      nn.PReLU{ 4 },
      nn.Sequential{
        nn.ConvTranspose2d{ 4, 6, kernel_size = 4, stride = 2, padding = 1, groups = 2,
          bias = false },
        nn.GroupNorm{ 3, 6 }, nn.PReLU{} } }
    self.embed = nn.Embedding{ 10, 6 }
    self.gru = nn.GRU{ 6, 5, num_layers = 2, batch_first = true, bidirectional = true }
    self.lstm = nn.LSTM{ 10, 4, batch_first = true }
    self.norm = nn.LayerNorm{ 4 }
    self.attention = nn.MultiheadAttention{ 4, 2, batch_first = true }
    self.first = nn.Linear{ 4, 4 }
    self.second = nn.Linear{ 4, 4 }
    self.second.weight = self.first.weight -- tied
    self.conv1d = nn.Conv1d{ 4, 2, kernel_size = 3, padding = 2, dilation = 2 }
    self.spectral = nn.spectral_norm(nn.Linear{ 4, 3 })
    self.weight = nn.weight_norm(nn.Linear{ 4, 3 })
  end,
  forward = function(self, x, labels)
    local h = self.lstm((self.gru(self.embed(labels))))
    h = (self.attention(self.norm(h)))
    h = self.second(self.first(h):tanh())
    return self.main(x), h, self.conv1d(h:transpose(2, 3)), self.spectral(h) + self.weight(h)
  end,
})

describe("weights between gan-lua and PyTorch", function()
  local folder = os.tmpname()
  os.remove(folder)
  local function path(name) return folder .. "/" .. name .. ".safetensors" end

  local net, x, labels, output

  setup(function()
    assert(gan.files.mkdir(folder))
    gan.manual_seed(3)
    net = Net{}
    x = gan.randn(4, 3, 8, 9)
    labels = gan.randint({ 4, 7 }, { hi = 10 })
    net(x, labels) -- running statistics and power vectors that are not those of the start
    net:eval()
    assert(net:save(path "ours"))
    assert(gan.files.save_safetensors(path "input", { x = x, labels = labels }))
    local w = gan.arange(0, 5):reshape(2, 3)
    assert(gan.files.save_safetensors(path "tied", { enc = w, dec = w:t(),
      empty = gan.zeros(0, 3), count = gan.tensor(7, { dtype = "int64" }),
      bytes = gan.tensor({ 1, 2, 3 }, { dtype = "uint8" }) }))
    if has_torch then
      local command = "%s -B tests/interop/nets.py %s %s 2>&1; echo $?"
      local pipe = assert(io.popen(command:format(python, folder, gan.config.real)))
      output = pipe:read "a"
      pipe:close()
    end
  end)

  teardown(function() os.execute(("rm -rf '%s'"):format(folder)) end)

  local function close(want, got)
    assert.are.same(want:shape(), got:shape())
    local far = gan.no_grad(function() return (want - got):abs():amax():item() end)
    assert(far <= 1e-5, "differs by " .. far)
  end

  local function agree(name)
    local theirs = assert(gan.files.load_safetensors(path(name)))
    local ours = table.pack(gan.no_grad(net, x, labels))
    assert.are.equal(4, ours.n)
    for i = 1, ours.n do
      close(theirs["y" .. i], ours[i])
    end
  end

  it("go to PyTorch with strict=True, and mean the same", function()
    if not has_torch then pending(REASON) return end
    assert.are.equal("0\n", output)
    agree "ours.out"
  end)

  it("store tied tensors once", function()
    local file = assert(io.open(path "ours", "rb"))
    local header = file:read "a":match '^........({.-}})'
    file:close()
    assert.is_truthy(header:find('"alias:second.weight":"first.weight"', 1, true), header)
    assert.is_falsy(header:find('"second.weight":{', 1, true))
  end)

  it("come from PyTorch, strictly, and mean the same", function()
    if not has_torch then pending(REASON) return end
    local report, metadata = assert(net:load(path "theirs"))
    assert.are.same({ missing = {}, unexpected = {}, misshaped = {}, nan = {} }, report)
    assert.are.same({ from = "PyTorch" }, metadata)
    assert.are.equal(3, net.main[2].num_batches_tracked:item())
    assert.are.equal(net.first.weight, net.second.weight)
    agree "theirs.out"
  end)

  it("come in every type that PyTorch writes", function()
    if not has_torch then pending(REASON) return end
    local t = assert(gan.files.load_safetensors(path "types"))
    for _, name in ipairs{ "f16", "bf16", "f64" } do
      assert.are.same({ 1.5, -2, math.huge, 0 }, t[name]:totable())
    end
    assert.are.same({ -5, 6 }, t.i32:totable())
    assert.are.same({ 7, "uint8", 0 }, { t.u8:item(), t.u8:dtype(), t.u8:dim() })
    assert.are.same({ 1, 0 }, t.bool:totable())
    assert.are.same({ 0, 2 }, t.empty:shape())
    assert.are.same({ { 1, 2 }, { 4, 5 } }, t.cut:totable())
    assert.is_true(t.nan:item() ~= t.nan:item())
  end)
end)

describe("loading weights", function()
  local path = os.tmpname()
  teardown(function() os.remove(path) end)

  local function layer() return nn.Linear{ 2, 1 } end

  it("is content with one name of a shared tensor", function()
    local tied = nn.Sequential{ layer(), layer() }
    tied[2].weight = tied[1].weight
    local state = tied:state_dict()
    state["0.weight"] = nil
    assert.are.same({}, tied:load_state_dict(state).missing)
    state["1.weight"] = nil
    local report = tied:load_state_dict(state, { strict = false })
    assert.are.same({ "0.weight", "1.weight" }, report.missing)
  end)

  it("allows NaN, and says where", function()
    local model = layer()
    assert(gan.files.save_safetensors(path, { bias = gan.zeros(1) / 0, weight = gan.ones(1, 2) }))
    local heard = {}
    local before = warn
    _G.warn = function(...) heard[#heard + 1] = table.concat{ ... } end
    local report = model:load(path)
    _G.warn = before
    assert.are.same({ "bias" }, report.nan)
    assert.are.same({ "gan: " .. path .. ": NaN in bias" }, heard)
    assert.is_true(model.bias:item() ~= model.bias:item())
  end)

  it("lists only so many names in a message, all in the report", function()
    local layers = {}
    for i = 1, 10 do layers[i] = nn.Linear{ 1, 1, bias = false } end
    local model = nn.Sequential(layers)
    assert(gan.files.save_safetensors(path, { extra = gan.ones(1) }))
    local ok, message = model:load(path)
    assert.is_nil(ok)
    assert.are.equal(path .. ": missing: 0.weight, 1.weight, 2.weight, 3.weight, 4.weight, "
      .. "5.weight, 6.weight, 7.weight and 2 more; unexpected: extra", message)
    local report = assert(model:load(path, { strict = false }))
    assert.are.equal(10, #report.missing)
  end)

  it("changes all or nothing when memory runs out", function()
    local model = nn.Sequential{ nn.Linear{ 3, 2 }, nn.BatchNorm1d{ 2 } }
    local state = {}
    for name, t in pairs(model:state_dict()) do
      state[name] = (gan.no_grad(t.to, t, gan.config.real) * 0 + 5):to("uint8")
    end
    local k, done = 0, nil
    repeat
      local before = {}
      for name, t in pairs(model:state_dict()) do before[name] = t:totable() end
      gan.debug.fail_after(k)
      local ok = pcall(model.load_state_dict, model, state)
      done = gan.debug.fail_after(nil)
      if not ok then
        for name, t in pairs(model:state_dict()) do assert.are.same(before[name], t:totable()) end
      end
      k = k + 1
    until done
    assert.is_true(k > 3)
    assert.are.equal(5, model[1].bias:get(1))
  end)
end)
