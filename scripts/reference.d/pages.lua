--- The reference as Markdown: a page per family of ops and per part of the library.

local gan = require "gan"
local commands = require "gan.commands"

local sources = gan.help.sources

local pages = {}

--- Prose is safe in Markdown; what is indented in a comment (code, formulas) stays as it is.
local function prose(text)
  local lines, fenced = {}, false
  for line in (text .. "\n"):gmatch "(.-)\n" do
    local indented = line:find "^%s%s+%S" ~= nil
    if indented and not fenced then
      lines[#lines + 1] = (lines[#lines] ~= "" and #lines > 0 and "\n" or "") .. "```text"
      fenced = true
    elseif fenced and line:find "^%S" then
      local blank = lines[#lines] == ""
      lines[#lines + (blank and 0 or 1)] = "```\n"
      fenced = false
    end
    lines[#lines + 1] = fenced and line
      or line:gsub("[<*]", { ["<"] = "&lt;", ["*"] = "\\*" })
  end
  if fenced then
    while lines[#lines] == "" do
      lines[#lines] = nil
    end
    lines[#lines + 1] = "```"
  end
  return (table.concat(lines, "\n"):gsub("%s+$", ""))
end

local function cell(text)
  return (tostring(text):gsub("|", "\\|"))
end

local function params_table(record)
  local lines = { "| argument | kind | default |", "|---|---|---|" }
  for _, p in ipairs(record.params) do
    local kind = p.words and #p.words > 0 and '"' .. table.concat(p.words, '", "') .. '"'
      or sources.kind_names[p.kind] or p.kind
    lines[#lines + 1] = ("| `%s`%s | %s%s | %s |"):format(p.name, p.positional and "" or " =",
      cell(kind), p.mutated and ", changed in place" or "",
      cell(sources.default_text(p) or p.optional and "may be left out" or "required"))
  end
  return #record.params > 0 and table.concat(lines, "\n") or nil
end

local function fields_table(fields)
  local lines = { "| option | kind | default |", "|---|---|---|" }
  for i, field in ipairs(fields) do
    local default = field.default
    lines[#lines + 1] = ("| `%s`%s | %s | %s |"):format(field.name,
      i <= fields.positional and "" or " =", cell(field.kind[1]),
      default == nil and (field.optional and "may be left out" or "required")
      or cell(type(default) == "string" and ("%q"):format(default) or tostring(default)))
  end
  return #fields > 0 and table.concat(lines, "\n") or nil
end

local function entry_text(entry)
  local parts = { ("### %s"):format(entry.name), "```text\n" .. entry.call .. "\n```" }
  local record = entry.record
  if entry.kind == "op" and gan.methods[entry.key] then
    parts[1] = parts[1] .. ("\n\nalso a method: `%s:%s(...)`"):format(record.params[1].name,
      entry.key)
  end
  parts[#parts + 1] = prose(entry.text or "")
  parts[#parts + 1] = record and params_table(record) or entry.fields and fields_table(entry.fields)
  if record and record.example then
    parts[#parts + 1] = "```lua\n" .. record.example .. "\n```"
  end
  return table.concat(parts, "\n\n")
end

local function page_text(page)
  local parts = { "# " .. page.title, page.intro and prose(page.intro) or nil }
  for _, entry in ipairs(page.entries) do
    parts[#parts + 1] = entry_text(entry)
  end
  for _, object in ipairs(page.methods) do
    parts[#parts + 1] = ("## Methods of %s"):format(object.class)
    for _, entry in ipairs(object.entries) do
      parts[#parts + 1] = entry_text(entry)
    end
  end
  return table.concat(parts, "\n\n") .. "\n"
end

local function first_sentence(text)
  local line = (text or ""):gsub("\n", " "):match "^(.-[.:;]) " or (text or ""):match "^[^\n]*"
  return (line:gsub("[<*]", { ["<"] = "&lt;", ["*"] = "\\*" }):gsub("[;:]$", "."))
end

local function index_text(list)
  local parts = { "# gan-lua: reference", "The same texts are at hand in the prompt: `?conv2d`, "
    .. "`gan.help \"nn.Linear\"`." }
  for _, page in ipairs(list) do
    local names = {}
    for i, entry in ipairs(page.entries) do
      names[i] = "`" .. entry.key .. "`"
    end
    parts[#parts + 1] = ("## [%s](%s.md)"):format(page.title, page.file)
    parts[#parts + 1] = page.part and page.intro and first_sentence(page.intro) or nil
    parts[#parts + 1] = #names > 0 and table.concat(names, " ") or nil
  end
  parts[#parts + 1] = "## [Commands](commands.md)"
  return table.concat(parts, "\n\n") .. "\n"
end

local function commands_text()
  local parts = { "# Commands of gan-lua", "`gan-lua script.lua` runs a script, `gan-lua` alone is "
    .. "a prompt; `gan-lua --help` says more. What follows are words in the place of the script." }
  for _, name in ipairs(commands.names()) do
    local command = commands.load(name)
    parts[#parts + 1] = "## gan-lua " .. name
    parts[#parts + 1] = ("```text\ngan-lua %s %s\n```"):format(name, command.usage or "")
    parts[#parts + 1] = prose(command.about or command.summary)
    local lines = { "| option | default | |", "|---|---|---|" }
    for _, o in ipairs(command.options or {}) do
      lines[#lines + 1] = ("| `--%s` | %s | %s |"):format(o[1]:gsub("_", "-"),
        cell(o[2] == "" and "" or tostring(o[2])), cell(o[3] or ""))
    end
    parts[#parts + 1] = #lines > 2 and table.concat(lines, "\n") or nil
  end
  return table.concat(parts, "\n\n") .. "\n"
end

--- { name of the file = its text }.
function pages.write(list)
  local texts = { ["index.md"] = index_text(list), ["commands.md"] = commands_text() }
  for _, page in ipairs(list) do
    texts[page.file .. ".md"] = page_text(page)
  end
  return texts
end

return pages
