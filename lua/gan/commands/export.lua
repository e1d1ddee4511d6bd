--- gan-lua export: a model of a run for other programs.

local gan = require "gan"
local commands = require "gan.commands"
local rebuild = require "gan.report.rebuild"

local endings = { onnx = ".onnx", safetensors = ".safetensors", npz = ".npz" }

--- The sizes of a model's input: given, or the generator's codes.
local function input_of(given, name, described)
  local sizes, maker = {}, described.generator or {}
  for n in given:gmatch "[^,x ]+" do
    sizes[#sizes + 1] = math.tointeger(tonumber(n)) or commands.fail("--input: '%s' is no size", n)
  end
  if #sizes > 0 then
    return sizes
  elseif maker.model ~= name or type(maker.codes) ~= "table" then
    commands.fail("--input: name the sizes that model '%s' takes, as in --input 1,28,28", name)
  end
  return maker.codes
end

local function to_onnx(m, name, described, o)
  local input = table.move(input_of(o.input, name, described), 1, 8, 2, { 1 })
  local maker = described.generator or {}
  if maker.model == name and maker.labels then
    input = { input, gan.tensor({ 1 }, { dtype = "int64" }) }
  end
  m:eval()
  local ok, message, problem = pcall(gan.onnx.export, m, o.out, { input = input })
  commands.must(ok and message or nil, ok and problem or message)
end

return {
  summary = "writes a model of a run for other programs",
  usage = "RUN [options]",
  words = { 1, 1 },
  about = "Writes a model of the run in folder RUN: as ONNX, which other programs and browsers\n"
    .. "run, or its weights as safetensors or npz, with PyTorch's names.",
  options = {
    { "format", "onnx", "what to write", choices = { "onnx", "safetensors", "npz" } },
    { "model", "", "which model, as the run calls it; default: the one that makes samples" },
    { "out", "", "file; default: the model's name and the format's ending" },
    { "input", "", "sizes of the model's input without the batch, as in 1,28,28 (onnx)" },
    { "script", "", "the script that trained the run, for models that cannot be described" },
  },
  run = function(o)
    local m, name, described = rebuild.model(o[1], { name = o.model ~= "" and o.model or nil,
      script = o.script ~= "" and o.script or nil })
    commands.must(m, name)
    o.out = o.out ~= "" and o.out or name .. endings[o.format]
    if o.format == "onnx" then
      to_onnx(m, name, described, o)
    elseif o.format == "safetensors" then
      commands.must(m:save(o.out))
    else
      commands.must(gan.data.save_npz(o.out, m:state_dict()))
    end
    print(("%s: model %s, %d parameters"):format(o.out, name, m:num_parameters()))
  end,
}
