-- npy and npz: numpy's files are read, numpy reads ours, nothing malformed is accepted.
local gan = require "gan"
local data, files = gan.data, gan.files
local s = require("tests.scratch").new()

local function same(a, b)
  assert.are.equal(a:dtype(), b:dtype())
  assert.are.same(a:shape(), b:shape())
  assert.are.equal(a:bytes(), b:bytes())
end

--- An npy file with this header text, padded as numpy does unless `raw`.
local function npy(header, body, version, raw)
  local wide = version and version > 1
  if not raw then
    header = header .. (" "):rep(-(#header + (wide and 13 or 11)) % 64) .. "\n"
  end
  return "\x93NUMPY" .. string.char(version or 1, 0)
    .. ((wide and "<I4" or "<I2"):pack(#header)) .. header .. body
end

local function header(descr, shape, order)
  return ("{'descr': '%s', 'fortran_order': %s, 'shape': %s, }"):format(descr, order or "False",
    shape)
end

local function load(descr, shape, body, order)
  return assert(data.npy(s.write("x.npy", npy(header(descr, shape, order), body))))
end

describe("npy", function()
  it("gives back what was written", function()
    for _, x in ipairs{ gan.randn(3, 4), gan.randn(2, 3, 4, 5), gan.tensor(2.5), gan.zeros(0, 3),
      gan.arange(1, 5, { dtype = "int64" }), gan.tensor({ 1, 255 }, { dtype = "uint8" }),
      gan.tensor{ 0 / 0, 1 / 0, -1 / 0, -0.0 }, gan.randn(3, 4):transpose(1, 2),
      gan.randn(4, 6):slice(2, 2, 5), gan.randn(3, 1):expand(3, 4) } do
      assert.is_true(data.save_npy(s.path "x.npy", x))
      same(x, assert(data.npy(s.path "x.npy")))
      assert.are.equal(0, (#s.read "x.npy" - #x:bytes()) % 64) -- elements are aligned
    end
  end)

  it("reads every type, in both byte orders", function()
    local real, int = {}, { dtype = "int64" }
    for _, order in ipairs{ "<", ">" } do
      local function pack(format, ...)
        return (order .. format:gsub("%S", "%0")):pack(...)
      end
      same(gan.tensor({ 1.5, -2 }, real), load(order .. "f8", "(2,)", pack("dd", 1.5, -2)))
      same(gan.tensor({ 1.5, -2 }, real), load(order .. "f4", "(2,)", pack("ff", 1.5, -2)))
      same(gan.tensor({ 1, -2, 65504, 2 ^ -24, 0.5 }, real), load(order .. "f2", "(5,)",
        pack("I2I2I2I2I2", 0x3C00, 0xC000, 0x7BFF, 1, 0x3800)))
      same(gan.tensor({ -5, 2 ^ 62 // 1 | 0 }, int), load(order .. "i8", "(2,)",
        pack("i8i8", -5, 1 << 62)))
      same(gan.tensor({ -5, 6 }, int), load(order .. "i4", "(2,)", pack("i4i4", -5, 6)))
      same(gan.tensor({ -5, 600 }, int), load(order .. "i2", "(2,)", pack("i2i2", -5, 600)))
      same(gan.tensor({ 5, 1 << 40 }, int), load(order .. "u8", "(2,)", pack("I8I8", 5, 1 << 40)))
      same(gan.tensor({ 4294967295 }, int), load(order .. "u4", "(1,)", pack("I4", 4294967295)))
      same(gan.tensor({ 65535 }, int), load(order .. "u2", "(1,)", pack("I2", 65535)))
    end
    same(gan.tensor({ -5 }, int), load("|i1", "(1,)", "\xfb"))
    same(gan.tensor({ 251 }, { dtype = "uint8" }), load("|u1", "(1,)", "\xfb"))
    same(gan.tensor({ 1, 0, 1 }, { dtype = "uint8" }), load("|b1", "(3,)", "\1\0\2"))
    same(gan.tensor(7, { dtype = "uint8" }), load("=u1", "()", "\7"))
    local special = load("<f2", "(3,)", ("<I2I2I2"):pack(0x7C00, 0xFC00, 0x7E00))
    assert.are.same({ math.huge, -math.huge }, special:slice(1, 1, 2):totable())
    assert.is_true(special:get(3) ~= special:get(3))
  end)

  it("reads Fortran order", function()
    local x = load("|u1", "(2, 3)", "adbecf", "True")
    assert.are.equal("abcdef", x:bytes())
    same(gan.tensor({ { 1, 3, 5 }, { 2, 4, 6 } }, { dtype = "int64" }),
      load(">i2", "(2, 3)", (">i2i2i2i2i2i2"):pack(1, 2, 3, 4, 5, 6), "True"))
    assert.are.equal("abc", load("|u1", "(3,)", "abc", "True"):bytes())
    assert.are.same({ 0, 3 }, load("|u1", "(0, 3)", "", "True"):shape())
  end)

  it("accepts any order of keys, either quote, and the other versions", function()
    for _, text in ipairs{ '{"shape":(2,1),"descr":"|u1","fortran_order":False}',
      "{ 'fortran_order' : False , 'shape' : ( 2L , 1L , ) , 'descr' : '|u1' }" } do
      for version = 1, 3 do
        local x = assert(data.npy(s.write("x.npy", npy(text, "ab", version))))
        assert.are.same({ 2, 1 }, x:shape())
      end
    end
  end)

  it("refuses what is malformed", function()
    local good = header("|u1", "(2,)")
    local cases = { -- what is said; header, elements, version
      { "do not fit the 1 bytes", good, "a" },
      { "do not fit the 3 bytes", good, "abc" },
      { "do not fit", header("<f8", "(4294967296, 4294967296)"), "ab" },
      { "do not fit", header("|u1", "(9223372036854775807, 2)"), "ab" },
      { "too large a size at byte", header("|u1", "(9223372036854775808,)"), "ab" },
      { "unknown version 4.0 at byte 6", good, "ab", 4 },
      { "unknown version 0.0", good, "ab", 0 },
      { "'O' at byte 20 is not supported", header("|O", "(2,)"):gsub("|O", "O"), "ab" },
      { "'|O' at byte", header("|O", "(2,)"), "ab" },
      { "'<c8' at byte", header("<c8", "(2,)"), "ab" },
      { "'<f16' at byte", header("<f16", "(2,)"), "ab" },
      { "'|f4' at byte", header("|f4", "(2,)"), "ab" },
      { "'<U3' at byte", header("<U3", "(2,)"), "ab" },
      { "records with fields", good:gsub("'|u1'", "[('a', '<i4')]"), "ab" },
      { "True or False expected", header("|u1", "(2,)", "true"), "ab" },
      { "a tuple expected", header("|u1", "(2)"), "ab" },
      { "'(' expected", header("|u1", "[2]"), "ab" },
      { "a size expected", header("|u1", "(-2,)"), "ab" },
      { "a size expected", header("|u1", "(,)"), "ab" },
      { "',' expected", header("|u1", "(1 2)"), "ab" },
      { "too many dimensions", header("|u1", "(1,1,1,1,1,1,1,1,2)"), "ab" },
      { "an unknown key", good:gsub("shape", "sharp"), "ab" },
      { "there twice", good:gsub("}", "'shape': (2,)}"), "ab" },
      { "is missing", "{'descr': '|u1', 'shape': (2,)}", "ab" },
      { "something after", good .. "x", "ab" },
      { "'{' expected at byte 64", "", "ab" },
      { "a text without end", "{'descr", "ab" },
      { "an escape", "{'de\\x73cr': '|u1'}", "ab" },
      { "',' expected", good:gsub("}", "} }"):gsub(", }", " 'a'"), "ab" },
    }
    for _, case in ipairs(cases) do
      s.refused(case[1], data.npy(s.write("x.npy", npy(case[2], case[3], case[4]))))
    end
    s.refused("no magic number", data.npy(s.write("x.npy", "")))
    s.refused("no magic number", data.npy(s.write("x.npy", "\x93NUMPZ\1\0\0\0")))
    s.refused("longer than the file", data.npy(s.write("x.npy", "\x93NUMPY\1\0\xff\xff{")))
    s.refused("longer than a header may be", data.npy(s.write("x.npy",
      "\x93NUMPY\2\0" .. ("<I4"):pack(100000) .. ("{"):rep(100000))))
    s.refused("above 2^63 - 1 at byte 136", data.npy(s.write("x.npy",
      npy(header("<u8", "(2,)"), ("<I8I8"):pack(1, -1)))))
    s.refused("No such file", data.npy(s.path "none"))
  end)

  it("reads no further than the file when it is cut short", function()
    assert(data.save_npy(s.path "x.npy", gan.randn(3, 2)))
    local bytes = s.read "x.npy"
    for n = 0, #bytes - 1 do
      assert.is_nil((data.npy(s.write("y.npy", bytes:sub(1, n)))))
    end
  end)

  it("takes no memory for what a header claims", function()
    local path = s.write("x.npy", npy(header("<f4", "(1000000, 1000)"), "abcd"))
    collectgarbage()
    gan.reset_peak()
    local before = gan.memory().live
    assert.is_nil((data.npy(path)))
    assert.is_true(gan.memory().peak - before < 4096)
  end)

  it("survives every allocation failing", function()
    local x = gan.randn(3, 4):transpose(1, 2)
    s.survives_failing_allocations(function() return data.save_npy(s.path "x.npy", x) end)
    s.survives_failing_allocations(function() return data.npy(s.path "x.npy") end)
  end)
end)

describe("npz", function()
  local arrays = { weight = gan.randn(30, 4), ["layer/0.b"] = gan.randn(4), ["ä"] = gan.tensor(1),
    n = gan.arange(1, 50, { dtype = "int64" }), u = gan.zeros(40, 40, { dtype = "uint8" }),
    none = gan.zeros(0, 2), t = gan.randn(2, 3):transpose(1, 2) }

  it("gives back what was written, stored and packed", function()
    for _, compress in ipairs{ false, true } do
      assert.is_true(data.save_npz(s.path "x.npz", arrays, { compress = compress }))
      local got = assert(data.npz(s.path "x.npz"))
      for name, x in pairs(arrays) do
        same(x, got[name])
        same(x, assert(data.npz(s.path "x.npz", name)))
        got[name] = nil
      end
      assert.is_nil(next(got))
      assert.are.same({ "layer/0.b", "n", "none", "t", "u", "weight", "ä" },
        files.npz_names(s.path "x.npz"))
      assert.is_true(compress == (#s.read "x.npz" < 3500))
    end
    s.refused("there is no array 'x'", data.npz(s.path "x.npz", "x"))
    assert(data.save_npz(s.path "x.npz", {}))
    assert.are.same({}, data.npz(s.path "x.npz"))
  end)

  it("packs every kind of repetition", function()
    gan.manual_seed(5)
    for _, n in ipairs{ 0, 1, 2, 3, 4, 257, 258, 259, 600, 40000 } do
      for _, values in ipairs{ 1, 2, 3, 256 } do
        local x = (gan.rand(n) * values):floor():to "uint8"
        local y = n > 0 and gan.cat({ x, x, x:slice(1, 1, n // 2) }, { dim = 1 }) or x
        assert(data.save_npz(s.path "x.npz", { y = y }, { compress = true }))
        same(y, assert(data.npz(s.path "x.npz", "y")))
      end
    end
  end)

  it("agrees with numpy in both directions", function()
    for i, compress in ipairs{ false, true } do
      assert(data.save_npz(s.path("ours" .. i .. ".npz"), arrays, { compress = compress }))
    end
    assert(data.save_npy(s.path "ours.npy", arrays.weight))
    local text = s.numpy [[
for name in ("ours1.npz", "ours2.npz"):
    z = np.load(name)
    assert sorted(z.files) == ['layer/0.b', 'n', 'none', 't', 'u', 'weight', 'ä'], z.files
    for k in z.files:
        a = z[k]
        print(name, k, a.dtype, a.shape, a.tobytes().hex()[:64])
assert np.load("ours.npy").tobytes() == np.load("ours1.npz")["weight"].tobytes()
rng = np.random.default_rng(0)
all = {}
types = "<f2 >f2 <f4 >f4 <f8 >f8 |i1 <i2 >i2 <i4 >i4 <i8 >i8 |u1 <u2 >u2 <u4 >u4 <u8 >u8 |b1"
for dt in types.split():
    a = (rng.normal(size=(3, 4, 5)) * 50).astype(dt) if dt[1] != "u" else (
        rng.random((3, 4, 5)) * 200).astype(dt)
    wide = {"f": "f8", "b": "u1"}.get(dt[1], "u1" if dt[1:] == "u1" else "i8")
    np.save("c_%s.npy" % dt[1:].replace(">", "b"), a)
    all[dt] = a
    all["f" + dt] = np.asfortranarray(a)
    all["w" + dt] = a.astype(wide)
np.savez("stored.npz", **all)
np.savez_compressed("packed.npz", **all)
]]
    if not text then
      pending "there is no numpy"
      return
    end
    for line in text:gmatch "[^\n]+" do
      local name, shape, hex = line:match "^%S+ (%S+) %S+ (%b()) (%x*)$"
      local x = assert(arrays[name], line)
      local sizes = table.concat(x:shape(), ", ")
      assert.are.equal("(" .. sizes .. (x:dim() == 1 and ",)" or ")"), shape)
      assert.are.equal((x:bytes():gsub(".", function(c)
        return ("%02x"):format(c:byte())
      end)):sub(1, 64), hex)
    end
    for _, name in ipairs{ "stored.npz", "packed.npz" } do
      local got, n = assert(data.npz(s.path(name))), 0
      for key, x in pairs(got) do
        if key:find "^[<>|]" then
          local wide = got["w" .. key]
          same(wide:to(x:dtype()), x)
          same(x, got["f" .. key])
          n = n + 1
        end
      end
      assert.are.equal(21, n)
    end
  end)

  it("refuses what is malformed", function()
    assert(data.save_npz(s.path "x.npz", { a = gan.ones(2), b = gan.zeros(40) },
      { compress = true }))
    local good = s.read "x.npz"
    local function changed(at, bytes)
      return data.npz(s.write("y.npz", good:sub(1, at - 1) .. bytes .. good:sub(at + #bytes)))
    end
    assert.is_table(changed(1, "PK"))
    for n = 0, #good - 1 do
      assert.is_nil((data.npz(s.write("y.npz", good:sub(1, n)))))
    end
    s.refused("no end record", data.npz(s.write("y.npz", good .. "x")))
    s.refused("header that disagrees", changed(1, "QK"))
    local first = good:find("PK\1\2", 1, true)
    s.refused("a compression other than deflate", changed(first + 10, "\12"))
    s.refused("encrypted", changed(first + 8, "\1"))
    s.refused("no entry of the directory", changed(first, "QK"))
    s.refused("wrong checksum", changed(first + 16, "\0\0\0\0"))
    s.refused("not UTF-8", changed(first + 46, "\xff"))
    s.refused("header that disagrees", changed(first + 46, "c"))
    local second = good:find("PK\1\2", first + 4, true)
    local member = good:find("PK\3\4", 2, true)
    s.refused("overlap", changed(second - 8, ("<I8"):pack(member - 2)))
    s.refused("there twice", changed(second + 46, "a"))
    s.refused("impossible sizes", changed(second - 8, ("<I8"):pack(1 << 40)))
    s.refused("impossible sizes", changed(second - 24, ("<I8"):pack(1 << 62)))
    local stop = good:find("PK\6\6", 1, true)
    s.refused("more members", changed(stop + 24, ("<I8I8"):pack(1 << 60, 1 << 60)))
    s.refused("malformed 64-bit end record", changed(stop + 24, ("<I8"):pack(1)))
    s.refused("malformed locator", changed(stop + 56 + 8, ("<I8"):pack(1)))
    s.refused("does not follow", changed(stop + 48, ("<I8"):pack(1 << 50)))
    s.refused("several parts", changed(#good - 22 + 5, "\1"))
  end)

  it("survives any byte being changed", function()
    assert(data.save_npz(s.path "x.npz", { a = gan.ones(1), bc = gan.zeros(9) },
      { compress = true }))
    local good = s.read "x.npz"
    for i = 1, #good, 3 do
      for _, b in ipairs{ 0, 1, 127, 255 } do
        local got, message = data.npz(s.write("y.npz", good:sub(1, i - 1) .. string.char(b)
          .. good:sub(i + 1)))
        assert.is_true(type(got) == "table" or type(message) == "string")
      end
    end
  end)

  it("does not unpack more than the directory says", function()
    assert(data.save_npz(s.path "x.npz", { a = gan.zeros(10000) }, { compress = true }))
    local good = s.read "x.npz"
    local at = good:find("PK\1\2", 1, true) + 46 + 5 + 4
    for _, size in ipairs{ 100, 40127, 40129, 1 << 20 } do
      s.refused("", data.npz(s.write("y.npz", good:sub(1, at - 1) .. ("<I8"):pack(size)
        .. good:sub(at + 8))))
    end
  end)

  it("raises on misuse", function()
    assert.has_error(function() data.save_npz(s.path "y", { 1 }) end)
    assert.has_error(function() data.save_npz(s.path "y", { a = 1 }) end)
    assert.has_error(function() data.save_npz(s.path "y", { [""] = gan.ones(1) }) end)
    assert.has_error(function() data.save_npz(s.path "y", { ["\xff"] = gan.ones(1) }) end)
    assert.has_error(function() data.save_npz(s.path "y", { ["a\0b"] = gan.ones(1) }) end)
    assert.has_error(function() data.save_npz(s.path "y", {}, { compres = true }) end)
    assert.has_error(function() data.npz(1) end)
    assert.has_error(function() data.npy "a\0b" end)
    assert.has_error(function() data.save_npy(s.path "y", 1) end)
    s.refused("No such file", data.save_npz(s.path "none/y", { a = gan.ones(1) }))
  end)

  it("survives every allocation failing", function()
    for _, compress in ipairs{ false, true } do
      s.survives_failing_allocations(function()
        return data.save_npz(s.path "x.npz", arrays, { compress = compress })
      end)
      s.survives_failing_allocations(function() return data.npz(s.path "x.npz") end)
      s.survives_failing_allocations(function() return data.npz(s.path "x.npz", "u") end)
    end
    s.survives_failing_allocations(function() return files.npz_names(s.path "x.npz") end)
  end)
end)

teardown(s.remove)
