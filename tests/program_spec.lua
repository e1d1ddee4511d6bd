-- The program: a drop-in lua5.4, compared with the real one where it is installed; its REPL; and
-- the module in stock Lua.

local program = require("tests.support").program()
local build = program:match "^(.*)/[^/]*$" or "."
local folder = os.tmpname()
os.remove(folder)
os.execute("mkdir " .. folder)

local function write(name, text)
  local f = assert(io.open(folder .. "/" .. name, "w"))
  f:write(text)
  f:close()
  return folder .. "/" .. name
end

local function read(name)
  local f = assert(io.open(folder .. "/" .. name, "rb"))
  local text = f:read "a"
  f:close()
  return text
end

local function quote(s)
  return "'" .. s:gsub("'", "'\\''") .. "'"
end

--- Runs a shell command with `input`; its output, its messages and its exit code.
local function shell(command, input)
  write("in", input or "")
  local _, how, code = os.execute(("(%s) < %s/in > %s/out 2> %s/err"):format(command, folder,
    folder, folder))
  return read "out", read "err", how == "signal" and 128 + code or code
end

local function exists(command)
  return (os.execute("command -v " .. command .. " > /dev/null"))
end

-- LUA_INIT is set to nothing so that the environment of the tests has no say
local clean = "unset LUA_INIT LUA_INIT_5_4 LUA_PATH LUA_CPATH LUA_PATH_5_4 LUA_CPATH_5_4; "

local function run(args, input, before)
  return shell(clean .. (before or "") .. program .. " " .. args, input)
end

