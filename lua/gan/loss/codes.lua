--- Losses on the codes of auto-encoders: sparsity, contraction, agreement of several encoders.
-- They are fields of gan.loss.

local gan = require "gan"
local options = require "gan.options"

local loss = {}

local SMALL = 1e-6

-- ---- sparsity ---------------------------------------------------------------------------------

--- The divergence of the units' mean activities from a target rate, summed over the units:
-- sum_j r ln(r / a_j) + (1 - r) ln((1 - r) / (1 - a_j)), where a_j is the mean of unit j over the
-- batch. h (N, units) in (0, 1). Option rate = 0.05. Ng 2011, "Sparse autoencoder".
function loss.sparsity_kl(h, given)
  local o = options.check("sparsity_kl", given or {}, "; rate:number=0.05", 3)
  local r = o.rate
  if not (r > 0 and r < 1) then
    error("sparsity_kl: option 'rate' must lie between 0 and 1", 2)
  end
  local a = h:mean{ 1 }:clamp{ min = SMALL, max = 1 - SMALL }
  local constant = r * math.log(r) + (1 - r) * math.log(1 - r)
  return (a:log() * -r - (1 - a):log() * (1 - r) + constant):sum()
end

--- sum_j |h_j| per sample, averaged over the batch. h (N, ...).
function loss.l1(h)
  return h:abs():flatten(2):sum(2):mean()
end

-- ---- contraction ------------------------------------------------------------------------------

--- |dh/dx|^2 (Frobenius) of a layer h = sigmoid(W x + b), averaged over the batch:
-- sum_j (h_j (1 - h_j))^2 sum_i W_ji^2. h (N, units), weight (units, inputs). Rifai et al. 2011.
function loss.contractive(h, weight)
  return gan.matmul((h * (1 - h)):square(), weight:square():sum(2)):mean()
end

--- The same |dh/dx|^2 of any encoder f, estimated: the mean of |v^T dh/dx|^2 over vectors v of
-- random signs. x (N, ...) -> f(x) (N, units). Option probes = 1. It costs a derivative of second
-- order for each.
function loss.jacobian_penalty(f, x, given)
  local o = options.check("jacobian_penalty", given or {}, "; probes:count=1", 3)
  local input = gan.require_grad(x:detach())
  local h, total = f(input), nil
  for _ = 1, o.probes do
    local v = gan.lt(gan.rand_like(h), 0.5) * 2 - 1
    local slope = gan.grad((h * v):sum(), input, { create_graph = true })
    local size = slope:square():flatten(2):sum(2):mean()
    total = total and total + size or size
  end
  return total / o.probes
end

-- ---- several encoders -------------------------------------------------------------------------

--- The sum over the units of the correlation that a unit of one code has, over the batch, with the
-- same unit of the other code: at most the width. a, b (N, width). Chandar et al. 2016 (CorrNet).
function loss.correlation(a, b)
  a, b = a - a:mean({ 1 }, { keepdim = true }), b - b:mean({ 1 }, { keepdim = true })
  local scale = (a:square():sum{ 1 } * b:square():sum{ 1 } + SMALL):sqrt()
  return ((a * b):sum{ 1 } / scale):sum()
end

--- The squared distance of two codes, sum_j (a_j - b_j)^2, averaged over the batch, summed over all
-- pairs of a list of codes (N, width).
function loss.code_distance(codes)
  local total
  for i = 1, #codes do
    for k = i + 1, #codes do
      local d = (codes[i] - codes[k]):square():flatten(2):sum(2):mean()
      total = total and total + d or d
    end
  end
  return total
end

--- How hard it is to tell by their codes which things of a batch belong together: -ln of the
-- softmax of cosine(a_i, b_k) / temperature over k at k = i, averaged over i, and the same with a
-- and b exchanged. a, b (N, width). Option temperature = 0.1. Van den Oord et al. 2018 (InfoNCE).
function loss.contrastive(a, b, given)
  local o = options.check("contrastive", given or {}, "; temperature:number=0.1", 3)
  local scores = gan.linear(gan.l2_normalize(a, { dim = 2 }), gan.l2_normalize(b, { dim = 2 }))
    / o.temperature
  local own = (scores * gan.eye(#a)):sum() / #a
  return scores:logsumexp{ 1 }:mean() + scores:logsumexp{ 2 }:mean() - own * 2
end

--- The loss of an nn.MultiAutoencoder on views of the same things, a list of one tensor per domain:
--
--     sum_i error(restored_i, view_i)                    reconstruction of each domain
--   + distance * sum_{i<k} |code_i - code_k|^2           the codes of a thing agree
--   + cross * sum_{i~=k} error(decoder_k(code_i), view_k)
--   - correlation * sum_{i<k} correlation(code_i, code_k)
--   + contrast * sum_{i<k} contrastive(code_i, code_k)
--
-- Options: distance = 1, cross = 0, correlation = 0, contrast = 0, temperature = 0.1 (of the
-- contrast), error = loss.squared_error, a function of output and view or a list of one per domain;
-- targets = the views, what the decoders must write. Returns the loss and a table of its parts:
-- reconstruction, distance, and those that are used.
function loss.multi_view(net, views, given)
  local o = options.check("multi_view", given or {}, "; distance:number=1 cross:number=0 "
    .. "correlation:number=0 contrast:number=0 temperature:number=0.1 error:any? targets:list?", 3)
  local restored, codes = net(views)
  local targets, n, parts = o.targets or views, #codes, {}
  local function add(name, v)
    parts[name] = parts[name] and parts[name] + v or v
  end
  local function error_of(i, output)
    local f = type(o.error) == "table" and not (getmetatable(o.error) or {}).__call
      and o.error[i] or o.error or gan.loss.squared_error
    return f(output, targets[i])
  end
  for i = 1, n do
    add("reconstruction", error_of(i, restored[i]))
    for k = 1, n do
      if o.cross ~= 0 and k ~= i then
        add("cross", error_of(k, net.decoders[k](codes[i])))
      end
      if o.correlation ~= 0 and k > i then
        add("correlation", loss.correlation(codes[i], codes[k]))
      end
      if o.contrast ~= 0 and k > i then
        add("contrast", loss.contrastive(codes[i], codes[k], { temperature = o.temperature }))
      end
    end
  end
  local total = parts.reconstruction
  if n > 1 and o.distance ~= 0 then
    parts.distance = loss.code_distance(codes)
    total = total + parts.distance * o.distance
  end
  total = parts.cross and total + parts.cross * o.cross or total
  total = parts.contrast and total + parts.contrast * o.contrast or total
  total = parts.correlation and total - parts.correlation * o.correlation or total
  return total, parts
end

return loss
