-- The REPL as its user meets it: driven in a terminal, and its parts one by one.

local gan = require "gan"
local colour = require "gan.repl.colour"
local complete = require "gan.repl.complete"
local errors = require "gan.repl.errors"
local repl = require "gan.repl"
local source = require "gan.repl.source"
local terminal = require "tests.terminal"
local scratch = require("tests.scratch").new()

local program = require("tests.support").program()

teardown(scratch.remove)

--- Calls f(terminal) with a REPL whose history is in a file of ours.
local function with_repl(environment, f)
  if not terminal.available() then
    return pending "tmux is not installed"
  end
  local t = terminal.open(("GAN_LUA_HISTORY=%s %s %s"):format(scratch.path "history", environment,
    program))
  local ok, message = pcall(function()
    t:ready()
    f(t)
  end)
  t:close()
  assert(ok, message)
end

local has_editor = os.execute "ldconfig -p 2>/dev/null | grep -q libedit.so"

describe("the REPL in a terminal", function()
  it("completes names, methods, options and files", function()
    if not has_editor then
      return pending "libedit is not installed"
    end
    scratch.write("sample-of.txt", "")
    with_repl("", function(t)
      t:ask "nn, x = gan.nn, gan.ones(2, 3)"
      t:complete("gan.nn.ConvTranspose2", "gan.nn.ConvTranspose2d{")
      t:complete("x:unsq", "x:unsqueeze(")
      t:complete("nn.Conv2d{1, 64, ke", "nn.Conv2d{1, 64, kernel_size=")
      t:complete("x:conv2d(w, b, {str", "x:conv2d(w, b, {stride=")
      t:complete(("io.open('%s/sample-"):format(scratch.folder),
        ("io.open('%s/sample-of.txt"):format(scratch.folder))
    end)
  end)

  it("keeps its history, also that of chunks of several lines", function()
    if not has_editor then
      return pending "libedit is not installed"
    end
    os.remove(scratch.path "history")
    with_repl("", function(t)
      t:type "for i = 1, 2 do"
      t:key "Enter"
      t:wait ">>"
      t:type "print(i .. ' of two')"
      t:key "Enter"
      t:type "end"
      t:key "Enter"
      t:wait "\n2 of two"
      t:ready()
      t:ask "6 * 7"
    end)
    with_repl("", function(t) -- another process
      t:key "Up"
      t:wait "> 6 * 7"
      t:key "Up"
      t:wait "> for i = 1, 2 do"
      t:key("BSpace", "BSpace", "BSpace") -- the chunk comes back as a whole, and can be changed
      t:type "print('changed') end"
      t:key "Enter"
      t:wait "\n2 of two\nchanged"
    end)
  end)

  it("helps, shows sources, and points at errors", function()
    with_repl("", function(t)
      assert.is_truthy(t:ask "?relu":find("max(x, 0)", 1, true))
      assert.is_truthy(t:ask "?nn.Linear":find("nn.Linear{in_features, out_features", 1, true))
      t:ask "function twice(v) return 2 * v end"
      assert.is_truthy(t:ask "??twice":find("function twice(v)", 1, true))
      assert.equal("42", t:ask "twice(21)")
      assert.equal("43", t:ask "_ + 1")
      local text = t:ask "gan.ones(2, 3):matmul(gan.ones(2, 2))"
      assert.is_truthy(text:find("(2 x 3) and (2 x 2)", 1, true), text)
      assert.is_truthy(text:find("\n" .. (" "):rep(2 + #"gan.ones(2, 3):") .. "^", 1, true), text)
      assert.is_truthy(t:ask "x = = 1":find("\n      ^", 1, true))
    end)
  end)

  it("times slow lines, draws pictures, and colours unless NO_COLOR is set", function()
    local slow = "t = gan.files.time() while gan.files.time() - t < 0.3 do end"
    with_repl("COLORTERM=truecolor", function(t)
      assert.is_truthy(t:ask(slow):find "^0%.%d+ s$")
      t:ask "gan.show(gan.ones(4, 6))"
      local styled = t:tmux("capture-pane", "-e", "-p", "-t", "t")
      assert.is_truthy(styled:find(("▀"):rep(6), 1, true), styled)
      assert.is_truthy(styled:find("38;2;255;255;255", 1, true), styled)
    end)
    with_repl("NO_COLOR=1", function(t)
      assert.equal("", t:ask(slow))
      assert.equal("@@@@@@\n@@@@@@", t:ask "gan.show(gan.ones(4, 6))")
      t:ask "error 'x'"
      assert.is_nil(t:tmux("capture-pane", "-e", "-p", "-t", "t"):find("\27[", 1, true))
    end)
  end)
end)

--- What the program prints and says for lines that come through a pipe, and its exit code.
local function pipe(lines, options)
  local path, out, err = scratch.write("lines", lines), scratch.path "out", scratch.path "err"
  local _, _, code = os.execute(("%s %s < %s > %s 2> %s"):format(program, options or "-i", path,
    out, err))
  return scratch.read("out"):gsub("^gan%-lua[^\n]*\n", ""), scratch.read "err", code
end

describe("the REPL under a pipe", function()
  it("prints neither prompt nor colours, and ends with the script's exit code", function()
    local out, err, code = pipe "1 + 1\nx = 3\nx * 2\nerror 'no'\n_\nos.exit(7)\n"
    assert.same({ "2\n6\n6\n", 7 }, { out, code })
    assert.equal("stdin:1: no\n", err)
    out, err, code = pipe("y\n", "-i -e 'y = 5'")
    assert.same({ "5\n", "", 0 }, { out, err, code })
  end)

  it("goes on when a line takes globals away", function()
    local out = scratch.path "globals"
    local p = assert(io.popen(("%s -i > %s 2>&1"):format(program, out), "w"))
    p:write("table = {}\nx x\n1 + 10\n",
      "setmetatable(_G, {__index = error, __newindex = error})\n",
      "2 + 10\n", "_ + 1\n", "gan.config.version\n", "io, load, os, select = nil\n3 + 30\n")
    p:close()
    local text = scratch.read "globals"
    for _, line in ipairs{ "11", "12", "13", gan.config.version, "33" } do
      assert.is_truthy(text:find("\n" .. line .. "\n", 1, true), text)
    end
  end)

  it("writes a picture into a file, and names it", function()
    local path = scratch.path "picture.png"
    local out, err = pipe(("gan.show(gan.ones(5, 7), {path = %q})\n"):format(path))
    assert.same({ path .. ": a picture of (5 x 7)\n", "" }, { out, err })
    assert.same({ 1, 5, 7 }, gan.files.read_image(path):shape())
  end)
end)

--- A scope that has these names.
local function scope_of(t)
  return { get = function(name) return t[name] end, names = function() return t end }
end

local function words(text, names)
  local before, word = text:match "^(.-)([%w_]*)$"
  return complete.words(word, before, scope_of(names or { nn = gan.nn, gan = gan }))
end

describe("completion", function()
  it("offers the options of ops, layers, optimisers and library functions", function()
    local names = { nn = gan.nn, gan = gan, optim = gan.optim, x = gan.ones(1) }
    assert.same({ "stride=" }, words("gan.conv2d(a, b, {str", names))
    assert.same({ "padding=" }, words("x:conv2d(a, b, {stride = 2, pad", names))
    assert.same({ "padding=" }, words("y:conv2d(a, f(1, {2}), nil, {pad", names))
    assert.same({ "kernel_size=" }, words("nn.Conv2d{1, 64, kern", names))
    assert.same({ "betas=" }, words("optim.Adam{p, lr = 1, b", { optim = gan.optim, p = 1 }))
    assert.same({ "columns=" }, words("gan.image.save('a', x, {col", names))
    assert.same({ "shuffle=" }, words("gan.data.batches{x, batch_size = 1, shu", names))
    assert.same({ "after_epoch=" }, words("gan.train.loop{after", names))
    assert.same({ "groups=" }, words('nn.Conv2d{1, 2, 3, name = "a{", gr', names))
    assert.same({}, words("nn.Conv2d{1, 64, kernel_size = gro", names)) -- a value, not a name
    assert.same({ "nil", "nn", "not" }, words("nn.Sequential{n", { nn = gan.nn }))
  end)

  it("follows tables, lists and metatables, and runs nothing", function()
    local trap = setmetatable({}, { __index = function() error "ran" end })
    local names = { t = { list = { { inner = { deep = 1 } } }, f = print, [3] = 1 }, trap = trap }
    assert.same({ "inner" }, words("t.list[1].in", names))
    assert.same({ "deep" }, words("a = b + t.list[1].inner.", names))
    assert.same({ "f(" }, words("t:", names))
    assert.same({}, words("trap.a.b", names))
    assert.same({ "t", "then", "true" }, words("x .. t", { t = 1 }))
    assert.same({}, words("1.5", { t = 1 }))
    assert.same({ "Conv2d{" }, words("f(gan.nn.Conv2"))
    assert.same({}, words("-- gan.nn.Conv2"))
    assert.same({ "Conv2d{" }, words("-- remark\ngan.nn.Conv2"))
  end)

  it("offers files inside of strings, with a stroke behind folders", function()
    gan.files.mkdir(scratch.path "inner")
    scratch.write("inner/.hidden", "")
    scratch.write("inner/one-two.txt", "")
    assert.same({ "inner/" }, complete.words("inn", ('f("%s/'):format(scratch.folder)))
    assert.same({ "one-two.txt" }, complete.words("", ("f('%s/inner/"):format(scratch.folder)))
    assert.same({ "txt" }, complete.words("", ("f([[%s/inner/one-two."):format(scratch.folder)))
    assert.same({}, complete.words("x", "'/no/such/folder/"))
  end)
end)

describe("what the REPL says", function()
  local function column(text, message)
    local caret = message:match "\n([^\n]*)^$"
    return caret and text:sub(#caret - 1) or nil
  end

  local function syntax(text)
    local _, message = load(text, "=stdin", "t")
    return column(text, errors.syntax(text, message))
  end

  it("points at the token that the compiler refuses", function()
    assert.equal("= 1", syntax "x = = 1")
    assert.equal("bar", syntax "foo bar")
    assert.equal(") + 1", syntax "f(1)) + 1")
    assert.equal("end", syntax "if x then y = end")
    assert.equal("5", syntax "x.5" or "5")
    assert.equal(")", syntax "x = 1e-5 )")
    assert.equal("3x", syntax "3x")
    assert.equal(1, #syntax("y = " .. ("x"):rep(1e5, " + ") .. " )")) -- at once
    local message = errors.syntax("for i = 1, 2 do\n  f(]\nend", "stdin:2: unexpected symbol")
    assert.is_truthy(message:find("\n    f(]\n      ^", 1, true), message)
  end)

  it("points at the variable or operation that an error is about, if there is but one", function()
    local function runtime(text, message)
      return column(text, errors.runtime(text, "stdin:1: " .. message))
    end
    assert.equal("y.z", runtime("x = y.z", "attempt to index a nil value (global 'y')"))
    assert.equal("foo(1)", runtime("G:foo(1)", "attempt to call a nil value (method 'foo')"))
    assert.equal("matmul(b)", runtime("a:matmul(b)", "matmul: inner sizes differ"))
    assert.equal("+ b", runtime("a + b", "add: the shapes do not broadcast"))
    assert.is_nil(runtime("y.z + y.w", "attempt to index a nil value (global 'y')"))
    assert.is_nil(runtime("f()", "something else"))
  end)

  it("tells range, mean and what is not finite of a tensor", function()
    local text = gan.pretty(gan.tensor{ 1, 2, 6 })
    assert.equal("tensor (3) " .. gan.config.real .. ", 1 to 6, mean 3", text:match "^[^\n]*")
    text = gan.pretty(gan.tensor{ 1, 0 / 0, 3, 1 / 0, -1 / 0 })
    assert.is_truthy(text:find(", 1 to 3, mean 2, 1 NaN, 2 infinite\n", 1, true), text)
    assert.is_true(#gan.pretty(gan.zeros(30, 30)) < 1000)
    assert.is_truthy(gan.pretty(gan.zeros(0, 3)):find "%[%]$")
    local x = gan.ones(3):requires_grad_()
    assert.is_truthy(gan.pretty(x):find("requires grad, 1 to 1", 1, true))
    x = gan.tensor({ 1, 2 }, { dtype = "int64" })
    assert.is_truthy(gan.pretty(x):find("mean 1.5", 1, true))
  end)

  it("is not coloured where it does not go to a terminal", function()
    if not gan.files.isatty(1) then
      assert.equal("text", colour.red("text", 1))
    end
  end)

  it("finds sources of functions, layers and ops", function()
    local names = scope_of{ gan = gan, nn = gan.nn, mine = scope_of }
    assert.is_truthy(source.text("gan.image.grid", names):find("function image.grid(", 1, true))
    assert.is_truthy(source.text("nn.Linear", names):find("gan.linear(x, self.weight", 1, true))
    assert.is_truthy(source.text("mine", names):find("repl_spec.lua, line %d+\n"))
    local op = source.text("relu", names)
    assert.is_truthy(op:find("max(x, 0)", 1, true) or op:find("relu(x:tensor)", 1, true), op)
    assert.is_truthy(source.text("nothing_of_the_kind", names):find "there is nothing")
  end)

  it("helps with values of the user's, too", function()
    local names = scope_of{ t = gan.ones(2), f = scope_of, n = 3 }
    assert.is_truthy(repl.help_text("?t", names):find "^t is a tensor %(2%)")
    assert.is_truthy(repl.help_text("? f", names):find "repl_spec.lua line")
    assert.is_truthy(repl.help_text("?n", names):find "n is a number: 3")
    assert.is_truthy(repl.help_text("?x:conv2d", names):find("gan.conv2d(", 1, true))
    assert.is_truthy(repl.help_text("?matmull", names):find("did you mean 'matmul'", 1, true))
    assert.is_nil(repl.help_text("x = 1", names))
  end)
end)

describe("gan.show", function()
  local function drawn(x, screen, given)
    return gan.show.lines(x, screen, given)
  end
  local picture = gan.tensor{ { 0, 1 }, { 1, 0 }, { 0.5, 0.5 } }

  it("draws two pixels in a character where there are colours", function()
    local lines = drawn(picture, { mode = "truecolor", width = 80, blocks = true })
    assert.equal(2, #lines)
    assert.equal("\27[38;2;0;0;0;48;2;255;255;255m▀\27[38;2;255;255;255;48;2;0;0;0m▀\27[0m",
      lines[1])
    lines = drawn(picture, { mode = "256", width = 80, blocks = true })
    assert.equal("\27[38;5;16;48;5;231m▀\27[38;5;231;48;5;16m▀\27[0m", lines[1])
    lines = drawn(picture, { mode = "256", width = 80, blocks = false })
    assert.equal("\27[48;5;16m  \27[48;5;231m  \27[0m", lines[1])
  end)

  it("draws characters elsewhere", function()
    local x = gan.cat({ gan.zeros(2, 3), gan.ones(2, 3), gan.full({ 2, 3 }, 0.5) }, { dim = 1 })
    assert.same({ "", "@@@", "===" }, drawn(x, { mode = "ascii", width = 80 }))
  end)

  it("makes wide pictures smaller, and a grid of several", function()
    local screen = { mode = "ascii", width = 40 }
    for _, line in ipairs(drawn(gan.ones(3, 64, 100), screen)) do
      assert.is_true(#line <= 40)
    end
    for _, line in ipairs(drawn(gan.ones(20, 1, 8, 8), screen)) do
      assert.is_true(#line <= 40)
    end
    assert.equal(18 // 2, #drawn(gan.ones(4, 8, 8), screen, { columns = 2 }) - 1)
  end)

  it("refuses what is no picture", function()
    for _, x in ipairs{ gan.ones(3), gan.ones(2, 5, 4, 4), gan.ones(0, 3), 7 } do
      local ok, message = pcall(gan.show, x)
      assert.is_false(ok)
      assert.is_truthy(message:find "show: a picture is")
    end
    assert.is_false(pcall(gan.show, picture, { rnage = { 0, 1 } }))
  end)
end)
