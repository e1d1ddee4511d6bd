--- The end of `gan-lua attach` that is in the run: a local socket in the run folder, in a folder of
-- its own that only the owner may enter (RUN/live/socket). It is made when somebody asks for it, by
-- a file (RUN/live/knock). Requests and answers are lines of JSON.
--
--     {"id": 1, "lua": "G_opt.lr", "mode": "truecolor", "width": 80, "blocks": true}  ->
--         {"id": 1, "text": "0.0002\n"} ... {"id": 1, "done": true}, with "more": true: unfinished
--     {"id": 2, "word": "G_o", "before": ""}  ->  {"id": 2, "words": ["G_opt"], "done": true}
--
-- `id` is the client's, who may give up waiting and ask something else: it comes back.
--
-- Nothing here waits: what a client does not send in time comes in another step, and what it does
-- not read is kept, up to a limit, at which it is cut off. Without LuaSocket (Debian: lua-socket)
-- there is no socket.

local gan = require "gan"
local complete = require "gan.repl.complete"
local json = require "gan.json"

local Server = {}
Server.__index = Server

local OFTEN = 0.02          -- seconds between two looks
local LONGEST = 107         -- bytes in the path of a socket
local MOST = 16 * 1024 ^ 2  -- bytes that wait for a client, or of a request

--- The path of a run folder's socket.
function Server.path(folder)
  return folder .. "/live/socket"
end

--- Whether the path is one that a socket can have; nil and a message otherwise.
function Server.fits(folder)
  local path = Server.path(folder)
  if #path > LONGEST then
    return nil, ("%s: too long for the path of a socket (%d bytes)"):format(path, LONGEST)
  end
  return true
end

--- Whether somebody waits for the socket of a run folder.
function Server.wanted(folder)
  local f = io.open(folder .. "/live/knock")
  return f ~= nil and f:close()
end

--- Asks the run of a folder for its socket: true, or nil and a message.
function Server.knock(folder)
  local ok, message = gan.files.mkdir(folder .. "/live")
  ok = ok and gan.files.protect(folder .. "/live")
  if not ok then
    return nil, message
  end
  return gan.files.replace(folder .. "/live/knock", "")
end

--- LuaSocket's local sockets, or nil and a message. Its core sees to it that writing to somebody
-- who has gone is an error, and no signal that ends the program (SIGPIPE).
function Server.library()
  local ok, unix = pcall(require, "socket.core")
  if ok then
    ok, unix = pcall(require, "socket.unix")
  end
  if not ok then
    return nil, "local sockets need LuaSocket: install the package lua-socket"
  end
  return type(unix) == "table" and unix.stream or unix
end

--- Opens the socket of a run folder; nil and a message where that is not possible.
function Server.open(folder)
  local path, make, message = Server.path(folder), Server.library()
  if not make then
    return nil, message
  end
  local ok
  ok, message = Server.fits(folder)
  if not ok then
    return nil, message
  end
  ok, message = gan.files.mkdir(folder .. "/live")
  ok = ok and gan.files.protect(folder .. "/live")
  if not ok then
    return nil, message
  end
  os.remove(path) -- of a run that was killed
  local socket = make()
  ok, message = socket:bind(path)
  ok = ok and gan.files.protect(path) and socket:listen(8)
  if not ok then
    socket:close()
    return nil, ("%s: %s"):format(path, message or "cannot be made")
  end
  socket:settimeout(0)
  return setmetatable({ socket = socket, folder = folder, clients = {}, looked = 0 }, Server)
end

local function drop(self, client)
  client.socket:close()
  self.clients[client] = nil
end

local function flush(self, client)
  while client.waiting ~= "" do
    local sent, problem, part = client.socket:send(client.waiting)
    client.waiting = client.waiting:sub((sent or part or 0) + 1)
    if problem == "timeout" and #client.waiting < MOST then
      return
    elseif problem then
      return drop(self, client)
    end
  end
end

local function answer(client, request, reply)
  reply.id = request.id
  client.waiting = client.waiting .. json.encode(reply) .. "\n"
end

local function serve(live, client, request)
  if type(request.word) == "string" then
    answer(client, request, { done = true, words = json.array(complete.words(request.word,
      tostring(request.before or ""), live.scope)) })
  elseif type(request.lua) == "string" then
    local terminal = { mode = request.mode, width = math.tointeger(request.width) or 80,
      blocks = request.blocks }
    local finished = live:line_from(request.lua, function(text)
      answer(client, request, { text = text })
    end, terminal.mode and terminal)
    answer(client, request, { done = true, more = not finished })
  end
end

--- What a client has sent so far; false when it is gone.
local function receive(client)
  while #client.received < MOST do
    local bytes, problem, part = client.socket:receive(8192)
    client.received = client.received .. (bytes or part or "")
    if problem then
      return problem == "timeout" or client.received ~= ""
    end
  end
  return false
end

local function listen_to(self, live, client)
  if not receive(client) then
    return drop(self, client)
  end
  local line, rest = client.received:match "^([^\n]*)\n(.*)$"
  if line then -- one in each step: others wait their turn
    client.received = rest
    local request = json.decode(line)
    if type(request) ~= "table" then
      return drop(self, client)
    end
    serve(live, client, request)
  end
  flush(self, client)
end

--- Looks for clients and their lines, and runs these.
function Server:poll(live)
  local now = gan.files.time()
  if now - self.looked < OFTEN then
    return
  end
  self.looked = now
  local socket = self.socket:accept()
  if socket then
    socket:settimeout(0)
    self.clients[{ socket = socket, received = "", waiting = "" }] = true
  end
  for client in pairs(self.clients) do
    listen_to(self, live, client)
  end
end

--- Says good-bye and takes the socket away.
function Server:close()
  for client in pairs(self.clients) do
    flush(self, client)
    client.socket:close()
  end
  self.socket:close()
  os.remove(Server.path(self.folder))
  os.remove(self.folder .. "/live/knock")
  os.remove(self.folder .. "/live")
end

return Server
