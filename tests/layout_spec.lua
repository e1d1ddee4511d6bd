-- Sizes at which kernels cut work along memory: copies between layouts, batch normalisation of rows
-- of whole vectors, and the weight gradient of more images than it takes at a time.
local gan = require "gan"

-- the same values with neighbouring channels in memory
local function channels_last(x)
  return x:permute(1, 3, 4, 2):contiguous():permute(1, 4, 2, 3)
end

local function close(expected, found, what, tolerance)
  local d = (expected - found):abs():amax():item()
  assert.is_true(d <= tolerance * (1 + expected:abs():amax():item()), ("%s: %g"):format(what, d))
end

describe("a copy to another layout keeps every element of", function()
  for _, size in ipairs{ { 1, 40 }, { 3, 7 }, { 15, 33 }, { 16, 16 }, { 17, 31 }, { 49, 32 },
                         { 65, 130 } } do
    local rows, columns = size[1], size[2]
    it(("3 x %d x %d"):format(rows, columns), function()
      local x = gan.arange(3 * rows * columns):reshape(3, rows, columns)
      local y = x:transpose(2, 3):contiguous()
      assert.is_true(y:is_contiguous())
      local k = x[1][1][1]:item() -- arange's first element
      local wanted = {}
      for image = 0, 2 do
        for column = 0, columns - 1 do
          for row = 0, rows - 1 do
            wanted[#wanted + 1] = k + (image * rows + row) * columns + column
          end
        end
      end
      assert.are.same(wanted, y:reshape(#wanted):totable())
    end)
  end
end)

describe("batch normalisation does not depend on the layout", function()
  for _, channels in ipairs{ 2, 4, 8, 16, 20, 32, 48, 64, 128 } do
    for _, n in ipairs{ 5, 9 } do -- columns or rows in parts
      it(("of %d x %d x 7 x 9"):format(n, channels), function()
        gan.scope(function()
          local x, g = gan.randn(n, channels, 7, 9):mul_(3):add_(1), gan.randn(n, channels, 7, 9)
          local w, b = gan.require_grad(gan.randn(channels)), gan.require_grad(gan.randn(channels))
          for _, activation in ipairs{ "none", "relu", "leaky_relu" } do
            local function run(input, gy)
              input = gan.require_grad(input:detach())
              local y, mean, var = gan.batch_norm(input, w, b, nil, nil,
                { training = true, activation = activation, slope = 0.2 })
              return { y:detach(), mean, var, gan.grad(y, { input, w, b }, { grad_outputs = gy }) }
            end
            local wanted, found = run(x, g), run(channels_last(x), channels_last(g))
            for i = 1, 6 do
              close(wanted[i], found[i], activation .. " result " .. i, 1e-4)
            end
          end
        end)
      end)
    end
  end
end)

describe("the weight gradient of many images is the sum of that of each", function()
  for _, case in ipairs{ { 3, 20 }, { 16, 32 }, { 32, 64 }, { 40, 72 }, { 64, 16 } } do
    local from, to = case[1], case[2]
    it(("%d to %d channels"):format(from, to), function()
      gan.scope(function()
        local x, w = gan.randn(37, from, 14, 14), gan.require_grad(gan.randn(to, from, 4, 4))
        local function gradient(images)
          return gan.grad(images:conv2d(w, { stride = 2, padding = 1 }):sum(), w)
        end
        local each = gan.zeros_like(w)
        for i = 1, 37 do each = each + gradient(x:slice(1, i, i)) end
        close(each, gradient(x), "row-major", 1e-4)
        close(each, gradient(channels_last(x)), "channels last", 1e-4)
      end)
    end)
  end
end)
