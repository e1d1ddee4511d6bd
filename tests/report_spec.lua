-- Pages of runs, animated pictures, models as data, the server, and the commands that use them.

local gan = require "gan"
local apng = require "gan.report.apng"
local blueprint = require "gan.nn.blueprint"
local commands = require "gan.commands"
local json = require "gan.json"
local page = require "gan.report.page"
local pictures = require "gan.report.pictures"
local read = require "gan.report.read"
local runs = require "tests.report.runs"
local nn = gan.nn

local program = require("tests.support").program()

local scratch = require("tests.scratch").new()
local path = scratch.path

local function quote(s)
  return "'" .. s:gsub("'", "'\\''") .. "'"
end

--- What `gan-lua WORDS` prints, its messages, and its exit code.
local function command(...)
  local parts = {}
  for i, word in ipairs{ program, ... } do
    parts[i] = quote(word)
  end
  local _, _, code = os.execute(("cd %s && %s >%s 2>%s </dev/null"):format(quote(scratch.folder),
    table.concat(parts, " "), quote(path "out"), quote(path "err")))
  return scratch.read "out", scratch.read "err", code
end

local function succeeds(line)
  return (os.execute(line .. " >/dev/null 2>&1"))
end

local function without_pictures(text)
  return (text:gsub("data:image/png;base64,[%w+/=]+", ""))
end

local function render(...)
  local list = {}
  for i, name in ipairs{ ... } do
    list[i] = read.run(path(name))
  end
  return page.render(list)
end

