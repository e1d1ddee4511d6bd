-- Training that is questioned and changed while it runs: by Ctrl-C at its terminal, from another
-- one, by a script that changes; and that all of it can be done again, bit for bit.

local gan = require "gan"
local basics = require "gan.basics"
local journal = require "gan.report.journal"
local reload = require "gan.train.reload"
local scope = require "gan.train.scope"
local server = require "gan.train.server"
local terminal = require "tests.terminal"
local scratch = require("tests.scratch").new()

local program = require("tests.support").program()
local model = "tests/live_model.lua"

teardown(scratch.remove)

local function quote(s)
  return "'" .. s:gsub("'", "'\\''") .. "'"
end

--- Runs a shell command; its output with the messages, and its exit code.
local function shell(command)
  local p = assert(io.popen("(" .. command .. ") 2>&1; echo code $?"))
  local text = p:read "a"
  p:close()
  local out, code = text:match "^(.-)code (%d+)\n$"
  return out, tonumber(code)
end

local function run(words)
  return shell(program .. " " .. words)
end

--- Waits until f() is true (not nil or false), and returns it.
local function wait_for(what, f)
  local from = os.time()
  repeat
    local v = f()
    if v then
      return v
    end
    os.execute "sleep 0.05"
  until os.time() - from > 60
  error("in vain: " .. what, 2)
end

local function lines_of(folder)
  local list = {}
  for i, entry in ipairs(journal.entries(folder)) do
    list[i] = entry.lua
  end
  return list
end

--- Opens a terminal in which the model trains slowly, for as long as it takes; calls f(terminal).
local function in_terminal(command, f)
  if not terminal.available() then
    return pending "tmux is not installed"
  end
  local t = terminal.open(("GAN_LUA_HISTORY= LIVE_PAUSE=0.005 %s %s"):format(program, command),
    { prompt = "live>" })
  local ok, message = pcall(f, t)
  t:close()
  assert(ok, message)
end

--- Demands that the replay of a run has the same log, weights and checkpoint.
local function replays(folder, options)
  local to = folder .. "-again"
  local out, code = run(("replay %s --to %s %s"):format(folder, to, options or ""))
  assert.is_truthy(out:find("weights.safetensors: the same, bit for bit", 1, true), out)
  assert.is_truthy(out:find "metrics.jsonl: %d+ lines, the same", out)
  assert.is_truthy(out:find("latest checkpoint: the same tensors", 1, true), out)
  assert.equal(0, code)
  -- and not because the comparison is blind
  local a = gan.files.load_safetensors(folder .. "/weights.safetensors")
  local b = gan.files.load_safetensors(to .. "/weights.safetensors")
  assert.same(a["G.weight"]:totable(), b["G.weight"]:totable())
  return out, to
end

