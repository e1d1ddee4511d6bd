--- Recurrent layers over whole sequences: RNN, GRU, LSTM.
--
-- x is (L, N, input), or (N, L, input) with batch_first. The result is the sequence of the last
-- layer's states (L, N, D hidden), D = 2 when bidirectional, and the last states (layers D, N,
-- hidden). `lengths` says how long each sequence of the batch really is: past its end a state
-- stays as it is and the output is zero, and a backward direction begins at the end. Names of
-- the parameters are PyTorch's: weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, and with
-- `_reverse` those of the backward direction.

local gan = require "gan"
local module = require "gan.nn.module"
local weights = require "gan.nn.init.weights"

local spec = "input_size:count hidden_size:count ; num_layers:count=1 bias:bool=true "
  .. "batch_first:bool=false dropout:number=0 bidirectional:bool=false"

local function make_weights(self, o, gates)
  local bound = 1 / math.sqrt(o.hidden_size)
  local directions = o.bidirectional and 2 or 1
  local function parameter(name, ...)
    self[name] = weights.uniform_(module.parameter(gan.zeros(...)), -bound, bound)
  end
  for layer = 0, o.num_layers - 1 do
    for direction = 1, directions do
      local suffix = "_l" .. layer .. (direction == 2 and "_reverse" or "")
      local inputs = layer == 0 and o.input_size or directions * o.hidden_size
      parameter("weight_ih" .. suffix, gates * o.hidden_size, inputs)
      parameter("weight_hh" .. suffix, gates * o.hidden_size, o.hidden_size)
      if o.bias then
        parameter("bias_ih" .. suffix, gates * o.hidden_size)
        parameter("bias_hh" .. suffix, gates * o.hidden_size)
      end
    end
  end
end

--- A list over time of (N, 1) tensors, 1 where the sequence still runs; nil without lengths.
local function masks_of(lengths, steps, batch)
  if lengths == nil then
    return nil
  end
  lengths = gan.is_tensor(lengths) and lengths or gan.tensor(lengths)
  if lengths:dim() ~= 1 or #lengths ~= batch then
    error(("lengths must be %d numbers, one for each sequence, not (%s)"):format(batch,
      table.concat(lengths:shape(), " x ")), 0)
  end
  local masks = {}
  for t = 1, steps do
    masks[t] = gan.ge(lengths, t):unsqueeze(2)
  end
  return masks
end

--- One layer in one direction. `states` is { h } or { h, c }; returns the outputs as a list.
local function scan(self, xs, states, masks, suffix, first, last, step)
  local w_ih, w_hh = self["weight_ih" .. suffix], self["weight_hh" .. suffix]
  local b_ih, b_hh = self["bias_ih" .. suffix], self["bias_hh" .. suffix]
  local outputs = {}
  for t = first, last, step do
    local h, c = self:_cell(xs[t], states[1], states[2], w_ih, w_hh, b_ih, b_hh)
    local output = h
    if masks then
      output = gan.where(masks[t], h, gan.zeros_like(h))
      h = gan.where(masks[t], h, states[1])
      c = c and gan.where(masks[t], c, states[2])
    end
    states[1], states[2], outputs[t] = h, c, output
  end
  return outputs
end

local function initial(self, given, index, batch)
  local o = self._options
  if given == nil then
    return gan.zeros(batch, o.hidden_size)
  end
  return given[index]
end

local function split_time(x)
  local xs = {}
  for t = 1, x:size(1) do
    xs[t] = x[t]
  end
  return xs
end

local function run_layer(self, xs, layer, h0, c0, masks, last)
  local o, both = self._options, {}
  local directions = o.bidirectional and 2 or 1
  for direction = 1, directions do
    local index = layer * directions + direction
    local suffix = "_l" .. layer .. (direction == 2 and "_reverse" or "")
    local batch, steps = xs[1]:size(1), #xs
    local states = { initial(self, h0, index, batch) }
    states[2] = self._has_cell and initial(self, c0, index, batch) or nil
    if direction == 1 then
      both[1] = scan(self, xs, states, masks, suffix, 1, steps, 1)
    else
      both[2] = scan(self, xs, states, masks, suffix, steps, 1, -1)
    end
    last.h[index], last.c[index] = states[1], states[2]
  end
  if directions == 1 then
    return both[1]
  end
  for t = 1, #xs do
    both[1][t] = gan.cat({ both[1][t], both[2][t] }, { dim = -1 })
  end
  return both[1]
end

