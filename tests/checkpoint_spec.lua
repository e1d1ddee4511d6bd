-- Checkpoints: what is saved comes back to the last bit, whatever happens to the process, the disk
-- or the file. Whole training runs are those of tests/resumable.lua; scripts/kill-test kills more.

local gan = require "gan"
local basics = require "gan.basics"
local killing = require "tests.killing"
local pack = require "gan.checkpoint.pack"
local support = require "tests.support"
local fails, settle = support.fails, support.settle

local program = require("tests.support").program()
local root = os.tmpname()
os.remove(root)
os.execute("mkdir " .. root)
local folders = 0

local function folder()
  folders = folders + 1
  return root .. "/" .. folders
end

local function write(path, text)
  local f = assert(io.open(path, "wb"))
  f:write(text)
  f:close()
end

teardown(function()
  os.execute("rm -rf '" .. root .. "'")
end)

describe("what checkpoints stand on", function()
  it("the checksum of a tensor is that of its elements in order, also of views", function()
    local bytes = gan.tensor({ { 97, 98 }, { 99, 100 } }, { dtype = "uint8" })
    assert.equal(gan.files.crc32 "abcd", gan.files.crc32(bytes))
    assert.equal(gan.files.crc32 "acbd", gan.files.crc32(bytes:transpose(1, 2)))
    assert.equal(gan.files.crc32 "xyabcd", gan.files.crc32(bytes, gan.files.crc32 "xy"))
    assert.equal(gan.files.crc32 "", gan.files.crc32(gan.zeros(0, 3)))
  end)

  it("the names in a folder, and which are folders", function()
    local out = folder()
    gan.files.mkdir(out .. "/b")
    write(out .. "/c", "")
    write(out .. "/a", "")
    local names, is_folder = gan.files.list(out)
    assert.same({ "a", "b", "c" }, names)
    assert.same({ a = false, b = true, c = false }, is_folder)
    assert.is_nil((gan.files.list(out .. "/none")))
    assert.is_true(gan.files.sync(out .. "/a"))
    assert.matches("/none: syncing: ", select(2, gan.files.sync(out .. "/none")), 1, true)
  end)

  it("the state of math.random", function()
    local state = gan.host_rng_state()
    local a, b = math.random(), math.random(1000)
    assert.is_true(gan.set_host_rng_state(state))
    assert.same({ a, b }, { math.random(), math.random(1000) })
    assert.is_false(gan.set_host_rng_state(nil))
    fails("64 hexadecimal digits", gan.set_host_rng_state, state:sub(2))
    fails("64 hexadecimal digits", gan.set_host_rng_state, ("G"):rep(64))
    local random = math.random
    math.random = function() return 4 end -- luacheck: ignore 122
    assert.is_nil(gan.host_rng_state())
    assert.is_false(gan.set_host_rng_state(state))
    math.random = random -- luacheck: ignore 122
  end)
end)

