"""The peer's side of `scripts/bench ops`: the cases of ops.lua for PyTorch, by the same names."""
import argparse
import json
import statistics
import time

import torch
import torch.nn.functional as F

ap = argparse.ArgumentParser(description=__doc__)
ap.add_argument('--threads', type=int, default=2)
ap.add_argument('--seconds', type=float, default=0.1, help='how long each op is measured')
ap.add_argument('--only', default='', help='only ops whose name contains this')
opt = ap.parse_args()
torch.set_num_threads(opt.threads)
torch.set_flush_denormal(True)

CHUNK = 100
cases = []


def case(family, name, large, tiny=None):
    cases.append((family, name, large, tiny))


def seconds(f, n):
    def calls():
        for _ in range(n):
            f()
    calls()
    times, start = [], time.perf_counter()
    while True:
        t = time.perf_counter()
        calls()
        now = time.perf_counter()
        times.append((now - t) / n)
        if now - start > opt.seconds and len(times) >= 5:
            return statistics.median(times)


# ---- elementwise, reductions, shapes ---------------------------------------------------------

a, b, c = torch.randn(1024, 1024), torch.randn(1024, 1024), torch.rand(1024, 1024)
a4, b4 = torch.randn(4), torch.randn(4)
row, column, mask = torch.randn(1024), torch.randn(1024, 1), a > 0


def unary(name, f):
    case('elementwise', name, lambda: f(a), lambda: f(a4))


case('elementwise', 'add', lambda: a + b, lambda: a4 + b4)
case('elementwise', 'add row', lambda: a + row)
case('elementwise', 'add column', lambda: a + column)
unary('mul number', lambda x: x * 2)
for name_, f_ in (('relu', torch.relu), ('tanh', torch.tanh), ('sigmoid', torch.sigmoid),
                  ('exp', torch.exp), ('gelu', F.gelu)):
    unary(name_, f_)
unary('leaky_relu', lambda x: F.leaky_relu(x, 0.2))
case('elementwise', 'log', lambda: c.log())
case('elementwise', 'where', lambda: torch.where(mask, a, b))
case('reduction', 'sum', lambda: a.sum(), lambda: a4.sum())
case('reduction', 'sum rows', lambda: a.sum(1))
case('reduction', 'sum columns', lambda: a.sum(0))
case('reduction', 'amax rows', lambda: a.amax(1))
case('reduction', 'softmax', lambda: a.softmax(1))
case('shape', 'transposed copy', lambda: a.t().contiguous())
case('shape', 'cat', lambda: torch.cat((a, b)))
case('shape', 'slice', lambda: a[:, :512].contiguous())
case('random', 'rand', lambda: torch.rand(1024, 1024))
case('random', 'randn', lambda: torch.randn(1024, 1024))

rows = torch.arange(1, 1025) * 7919 % 1024
case('index', 'index_select', lambda: a.index_select(0, rows))
case('index', 'embedding', lambda: F.embedding(rows, a))


# ---- products --------------------------------------------------------------------------------

def product(m, n, k, which):
    x = torch.randn(k, m).t() if which == 'TN' else torch.randn(m, k)
    y = torch.randn(n, k).t() if which == 'NT' else torch.randn(k, n)
    case('product', '%dx%dx%d %s' % (m, n, k, which), lambda: x @ y)


for s in ((1024, 1024, 1024), (128, 1000, 784), (64, 1024, 784), (64, 512, 256), (256, 128, 128),
          (256, 128, 2), (128, 784, 1000), (784, 1024, 64)):
    for which_ in ('NN', 'NT', 'TN'):
        product(*s, which_)
left, right = torch.randn(64, 64, 64), torch.randn(64, 64, 64)
case('product', 'batched 64x64x64', lambda: left.bmm(right))
x8, w8, b8 = torch.randn(8, 8), torch.randn(8, 8), torch.randn(8)
x784, w784, b784 = torch.randn(128, 784), torch.randn(1000, 784), torch.randn(1000)
case('product', 'linear 128x1000x784', lambda: F.linear(x784, w784, b784),
     lambda: F.linear(x8, w8, b8))


# ---- convolutions ----------------------------------------------------------------------------

