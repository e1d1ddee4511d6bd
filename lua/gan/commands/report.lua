--- gan-lua report: the page of a run, of several beside each other, or one that follows them.

local gan = require "gan"
local apng = require "gan.report.apng"
local commands = require "gan.commands"
local page = require "gan.report.page"
local read = require "gan.report.read"

--- The run folders that were named, and those within folders that are none themselves.
local function find(words)
  local folders = {}
  for _, word in ipairs(words) do
    if read.is_run(word) then
      folders[#folders + 1] = word
    else
      local before = #folders
      for _, name in ipairs(commands.must(gan.files.list(word))) do
        local inner = word:gsub("(.)/+$", "%1") .. "/" .. name
        folders[#folders + 1] = read.is_run(inner) and inner or nil
      end
      if #folders == before then
        commands.fail("%s: is no run folder, and has none in it", word)
      end
    end
  end
  return folders
end

local function animate(folders, o)
  if #folders ~= 1 then
    commands.fail "--animate: takes the pictures of one run"
  end
  local run = read.run(folders[1])
  local series
  for _, s in ipairs(run.series) do
    if o.series == s.name or o.series == "" and not series then
      series = s
    end
  end
  if not series then
    commands.fail("%s: has no pictures%s", run.path, o.series ~= "" and " called " .. o.series
      or "")
  end
  local paths = {}
  for i, frame in ipairs(series) do
    paths[i] = run.path .. "/" .. frame.file
  end
  local bytes, left_out = apng.join(paths, { delay = o.delay })
  commands.must(bytes, left_out)
  commands.must(gan.files.replace(o.animate, bytes))
  print(("%s: %d pictures%s"):format(o.animate, #paths - left_out, left_out > 0
    and (", %d of another size left out"):format(left_out) or ""))
end

local function follow(folders, o)
  local serve = require "gan.report.serve"
  local server = commands.must(serve.open(folders, { port = o.port }))
  print(("http://127.0.0.1:%d/ shows %d run%s; Ctrl-C ends it"):format(server.port, #folders,
    #folders == 1 and "" or "s"))
  io.stdout:flush()
  local program = package.loaded["gan.program"] -- in which Ctrl-C may wait for the end of a turn
  program.defer(true)
  repeat
    server:turn(0.5)
  until program.pending()
  server:close()
end

return {
  summary = "writes the page of a run, or of several compared",
  usage = "[RUN...] [options]",
  words = { 0, math.huge },
  about = "Writes one self-contained page with curves, pictures, the doctor's findings, models\n"
    .. "and options of the runs in the folders RUN (default: all in the folder runs). With\n"
    .. "--serve it shows them on a local address instead, and the page follows runs that are\n"
    .. "going on; that needs lua-socket.",
  options = {
    { "out", "", "file; default: index.html in the run's folder, report.html for several" },
    { "serve", false, "serve the page on this machine, for this machine only" },
    { "port", 8080, "where to serve (0: any free port)" },
    { "animate", "", "write the run's pictures as one animated PNG into this file" },
    { "series", "", "which pictures to animate, as in samples" },
    { "delay", 0.25, "seconds that each picture stays" },
    { "pictures", 6.0, "megabytes of pictures in the page at most" },
  },
  run = function(o)
    if o.port < 0 or o.port > 65535 then
      commands.fail "--port: must be 0 to 65535"
    elseif not (o.delay > 0 and o.pictures >= 0) then
      commands.fail "--delay must be over 0, --pictures not negative"
    end
    local folders = find(#o > 0 and table.move(o, 1, #o, 1, {}) or { "runs" })
    if o.animate ~= "" then
      return animate(folders, o)
    elseif o.serve then
      return follow(folders, o)
    end
    local out = o.out ~= "" and o.out or #folders == 1 and folders[1] .. "/index.html"
      or "report.html"
    local runs = {}
    for i, folder in ipairs(folders) do
      runs[i] = read.run(folder)
    end
    commands.must(gan.files.replace(out, page.render(runs, { limit = o.pictures * 1e6 })))
    print(("%s: %d run%s"):format(out, #runs, #runs == 1 and "" or "s"))
  end,
}
