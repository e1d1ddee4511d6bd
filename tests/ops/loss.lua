-- Cases of runtime/ops/loss.c, loss_class.c and loss_vector.c: see tests/case.lua.
local t = require "tests.case"

local nan = 0 / 0

-- the reductions of a loss of two tensors, on shapes of 2, 0 and 3 dimensions, and nothing
local function pairs_of(f, make_x, make_t, options)
  local list, extra = {}, ""
  for k, v in pairs(options or {}) do
    local shown = type(v) == "boolean" and (v and "True" or "False") or tostring(v)
    extra = extra .. (", %s=%s"):format(k, shown)
  end
  local function add(sizes, reduction)
    local o = {}
    for k, v in pairs(options or {}) do o[k] = v end
    o.reduction = reduction
    list[#list + 1] = { make_x(sizes), make_t(sizes), o,
      torch = ("F.%s(a, b, reduction='%s'%s)"):format(f, reduction or "mean", extra) }
  end
  add({ 3, 5 })
  add({ 3, 5 }, "none")
  add({ 2, 3, 4 }, "sum")
  add({})
  add({ 0, 3 }, "sum")
  add({ 0 }, "none")
  return list
end

local function randn(s) return t.randn{ table.unpack(s) } end
local function probabilities(s) return t.uniform{ lo = 0.1, hi = 0.9, table.unpack(s) } end

