-- Cases of runtime/ops/create.c: see tests/case.lua.
local t = require "tests.case"

return {
  zeros = {
    { 2, 3, torch = "torch.zeros(2, 3)" },
    { { 2, 0 }, { dtype = "uint8" }, torch = "torch.zeros(2, 0, dtype=torch.uint8)" },
    { { shape = {} }, torch = "torch.zeros(())" },
  },
  ones = {
    { 2, 3, torch = "torch.ones(2, 3)" },
    { { 4 }, { dtype = "int64" },
      torch = "torch.zeros(4, dtype=torch.int64)" }, -- labels count from 1
  },
  full = {
    { { 2, 3 }, 0.5, torch = "torch.full((2, 3), 0.5)" },
    { { 3 }, 7, { dtype = "uint8" }, torch = "torch.full((3,), 7, dtype=torch.uint8)" },
    { { 2 }, math.huge, torch = "torch.full((2,), inf)" },
    { { 2 }, -0.0, torch = "torch.full((2,), -0.0)" },
  },
  zeros_like = {
    { t.randn{2, 3}, torch = "torch.zeros_like(a)" },
    { t.bytes{2, 3}, torch = "torch.zeros_like(a)" },
  },
  ones_like = {
    { t.randn{2, 3}, torch = "torch.ones_like(a)" },
    { t.labels{3, n = 4}, { dtype = "uint8" }, torch = "torch.ones(3, dtype=torch.uint8)" },
  },
  full_like = {
    { t.randn{2, 3}, 1.5, torch = "torch.full_like(a, 1.5)" },
  },
  arange = {
    { 5, torch = "torch.arange(1.0, 6.0)" },
    { 0, 1, 0.25, torch = "torch.arange(0, 1.25, 0.25)" },
    { 10, 1, -3, torch = "torch.arange(10.0, 0.0, -3.0)" },
    { 3, 1, torch = "torch.zeros(0)" },
    { 1, 4, { dtype = "int64" }, torch = "torch.arange(0, 4)" },
    { 0, 255, 51, { dtype = "uint8" }, torch = "torch.arange(0, 256, 51, dtype=torch.uint8)" },
  },
  linspace = {
    { -1, 1, 5, torch = "torch.linspace(-1, 1, 5)" },
    { 2, 3, 1, torch = "torch.linspace(2, 3, 1)" },
    { 0, 1, 0, torch = "torch.linspace(0, 1, 0)" },
    { 0.1, 0.7, 4, torch = "torch.linspace(0.1, 0.7, 4)" },
  },
  eye = {
    { 3, torch = "torch.eye(3)" },
    { 2, 4, torch = "torch.eye(2, 4)" },
    { 3, 2, { dtype = "uint8" }, torch = "torch.eye(3, 2, dtype=torch.uint8)" },
  },
}
