-- Two auto-encoders, of English and of another language's words, whose codes come to agree: loss =
-- error of English + error of the other + distance of the two codes. A word is translated by
-- encoding it as English and decoding it as the other, or by the nearest code among known words.
--
--   scripts/fetch-data freedict
--   gan-lua examples/dual_translation.lua --language spa --out runs/dual_translation

local gan = require "gan"
local nn, optim, loss = gan.nn, gan.optim, gan.loss

local opt = gan.opts{
  "Trains dual auto-encoders of words; finds translations of words that training has not seen.",
  {"language", "spa", "beside English", choices = {"spa", "fra", "deu"}},
  {"held_out", 1000, "pairs that training does not see"},
  {"validate", false, "hold out pairs of the training part instead: to choose settings by"},
  {"pairs", 12000, "pairs to train on, at most"},
  {"code", 1024, "width of the codes"},
  {"distance", 0.1, "weight of the distance of the codes"},
  {"reconstruction", 0.005, "weight of the error of the letters"},
  {"contrast", 1.0, "weight of telling the words of a batch apart; the lecture's loss has 0"},
  {"temperature", 0.05, "of the contrast"},
  {"epochs", 25, "passes over the training pairs"},
  {"batch_size", 256, "pairs in a batch"},
  {"lr", 1e-3, "learning rate"},
  {"start", 0.05, "standard deviation of the first weights"},
  {"dropout", 0.5, "share of a word's letter groups that its encoder does not see"},
  run = "runs/dual_translation",
}
if not opt then return end
gan.manual_seed(opt.seed)

-- ---- words, as vectors of letter groups and as letters ------------------------------------------

local LETTERS = 16
local found = assert(gan.data.freedict{opt.language, longest = LETTERS})
local order, words = gan.randperm(#found):totable(), {{}, {}}
local n = math.min(#found, opt.pairs + opt.held_out) - (opt.validate and opt.held_out or 0)
for k = 1, n do
  words[1][k], words[2][k] = table.unpack(found[order[k]])
end
local split = #words[1] - opt.held_out -- training pairs come first
assert(split > 0, "there are fewer pairs than are to be held out")

local letters, alphabet = gan.data.letters(words, LETTERS) -- the first is the end of a word
local vectors = {gan.metrics.ngram_vectors(words, {least = 5})}

-- ---- the auto-encoders --------------------------------------------------------------------------

local function encoder()
  return nn.Sequential{nn.Dropout{opt.dropout}, nn.Linear{vectors[1]:size(2), opt.code}}
end
local function decoder()
  return nn.Sequential{
    nn.Linear{opt.code, 512}, nn.ReLU{}, nn.Linear{512, LETTERS * #alphabet},
    nn.Unflatten{2, {LETTERS, #alphabet}},
  }
end
local net = nn.MultiAutoencoder{
  encoders = {encoder(), encoder()}, decoders = {decoder(), decoder()},
}
-- both begin with the same map: words that have letters in common are near from the start
nn.init.normal_(net.encoders[1][2].weight, 0, opt.start)
net.encoders[2]:load_state_dict(net.encoders[1]:state_dict())
local adam = optim.Adam{net:parameters(), lr = opt.lr}
local schedule = optim.CosineLR{adam, steps = opt.epochs, floor = 0.05}

local function letter_error(scores, target) -- -sum of ln p of a word's letters
  return gan.cross_entropy(scores:flatten(1, 2), target:flatten()) * LETTERS * opt.reconstruction
end

local function step(english, other, english_letters, other_letters)
  local total, parts = loss.multi_view(net, {english, other}, {
    targets = {english_letters, other_letters}, error = letter_error,
    distance = opt.distance, contrast = opt.contrast,
    temperature = opt.temperature,
  })
  adam:zero_grad()
  total:backward()
  adam:step()
  return {loss = total, distance = parts.distance, reconstruction = parts.reconstruction}
end

local function training(x) return x:slice(1, 1, split) end
local function unseen(x) return x:slice(1, split + 1) end

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
  epochs = opt.epochs, steps = opt.steps, minutes = opt.minutes, run = run, step = step,
  compile = opt.compile,
  batches = gan.data.batches{
    training(vectors[1]), training(vectors[2]), training(letters[1]), training(letters[2]),
    batch_size = opt.batch_size, shuffle = true, drop_last = true,
  },
  after_epoch = after_epoch, state = {net = net, adam = adam, schedule = schedule},
}

net:eval()
local written = gan.no_grad(net.translate, net, unseen(vectors[1]):slice(1, 1, 8), 1, 2)
for k, line in ipairs(written:argmax(3):totable()) do
  for j, c in ipairs(line) do
    line[j] = alphabet[c]
  end
  print(("  %s is written %s; the dictionary says %s"):format(words[1][split + k],
    table.concat(line), words[2][split + k]))
end
local ngrams = gan.metrics.precision_at_1(unseen(vectors[1]), unseen(vectors[2]))
local result = {precision = precision(1, 2), back = precision(2, 1), ngrams = ngrams}
run:result(result)
print(("%.1f %% of %d held-out English words are nearest to their translation, %.1f %% the other "
  .. "way; by common letters alone %.1f %%"):format(100 * result.precision, opt.held_out,
  100 * result.back, 100 * ngrams))
print("metrics and weights are in " .. opt.out)