describe("Ctrl-C in training at a terminal", function()
  it("opens a prompt that sees and changes the run, which goes on and is replayed", function()
    local folder = scratch.path "prompt"
    in_terminal(("%s --epochs 100000 --out %s"):format(model, folder), function(t)
      t:wait "epoch 2/100000"
      t:key "C-c"
      t:wait "paused after step"
      t:ready()
      local step = tonumber(t:ask "step")
      assert.is_true(step >= 8)
      assert.is_truthy(t:ask "losses":find "^{ loss = %d")
      assert.equal("0.01", t:ask "G_opt.lr")
      t:ask "G_opt.lr = 0.002"
      t:ask "noise = 0.4"
      assert.equal("0.4", t:ask "noise")
      t:ask "opt.weight = 2"
      t:ask "mine = G(gan.randn(5, 4))"
      assert.is_truthy(t:ask "mine":find "tensor %(5 x 2%)")
      assert.is_truthy(t:ask "nothing.x":find("attempt to index a nil value", 1, true))
      assert.is_truthy(t:ask "losses = 1":find "belongs to the loop")
      t:ask "table = { 5 }"
      assert.equal("5", t:ask "table[1]")
      assert.is_truthy(t:ask "?conv2d":find("gan.conv2d(", 1, true))
      assert.is_truthy(t:ask "??disturb":find("local function disturb", 1, true))
      assert.is_truthy(t:ask "save":find "is saved in")
      assert.equal(tostring(step), t:ask "step")
      t:type "continue"
      t:key "Enter"
      wait_for("the epoch after", function()
        local text = basics.read(folder .. "/metrics.jsonl") or ""
        return text:find('"noise":0.4', 1, true)
      end)
      t:key "C-c"
      t:ready()
      assert.is_true(tonumber(t:ask "step") > step)
      assert.equal("0.002\t0.4", (t:ask "G_opt.lr, noise":gsub(" +", "\t")))
      t:type "stop"
      t:key "Enter"
      assert.equal(130, t:code())
    end)
    assert.same({ "G_opt.lr = 0.002", "noise = 0.4", "opt.weight = 2", "mine = G(gan.randn(5, 4))",
      "losses = 1", "table = { 5 }", "table[1]", "stop()" }, lines_of(folder))
    -- names and fields alone are not written down
    replays(folder)
  end)

  it("saves and ends at the second Ctrl-C, and at the first with --batch", function()
    local folder = scratch.path "ends"
    in_terminal(("%s --epochs 100000 --out %s"):format(model, folder), function(t)
      t:wait "epoch 1/100000"
      t:key "C-c"
      t:ready()
      t:key "C-c"
      assert.equal(130, t:code())
      t:wait "is saved in"
    end)
    in_terminal(("%s --epochs 100000 --batch --out %s"):format(model, folder), function(t)
      t:wait "epoch 1/100000"
      t:key "C-c"
      assert.equal(130, t:code())
      t:wait "is saved in"
      assert.is_nil(t:screen():find("live>", 1, true))
    end)
  end)

  it("interrupts a line at the prompt, and not the run", function()
    in_terminal(("%s --epochs 100000 --out %s"):format(model, scratch.path "line"), function(t)
      t:wait "epoch 1/100000"
      t:key "C-c"
      t:ready()
      t:type "print 'busy' while true do end"
      t:key "Enter"
      t:wait "\nbusy"
      t:key "C-c"
      t:wait "interrupted!"
      t:ready()
      assert.equal("3", t:ask "1 + 2")
      t:key "C-d"
      t:wait "the run goes on"
    end)
  end)

  it("does the same in a loop of one's own that polls", function()
    local script = scratch.write("own.lua", [[
      local gan = require "gan"
      local rate, count = 1, 0
      local state = {numbers = {1, 2}}
      while gan.poll{losses = {count = count}, state = state} do
        local from = gan.files.time()
        while gan.files.time() - from < 0.005 do end
        count = count + rate
        if count % 100 == 0 then print("at " .. count) end
      end
      print("ended at " .. count)
    ]])
    in_terminal(script, function(t)
      t:wait "at 100"
      t:key "C-c"
      t:ready()
      assert.is_true(tonumber(t:ask "count") >= 100)
      assert.equal("{ 1, 2 }", t:ask "numbers")
      t:ask "count = 1000000"
      t:ask "rate = 0"
      t:key "C-d"
      t:wait "the run goes on"
      t:key "C-c"
      t:until_("the second prompt", function(screen)
        return select(2, screen:gsub("paused after step", "")) == 2 and screen:find "live>$"
      end)
      assert.equal("1000000", t:ask "count")
      t:type "stop"
      t:key "Enter"
      t:wait "ended at 1000000"
      assert.equal(0, t:code())
    end)
  end)
end)

describe("SIGTERM", function()
  it("saves and ends a run whose prompt is open, or busy", function()
    for i, line in ipairs{ "unfini", "while true do end" } do
      local folder = scratch.path("terminated" .. i)
      in_terminal(("%s --epochs 100000 --out %s"):format(model, folder), function(t)
        t:wait "epoch 2/100000"
        t:key "C-c"
        t:ready()
        local pid = tonumber(t:ask 'io.open "/proc/self/stat":read "n"')
        t:type(line)
        t:wait(line)
        if i == 2 then
          t:key "Enter"
        end
        os.execute("kill -TERM " .. pid)
        assert.equal(143, t:code())
        assert.is_truthy(t:screen():find "terminated after step %d+ of the run: step %d+ is saved")
      end)
      local run_record = gan.json.decode(basics.read(folder .. "/run.json"))
      assert.equal("terminated", run_record.status)
    end
  end)
end)

