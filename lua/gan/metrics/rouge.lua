--- ROUGE: how far a summary agrees with one written by a person.

local rouge = {}

--- Words of a text, in lower case: runs of letters, digits and bytes beyond ASCII.
local function words(text)
  local list = {}
  for word in text:lower():gmatch "[%w\128-\255]+" do
    list[#list + 1] = word
  end
  return list
end

local function grams(list, n)
  local counts, total = {}, 0
  for first = 1, #list - n + 1 do
    local gram = table.concat(list, " ", first, first + n - 1)
    counts[gram] = (counts[gram] or 0) + 1
    total = total + 1
  end
  return counts, total
end

--- ROUGE-N of a text against a reference: metrics.rouge(text, reference, n=1) -> F1, precision,
-- recall, from 0 to 1. The n-grams of words that both have, each as often as the rarer one, divided
-- by those of the text (precision) and of the reference (recall). Lin 2004, without stemming.
function rouge.rouge(text, reference, n)
  if type(text) ~= "string" or type(reference) ~= "string" then
    error("metrics.rouge: takes two texts", 2)
  end
  n = n or 1
  local a, total_a = grams(words(text), n)
  local b, total_b = grams(words(reference), n)
  local both = 0
  for gram, count in pairs(a) do
    both = both + math.min(count, b[gram] or 0)
  end
  if both == 0 then
    return 0.0, 0.0, 0.0
  end
  local precision, recall = both / total_a, both / total_b
  return 2 * precision * recall / (precision + recall), precision, recall
end

return rouge
