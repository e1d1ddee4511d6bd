--- Small dense matrices as Lua tables of rows, in double precision: what the linear baselines need
-- beside the products of the runtime. Sizes up to a few hundred.

local matrix = {}

--- Eigenvalues, largest first, and eigenvectors (a list of vectors) of a symmetric matrix, by
-- cyclic Jacobi rotations (Golub and Van Loan, 8.5). The matrix is changed.
function matrix.eigen(a)
  local n, v = #a, {}
  for i = 1, n do
    v[i] = {}
    for k = 1, n do
      v[i][k] = i == k and 1.0 or 0.0
    end
  end
  for _ = 1, 60 do
    local off, all = 0, 0
    for i = 1, n do
      for k = 1, n do
        all = all + a[i][k] ^ 2
        off = off + (i ~= k and a[i][k] ^ 2 or 0)
      end
    end
    if off <= 1e-26 * all then
      break
    end
    for p = 1, n - 1 do
      for q = p + 1, n do
        local apq = a[p][q]
        if apq ~= 0 then
          local theta = (a[q][q] - a[p][p]) / (2 * apq)
          local t = (theta < 0 and -1 or 1) / (math.abs(theta) + math.sqrt(theta * theta + 1))
          local c = 1 / math.sqrt(t * t + 1)
          local s = t * c
          for k = 1, n do -- columns, then rows
            local row = a[k]
            row[p], row[q] = c * row[p] - s * row[q], s * row[p] + c * row[q]
          end
          local rp, rq, vp, vq = a[p], a[q], v[p], v[q]
          for k = 1, n do
            rp[k], rq[k] = c * rp[k] - s * rq[k], s * rp[k] + c * rq[k]
            vp[k], vq[k] = c * vp[k] - s * vq[k], s * vp[k] + c * vq[k]
          end
        end
      end
    end
  end
  local order, values, vectors = {}, {}, {}
  for i = 1, n do
    order[i] = i
  end
  table.sort(order, function(x, y)
    if a[x][x] ~= a[y][y] then
      return a[x][x] > a[y][y]
    end
    return x < y
  end)
  for i, k in ipairs(order) do
    values[i], vectors[i] = a[k][k], v[k]
  end
  return values, vectors
end

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
