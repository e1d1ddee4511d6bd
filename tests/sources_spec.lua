-- Rows that stay in files until they are needed: pictures, arrays, sound; reading ahead; batches of
-- them and their augmentation.
local gan = require "gan"
local data, files = gan.data, gan.files
local s = require("tests.scratch").new()
local support = require "tests.support"

local function picture(name, x)
  assert(gan.image.save(s.path(name), x))
  return s.path(name)
end

--- The triangle filter, written down once more: one channel, numbers.
local function resampled(x, h, w, crop)
  local high, wide = #x, #x[1]
  local part_h, part_w = high, wide
  if crop then
    local scale = math.max(h / high, w / wide)
    part_h, part_w = h / scale, w / scale
  end
  local function weights(i, begin, span, n, size)
    local step = span / n
    local reach = math.max(step, 1)
    local centre, list, sum = begin + (i - 0.5) * step, {}, 0
    for j = 1, size do
      list[j] = math.max(0, 1 - math.abs(j - 0.5 - centre) / reach)
      sum = sum + list[j]
    end
    return list, sum
  end
  local out = {}
  for i = 1, h do
    out[i] = {}
    local wy, sy = weights(i, (high - part_h) / 2, part_h, h, high)
    for j = 1, w do
      local wx, sx = weights(j, (wide - part_w) / 2, part_w, w, wide)
      local v = 0
      for a = 1, high do
        for b = 1, wide do
          v = v + wy[a] * wx[b] * x[a][b]
        end
      end
      out[i][j] = v / (sy * sx)
    end
  end
  return out
end

describe("pictures in a size", function()
  it("are resampled by a triangle filter, cropped or stretched", function()
    gan.manual_seed(2)
    for _, case in ipairs{ { 9, 14, 4, 4 }, { 5, 3, 8, 11 }, { 1, 1, 3, 2 }, { 20, 2, 3, 7 },
      { 6, 6, 6, 6 }, { 16, 16, 8, 8 }, { 7, 50, 5, 1 } } do
      local x = (gan.rand(2, case[1], case[2]) * 255):to "uint8"
      picture("x.png", x)
      for _, fit in ipairs{ "crop", "stretch" } do
        local y = assert(gan.image.load(s.path "x.png", { size = { case[3], case[4] }, fit = fit }))
        assert.are.same({ 2, case[3], case[4] }, y:shape())
        for c = 1, 2 do
          local expected = resampled(x[c]:totable(), case[3], case[4], fit == "crop")
          for i = 1, case[3] do
            for j = 1, case[4] do
              assert.is_near(expected[i][j], y:get(c, i, j), 0.51)
            end
          end
        end
      end
    end
  end)

  it("have the channels asked for, and are as they are in their own size", function()
    local x = (gan.rand(3, 6, 8) * 255):to "uint8"
    picture("x.png", x)
    assert.are.equal(x:bytes(), gan.image.load(s.path "x.png", { size = { 6, 8 } }):bytes())
    assert.are.same({ 1, 4, 4 }, gan.image.load(s.path "x.png", { size = 4, channels = 1 }):shape())
    picture("x.png", gan.full({ 5, 9 }, 0.2))
    local y = gan.image.load(s.path "x.png", { size = 3, channels = 3 })
    assert.are.equal(("\51"):rep(27), y:bytes())
    assert.has_error(function() gan.image.load(s.path "x.png", { size = 0 }) end)
    assert.has_error(function() gan.image.load(s.path "x.png", { size = { 1, 2, 3 }, fit = 1 }) end)
    assert.has_error(function() gan.image.load(s.path "x.png", { size = 20000 }) end)
    assert.has_error(function() gan.image.load(s.path "x.png", { channels = 5 }) end)
    s.refused("No such file", gan.image.load(s.path "none.png", { size = 3 }))
  end)
end)

--- A folder of classes: picture i of class k has the colour 20 k + i everywhere.
local function make_folder(name, n)
  for k, class in ipairs{ "cat", "dog" } do
    for i = 1, n do
      picture(("%s/%s/%02d.%s"):format(name, class, i, i % 2 == 0 and "png" or "PNG"),
        gan.full({ 3, 4 + i, 12 - i }, 20 * k + i):to "uint8")
    end
  end
  return s.path(name)
end