-- ---- from another terminal ----------------------------------------------------------------------

--- Trains in the background, without a terminal; f(pid), after which the run has ended.
local function in_background(words, f)
  local log = scratch.path "log"
  os.remove(log) -- that of the run before
  local p = assert(io.popen(("LIVE_PAUSE=0.005 %s %s > %s 2>&1 & echo $!"):format(program, words,
    log)))
  local pid = p:read "n"
  p:close()
  local ok, message = pcall(f, function() return basics.read(log) or "" end)
  os.execute("kill -TERM " .. pid .. " 2>/dev/null")
  wait_for("the end of the run", function()
    return not os.execute("kill -0 " .. pid .. " 2>/dev/null")
  end)
  assert(ok, message)
end

--- What gan-lua attach answers to lines.
local function attach(folder, ...)
  return shell(("printf '%%s\\n' %s | %s attach %s"):format(quote(table.concat({ ... }, "\n")),
    program, folder))
end

describe("gan-lua attach", function()
  local library = server.library()

  it("runs lines between steps, for the owner only, and can be replayed", function()
    if not library then
      return pending "lua-socket is not installed"
    end
    local folder = scratch.path "attached"
    in_background(("%s --epochs 100000 --compile --out %s"):format(model, folder), function(log)
      wait_for("the first epoch", function() return log():find "epoch 2/" end)
      local out, code = attach(folder, "step > 0, losses.loss > 0", "G_opt.lr = 0.003", "G_opt.lr",
        "for i = 1, 2 do", "print(i)", "end", "nothing.x", "x = = 1", "?relu", "noise = 0.3")
      assert.equal(0, code)
      assert.is_truthy(out:find("^true\ttrue\n0.003\n1\n2\n"), out)
      assert.is_truthy(out:find("index a nil value (global 'nothing')", 1, true), out)
      assert.is_truthy(out:find("unexpected symbol near '='", 1, true), out)
      assert.is_truthy(out:find("max(x, 0)", 1, true), out)
      local rights = shell(("ls -ld %s/live %s/live/socket"):format(folder, folder))
      assert.is_truthy(rights:find "^drwx%-%-%-%-%-%-.-\nsrw.%-%-%-%-%-%-", rights)
      wait_for("an epoch with the new noise", function() return log():find "noise 0%.3" end)
      out = attach(folder, "save", "stop", "losses")
      assert.is_truthy(out:find "is saved in", out)
      assert.is_truthy(out:find "the run ends after this step\nthe run has ended", out)
      wait_for("the end", function() return log():find "interrupted after step" end)
    end)
    assert.is_nil(gan.files.list(folder .. "/live"))
    replays(folder)
  end)

  it("does not let a slow, rude or dead visitor hold the run up", function()
    if not library then
      return pending "lua-socket is not installed"
    end
    local folder = scratch.path "visitors"
    in_background(("%s --epochs 100000 --out %s"):format(model, folder), function(log)
      wait_for("the first epoch", function() return log():find "epoch 2/" end)
      attach(folder, "step") -- opens the socket
      local sockets = {}
      for i, bytes in ipairs{ '{"lua": "half a li', "no json\n", "[1]\n", '{"lua": 7}\n',
        '{"lua": "(\'x\'):rep(1e7)"}\n', '{"id": 5, "word": "G_o"}\n' } do
        sockets[i] = server.library()()
        assert(sockets[i]:connect(server.path(folder)))
        sockets[i]:send(bytes)
      end
      sockets[1]:close()
      local gone = server.library()()
      assert(gone:connect(server.path(folder)))
      gone:send '{"lua": "(\'x\'):rep(1e5)"}\n{"lua": "1"}\n{"lua": "2"}\n'
      gone:close()
      local before = select(2, log():gsub("\n", ""))
      wait_for("more epochs", function() return select(2, log():gsub("\n", "")) > before + 3 end)
      sockets[6]:settimeout(20)
      assert.equal('{"done":true,"id":5,"words":["G_opt"]}', (sockets[6]:receive "*l"))
      assert.is_truthy(attach(folder, "1 + 1"):find "^2\n")
      for i = 2, #sockets do
        sockets[i]:close()
      end
      assert.is_truthy(attach(folder, "2 + 2"):find "^4\n")
    end)
  end)

  it("says why nobody answers", function()
    local out, code = run("attach " .. scratch.path "nowhere")
    assert.equal(1, code)
    assert.is_truthy(out:find "there is no such folder")
    local folder = scratch.path "done"
    run(("%s --epochs 1 --out %s"):format(model, folder))
    out, code = run("attach " .. folder)
    assert.equal(1, code)
    assert.is_truthy(out:find "the run is not running but finished")
    assert.is_truthy(run "attach --help":find "usage: gan%-lua attach RUN")
    assert.is_nil(server.fits(("x"):rep(110)))
  end)
end)

