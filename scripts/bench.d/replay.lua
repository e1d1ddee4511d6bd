-- The equality check of `scripts/bench train`: a workload begins with the peer's weights, sees its
-- data, draws its random numbers, and must have its losses.

local gan = require "gan"

--- From here on gan.randn and gan.rand give the recorded numbers, whatever they are asked for.
local function replay_noise(state)
  local i = 0
  local function draw(...)
    i = i + 1
    local given, sizes = state["noise." .. i], { ... }
    sizes = type(sizes[1]) == "table" and sizes[1] or sizes
    local recorded = assert(given, "more random numbers than the peer drew"):shape()
    assert(table.concat(recorded, " x ") == table.concat(sizes, " x "), "other random numbers")
    return given
  end
  gan.randn, gan.rand = draw, draw
end

local function load_weights(w, state)
  for name, net in pairs(w.nets) do
    local own = {}
    for key, t in pairs(state) do
      local rest = key:match("^" .. name .. "%.(.+)$")
      if rest then own[rest] = t end
    end
    net:load_state_dict(own)
  end
end

--- Losses of `steps` steps as rows of numbers.
local function losses_of(w, steps)
  local rows, i, n = {}, 0, w.data:size(1) // w.batch
  local function batch()
    i = i % n + 1
    return w.data:slice(1, (i - 1) * w.batch + 1, i * w.batch)
  end
  for k = 1, steps do
    rows[k] = gan.scope(function()
      local list = {}
      for b = 1, w.batches do list[b] = batch() end
      local row = table.pack(w.step(table.unpack(list)))
      for j = 1, row.n do row[j] = row[j]:item() end
      return row
    end)
  end
  return rows
end

--- The largest difference of a loss in all steps and in the last one, as shares of the largest
-- value that this loss took: a Wasserstein loss passes through zero.
local function difference(rows, theirs)
  local scale, worst, last = {}, 0, 0
  for j = 1, theirs:size(2) do
    scale[j] = theirs:select(2, j):abs():amax():item()
  end
  for i, row in ipairs(rows) do
    last = 0
    for j, ours in ipairs(row) do
      local d = math.abs(ours - theirs[i][j]:item()) / scale[j]
      last = d > last and d or d ~= d and math.huge or last
    end
    worst = math.max(worst, last)
  end
  return worst, last
end

--- How far the training led the weights of a net apart, as a share of how far it led them: the
-- largest share of all nets. Losses of young nets forgive much, this does not.
local function apart(w, state)
  local worst = 0
  for name, net in pairs(w.nets) do
    local between, moved = 0, 0
    for key, p in net:named_parameters() do
      local theirs, before = state["after." .. name .. "." .. key], state[name .. "." .. key]
      between = between + (p:detach() - theirs):square():sum():item()
      moved = moved + (theirs - before):square():sum():item()
    end
    worst = math.max(worst, math.sqrt(between / moved))
  end
  return worst
end

--- Adam's learning rates become `scale` times what the workload asks for.
local function scale_rates(scale)
  local Adam = gan.optim.Adam
  gan.optim.Adam = function(given)
    given.lr = given.lr * scale
    return Adam(given)
  end
end

--- Runs a workload on the file of the peer; returns its name and the differences.
return function(name, build, opt)
  scale_rates(opt.lr_scale)
  local w = build()
  local state = assert(gan.files.load_safetensors(opt.replay))
  load_weights(w, state)
  local result = { workload = name, threads = gan.threads() }
  if w.codes then
    w.codes:copy_(state.codes)
    local theirs, ours = state.output, w.step()
    local worst = ((ours - theirs):abs():amax() / theirs:abs():amax()):item()
    result.worst_difference, result.last_difference = worst, worst
    return result
  end
  w.data = state.data
  replay_noise(state)
  if opt.compile then w.step = gan.compile(w.step) end
  local rows = losses_of(w, state.losses:size(1))
  result.worst_difference, result.last_difference = difference(rows, state.losses)
  result.weights_difference = apart(w, state)
  return result
end
