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

--- Whether a tensor holds a NaN.
local function has_nan(t)
  return t:dtype() == gan.config.real and t:numel() > 0
    and gan.no_grad(function() return t:isnan():any():item() ~= 0 end)
end

--- What does not fit, and which of the tensors given hold a NaN: { missing = names, unexpected =
-- names, misshaped = descriptions, nan = names }. A shared tensor needs to be given under one of
-- its names only.
local function compare(own, state)
  local report = { missing = {}, unexpected = {}, misshaped = {}, nan = {} }
  local covered = {}
  for name, t in pairs(own) do
    covered[t] = covered[t] or state[name] ~= nil
  end
  for name, t in pairs(own) do
    local given = state[name]
    if given == nil and not covered[t] then
      table.insert(report.missing, name)
    elseif given ~= nil and not same_shape(t, given) then
      table.insert(report.misshaped,
        ("%s: %s here, %s given"):format(name, sizes(t), sizes(given)))
    end
  end
  for name, given in pairs(state) do
    if own[name] == nil then
      table.insert(report.unexpected, name)
    elseif has_nan(given) then
      table.insert(report.nan, name)
    end
  end
  for _, list in pairs(report) do
    table.sort(list)
  end
  return report
end

local LISTED = 8 -- names of a kind in a message; the report has all

local function enumerate(names)
  local text = table.concat(names, ", ", 1, math.min(#names, LISTED))
  return #names > LISTED and ("%s and %d more"):format(text, #names - LISTED) or text
end

local function complaint(report)
  local lines = {}
  for _, kind in ipairs{ "missing", "unexpected", "misshaped" } do
    if #report[kind] > 0 then
      lines[#lines + 1] = kind .. ": " .. enumerate(report[kind])
    end
  end
  return #lines > 0 and table.concat(lines, "; ") or nil
end

local function copy_all(from)
  for t, source in pairs(from) do
    t:copy_(source)
  end
end

--- Copies what fits. When that is interrupted, or memory runs out, nothing has changed.
local function assign(own, state)
  local new, old = {}, {}
  gan.no_grad(function()
    for name, t in pairs(own) do
      local given = state[name]
      if given ~= nil and same_shape(t, given) then
        new[t] = given:dtype() == t:dtype() and given or given:to(t:dtype())
        old[t] = old[t] or t:clone()
      end
    end
    local ok, message = pcall(copy_all, new)
    if not ok then
      copy_all(old)
      error(message, 0)
    end
  end)
end

--- `from` stands in front of the warning.
local function load(self, state, strict, from)
  local own = self:state_dict()
  local report = compare(own, state)
  local message = complaint(report)
  if message and strict then
    return nil, message
  end
  assign(own, state)
  if #report.nan > 0 then
    warn("gan: ", from, ": NaN in ", enumerate(report.nan))
  end
  return report
end

--- Copies the tensors of `state` into the model. With { strict = false }, what does not fit is
-- left out; otherwise it is an error, and nothing has changed. Returns a report with the lists
-- `missing`, `unexpected`, `misshaped`, and `nan`, the names of tensors that hold a NaN, of which
-- Lua's `warn` tells too.
function Module:load_state_dict(state, given)
  local o = options.check("load_state_dict", given or {}, "; strict:bool=true")
  local report, message = load(self, state, o.strict, "load_state_dict")
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
  local report, message = load(self, state, o.strict, path)
  if not report then
    return nil, path .. ": " .. message
  end
  return report, metadata
end
