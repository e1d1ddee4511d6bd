--- Finding the right one among many: translations.

local gan = require "gan"
local options = require "gan.options"

local retrieval = {}

--- The share of queries whose nearest candidate is their own: metrics.precision_at_1(queries,
-- candidates), both (N, width); candidate i is the answer to query i. Nearest is largest cosine,
-- the first of equal ones. The second result lists the index of the candidate found for each query.
function retrieval.precision_at_1(queries, candidates)
  return gan.no_grad(function()
    local q, c = gan.l2_normalize(queries, { dim = 2 }), gan.l2_normalize(candidates, { dim = 2 })
    local found, right = gan.linear(q, c):argmax(2):totable(), 0
    for i, k in ipairs(found) do
      right = right + (i == k and 1 or 0)
    end
    return right / #found, found
  end)
end

--- Letters of a text in UTF-8; bytes where it is not.
local function letters(text)
  local list = {}
  if not utf8.len(text) then
    for i = 1, #text do
      list[i] = text:sub(i, i)
    end
    return list
  end
  for _, code in utf8.codes(text) do
    list[#list + 1] = utf8.char(code)
  end
  return list
end

--- The n-grams of a text between marks of its beginning and end, and how often they occur.
local function ngrams(text, longest)
  local list, counts = letters("\2" .. text .. "\3"), {}
  for n = 1, longest do
    for first = 1, #list - n + 1 do
      local gram = table.concat(list, "", first, first + n - 1)
      if gram ~= "\2" and gram ~= "\3" then
        counts[gram] = (counts[gram] or 0) + 1
      end
    end
  end
  return counts
end

--- Vectors in which the cosine of two texts says how many character n-grams they share, the
-- baseline of translation between related languages: metrics.ngram_vectors({texts, ...},
-- {longest=3, least=1}) takes lists of texts, and returns as many tensors (#texts, width) with
-- columns in common, one for each n-gram that at least `least` texts have. A gram weighs its count
-- times ln((1 + N) / (1 + texts that have it)). Rows have length 1 (or 0).
function retrieval.ngram_vectors(lists, given)
  local o = options.check("metrics.ngram_vectors", given or {}, "; longest:count=3 least:count=1")
  local columns, width, documents, total, counted = {}, 0, {}, 0, {}
  for i, list in ipairs(lists) do
    counted[i] = {}
    for k, text in ipairs(list) do
      local counts = ngrams(text, o.longest)
      counted[i][k], total = counts, total + 1
      for gram in pairs(counts) do
        documents[gram] = (documents[gram] or 0) + 1
      end
    end
  end
  local names = {}
  for gram, count in pairs(documents) do
    names[#names + 1] = count >= o.least and gram or nil
  end
  table.sort(names)
  for _, gram in ipairs(names) do
    width = width + 1
    columns[gram] = width
  end
  local tensors = {}
  for i, rows in ipairs(counted) do
    local values, index = {}, {}
    for k, counts in ipairs(rows) do
      for gram, n in pairs(counts) do
        if columns[gram] then
          index[#index + 1] = (k - 1) * width + columns[gram]
          values[#values + 1] = n * math.log((1 + total) / (1 + documents[gram]))
        end
      end
    end
    tensors[i] = gan.zeros(#rows * width)
    if #index > 0 then
      tensors[i] = tensors[i]:index_add(gan.tensor(index, { dtype = "int64" }),
        gan.tensor(values), 1)
    end
    tensors[i] = gan.l2_normalize(tensors[i]:reshape(#rows, width), { dim = 2 })
  end
  return table.unpack(tensors)
end

return retrieval
