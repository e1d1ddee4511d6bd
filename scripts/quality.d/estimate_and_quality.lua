-- Row G5: does the critic's estimate follow the quality of the samples? Reads the log and the
-- images that examples/wgan_gp.lua (or wgan.lua) wrote after every epoch; the rank correlation
-- (Spearman) of the estimate with the Frechet distance on features of a classifier of ours. The
-- first epoch is left out: what a critic says that has not been trained yet is no estimate.

local gan = require "gan"
local judge = dofile "scripts/quality.d/judge.lua"

local opt = gan.opts{
  "Compares a critic's estimates with the quality of samples, epoch by epoch.",
  {"run", "", "the run folder"},
  {"data", "mnist", "what was learnt", choices = {"fashion_mnist", "mnist"}},
  {"epochs", 6, "passes over the images for the classifier"},
  {"seed", 1, "start of the random numbers"},
  {"out", "runs/estimate_and_quality", "run folder"},
  {"resume", false, "start again in that folder: it takes a minute"},
}
if not opt then return end
local run = gan.report.run{opt.out, options = opt}

--- The place of each number in the order of all.
local function ranks(list)
  local order, result = {}, {}
  for i in ipairs(list) do order[i] = i end
  table.sort(order, function(a, b) return list[a] < list[b] end)
  for place, i in ipairs(order) do result[i] = place + 0.0 end
  return result
end

local function rank_correlation(a, b)
  a, b = gan.tensor(ranks(a)), gan.tensor(ranks(b))
  a, b = a - a:mean(), b - b:mean()
  return ((a * b):sum() / (a:norm() * b:norm())):item()
end

local net = judge.of(opt.data, opt.epochs)
local test = assert(gan.data[opt.data]{split = "test"}).images
local estimates, distances, real = {}, {}, nil
for line in io.lines(opt.run .. "/metrics.jsonl") do
  local entry = assert(gan.json.decode(line))
  if entry.epoch and entry.epoch > 1 then
    local path = ("%s/generated-%03d.npz"):format(opt.run, entry.epoch)
    local images = assert(gan.data.npz(path)).images
    real = real or judge.features(net, test:slice(1, 1, #images))
    local i = #estimates + 1
    estimates[i] = entry.distance
    distances[i] = gan.metrics.frechet(real, judge.features(net, images))
    print(("epoch %d: estimate %.5f, Frechet distance %.3f"):format(entry.epoch, estimates[i],
      distances[i]))
  end
end
-- the epochs half a training later: what the measure says where there is nothing to follow
local shifted, n = {}, #distances
for i = 1, n do
  shifted[i] = distances[(i + n // 2 - 1) % n + 1]
end
run:result{rank_correlation = rank_correlation(estimates, distances),
  shifted = rank_correlation(estimates, shifted)}
print(("rank correlation %.3f"):format(rank_correlation(estimates, distances)))
