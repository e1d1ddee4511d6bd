-- Other people's applications with the module inside, and the C hosts of examples/embed: each loads
-- the same weights and draws the same four pictures. An application that is not installed
-- (scripts/setup --hosts) is pending.
local gan = require "gan"
local scratch = require("tests.scratch").new()

local function capture(command)
  local p = assert(io.popen(command .. " 2>&1"))
  local text = p:read "a"
  local ok, how, code = p:close()
  return text, ok and 0 or how == "signal" and 128 + code or code
end

local program = require("tests.support").program()
local build = program:match "^(.*)/[^/]*$"
local folder = "examples/embed"
local weights, picture = scratch.path "generator.safetensors", scratch.path "picture.png"
-- a module with a sanitizer does not load into a program without, and double precision draws
-- another picture than float32
local plain = gan.config.real == "float32" and not build:find "asan$" and not build:find "tsan$"

local function exists(command)
  return (os.execute("command -v " .. command .. " > /dev/null 2>&1"))
end

local function pending_unless(...)
  if not plain then
    pending "the plain build alone goes into other programs"
    return true
  end
  for _, command in ipairs{ ... } do
    if not exists(command) then
      pending(command .. " is not installed: scripts/setup --hosts")
      return true
    end
  end
end

--- Where the flavours of OpenBLAS are that the loader may find first: the one that the module was
-- linked with, and the others that are installed.
local flavours = { default = "" }
for name in ("pthread openmp"):gmatch "%a+" do
  local path = capture("ls -d /usr/lib/*/openblas-" .. name):match "^(/[^\n]*)\n$"
  if path then
    flavours[name] = path
  end
end

local function environment(flavour)
  return ("env -u LUA_INIT -u LUA_PATH -u LUA_PATH_5_4 -u LUA_CPATH_5_4 LUA_CPATH='%s/?.so;;' "
    .. "LD_LIBRARY_PATH='%s' GENERATOR='%s' PICTURE='%s' GAN_THREADS=2 "):format(build, flavour,
    weights, picture)
end

--- Runs a shell command in the folder of the examples; its output and exit code.
local function run(command, flavour)
  os.remove(picture)
  return capture(("cd %s && %s timeout 60 %s"):format(folder, environment(flavour or ""), command))
end

local function hash(bytes)
  local path = scratch.write("hashed", bytes)
  return capture("sha256sum < " .. path):match "^%x+"
end

local wanted

setup(function()
  if not plain then
    return
  end
  local text, code = run(("%s train.lua %s 60"):format(program, weights))
  assert(code == 0, text)
  text, code = run(program .. [[ -e 'require("tiny_gan").demonstrate()']])
  assert(code == 0, text)
  wanted = hash(scratch.read "picture.png")
end)

teardown(scratch.remove)

--- Runs f(flavour) with each OpenBLAS.
local function with_flavours(f)
  for name, path in pairs(flavours) do
    local ok, message = pcall(f, path)
    assert(ok, ("OpenBLAS %s: %s"):format(name, tostring(message)))
  end
end

--- A host that writes the file: it ends with `code`, and the picture is the same as everywhere.
local function draws(command, code)
  with_flavours(function(flavour)
    local text, ended = run(command, flavour)
    assert.equal(code, ended, text)
    assert.equal(wanted, hash(scratch.read "picture.png"), text)
  end)
end

