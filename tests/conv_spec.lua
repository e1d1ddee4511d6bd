-- Convolution and pooling at sizes where the kernels cut work into tiles, against sums over shifted
-- slices; and what they say about arguments that do not fit.
local gan = require "gan"

-- y[n, o, i, j] = sum over h, w of weight[:, :, h, w] times the slice of x that meets it
local function reference(x, w, s, p, d)
  local kh, kw = w:size(3), w:size(4)
  x = gan.pad(x, { 0, 0, 0, 0, p, p, p, p })
  local oh = (x:size(3) - d * (kh - 1) - 1) // s + 1
  local ow = (x:size(4) - d * (kw - 1) - 1) // s + 1
  local y
  for h = 0, kh - 1 do
    for v = 0, kw - 1 do
      local part = x:slice(3, 1 + h * d, 1 + h * d + (oh - 1) * s, { step = s })
      part = part:slice(4, 1 + v * d, 1 + v * d + (ow - 1) * s, { step = s })
      local tap = w:slice(3, h + 1, h + 1):slice(4, v + 1, v + 1):reshape(w:size(1), w:size(2))
      local term = part:permute(1, 3, 4, 2):matmul(tap:permute(2, 1))
      y = y and y + term or term
    end
  end
  return y:permute(1, 4, 2, 3)
end

local function largest(t)
  return t:numel() == 0 and 0 or t:abs():amax():item()
end

local function close(what, a, b, tol)
  assert.same(b:shape(), a:shape(), what)
  local off = largest(a - b) / (largest(b) + 1e-3)
  assert(off < (tol or 1e-4), ("%s: off by %g"):format(what, off))
end

-- a value, its gradients and the gradients of their squares
local function compare(what, f, g, ...)
  local results = {}
  for i, fn in ipairs{ f, g } do
    local leaves = {}
    for k, t in ipairs{ ... } do leaves[k] = gan.require_grad(t) end
    local y = fn(table.unpack(leaves))
    local first = table.pack(gan.grad((y * y):sum(), leaves, { create_graph = true }))
    local penalty = (first[1] * first[1]):sum() + (first[2] * first[2]):mean()
    results[i] = { y, first, table.pack(gan.grad(penalty, leaves)) }
  end
  local a, b = results[1], results[2]
  close(what, a[1], b[1])
  for k = 1, 2 do
    close(what .. ": gradient " .. k, a[2][k], b[2][k])
    close(what .. ": second gradient " .. k, a[3][k], b[3][k], 1e-3)
  end
end

