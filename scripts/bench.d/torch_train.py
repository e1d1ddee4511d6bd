#!/usr/bin/env python3
"""The peer of scripts/bench train: workloads.lua's twelve workloads for PyTorch on the CPU.

    torch_train.py --only mlp_gan --threads 2 --steps 50 --warmup 10
    torch_train.py --only mlp_gan --record FILE     weights, data, noise and losses of 20 steps

Each is written in the way that was fastest: gradients set to none, in-place activations, no
gradients of D's weights in G's update, real and fake in one batch where D has no batch
normalisation and that helps, channels-last where that helps, a frozen graph for inference.
--optim, --layout, --jit and --dcat override that. A step is one full training iteration (all
critic updates and the generator's), a batch is a slice of a preloaded tensor, noise is drawn
anew in every step and is timed.
"""
import argparse
import json
import resource
import statistics
import struct
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

WORKLOADS = {}


def workload(**best):
    """Registers a workload with the variant that was fastest for it."""
    def register(f):
        WORKLOADS[f.__name__] = (f, best)
        return f
    return register


# ---- data and nets -------------------------------------------------------------------------

def images(n, *shape, lo=0.0):
    """n images in [lo, 1], 19 % of the values lit as in MNIST."""
    return torch.rand(n, *shape).sub_(0.81).relu_().mul_((1.0 - lo) / 0.19).add_(lo)


class Batches:
    """Contiguous slices of a preloaded tensor, cyclically."""

    def __init__(self, x, batch, cfg):
        if cfg.layout == 'nhwc' and x.dim() == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        self.x, self.b, self.n, self.i = x, batch, x.shape[0] // batch, 0

    def next(self):
        i = self.i
        self.i = (i + 1) % self.n
        return self.x[i * self.b:(i + 1) * self.b]


def adam(net, cfg, lr, betas=(0.9, 0.999)):
    return torch.optim.Adam(net.parameters(), lr=lr * cfg.lr_scale, betas=betas,
                            foreach=cfg.optim == 'foreach')


def prep(net, cfg, example):
    if cfg.layout == 'nhwc':
        net = net.to(memory_format=torch.channels_last)
    if cfg.jit == 'trace':
        net = torch.jit.trace(net, example, check_trace=False)
    return net


