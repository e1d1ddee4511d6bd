--- Descriptions of tensors for the test cases of ops (tests/ops/*.lua).
--
-- A case is data: the arguments of a call, a PyTorch expression for its value, and flags. The
-- tensors in it are described, not made, so that one description serves every check: contiguous or
-- not, requiring gradients or not, in either build. Values come from a generator of our own, are
-- the same on every machine, and are multiples of 1/256, which float32 holds exactly.

local case = {}

local Spec = {}
Spec.__index = Spec

local function spec(kind, t)
  local s = setmetatable({ kind = kind, sizes = {} }, Spec)
  for i, v in ipairs(t) do s.sizes[i] = v end
  for k, v in pairs(t) do if type(k) == "string" then s[k] = v end end
  return s
end

case.none = setmetatable({ kind = "none" }, Spec)

--- Normal-like values: t.randn{2, 3, scale = 2, shift = 1}
function case.randn(t) return spec("randn", t) end
--- Uniform values: t.uniform{2, 3, lo = 0.1, hi = 2}
function case.uniform(t) return spec("uniform", t) end
--- int64 labels in 1..n: t.labels{4, n = 3}
function case.labels(t) return spec("labels", t) end
--- uint8 values
function case.bytes(t) return spec("bytes", t) end
--- A given number or nested table, in the compute type or in `dtype`
function case.values(v, dtype)
  return setmetatable({ kind = "values", value = v, dtype = dtype }, Spec)
end
--- A list of tensors as one argument
function case.list(t) return setmetatable({ kind = "list", items = t }, Spec) end

function case.is_spec(v) return getmetatable(v) == Spec end

-- xorshift on 32 bits: enough for test data, and the same in every Lua
local function generator(seed)
  local x = seed & 0xffffffff
  if x == 0 then x = 2463534242 end
  for _ = 1, 4 do x = (x * 1664525 + 1013904223) & 0xffffffff end
  return function()
    x = x ~ (x << 13) & 0xffffffff
    x = x ~ (x >> 17)
    x = (x ~ (x << 5)) & 0xffffffff
    return x / 4294967296.0
  end
end

local function hash(text)
  local h = 5381
  for i = 1, #text do h = (h * 33 + text:byte(i)) & 0xffffffff end
  return h
end

local function rounded(v) return math.floor(v * 256 + 0.5) / 256 end

local function flatten(v, out, shape, depth)
  if type(v) ~= "table" then
    out[#out + 1] = v
    return
  end
  shape[depth] = shape[depth] or #v
  for _, x in ipairs(v) do flatten(x, out, shape, depth + 1) end
end

--- The flat values, shape and dtype ("real", "int64", "uint8") that a spec stands for.
function case.expand(s, name)
  if s.kind == "values" then
    local out, shape = {}, {}
    flatten(s.value, out, shape, 1)
    return out, shape, s.dtype or "real"
  end
  local n = 1
  for _, k in ipairs(s.sizes) do n = n * k end
  local rnd, out = generator(hash(name)), {}
  for i = 1, n do
    if s.kind == "randn" then
      local sum = -6
      for _ = 1, 12 do sum = sum + rnd() end
      local v = rounded(sum)
      -- two values never coincide and none is exactly 0: kinks and ties belong in t.values
      if v == 0 then v = 1 / 256 end
      out[i] = v * (s.scale or 1) + (s.shift or 0)
    elseif s.kind == "uniform" then
      local lo, hi = s.lo or 0, s.hi or 1
      out[i] = math.min(math.max(rounded(lo + rnd() * (hi - lo)), lo), hi)
    elseif s.kind == "labels" then
      out[i] = 1 + math.floor(rnd() * assert(s.n, "t.labels needs n"))
    else
      out[i] = math.floor(rnd() * 256)
    end
  end
  return out, s.sizes, s.kind == "labels" and "int64" or s.kind == "bytes" and "uint8" or "real"
end

--- The tensor descriptions of a case in order, lists flattened: {spec=, name=} each.
function case.tensors(c, name)
  local found = {}
  local function add(v)
    found[#found + 1] = { spec = v, name = name .. "/" .. (#found + 1) }
  end
  for i = 1, case.count(c) do
    local v = c[i]
    if case.is_spec(v) then
      if v.kind == "list" then for _, item in ipairs(v.items) do add(item) end
      elseif v.kind ~= "none" then add(v) end
    end
  end
  return found
end

--- Number of arguments of a case (t.none stands for nil, so there are no holes).
function case.count(c) return #c end

--- The argument list of a case, with make(entry) in the place of every tensor description.
function case.arguments(c, name, make)
  local k, args = 0, {}
  local function one(v)
    k = k + 1
    return make({ spec = v, name = name .. "/" .. k }, k)
  end
  local n = case.count(c)
  for i = 1, n do
    local v = c[i]
    if not case.is_spec(v) then args[i] = v
    elseif v.kind == "none" then args[i] = nil
    elseif v.kind == "list" then
      args[i] = {}
      for j, item in ipairs(v.items) do args[i][j] = one(item) end
    else args[i] = one(v) end
  end
  return args, n
end

--- Weights of an output in the scalar that the checks differentiate: fixed, in [-1, 1].
function case.cotangent(name, k, n)
  local rnd, w = generator(hash(name .. "/w" .. k)), {}
  for i = 1, n do w[i] = rounded(rnd() * 2 - 1) end
  return w
end

case.families = {
  "create", "pointwise", "reduce", "shape", "index", "matmul", "conv", "pool", "resize", "norm",
  "softmax", "loss", "random", "rnn", "optim",
}

--- All cases of a family in a fixed order: {op=, name="op#k", case=} each; {} without a file.
function case.load(family)
  local path = "tests/ops/" .. family .. ".lua"
  local f = io.open(path)
  if not f then return {} end
  f:close()
  local cases, names, list = dofile(path), {}, {}
  for op in pairs(cases) do names[#names + 1] = op end
  table.sort(names)
  for _, op in ipairs(names) do
    for k, c in ipairs(cases[op]) do
      list[#list + 1] = { op = op, name = op .. "#" .. k, case = c }
    end
  end
  return list, cases
end

return case