describe("convolution", function()
  before_each(function() gan.manual_seed(3) end)

  -- n, channels in, height, width, channels out, kernel, stride, padding, dilation
  local shapes = {
    { 2, 3, 9, 31, 40, 3, 1, 1, 1 }, { 1, 20, 12, 15, 33, 4, 2, 1, 1 },
    { 17, 18, 7, 7, 24, 4, 2, 1, 1 }, { 30, 5, 4, 4, 2, 4, 1, 0, 1 },
    { 3, 2, 20, 18, 1, 5, 1, 2, 1 }, { 2, 64, 5, 6, 3, 3, 1, 1, 1 },
    { 2, 7, 11, 29, 16, 3, 2, 3, 3 }, { 9, 33, 1, 1, 17, 1, 1, 0, 1 },
    { 1, 32, 6, 8, 32, 1, 1, 0, 1 }, { 2, 1, 16, 16, 1, 3, 3, 0, 2 },
  }
  for _, c in ipairs(shapes) do
    local n, ci, h, w, co, k, s, p, d = table.unpack(c)
    local options = { stride = s, padding = p, dilation = d }
    local name = table.concat(c, " ")

    it("equals sums over slices: " .. name, function()
      gan.scope(function()
        compare(name, function(x, v) return x:conv2d(v, options) end,
                function(x, v) return reference(x, v, s, p, d) end,
                gan.randn(n, ci, h, w), gan.randn(co, ci, k, k))
      end)
    end)

    it("has its adjoint in the transposed one: " .. name, function()
      gan.scope(function()
        local weight, x = gan.randn(co, ci, k, k), gan.randn(n, ci, h, w)
        local y = x:conv2d(weight, options)
        local g = gan.randn(table.unpack(y:shape()))
        local more = {}
        for i = 1, 2 do
          more[i] = x:size(2 + i) - ((y:size(2 + i) - 1) * s - 2 * p + d * (k - 1) + 1)
        end
        local back = g:conv_transpose2d(weight, { stride = s, padding = p, dilation = d,
          output_padding = more })
        local left, right = (y * g):sum():item(), (x * back):sum():item()
        assert.near(left, right, 1e-3 * (math.abs(left) + math.sqrt(y:numel() * ci * k * k)))
      end)
    end)
  end

  -- The lecture's identity: a deconvolution is an ordinary convolution of x with zeros put between
  -- its elements, a wide border of zeros, and the kernel turned around.
  local function deconvolution(x, w, stride, padding)
    local k = w:size(3)
    local spread = gan.zeros(x:size(1), x:size(2), (x:size(3) - 1) * stride + 1,
      (x:size(4) - 1) * stride + 1)
    spread:slice(3, 1, -1, { step = stride }):slice(4, 1, -1, { step = stride }):copy_(x)
    return spread:conv2d(w:flip(3, 4):transpose(1, 2), { padding = k - 1 - padding })
  end

  it("computes a deconvolution: spread input, wide padding, flipped kernel", function()
    for _, c in ipairs{ { 3, 1, 0 }, { 3, 1, 1 }, { 4, 2, 1 }, { 5, 3, 2 }, { 2, 2, 0 } } do
      local k, stride, padding = table.unpack(c)
      local x, w = gan.randn(2, 3, 5, 6), gan.randn(3, 4, k, k)
      local y = x:conv_transpose2d(w, { stride = stride, padding = padding })
      close(("kernel %d, stride %d"):format(k, stride), y, deconvolution(x, w, stride, padding))
    end
  end)

  it("takes every group for itself", function()
    gan.scope(function()
      for _, c in ipairs{ { 2, 3, 5 }, { 20, 1, 1 }, { 33, 1, 1 }, { 4, 17, 1 }, { 3, 1, 33 } } do
        local groups, ci, co = table.unpack(c)
        local x, w = gan.randn(2, groups * ci, 6, 17), gan.randn(groups * co, ci, 3, 3)
        local parts = {}
        for g = 1, groups do
          parts[g] = x:slice(2, (g - 1) * ci + 1, g * ci):conv2d(
            w:slice(1, (g - 1) * co + 1, g * co), { padding = 1, stride = 2 })
        end
        local what = groups .. " groups"
        local leaf = gan.require_grad(w)
        local y = x:conv2d(leaf, { padding = 1, stride = 2, groups = groups })
        close(what, y:detach(), gan.cat(parts, { dim = 2 }))
        local gw = gan.grad(y:sum(), leaf)
        local shifted = x:conv2d(w + 1, { padding = 1, stride = 2, groups = groups })
        local scale = math.sqrt(y:numel() * ci * 9)
        assert.near((shifted - y):sum():item(), gw:sum():item(), 0.02 * scale)
        local z = y:detach():conv_transpose2d(w, { padding = 1, stride = 2, groups = groups })
        local back = {}
        for g = 1, groups do
          back[g] = parts[g]:conv_transpose2d(w:slice(1, (g - 1) * co + 1, g * co),
                                              { padding = 1, stride = 2 })
        end
        close(what .. " back", z, gan.cat(back, { dim = 2 }))
      end
    end)
  end)

  it("keeps channels next to each other in memory, whatever the input's layout", function()
    gan.scope(function()
      local x, w = gan.randn(2, 5, 6, 7), gan.randn(8, 5, 3, 3)
      local y = x:conv2d(w, { padding = 1 })
      assert.same({ 8 * 42, 1, 8 * 7, 8 }, y:stride())
      local other = x:permute(1, 3, 4, 2):contiguous():permute(1, 4, 2, 3)
      close("layouts", other:conv2d(w, { padding = 1 }), y, 1e-12)
    end)
  end)

  it("lets a NaN reach the windows that cover it and no others", function()
    gan.scope(function()
      for _, channels in ipairs{ 1, 16, 40 } do
        local x = gan.zeros(1, 3, 9, 33)
        x:set(0 / 0, 1, 2, 5, 17)
        local y = x:conv2d(gan.ones(channels, 3, 3, 3), { padding = 1 })
        assert.equal(9 * channels, y:isnan():to(gan.config.real):sum():item())
        assert.is_true(y:get(1, 1, 4, 16) ~= y:get(1, 1, 4, 16))
        local z = x:conv_transpose2d(gan.ones(3, channels, 2, 2), { stride = 2 })
        assert.equal(4 * channels, z:isnan():to(gan.config.real):sum():item())
      end
    end)
  end)

  -- op, n, channels in, height, width, channels out, kernel, groups, activation
  local large = {
    { "conv2d", 61, 3, 24, 24, 20, 4, 1, "leaky_relu" },
    { "conv2d", 53, 18, 16, 17, 20, 3, 1, "none" },
    { "conv2d", 50, 40, 20, 20, 3, 3, 1, "tanh" }, { "conv2d", 57, 16, 24, 24, 16, 3, 16, "relu" },
    { "conv2d", 40, 12, 20, 20, 44, 3, 2, "sigmoid" },
    { "conv_transpose2d", 59, 16, 14, 14, 1, 4, 1, "tanh" },
    { "conv_transpose2d", 45, 20, 12, 12, 34, 4, 1, "none" },
    { "conv_transpose2d", 64, 33, 8, 9, 16, 3, 1, "relu" },
  }
  for _, e in ipairs(large) do
    local op, n, ci, h, w, co, k, groups, activation = table.unpack(e)
    it("has one gradient in one pass over a large batch: " .. table.concat(e, " "), function()
      local threads = gan.threads()
      finally(function()
        gan.threads(threads)
        gan.debug.force_composed(false)
      end)
      local a, b = co, ci // groups
      if op == "conv_transpose2d" then a, b = ci, co // groups end
      local x = gan.require_grad(gan.randn(n, ci, h, w))
      local weight = gan.require_grad(gan.randn(a, b, k, k) * 0.1)
      local bias = gan.require_grad(gan.randn(co))
      local options = { stride = 2, padding = 1, groups = groups, activation = activation }
      local function gradients(leaves)
        local y = gan[op](x, weight, bias, options)
        return table.pack(gan.grad((y * y):sum(), leaves))
      end
      local leaves = { x, weight, bias }
      gan.debug.force_composed(true)
      local wanted = gradients(leaves)
      gan.debug.force_composed(false)
      for _, count in ipairs{ 1, 2, 3 } do
        gan.threads(count)
        local all, again = gradients(leaves), gradients(leaves)
        for i, leaf in ipairs(leaves) do
          local what = ("gradient %d, %d threads"):format(i, count)
          close(what, all[i], wanted[i])
          assert(all[i]:bytes() == again[i]:bytes(), what .. ": other bits")
          close(what .. ", alone", gradients({ leaf })[1], wanted[i])
        end
      end
    end)
  end

  -- op, n, channels in, height, width, channels out, kernel, groups
  local fused = {
    { "conv2d", 3, 3, 9, 8, 5, 3, 1 }, { "conv2d", 2, 1, 11, 3, 16, 1, 1 },
    { "conv2d", 4, 20, 7, 6, 24, 1, 1 }, { "conv2d", 3, 6, 7, 6, 6, 3, 6 },
    { "conv2d", 3, 6, 7, 6, 6, 1, 6 }, { "conv2d", 40, 6, 2, 2, 6, 2, 6 },
    { "conv2d", 2, 6, 7, 6, 8, 3, 2 }, { "conv_transpose2d", 2, 6, 5, 6, 6, 3, 6 },
    { "conv_transpose2d", 3, 4, 5, 6, 7, 1, 1 }, { "conv_transpose2d", 33, 12, 1, 1, 7, 4, 1 },
  }
  for _, e in ipairs(fused) do
    local op, n, ci, h, w, co, k, groups = table.unpack(e)
    it("applies an activation once, everywhere: " .. table.concat(e, " "), function()
      local a, b = co, ci // groups
      if op == "conv_transpose2d" then a, b = ci, co // groups end
      local x, weight = gan.randn(n, ci, h, w), gan.randn(a, b, k, k)
      local bias, threads = gan.randn(co), gan.threads()
      finally(function() gan.threads(threads) end)
      for _, count in ipairs{ 1, 2, 5 } do
        gan.threads(count)
        local y = gan[op](x, weight, bias, { groups = groups })
        for _, f in ipairs{ "relu", "leaky_relu", "tanh", "sigmoid" } do
          close(f, gan[op](x, weight, bias, { groups = groups, activation = f }), y[f](y))
        end
      end
    end)
  end

  it("gives the same bits every time and on every call", function()
    gan.scope(function()
      local x, w = gan.randn(8, 16, 14, 14), gan.require_grad(gan.randn(32, 16, 4, 4))
      local function once()
        local y = x:conv2d(w, { stride = 2, padding = 1 })
        return y:bytes(), gan.grad((y * y):sum(), w):bytes()
      end
      local y1, g1 = once()
      local y2, g2 = once()
      assert.is_true(y1 == y2 and g1 == g2)
    end)
  end)
end)

