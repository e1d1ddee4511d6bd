local gan = require "gan"
local json = gan.json

local function message_of(f, ...)
  local ok, message = pcall(f, ...)
  assert.is_false(ok)
  return tostring(message)
end

local function read_file(path)
  local f = assert(io.open(path, "rb"))
  local text = f:read "a"
  f:close()
  return text
end

local folders = {}

local function folder()
  local path = os.tmpname()
  os.remove(path)
  folders[#folders + 1] = path
  return path
end

local function lines_of(path)
  local list = {}
  for line in read_file(path):gmatch("[^\n]+") do
    list[#list + 1] = assert(json.decode(line))
  end
  return list
end

teardown(function()
  for _, path in ipairs(folders) do
    os.execute("rm -rf '" .. path .. "'")
  end
end)

describe("json", function()
  it("writes sorted keys, arrays, and numbers that read back the same", function()
    assert.equal('{"a":[1,2.5,true,null],"b":"x\\n\\u0001\\"","c":{},"d":[]}', json.encode{
      a = { 1, 2.5, true, json.null }, b = "x\n\1\"", c = {}, d = json.array() })
    for _, v in ipairs{ 0.1, 1 / 3, 2 ^ 53, 1e300, -5, 1e-5, math.maxinteger } do
      assert.equal(v, json.decode(json.encode(v)))
    end
    assert.equal('["nan","inf","-inf"]', json.encode{ 0 / 0, math.huge, -math.huge })
  end)

  it("reads what RFC 8259 allows", function()
    local t = assert(json.decode(' { "a" : [ 1 , -2.5e3, true, false, null, '
      .. '"\\u00e9\\ud83d\\ude00/" ],'
      .. '\t"b":{"":0}}\r\n'))
    assert.equal(-2500, t.a[2])
    assert.equal(json.null, t.a[5])
    assert.equal("é😀/", t.a[6])
    assert.equal(0, t.b[""])
    assert.equal("integer", math.type(t.a[1]))
  end)

  it("refuses everything else with the line", function()
    for _, text in ipairs{ "", "[1,]", "{\"a\" 1}", "{a:1}", "01", "1.", ".5", "+1", "\"abc",
      "\"\t\"", "[1] 2", "nul", "\"\\ud800\"", "\"\\x\"", "[1\n,\n,2]", "[\"a\",}",
      ("["):rep(100000) } do
      local v, message = json.decode(text)
      assert.is_nil(v)
      assert.matches("^json: line %d+: ", message)
    end
    assert.matches("^json: line 3: ", select(2, json.decode "[1\n,\n,2]"))
  end)

  it("does not write functions, mixed tables and loops", function()
    local loop = {}
    loop[1] = loop
    assert.matches("cannot write a function", message_of(json.encode, { print }), 1, true)
    assert.matches("both list elements and keys", message_of(json.encode, { 1, a = 2 }), 1, true)
    assert.matches("contains itself", message_of(json.encode, loop), 1, true)
  end)
end)

describe("options of a script", function()
  local function read(...)
    return gan.opts{ "About.", { "epochs", 20, "passes" }, { "lr", 2e-4 }, { "out", "runs/x" },
      { "shuffle", true }, { "quiet", false }, { "batch_size", 8 },
      { "kind", "a", choices = { "a", "bee" } }, args = { ... } }
  end

  it("have defaults and keep their types", function()
    local opt = read()
    assert.same({ 20, 2e-4, "runs/x", true, false }, { opt.epochs, opt.lr, opt.out, opt.shuffle,
      opt.quiet })
    opt = read("--epochs", "5", "--lr=1", "--no-shuffle", "--quiet", "--batch-size=3", "--kind",
      "bee", "file", "--", "x")
    assert.same({ 5, 1.0, false, true, 3, "bee" }, { opt.epochs, opt.lr, opt.shuffle, opt.quiet,
      opt.batch_size, opt.kind })
    assert.equal("float", math.type(opt.lr))
    assert.same({ "file", "x" }, { opt[1], opt[2] })
  end)

  it("include those of every training script, with the folder of the run", function()
    local opt = gan.opts{ { "epochs", 2 }, run = "runs/x", args = { "--minutes", "3" } }
    assert.same({ 2, 1, 0, 3.0, "runs/x", false, false }, { opt.epochs, opt.seed, opt.steps,
      opt.minutes, opt.out, opt.compile, opt.resume })
  end)

  it("explain what is wrong in one plain line", function()
    assert.equal("unknown option --epoch, did you mean --epochs?", message_of(read, "--epoch", "3"))
    assert.equal("--epochs: 2.5 is not an integer", message_of(read, "--epochs", "2.5"))
    assert.equal("--lr: fast is not a number", message_of(read, "--lr=fast"))
    assert.equal("--lr: nan is not a number", message_of(read, "--lr=nan"))
    assert.equal("--epochs: a value is missing", message_of(read, "--epochs"))
    assert.equal("--shuffle: maybe is not true or false", message_of(read, "--shuffle=maybe"))
    assert.equal("--kind: 'be' is not one of a, bee, did you mean 'bee'?",
      message_of(read, "--kind=be"))
    assert.equal("unknown option --no-lr", message_of(read, "--no-lr"))
  end)

  it("print help and give nothing", function()
    local said = {}
    local old = print
    _G.print = function(text) said[#said + 1] = text end -- luacheck: ignore 122
    local opt = read("--help")
    _G.print = old -- luacheck: ignore 122
    assert.is_nil(opt)
    assert.matches("^About.\n\nOptions:\n  %-%-epochs N +passes %(20%)\n", said[1])
    assert.matches("--batch-size N", said[1], 1, true)
    assert.matches("--kind a|bee", said[1], 1, true)
  end)
end)

describe("a run folder", function()
  it("holds options, a line per epoch, weights and how it ended", function()
    local out = folder() .. "/deeper"
    local run = gan.report.run{ out, options = { lr = 0.1, name = "x", f = print } }
    assert.equal('{"lr":0.1,"name":"x"}\n', read_file(out .. "/options.json"))
    assert.equal("running", json.decode(read_file(out .. "/run.json")).status)
    run:log{ epoch = 1, loss = 0.5 }
    run:log{ epoch = 2, loss = 0 / 0 }
    assert.same({ { epoch = 1, loss = 0.5 }, { epoch = 2, loss = "nan" } },
      lines_of(out .. "/metrics.jsonl"))
    local a, b = gan.nn.Linear{ 2, 1 }, gan.nn.Linear{ 1, 2 }
    run:save(a)
    assert.is_table(a:load(out .. "/weights.safetensors"))
    run:save({ G = a, D = b }, "both")
    local state = assert(gan.files.load_safetensors(out .. "/both.safetensors"))
    assert.same({ 2, 1 }, state["D.weight"]:shape())
    run:finish()
    assert.equal("finished", json.decode(read_file(out .. "/run.json")).status)
  end)

  it("says why it cannot be made", function()
    local path = os.tmpname()
    assert.is_string(message_of(gan.report.run, { path .. "/x" }))
    os.remove(path)
  end)
end)

describe("the training loop", function()
  local nn, optim = gan.nn, gan.optim

  local function setup_run(o)
    gan.manual_seed(1)
    local net = nn.Linear{ 3, 1 }
    local x = gan.randn(64, 3)
    local t = x:sum({ dims = { 2 }, keepdim = true })
    local opt = optim.SGD{ net, lr = 0.1 }
    o.batches = gan.data.batches{ x, t, batch_size = 16, shuffle = true }
    o.quiet = o.quiet == nil or o.quiet
    o.epochs = o.epochs or 3
    o.step = o.step or function(images, target)
      local loss = gan.mse_loss(net(images), target)
      opt:zero_grad()
      loss:backward()
      opt:step()
      return { loss = loss }
    end
    return o
  end

  it("trains, logs every epoch, and frees every step", function()
    local out, live = folder(), {}
    local run = gan.report.run{ out }
    gan.train.loop(setup_run{ run = run, epochs = 5, after_epoch = function(epoch)
      live[epoch] = gan.memory().live
      return { extra = epoch }
    end })
    local lines = lines_of(out .. "/metrics.jsonl")
    assert.equal(5, #lines)
    assert.is_true(lines[5].loss < 0.2 * lines[1].loss)
    assert.equal(4, lines[5].steps)
    assert.equal(5, lines[5].extra)
    assert.is_true(lines[5].peak_bytes > 0)
    assert.is_true(live[5] <= live[2])
    assert.equal("finished", json.decode(read_file(out .. "/run.json")).status)
  end)

  it("stops after a number of steps", function()
    local steps, epochs = 0, 0
    local o = setup_run{ steps = 6, after_epoch = function() epochs = epochs + 1 end }
    local inner = o.step
    o.step = function(...)
      steps = steps + 1
      return inner(...)
    end
    gan.train.loop(o)
    assert.same({ 6, 2 }, { steps, epochs })
  end)

  it("stops after a number of minutes, also in a resumed run, and schedules follow", function()
    local out, parts, steps = folder(), {}, 0
    local function go(resume)
      local o = setup_run{ run = gan.report.run{ out, resume = resume }, epochs = 1000,
        minutes = 0.2 / 60, state = { note = { 1 } },
        after_epoch = function(_, _, part) parts[#parts + 1] = part end }
      local inner = o.step
      o.step = function(...)
        local stop = gan.files.time() + 0.02
        while gan.files.time() < stop do end
        steps = steps + 1
        return inner(...)
      end
      gan.train.loop(o)
    end
    go(false)
    assert.is_true(steps >= 1 and steps <= 10, steps .. " steps")
    assert.equal(1, parts[#parts])
    for i = 2, #parts do
      assert.is_true(parts[i] >= parts[i - 1] and parts[i - 1] > 0)
    end
    local before = steps
    go(true) -- its time is up already
    assert.equal(before, steps)
  end)

  it("tells what part of its epochs is done", function()
    local parts = {}
    gan.train.loop(setup_run{ epochs = 4, after_epoch = function(_, _, part)
      parts[#parts + 1] = part
    end })
    assert.same({ 0.25, 0.5, 0.75, 1.0 }, parts)
  end)

  it("leaves a readable folder when it is interrupted, and passes the error on", function()
    local out, n = folder(), 0
    local o = setup_run{ run = gan.report.run{ out } }
    local inner = o.step
    o.step = function(...)
      n = n + 1
      if n == 7 then
        error("interrupted!")
      end
      return inner(...)
    end
    assert.matches("interrupted!", message_of(gan.train.loop, o), 1, true)
    local lines = lines_of(out .. "/metrics.jsonl")
    assert.equal(2, #lines)
    assert.is_nil(lines[1].partial)
    assert.is_true(lines[2].partial)
    assert.equal(2, lines[2].steps)
    assert.equal("interrupted", json.decode(read_file(out .. "/run.json")).status)
    o.step = function() error("broken") end
    assert.matches("broken", message_of(gan.train.loop, o), 1, true)
    assert.matches("^failed: .*broken", json.decode(read_file(out .. "/run.json")).status)
  end)

  it("draws a bar on a terminal and writes plain lines elsewhere", function()
    local drawn, said = {}, {}
    local bar = gan.train.progress.new{ total = 8, terminal = true,
      write = function(text) drawn[#drawn + 1] = text end,
      say = function(text) said[#said + 1] = text end }
    for i = 1, 4 do
      bar:step("epoch 1/2", i, 4, { d = 1.25, g = 0.5 })
    end
    bar:line("done")
    assert.matches("^\repoch 1/2 .*4/4  .*/s  d 1.25  g 0.5  0:00 left\27%[K", drawn[#drawn - 1])
    assert.same({ "done" }, said)
    drawn, said = {}, {}
    bar = gan.train.progress.new{ total = 8, terminal = false,
      write = function(text) drawn[#drawn + 1] = text end,
      say = function(text) said[#said + 1] = text end }
    bar:step("epoch 1/2", 4, 4, {})
    bar:line("done")
    assert.same({}, drawn)
    assert.same({ "done" }, said)
    assert.equal("2:03:04", gan.train.progress.clock(7384.9))
    assert.equal("1:05", gan.train.progress.clock(65))
  end)

  it("refuses unknown options", function()
    assert.matches("train.loop: unknown option 'epoch', did you mean 'epochs'?",
      message_of(gan.train.loop, { epoch = 1 }), 1, true)
  end)
end)

describe("require 'gan'", function()
  it("makes no globals and loads its parts when they are asked for", function()
    local before = {}
    for key in pairs(_G) do
      before[key] = true
    end
    for _, part in ipairs{ "nn", "optim", "loss", "data", "image", "train", "report", "json",
      "options", "gradcheck", "opts" } do
      assert.is_not_nil(gan[part], part)
    end
    for key in pairs(_G) do
      assert.is_true(before[key], key)
    end
    assert.is_nil(gan.no_such_part)
  end)
end)
