-- Times training steps of the workloads in workloads.lua: a process of `scripts/bench train`, or by
-- itself:
--
--   gan-lua scripts/bench.d/train.lua --only ring_gan --threads 2 --steps 400

local gan = require "gan"

local folder = arg[0]:match "^(.*)/[^/]*$" or "."
package.path = folder .. "/?.lua;" .. package.path
local workloads = require "workloads"

local order = {
  "mlp_ae", "mlp_gan", "wgan_clip", "wgan_gp", "vae", "ring_gan", "dcgan28", "dcgan64",
  "conv_ae_unpool", "wgan_gp_conv", "gen_latency_b1", "gen_latency_b64",
}

local opt = gan.opts{
  "Times training steps; prints the median and the fastest.",
  { "only", "", "names of workloads with commas between; all" },
  { "threads", 2, "number of threads" },
  { "steps", 30, "steps that are timed" },
  { "warmup", 5, "steps before them" },
  { "json", false, "one JSON object a workload" },
  { "compile", false, "replay a recorded step (gan.compile)" },
  { "replay", "", "file with weights, data, noise and losses of another program: compare with it" },
  { "lr_scale", 1.0, "factor of Adam's learning rates, for --replay" },
  { "list", false, "print the names of the workloads" },
}
if not opt then return end
if opt.list then
  print(table.concat(order, "\n"))
  return
end

--- The highest number of bytes that the process held in memory, in MiB.
local function peak_rss()
  for line in io.lines "/proc/self/status" do
    local kib = line:match "^VmHWM:%s*(%d+)"
    if kib then return tonumber(kib) / 1024 end
  end
end

--- Function that returns the next batches of a workload, one after another, cyclically.
local function source(w)
  local i, n = 0, w.data and w.data:size(1) // w.batch
  return function()
    local list = {}
    for k = 1, w.batches do
      list[k] = w.data:slice(1, i * w.batch + 1, (i + 1) * w.batch)
      i = (i + 1) % n
    end
    return table.unpack(list)
  end
end

local function one_step(step, batches)
  return step(batches())
end

local function numbers(...)
  local list = { ... }
  for i, v in ipairs(list) do list[i] = v:mean():item() end
  return list
end

local function measure(name)
  gan.manual_seed(1)
  local w = workloads[name]()
  local step, batches = opt.compile and gan.compile(w.step) or w.step, source(w)
  local scope, time, seconds = gan.scope, gan.files.time, {}
  for _ = 1, opt.warmup do scope(one_step, step, batches) end
  for i = 1, opt.steps do
    local start = time()
    scope(one_step, step, batches)
    seconds[i] = time() - start
  end
  local losses = gan.scope(function() return numbers(one_step(step, batches)) end)
  table.sort(seconds)
  local n = #seconds
  local median = (seconds[(n + 1) // 2] + seconds[n // 2 + 1]) / 2
  return {
    workload = name, threads = gan.threads(), median_ms = median * 1e3, min_ms = seconds[1] * 1e3,
    samples_per_s = w.samples / median, peak_rss_mib = peak_rss(), steps = n, losses = losses,
    peak_tensor_mib = gan.memory().peak / 2 ^ 20,
  }
end

gan.threads(opt.threads)
for name in (opt.only ~= "" and opt.only or table.concat(order, ",")):gmatch "[^,]+" do
  if not workloads[name] then
    error(("unknown workload '%s'; --list prints the names"):format(name), 0)
  end
  local r = opt.replay ~= "" and require "replay"(name, workloads[name], opt) or measure(name)
  if opt.json or opt.replay ~= "" then
    print(gan.json.encode(r))
  else
    print(("%-16s t=%d  median %9.3f ms  min %9.3f ms  %10.0f samples/s  RSS %5.0f MiB"):format(
      name, r.threads, r.median_ms, r.min_ms, r.samples_per_s, r.peak_rss_mib))
  end
end
