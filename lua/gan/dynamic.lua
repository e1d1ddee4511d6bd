--- dynamic(f, ...) calls f(...), which is done anew in every step of a loop: what it does differs
-- from step to step, such as an optimiser's update by the count of its steps and its learning rate.
--
-- While gan.compile records a step it listens here (`dynamic.listener`): f(...) is not recorded,
-- but called again at this point of each replay. So f returns nothing, takes what it needs from
-- tensors that outlive the step and from gradients, and changes no more than these.

local dynamic = { listener = nil }

return setmetatable(dynamic, {
  __call = function(_, f, ...)
    local listener = dynamic.listener
    if listener then
      listener(f, ...)
    else
      f(...)
    end
  end,
})
