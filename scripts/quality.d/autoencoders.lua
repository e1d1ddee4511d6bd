-- The table of auto-encoders. Errors are sums over the 784 pixels of the squared error, averaged
-- over the test images; bars come from the publications that are named.

local Table = dofile "scripts/quality.d/table.lua"

local function example(name, script, options, test)
  return { name = name, script = ("examples/%s.lua"):format(script), options = options,
    test = test }
end

-- A limit of minutes gives the training of each part its share of the budget; epochs are such that
-- two quiet cores need about half of it.
local function within(minutes, part)
  part.minutes = minutes
  return part
end

-- an optimiser that moves nothing: what an untrained net reaches
local UNTRAINED = " --lr 1e-12 --epochs 1 --images 500"
local FEW = "--epochs 2 --images 6000"

local BURDA = "--data mnist --compile --hidden 200 --code 50 --batch-size 100 --lr 2e-3 "
  .. "--samples 5000 "
local UNPOOL = "--data mnist --compile --epochs 6 --width 32 --channels 4"
local FEW_DRAWS = "--epochs 4 --images 20000 --samples 100"
local one_draw = within(32, example("vae", "vae", BURDA .. "--epochs 800", FEW_DRAWS))
one_draw.row = "A5"

local rows = {
  { id = "A1", title = "closed forms: principal components, probabilistic ones, least squares",
    minutes = 20, seeds = 1,
    within(15, { name = "linear", script = "scripts/quality.d/closed_forms.lua",
      options = "--compile --epochs 80", test = "--epochs 8 --images 20000" }),
    { name = "untrained", script = "scripts/quality.d/closed_forms.lua", options = UNTRAINED },
    bars = {
      { value = "linear.worst_error", text = "error above that of principal components (share)",
        below = true, must = 0.005, test = 0.1 },
      { value = "linear.nats", text = "nats from probabilistic principal components", below = true,
        must = 1, test = 60 },
      { value = "linear.decibels", text = "dB from ridge regression", below = true,
        must = 0.05, test = 2 },
      { value = "untrained.worst_error", text = "control, untrained: error above", must = 1,
        test = 1 },
    } },

  { id = "A2", title = "deep auto-encoder 784-1000-500-250-30 (Hinton, Salakhutdinov 2006: 3.00)",
    minutes = 30, seeds = 1,
    within(25, example("deep", "autoencoder", "--data mnist --compile --shift 1 --epochs 150",
      "--epochs 2 --images 30000")),
    example("untrained", "autoencoder", "--data mnist" .. UNTRAINED),
    bars = {
      { value = "deep.error", text = "error", below = true, must = 3, target = 2.55, stretch = 2.28,
        test = 10 },
      { value = "untrained.error", text = "control, untrained: error", must = 40, test = 40 },
    } },

  { id = "A3", title = "layer-wise pre-training of sigmoid units from small weights", minutes = 30,
    seeds = 1,
    within(13, example("with", "pretraining", "--data mnist --compile --epochs 44 "
      .. "--layer-epochs 4 --eps 1e-2", "--epochs 8 --layer-epochs 1 --images 20000")),
    within(13, example("without", "pretraining", "--data mnist --compile --epochs 44 "
      .. "--no-pretrain --eps 1e-2", "--epochs 8 --images 20000")),
    derived = { gain = function(v) return v["without.error"] - v["with.error"] end },
    bars = {
      { value = "with.error", text = "with pre-training: error", below = true, must = 4,
        test = 25 },
      { value = "without.error", text = "control, without: error", must = 25, test = 45 },
      { value = "gain", text = "error without less error with", must = 21, test = 25 },
    } },

  { id = "A4", title = "denoising and super-resolution, dB against the best linear map",
    minutes = 150, seeds = 3, bars = {} }, -- filled below: ten parts of 15 minutes

  { id = "A5", title = "variational auto-encoder (Burda et al. 2016, k = 1: 86.76 nats)",
    minutes = 45,
    seeds = 1,
    one_draw,
    example("untrained", "vae", "--data mnist --hidden 200 --code 50 --samples 50" .. UNTRAINED),
    bars = {
      { value = "vae.nll", text = "-ln p of a test image, nats", below = true, must = 88.5,
        target = 87.8, stretch = 86.8, test = 160 },
      { value = "untrained.nll", text = "control, untrained: nats", must = 300, test = 300 },
    } },

  { id = "A6", title = "importance-weighted auto-encoder (Burda et al. 2016, k = 5: 85.54 nats)",
    minutes = 60, seeds = 1,
    within(45, example("iwae", "vae", BURDA .. "--iwae 5 --epochs 300", FEW_DRAWS)),
    one_draw, -- row A5's
    example("untrained", "vae", "--data mnist --hidden 200 --code 50 --samples 50" .. UNTRAINED),
    derived = {
      gain = function(v) return v["vae.nll"] - v["iwae.nll"] end,
      -- the bounds of 1, 5, 50 and all draws, from the loosest: the smallest step between them
      step = function(v)
        return math.min(v["iwae.bound"] - v["iwae.bound_5"],
          v["iwae.bound_5"] - v["iwae.bound_50"], v["iwae.bound_50"] - v["iwae.nll"])
      end,
    },
    bars = {
      { value = "iwae.nll", text = "-ln p of a test image, nats", below = true, target = 86.3,
        stretch = 85.54, test = 160 },
      { value = "gain", text = "nats under row A5", must = 0.7, test = -10 },
      { value = "step", text = "bounds of 1, 5, 50, all draws in order, by", must = 0, test = 0 },
      { value = "untrained.nll", text = "control, untrained: nats", must = 300, test = 300 },
    } },

  { id = "A7", title = "sparse features (winner-take-all, Makhzani and Frey 2015: 1.20 %)",
    minutes = 12,
    seeds = 3,
    within(8, example("sparse", "sparse", "--data mnist --compile --epochs 50 "
      .. "--copies 2 --probe-epochs 10", FEW)),
    bars = {
      { value = "sparse.error", text = "wrong test images (share)", below = true, must = 0.02,
        target = 0.014, stretch = 0.012, test = 0.08 },
      { value = "sparse.untrained", text = "control, untrained features: wrong", must = 0.025,
        test = 0.06 },
    } },

  { id = "A8", title = "tied weights against untied ones", minutes = 10, seeds = 3,
    within(8, example("tied", "tied", "--data mnist --compile --epochs 60 --images 5000",
      "--epochs 8 --images 5000")),
    derived = {
      parameters = function(v) return v["tied.tied_parameters"] / v["tied.untied_parameters"] end,
      error = function(v) return v["tied.tied"] / v["tied.untied"] end,
      gap = function(v) return v["tied.untied_gap"] - v["tied.tied_gap"] end,
    },
    bars = {
      { value = "parameters", text = "parameters (share)", below = true, must = 0.505,
        test = 0.505 },
      { value = "error", text = "test error (ratio)", below = true, must = 1.15, test = 1.3 },
      { value = "gap", text = "how much smaller the gap to training is", must = 0 },
    } },

  { id = "A9", title = "unpooling: remembered positions, fixed corner, nearest", minutes = 20,
    seeds = 3,
    within(6, example("positions", "conv_autoencoder", UNPOOL, FEW)),
    within(6, example("corner", "conv_autoencoder", UNPOOL .. " --unpool corner", FEW)),
    within(6, example("nearest", "conv_autoencoder", UNPOOL .. " --unpool nearest", FEW)),
    derived = { ratio = function(v)
      return math.min(v["corner.error"], v["nearest.error"]) / v["positions.error"]
    end },
    bars = {
      { value = "ratio", text = "error without positions / with", must = 3, test = 1.5 },
      { value = "positions.error", text = "error with positions", below = true, must = 3,
        test = 10 },
      { value = "nearest.error", text = "control, nearest: error", must = 4, test = 8 },
    } },

  { id = "A10", title = "two views, halves of digits (CorrNet: 77.05, 78.81 %, correlation 42.57)",
    minutes = 15, seeds = 3,
    within(6, { name = "two", script = "scripts/quality.d/two_views.lua", options = "--compile",
      test = FEW }),
    within(6, { name = "three", script = "scripts/quality.d/two_views.lua",
      options = "--compile --views 3", test = FEW }),
    { name = "untrained", script = "scripts/quality.d/two_views.lua", options = UNTRAINED },
    bars = {
      { value = "two.from_1_to_2", text = "left to right, %", must = 77.05, target = 88.79,
        stretch = 92, test = 30 },
      { value = "two.from_2_to_1", text = "right to left, %", must = 78.81, target = 89.64,
        stretch = 92, test = 30 },
      { value = "two.correlation", text = "sum of the correlations", must = 42.57, test = 30 },
      { value = "three.worst", text = "three views, the worst way, %", must = 40, test = 15 },
      { value = "untrained.worst", text = "control, untrained: %", below = true, must = 30,
        test = 30 },
    } },

  { id = "A11", title = "translation of words, against common letter groups", minutes = 20,
    seeds = 3,
    bars = {}, derived = {} }, -- filled below

  { id = "A12", title = "compression to 30 bytes an image, against principal components",
    minutes = 30,
    seeds = 1,
    within(25, example("codec", "compression", "--data mnist --compile --epochs 120",
      "--epochs 3 --images 20000")),
    example("untrained", "compression", "--data mnist" .. UNTRAINED),
    derived = { gain = function(v) return v["codec.psnr"] - v["codec.pca_psnr"] end },
    bars = {
      { value = "codec.bytes", text = "bytes of an image, header included", below = true,
        must = 30.01, test = 30.01 },
      { value = "gain", text = "dB better", must = 5, test = 0.5 },
      { value = "untrained.psnr", text = "control, untrained: dB", below = true, must = 13,
        test = 13 },
    } },

  { id = "A13", title = "summaries of manual pages, ROUGE-1 against their NAME line", minutes = 30,
    seeds = 3,
    within(25, example("pages", "summarize", "--compile", "--epochs 3")),
    derived = {
      over_random = function(v) return v["pages.codes"] - v["pages.random"] end,
      over_centroid = function(v) return v["pages.codes"] - v["pages.centroid"] end,
    },
    bars = {
      { value = "over_random", text = "points over a random sentence", must = 3, test = 1 },
      { value = "over_centroid", text = "points over the centroid of words", must = 0,
        test = -1.5 },
      { value = "pages.lead", text = "beside it, the first sentence", must = 0, test = 0 },
      { value = "pages.stranger", text = "control, another page's summary", below = true, must = 12,
        test = 12 },
    } },
}