--- layer(x, h0, c0, lengths): the states may be nil (zeros), also the lengths (all full).
local function forward(self, x, h0, c0, lengths)
  local o = self._options
  if x:dim() ~= 3 or x:size(3) ~= o.input_size then
    error(("takes (L x N x %d), or (N x L x %d) with batch_first, not (%s)"):format(o.input_size,
      o.input_size, table.concat(x:shape(), " x ")), 0)
  end
  x = o.batch_first and x:permute(2, 1, 3) or x
  if x:size(1) == 0 then
    error("a sequence needs at least one element", 0)
  end
  local masks, last = masks_of(lengths, x:size(1), x:size(2)), { h = {}, c = {} }
  local xs = split_time(x)
  for layer = 0, o.num_layers - 1 do
    xs = run_layer(self, xs, layer, h0, c0, masks, last)
    if o.dropout > 0 and layer < o.num_layers - 1 then
      local all = gan.dropout(gan.stack(xs), { p = o.dropout, training = self.training })
      xs = split_time(all)
    end
  end
  local y = gan.stack(xs, { dim = o.batch_first and 2 or 1 })
  return y, gan.stack(last.h), self._has_cell and gan.stack(last.c) or nil
end

local rnn = {}

--- nn.RNN{input_size, hidden_size, num_layers=1, nonlinearity="tanh", bias=true,
-- batch_first=false, dropout=0, bidirectional=false}: h' = tanh(W_ih x + b_ih + W_hh h + b_hh).
-- Call layer(x, h0, lengths); returns outputs, last states.
rnn.RNN = module.define("nn.RNN", {
  options = spec .. " nonlinearity:tanh|relu=tanh",
  init = function(self, o) make_weights(self, o, 1) end,
  _cell = function(self, x, h, _, w_ih, w_hh, b_ih, b_hh)
    if self._options.nonlinearity == "relu" then
      return (gan.linear(x, w_ih, b_ih) + gan.linear(h, w_hh, b_hh)):relu()
    end
    return gan.rnn_tanh_cell(x, h, w_ih, w_hh, b_ih, b_hh)
  end,
  forward = function(self, x, h0, lengths) return forward(self, x, h0, nil, lengths) end,
})

--- nn.GRU{...}, options as RNN without nonlinearity (Cho et al. 2014): gates r, z, n with
-- n = tanh(W_in x + b_in + r (W_hn h + b_hn)). Call layer(x, h0, lengths).
rnn.GRU = module.define("nn.GRU", {
  options = spec,
  init = function(self, o) make_weights(self, o, 3) end,
  _cell = function(_, x, h, _, w_ih, w_hh, b_ih, b_hh)
    return gan.gru_cell(x, h, w_ih, w_hh, b_ih, b_hh)
  end,
  forward = function(self, x, h0, lengths) return forward(self, x, h0, nil, lengths) end,
})

--- nn.LSTM{...}, options as GRU (Hochreiter and Schmidhuber 1997): gates i, f, g, o. Call
-- layer(x, h0, c0, lengths); returns outputs, last states h, last cells c.
rnn.LSTM = module.define("nn.LSTM", {
  options = spec,
  init = function(self, o) make_weights(self, o, 4) end,
  _has_cell = true,
  _cell = function(_, x, h, c, w_ih, w_hh, b_ih, b_hh)
    return gan.lstm_cell(x, h, c, w_ih, w_hh, b_ih, b_hh)
  end,
  forward = forward,
})

-- ---- single steps -----------------------------------------------------------------------------

--- A layer that does one step of `op`, with PyTorch's parameters weight_ih, weight_hh, bias_ih and
-- bias_hh. `states` names what goes from step to step.
local function define_cell(name, op, gates, states)
  rnn[name] = module.define("nn." .. name, {
    options = "input_size:count hidden_size:count ; bias:bool=true",
    init = function(self, o)
      local bound = 1 / math.sqrt(o.hidden_size)
      local function parameter(...)
        return weights.uniform_(module.parameter(gan.zeros(...)), -bound, bound)
      end
      self.weight_ih = parameter(gates * o.hidden_size, o.input_size)
      self.weight_hh = parameter(gates * o.hidden_size, o.hidden_size)
      if o.bias then
        self.bias_ih = parameter(gates * o.hidden_size)
        self.bias_hh = parameter(gates * o.hidden_size)
      end
    end,
    forward = function(self, x, ...)
      local args = { x, ... }
      for i = 1, states do
        args[i + 1] = args[i + 1] or gan.zeros(x:size(1), self._options.hidden_size)
      end
      local n = states + 1
      args[n + 1], args[n + 2] = self.weight_ih, self.weight_hh
      args[n + 3], args[n + 4] = self.bias_ih, self.bias_hh
      return op(table.unpack(args, 1, n + 4))
    end,
  })
end

--- nn.RNNCell{input_size, hidden_size, bias=true}: one step of nn.RNN. cell(x, h) with x (N, input)
-- and h (N, hidden), zeros by default, returns the next h.
define_cell("RNNCell", gan.rnn_tanh_cell, 1, 1)

--- nn.GRUCell{input_size, hidden_size, bias=true}: one step of nn.GRU. cell(x, h) -> h.
define_cell("GRUCell", gan.gru_cell, 3, 1)

--- nn.LSTMCell{input_size, hidden_size, bias=true}: one step of nn.LSTM. cell(x, h, c) -> h, c.
define_cell("LSTMCell", gan.lstm_cell, 4, 2)

return rnn
