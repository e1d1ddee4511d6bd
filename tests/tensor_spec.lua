-- The tensor as Lua sees it: making, reading, rows, elements, conversion, printing.
local gan = require "gan"
local support = require "tests.support"
local fails = support.fails

local real = gan.config.real

describe("gan.tensor", function()
  it("takes numbers, nested tables and booleans", function()
    assert.same({}, gan.tensor(3):shape())
    assert.equal(3, gan.tensor(3):item())
    local x = gan.tensor{ { 1, 2, 3 }, { 4, 5, 6 } }
    assert.same({ 2, 3 }, x:shape())
    assert.same({ { 1, 2, 3 }, { 4, 5, 6 } }, x:totable())
    assert.same({ 1, 0 }, gan.tensor{ true, false }:totable())
    assert.same({ 1, 1, 1, 1, 1, 1, 1, 1 }, gan.tensor{ { { { { { { { 7 } } } } } } } }:shape())
  end)

  it("takes empty tables", function()
    assert.same({ 0 }, gan.tensor{}:shape())
    assert.same({ 2, 0 }, gan.tensor{ {}, {} }:shape())
    assert.same({ {}, {} }, gan.tensor{ {}, {} }:totable())
    assert.equal(0, gan.tensor{}:numel())
  end)

  it("has three types", function()
    assert.equal(real, gan.tensor{ 1 }:dtype())
    assert.equal(real, gan.tensor({ 1 }, { dtype = "float32" }):dtype())
    local i = gan.tensor({ 1, -2, math.maxinteger }, { dtype = "int64" })
    assert.equal("int64", i:dtype())
    assert.same({ 1, -2, math.maxinteger }, i:totable())
    assert.equal("integer", math.type(i:get(1)))
    local u = gan.tensor({ 0, 255 }, { dtype = "uint8" })
    assert.same({ 0, 255 }, u:totable())
    assert.equal("float", math.type(gan.tensor{ 1 }:item()))
  end)

  it("accepts floats that are integers, and only those, for integer types", function()
    assert.same({ 3 }, gan.tensor({ 3.0 }, { dtype = "int64" }):totable())
    fails("element %(2%) must be a number that fits in int64, got 2.5",
      gan.tensor, { 1, 2.5 }, { dtype = "int64" })
    fails("element %(1, 2%) must be a number that fits in uint8, got 256",
      gan.tensor, { { 1, 256 } }, { dtype = "uint8" })
    fails("fits in uint8, got %-1", gan.tensor, -1, { dtype = "uint8" })
  end)

  it("refuses ragged and mixed tables", function()
    fails("ragged: %(2%) should have 2 elements, got 1", gan.tensor, { { 1, 2 }, { 3 } })
    fails("ragged: %(2%) should have 2 elements, got 7", gan.tensor, { { 1, 2 }, 7 })
    fails("element %(2%) must be a number", gan.tensor, { 1, { 2 } })
    fails("element %(1%) must be a number.*string 'x'", gan.tensor, { "x" })
    fails("nested more than 8 deep", gan.tensor, { { { { { { { { { 7 } } } } } } } } })
    local loop = {}
    loop[1] = loop
    fails("nested more than 8 deep", gan.tensor, loop)
  end)

  it("takes a shape for tables and strings", function()
    assert.same({ { 1, 2 }, { 3, 4 } }, gan.tensor({ 1, 2, 3, 4 }, { shape = { 2, 2 } }):totable())
    assert.same({ { 5, 5 } }, gan.tensor(5, { shape = { 1, 2 } }):totable())
    fails("does not fit in %(3 x 2%)", gan.tensor, { 1, 2 }, { shape = { 3, 2 } })
    fails("size 1 is negative", gan.tensor, { 1, 2 }, { shape = { -1 } })
  end)

  it("copies tensors and converts them", function()
    local x = gan.tensor{ 1.5, 2.5 }
    local y = gan.tensor(x)
    y:set(9, 1)
    assert.same({ 1.5, 2.5 }, x:totable())
    assert.equal("uint8", gan.tensor(x, { dtype = "uint8" }):dtype())
  end)

  it("goes to bytes and back, row-major", function()
    local x = gan.tensor{ { 1, 2, 3 }, { 4, 5, 6 } }
    local size = real == "float64" and 8 or 4
    local format = real == "float64" and "<d" or "<f"
    assert.equal(6 * size, #x:bytes())
    assert.equal(4, (string.unpack(format, x:permute(2, 1):bytes(), size + 1)))
    local y = gan.tensor(x:bytes(), { shape = { 2, 3 } })
    assert.same(x:totable(), y:totable())
    assert.same({ 1, 2, 255 }, gan.tensor("\1\2\255", { dtype = "uint8" }):totable())
    assert.equal("\1\2\255", gan.tensor("\1\2\255", { dtype = "uint8" }):bytes())
    assert.equal("", gan.zeros(0, 3):bytes())
    fails("3 bytes", gan.tensor, "abc", { shape = { 2 }, dtype = "uint8" })
  end)

  it("can require gradients", function()
    assert.is_true(gan.tensor({ 1 }, { requires_grad = true }):requires_grad())
    fails("int64 tensor cannot require gradients", gan.tensor, { 1 },
      { requires_grad = true, dtype = "int64" })
  end)
end)

describe("properties", function()
  local x = gan.zeros(2, 3, 4)

  it("tell shape, size, dimensions, strides and type", function()
    assert.same({ 2, 3, 4 }, x:shape())
    assert.same({ 2, 3, 4 }, x:size())
    assert.equal(2, x:size(1))
    assert.equal(4, x:size(-1))
    assert.equal(3, x:dim())
    assert.equal(24, x:numel())
    assert.equal(2, #x)
    assert.same({ 12, 4, 1 }, x:stride())
    assert.is_true(x:is_contiguous())
    assert.is_false(x:permute(3, 2, 1):is_contiguous())
    assert.same({ 1, 4, 12 }, x:permute(3, 2, 1):stride())
    assert.is_true(gan.is_tensor(x))
    assert.is_false(gan.is_tensor(3) or gan.is_tensor(nil) or gan.is_tensor(io.stdout))
  end)

  it("refuse what does not exist", function()
    fails("size: dimensions start at 1", x.size, x, 0)
    fails("size: dimension 4 is out of range, the tensor has 3", x.size, x, 4)
    fails("dimension %-4 is out of range", x.size, x, -4)
    fails("0 dimensions has no length", function() return #gan.tensor(1) end)
  end)
end)

describe("rows", function()
  local x = gan.tensor{ { 1, 2 }, { 3, 4 }, { 5, 6 } }

  it("are views, counted from 1, negative from the end", function()
    assert.same({ 3, 4 }, x[2]:totable())
    assert.same({ 5, 6 }, x[-1]:totable())
    assert.equal(6, x[3][2]:item())
    assert.same({}, x[1][1]:shape())
    assert.same({ 1, 2 }, x[1.0]:totable())
  end)

  it("beyond the end are nil, so that ipairs works", function()
    assert.is_nil(x[4])
    assert.is_nil(x[0])
    assert.is_nil(x[-4])
    assert.is_nil(gan.tensor(1)[1])
    local n = 0
    for i, row in ipairs(x) do
      n = n + row:sum():item() * i
    end
    assert.equal(3 + 14 + 33, n)
  end)

  it("share memory", function()
    local y = gan.zeros(2, 3)
    y[2]:fill_(7)
    assert.same({ { 0, 0, 0 }, { 7, 7, 7 } }, y:totable())
  end)

  it("of permuted and expanded tensors", function()
    assert.same({ 2, 4, 6 }, x:permute(2, 1)[2]:totable())
    assert.same({ 1, 1 }, gan.ones(1):expand(3, 2)[3]:totable())
  end)

  it("are differentiable", function()
    local p = gan.tensor({ { 1, 2 }, { 3, 4 } }, { requires_grad = true })
    ;(p[2] * p[2]):sum():backward()
    assert.same({ { 0, 0 }, { 6, 8 } }, p:grad():totable())
  end)

  it("are assigned numbers and tensors, broadcast", function()
    local y = gan.zeros(3, 2)
    y[1] = 5
    y[-1] = gan.tensor{ 1, 2 }
    y[2] = gan.tensor(9)
    assert.same({ { 5, 5 }, { 9, 9 }, { 1, 2 } }, y:totable())
    local v = gan.zeros(3)
    v[2] = 4
    assert.same({ 0, 4, 0 }, v:totable())
    local square = gan.tensor{ { { 1, 2 }, { 3, 4 } } }
    square[1] = square[1]:permute(2, 1)
    assert.same({ { { 1, 3 }, { 2, 4 } } }, square:totable())
    local labels = gan.zeros{ 2, dtype = "int64" }
    labels[1] = 7
    assert.same({ 7, 0 }, labels:totable())
  end)

  it("are not assigned what does not fit", function()
    local y = gan.zeros(3, 2)
    fails("row 4 is out of range, the tensor is %(3 x 2%)", function() y[4] = 1 end)
    fails("row 0 is out of range", function() y[0] = 1 end)
    fails("v must be a tensor or a number that fits in float", function() y[1] = "1" end)
    fails("fits in uint8, got 300", function() gan.zeros{ 2, dtype = "uint8" }[1] = 300 end)
    fails("a uint8 tensor into a float", function() y[1] = gan.zeros{ 2, dtype = "uint8" } end)
    fails("expand", function() y[1] = gan.zeros(3) end)
    fails("expanded view", function() gan.ones(1):expand(3)[1] = 2 end)
    fails("no field 'size' to set", function() y.size = 3 end)
    fails("indexed by an integer, got 1.5", function() return y[1.5] end)
    fails("indexed by an integer, got true", function() return y[true] end)
    fails("indexed by an integer, got a tensor", function() return y[gan.ones(1)] end)
  end)

  it("are not changed in place inside a graph", function()
    local p = gan.require_grad(gan.zeros(2, 2))
    fails("part of a gradient graph", function() p[1] = 1 end)
    fails("part of a gradient graph", p.set, p, 1, 1, 1)
    fails("gradient of 'v' would be lost", function() gan.zeros(2, 2)[1] = p[1] end)
    gan.no_grad(function() p[1] = 1 end)
    assert.same({ { 1, 1 }, { 0, 0 } }, p:totable())
  end)
end)

describe("elements", function()
  local x = gan.tensor{ { 1, 2 }, { 3, 4 } }

  it("are read and written by position", function()
    assert.equal(3, x:get(2, 1))
    assert.equal(4, x:get(-1, -1))
    assert.equal(7, gan.tensor(7):get())
    local y = gan.zeros(2, 2)
    y:set(5, 1, 2)
    y:permute(2, 1):set(6, 1, 2)
    assert.same({ { 0, 5 }, { 6, 0 } }, y:totable())
    fails("get: the tensor %(2 x 2%) needs 2 positions, got 1", x.get, x, 1)
    fails("get: positions start at 1", x.get, x, 0, 1)
    fails("get: position 3 is out of range in dimension 1 of %(2 x 2%)", x.get, x, 3, 1)
    fails("set: argument 2 'v' must be a number that fits", y.set, y, "1", 1, 1)
  end)

  it("become numbers where there is one", function()
    assert.equal(5, gan.tensor{ { 5 } }:item())
    fails("item: the tensor has shape %(2 x 2%)", x.item, x)
    fails("item: the tensor has shape %(0%)", gan.zeros(0).item, gan.zeros(0))
  end)

  it("come out of views in order", function()
    local y = gan.arange(1, 24):reshape(2, 3, 4)
    assert.same({ { 1, 5, 9 }, { 13, 17, 21 } }, y:permute(3, 1, 2)[1]:totable())
    assert.same({ { { 1 }, { 5 } }, { { 13 }, { 17 } } }, y:slice(2, 1, 2):slice(3, 1, 1):totable())
  end)
end)

describe("printing", function()
  it("names shape and type", function()
    local text = tostring(gan.zeros(2, 3))
    assert.matches("2", text)
    assert.matches("3", text)
    assert.equal("string", type(tostring(gan.tensor(1))))
    assert.equal("string", type(tostring(gan.zeros(0, 3))))
  end)

  it("of a released tensor does not fail", function()
    local x = gan.ones(2)
    x:release()
    assert.equal("tensor (released)", tostring(x))
  end)

  it("uses the type's name in Lua's own messages", function()
    fails("concatenate a gan.tensor value", function() return gan.ones(1) .. "x" end)
    fails("call a gan.tensor value", function() return gan.ones(1)() end)
  end)
end)
