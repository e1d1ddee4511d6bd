--- Help about what is written in C and is no op: methods of tensors, gan.grad and the like,
-- gan.files.
--
-- An entry is name, signature, text and an example that runs as a test. The signature is written as
-- those of ops are (runtime/core/op.h): before `;` by position, after it by name, `?` may be
-- absent, `=` default, after `->` results. Kinds besides those of ops: value (anything), table,
-- list, callable. record_of() makes records of them like those that gan.ops() returns.

-- family -> { what its calls begin with, entries }
local families = {}

families.tensor = { "x:", {
  { "shape", "-> sizes:list", "The sizes of all dimensions, as a list.",
    'gan.zeros(2, 3):shape()[2]' },
  { "size", "dim:dim? -> n:int",
    "The size of one dimension; without an argument all of them, as shape() gives them.",
    'gan.zeros(2, 3):size(-1)' },
  { "stride", "-> steps:list",
    "How many elements lie from one to the next along each dimension.",
    'gan.zeros(2, 3):t():stride()' },
  { "dim", "-> n:int", "The number of dimensions, 0 for a tensor that is one number.",
    'gan.zeros(2, 3):dim()' },
  { "numel", "-> n:int", "The number of elements.", 'gan.zeros(2, 3):numel()' },
  { "dtype", "-> name:dtype", [[
The type of the elements: "float32" ("float64" in the double build), "uint8" or "int64".
x:to(dtype) converts.]], 'gan.arange(1, 3):dtype()' },
  { "is_contiguous", "-> y:bool",
    "Whether the elements lie without gaps in memory, the last dimension fastest: x:contiguous().",
    'gan.zeros(2, 3):t():is_contiguous()' },
  { "item", "-> v:number", "The value of a tensor of one element, as a Lua number.",
    'gan.ones(3):sum():item()' },
  { "get", "...:index -> v:number",
    "The number at a position, one index for each dimension, from 1 or negative from the end.",
    'gan.ones(2, 3):get(2, -1)' },
  { "set", "v:number ...:index", [[
Writes a number at a position: x:set(v, i, j). A row is written by x[i] = v, v a number or a tensor
that is broadcast to the row. Neither has a gradient.]], 'gan.zeros(2, 3):set(5, 2, -1)' },
  { "totable", "-> t:value",
    "Nested tables of numbers; a number for a tensor without dimensions. gan.tensor reads them.",
    'gan.ones(2, 3):totable()[2][3]' },
  { "bytes", "-> s:text", [[
The elements in row-major order, little-endian, as a string: for files and sockets, and for hosts.
gan.tensor(s, {shape=, dtype=}) is the way back.]], '#gan.ones(2, 3):bytes()' },
  { "backward", "gy:tensor? ; inputs:tensors? retain_graph:bool? create_graph:bool=false", [[
Computes the gradient of x with respect to the leaves that require one, and adds it to their grad().
x is one element; otherwise gy, of x's sizes, is the gradient that arrives at x. The graph is freed
on the way: with `retain_graph` it stays and backward may be called again.

`inputs`: only these get a gradient, and only what they need is computed. `create_graph`: the
gradients are recorded, and can themselves be differentiated; it implies retain_graph.]],
    '(gan.randn(3):requires_grad_() ^ 2):sum():backward()' },
  { "grad", "-> g:tensor?", [[
The gradient that backward has added up, nil where there is none. It belongs to the tensor: it is
the same memory at every call, and zero_grad() drops it.]], 'gan.ones(2):requires_grad_():grad()' },
  { "set_grad", "g:tensor?", "Puts a tensor of the same sizes, or nil, in the gradient's place.",
    'gan.ones(2):requires_grad_():set_grad(gan.ones(2))' },
  { "zero_grad", "", "Drops the gradient: grad() is nil until the next backward.",
    'gan.ones(2):requires_grad_():zero_grad()' },
  { "requires_grad", "-> y:bool", "Whether a gradient for this tensor is, or can be, computed.",
    '(gan.ones(2):requires_grad_() * 2):requires_grad()' },
  { "requires_grad_", "on:bool=true -> x:tensor", [[
From now on ops on x are recorded (false: no more), in place. Returns x. Results of recorded ops
cannot be switched off: take x:detach().]], 'gan.randn(2, 3):requires_grad_()' },
  { "require_grad", "-> y:tensor",
    "A new leaf that shares x's memory and requires a gradient; x stays as it is.",
    'gan.randn(2, 3):require_grad()' },
  { "is_leaf", "-> y:bool", "Whether x is not the result of a recorded op.",
    'gan.ones(2):is_leaf()' },
  { "detach", "-> y:tensor", "The same memory without the graph: a constant for gradients.",
    '(gan.ones(2):requires_grad_() * 2):detach():requires_grad()' },
  { "keep", "-> x:tensor", "Takes x out of every scope: it lives while Lua holds it. Returns x.",
    'gan.scope(function() return gan.ones(2):keep() end)' },
  { "release", "",
    "Frees this handle's share of the memory at once. The tensor cannot be used any more.",
    'gan.ones(2):release()' },
} }

