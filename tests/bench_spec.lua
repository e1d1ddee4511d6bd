-- The workloads of scripts/bench: each makes a step, and the check that compares them with the
-- peer's numbers finds equal ones equal and wrong ones wrong.
local gan = require "gan"

local program = arg[-1] or "build/gan-lua"
local names = {
  "mlp_ae", "mlp_gan", "wgan_clip", "wgan_gp", "vae", "ring_gan", "dcgan28", "dcgan64",
  "conv_ae_unpool", "wgan_gp_conv", "gen_latency_b1", "gen_latency_b64",
}

--- Runs train.lua; its JSON object.
local function run(...)
  local command = { program, "scripts/bench.d/train.lua --json --threads 2", ... }
  local pipe <close> = assert(io.popen(table.concat(command, " ")))
  return gan.json.decode(pipe:read "a")
end

describe("scripts/bench", function()
  for _, name in ipairs(names) do
    it("times a step of " .. name, function()
      local r = run("--steps 1 --warmup 0 --only", name)
      assert.equal(name, r.workload)
      assert.is_true(r.median_ms > 0 and r.samples_per_s > 0 and r.peak_rss_mib > 0)
      for _, loss in ipairs(r.losses) do
        assert.is_true(loss == loss and math.abs(loss) < 1e6)
      end
    end)
  end

  it("recognises equal and different losses", function()
    -- a file as the peer writes it: the ring's nets, two batches, two steps
    package.path = "scripts/bench.d/?.lua;" .. package.path
    gan.manual_seed(3)
    local w = require("workloads").ring_gan()
    local state = { data = w.data:slice(1, 1, 512):clone() }
    for name, net in pairs(w.nets) do
      for key, t in pairs(net:state_dict()) do state[name .. "." .. key] = t:detach():clone() end
    end
    local randn, losses = gan.randn, {}
    for i = 1, 2 do
      local noise = randn(256, 2)
      state["noise." .. i] = noise
      gan.randn = function() return noise end
      local D_loss, G_loss = w.step(state.data:slice(1, 256 * i - 255, 256 * i))
      losses[i] = { D_loss:item(), G_loss:item() }
    end
    gan.randn = randn
    state.losses = gan.tensor(losses)
    for name, net in pairs(w.nets) do
      for key, p in net:named_parameters() do
        state["after." .. name .. "." .. key] = p:detach():clone()
      end
    end

    local path = os.tmpname()
    assert(gan.files.save_safetensors(path, state))
    local r = run("--only ring_gan --replay", path)
    assert.is_true(r.worst_difference < 1e-5 and r.weights_difference < 1e-3)
    state["D.4.bias"] = state["D.4.bias"] + 0.01
    assert(gan.files.save_safetensors(path, state))
    r = run("--only ring_gan --replay", path)
    assert.is_true(r.worst_difference > 1e-3 and r.weights_difference > 0.05)
    os.remove(path)
  end)
end)
