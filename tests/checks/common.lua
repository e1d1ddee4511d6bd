--- What the generated checks share: making a case's tensors, calling it, comparing numbers.
local gan = require "gan"
local case = require "tests.case"

local common = {}

common.double = gan.config.real == "float64"

local function nest(flat, shape)
  if #shape == 0 then return flat[1] end
  return flat, shape
end

--- A row-major tensor of the build's compute type (or int64, uint8).
function common.tensor(flat, shape, dtype)
  local name = dtype == "real" and gan.config.real or dtype
  if #shape == 0 then return gan.tensor(nest(flat, shape), { dtype = name }) end
  if #flat == 0 then return gan.zeros(shape, { dtype = name }) end
  return gan.tensor(flat, { dtype = name }):reshape(shape)
end

function common.make(entry)
  return common.tensor(case.expand(entry.spec, entry.name))
end

--- Calls an op with a case's arguments; `made` receives the tensors in order.
function common.call(e, make, made)
  local args, n = case.arguments(e.case, e.name, function(entry, k)
    local t = make(entry, k)
    if made then made[k] = t end
    return t
  end)
  return table.pack(gan[e.op](table.unpack(args, 1, n)))
end

--- Positions of the tensors that get gradients.
function common.wrt(e)
  if e.case.wrt then return e.case.wrt end
  local list = {}
  for i, t in ipairs(case.tensors(e.case, e.name)) do
    local _, _, dtype = case.expand(t.spec, t.name)
    if dtype == "real" then list[#list + 1] = i end
  end
  return list
end

--- sum_k sum(w_k y_k) over the outputs that have a gradient; nil when none has.
function common.scalar(e, out)
  local total
  for k = 1, out.n do
    local y = out[k]
    if gan.is_tensor(y) and y:dtype() == gan.config.real and y:requires_grad() then
      local w = common.tensor(case.cotangent(e.name, k, y:numel()), y:shape(), "real")
      local term = (y * w):sum()
      total = total and total + term or term
    end
  end
  return total
end

--- The same numbers: within tol relative to the larger of 1 and the expected size; NaN is NaN.
function common.close(got, want, tol)
  if want ~= want then return got ~= got end
  if want == math.huge or want == -math.huge then return got == want end
  return math.abs(got - want) <= tol * math.max(1, math.abs(want))
end

--- Compares a tensor with flat numbers and a shape; nil or a message.
function common.differs(t, want, shape, tol)
  local got, expected = table.concat(t:shape(), " x "), table.concat(shape, " x ")
  if got ~= expected then return ("shape (%s), expected (%s)"):format(got, expected) end
  local flat = common.flat(t)
  for i = 1, #want do
    if not common.close(flat[i], want[i], tol) then
      return ("element %d is %.9g, expected %.9g"):format(i, flat[i], want[i])
    end
  end
end

--- The elements in row-major order.
function common.flat(t)
  local out = {}
  local function walk(v)
    if type(v) ~= "table" then out[#out + 1] = v
    else for _, x in ipairs(v) do walk(x) end end
  end
  if t:numel() == 0 then return out end
  walk(t:detach():totable())
  return out
end

return common