-- ---- a script that changes ----------------------------------------------------------------------

describe("--watch", function()
  it("takes the functions of the changed script, keeps what was learnt, and is replayed", function()
    local text = basics.read(model)
    local script = scratch.write("watched.lua", text)
    local folder = scratch.path "watched"
    local function change(from, to)
      local new, n = text:gsub(from:gsub("%p", "%%%0"), (to:gsub("%%", "%%%%")))
      assert.equal(1, n)
      text = new
      assert(gan.files.replace(script, text))
    end
    in_background(("%s --epochs 100000 --watch --out %s"):format(script, folder), function(log)
      wait_for("the first epoch", function() return log():find "epoch 2/" end)
      change("local noise = 0.1", "local noise = 0.7")
      wait_for("the new noise", function() return log():find "noise 0%.7" end)
      assert.is_truthy(log():find("noise 0.1 -> 0.7", 1, true), log())
      change("return {loss = loss}", "return {loss = loss, twice = 2 * loss}")
      wait_for("the new loss", function() return log():find "twice %d" end)
      change("return {loss", "return = {loss")
      wait_for("the message", function() return log():find "the run goes on with the script" end)
      local before = select(2, log():gsub("twice", ""))
      wait_for("more epochs", function() return select(2, log():gsub("twice", "")) > before + 2 end)
    end)
    -- counters went on, and the loss did not start anew
    local _, last = basics.read(folder .. "/metrics.jsonl"):match '"seen":(%d+).*"seen":(%d+)'
    local _, n = basics.read(folder .. "/metrics.jsonl"):gsub("\n", "")
    assert.is_true(tonumber(last) >= n - 1)
    local out, code = run("replay " .. folder)
    assert.equal(1, code)
    assert.is_truthy(out:find "is not the script that was run", out)
    assert.is_truthy(replays(folder, "--recorded"):find("reload \"scripts/", 1, true))
  end)

  it("ties the variables of new functions to the running ones", function()
    local path = scratch.path "small.lua"
    local head = "local gan = require 'gan' local count, size, text = 0, 3, 'a' "
      .. "local t = {kept = 1, changed = 1} local w = gan.randn(2) "
      .. "local function twice(x) return FACTOR * x end "
    local body = "local function step() count = count + 1 "
      .. "return {count = count, size = twice(size), text = text, t = t, w = w} end "
    local tail = "gan.train.loop{epochs = 1, batches = function() end, step = step}"
    local function captured(text)
      local seen
      local old = gan.train.loop
      gan.train.loop = function(o) seen = o error "captured" end
      pcall(assert(load(text, "@" .. path)))
      gan.train.loop = old
      return seen.step
    end
    local text = (head .. body .. tail):gsub("FACTOR", "2")
    local step = captured(text)
    local snapshot = reload.snapshot({ step }, "@" .. path)
    local first = step()
    step()
    first.t.kept = 5
    local random = gan.rng_state()
    local new_text = text:gsub("size, text = 0, 3, 'a'", "size, text, new = 0, 4, 'a', 9")
      :gsub("changed = 1", "changed = 2"):gsub("return 2 %* x", "return 3 * x")
      :gsub("text = text", "text = text, new = new")
    local given, fresh, changes = reload.read(new_text, path, { step }, "@" .. path, snapshot)
    assert(given, fresh)
    local again = given.step()
    assert.equal(3, again.count)
    assert.equal(4, step().count) -- one variable for both
    assert.equal(12, again.size) -- the new function of the new value
    assert.same({ "a", 9 }, { again.text, again.new })
    assert.equal(first.t, again.t)
    assert.same({ kept = 5, changed = 2 }, again.t)
    assert.equal(first.w, again.w)
    assert.same(random, gan.rng_state())
    table.sort(changes)
    assert.same({ "size 3 -> 4", "t.changed 1 -> 2" }, changes)
    for _, bad in ipairs{ "x = = 1", "error 'no'", "local a = 1" } do
      local nothing, message = reload.read(bad, path, { step }, "@" .. path, snapshot)
      assert.is_nil(nothing)
      assert.is_truthy(message:find("small.lua", 1, true))
    end
    assert.is_nil(reload.active)
  end)
end)

