--- Matrix products, convolutions and recurrent cells in ONNX.

local ops = {}

-- ---- products -----------------------------------------------------------------------------

local function matmul(g, a)
  return g:node("MatMul", { g:use(a.a), g:use(a.b) })
end
ops.matmul, ops.bmm, ops.dot = matmul, matmul, matmul

function ops.outer(g, a)
  local column = g:node("Unsqueeze", { g:use(a.a), g:ints{ 1 } })
  return g:node("Mul", { column, g:node("Unsqueeze", { g:use(a.b), g:ints{ 0 } }) })
end

function ops.addmm(g, a)
  return g:node("Gemm", { g:use(a.a), g:use(a.b), g:use(a.c) },
    { alpha = a.alpha, beta = a.beta })
end

function ops.einsum(g, a)
  local names = {}
  for i, value in ipairs(a.x) do
    names[i] = g:use(value)
  end
  return g:node("Einsum", names, { equation = a.eq })
end

local activations = {
  relu = function(g, x) return g:node("Relu", { x }) end,
  leaky_relu = function(g, x, slope) return g:node("LeakyRelu", { x }, { alpha = slope }) end,
  tanh = function(g, x) return g:node("Tanh", { x }) end,
  sigmoid = function(g, x) return g:node("Sigmoid", { x }) end,
  none = function(_, x) return x end,
}

--- x W^T + b; w and b are values, b may be nil.
local function linear(g, x, w, b)
  if #x.shape == 2 then
    return g:node("Gemm", { g:use(x), g:use(w), b and g:use(b) }, { transB = 1 })
  end
  local turned = g:node("Transpose", { g:use(w) }, { perm = { 1, 0 } })
  local y = g:node("MatMul", { g:use(x), turned })
  return b and g:node("Add", { y, g:use(b) }) or y
end

function ops.linear(g, a)
  return activations[a.activation](g, linear(g, a.x, a.w, a.b), a.slope)
end

-- ---- convolutions -------------------------------------------------------------------------

--- A list with one number for each spatial dimension.
local function each(list, dims)
  local result = {}
  for d = 1, dims do
    result[d] = list[d] or list[1]
  end
  return result
end

local function twice(list)
  local n = #list
  return table.move(list, 1, n, n + 1, table.move(list, 1, n, 1, {}))
end

local function convolution(onnx, dims)
  return function(g, a)
    local y = g:node(onnx, { g:use(a.x), g:use(a.weight), a.bias and g:use(a.bias) }, {
      strides = each(a.stride, dims), pads = twice(each(a.padding, dims)),
      dilations = each(a.dilation, dims), group = a.groups,
      output_padding = a.output_padding and each(a.output_padding, dims),
      kernel_shape = table.move(a.weight.shape, 3, 2 + dims, 1, {}),
    })
    return activations[a.activation](g, y, a.slope)
  end
end
ops.conv1d, ops.conv2d = convolution("Conv", 1), convolution("Conv", 2)
ops.conv_transpose1d = convolution("ConvTranspose", 1)
ops.conv_transpose2d = convolution("ConvTranspose", 2)

-- ---- recurrent cells ----------------------------------------------------------------------

--- Both products of a cell, (N, gates hidden) each.
local function products(g, a)
  return linear(g, a.x, a.wi, a.bi), linear(g, a.h, a.wh, a.bh)
end

function ops.rnn_tanh_cell(g, a)
  return g:node("Tanh", { g:node("Add", { products(g, a) }) })
end

--- n + z (h - n), n = tanh(Wi x + bi + r (Wh h + bh))
function ops.gru_cell(g, a)
  local p, q = products(g, a)
  local p_r, p_z, p_n = g:node("Split", { p }, { axis = 1 }, 3)
  local q_r, q_z, q_n = g:node("Split", { q }, { axis = 1 }, 3)
  local r = g:node("Sigmoid", { g:node("Add", { p_r, q_r }) })
  local z = g:node("Sigmoid", { g:node("Add", { p_z, q_z }) })
  local n = g:node("Tanh", { g:node("Add", { p_n, g:node("Mul", { r, q_n }) }) })
  local kept = g:node("Mul", { z, g:node("Sub", { g:use(a.h), n }) })
  return g:node("Add", { n, kept })
end

--- c = f c + i g, h = o tanh(c)
function ops.lstm_cell(g, a)
  local gates = g:node("Add", { products(g, a) })
  local i, f, new, o = g:node("Split", { gates }, { axis = 1 }, 4)
  i, f = g:node("Sigmoid", { i }), g:node("Sigmoid", { f })
  local kept = g:node("Mul", { f, g:use(a.c) })
  local c = g:node("Add", { kept, g:node("Mul", { i, g:node("Tanh", { new }) }) })
  return g:node("Mul", { g:node("Sigmoid", { o }), g:node("Tanh", { c }) }), c
end

return ops
