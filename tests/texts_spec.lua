-- Dictionaries and manual pages, from small files made here.

local gan = require "gan"

local function folder_with(files)
  local folder = os.tmpname()
  os.remove(folder)
  assert(gan.files.mkdir(folder))
  for name, text in pairs(files) do
    assert(gan.files.replace(folder .. "/" .. name, text))
  end
  return folder, setmetatable({}, { __close = function()
    os.execute("rm -rf '" .. folder .. "'")
  end })
end

local base64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local function number(n)
  local text = ""
  repeat
    local digit = n % 64
    text, n = base64:sub(digit + 1, digit + 1) .. text, n // 64
  until n == 0
  return text
end

--- dictd's two files of a list of { headword, text }.
local function dictionary(entries)
  local index, text = {}, ""
  for _, entry in ipairs(entries) do
    local body = entry[1] .. " /sound/\n" .. entry[2] .. "\n"
    index[#index + 1] = ("%s\t%s\t%s\n"):format(entry[1], number(#text), number(#body))
    text = text .. body
  end
  return table.concat(index), text
end

describe("data.freedict", function()
  it("gives single words with their first translation", function()
    local index, text = dictionary{
      { "00databaseinfo", "about" }, { "Asia", "Asia" }, { "act", "1. acto\n2. actuar" },
      { "all right", "bien" }, { "act", "hecho" }, { "night", "Noche, oscuridad" },
      { "water", "\xC3\x81gua <fem> [cook.]" }, { "go", "ir a pie" },
      { "hippopotamuslike", "hipop\xC3\xB3tamo" }, { "x", "y" },
    }
    local folder, _ <close> = folder_with{ ["eng-spa.index"] = index, ["eng-spa.dict"] = text }
    assert.same({ { "asia", "asia" }, { "act", "acto" }, { "night", "noche" },
      { "water", "\xC3\xA1gua" }, { "hippopotamuslike", "hipop\xC3\xB3tamo" } },
      gan.data.freedict{ "spa", path = folder })
    assert.same({ { "asia", "asia" }, { "act", "acto" }, { "night", "noche" },
      { "water", "\xC3\xA1gua" } }, gan.data.freedict{ "spa", longest = 10, path = folder })
  end)

  it("says what is missing or wrong with a file", function()
    local folder, _ <close> = folder_with{ ["eng-fra.index"] = "word\tA\tzz\n",
      ["eng-fra.dict"] = "short" }
    local list, message = gan.data.freedict{ "fra", path = folder }
    assert.is_nil(list)
    assert.matches("eng-fra.index: entry 1 lies outside eng-fra.dict", message, 1, true)
    list, message = gan.data.freedict{ "deu", path = folder }
    assert.is_nil(list)
    assert.matches("run scripts/fetch-data freedict", message, 1, true)
  end)
end)

describe("data.manual_pages", function()
  local page = [[
.\" a comment
.TH open 2
.SH NAME
open, creat \- open and possibly \fIcreate\fP a file
.SH DESCRIPTION
The
.BR open ()
system call opens the file named by
.IR pathname .
If it does not exist, it may be made (see below).
.PP
Too short here.
.nf
int not_a_sentence_at_all = this is code. Really, it is code.
.fi
The "new" file gets the next free descriptor\-like number.
.SH NOTES
This is another section and does not count here.
]]

  it("gives what a person wrote beside the sentences of the description", function()
    local folder, _ <close> = folder_with{ ["pages.txt"] = "\fopen.2\n" .. page
      .. "\fempty.3\n.SH NAME\nempty \\- nothing\n" }
    local pages = assert(gan.data.manual_pages{ path = folder })
    assert.equal(1, #pages)
    assert.equal("open.2", pages[1].name)
    assert.equal("open and possibly create a file", pages[1].summary)
    assert.same({ "The open() system call opens the file named by pathname.",
      "If it does not exist, it may be made (see below).",
      'The "new" file gets the next free descriptor-like number.' }, pages[1].sentences)
    assert.equal(0, #gan.data.manual_pages{ least = 4, path = folder })
  end)

  it("says how to get them", function()
    local pages, message = gan.data.manual_pages{ path = "/nowhere" }
    assert.is_nil(pages)
    assert.matches("run scripts/fetch-data manpages", message, 1, true)
  end)
end)

describe("texts as tensors", function()
  it("are the numbers of their letters", function()
    local tensors, alphabet = gan.data.letters({ { "ab", "\xC3\xA1b" }, { "bbbb" } }, 3)
    assert.same({ "", "a", "b", "\xC3\xA1" }, alphabet)
    assert.same({ { 2, 3, 1 }, { 4, 3, 1 } }, tensors[1]:totable())
    assert.same({ { 3, 3, 3 } }, tensors[2]:totable())
  end)

  it("are the weights of their words", function()
    local bags, width = gan.data.word_bags({ "the cat", "The dog", "the the bird" }, { words = 3 })
    assert.equal(3, width) -- the; bird and cat, which come before dog
    local x = bags{ "the CAT cat", "nothing known", "" }
    assert.same({ 3, 3 }, x:shape())
    local the, cat = math.log(2), (1 + math.log(2)) * math.log(4)
    assert.is_true(math.abs(x:get(1, 1) - the / math.sqrt(the ^ 2 + cat ^ 2)) < 1e-5)
    assert.equal(0, x:get(1, 2))
    assert.is_true(math.abs(x:get(1, 3) - cat / math.sqrt(the ^ 2 + cat ^ 2)) < 1e-5)
    assert.equal(0, x:slice(1, 2, 3):abs():sum():item())
  end)
end)
