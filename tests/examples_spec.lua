-- Every example runs for a few steps on a few images, and its loss falls.

local gan = require "gan"
local basics = require "gan.basics"
local killing = require "tests.killing"

-- example -> further options, the loss that must fall (nil: only be finite), and how far
local examples = {
  autoencoder = { "--steps 40 --images 1280 --epochs 4 --lr 0.001", "error", 0.9 },
  conv_autoencoder = { "--steps 20 --images 320 --epochs 4 --lr 0.003", "error", 0.9 },
  vae = { "--steps 40 --images 1280 --epochs 4", "bound", 0.9 },
  pretraining = { "--steps 40 --images 1280 --epochs 4 --no-pretrain", "cross_entropy", 0.95 },
  denoising = { "--steps 20 --images 320 --epochs 4 --width 4 --batch-size 64", "error", 0.9 },
  sparse = { "--steps 20 --images 640 --epochs 4 --probe-epochs 1 --units 200 --active 20", "error",
    0.9 },
  tied = { "--steps 20 --images 640 --epochs 4", "tied", 0.9 },
  compression = { "--steps 20 --images 640 --epochs 4 --bytes 8", "error", 0.9 },
  code_plot = { "--steps 20 --images 640 --epochs 4 --size 60", "error", 0.9 },
  perturbation = { "--steps 20 --images 640 --epochs 4", "error", 0.9 },
  dual_superresolution = { "--steps 20 --images 640 --epochs 4", "loss", 0.9 },
  dual_denoising = { "--steps 20 --images 640 --epochs 4", "loss", 0.9 },
  adversarial_autoencoder = { "--steps 20 --images 640 --epochs 4", "error", 0.9 },
  vqvae = { "--steps 20 --images 320 --epochs 4 --batch-size 64 --vectors 32", "error", 0.9 },
  gan = { "--steps 12 --images 128 --epochs 12", "D", 0.9 },
  dcgan = { "--steps 12 --images 32 --epochs 12 --batch-size 32 --width 8 --lr 0.002", "D", 0.9 },
}

-- Every example saves and resumes through the same loop: these stand for the kinds of state. In the
-- slow builds (QUICK) a few examples stand for all.
local resumed = { gan = true, dcgan = true, vae = true, denoising = true, pretraining = true }
if os.getenv "QUICK" then
  resumed = { gan = true }
  for name in pairs(examples) do
    if name ~= "gan" and name ~= "vae" and name ~= "conv_autoencoder" then
      examples[name] = nil
    end
  end
end

local function run(name, options)
  local interpreter = arg and arg[-1] or "build/gan-lua"
  for i = -1, -20, -1 do
    interpreter = arg and arg[i] or interpreter
  end
  local pipe = assert(io.popen(("%s examples/%s.lua %s 2>&1"):format(interpreter, name, options)))
  local text = pipe:read "a"
  return pipe:close(), text
end

local function metrics(folder)
  local list = {}
  for line in io.lines(folder .. "/metrics.jsonl") do
    list[#list + 1] = assert(gan.json.decode(line))
  end
  return list
end

local has_data = gan.data.fashion_mnist{ split = "test" } ~= nil

describe("the example", function()
  for name, case in pairs(examples) do
    it(name .. " trains", function()
      if not has_data then
        pending "Fashion-MNIST is not installed"
        return
      end
      local folder = os.tmpname()
      os.remove(folder)
      local ok, text = run(name, case[1] .. " --out " .. folder)
      assert.is_true(ok, text)
      local lines = metrics(folder)
      assert.is_true(#lines >= 2)
      assert.is_true(lines[#lines][case[2]] < case[3] * lines[1][case[2]],
        ("%s: %s to %s"):format(case[2], lines[1][case[2]], lines[#lines][case[2]]))
      assert.is_table(gan.files.load_safetensors(folder .. "/weights.safetensors"))
      os.execute("rm -rf '" .. folder .. "'")
    end)

    local resumes = resumed[name] and it or function() end
    resumes(name .. " resumes to the same weights, from the middle of an epoch", function()
      if not has_data then
        pending "Fashion-MNIST is not installed"
        return
      end
      local whole, halves = os.tmpname(), os.tmpname()
      os.remove(whole)
      os.remove(halves)
      local options = "--images 96 --batch-size 16 --epochs 3"
        .. (name == "dcgan" and " --width 4" or "")
      for _, command in ipairs{ options .. " --steps 11 --out " .. whole,
        options .. " --steps 4 --out " .. halves, "--resume --steps 9 --out " .. halves,
        "--resume --steps 11 --out " .. halves } do
        local ok, text = run(name, command)
        assert.is_true(ok, text)
      end
      assert.equal(killing.log(whole), killing.log(halves))
      assert.is_true(basics.read(whole .. "/weights.safetensors")
        == basics.read(halves .. "/weights.safetensors"), "the weights differ")
      os.execute(("rm -rf '%s' '%s'"):format(whole, halves))
    end)

    it(name .. " explains its options", function()
      local ok, text = run(name, "--help")
      assert.is_true(ok, text)
      for _, option in ipairs{ "--epochs", "--batch-size", "--lr", "--seed", "--out", "--steps",
        "--resume" } do
        assert.matches(option .. " ", text, 1, true)
      end
      ok, text = run(name, "--epoch 3")
      assert.is_nil(ok)
      assert.matches("unknown option --epoch, did you mean --epochs?", text, 1, true)
    end)
  end
end)
