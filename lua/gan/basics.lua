--- What many parts of the library need and Lua itself does not bring.

local basics = {}

--- All that a file holds, or nil and a message that names it.
function basics.read(path)
  local file, message = io.open(path, "rb")
  if not file then
    return nil, message
  end
  local text
  text, message = file:read "a"
  file:close()
  if not text then
    return nil, ("%s: %s"):format(path, message)
  end
  return text
end

--- The keys of a table, all texts or all numbers, in order.
function basics.keys(t)
  local keys = {}
  for key in pairs(t) do
    keys[#keys + 1] = key
  end
  table.sort(keys)
  return keys
end

return basics
