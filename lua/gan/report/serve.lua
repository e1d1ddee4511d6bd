--- A server for report pages that follow their runs: loopback only, read only.
--
-- It answers GET and HEAD for three kinds of addresses: `/`, the page; `/live`, its changing parts;
-- `/picture/RUN/FILE`, where RUN counts the runs and FILE is compared with the names of that run's
-- pictures: no path is ever made of what was asked. A request must name this host as its own
-- (others' pages cannot read it by a name of theirs that points here). Connections are closed after
-- each answer, idle ones after a few seconds; the number of open ones is limited.

local gan = require "gan"
local basics = require "gan.basics"
local page = require "gan.report.page"
local read = require "gan.report.read"

local serve = {}

local LONGEST = 8192 -- bytes of a request's head
local PATIENCE = 5 -- seconds for a request to arrive, and for an answer to be taken
local MOST = 32 -- connections at a time

local reasons = { [200] = "OK", [304] = "Not Modified", [400] = "Bad Request", [403] = "Forbidden",
  [404] = "Not Found", [405] = "Method Not Allowed", [431] = "Request Header Fields Too Large",
  [500] = "Internal Server Error" }

-- ---- answers --------------------------------------------------------------------------------

local function answer(status, body, kind, fields)
  fields = fields or {}
  fields["Content-Type"] = kind or "text/plain; charset=utf-8"
  fields["Content-Length"] = #body
  fields["Cache-Control"] = fields["Cache-Control"] or "no-store"
  fields["Connection"] = "close"
  fields["X-Content-Type-Options"] = "nosniff"
  fields["X-Frame-Options"] = "DENY"
  fields["Referrer-Policy"] = "no-referrer"
  fields["Cross-Origin-Resource-Policy"] = "same-origin"
  return { status = status, body = body, fields = fields }
end

local function plain(status)
  return answer(status, reasons[status] .. "\n", nil, status == 405 and { Allow = "GET, HEAD" })
end

local function encode(a, with_body)
  local out = { ("HTTP/1.1 %d %s\r\n"):format(a.status, reasons[a.status]) }
  for _, name in ipairs(basics.keys(a.fields)) do
    out[#out + 1] = ("%s: %s\r\n"):format(name, a.fields[name])
  end
  out[#out + 1] = "\r\n"
  out[#out + 1] = with_body and a.body or ""
  return table.concat(out)
end

local function picture_address(run, file)
  return ("/picture/%d/%s"):format(run.index, file:gsub("[^%w%-_.]", function(c)
    return ("%%%02X"):format(c:byte())
  end))
end

local Server = {}
Server.__index = Server

local function read_runs(self)
  local runs = {}
  for i, folder in ipairs(self.folders) do
    runs[i] = read.run(folder)
    runs[i].index = i
  end
  return runs
end

--- A picture, if RUN and FILE name one that the run has.
local function picture(self, index, file)
  local folder = self.folders[math.tointeger(tonumber(index)) or 0]
  for _, name in ipairs(folder and gan.files.list(folder) or {}) do
    if name == file and name:find "%.png$" then
      local bytes = basics.read(folder .. "/" .. name)
      if bytes and bytes:sub(1, 8) == "\137PNG\r\n\26\n" then
        return answer(200, bytes, "image/png")
      end
    end
  end
  return plain(404)
end

local html = "text/html; charset=utf-8"

local function live(self, known)
  local text = page.fragment(read_runs(self), { picture = picture_address })
  local tag = ('"%08x-%x"'):format(gan.files.crc32(text), #text)
  if known == tag then
    return answer(304, "", html, { ETag = tag })
  end
  return answer(200, text, html, { ETag = tag })
end

--- Whether a request's Host is this server, by one of the names of the loopback interface.
local function is_own(self, host)
  local name, port = (host or ""):lower():match "^(.-):?(%d*)$"
  return (name == "localhost" or name == "127.0.0.1") and (port == tostring(self.port)
    or port == "" and self.port == 80)
end

--- The answer to a request's head, as text; and whether its body is wanted.
function Server:respond(head)
  local method, target = head:match "^(%u+) (%S+) HTTP/1%.[01]\r?\n"
  if not method then
    return plain(400), true
  end
  local fields = {}
  for name, value in head:gmatch "\n([%w%-]+):[ \t]*([^\r\n]*)" do
    if fields[name:lower()] then
      return plain(400), true -- of two hosts, which?
    end
    fields[name:lower()] = value
  end
  local with_body = method ~= "HEAD"
  if not is_own(self, fields.host) then
    return plain(403), with_body
  elseif method ~= "GET" and method ~= "HEAD" then
    return plain(405), true
  end
  local path = target:match "^[^?#]*"
  local index, file = path:match "^/picture/(%d+)/([^/]+)$"
  local ok, result = pcall(function()
    if path == "/" then
      return answer(200, page.render(read_runs(self), { live = true, picture = picture_address }),
        html)
    elseif path == "/live" then
      return live(self, fields["if-none-match"])
    elseif file then
      return picture(self, index, file:gsub("%%(%x%x)", function(x)
        return string.char(tonumber(x, 16))
      end))
    end
    return plain(404)
  end)
  return ok and result or plain(500), with_body
end

-- ---- connections ----------------------------------------------------------------------------

--- What a connection does, as a coroutine: it yields the set that it waits in.
local function converse(self, socket)
  local head = ""
  while not head:find "\r?\n\r?\n" do
    local part, problem, rest = socket:receive(2048)
    head = head .. (part or rest or "")
    if #head > LONGEST then
      head = nil
      break
    elseif problem == "closed" and not head:find "\r?\n\r?\n" then
      return
    elseif not part and problem ~= "closed" and (rest or "") == "" then
      coroutine.yield "read"
    end
  end
  local result, with_body = plain(431), true
  if head then
    result, with_body = self:respond(head)
  end
  local text, sent = encode(result, with_body), 0
  while sent < #text do
    local last, problem, partly = socket:send(text, sent + 1)
    sent = last or partly or sent
    if not last and problem ~= "timeout" then
      return
    elseif not last then
      coroutine.yield "write"
    end
  end
end

local function drop(self, c)
  c.socket:close()
  self.open[c.socket] = nil
  self.count = self.count - 1
end

local function go_on(self, c)
  local ok, waits = coroutine.resume(c.thread)
  if not ok or coroutine.status(c.thread) == "dead" then
    drop(self, c)
  else
    c.waits = waits
  end
end

local function accept(self)
  local socket = self.listener:accept()
  if not socket then
    return
  elseif self.count >= MOST then
    socket:close()
    return
  end
  socket:settimeout(0)
  local c = { socket = socket, since = gan.files.time(), waits = "read" }
  c.thread = coroutine.create(function() converse(self, socket) end)
  self.open[socket], self.count = c, self.count + 1
  go_on(self, c)
end

--- Waits for at most `seconds`, and does what there is to do.
function Server:turn(seconds)
  local readers, writers = { self.listener }, {}
  for socket, c in pairs(self.open) do
    local list = c.waits == "write" and writers or readers
    list[#list + 1] = socket
  end
  local readable, writable = self.select(readers, writers, seconds)
  if not readable then
    return -- a signal came
  end
  for _, list in ipairs{ readable, writable } do
    for _, socket in ipairs(list) do
      if socket == self.listener then
        accept(self)
      elseif self.open[socket] then
        go_on(self, self.open[socket])
      end
    end
  end
  local now, late = gan.files.time(), {}
  for _, c in pairs(self.open) do
    late[#late + 1] = now - c.since > PATIENCE and c or nil
  end
  for _, c in ipairs(late) do
    drop(self, c)
  end
end

function Server:close()
  for _, c in pairs(self.open) do
    c.socket:close()
  end
  self.listener:close()
end

--- serve.open(folders, {port = 0}) -> server; or nil and a message. Port 0: any that is free; the
-- one that was taken is server.port. server:turn(seconds) answers what has come, waiting so long.
function serve.open(folders, given)
  local ok, socket = pcall(require, "socket")
  if not ok then
    return nil, "serving needs the package lua-socket: apt-get install lua-socket"
  end
  local listener, message = socket.bind("127.0.0.1", given.port or 0)
  if not listener then
    return nil, ("port %d of 127.0.0.1: %s"):format(given.port or 0, message)
  end
  listener:settimeout(0)
  local _, port = listener:getsockname()
  return setmetatable({ folders = folders, listener = listener, port = math.tointeger(
    tonumber(port)), open = {}, count = 0, select = socket.select }, Server)
end

return serve
