-- Writes small valid files of every format: the first inputs of the fuzzer (scripts/fuzz).
--   gan-lua tests/fuzz/seeds.lua FOLDER

local gan = require "gan"
local files = gan.files
local root = assert(arg and arg[1], "seeds.lua FOLDER")

local function path(reader, name)
  assert(files.mkdir(root .. "/" .. reader))
  return root .. "/" .. reader .. "/" .. name
end

local function write(reader, name, bytes)
  assert(files.replace(path(reader, name), bytes))
end

gan.manual_seed(1)
local real = gan.randn(2, 3)
local ints = gan.arange(1, 6, { dtype = "int64" })
local bytes = gan.tensor({ { 1, 2 }, { 3, 4 } }, { dtype = "uint8" })

for i, x in ipairs{ real, ints, bytes, gan.tensor(1), gan.zeros(0, 2) } do
  assert(files.save_npy(path("npy", "saved" .. i), x))
end
local function npy(descr, order, shape, data)
  local head = ("{'descr': '%s', 'fortran_order': %s, 'shape': %s, }\n"):format(descr, order, shape)
  return "\x93NUMPY\1\0" .. ("<I2"):pack(#head) .. head .. data
end
for i, case in ipairs{ { ">f8", 8 }, { "<f2", 2 }, { "|b1", 1 }, { "|i1", 1 }, { ">u4", 4 },
  { "<u8", 8 }, { ">i2", 2 } } do
  write("npy", "type" .. i, npy(case[1], "True", "(2, 3)", ("\1"):rep(6 * case[2])))
end

assert(files.save_npz(path("npz", "stored"), { a = real, b = ints }))
assert(files.save_npz(path("npz", "packed"), { a = gan.zeros(8, 8), b = bytes },
  { compress = true }))
assert(files.save_npz(path("npz", "empty"), {}))
-- as zipfile writes it: sizes of 32 bits
local member = npy("<f4", "False", "(2,)", ("<ff"):pack(1, 2))
local sizes = ("<I4I4I4I2I2"):pack(files.crc32(member), #member, #member, 5, 0)
local head = ("<I2I2I2I2I2"):pack(20, 0, 0, 0, 0x21) .. sizes
local directory = "PK\1\2\20\0" .. head .. ("\0"):rep(14) .. "x.npy"
write("npz", "narrow", "PK\3\4" .. head .. "x.npy" .. member .. directory .. "PK\5\6"
  .. ("<I2I2I2I2I4I4I2"):pack(0, 0, 1, 1, #directory, 35 + #member, 0))

write("idx", "bytes", "\0\0\8\3" .. (">I4I4I4"):pack(1, 2, 3) .. "abcdef")
write("idx", "floats", "\0\0\13\1" .. (">I4ff"):pack(2, 1, 2))
write("idx", "ints", "\0\0\11\2" .. (">I4I4"):pack(1, 2) .. "\0\1\0\2")

local function gzip(text)
  return "\x1f\x8b\8\0\0\0\0\0\0\3\1" .. ("<I2I2"):pack(#text, ~#text & 0xffff) .. text
    .. ("<I4I4"):pack(files.crc32(text), #text)
end
write("gzip", "stored", gzip "hello, hello")
write("gzip", "fixed", "\x1f\x8b\8\8\0\0\0\0\0\3name\0\x4b\x4c\x4a\x4e\x49\x4d\x4b\4\0"
  .. ("<I4I4"):pack(files.crc32 "abcdefd", 7))
write("idx", "packed", gzip("\0\0\8\1" .. (">I4"):pack(3) .. "abc"))

assert(files.save_safetensors(path("safetensors", "saved"), { a = real, b = ints, c = real,
  t = real:transpose(1, 2), u = bytes }, { note = 'x "y"' }))

for channels = 1, 4 do
  assert(files.write_png(path("png", "c" .. channels), (gan.rand(channels, 6, 5) * 255):to "uint8"))
end
local function chunk(name, data)
  return (">I4"):pack(#data) .. name .. data .. (">I4"):pack(files.crc32(name .. data))
end
-- a palette of two colours, interlaced, 8 x 8, one bit a pixel, stored
local rows = ("\0\xaa"):rep(15)
write("png", "palette", "\x89PNG\r\n\26\n" .. chunk("IHDR", (">I4I4"):pack(8, 8) .. "\1\3\0\0\1")
  .. chunk("PLTE", "\0\0\0\xff\xff\xff") .. chunk("tRNS", "\0")
  .. chunk("IDAT", "\x78\1\1" .. ("<I2I2"):pack(#rows, ~#rows & 0xffff) .. rows .. "\0\0\0\0")
  .. chunk("IEND", ""))

-- 8 x 8 grey pixels, in a baseline file with the smallest tables
write("jpeg", "grey", "\xff\xd8\xff\xdb\0\x43\0" .. ("\1"):rep(64)
  .. "\xff\xc0\0\x0b\8\0\8\0\8\1\1\x11\0"
  .. "\xff\xc4\0\x14\0\1" .. ("\0"):rep(15) .. "\0"
  .. "\xff\xc4\0\x14\x10\1" .. ("\0"):rep(15) .. "\0"
  .. "\xff\xda\0\8\1\1\0\0\x3f\0\x3f\xff\xd9")
write("jpeg", "progressive", "\xff\xd8\xff\xdb\0\x43\0" .. ("\1"):rep(64)
  .. "\xff\xc2\0\x11\8\0\8\0\8\3\1\x22\0\2\x11\0\3\x11\0"
  .. "\xff\xc4\0\x14\0\1" .. ("\0"):rep(15) .. "\0"
  .. "\xff\xda\0\x0c\3\1\0\2\0\3\0\0\0\1\x3f\xff\xd9")

for i, case in ipairs{ { 8, false }, { 16, false }, { 24, false }, { 32, false }, { 32, true } } do
  assert(files.save_wav(path("wav", "w" .. i), gan.rand(2, 5) * 2 - 1, 8000, case[1], case[2]))
end
write("csv", "quoted", 'a,"b ""c""",d\r\n1,2.5e-3,x\r\n"-4",NA,"y\nz"\r\n')
write("csv", "plain", "a;b\n1;2\n;inf\n\n3;123456789012345678901234567890\n")
write("csv", "labels", "cat,1,0.1\ndog,2,.5\ncat,3,1e300\n")
