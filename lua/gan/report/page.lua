--- The page of a run, or of several beside each other: one HTML file with everything in it.
--
--     page.render{read.run "runs/a", read.run "runs/b"}     -- the text
--
-- Whatever comes from a run is text: it is escaped where it stands in HTML, and the numbers for the
-- curves are JSON without a `<`. A content security policy forbids the page every request, and
-- every script and style but those written here (by a random word that no run can know).

local gan = require "gan"
local json = require "gan.json"
local parts = require "gan.report.parts"
local read = require "gan.report.read"

local page = {}

local POINTS = 24000 -- of all curves of a page together: about 500 kB

local escape = parts.escape

--- A word for this page alone.
local function nonce()
  local file = io.open("/dev/urandom", "rb")
  local bytes = file and file:read(18)
  if file then
    file:close()
  end
  bytes = bytes or ("%.17g %s"):format(gan.files.time(), tostring({}))
  return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

-- ---- the data of the curves -----------------------------------------------------------------

local function number(v)
  return v and ("%.6g"):format(v):gsub(",", ".") or "null"
end

local function numbers(list)
  local out = {}
  for i, v in ipairs(list) do
    out[i] = number(v)
  end
  return "[" .. table.concat(out, ",") .. "]"
end

--- Strings in a script element: `<` would end it or open a comment.
local function quoted(text)
  return (json.encode(parts.utf8(text)):gsub("[<>&\u{2028}]", { ["<"] = "\\u003c",
    [">"] = "\\u003e", ["&"] = "\\u0026" }))
end

local function curves(run, most)
  local out = {}
  for _, name in ipairs(run.names) do
    local x, t, y = read.thin(run.curves[name].x, run.curves[name].t, run.curves[name].y, most)
    out[#out + 1] = ('%s:{"x":%s,"t":%s,"y":%s}'):format(quoted(name), numbers(x), numbers(t),
      numbers(y))
  end
  return "{" .. table.concat(out, ",") .. "}"
end

local function data(runs, names, axis)
  local count, out, colours = 0, {}, {}
  for _, run in ipairs(runs) do
    count = count + #run.names
  end
  for i, name in ipairs(names) do
    colours[i] = ("%s:%d"):format(quoted(name), i - 1)
  end
  local most = math.max(40, math.min(2000, POINTS // math.max(count, 1)))
  for i, run in ipairs(runs) do
    out[i] = ('{"name":%s,%s"curves":%s}'):format(quoted(run.label),
      #runs == 1 and ('"colours":{%s},'):format(table.concat(colours, ",")) or "",
      curves(run, most))
  end
  return ('{"axis":%s,"runs":[%s]}'):format(quoted(axis), table.concat(out, ","))
end

-- ---- the whole ------------------------------------------------------------------------------

--- Names to tell the runs by: their folders', with what is before where two are the same.
local function label_runs(runs)
  local count = {}
  for _, run in ipairs(runs) do
    count[run.name] = (count[run.name] or 0) + 1
  end
  for _, run in ipairs(runs) do
    run.label = count[run.name] > 1 and run.path or run.name
  end
end

--- The curves of all runs and their names in order.
local function gather(runs)
  local seen, names, axis = {}, {}, runs[1] and runs[1].axis or "line"
  for _, run in ipairs(runs) do
    run.curves = {}
    axis = run.axis == axis and axis or "line"
    for _, name in ipairs(run.names) do
      local x, t, y = read.curve(run, name)
      run.curves[name] = { x = x, t = t, y = y }
      if not seen[name] then
        seen[name], names[#names + 1] = true, name
      end
    end
  end
  table.sort(names)
  return names, axis
end

local function policy(word, live)
  return ("default-src 'none'; script-src 'nonce-%s'; style-src 'nonce-%s'; img-src %s; "
    .. "connect-src %s; base-uri 'none'; form-action 'none'"):format(word, word,
    live and "'self' data:" or "data:", live and "'self'" or "'none'")
end

local function assets()
  local ok, found = pcall(require, "gan.report.assets")
  return ok and found or { css = "", js = "", plot_css = "", plot_js = "" }
end

local function head(runs, title, word, live, a)
  local css = a.plot_css .. "\n" .. a.css
  return ([[
<!doctype html>
<html lang="en"%s>
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="%s">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="gan-lua %s">
<title>%s</title>
<link rel="icon" href="data:,">
<style nonce="%s">
%s</style>
<script nonce="%s">document.documentElement.classList.add("js")</script>
</head>
]]):format(live and ' data-live="1"' or "", policy(word, live), gan.config.version, escape(title),
    word, css, word), #runs
end

--- The parts of a page that change while a run goes on.
local function changing(runs, given)
  local names, axis = gather(runs)
  return table.concat{
    parts.header(runs), parts.findings(runs), parts.charts(runs, names, axis),
    parts.pictures(runs, given), parts.tables(runs), parts.models(runs), parts.problems(runs),
    ('<script type="application/json" id="data" data-part="data">%s</script>\n'):format(
      data(runs, names, axis)),
  }
end

--- page.render(runs, {title=, live=, picture=, limit=}) -> HTML
--
-- runs    what read.run made of folders, one or more
-- live    true for a page that is served: it asks its server for news
-- picture function(run, file) -> the address of a picture; default: the picture itself, inlined
-- limit   bytes of inlined pictures at most, default 6 MB: where there are more, of each series the
--         newest and evenly spaced ones are shown, and the page says so
function page.render(runs, given)
  given = given or {}
  local a, word = assets(), nonce()
  label_runs(runs)
  local title = given.title or (#runs == 1 and runs[1].label or ("%d runs"):format(#runs))
  local out = { (head(runs, title, word, given.live, a)), "<body>\n", changing(runs, given),
    parts.footer(a.version, given.live) }
  for _, script in ipairs{ a.plot_js, a.js } do
    if script ~= "" then
      out[#out + 1] = ('<script nonce="%s">%s</script>\n'):format(word, script)
    end
  end
  out[#out + 1] = "</body>\n</html>\n"
  return table.concat(out)
end

--- page.fragment(runs, given) -> the changing parts alone, for a page that is already there.
function page.fragment(runs, given)
  label_runs(runs)
  return changing(runs, given or {})
end

--- The version of uPlot in this program's pages; nil: curves are drawings.
function page.plotter()
  return assets().version
end

return page