local function join(...)
  local all = {}
  for _, list in ipairs{ ... } do
    for _, c in ipairs(list) do all[#all + 1] = c end
  end
  return all
end

local signs = t.values{ { 1, -1, 1 }, { -1, -1, 1 } }

return {
  mse_loss = join(pairs_of("mse_loss", randn, randn), {
    { t.randn{70, 80}, t.randn{70, 80}, torch = "F.mse_loss(a, b)", grad = false },
    { t.randn{0}, t.randn{0}, torch = "F.mse_loss(a, b)", smooth = false }, -- NaN
    { t.values{ nan, 1 }, t.values{ 0, 0 }, { reduction = "none" },
      torch = "F.mse_loss(a, b, reduction='none')", smooth = false },
  }),
  l1_loss = join(pairs_of("l1_loss", randn, randn), {
    { t.values{ 1, 2, 3 }, t.values{ 1, 5, 0 }, torch = "F.l1_loss(a, b)", smooth = false },
  }),
  smooth_l1_loss = join(pairs_of("smooth_l1_loss", randn, randn, { beta = 0.75 }), {
    { t.randn{3, 5}, t.randn{3, 5}, torch = "F.smooth_l1_loss(a, b)" },
    { t.randn{3, 5}, t.randn{3, 5}, { beta = 0 }, torch = "F.smooth_l1_loss(a, b, beta=0.0)" },
    { t.values{ 1, -1, 0 }, t.values{ 0, 0, 0 }, { reduction = "none" },
      torch = "F.smooth_l1_loss(a, b, reduction='none')", smooth = false, second = false }, -- kink
  }),
  huber_loss = join(pairs_of("huber_loss", randn, randn, { delta = 0.75 }), {
    { t.randn{3, 5}, t.randn{3, 5}, torch = "F.huber_loss(a, b)" },
  }),
  bce_loss = join(pairs_of("binary_cross_entropy", probabilities, probabilities), {
    { t.uniform{3, 2, lo = 0.1, hi = 0.9}, t.uniform{3, 2}, t.uniform{3, 2},
      torch = "F.binary_cross_entropy(a, b, c)", wrt = { 1, 2 } },
    { t.uniform{3, 2, lo = 0.1, hi = 0.9}, t.uniform{3, 2}, t.uniform{2}, { reduction = "none" },
      torch = "F.binary_cross_entropy(a, b, c, reduction='none')", wrt = { 1, 2 } },
    { t.values{ 0, 1, 0, 1, 0.5 }, t.values{ 0, 1, 1, 0, 0.5 }, { reduction = "none" },
      torch = "F.binary_cross_entropy(a, b, reduction='none')", smooth = false, second = false,
      wrt = { 1 } }, -- the clamped ends
  }),
  bce_with_logits = join(pairs_of("binary_cross_entropy_with_logits", randn, probabilities), {
    { t.randn{3, 2}, t.uniform{3, 2}, t.uniform{3, 1},
      torch = "F.binary_cross_entropy_with_logits(a, b, c)", wrt = { 1, 2 } },
    { t.randn{3, 2}, t.uniform{3, 2}, t.none, t.uniform{2, lo = 0.5, hi = 3},
      torch = "F.binary_cross_entropy_with_logits(a, b, pos_weight=c)", wrt = { 1, 2 } },
    { t.randn{3, 2}, t.uniform{3, 2}, t.uniform{3, 2}, t.uniform{2, lo = 0.5, hi = 3},
      { reduction = "none" }, wrt = { 1, 2 },
      torch = "F.binary_cross_entropy_with_logits(a, b, c, pos_weight=d, reduction='none')" },
    { t.values{ 1000, -1000, 1000, -1000, 0 }, t.values{ 0, 1, 1, 0, 0.5 }, { reduction = "none" },
      torch = "F.binary_cross_entropy_with_logits(a, b, reduction='none')" },
    { t.values{ 1000, -1000, 1000, -1000, 0.5 }, t.values{ 0, 1, 1, 0, 0.5 }, t.none, t.values{ 3 },
      torch = "F.binary_cross_entropy_with_logits(a, b, pos_weight=c)", wrt = { 1, 2 } },
  }),
  nll_loss = {
    { t.randn{4, 3}, t.labels{4, n = 3}, torch = "F.nll_loss(a, b)" },
    { t.randn{4, 3}, t.labels{4, n = 3}, { reduction = "none" },
      torch = "F.nll_loss(a, b, reduction='none')" },
    { t.randn{4, 3}, t.labels{4, n = 3}, t.uniform{3}, torch = "F.nll_loss(a, b, c)", wrt = { 1 } },
    { t.randn{4, 3}, t.values({ 1, 3, 2, 3 }, "int64"), t.uniform{3},
      { ignore_index = 3, reduction = "sum" }, wrt = { 1 },
      torch = "F.nll_loss(a, b, c, ignore_index=2, reduction='sum')" },
    { t.randn{4, 3}, t.values({ 1, 3, 2, 3 }, "int64"), { ignore_index = 3 },
      torch = "F.nll_loss(a, b, ignore_index=2)" },
    { t.randn{2, 3, 4, 2}, t.labels{2, 4, 2, n = 3}, torch = "F.nll_loss(a, b)" },
    { t.randn{2, 3, 4}, t.labels{2, 4, n = 3}, t.uniform{3}, { reduction = "none" },
      torch = "F.nll_loss(a, b, c, reduction='none')", wrt = { 1 } },
    { t.randn{3}, t.values(2, "int64"), torch = "F.nll_loss(a, b)" },
    { t.randn{0, 3}, t.labels{0, n = 3}, { reduction = "sum" },
      torch = "F.nll_loss(a, b, reduction='sum')" },
    { t.randn{2, 3}, t.values({ 2, 2 }, "int64"), { ignore_index = 2 },
      torch = "F.nll_loss(a, b, ignore_index=1)", smooth = false, grad = false },
  },
  cross_entropy = {
    { t.randn{4, 3}, t.labels{4, n = 3}, torch = "F.cross_entropy(a, b)" },
    { t.randn{4, 3}, t.labels{4, n = 3}, { reduction = "none" },
      torch = "F.cross_entropy(a, b, reduction='none')" },
    { t.randn{3, 45}, t.labels{3, n = 45}, { reduction = "sum" },
      torch = "F.cross_entropy(a, b, reduction='sum')" },
    { t.randn{4, 3}, t.labels{4, n = 3}, t.uniform{3}, torch = "F.cross_entropy(a, b, c)",
      wrt = { 1 } },
    { t.randn{4, 3}, t.values({ 1, 3, 2, 3 }, "int64"), { ignore_index = 3 },
      torch = "F.cross_entropy(a, b, ignore_index=2)" },
    { t.randn{4, 3}, t.labels{4, n = 3}, { label_smoothing = 0.2 },
      torch = "F.cross_entropy(a, b, label_smoothing=0.2)" },
    { t.randn{4, 3}, t.values({ 1, 3, 2, 3 }, "int64"), { label_smoothing = 0.2, ignore_index = 3 },
      torch = "F.cross_entropy(a, b, label_smoothing=0.2, ignore_index=2)" },
    { t.randn{4, 3}, t.values({ 1, 3, 2, 3 }, "int64"), t.uniform{3},
      { label_smoothing = 0.3, ignore_index = 1 }, wrt = { 1 },
      torch = "F.cross_entropy(a, b, c, label_smoothing=0.3, ignore_index=0)" },
    { t.randn{4, 3}, t.labels{4, n = 3}, t.uniform{3},
      { label_smoothing = 0.3, reduction = "none" }, wrt = { 1 },
      torch = "F.cross_entropy(a, b, c, label_smoothing=0.3, reduction='none')" },
    { t.randn{2, 3, 4, 2}, t.labels{2, 4, 2, n = 3}, torch = "F.cross_entropy(a, b)" },
    { t.randn{2, 3, 4}, t.labels{2, 4, n = 3}, t.uniform{3},
      { reduction = "none", label_smoothing = 0.1 }, wrt = { 1 },
      torch = "F.cross_entropy(a, b, c, reduction='none', label_smoothing=0.1)" },
    { t.randn{3}, t.values(2, "int64"), torch = "F.cross_entropy(a, b)" },
    { t.randn{0, 3}, t.labels{0, n = 3}, { reduction = "sum" },
      torch = "F.cross_entropy(a, b, reduction='sum')" },
    { t.values{ { 1000, -1000 }, { 1000, -1000 } }, t.values({ 1, 2 }, "int64"),
      { reduction = "none" }, torch = "F.cross_entropy(a, b, reduction='none')" },
  },
  cross_entropy_soft = {
    { t.randn{4, 3}, t.uniform{4, 3}, torch = "F.cross_entropy(a, b)" },
    { t.randn{4, 3}, t.uniform{4, 3}, { reduction = "none" },
      torch = "F.cross_entropy(a, b, reduction='none')" },
    { t.randn{2, 3, 4}, t.uniform{2, 3, 4}, { label_smoothing = 0.2 },
      torch = "F.cross_entropy(a, b, label_smoothing=0.2)" },
    { t.randn{2, 3, 4}, t.uniform{2, 3, 4}, t.uniform{3}, { reduction = "none" },
      torch = "F.cross_entropy(a, b, c, reduction='none')", wrt = { 1, 2 } },
    { t.randn{4, 3}, t.uniform{4, 3}, t.uniform{3}, { reduction = "sum", label_smoothing = 0.1 },
      torch = "F.cross_entropy(a, b, c, reduction='sum', label_smoothing=0.1)", wrt = { 1, 2 } },
    { t.randn{3}, t.uniform{3}, torch = "F.cross_entropy(a, b)" },
  },
  kl_div = join(pairs_of("kl_div", randn, probabilities),
    pairs_of("kl_div", randn, randn, { log_target = true }), {
    { t.randn{4, 3}, t.uniform{4, 3, lo = 0.1}, { reduction = "batchmean" },
      torch = "F.kl_div(a, b, reduction='batchmean')" },
    { t.randn{4}, t.values{ 0, 0.5, 0, 0.5 }, torch = "F.kl_div(a, b)", wrt = { 1 } },
  }),
  soft_margin_loss = {
    { t.randn{2, 3}, signs, torch = "F.soft_margin_loss(a, b)", wrt = { 1 } },
    { t.randn{2, 3}, signs, { reduction = "none" }, wrt = { 1 },
      torch = "F.soft_margin_loss(a, b, reduction='none')" },
    { t.randn{2, 3}, t.randn{2, 3}, { reduction = "sum" }, torch = "F.softplus(-a * b).sum()" },
    { t.randn{0}, t.randn{0}, { reduction = "sum" }, wrt = { 1 },
      torch = "F.soft_margin_loss(a, b, reduction='sum')" },
    { t.values{ 1000, -1000 }, t.values{ 1, 1 }, { reduction = "none" },
      torch = "F.softplus(-a * b)" }, -- F.soft_margin_loss overflows
  },
  hinge_embedding_loss = {
    { t.randn{2, 3}, signs, torch = "F.hinge_embedding_loss(a, b)", wrt = { 1 } },
    { t.randn{2, 3}, signs, { margin = 0.5, reduction = "none" }, wrt = { 1 },
      torch = "F.hinge_embedding_loss(a, b, margin=0.5, reduction='none')" },
    { t.randn{2, 3}, signs, { margin = 2, reduction = "sum" }, wrt = { 1 },
      torch = "F.hinge_embedding_loss(a, b, margin=2.0, reduction='sum')" },
    { t.values{ 0.5, 1 }, t.values{ -1, -1 }, { reduction = "none" }, wrt = { 1 }, smooth = false,
      torch = "F.hinge_embedding_loss(a, b, reduction='none')" },
  },
  margin_ranking_loss = {
    { t.randn{2, 3}, t.randn{2, 3}, signs, torch = "F.margin_ranking_loss(a, b, c)" },
    { t.randn{2, 3}, t.randn{2, 3}, signs, { margin = 0.5, reduction = "none" },
      torch = "F.margin_ranking_loss(a, b, c, margin=0.5, reduction='none')" },
    { t.randn{3}, t.randn{3}, t.values{ 1, -1, 1 }, { margin = 0.5, reduction = "sum" },
      torch = "F.margin_ranking_loss(a, b, c, margin=0.5, reduction='sum')" },
    { t.randn{0}, t.randn{0}, t.randn{0}, { reduction = "sum" },
      torch = "F.margin_ranking_loss(a, b, c, reduction='sum')" },
  },
  cosine_embedding_loss = {
    { t.randn{4, 3}, t.randn{4, 3}, t.values{ 1, -1, 1, -1 },
      torch = "F.cosine_embedding_loss(a, b, c)", wrt = { 1, 2 } },
    { t.randn{4, 3}, t.randn{4, 3}, t.values{ 1, -1, 1, -1 }, { margin = -0.5, reduction = "none" },
      torch = "F.cosine_embedding_loss(a, b, c, margin=-0.5, reduction='none')", wrt = { 1, 2 } },
    { t.randn{4, 3}, t.randn{4, 3}, t.values{ 1, -1, 1, -1 }, { margin = -0.5, reduction = "sum" },
      torch = "F.cosine_embedding_loss(a, b, c, margin=-0.5, reduction='sum')", wrt = { 1, 2 } },
    { t.randn{3}, t.randn{3}, t.values(1), torch = "F.cosine_embedding_loss(a, b, c)",
      wrt = { 1, 2 } },
  },
  cosine_similarity = {
    { t.randn{4, 3}, t.randn{4, 3}, torch = "F.cosine_similarity(a, b)" },
    { t.randn{4, 3}, t.randn{4, 3}, 1, torch = "F.cosine_similarity(a, b, 0)" },
    { t.randn{2, 3, 4}, t.randn{2, 3, 4}, { dim = -1, eps = 1e-4 },
      torch = "F.cosine_similarity(a, b, -1, 1e-4)" },
    { t.randn{4, 1, 3}, t.randn{2, 3}, { dim = 3 }, torch = "F.cosine_similarity(a, b, 2)" },
    { t.randn{3}, t.randn{3}, 1, torch = "F.cosine_similarity(a, b, 0)" },
    { t.randn{0, 3}, t.randn{0, 3}, torch = "F.cosine_similarity(a, b)" },
  },
  poisson_nll_loss = join(pairs_of("poisson_nll_loss", randn, probabilities),
    pairs_of("poisson_nll_loss", probabilities, probabilities, { log_input = false }), {
    { t.uniform{3, lo = 0.1}, t.uniform{3}, { log_input = false, eps = 0.5 },
      torch = "F.poisson_nll_loss(a, b, log_input=False, eps=0.5)" },
  }),
  gaussian_nll_loss = {
    { t.randn{3, 4}, t.randn{3, 4}, t.uniform{3, 4, lo = 0.2, hi = 2},
      torch = "F.gaussian_nll_loss(a, b, c)" },
    { t.randn{3, 4}, t.randn{3, 4}, t.uniform{3, 1, lo = 0.2, hi = 2}, { reduction = "none" },
      torch = "F.gaussian_nll_loss(a, b, c, reduction='none')" },
    { t.randn{3, 4}, t.randn{3, 4}, t.uniform{3, lo = 0.2, hi = 2},
      { reduction = "sum", full = true },
      torch = "F.gaussian_nll_loss(a, b, c, full=True, reduction='sum')" },
    { t.randn{3}, t.randn{3}, t.values{ 0.5, 0, 1e-9 }, { eps = 0.01 }, wrt = { 1, 2 },
      torch = "F.gaussian_nll_loss(a, b, c, eps=0.01)" },
  },
}
