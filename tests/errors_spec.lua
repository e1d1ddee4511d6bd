-- Misuse, and what the user is told: the message names the op, the argument in the user's terms and
-- the shapes, with a hint where there is one. Each row is a call and its exact message.
local gan = require "gan"

local cases = {
  { "gan.relu()",
    "relu: argument 1 'x' must be a tensor, got nothing (call it as gan.relu(x) or " ..
    "x:relu())" },
  { "gan.relu(nil)",
    "relu: argument 1 'x' must be a tensor, got nil (call it as gan.relu(x) or x:relu())" },
  { "gan.relu(3)",
    "relu: argument 1 'x' must be a tensor, got 3 (gan.tensor(...) makes one of a number)" },
  { "gan.relu{1,2}",
    "relu: argument 1 'x' must be a tensor, got a table (gan.tensor{...} makes one of a " ..
    "table)" },
  { "gan.relu('x')",
    "relu: argument 1 'x' must be a tensor, got string 'x'" },
  { "gan.relu(print)",
    "relu: argument 1 'x' must be a tensor, got a function" },
  { "gan.relu(x, 1)",
    "relu: argument 2 (1) is too many" },
  { "x:matmul(x)",
    "matmul: inner sizes differ, (2 x 3) and (2 x 3)" },
  { "x:matmul()",
    "matmul: argument 2 'b' must be a tensor, got nothing" },
  { "x:matmul{1,2}",
    "matmul: argument 2 'b' must be a tensor, got a table (gan.tensor{...} makes one of " ..
    "a table)" },
  { "x + v",
    "add: shapes (2 x 3) and (4) do not match (dimension 2: 3 and 4)" },
  { "x + nil",
    "add: argument 2 'b' must be a tensor or a number, got nil" },
  { "x + '1'",
    "add: argument 2 'b' must be a tensor or a number, got string '1'" },
  { "x + {}",
    "add: argument 2 'b' must be a tensor or a number, got a table (gan.tensor{...} " ..
    "makes one of a table)" },
  { "x < x",
    "tensors have no order: use x:lt(y) for each element" },
  { "x <= 3",
    "tensors have no order: use x:le(y) for each element" },
  { "x .. x",
    "attempt to concatenate a gan.tensor value (global 'x')" },
  { "x:sum(0)",
    "sum: dimensions start at 1" },
  { "x:sum(3)",
    "sum: dimension 3 is out of range, the tensor (2 x 3) has 2" },
  { "x:sum(1, true)",
    "sum: argument 3 (true) is too many; options are given by name: {keepdim=...}" },
  { "x:sum{1, 1}",
    "sum: dimension 1 is listed twice" },
  { "x:sum(1.5)",
    "sum: argument 2 'dims': element 1 must be an integer, got 1.5" },
  { "x:sum{dimss=1}",
    "sum: unknown option 'dimss', did you mean 'dims'?" },
  { "x:sum{'a'}",
    "sum: argument 2 'dims': element 1 must be an integer, got string 'a'" },
  { "x:mean(-3)",
    "mean: dimension -3 is out of range, the tensor (2 x 3) has 2" },
  { "gan.zeros(2,-3)",
    "zeros: size 2 is negative (-3)" },
  { "gan.zeros('2')",
    "zeros: argument 1 'shape' must be a list of sizes, got string '2'" },
  { "gan.zeros{2, 1.5}",
    "zeros: argument 1 'shape': element 2 must be an integer, got 1.5" },
  { "gan.zeros(1,2,3,4,5,6,7,8,9)",
    "zeros: 9 dimensions asked for, at most 8 are possible" },
  { "gan.zeros(2^40, 2^40)",
    "zeros: shape (1099511627776 x 1099511627776) has too many elements" },
  { "gan.zeros()",
    "zeros: argument 1 'shape' must be a list of sizes, got nothing" },
  { "gan.zeros{2,dtype='float16'}",
    "zeros: option 'dtype' must be one of float32, uint8, int64, got string 'float16'" },
  { "gan.zeros{2,dtpe='uint8'}",
    "zeros: unknown option 'dtpe', did you mean 'dtype'?" },
  { "gan.conv2d(x, x, {stide=2})",
    "conv2d: unknown option 'stide', did you mean 'stride'?" },
  { "gan.conv2d(ones(1,3,8,8), ones(4,2,3,3))",
    "conv2d: weight (4 x 2 x 3 x 3) wants 2 channels in 1 group, input is (1 x 3 x 8 x 8)" },
  { "gan.conv2d(ones(1,3,2,2), ones(4,3,3,3))",
    "conv2d: the kernel of weight (4 x 3 x 3 x 3) spans 3 (dilation 1), more than the " ..
    "padded size 2 of dimension 3 of input (1 x 3 x 2 x 2)" },
  { "gan.conv2d(ones(1,3,8,8), ones(4,3,3,3), {stride=0})",
    "conv2d: stride must be at least 1, got 0" },
  { "gan.conv2d(ones(1,3,8,8), ones(4,3,3,3), {stride={1,2,3}})",
    "conv2d: stride has 3 numbers, expected 1 or 2, (h, w)" },
  { "gan.conv2d(ones(1,3,8,8), ones(4,3,3,3), {stride='2'})",
    "conv2d: option 'stride' must be an integer or a list of integers, got string '2'" },
  { "gan.conv2d(ones(1,3,8,8))",
    "conv2d: argument 2 'weight' must be a tensor, got nothing" },
  { "gan.mse_loss(x, v)",
    "mse_loss: x and t must have the same shape, got (2 x 3) and (4) (losses do not " ..
    "broadcast)" },
  { "gan.mse_loss(x, x, {reduction='men'})",
    "mse_loss: option 'reduction' must be one of none, mean, sum, got 'men', did you " ..
    "mean 'mean'?" },
  { "gan.mse_loss(x, x, {reduction=1})",
    "mse_loss: option 'reduction' must be one of none, mean, sum, got 1" },
  { "gan.cross_entropy(x, gan.tensor({1,4},{dtype='int64'}))",
    "cross_entropy: label 4 at position 2 is not one of the classes 1..3" },
  { "gan.cross_entropy(x, ones(2))",
    "cross_entropy: argument 't' must be an int64 tensor, got float32 (convert it with " ..
    'x:to("int64"))' },
  { "gan.cross_entropy(x, gan.tensor({0,1},{dtype='int64'}))",
    "cross_entropy: label 0 at position 1 is not one of the classes 1..3" },
  { "x:reshape(4,2)",
    "reshape: x (2 x 3) has 6 elements, they do not fit (4 x 2)" },
  { "x:reshape(-1,-1)",
    "reshape: only one size may be -1, got (-1 x -1)" },
  { "x:permute(1)",
    "permute: x (2 x 3) has 2 dimensions, 1 were listed" },
  { "x:permute(1,1)",
    "permute: dimension 1 is listed twice" },
  { "x:expand(2,4)",
    "expand: x (2 x 3) cannot be expanded to (2 x 4): dimension 2 has size 3" },
  { "gan.cat()",
    "cat: argument 1 'x' must be a list of tensors, got nothing" },
  { "gan.cat{}",
    "cat: at least one tensor is needed" },
  { "gan.cat(x, v)",
    "cat: tensor 2 is (4), it does not fit the first, (2 x 3), outside dimension 1" },
  { "gan.cat{x, 3}",
    "cat: argument 1 'x': element 2 must be a tensor, got 3" },
  { "gan.cat{x, labels}",
    "cat: argument 'x' mixes float32 and int64 tensors" },
  { "gan.stack{x, v}",
    "stack: tensor 2 is (4), the first is (2 x 3)" },
  { "x:view(7)",
    "view: x (2 x 3) has 6 elements, they do not fit (7)" },
  { "x:to('int32')",
    "to: argument 2 'dtype' must be one of float32, uint8, int64, got string 'int32'" },
  { "x + labels",
    "add: argument 'b' must be a float32 tensor, got int64 (convert it with " ..
    'x:to("float32"))' },
  { "labels:relu()",
    "relu: argument 'x' must be a float32 tensor, got int64 (convert it with " ..
    'x:to("float32"))' },
  { "x:gather(x, 1)",
    "gather: argument 'idx' must be an int64 tensor, got float32 (convert it with " ..
    'x:to("int64"))' },
  { "x:index_select(gan.tensor({5},{dtype='int64'}), 1)",
    "index_select: idx holds 5 at position 1, outside 1 .. 2" },
  { "x:squeeze(1)",
    "squeeze: dimension 1 of x (2 x 3) has size 2, only a size of 1 can be taken away" },
  { "x:slice(1, 1, 2, 0)",
    "slice: step must be at least 1, got 0" },
  { "x:split(0)",
    "split: the sizes (0) do not add up to dimension 1 of x (2 x 3)" },
  { "x:norm('x')",
    "norm: argument 2 'p' must be a number, got string 'x'" },
  { "x:item()",
    "item: the tensor has shape (2 x 3); only one of a single element is a number " ..
    "(x:get(i, ...), x:totable())" },
  { "x:get(1)",
    "get: the tensor (2 x 3) needs 2 positions, got 1" },
  { "x:get(0,1)",
    "get: positions start at 1" },
  { "x:set(1,3,1)",
    "set: position 3 is out of range in dimension 1 of (2 x 3)" },
  { "x:size(0)",
    "size: dimensions start at 1" },
  { "dead:relu()",
    "relu: argument 1 'x': tensor was released" },
  { "gone:relu()",
    "relu: argument 1 'x': tensor was released when its scope closed (x:keep() keeps it)" },
  { "gan.cat{x, dead}",
    "cat: argument 1 'x': element 2: tensor was released" },
  { "dead + 1",
    "add: argument 1 'a': tensor was released" },
  { "p:add_(1)",
    "add_: 'x' is part of a gradient graph and cannot be changed in place (use " ..
    "gan.no_grad, x:detach(), or the form without underscore)" },
  { "gan.ones(1):expand(3):add_(1)",
    "add_: 'x' is an expanded view (3): several of its elements are one in memory (make " ..
    "a copy first with x:contiguous())" },
  { "x:backward()",
    "backward: the tensor does not depend on anything that requires a gradient" },
  { "(p*2):backward()",
    "backward: the tensor has shape (2): only a single number has a gradient without one " ..
    "being given" },
  { "gan.grad((p*2):sum(), x)",
    "grad: input 1 does not require a gradient" },
  { "gan.grad(p)",
    "grad: argument 2 'inputs' must be a list of tensors, got nothing" },
  { "gan.dropout(x, 2)",
    "dropout: a probability must be from 0 to 1, got 2" },
  { "gan.batch_norm(ones(1,3), {training=true})",
    "batch_norm: one value per channel has no variance, the input is (1 x 3) (train with " ..
    "more than one sample, or set training=false)" },
  { "gan.batch_norm(ones(2))",
    "batch_norm: argument 'x' must have at least 2 dimensions, (N, C, ...), got (2)" },
  { "gan.max_pool2d(ones(1,1,2,2), 3)",
    "max_pool2d: a window of 3 (dilation 1) is larger than the padded size 2 of " ..
    "dimension 3 of input (1 x 1 x 2 x 2)" },
  { "gan.max_pool2d(ones(1,1,4,4))",
    "max_pool2d: argument 2 'kernel_size' must be an integer or a list of integers, got " ..
    "nothing" },
  { "gan.embedding(labels, v)",
    "embedding: table must be (entries x features), got (4)" },
  { "gan.one_hot(gan.tensor({0},{dtype='int64'}))",
    "one_hot: idx holds 0 at position 1, outside 1 .. 0 (places start at 1)" },
  { "gan.tensor{{1,2},{3}}",
    "tensor: the table is ragged: (2) should have 2 elements, got 1" },
  { "gan.tensor(nil)",
    "tensor: argument 1 must be a number, a nested table, a string of bytes or a tensor, " ..
    "got nil" },
  { "gan.tensor({1},{shape={2}})",
    "tensor: the table has shape (1), which does not fit in (2)" },
  { "x[{}]",
    "x[i]: a tensor is indexed by an integer, got a table" },
  { "x[1.5]",
    "x[i]: a tensor is indexed by an integer, got 1.5" },
  { "x.foo()",
    "attempt to call a nil value (field 'foo')" },
  { "x:no_such()",
    "attempt to call a nil value (method 'no_such')" },
  { "gan.linspace(0,1,-1)",
    "linspace: steps must not be negative, got -1" },
  { "gan.arange(1,0,0)",
    "arange: step must be finite and not 0" },
  { "gan.threads(0)",
    "threads: at least 1 thread is needed, got 0" },
  { "gan.manual_seed('a')",
    "manual_seed: argument 1 'n' must be an integer, got string 'a'" },
  { "gan.set_rng_state('x')",
    "set_rng_state: argument 1 'state' must be a string from gan.rng_state() (32 " ..
    "hexadecimal digits)" },
  { "gan.scope(3)",
    "scope: argument 1 'f' must be a function, got 3 (without an argument it opens a " ..
    "scope: local s <close> = gan.scope())" },
  { "gan.keep(3)",
    "keep: argument 1 must be a tensor or a plain table of tensors, got 3" },
  { "gan.memory_limit(-1)",
    "memory_limit: argument 1 'bytes' must be positive (nil: no limit), got -1" },
  { "gan.no_grad()",
    "no_grad: argument 1 'f' must be a function, got nothing" },
  { "gan.Function(1)",
    "Function: takes one table, gan.Function{forward=, backward=}, got 1" },
  { "gan.optim.Adam{{p}, lr=-1}",
    "optim.Adam: lr must be a finite number, 0 or more, not -1" },
  { "gan.optim.Adam{{p}, lrr=1}",
    "optim.Adam: unknown option 'lrr', did you mean 'lr'?" },
  { "gan.nn.Linear{3}",
    "nn.Linear: 'out_features' is missing (a positive integer)" },
  { "gan.nn.Linear{3, 0}",
    "nn.Linear: option 'out_features' must be a positive integer, not 0" },
  { "gan.nn.Conv2d{1,2,kernel_size=3,stide=1}",
    "nn.Conv2d: unknown option 'stide', did you mean 'stride'?" },
  { "gan.nn.Linear{3,2}(ones(2,4))",
    "linear: x (2 x 4) has 4 features in its last dimension, the weight (2 x 3) expects 3" },
  { "gan.nn.Linear(3,2)",
    "nn.Linear: takes one table, as in nn.Linear{...}, not 3" },
  { "gan.data.batches{x, batch_size=0}",
    "data.batches: option 'batch_size' must be a positive integer, not 0" },
  { "gan.einsum('ij,jk', x, x)",
    "einsum: argument 1 'x' must be a list of tensors, got string 'ij,jk'" },
  { "gan.einsum(x, x, 'ij,jk->ik')",
    "einsum: the letter 'j' stands for sizes 3 and 2 (operand 2)" },
  { "gan.upsample_linear(ones(1,1,2,2), 4)",
    "upsample_linear: option 'align_corners' must be true or false, got nothing" },
  { "gan.pad(x, 1)",
    "pad: x (2 x 3) needs 4 pads, before and after for every dimension, got 1" },
  { "gan.pad(x,{1,1,5,5},{mode='reflect'})",
    "pad: dimension 2 of x (2 x 3) is too small to be padded by 5 and 5: reflect allows " ..
    "at most 2" },
  { "gan.tile(x, -1)",
    "tile: dimension 2 cannot be repeated -1 times" },
  { "gan.topk(v, 9)",
    "topk: k is 9, dimension 1 of x (4) has 4 places" },
  { "gan.logical_not(3)",
    "logical_not: argument 1 'x' must be a tensor, got 3 (gan.tensor(...) makes one of a " ..
    "number)" },
  { "gan.where(x, x, v)",
    "where: shapes (2 x 3) and (4) do not match (dimension 2: 3 and 4)" },
  { "x:masked_fill(v, 1)",
    "masked_fill: shapes (4) and (2 x 3) do not match (dimension 2: 4 and 3)" },
  { "gan.randint(3)",
    "randint: option 'hi' must be an integer, got nothing" },
  { "gan.multinomial(x, -1)",
    "multinomial: 'n' must not be negative, got -1" },
  { "gan.upsample_nearest(x)",
    "upsample_nearest: x must be (N x C x H x W), got (2 x 3)" },
  { "gan.outer(x,x)",
    "outer: needs two vectors, got (2 x 3) and (2 x 3)" },
  { "gan.dot(x,v)",
    "dot: needs two vectors of one length, got (2 x 3) and (4)" },
  { "gan.linear(x, ones(4,4))",
    "linear: x (2 x 3) has 3 features in its last dimension, the weight (4 x 4) expects 4" },
  { "gan.layer_norm(x,{ndim=5})",
    "layer_norm: option 'ndim' is 5, but the input (2 x 3) has 2 dimensions" },
  { "gan.group_norm(ones(1,3),{groups=2})",
    "group_norm: 2 groups do not divide the 3 channels of the input (1 x 3)" },
  { "gan.glu(v:reshape(4,1))",
    "glu: dimension 2 of x (4 x 1) is odd, it is split into halves" },
  { "gan.chunk(x, 0)",
    "chunk: chunks must lie in 1 .. 1048576, got 0" },
  -- not a number has a sign that depends on the machine
  { "gan.optim.SGD{{p}, lr=0/0}", "optim.SGD: lr must be a finite number, 0 or more, not nan" },
  { "gan.adam_step_({p},{p},{p},{p},{lr=0/0, step=1})",
    "adam_step_: option 'lr' must be finite, got nan" },
}

