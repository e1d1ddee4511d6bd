--- What the library offers, as pages of entries: from the records of ops (gan.ops), the records of
-- what else is written in C (gan.help.core), the comments in the Lua sources and the options that
-- constructors check. Reference and definition files are written from this.
--
-- A page is { file, title, intro, entries, methods }. An entry has
--     name     as one writes it: "gan.nn.Linear", "x:item"; key: what it is called in its page
--     kind     "op", "method", "function", "value"
--     call     the line that shows how it is called
--     text     its documentation
--     record   of what is written in C;   value, params, fields: of what is written in Lua
-- methods are objects { class, made_by, entries }.

local gan = require "gan"
local options = require "gan.options"
local sources = gan.help.sources

local collect = {}

-- What functions of the library return objects of a class whose methods are documented in its
-- sources: part -> { class, comment, module, pattern of the functions' names }.
local objects = {
  nn = { { "Module", "gan.nn.", "^%u" } },
  optim = {
    { "Schedule", "gan.optim.schedule", "LR$" },
    { "EMA", "gan.optim.ema", "^EMA$" },
    { "Optimizer", "gan.optim.optimizer", "^%u" },
  },
  data = { { "Batches", "gan.data.batches", "^batches$" } },
  train = {
    { "Trainer", "gan.train.trainer", "^trainer$" },
    { "Pretraining", "gan.train.pretrain", "^pretrain$" },
  },
  ["train.progress"] = { { "Progress", "gan.train.progress", "^new$" } },
  report = { { "Run", "gan.report", "^run$" } },
  metrics = { { "PCA", "gan.metrics.linear", "^pca$" } },
  adversarial = {
    { "Rounds", "gan.adversarial", "^rounds$" }, { "Noise", "gan.adversarial", "^noise$" },
  },
  gan = { { "Doctor", "gan.doctor", "^doctor$" } },
}

local function sorted_names(t)
  local list = {}
  for name in pairs(t) do
    if type(name) == "string" and not name:find "^_" then
      list[#list + 1] = name
    end
  end
  table.sort(list)
  return list
end

--- The comment blocks in front of `function Class:name(...)`, in the order of the source.
local function methods_of(class, module)
  local list = {}
  for _, name in ipairs(gan.files.sources()) do
    if name == module or name:sub(1, #module) == module and module:find "%.$" then
      local comment
      for line in (gan.files.sources(name) .. "\n"):gmatch "(.-)\n" do
        local start, more = line:match "^%-%-%- ?(.*)$", line:match "^%-%- ?(.*)$"
        local method, params = line:match("^function " .. class .. ":([%w_]+)%((.-)%)")
        if start then
          comment = { start }
        elseif comment and more then
          comment[#comment + 1] = more
        else
          if method and not method:find "^_" then
            list[#list + 1] = { name = class .. ":" .. method, key = method, kind = "method",
              text = comment and table.concat(comment, "\n"), params = params,
              call = class:lower() .. ":" .. method .. "("
                .. params:gsub("given", "options") .. ")" }
          end
          comment = nil
        end
      end
    end
  end
  return list
end

--- The objects of a part, with what makes them.
local function objects_of(part)
  local list = {}
  for i, object in ipairs(objects[part] or {}) do
    list[i] = { class = object[1], pattern = object[3], entries = methods_of(object[1], object[2]) }
  end
  return list
end

--- Which class the function `name` of a part makes; nil: none of those above.
function collect.class_of(part, name)
  for _, object in ipairs(objects[part] or {}) do
    if name:find(object[3]) then
      return object[1]
    end
  end
end

local function record_entry(record, kind)
  return { name = (record.prefix or "gan.") .. record.name, key = record.name, kind = kind,
    call = sources.signature(record), text = record.doc, record = record }
end

local function lua_entry(name, key, value, text)
  return { name = name, key = key, value = value, text = text,
    kind = type(value) == "function" and "function" or "value",
    call = sources.call_of(name, value), params = sources.parameter_names(value),
    fields = options.fields_of(value) }
end

local function op_pages(pages)
  local by_family = {}
  for _, record in ipairs(gan.ops()) do
    local page = by_family[record.family]
    if not page then
      page = { file = "ops-" .. record.family, title = "Ops: " .. record.family, entries = {},
        methods = {}, intro = "Every op is a function gan.NAME(x, ...) and, where its first "
          .. "argument is a tensor, a method x:NAME(...)." }
      by_family[record.family], pages[#pages + 1] = page, page
    end
    page.entries[#page.entries + 1] = record_entry(record, "op")
  end
end

local intros = {
  tensor = [[
What tensors have besides the ops. x[i] is row i, x[-1] the last, x[i] = v writes a row; #x is the
number of rows; + - * / ^ and unary minus work by elements, with numbers and with broadcasting.
tostring(x) shows type, sizes and values.]],
  gan = "What `require \"gan\"` returns, besides the ops and the parts with pages of their own.",
  files = "Files of arrays, pictures and weights. What fails gives nil and a message.",
  debug = "Instruments for tests and measurements, in gan.debug.",
}

local function core_pages(pages)
  local by_family = {}
  for _, family in ipairs{ "tensor", "gan", "files", "debug" } do
    local page = { file = family, title = family == "tensor"
      and "Methods of tensors" or family == "gan" and "gan" or "gan." .. family,
      intro = intros[family], entries = {}, methods = objects_of(family), part = family }
    by_family[family], pages[#pages + 1] = page, page
  end
  for _, record in ipairs(sources.core) do
    local page = by_family[record.family]
    page.entries[#page.entries + 1] = record_entry(record, record.is_value and "value"
      or record.family == "tensor" and "method" or "function")
  end
  for _, name in ipairs(sorted_names(sources.core.aliases)) do
    local op = sources.core.aliases[name]
    table.insert(by_family.gan.entries, { name = "gan." .. name, key = name, kind = "alias",
      of = op, call = ("gan[%q](...)"):format(name), text = "gan." .. op .. " by another name." })
  end
  for _, name in ipairs(sources.wholes) do
    local entry = lua_entry("gan." .. name, name, gan[name], sources.blocks(name)[1].text)
    entry.call = entry.text:match "^gan%.[%w_]+%b()" or entry.call
    table.insert(by_family.gan.entries, entry)
  end
end

--- The line about a value in the comment at the head of its file: "  rank, size   this process".
local function line_about(intro, name)
  for line in ((intro or "") .. "\n"):gmatch "(.-)\n" do
    if line:find("^%s+[%w_, ]-%f[%w_]" .. name .. "%f[^%w_]") then
      return line:match "^%s*(.-)%s*$"
    end
  end
end

local function part_pages(pages)
  local is_part = {}
  for _, part in ipairs(sources.parts) do
    is_part[part] = true
  end
  for _, part in ipairs(sources.parts) do
    local t, first = sources.part_table(part), sources.blocks(part)[1]
    local page = { file = part, title = "gan." .. part, part = part, value = t, entries = {},
      intro = first and first.text, methods = objects_of(part) }
    for _, name in ipairs(t and sorted_names(t) or {}) do
      if not (type(t[name]) == "table" and is_part[part .. "." .. name])
          and not (part == "help" and name == "sources") then
        table.insert(page.entries, lua_entry("gan." .. part .. "." .. name, name, t[name],
          sources.comment_of(part, name) or type(t[name]) ~= "function"
          and line_about(page.intro, name) or nil))
      end
    end
    pages[#pages + 1] = t and page or nil
  end
end

--- All pages, in the order in which the index lists them.
function collect.pages()
  local pages = {}
  op_pages(pages)
  core_pages(pages)
  part_pages(pages)
  for _, page in ipairs(pages) do
    table.sort(page.entries, function(a, b) return a.key < b.key end)
  end
  return pages
end

-- tables whose fields are explained in one piece, with the table itself
local closed = { ["gan.methods"] = true, ["gan.config"] = true, ["gan.help.sources"] = true,
  ["gan.debug.job"] = true, ["gan.json.null"] = true, ["gan.loss.adversarial"] = true,
  ["gan.loss.probability"] = true, ["gan.ranks.job"] = true }

--- The full names of all that can be reached from `require "gan"`, found by walking its tables and
-- not from the pages.
function collect.exported()
  local names = {}
  local function walk(t, prefix)
    for _, key in ipairs(sorted_names(t)) do
      local name = prefix .. key
      names[#names + 1] = name
      if type(t[key]) == "table" and not closed[name] then
        walk(t[key], name .. ".")
      end
    end
  end
  for name in pairs(debug.getmetatable(gan).parts) do
    local _ = gan[name] -- loads it
  end
  walk(gan, "gan.")
  for _, key in ipairs(sorted_names(gan.methods)) do
    names[#names + 1] = "x:" .. key
  end
  return names
end

--- The names among `exported` that no page explains.
function collect.undocumented(pages, exported)
  local known, list = { ["gan.help.sources"] = true }, {} -- that is for these pages alone
  for _, page in ipairs(pages) do
    known[page.title] = true
    for _, entry in ipairs(page.entries) do
      local explained = (entry.text or ""):find "%w" ~= nil
      known[entry.name] = explained
      if (entry.kind == "op" or entry.kind == "alias") and explained then
        known["x:" .. entry.key] = true
      end
    end
  end
  for _, name in ipairs(exported) do
    if not known[name] then
      list[#list + 1] = name
    end
  end
  return list
end

return collect
