-- The formats: what is written is read again, and nothing malformed gets further than a message.
local gan = require "gan"
local files = gan.files

local folder = os.tmpname()
os.remove(folder)
assert(files.mkdir(folder))

local function path(name)
  return folder .. "/" .. name
end

local function write(name, bytes)
  local f = assert(io.open(path(name), "wb"))
  f:write(bytes)
  f:close()
  return path(name)
end

local function read(name)
  local f = assert(io.open(path(name), "rb"))
  local bytes = f:read "a"
  f:close()
  return bytes
end

--- nil and a message that names the file and has the text
local function refused(text, value, message)
  assert.is_nil(value)
  assert.is_string(message)
  assert.is_truthy(message:find(text, 1, true), message .. " does not say: " .. text)
  assert.is_truthy(message:find(folder, 1, true), message .. " does not name the file")
end

local function same(a, b)
  assert.are.equal(a:dtype(), b:dtype())
  assert.are.same(a:shape(), b:shape())
  assert.are.equal(a:bytes(), b:bytes())
end

local function idx(code, sizes, body)
  local head = string.char(0, 0, code, #sizes)
  for _, n in ipairs(sizes) do
    head = head .. (">I4"):pack(n)
  end
  return head .. body
end

--- A gzip file with one stored (not packed) block.
local function gzip(bytes, change)
  local n = #bytes
  local parts = { flags = "\0", extra = "", crc = files.crc32(bytes), length = n }
  for k, v in pairs(change or {}) do
    parts[k] = v
  end
  return "\x1f\x8b\x08" .. parts.flags .. ("\0"):rep(6) .. parts.extra .. "\1"
    .. ("<I2I2"):pack(n, ~n & 0xffff) .. bytes .. ("<I4I4"):pack(parts.crc, parts.length)
end

-- a JPEG file of 3 x 2 pixels, all of them (200, 100, 50)
local jpeg = ([[
ffd8ffe000104a46494600010100000100010000ffdb0084000302020302020303030304030304050805050404
050a070706080c0a0c0c0b0a0b0b0d0e12100d0e110e0b0b1016101113141515150c0f17181614181214151401
03040405040509050509140d0b0d14141414141414141414141414141414141414141414141414141414141414
14141414141414141414141414141414141414ffc00011080002000303012200021101031101ffc401a2000001
0501010101010100000000000000000102030405060708090a0b100002010303020403050504040000017d0102
0300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a161718191a252627
28292a3435363738393a434445464748494a535455565758595a636465666768696a737475767778797a838485
868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5
d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9fa0100030101010101010101010000000000000102
030405060708090a0b110002010204040304070504040001027700010203110405213106124151076171132232
8108144291a1b1c109233352f0156272d10a162434e125f11718191a262728292a35363738393a434445464748
494a535455565758595a636465666768696a737475767778797a82838485868788898a92939495969798999aa2
a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae2e3e4e5e6e7e8e9eaf2
f3f4f5f6f7f8f9faffda000c03010002110311003f00ab451457e1e7f481ffd9
]]):gsub("%s", ""):gsub("..", function(hex)
  return string.char(tonumber(hex, 16))
end)

describe("files.load_idx", function()
  it("reads every type of element", function()
    local body = string.char(1, 2, 255, 4, 5, 6)
    same(gan.tensor({ { 1, 2, 255 }, { 4, 5, 6 } }, { dtype = "uint8" }),
      files.load_idx(write("u8", idx(0x08, { 2, 3 }, body))))
    same(gan.tensor({ -1, 5 }, { dtype = "int64" }),
      files.load_idx(write("i8", idx(0x09, { 2 }, "\xff\5"))))
    same(gan.tensor({ -2, 300 }, { dtype = "int64" }),
      files.load_idx(write("i16", idx(0x0B, { 2 }, (">i2i2"):pack(-2, 300)))))
    same(gan.tensor({ -70000 }, { dtype = "int64" }),
      files.load_idx(write("i32", idx(0x0C, { 1 }, (">i4"):pack(-70000)))))
    same(gan.tensor{ 0.5, -2 }, files.load_idx(write("f", idx(0x0D, { 2 }, (">ff"):pack(0.5, -2)))))
    same(gan.tensor{ 0.5, -2 }, files.load_idx(write("d", idx(0x0E, { 2 }, (">dd"):pack(0.5, -2)))))
  end)

  it("reads empty arrays and arrays without dimensions", function()
    assert.are.same({ 0, 28, 28 }, files.load_idx(write("e", idx(8, { 0, 28, 28 }, ""))):shape())
    assert.are.equal(7, files.load_idx(write("s", idx(8, {}, "\7"))):item())
  end)

  it("reads gzip files", function()
    local plain = idx(0x08, { 4 }, "abcd")
    local expected = files.load_idx(write("plain", plain))
    same(expected, files.load_idx(write("a.gz", gzip(plain))))
    same(expected, files.load_idx(write("b.gz", gzip(plain, { flags = "\8", extra = "name\0" }))))
    same(expected,
      files.load_idx(write("c.gz", gzip(plain, { flags = "\4", extra = "\3\0xyz" }))))
  end)

  it("refuses what is malformed, and says where", function()
    refused("No such file", files.load_idx(path "missing"))
    refused("not a regular file", files.load_idx(folder))
    refused("no magic number at byte 0", files.load_idx(write("x", "")))
    refused("no magic number at byte 0", files.load_idx(write("x", "hello, world")))
    refused("at byte 2", files.load_idx(write("x", idx(0x0A, { 1 }, "a"))))
    refused("at byte 2", files.load_idx(write("x", "\0\0\8\9" .. ("\0"):rep(40))))
    refused("ends at byte 6", files.load_idx(write("x", "\0\0\8\2\0\0")))
    refused("at byte 4", files.load_idx(write("x", idx(8, { 5 }, "abcd"))))
    refused("at byte 4", files.load_idx(write("x", idx(8, { 3 }, "abcd"))))
    refused("at byte 4", files.load_idx(write("x", idx(8, { 0xffffffff, 0xffffffff, 9 }, "abcd"))))
    refused("at byte 4", files.load_idx(write("x", idx(0x0E, { 0x20000000 }, "abcd"))))
  end)

  it("refuses malformed gzip", function()
    local plain = idx(0x08, { 4 }, "abcd")
    refused("checksum", files.load_idx(write("x", gzip(plain, { crc = 1 }))))
    refused("truncated", files.load_idx(write("x", gzip(plain, { length = #plain + 1 }))))
    refused("cannot hold", files.load_idx(write("x", gzip(plain, { length = 0x7fffffff }))))
    refused("gzip header", files.load_idx(write("x", "\x1f\x8b")))
    refused("gzip header", files.load_idx(write("x", "\x1f\x8b\x07" .. ("\0"):rep(30))))
    refused("gzip header", files.load_idx(write("x", "\x1f\x8b\x08\x08" .. ("a"):rep(30))))
    refused("gzip header", files.load_idx(write("x", "\x1f\x8b\x08\x04" .. ("\xff"):rep(30))))
    local whole = gzip(plain)
    for n = 0, #whole - 1 do
      assert.is_nil((files.load_idx(write("x", whole:sub(1, n)))))
    end
  end)

  it("raises on misuse", function()
    assert.has_error(function() files.load_idx() end)
    assert.has_error(function() files.load_idx("a\0b") end)
  end)
end)

describe("files.write_png and read_image", function()
  it("give back what was written, for 1 to 4 channels", function()
    for channels = 1, 4 do
      local x = (gan.rand(channels, 5, 7) * 255):to "uint8"
      assert.is_true(files.write_png(path "a.png", x))
      same(x, files.read_image(path "a.png"))
    end
    local grey = (gan.rand(5, 7) * 255):to "uint8"
    assert.is_true(files.write_png(path "a.png", grey))
    same(grey:unsqueeze(1), files.read_image(path "a.png"))
  end)

  it("converts to the channels that are asked for", function()
    local x = gan.full({ 1, 2, 2 }, 9, { dtype = "uint8" })
    assert(files.write_png(path "a.png", x))
    assert.are.same({ 3, 2, 2 }, files.read_image(path "a.png", { channels = 3 }):shape())
    assert.are.equal(9, files.read_image(path "a.png", { channels = 3 }):get(3, 2, 2))
    assert.has_error(function() files.read_image(path "a.png", { channels = 5 }) end)
    assert.has_error(function() files.read_image(path "a.png", { channel = 3 }) end)
  end)

  it("writes views", function()
    local x = (gan.rand(3, 4, 6) * 255):to "uint8"
    assert(files.write_png(path "a.png", x:permute(1, 3, 2)))
    same(x:permute(1, 3, 2):contiguous(), files.read_image(path "a.png"))
  end)

  it("refuses what is no image", function()
    refused("not a PNG or JPEG", files.read_image(write("x.png", "")))
    refused("not a PNG or JPEG", files.read_image(write("x.png", "GIF89a" .. ("\0"):rep(40))))
    assert(files.write_png(path "a.png", (gan.rand(3, 9, 9) * 255):to "uint8"))
    local bytes = read "a.png"
    for n = 0, #bytes - 13, 7 do
      assert.is_nil((files.read_image(write("x.png", bytes:sub(1, n)))))
    end
    refused("wrong checksum in the chunk at byte 8",
      files.read_image(write("x.png", bytes:sub(1, 20) .. "\1" .. bytes:sub(22))))
    refused("ends in the chunk at byte 33",
      files.read_image(write("x.png", bytes:sub(1, 33) .. "\xff" .. bytes:sub(35))))
    local function chunk(name, data)
      return (">I4"):pack(#data) .. name .. data .. (">I4"):pack(files.crc32(name .. data))
    end
    refused("without any at byte 33",
      files.read_image(write("x.png", bytes:sub(1, 33) .. chunk("IDAT", "") .. bytes:sub(34))))
    refused("damaged image",
      files.read_image(write("x.png", bytes:sub(1, 33) .. chunk("IDAT", "abc")
        .. chunk("IEND", ""))))
    for size, said in pairs{ [15000] = "too many", [60000] = "too large an image" } do
      local ihdr = "IHDR" .. (">I4I4"):pack(size, size) .. bytes:sub(25, 29)
      local bomb = bytes:sub(1, 12) .. ihdr .. (">I4"):pack(files.crc32(ihdr)) .. bytes:sub(34)
      refused(said, files.read_image(write("x.png", bomb)))
    end
  end)

  it("reads JPEG files, and refuses those that would mislead the decoder", function()
    local x = assert(files.read_image(write("a.jpg", jpeg)))
    assert.are.same({ 3, 2, 3 }, x:shape())
    for channel, v in ipairs{ 200, 100, 50 } do
      assert.is_near(v, x:get(channel, 2, 3), 3)
    end
    assert.are.same({ 1, 2, 3 }, files.read_image(path "a.jpg", { channels = 1 }):shape())
    for n = 2, #jpeg - 1, 11 do
      assert.is_nil((files.read_image(write("x.jpg", jpeg:sub(1, n)))))
    end
    refused("no signature", files.read_image(write("x.jpg", "\xff" .. jpeg)))
    refused("JPEG: no marker at byte 2", files.read_image(write("x.jpg", "\xff\xd8\0\0")))
    local scan = jpeg:find("\xff\xda", 1, true)
    for _, byte in ipairs{ "\x03", "\x30", "\x04" } do
      refused("a table that the scan needs is missing", files.read_image(write("x.jpg",
        jpeg:sub(1, scan + 5) .. byte .. jpeg:sub(scan + 7))))
    end
    local steps = jpeg:find("\xff\xdb", 1, true)
    refused("wrong quantisation", files.read_image(write("x.jpg",
      jpeg:sub(1, steps + 3) .. "\x04" .. jpeg:sub(steps + 5))))
    refused("too many scans", files.read_image(write("x.jpg",
      jpeg:sub(1, scan - 1) .. jpeg:sub(scan, -3):rep(101) .. jpeg:sub(-2))))
    local frame = jpeg:find("\xff\xc0", 1, true)
    refused("are too many for", files.read_image(write("x.jpg",
      jpeg:sub(1, frame + 4) .. "\8\0\8\0" .. jpeg:sub(frame + 9))))
    local table = jpeg:find("\xff\xc4", 1, true)
    refused("wrong Huffman table", files.read_image(write("x.jpg",
      jpeg:sub(1, table + 4) .. ("\xff"):rep(16) .. jpeg:sub(table + 21))))
    refused("wrong length", files.read_image(write("x.jpg",
      jpeg:sub(1, table + 1) .. "\0\1" .. jpeg:sub(table + 4))))
  end)

  it("raises for tensors that are no image", function()
    for _, x in ipairs{ gan.rand(3, 2, 2), gan.zeros(5, 2, 2, { dtype = "uint8" }),
        gan.zeros(2, { dtype = "uint8" }), gan.zeros(1, 0, 3, { dtype = "uint8" }) } do
      assert.has_error(function() files.write_png(path "a.png", x) end)
    end
  end)

  it("says why a file cannot be written", function()
    local x = gan.zeros(1, 2, 2, { dtype = "uint8" })
    refused("No such file", files.write_png(path "none/a.png", x))
  end)
end)

describe("safetensors", function()
  it("gives back what was written", function()
    local x = { weight = gan.randn(3, 4), bias = gan.randn(4), empty = gan.zeros(0, 3),
      count = gan.tensor(7, { dtype = "int64" }),
      bytes = gan.tensor({ 1, 2, 3 }, { dtype = "uint8" }) }
    assert.is_true(files.save_safetensors(path "a", x, { note = 'a "quoted" \\ text\n\1 ä' }))
    local y, metadata = files.load_safetensors(path "a")
    for name, t in pairs(x) do
      same(t, y[name])
      y[name] = nil
    end
    assert.is_nil(next(y))
    assert.are.same({ note = 'a "quoted" \\ text\n\1 ä' }, metadata)
  end)

  it("is the same file for the same tensors, aligned, without gaps", function()
    local x = { b = gan.ones(3), a = gan.ones(2), u = gan.zeros(3, { dtype = "uint8" }),
      i = gan.zeros(1, { dtype = "int64" }) }
    assert(files.save_safetensors(path "a", x))
    local first = read "a"
    assert(files.save_safetensors(path "a", { i = x.i, u = x.u, a = x.a, b = x.b }))
    assert.are.equal(first, read "a")
    local length = ("<I8"):unpack(first)
    assert.are.equal(0, length % 8)
    local real = gan.config.real == "float32" and { "F32", 4 } or { "F64", 8 }
    local header = first:sub(9, 8 + length)
    local a, b = 8, 8 + 2 * real[2]
    local entry = ('"a":{"dtype":"%s","shape":[2],"data_offsets":[%d,%d]}'):format(real[1], a, b)
    if real[2] == 4 then
      assert.is_truthy(header:find(entry, 1, true), header)
    end
    assert.are.equal(8 + length + 5 * real[2] + 8 + 3, #first)
  end)

  it("writes no tensors at all", function()
    assert(files.save_safetensors(path "a", {}))
    assert.are.same({}, (files.load_safetensors(path "a")))
  end)

  it("stores tied tensors once", function()
    local w = gan.randn(3, 4)
    assert(files.save_safetensors(path "a", { enc = w, dec = w:transpose(1, 2), same = w,
      part = w:slice(1, 1, 2) }, { k = "v" }))
    local y, metadata = files.load_safetensors(path "a")
    same(w, y.enc)
    same(w, y.same)
    same(w:transpose(1, 2):contiguous(), y.dec:contiguous())
    same(w:slice(1, 1, 2):contiguous(), y.part)
    assert.are.same({ k = "v" }, metadata)
    local header = read("a"):match '^........({.-}) *'
    assert.is_truthy(header:find('"alias:enc":"dec^T"', 1, true), header)
    assert.is_truthy(header:find('"alias:same":"dec^T"', 1, true), header)
  end)

  it("reads the types that others write", function()
    local function one(dtype, body, n)
      local header = ('{"x":{"dtype":"%s","shape":[%d],"data_offsets":[0,%d]}}'):format(dtype, n,
        #body)
      return assert(files.load_safetensors(write("x", ("<I8"):pack(#header) .. header .. body))).x
    end
    same(gan.tensor{ 1.5, -2 }, one("F64", ("<dd"):pack(1.5, -2), 2))
    same(gan.tensor{ 1.5, -2 }, one("F32", ("<ff"):pack(1.5, -2), 2))
    same(gan.tensor{ 1, -2, 65504, 2 ^ -24, 0.5 },
      one("F16", ("<I2I2I2I2I2"):pack(0x3C00, 0xC000, 0x7BFF, 1, 0x3800), 5))
    local special = one("F16", ("<I2I2I2"):pack(0x7C00, 0xFC00, 0x7E00), 3)
    assert.are.equal(math.huge, special:get(1))
    assert.are.equal(-math.huge, special:get(2))
    assert.is_true(special:get(3) ~= special:get(3))
    same(gan.tensor{ 1, -2 }, one("BF16", ("<I2I2"):pack(0x3F80, 0xC000), 2))
    same(gan.tensor({ -5, 6 }, { dtype = "int64" }), one("I32", ("<i4i4"):pack(-5, 6), 2))
    same(gan.tensor({ -5 }, { dtype = "int64" }), one("I16", ("<i2"):pack(-5), 1))
    same(gan.tensor({ -5 }, { dtype = "int64" }), one("I8", "\xfb", 1))
    same(gan.tensor({ 65535 }, { dtype = "int64" }), one("U16", "\xff\xff", 1))
    same(gan.tensor({ 5 }, { dtype = "int64" }), one("U64", ("<I8"):pack(5), 1))
    same(gan.tensor({ 1, 0 }, { dtype = "uint8" }), one("BOOL", "\1\0", 2))
  end)

  local function file(header, body, length)
    return write("x", ("<I8"):pack(length or #header) .. header .. (body or ""))
  end

  local function entry(shape, from, to, dtype)
    return ('{"dtype":"%s","shape":[%s],"data_offsets":[%d,%d]}'):format(dtype or "U8", shape, from,
      to)
  end

  it("accepts any order of fields and spaces, and escapes", function()
    local y = assert(files.load_safetensors(file(
      '{ "\\u0061\\ud83d\\ude00\\/" :\n\t{"shape":[ 1 , 2 ],"data_offsets":[0,2],"dtype":"U8"}} \n',
      "ab")))
    assert.are.equal("ab", y["a\u{1F600}/"]:bytes())
  end)

  it("refuses malformed headers", function()
    local one = entry("2", 0, 2)
    local cases = { -- what is said; header, data, length
      { "longer than the file", "{}", "", 3 },
      { "longer than the file", "{}", "", -1 },
      { "'{' expected at byte 8", "", "" },
      { "'{' expected at byte 8", " {}", "" },
      { "'\"' expected at byte 9", "{1:2}" },
      { "closing brace at byte 10", "{}x" },
      { "a text without end", '{"a' },
      { "control character", '{"a\n":' .. one .. "}", "ab" },
      { "escape", '{"a\\x":' .. one .. "}", "ab" },
      { "escape", '{"a\\ud800":' .. one .. "}", "ab" },
      { "escape", '{"a\\u12"' },
      { "not UTF-8", '{"a\xff":' .. one .. "}", "ab" },
      { "not UTF-8", '{"\xc0\x80":' .. one .. "}", "ab" },
      { "there twice", '{"a":' .. one .. ',"a":' .. entry("1", 2, 3) .. "}", "abc" },
      { "overlap", '{"a":' .. one .. ',"b":' .. entry("2", 1, 3) .. "}", "abc" },
      { "a hole", '{"a":' .. one .. ',"b":' .. entry("1", 3, 4) .. "}", "abcd" },
      { "a hole", '{"a":' .. entry("2", 1, 3) .. "}", "abc" },
      { "belong to no tensor", '{"a":' .. one .. "}", "abc" },
      { "belong to no tensor", "{}", "abc" },
      { "beyond the end", '{"a":' .. entry("3", 0, 3) .. "}", "ab" },
      { "disagree", '{"a":' .. entry("3", 0, 2) .. "}", "ab" },
      { "disagree", '{"a":' .. entry("4294967296,4294967296,4294967296", 0, 2) .. "}", "ab" },
      { "disagree", '{"a":' .. entry("2", 0, 2, "F32") .. "}", "ab" },
      { "begin, end", '{"a":' .. entry("2", 2, 0) .. "}", "ab" },
      { "unknown type 'F4'", '{"a":' .. entry("2", 0, 2, "F4") .. "}", "ab" },
      { "unknown field", '{"a":{"dtype":"U8","shape":[2],"offsets":[0,2]}}', "ab" },
      { "missing", '{"a":{"dtype":"U8","shape":[2]}}', "ab" },
      { "a field is there twice", '{"a":{"dtype":"U8","dtype":"U8"}}', "ab" },
      { "too many numbers", '{"a":' .. entry("1,1,1,1,1,1,1,1,1", 0, 1) .. "}", "a" },
      { "whole number", '{"a":' .. entry("-1", 0, 2) .. "}", "ab" },
      { "whole number", '{"a":' .. entry("02", 0, 2) .. "}", "ab" },
      { "']' expected", '{"a":' .. entry("2.0", 0, 2) .. "}", "ab" },
      { "too large", '{"a":' .. entry("9223372036854775808", 0, 2) .. "}", "ab" },
      { "expected", '{"a":' .. one .. ",}", "ab" },
      { "expected", '{"__metadata__":{"a":1}}' },
      { "expected", '{"__metadata__":[]}' },
      { "__metadata__ is there twice", '{"__metadata__":{},"__metadata__":{}}' },
      { "key 'a' is there twice", '{"__metadata__":{"a":"","a":""}}' },
      { "not valid", '{"__metadata__":{"alias:b":"c"},"a":' .. one .. "}", "ab" },
      { "not valid", '{"__metadata__":{"alias:a":"a"},"a":' .. one .. "}", "ab" },
      { "not valid", '{"__metadata__":{"alias:b":"a^T"},"a":' .. one .. "}", "ab" },
    }
    refused("ends at byte 4", files.load_safetensors(write("x", "1234")))
    for _, case in ipairs(cases) do
      refused(case[1], files.load_safetensors(file(case[2], case[3], case[4])))
    end
  end)

  it("reads no further than the file when it is cut short", function()
    assert(files.save_safetensors(path "a", { x = gan.randn(4), y = gan.randn(2, 2) }))
    local bytes = read "a"
    for n = 0, #bytes - 1 do
      assert.is_nil((files.load_safetensors(write("x", bytes:sub(1, n)))))
    end
  end)

  it("survives any byte of the header being changed", function()
    assert(files.save_safetensors(path "a", { x = gan.ones(2), y = gan.ones(1, 2) }, { k = "v" }))
    local bytes = read "a"
    local length = ("<I8"):unpack(bytes)
    for i = 1, 8 + length do
      for _, b in ipairs{ 0, 34, 44, 48, 57, 92, 93, 125, 255 } do
        local y = files.load_safetensors(write("x", bytes:sub(1, i - 1) .. string.char(b)
          .. bytes:sub(i + 1)))
        assert.is_true(y == nil or type(y) == "table")
      end
    end
  end)

  it("raises on misuse", function()
    assert.has_error(function() files.save_safetensors(path "a", { x = 1 }) end)
    assert.has_error(function() files.save_safetensors(path "a", { gan.ones(1) }) end)
    assert.has_error(function() files.save_safetensors(path "a", {}, { a = 1 }) end)
    local x = gan.ones(1)
    assert.has_error(function() files.save_safetensors(path "a", { __metadata__ = x }) end)
    assert.has_error(function() files.save_safetensors(path "a", { ["\xff"] = x }) end)
    x:release()
    assert.has_error(function() files.save_safetensors(path "a", { x = x }) end)
  end)

  it("leaves the old file when the new one cannot be written", function()
    assert(files.save_safetensors(path "a", { x = gan.ones(2) }))
    local before = read "a"
    assert.has_error(function() files.save_safetensors(path "a", { x = 1 }) end)
    assert.are.equal(before, read "a")
    refused("No such file", files.save_safetensors(path "no/a", { x = gan.ones(2) }))
  end)

  it("survives every allocation failing", function()
    local x = { a = gan.randn(3, 4), b = gan.ones(2) }
    assert(files.save_safetensors(path "a", x))
    for _, f in ipairs{ function() return files.load_safetensors(path "a") end,
        function() return files.save_safetensors(path "b", x) end } do
      local k, done = 0, nil
      repeat
        collectgarbage()
        local live = gan.memory().live
        gan.debug.fail_after(k)
        local ok, result = pcall(f)
        gan.debug.fail_after(nil)
        done = ok and result ~= nil
        result = nil
        collectgarbage()
        assert.are.equal(live, gan.memory().live)
        k = k + 1
      until done or k > 200
      assert.is_true(done)
    end
  end)
end)

describe("files.replace", function()
  it("writes to a pipe, which stays one", function()
    local pipe, copy = path "pipe", path "copy"
    assert(os.execute(("mkfifo %s && (timeout 20 cat %s > %s &)"):format(pipe, pipe, copy)))
    assert.is_true(files.replace(pipe, "through the pipe"))
    assert.is_true(os.execute("test -p " .. pipe))
    local from = os.time()
    repeat
      local f = io.open(copy)
      local text = f and f:read "a"
      if f then f:close() end
    until text == "through the pipe" or os.time() - from > 10
    assert.equal("through the pipe", read "copy")
  end)

  it("replaces a file, and leaves nothing beside it", function()
    assert.is_true(files.replace(path "r", "one"))
    assert.is_true(files.replace(path "r", "two\0\n"))
    assert.are.equal("two\0\n", read "r")
    local list = io.popen("ls " .. folder)
    assert.is_nil(list:read("a"):find("%.tmp"))
    list:close()
  end)

  it("follows links and keeps rights", function()
    files.replace(path "target", "old")
    os.execute(("chmod 640 %s && ln -sf target %s"):format(path "target", path "link"))
    assert(files.replace(path "link", "new"))
    assert.are.equal("new", read "target")
    local list = io.popen(("ls -l %s %s"):format(path "target", path "link"))
    local text = list:read "a"
    list:close()
    assert.is_truthy(text:find("%-rw%-r%-%-%-%-%-"))
    assert.is_truthy(text:find("%-> target"))
  end)

  it("says why it cannot", function()
    refused("No such file", files.replace(path "none/r", ""))
    refused("", files.replace(folder, ""))
  end)
end)

describe("files", function()
  it("makes folders with their parents", function()
    assert.is_true(files.mkdir(path "a1/b/c"))
    assert.is_true(files.mkdir(path "a1/b/c/"))
    assert.is_true(files.mkdir(path "a1"))
    write("file", "")
    refused("Not a directory", files.mkdir(path "file/x"))
    refused("Not a directory", files.mkdir(path "file"))
  end)

  it("has a clock, a checksum and a terminal that may be none", function()
    local t = files.time()
    assert.is_true(files.time() >= t)
    assert.are.equal(0xCBF43926, files.crc32 "123456789")
    assert.are.equal(0xCBF43926, files.crc32("6789", files.crc32 "12345"))
    assert.are.equal(0, files.crc32 "")
    assert.is_boolean(files.isatty(0))
    assert.is_true(files.terminal_width() == nil or files.terminal_width() > 0)
  end)

  it("has the sources of the library", function()
    assert.is_truthy(files.sources("gan"):find("require", 1, true))
    assert.is_nil(files.sources "gan.none")
    assert.is_true(#files.sources() > 10)
  end)
end)

teardown(function()
  os.execute("rm -rf " .. folder)
end)
