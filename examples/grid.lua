-- The GAN of examples/ring.lua on twenty-five Gaussians on a grid.
--
--   gan-lua examples/grid.lua --out runs/grid

table.insert(arg, 1, "--data=grid")
local given = table.concat(arg, " ")
if not given:find("--out", 1, true) then
  table.insert(arg, 2, "--out=runs/grid")
end
dofile((arg[0]:match "^(.*/)" or "") .. "ring.lua")
