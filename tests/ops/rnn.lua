-- Cases of runtime/ops/rnn.c: see tests/case.lua.
local t = require "tests.case"

return {
  rnn_tanh_cell = {
    { t.randn{2, 3}, t.randn{2, 4}, t.randn{4, 3}, t.randn{4, 4}, t.randn{4}, t.randn{4},
      torch = "torch._VF.rnn_tanh_cell(a, b, c, d, e, f)" },
    { t.randn{2, 3}, t.randn{2, 4}, t.randn{4, 3}, t.randn{4, 4},
      torch = "torch._VF.rnn_tanh_cell(a, b, c, d)" },
    { t.randn{2, 3}, t.randn{2, 4}, t.randn{4, 3}, t.randn{4, 4}, t.none, t.randn{4},
      torch = "torch.tanh(a @ c.T + b @ d.T + e)" },
    { t.randn{3}, t.randn{4}, t.randn{4, 3}, t.randn{4, 4},
      torch = "torch.tanh(a @ c.T + b @ d.T)" },
    { t.randn{0, 3}, t.randn{0, 2}, t.randn{2, 3}, t.randn{2, 2},
      torch = "torch.tanh(a @ c.T + b @ d.T)" },
  },
  gru_cell = {
    { t.randn{2, 3}, t.randn{2, 4}, t.randn{12, 3}, t.randn{12, 4}, t.randn{12}, t.randn{12},
      torch = "torch._VF.gru_cell(a, b, c, d, e, f)" },
    { t.randn{2, 3}, t.randn{2, 4}, t.randn{12, 3}, t.randn{12, 4},
      torch = "torch._VF.gru_cell(a, b, c, d)" },
    { t.randn{3}, t.randn{2}, t.randn{6, 3}, t.randn{6, 2}, t.randn{6},
      torch = "torch._VF.gru_cell(a[None], b[None], c, d, e)[0]" },
    { t.randn{3, 2}, t.randn{3, 17}, t.randn{51, 2}, t.randn{51, 17},
      torch = "torch._VF.gru_cell(a, b, c, d)",
      tol = 1e-4 },
    -- saturated
    { t.randn{1, 2, scale = 1000}, t.randn{1, 2}, t.randn{6, 2}, t.randn{6, 2}, smooth = false,
      torch = "torch._VF.gru_cell(a, b, c, d)", tol = 1e-4 },
    { t.randn{0, 3}, t.randn{0, 2}, t.randn{6, 3}, t.randn{6, 2},
      torch = "torch._VF.gru_cell(a, b, c, d)" },
  },
  lstm_cell = {
    { t.randn{2, 3}, t.randn{2, 4}, t.randn{2, 4}, t.randn{16, 3}, t.randn{16, 4}, t.randn{16},
      t.randn{16},
      torch = "torch._VF.lstm_cell(a, (b, c), d, e, f, g)" },
    { t.randn{2, 3}, t.randn{2, 4}, t.randn{2, 4}, t.randn{16, 3}, t.randn{16, 4},
      torch = "torch._VF.lstm_cell(a, (b, c), d, e)" },
    { t.randn{3}, t.randn{2}, t.randn{2}, t.randn{8, 3}, t.randn{8, 2}, t.none, t.randn{8},
      torch = "tuple(v[0] for v in torch._VF.lstm_cell(a[None], (b[None], c[None]), d, e, f, "
        .. "torch.zeros(8)))" },
    { t.randn{3, 2}, t.randn{3, 17}, t.randn{3, 17}, t.randn{68, 2}, t.randn{68, 17},
      torch = "torch._VF.lstm_cell(a, (b, c), d, e)", tol = 1e-4 },
    { t.randn{1, 2, scale = 1000}, t.randn{1, 2}, t.randn{1, 2}, t.randn{8, 2}, t.randn{8, 2},
      smooth = false,
      torch = "torch._VF.lstm_cell(a, (b, c), d, e)", tol = 1e-4 },
    { t.randn{0, 3}, t.randn{0, 2}, t.randn{0, 2}, t.randn{8, 3}, t.randn{8, 2},
      torch = "torch._VF.lstm_cell(a, (b, c), d, e)" },
  },
}
