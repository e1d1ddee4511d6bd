-- Weight sharing: the decoder uses the encoder's weights, transposed: h = f(W x + b), y = g(W^T h +
-- c). That halves the parameters, and regularises: the gap between training and test error is
-- smaller. Both nets are trained side by side on the same batches.
--
--   gan-lua examples/tied.lua --out runs/tied

local gan = require "gan"
local nn, optim, loss = gan.nn, gan.optim, gan.loss

local opt = gan.opts{
  "Trains an auto-encoder with tied weights beside one without.",
  {"code", 30, "numbers that remain of an image"},
  {"width", 500, "units of the hidden layer between image and code"},
  {"epochs", 10, "passes over the training images"},
  {"batch_size", 128, "images in a batch"},
  {"lr", 1e-3, "learning rate"},
  {"data", "fashion_mnist", "what to learn", choices = {"fashion_mnist", "mnist"}},
  {"images", 60000, "use only the first so many images: with few, the gap is larger"},
  run = "runs/tied",
}
if not opt then return end
gan.manual_seed(opt.seed)

local train = assert(gan.data[opt.data]{split = "train"})
local test = assert(gan.data[opt.data]{split = "test"})
train.images = train.images:slice(1, 1, opt.images)
local batches = gan.data.batches{train.images, batch_size = opt.batch_size, shuffle = true}

-- encoder 784-width-code; the decoder goes the same way back, with weights of its own or not
local function make(tied)
  local first, second = nn.Linear{784, opt.width}, nn.Linear{opt.width, opt.code}
  return nn.Sequential{
    nn.Flatten{},
    first, nn.ReLU{},
    second,
    tied and nn.TiedLinear{second} or nn.Linear{opt.code, opt.width}, nn.ReLU{},
    tied and nn.TiedLinear{first} or nn.Linear{opt.width, 784}, nn.Sigmoid{},
  }
end
local nets = {tied = make(true), untied = make(false)}
local names, adams, schedules = {"tied", "untied"}, {}, {}
for _, name in ipairs(names) do
  adams[name] = optim.Adam{nets[name]:parameters(), lr = opt.lr}
  schedules[name] = optim.CosineLR{adams[name], steps = opt.epochs, floor = 0.05}
end

local function step(images)
  local errors, x = {}, images:flatten(2)
  for _, name in ipairs(names) do
    local error = loss.squared_error(nets[name](x), x)
    adams[name]:zero_grad()
    error:backward()
    adams[name]:step()
    errors[name] = error
  end
  return errors
end

local function error_on(net, images)
  local x = images:slice(1, 1, math.min(#images, 10000)):flatten(2):to(gan.config.real) / 255
  return gan.metrics.summed_error(gan.metrics.features(net, x, {quiet = true}), x)
end

local run = gan.report.run{opt.out, options = opt, resume = opt.resume}
local samples = test.images:slice(1, 1, 10):to(gan.config.real) / 255

local function after_epoch(epoch, _, part)
  local rows, values = {samples}, {}
  for _, name in ipairs(names) do
    rows[#rows + 1] = gan.no_grad(nets[name], samples):reshape(10, 1, 28, 28)
    values["test_" .. name] = error_on(nets[name], test.images)
    schedules[name]:reach(part)
    run:save(nets[name], name) -- tied.safetensors, untied.safetensors
  end
  run:save(nets)
  run:image(("restored-%03d"):format(epoch), gan.cat(rows, {dim = 1}), {columns = 10})
  return values
end

gan.train.loop{
  epochs = opt.epochs, steps = opt.steps, minutes = opt.minutes, batches = batches, run = run,
  step = step, compile = opt.compile, after_epoch = after_epoch,
  state = {tied = nets.tied, untied = nets.untied, adams = adams, schedules = schedules},
}

local result = {}
for _, name in ipairs(names) do
  local file = assert(io.open(run:path(name .. ".safetensors"), "rb"))
  local bytes = file:seek "end"
  file:close()
  local learnt, unseen = error_on(nets[name], train.images), error_on(nets[name], test.images)
  result[name], result[name .. "_gap"], result[name .. "_bytes"] = unseen, unseen - learnt, bytes
  result[name .. "_parameters"] = nets[name]:num_parameters()
  print(("%-6s  %7d parameters, a file of %4d kB, test error %.2f, %.2f above training"):format(
    name, result[name .. "_parameters"], bytes // 1000, unseen, unseen - learnt))
end
run:result(result)
print(("tied weights: %.0f %% of the parameters, %+.1f %% test error"):format(
  100 * result.tied_parameters / result.untied_parameters,
  100 * (result.tied / result.untied - 1)))
print("pictures, metrics and weights are in " .. opt.out)
