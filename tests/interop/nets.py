# nets.py FOLDER TYPE: the other side of tests/interop_spec.lua. Loads ours.safetensors, strictly,
# into a PyTorch net, and writes what the net makes of the input to ours.out.safetensors; then writes
# a net of its own, and what that makes of the same input, to theirs.safetensors and
# theirs.out.safetensors.
import sys

import torch
from torch import nn

sys.path.insert(0, "examples/interop")
from from_torch import save
from to_torch import load


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(3, 4, (3, 2), stride=2, padding=1, groups=1), nn.BatchNorm2d(4), nn.PReLU(4),
            nn.Sequential(nn.ConvTranspose2d(4, 6, 4, stride=2, padding=1, groups=2, bias=False),
                          nn.GroupNorm(3, 6), nn.PReLU()))
        self.embed = nn.Embedding(10, 6)
        self.gru = nn.GRU(6, 5, num_layers=2, batch_first=True, bidirectional=True)
        self.lstm = nn.LSTM(10, 4, batch_first=True)
        self.norm = nn.LayerNorm(4)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight  # tied
        self.conv1d = nn.Conv1d(4, 2, 3, padding=2, dilation=2)
        self.spectral = nn.utils.spectral_norm(nn.Linear(4, 3))
        self.weight = nn.utils.weight_norm(nn.Linear(4, 3))

    def forward(self, x, labels):
        h = self.embed(labels)
        h = self.lstm(self.gru(h)[0])[0]
        h = self.norm(h)
        h = self.attention(h, h, h)[0]
        h = self.second(torch.tanh(self.first(h)))
        return self.main(x), h, self.conv1d(h.transpose(1, 2)), self.spectral(h) + self.weight(h)


def outputs(net, x, labels):
    with torch.no_grad():
        ys = net.eval()(x, labels - 1)
    return {"y%d" % (i + 1): y for i, y in enumerate(ys)}


folder = sys.argv[1]
torch.set_default_dtype(getattr(torch, sys.argv[2]))
torch.manual_seed(5)

net = Net()
net.load_state_dict(load(folder + "/ours.safetensors"), strict=True)
assert net.second.weight is net.first.weight
given = load(folder + "/input.safetensors")
save(outputs(net, given["x"], given["labels"]), folder + "/ours.out.safetensors")

net = Net()
for _ in range(3):  # running statistics and power vectors that are not those of the start
    net.train()(torch.randn(8, 3, 8, 9), torch.randint(1, 11, (8, 7)) - 1)
state = net.state_dict()
assert state["first.weight"].data_ptr() == state["second.weight"].data_ptr()
save(state, folder + "/theirs.safetensors", {"from": "PyTorch"})
save(outputs(net, given["x"], given["labels"]), folder + "/theirs.out.safetensors")

w = torch.arange(6.).reshape(2, 3)
ours = load(folder + "/tied.safetensors")
assert torch.equal(ours["enc"], w) and torch.equal(ours["dec"], w.t()), ours
assert ours["empty"].shape == (0, 3) and ours["count"].shape == () and ours["count"] == 7
assert ours["bytes"].tolist() == [1, 2, 3] and ours["count"].dtype == torch.int64

numbers = torch.tensor([1.5, -2.0, float("inf"), 0.0])
save({"f16": numbers.half(), "bf16": numbers.bfloat16(), "f64": numbers.double(),
      "i32": torch.tensor([-5, 6], dtype=torch.int32), "u8": torch.tensor(7, dtype=torch.uint8),
      "bool": torch.tensor([True, False]), "empty": torch.empty(0, 2), "cut": w[:, 1:],
      "nan": torch.tensor([float("nan")])}, folder + "/types.safetensors")
