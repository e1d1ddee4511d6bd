--- gan.data: data sets as tensors, and batches of them.
--
--     local set = assert(gan.data.fashion_mnist{split = "train"})
--     local loader = gan.data.batches{set.images, set.labels, batch_size = 64, shuffle = true}
--     for images, labels in loader:epoch() do ... end
--
--     local faces = assert(gan.data.images{"faces", size = 64}) -- a folder of PNG and JPEG files
--
-- Images are uint8 (N, C, H, W) until a batch is made; labels are int64, counted from 1. A file
-- that is missing or malformed gives nil and a message.

local gan = require "gan"
local options = require "gan.options"
local sets = require "gan.data.sets"
local folders = require "gan.data.folders"
local tables = require "gan.data.tables"
local texts = require "gan.data.texts"

local data = {
  batches = require "gan.data.batches",
  augment = require "gan.data.augment",
  fashion_mnist = sets.fashion_mnist,
  mnist = sets.mnist,
  images = folders.images,
  sounds = folders.sounds,
  csv = tables.csv,
  freedict = texts.freedict,
  letters = texts.letters,
  word_bags = texts.word_bags,
  manual_pages = texts.manual_pages,
  wav = tables.wav,
  save_wav = tables.save_wav,
}

--- The array of an IDX file, plain or gzip, as a tensor: data.idx "train-images-idx3-ubyte.gz".
data.idx = gan.files.load_idx

--- The array of numpy's file: data.npy "x.npy". Floating point becomes the compute type, bytes and
-- booleans uint8, other integers int64; any byte order, C and Fortran order.
data.npy = gan.files.load_npy

--- data.save_npy(path, x) -> true, or nil and a message: for numpy.load.
data.save_npy = gan.files.save_npy

--- The arrays of numpy's archive by name: data.npz "x.npz" -> {name = tensor, ...}; one of them:
-- data.npz("x.npz", name). gan.files.npz_names(path) lists the names.
data.npz = gan.files.load_npz

--- data.save_npz(path, {name = tensor, ...}, {compress=false}) -> true, or nil and a message.
data.save_npz = gan.files.save_npz

--- The rows of an npy file (C order) or of an IDX file that is not packed, for data.batches, read
-- from the file when they are needed: for arrays larger than memory. data.rows(path) -> a source
-- with #source rows, source:shape() of a row, source:read(first, last), source:read(positions).
data.rows = gan.files.array_source

--- A data set of MNIST's form from files of your own:
-- data.idx_set{images = path, labels = path, classes = names} -> {images=, labels=, classes=}.
function data.idx_set(given)
  local o = options.check("data.idx_set", given, "; images:text labels:text? classes:list?")
  return sets.load(o.images, o.labels, o.classes)
end

return data
