--- What commands write: pictures or arrays, by the ending of the file's name.

local gan = require "gan"
local commands = require "gan.commands"

local output = {}

local endings = { png = true, npy = true, npz = true }

local function ending(path)
  return (path:match "%.(%w+)$" or ""):lower()
end

--- Ends the command where `path` is nothing that can be written.
function output.check(path)
  if not endings[ending(path)] then
    commands.fail("--out: %s ends neither in .png nor in .npy or .npz", path)
  end
end

function output.threads(n)
  if n < 0 then
    commands.fail "--threads: must not be negative"
  elseif n > 0 then
    gan.threads(n)
  end
end

--- What f returns; where it raises an error, because what the run folder says of its generator does
-- not fit together, the command ends with the message. Ctrl-C passes.
function output.of(folder, f)
  local ok, x = pcall(f)
  if not ok and tostring(x):find("interrupted!", 1, true) then
    error(x, 0)
  elseif not ok then
    commands.fail("%s: the generator makes no samples: %s", folder,
      (tostring(x):gsub("^[%w_.]+:%d+: ", "")))
  end
  return x
end

--- Writes samples (N, ...), whose values lie in `range`, and says so.
function output.write(path, x, given)
  local sizes = table.concat(x:shape(), " x ")
  if ending(path) == "npy" then
    commands.must(gan.data.save_npy(path, x))
  elseif ending(path) == "npz" then
    commands.must(gan.data.save_npz(path, { samples = x }))
  elseif x:dim() == 4 and (x:size(2) == 1 or x:size(2) == 3) then
    commands.must(gan.image.save(path, x, { range = given.range or "auto",
      columns = given.columns }))
  else
    commands.fail("a sample of this run is no picture, all of them are (%s): name a file that ends "
      .. "in .npy", sizes)
  end
  print(("%s: %d samples"):format(path, #x))
end

return output