-- What the calls use.
local function world()
  local dead = gan.ones(1)
  dead:release()
  local gone
  gan.scope(function() gone = gan.ones(1) end)
  return {
    gan = gan, ones = gan.ones, x = gan.ones(2, 3), v = gan.ones(4), print = print,
    labels = gan.tensor({ 1, 2 }, { dtype = "int64" }),
    p = gan.require_grad(gan.ones(2)), dead = dead, gone = gone,
  }
end

describe("misuse", function()
  local env = world()
  env._G = env

  for _, row in ipairs(cases) do
    it(row[1], function()
      local f = assert(load("return " .. row[1], "=user", "t", env))
      local ok, message = pcall(f)
      assert.is_false(ok)
      local text = tostring(message):gsub("^user:1: ", ""):gsub("%-nan", "nan")
      assert.equal((row[2]:gsub("float32", gan.config.real)), text)
    end)
  end

  it("is told with the caller's line", function()
    local f = assert(load("local x = ...\n\nlocal y = x:sum(0)", "=user"))
    local _, message = pcall(f, env.x)
    assert.matches("^user:3: sum: ", message)
    f = assert(load("local x = ...\n\nlocal y = x + {}", "=user"))
    _, message = pcall(f, env.x)
    assert.matches("^user:3: add: ", message)
    f = assert(load("local x = ...\n\nx[9] = 1", "=user"))
    _, message = pcall(f, env.x)
    assert.matches("^user:3: x%[i%] = v: ", message)
  end)

  it("leaves no error behind", function()
    for _ = 1, 100 do
      pcall(gan.matmul, env.x, env.x)
      assert.equal(6, env.x:sum():item())
    end
  end)

  it("of the other float type is told apart", function()
    local other = gan.config.real == "float32" and "float64" or "float16"
    local ok, message = pcall(gan.zeros, { 2, dtype = other })
    assert.is_false(ok)
    assert.matches(other == "float64" and "no float64" or "must be one of", message)
  end)

  it("with strange values is an error, never worse", function()
    local strange = { 0, -1, 2 ^ 53, math.mininteger, math.maxinteger, 0 / 0, 1 / 0, "", "x", true,
      false, {}, { {} }, { 1, "x" }, { [0] = 1 }, { x = 1 }, print, io.stdout,
      coroutine.create(print), env.x, env.dead, env.labels, gan.zeros(0), gan.tensor(1) }
    local n = 0
    local four = gan.ones(2, 2, 4, 4)
    local step = os.getenv "COLLECT_EVERY" and 997 or 1 -- collections make every call slow
    local function try(f, ...)
      n = n + 1
      if n % step == 0 then gan.scope(pcall, f, ...) end
    end
    gan.memory_limit(2 ^ 26)
    for _, op in ipairs(gan.ops()) do
      local f = gan[op.name]
      for _, a in ipairs(strange) do
        for _, b in ipairs(strange) do
          try(f, a, b)
          try(f, env.x, a, b)
        end
        for _, p in ipairs(op.params) do
          for _, x in ipairs{ env.x, env.v, env.labels, four } do
            try(f, x, { [p.name] = a })
            try(f, x, x, { [p.name] = a })
          end
        end
      end
    end
    gan.memory_limit(nil)
    assert.is_true(n > 1000)
    assert.is_true(gan.is_grad_enabled())
    assert.equal(1, gan.tensor(1):item())
  end)
end)
