"""The PyTorch side of tests/nets_spec.lua: prints tests/golden/nets.lua. See scripts/golden."""
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

from golden import generator, seed_of

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
STEPS = 10


def data(name, lo, hi, *sizes):
    n = int(np.prod(sizes))
    g = generator(seed_of(name))
    flat = [min(max(np.floor((lo + next(g) * (hi - lo)) * 256 + 0.5) / 256, lo), hi) for _ in range(n)]
    return torch.tensor(flat).reshape(sizes)


def set_weights(model, prefix, scale):
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(data(prefix + '.' + name, -scale, scale, *p.shape))
    return model


def leaky():
    return nn.LeakyReLU(0.2)


def dcgan():
    G = set_weights(nn.Sequential(
        nn.Linear(8, 54), nn.Unflatten(1, (6, 3, 3)), nn.BatchNorm2d(6), nn.ReLU(),
        nn.ConvTranspose2d(6, 4, 4, 2, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU(),
        nn.ConvTranspose2d(4, 1, 4, 2, 1), nn.Tanh()), 'G', 0.5)
    D = set_weights(nn.Sequential(
        nn.Conv2d(1, 4, 4, 2, 1), leaky(), nn.Conv2d(4, 6, 4, 2, 1, bias=False),
        nn.BatchNorm2d(6), leaky(), nn.Flatten(), nn.Linear(54, 1)), 'D', 0.5)
    G_opt = torch.optim.Adam(G.parameters(), lr=2e-3, betas=(0.5, 0.999))
    D_opt = torch.optim.Adam(D.parameters(), lr=2e-3, betas=(0.5, 0.999))
    ones, zeros = torch.ones(4, 1), torch.zeros(4, 1)
    bce = F.binary_cross_entropy_with_logits

    def step(k):
        fake = G(data('dcgan.z%d' % k, -1, 1, 4, 8))
        d_loss = (bce(D(data('dcgan.x%d' % k, -1, 1, 4, 1, 12, 12)), ones)
                  + bce(D(fake.detach()), zeros))
        D_opt.zero_grad(set_to_none=True)
        d_loss.backward()
        D_opt.step()
        g_loss = bce(D(fake), ones)
        G_opt.zero_grad(set_to_none=True)
        g_loss.backward(inputs=list(G.parameters()))
        G_opt.step()
        return d_loss, g_loss
    return step


def conv_autoencoder():
    net = set_weights(nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 5, 3, padding=1),
        nn.ConvTranspose2d(5, 3, 3, padding=1), nn.ConvTranspose2d(3, 1, 3, padding=1)), 'A', 0.4)
    opt = torch.optim.SGD(net.parameters(), lr=0.5, momentum=0.9, nesterov=True)

    def step(k):
        x = data('conv_autoencoder.x%d' % k, 0, 1, 4, 1, 8, 8)
        h, i = F.max_pool2d(F.relu(net[0](x)), 2, return_indices=True)
        h, j = F.max_pool2d(F.relu(net[1](h)), 2, return_indices=True)
        h = F.relu(net[2](F.max_unpool2d(h, j, 2)))
        loss = F.mse_loss(torch.sigmoid(net[3](F.max_unpool2d(h, i, 2))), x)
        opt.zero_grad(set_to_none=True)
        loss.backward()
        opt.step()
        return loss,
    return step


def vae():
    net = set_weights(nn.Sequential(
        nn.Linear(36, 16), nn.Linear(16, 6), nn.Linear(3, 16), nn.Linear(16, 36)), 'V', 0.3)
    opt = torch.optim.AdamW(net.parameters(), lr=1e-2)

    def step(k):
        x = data('vae.x%d' % k, 0, 1, 5, 36)
        mu, logvar = net[1](F.relu(net[0](x))).chunk(2, 1)
        z = mu + data('vae.e%d' % k, -2, 2, 5, 3) * (logvar * 0.5).exp()
        logits = net[3](F.relu(net[2](z)))
        kl = -0.5 * (1 + logvar - mu.square() - logvar.exp()).sum()
        loss = F.binary_cross_entropy_with_logits(logits, x, reduction='sum') + kl
        opt.zero_grad(set_to_none=True)
        loss.backward()
        opt.step()
        return loss,
    return step


def wgan_gp():
    D = set_weights(nn.Sequential(
        nn.Conv2d(1, 4, 4, 2, 1), leaky(), nn.Conv2d(4, 6, 4, 2, 1), nn.Tanh(),
        nn.Flatten(), nn.Linear(24, 1)), 'C', 0.5)
    opt = torch.optim.Adam(D.parameters(), lr=2e-3, betas=(0, 0.9))

    def step(k):
        real = data('wgan_gp.x%d' % k, -1, 1, 4, 1, 8, 8)
        fake = data('wgan_gp.f%d' % k, -1, 1, 4, 1, 8, 8)
        eps = data('wgan_gp.e%d' % k, 0, 1, 4, 1, 1, 1)
        mix = (eps * real + (1 - eps) * fake).requires_grad_()
        g, = torch.autograd.grad(D(mix).sum(), mix, create_graph=True)
        penalty = (g.flatten(1).norm(2, dim=1) - 1).square().mean()
        loss = D(fake).mean() - D(real).mean() + 10 * penalty
        opt.zero_grad(set_to_none=True)
        loss.backward()
        opt.step()
        return loss, penalty
    return step


def gru():
    net, out = nn.GRU(3, 5, batch_first=True), nn.Linear(5, 4)
    set_weights(net, 'R', 0.5)
    set_weights(out, 'O', 0.5)
    opt = torch.optim.RMSprop(list(net.parameters()) + list(out.parameters()), lr=1e-2,
                              momentum=0.5, centered=True)
    labels = torch.tensor([0, 2, 3, 1, 1, 0])

    def step(k):
        h, _ = net(data('gru.x%d' % k, -1, 1, 6, 7, 3))
        loss = F.cross_entropy(out(h[:, -1]), labels)
        opt.zero_grad(set_to_none=True)
        loss.backward()
        opt.step()
        return loss,
    return step


def main():
    print('-- made by scripts/golden with PyTorch %s: losses of ten steps (tests/nets_spec.lua)'
          % torch.__version__.split('+')[0])
    print('return {')
    for make in (dcgan, conv_autoencoder, vae, wgan_gp, gru):
        step = make()
        rows = ['{%s}' % ', '.join('%.15g' % float(x) for x in step(k + 1)) for k in range(STEPS)]
        print('  %s = {\n    %s,\n  },' % (make.__name__, ',\n    '.join(rows)))
    print('}')


if __name__ == '__main__':
    main()
