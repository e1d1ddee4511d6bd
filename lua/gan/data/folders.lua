--- Data sets that lie in many files: folders of pictures, recordings.

local gan = require "gan"
local options = require "gan.options"

local folders = {}

local function extension(name)
  return (name:match "%.([^.]+)$" or ""):lower()
end

--- The paths of the files in a folder that have one of the extensions, sorted; and its folders.
local function list(path, extensions)
  local names, below = gan.files.scan(path)
  if not names then
    return nil, below
  end
  local paths = {}
  for _, name in ipairs(names) do
    if extensions[extension(name)] then
      paths[#paths + 1] = path .. "/" .. name
    end
  end
  return paths, below
end

--- All paths below a folder: with sub-folders, each of them is a class, and every path has the
-- number of its class; without, classes is nil.
local function collect(path, extensions)
  local paths, below = list(path, extensions)
  if not paths then
    return nil, below
  end
  local all, classes, labels = {}, {}, {}
  for _, name in ipairs(below) do
    local part, message = list(path .. "/" .. name, extensions)
    if not part then
      return nil, message
    elseif #part > 0 then
      classes[#classes + 1] = name
    end
    for _, p in ipairs(part) do
      all[#all + 1], labels[#labels + 1] = p, #classes
    end
  end
  if #classes == 0 then
    return paths
  elseif #paths > 0 then
    return nil, path .. ": there are files beside the folders of the classes, " .. paths[1]
  end
  return all, classes, labels
end

local function pair(o, name, size)
  local h, w = size, size
  if type(size) == "table" then
    h, w = size[1], size[2]
  end
  if not w or h < 1 or w < 1 then
    error(name .. ": option '" .. o .. "' is a positive integer or {height, width}", 3)
  end
  return h, w
end

--- data.images{path, size=, channels=3, fit="crop"} -> {images=, paths=, labels=, classes=}
--
-- The PNG and JPEG files of a folder, of any size and number of channels, as rows uint8 (channels,
-- height, width) for data.batches: `size` is a number of pixels or {height, width}, channels 1 is
-- grey, 3 is RGB, 4 has alpha. fit "crop" keeps the proportions and cuts off evenly what does not
-- fit, "stretch" does not keep them. Files are decoded when they are needed.
--
-- Sub-folders are classes: `labels` (int64, from 1) and `classes` (their names, sorted); without
-- sub-folders there are neither. Paths are in the order of their names.
function folders.images(given)
  local o = options.check("data.images", given,
    "path:text ; size:ints channels:count=3 fit:crop|stretch=crop")
  local h, w = pair("size", "data.images", o.size)
  if o.channels > 4 then
    error("data.images: option 'channels' is 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA)", 2)
  end
  local paths, classes, labels = collect(o.path, { png = true, jpg = true, jpeg = true })
  if not paths then
    return nil, classes
  elseif #paths == 0 then
    return nil, o.path .. ": no PNG or JPEG files"
  end
  return {
    images = gan.files.picture_source(paths, o.channels, h, w, o.fit == "crop"), paths = paths,
    labels = labels and gan.tensor(labels, { dtype = "int64" }), classes = classes,
  }
end

--- Where the stretches of one recording begin.
local function add_stretches(o, path, class, out)
  local info, message = gan.files.wav_info(path)
  if not info then
    return nil, message
  end
  out.rate, out.channels = out.rate or info.rate, out.channels or info.channels
  if info.rate ~= out.rate or info.channels ~= out.channels then
    return nil, ("%s: %d channels at %d Hz, the files before have %d at %d Hz"):format(path,
      info.channels, info.rate, out.channels, out.rate)
  end
  for first = 1, info.frames - o.frames + 1, o.hop or o.frames do
    local n = #out.paths + 1
    out.paths[n], out.starts[n], out.numbers[n] = path, first, class
  end
  return true
end

--- data.sounds{path, frames=, hop=frames} -> {sounds=, paths=, rate=, channels=, labels=, classes=}
--
-- Stretches of `frames` frames of WAV files, one every `hop` frames, as rows (channels, frames) for
-- data.batches: of one file, or of all in a folder, whose sub-folders are classes. The files have
-- the same rate and channels. Stretches are read when they are needed: recordings may be longer
-- than memory. What is left at the end of a file is not used.
function folders.sounds(given)
  local o = options.check("data.sounds", given, "path:text ; frames:count hop:count?")
  local files, classes, labels = { o.path }, nil, nil
  if extension(o.path) ~= "wav" then
    files, classes, labels = collect(o.path, { wav = true })
    if not files then
      return nil, classes
    end
  end
  local out = { paths = {}, starts = {}, numbers = {} }
  for i, path in ipairs(files) do
    local ok, message = add_stretches(o, path, labels and labels[i], out)
    if not ok then
      return nil, message
    end
  end
  if #out.paths == 0 then
    return nil, ("%s: no WAV file of %d frames"):format(o.path, o.frames)
  end
  return {
    sounds = gan.files.sound_source(out.paths, out.starts, out.channels, o.frames),
    paths = out.paths, rate = out.rate, channels = out.channels, classes = classes,
    labels = labels and gan.tensor(out.numbers, { dtype = "int64" }),
  }
end

return folders