def dcgan_init(m):
    if isinstance(m, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(m.weight, 0.0, 0.02)
    elif isinstance(m, nn.BatchNorm2d):
        nn.init.normal_(m.weight, 1.0, 0.02)
        nn.init.zeros_(m.bias)


def lrelu():
    return nn.LeakyReLU(0.2, inplace=True)


def relu():
    return nn.ReLU(True)


def mlp(sizes, act, last=None):
    layers = []
    for i, (a, b) in enumerate(zip(sizes, sizes[1:])):
        layers.append(nn.Linear(a, b))
        if i < len(sizes) - 2:
            layers.append(act())
    return nn.Sequential(*layers, *([last] if last else []))


def mlp_gan_nets():
    G = nn.Sequential(
        nn.Linear(100, 128), lrelu(),
        nn.Linear(128, 256), nn.BatchNorm1d(256), lrelu(),
        nn.Linear(256, 512), nn.BatchNorm1d(512), lrelu(),
        nn.Linear(512, 1024), nn.BatchNorm1d(1024), lrelu(),
        nn.Linear(1024, 784), nn.Tanh())
    return G, mlp([784, 512, 256, 1], lrelu)


def dcgan28_g(c1, c2):
    return nn.Sequential(
        nn.Linear(100, c1 * 49), nn.Unflatten(1, (c1, 7, 7)), nn.BatchNorm2d(c1), relu(),
        nn.ConvTranspose2d(c1, c2, 4, 2, 1, bias=False), nn.BatchNorm2d(c2), relu(),
        nn.ConvTranspose2d(c2, 1, 4, 2, 1), nn.Tanh())


# ---- steps -----------------------------------------------------------------------------------
# Each workload returns (step, samples, nets by name, batches, passes). `passes` says what a step
# has to compute: (net, samples, kind), see count().

def autoencoder(net, x, B, cfg):
    nets, batches = {'net': net}, Batches(x, B, cfg)
    opt = adam(net, cfg, 1e-3)
    net = prep(net, cfg, batches.x[:B])

    def step():
        x = batches.next()
        opt.zero_grad(set_to_none=True)
        loss = F.mse_loss(net(x), x)
        loss.backward()
        opt.step()
        return (loss,)
    return step, B, nets, batches, [('net', B, 'train')]


def gan(G, D, x, B, zshape, cfg, lr, betas):
    """Non-saturating GAN: one generator forward a step, shared by D's update (detached) and G's."""
    nets, batches = {'G': G, 'D': D}, Batches(x, B, cfg)
    gparams = list(G.parameters())
    optG, optD = adam(G, cfg, lr, betas), adam(D, cfg, lr, betas)
    G, D = prep(G, cfg, torch.randn(B, *zshape)), prep(D, cfg, batches.x[:B])
    ones, zeros = torch.ones(B, 1), torch.zeros(B, 1)
    target = torch.cat([ones, zeros])
    bce = F.binary_cross_entropy_with_logits

    def step():
        real = batches.next()
        fake = G(torch.randn(B, *zshape))
        optD.zero_grad(set_to_none=True)
        if cfg.dcat == 'yes':
            loss = 2 * bce(D(torch.cat([real, fake.detach()])), target)
        else:
            loss = bce(D(real), ones) + bce(D(fake.detach()), zeros)
        loss.backward()
        optD.step()
        optG.zero_grad(set_to_none=True)
        gl = bce(D(fake), ones)
        gl.backward(inputs=gparams)
        optG.step()
        return loss, gl
    return step, B, nets, batches, [('G', B, 'train'), ('D', 2 * B, 'train'), ('D', B, 'through')]


def wgan(G, D, x, B, critics, make_opt, critic_update, cfg, penalty):
    nets, batches = {'G': G, 'D': D}, Batches(x, B, cfg)
    gparams = list(G.parameters())
    optG, optD = make_opt(G), make_opt(D)
    G, D = prep(G, cfg, torch.randn(B, 100)), prep(D, cfg, batches.x[:B])

    def step():
        for _ in range(critics):
            real = batches.next()
            with torch.no_grad():
                fake = G(torch.randn(B, 100))
            loss = critic_update(D, optD, real, fake)
        optG.zero_grad(set_to_none=True)
        gl = -D(G(torch.randn(B, 100))).mean()
        gl.backward(inputs=gparams)
        optG.step()
        return loss, gl
    update = [('G', B, 'forward'), ('D', 2 * B, 'train')] + [('D', B, 'penalty')] * penalty
    return (step, critics * B, nets, batches,
            update * critics + [('G', B, 'train'), ('D', B, 'through')])


def wasserstein(D, real, fake, cfg):
    if cfg.dcat == 'yes':
        d = D(torch.cat([real, fake]))
        return d[len(real):].mean() - d[:len(real)].mean()
    return D(fake).mean() - D(real).mean()


def gradient_penalty(G, D, x, B, critics, cfg):
    def critic_update(D, optD, real, fake):
        w = wasserstein(D, real, fake, cfg)
        eps = torch.rand(B, *([1] * (real.dim() - 1)))
        mix = torch.lerp(fake, real, eps).requires_grad_(True)
        optD.zero_grad(set_to_none=True)
        g, = torch.autograd.grad(D(mix).sum(), mix, create_graph=True)
        loss = w + 10.0 * (g.flatten(1).norm(2, dim=1) - 1).pow(2).mean()
        loss.backward()
        optD.step()
        return loss

    def make_opt(net):
        return adam(net, cfg, 1e-4, (0.0, 0.9))
    return wgan(G, D, x, B, critics, make_opt, critic_update, cfg, 1)


# ---- workloads: workloads.lua describes them -------------------------------------------------

@workload()
def mlp_ae(cfg):
    net = nn.Sequential(
        nn.Linear(784, 1000), relu(), nn.Linear(1000, 500), relu(),
        nn.Linear(500, 250), relu(), nn.Linear(250, 30),
        nn.Linear(30, 250), relu(), nn.Linear(250, 500), relu(),
        nn.Linear(500, 1000), relu(), nn.Linear(1000, 784), nn.Sigmoid())
    return autoencoder(net, images(64 * 128, 784), 128, cfg)


@workload(dcat='yes')
def mlp_gan(cfg):
    G, D = mlp_gan_nets()
    return gan(G, D, images(64 * 64, 784, lo=-1.0), 64, (100,), cfg, 2e-4, (0.5, 0.999))


@workload(dcat='yes')
def wgan_clip(cfg):
    G, D = mlp_gan_nets()
    dparams = list(D.parameters())

    def make_opt(net):
        return torch.optim.RMSprop(net.parameters(), lr=5e-5, foreach=cfg.optim == 'foreach')

    def critic_update(D, optD, real, fake):
        optD.zero_grad(set_to_none=True)
        loss = wasserstein(D, real, fake, cfg)
        loss.backward()
        optD.step()
        with torch.no_grad():
            for p in dparams:
                p.clamp_(-0.01, 0.01)
        return loss
    return wgan(G, D, images(64 * 64, 784, lo=-1.0), 64, 5, make_opt, critic_update, cfg, 0)


@workload(dcat='yes')
def wgan_gp(cfg):
    G = mlp([100, 512, 512, 512, 784], relu, nn.Tanh())
    D = mlp([784, 512, 512, 512, 1], lrelu)
    return gradient_penalty(G, D, images(64 * 64, 784, lo=-1.0), 64, 5, cfg)


@workload()
def vae(cfg):
    B = 128
    encoder, decoder = mlp([784, 400, 40], relu), mlp([20, 400, 784], relu)
    nets = nn.ModuleDict({'encoder': encoder, 'decoder': decoder})
    batches = Batches(images(64 * B, 784), B, cfg)
    opt = adam(nets, cfg, 1e-3)

    def step():
        x = batches.next()
        opt.zero_grad(set_to_none=True)
        mu, logvar = encoder(x).chunk(2, 1)
        z = torch.addcmul(mu, torch.randn(mu.shape), torch.exp(0.5 * logvar))
        rec = F.binary_cross_entropy_with_logits(decoder(z), x, reduction='sum')
        loss = rec - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
        loss.backward()
        opt.step()
        return (loss,)
    return (step, B, dict(nets), batches,
            [('encoder', B, 'train'), ('decoder', B, 'train'), ('decoder', B, 'first')])


@workload(dcat='yes')
def ring_gan(cfg):
    n = 64 * 256
    a = torch.randint(0, 8, (n,)) * (3.14159265 / 4)
    x = torch.stack([a.cos(), a.sin()], 1) * 2 + 0.02 * torch.randn(n, 2)
    G, D = mlp([2, 128, 128, 2], relu), mlp([2, 128, 128, 1], relu)
    return gan(G, D, x, 256, (2,), cfg, 1e-3, (0.9, 0.999))


@workload(layout='nhwc')
def dcgan28(cfg):
    G = dcgan28_g(128, 64).apply(dcgan_init)
    D = nn.Sequential(
        nn.Conv2d(1, 64, 4, 2, 1), lrelu(),
        nn.Conv2d(64, 128, 4, 2, 1, bias=False), nn.BatchNorm2d(128), lrelu(),
        nn.Flatten(), nn.Linear(6272, 1)).apply(dcgan_init)
    return gan(G, D, images(32 * 64, 1, 28, 28, lo=-1.0), 64, (100,), cfg, 2e-4, (0.5, 0.999))


@workload(layout='nhwc')
def dcgan64(cfg):
    f = 64

    def up(i, o, s=2, p=1):
        return [nn.ConvTranspose2d(i, o, 4, s, p, bias=False), nn.BatchNorm2d(o), relu()]

    def down(i, o):
        return [nn.Conv2d(i, o, 4, 2, 1, bias=False), nn.BatchNorm2d(o), lrelu()]
    G = nn.Sequential(*up(100, f * 8, 1, 0), *up(f * 8, f * 4), *up(f * 4, f * 2), *up(f * 2, f),
                      nn.ConvTranspose2d(f, 3, 4, 2, 1, bias=False), nn.Tanh()).apply(dcgan_init)
    D = nn.Sequential(nn.Conv2d(3, f, 4, 2, 1, bias=False), lrelu(),
                      *down(f, f * 2), *down(f * 2, f * 4), *down(f * 4, f * 8),
                      nn.Conv2d(f * 8, 1, 4, 1, 0, bias=False), nn.Flatten()).apply(dcgan_init)
    return gan(G, D, images(8 * 32, 3, 64, 64, lo=-1.0), 32, (100, 1, 1), cfg, 2e-4, (0.5, 0.999))


class UnpoolNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1 = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), relu())
        self.c2 = nn.Sequential(nn.Conv2d(16, 32, 3, padding=1), relu())
        self.d1 = nn.Sequential(nn.ConvTranspose2d(32, 16, 3, padding=1), relu())
        self.d2 = nn.Sequential(nn.ConvTranspose2d(16, 1, 3, padding=1), nn.Sigmoid())
        self.pool, self.unpool = nn.MaxPool2d(2, return_indices=True), nn.MaxUnpool2d(2)

    def forward(self, x):
        x, i1 = self.pool(self.c1(x))
        x, i2 = self.pool(self.c2(x))
        return self.d2(self.unpool(self.d1(self.unpool(x, i2)), i1))


