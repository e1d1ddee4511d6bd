-- Measures images that a generator wrote (generated.npz of a run folder) on features of a
-- classifier of ours, against bars made of real images: see judge.lua. --classify: trains a
-- classifier on them and tests it on real images.

local gan = require "gan"
local judge = dofile "scripts/quality.d/judge.lua"

local opt = gan.opts{
  "Compares generated images with real ones.",
  {"run", "", "the run folder that holds generated.npz"},
  {"data", "mnist", "what they are to be like", choices = {"fashion_mnist", "mnist"}},
  {"classify", false, "train a classifier on the images and their labels instead"},
  {"control", "", "instead of generated ones, measure real images, as they are or made worse",
    choices = {"", "none", "blurred", "memorised", "shuffled"}},
  {"epochs", 6, "passes over the images for the classifier"},
  {"images", 10000, "how many"},
  {"seed", 1, "start of the random numbers"},
  {"out", "runs/sample_quality", "run folder"},
  {"resume", false, "start again in that folder: it takes minutes"},
}
if not opt then return end
local run = gan.report.run{opt.out, options = opt}

--- How many pictures a run folder holds.
local function pictures(folder)
  local count = 0
  for _, name in ipairs(gan.files.list(folder) or {}) do
    count = count + (name:find "%.png$" and 1 or 0)
  end
  return count
end

--- The images to measure, and their labels. Of 32 x 32 pixels, the 28 x 28 in the middle.
local function samples()
  if opt.control == "" then
    local file = assert(gan.data.npz(opt.run .. "/generated.npz"))
    local edge = (file.images:size(3) - 28) // 2
    return file.images:slice(3, 1 + edge, 28 + edge):slice(4, 1 + edge, 28 + edge):contiguous(),
      file.labels
  end
  local train = assert(gan.data[opt.data]{split = "train"})
  local images, labels = train.images:slice(1, 1, opt.images), train.labels:slice(1, 1, opt.images)
  if opt.control == "shuffled" then
    gan.manual_seed(opt.seed)
    labels = labels:index_select(gan.randperm(#labels))
  elseif opt.control == "memorised" then
    images = images:slice(1, 1, 500):tile(opt.images // 500, 1, 1, 1)
  elseif opt.control == "blurred" then
    images = judge.blurred(judge.blurred(images)) -- worse than the bar, which is blurred once
  end
  return images, labels
end

local images, labels = samples()
local result
if opt.classify then
  gan.manual_seed(opt.seed)
  local test = assert(gan.data[opt.data]{split = "test"})
  local net = judge.train(images, assert(labels, "the images have no labels"), opt.epochs)
  result = {accuracy = 100 * judge.accuracy(net, test)}
else
  local net = judge.of(opt.data, opt.epochs)
  result = judge.compare(net, images, opt.data)
  result.pictures = pictures(opt.run)
end
run:result(result)
print(gan.json.encode(result))
