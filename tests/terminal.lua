--- A program in a terminal of its own (tmux), for specs that drive it as its user does.
--
--     local t = terminal.open("gan-lua -i", { prompt = ">" })
--     t:ready()                 -- waits for the prompt
--     local answer = t:ask "1 + 1"
--     t:key("C-c")
--     t:wait "paused after step"
--     t:close()
--
-- Nothing sleeps for a time that is hoped to be enough: what is waited for may take a minute.

local Terminal = {}
Terminal.__index = Terminal

local PATIENCE = 60 -- seconds

local terminal = {}

local function quote(s)
  return "'" .. s:gsub("'", "'\\''") .. "'"
end

local function read(command)
  local p = assert(io.popen(command .. " 2>&1"))
  local text = p:read "a"
  p:close()
  return text
end

--- Whether there is a tmux that can open a terminal.
function terminal.available()
  return (os.execute "command -v tmux > /dev/null 2>&1")
end

function Terminal:tmux(...)
  local words = { "tmux -L", self.name, "-f /dev/null" }
  for _, word in ipairs{ ... } do
    words[#words + 1] = quote(word)
  end
  return read(table.concat(words, " "))
end

--- Runs a shell command in a new terminal of 100 x 50 characters.
function terminal.open(command, given)
  local file = os.tmpname()
  local self = setmetatable({ name = "gan" .. file:match "[%w_]+$", file = file,
    prompt = given and given.prompt or ">" }, Terminal)
  self:tmux("-u", "new-session", "-d", "-x", "100", "-y", "50", "-s", "t", "sh", "-c",
    "trap : INT TERM; env -u NO_COLOR -u COLORTERM LANG=C.UTF-8 LC_ALL=C.UTF-8 " .. command
    .. "; code=$?; echo; echo ended with $code; cat")
  return self
end

--- All that is and was on the screen, without the blanks at the ends.
function Terminal:screen()
  return (self:tmux("capture-pane", "-p", "-J", "-S", "-2000", "-t", "t")
    :gsub("[ \t]+\n", "\n"):gsub("%s+$", ""))
end

--- Waits until check(screen) is true; fails with the screen where it does not come to that.
function Terminal:until_(what, check)
  local from = os.time()
  local screen
  repeat
    screen = self:screen()
    if check(screen) then
      return screen
    end
    os.execute "sleep 0.05"
  until os.time() - from > PATIENCE
  error(("the terminal does not show %s:\n%s"):format(what, screen), 3)
end

--- Waits for a text (no pattern).
function Terminal:wait(text)
  return self:until_("'" .. text .. "'", function(screen)
    return screen:find(text, 1, true)
  end)
end

local function last_line(screen)
  return screen:match "[^\n]*$"
end

--- Waits until the last line is the bare prompt.
function Terminal:ready()
  return self:until_("the prompt", function(screen)
    return last_line(screen) == self.prompt
  end)
end

--- Keys by their names in tmux: "Enter", "Tab", "Up", "C-c".
function Terminal:key(...)
  self:tmux("send-keys", "-t", "t", ...)
end

function Terminal:type(text)
  self:tmux("send-keys", "-t", "t", "-l", "--", text)
end

--- Types a line and waits for the prompt behind it; returns what was printed in between.
function Terminal:ask(line)
  self:type(line)
  self:key "Enter"
  local echo = self.prompt .. " " .. line
  local screen = self:until_("an answer to '" .. line .. "'", function(screen)
    return last_line(screen) == self.prompt and screen:find(echo, 1, true)
  end)
  local from = 1
  while screen:find(echo, from, true) do
    from = select(2, screen:find(echo, from, true)) + 1
  end
  return (screen:sub(from, -#self.prompt - 1):gsub("^\n", ""):gsub("%s+$", ""))
end

--- Types the beginning of a line and the tab key, and waits until the line has become `whole`;
-- then takes it away.
function Terminal:complete(typed, whole)
  self:type(typed)
  self:key "Tab"
  self:until_("'" .. whole .. "'", function(screen)
    return last_line(screen) == self.prompt .. " " .. whole
  end)
  self:key "C-u"
  self:ready()
end

--- Waits for the end of the program; its exit code.
function Terminal:code()
  return tonumber(self:wait "ended with ":match "ended with (%d+)")
end

function Terminal:close()
  self:tmux "kill-server"
  os.remove(self.file)
end

return terminal
