--- gan.data: data sets as tensors, and batches of them.
--
--     local set = assert(gan.data.fashion_mnist{split = "train"})
--     local loader = gan.data.batches{set.images, set.labels, batch_size = 64, shuffle = true}
--     for images, labels in loader:epoch() do ... end
--
-- Images are uint8 (N, C, H, W) until a batch is made; labels are int64, counted from 1. A file
-- that is missing or malformed gives nil and a message.

local gan = require "gan"
local options = require "gan.options"
local sets = require "gan.data.sets"

local data = {
  batches = require "gan.data.batches",
  fashion_mnist = sets.fashion_mnist,
  mnist = sets.mnist,
}

--- The array of an IDX file, plain or gzip, as a tensor: data.idx "train-images-idx3-ubyte.gz".
data.idx = gan.files.load_idx

--- A data set of MNIST's form from files of your own:
-- data.idx_set{images = path, labels = path, classes = names} -> {images=, labels=, classes=}.
function data.idx_set(given)
  local o = options.check("data.idx_set", given, "; images:text labels:text? classes:list?")
  return sets.load(o.images, o.labels, o.classes)
end

return data