describe("reports", function()
  local G
  setup(function()
    local _
    _, G = runs.train(path "a")
    runs.train(path "b", { seed = 2, option = "other" })
    runs.hostile(path "evil")
  end)
  teardown(scratch.remove)

  describe("page", function()
    it("is written by the run, with everything in it", function()
      local text = scratch.read "a/index.html"
      for _, part in ipairs{ "<h1>a</h1>", "finished", ">lr<", ">0.001<", "nn.Linear{4, 16}",
        "(N x 1 x 8 x 8)", "(N x 64)", "gan-lua " .. gan.config.version, 'data-metric="D"',
        'data-metric="G"' } do
        assert.truthy(text:find(part, 1, true), part .. " is not in the page")
      end
      local _, count = text:gsub("data:image/png;base64,", "")
      assert.equal(3, count)
      assert.truthy(#without_pictures(text) < 1e6)
      assert.truthy(#without_pictures(text) > 1e4)
    end)

    it("asks nobody for anything", function()
      local text = scratch.read "a/index.html"
      local policy = text:match 'Content%-Security%-Policy" content="([^"]+)"'
      assert.truthy(policy:find("default-src 'none'", 1, true))
      assert.truthy(policy:find("connect-src 'none'", 1, true))
      assert.falsy(policy:find("unsafe", 1, true))
      for attribute in text:gmatch '%s[sh]r[ce]f?="([^"]*)"' do
        assert.truthy(attribute:find "^data:", attribute)
      end
      assert.falsy(text:find " style=")
      assert.falsy(text:find "@import")
    end)

    it("has a new secret word each time", function()
      local function word() return render "a":match "script%-src 'nonce%-(%x+)'" end
      local first = word()
      assert.equal(36, #first)
      assert.not_equal(first, word())
    end)

    it("shows what is in a run as text, never as markup", function()
      local text = render "evil"
      local scripts = 0
      for _ in text:gmatch "<script" do
        scripts = scripts + 1
      end
      assert.equal(select(2, render "a":gsub("<script", "")), scripts)
      local body = text:match "<body>(.*)<script nonce"
      assert.falsy(body:find("<img src=x", 1, true))
      assert.falsy(body:find("<b>", 1, true))
      assert.truthy(body:find("&lt;/script&gt;&lt;script&gt;injected=1", 1, true))
      assert.truthy(body:find("\\u003c/script\\u003e", 1, true))
      local data = json.decode(body:match 'id="data" data%-part="data">(.-)</script>')
      assert.same({ 1 }, { data.runs[1].curves[runs.evil].y[1] })
      assert.equal(json.null, data.runs[1].curves[runs.evil].y[2])
    end)

    it("draws its curves without scripts", function()
      local text = render("a", "b")
      assert.equal(4, select(2, text:gsub('<path class="line c%d" d="M[%d.]+ [%d.]+L', "")))
      assert.truthy(text:find('<tr class="differs"><th scope="row">seed', 1, true))
      assert.falsy(text:find('<tr class="differs"><th scope="row">lr', 1, true))
    end)

    it("has drawings where uPlot was not there", function()
      local assets = package.loaded["gan.report.assets"]
      package.loaded["gan.report.assets"] = { css = assets.css, js = assets.js, plot_css = "",
        plot_js = "" }
      local text = render "a"
      package.loaded["gan.report.assets"] = assets
      assert.truthy(text:find "uPlot was not there when gan%-lua was built")
      assert.equal(2, select(2, text:gsub('<svg class="chart"', "")))
      scratch.write("drawings.html", text)
    end)

    it("stays small however long the log is", function()
      gan.files.mkdir(path "long")
      local lines = {}
      for i = 1, 20000 do
        lines[i] = ('{"step":%d,"loss":%.9f,"other":%.9f}\n'):format(i, math.sin(i), i % 7)
      end
      lines[777] = '{"step":777,"loss":99,"other":1}\n'
      scratch.write("long/metrics.jsonl", table.concat(lines))
      local text = render "long"
      assert.truthy(#text < 1e6, #text)
      local data = json.decode(text:match 'id="data" data%-part="data">(.-)</script>')
      local y = data.runs[1].curves.loss.y
      assert.equal("step", data.axis)
      assert.truthy(#y <= 2000 and #y > 1000)
      assert.equal(99, math.max(table.unpack(y)))
    end)

    it("takes the newest and evenly spaced pictures where there are many", function()
      local run = gan.report.run{ path "many" }
      for i = 1, 20 do
        run:image(("s-%02d"):format(i), gan.rand(1, 64, 64))
      end
      local size = #scratch.read "many/s-20.png"
      local text = page.render({ read.run(path "many") }, { limit = 5.5 * size })
      local numbers = {}
      for n in text:gmatch '<figure data%-number="(%d+)"' do
        numbers[#numbers + 1] = tonumber(n)
      end
      assert.same({ 1, 5, 10, 15, 20 }, numbers)
      assert.truthy(text:find "15 of the pictures are not on this page")
    end)

    it("is made of whatever is left of a damaged folder", function()
      gan.files.mkdir(path "damaged")
      scratch.write("damaged/metrics.jsonl", '{"loss":1,"epoch":1}\nnonsense\n{"loss":2,"ep')
      scratch.write("damaged/options.json", "[1, 2")
      scratch.write("damaged/model.json", '{"models": 7, "generator": []}')
      scratch.write("damaged/run.json", '{"status": 5, "seconds": "x", "threads": {}}')
      scratch.write("damaged/x-001.png", "no picture")
      local text = render "damaged"
      assert.truthy(text:find "1 lines are damaged")
      assert.truthy(text:find "options.json: json:")
      assert.truthy(page.render{ read.run(path "not there") }:find "Nothing has been logged")
    end)

    it("does not end a run when it cannot be written", function()
      local run = gan.report.run{ path "full" }
      local said = {}
      run.say = function(text) said[#said + 1] = text end
      gan.files.mkdir(path "full/index.html")
      assert.is_nil((run:show(true)))
      assert.is_nil((run:show(true)))
      assert.equal(1, #said)
      assert.truthy(said[1]:find("index.html", 1, true))
      assert.truthy(run:finish())
    end)

    it("does not move the random numbers", function()
      local before = gan.rng_state()
      render "a"
      assert.equal(before, gan.rng_state())
    end)
  end)

  it("encode as base64", function()
    local known = { [""] = "", f = "Zg==", fo = "Zm8=", foo = "Zm9v", foob = "Zm9vYg==",
      fooba = "Zm9vYmE=", foobar = "Zm9vYmFy", ["\255\254\253"] = "//79" } -- RFC 4648
    for text, code in pairs(known) do
      assert.equal(code, pictures.base64(text))
    end
  end)

  it("keep the pictures of the run before apart", function()
    local run = gan.report.run{ path "again" }
    run:image("samples-001", gan.rand(1, 4, 4))
    run:image("samples-002", gan.rand(1, 4, 4))
    run:finish()
    run = gan.report.run{ path "again" }
    run:image("samples-001", gan.rand(1, 4, 4))
    assert.equal(1, #read.run(path "again").series[1])
    assert.equal(2, #read.run(path "again/previous").series[1])
  end)

  describe("animated pictures", function()
    --- The chunks of a PNG file, with their checksums verified.
    local function chunks(bytes)
      assert.equal("\137PNG\r\n\26\n", bytes:sub(1, 8))
      local list, at = {}, 9
      while at <= #bytes do
        local kind, next_at = bytes:sub(at + 4, at + 7), at + 8 + (">I4"):unpack(bytes, at)
        local body = bytes:sub(at + 8, next_at - 1)
        assert.equal(gan.files.crc32(kind .. body), (">I4"):unpack(bytes, next_at))
        list[#list + 1] = { kind = kind, body = body }
        at = next_at + 4
      end
      return list
    end

    local function data_of(name)
      local parts = {}
      for _, c in ipairs(chunks(scratch.read(name))) do
        parts[#parts + 1] = c.kind == "IDAT" and c.body or nil
      end
      return table.concat(parts)
    end

    it("have the frames, in order, each as it was", function()
      local names = { "a/samples-001.png", "a/samples-002.png", "a/samples-003.png" }
      local bytes, left_out = assert(apng.join({ path(names[1]), path(names[2]), path(names[3]) },
        { delay = 0.5, rest = 2 }))
      local kinds, frames, sequence, delays = {}, {}, 0, {}
      for _, c in ipairs(chunks(bytes)) do
        if c.kind == "acTL" then
          assert.same({ 3, 0 }, { (">I4I4"):unpack(c.body), (select(2, (">I4I4"):unpack(c.body))) })
        elseif c.kind == "fcTL" then
          local n, w, h, x, y, num, den, dispose, blend = (">I4I4I4I4I4I2I2BB"):unpack(c.body)
          assert.equal(26, #c.body)
          assert.equal(sequence, n)
          assert.same({ 42, 42, 0, 0, 0, 0 }, { w, h, x, y, dispose, blend })
          delays[#delays + 1], frames[#frames + 1] = num / den, ""
          sequence = sequence + 1
        elseif c.kind == "fdAT" then
          assert.equal(sequence, (">I4"):unpack(c.body))
          frames[#frames] = frames[#frames] .. c.body:sub(5)
          sequence = sequence + 1
        elseif c.kind == "IDAT" then
          frames[1] = frames[1] .. c.body
        end
        kinds[#kinds + 1] = c.kind
      end
      assert.equal("IHDR acTL fcTL IDAT", table.concat(kinds, " ", 1, 4))
      assert.equal("IEND", kinds[#kinds])
      assert.same({ 0.5, 0.5, 2 }, delays)
      assert.same({ data_of(names[1]), data_of(names[2]), data_of(names[3]) }, frames)
      assert.equal(0, left_out)
      local still = scratch.write("animated.png", bytes)
      local x = assert(gan.image.load(still)) -- who knows no animation sees the first
      assert.is_true(gan.eq(x, assert(gan.image.load(path(names[1])))):all():item() ~= 0)
    end)

    it("leave out pictures of another size, and refuse what is none", function()
      gan.image.save(path "small.png", gan.rand(1, 4, 4))
      local bytes, left_out = apng.join{ path "small.png", path "a/samples-001.png" }
      assert.equal(1, left_out)
      assert.equal("acTL" .. (">I4"):pack(1), bytes:match "acTL....")
      scratch.refused("no PNG", apng.join{ scratch.write("none.png", "GIF89a") })
      local torn = scratch.read("small.png"):sub(1, -6)
      scratch.refused("ends too early", apng.join{ scratch.write("torn.png", torn) })
      local wrong = scratch.read("small.png"):gsub("IDAT.", "IDAT\0", 1)
      scratch.refused("wrong checksum", apng.join{ scratch.write("wrong.png", wrong) })
      assert.is_nil((apng.join{}))
    end)
  end)

  it("change nothing in the training that they describe", function()
    local shown = require "gan.report.shown"
    local describe_, show = shown.describe, shown.show
    shown.describe, shown.show = function() end, function() end
    runs.train(path "silent")
    shown.describe, shown.show = describe_, show
    assert.falsy(succeeds("test -e " .. path "silent/model.json"))
    assert.truthy(succeeds("test -e " .. path "a/model.json"))
    assert.equal(scratch.read "a/weights.safetensors", scratch.read "silent/weights.safetensors")
  end)

  describe("models as data", function()
    it("come back with the same layers, options and names of weights", function()
      local net = nn.Sequential{ name = "net", nn.spectral_norm(nn.Linear{ 4, 8, bias = false }),
        nn.Conditional{ nn.LabelConcat{ 3, 2 } }, nn.Unflatten{ 2, { 2, 5 } },
        nn.Sequential{ name = "inner", nn.Conv1d and nn.Conv1d{ 2, 3, kernel_size = 3 }
          or nn.Identity{}, nn.LeakyReLU{ 0.1 } },
        nn.weight_norm(nn.Linear{ 3, 2 }), nn.equalized_lr(nn.Linear{ 2, 2 }, { lr_mul = 0.5 }) }
      local plan = json.decode(json.encode(assert(blueprint.describe(net))))
      local again = assert(blueprint.build(plan))
      assert.equal(tostring(net), tostring(again))
      again:load_state_dict(net:state_dict())
      assert.same(blueprint.describe(net), blueprint.describe(again))
    end)

    it("say what stands in the way", function()
      local Net = nn.module("Net", { init = function(self) self.l = nn.Linear{ 1, 1 } end })
      local cases = { { nn.Sequential{ function(x) return x end }, "function of the script" },
        { Net{}, "module of the script" },
        { nn.Sequential{ nn.TiedLinear{ nn.Linear{ 2, 3 } } }, "another layer" } }
      for _, case in ipairs(cases) do
        local plan, message = blueprint.describe(case[1])
        assert.is_nil(plan)
        assert.truthy(message:find(case[2], 1, true), message)
      end
    end)

    it("run nothing that a file names", function()
      local deep = { layer = "Identity" }
      for _ = 1, 100 do
        deep = { layer = "Sequential", layers = { deep } }
      end
      for _, plan in ipairs{ {}, 7, { layer = "Lambda", options = { f = "os.exit" } },
        { layer = "module" }, { layer = "init" }, { layer = "parameter" }, { layer = "is_module" },
        { layer = "spectral_norm" }, { layer = "__index" }, { layer = 1 }, deep,
        { layer = "Linear", options = { 1, 2 } }, { layer = "Linear", options = "x" },
        { layer = "Linear", options = { in_features = 1e300, out_features = 1 } },
        { layer = "Linear", options = { in_features = 2, out_features = 2, extra = 1 } },
        { layer = "Sequential", layers = { 5 } }, { layer = "Sequential" },
        { layer = "Linear", options = { in_features = 2, out_features = 2 },
          remade = { { with = "require" } } } } do
        local model, message = blueprint.build(plan)
        assert.is_nil(model)
        assert.equal("string", type(message))
      end
    end)
  end)

  describe("commands", function()
    it("are listed, and each has --help", function()
      local help = command "--help"
      for _, name in ipairs{ "doctor", "export", "interpolate", "report", "sample" } do
        assert.truthy(help:find("\n  " .. name .. " ", 1, true), name)
        local text, _, code = command(name, "--help")
        assert.equal(0, code)
        assert.truthy(text:find("^usage: gan%-lua " .. name))
        assert.truthy(text:find("\n  %-%-help"))
      end
    end)

    it("give way to a file of that name, and refuse words too many or too few", function()
      scratch.write("sample", 'print("a file")')
      assert.equal("a file\n", command "sample")
      os.remove(path "sample")
      local _, message, code = command("sample", "a", "b")
      assert.equal(1, code)
      assert.truthy(message:find("'b' is a word too much", 1, true))
      assert.falsy(message:find("traceback", 1, true))
      _, message, code = command "sample"
      assert.equal(1, code)
      assert.truthy(message:find("usage: gan-lua sample RUN", 1, true))
      _, message, code = command "nosuchcommand"
      assert.equal(1, code)
      assert.truthy(message:find("cannot open", 1, true))
    end)

    it("sample: the same as the run's generator", function()
      local text = command("sample", "a", "--n", "5", "--seed", "7", "--out", "s.npy")
      assert.equal("s.npy: 5 samples\n", text)
      gan.manual_seed(7)
      local expected = gan.no_grad(G:eval(), gan.randn(5, 4))
      local x = assert(gan.data.npy(path "s.npy"))
      assert.same({ 5, 1, 8, 8 }, x:shape())
      assert.truthy((x - expected):abs():amax():item() < 1e-5)
      command("sample", "a", "--n", "6", "--out", "s.png")
      assert.same({ 1, 22, 32 }, assert(gan.image.load(path "s.png")):shape())
    end)

    it("sample: say why they cannot", function()
      local _, message, code = command("sample", "a", "--out", "s.txt")
      assert.equal(1, code)
      assert.truthy(message:find("s.txt", 1, true))
      _, message = command("sample", "nothing")
      assert.truthy(message:find("nothing/model.json", 1, true))
      _, message = command("sample", "evil")
      assert.truthy(message:find("evil", 1, true) and not message:find("traceback", 1, true))
      _, message = command("sample", "a", "--label", "2")
      assert.truthy(message:find("takes no labels", 1, true))
    end)

    it("sample: take the memory that the weights explain, refuse sizes that do not fit", function()
      assert(gan.files.mkdir(path "hostile"))
      assert(gan.files.save_safetensors(path "hostile/weights.safetensors",
        { ["G.weight"] = gan.ones(4, 2), ["G.bias"] = gan.ones(4) }))
      local function fails(generator, outputs, expected)
        generator.model = "G"
        scratch.write("hostile/model.json", json.encode{ generator = generator, models = {
          G = { plan = { layer = "Linear", options = { in_features = 2,
            out_features = outputs } } } } })
        local _, message, code = command("sample", "hostile", "--n", "3", "--out", "h.npy")
        assert.equal(1, code)
        assert.truthy(message:find(expected, 1, true), message)
        assert.falsy(message:find("traceback", 1, true), message)
      end
      fails({ codes = { 2 } }, 1000000000, "the limit is 64.0 MiB")
      fails({ codes = { 2000000000 } }, 4, "or too large")
      fails({ codes = { 2 }, sizes = { 1, 5 } }, 4, "makes no samples: reshape: x (3 x 4)")
      fails({ codes = { 1, 1, 1, 1, 1, 1, 1, 1, 2 } }, 4, "at most 8 are possible")
    end)

    it("sample: a model of the script's own modules, by the script", function()
      scratch.write("own.lua", [[
        local gan = require "gan"
        local nn = gan.nn
        local opt = gan.opts{ {"width", 3, ""}, {"out", "own", ""}, {"resume", false, ""} }
        local Net = nn.module("Net", {
          init = function(self) self.l = nn.Linear{2, opt.width} end,
          forward = function(self, x, labels)
            return self.l(x) + labels:unsqueeze(2):to(gan.config.real)
          end,
        })
        local net = Net{}
        local run = gan.report.run{opt.out, options = opt, resume = opt.resume}
        run:generator{net, codes = 2, labels = 4, range = {0, 1}}
        gan.train.loop{epochs = 1, batches = function() end, run = run, quiet = true,
          step = function() end, state = {net = net}}
        run:save{net = net}
        print "trained"]])
      assert.equal("trained\n", command("own.lua", "--width", "5"))
      local before = scratch.read "own/run.json"
      local _, message = command("sample", "own", "--out", "own.npy")
      assert.truthy(message:find("`Net` cannot be described", 1, true))
      assert.truthy(message:find("--script", 1, true))
      local text, problem = command("sample", "own", "--out", "own.npy", "--script", "own.lua",
        "--n", "6")
      assert.equal("own.npy: 6 samples\n", text, problem)
      assert.same({ 6, 5 }, assert(gan.data.npy(path "own.npy")):shape())
      assert.equal(before, scratch.read "own/run.json")
    end)

    it("interpolate: rows from one code to another", function()
      assert.equal("i.npy: 6 samples\n", (command("interpolate", "a", "--n", "2", "--steps", "3",
        "--out", "i.npy", "--seed", "3")))
      local x = assert(gan.data.npy(path "i.npy"))
      gan.manual_seed(3)
      local a, b = gan.randn(2, 4), gan.randn(2, 4)
      local ends = gan.no_grad(G:eval(), gan.cat({ a:slice(1, 1, 1), b:slice(1, 1, 1) },
        { dim = 1 }))
      assert.truthy((x:slice(1, 1, 1) - ends:slice(1, 1, 1)):abs():amax():item() < 1e-4)
      assert.truthy((x:slice(1, 3, 3) - ends:slice(1, 2, 2)):abs():amax():item() < 1e-4)
    end)

    it("export: weights and models for others", function()
      assert.truthy(command("export", "a"):find "^G.onnx: model G")
      assert.truthy(scratch.read("G.onnx"):find("gan-lua", 1, true))
      command("export", "a", "--format", "npz", "--out", "w.npz")
      local w = assert(gan.data.npz(path "w.npz"))
      assert.same({ 16, 4 }, w["0.weight"]:shape())
      command("export", "a", "--format", "safetensors", "--model", "D", "--out", "d.safetensors")
      assert.truthy(gan.files.load_safetensors(path "d.safetensors")["1.weight"])
      local _, message = command("export", "a", "--model", "E")
      assert.truthy(message:find("it has D, G", 1, true))
    end)

    it("report: a page of one, a page of several, an animation", function()
      assert.equal("report.html: 2 runs\n", (command("report", "a", "b")))
      assert.truthy(scratch.read("report.html"):find("2 runs compared", 1, true))
      assert.equal("one.html: 1 run\n", (command("report", "a", "--out", "one.html")))
      assert.equal("film.png: 3 pictures\n", (command("report", "a", "--animate", "film.png")))
      assert.truthy(scratch.read("film.png"):find("acTL", 1, true))
      local _, message, code = command("report", "nowhere")
      assert.equal(1, code)
      assert.truthy(message:find("nowhere", 1, true))
    end)

    it("doctor: tells what is there", function()
      local text, _, code = command "doctor"
      assert.equal(0, code)
      assert.truthy(text:find("gan%-lua +" .. gan.config.version:gsub("%p", "%%%0")))
      assert.truthy(text:find("instructions +" .. gan.isa()))
      assert.truthy(text:find "BLAS file +/")
    end)

    it("have a manual and completions that know them all", function()
      local manual = require "gan.manual"
      for _, name in ipairs(commands.names()) do
        assert.truthy(manual.page():find("gan\\-lua " .. name, 1, true), name)
        assert.truthy(manual.bash():find("'" .. name .. " -'*)", 1, true), name)
        assert.truthy(manual.zsh():find("\n" .. name .. ")", 1, true), name)
      end
      local script = scratch.write("completion.bash", manual.bash())
      scratch.write("ask.bash", ([[. %s
        COMP_WORDS=(gan-lua export a --format o) COMP_CWORD=4
        _gan_lua; echo "${COMPREPLY[*]}"
        COMP_WORDS=(gan-lua sam) COMP_CWORD=1; _gan_lua; echo "${COMPREPLY[*]}"]]):format(script))
      if not succeeds "command -v bash" then
        return
      end
      local p = assert(io.popen("bash " .. path "ask.bash"))
      assert.equal("onnx\nsample\n", p:read "a")
      p:close()
    end)
  end)

  describe("served", function()
    local socket = select(2, pcall(require, "socket"))
    local has_socket = type(socket) == "table"
    local server, host

    local function pending_without_socket()
      if not has_socket then
        pending "lua-socket is not installed"
      end
      return not has_socket
    end

    setup(function()
      if has_socket then
        server = assert(require("gan.report.serve").open({ path "a", path "evil" }, { port = 0 }))
        host = "Host: 127.0.0.1:" .. server.port .. "\r\n"
      end
    end)
    teardown(function()
      if server then
        server:close()
      end
    end)

    local function ask(target, method, more)
      return server:respond(("%s %s HTTP/1.1\r\n%s%s\r\n"):format(method or "GET", target,
        more or host, ""))
    end

    it("gives its page, news and pictures", function()
      if pending_without_socket() then return end
      local a = ask "/"
      assert.equal(200, a.status)
      assert.truthy(a.body:find "data%-live" and a.body:find("connect-src 'self'", 1, true))
      assert.equal(scratch.read "a/samples-002.png", ask("/picture/1/samples-002.png").body)
      local news = ask "/live"
      assert.equal(200, news.status)
      assert.equal(304, ask("/live", "GET", host .. "If-None-Match: " .. news.fields.ETag
        .. "\r\n").status)
      local evil = a.body:match 'src="(/picture/2/[^"]*001.png)"'
      assert.equal(scratch.read "evil/a 'b' &-001.png", ask(evil).body)
      local _, with_body = ask("/", "HEAD")
      assert.is_false(with_body)
    end)

    it("gives nothing else", function()
      if pending_without_socket() then return end
      scratch.write("a/secret.txt", "secret")
      for _, target in ipairs{ "/picture/1/../../secret.txt", "/picture/1/%2e%2e%2fsecret.txt",
        "/picture/1/..%2f..%2f..%2fetc%2fpasswd", "/picture/1/secret.txt", "/picture/1/",
        "/picture/3/samples-001.png", "/picture/-1/x.png", "/picture/1/%00.png", "/a/options.json",
        "//etc/passwd", "/etc/passwd", "/..", "/picture/1/options.json", "*",
        "/picture/99999999999999999999/x.png", "http://127.0.0.1/etc/passwd" } do
        assert.equal(404, ask(target).status, target)
      end
      for _, method in ipairs{ "POST", "PUT", "DELETE", "OPTIONS", "TRACE" } do
        assert.equal(405, ask("/", method).status)
      end
      for _, name in ipairs{ "", "Host: evil.example\r\n", "Host: 127.0.0.1\r\n",
        "Host: localhost.evil.example:" .. server.port .. "\r\n", "Host: 127.0.0.1:1\r\n" } do
        assert.equal(403, ask("/", "GET", name).status)
      end
      assert.equal(400, ask("/", "GET", host .. host).status)
      assert.equal(400, server:respond("nonsense\r\n\r\n").status)
    end)

    it("answers over a socket, slow and rude ones included", function()
      if pending_without_socket() then return end
      local function connect()
        local c = assert(socket.tcp())
        c:settimeout(0)
        c:connect("127.0.0.1", server.port)
        return c
      end
      local idle, rude, c = connect(), connect(), connect()
      for _ = 1, 5 do
        server:turn(0.01)
      end
      rude:send(("x"):rep(10000))
      c:send "GET / HT"
      server:turn(0.01)
      c:send("TP/1.1\r\n" .. host .. "\r\n")
      local got = ""
      for _ = 1, 2000 do
        server:turn(0.005)
        local part, problem, rest = c:receive(65536)
        got = got .. (part or rest or "")
        if problem == "closed" then
          break
        end
      end
      assert.truthy(got:find "^HTTP/1.1 200 OK\r\n")
      local size = tonumber(got:match "Content%-Length: (%d+)")
      assert.equal(size, #got:match "\r\n\r\n(.*)$")
      assert.equal(1, server.count) -- the idle one: the rude one was sent away
      idle:close()
      rude:close()
      c:close()
    end)

    it("is of this machine alone", function()
      if pending_without_socket() then return end
      assert.equal("127.0.0.1", (server.listener:getsockname()))
    end)
  end)

  -- what a browser does is the same under sanitizers
  local unless_quick = os.getenv "QUICK" and function() end or describe
  unless_quick("in a browser", function()
    local npm = os.getenv "GAN_NPM"
      or (os.getenv "XDG_CACHE_HOME" or (os.getenv "HOME" or "") .. "/.cache") .. "/gan-lua/npm"
    local chromium = (io.popen("command -v chromium"):read "a"):gsub("%s", "")
    local has_browser = chromium ~= "" and succeeds "node --version"
      and succeeds(("test -d '%s/node_modules/playwright-core'"):format(npm))

    --- A process of the browser's driver: each call returns a line of its output.
    local function drive(...)
      local words = { "node", "tests/report/browser.js", npm, chromium, ... }
      for i, word in ipairs(words) do
        words[i] = quote(word)
      end
      return assert(io.popen(table.concat(words, " ") .. " 2>&1"))
    end

    local function quiet(seen, file)
      assert.same({}, seen.errors)
      assert.same({ file and "file://" .. file }, seen.requests)
    end

    it("draws, slides, compares, and asks nobody", function()
      if not has_browser then
        pending "chromium or playwright-core is not installed"
        return
      end
      command("report", "a", "b")
      local p = drive(path "a/index.html", path "report.html", "", path "drawings.html")
      local text = p:read "a"
      assert.truthy(p:close(), text)
      local r = assert(json.decode(text), text)
      assert.equal(2, #r.single.canvases)
      for _, canvas in ipairs(r.single.canvases) do
        assert.truthy(canvas.width > 200 and canvas.colours > 2)
      end
      assert.same({ { "3" } }, r.single.before)
      assert.same({ { "1" } }, r.single.first)
      assert.same({ { "2" } }, r.single.second)
      assert.equal("2 of 3", r.single.output)
      assert.equal("refused", r.single.escapes)
      assert.equal(path "a/index.html", r.single.seen.requests[1]:sub(8))
      assert.equal(2, #r.single.changed)
      quiet(r.compared.seen, path "report.html")
      assert.equal(2, r.compared.panes)
      assert.equal(1, r.compared.panes_without)
      assert.same({ true, true }, r.compared.canvases[1].lines)
      assert.same({ true, false }, r.compared.fewer[1].lines)
      quiet(r.dark.seen, path "a/index.html")
      assert.not_equal(r.narrow.colour, r.dark.colour)
      assert.truthy(r.narrow.overflow <= 0, "the narrow page is wider than its window")
      quiet(r.drawings.seen, path "drawings.html")
      assert.same({ { "1" } }, r.drawings.first)
      assert.equal(2, r.drawings.visible)
      assert.equal(2, r.still.drawings)
      assert.equal(3, r.still.pictures)
      assert.equal(0, r.still.controls)
    end)

    it("is not moved by hostile text", function()
      if not has_browser then
        pending "chromium or playwright-core is not installed"
        return
      end
      command("report", "evil", "a", "--out", "evil.html")
      local p = drive(path "evil/index.html", path "evil.html")
      local text = p:read "a"
      assert.truthy(p:close(), text)
      local r = assert(json.decode(text), text)
      assert.same({ "undefined", 0 }, r.single.injected)
      quiet(r.compared.seen, path "evil.html")
      assert.same({ { "2" } }, r.single.before)
    end)

    it("follows a run that is served", function()
      if not has_browser or not succeeds(quote(program) .. " -l socket -e ''") then
        pending "chromium, playwright-core or lua-socket is not installed"
        return
      end
      os.execute(("cp -R %s %s"):format(path "a", path "live"))
      local log = path "serve.out"
      os.execute(("%s report %s --serve --port 0 >%s 2>&1 & echo $! >%s"):format(quote(program),
        path "live", log, path "pid"))
      local pid, address = scratch.read "pid":match "%d+", nil
      local _ <close> = setmetatable({}, { __close = function() os.execute("kill " .. pid) end })
      for _ = 1, 100 do
        address = succeeds("test -s " .. log) and scratch.read "serve.out"
          :match "(http://%S+)"
        if address then break end
        os.execute "sleep 0.1"
      end
      local p = drive("", "", assert(address, scratch.read "serve.out"))
      assert.equal("ready", p:read "l")
      local f = assert(io.open(path "live/metrics.jsonl", "a"))
      f:write '{"D":0.5,"G":0.6,"epoch":4,"seconds":9,"steps":4}\n'
      f:close()
      gan.image.save(path "live/samples-004.png", gan.rand(1, 42, 42))
      local text = p:read "a"
      assert.truthy(p:close(), text)
      local r = assert(json.decode(text), text).served
      assert.same({ { "3" } }, r.before)
      assert.same({ { "4" } }, r.after)
      assert.is_true(r.same)
      assert.equal(2, #r.canvases)
      assert.equal("4 of 4", r.output)
      assert.equal("following", r.following)
      assert.same({}, r.seen.errors)
      for _, url in ipairs(r.seen.requests) do
        assert.equal(address, url:sub(1, #address))
      end
    end)
  end)
end)
