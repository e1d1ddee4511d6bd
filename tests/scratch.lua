--- A folder for a spec's files, and what specs about files share.
--
--     local scratch = require("tests.scratch").new()
--     teardown(scratch.remove)
local gan = require "gan"

local Scratch = {}

function Scratch.new()
  local folder = os.tmpname()
  os.remove(folder)
  assert(gan.files.mkdir(folder))
  local s = { folder = folder }

  function s.path(name)
    return folder .. "/" .. name
  end

  function s.write(name, bytes)
    local f = assert(io.open(s.path(name), "wb"))
    f:write(bytes)
    f:close()
    return s.path(name)
  end

  function s.read(name)
    local f = assert(io.open(s.path(name), "rb"))
    local bytes = f:read "a"
    f:close()
    return bytes
  end

  --- Demands nil and a message that has the text and names a file of this folder.
  function s.refused(text, value, message)
    assert(value == nil, "a malformed file was accepted")
    assert(type(message) == "string" and message:find(text, 1, true),
      ("'%s' does not say: %s"):format(tostring(message), text))
    assert(message:find(folder, 1, true), message .. " does not name the file")
  end

  --- What the system's Python prints for a program that may use numpy; nil where there is none.
  function s.numpy(program)
    local script = s.write("oracle.py", "import sys\ntry:\n    import numpy as np\n"
      .. "except ImportError:\n    sys.exit(3)\n" .. program)
    local p = assert(io.popen(("cd %s && /usr/bin/python3 %s 2>&1"):format(folder, script)))
    local text = p:read "a"
    local ok, _, code = p:close()
    if not ok and (code == 3 or code == 127) then
      return nil
    end
    assert(ok, text)
    return text
  end

  --- Calls f with its first, second ... allocation failing, until it succeeds; f must leave no
  -- bytes behind when it fails.
  function s.survives_failing_allocations(f)
    local k, done = 0, nil
    repeat
      collectgarbage()
      gan.is_grad_enabled()
      local live = gan.memory().live
      gan.debug.fail_after(k)
      local ok, result = pcall(f)
      gan.debug.fail_after(nil)
      done = ok and result ~= nil
      result = nil
      collectgarbage()
      collectgarbage()
      gan.is_grad_enabled()
      assert(gan.memory().live == live, "allocation " .. k .. " failing leaves bytes behind")
      k = k + 1
    until done or k > 300
    assert(done, "it never succeeds")
  end

  function s.remove()
    os.execute("rm -rf " .. folder)
  end
  return s
end

return Scratch
