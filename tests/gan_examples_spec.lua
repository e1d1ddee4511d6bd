-- The examples of the GAN family run for a few steps, and a run that is stopped goes on to the same
-- weights.

local gan = require "gan"
local basics = require "gan.basics"

local program = require("tests.support").program()

local has_data = gan.data.fashion_mnist{ split = "test" } ~= nil

-- where MNIST was not fetched, clothes stand for its digits: the files have the same form
local stand_in = ""
if has_data and not gan.data.mnist{ split = "test" } then
  local folder = os.tmpname()
  os.remove(folder)
  os.execute(("mkdir -p '%s' && ln -s /usr/share/datasets/fashion-mnist '%s/mnist'"):format(folder,
    folder))
  stand_in = ("GAN_DATA='%s' "):format(folder)
end

local function run(name, options)
  local pipe = assert(io.popen(("%s%s examples/%s.lua %s 2>&1"):format(stand_in, program, name,
    options)))
  local text = pipe:read "a"
  return pipe:close(), text
end

--- A folder of small pictures, for the example that takes anybody's.
local function picture_folder()
  local folder = os.tmpname()
  os.remove(folder)
  assert(gan.files.mkdir(folder))
  for i = 1, 20 do
    assert(gan.image.save(("%s/%02d.png"):format(folder, i), gan.rand(3, 9 + i, 20)))
  end
  return folder
end

local pictures = picture_folder()

-- example -> options of a short run, the field of its log that must fall (nil: be finite) and to
-- which part of its value; further files that it leaves
local examples = {
  wgan = { "--images 160 --batch-size 16 --d-steps 2 --epochs 3 --write 10", "G", nil,
    "generated-001.npz" },
  wgan_gp = { "--images 96 --batch-size 16 --d-steps 2 --width 4 --epochs 3", "penalty" },
  conditional_gan = { "--images 96 --batch-size 16 --width 4 --epochs 3 --lr 0.002 --write 12", "D",
    0.95, "generated.npz" },
  ring = { "--batch-size 64 --epochs 3", "D", nil, "samples.png" },
  stacked_mnist = { "--images 300 --batch-size 8 --width 4 --d-width 4 --samples 500 --epochs 3 "
    .. "--pack 2 --unroll 2", "kl" },
  signal_gan = { "--images 96 --batch-size 16 --width 2 --epochs 3", "D", nil, "real.wav" },
  style_gan = { "--images 96 --batch-size 8 --width 2 --code 8 --epochs 3", "D", nil,
    "truncation.png" },
  own_images = { pictures .. " --size 8 --width 4 --batch-size 8 --epochs 5", "D", nil,
    "samples-0005.png" },
  detector = { "--data signals --images 96 --batch-size 16 --epochs 3", "A" },
}

if os.getenv "QUICK" then -- slow builds: one stands for all
  examples = { wgan_gp = examples.wgan_gp }
end

local function log(folder)
  local list = {}
  for line in io.lines(folder .. "/metrics.jsonl") do
    local entry = assert(gan.json.decode(line))
    list[#list + 1] = entry.epoch and entry or nil
  end
  return list
end

local function scratch()
  local folder = os.tmpname()
  os.remove(folder)
  return folder
end

describe("the example", function()
  teardown(function()
    os.execute("rm -rf '" .. pictures .. "'")
    if stand_in ~= "" then
      os.execute("rm -rf " .. stand_in:match "'.*'")
    end
  end)

  for name, case in pairs(examples) do
    it(name .. " trains, and resumes to the same weights", function()
      if not has_data then
        pending "the data sets are not installed"
        return
      end
      local whole, halves = scratch(), scratch()
      for _, command in ipairs{ case[1] .. " --steps 9 --out " .. whole,
        case[1] .. " --steps 4 --out " .. halves, "--resume --steps 9 --out " .. halves } do
        local ok, text = run(name, command)
        assert.is_true(ok, text)
      end
      assert.is_true(basics.read(whole .. "/weights.safetensors")
        == basics.read(halves .. "/weights.safetensors"), "the weights differ")
      local lines = log(whole)
      for _, line in ipairs(lines) do
        assert.equal("number", type(line[case[2]])) -- NaN and infinity would be text
      end
      if case[3] then
        assert.is_true(lines[#lines][case[2]] < case[3] * lines[1][case[2]], ("%s: %s to %s")
          :format(case[2], lines[1][case[2]], lines[#lines][case[2]]))
      end
      if case[4] then
        assert.is_true(#basics.read(whole .. "/" .. case[4]) > 100)
      end
      os.execute(("rm -rf '%s' '%s'"):format(whole, halves))
    end)

    it(name .. " explains its options", function()
      local ok, text = run(name, "--help")
      assert.is_true(ok, text)
      for _, option in ipairs{ "--epochs", "--batch-size", "--lr", "--seed", "--out", "--steps",
        "--compile", "--resume" } do
        assert.matches(option .. " ", text, 1, true)
      end
    end)
  end

  it("grid is the ring's with other data", function()
    local folder = scratch()
    local ok, text = run("grid", "--batch-size 64 --epochs 1 --steps 3 --out " .. folder)
    assert.is_true(ok, text)
    assert.equal("grid", assert(gan.json.decode(basics.read(folder .. "/options.json"))).data)
    os.execute("rm -rf '" .. folder .. "'")
  end)

  it("gan_compare fills its table", function()
    if not has_data then
      pending "the data sets are not installed"
      return
    end
    local folder = scratch()
    local ok, text = run("gan_compare", "--images 200 --batch-size 16 --epochs 1 --steps 2 "
      .. "--width 2 --samples 50 --only hinge,wgan,wgan_gp --out " .. folder)
    assert.is_true(ok, text)
    local results = assert(gan.json.decode(basics.read(folder .. "/compare.json")))
    for _, name in ipairs{ "hinge", "wgan", "wgan_gp" } do
      assert.is_true(results[name].frechet > 0)
    end
    assert.is_nil(results.minimax)
    os.execute("rm -rf '" .. folder .. "'")
  end)
end)