describe("packed state", function()
  local function there_and_back(v)
    local text, tensors = pack.pack{ v = v }
    return assert(pack.unpack(text, tensors)).v
  end

  it("keeps numbers to the last bit, with their types", function()
    for _, v in ipairs{ 1, 1.0, 0.1, 1 / 3, -0.0, 1e300, 5e-324, 2.0 ^ 53, math.maxinteger,
      math.mininteger, math.huge, -math.huge, 1e15, 123456789.125 } do
      local w = there_and_back(v)
      assert.equal(math.type(v), math.type(w))
      assert.equal((">n"):pack(v), (">n"):pack(w))
    end
    assert.is_true(there_and_back(0 / 0) ~= there_and_back(0 / 0))
  end)

  it("keeps strings, booleans, lists, and tables with any keys", function()
    for _, v in ipairs{ "", "a\0b\n\"\\", "\255\254", "é", { 1, 2, { 3 } }, {}, { a = { b = {} } },
      { [1] = true, [3] = false }, { 1, 2, x = 3 }, { ["$"] = "name", ["@"] = { 1 } },
      { [1.5] = "a", [true] = "b", ["\255"] = 1 } } do
      assert.same(v, there_and_back(v))
    end
  end)

  it("calls tensors by their path, and never two alike", function()
    local a, b, c = gan.ones(1), gan.ones(2), gan.ones(3)
    local text, tensors = pack.pack{ x = { y = a, [1] = b, ["1"] = c } }
    local names = {}
    for name in pairs(tensors) do
      names[#names + 1] = name
    end
    table.sort(names)
    assert.same({ "x.1", "x.1'", "x.y" }, names)
    local back = assert(pack.unpack(text, tensors))
    assert.equal(b, back.x[1])
    assert.equal(c, back.x["1"])
  end)

  it("refuses what is not data, and says where it is", function()
    local loop = {}
    loop.inside = { loop }
    fails("^a%.2: a function cannot be saved", pack.pack, { a = { 1, print } })
    fails("^a%.inside%.1: a table that contains itself", pack.pack, { a = loop })
    fails("^x: a table cannot be saved, it has no methods", pack.pack, { x = setmetatable({}, {}) })
    fails("^t: a key is a table", pack.pack, { t = { [{}] = 1 } })
  end)

  it("answers malformed texts with a message", function()
    for _, text in ipairs{ "", "1", "[", '{"a":{"#":"00"}}', '{"a":{"#":"zz"}}', '{"a":{"#":1}}',
      '{"a":{"%":"0"}}', '{"a":{"$":"missing"}}', '{"a":{"$":1}}', '{"a":{"@":5}}',
      '{"a":{"@":[null,1]}}', '{"a":{"@":[{"#":"7ff8000000000000"},1]}}' } do
      local tree, message = pack.unpack(text, {})
      assert.is_nil(tree, text)
      assert.is_string(message)
    end
  end)
end)

-- ---- one folder -----------------------------------------------------------------------------

--- Something to train: a model, an optimiser, an average, a schedule.
local function trainee()
  gan.manual_seed(7)
  local t = { model = gan.nn.Sequential{ gan.nn.Linear{ 3, 4 }, gan.nn.BatchNorm1d{ 4 },
    gan.nn.Linear{ 4, 1 } } }
  t.opt = gan.optim.Adam{ t.model, lr = 1.0, amsgrad = true }
  t.average = gan.optim.EMA{ t.model, decay = 0.9, warmup = true }
  t.schedule = gan.optim.StepLR{ t.opt, step_size = 2, gamma = 0.5 }
  t.mine = { step = 0, list = {}, memory = gan.zeros(2) }
  return t
end

local function train(t, steps)
  for _ = 1, steps do
    t.opt:zero_grad()
    t.model(gan.randn(8, 3)):square():sum():backward()
    t.opt:step()
    t.schedule:step()
    t.average:update()
    t.mine.step = t.mine.step + 1
    t.mine.list[t.mine.step] = math.random()
    t.mine.memory:add_(t.mine.step)
  end
end

--- Everything about it in one string.
local function fingerprint(t)
  local text, tensors = pack.pack(t)
  local parts, names = { text }, {}
  for name in pairs(tensors) do
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do
    parts[#parts + 1] = ("%s %08x"):format(name, gan.files.crc32(tensors[name]))
  end
  return table.concat(parts, "\n")
end

describe("a checkpoint", function()
  it("brings everything back, and the future with it", function()
    local out, a = folder(), trainee()
    math.randomseed(5)
    train(a, 3)
    local path = assert(gan.checkpoint.save{ out, state = a, options = { lr = 1.5, name = "x" } })
    assert.equal(out .. "/checkpoint-000001.safetensors", path)
    local now = fingerprint(a)
    train(a, 4)
    local b = trainee()
    math.randomseed(6)
    train(b, 1)
    local live = settle().tensors
    local found = assert(gan.checkpoint.load{ out, state = b })
    assert.same({ lr = 1.5, name = "x" }, found.options)
    assert.equal(path, found.path)
    assert.equal(now, fingerprint(b))
    train(b, 4)
    assert.equal(fingerprint(a), fingerprint(b))
    assert.equal(live, settle().tensors)
  end)

  it("is a safetensors file that others can read", function()
    local out, a = folder(), trainee()
    train(a, 1)
    assert.is_table(a.model:load(assert(gan.checkpoint.save{ out, state = { model = a.model } }),
      { strict = false }))
    local tensors = gan.files.load_safetensors(out .. "/checkpoint-000001.safetensors")
    assert.same({ 4, 3 }, tensors["model.0.weight"]:shape())
  end)

  it("keeps the latest N, and clears away what was not finished", function()
    local out, a = folder(), trainee()
    for k = 1, 5 do
      a.mine.step = k
      assert(gan.checkpoint.save{ out, state = a, keep = 3 })
    end
    write(out .. "/checkpoint-000006.safetensors.123-0.tmp", "half")
    write(out .. "/other.123-0.tmp", "somebody else's")
    assert.same({ out .. "/checkpoint-000005.safetensors", out .. "/checkpoint-000004.safetensors",
      out .. "/checkpoint-000003.safetensors" }, gan.checkpoint.list(out))
    assert.same({ "checkpoint-000003.safetensors", "checkpoint-000004.safetensors",
      "checkpoint-000005.safetensors", "other.123-0.tmp" }, (gan.files.list(out)))
    local b = trainee()
    assert(gan.checkpoint.load{ out, state = b })
    assert.equal(5, b.mine.step)
  end)

  it("can be read in part, for using a model", function()
    local out, a = folder(), trainee()
    train(a, 2)
    assert(gan.checkpoint.save{ out, state = a })
    local b, before = trainee(), gan.rng_state()
    assert(gan.checkpoint.load{ out, state = { model = b.model }, strict = false })
    assert.equal(fingerprint{ m = a.model }, fingerprint{ m = b.model })
    assert.equal(before, gan.rng_state())
  end)

  it("raises where it does not fit, with the place", function()
    local out, a = folder(), trainee()
    train(a, 1)
    assert(gan.checkpoint.save{ out, state = a })
    local function try(change)
      local b = trainee()
      change(b)
      gan.checkpoint.load{ out, state = b }
    end
    fails("holds 'average', which 'state' does not name", try, function(b) b.average = nil end)
    fails("extra is not in the checkpoint", try, function(b) b.extra = gan.zeros(1) end)
    fails("model: .*misshaped: .*0%.weight: %(5 x 3%) here, %(4 x 3%) given", try, function(b)
      b.model[1] = gan.nn.Linear{ 3, 5 }
    end)
    fails("mine%.memory: float%d+ %(3%) here, float%d+ %(2%) saved", try, function(b)
      b.mine.memory = gan.zeros(3)
    end)
    fails("opt: .*parameter", try, function(b) b.opt = gan.optim.Adam{ b.model[1] } end)
    fails("unknown option 'folders'", gan.checkpoint.load, { folders = out, state = {} })
  end)

  it("is nil and a message where there is none", function()
    local found, message = gan.checkpoint.load{ folder(), state = {} }
    assert.is_nil(found)
    assert.matches("there is no checkpoint", message, 1, true)
    write(root .. "/file", "")
    found, message = gan.checkpoint.save{ root .. "/file", state = {} }
    assert.is_nil(found)
    assert.matches("/file: making the folder: ", message, 1, true)
  end)

  it("of a later format or another precision is left alone", function()
    local out = folder()
    gan.files.mkdir(out)
    local path = out .. "/checkpoint-000001.safetensors"
    assert(gan.files.save_safetensors(path, {}, { format = "gan-lua checkpoint 2" }))
    local found, message = gan.checkpoint.load{ out, state = {} }
    assert.is_nil(found)
    assert.matches("not a checkpoint of this version but gan-lua checkpoint 2", message, 1, true)
    assert(gan.files.save_safetensors(path, {}, { format = "gan-lua checkpoint 1", state = "{}",
      about = '{"real":"float16"}' }))
    found, message = gan.checkpoint.load{ out, state = {} }
    assert.is_nil(found)
    assert.matches("made in float16, this program computes in float%d+", message)
    assert.equal(1, #gan.checkpoint.list(out))
  end)
end)

describe("a damaged checkpoint", function()
  local out, first, second = folder(), trainee(), trainee()
  train(first, 1)
  assert(gan.checkpoint.save{ out, state = first })
  train(second, 2)
  local path = assert(gan.checkpoint.save{ out, state = second })
  local whole = basics.read(path)

  --- Loads with `text` in the place of the latest file: which state came, and what was said.
  local function load_with(text)
    write(path, text)
    local said, b = {}, trainee()
    assert(gan.checkpoint.load{ out, state = b, say = function(s) said[#said + 1] = s end })
    os.remove(path .. ".damaged")
    local print_of = fingerprint(b)
    return print_of == fingerprint(first) and 1 or print_of == fingerprint(second) and 2, said
  end

  it("gives way to the one before, with a message", function()
    assert.same({ 2, {} }, { load_with(whole) })
    local which, said = load_with(whole:sub(1, -2))
    assert.equal(1, which)
    assert.equal(1, #said)
    assert.matches("checkpoint%-000002%.safetensors: .*; going back to .*000001%.safetensors$",
      said[1])
    write(path, "")
    local b = trainee()
    assert(gan.checkpoint.load{ out, state = b, say = function() end })
    assert.equal(1, #gan.checkpoint.list(out))
    assert.is_string(basics.read(path .. ".damaged"))
  end)

  it("is never taken for whole: every length, and a changed bit anywhere", function()
    for i = 0, 40 do
      assert.equal(1, (load_with(whole:sub(1, #whole * i // 41))))
    end
    math.randomseed(3)
    for i = 1, 120 do
      -- half of the places are in the header
      local at = math.random(i % 2 == 0 and #whole or #whole // 2)
      local changed = whole:sub(1, at - 1)
        .. string.char(whole:byte(at) ~ 1 << math.random(0, 7)) .. whole:sub(at + 1)
      local which, said = load_with(changed)
      -- a space between header and data may become another white space, which says the same
      assert.is_true(which == 1 and #said == 1 or which == 2 and whole:sub(at, at) == " ",
        ("byte %d of %d"):format(at, #whole))
    end
  end)
end)

-- ---- faults ---------------------------------------------------------------------------------

describe("a fault while a checkpoint is written", function()
  local words = { full = "No space left on device", error = "Input/output error",
    readonly = "Read-only file system" }

  local function no_temporaries(out)
    for _, name in ipairs(gan.files.list(out)) do
      assert(not name:find "%.tmp$", name)
    end
  end

  for how, text in pairs(words) do
    it(("is reported, and harms nothing: '%s' at every step"):format(how), function()
      local out, a, k, path, message = folder(), trainee(), 0, nil, nil
      local seen = {}
      train(a, 1)
      assert(gan.checkpoint.save{ out, state = a })
      local before = fingerprint(a)
      train(a, 1)
      local after = fingerprint(a)
      repeat
        gan.debug.fail_io(k, how)
        path, message = gan.checkpoint.save{ out, state = a }
        gan.debug.fail_io(nil)
        if not path then
          assert.matches(text, message, 1, true)
          local what = message:match "safetensors: ([%a ]+): "
          seen[#seen + 1] = what ~= seen[#seen] and what or nil
          no_temporaries(out)
          local b = trainee()
          assert(gan.checkpoint.load{ out, state = b, say = error })
          assert.equal(what == "syncing the folder" and after or before, fingerprint(b))
        end
        k = k + 1
      until path
      -- the order in which a file is replaced: nothing is renamed that was not synced
      assert.same({ "writing", "syncing", "renaming", "syncing the folder" }, seen)
      assert.is_true(k > 20)
    end)
  end

  it("may be the end of the process, at every step", function()
    local script = root .. "/killed.lua"
    write(script, [[
      local gan, out, k = require "gan", arg[1], tonumber(arg[2])
      local x = gan.ones(50)
      assert(gan.checkpoint.save{out, state = {x = x, y = gan.ones(3), n = 1}})
      x:add_(1)
      gan.debug.fail_io(k, "kill")
      assert(gan.checkpoint.save{out, state = {x = x, y = gan.ones(3), n = 2}, keep = 1})
    ]])
    local k, code, versions = 0, nil, {}
    repeat
      local out = folder()
      code = killing.shell(("%s %s %s %d"):format(program, script, out, k))
      assert.is_true(code == 0 or code == 137, code)
      local state = { x = gan.zeros(50), y = gan.zeros(3), n = 0 }
      assert(gan.checkpoint.load{ out, state = state, say = error })
      assert.equal(state.n * 50.0, state.x:sum():item())
      versions[#versions + 1] = state.n
      no_temporaries(out)
      k = k + 1
    until code == 0
    -- open, writes, sync, close, rename: the first file; sync of the folder and the end: the second
    assert.is_true(#versions >= 9)
    for i, version in ipairs(versions) do
      assert.equal(i > #versions - 2 and 2 or 1, version)
    end
  end)
end)

-- ---- runs -----------------------------------------------------------------------------------

describe("a training run", function()
  local whole = {} -- options -> folder of a run that was left alone

  -- whoever started the tests may have SIGHUP ignored, which is left as it is
  local function run(options, out)
    return killing.shell(("env --default-signal=HUP %s tests/resumable.lua %s --out %s"):format(
      program, options, out))
  end

  local function left_alone(options)
    if not whole[options] then
      whole[options] = folder()
      local code, text = run(options, whole[options])
      assert.equal(0, code, text)
    end
    return whole[options]
  end

  local function assert_same_end(a, b)
    assert.equal(killing.log(a), killing.log(b))
    assert.is_true(basics.read(a .. "/weights.safetensors")
      == basics.read(b .. "/weights.safetensors"), "the weights differ")
  end

  local function status(out)
    return gan.json.decode(basics.read(out .. "/run.json")).status
  end

  for _, net in ipairs{ "dense", "conv" } do
    it(("(%s) that is killed at random moments ends as if it had not been"):format(net), function()
      local count = killing.try{ program = program, folder = folder(), kills = 4, seed = 2,
        command = "tests/resumable.lua --every 0.02 --epochs 40 --net " .. net }
      assert.equal(4, count.kills)
    end)

    it(("(%s) that is killed while it writes a checkpoint goes on"):format(net), function()
      local options = "--epochs 4 --every 0 --net " .. net
      local a, b = left_alone(options), folder()
      for i, step in ipairs{ 3, 8, 14, 21 } do -- in the middle of epochs of six steps
        local code, text = run(options .. (" --resume --fault kill --at %d --after %d"):format(step,
          i * 7 % 11), b)
        assert.equal(137, code, text)
      end
      local code, text = run(options .. " --resume --at 0", b)
      assert.equal(0, code, text)
      assert_same_end(a, b)
    end)
  end

  for signal, exit_code in pairs{ INT = 130, TERM = 143, HUP = 129 } do
    it(("leaves after the step, with a checkpoint, on SIG%s"):format(signal), function()
      local options = "--epochs 4 --every 1000"
      local a, b = left_alone(options), folder()
      local code, text = run(options .. " --at 9 --signal " .. signal, b)
      assert.equal(exit_code, code, text)
      assert.matches("ed after step 9 of the run: step 9 is saved in " .. b, text, 1, true)
      assert.matches("; --resume goes on from there\n", text, 1, true)
      assert.not_matches("stack traceback", text)
      assert.equal(signal == "INT" and "interrupted" or "terminated", status(b))
      code, text = run("--resume --signal '' --at 0", b) -- the other options are those of the run
      assert.equal(0, code, text)
      assert_same_end(a, b)
      assert.equal("finished", status(b))
    end)
  end

  it("ends at once at the second signal", function()
    local path = root .. "/twice.lua"
    write(path, [[
      local gan = require "gan"
      local function signal()
        io.popen("kill -INT " .. io.open "/proc/self/stat":read "n"):close()
      end
      gan.train.loop{epochs = 1, quiet = true, batches = function() return 1 end, step = function()
        signal()
        io.write "waited\n"
        io.flush()
        signal()
        io.write "lived\n"
      end}
    ]])
    local code, text = killing.shell(program .. " " .. path)
    assert.equal(130, code)
    assert.matches("^waited\n", text)
    assert.not_matches("lived", text)
  end)

  it("returns to the prompt on Ctrl-C in the REPL, and ends on SIGTERM", function()
    local line = 'gan.train.loop{epochs = 1, quiet = true, batches = function() return 1 end, '
      .. 'step = function() io.popen("kill -%s " .. io.open"/proc/self/stat":read"n"):close() end}'
      .. '\n'
    write(root .. "/lines", line:format "INT" .. "('on'):rep(2)\n" .. line:format "TERM"
      .. "('off'):rep(2)\n")
    local code, text = killing.shell(("%s -i < %s/lines"):format(program, root))
    assert.equal(143, code)
    assert.matches("interrupted after step 1", text, 1, true)
    assert.matches("onon", text, 1, true)
    assert.matches("terminated after step 1", text, 1, true)
    assert.not_matches("offoff", text, 1, true)
  end)

  local reasons = { full = "No space left on device", readonly = "Read%-only file system" }
  for how, reason in pairs(reasons) do
    it(("goes on when the disk is '%s', and says so once"):format(how), function()
      local options = "--epochs 4 --every 0"
      local a, b = left_alone(options), folder()
      local code, text = run(options .. " --at 8 --times 6 --fault " .. how, b)
      assert.equal(0, code, text)
      local _, warnings = text:gsub("no checkpoint could be written, training goes on: [^\n]*"
        .. reason, "")
      assert.equal(1, warnings, text)
      assert.matches("checkpoints are written again", text, 1, true)
      assert_same_end(a, b)
    end)
  end

  it("goes on from the one before when the latest is damaged, and from the beginning without any",
    function()
      local options = "--epochs 4 --every 0"
      local a, b = left_alone(options), folder()
      run(options .. " --at 15 --signal INT", b)
      local latest = gan.checkpoint.list(b)[1]
      write(latest, basics.read(latest):sub(1, -100))
      local code, text = run(options .. " --resume --at 0", b)
      assert.equal(0, code, text)
      assert.matches("; going back to ", text, 1, true)
      assert_same_end(a, b)
      for _, path in ipairs(gan.checkpoint.list(b)) do
        os.remove(path)
      end
      code, text = run(options .. " --resume --at 0", b)
      assert.equal(0, code, text)
      assert.matches("there is no checkpoint; starting from the beginning", text, 1, true)
      assert_same_end(a, b)
    end)

  it("keeps a log without torn or doubled lines, and sets an earlier run aside", function()
    local options = "--epochs 4 --every 0"
    local a, b = left_alone(options), folder()
    run(options .. " --at 15 --signal TERM", b)
    local f = assert(io.open(b .. "/metrics.jsonl", "a"))
    f:write('{"epoch":3,"torn')
    f:close()
    write(b .. "/samples.png.1-0.tmp", "half a picture")
    assert.equal(0, (run(options .. " --resume --at 0", b)))
    assert_same_end(a, b)
    assert.is_nil(basics.read(b .. "/samples.png.1-0.tmp"))
    assert.equal(0, (run(options .. " --epochs 1", b)))
    assert.equal(1, select(2, basics.read(b .. "/metrics.jsonl"):gsub("\n", "")))
    assert_same_end(a, b .. "/previous")
    assert.equal(2, #gan.checkpoint.list(b .. "/previous"))
  end)

  it("can be made longer when it has ended", function()
    local a, b = left_alone "--epochs 4 --every 1000", folder()
    assert.equal(0, (run("--epochs 2", b)))
    local code, text = run("--resume --epochs 4 --every 1000", b)
    assert.equal(0, code, text)
    assert.matches("  epochs was 2, is 4\n", text, 1, true)
    assert_same_end(a, b)
  end)
end)

describe("the training loop", function()
  local function loop(o)
    o.epochs, o.quiet = 1, true
    o.batches = o.batches or function() end
    o.step = function() end
    gan.train.loop(o)
  end

  it("says at the beginning what cannot be saved", function()
    fails("needs 'state'", loop, { checkpoint = { folder = root } })
    fails("needs a folder", loop, { state = {} })
    fails("'run' in 'state' is a name of the loop's own", loop, { state = { run = {} },
      checkpoint = { folder = root } })
    fails("f: a function cannot be saved", loop, { state = { f = print },
      checkpoint = { folder = root } })
    fails("unknown option 'folders', did you mean 'folder'", loop, { state = {},
      checkpoint = { folders = root } })
  end)

  it("writes and resumes without a run folder, in any host", function()
    local out, seen = folder(), {}
    local function go(o)
      gan.manual_seed(1)
      local net = gan.nn.Linear{ 2, 1 }
      local opt = gan.optim.SGD{ net, lr = 0.1 }
      gan.train.loop{ epochs = o.epochs, steps = o.steps or 0, quiet = true,
        batches = gan.data.batches{ gan.randn(10, 2), batch_size = 2, shuffle = true },
        step = function(x)
          seen[#seen + 1] = x:sum():item()
          opt:zero_grad()
          net(x):square():sum():backward()
          opt:step()
        end,
        state = { net = net, opt = opt },
        checkpoint = { folder = o.folder, resume = o.resume, keep = 1 },
      }
      return fingerprint{ net = net }
    end
    local whole = go{ epochs = 3, folder = folder() }
    local all = seen
    seen = {}
    go{ epochs = 3, steps = 7, folder = out }
    assert.equal(7, #seen)
    assert.equal(1, #gan.checkpoint.list(out))
    assert.equal(whole, go{ epochs = 3, folder = out, resume = true })
    assert.same(all, seen)
  end)
end)

describe("options with --resume", function()
  local function read(...)
    return gan.opts{ { "lr", 2.0 }, { "epochs", 5 }, { "name", "a" }, { "flag", false },
      { "out", root .. "/options" }, { "resume", false }, args = { ... } }
  end

  it("are those of the run, unless they are given", function()
    local out = root .. "/options"
    gan.report.run{ out, options = read("--lr", "3", "--epochs", "7", "--flag", "--name", "b") }
    local opt = read("--resume", "--epochs", "9")
    assert.same({ 3.0, 9, "b", true }, { opt.lr, opt.epochs, opt.name, opt.flag })
    assert.equal("float", math.type(opt.lr))
    assert.equal(out, opt.out)
    assert.equal(5, read().epochs)
    write(out .. "/options.json", '{"lr": "fast", "epochs": 1.5, "unknown": 1')
    assert.equal(2.0, read("--resume").lr)
    write(out .. "/options.json", '{"lr": "fast", "epochs": 1.5, "unknown": 1}')
    assert.same({ 2.0, 5 }, { read("--resume").lr, read("--resume").epochs })
  end)
end)
