--- Texts that Debian's packages bring: dictionaries and manual pages.

local gan = require "gan"
local options = require "gan.options"

local texts = {}

local function folders(name, path)
  local env = os.getenv "GAN_DATA"
  if path then
    return { path }
  elseif env and env ~= "" then
    return { env .. "/" .. name, "data/" .. name }
  end
  return { "data/" .. name }
end

--- The text of a file in the first folder that has it, or nil and a message.
local function read(list, name, advice)
  for _, folder in ipairs(list) do
    local file = io.open(folder .. "/" .. name, "rb")
    if file then
      local text, message = file:read "a"
      file:close()
      return text, message
    end
  end
  return nil, ("%s was not found in %s; %s"):format(name, table.concat(list, ", "), advice)
end

-- ---- dictionaries -----------------------------------------------------------------------------

local digits = {}
for i, c in utf8.codes "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/" do
  digits[utf8.char(c)] = i - 1
end

--- A number of a dictd index: base 64, the largest digit first.
local function number(text)
  local n = 0
  for c in text:gmatch "." do
    if not digits[c] or n >= 2 ^ 40 then
      return nil
    end
    n = n * 64 + digits[c]
  end
  return n
end

-- letters outside ASCII whose small form is not their own: two bytes in UTF-8
local small = { ["\xC3([\x80-\x96\x98-\x9E])"] = function(c)
  return "\xC3" .. string.char(c:byte() + 32)
end }

local function lower(text)
  text = text:lower()
  for pattern, f in pairs(small) do
    text = text:gsub(pattern, f)
  end
  return text
end

--- A single word of 2 to `longest` letters (bytes beyond ASCII belong to letters), or nil.
local function word_of(text, longest)
  text = lower(text)
  local n = utf8.len(text)
  return n and n >= 2 and n <= longest and text:find "^[a-z\xC3\xC5\x80-\xBF]+$" and text or nil
end

--- The first translation of an entry: the line after the headword, without number, grammar, and
-- further translations.
local function translation(entry)
  local line = entry:match "\n([^\n%s][^\n]*)"
  line = line and line:gsub("^%d+%.%s*", ""):gsub("%b<>", ""):gsub("%b[]", ""):gsub("%b()", "")
  return line and line:match "^%s*([^,;]-)%s*$" or line and line:match "^%s*([^,;]-)%s*[,;]"
end

