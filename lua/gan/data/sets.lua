--- Data sets that are found on the machine: MNIST and those of its form.

local gan = require "gan"
local options = require "gan.options"

local sets = {}

local files = {
  train = { "train-images-idx3-ubyte", "train-labels-idx1-ubyte" },
  test = { "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte" },
}

--- Where a data set may be, in the order of search: what the caller says, $GAN_DATA, ./data, and
-- where Debian's packages put data sets.
local function folders(name, path)
  if path then
    return { path }
  end
  local list = { "data/" .. name, "/usr/share/datasets/" .. name,
    "/usr/local/share/datasets/" .. name }
  local env = os.getenv "GAN_DATA"
  if env and env ~= "" then
    table.insert(list, 1, env .. "/" .. name)
  end
  return list
end

local function exists(path)
  local f = io.open(path, "rb")
  return f ~= nil and f:close()
end

--- The file with this name, packed or not, in the first folder that has it.
local function find(list, name)
  for _, folder in ipairs(list) do
    for _, suffix in ipairs{ "", ".gz" } do
      local path = folder .. "/" .. name .. suffix
      if exists(path) then
        return path
      end
    end
  end
end

--- Reads images (N, H, W) and labels 0..k-1 (N), and gives uint8 (N, 1, H, W) and int64 1..k.
function sets.load(images_path, labels_path, classes)
  local images, labels, message
  images, message = gan.files.load_idx(images_path)
  if not images then
    return nil, message
  elseif images:dtype() ~= "uint8" or images:dim() ~= 3 then
    return nil, ("%s: these are not images: %s of %d dimensions"):format(images_path,
      images:dtype(), images:dim())
  end
  local n, h, w = table.unpack(images:shape())
  local set = { images = images:reshape(n, 1, h, w), classes = classes }
  if not labels_path then
    return set
  end
  labels, message = gan.files.load_idx(labels_path)
  if not labels then
    return nil, message
  elseif labels:dim() ~= 1 or labels:size(1) ~= n then
    return nil, ("%s: there are %d images, and the labels have the shape (%s)"):format(labels_path,
      n, table.concat(labels:shape(), " x "))
  end
  set.labels = (labels:to(gan.config.real) + 1):to("int64")
  return set
end

local function set_of_mnist_form(name, classes, advice)
  return function(given)
    local o = options.check("data." .. name:gsub("-", "_"), given or {},
      "split:train|test=train ; path:text?")
    local list = folders(name, o.path)
    local images, labels = find(list, files[o.split][1]), find(list, files[o.split][2])
    if not images or not labels then
      return nil, ("%s was not found in %s; %s"):format(name, table.concat(list, ", "), advice)
    end
    return sets.load(images, labels, classes)
  end
end

--- data.fashion_mnist{split = "train", path = folder} -> {images=, labels=, classes=}: 60,000
-- (test: 10,000) pictures of clothing, uint8 (N, 1, 28, 28), ten classes. Absent: nil, message.
sets.fashion_mnist = set_of_mnist_form("fashion-mnist", { "T-shirt", "trouser", "pullover",
  "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot" },
  "install the Debian package dataset-fashion-mnist, or run scripts/fetch-data fashion-mnist")

--- data.mnist{split = "train", path = folder}: handwritten digits, in the same form. Label k is the
-- digit k - 1.
sets.mnist = set_of_mnist_form("mnist", { "0", "1", "2", "3", "4", "5", "6", "7", "8", "9" },
  "run scripts/fetch-data mnist")

return sets