@workload(layout='nhwc')
def conv_ae_unpool(cfg):
    return autoencoder(UnpoolNet(), images(32 * 64, 1, 28, 28), 64, cfg)


@workload()
def wgan_gp_conv(cfg):
    D = nn.Sequential(nn.Conv2d(1, 32, 4, 2, 1), lrelu(), nn.Conv2d(32, 64, 4, 2, 1), lrelu(),
                      nn.Flatten(), nn.Linear(3136, 1))
    return gradient_penalty(dcgan28_g(64, 32), D, images(32 * 32, 1, 28, 28, lo=-1.0), 32, 1, cfg)


def latency(cfg, B):
    G = dcgan28_g(128, 64).apply(dcgan_init).eval()
    nets, z = {'G': G}, torch.randn(B, 100)
    G = prep(G, cfg, z)
    with torch.no_grad():
        if cfg.jit in ('freeze', 'frozen'):
            G = torch.jit.freeze(torch.jit.trace(G, z))
        if cfg.jit == 'freeze':
            G = torch.jit.optimize_for_inference(G)

    def step():
        with torch.no_grad():
            return (G(z),)
    step.codes = z
    return step, B, nets, None, [('G', B, 'forward')]


@workload(jit='freeze')
def gen_latency_b1(cfg):
    return latency(cfg, 1)


