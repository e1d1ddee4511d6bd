-- The reference and the definition files: everything that the library exports is in both, their
-- examples run, and what they say of options is what constructors check.

local gan = require "gan"
local here = package.path
package.path = "scripts/reference.d/?.lua;" .. package.path
local collect, pages, types = require "collect", require "pages", require "types"
package.path = here
for _, name in ipairs{ "collect", "pages", "types" } do
  package.loaded[name] = nil
end

local list = collect.pages()
local texts, files = pages.write(list), types.write(list)

local function entry_of(name)
  for _, page in ipairs(list) do
    for _, entry in ipairs(page.entries) do
      if entry.name == name then
        return entry
      end
    end
  end
end

--- The table that a definition file returns. The files define and do nothing.
local function defined(name)
  return assert(load(files[name], "=" .. name, "t", {}))()
end

describe("the reference", function()
  it("explains every name that the library exports", function()
    assert.same({}, collect.undocumented(list, collect.exported()))
  end)

  it("misses a function without a comment", function()
    gan.noise.unexplained = function() end
    local missing = collect.undocumented(collect.pages(), collect.exported())
    gan.noise.unexplained = nil
    assert.same({ "gan.noise.unexplained" }, missing)
  end)

  it("explains the methods of the objects that the library makes", function()
    local layer = gan.nn.Linear{ 2, 2 }
    local adam = gan.optim.Adam{ layer }
    local made = {
      Module = { __index = require("gan.nn.module").Module }, -- layers add their own
      Optimizer = getmetatable(adam), EMA = getmetatable(gan.optim.EMA{ layer }),
      Schedule = getmetatable(gan.optim.StepLR{ adam, step_size = 2 }),
      Batches = getmetatable(gan.data.batches{ gan.zeros(4, 2) }),
      Trainer = getmetatable(gan.train.trainer{ epochs = 1, batches = print, step = print }),
      Rounds = getmetatable(gan.adversarial.rounds(gan.data.batches{ gan.zeros(4, 2) }, 2)),
      PCA = getmetatable(gan.metrics.pca(gan.randn(8, 3), 2)),
    }
    for _, page in ipairs(list) do
      for _, object in ipairs(page.methods) do
        local known, meta = {}, made[object.class]
        for _, entry in ipairs(object.entries) do
          assert(entry.text and entry.text:find "%w", entry.name .. " has no comment")
          known[entry.key] = true
        end
        assert(next(known), object.class .. " has no methods")
        for name, f in pairs(meta and type(meta.__index) == "table" and meta.__index or {}) do
          local ours = type(f) == "function" and not name:find "^_"
          assert(not ours or known[name], object.class .. ":" .. name .. " has no entry")
        end
      end
    end
  end)

  it("has examples that run", function()
    local count = 0
    for name, text in pairs(texts) do
      for code in text:gmatch "```lua\n(.-)\n```" do
        count = count + 1
        local chunk = load("local gan = ... return " .. code) or load("local gan = ... " .. code)
        assert(chunk, ("%s: %s is no Lua"):format(name, code))
        local ok, message = pcall(gan.scope, chunk, gan)
        assert(ok, ("%s: %s: %s"):format(name, code, message))
      end
    end
    assert.is_true(count > #gan.ops())
    gan.debug.anomaly(false)
  end)

  it("closes every block that it opens, and has an index of its pages", function()
    for name, text in pairs(texts) do
      local open = false
      for line in text:gmatch "[^\n]*" do
        local fence = line:match "^```(%w*)$"
        assert(not fence or open == (fence == ""), name .. ": " .. line)
        open = fence and not open or not fence and open
      end
      assert.is_false(open, name)
      assert.is_true(name == "index.md" or texts["index.md"]:find(("](%s)"):format(name), 1, true)
        ~= nil, name)
    end
  end)

  it("speaks of nothing that is not there", function()
    for name, text in pairs(texts) do
      for word in text:gmatch "%f[%w.:]gan%.([%a][%w_.]*[%w_])" do
        local v = gan
        for key in word:gmatch "[^.]+" do
          v = (type(v) == "table" or type(v) == "userdata") and v[key] or nil
        end
        local module = v == nil and gan.files.sources("gan." .. word)
        assert(v ~= nil or module or word == "NAME" or word == "md" or entry_of("gan." .. word),
          ("%s speaks of gan.%s"):format(name, word))
      end
    end
  end)

  it("shows the options that constructors check", function()
    local text = texts["nn.md"]:match "### gan.nn.Conv2d\n.-\n### "
    assert.matches("nn.Conv2d{in_channels, out_channels, kernel_size, stride=1", text, 1, true)
    assert.matches("| `bias` = | true or false | true |", text, 1, true)
    assert.matches("| `in_channels` | a positive integer | required |", text, 1, true)
  end)
end)

describe("the definition files", function()
  it("are Lua, and define every function that is exported", function()
    local root = defined "init.lua"
    for _, page in ipairs(list) do
      local t = page.part ~= nil and page.part ~= "gan" and page.part ~= "tensor"
        and defined(page.part:gsub("%.", "_") .. ".lua") or root
      t = page.part == "tensor" and defined "tensor.lua" or t
      for _, entry in ipairs(page.entries) do
        if entry.kind ~= "value" then
          assert.is_function(t[entry.key], entry.name)
        end
      end
    end
    for name in pairs(gan.methods) do
      assert.is_function(defined("tensor.lua")[name], name)
    end
  end)

  it("know the types of arguments and options", function()
    local tensor, nn = files["tensor.lua"], files["nn.lua"]
    assert.matches("---@class gan.tensor\n", tensor, 1, true)
    assert.matches("---@operator add(gan.tensor|number): gan.tensor\n", tensor, 1, true)
    assert.matches("---@param options? { inputs?: gan.tensor[], retain_graph?: boolean, "
      .. "create_graph?: boolean }\nfunction tensor.backward(self, gy, options) end", tensor, 1,
      true)
    assert.matches("---@field bias? boolean default true\n", nn, 1, true)
    assert.matches("---@param options gan.nn.Conv2d.options\n---@return gan.nn.Module\n"
      .. "function nn.Conv2d(options) end", nn, 1, true)
    assert.matches("---@class gan.optim.Adam.options\n---@field [integer] any", files["optim.lua"],
      1, true)
    assert.matches('---@field mode? "nearest"|"linear"', nn, 1, true)
  end)

  it("use no class that they do not define", function()
    local classes, all = {}, ""
    for _, text in pairs(files) do
      all = all .. text
    end
    for name in all:gmatch "%-%-%-@class ([%w_.]+)" do
      classes[name] = true
    end
    for line in all:gmatch "[^\n]+" do
      local used = line:match "^%-%-%-@param %S+ (%S+)" or line:match "^%-%-%-@return (%S+)"
        or line:match "^%-%-%-@field %S+ (%S+)"
      for name in (used or ""):gmatch "gan[%w_.]*" do
        assert(classes[name], line)
      end
    end
  end)

  it("are written by scripts/reference, with the pages", function()
    local folder, program = os.tmpname(), require("tests.support").program()
    os.remove(folder)
    local pipe = assert(io.popen(("GAN_LUA='%s' scripts/reference %s/doc %s/types 2>&1"):format(
      program, folder, folder)))
    local said = pipe:read "a"
    assert.is_true(pipe:close(), said)
    for _, name in ipairs(assert(gan.files.scan(folder .. "/doc"))) do
      assert.is_string(texts[name], name)
    end
    for name in pairs(files) do
      assert.is_truthy(loadfile(folder .. "/types/gan/" .. name), name)
    end
    os.execute("rm -rf " .. folder)
  end)
end)
