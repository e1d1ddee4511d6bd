--- Run folders for the specs of reports: what a short training leaves, and one that means ill.

local gan = require "gan"
local gan_step = require "tests.gan_step"
local nn, optim = gan.nn, gan.optim

local runs = {}

-- Text that would do something if it came into a page as it is.
runs.evil = [[</script><script>injected=1</script><img src=x onerror="injected=2"><b>'"&]]

--- Trains a small GAN on noise: three epochs of four steps, with pictures and a doctor.
function runs.train(out, given)
  given = given or {}
  gan.manual_seed(given.seed or 1)
  local images = gan.rand(32, 1, 8, 8)
  local G = nn.Sequential{ name = "G", nn.Linear{ 4, 16 }, nn.BatchNorm1d{ 16 }, nn.ReLU{},
    nn.Linear{ 16, 64 }, nn.Tanh{}, nn.Unflatten{ 2, { 1, 8, 8 } } }
  local D = nn.Sequential{ name = "D", nn.Flatten{}, nn.Linear{ 64, 1 } }
  local G_opt, D_opt = optim.Adam{ G, lr = 1e-3 }, optim.Adam{ D, lr = 1e-3 }
  local run = gan.report.run{ out, options = { lr = 1e-3, seed = given.seed or 1,
    name = given.option or "plain" } }
  gan.train.loop{
    epochs = 3, run = run, quiet = true, doctor = gan.doctor{ G, D, codes = 4, say = print },
    batches = gan.data.batches{ images, batch_size = 8, range = { -1, 1 } },
    state = { G = G, D = D, G_opt = G_opt, D_opt = D_opt },
    step = gan_step(G, D, G_opt, D_opt, 4),
    after_epoch = function(epoch)
      run:image(("samples-%03d"):format(epoch), gan.no_grad(G:eval(), gan.randn(16, 4)),
        { range = { -1, 1 } })
      run:save{ G = G:train(), D = D }
    end,
  }
  return run, G
end

--- A folder whose every text is `runs.evil`.
function runs.hostile(out)
  local evil = runs.evil
  local run = gan.report.run{ out, options = { [evil] = evil, lr = 0.1 } }
  run:log{ [evil] = 1, D = 2, epoch = 1 }
  run:log{ [evil] = 0 / 0, D = 3, epoch = 2 }
  run:log{ doctor = evil, sentence = evil, advice = evil, step = 3 }
  run:result{ [evil] = evil }
  run:image("a 'b' &-001", gan.rand(1, 4, 4))
  run:image("a 'b' &-002", gan.rand(1, 4, 4))
  assert(gan.files.replace(run:path "model.json", gan.json.encode{ models = { [evil] = {
    parameters = evil, layers = { { name = evil, layer = evil, output = evil } } } },
    generator = { model = evil, codes = { 4 } } }))
  run:finish("failed: " .. evil)
  return run
end

return runs