describe("data.images", function()
  it("lists a folder of classes", function()
    local set = assert(data.images{ make_folder("a", 5), size = 4 })
    assert.are.same({ "cat", "dog" }, set.classes)
    assert.are.equal(10, #set.images)
    assert.are.same({ 3, 4, 4 }, set.images:shape())
    assert.are.equal("uint8", set.images:dtype())
    assert.are.same({ 1, 1, 1, 1, 1, 2, 2, 2, 2, 2 }, set.labels:totable())
    assert.are.equal(s.path "a/dog/02.png", set.paths[7])
    for i = 1, 10 do
      local x = assert(set.images:read(i))
      assert.are.same({ 1, 3, 4, 4 }, x:shape())
      assert.are.equal(20 * set.labels:get(i) + (i - 1) % 5 + 1, x:get(1, 2, 3, 3))
    end
    local index = gan.tensor({ 10, 1, 10 }, { dtype = "int64" })
    local x = set.images:read(index)
    assert.are.same({ 45, 21, 45 }, { x:get(1, 1, 1, 1), x:get(2, 1, 1, 1), x:get(3, 1, 1, 1) })
    assert.are.same({ 0, 3, 4, 4 }, set.images:read(1, 0):shape())
  end)

  it("lists a folder without classes", function()
    local set = assert(data.images{ make_folder("a", 5) .. "/cat", size = { 2, 3 }, channels = 1,
      fit = "stretch" })
    assert.is_nil(set.labels)
    assert.is_nil(set.classes)
    assert.are.same({ 1, 2, 3 }, set.images:shape())
    assert.are.equal(21, set.images:read(1):get(1, 1, 2, 3))
  end)

  it("says what is wrong", function()
    files.mkdir(s.path "empty")
    s.refused("no PNG or JPEG files", data.images{ s.path "empty", size = 4 })
    s.refused("No such folder", data.images{ s.path "none", size = 4 })
    s.write("file", "")
    s.refused("not a folder", data.images{ s.path "file", size = 4 })
    make_folder("b", 2)
    picture("b/x.png", gan.ones(2, 2))
    s.refused("files beside the folders", data.images{ s.path "b", size = 4 })
    assert.has_error(function() data.images{ s.path "a" } end)
    assert.has_error(function() data.images{ s.path "a", size = 0 } end)
    assert.has_error(function() data.images{ s.path "a", size = { 4 } } end)
    assert.has_error(function() data.images{ s.path "a", size = 4, channels = 5 } end)
    local images = data.images{ make_folder("a", 5), size = 4 }.images
    for _, f in ipairs{ function() images:read(0) end, function() images:read(11) end,
      function() images:read(gan.tensor({ 11 }, { dtype = "int64" })) end,
      function() images:read(gan.ones(1)) end, function() images:read() end,
      function() images.read(1) end, function() images:prefetch(0, 1) end,
      function() images:prefetch(1, 65) end } do
      assert.has_error(f)
    end
  end)
end)

describe("data.rows", function()
  it("reads npy files of every type by rows", function()
    for _, x in ipairs{ gan.randn(7, 2, 3), gan.arange(1, 21, { dtype = "int64" }):reshape(7, 3),
      (gan.rand(7, 5) * 255):to "uint8", gan.randn(7) } do
      assert(data.save_npy(s.path "x.npy", x))
      local rows = assert(data.rows(s.path "x.npy"))
      assert.are.equal(7, #rows)
      assert.are.equal(x:dtype(), rows:dtype())
      assert.are.same({ table.unpack(x:shape(), 2) }, rows:shape())
      assert.are.equal(x:slice(1, 3, 6):bytes(), rows:read(3, 6):bytes())
      local index = gan.tensor({ 7, 2, 2 }, { dtype = "int64" })
      assert.are.equal(x:index_select(index, { dim = 1 }):bytes(), rows:read(index):bytes())
    end
  end)

  it("reads IDX files by rows, and says what it cannot read so", function()
    s.write("x.idx", "\0\0\8\2" .. (">I4I4"):pack(3, 2) .. "abcdef")
    assert.are.equal("cdef", data.rows(s.path "x.idx"):read(2, 3):bytes())
    s.write("x.idx", "\0\0\12\1" .. (">I4i4i4"):pack(2, -5, 7))
    assert.are.same({ -5, 7 }, data.rows(s.path "x.idx"):read(1, 2):totable())
    local function npy(order, shape)
      local head = ("{'descr': '|u1', 'fortran_order': %s, 'shape': %s}"):format(order, shape)
      return s.write("x.npy", "\x93NUMPY\1\0" .. ("<I2"):pack(#head) .. head .. "a")
    end
    s.refused("in Fortran order", data.rows(npy("True", "(1, 1)")))
    s.refused("without dimensions", data.rows(npy("False", "()")))
    assert.are.equal("a", data.rows(npy("True", "(1,)")):read(1):bytes())
    local head = ("{'descr': '|i1', 'fortran_order': False, 'shape': (0, %d)}"):format(1 << 60)
    s.refused("too large", data.rows(s.write("x.npy",
      "\x93NUMPY\1\0" .. ("<I2"):pack(#head) .. head)))
    head = head:gsub(tostring(1 << 60), "5")
    local none = assert(data.rows(s.write("x.npy",
      "\x93NUMPY\1\0" .. ("<I2"):pack(#head) .. head)))
    assert.are.equal(0, #none)
    assert.are.same({ 0, 5 }, none:read(1, 0):shape())
    assert.is_nil(data.batches{ none }())
    s.refused("gunzip", data.rows(s.write("x.gz", "\x1f\x8b\8\0")))
    s.refused("not an npy file", data.rows(s.write("x", "")))
  end)

  it("notices that a file was cut short meanwhile", function()
    assert(data.save_npy(s.path "x.npy", gan.ones(100, 100)))
    local rows = data.rows(s.path "x.npy")
    s.write("x.npy", s.read("x.npy"):sub(1, 1000))
    assert.is_table(rows:read(1):shape())
    s.refused("the file ends", rows:read(100))
    local ahead = rows:prefetch(1, 1)
    ahead:ask(100, 100)
    s.refused("the file ends", ahead:take())
  end)
end)

describe("data.sounds", function()
  it("cuts recordings into stretches", function()
    local x = gan.arange(1, 40):reshape(2, 20) / 64
    for _, name in ipairs{ "w/a/1.wav", "w/b/2.wav", "w/b/3.wav" } do
      files.mkdir(s.path(name:sub(1, 3)))
      assert(data.save_wav(s.path(name), x, { rate = 8000 }))
    end
    local set = assert(data.sounds{ s.path "w", frames = 6, hop = 5 })
    assert.are.equal(9, #set.sounds)
    assert.are.same({ 2, 6 }, set.sounds:shape())
    assert.are.same({ 1, 1, 1, 2, 2, 2, 2, 2, 2 }, set.labels:totable())
    assert.are.same({ 8000, 2 }, { set.rate, set.channels })
    assert.are.equal(x:slice(2, 6, 11):bytes(), set.sounds:read(5):bytes())
    set = assert(data.sounds{ s.path "w/a/1.wav", frames = 20 })
    assert.are.equal(1, #set.sounds)
    assert.is_nil(set.labels)
    s.refused("no WAV file of 21 frames", data.sounds{ s.path "w", frames = 21 })
    assert(data.save_wav(s.path "w/b/4.wav", x, { rate = 9000 }))
    s.refused("4.wav: 2 channels at 9000 Hz", data.sounds{ s.path "w", frames = 6 })
  end)
end)

describe("reading ahead", function()
  local rows

  before_each(function()
    assert(data.save_npy(s.path "x.npy", gan.arange(1, 100):reshape(100, 1)))
    rows = assert(data.rows(s.path "x.npy"))
  end)

  it("gives what was asked for, in order", function()
    local ahead <close> = rows:prefetch(10, 3)
    assert.is_true(ahead:ask(1, 10))
    assert.is_true(ahead:ask(gan.tensor({ 50, 40 }, { dtype = "int64" })))
    assert.is_true(ahead:ask(7, 7))
    assert.is_false(ahead:ask(8, 8)) -- three are in the ring
    assert.are.equal(10, #ahead:take())
    assert.is_true(ahead:ask(9, 9))
    assert.are.same({ { 50 }, { 40 } }, ahead:take():totable())
    assert.are.same({ { 7 } }, ahead:take():totable())
    assert.are.same({ { 9 } }, ahead:take():totable())
    support.fails("nothing was asked for", function() ahead:take() end)
    assert.is_false(ahead:ask(1, 11)) -- more than a buffer holds
    support.fails("row", function() ahead:ask(100, 101) end)
  end)

  it("forgets what is cancelled, and goes on", function()
    local ahead <close> = rows:prefetch(10, 4)
    for round = 1, 200 do
      for k = 0, round % 4 do
        ahead:ask(k + 1, k + 10)
      end
      if round % 3 == 0 then
        ahead:take()
      end
      ahead:cancel()
      ahead:ask(round % 90 + 1, round % 90 + 1)
      assert.are.equal(round % 90 + 1, ahead:take():item())
    end
  end)

  it("is closed at any time, by the collector too", function()
    for i = 1, 50 do
      local ahead = rows:prefetch(100, 4)
      for _ = 1, i % 5 do
        ahead:ask(1, 100)
      end
      if i % 2 == 0 then
        ahead:close()
        ahead:close()
        support.fails("closed", function() ahead:ask(1, 1) end)
      end
    end
    support.settle()
  end)

  it("goes on after a file that cannot be read", function()
    local paths = { picture("1.png", gan.full({ 2, 2 }, 0.2)), s.path "none.png",
      s.write("3.png", "x"), picture("4.png", gan.full({ 2, 2 }, 0.4)) }
    local ahead <close> = files.picture_source(paths, 1, 2, 2, true):prefetch(2, 4)
    for i = 1, 4 do
      ahead:ask(i, i)
    end
    assert.are.equal(51, ahead:take():get(1, 1, 1, 1))
    s.refused("No such file", ahead:take())
    s.refused("not a PNG or JPEG", ahead:take())
    assert.are.equal(102, ahead:take():get(1, 1, 1, 1))
  end)

  it("survives every allocation failing", function()
    s.survives_failing_allocations(function()
      local ahead <close> = rows:prefetch(2, 2)
      ahead:ask(3, 4)
      return ahead:take()
    end)
    s.survives_failing_allocations(function() return rows:read(1, 5) end)
    s.survives_failing_allocations(function() return data.rows(s.path "x.npy") end)
    local path = picture("5.png", gan.rand(3, 5, 5))
    s.survives_failing_allocations(function() return gan.image.load(path, { size = 3 }) end)
    s.survives_failing_allocations(function() return (files.scan(s.folder)) end)
  end)

  it("respects the memory limit", function()
    local live = gan.memory().live
    gan.memory_limit(live + (1 << 20))
    local ok, message = pcall(rows.prefetch, rows, 1 << 20, 2)
    gan.memory_limit(nil)
    assert.is_false(ok)
    assert.is_truthy(message:find "out of memory")
  end)

  it("is ready when the step is slower than the reading", function()
    local set = assert(data.images{ make_folder("a", 5), size = 4 })
    local b <close> = data.batches{ set.images, batch_size = 2, shuffle = true, seed = 1 }
    b()
    local before = b:stats()
    for _ = 1, 10 do
      local stop = files.time() + 0.02 -- a training step
      while files.time() < stop do
        gan.ones(10)
      end
      b:next()
    end
    local after = b:stats()
    assert.is_true(after.taken - before.taken == 10)
    -- on a machine that others use a thread may not have had its turn
    assert.is_true(after.waits - before.waits <= 5, after.waits - before.waits)
  end)
end)

local function collect(b)
  local list = {}
  for x in b:epoch() do
    list[#list + 1] = x:reshape(-1):totable()
  end
  return list
end

describe("batches of sources", function()
  local x, rows

  before_each(function()
    x = gan.arange(1, 23):reshape(23, 1)
    assert(data.save_npy(s.path "x.npy", x))
    rows = assert(data.rows(s.path "x.npy"))
  end)

  it("are those of the tensor, shuffled or not, read ahead or not", function()
    for _, o in ipairs{ {}, { shuffle = true, seed = 4 }, { drop_last = true },
      { drop_last = true, shuffle = true, seed = 4 } } do
      for prefetch = 0, 7 do
        local function new(values)
          return data.batches{ values, batch_size = 5, shuffle = o.shuffle, seed = o.seed,
            drop_last = o.drop_last, prefetch = prefetch }
        end
        local a = new(x)
        local b <close> = new(rows)
        for _ = 1, 3 do
          assert.are.same(collect(a), collect(b))
        end
        for i = 1, 9 do
          assert.are.equal(a:next():bytes(), b:next():bytes(), i)
        end
      end
    end
  end)

  it("go together with tensors, and with other sources", function()
    local labels = gan.arange(1, 23, { dtype = "int64" })
    for first, second, third in data.batches{ rows, labels, rows, batch_size = 4, shuffle = true,
        seed = 2 }:epoch() do
      assert.are.same(first:reshape(-1):to("int64"):totable(), second:totable())
      assert.are.equal(first:bytes(), third:bytes())
    end
    support.fails("tensor 1 has 23 rows, tensor 2 has 5", data.batches, { rows, gan.ones(5) })
  end)

  it("resume exactly, also from the middle and backwards", function()
    local function new()
      return data.batches{ rows, batch_size = 4, shuffle = true, seed = 9 }
    end
    local a <close> = new()
    local b <close> = new()
    for _ = 1, 3 do
      a:next()
    end
    local state = a:state_dict()
    assert.are.same({ seed = 9, epoch = 1, position = 12, rows = 23 }, state)
    for i = 1, 10 do
      b:next()
      assert.is_number(i)
    end
    b:load_state_dict(state)
    assert.are.same(state, b:state_dict())
    for _ = 1, 12 do
      assert.are.equal(a:next():bytes(), b:next():bytes())
    end
    assert.has_error(function()
      b:load_state_dict{ seed = 9, epoch = 1, position = 1, rows = 22 }
    end)
    assert.has_error(function() b:load_state_dict{ seed = 9, epoch = 1, position = 24 } end)
    assert.has_error(function() b:load_state_dict{ seed = 9, epoch = 0, position = 1 } end)
    assert.has_error(function() b:load_state_dict(1) end)
  end)

  it("go on after they were closed", function()
    local b = data.batches{ rows, batch_size = 5 }
    b()
    b:close()
    assert.are.same({ 6, 7, 8, 9, 10 }, b():reshape(-1):totable())
    assert.are.equal(2, b:stats().taken)
    b:close()
  end)

  it("may come from Lua", function()
    local source = setmetatable({}, { __len = function() return 6 end, __index = {
      read = function(_, first, last)
        if gan.is_tensor(first) then
          return first:to(gan.config.real)
        end
        return gan.arange(first, last)
      end } })
    assert.are.same({ { 1, 2, 3, 4 }, { 5, 6 } }, collect(data.batches{ source, batch_size = 4 }))
    local list = collect(data.batches{ source, batch_size = 6, shuffle = true, seed = 1 })[1]
    table.sort(list)
    assert.are.same({ 1, 2, 3, 4, 5, 6 }, list)
  end)

  it("raise an error that names the file, and can be tried again", function()
    local paths = { picture("1.png", gan.full({ 2, 2 }, 0.2)), s.path "late.png" }
    os.remove(s.path "late.png")
    local b <close> = data.batches{ files.picture_source(paths, 1, 2, 2, true), batch_size = 1 }
    b()
    for _ = 1, 2 do
      support.fails("data.batches: .*late.png: No such file", function() b() end)
    end
    picture("late.png", gan.full({ 2, 2 }, 1))
    assert.are.equal(1, b():get(1, 1, 1, 1))
  end)

  it("leave nothing behind", function()
    local b = data.batches{ rows, batch_size = 5, shuffle = true, seed = 1 }
    collect(b)
    local live = support.settle().live
    for _ = 1, 5 do
      collect(b)
    end
    assert.is_true(support.settle().live <= live + 4096)
    b:close()
  end)
end)

describe("augmentation", function()
  local A = data.augment
  local x = gan.arange(1, 2 * 3 * 4 * 5):reshape(2, 3, 4, 5)

  local function first(augment, options)
    local o = { x, batch_size = 2, seed = 3, augment = augment }
    for k, v in pairs(options or {}) do
      o[k] = v
    end
    return data.batches(o)()
  end

  it("flips", function()
    assert.are.equal(x:bytes(), first(A.flip{ p = 0 }):bytes())
    assert.are.equal(x:flip{ dims = { -1 } }:bytes(), first(A.flip{ p = 1 }):bytes())
    assert.are.equal(x:flip{ dims = { -2 } }:bytes(), first(A.flip{ p = 1, dim = -2 }):bytes())
    local many = gan.stack({ gan.tensor{ 1, 2 } }, { dim = 1 }):expand(400, 2)
    local flipped = data.batches{ many, batch_size = 400, seed = 1, augment = A.flip{} }()
    local n = flipped:slice(2, 1, 1):sum():item() - 400
    assert.is_true(n > 150 and n < 250, n)
  end)

  it("shifts and crops to every place, filling as asked", function()
    local image = gan.arange(1, 9):reshape(1, 1, 3, 3)
    local seen = {}
    local b = data.batches{ image, seed = 1, augment = A.shift{ 1, value = -1 } }
    for _ = 1, 200 do
      local y = b:next()
      assert.are.same({ 1, 1, 3, 3 }, y:shape())
      seen[table.concat(y:reshape(-1):totable(), " ")] = true
    end
    local n = 0
    for key in pairs(seen) do
      n = n + 1
      assert.is_truthy(key:find "5.0") -- the middle stays inside
    end
    assert.are.equal(9, n)
    assert.is_true(seen["-1.0 -1.0 -1.0 -1.0 1.0 2.0 -1.0 4.0 5.0"])
    for _ = 1, 20 do
      local y = first(A.crop{ { 2, 3 } })
      assert.are.same({ 2, 3, 2, 3 }, y:shape())
      assert.are.equal(5, y:get(1, 1, 2, 1) - y:get(1, 1, 1, 1))
    end
    assert.are.same({ 2, 3, 4, 5 }, first(A.shift{ 2, mode = "reflect" }):shape())
    assert.is_true(first(A.shift{ 3, mode = "replicate" }):amin():item() >= 1)
    support.fails("no part of 9 x 9", first, A.crop{ 9 })
  end)

  it("adds noise", function()
    local y = data.batches{ gan.zeros(1000, 4), batch_size = 1000, seed = 1,
      augment = A.noise{ 0.5 } }()
    assert.is_near(0.5, y:std():item(), 0.05)
    assert.is_near(0, y:mean():item(), 0.05)
  end)

  it("calls functions in turn, with all the tensors, and takes what they return", function()
    local labels = gan.tensor({ 1, 2 }, { dtype = "int64" })
    local y, z = data.batches{ x, labels, batch_size = 2, augment = {
      function(a, b) return a * 2, b end,
      function(a, b)
        assert.are.equal("int64", b:dtype())
        return a + 1
      end,
      function() end,
      function(_, b) return nil, b:to(gan.config.real) end,
    } }()
    assert.are.equal((x * 2 + 1):bytes(), y:bytes())
    assert.are.equal(gan.config.real, z:dtype())
  end)

  it("depends on the seed and the place alone, and leaves the generator alone", function()
    local function new(seed)
      return data.batches{ x, batch_size = 1, shuffle = true, seed = seed,
        augment = { A.flip{}, A.shift{ 1 }, A.noise{ 1 } } }
    end
    local a = new(5)
    local list = {}
    for i = 1, 6 do
      list[i] = a:next():bytes()
      gan.rand(7)
    end
    local b = new(5)
    gan.manual_seed(99)
    local state = gan.rng_state()
    for i = 1, 6 do
      assert.are.equal(list[i], b:next():bytes())
      assert.are.equal(state, gan.rng_state())
    end
    b:load_state_dict{ seed = 5, epoch = 2, position = 1 }
    assert.are.equal(list[4], b:next():bytes())
    assert.are_not.equal(list[1], new(6):next():bytes())
    local c = data.batches{ x, augment = function() error "no" end }
    support.fails("no", function() c() end)
    assert.are.equal(state, (function()
      gan.set_rng_state(state)
      pcall(c)
      return gan.rng_state()
    end)())
  end)

  it("refuses what is no function", function()
    assert.has_error(function() first(1) end)
    assert.has_error(function() first{ A.flip } end)
    assert.has_error(function() first{ A.flip{}, 1 } end)
    assert.has_error(function() A.flip{ q = 1 } end)
    assert.has_error(function() A.shift{} end)
    assert.has_error(function() data.batches{ x, prefetch = 65 } end)
  end)
end)

teardown(s.remove)
