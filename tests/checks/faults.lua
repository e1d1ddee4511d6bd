--- Bad arguments, running out of memory at every allocation, changes in place of saved tensors.
local common = require "tests.checks.common"
local gan = require "gan"

local faults = {}

local function refuses(op, what, f, ...)
  local ok, err = pcall(f, ...)
  assert(not ok, ("%s: %s was accepted"):format(op, what))
  err = tostring(err)
  assert(err:find(op, 1, true),
         ("%s: %s: the message does not name the op: %s"):format(op, what, err))
end

--- Wrong arity, type, option, from the signature alone.
function faults.bad_arguments(record)
  local f = gan[record.name]
  local first = record.params[1]
  local typed = first and (first.kind == "tensor" or first.kind == "any" or first.kind == "labels"
                           or first.kind == "tensors")
  if typed and not first.optional then
    refuses(record.name, "no argument", f)
    refuses(record.name, "a string", f, "text")
    refuses(record.name, "a function", f, print)
    refuses(record.name, "a boolean", f, true)
  end
  if first and (first.kind == "tensor" or first.kind == "labels") and not first.optional then
    local wrong = gan.zeros(2, 2, { dtype = "uint8" })
    local args = { wrong }
    for i = 2, #record.params do
      local p = record.params[i]
      if p.positional and not p.optional and p.default == nil then
        if p.kind == "tensor" or p.kind == "operand" then args[i] = gan.zeros(2, 2)
        elseif p.kind == "labels" then args[i] = gan.ones(2, 2, { dtype = "int64" })
        elseif p.kind == "tensors" then args[i] = { gan.zeros(2, 2) }
        else break end
      end
    end
    refuses(record.name, "a uint8 tensor", f, table.unpack(args))
  end
end

function faults.unknown_option(e)
  local ok, err = pcall(function()
    local c = { table.unpack(e.case, 1, #e.case) }
    local options = {}
    local last = c[#c]
    if type(last) == "table" and not require("tests.case").is_spec(last) and #last == 0 then
      for k, v in pairs(last) do options[k] = v end
      c[#c] = nil
    end
    options.no_such_option = 1
    c[#c + 1] = options
    common.call({ op = e.op, name = e.name, case = c }, common.make)
  end)
  assert(not ok, e.name .. ": an unknown option was accepted")
  assert(tostring(err):find("no_such_option", 1, true), e.name .. ": " .. tostring(err))
end

-- Everything a case does: forward, backward.
local function exercise(e, wrt)
  local made = {}
  local out = common.call(e, function(entry, k)
    local t = common.make(entry)
    for _, w in ipairs(wrt) do if w == k then t = gan.require_grad(t) end end
    return t
  end, made)
  local total = common.scalar(e, out)
  if total then total:backward() end
end

--- The k-th allocation fails, for k = 0, 1, 2 ... until all goes well: every failure is a clean
--- error, and nothing stays behind.
function faults.out_of_memory(e, record)
  local wrt = record.update and {} or common.wrt(e)
  for _, p in ipairs(record.params) do if p.mutated then wrt = {} end end
  gan.scope(function() exercise(e, wrt) end) -- warm: buffers that stay are made now
  collectgarbage()
  collectgarbage()
  local base = gan.memory()
  for k = 0, 2000 do
    local ok, err = pcall(gan.scope, function()
      gan.debug.fail_after(k)
      local fine, why = pcall(exercise, e, wrt)
      gan.debug.fail_after(nil)
      if not fine then error(why, 0) end
    end)
    gan.debug.fail_after(nil)
    if not ok then
      assert(tostring(err):find("memory", 1, true),
             ("%s: allocation %d failing gave: %s"):format(e.name, k, tostring(err)))
    end
    local now = gan.memory()
    if now.tensors ~= base.tensors or now.nodes ~= base.nodes then -- perhaps only not collected
      collectgarbage()
      collectgarbage()
      now = gan.memory()
    end
    assert(now.tensors == base.tensors and now.nodes == base.nodes,
           ("%s: allocation %d failing left %d tensors and %d nodes behind")
             :format(e.name, k, now.tensors - base.tensors, now.nodes - base.nodes))
    if ok then return end
  end
  error(e.name .. ": did not succeed after 2000 allocations")
end

--- Changing an input in place after the call does not matter for the gradient, or is an error.
function faults.changed_in_place(e)
  local wrt = common.wrt(e)
  local function gradients(spoil)
    local made, roots = {}, {}
    local out = common.call(e, function(entry, k)
      local t = common.make(entry)
      for _, w in ipairs(wrt) do
        if w == k then
          roots[k] = gan.require_grad(t)
          t = roots[k] * 1
        end
      end
      return t
    end, made)
    local total = common.scalar(e, out)
    if not total then return nil end
    if spoil then
      gan.no_grad(function()
        for _, t in ipairs(made) do if t:dtype() == gan.config.real then t:detach():fill_(7) end end
      end)
    end
    total:backward()
    local g = {}
    for _, w in ipairs(wrt) do g[w] = roots[w]:grad() end
    return g
  end
  local clean = gradients(false)
  if not clean then return end
  local ok, spoilt = pcall(gradients, true)
  if not ok then
    assert(tostring(spoilt):find("in place", 1, true), e.name .. ": " .. tostring(spoilt))
    return
  end
  for w, g in pairs(clean) do
    local why = common.differs(spoilt[w], common.flat(g), g:shape(), 1e-6)
    assert(not why, ("%s: an input changed in place falsified the gradient of tensor %d: %s")
             :format(e.name, w, tostring(why)))
  end
end

return faults