describe("gan-lua like lua5.4", function()
  write("args.lua", "print(#arg, arg[0], arg[1], arg[2], arg[-1], ...)")
  write("error.lua", "local function f() error 'oops' end\nf()\n")
  write("syntax.lua", "x = = 1\n")
  write("object.lua", "error(setmetatable({}, {__tostring = function() return 'an object' end}))")
  write("bare.lua", "error {}")
  write("m.lua", "return {name = ...}")
  write("init.lua", "print 'init file'")
  write("first.lua", "#!/usr/bin/env lua\nprint 'after the first line'")
  local cases = {
    "-e 'print(1, 2)'", "-e 'print(1)' -e 'print(2)'", "'-eprint(3)'", "-e", "-e ''", "-x", "-vx",
    "--e", "-l", "-lm", "args.lua a b", "args.lua", "-e 'x=1' args.lua a -e b", "-- args.lua a",
    "- a b", "-", "--", "error.lua", "syntax.lua", "object.lua", "bare.lua", "missing.lua",
    "first.lua", "-e 'error()'", "-e 'error(nil)'", "-e 'error(12)'", "-e 'os.exit(3)'",
    "-e 'os.exit(false)'", "-e 'os.exit(true, true)'", "-e 'return 1'", "-e 'x ='",
    "-l m -e 'print(m.name)'", "-l g=m -e 'print(g.name)'", "-l none", "-W -e 'warn(\"careful\")'",
    "-e 'warn(\"@on\") warn(\"a\", \"b\")'", "-e 'warn(\"unheard\")'", "-E -e 'print(1)'",
    "-e 'print(package.path == nil, #arg, arg[0])'",
    "-e 'coroutine.wrap(function() error(\"inside\") end)()'",
    "-e 'local t <close> = setmetatable({}, {__close = function() print(1) end}) error(\"x\", 0)'",
    "-e 'print(_VERSION, math.type(1), 7 // 2, 1 << 62, \"a\" .. 1.0)'",
    "-e 'io.stderr:write(\"to stderr\") io.stdout:write(\"to stdout\")'",
  }
  local inputs = {
    ["- a b"] = "print(...)", ["-"] = "print('from stdin')", ["--"] = "print(arg[0])",
  }
  local inits = { "LUA_INIT='print(\"init\")'", "LUA_INIT=@init.lua", "LUA_INIT='error(1)'",
    "LUA_INIT='x =' ", "LUA_INIT='print(1)' LUA_INIT_5_4='print(54)'",
    "LUA_PATH='/nowhere/?.lua;;'", "LUA_PATH='/nowhere/?.lua'", "LUA_CPATH='/nowhere/?.so;;'",
    "LUA_PATH=x LUA_PATH_5_4='y;;'" }

  --- Output, messages (without the program's name) and exit code of both.
  local function compare(args, input, environment)
    -- a link gives both programs one name
    local results = {}
    for i, path in ipairs{ "lua5.4", program } do
      local where = path:find "/" and io.popen("realpath " .. quote(path)):read()
        or io.popen("command -v " .. path):read()
      os.execute(("mkdir -p %s/%d && ln -sf %s %s/%d/lua"):format(folder, i, where, folder, i))
      results[i] = { shell(("%scd %s; %s PATH=%s/%d:$PATH lua %s"):format(clean, folder,
        environment or "", folder, i, args), input) }
    end
    local theirs, ours = results[1], results[2]
    -- the usage text is our own, and names more
    theirs[2], ours[2] = theirs[2]:gsub("usage:.*$", ""), ours[2]:gsub("usage:.*$", "")
    assert.are.same(theirs, ours)
  end

  for _, args in ipairs(cases) do
    it("runs: lua " .. args, function()
      if not exists "lua5.4" then
        return pending "lua5.4 is not installed"
      end
      compare(args, inputs[args])
    end)
  end

  for _, environment in ipairs(inits) do
    for _, option in ipairs{ "", "-E " } do
      it(("runs: %s lua %s"):format(environment, option), function()
        if not exists "lua5.4" then
          return pending "lua5.4 is not installed"
        end
        compare(option .. "-e 'print(package.path, package.cpath)'", nil, environment)
      end)
    end
  end
end)

describe("gan-lua", function()
  it("tells its version, and its options", function()
    local out, err, code = run "-v"
    assert.are.equal(0, code)
    assert.are.equal("", err)
    assert.is_truthy(out:find "^gan%-lua %d+%.%d+%.%d+ ")
    assert.is_truthy(out:find "Lua 5%.4")
    out, err, code = run "--help"
    assert.are.same({ "", 0 }, { err, code })
    assert.is_truthy(out:find("-l g=mod", 1, true))
  end)

  it("has the library inside, from anywhere, and makes no globals", function()
    write("g.lua", [[
      local before = {}
      for k in pairs(_G) do before[k] = true end
      assert(gan == nil)
      local gan = require "gan"
      assert(require "gan.nn" == gan.nn and require "gan.optim" == gan.optim)
      for k in pairs(_G) do assert(before[k], k) end
      print(gan.ones(2, 3):sum():item())
    ]])
    local path = io.popen("realpath " .. quote(program)):read()
    local out, err, code = shell(("%s cd / && %s %s/g.lua"):format(clean, path, folder))
    assert.are.same({ "6.0\n", "", 0 }, { out, err, code })
  end)

  it("starts quickly", function()
    local files = require("gan").files
    local best = math.huge
    for _ = 1, 5 do
      local start = files.time()
      run "-e ''"
      best = math.min(best, files.time() - start)
    end
    assert.is_true(best < (build:find "asan" and 1 or 0.06), best .. " seconds")
  end)

  it("raises in the chunk that Ctrl-C interrupts", function()
    local interrupt = "timeout --foreground --preserve-status -s INT 1 "
    local _, err, code = run("-e 'while true do end'", "", interrupt)
    assert.are.equal(1, code)
    assert.is_truthy(err:find("interrupted!", 1, true), err)
    local out
    out, err, code = run("-e 'print(pcall(function() while true do end end))'", "", interrupt)
    assert.are.same({ "", 0 }, { err, code })
    assert.is_truthy(out:find "^false\t.*interrupted!")
  end)
end)

--- What the REPL says to lines of input, without a terminal: there are no prompts.
local function session(lines)
  local out, err = run("-i", lines)
  out = out:gsub("^gan%-lua[^\n]*\n", "")
  return out, err
end

describe("the REPL", function()
  it("prints values of expressions, runs statements, and has gan", function()
    local out, err = session("1 + 1, 'a'\nx = 3\nx\n=x\nlocal y = 1\ny\nnil\n"
      .. "gan.ones(2):totable()\n")
    assert.are.equal("", err)
    assert.are.equal("2\ta\n3\n3\nnil\nnil\n{ 1.0, 1.0 }\n", out)
  end)

  it("goes on over lines until the chunk is whole", function()
    local out, err = session("for i = 1, 2 do\nprint(i)\nend\nf = function()\nreturn 7 end\nf()\n")
    assert.are.equal("", err)
    assert.are.equal("1\n2\n7\n", out)
  end)

  it("survives errors, and shows where they were", function()
    local out, err = session("error 'one'\nx = = 2\nfor\nf(\nwhile true do\n")
    assert.are.equal("", out)
    assert.is_truthy(err:find "^stdin:1: one\nstdin:1: ")
    assert.is_truthy(err:find "unexpected symbol near '='")
    assert.is_truthy(err:find "near <eof>")
    assert.is_nil(err:find "repl")
  end)

  it("shows tensors by shape and values", function()
    local out = session("gan.tensor{1, 2.5}\ngan.zeros(100, 100)\ngan.tensor(3)\n")
    local text = "tensor (2) " .. require("gan").config.real
      .. ", 1 to 2.5, mean 1.75\n  [1.0000, 2.5000]"
    assert.is_truthy(out:find(text, 1, true), out)
    assert.is_truthy(out:find("...", 1, true))
    assert.is_true(#out < 2000)
  end)

  it("helps", function()
    local out = session("?matmul\n?\n?nn.Linear\n?matmull\n")
    assert.is_truthy(out:find("gan.matmul(a, b)", 1, true))
    assert.is_truthy(out:find("did you mean 'matmul'", 1, true))
    assert.is_truthy(out:find("nn.Linear", 1, true))
  end)

  it("runs a script before, and obeys _PROMPT", function()
    local out = run("-i " .. write("before.lua", "y = 5 _PROMPT = '$ '"), "y\n")
    assert.is_truthy(out:find("$ 5\n$ \n", 1, true))
  end)

  it("completes names without running code", function()
    local complete = require("gan.repl").complete
    assert.are.same({ "string.format(" }, complete "string.fo")
    assert.are.same({ "coroutine" }, complete "corou")
    local list = complete "gan.nn.Lin"
    assert.is_true(#list == 0 or #list > 0)
    _G.gan, _G.x = require "gan", require("gan").ones(2)
    local has = {}
    for _, word in ipairs(complete "x:re") do
      has[word] = true
    end
    assert.is_true(has["x:relu("] and has["x:reshape("])
    assert.is_true(#complete "gan.nn.L" > 0)
    _G.gan, _G.x = nil, setmetatable({}, { __index = function() error "run" end })
    assert.are.same({}, complete "x.a.b")
    _G.x = nil
    assert.are.same({}, complete "nowhere.x")
  end)

  it("has a terminal's line editing and history", function()
    if not os.execute "script -qec true /dev/null < /dev/null > /dev/null 2>&1" then
      return pending "there are no pseudo-terminals, or script(1) is not installed"
    end
    local history = folder .. "/history/of"
    local out = shell(("GAN_LUA_HISTORY=%s timeout 20 script -qec %s /dev/null"):format(history,
      program), "6 * 7\nprint(gan ~= nil)\nos.exit()\n")
    assert.is_truthy(out:find "42")
    assert.is_truthy(out:find "true")
    if os.execute "ldconfig -p 2>/dev/null | grep -q libedit.so" then
      assert.is_truthy(read("history/of"):find "6.*7")
    end
  end)
end)

describe("the module", function()
  it("loads into stock Lua from LUA_CPATH alone, and makes no globals", function()
    local module = io.open(build .. "/gan.so")
    if not module or build:find "san$" or not exists "lua5.4" then
      return pending "no gan.so that stock Lua can load, or no lua5.4"
    end
    module:close()
    write("s.lua", [[
      local n = 0
      for _ in pairs(_G) do n = n + 1 end
      local gan = require "gan"
      print(gan.ones(2, 3):sum():item(), gan.nn.Linear{2, 3}(gan.ones(1, 2)):size(2))
      for _ in pairs(_G) do n = n - 1 end
      print(n)
    ]])
    local out, err, code = shell(("%sLUA_CPATH='%s/?.so;;' lua5.4 %s/s.lua"):format(clean, build,
      folder))
    assert.are.same({ "6.0\t3\n0\n", "", 0 }, { out, err, code })
  end)
end)

teardown(function()
  os.execute("rm -rf " .. folder)
end)
