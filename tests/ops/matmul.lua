-- Cases of runtime/ops/matmul.c, einsum.c and eigen.c: see tests/case.lua.
local t = require "tests.case"

local nan = 0 / 0

-- What makes eigenvectors: orthonormal, and x stretches each by its value; the values are returned.
local function eigen(gan, x)
  local lower = x:tril()
  local whole, n = lower + x:tril(-1):t(), #x
  local values, vectors = gan.eigh(x)
  local function small(what, difference)
    local worst = difference:abs():amax():item()
    assert(worst < 2e-6 * n, ("%s is %g instead of 0"):format(what, worst))
  end
  small("x v - v diag(values)", whole:matmul(vectors) - vectors * values:reshape(1, n))
  small("v' v - 1", vectors:t():matmul(vectors) - gan.eye(n))
  small("the disorder", gan.minimum(values:slice(1, 2, n) - values:slice(1, 1, n - 1), 0))
  return values
end

-- widths of 1, 2, 17 and 40 reach the kernels' vectors of one row, narrow results, panels and
-- their remainders; k of 300 more than one panel
return {
  matmul = {
    { t.randn{3, 5}, t.randn{5, 4}, torch = "a @ b" },
    { t.randn{4}, t.randn{4}, torch = "a @ b" },
    { t.randn{4}, t.randn{4, 3}, torch = "a @ b" },
    { t.randn{3, 4}, t.randn{4}, torch = "a @ b" },
    { t.randn{1}, t.randn{1, 1}, torch = "a @ b" },
    { t.randn{2, 3, 4}, t.randn{2, 4, 5}, torch = "a @ b" },
    { t.randn{2, 3, 4}, t.randn{4, 5}, torch = "a @ b" },
    { t.randn{3, 4}, t.randn{2, 4, 5}, torch = "a @ b" },
    { t.randn{2, 1, 3, 4}, t.randn{5, 4, 2}, torch = "a @ b" },
    { t.randn{2, 3, 4}, t.randn{4}, torch = "a @ b" },
    { t.randn{4}, t.randn{2, 4, 3}, torch = "a @ b" },
    { t.randn{7, 40}, t.randn{40, 17}, torch = "a @ b" },
    { t.randn{33, 6}, t.randn{6, 70}, torch = "a @ b" },
    { t.randn{40, 3}, t.randn{3, 2}, torch = "a @ b" },
    { t.randn{2, 300}, t.randn{300, 35}, torch = "a @ b" },
    { t.randn{2, 300}, t.randn{300, 1}, torch = "a @ b" },
    { t.randn{0, 3}, t.randn{3, 2}, torch = "a @ b" },
    { t.randn{3, 0}, t.randn{0, 2}, torch = "a @ b" },
    { t.randn{0}, t.randn{0}, torch = "a @ b" },
    { t.randn{2, 0, 3}, t.randn{3, 2}, torch = "a @ b" },
    { t.randn{0, 2, 3}, t.randn{3, 2}, torch = "a @ b" },
    { t.values{ { 0, 1 } }, t.values{ { 1 / 0 }, { 1 } }, torch = "a @ b", smooth = false },
    { t.values{ { 1, nan }, { 1, 2 } }, t.values{ { 1 }, { 2 } }, torch = "a @ b", smooth = false },
  },
  bmm = {
    { t.randn{2, 3, 4}, t.randn{2, 4, 5}, torch = "a.bmm(b)" },
    { t.randn{5, 2, 1}, t.randn{5, 1, 2}, torch = "a.bmm(b)" },
    { t.randn{0, 2, 3}, t.randn{0, 3, 2}, torch = "a.bmm(b)" },
    { t.randn{2, 3, 0}, t.randn{2, 0, 2}, torch = "a.bmm(b)" },
  },
  linear = {
    { t.randn{3, 5}, t.randn{4, 5}, t.randn{4}, torch = "F.linear(a, b, c)" },
    { t.randn{3, 5}, t.randn{4, 5}, torch = "F.linear(a, b)" },
    { t.randn{5}, t.randn{4, 5}, t.randn{4}, torch = "F.linear(a, b, c)" },
    { t.randn{2, 3, 5}, t.randn{4, 5}, t.randn{4}, torch = "F.linear(a, b, c)" },
    { t.randn{2, 3, 2, 5}, t.randn{1, 5}, torch = "F.linear(a, b)" },
    { t.randn{9, 2}, t.randn{40, 2}, t.randn{40}, torch = "F.linear(a, b, c)" },
    { t.randn{9, 40}, t.randn{2, 40}, t.randn{2}, torch = "F.linear(a, b, c)" },
    { t.randn{0, 5}, t.randn{4, 5}, t.randn{4}, torch = "F.linear(a, b, c)" },
    { t.randn{3, 0}, t.randn{4, 0}, t.randn{4}, torch = "F.linear(a, b, c)" },
    { t.randn{3, 5}, t.randn{4, 5}, t.randn{4}, { activation = "relu" },
      torch = "F.relu(F.linear(a, b, c))" },
    { t.randn{3, 5}, t.randn{4, 5}, t.randn{4}, { activation = "leaky_relu", slope = 0.2 },
      torch = "F.leaky_relu(F.linear(a, b, c), 0.2)" },
    { t.randn{3, 5}, t.randn{4, 5}, { activation = "leaky_relu" },
      torch = "F.leaky_relu(F.linear(a, b))" },
    { t.randn{2, 3, 5}, t.randn{4, 5}, t.randn{4}, { activation = "tanh" },
      torch = "torch.tanh(F.linear(a, b, c))" },
    { t.randn{5}, t.randn{4, 5}, t.randn{4}, { activation = "sigmoid" },
      torch = "torch.sigmoid(F.linear(a, b, c))" },
    { t.randn{3, 5}, t.randn{4, 5}, t.none, { activation = "sigmoid" },
      torch = "torch.sigmoid(F.linear(a, b))" },
  },
  addmm = {
    { t.randn{3, 4}, t.randn{3, 5}, t.randn{5, 4}, torch = "torch.addmm(a, b, c)" },
    { t.randn{4}, t.randn{3, 5}, t.randn{5, 4}, { alpha = 0.5, beta = -2 },
      torch = "torch.addmm(a, b, c, alpha=0.5, beta=-2)" },
    { t.randn{3, 1}, t.randn{3, 5}, t.randn{5, 4}, torch = "torch.addmm(a, b, c)" },
    { t.values(2), t.randn{3, 5}, t.randn{5, 4}, torch = "torch.addmm(a, b, c)" },
    { t.values{ nan, nan }, t.randn{3, 5}, t.randn{5, 2}, { beta = 0 },
      torch = "torch.addmm(a, b, c, beta=0)", smooth = false },
    { t.randn{3, 4}, t.randn{3, 0}, t.randn{0, 4}, { beta = 3 },
      torch = "torch.addmm(a, b, c, beta=3)" },
    { t.randn{4}, t.randn{0, 5}, t.randn{5, 4}, torch = "torch.addmm(a, b, c)" },
  },
  dot = {
    { t.randn{5}, t.randn{5}, torch = "a.dot(b)" },
    { t.randn{75}, t.randn{75}, torch = "a.dot(b)" },
    { t.randn{0}, t.randn{0}, torch = "a.dot(b)" },
  },
  outer = {
    { t.randn{3}, t.randn{4}, torch = "torch.outer(a, b)" },
    { t.randn{0}, t.randn{4}, torch = "torch.outer(a, b)" },
    { t.randn{1}, t.randn{1}, torch = "torch.outer(a, b)" },
  },
  einsum = {
    { t.list{ t.randn{3, 4}, t.randn{4, 5} }, { eq = "ij,jk->ik" },
      torch = "torch.einsum('ij,jk->ik', a, b)" },
    { t.list{ t.randn{3, 4}, t.randn{4, 5} }, "ij,jk", torch = "torch.einsum('ij,jk', a, b)" },
    { t.list{ t.randn{4, 3}, t.randn{4, 3} }, { eq = "ba,ba" },
      torch = "torch.einsum('ba,ba', a, b)" },
    { t.list{ t.randn{2, 3} }, { eq = "ba" }, torch = "torch.einsum('ba', a)" },
    { t.list{ t.randn{2, 3, 4} }, { eq = "abc -> ca" }, torch = "torch.einsum('abc->ca', a)" },
    { t.list{ t.randn{2, 3} }, { eq = "ab->" }, torch = "torch.einsum('ab->', a)" },
    { t.list{ t.randn{2, 3, 4}, t.randn{2, 4, 5} }, { eq = "bij,bjk->bik" },
      torch = "torch.einsum('bij,bjk->bik', a, b)" },
    { t.list{ t.randn{2, 3, 4}, t.randn{5, 4, 2} }, { eq = "bij,kjb->kib" },
      torch = "torch.einsum('bij,kjb->kib', a, b)" },
    { t.list{ t.randn{2, 3, 4}, t.randn{5} }, { eq = "abc,d->da" },
      torch = "torch.einsum('abc,d->da', a, b)" },
    { t.list{ t.randn{3}, t.randn{4} }, { eq = "i,j->ij" },
      torch = "torch.einsum('i,j->ij', a, b)" },
    { t.list{ t.randn{3}, t.randn{3} }, { eq = "i,i->i" }, torch = "torch.einsum('i,i->i', a, b)" },
    { t.list{ t.randn{2, 3}, t.randn{3, 4}, t.randn{4, 5} }, { eq = "ij,jk,kl->il" },
      torch = "torch.einsum('ij,jk,kl->il', a, b, c)" },
    { t.list{ t.randn{2, 3}, t.randn{5, 3, 4}, t.randn{2, 4} }, { eq = "bn,anm,bm->ba" },
      torch = "torch.einsum('bn,anm,bm->ba', a, b, c)" },
    { t.list{ t.randn{0, 3}, t.randn{3, 2} }, { eq = "ij,jk->ik" },
      torch = "torch.einsum('ij,jk->ik', a, b)" },
    { t.list{ t.values(2), t.randn{3} }, { eq = ",i->i" }, torch = "torch.einsum(',i->i', a, b)" },
    { t.list{ t.randn{3, 3} }, { eq = "ii" }, torch = "torch.einsum('ii', a)" },
    { t.list{ t.randn{0, 0} }, { eq = "ii->i" }, torch = "torch.einsum('ii->i', a)" },
    { t.list{ t.randn{3, 3} }, { eq = "ii->i" }, torch = "torch.einsum('ii->i', a)" },
    { t.list{ t.randn{3, 2, 3, 3} }, { eq = "ijii->ji" }, torch = "torch.einsum('ijii->ji', a)" },
    { t.list{ t.randn{2, 3, 3}, t.randn{3, 4} }, { eq = "bii,ik->bk" },
      torch = "torch.einsum('bii,ik->bk', a, b)" },
    { t.list{ t.randn{2, 3, 4}, t.randn{4, 5} }, { eq = "...ij,jk->...ik" },
      torch = "torch.einsum('...ij,jk->...ik', a, b)" },
    { t.list{ t.randn{2, 1, 3, 4}, t.randn{5, 4, 2} }, { eq = "...ij,...jk" },
      torch = "torch.einsum('...ij,...jk', a, b)" },
    { t.list{ t.randn{2, 3, 4}, t.randn{3} }, { eq = "i...j,...->j..." },
      torch = "torch.einsum('i...j,...->j...', a, b)" },
    { t.list{ t.randn{2, 3, 4} }, { eq = "...j->j" }, torch = "torch.einsum('...j->j', a)" },
    { t.list{ t.randn{1, 4}, t.randn{3, 4} }, { eq = "ij,ij->i" },
      torch = "torch.einsum('ij,ij->i', a, b)" },
    { t.list{ t.randn{3, 1}, t.randn{4, 2} }, { eq = "ij,jk->ik" },
      torch = "torch.einsum('ij,jk->ik', a, b)" },
  },
  eigh = { -- the signs of eigenvectors are a convention: ours has the largest component positive
    { t.randn{5, 5}, torch = "torch.linalg.eigvalsh(a)" },
    { t.randn{5, 5}, torch = false, expect = eigen },
    { t.randn{40, 40}, torch = false, expect = eigen },
    { t.values{ { 2, 1 }, { 1, 2 } }, torch = false, expect = function(gan)
      local r = math.sqrt(0.5)
      return gan.tensor{ 1, 3 }, gan.tensor{ { r, r }, { -r, r } }
    end },
    { t.values{ { 0, 0, 0, 0 }, { 0, 0, 0, 0 }, { 1, 2, 0, 0 }, { 2, 4, 0, 0 } }, torch = false,
      expect = eigen }, -- rank 2
    { t.values{ { 3, 9, 9 }, { 0, 3, 9 }, { 0, 0, 1 } }, torch = "torch.linalg.eigvalsh(a)" },
    { t.values{ { 0, 0 }, { 0, 0 } }, torch = "torch.linalg.eigh(a)" },
    { t.values{ { -3 } }, torch = "torch.linalg.eigh(a)" },
    { t.randn{0, 0}, torch = "torch.linalg.eigh(a)" },
    { t.values{ { 1, 0 }, { nan, 2 } }, torch = false, expect = function(gan)
      return gan.full({ 2 }, nan), gan.full({ 2, 2 }, nan)
    end },
  },
}
