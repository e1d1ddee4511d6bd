--- gan-lua sample: draws images with a run's generator.

local gan = require "gan"
local commands = require "gan.commands"
local output = require "gan.commands.shared.output"
local rebuild = require "gan.report.rebuild"

--- Labels of n samples: the one that was asked for, or the classes in turn.
local function labels_of(generator, n, label)
  if not generator.labels then
    if label ~= 0 then
      commands.fail "--label: the generator of this run takes no labels"
    end
    return nil
  elseif label < 0 or label > generator.labels then
    commands.fail("--label: the classes are 1 to %d", generator.labels)
  end
  local list = {}
  for i = 1, n do
    list[i] = label > 0 and label or (i - 1) % generator.labels + 1
  end
  return gan.tensor(list, { dtype = "int64" })
end

return {
  summary = "draws images with the generator of a run",
  usage = "RUN [options]",
  words = { 1, 1 },
  about = "Draws samples with the generator of the run in folder RUN, from random codes. The\n"
    .. "generator is built from RUN/model.json, without running the run's script; where that\n"
    .. "cannot be (a model of modules of one's own) the script is named by --script, and run up\n"
    .. "to its training loop.",
  options = {
    { "n", 64, "how many samples" },
    { "out", "samples.png", "file: .png, or .npy or .npz for the numbers themselves" },
    { "seed", 1, "start of the random numbers" },
    { "columns", 0, "samples in a row of the picture (0: as square as possible)" },
    { "label", 0, "class of all samples, where the generator takes classes (0: all in turn)" },
    { "script", "", "the script that trained the run, for models that cannot be described" },
    { "threads", 0, "processor threads (0: as many as there are)" },
  },
  run = function(o)
    if o.n < 1 then
      commands.fail "--n: must be 1 or more"
    end
    output.check(o.out)
    output.threads(o.threads)
    local generator = commands.must(rebuild.generator(o[1], { script = o.script ~= ""
      and o.script or nil }))
    gan.manual_seed(o.seed)
    local labels = labels_of(generator, o.n, o.label)
    local columns = o.columns > 0 and o.columns
      or labels and o.label == 0 and math.min(generator.labels, o.n) or nil
    local x = output.of(o[1], function() return generator(generator:draw(o.n), labels) end)
    output.write(o.out, x, { range = generator.range, columns = columns })
  end,
}
