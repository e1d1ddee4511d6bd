-- Every code block of the guide is executed: what a reader copies works, and prints what is shown.
--
-- A page runs in a folder of its own, which stands for the top of the source tree. Its `lua` blocks
-- are one script, in a fresh process; after that its other blocks run in order: `sh` blocks by the
-- shell, `c FILE` and `lua FILE` blocks are written to that file. In 5-own-op.md a `c` block stands
-- in the place of the scaffold that scripts/new-op wrote. `text output` is what the block before it
-- prints; `...` in it stands for anything.

local gan = require "gan"

local folder = "examples/guide/"
local pages = { "1-first-run", "2-own-data", "3-own-loss", "4-own-layer", "5-own-op",
  "6-embedding" }
local slow = os.getenv "QUICK" or gan.config.real ~= "float32" -- the slow builds, and double

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "a"
  file:close()
  return text
end

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

local function shell(command)
  local pipe = assert(io.popen("{ " .. command .. "\n} 2>&1"))
  local text = pipe:read "a"
  return pipe:close(), text
end

local function must(command)
  local ok, text = shell(command)
  assert(ok, command .. "\n" .. text)
  return text
end

--- The blocks of a page: { language, word after it, text, line }.
local function blocks_of(page)
  local list, block, n = {}, nil, 0
  for line in io.lines(folder .. page .. ".md") do
    n = n + 1
    local language, word = line:match "^```(%w+)%s*(%S*)"
    if block and line == "```" then
      list[#list + 1], block = block, nil
    elseif block then
      block.text = block.text .. line .. "\n"
    elseif language then
      block = { language = language, word = word, text = "", line = n }
    end
  end
  assert(not block, page .. ": a block does not end")
  return list
end

--- Whether `text` is what `wanted` shows.
local function matches(wanted, text)
  local pattern = wanted:gsub("%s+$", ""):gsub("%p", "%%%0"):gsub("%%%.%%%.%%%.", ".-")
  return text:gsub("%s+$", ""):find("^" .. pattern .. "$") ~= nil
end

local function check_output(page, block, text)
  assert(matches(block.text, text), ("%s.md:%d shows\n%sbut it printed\n%s"):format(page,
    block.line, block.text, text))
end

--- A folder that looks like the top of the tree; with `copy`, one in which sources may be changed.
local function make_tree(copy)
  local home, build = must "pwd":gsub("\n", ""), require("tests.support").program():match "^(.*)/"
  local tree = os.tmpname()
  os.remove(tree)
  if copy then
    must(([[
      mkdir -p TREE/build TREE/tests
      cp -Rp Makefile runtime lua scripts TREE && cp -Rp tests/ops TREE/tests
      cd BUILD && cp -Rp obj gan-lua libgan.a packages lua TREE/build
    ]]):gsub("%u%u+", { TREE = tree, BUILD = build }))
  else
    must(([[
      mkdir TREE && cd TREE && ln -s BUILD build
      for f in Makefile runtime lua scripts examples tests README.md; do ln -s HOME/$f .; done
    ]]):gsub("%u%u+", { TREE = tree, BUILD = build, HOME = home }))
  end
  return tree
end

local MARK = "\1block %d\n"

--- Runs the page's script and compares what each block printed with what is shown.
local function run_script(page, blocks, tree)
  local parts, shown = {}, {}
  for i, block in ipairs(blocks) do
    if block.language == "lua" and block.word == "" then
      parts[#parts + 1] = ("io.write(%q)\n%s"):format(MARK:format(i), block.text)
      local after = blocks[i + 1]
      shown[i] = after and after.language == "text" and after.word == "output" and after or nil
    end
  end
  if #parts == 0 then
    return
  end
  write(tree .. "/page.lua", table.concat(parts))
  local ok, text = shell(("cd %s && %s page.lua"):format(tree, require("tests.support").program()))
  assert(ok, page .. ": " .. text)
  local printed = {}
  for i, output in (text .. "\1"):gmatch "block (%d+)\n([^\1]*)" do
    printed[tonumber(i)] = output
  end
  for i, block in pairs(shown) do
    check_output(page, block, printed[i])
  end
end

--- Puts a record in the place of the scaffold, which ends with the record's closing line.
local function replace_scaffold(tree, text)
  local name = assert(text:match '%.name = "([%w_]+)"')
  local path = must(("cd %s && grep -l 'op_%s = {' runtime/ops/*.c"):format(tree, name)):match "%S+"
  local source = read(tree .. "/" .. path)
  local first = assert(source:find("static void " .. name .. "_forward", 1, true))
  local _, last = source:find("\n};\n", first, true)
  write(tree .. "/" .. path, source:sub(1, first - 1) .. text .. source:sub(last + 1))
end

local function run_others(page, blocks, tree)
  local printed
  for _, block in ipairs(blocks) do
    if block.language == "sh" then
      local ok, text = shell("cd " .. tree .. " && PATH=$PWD/build:$PATH && set -e\n" .. block.text)
      assert(ok, ("%s.md:%d failed\n%s"):format(page, block.line, text))
      printed = text
    elseif block.language == "c" and block.word == "" then
      replace_scaffold(tree, block.text)
    elseif block.language == "c" or block.language == "lua" and block.word ~= "" then
      write(tree .. "/" .. block.word, block.text)
    elseif block.language == "text" and block.word == "output" and printed then
      check_output(page, block, printed)
    end
    printed = block.language == "sh" and printed or nil
  end
end

describe("the guide", function()
  for _, page in ipairs(pages) do
    it(page, function()
      if slow then
        pending "runs with the plain build"
        return
      elseif page == "1-first-run" and not gan.data.fashion_mnist{ split = "test" } then
        pending "Fashion-MNIST is not installed"
        return
      end
      local tree, blocks = make_tree(page == "5-own-op"), blocks_of(page)
      assert.is_true(#blocks > 0)
      run_script(page, blocks, tree)
      run_others(page, blocks, tree)
      must("rm -rf " .. tree)
    end)
  end

  it("has an index that leads to every page", function()
    local index = read(folder .. "README.md")
    for _, page in ipairs(pages) do
      assert.matches("](" .. page .. ".md)", index, 1, true)
    end
  end)

  it("names what there is", function()
    for _, page in ipairs(pages) do
      local text = read(folder .. page .. ".md")
      local new = text:match "scripts/new%-op (%S+)"
      for name in text:gmatch "%f[%w]gan%.([%a][%w_.]*%w)" do
        local v = gan
        for key in name:gmatch "[^.]+" do
          v = type(v) == "table" and v[key] or nil
        end
        local known = v ~= nil or name == new or name == "so" or name == "lua"
        assert(known, ("%s.md speaks of gan.%s"):format(page, name))
      end
    end
  end)
end)
