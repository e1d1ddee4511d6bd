--- What all optimisers have in common: groups of parameters, state, checks.
--
--     local opt = optim.Adam{model:parameters(), lr=2e-4, betas={0.5, 0.999}}
--     opt:zero_grad(); loss:backward(); opt:step()
--     opt.lr = 1e-4                                  -- at any time
--
-- Instead of a list, a model may be given, or several of either; a group with options of its own
-- is a table {params = ..., lr = ...}: optim.SGD{{params=body, lr=1e-3}, {params=head}, lr=1e-2}.

local gan = require "gan"
local options = require "gan.options"
local dynamic = require "gan.dynamic"
local ranks = require "gan.ranks"

local Optimizer = {}

local function fail(self, level, message, ...)
  error(("optim.%s: "):format(self._kind.name) .. message:format(...), level + 1)
end

local function show(v)
  return type(v) == "number" and ("%g"):format(v) or type(v)
end

--- Every option that is a number must be finite and at least 0; betas and alpha below 1.
local function check_numbers(self, o, level)
  for name, v in pairs(o) do
    if type(v) == "number" and not (v >= 0 and v < math.huge) then
      fail(self, level, "%s must be a finite number, 0 or more, not %s", name, show(v))
    end
  end
  for i, beta in ipairs(o.betas or {}) do
    if type(beta) ~= "number" or not (beta >= 0 and beta < 1) then
      fail(self, level, "betas[%d] must be at least 0 and less than 1, not %s", i, show(beta))
    end
  end
  if o.betas and #o.betas ~= 2 then
    fail(self, level, "betas must be two numbers")
  end
end

--- The learning rate can be changed at any time, so it is looked at in every step.
local function check_rate(self, lr, level)
  if type(lr) ~= "number" or not (lr >= 0 and lr < math.huge) then
    fail(self, level + 1, "lr must be a finite number, 0 or more, not %s", show(lr))
  end
end

