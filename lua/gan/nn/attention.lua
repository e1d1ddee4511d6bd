--- Attention (Vaswani et al. 2017), composed of ops.

local gan = require "gan"
local options = require "gan.options"
local module = require "gan.nn.module"
local weights = require "gan.nn.init.weights"
local linear = require "gan.nn.linear"

local attention = {}

--- softmax(q k^T / sqrt(width)) v. q (..., L, E), k (..., S, E), v (..., S, F) -> (..., L, F) and
-- the attention (..., L, S). Options: mask, a tensor that broadcasts to (..., L, S) with 1 where a
-- position may be looked at and 0 where not; causal = true masks what comes later.
function attention.scaled_dot_product_attention(q, k, v, given)
  local o = options.check("scaled_dot_product_attention", given or {},
    "; mask:tensor? causal:bool=false")
  local scores = q:matmul(k:transpose(-2, -1)) / math.sqrt(q:size(-1))
  local hidden
  if o.causal then
    hidden = gan.ones(q:size(-2), k:size(-2)):triu(1)
  end
  if o.mask then
    local rest = 1 - o.mask
    hidden = hidden and gan.maximum(hidden, rest) or rest
  end
  if hidden then
    scores = scores:masked_fill(hidden, -math.huge)
  end
  local p = scores:softmax(-1)
  return p:matmul(v), p
end

--- (L, N, E) -> (N heads, L, E/heads)
local function split_heads(x, heads)
  local length, batch, width = x:size(1), x:size(2), x:size(3)
  return x:reshape(length, batch * heads, width // heads):permute(2, 1, 3)
end

--- nn.MultiheadAttention{embed_dim, num_heads, bias=true, batch_first=false}: call
-- layer(q, k, v, {mask=, causal=}) with (L, N, E), (S, N, E), (S, N, E), or (N, L, E) and so on
-- with batch_first; k and v default to q. Returns (L, N, E) and the attention (N, heads, L, S).
-- A mask broadcasts to (N, heads, L, S).
attention.MultiheadAttention = module.define("nn.MultiheadAttention", {
  options = "embed_dim:count num_heads:count ; bias:bool=true batch_first:bool=false",
  init = function(self, o)
    if o.embed_dim % o.num_heads ~= 0 then
      error(("nn.MultiheadAttention: %d heads do not divide the width %d"):format(o.num_heads,
        o.embed_dim), 3)
    end
    self.in_proj_weight = weights.xavier_uniform_(
      module.parameter(gan.zeros(3 * o.embed_dim, o.embed_dim)))
    self.out_proj = linear.Linear{ o.embed_dim, o.embed_dim, bias = o.bias }
    if o.bias then
      self.in_proj_bias = module.parameter(gan.zeros(3 * o.embed_dim))
      weights.zeros_(self.out_proj.bias)
    end
  end,
  forward = function(self, q, k, v, given)
    local o = self._options
    local heads = o.num_heads
    k = k or q
    v = v or k
    local inputs = { q, k, v }
    for i, x in ipairs(inputs) do
      x = o.batch_first and x:permute(2, 1, 3) or x
      local first, last = (i - 1) * o.embed_dim + 1, i * o.embed_dim
      local w = self.in_proj_weight:slice(1, first, last)
      local b = self.in_proj_bias and self.in_proj_bias:slice(1, first, last)
      local projected = split_heads(gan.linear(x, w, b), heads)
      inputs[i] = projected:reshape(-1, heads, projected:size(2), projected:size(3))
    end
    local y, p = attention.scaled_dot_product_attention(inputs[1], inputs[2], inputs[3], given)
    y = y:permute(3, 1, 2, 4):flatten(3) -- (N, heads, L, E/heads) -> (L, N, E)
    y = self.out_proj(y)
    return o.batch_first and y:permute(2, 1, 3) or y, p
  end,
})

return attention
