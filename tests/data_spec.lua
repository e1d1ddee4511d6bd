-- Data sets, batches and pictures.
local gan = require "gan"

local folder = os.tmpname()
os.remove(folder)
assert(gan.files.mkdir(folder))

local function write(name, bytes)
  local f = assert(io.open(folder .. "/" .. name, "wb"))
  f:write(bytes)
  f:close()
  return folder .. "/" .. name
end

local function rows(n)
  return gan.arange(1, n):reshape(n, 1)
end

--- The numbers of all the batches of an epoch, batch by batch.
local function collect(iterator)
  local list = {}
  for x in iterator do
    list[#list + 1] = x:reshape(-1):totable()
  end
  return list
end

local function flat(batches)
  local list = {}
  for _, b in ipairs(batches) do
    table.move(b, 1, #b, #list + 1, list)
  end
  return list
end

describe("data.batches", function()
  it("goes through the rows in order", function()
    local b = gan.data.batches{ rows(5), batch_size = 2 }
    assert.are.equal(3, #b)
    assert.are.same({ { 1, 2 }, { 3, 4 }, { 5 } }, collect(b:epoch()))
    assert.are.same({ { 1, 2 }, { 3, 4 }, { 5 } }, collect(b:epoch()))
    assert.are.same({ { 1, 2 }, { 3, 4 }, { 5 } }, collect(b))
  end)

  it("can leave out a shorter last batch", function()
    local b = gan.data.batches{ rows(5), batch_size = 2, drop_last = true }
    assert.are.equal(2, #b)
    assert.are.same({ { 1, 2 }, { 3, 4 } }, collect(b:epoch()))
    assert.are.equal(1, #gan.data.batches{ rows(2), batch_size = 2, drop_last = true })
    assert.has_error(function()
      gan.data.batches{ rows(1), batch_size = 2, drop_last = true }
    end, "data.batches: 1 rows do not fill one batch of 2, and drop_last is set")
  end)

  it("keeps the tensors of a batch together", function()
    local labels = gan.arange(1, 10, { dtype = "int64" })
    local b = gan.data.batches{ rows(10), labels, batch_size = 3, shuffle = true, seed = 1 }
    local n = 0
    for x, y in b:epoch() do
      assert.are.equal("int64", y:dtype())
      assert.are.same(x:reshape(-1):to("int64"):totable(), y:totable())
      n = n + #y
    end
    assert.are.equal(10, n)
  end)

  it("shuffles differently in each epoch, each row once", function()
    local b = gan.data.batches{ rows(100), batch_size = 7, shuffle = true, seed = 3 }
    local first, second = flat(collect(b:epoch())), flat(collect(b:epoch()))
    assert.are_not.same(first, second)
    for _, list in ipairs{ first, second } do
      table.sort(list)
      for i = 1, 100 do
        assert.are.equal(i, list[i])
      end
    end
  end)

  it("depends on the seed, and on the generator without one", function()
    local function order(seed)
      return flat(collect(gan.data.batches{ rows(50), shuffle = true, seed = seed }:epoch()))
    end
    assert.are.same(order(5), order(5))
    assert.are_not.same(order(5), order(6))
    gan.manual_seed(1)
    local a = order()
    local b = order()
    gan.manual_seed(1)
    assert.are.same(a, order())
    assert.are_not.same(a, b)
  end)

  it("does not disturb the generator", function()
    local b = gan.data.batches{ rows(50), batch_size = 10, shuffle = true, seed = 5 }
    gan.manual_seed(9)
    local expected = gan.rand(3):totable()
    gan.manual_seed(9)
    collect(b:epoch())
    assert.are.same(expected, gan.rand(3):totable())
  end)

  it("resumes exactly, in the middle of an epoch", function()
    local function new()
      return gan.data.batches{ rows(20), batch_size = 3, shuffle = true, seed = 4 }
    end
    local a = new()
    collect(a:epoch())
    for _ = 1, 3 do
      a()
    end
    local state = a:state_dict()
    a = new()
    a:load_state_dict(state)
    assert.are.same(state, a:state_dict())
    local rest, after = collect(a:epoch()), collect(a:epoch())
    local b = new()
    collect(b:epoch())
    local whole = collect(b:epoch())
    assert.are.same({ table.unpack(whole, 4) }, rest)
    assert.are.same(collect(b:epoch()), after)
    assert.has_error(function() a:load_state_dict{ seed = 1, epoch = 1, position = 21 } end)
    assert.has_error(function() a:load_state_dict{ seed = 1, epoch = 1, place = 1 } end)
  end)

  it("begins anew after an epoch that was left", function()
    local b = gan.data.batches{ rows(4), batch_size = 2 }
    for _ in b:epoch() do
      break
    end
    assert.are.same({ { 1, 2 }, { 3, 4 } }, collect(b:epoch()))
  end)

  it("draws for ever", function()
    local b = gan.data.batches{ rows(3), batch_size = 2 }
    local list = {}
    for i = 1, 5 do
      list[i] = b:next():reshape(-1):totable()
    end
    assert.are.same({ { 1, 2 }, { 3 }, { 1, 2 }, { 3 }, { 1, 2 } }, list)
  end)

  it("makes the compute type of bytes, in the range asked for", function()
    local x = gan.tensor({ { 0, 255 }, { 51, 102 } }, { dtype = "uint8" })
    local function first(range)
      local y = gan.data.batches{ x, batch_size = 2, range = range }()
      return y, y:dtype()
    end
    local function near(expected, y)
      for i, row in ipairs(expected) do
        for j, v in ipairs(row) do
          assert.is_near(v, y:get(i, j), 1e-6)
        end
      end
    end
    local y, dtype = first()
    assert.are.equal(gan.config.real, dtype)
    near({ { 0, 1 }, { 0.2, 0.4 } }, y)
    near({ { -1, 1 }, { -0.6, -0.2 } }, (first{ -1, 1 }))
    near({ { 0, 255 }, { 51, 102 } }, (first{ 0, 255 }))
    y, dtype = first(false)
    assert.are.equal("uint8", dtype)
    assert.are.equal(255, y:get(1, 2))
    assert.has_error(function() first(1) end)
  end)

  it("works in scopes, and frees what it made", function()
    local images = gan.zeros(64, 28, 28, { dtype = "uint8" })
    local b = gan.data.batches{ images, batch_size = 16, shuffle = true, seed = 1 }
    for _ = 1, 5 do
      gan.scope(function()
        assert.are.same({ 16, 28, 28 }, b:next():shape())
      end)
    end
    local live = gan.memory().live
    for x in b:epoch() do
      assert.are.equal(16, #x)
      assert.is_true(gan.memory().live < live + 3 * x:numel() * 8)
    end
  end)

  it("refuses what makes no batches", function()
    assert.has_error(function() gan.data.batches{} end)
    assert.has_error(function() gan.data.batches{ gan.tensor(1) } end)
    assert.has_error(function() gan.data.batches{ 1, 2 } end)
    assert.has_error(function() gan.data.batches{ rows(2), rows(3) } end,
      "data.batches: tensor 1 has 2 rows, tensor 2 has 3")
    assert.has_error(function() gan.data.batches{ rows(2), batch_size = 0 } end)
    local ok, message = pcall(gan.data.batches, { rows(2), batchsize = 1 })
    assert.is_false(ok)
    assert.is_truthy(message:find "did you mean 'batch_size'")
    assert.are.equal(0, #gan.data.batches{ gan.zeros(0, 3) })
    assert.has_error(function() gan.data.batches{ gan.zeros(0, 3) }:next() end)
  end)
end)

describe("data sets", function()
  local images = "\0\0\8\3" .. (">I4I4I4"):pack(2, 2, 3) .. "abcdefABCDEF"
  local labels = "\0\0\8\1" .. (">I4"):pack(2) .. "\0\9"

  it("of MNIST's form have channels, and labels from 1", function()
    write("train-images-idx3-ubyte", images)
    write("train-labels-idx1-ubyte", labels)
    local set = assert(gan.data.fashion_mnist{ path = folder })
    assert.are.same({ 2, 1, 2, 3 }, set.images:shape())
    assert.are.equal("uint8", set.images:dtype())
    assert.are.equal("abcdefABCDEF", set.images:bytes())
    assert.are.equal("int64", set.labels:dtype())
    assert.are.same({ 1, 10 }, set.labels:totable())
    assert.are.equal("ankle boot", set.classes[set.labels:get(2)])
    assert.are.equal("9", gan.data.mnist{ path = folder }.classes[10])
  end)

  it("that are missing or do not fit are an answer", function()
    local set, message = gan.data.fashion_mnist{ split = "test", path = folder }
    assert.is_nil(set)
    assert.is_truthy(message:find("dataset-fashion-mnist", 1, true))
    set, message = gan.data.idx_set{
      images = write("i", images), labels = write("l", "\0\0\8\1\0\0\0\1\0"),
    }
    assert.is_nil(set)
    assert.is_truthy(message:find "there are 2 images")
    set, message = gan.data.idx_set{ images = write("l", labels) }
    assert.is_nil(set)
    assert.is_truthy(message:find "these are not images")
    assert.has_error(function() gan.data.fashion_mnist{ split = "valid" } end)
  end)

  it("Fashion-MNIST is whole, and quickly read", function()
    local start = gan.files.time()
    local set, message = gan.data.fashion_mnist{ split = "train" }
    if not set then
      pending(message)
      return
    end
    assert.is_true(gan.files.time() - start < 30)
    assert.are.same({ 60000, 1, 28, 28 }, set.images:shape())
    local counts = {}
    for _, label in ipairs(set.labels:totable()) do
      counts[label] = (counts[label] or 0) + 1
    end
    assert.are.same({ 6000, 6000, 6000, 6000, 6000, 6000, 6000, 6000, 6000, 6000 }, counts)
    assert.are.same({ 10000, 1, 28, 28 }, gan.data.fashion_mnist{ split = "test" }.images:shape())
  end)
end)

describe("image.grid", function()
  it("lays images out row by row, with padding around them", function()
    local x = gan.tensor({ { { 1, 2 } }, { { 3, 4 } }, { { 5, 6 } } }, { dtype = "uint8" })
    local y = gan.image.grid(x, { columns = 2, padding = 1, background = 9 })
    assert.are.same({ 1, 5, 7 }, y:shape())
    assert.are.same({ { { 9, 9, 9, 9, 9, 9, 9 }, { 9, 1, 2, 9, 3, 4, 9 }, { 9, 9, 9, 9, 9, 9, 9 },
      { 9, 5, 6, 9, 9, 9, 9 }, { 9, 9, 9, 9, 9, 9, 9 } } }, y:totable())
    assert.are.same({ { { 1, 2, 3, 4, 5, 6 } } },
      gan.image.grid(x, { columns = 7, padding = 0 }):totable())
  end)

  it("keeps channels apart", function()
    local x = gan.tensor({ 10, 20, 30, 11, 21, 31 }, { dtype = "uint8" }):reshape(2, 3, 1, 1)
    assert.are.same({ { { 10, 11 } }, { { 20, 21 } }, { { 30, 31 } } },
      gan.image.grid(x, { padding = 0 }):totable())
  end)

  it("spreads values over black and white, clamps, and survives NaN", function()
    local x = gan.tensor{ { { -1, 0, 1, 3, 0 / 0 } } }
    assert.are.same({ { { 0, 0, 255, 255, 0 } } }, gan.image.grid(x, { padding = 0 }):totable())
    assert.are.same({ { { 0, 128, 255, 255, 0 } } },
      gan.image.grid(x, { padding = 0, range = { -1, 1 } }):totable())
    local y = gan.tensor{ { { 2, 4, 3 } } }
    assert.are.same({ { { 0, 255, 128 } } },
      gan.image.grid(y, { padding = 0, range = "auto" }):totable())
    assert.are.same({ { { 0, 0 } } },
      gan.image.grid(gan.ones(1, 1, 2), { padding = 0, range = "auto" }):totable())
  end)

  it("is uint8, without a graph, whatever it is made from", function()
    local x = gan.rand(5, 1, 3, 3):requires_grad_()
    local y = gan.image.grid(x * 2)
    assert.are.equal("uint8", y:dtype())
    assert.is_false(y:requires_grad())
    assert.are.same({ 1, 12, 17 }, y:shape())
  end)

  it("refuses what are no images", function()
    for _, x in ipairs{ gan.ones(3, 3), gan.ones(0, 3, 3), gan.ones(1, 1, 1, 1, 1) } do
      assert.has_error(function() gan.image.grid(x) end)
    end
    assert.has_error(function() gan.image.grid(1) end)
    assert.has_error(function() gan.image.grid(gan.ones(1, 2, 2), { padding = -1 }) end)
    assert.has_error(function() gan.image.grid(gan.ones(1, 2, 2), { range = 3 }) end)
    assert.has_error(function() gan.image.grid(gan.ones(1, 2, 2), { column = 3 }) end)
  end)
end)

describe("image.save and load", function()
  it("write and read PNG files, making folders", function()
    local path = folder .. "/new/folder/a.png"
    assert.is_true(gan.image.save(path, gan.tensor{ { 0, 0.5 }, { 1, 2 } }))
    assert.are.same({ { { 0, 128 }, { 255, 255 } } }, gan.image.load(path):totable())
    assert.is_true(gan.image.save(path, gan.rand(4, 3, 5, 5), { columns = 2, padding = 0 }))
    assert.are.same({ 3, 10, 10 }, gan.image.load(path):shape())
    local x = (gan.rand(3, 4, 5) * 255):to "uint8"
    assert(gan.image.save(path, x))
    assert.are.equal(x:bytes(), gan.image.load(path):bytes())
  end)

  it("answer with a message when a file cannot be written or read", function()
    write("file", "")
    local ok, message = gan.image.save(folder .. "/file/a.png", gan.ones(2, 2))
    assert.is_nil(ok)
    assert.is_truthy(message:find "Not a directory")
    assert.is_nil((gan.image.load(folder .. "/none.png")))
    assert.has_error(function() gan.image.save(folder .. "/a.png", gan.ones(2)) end)
    assert.has_error(function() gan.image.save(folder .. "/a.png", 1) end)
  end)
end)

teardown(function()
  os.execute("rm -rf " .. folder)
end)
