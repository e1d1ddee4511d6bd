--- Small dense matrices as Lua tables of rows, in double precision: what the linear baselines need
-- beside the products of the runtime. Sizes up to a few hundred.

local matrix = {}

--- L, lower triangular with L L^T = a, for a symmetric positive definite matrix; nil and the row
-- where it is not one.
function matrix.cholesky(a)
  local n, l = #a, {}
  for i = 1, n do
    local li, ai = {}, a[i]
    l[i] = li
    for k = 1, i do
      local lk, sum = l[k], ai[k]
      for m = 1, k - 1 do
        sum = sum - li[m] * lk[m]
      end
      if k < i then
        li[k] = sum / lk[k]
      elseif sum <= 0 or sum ~= sum then
        return nil, i
      else
        li[i] = math.sqrt(sum)
      end
    end
  end
  return l
end

--- The inverse of a lower triangular matrix, zeros included.
function matrix.invert_lower(l)
  local n, inverse = #l, {}
  for i = 1, n do
    inverse[i] = {}
    for k = 1, n do
      inverse[i][k] = 0.0
    end
    inverse[i][i] = 1 / l[i][i]
    for k = 1, i - 1 do
      local sum = 0.0
      for m = k, i - 1 do
        sum = sum + l[i][m] * inverse[m][k]
      end
      inverse[i][k] = -sum / l[i][i]
    end
  end
  return inverse
end

return matrix