--- Pairs of an English word and its translation from the freedict dictionaries:
-- data.freedict{"spa"} -> a list of {english, foreign}, in the order of the English words; or nil
-- and a message. Languages: spa, fra, deu. Single words of up to `longest` = 16 letters, small
-- letters; the first translation only, and every English word once. Option path = folder.
function texts.freedict(given)
  local o = options.check("data.freedict", given, "language:spa|fra|deu ; longest:count=16 "
    .. "path:text?")
  local list, name = folders("freedict", o.path), "eng-" .. o.language
  local advice = "run scripts/fetch-data freedict"
  local index, message = read(list, name .. ".index", advice)
  local dictionary
  if index then
    dictionary, message = read(list, name .. ".dict", advice)
  end
  if not dictionary then
    return nil, message
  end
  local pairs_found, seen, line = {}, {}, 0
  for head, at, size in index:gmatch "([^\t\n]*)\t([^\t\n]*)\t([^\t\n]*)\n" do
    line = line + 1
    at, size = number(at), number(size)
    if not at or not size or at + size > #dictionary then
      return nil, ("%s.index: entry %d lies outside %s.dict"):format(name, line, name)
    end
    local english = not head:find "^00database" and word_of(head, o.longest)
    if english and not seen[english] then
      local foreign = translation(dictionary:sub(at + 1, at + size))
      foreign = foreign and word_of(foreign, o.longest)
      if foreign then
        seen[english] = true
        pairs_found[#pairs_found + 1] = { english, foreign }
      end
    end
  end
  return pairs_found
end

-- ---- manual pages -----------------------------------------------------------------------------

local names = { lq = '"', rq = '"', aq = "'", cq = "'", oq = "'", dq = '"', em = " - ", en = "-",
  bu = "*", mi = "-", ti = "~", ha = "^", rs = "\\", co = "(c)" }

--- A line of roff as plain text.
local function plain(line)
  line = line:gsub('\\".*', ""):gsub("\\f%b[]", ""):gsub("\\f%(..", ""):gsub("\\f.", "")
    :gsub("\\s[-+]?%d+", ""):gsub("\\%((..)", names):gsub("\\%[(..)%]", names)
    :gsub("\\[&|^,/:)%%]", ""):gsub("\\([- ~e'`])", { ["-"] = "-", [" "] = " ", ["~"] = " ",
      e = "\\", ["'"] = "'", ["`"] = "`" })
  return line
end

--- The arguments of a macro, separated by `between`: words, or texts in quotation marks.
local function arguments(text, between)
  local list, at = {}, 1
  while true do
    local first = text:find("%S", at)
    if not first then
      return table.concat(list, between)
    end
    local quoted, after = text:match('^"([^"]*)"?()', first)
    if not quoted then
      quoted, after = text:match("^(%S+)()", first)
    end
    list[#list + 1], at = quoted, after
  end
end

local SKIPPED = { nf = "fi", EX = "EE", TS = "TE" } -- tables and code: not sentences

--- The running text of a section's lines, its paragraphs separated by newlines.
local function running(lines)
  local out, skip = {}, nil
  for _, line in ipairs(lines) do
    local macro, rest = line:match "^[.']%s*([%a\\]*)%s*(.*)$"
    if skip then
      skip = macro ~= skip and skip or nil
    elseif SKIPPED[macro] then
      skip = SKIPPED[macro]
    elseif macro == "B" or macro == "I" or macro == "SM" or macro == "SB" then
      out[#out + 1] = plain(arguments(rest, " ")) .. " "
    elseif macro and #macro == 2 and macro:find "^[BIR][BIR]$" then
      out[#out + 1] = plain(arguments(rest, "")) .. " "
    elseif macro then
      out[#out + 1] = (macro:find "^[PLITS][PHS]?$" or macro == "SS") and "\n" or ""
    else
      out[#out + 1] = plain(line) .. " "
    end
  end
  return (table.concat(out):gsub("[ \t]+", " "):gsub(" ?\n[ \n]*", "\n"))
end

--- The sentences of a running text that have five words or more.
local function sentences(text)
  local list = {}
  for paragraph in text:gmatch "[^\n]+" do
    for sentence in (paragraph .. " "):gmatch "%s*(.-[.:!?][\"')]*)%s+" do
      local _, words = sentence:gsub("%f[%w]%w+", "")
      if words >= 5 then
        list[#list + 1] = sentence
      end
    end
  end
  return list
end

--- Manual pages: data.manual_pages() -> a list of {name=, summary=, sentences=}, or nil and a
-- message. summary is what the line NAME says of the page, sentences are those of DESCRIPTION (five
-- words or more); pages with at least `least` = 3 sentences, each summary once. Option path =
-- folder.
function texts.manual_pages(given)
  local o = options.check("data.manual_pages", given or {}, "; least:count=3 path:text?")
  local text, message = read(folders("manpages", o.path), "pages.txt",
    "run scripts/fetch-data manpages")
  if not text then
    return nil, message
  end
  local pages, seen = {}, {}
  for name, body in text:gmatch "\f([^\n]*)\n([^\f]*)" do
    local sections, current = {}, nil
    for line in body:gmatch "[^\n]*" do
      local title = line:match '^%.S[Hh]%s+"?([^"]-)"?%s*$'
      if title then
        current = sections[title] or {}
        sections[title] = current
      elseif current and not line:find '^[.\']\\"' then
        current[#current + 1] = line
      end
    end
    local summary = sections.NAME and table.concat(sections.NAME, " "):match "%s\\?%-+%s+(.+)$"
    local list = sections.DESCRIPTION and sentences(running(sections.DESCRIPTION)) or {}
    summary = summary and plain(summary):gsub("%s+", " "):gsub("^ ", ""):gsub(" $", "")
    if summary and summary ~= "" and not seen[summary] and #list >= o.least then
      seen[summary] = true
      pages[#pages + 1] = { name = name, summary = summary, sentences = list }
    end
  end
  return pages
end

-- ---- texts as tensors -------------------------------------------------------------------------

--- Words as letters: data.letters({words, ...}, length) takes lists of words in UTF-8, and returns
-- a list of as many int64 tensors (#words, length), and the alphabet: a list of the letters in the
-- order in which they came, whose first is the empty text that fills up a word. What is longer than
-- `length` is cut off.
function texts.letters(lists, length)
  local alphabet, place, tensors = { "" }, {}, {}
  for i, list in ipairs(lists) do
    local rows = {}
    for k, word in ipairs(list) do
      local row = {}
      for _, c in utf8.codes(word) do
        if not place[c] then
          alphabet[#alphabet + 1] = utf8.char(c)
          place[c] = #alphabet
        end
        row[#row + 1] = #row < length and place[c] or nil
      end
      for j = #row + 1, length do
        row[j] = 1
      end
      rows[k] = row
    end
    tensors[i] = gan.tensor(rows, { dtype = "int64" })
  end
  return tensors, alphabet
end

--- How often each word occurs in a text, in small letters.
local function count_words(text)
  local found = {}
  for word in text:lower():gmatch "%a[%w_]+" do
    found[word] = (found[word] or 0) + 1
  end
  return found
end

--- Texts as bags of words: data.word_bags(texts, {words=2000}) -> a function that takes a list of
-- texts and returns (n, width), rows of length 1 (or 0); and the width. A word that occurs c times
-- weighs (1 + ln c) ln(1 + N / n), where n of the N `texts` have it; the `words` with the largest n
-- are used.
function texts.word_bags(list, given)
  local o = options.check("data.word_bags", given or {}, "; words:count=2000")
  local having, vocabulary, column = {}, {}, {}
  for _, text in ipairs(list) do
    for word in pairs(count_words(text)) do
      having[word] = (having[word] or 0) + 1
    end
  end
  for word in pairs(having) do
    vocabulary[#vocabulary + 1] = word
  end
  table.sort(vocabulary, function(a, b)
    if having[a] ~= having[b] then
      return having[a] > having[b]
    end
    return a < b
  end)
  local width = math.min(#vocabulary, o.words)
  for i = 1, width do
    column[vocabulary[i]] = i
  end
  return function(others)
    local index, values = { 1 }, { 0 }
    for row, text in ipairs(others) do
      for word, c in pairs(count_words(text)) do
        if column[word] then
          index[#index + 1] = (row - 1) * width + column[word]
          values[#values + 1] = (1 + math.log(c)) * math.log(1 + #list / having[word])
        end
      end
    end
    local flat = gan.zeros(#others * width):index_add(gan.tensor(index, { dtype = "int64" }),
      gan.tensor(values), 1)
    return gan.l2_normalize(flat:reshape(#others, width), { dim = 2 })
  end, width
end

return texts
