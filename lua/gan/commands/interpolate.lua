--- gan-lua interpolate: what lies between the samples of a generator.

local gan = require "gan"
local commands = require "gan.commands"
local output = require "gan.commands.shared.output"
local rebuild = require "gan.report.rebuild"

--- Codes between a and b, both (n, d): at parts t (m) of the way -> (n * m, d). On the sphere: by
-- angle, so that every code is as long as random ones are (White 2016); straight: by distance.
local function between(a, b, t, path)
  local n, m, d = a:size(1), #t, a:size(2)
  t = t:reshape(1, m, 1)
  local from, to
  if path == "straight" then
    from, to = 1 - t, t
  else
    local function unit(x) return x / x:square():sum({ 2 }, { keepdim = true }):sqrt() end
    local cosine = (unit(a) * unit(b)):sum({ 2 }, { keepdim = true }):clamp{ min = -0.9999,
      max = 0.9999 }
    -- the angle by its half's tangent, which is exact for small ones and needs no arc cosine
    local angle = ((1 - cosine) / (1 + cosine)):sqrt():totable()
    for i = 1, n do
      angle[i] = 2 * math.atan(angle[i][1])
    end
    angle = gan.tensor(angle):reshape(n, 1, 1)
    from = ((1 - t) * angle):sin() / angle:sin()
    to = (t * angle):sin() / angle:sin()
  end
  local codes = a:reshape(n, 1, d) * from + b:reshape(n, 1, d) * to
  return codes:reshape(n * m, d)
end

--- The class of each row, as often as the row has samples.
local function labels_of(classes, o)
  local list = {}
  for i = 1, o.n * o.steps do
    list[i] = o.label > 0 and o.label or (i - 1) // o.steps % classes + 1
  end
  return gan.tensor(list, { dtype = "int64" })
end

return {
  summary = "draws the way from one sample to another",
  usage = "RUN [options]",
  words = { 1, 1 },
  about = "Draws rows of samples of the run in folder RUN: the code at the left becomes the code\n"
    .. "at the right in equal steps. Random codes lie near a sphere; the way along it meets codes\n"
    .. "as likely as these, the straight one leaves it.",
  options = {
    { "n", 8, "how many rows" },
    { "steps", 10, "samples in a row" },
    { "path", "sphere", "which way", choices = { "sphere", "straight" } },
    { "out", "interpolation.png", "file: .png, or .npy or .npz for the numbers themselves" },
    { "seed", 1, "start of the random numbers" },
    { "label", 0, "class of all samples, where the generator takes classes (0: row by row)" },
    { "script", "", "the script that trained the run, for models that cannot be described" },
    { "threads", 0, "processor threads (0: as many as there are)" },
  },
  run = function(o)
    if o.n < 1 or o.steps < 2 then
      commands.fail "--n must be 1 or more, --steps 2 or more"
    end
    output.check(o.out)
    output.threads(o.threads)
    local generator = commands.must(rebuild.generator(o[1], { script = o.script ~= ""
      and o.script or nil }))
    if o.label < 0 or o.label > (generator.labels or 0) then
      commands.fail("--label: %s", generator.labels and "the classes are 1 to "
        .. generator.labels or "the generator of this run takes no labels")
    end
    gan.manual_seed(o.seed)
    local labels = generator.labels and labels_of(generator.labels, o) or nil
    local x = output.of(o[1], function()
      local a, b = generator:draw(o.n):flatten(2), generator:draw(o.n):flatten(2)
      local codes = between(a, b, gan.linspace(0, 1, o.steps), o.path)
      return generator(codes:reshape(o.n * o.steps, table.unpack(generator.codes)), labels)
    end)
    output.write(o.out, x, { range = generator.range, columns = o.steps })
  end,
}