-- the languages of A11 and the tasks of A4 are alike
for _, row in ipairs(rows) do
  if row.id == "A11" then
    for _, language in ipairs{ "spa", "fra", "deu" } do
      row[#row + 1] = within(6, example(language, "dual_translation", "--compile --language "
        .. language, "--epochs 4"))
      row.derived[language] = function(v)
        return v[language .. ".precision"] - v[language .. ".ngrams"]
      end
      row.bars[#row.bars + 1] = { value = language,
        text = "precision at 1 over letters, " .. language,
        must = 0.05, target = 0.1, test = -0.02 }
    end
  elseif row.id == "A4" then
    row.derived = {}
    for _, data in ipairs{ "mnist", "fashion_mnist" } do
      local more = data == "mnist" and 1 or 0.6
      local function add(name, part, target)
        name, part.minutes = data .. "_" .. name, 13
        part.name, row[#row + 1] = name, part
        row.derived[name] = function(v) return v[name .. ".psnr"] - v[name .. ".linear"] end
        row.bars[#row.bars + 1] = { value = name, text = "dB over the linear map, " .. name,
          must = more, test = name:find "x4" and -1 or 0 }
        if data == "mnist" then
          row.bars[#row.bars + 1] = { value = name .. ".psnr", text = "dB, " .. name,
            target = target }
        end
      end
      local common = "--compile --data " .. data
      local denoise, less = common .. " --epochs 8", FEW .. " --width 16"
      local enlarge = common .. " --epochs 6"
      add("gauss_25", example("", "denoising", denoise .. " --level 0.25", less), 25)
      add("gauss_50", example("", "denoising", denoise .. " --level 0.5", less), 21)
      add("masked", example("", "denoising", denoise .. " --noise masking", less), 23.5)
      add("x2", example("", "dual_superresolution", enlarge, FEW), 25.5)
      add("x4", example("", "dual_superresolution", enlarge .. " --factor 4", FEW), 19)
    end
    row[#row + 1] = example("untrained", "denoising", "--data mnist" .. UNTRAINED)
    row.derived.worse = function(v) return v["untrained.linear"] - v["untrained.psnr"] end
    row.bars[#row.bars + 1] = { value = "worse", text = "control, untrained: dB under the map",
      must = 3, test = 1 }
  end
end

Table.run{ title = "Trains auto-encoders and compares them with what is published.",
  name = "autoencoders", rows = rows }