--- Adds the tensors of a list, a model or a single tensor to `list`.
local function add_parameters(self, list, given)
  if gan.is_tensor(given) then
    given = { given }
  elseif type(given) == "table" and given.parameters then
    given = given:parameters()
  elseif type(given) ~= "table" then
    fail(self, 5, "a list of parameters was expected, not a %s", type(given))
  end
  local count = 0
  for _ in pairs(given) do
    count = count + 1
  end
  for i = 1, count do -- a hole in the list would hide what comes after it
    local p = given[i]
    if not gan.is_tensor(p) then
      fail(self, 5, "parameter %d is not a tensor but a %s", i, type(p))
    elseif not p:is_leaf() then
      fail(self, 5, "parameter %d was computed; an optimiser changes leaves only", i)
    elseif self._seen[p] then
      fail(self, 5, "parameter %d is given twice", i)
    end
    self._seen[p] = true
    if ranks.job then
      ranks.job.mark(p)
    end
    list[#list + 1] = p
  end
end

local function add_group(self, defaults, params, own)
  local group = { params = params, steps = {}, state = {}, grads = {} }
  for name, v in pairs(defaults) do
    group[name] = v
  end
  for name, v in pairs(own or {}) do
    group[name] = v
  end
  check_numbers(self, group, 5)
  for i in ipairs(params) do
    group.steps[i] = 0
  end
  table.insert(self.groups, group)
end

local function is_group(entry)
  return type(entry) == "table" and not entry.parameters and entry.params ~= nil
end

--- The options of one group, checked; what it does not name comes from the common ones.
local function group_options(self, entry)
  local own = {}
  for name, v in pairs(entry) do
    if name ~= "params" then
      own[name] = v
    end
  end
  local checked = options.check("optim." .. self._kind.name, own, self._kind.options, 6)
  for name in pairs(checked) do
    checked[name] = own[name] ~= nil and checked[name] or nil
  end
  return checked
end

local function add_all(self, entries, defaults)
  local plain = {}
  for _, entry in ipairs(entries) do
    if is_group(entry) then
      local params = {}
      add_parameters(self, params, entry.params)
      add_group(self, defaults, params, group_options(self, entry))
    else
      add_parameters(self, plain, entry)
    end
  end
  if #plain > 0 then
    add_group(self, defaults, plain)
  end
  if #self.groups == 0 then
    fail(self, 4, "no parameters were given")
  end
end

-- `opt.lr` reads the first group's rate and sets that of all groups.
local function read(self, key)
  if key == "lr" then
    return self.groups[1].lr
  end
  return Optimizer[key]
end

local function write(self, key, v)
  if key ~= "lr" then
    rawset(self, key, v)
    return
  end
  check_rate(self, v, 2)
  for _, group in ipairs(self.groups) do
    group.lr = v
  end
end

local meta = { __index = read, __newindex = write, __name = "gan.optim" }

--- Makes the constructor of a kind: { name=, options= (see gan.options), states(o) -> names of the
-- state tensors, update(lists, o, step) }, where lists holds params, grads and the states.
local function define(kind)
  return function(given)
    local self = setmetatable({}, meta)
    rawset(self, "_kind", kind)
    rawset(self, "_seen", {})
    rawset(self, "groups", {})
    if type(given) ~= "table" then
      fail(self, 2, "takes one table, as in optim.%s{model:parameters(), lr=1e-3}", kind.name)
    end
    local entries, named = {}, {}
    for key, v in pairs(given) do
      if math.type(key) ~= "integer" then
        named[key] = v
      end
    end
    for i = 1, #given do
      entries[i] = given[i]
    end
    local defaults = options.check("optim." .. kind.name, named, kind.options)
    add_all(self, entries, defaults)
    return self
  end
end

-- ---- steps ----------------------------------------------------------------------------------

--- The state tensors of parameter i of a group, made of zeros when first needed. They outlive the
-- scope of the step that made them.
local function state_of(group, i, names)
  local state = group.state[i] or {}
  for _, name in ipairs(names) do
    state[name] = state[name] or gan.zeros_like(group.params[i]):keep()
  end
  group.state[i] = state
  return state
end

local function complete_lists(group, names)
  local lists = { params = group.params, grads = group.grads }
  for _, name in ipairs(names) do
    lists[name] = {}
    for i in ipairs(group.params) do
      lists[name][i] = state_of(group, i, names)[name]
    end
  end
  return lists
end

--- The lists of a group whose parameters have all seen the same number of steps and all have a
-- gradient, which is the rule; nil otherwise. They are kept from step to step.
local function together(group, names)
  local params, steps, grads = group.params, group.steps, group.grads
  local first = steps[1]
  for i = 1, #params do
    local g = steps[i] == first and params[i]:grad()
    if not g then
      return nil
    end
    grads[i] = g
  end
  local key = table.concat(names, " ") -- options that change may ask for other states
  if not group.lists or group.lists.key ~= key then
    group.lists = complete_lists(group, names)
    group.lists.key = key
  end
  return group.lists
end

--- Lists of the parameters that have a gradient, one for each number of steps that some of them
-- have seen, by this number: a step that is replayed goes through them in the same order.
local function gather(group, names)
  local by_step, ordered = {}, {}
  for i, p in ipairs(group.params) do
    local g = p:grad()
    if g then
      local step = group.steps[i] + 1
      local lists = by_step[step]
      if not lists then
        lists = { params = {}, grads = {}, places = {}, step = step }
        for _, name in ipairs(names) do
          lists[name] = {}
        end
        by_step[step] = lists
        ordered[#ordered + 1] = lists
      end
      local n, state = #lists.params + 1, state_of(group, i, names)
      lists.params[n], lists.grads[n], lists.places[n] = p, g, i
      for _, name in ipairs(names) do
        lists[name][n] = state[name]
      end
    end
  end
  table.sort(ordered, function(a, b) return a.step < b.step end)
  return ordered
end

local function update_together(self, group, lists)
  local steps, grads = group.steps, lists.grads
  local step = steps[1] + 1
  self._kind.update(lists, group, step)
  for i = 1, #steps do
    steps[i], grads[i] = step, nil -- no gradient is held longer than its owner holds it
  end
end

local function update_parts(self, group, ordered)
  for _, lists in ipairs(ordered) do
    self._kind.update(lists, group, lists.step)
    for _, i in ipairs(lists.places) do
      group.steps[i] = lists.step
    end
  end
end

--- Everything that may fail for want of memory is made for all groups before the first parameter
-- changes.
local function take_step(self)
  local plans = {}
  for j, group in ipairs(self.groups) do
    check_rate(self, group.lr, 4)
    local names = self._kind.states(group)
    local lists = #group.params > 0 and together(group, names)
    plans[j] = { lists = lists, parts = not lists and gather(group, names) }
  end
  for j, group in ipairs(self.groups) do
    if plans[j].lists then
      update_together(self, group, plans[j].lists)
    else
      update_parts(self, group, plans[j].parts)
    end
  end
end

--- Updates every parameter that has a gradient: one pass over memory for each group.
function Optimizer:step()
  dynamic(take_step, self)
end

--- Drops the gradients of all parameters.
function Optimizer:zero_grad()
  for _, group in ipairs(self.groups) do
    for _, p in ipairs(group.params) do
      p:zero_grad()
    end
  end
end

--- All parameters, in a list.
function Optimizer:parameters()
  local list = {}
  for _, group in ipairs(self.groups) do
    table.move(group.params, 1, #group.params, #list + 1, list)
  end
  return list
end

-- ---- saving ---------------------------------------------------------------------------------

local private = { params = true, steps = true, state = true, lists = true, grads = true }

local function copy_options(group)
  local o = {}
  for name, v in pairs(group) do
    if not private[name] then
      o[name] = v
    end
  end
  return o
end

--- { groups = options of each group, steps = numbers, tensors = name -> tensor }: the tensors are
-- the optimiser's own, called "1.m" and so on after the parameter's place in parameters().
function Optimizer:state_dict()
  local state, k = { groups = {}, steps = {}, tensors = {} }, 0
  for j, group in ipairs(self.groups) do
    state.groups[j] = copy_options(group)
    for i in ipairs(group.params) do
      k = k + 1
      state.steps[k] = group.steps[i]
      for name, t in pairs(group.state[i] or {}) do
        state.tensors[k .. "." .. name] = t
      end
    end
  end
  return state
end

--- The saved options of a group, checked as those of the constructor are.
local function saved_options(self, given)
  local own = {}
  for name, v in pairs(given) do
    if private[name] then
      fail(self, 3, "the state has the option '%s', which is not one", name)
    end
    own[name] = v
  end
  local checked = options.check("optim." .. self._kind.name, own, self._kind.options, 4)
  check_numbers(self, checked, 4)
  return checked
end

--- Copies of the saved state of parameter k, nil before its first step.
local function saved_state(self, state, k, p, names)
  local step = state.steps[k]
  if math.type(step) ~= "integer" or step < 0 then
    fail(self, 3, "the state says that parameter %d has seen %s steps", k, show(step))
  elseif step == 0 then
    return nil
  end
  local copies, wanted = {}, table.concat(p:shape(), " x ")
  for _, name in ipairs(names) do
    local t = state.tensors[k .. "." .. name]
    local found = gan.is_tensor(t) and table.concat(t:shape(), " x ") or "missing"
    if found ~= wanted then
      fail(self, 3, "'%s' of parameter %d is %s in the state, the parameter is (%s)", name, k,
        found == "missing" and found or "(" .. found .. ")", wanted)
    end
    copies[name] = gan.no_grad(function() return gan.zeros_like(p):copy_(t):keep() end)
  end
  return copies
end

--- Lets tensors that are there already take the values of `new`, and stay in its place: a compiled
-- step works on them.
local function reuse(old, new)
  for name, t in pairs(new) do
    local own = old and old[name]
    if own then
      gan.no_grad(own.copy_, own, t)
      t:release()
      new[name] = own
    end
  end
end

--- Takes over what state_dict of an optimiser over the same parameters gave: all of it, or, when
-- something in it does not fit, nothing.
function Optimizer:load_state_dict(state)
  if #state.groups ~= #self.groups or #state.steps ~= #self:parameters() then
    fail(self, 2, "the state has %d groups of %d parameters together, not %d of %d", #state.groups,
      #state.steps, #self.groups, #self:parameters())
  end
  local k, plans = 0, {}
  for j, group in ipairs(self.groups) do
    local plan = { options = saved_options(self, state.groups[j]), steps = {}, state = {} }
    local names = self._kind.states(plan.options)
    for i, p in ipairs(group.params) do
      k = k + 1
      plan.state[i] = saved_state(self, state, k, p, names)
      plan.steps[i] = state.steps[k]
    end
    plans[j] = plan
  end
  for j, group in ipairs(self.groups) do
    for name, v in pairs(plans[j].options) do
      group[name] = v
    end
    for i, new in pairs(plans[j].state) do
      reuse(group.state[i], new)
    end
    group.steps, group.state, group.lists = plans[j].steps, plans[j].state, nil
  end
end

return { define = define }