describe("the same pictures come from", function()
  it("stock Lua", function()
    if not pending_unless "lua5.4" then
      draws([[lua5.4 -e 'require("tiny_gan").demonstrate()']], 0)
    end
  end)

  it("ten lines of C", function()
    if pending_unless() then
      return
    elseif not exists(build .. "/tests/draw") then
      pending "build/tests/draw is not built: make hosts"
      return
    end
    draws(build .. "/tests/draw > " .. picture, 0)
  end)

  it("clingo, which trains as well", function()
    if not pending_unless "clingo" then
      draws("clingo clingo.lp", 10) -- 10: satisfiable; lua_close comes before it
    end
  end)

  it("neomutt", function()
    if not pending_unless "neomutt" then
      draws("neomutt -n -F neomuttrc -D < /dev/null", 0)
    end
  end)

  it("mle", function()
    if not pending_unless "mle" then
      draws("mle -N -H 1 -x mle.lua < /dev/null", 0)
    end
  end)

  it("lighttpd, and fresh ones for every request", function()
    if pending_unless("lighttpd", "curl") then
      return
    elseif #capture "ls /usr/lib/lighttpd/mod_magnet.so /usr/lib*/lighttpd/mod_magnet.so"
      :gsub("ls:[^\n]*\n", "") == 0 then
      pending "lighttpd-modules-lua is not installed: scripts/setup --hosts"
      return
    end
    with_flavours(function(flavour)
      local text, code = run("sh " .. scratch.write("serve.sh", [[
        # the first free port; the server tells by ending at once that one is taken
        for port in 18081 18082 18083 18084 18085; do
          PORT=$port lighttpd -D -f lighttpd.conf 2> "$PICTURE.log" &
          server=$!
          url=http://127.0.0.1:$port/sample.png
          for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
            kill -0 $server 2> /dev/null || break
            if curl -sf "$url?n=1&seed=1" > /dev/null; then break 2; fi
            sleep 0.1
          done
          kill $server 2> /dev/null
        done
        curl -sf "$url?n=4&seed=1" > "$PICTURE" &&
        curl -sf "$url" > "$PICTURE.1" &&
        curl -sf "$url" > "$PICTURE.2" || cat "$PICTURE.log"
        kill $server
        wait $server
        # it ends with 0 or (stopped soon after a request, also without a module) 1
        test $? -le 1]]), flavour)
      assert.equal(0, code, text)
      assert.equal(wanted, hash(scratch.read "picture.png"))
      local one, two = scratch.read "picture.png.1", scratch.read "picture.png.2"
      assert.equal("\137PNG", one:sub(1, 4))
      assert.equal("\137PNG", two:sub(1, 4))
      assert.is_true(one ~= two)
    end)
  end)
end)

describe("the application that trains in its idle time", function()
  it("keeps its turns and draws into memory of its own", function()
    if pending_unless() then
      return
    elseif not exists(build .. "/tests/host") then
      pending "build/tests/host is not built: make hosts"
      return
    end
    with_flavours(function(flavour)
      local text, code = run(build .. "/tests/host 0.2", flavour)
      assert.equal(0, code, text)
      assert.truthy(text:find "^20 turns, %d+ steps, D %d")
      assert.equal(1 + 8 + 1, select(2, text:gsub("\n", "")))
      assert.truthy(text:find "the first of 64 weights is %-?%d")
    end)
  end)
end)

describe("an installation", function()
  it("compiles the C hosts by pkg-config, and is taken away again", function()
    if pending_unless("make", "cc", "pkg-config") then
      return
    elseif not exists(build .. "/gan-lua") or build:find "'" then
      pending "there is no build folder"
      return
    end
    local root = scratch.path "root"
    local make = ("env -u MAKEFLAGS -u MAKELEVEL make --no-print-directory BUILD='%s' DESTDIR='%s' "
      .. "PREFIX=/opt/gan %%s"):format(build, root)
    local text, code = capture(make:format "install")
    assert.equal(0, code, text)
    text, code = capture(([[
      set -e
      export PKG_CONFIG_PATH=%s/opt/gan/lib/pkgconfig
      cc -Wall -Werror examples/embed/draw.c -o %s/draw -I%s/opt/gan/include -L%s/opt/gan/lib \
        $(pkg-config --cflags --libs gan)
      readelf -d %s/draw | grep -q 'NEEDED.*libgan.so.0'
      test -e %s/opt/gan/share/doc/gan-lua/examples/embed/draw.c]]):gsub("%%s", root))
    assert.equal(0, code, text)
    text, code = capture(("cd %s && %s LD_LIBRARY_PATH=%s/opt/gan/lib %s/draw | sha256sum"):format(
      folder, environment "", root, root))
    assert.equal(0, code, text)
    assert.equal(wanted, text:match "^%x+")
    text, code = capture(make:format "uninstall")
    assert.equal(0, code, text)
    assert.equal(root .. "/draw\n", capture(("find %s -type f -o -type l"):format(root)))
  end)
end)
