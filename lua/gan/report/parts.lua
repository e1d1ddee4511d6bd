--- The sections of a report's page, as HTML. Each that changes while a run goes on carries the
-- attribute data-part, by which a page that is served exchanges it.

local pictures = require "gan.report.pictures"
local read = require "gan.report.read"
local svg = require "gan.report.svg"

local parts = {}

local LONGEST = 600 -- characters of an option's value that are shown
local MOST = 400 -- rows of a table

-- ---- text -----------------------------------------------------------------------------------

--- Text whose bytes are no UTF-8, or are control characters, gets a replacement for them.
function parts.utf8(text)
  text = tostring(text):gsub("[%z\1-\8\11\12\14-\31\127]", "\u{fffd}")
  if utf8.len(text) then
    return text
  end
  return (text:gsub("[\128-\255]", "?"))
end

local entities = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;",
  ["'"] = "&#39;" }

--- Text as it may stand in HTML, also within an attribute in quotes.
function parts.escape(text)
  return (parts.utf8(text):gsub("[&<>\"']", entities))
end

local escape = parts.escape

local function short(v)
  if math.type(v) == "float" then
    return ("%.6g"):format(v)
  end
  local text = tostring(v)
  if #text > LONGEST then
    text = text:sub(1, LONGEST):gsub("[\192-\255]?[\128-\191]*$", "") .. " ..."
  end
  return text
end