families.gan = { "gan.", {
  { "tensor", "value:value ; dtype:dtype? shape:shape? requires_grad:bool=false -> y:tensor", [[
A tensor from a number, a nested table, a string of bytes as x:bytes() gives it (with `shape`), or
from another tensor, which is copied. Numbers become float32 unless `dtype` says otherwise.]],
    'gan.tensor{{1, 2}, {3, 4}}' },
  { "is_tensor", "v:value -> y:bool", "Whether a value is a tensor.",
    'gan.is_tensor(gan.ones(2))' },
  { "ops", "-> records:list", [[
Everything about every op, as a list of tables: name, family, doc, example, params (name, kind,
optional, default, words, positional, mutated) and outputs. Help, completion and tests read it.]],
    '#gan.ops()' },
  { "manual_seed", "n:int", [[
Starts the generator of random numbers again. The same seed gives the same numbers, for any number
of threads. Lua's math.random has a generator of its own: math.randomseed.]],
    'gan.manual_seed(1)' },
  { "rng_state", "-> state:text", "Where the generator stands, for set_rng_state.",
    'gan.set_rng_state(gan.rng_state())' },
  { "set_rng_state", "state:text", "Continues from where rng_state() was called.",
    'gan.set_rng_state(gan.rng_state())' },
  { "host_rng_state", "-> state:text?",
    "Where Lua's math.random stands; nil where it is not Lua's own. Checkpoints keep it.",
    'gan.host_rng_state()' },
  { "set_host_rng_state", "state:text? -> done:bool",
    "Continues math.random from host_rng_state's text; whether that was possible.",
    'gan.set_host_rng_state(gan.host_rng_state())' },
  { "threads", "n:count? -> n:int",
    "Sets the number of threads (1 to 64) for everybody in the process, or tells it.",
    'gan.threads()' },
  { "isa", "-> name:text", [[
The instruction set for which the kernels in use were compiled: "base", "avx2" or "avx512". The
environment variable GAN_ISA chooses another before the start.]], 'gan.isa()' },
  { "grad", "y:tensor inputs:tensors ; create_graph:bool=false retain_graph:bool? "
    .. "allow_unused:bool=false grad_outputs:tensor? -> g:tensor", [[
The gradient of y with respect to each input, one result for each; gan.grad(y, a, b) or
gan.grad(y, {a, b}). What x:grad() holds is not touched. y is one element, otherwise `grad_outputs`
is the gradient that arrives at it. With `create_graph` the result can itself be differentiated: the
penalties of Wasserstein GANs. An input that y does not depend on is an error, or nil with
`allow_unused`.]],
    'local x = gan.randn(3):requires_grad_(); return gan.grad((x ^ 2):sum(), x)' },
  { "no_grad", "f:callable? ...:value -> ...:value", [[
Calls f(...) without recording, and returns its results. Without arguments recording is off until
the result is closed: local guard <close> = gan.no_grad().]],
    'gan.no_grad(function() return gan.ones(2) end)' },
  { "enable_grad", "f:callable? ...:value -> ...:value", "The opposite of no_grad, inside it.",
    'gan.enable_grad(function() return gan.ones(2) end)' },
  { "is_grad_enabled", "-> y:bool", "Whether ops are being recorded.", 'gan.is_grad_enabled()' },
  { "set_grad_enabled", "on:bool", "Switches recording on or off, until it is switched again.",
    'gan.set_grad_enabled(true)' },
  { "detach", "x:tensor -> y:tensor", "x:detach() as a function.", 'gan.detach(gan.ones(2))' },
  { "require_grad", "x:tensor -> y:tensor", "x:require_grad() as a function.",
    'gan.require_grad(gan.ones(2))' },
  { "Function", "; forward:callable backward:callable name:text? -> f:callable", [[
A function of your own with a gradient of your own. forward(ctx, ...) computes and is not recorded;
ctx:save(x, ...) keeps tensors for backward(ctx, gy, ...), where ctx:saved() returns them, and which
returns one gradient (or nil) for each argument of forward. A backward made of ops has a gradient
itself, for what was an argument or a result; ctx:save_constant(x) says that a tensor made inside is
meant as a constant. Other fields of ctx are free.]],
    'gan.Function{forward = function(_, x) return x * 2 end, '
    .. 'backward = function(_, gy) return gy * 2 end}(gan.ones(2))' },
  { "scope", "f:callable? ...:value -> ...:value", [[
Calls f(...) and frees the tensors made in it at its end, except those that it returns, those that
parameters hold, and what was kept. Without arguments, an open scope: local s <close> = gan.scope().
Training loops run each step in one: the collector does not see how large tensors are.]],
    'gan.scope(function() return gan.ones(2) end)' },
  { "keep", "...:value -> ...:value",
    "Lets tensors, also those in plain tables, outlive the scopes they were made in; returns them.",
    'gan.keep(gan.ones(2))' },
  { "memory", "-> m:table",
    "Bytes and counts: live, peak, cached, limit (0: none), tensors, nodes of the graph.",
    'gan.memory().live' },
  { "memory_limit", "bytes:int? -> before:int", [[
The most that tensors may use; nil: no limit. What would need more is an error, nothing is lost, and
the next op works. Returns the limit before, 0 for none.]], 'gan.memory_limit(nil)' },
  { "reset_peak", "", "gan.memory().peak starts again from what is live now.", 'gan.reset_peak()' },
  { "trim", "", "Gives the memory that is kept for the next tensors back to the system.",
    'gan.trim()' },
  { "methods", nil, "The methods of tensors, by name. A function put here becomes one." },
  { "config", nil, [[
How this was built: version, real (the compute type), max_dim (the most dimensions), blas (the
library for matrix products), blas_threads ("serial", "pthread" or "openmp").]] },
  { "debug", nil, [[
Instruments for tests and measurements, such as debug.anomaly and debug.trace.]] },
} }

families.files = { "gan.files.", {
  { "load_idx", "path:text -> x:any",
    "The array of an IDX file (MNIST's format), plain or gzip; or nil and a message." },
  { "load_npy", "path:text -> x:any", "The array of a .npy file; or nil and a message." },
  { "save_npy", "path:text x:any -> done:bool", "Writes a .npy file; true, or nil and a message." },
  { "load_npz", "path:text name:text? -> arrays:value",
    "The arrays of a .npz file by name, or the one that is named; or nil and a message." },
  { "npz_names", "path:text -> names:list",
    "The names of the arrays in a .npz file, sorted; or nil and a message." },
  { "save_npz", "path:text arrays:table ; compress:bool=false -> done:bool",
    "Writes {name = tensor} as a .npz file; true, or nil and a message." },
  { "load_csv", "path:text separator:text header:bool columns:list? labels:value -> "
    .. "x:tensor names:list labels:list", "A table of numbers and labels: see gan.data.csv." },
  { "load_wav", "path:text first:int? frames:int? -> x:tensor info:table",
    "Sound as (channels, frames) from -1 to 1, and wav_info's table; or nil and a message." },
  { "wav_info", "path:text -> info:table",
    "{rate=, channels=, frames=, bits=, format=} of a WAV file; or nil and a message." },
  { "save_wav", "path:text x:tensor rate:int bits:int floating:bool -> done:bool",
    "Writes a WAV file: see gan.data.save_wav." },
  { "read_image", "path:text ; channels:count? -> x:any", [[
A PNG or JPEG file as uint8 (C, H, W); or nil and a message. 1 channel is grey, 3 are RGB; default:
as in the file.]] },
  { "read_picture", "path:text channels:int height:int width:int crop:bool -> x:any", [[
A PNG or JPEG file resampled to a size, as uint8 (C, H, W); or nil and a message. channels 0: as in
the file. With `crop` the middle, otherwise the whole, stretched.]] },
  { "encode_png", "x:any -> bytes:any", "The PNG of uint8 (C, H, W) or (H, W), as a uint8 tensor.",
    'gan.files.encode_png(gan.zeros(1, 4, 4):to "uint8"):numel()' },
  { "write_png", "path:text x:any -> done:bool",
    "uint8 (C, H, W) or (H, W) as a PNG file; true, or nil and a message." },
  { "save_safetensors", "path:text tensors:table metadata:table? -> done:bool", [[
Writes {name = tensor} and, as metadata, {key = text} as a safetensors file, as a whole or not at
all; true, or nil and a message.]] },
  { "load_safetensors", "path:text -> tensors:table metadata:table",
    "{name = tensor} and {key = text} of a safetensors file; or nil and a message." },
  { "replace", "path:text bytes:text -> done:bool", [[
Writes a file as a whole or not at all: beside its place, synced, then renamed. true, or nil and a
message.]] },
  { "sync", "path:text -> done:bool",
    "Returns when what was written to the file is on the disk; true, or nil and a message." },
  { "list", "folder:text -> names:list is_folder:table",
    "The names in a folder, sorted, and {name = whether it is a folder}; or nil and a message." },
  { "scan", "folder:text -> files:list folders:list",
    "The names of the files and of the folders in a folder, sorted; or nil and a message." },
  { "mkdir", "path:text -> done:bool",
    "Makes a folder, with its parents; true, or nil and a message." },
  { "protect", "path:text -> done:bool",
    "From now on the file or folder is for its owner only; true, or nil and a message." },
  { "time", "-> seconds:number", "Seconds of a clock that is never set back.", 'gan.files.time()' },
  { "isatty", "fd:int=1 -> y:bool", "Whether a file descriptor is a terminal.",
    'gan.files.isatty(0)' },
  { "terminal_width", "-> columns:int?", "Columns of the terminal, nil without one.",
    'gan.files.terminal_width()' },
  { "crc32", "bytes:value crc:int=0 -> checksum:int",
    "The checksum of a string or of a tensor's elements, continued from that of earlier bytes.",
    'gan.files.crc32("abc")' },
  { "sources", "name:text? -> text:value", [[
The text of a Lua module inside the program or module, or nil; without a name, the list of them.
help and completion read it.]], '#gan.files.sources()' },
  { "picture_source", "paths:list channels:int height:int width:int crop:bool -> source:value",
    "Pictures that stay in their files: see gan.data.images." },
  { "sound_source", "paths:list first:list channels:int frames:int -> source:value",
    "Stretches of sound that stay in their files: see gan.data.sounds." },
  { "array_source", "path:text -> source:value",
    "An array that stays in its file: see gan.data.rows." },
} }

families.debug = { "gan.debug.", {
  { "anomaly", "on:bool -> before:bool",
    "While on, the op whose result or gradient is the first with a NaN raises an error.",
    'gan.debug.anomaly(gan.debug.anomaly(false))' },
  { "profile", "on:bool -> rows:list?", [[
Counts every op from now on; with false, stops and returns a list of {op=, backward=, calls=,
seconds=, flops=, bytes=}. gan.profile prints it.]] },
  { "trace", "listener:callable f:callable ...:value -> ...:value",
    "Calls f(...); after every op in it, listener(name, arguments by name, results) is called." },
  { "memory", "x:any -> view:text storage:number version:int", [[
What tells whether two tensors are the same memory seen the same way, a number for the memory, and
how often it was changed in place.]], 'gan.debug.memory(gan.ones(2))' },
  { "allocations", "-> n:int", "How many pieces of memory for tensors were asked for so far.",
    'gan.debug.allocations()' },
  { "fail_after", "k:int? -> pending:bool",
    "After k more allocations of tensor memory one fails; nil: none. For tests." },
  { "fail_io", "k:int? how:text? n:int=1 -> pending:bool", [[
After k more steps of writing files, n fail: "full" disk, "error", "readonly", or "kill", which ends
the process there; nil: none. For tests.]] },
  { "force_composed", "on:bool -> before:bool",
    "While on, gradients are computed by the composed formulas only. For tests." },
  { "collect_every", "n:int?", "A full collection at every n-th call; 0 or nil: none. For tests." },
  { "soft_limit", "bytes:int?",
    "The least number of live bytes above which a call starts with a collection (256 MiB; nil)." },
  { "can_record", nil, "Used by gan.compile." },
  { "recording", nil, "Used by gan.compile." },
  { "job", nil, "The processes that train together; used by gan.mpi." },
} }

-- ---- records -----------------------------------------------------------------------------------

local function literal(text)
  if text == "true" or text == "false" then
    return text == "true"
  end
  return tonumber(text) or text
end

local function parameters(text, positional, list)
  for item in text:gmatch "%S+" do
    local name, kind, rest = item:match "^([%w_.]+):([%a|]+)(.*)$"
    assert(name, "malformed signature: " .. item)
    list[#list + 1] = {
      name = name, kind = kind, positional = positional, optional = rest:sub(1, 1) == "?",
      default = rest:sub(1, 1) == "=" and literal(rest:sub(2)) or nil,
    }
    if rest == "=false" then
      list[#list].default = false
    end
  end
  return list
end

local function record_of(family, prefix, entry)
  local before, after = entry[2] or "", ""
  if before:find "%->" then
    before, after = before:match "^(.-)%->(.*)$"
  end
  local positional, named = before:match "^([^;]*);?(.*)$"
  return {
    family = family, prefix = prefix, name = entry[1], doc = entry[3], example = entry[4],
    is_value = entry[2] == nil,
    params = parameters(named, false, parameters(positional, true, {})),
    outputs = parameters(after, true, {}),
  }
end

local core = {
  aliases = { ["repeat"] = "tile", top_k = "topk" }, -- other names of ops
}

for family, content in pairs(families) do
  for _, entry in ipairs(content[2]) do
    core[#core + 1] = record_of(family, content[1], entry)
  end
end
table.sort(core, function(a, b)
  return a.family < b.family or a.family == b.family and a.name < b.name
end)

return core
