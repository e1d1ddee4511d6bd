--- Saving and loading of models: methods of Module.
--
-- A state dictionary maps names to tensors, parameters and buffers alike, under the names that
-- PyTorch gives them (`main.0.weight`), so that weights travel both ways as safetensors files.

local gan = require "gan"
local options = require "gan.options"
local module = require "gan.nn.module"

local Module = module.Module

--- name -> tensor. The tensors are the model's own, not copies; a tensor that two layers share
-- is listed under both names.
function Module:state_dict()
  local state = {}
  module.walk(self, "", function(name, t)
    state[name] = t
  end)
  return state
end

local function sizes(t)
  return "(" .. table.concat(t:shape(), " x ") .. ")"
end

local function same_shape(a, b)
  local sa, sb = a:shape(), b:shape()
  if #sa ~= #sb then
    return false
  end
  for i = 1, #sa do
    if sa[i] ~= sb[i] then
      return false
    end
  end
  return true
end

--- What does not fit: { missing = names, unexpected = names, misshaped = descriptions }.
local function compare(own, state)
  local report = { missing = {}, unexpected = {}, misshaped = {} }
  for name, t in pairs(own) do
    local given = state[name]
    if given == nil then
      table.insert(report.missing, name)
    elseif not same_shape(t, given) then
      table.insert(report.misshaped,
        ("%s: %s here, %s given"):format(name, sizes(t), sizes(given)))
    end
  end
  for name in pairs(state) do
    if own[name] == nil then
      table.insert(report.unexpected, name)
    end
  end
  for _, list in pairs(report) do
    table.sort(list)
  end
  return report
end

local function complaint(report)
  local lines = {}
  for _, kind in ipairs{ "missing", "unexpected", "misshaped" } do
    if #report[kind] > 0 then
      lines[#lines + 1] = kind .. ": " .. table.concat(report[kind], ", ")
    end
  end
  return #lines > 0 and table.concat(lines, "; ") or nil
end

local function assign(own, state)
  gan.no_grad(function()
    for name, t in pairs(own) do
      local given = state[name]
      if given ~= nil and same_shape(t, given) then
        t:copy_(given:dtype() == t:dtype() and given or given:to(t:dtype()))
      end
    end
  end)
end

local function load(self, state, strict)
  local own = self:state_dict()
  local report = compare(own, state)
  local message = complaint(report)
  if message and strict then
    return nil, message
  end
  assign(own, state)
  return report
end

--- Copies the tensors of `state` into the model. With { strict = false }, what does not fit is
-- left out; otherwise it is an error, and nothing has changed. Returns a report with the lists
-- `missing`, `unexpected` and `misshaped`.
function Module:load_state_dict(state, given)
  local o = options.check("load_state_dict", given or {}, "; strict:bool=true")
  local report, message = load(self, state, o.strict)
  if not report then
    error("load_state_dict: " .. message, 2)
  end
  return report
end

--- Writes the state dictionary as a safetensors file, atomically: a reader finds the old file or
-- the new one. `metadata` is an optional table of strings. Returns true, or nil and a message.
function Module:save(path, metadata)
  return gan.files.save_safetensors(path, self:state_dict(), metadata)
end

--- Reads weights from a safetensors file; options as for load_state_dict. Returns the report and
-- the file's metadata, or nil and a message (the model has not changed then).
function Module:load(path, given)
  local o = options.check("load", given or {}, "; strict:bool=true")
  local state, metadata = gan.files.load_safetensors(path)
  if not state then
    return nil, metadata
  end
  local report, message = load(self, state, o.strict)
  if not report then
    return nil, path .. ": " .. message
  end
  return report, metadata
end