local function duration(seconds)
  if type(seconds) ~= "number" or not (seconds >= 0 and seconds < 1e9) then
    return nil
  end
  local s = math.floor(seconds + 0.5)
  if s >= 3600 then
    return ("%d h %02d min"):format(s // 3600, s // 60 % 60)
  end
  return s >= 60 and ("%d min %02d s"):format(s // 60, s % 60) or ("%.3g s"):format(seconds)
end

--- The class of a run's lines: eight colours, then the same dashed.
local function line_class(i)
  return ("c%d%s"):format((i - 1) % 8, (i - 1) % 16 >= 8 and " dashed" or "")
end

-- ---- header and findings --------------------------------------------------------------------

local function facts(run)
  local s, list = run.status, {}
  local last = run.rows[#run.rows]
  if last and type(last.epoch) == "number" then
    list[#list + 1] = ("epoch %s"):format(short(last.epoch))
  end
  list[#list + 1] = duration(s.seconds ~= nil and s.status ~= "running" and s.seconds
    or last and last.seconds)
  if type(s.started) == "string" then
    list[#list + 1] = "started " .. s.started:gsub("T", " "):gsub("Z$", " UTC")
  end
  if s.threads then
    list[#list + 1] = ("%s thread%s"):format(short(s.threads), s.threads == 1 and "" or "s")
  end
  list[#list + 1] = s.version and "gan-lua " .. short(s.version) or nil
  list[#list + 1] = type(s.isa) == "string" and s.isa or nil
  return escape(table.concat(list, " \u{b7} "))
end

local function status(run)
  local text = run.status.status
  if type(text) ~= "string" then
    return ""
  end
  local class = (text == "finished" or text == "running") and text or "failed"
  return ('<span class="status %s">%s</span>'):format(class, escape(short(text)))
end

function parts.header(runs)
  local single = #runs == 1
  local out = { ('<header data-part="header"><h1>%s</h1><ul class="runs">'):format(single
    and escape(runs[1].label) or ("%d runs compared"):format(#runs)) }
  for i, run in ipairs(runs) do
    local name = single and "" or ([[<label><input type="checkbox" class="pick" data-run="%d" ]]
      .. [[checked> <span class="key %s"></span><strong>%s</strong></label>]]):format(i - 1,
      line_class(i), escape(run.label))
    out[#out + 1] = ('<li>%s %s <span class="soft">%s</span></li>'):format(name, status(run),
      facts(run))
  end
  out[#out + 1] = "</ul></header>\n"
  return table.concat(out)
end

function parts.findings(runs)
  local out, count = {}, 0
  for _, run in ipairs(runs) do
    for _, f in ipairs(run.doctor) do
      count = count + 1
      if count <= MOST then
        out[#out + 1] = ('<div class="finding"><strong>%s%s</strong> <span class="soft">step %s'
          .. "</span><p>%s</p><p>%s</p></div>\n"):format(#runs > 1 and escape(run.label) .. ": "
          or "", escape(short(f.doctor)), escape(short(f.step or "?")),
          escape(short(f.sentence or "")), escape(short(f.advice or "")))
      end
    end
  end
  if count == 0 then
    return '<section data-part="findings"></section>\n'
  end
  return ('<section data-part="findings"><h2>The doctor\u{2019}s findings</h2>\n%s</section>\n')
    :format(table.concat(out))
end

-- ---- curves ---------------------------------------------------------------------------------

local STATIC = 300 -- points of a drawn curve

local controls = [[
<div class="controls">
<label class="needs-plots"><input type="checkbox" id="log"> logarithmic</label>
<label class="needs-plots">smoothing <input type="range" id="smooth" min="0" max="0.99" step="0.01"
 value="0"> <output id="smooth-value">0.00</output></label>
<label class="needs-plots">over <select id="over"><option value="x">%s</option>
<option value="t">minutes</option></select></label>
<span class="soft needs-plots">drag to zoom, double click to zoom out</span>
</div>
]]

local function chart(runs, name, position, axis)
  local o = { label = name, x_label = axis }
  for i, run in ipairs(runs) do
    local curve = run.curves[name]
    if curve then
      local x, _, y = read.thin(curve.x, curve.t, curve.y, STATIC)
      o[#o + 1] = { x = x, y = y, run = i - 1,
        class = line_class(#runs == 1 and position or i) }
    end
  end
  return ('<div class="card" data-metric="%s"><h3>%s</h3><div class="plot">%s</div>'
    .. '<p class="readout" aria-live="off"></p></div>\n'):format(escape(name), escape(name),
    svg.chart(o, escape) or '<p class="soft">no finite values</p>')
end

function parts.charts(runs, names, axis)
  local out = { "<section><h2>Curves</h2>\n", controls:format(escape(axis)),
    '<div class="charts" data-part="charts">\n' }
  for i, name in ipairs(names) do
    out[#out + 1] = i <= MOST and chart(runs, name, i, axis) or ""
  end
  if #names == 0 then
    out[#out + 1] = '<p class="soft">Nothing has been logged yet.</p>'
  end
  out[#out + 1] = "</div></section>\n"
  return table.concat(out)
end

-- ---- pictures -------------------------------------------------------------------------------

local function frame(f, address, last)
  return ('<figure data-number="%d"%s><img src="%s" alt="%s"><figcaption>%s'
    .. "</figcaption></figure>"):format(f.number, last and ' class="shown"' or "", address,
    escape(f.file), escape(f.file))
end

local function pane(run, i, series, many, chosen)
  local out = { ('<figure class="pane" data-run="%d">%s<div class="frames%s">'):format(i - 1,
    many and ('<figcaption><span class="key %s"></span>%s</figcaption>'):format(line_class(i),
      escape(run.label)) or "", #series == 1 and " single" or "") }
  for n, f in ipairs(chosen) do
    out[#out + 1] = frame(f, f.address, n == #chosen)
  end
  out[#out + 1] = "</div></figure>\n"
  return table.concat(out)
end

--- The pictures: a section for each series' name, in it a pane for each run that has it.
function parts.pictures(runs, given)
  local out, names, by_name = {}, {}, {}
  local chosen, note = pictures.choose(runs, given)
  for i, run in ipairs(runs) do
    for _, series in ipairs(run.series) do
      local list = by_name[series.name]
      if not list then
        list = {}
        by_name[series.name], names[#names + 1] = list, series.name
      end
      list[#list + 1] = pane(run, i, series, #runs > 1, chosen[series])
    end
  end
  for _, name in ipairs(names) do
    out[#out + 1] = ([[<div class="series" data-name="%s"><h3>%s</h3>
<div class="slider"><label>time <input type="range" min="0" max="0" step="1" value="0"
 aria-label="picture of %s"></label><output></output><button type="button">play</button></div>
<div class="panes">%s</div></div>
]]):format(escape(name), escape(name), escape(name), table.concat(by_name[name]))
  end
  return ('<section data-part="pictures">%s%s%s</section>\n'):format(#names > 0
    and "<h2>Pictures</h2>\n" or "", note and ('<p class="soft">%s</p>'):format(escape(note)) or "",
    table.concat(out))
end

-- ---- tables ---------------------------------------------------------------------------------

--- Rows of what the runs have under names, a column for each run.
local function compared(runs, field, title)
  local names, seen, out = {}, {}, {}
  for _, run in ipairs(runs) do
    for name, v in pairs(run[field]) do
      if type(name) == "string" and type(v) ~= "table" and not seen[name] then
        seen[name], names[#names + 1] = true, name
      end
    end
  end
  if #names == 0 then
    return ""
  end
  table.sort(names)
  for i = 1, math.min(#names, MOST) do
    local name, cells, differs = names[i], {}, false
    for j, run in ipairs(runs) do
      local v = run[field][name]
      differs = differs or field == "options" and v ~= runs[1][field][name]
      cells[j] = ("<td>%s</td>"):format(v == nil and "\u{2013}" or type(v) == "table" and "..."
        or escape(short(v)))
    end
    out[i] = ('<tr%s><th scope="row">%s</th>%s</tr>\n'):format(differs and ' class="differs"' or "",
      escape(short(name)), table.concat(cells))
  end
  local heads = {}
  for j, run in ipairs(runs) do
    heads[j] = ('<th scope="col">%s</th>'):format(escape(run.label))
  end
  return ('<h2>%s</h2><div class="card wide"><table>%s%s</table></div>\n'):format(title,
    #runs > 1 and "<tr><td></td>" .. table.concat(heads) .. "</tr>\n" or "", table.concat(out))
end

function parts.tables(runs)
  return ('<section data-part="tables">%s%s</section>\n'):format(
    compared(runs, "result", "Result"), compared(runs, "options", "Options"))
end

local function layer_rows(m)
  local out = {}
  for i, row in ipairs(type(m.layers) == "table" and m.layers or {}) do
    if i > MOST then
      break
    elseif type(row) == "table" then
      out[#out + 1] = ('<tr><td>%s</td><td>%s</td><td>%s</td><td class="n">%s</td></tr>\n'):format(
        escape(short(row.name or "")), escape(short(row.layer or "")),
        escape(short(row.output or "")), escape(short(row.parameters or "")))
    end
  end
  return table.concat(out)
end

local function model(run, name, m, many, open)
  return ([[<details%s><summary><h3>%s%s</h3> <span class="soft">%s parameters</span></summary>
<div class="card wide"><table class="layers"><tr><th scope="col">name</th><th scope="col">layer</th>
<th scope="col">output</th><th scope="col">parameters</th></tr>
%s</table></div></details>
]]):format(open and " open" or "", many and escape(run.label) .. ": " or "", escape(short(name)),
    escape(short(m.parameters or "?")), layer_rows(m))
end

function parts.models(runs)
  local out = {}
  for _, run in ipairs(runs) do
    local models, names = run.models.models, {}
    for name, m in pairs(type(models) == "table" and models or {}) do
      if type(m) == "table" then
        names[#names + 1] = name
      end
    end
    table.sort(names)
    for _, name in ipairs(names) do
      out[#out + 1] = model(run, name, models[name], #runs > 1, #runs == 1)
    end
  end
  return ('<section data-part="models">%s%s</section>\n'):format(#out > 0 and "<h2>Models</h2>\n"
    or "", table.concat(out))
end

function parts.problems(runs)
  local out = {}
  for _, run in ipairs(runs) do
    for _, problem in ipairs(run.problems) do
      out[#out + 1] = ("<p>%s: %s</p>\n"):format(escape(run.label), escape(short(problem)))
    end
  end
  return ('<section data-part="problems" class="soft">%s</section>\n'):format(table.concat(out))
end

function parts.footer(plot_version, live)
  return ('<footer class="soft"><p class="nojs">Without scripts the curves are drawings and all '
    .. "pictures are shown.</p>%s%s</footer>\n"):format(plot_version and "" or
    "<p>Curves are drawings: uPlot was not there when gan-lua was built.</p>",
    live and '<p id="following" role="status">following</p>' or "")
end

return parts