def with_gradients(f, *inputs):
    for t in inputs:
        t.requires_grad_(True)

    def both():
        f(*inputs).sum().backward()
        for t in inputs:
            t.grad = None
    return both


def convolution(op, batch, i, o, size, kernel, stride, padding):
    transposed = op is F.conv_transpose2d
    x = torch.randn(batch, i, size, size)
    w = torch.randn(i if transposed else o, o if transposed else i, kernel, kernel).mul_(0.05)
    if min(i, o) > 1:   # the faster layout
        x, w = (t.to(memory_format=torch.channels_last) for t in (x, w))

    def f(x, w):
        return op(x, w, None, stride, padding)
    name = '%d %d-%d k%d %d-%d' % (batch, i, o, kernel, size, f(x, w).shape[2])
    family = 'conv_transpose2d' if transposed else 'conv2d'
    case(family, name, lambda: f(x, w))
    case(family, name + ' +gradients', with_gradients(f, x.clone(), w.clone()))


for s in ((64, 1, 64, 28, 4, 2, 1), (64, 64, 128, 14, 4, 2, 1), (32, 64, 128, 32, 4, 2, 1),
          (32, 256, 512, 8, 4, 2, 1), (64, 16, 32, 14, 3, 1, 1)):
    convolution(F.conv2d, *s)
for s in ((64, 128, 64, 7, 4, 2, 1), (64, 64, 1, 14, 4, 2, 1), (32, 128, 64, 16, 4, 2, 1),
          (32, 512, 256, 4, 4, 2, 1)):
    convolution(F.conv_transpose2d, *s)

# ---- pooling, normalisation, losses, optimisers ----------------------------------------------

maps = torch.randn(64, 16, 28, 28).to(memory_format=torch.channels_last)
pooled, positions = F.max_pool2d(maps, 2, return_indices=True)
case('pooling', 'max_pool2d', lambda: F.max_pool2d(maps, 2, return_indices=True))
case('pooling', 'max_unpool2d', lambda: F.max_unpool2d(pooled, positions, 2))
case('pooling', 'avg_pool2d', lambda: F.avg_pool2d(maps, 2))


def batch_norm(x, w, s):
    return F.batch_norm(x, None, None, w, s, True)


scale, shift = torch.ones(1024), torch.zeros(1024)
scale16, shift16 = torch.ones(16), torch.zeros(16)
case('normalisation', 'batch_norm 1024x1024', lambda: batch_norm(a, scale, shift))
case('normalisation', 'batch_norm 64x16x28x28', lambda: batch_norm(maps, scale16, shift16))
case('normalisation', 'batch_norm 64x16x28x28 +gradients',
     with_gradients(batch_norm, maps.clone(), torch.ones(16), torch.zeros(16)))
case('normalisation', 'layer_norm', lambda: F.layer_norm(a, (1024,), scale, shift))

bce = F.binary_cross_entropy_with_logits
case('loss', 'mse_loss', lambda: F.mse_loss(a, b), lambda: F.mse_loss(a4, b4))
case('loss', 'bce_with_logits', lambda: bce(a, c))
case('loss', 'bce_with_logits +gradients', with_gradients(lambda x: bce(x, c), a.clone()))
case('loss', 'cross_entropy', lambda: F.cross_entropy(a, rows))


def adam(name, sizes):
    params = [torch.randn(*s, requires_grad=True) for s in sizes]
    for p in params:
        p.grad = torch.ones_like(p)
    case('optimiser', name, torch.optim.Adam(params, lr=1e-3, foreach=False).step)


adam('Adam, 2.8 million weights', (
    (1000, 784), (1000,), (500, 1000), (500,), (250, 500), (250,), (30, 250), (30,), (250, 30),
    (250,), (500, 250), (500,), (1000, 500), (1000,), (784, 1000), (784,)))
adam('Adam, 34 thousand weights', (
    (128, 2), (128,), (128, 128), (128,), (2, 128), (2,), (128, 2), (128,), (128, 128), (128,),
    (1, 128), (1,)))

print(json.dumps([{'family': family, 'name': name, 'us': seconds(large, 1) * 1e6,
                   **({'ns': seconds(tiny, CHUNK) * 1e9} if tiny else {})}
                  for family, name, large, tiny in cases
                  if opt.only in name or opt.only in family]))
