-- Several languages, each with an encoder and a decoder; the codes of words that mean the same come
-- to agree: loss = reconstruction in each language + distance of the codes of every pair. A word is
-- translated by encoding it in one language and decoding it in another, or looking for the nearest
-- code among known words.
--
--   scripts/fetch-data freedict
--   gan-lua examples/multi_translation.lua --out runs/multi_translation

local gan = require "gan"
local nn, optim, loss = gan.nn, gan.optim, gan.loss

local opt = gan.opts{
  "Trains auto-encoders of words in several languages with codes in common.",
  {"languages", "spa,fra,deu", "beside English, in a list with commas"},
  {"held_out", 1000, "words that training does not see"},
  {"pairs", 8000, "words to train on, at most"},
  {"code", 1024, "width of the codes"},
  {"distance", 0.1, "weight of the distance of the codes"},
  {"reconstruction", 0.005, "weight of the error of the letters"},
  {"contrast", 1.0, "weight of telling the words of a batch apart; the lecture's loss has 0"},
  {"temperature", 0.05, "of the contrast"},
  {"epochs", 25, "passes over the training words"},
  {"batch_size", 256, "words in a batch"},
  {"lr", 1e-3, "learning rate"},
  {"start", 0.05, "standard deviation of the first weights"},
  {"dropout", 0.5, "share of a word's letter groups that its encoder does not see"},
  run = "runs/multi_translation",
}
if not opt then return end
gan.manual_seed(opt.seed)

-- ---- words that all the dictionaries have, as vectors of letter groups and as letters -----------

local LETTERS = 16
local names, words, known = {"eng"}, {}, {}
for name in opt.languages:gmatch "%a+" do
  names[#names + 1] = name
  for _, pair in ipairs(assert(gan.data.freedict{name, longest = LETTERS})) do
    known[pair[1]] = known[pair[1]] or {}
    known[pair[1]][name] = pair[2]
    known[pair[1]].eng = pair[1]
  end
end
local english = {}
for word, found in pairs(known) do
  local all = true
  for _, name in ipairs(names) do
    all = all and found[name] ~= nil
  end
  english[#english + 1] = all and word or nil
end
table.sort(english)
local order, n = gan.randperm(#english):totable(), math.min(#english, opt.pairs + opt.held_out)
for i, name in ipairs(names) do
  words[i] = {}
  for k = 1, n do
    words[i][k] = known[english[order[k]]][name]
  end
end
local split = n - opt.held_out
assert(split > 0, "there are fewer words than are to be held out")
local letters, alphabet = gan.data.letters(words, LETTERS) -- the first is the end of a word
local vectors = {gan.metrics.ngram_vectors(words, {least = 4})}

-- ---- one auto-encoder for each language ---------------------------------------------------------

local encoders, decoders, count = {}, {}, #alphabet
for i = 1, #names do
  encoders[i] = nn.Sequential{nn.Dropout{opt.dropout}, nn.Linear{vectors[1]:size(2), opt.code}}
  gan.no_grad(function() -- all begin with the same map: words with letters in common are near
    encoders[i][2].weight:copy_(i == 1 and gan.randn_like(encoders[1][2].weight) * opt.start
      or encoders[1][2].weight)
  end)
  decoders[i] = nn.Sequential{nn.Linear{opt.code, 512}, nn.ReLU{}, nn.Linear{512, LETTERS * count},
    nn.Unflatten{2, {LETTERS, count}}}
end
local net = nn.MultiAutoencoder{encoders = encoders, decoders = decoders}
local adam = optim.Adam{net:parameters(), lr = opt.lr}
local schedule = optim.CosineLR{adam, steps = opt.epochs, floor = 0.05}

local function letter_error(scores, target) -- -sum of ln p of a word's letters
  return gan.cross_entropy(scores:flatten(1, 2), target:flatten()) * LETTERS * opt.reconstruction
end

local function step(...)
  local all = {...} -- the vectors of each language, then the letters of each
  local views, targets = table.move(all, 1, #names, 1, {}), table.move(all, #names + 1, #all, 1, {})
  local total, parts = loss.multi_view(net, views, {
    targets = targets, error = letter_error,
    distance = opt.distance / opt.code, contrast = opt.contrast,
    temperature = opt.temperature,
  })
  adam:zero_grad()
  total:backward()
  adam:step()
  return {loss = total, distance = parts.distance, reconstruction = parts.reconstruction}
end

local function training(x) return x:slice(1, 1, split) end
local function unseen(x) return x:slice(1, split + 1) end

local rows = {batch_size = opt.batch_size, shuffle = true, drop_last = true}
for i = 1, #names do
  rows[i], rows[#names + i] = training(vectors[i]), training(letters[i])
end

local function codes(i)
  return gan.metrics.features(net.encoders[i], unseen(vectors[i]), {quiet = true})
end
--- The share of held-out words of language i whose nearest code in language k is their own.
local function precision(i, k)
  return (gan.metrics.precision_at_1(codes(i), codes(k)))
end

local run = gan.report.run{opt.out, options = opt, resume = opt.resume}

local function after_epoch(_, _, part)
  schedule:reach(part)
  run:save(net)
  return {precision = precision(1, 2)}
end

gan.train.loop{
  epochs = opt.epochs, steps = opt.steps, minutes = opt.minutes, run = run,
  batches = gan.data.batches(rows), step = step, compile = opt.compile, after_epoch = after_epoch,
  state = {net = net, adam = adam, schedule = schedule},
}

-- ---- all pairs, beside the share that is found by common letter groups alone --------------------

local result = {trained_on = split, held_out = opt.held_out}
for i = 1, #names do
  for k = 1, #names do
    if i ~= k then
      local pair = names[i] .. "_" .. names[k]
      result[pair] = precision(i, k)
      result[pair .. "_ngrams"] = gan.metrics.precision_at_1(unseen(vectors[i]),
        unseen(vectors[k]))
      print(("%s to %s: %.1f %% of %d held-out words found, by common letters %.1f %%"):format(
        names[i], names[k], 100 * result[pair], opt.held_out, 100 * result[pair .. "_ngrams"]))
    end
  end
end
run:result(result)
print("metrics and weights are in " .. opt.out)
