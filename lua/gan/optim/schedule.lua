--- Learning-rate schedules: each sets the rate of every group of an optimiser to its starting rate
-- times a factor of the number of calls of `schedule:step()`.
--
--     local schedule = optim.CosineLR{opt, steps = 100, warmup = 5}
--     for epoch = 1, 100 do ... schedule:step() end

local options = require "gan.options"
local dynamic = require "gan.dynamic"

local Schedule = {}
Schedule.__index = Schedule
Schedule.__name = "gan.optim.schedule"

local function apply(self)
  local factor = self.factor(self.t)
  if self.warmup > 0 then
    factor = factor * math.min(1, (self.t + 1) / self.warmup)
  end
  for i, group in ipairs(self.optimizer.groups) do
    group.lr = self.base[i] * factor
  end
end

local function advance(self)
  self.t = self.t + 1
  apply(self)
end

--- One more epoch (or step: whatever the schedule counts) is done.
function Schedule:step()
  dynamic(advance, self)
end

local function go_to(self, t)
  self.t = t
  apply(self)
end

--- Goes to a part, from 0 to 1, of a schedule that has `steps`, as though so many calls of step
-- were done. gan.train.loop tells its after_epoch how much of the training is behind.
function Schedule:reach(part)
  if not self.steps then
    error("optim.schedule: only a schedule with an end ('steps') can reach a part of it", 2)
  elseif type(part) ~= "number" or not (part >= 0 and part <= 1) then
    error(("optim.schedule: a part lies between 0 and 1, not %s"):format(tostring(part)), 2)
  end
  dynamic(go_to, self, math.floor(part * self.steps + 0.5))
end

--- { t = calls so far, base = starting rates }.
function Schedule:state_dict()
  return { t = self.t, base = { table.unpack(self.base) } }
end

--- Continues from a saved state.
function Schedule:load_state_dict(state)
  if math.type(state.t) ~= "integer" or type(state.base) ~= "table"
      or #state.base ~= #self.optimizer.groups then
    error("optim.schedule: the state is not that of a schedule for this optimiser", 2)
  end
  for i, rate in ipairs(state.base) do
    if type(rate) ~= "number" then
      error(("optim.schedule: rate %d of the state is a %s"):format(i, type(rate)), 2)
    end
  end
  self.t, self.base = state.t, { table.unpack(state.base) }
  apply(self)
end

local function define(name, spec, make)
  return function(given)
    local o = options.check("optim." .. name, given, "optimizer:any ; warmup:int=0 " .. spec)
    if type(o.optimizer) ~= "table" or not o.optimizer.groups then
      error(("optim.%s: takes an optimiser first, as in optim.%s{opt, ...}"):format(name, name), 2)
    end
    local self = setmetatable({
      optimizer = o.optimizer, factor = make(o), warmup = o.warmup, steps = o.steps, base = {},
      t = 0,
    }, Schedule)
    for i, group in ipairs(o.optimizer.groups) do
      self.base[i] = group.lr
    end
    apply(self)
    return self
  end
end

local schedule = {}

--- optim.LambdaLR{opt, f=}: factor f(t), t = 0, 1, 2 ... All schedules take warmup=n: the first n
-- rates rise linearly.
schedule.LambdaLR = define("LambdaLR", "f:callable", function(o) return o.f end)

--- optim.StepLR{opt, step_size=, gamma=0.1}: times gamma every step_size calls.
schedule.StepLR = define("StepLR", "step_size:count gamma:number=0.1", function(o)
  return function(t) return o.gamma ^ (t // o.step_size) end
end)

--- optim.MultiStepLR{opt, milestones={30, 80}, gamma=0.1}: times gamma at each of these calls.
schedule.MultiStepLR = define("MultiStepLR", "milestones:table gamma:number=0.1", function(o)
  return function(t)
    local passed = 0
    for _, milestone in ipairs(o.milestones) do
      passed = passed + (t >= milestone and 1 or 0)
    end
    return o.gamma ^ passed
  end
end)

--- optim.ExponentialLR{opt, gamma=}: times gamma at every call.
schedule.ExponentialLR = define("ExponentialLR", "gamma:number", function(o)
  return function(t) return o.gamma ^ t end
end)

--- optim.CosineLR{opt, steps=, floor=0}: half a cosine from 1 down to `floor` in so many calls.
schedule.CosineLR = define("CosineLR", "steps:count floor:number=0", function(o)
  return function(t)
    local part = math.min(t / o.steps, 1)
    return o.floor + (1 - o.floor) * 0.5 * (1 + math.cos(math.pi * part))
  end
end)

--- optim.WarmupLR{opt, warmup=n}: only the linear rise.
schedule.WarmupLR = define("WarmupLR", "", function()
  return function() return 1 end
end)

return schedule
