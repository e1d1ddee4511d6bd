"""Reads cases from cases.lua and writes tests/golden/FAMILY.lua. See scripts/golden.

For outputs y_k and fixed weights w_k, L = sum_k sum(w_k y_k); stored are y, dL/dx and
dP/dx with P = sum_i sum((dL/dx_i)^2), the shape of a gradient penalty.
"""
import json
import sys

import numpy as np
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)


def generator(seed):
    """The generator of tests/case.lua."""
    x = seed & 0xffffffff or 2463534242
    for _ in range(4):
        x = (x * 1664525 + 1013904223) & 0xffffffff
    while True:
        x = x ^ ((x << 13) & 0xffffffff)
        x = x ^ (x >> 17)
        x = (x ^ (x << 5)) & 0xffffffff
        yield x / 4294967296.0


def seed_of(name):
    h = 5381
    for ch in name.encode():
        h = (h * 33 + ch) & 0xffffffff
    return h


def cotangent(name, k, n):
    g = generator(seed_of(name + '/w%d' % k))
    return [np.floor((next(g) * 2 - 1) * 256 + 0.5) / 256 for _ in range(n)]


def tensor(d):
    shape = d['shape']
    if d['dtype'] == 'int64':
        return torch.tensor(d['data'], dtype=torch.int64).reshape(shape) - 1
    if d['dtype'] == 'uint8':
        return torch.tensor(d['data'], dtype=torch.uint8).reshape(shape)
    return torch.tensor(d['data'], dtype=torch.float64).reshape(shape)


def number(v):
    v = float(v)
    if v != v:
        return '0/0'
    if v in (float('inf'), float('-inf')):
        return '1/0' if v > 0 else '-1/0'
    s = '%.9g' % v
    return s


def lua(t):
    t = t.detach()
    if t.dtype == torch.bool:
        t = t.to(torch.float64)
    kind = 'i' if t.dtype == torch.int64 else 'f'
    flat = t.reshape(-1).tolist()
    if kind == 'i':
        flat = [v + 1 for v in flat]
    return '{%s,{%s},{%s}}' % ('true' if kind == 'i' else 'false',
                               ','.join(str(s) for s in t.shape), ','.join(map(number, flat)))


def gradients(scalar, xs, create):
    if not scalar.requires_grad:
        return [None] * len(xs)
    return torch.autograd.grad(scalar, xs, create_graph=create, allow_unused=True)


def evaluate(case):
    xs = [tensor(d) for d in case['inputs']]
    want = case['wrt'] or [i + 1 for i, x in enumerate(xs) if x.is_floating_point()]
    leaves = [xs[i - 1] for i in want]
    if case['grad']:
        for x in leaves:
            x.requires_grad_()
    scope = {chr(97 + i): x for i, x in enumerate(xs)}
    scope.update(torch=torch, F=F, np=np, inf=float('inf'), nan=float('nan'))
    y = eval(case['torch'], scope)
    ys = list(y) if isinstance(y, (tuple, list)) else [y]
    fields = ['y={%s}' % ','.join(lua(t) for t in ys)]
    total = 0
    for k, t in enumerate(ys):
        if t.requires_grad:
            w = torch.tensor(cotangent(case['name'], k + 1, t.numel())).reshape(t.shape)
            total = total + (w * t).sum()
    if case['grad'] and leaves and torch.is_tensor(total):
        try:
            g = gradients(total, leaves, case['second'])
        except RuntimeError as e:   # PyTorch's own backward fails: only the value counts
            print('%s: value only: %s' % (case['name'], e), file=sys.stderr)
            return '["%s"]={%s}' % (case['name'], ','.join(fields))
        g = [torch.zeros_like(x) if t is None else t for t, x in zip(g, leaves)]
        fields.append('g={%s}' % ','.join(lua(t) for t in g))
        p = sum((t * t).sum() for t in g)
        if case['second'] and p.requires_grad:
            try:
                h = gradients(p, leaves, False)
                h = [torch.zeros_like(x) if t is None else t for t, x in zip(h, leaves)]
                fields.append('h={%s}' % ','.join(lua(t) for t in h))
            except RuntimeError as e:   # not twice differentiable in PyTorch
                fields.append('nosecond=%s' % json.dumps(str(e)[:80]))
    return '["%s"]={%s}' % (case['name'], ','.join(fields))


def main():
    family, lines, bad = None, [], 0

    def flush():
        if family and lines:
            with open('tests/golden/%s.lua' % family, 'w') as f:
                f.write('-- made by scripts/golden from tests/ops/%s.lua with PyTorch %s\nreturn {\n'
                        % (family, torch.__version__.split('+')[0]))
                f.write(',\n'.join(lines) + '\n}\n')
            print('%s: %d cases' % (family, len(lines)))

    for row in sys.stdin:
        case = json.loads(row)
        if 'family' in case:
            flush()
            family, lines = case['family'], []
            continue
        try:
            lines.append(evaluate(case))
        except Exception as e:
            bad += 1
            print('%s: %s: %s' % (case['name'], case['torch'], e), file=sys.stderr)
    flush()
    sys.exit(1 if bad else 0)


if __name__ == '__main__':
    main()
