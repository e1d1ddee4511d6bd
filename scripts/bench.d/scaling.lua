-- Time per sample of whole GAN steps (one update of each net) against the batch and the width of
-- the layers. More samples at a time must never cost more for each: such entries are marked.
--
--   scripts/bench scaling --threads 2

local gan = require "gan"
local nn, optim, loss = gan.nn, gan.optim, gan.loss

local opt = gan.opts{
  "Microseconds per sample of dense and convolutional GAN steps, by batch and width.",
  { "threads", 2, "number of threads" },
  { "batches", "16,32,64,128,256,512", "samples in a batch" },
  { "widths", "1,2,4,8", "factors of the layers' widths" },
  { "nets", "dense,conv", "which kinds of nets" },
  { "rounds", 3, "passes over all batches; the fastest median counts" },
  { "seconds", 0.3, "how long an entry is measured in each round, at least three steps" },
  { "noise", 0.05, "growth that is not taken for growth" },
  { "json", "", "also write the table to this file" },
}
if not opt then return end

local nets = {}

--- G 100-64w-128w-784 with batch normalisation, D 784-128w-64w-1.
function nets.dense(w)
  return nn.Sequential{
    nn.Linear{ 100, 64 * w }, nn.BatchNorm1d{ 64 * w }, nn.LeakyReLU{ 0.2 },
    nn.Linear{ 64 * w, 128 * w }, nn.BatchNorm1d{ 128 * w }, nn.LeakyReLU{ 0.2 },
    nn.Linear{ 128 * w, 784 }, nn.Tanh{},
  }, nn.Sequential{
    nn.Linear{ 784, 128 * w }, nn.LeakyReLU{ 0.2 },
    nn.Linear{ 128 * w, 64 * w }, nn.LeakyReLU{ 0.2 },
    nn.Linear{ 64 * w, 1 },
  }, { 784 }
end

--- A DCGAN at 28 x 28 whose widest images have 16w channels.
function nets.conv(w)
  local c = 16 * w
  return nn.Sequential{
    nn.Linear{ 100, 2 * c * 49 }, nn.Unflatten{ 2, { 2 * c, 7, 7 } },
    nn.BatchNorm2d{ 2 * c }, nn.ReLU{},
    nn.ConvTranspose2d{ 2 * c, c, kernel_size = 4, stride = 2, padding = 1, bias = false },
    nn.BatchNorm2d{ c }, nn.ReLU{},
    nn.ConvTranspose2d{ c, 1, kernel_size = 4, stride = 2, padding = 1 }, nn.Tanh{},
  }, nn.Sequential{
    nn.Conv2d{ 1, c, kernel_size = 4, stride = 2, padding = 1 }, nn.LeakyReLU{ 0.2 },
    nn.Conv2d{ c, 2 * c, kernel_size = 4, stride = 2, padding = 1, bias = false },
    nn.BatchNorm2d{ 2 * c }, nn.LeakyReLU{ 0.2 },
    nn.Flatten{}, nn.Linear{ 98 * c, 1 },
  }, { 1, 28, 28 }
end

local function step_of(kind, width)
  local G, D, sizes = nets[kind](width)
  local G_params = G:parameters()
  local G_opt = optim.Adam{ G_params, lr = 2e-4, betas = { 0.5, 0.999 } }
  local D_opt = optim.Adam{ D, lr = 2e-4, betas = { 0.5, 0.999 } }
  return function(real)
    local fake = G(gan.randn(#real, 100))
    D_opt:zero_grad()
    local D_loss = loss.gan_discriminator_loss_logits(D(real), D(fake:detach()))
    D_loss:backward()
    D_opt:step()
    G_opt:zero_grad()
    local G_loss = loss.gan_generator_loss_logits(D(fake))
    G_loss:backward{ inputs = G_params }
    G_opt:step()
  end, sizes
end

local function median_seconds(step, real)
  local times, start = {}, gan.files.time()
  gan.scope(step, real) -- buffers of this size
  repeat
    local t = gan.files.time()
    gan.scope(step, real)
    local now = gan.files.time()
    times[#times + 1] = now - t
  until now - start > opt.seconds and #times >= 3
  table.sort(times)
  return times[(#times + 1) // 2]
end

local function integers(text)
  local list = {}
  for n in text:gmatch "%d+" do list[#list + 1] = math.tointeger(n) end
  return list
end

--- The least median over the rounds for each batch, in microseconds per sample.
local function measure(kind, width, batches)
  local step, sizes = step_of(kind, width)
  local row = {}
  for _ = 1, opt.rounds do
    for i, batch in ipairs(batches) do
      local us = gan.scope(function()
        local real = gan.rand(batch, table.unpack(sizes)):mul_(2):add_(-1)
        return median_seconds(step, real) / batch * 1e6
      end)
      row[i] = math.min(row[i] or math.huge, us)
    end
  end
  return row
end

gan.threads(opt.threads)
local batches, rows, grown = integers(opt.batches), {}, 0
print(("microseconds per sample, %d thread(s); ^ more than at a smaller batch"):format(opt.threads))
print(("%-6s %5s " .. ("%9s "):rep(#batches)):format("net", "width", table.unpack(batches)))
for kind in opt.nets:gmatch "[^,]+" do
  for _, width in ipairs(integers(opt.widths)) do
    local row, least, text = measure(kind, width, batches), math.huge, {}
    for i, us in ipairs(row) do
      local more = us > least * (1 + opt.noise)
      grown = grown + (more and 1 or 0)
      text[i] = ("%8.2f%s"):format(us, more and "^" or " ")
      least = math.min(least, us)
    end
    rows[#rows + 1] = { net = kind, width = width, batches = batches, us_per_sample = row }
    print(("%-6s %5s "):format(kind, "x" .. width) .. table.concat(text, " "))
  end
end
print(("%d entries grew"):format(grown))
if opt.json ~= "" then
  assert(gan.files.replace(opt.json, gan.json.encode(rows)))
end
