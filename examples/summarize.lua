-- Extractive summaries: the encoder gives every sentence of a text, as a bag of words, a code; from
-- the code of one sentence the decoder restores the bag of the whole text. The summary is the
-- sentence from whose code this succeeds best:
--
--   argmin_s |decoder(encoder(s)) - mean of the text's sentences|^2
--
-- On manual pages, the line NAME is what a person wrote as a summary: ROUGE-1 says how far the two
-- agree.
--
--   scripts/fetch-data manpages
--   gan-lua examples/summarize.lua --out runs/summarize

local gan = require "gan"
local nn, optim, loss = gan.nn, gan.optim, gan.loss

local opt = gan.opts{
  "Trains an auto-encoder of sentences and summarises manual pages by their codes.",
  {"words", 1000, "of the vocabulary, the most frequent"},
  {"code", 64, "width of a sentence's code"},
  {"hidden", 512, "units between words and code"},
  {"drop", 0.6, "share of a sentence's words that the encoder does not see"},
  {"epochs", 8, "passes over the sentences"},
  {"batch_size", 128, "sentences in a batch"},
  {"lr", 1e-3, "learning rate"},
  {"validate", false, "summarise pages of the training part instead: to choose settings by"},
  {"pages", 10000, "use only so many pages"},
  run = "runs/summarize",
}
if not opt then return end
gan.manual_seed(opt.seed)

local pages = assert(gan.data.manual_pages())
local order, held_out = gan.randperm(#pages):totable(), {}
for i = 1, math.min(#pages // 3, 250) do
  -- their NAME lines are read by nobody before the end
  held_out[i] = pages[order[opt.validate and #pages + 1 - i or i]]
end

-- every sentence as a bag of words, (1 + ln count) ln(1 + N / sentences with the word), of length 1
local sentences, page_of = {}, {}
for i = 1, math.min(#pages, opt.pages) do
  for _, sentence in ipairs(pages[order[i]].sentences) do
    sentences[#sentences + 1], page_of[#page_of + 1] = sentence, i
  end
end
local count, width = gan.data.word_bags(sentences, {words = opt.words})
local function bags(texts) return gan.l2_normalize(count(texts), {dim = 2}) end
local texts = {}
for i = 1, math.min(#pages, opt.pages) do
  texts[i] = gan.scope(function() return bags(pages[order[i]].sentences):mean{1} end)
end
texts = gan.stack(texts) -- (pages, words)
local batches = gan.data.batches{bags(sentences), gan.tensor(page_of, {dtype = "int64"}),
  batch_size = opt.batch_size, shuffle = true}

local encoder = nn.Sequential{ name = "encoder",
  nn.Dropout{opt.drop}, nn.Linear{width, opt.hidden}, nn.Tanh{}, nn.Linear{opt.hidden, opt.code},
}
local decoder = nn.Sequential{ name = "decoder",
  nn.Linear{opt.code, opt.hidden}, nn.Tanh{}, nn.Linear{opt.hidden, width},
}
local adam = optim.Adam{encoder, decoder, lr = opt.lr}
local schedule = optim.CosineLR{adam, steps = opt.epochs, floor = 0.05}

local function step(x, page)
  local error = loss.squared_error(decoder(encoder(x)), texts:index_select(page))
  adam:zero_grad()
  error:backward()
  adam:step()
  return {error = error}
end

--- The sentence of a page with the least of f(bags, their mean), one number for each sentence.
local function least(page, f)
  return page.sentences[gan.scope(function()
    local x = bags(page.sentences)
    return f(x, x:mean{1}):argmin(1):item() // 1
  end)]
end

local function by_codes(page)
  return least(page, function(x, text) return (decoder(encoder(x)) - text):square():sum{2} end)
end

-- how a page is summarised: function(page, its index) -> sentence
local methods = {
  codes = by_codes,
  centroid = function(page) -- the largest cosine to the text
    return least(page, function(x, text) return -gan.matmul(x, text) end)
  end,
  lead = function(page) return page.sentences[1] end,
  stranger = function(_, i) return by_codes(held_out[i % #held_out + 1]) end, -- the next page's
  random = function(page)
    return page.sentences[gan.randint({1}, {hi = #page.sentences}):item() // 1]
  end,
}

local function rouge(method, times)
  local sum = 0
  for _ = 1, times or 1 do
    for i, page in ipairs(held_out) do
      sum = sum + gan.metrics.rouge(gan.no_grad(methods[method], page, i), page.summary)
    end
  end
  return 100 * sum / #held_out / (times or 1)
end

local run = gan.report.run{opt.out, options = opt, resume = opt.resume}

local function after_epoch(_, _, part)
  run:save{encoder = encoder, decoder = decoder}
  schedule:reach(part)
end

gan.train.loop{
  epochs = opt.epochs, steps = opt.steps, minutes = opt.minutes, batches = batches, run = run,
  step = step, compile = opt.compile, after_epoch = after_epoch,
  state = {encoder = encoder, decoder = decoder, adam = adam, schedule = schedule},
}

encoder:eval()
for i = 1, math.min(3, #held_out) do
  print(("%s: %s\n    a person: %s"):format(held_out[i].name,
    gan.no_grad(methods.codes, held_out[i]), held_out[i].summary))
end
local result = {pages = #held_out, random = rouge("random", 20)}
for _, method in ipairs{"codes", "centroid", "lead", "stranger"} do
  result[method] = rouge(method)
end
run:result(result)
print(("ROUGE-1 on %d pages: %.1f by sentence codes, %.1f by the centroid of words, %.1f the first "
  .. "sentence, %.1f a random one"):format(#held_out, result.codes, result.centroid, result.lead,
  result.random))
print("metrics and weights are in " .. opt.out)