describe("wrong arguments", function()
  local function says(pattern, f, ...)
    local ok, err = pcall(f, ...)
    assert.is_false(ok)
    assert.is_truthy(tostring(err):find(pattern, 1, true), tostring(err))
  end
  local x, w = gan.zeros(8, 5, 9, 9), gan.zeros(4, 2, 3, 3)

  it("of conv2d are named with their shapes", function()
    says("weight (4 x 2 x 3 x 3) wants 2 channels in 1 group, input is (8 x 5 x 9 x 9)",
         gan.conv2d, x, w)
    says("3 groups do not divide the 4 channels of weight (4 x 2 x 3 x 3)", gan.conv2d, x, w,
         { groups = 3 })
    says("stride must be at least 1, got 0", gan.conv2d, x, gan.zeros(4, 5, 3, 3), { stride = 0 })
    says("dilation must be at least 1, got 0", gan.conv2d, x, gan.zeros(4, 5, 3, 3),
         { dilation = { 1, 0 } })
    says("padding must be at least 0, got -1", gan.conv2d, x, gan.zeros(4, 5, 3, 3),
         { padding = -1 })
    says("stride has 3 numbers, expected 1 or 2", gan.conv2d, x, gan.zeros(4, 5, 3, 3),
         { stride = { 1, 1, 1 } })
    says("the kernel of weight (4 x 5 x 3 x 10) spans 10 (dilation 1), more than the padded size 9 "
         .. "of dimension 4 of input (8 x 5 x 9 x 9)", gan.conv2d, x, gan.zeros(4, 5, 3, 10))
    says("bias must be (4)", gan.conv2d, x, gan.zeros(4, 5, 3, 3), gan.zeros(5))
    says("x must be (N x C x H x W), got (5 x 9 x 9) (for one example use unsqueeze(1))",
         gan.conv2d, gan.zeros(5, 9, 9), gan.zeros(4, 5, 3, 3))
    says("weight must have 4 dimensions", gan.conv2d, x, gan.zeros(4, 5))
    says("has an empty kernel", gan.conv2d, x, gan.zeros(4, 5, 0, 3))
    says("groups must be at least 1", gan.conv2d, x, w, { groups = 0 })
  end)

  it("of conv_transpose are named with their shapes", function()
    local f, y = gan.conv_transpose2d, gan.zeros(2, 4, 3, 3)
    says("weight (5 x 2 x 3 x 3) wants 5 channels in 1 group, input is (2 x 4 x 3 x 3)", f, y,
         gan.zeros(5, 2, 3, 3))
    says("output_padding 2 must be smaller than stride 2 or dilation 1", f, y,
         gan.zeros(4, 2, 3, 3), { stride = 2, output_padding = 2 })
    says("the output would have -1 places in dimension 3", f, y, gan.zeros(4, 2, 1, 1),
         { padding = 2 })
    says("bias must be (6)", f, y, gan.zeros(4, 3, 3, 3), gan.zeros(3), { groups = 2 })
  end)

  it("of pooling are named", function()
    says("padding 2 is more than half of kernel_size 3", gan.max_pool2d, x, 3, { padding = 2 })
    says("a window of 10 (dilation 1) is larger than the padded size 9 of dimension 3",
         gan.max_pool2d, x, 10)
    says("window 1 of dimension 3 has no element inside the input", gan.max_pool1d,
         gan.zeros(1, 1, 1), 2, { padding = 1, dilation = 2 })
    says("kernel_size must be at least 1", gan.avg_pool2d, x, 0)
    says("divisor_override must not be 0", gan.avg_pool2d, x, 2, { divisor_override = 0 })
    says("there is nothing to pool", gan.adaptive_avg_pool2d, gan.zeros(1, 1, 0, 2), 1)
    local index = gan.tensor({ { { 1, 5 } } }, { dtype = "int64" })
    says("index 5 is out of range, the plane of output_size 1 x 4 has the places 1 to 4",
         gan.max_unpool1d, gan.zeros(1, 1, 2), index, 2)
    says("index 0 is out of range", gan.max_unpool1d, gan.zeros(1, 1, 2),
         gan.zeros(1, 1, 2, { dtype = "int64" }), 2)
    says("index (1 x 1 x 2) must have the shape of the values (1 x 1 x 3)", gan.max_unpool1d,
         gan.zeros(1, 1, 3), index, 2)
  end)

  it("of resizing are named", function()
    says("give either size or scale", gan.upsample_nearest, x)
    says("give either size or scale", gan.upsample_nearest, x, 4, { scale = 2 })
    says("align_corners", gan.upsample_linear, x, 4)
    says("scale 0.01 makes a size of 0", gan.upsample_nearest, x, { scale = 0.01 })
    says("factor 2 needs channels in groups of 4, input is (8 x 5 x 9 x 9)", gan.pixel_shuffle,
         x, 2)
    says("factor 2 does not divide height and width", gan.pixel_unshuffle, x, 2)
    says("factor must be at least 1, got 0", gan.pixel_unshuffle, x, 0)
  end)
end)