@workload(jit='frozen')
def gen_latency_b64(cfg):
    return latency(cfg, 64)


# ---- what a step has to compute ---------------------------------------------------------------

COUNTED = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm1d, nn.BatchNorm2d,
           nn.MaxPool2d, nn.MaxUnpool2d)


def layers_of(net, x):
    """[(multiplications, outputs, weights)] of each layer for one sample of the batch x."""
    found, hooks = [], []

    def look(m, inputs, y):
        y = y[0] if isinstance(y, tuple) else y
        w = m.weight.numel() if getattr(m, 'weight', None) is not None else 0
        places = {nn.Linear: 1, nn.Conv2d: y[0, 0].numel(),
                  nn.ConvTranspose2d: inputs[0][0, 0].numel()}.get(type(m), 0)
        found.append((w * places, y[0].numel(), sum(p.numel() for p in m.parameters())))
    for m in net.modules():
        if isinstance(m, COUNTED):
            hooks.append(m.register_forward_hook(look))
    with torch.no_grad():
        net(x)
    for h in hooks:
        h.remove()
    return found


def count(nets, examples, passes, optimiser_bytes):
    """Operations and compulsory bytes of a step: (GFLOP, MB). A multiplication with its addition is
    two operations; each kind of pass needs, in units of its layers' forward products,
      forward  1
      train    forward, gradients of weights, gradients of all inputs but the first layer's
      first    the input gradient of the first layer, where `train` is not a net's beginning
      through  forward and gradients of all inputs (a frozen discriminator)
      penalty  forward, input gradient, and the two products of its own gradient
    Bytes: weights once per product that reads or writes them, every layer's output once written
    and once read forward, three times more in a backward pass (saved value, gradient twice), and
    what the optimiser touches. Nothing is counted for caches: a net that fits passes 100 %."""
    flop = byte = 0
    for name, n, kind in passes:
        layers = layers_of(nets[name], examples[name])
        macs, outs, weights = (sum(x) for x in zip(*layers))
        head = layers[0][0]
        products, traffic, weight_uses = {
            'forward': (macs, 2, 1), 'train': (3 * macs - head, 5, 3), 'first': (head, 0, 0),
            'through': (2 * macs, 5, 2), 'penalty': (4 * macs - layers[-1][0], 10, 4)}[kind]
        flop += 2 * n * products
        byte += 4 * (n * outs * traffic + weights * weight_uses)
        if kind == 'train':
            byte += weights * optimiser_bytes
    return flop / 1e9, byte / 1e6


