-- The files that the fuzzer found worth keeping (tests/fuzz/corpus, see scripts/fuzz): every reader
-- gets every one of them, and answers.
local gan = require "gan"
local files, data = gan.files, gan.data

local readers = { files.load_npy, data.rows, files.load_npz, files.npz_names, files.load_idx,
  files.load_safetensors, files.load_wav, files.wav_info, files.read_image,
  function(path) return gan.image.load(path, { size = 3, channels = 3 }) end,
  function(path) return data.csv(path) end,
  function(path) return data.csv(path, { header = false, labels = 1 }) end }

describe("the readers", function()
  local root = "tests/fuzz/corpus"
  local _, kinds = files.scan(root)

  it("have a corpus", function()
    assert.is_true(#kinds >= 9)
  end)

  for _, kind in ipairs(kinds or {}) do
    it("answer for the files of " .. kind, function()
      local names = files.scan(root .. "/" .. kind)
      assert.is_true(#names > 0)
      local accepted = 0
      for _, name in ipairs(names) do
        local path = root .. "/" .. kind .. "/" .. name
        for _, read in ipairs(readers) do
          local value, message = read(path)
          accepted = accepted + (value and 1 or 0)
          assert.is_true(value ~= nil or (type(message) == "string" and #message > #path), path)
        end
      end
      assert.is_true(accepted > 0, "not one of them is a good file")
    end)
  end
end)
