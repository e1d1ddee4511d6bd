--- The variables of a running script, by name: those of the functions on the stack that belong to
-- it, and those that its functions hold on to. They can be read and set from outside.

local scope = {}

--- The level of a function on the stack, as debug.getlocal counts it in the caller of this; nil
-- when it is not there.
local function level_of(f)
  local level = 2
  while true do
    local info = debug.getinfo(level, "f")
    if not info then
      return nil
    elseif info.func == f then
      return level - 1
    end
    level = level + 1
  end
end

local function add_locals(found, level, f)
  local names, i = {}, 1
  while true do
    local name = debug.getlocal(level + 1, i)
    if not name then
      break
    elseif not name:find "^%(" then
      names[name] = i -- a later one hides one before it
    end
    i = i + 1
  end
  for name, slot in pairs(names) do
    found[name] = found[name] or {
      get = function()
        local at = level_of(f)
        return at and select(2, debug.getlocal(at, slot))
      end,
      set = function(v)
        local at = level_of(f)
        return at and debug.setlocal(at, slot, v)
      end,
    }
  end
end

--- The Lua functions that `first` (a list) reach through their variables and that come from the
-- same source, in the order in which they are found.
function scope.functions(first, source)
  local list, seen = {}, {}
  if source == "" then
    return list
  end
  local function add(f)
    if type(f) == "function" and not seen[f] and debug.getinfo(f, "S").source == source then
      seen[f] = true
      list[#list + 1] = f
    end
  end
  for i = 1, first.n or #first do
    add(first[i])
  end
  local k = 1
  while list[k] do
    local i = 1
    while true do
      local name, v = debug.getupvalue(list[k], i)
      if not name then
        break
      end
      add(v)
      i = i + 1
    end
    k = k + 1
  end
  return list
end

--- Calls visit(name, f, i) for every variable that functions hold on to.
function scope.each_upvalue(functions, visit)
  for _, f in ipairs(functions) do
    local i = 1
    while true do
      local name = debug.getupvalue(f, i)
      if not name then
        break
      elseif name ~= "_ENV" and name ~= "" then
        visit(name, f, i)
      end
      i = i + 1
    end
  end
end

--- The variables of a script: name -> { get(), set(v) }. `first` is a list of functions of it, the
-- source that of one of them; "", where it is not known, has none.
function scope.variables(first, source)
  local found, level = {}, 2
  while source ~= "" do
    local info = debug.getinfo(level, "Sf")
    if not info then
      break
    elseif info.source == source then
      add_locals(found, level, info.func)
    end
    level = level + 1
  end
  scope.each_upvalue(scope.functions(first, source), function(name, f, i)
    found[name] = found[name] or {
      get = function() return select(2, debug.getupvalue(f, i)) end,
      set = function(v) debug.setupvalue(f, i, v) end,
    }
  end)
  return found
end

local function is_plain(v)
  local kind = type(v)
  return kind == "nil" or kind == "number" or kind == "string" or kind == "boolean"
end

scope.is_plain = is_plain

--- A copy of what is plain: the value itself, or, of a table without a metatable, the fields that
-- are plain. Nil and false for anything else.
function scope.plain_copy(v)
  if is_plain(v) then
    return v, true
  elseif type(v) ~= "table" or getmetatable(v) then
    return nil, false
  end
  local copy = {}
  for key, field in next, v do
    if is_plain(field) then
      copy[key] = field
    end
  end
  return copy, true
end

return scope
