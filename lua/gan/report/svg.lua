--- Curves as SVG: what a report shows where no script runs. Colours and fonts come from the page.

local svg = {}

local W, H = 560, 250
local LEFT, RIGHT, TOP, BOTTOM = 62, 14, 12, 40

--- Round numbers between low and high, about `count` of them, and not closer than `least`.
local function ticks(low, high, count, least)
  local raw = math.max((high - low) / count, least)
  local power = 10 ^ math.floor(math.log(raw, 10))
  local step = power
  for _, factor in ipairs{ 1, 2, 5, 10 } do
    if factor * power >= raw * 0.999 then
      step = factor * power
      break
    end
  end
  local list, i = {}, math.ceil(low / step - 1e-9)
  while i * step <= high + step * 1e-9 and #list < 50 do
    list[#list + 1] = i * step
    i = i + 1
  end
  return list
end

local function extent(series, axis)
  local low, high = math.huge, -math.huge
  for _, s in ipairs(series) do
    for i, v in ipairs(s[axis]) do
      if v and s.y[i] then
        low, high = math.min(low, v), math.max(high, v)
      end
    end
  end
  if low > high then
    return nil
  elseif high - low < 1e-12 * math.max(math.abs(low), 1e-300) or low == high then
    local room = low ~= 0 and math.abs(low) * 0.1 or 1
    return low - room, high + room
  end
  return low, high
end

local function number(v)
  return (("%.4g"):format(v):gsub("e%+?(%-?)0*", "e%1"):gsub("^%-0$", "0"))
end

local function path(s, px, py)
  local parts, pen = {}, "M"
  for i, x in ipairs(s.x) do
    if s.y[i] and x then
      parts[#parts + 1] = ("%s%.1f %.1f"):format(pen, px(x), py(s.y[i]))
      pen = "L"
    else
      pen = "M"
    end
  end
  if #parts == 1 then
    parts[2] = "h0.1" -- one point shows as a dot: line ends are round
  end
  return table.concat(parts)
end

local HEAD = '<svg class="chart" viewBox="0 0 %d %d" role="img" aria-label="%s over %s">'
local ROW = '<path class="grid" d="M%d %.1fH%d"/><text x="%d" y="%.1f" class="y">%s</text>'
local COLUMN = '<path class="grid" d="M%.1f %dV%d"/><text x="%.1f" y="%d" class="x">%s</text>'

--- svg.chart{label =, x_label =, {class =, x = {...}, y = {...}}, ...} -> text. Values that are
-- false leave a gap. `escape` is the page's. Nil when there is nothing to draw.
function svg.chart(o, escape)
  local x0, x1 = extent(o, "x")
  local y0, y1 = extent(o, "y")
  if not x0 or not y0 then
    return nil
  end
  local function px(x) return LEFT + (x - x0) / (x1 - x0) * (W - LEFT - RIGHT) end
  local function py(y) return H - BOTTOM - (y - y0) / (y1 - y0) * (H - TOP - BOTTOM) end
  local out = { HEAD:format(W, H, escape(o.label), escape(o.x_label)) }
  for _, y in ipairs(ticks(y0, y1, 6, 0)) do
    out[#out + 1] = ROW:format(LEFT, py(y), W - RIGHT, LEFT - 7, py(y) + 4, number(y))
  end
  for _, x in ipairs(ticks(x0, x1, 7, 1)) do
    out[#out + 1] = COLUMN:format(px(x), TOP, H - BOTTOM, px(x), H - BOTTOM + 16, number(x))
  end
  for _, s in ipairs(o) do
    out[#out + 1] = ('<path class="line %s" d="%s"/>'):format(s.class, path(s, px, py))
  end
  out[#out + 1] = ('<text x="%d" y="%d" class="x label">%s</text></svg>'):format(
    (LEFT + W - RIGHT) // 2, H - 6, escape(o.x_label))
  return table.concat(out)
end

return svg
