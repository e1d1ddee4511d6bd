-- The table of adversarial nets. Bars come from the publications that are named; those of images
-- are made of real images (scripts/quality.d/judge.lua), because published distances are on
-- features that cannot be had here.

local Table = dofile "scripts/quality.d/table.lua"

local function example(name, script, options, test)
  return { name = name, script = ("examples/%s.lua"):format(script), options = "--compile "
    .. options, test = test }
end

local function measure(name, script, options, test)
  return { name = name, script = ("scripts/quality.d/%s.lua"):format(script), options = options,
    test = test }
end

--- The part NAME_quality measures the images of part NAME; `folder` is where in its run folder.
local function quality(name, data, folder)
  return measure(name .. "_quality", "sample_quality", ("--data %s --run {%s}%s"):format(data, name,
    folder or ""), "--epochs 1")
end

-- ---- mixtures in the plane ------------------------------------------------------------------

--- Parts and bars of a mixture with so many modes. A perfect sampler has 98.89 % of its samples
-- within three standard deviations, and a spread of 0.974 among them: samples drawn together too
-- much would have more, and less.
local function mixture(row, name, modes, kl, options)
  row[#row + 1] = example(name, "ring", options, modes > 8 and "--epochs 16" or "--epochs 8")
  local function bar(value, text, limits)
    limits.value, limits.text = name .. "." .. value, name .. ": " .. text
    row.bars[#row.bars + 1] = limits
  end
  bar("modes", "modes", { must = modes, test = modes > 8 and modes - 3 or modes })
  bar("quality", "share within 3 sigma", { must = 0.95, test = 0.6 })
  bar("quality_of_many", "the same of 50,000 samples", { below = true, must = 0.9895,
    test = 0.9895 })
  bar("kl", "KL divergence of the modes' shares", { below = true, must = kl, test = 0.35 })
  bar("narrowest", "spread of the narrowest mode", { must = 0.7, test = 0.2 })
  bar("widest", "spread of the widest", { below = true, must = 1.3, test = 2 })
end

local ring = { id = "G1", title = "eight Gaussians on a ring (PacGAN: 7.9 modes, KL .07; "
  .. "VEEGAN: 8, 52.9 %)", minutes = 20, seeds = 5, bars = {} }
mixture(ring, "one", 8, 0.02, "--epochs 40")
mixture(ring, "two", 8, 0.02, "--epochs 40 --radius 2")

local grid = { id = "G2", title = "twenty-five Gaussians on a grid (PacGAN: 24.8 modes, KL .04)",
  minutes = 20, seeds = 5, bars = {} }
mixture(grid, "grid", 25, 0.03, "--epochs 150 --data grid --r1-end 5e-6")

-- the same net without the penalty, with the minimax loss
for _, row in ipairs{ ring, grid } do
  row[#row + 1] = example("plain", "ring", (row == grid and "--data grid " or "")
    .. "--r1 0 --loss minimax --epochs 5", "--epochs 2")
  row.bars[#row.bars + 1] = { value = "plain.quality", below = true, must = 0.95, test = 0.95,
    text = "control, minimax without penalty: share" }
end

-- ---- critics --------------------------------------------------------------------------------

local truth = { id = "G4", title = "a critic's estimate against the analytic distance of Gaussians",
  minutes = 15, seeds = 3, bars = {},
  measure("critic", "critic_truth", "--compile", "--steps 600 --samples 20000"),
  measure("loose", "critic_truth", "--compile --penalty 1 --steps 600 --samples 20000"),
}
for _, d in ipairs{ 1, 2, 10 } do
  truth.bars[#truth.bars + 1] = { value = "critic.error_" .. d, below = true,
    must = d == 10 and 0.1 or 0.05, test = 0.15, text = ("error (share) in %d dimensions"):format(d)
  }
end
truth.bars[#truth.bars + 1] = { value = "loose.error_1", must = 0.05, test = 0.05,
  text = "control, penalty of weight 1: error" }

local claims = { id = "G5", title = "a clipped critic is linear in the distance, and its loss "
  .. "follows quality (Arjovsky et al. 2017)", minutes = 15, seeds = 3,
  measure("segments", "segments", "--compile --task distances", "--steps 800"),
  example("wgan", "wgan_gp", "--data mnist --images 8000 --width 16 --epochs 21 --write 2000",
    "--images 6000 --write 500"),
  measure("follows", "estimate_and_quality", "--data mnist --run {wgan}", "--epochs 1"),
  bars = {
    { value = "segments.correlation", text = "correlation with the distance", must = 0.995,
      test = 0.99 },
    { value = "follows.rank_correlation", text = "rank correlation of estimate and Frechet",
      must = 0.8, test = 0.3 },
    { value = "follows.shifted", text = "control, distances of other epochs", below = true,
      must = 0.5, test = 0.9 },
  } }

local vanishing = { id = "G6", title = "parallel segments: the minimax gradient vanishes, a "
  .. "critic's does not", minutes = 5, seeds = 3,
  measure("gradient", "segments", "--compile --task gradient", "--steps 800"),
  bars = {
    { value = "gradient.ratio", text = "minimax gradient / critic's", below = true, must = 1e-3,
      test = 1e-2 },
    { value = "gradient.distance", text = "distance that a critic leaves of 1", below = true,
      must = 0.05, test = 0.1 },
    { value = "gradient.minimax_distance", text = "control, converged discriminator: distance",
      must = 0.9, test = 0.9 },
  } }

-- ---- a thousand modes -----------------------------------------------------------------------

local SHORT = "--epochs 1 --steps 150 --samples 1000 --width 8 --d-width 8"

local stacked = { id = "G3", title = "stacked MNIST, 1000 modes (DCGAN 99, VEEGAN 150, PacDCGAN2 "
  .. "1000, KL .06)", minutes = 60, seeds = 1,
  example("packed", "stacked_mnist",
    "--pack 2 --r1 0.1 --lr 5e-4 --width 32 --d-width 32 --epochs 25",
    "--lr 1e-3 --epochs 1 --steps 800 --samples 2000 --width 16 --d-width 16"),
  example("untrained", "stacked_mnist", "--epochs 1 --steps 1 --samples 2000", SHORT
    .. " --steps 1"),
  bars = {
    { value = "packed.modes", text = "modes", must = 950, target = 1000, test = 100 },
    { value = "packed.kl", text = "KL divergence", below = true, must = 0.35, target = 0.1,
      test = 4 },
    { value = "untrained.modes", text = "control, untrained: modes", below = true, must = 100,
      test = 50 },
  } }

local small_D = "--width 32 --d-width 8 --epochs 12"
local unrolled = { id = "G10", title = "stacked MNIST, D a quarter of G (DCGAN 30.6, Unrolled-5 "
  .. "236, PacDCGAN4 667 modes)", minutes = 75, seeds = 1,
  example("plain", "stacked_mnist", small_D, SHORT),
  example("unrolled", "stacked_mnist", small_D .. " --unroll 5", SHORT .. " --steps 60"),
  example("packed", "stacked_mnist", small_D .. " --pack 4", SHORT),
  derived = {
    unrolling = function(v) return v["unrolled.modes"] - v["plain.modes"] end,
    packing = function(v) return v["packed.modes"] - v["unrolled.modes"] end,
  },
  bars = {
    { value = "unrolling", text = "modes more, unrolled than plain", must = 0 },
    { value = "packing", text = "modes more, packed than unrolled", must = 0 },
    { value = "packed.modes", text = "modes, packed", must = 0, target = 484, test = 2 },
    { value = "unrolled.modes", text = "modes, unrolled", must = 0, test = 2 },
  } }

-- ---- images ---------------------------------------------------------------------------------

--- Bars of a part's images: `also` is whether those of row G7 beside the first hold too. An
-- untrained generator has a Frechet distance of about 28 times that of blurred images.
local function image_bars(row, name, also)
  local function bar(value, text, limits)
    limits.value, limits.text = name .. "_quality." .. value, name .. ": " .. text
    row.bars[#row.bars + 1] = limits
  end
  bar("to_blurred", "Frechet distance / that of blurred images", { below = true, must = 1,
    test = name ~= "wgan" and 26 or nil }) -- clipping takes longer than a test
  if also then
    bar("to_memorised", "the same / that of 500 memorised", { below = true, must = 1e9,
      target = 1, test = 80 })
    bar("one_nn", "1-nearest-neighbour test", { below = true, must = 0.85, test = 0.999 })
    bar("coverage", "coverage", { must = 0.75, test = 0.02 })
  end
end

local images = { id = "G7", title = "sample quality of an InfoGAN-size DCGAN, MNIST and Fashion",
  minutes = 120, seeds = 1, bars = {} } -- 60 for each
local objectives = { id = "G8", title = "every objective with one net and budget", minutes = 360,
  seeds = 1, bars = {} } -- 60 for each
local labelled = { id = "G9", title = "a classifier trained on generated images, real test images "
  .. "(trained on real ones: 98.99 %)", minutes = 120, seeds = 1, bars = {} }

for _, data in ipairs{ "mnist", "fashion_mnist" } do
  images[#images + 1] = example(data, "dcgan", ("--data %s --epochs 25 --write 10000"):format(data),
    "--epochs 2 --images 8000 --width 16 --write 2000")
  images[#images + 1] = quality(data, data)
  image_bars(images, data, true)

  labelled[#labelled + 1] = example(data, "conditional_gan", ("--data %s --epochs 40 --write 60000")
    :format(data), "--epochs 3 --images 10000 --width 12 --write 5000")
  for name, part in pairs{ [data .. "_classifier"] = ("--run {%s}"):format(data),
    [data .. "_real"] = "--control none --images 60000" } do
    labelled[#labelled + 1] = measure(name, "sample_quality", ("--classify --data %s %s"):format(
      data, part), "--epochs 2 --images 5000")
  end
  labelled.bars[#labelled.bars + 1] = { value = data .. "_classifier.accuracy",
    text = data .. ": right test images, %", must = data == "mnist" and 97 or 80,
    target = data == "mnist" and 98 or nil, test = 30 }
  labelled.bars[#labelled.bars + 1] = { value = data .. "_real.accuracy",
    text = data .. ": beside it, trained on real images", must = data == "mnist" and 98 or 88,
    test = 60 }
end
table.sort(labelled, function(a, b) return a.name < b.name end) -- generate, then classify
labelled[#labelled + 1] = measure("shuffled", "sample_quality",
  "--classify --data mnist --control shuffled --epochs 1", "--images 5000")
labelled.bars[#labelled.bars + 1] = { value = "shuffled.accuracy", below = true, must = 60,
  test = 60, text = "control, labels shuffled: %" }
for control, bar in pairs{
  blurred = { value = "blurred.to_blurred", must = 1.2, test = 1.2,
    text = "control, images blurred twice: / that of blurred" },
  memorised = { value = "memorised.coverage", below = true, must = 0.75, test = 0.75,
    text = "control, 500 images over and over: coverage" },
} do
  images[#images + 1] = measure(control, "sample_quality", "--data mnist --control " .. control,
    "--epochs 1 --images 2000")
  images.bars[#images.bars + 1] = bar
end

for _, name in ipairs{ "minimax", "non_saturating", "least_squares", "hinge", "wgan", "wgan_gp" } do
  objectives[#objectives + 1] = example(name, "gan_compare", ("--data mnist --only %s --epochs %d "
    .. "--write 10000"):format(name, name == "wgan" and 60 or 30),
    "--epochs 3 --images 8000 --width 16 --lr 1e-3 --write 1000 --samples 1000")
  objectives[#objectives + 1] = quality(name, "mnist", "/" .. name)
  image_bars(objectives, name)
end

-- ---- detector, style ------------------------------------------------------------------------

local detector = { id = "G11", title = "does it belong? Digits and clothes; clean, noisy signals",
  minutes = 30, seeds = 3,
  example("images", "detector", "--data mnist --epochs 2", "--images 10000"),
  example("signals", "detector", "--data signals --epochs 20", "--epochs 3 --images 10000"),
  example("untrained", "detector", "--data signals --epochs 1 --steps 1", ""),
  bars = {
    { value = "images.discriminator", text = "digits from clothes, area under the curve",
      must = 0.97, test = 0.9 },
    { value = "signals.discriminator", text = "clean from noisy signals", must = 0.95,
      test = 0.7 },
    { value = "images.autoencoder", text = "beside it, an auto-encoder: digits", must = 0.9,
      test = 0.8 },
    { value = "untrained.discriminator", text = "control, untrained", below = true, must = 0.8,
      test = 0.8 },
  } }

local style = { id = "G12", title = "a style-based generator at 32 x 32 against the DCGAN, equal "
  .. "time (StyleGAN, Table 1)", minutes = 60, seeds = 1, bars = {},
  example("style", "style_gan", "--data mnist --width 16 --write 10000", "--epochs 1 --images 2000 "
    .. "--width 4 --minutes 0.5 --write 1000"),
  quality("style", "mnist"),
  example("dcgan", "dcgan", "--data mnist --epochs 25 --write 10000", "--epochs 1 --images 2000 "
    .. "--width 8 --minutes 0.5 --write 1000"),
  quality("dcgan", "mnist"),
  derived = { ratio = function(v)
    return v["style_quality.frechet"] / v["dcgan_quality.frechet"]
  end },
}
style[1].minutes, style[3].minutes = 26, 26
style.bars = {
  { value = "ratio", text = "Frechet distance / the DCGAN's", below = true, must = 1, test = 20 },
  { value = "style_quality.pictures", text = "pictures: samples, mixing, truncation", must = 3,
    test = 3 },
}

Table.run{ title = "Trains adversarial nets and compares them with what is published.",
  name = "gans", rows = { ring, grid, stacked, truth, claims, vanishing, images, objectives,
  labelled, unrolled, detector, style } }
