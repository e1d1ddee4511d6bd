--- gan-lua doctor: what this installation consists of, for questions and reports of errors.

local gan = require "gan"
local commands = require "gan.commands"

--- Files of shared libraries in this process whose name has `word` in it.
local function loaded(word)
  local maps, found = io.open("/proc/self/maps", "r"), {}
  for line in maps and maps:lines() or function() end do
    local path = line:match "%s(/.*)$"
    if path and path:match "[^/]*$":find(word, 1, true) and found[#found] ~= path then
      found[#found + 1] = path
    end
  end
  if maps then
    maps:close()
  end
  return #found > 0 and table.concat(found, ", ") or nil
end

local function processor()
  local file = io.open("/proc/cpuinfo", "r")
  local text = file and file:read "a" or ""
  if file then
    file:close()
  end
  return text:match "model name%s*:%s*([^\n]+)" or "unknown"
end

local function exists(path)
  local file = io.open(path, "rb")
  if file then
    file:close()
  end
  return file ~= nil
end

--- Whether a dynamic library can be loaded, without calling anything in it.
local function library(...)
  for _, name in ipairs{ ... } do
    if package.loadlib(name, "*") then
      return loaded(name) or name
    end
  end
end

local function mebibytes(n)
  return n and n > 0 and ("%.1f MiB"):format(n / 2 ^ 20) or "none"
end

local function facts(line)
  line("gan-lua", gan.config.version)
  line("Lua", _VERSION .. (rawget(_G, "jit") and " (not PUC)" or ""))
  line("numbers", gan.config.real)
  line("program", (exists "/proc/self/exe" and loaded "gan-lua") or rawget(_G, "arg")[-1]
    or "unknown")
  line("library", package.preload.gan and "inside the program" or package.searchpath("gan",
    package.cpath) or "unknown")
  line("processor", processor())
  line("instructions", gan.isa() .. (os.getenv "GAN_ISA" and " (GAN_ISA)" or ""))
  line("threads", gan.threads())
  line("BLAS", gan.config.blas)
  line("BLAS threads", gan.config.blas_threads)
  line("BLAS file", loaded "blas" or "inside the program")
  line("memory limit", mebibytes(gan.memory().limit))
end

local function optional(line)
  local fashion = "/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz"
  line("libedit", library("libedit.so.2", "libedit.so.0", "libedit.so")
    or "not found: no line editing at the prompt")
  local ok, socket = pcall(require, "socket")
  line("lua-socket", ok and tostring(socket._VERSION)
    or "not found: gan-lua report --serve needs it")
  local page = require "gan.report.page"
  line("uPlot", page.plotter() or "was not there when gan-lua was built: reports have drawings")
  line("Fashion-MNIST", exists(fashion) and fashion
    or pcall(gan.data.fashion_mnist, {}) and "found" or "not found: scripts/setup")
end

return {
  summary = "prints versions and what is loaded from where",
  options = { { "modules", false, "also where each Lua module would be loaded from" } },
  about = "Prints what this gan-lua consists of: versions, BLAS, instruction set, threads, and\n"
    .. "the optional packages that are there or not.",
  run = function(o)
    local function line(name, text)
      print(("%-15s %s"):format(name, tostring(text)))
    end
    facts(line)
    print ""
    optional(line)
    if o.modules then
      print ""
      for _, name in ipairs(gan.files.sources()) do
        local path = not package.preload[name] and package.searchpath(name, package.path)
        line(name, path or "inside the program")
      end
      for _, name in ipairs(commands.names()) do
        line("command " .. name, "gan.commands." .. name)
      end
    end
  end,
}
