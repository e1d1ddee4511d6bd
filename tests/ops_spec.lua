-- The checks that every op goes through, generated from its record and its cases in tests/ops.
-- OPS=conv2d,relu restricts the run; QUICK=1 keeps the first case of each op only.
local gan = require "gan"
local case = require "tests.case"
local values = require "tests.checks.values"
local derivatives = require "tests.checks.derivatives"
local layouts = require "tests.checks.layouts"
local faults = require "tests.checks.faults"

local double = gan.config.real == "float64"
local only, quick = os.getenv "OPS", os.getenv "QUICK"

local records, entries = {}, {}
for _, r in ipairs(gan.ops()) do records[r.name] = r end

local function golden_of(family)
  local f = loadfile("tests/golden/" .. family .. ".lua")
  return f and f() or {}
end

local function mutates(record)
  for _, p in ipairs(record.params) do if p.mutated then return true end end
  return false
end

for _, family in ipairs(case.families) do
  local golden = golden_of(family)
  for _, e in ipairs((case.load(family))) do
    e.golden = golden[e.name]
    entries[e.op] = entries[e.op] or {}
    if not quick or #entries[e.op] == 0 then table.insert(entries[e.op], e) end
  end
end

local function each(list, f, ...)
  for _, e in ipairs(list) do
    local rest = table.pack(...)
    gan.manual_seed(1)
    gan.scope(function() f(e, table.unpack(rest, 1, rest.n)) end)
  end
end

local function wanted(name)
  return not only or (("," .. only .. ","):find("," .. name .. ",", 1, true))
end

local function check_op(record, list)
  local fixed = not record.random
  describe(record.name, function()
    it("has the values of PyTorch", function()
      each(list, function(e) values.forward(e, e.golden) end)
    end)
    if fixed and not mutates(record) then
      it("has the gradients of PyTorch, to second order", function()
        each(list, function(e) values.gradient(e, e.golden) end)
      end)
      it("has one gradient, fused or composed", function() each(list, values.fused) end)
      it("does not depend on memory layout", function()
        each(list, layouts.strided)
        each(list, layouts.strided_gradient)
      end)
      it("gives each gradient alone as with the others", function() each(list, layouts.subsets) end)
      it("gives the same with one and two threads", function() each(list, layouts.threads) end)
      it("notices inputs changed in place", function() each(list, faults.changed_in_place) end)
      if double then
        it("has first derivatives that agree with finite differences", function()
          each(list, derivatives.first)
        end)
        it("has second derivatives that agree with finite differences", function()
          each(list, derivatives.second)
        end)
      end
    end
    it("refuses bad arguments", function()
      faults.bad_arguments(record)
      if list[1] then each({ list[1] }, faults.unknown_option) end
    end)
    it("survives every allocation failing", function()
      faults.out_of_memory(list[1], record)
    end)
  end)
end

describe("op", function()
  for _, record in ipairs(gan.ops()) do
    if wanted(record.name) and entries[record.name] then check_op(record, entries[record.name]) end
  end
end)

describe("every op", function()
  it("has a doc line, an example that runs, and test cases", function()
    local missing = {}
    for _, r in ipairs(gan.ops()) do
      if not r.doc or #r.doc < 10 then missing[#missing + 1] = r.name .. ": no doc" end
      if not entries[r.name] then
        missing[#missing + 1] = ("%s: no cases in tests/ops/%s.lua"):format(r.name, r.family)
      end
      if not r.example then missing[#missing + 1] = r.name .. ": no example"
      else
        local f, err = load("local gan = ... " .. r.example, "=" .. r.name)
        local ok, why = f ~= nil, err
        if f then ok, why = pcall(f, gan) end
        if not ok then missing[#missing + 1] = r.name .. ": example: " .. tostring(why) end
      end
    end
    assert.are.equal("", table.concat(missing, "\n"))
  end)
  it("named in a test file exists", function()
    for name in pairs(entries) do assert.is_not_nil(records[name], name) end
  end)
  it("with a PyTorch expression has golden numbers", function()
    local missing = {}
    for _, list in pairs(entries) do
      for _, e in ipairs(list) do
        if e.case.torch and not e.golden then missing[#missing + 1] = e.name end
      end
    end
    table.sort(missing)
    assert.are.equal("", table.concat(missing, " "))
  end)
end)
