--- The manual page and the shells' completions, made of the tables that --help is made of.
--
--     gan-lua -e 'io.write(require("gan.manual").page())' > gan-lua.1
--     gan-lua -e 'io.write(require("gan.manual").bash())' > gan-lua.bash

local gan = require "gan"
local commands = require "gan.commands"

local manual = {}

-- What the program takes itself; its --help has the same (runtime/main.c).
local program = {
  { "-e", "stat", "execute string 'stat'" },
  { "-i", "", "enter interactive mode after executing 'script'" },
  { "-l", "mod", "require library 'mod' into global 'mod'; g=mod: into global 'g'" },
  { "-v", "", "show version information" },
  { "-E", "", "ignore environment variables" },
  { "-W", "", "turn warnings on" },
  { "--help", "", "show options and commands" },
}

local function flag(name)
  return "--" .. name:gsub("_", "-")
end

local words = { integer = "N", float = "X", string = "TEXT" }

--- The options of a command as { flag, what follows it, text, choices }.
local function options_of(command)
  local list = {}
  for i, field in ipairs(command.options or {}) do
    local default = field[2] ~= "" and (" (%s)"):format(tostring(field[2])) or ""
    list[i] = { flag(field[1]), words[math.type(field[2]) or type(field[2])] or "",
      (field[3] or "") .. default, field.choices }
  end
  return list
end

-- ---- the manual page ------------------------------------------------------------------------

--- Text as roff takes it.
local function roff(text)
  return (text:gsub("\\", "\\e"):gsub("%-", "\\-"):gsub("\n([.'])", "\n\\&%1"):gsub("^([.'])",
    "\\&%1"))
end

local function entry(name, argument, text)
  return (".TP\n.BR %s%s\n%s\n"):format(roff(name), argument ~= "" and ' " " \\fI'
    .. roff(argument) .. "\\fR" or "", roff(text))
end

local head = [==[
.TH GAN\-LUA 1 "" "gan\-lua %s" "User Commands"
.SH NAME
gan\-lua \- Lua with tensors, gradients and neural networks
.SH SYNOPSIS
.B gan\-lua
[\fIoptions\fR] [\fIscript\fR [\fIargs\fR]]
.br
.B gan\-lua
\fIcommand\fR [\fIargs\fR]
.SH DESCRIPTION
A Lua 5.4 interpreter with a tensor runtime inside: automatic differentiation to any order, layers,
optimisers, data sets, pictures. Without arguments it is a prompt, where
.B ?conv2d
shows help. A script is run as
.BR lua (1)
does it; a word that names no file but one of the commands below runs that.
.SH OPTIONS
]==]

local tail = [==[
.SH ENVIRONMENT
.TP
.BR LUA_INIT ", " LUA_PATH ", " LUA_CPATH
as for
.BR lua (1).
.TP
.B GAN_ISA
instruction set of the kernels: base, avx2 or avx512.
.SH EXIT STATUS
0 when all went well, 1 after an error, 128 plus the number of the signal that ended a training.
.SH SEE ALSO
.BR lua (1)
]==]

--- The manual page gan-lua(1), as roff.
function manual.page()
  local out = { head:format(roff(gan.config.version)) }
  for _, option in ipairs(program) do
    out[#out + 1] = entry(option[1], option[2], option[3])
  end
  out[#out + 1] = ".SH COMMANDS\n"
  for _, name in ipairs(commands.names()) do
    local command = commands.load(name)
    out[#out + 1] = (".SS \"gan\\-lua %s %s\"\n%s\n"):format(roff(name), roff(command.usage or ""),
      roff(command.about or command.summary))
    for _, option in ipairs(options_of(command)) do
      out[#out + 1] = entry(option[1], option[4] and table.concat(option[4], "|") or option[2],
        option[3])
    end
  end
  out[#out + 1] = tail
  return table.concat(out)
end

-- ---- completion -----------------------------------------------------------------------------

local function flags_of(command)
  local list = {}
  for i, option in ipairs(options_of(command)) do
    list[i] = option[1]
  end
  list[#list + 1] = "--help"
  return table.concat(list, " ")
end

local bash_frame = [==[
# bash completion for gan-lua
_gan_lua () {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}
  COMPREPLY=()
  if [ "$COMP_CWORD" = 1 ]; then
    COMPREPLY=($(compgen -W '%s' -- "$word") $(compgen -f -X '!*.lua' -- "$word")
      $(compgen -d -- "$word"))
    return
  fi
  case "${COMP_WORDS[1]} $before" in
%s  esac
  case "${COMP_WORDS[1]} $word" in
%s  *) COMPREPLY=($(compgen -f -- "$word")) ;;
  esac
}
complete -o filenames -F _gan_lua gan-lua
]==]

local bash_choices = [==[
  '%s %s') COMPREPLY=($(compgen -W '%s' -- "$word")); return ;;
]==]

--- Completion for bash: commands and scripts, then the options of a command, their words, files.
function manual.bash()
  local names, choices, flags = {}, {}, {}
  for i, name in ipairs(commands.names()) do
    local command = commands.load(name)
    names[i] = name
    for _, option in ipairs(options_of(command)) do
      if option[4] then
        choices[#choices + 1] = bash_choices:format(name, option[1], table.concat(option[4], " "))
      end
    end
    flags[i] = ("  '%s -'*) COMPREPLY=($(compgen -W '%s' -- \"$word\")) ;;\n"):format(name,
      flags_of(command))
  end
  local first = table.concat(names, " ")
  for _, option in ipairs(program) do
    first = first .. " " .. option[1]
  end
  return bash_frame:format(first, table.concat(choices), table.concat(flags))
end

local zsh_frame = [==[
#compdef gan-lua
local -a commands
commands=(
%s)
if (( CURRENT == 2 )); then
  _describe command commands
  _files -g '*.lua'
  return
fi
case $words[2] in
%s*) _files ;;
esac
]==]

local zsh_case = [==[
%s) shift words; (( CURRENT-- )); _arguments \
%s    '--help[help]' '*:run:_files -/' ;;
]==]

local function zsh_quoted(text)
  return (text:gsub("'", "'\\''"):gsub("[%[%]:]", "\\%0"))
end

--- Completion for zsh: the same, with what each option does.
function manual.zsh()
  local names, cases = {}, {}
  for i, name in ipairs(commands.names()) do
    local command, specs = commands.load(name), {}
    names[i] = ("  '%s:%s'\n"):format(name, zsh_quoted(command.summary))
    for _, option in ipairs(options_of(command)) do
      local value = option[2] ~= "" and ":" .. option[2]:lower() .. ":" .. (option[4]
        and "(" .. table.concat(option[4], " ") .. ")" or option[2] == "TEXT" and "_files" or "")
        or ""
      specs[#specs + 1] = ("    '%s[%s]%s' \\\n"):format(option[1], zsh_quoted(option[3]), value)
    end
    cases[i] = zsh_case:format(name, table.concat(specs))
  end
  return zsh_frame:format(table.concat(names), table.concat(cases))
end

return manual
