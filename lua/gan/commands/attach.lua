--- gan-lua attach RUN: a prompt in a run that another terminal has started.

local gan = require "gan"
local commands = require "gan.commands"
local json = require "gan.json"
local journal = require "gan.report.journal"
local repl = require "gan.repl"
local server = require "gan.train.server"

local PATIENCE = 3 -- seconds until it is said that we wait
local MOST = 120   -- seconds until a run that does not answer is given up

--- Why nobody answers in a folder.
local function absence(folder, message)
  local status = journal.object(folder .. "/run.json").status
  if not gan.files.list(folder) then
    return folder .. ": there is no such folder"
  elseif status == nil then
    return folder .. ": no run folder (it has no run.json that can be read)"
  elseif status ~= "running" then
    return ("%s: the run is not running but %s"):format(folder, tostring(status))
  end
  return ("%s: nobody answers (%s); the run was killed, or has no local socket"):format(folder,
    message)
end

local function try_to_connect(folder)
  local socket = commands.must(server.library())()
  local ok, message = socket:connect(server.path(folder))
  if not ok then
    socket:close()
    return nil, message
  end
  return socket
end

local function wait_a_little()
  local from = gan.files.time()
  local core = require "socket.core"
  core.sleep(0.05)
  return gan.files.time() - from
end

local WAITING = "waiting for the step under way (or for the prompt in the run itself)\n"

--- Asks for the socket of a run, and waits until it is there.
local function connect(folder)
  local socket, message = try_to_connect(folder)
  local waited, told = 0, false
  while not socket do
    local why = absence(folder, message)
    if not why:find "nobody answers" or waited > MOST then
      commands.fail("%s", why)
    elseif waited == 0 then
      commands.must(server.fits(folder))
      commands.must(server.knock(folder))
    elseif waited > PATIENCE and not told then
      told = io.stderr:write(WAITING)
    end
    waited = waited + wait_a_little()
    socket, message = try_to_connect(folder)
  end
  return socket
end

local asked = 0

--- Sends a request and hands the answers over; the last one comes back, nil when the run has ended.
-- Answers to a request that was given up after `patience` seconds are dropped when they come.
local function ask(socket, request, show, patience)
  asked = asked + 1
  request.id = asked
  if not socket:send(json.encode(request) .. "\n") then
    return nil
  end
  local line, told, waited = "", false, 0
  while true do
    socket:settimeout(0.25)
    local text, problem, part = socket:receive "*l"
    line = line .. (text or part or "")
    if text then
      local reply = json.decode(line)
      line = ""
      if type(reply) ~= "table" then
        return nil
      elseif reply.id == asked and reply.done then
        return reply
      elseif reply.id == asked then
        show(reply.text)
      end
    elseif problem ~= "timeout" then
      return nil
    else
      waited = waited + 0.25
      if patience and waited >= patience then
        return { words = {} }
      elseif waited >= PATIENCE and not told then
        told = true
        io.stderr:write(WAITING)
      end
    end
  end
end

--- Asks for words that a word may become.
local function completer(socket)
  return function(word, before)
    local reply = ask(socket, { word = word, before = before }, function() end, 2)
    return reply and reply.words or {}
  end
end

--- A chunk from the terminal, of as many lines as the run asks for. False when the run has ended.
local function converse(socket, reader, interactive)
  local terminal = gan.show.terminal() or {}
  local text, more = "", true
  while more do
    local line = reader.read(interactive and (text == "" and "attached> " or "........> ") or "")
    if line == nil or line == false and text == "" then
      return nil
    elseif line == false then
      return true
    end
    text = text == "" and line or text .. "\n" .. line
    if not text:find "%S" then
      return true
    end
    local reply = ask(socket, { lua = text, mode = terminal.mode, width = terminal.width,
      blocks = terminal.blocks }, function(answer) io.write(answer) end)
    if not reply then
      print "the run has ended"
      return false
    end
    more = reply.more
  end
  reader.remember(text)
  return true
end

local function run(opt)
  local folder = opt[1]:gsub("(.)/+$", "%1")
  local socket = connect(folder)
  local reader = package.loaded["gan.program"].reader
  local interactive = gan.files.isatty(0) and gan.files.isatty(1)
  if interactive then
    print(("attached to %s: lines run between its steps; Ctrl-D leaves, `stop` ends the run")
      :format(folder))
  end
  reader.open(completer(socket))
  local path = interactive and repl.history_path()
  if path then
    reader.load_history(path)
  end
  local going
  repeat
    going = converse(socket, reader, interactive)
    if path then
      repl.save_history(reader, path)
    end
  until not going
  socket:close()
  return 0
end

return {
  summary = "opens a prompt in a run that is under way",
  usage = "RUN", words = { 1, 1 },
  about = [[
Opens a prompt in a run that another terminal (or none) has started. A line is run there between two
steps, and its output comes back: losses, G_opt.lr = 1e-4, gan.show(G(gan.randn(16, 64))). The names
are those of the run's `state`, the variables of its script, opt, losses, means, epoch, step, run.

save writes a checkpoint, stop ends the run, reload reads its script again; ?name helps. Ctrl-D
leaves, and the run goes on. What changes the run is recorded (gan-lua replay).]],
  options = {},
  run = run,
}
