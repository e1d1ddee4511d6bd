--- gan.metrics: how near one set of samples is to another, how good what was learnt is, and the
-- baselines to compare it with.
--
--     metrics.wasserstein_1d(a, b)      exact, of numbers
--     metrics.emd(a, b)                 exact, of small sets of vectors
--     metrics.sliced_wasserstein(a, b)  over random directions
--     metrics.mixture(x, {centers=, std=})   modes found, quality, KL on a mixture of Gaussians
--     metrics.label_modes(labels, {classes=})   the same from the labels of a classifier
--     metrics.classify(net, images)     labels and probabilities
--     metrics.features(net, images)     what a net makes of images, one row each
--     metrics.frechet(a, b)  metrics.kid(a, b)   distances of features
--     metrics.prdc(real, fake)          precision, recall, density, coverage
--     metrics.one_nn(real, fake)        1-nearest-neighbour two-sample test
--     metrics.nearest(x, data)          the nearest rows of a data set
--     metrics.memorisation(fake, train, held_out)   are they copies?
--     metrics.auroc(inside, outside)    of a detector's scores
--     metrics.pca(x, k)                 principal components, and probabilistic ones
--     metrics.linear_map(x, y)          least squares: the best linear denoiser, for instance
--     metrics.summed_error(y, t)  metrics.psnr(y, t)     errors of images
--     metrics.linear_probe{...}         a linear classifier on features
--     metrics.classifier{...}           a small classifier of images, to judge samples by
--     metrics.precision_at_1(queries, candidates)        of translations
--     metrics.ngram_vectors(lists)      words by the letters they share
--     metrics.rouge(text, reference)    of summaries
--
-- Samples are rows (N, ...); more dimensions are flattened. Nothing here has a gradient. What takes
-- long draws a progress bar where there is a terminal; {quiet = true} keeps it away. What is drawn
-- at random depends on option `seed` only, and leaves the generator as it was.

local metrics = {}

for _, part in ipairs{ "transport", "modes", "features", "neighbours", "linear", "image",
  "probe", "retrieval", "rouge" } do
  for name, f in pairs(require("gan.metrics." .. part)) do
    metrics[name] = f
  end
end

return metrics