# ---- recording ---------------------------------------------------------------------------------

def save_safetensors(path, tensors):
    header, blobs, at = {}, [], 0
    for name, t in tensors.items():
        t = t.detach().contiguous()
        blob = t.numpy().tobytes()
        header[name] = {'dtype': {torch.float32: 'F32', torch.int64: 'I64'}[t.dtype],
                        'shape': list(t.shape), 'data_offsets': [at, at + len(blob)]}
        blobs.append(blob)
        at += len(blob)
    head = json.dumps(header).encode()
    head += b' ' * (-len(head) % 8)
    with open(path, 'wb') as f:
        f.write(struct.pack('<Q', len(head)) + head)
        for blob in blobs:
            f.write(blob)


def record(path, step, nets, batches, steps):
    """Writes weights before and after, data, all random numbers in order, each step's losses."""
    out = {'%s.%s' % (n, k): v.clone() for n, net in nets.items()
           for k, v in net.state_dict().items()}
    out['data' if batches else 'codes'] = batches.x if batches else step.codes
    noise = []

    def recorded(draw):
        def drawn(*a, **k):
            noise.append(draw(*a, **k))
            return noise[-1]
        return drawn
    torch.randn, torch.rand = recorded(torch.randn), recorded(torch.rand)
    losses = [step() for _ in range(steps)]
    for i, t in enumerate(noise):
        out['noise.%d' % (i + 1)] = t
    out.update(('after.%s.%s' % (n, k), p) for n, net in nets.items()
               for k, p in net.named_parameters())
    if batches:
        out['losses'] = torch.tensor([[float(x) for x in row] for row in losses])
    else:
        out['output'] = losses[0][0]
    save_safetensors(path, out)


# ---- command line ------------------------------------------------------------------------------

FLAGS = {'optim': ('loop', 'foreach'), 'layout': ('nchw', 'nhwc'),
         'jit': ('none', 'trace', 'freeze', 'frozen'), 'dcat': ('no', 'yes')}


def run(name, args):
    cfg = argparse.Namespace(**vars(args))
    build, best = WORKLOADS[name]
    for k, choices in FLAGS.items():
        if getattr(cfg, k) == 'auto':
            setattr(cfg, k, best.get(k, choices[0]))
    torch.manual_seed(1)
    torch.set_flush_denormal(True)   # before the first parallel region
    step, samples, nets, batches, passes = build(cfg)
    result = {'workload': name, 'threads': args.threads}
    if args.record:
        examples = {n: batches.x[:2] if batches else step.codes for n in nets}
        for n in ('G', 'decoder'):
            if n in nets:
                first = next(nets[n].parameters())
                z = first.shape[0] if first.dim() == 4 else first.shape[1]
                examples[n] = torch.zeros(2, z, 1, 1) if first.dim() == 4 else torch.zeros(2, z)
        record(args.record, step, nets, batches, 20)
        result['gflop'], result['mbyte'] = count(nets, examples, passes,
                                                 (4 * 5 + 8 if name == 'wgan_clip' else 4 * 7))
        return result
    for _ in range(args.warmup):
        step()
    ts, clock = [], time.perf_counter
    for _ in range(args.steps):
        t = clock()
        out = step()
        ts.append(clock() - t)
    med = statistics.median(ts)
    result.update(median_ms=med * 1e3, min_ms=min(ts) * 1e3, samples_per_s=samples / med,
                  peak_rss_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                  steps=len(ts), losses=[float(x.detach().mean()) for x in out])
    return result


def main():
    ap = argparse.ArgumentParser(description=__doc__,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('--threads', type=int, default=2)
    ap.add_argument('--only', action='append', choices=list(WORKLOADS))
    ap.add_argument('--steps', type=int, default=30)
    ap.add_argument('--warmup', type=int, default=5)
    ap.add_argument('--record', metavar='FILE')
    ap.add_argument('--lr-scale', type=float, default=1.0, help='of Adam, for --record')
    for k, choices in FLAGS.items():
        ap.add_argument('--' + k, default='auto', choices=('auto',) + choices)
    args = ap.parse_args()
    torch.set_num_threads(args.threads)
    for name in args.only or WORKLOADS:
        print(json.dumps(run(name, args)), flush=True)


if __name__ == '__main__':
    main()
