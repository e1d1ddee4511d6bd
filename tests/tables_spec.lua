-- Tables of text and sound.
local gan = require "gan"
local data = gan.data
local s = require("tests.scratch").new()

local function csv(text, options)
  return data.csv(s.write("x.csv", text), options)
end

local function numbers(x)
  local list = x:reshape(-1):totable()
  for i, v in ipairs(list) do
    list[i] = v ~= v and "nan" or v
  end
  return list
end

describe("CSV", function()
  it("reads numbers and the names of columns", function()
    local t = assert(csv "a,b,c\n1,2.5,-3\n4,5e1,.5\n")
    assert.are.same({ "a", "b", "c" }, t.columns)
    assert.are.same({ { 1, 2.5, -3 }, { 4, 50, 0.5 } }, t.x:totable())
    assert.are.equal(gan.config.real, t.x:dtype())
    assert.is_nil(t.labels)
    t = assert(csv("1;2\n3;4", { header = false, separator = ";" }))
    assert.are.same({ "1", "2" }, t.columns)
    assert.are.same({ { 1, 2 }, { 3, 4 } }, t.x:totable())
    assert.are.same({ 0, 2 }, csv("a,b\n").x:shape())
    assert.are.same({ 0, 2 }, csv("a,b").x:shape())
  end)

  it("knows quotes, line ends, blank lines and a byte order mark", function()
    local t = assert(csv '\xef\xbb\xbf"a ""b""", c ,"d\ne"\r\n\r\n"1", 2 ,3\r\n\n4,"5","6"')
    assert.are.same({ 'a "b"', "c", "d\ne" }, t.columns)
    assert.are.same({ { 1, 2, 3 }, { 4, 5, 6 } }, t.x:totable())
    assert.are.same({ { 7, 8 } }, csv("a,b\r\n7,8\r").x:totable())
  end)

  it("makes NaN of missing values", function()
    local t = assert(csv "a,b,c,d\n1,,NA,\nnan,N/A,null,None\n?,inf,-Infinity,\"\"\n")
    assert.are.same({ 1, "nan", "nan", "nan", "nan", "nan", "nan", "nan", "nan", math.huge,
      -math.huge, "nan" }, numbers(t.x))
  end)

  it("reads numbers as exactly as the compute type can hold them", function()
    local texts = { "0.1", "1e22", "1e23", "123456789012345678901234567890", "1e-400", "1e400",
      "-0.0", "+3", "4.9406564584124654e-324", "1.7976931348623157e308", "9007199254740993",
      "0.00000000000000000000000000012345678901234567", "100000000000000000000000", "3.",
      "179769313486231580793728971405301e276", "2.2250738585072011e-308" }
    local t = assert(csv("x\n" .. table.concat(texts, "\n")))
    for i, text in ipairs(texts) do
      assert.are.equal(gan.tensor{ tonumber(text) }:bytes(), t.x[i]:bytes(), text)
    end
  end)

  it("does not depend on the locale", function()
    local before = os.setlocale(nil, "numeric")
    for _, name in ipairs{ "de_DE.UTF-8", "fr_FR.UTF-8", "C" } do
      if os.setlocale(name, "numeric") then
        assert.are.equal(gan.tensor{ 0.1234567890123456789 }:bytes(),
          csv("x\n0.1234567890123456789").x[1]:bytes())
      end
    end
    os.setlocale(before, "numeric")
  end)

  it("chooses columns by name and number, in the order asked for", function()
    local t = assert(csv("a,b,c\n1,x,3\n4,y,6\n", { columns = { "c", 1 } }))
    assert.are.same({ "c", "a" }, t.columns)
    assert.are.same({ { 3, 1 }, { 6, 4 } }, t.x:totable())
    assert.are.same({ 2, 0 }, csv("a\n1\n2\n", { columns = {} }).x:shape())
    s.refused("no column 'd' in the header", csv("a,b\n1,2", { columns = { "d" } }))
    s.refused("no column 3, there are 2", csv("a,b\n1,2", { columns = { 3 } }))
    s.refused("no column 0", csv("a,b\n1,2", { columns = { 0 } }))
    s.refused("two columns are called 'a'", csv("a,a\n1,2", { columns = { "a" } }))
    s.refused("asked for twice", csv("a,b\n1,2", { columns = { "a", 1 } }))
    s.refused("there is no header", csv("1,2", { columns = { "a" }, header = false }))
  end)

  it("numbers labels in their order", function()
    local t = assert(csv("kind,x\ndog,1\ncat,2\n dog ,3\n\"a \"\"b\"\"\",4\n", { labels = "kind" }))
    assert.are.same({ 'a "b"', "cat", "dog" }, t.classes)
    assert.are.same({ 3, 2, 3, 1 }, t.labels:totable())
    assert.are.equal("int64", t.labels:dtype())
    assert.are.same({ "x" }, t.columns)
    t = assert(csv("10,a\n9,b\n10,c\n", { labels = { 1, 2 }, header = false }))
    assert.are.same({ ["1"] = { "9", "10" }, ["2"] = { "a", "b", "c" } }, t.classes)
    assert.are.same({ 2, 1, 2 }, t.labels["1"]:totable())
    assert.are.same({ 3, 0 }, t.x:shape())
    local rows = { "n" }
    for i = 1, 3000 do
      rows[i + 1] = ("%d"):format((i * 7919) % 1000)
    end
    t = assert(csv(table.concat(rows, "\n"), { labels = "n" }))
    assert.are.equal(1000, #t.classes)
    for i = 1, 3000 do
      assert.are.equal((i * 7919) % 1000 + 1, t.labels:get(i))
    end
  end)

  it("says in which line something is wrong", function()
    s.refused("line 3 has 1 fields, the first has 2", csv "a,b\n1,2\n3\n")
    s.refused("line 4 has 3 fields", csv 'a,b\n1,"\n2"\n3,4,5\n')
    s.refused("line 3, column 'b': 'x' is not a number", csv "a,b\n1,2\n3,x\n")
    s.refused("line 1, column '2': '0x10' is not a number", csv("1,0x10", { header = false }))
    for _, text in ipairs{ "1e", "e5", ".", "-", "1 2", "1.2.3", "--1", "nano", "1e+", "in" } do
      s.refused("is not a number", csv("a,b\n1," .. text))
    end
    s.refused("a label is missing in line 3", csv("a,b\n1,2\n,2", { labels = "a" }))
    s.refused("without end in line 2", csv 'a,b\n1,"2\n3,4')
    s.refused("behind a quoted field in line 2", csv 'a,b\n1,"2"3\n')
    s.refused("no record in line 1", csv "")
    s.refused("too many fields in line 1", csv((","):rep(100001)))
    s.refused("No such file", data.csv(s.path "none"))
    assert.has_error(function() csv("a", { separator = "" }) end)
    assert.has_error(function() csv("a", { separator = '"' }) end)
    assert.has_error(function() csv("a", { columns = { 1.5 } }) end)
    assert.has_error(function() csv("a", { colums = { 1 } }) end)
  end)

  it("takes memory in proportion to the file", function()
    local path = s.write("y.csv", (","):rep(99999) .. "\n")
    for _, header in ipairs{ true, false } do
      collectgarbage()
      gan.reset_peak()
      local before = gan.memory().live
      assert.are.same({ header and 0 or 1, 100000 }, data.csv(path, { header = header }).x:shape())
      assert.is_true(gan.memory().peak - before < 80 * 100000)
    end
  end)

  it("survives every allocation failing", function()
    local path = s.write("y.csv", 'a,b,"c""d"\nx,1,2\ny,3,4\n')
    s.survives_failing_allocations(function() return data.csv(path, { labels = { "a" } }) end)
  end)
end)

local function wav(format, samples, change)
  local c = change or {}
  local fmt = c.fmt or ("<I2I2I4I4I2I2"):pack(table.unpack(format))
  local body = "WAVE" .. (c.before or "") .. "fmt " .. ("<I4"):pack(#fmt) .. fmt
    .. (c.between or "") .. "data" .. ("<I4"):pack(c.data or #samples) .. samples
  return s.write("x.wav", "RIFF" .. ("<I4"):pack(c.riff or #body) .. body)
end

local mono16 = { 1, 1, 8000, 16000, 2, 16 }

describe("WAV", function()
  it("reads PCM of every width", function()
    local x, info = data.wav(wav(mono16, ("<i2i2i2"):pack(0, 16384, -32768)))
    assert.are.same({ { 0, 0.5, -1 } }, x:totable())
    assert.are.same({ rate = 8000, channels = 1, frames = 3, bits = 16, format = "pcm" }, info)
    assert.are.same({ { 0, -1, 0.5 } },
      data.wav(wav({ 1, 1, 8000, 8000, 1, 8 }, "\x80\0\xc0")):totable())
    assert.are.same({ { 0.5 }, { -1 } }, data.wav(wav({ 1, 2, 8000, 48000, 6, 24 },
      ("<i3i3"):pack(1 << 22, -1 << 23))):totable())
    assert.are.same({ { -0.5 } },
      data.wav(wav({ 1, 1, 8000, 32000, 4, 32 }, ("<i4"):pack(-1 << 30))):totable())
    assert.are.same({ { 1.5, -2 } },
      data.wav(wav({ 3, 1, 8000, 32000, 4, 32 }, ("<ff"):pack(1.5, -2))):totable())
    assert.are.same({ { 1.5 } },
      data.wav(wav({ 3, 1, 8000, 64000, 8, 64 }, ("<d"):pack(1.5))):totable())
    assert.are.same({ 1, 0 }, data.wav(wav(mono16, "")):shape())
  end)

  it("reads the extended form, and passes over other chunks", function()
    local guid = "\1\0\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"
    local fmt = ("<I2I2I4I4I2I2I2I2I4"):pack(0xFFFE, 1, 8000, 16000, 2, 16, 22, 16, 4) .. guid
    local other = "LIST" .. ("<I4"):pack(3) .. "abc\0"
    assert.are.same({ { 0.5 } }, data.wav(wav(nil, ("<i2"):pack(16384),
      { fmt = fmt, before = other, between = other })):totable())
  end)

  it("gives back what was written", function()
    local x = (gan.rand(2, 4099) * 65536 - 32768):floor() / 32768
    for bits = 16, 32, 8 do
      assert.is_true(data.save_wav(s.path "y.wav", x, { rate = 44100, bits = bits }))
      local y, info = data.wav(s.path "y.wav")
      assert.are.equal(x:bytes(), y:bytes())
      assert.are.same({ 44100, 2, bits }, { info.rate, info.channels, info.bits })
    end
    local wide = gan.randn(3, 50):to(gan.config.real)
    assert(data.save_wav(s.path "y.wav", wide, { rate = 1, format = "float" }))
    assert.are.equal("float", select(2, data.wav(s.path "y.wav")).format)
    assert.is_true((data.wav(s.path "y.wav") - wide):abs():amax():item() < 1e-6)
    assert(data.save_wav(s.path "y.wav", gan.tensor{ 2, -2, 0 / 0, 0.5 }, { rate = 1, bits = 8 }))
    assert.are.same({ { 127 / 128, -1, 0, 0.5 } }, data.wav(s.path "y.wav"):totable())
    assert.are.equal(0, #s.read "y.wav" % 2)
    assert(data.save_wav(s.path "y.wav", gan.zeros(1, 0), { rate = 1 }))
    assert.are.same({ 1, 0 }, data.wav(s.path "y.wav"):shape())
    assert(data.save_wav(s.path "y.wav", gan.rand(3, 2):transpose(1, 2), { rate = 1 }))
  end)

  it("reads a part", function()
    local x = gan.arange(1, 9000):reshape(2, 4500) / 16384
    assert(data.save_wav(s.path "y.wav", x, { rate = 8000 }))
    local y, info = data.wav(s.path "y.wav", { first = 4001, frames = 100 })
    assert.are.equal(x:slice(2, 4001, 4100):bytes(), y:bytes())
    assert.are.equal(4500, info.frames)
    assert.are.same({ 2, 500 }, data.wav(s.path "y.wav", { first = 4001 }):shape())
    assert.are.same({ 2, 0 }, data.wav(s.path "y.wav", { first = 4501 }):shape())
    s.refused("there are 4500 frames, 2 from 4500 on", data.wav(s.path "y.wav",
      { first = 4500, frames = 2 }))
    s.refused("there are 4500 frames", data.wav(s.path "y.wav", { first = 9000 }))
    s.refused("there are 4500 frames", data.wav(s.path "y.wav", { frames = math.maxinteger }))
  end)

  it("is read by Python as it was written", function()
    assert(data.save_wav(s.path "y.wav", gan.tensor{ { 0, 0.5 }, { -1, -0.5 } }, { rate = 8000 }))
    local text = s.numpy [[
import wave
w = wave.open("y.wav")
print(w.getnchannels(), w.getframerate(), w.getsampwidth(), w.getnframes(),
      np.frombuffer(w.readframes(2), "<i2").tolist())
]]
    if not text then
      pending "there is no numpy"
      return
    end
    assert.are.equal("2 8000 2 2 [0, -32768, 16384, -16384]\n", text)
  end)

  it("refuses what is malformed", function()
    local two = "\0\0\0\0"
    s.refused("no RIFF WAVE header", data.wav(s.write("x.wav", ("x"):rep(50))))
    s.refused("too short", data.wav(s.write("x.wav", "RIFF")))
    s.refused("shorter than it says at byte 4", data.wav(wav(mono16, two, { riff = 1000 })))
    s.refused("ends in the chunk at byte 36", data.wav(wav(mono16, two, { data = 5 })))
    s.refused("ends in the chunk", data.wav(wav(mono16, two, { data = 0xFFFFFFFF })))
    s.refused("an incomplete frame", data.wav(wav(mono16, "\0\0\0")))
    s.refused("neither PCM", data.wav(wav({ 2, 1, 8000, 16000, 2, 16 }, two)))
    s.refused("neither PCM", data.wav(wav({ 1, 1, 8000, 16000, 2, 12 }, two)))
    s.refused("neither PCM", data.wav(wav({ 1, 1, 8000, 64000, 8, 64 }, two)))
    s.refused("neither PCM", data.wav(wav({ 3, 1, 8000, 16000, 2, 16 }, two)))
    s.refused("impossible number", data.wav(wav({ 1, 0, 8000, 0, 0, 16 }, two)))
    s.refused("impossible number", data.wav(wav({ 1, 1, 0, 0, 2, 16 }, two)))
    s.refused("impossible number", data.wav(wav({ 1, 2, 8000, 16000, 2, 16 }, two)))
    s.refused("impossible number", data.wav(wav({ 1, 65535, 8000, 0, 65534, 16 }, two)))
    s.refused("a short format", data.wav(wav(nil, two, { fmt = "\1\0\1\0" })))
    s.refused("unknown extended format", data.wav(wav({ 0xFFFE, 1, 8000, 16000, 2, 16 }, two)))
    s.refused("a second format", data.wav(wav(mono16, two,
      { between = "fmt " .. ("<I4"):pack(16) .. ("\0"):rep(16) })))
    s.refused("before their format", data.wav(wav(mono16, two,
      { before = "data" .. ("<I4"):pack(0) })))
    assert(data.save_wav(s.path "y.wav", gan.rand(2, 9), { rate = 8000, bits = 24 }))
    local bytes = s.read "y.wav"
    for n = 0, #bytes - 1 do
      assert.is_nil((data.wav(s.write("x.wav", bytes:sub(1, n)))))
    end
  end)

  it("raises on misuse", function()
    local x = gan.rand(2, 3)
    assert.has_error(function() data.save_wav(s.path "y", x) end)
    assert.has_error(function() data.save_wav(s.path "y", x, { rate = 0 }) end)
    assert.has_error(function() data.save_wav(s.path "y", x, { rate = 1, bits = 12 }) end)
    assert.has_error(function()
      data.save_wav(s.path "y", x, { rate = 1, bits = 16, format = "float" })
    end)
    assert.has_error(function() data.save_wav(s.path "y", gan.rand(1, 1, 1), { rate = 1 }) end)
    assert.has_error(function() data.save_wav(s.path "y", gan.rand(0, 1), { rate = 1 }) end)
    assert.has_error(function()
      data.save_wav(s.path "y", gan.zeros(3, { dtype = "uint8" }), { rate = 1 })
    end)
    assert.has_error(function() data.wav(s.path "y", { first = 0 }) end)
    s.refused("No such file", data.save_wav(s.path "none/y", x, { rate = 1 }))
  end)

  it("survives every allocation failing", function()
    local x = gan.rand(2, 3):transpose(1, 2)
    s.survives_failing_allocations(function()
      return data.save_wav(s.path "y.wav", x, { rate = 1 })
    end)
    s.survives_failing_allocations(function() return (data.wav(s.path "y.wav")) end)
  end)
end)

teardown(s.remove)