-- ---- what is written down -----------------------------------------------------------------------

describe("the journal of a run", function()
  it("runs nothing that lies in the folder when it is resumed", function()
    local folder, mark = scratch.path "strange", scratch.path "mark"
    scratch.write("strange.lua", ([[
      local gan = require "gan"
      local resume = arg[1] == "--resume"
      local run = gan.report.run{ %q, resume = resume }
      if not resume then
        run.journal:add{ step = 1, epoch = 1, lua = 'reload "scripts/a.lua"', from = "watch" }
      end
      local net = gan.nn.Linear{ 1, 1 }
      gan.train.loop{ epochs = resume and 2 or 1, run = run, quiet = true, state = { net = net },
        batches = gan.data.batches{ gan.randn(4, 1) }, step = function() return { loss = 1 } end }
    ]]):format(folder))
    local out, code = run(scratch.path "strange.lua")
    assert.equal(0, code, out)
    local marks = ("io.open(%q, 'w'):close()"):format(mark)
    assert(gan.files.mkdir(folder .. "/scripts"))
    scratch.write("strange/scripts/a.lua", marks)
    out, code = run(scratch.path "strange.lua" .. " --resume")
    assert.equal(0, code, out)
    assert.truthy(out:find("is not the script that the run read last", 1, true), out)
    assert.is_nil(io.open(mark))
  end)

  it("lets a resumed run have what was changed, and takes back what no checkpoint knows", function()
    if not server.library() then
      return pending "lua-socket is not installed"
    end
    local folder = scratch.path "resumed"
    in_background(("%s --epochs 100000 --out %s"):format(model, folder), function(log)
      wait_for("the first epoch", function() return log():find "epoch 2/" end)
      attach(folder, "noise = 0.6", "opt.weight = 3", "G_opt.lr = 0.004")
      wait_for("the new noise", function() return log():find "noise 0%.6" end)
    end)
    local entries = journal.entries(folder)
    assert.same({ noise = 0.6 }, entries[1].set)
    assert.equal("stop()", entries[#entries].lua)
    local size = #basics.read(folder .. "/live.jsonl")
    local late = '{"epoch":1,"from":"prompt","lua":"noise = 9","set":{"noise":9},"step":1}\n'
    local f = io.open(folder .. "/live.jsonl", "a")
    f:write(late)
    f:close()
    local more = math.tointeger(entries[#entries].epoch) + 2
    local out = run(("%s --resume --out %s --epochs %d"):format(model, folder, more))
    assert.is_truthy(out:find "resumed from", out)
    assert.is_nil(out:find "noise 9")
    assert.is_truthy(out:find(("epoch %d/%d  loss [%%d.]+  noise 0%%.6"):format(more, more)), out)
    assert.is_true(#basics.read(folder .. "/live.jsonl") < size)
    replays(folder)
  end)

  it("writes nothing down where nothing was changed, and repeats that too", function()
    local folder = scratch.path "plain"
    run(("%s --epochs 2 --lr 0.02 --out %s"):format(model, folder))
    assert.is_nil(basics.read(folder .. "/live.jsonl"))
    local start = journal.start(folder)
    assert.equal(model, start.script)
    assert.same({ "--epochs", "2", "--lr", "0.02", "--out", folder }, start.words)
    assert.equal(basics.read(model), basics.read(folder .. "/script.lua"))
    local _, to = replays(folder)
    assert.equal("finished", gan.json.decode(basics.read(to .. "/run.json")).status)
    local out, code = run(("replay %s --to %s"):format(folder, to))
    assert.equal(1, code)
    assert.is_truthy(out:find "is there already")
    out, code = run("replay " .. scratch.path "nothing")
    assert.equal(1, code)
    assert.is_truthy(out:find "there is no start.json")
  end)

  it("tells when the replay is not the same", function()
    local folder = scratch.path "differs"
    local script = scratch.write("clock.lua", (basics.read(model)
      :gsub("manual_seed%(opt.seed%)", "manual_seed(os.time() + os.clock() * 1e6 // 1 | 0)")))
    run(("%s --epochs 2 --out %s"):format(script, folder))
    local out, code = run(("replay %s --to %s-2"):format(folder, folder))
    assert.equal(1, code)
    assert.is_truthy(out:find "weights.safetensors: different", out)
  end)

  it("is replayed from a damaged folder as far as that goes, or refused in a sentence", function()
    local folder = scratch.path "damaged"
    run(("%s --epochs 1 --out %s"):format(model, folder))
    local broken = { "", "null", "7", "\0\1\2", "[[", '{"step":"x","lua":[],"out":[]}' }
    for i, text in ipairs(broken) do
      for _, name in ipairs{ "metrics.jsonl", "run.json", "options.json", "live.jsonl" } do
        assert(gan.files.replace(folder .. "/" .. name, text .. "\n"))
      end
      local out = run(("replay %s --to %s-%d"):format(folder, folder, i))
      assert.is_truthy(out:find "weights.safetensors: the same", out)
      assert.is_nil(out:find "traceback", out)
      out = run("attach " .. folder)
      assert.is_truthy(out:find("no run folder", 1, true), out)
    end
    assert(gan.files.replace(folder .. "/live.jsonl", '{"lua":"x","step":"y"}\n{"lua":"x","step":1,'
      .. '"set":5}\n{"lua":"x","step":1,"epoch":[]}\n{"lua":"x","step":2,"set":{}}\n'))
    assert.equal(2, journal.entries(folder)[1].step)
    broken[#broken + 1] = '{"script":"a.lua","hash":"0","threads":1,"words":5}'
    broken[#broken + 1] = '{"script":"a.lua","hash":"0","threads":1,"resumed":[{"words":[1]}]}'
    for _, text in ipairs(broken) do
      assert(gan.files.replace(folder .. "/start.json", text))
      local out = run("replay " .. folder)
      assert.is_truthy(out:find "start.json: not what a run writes", out)
    end
  end)

  it("finds variables on the stack and in functions", function()
    local outer, count = 1, 5
    local function helper()
      return count
    end
    local function step()
      return helper() + outer
    end
    local source = debug.getinfo(step, "S").source
    local variables = scope.variables({ n = 1, step }, source)
    assert.equal(5, variables.count.get())
    variables.count.set(7)
    variables.outer.set(10)
    assert.equal(17, step())
    assert.is_nil(variables._ENV)
    assert.same({}, scope.variables({ n = 0 }, ""))
  end)
end)
