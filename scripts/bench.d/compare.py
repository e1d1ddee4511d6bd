#!/usr/bin/python3
"""Trains the twelve workloads with gan-lua and with PyTorch in turn, and compares.

Before it is timed, a workload must compute the same in both: from the same weights, data and
random numbers every loss of 20 steps agrees within 1e-3 (of the largest value it took), and the
ways that the weights went within 5 % (rounding alone parts a DCGAN's by 2 %). Where Adam's first
steps amplify rounding so much that PyTorch would not even agree with itself in another memory
layout (dcgan64), the rates of both are divided by 100 for this check; the table shows it.

PyTorch is given its best environment: OpenBLAS built for OpenMP, bound threads, malloc that keeps
its memory, and the fastest of several kernels and ways of writing, looked for on this machine.

Every run is a process of its own between two calibrations, a loop of multiply-adds on every core.
It counts when both reached 93 % of what the better tenth of all calibrations reaches and other
processes took under 4 % of the machine meanwhile; otherwise it is tried again, up to --tries times
a round. Shared machines slow down for seconds at a time, which no number of repetitions averages
away.

The table: medians over clean processes of the medians of their steps, fastest steps, the ratio of
the medians (PyTorch / gan-lua), samples a second, peak memory of the process, and gan-lua's share
of what the machine can do: operations of the products against a loop of fused multiply-adds, bytes
against a copy (torch_train.py, count(), says what is counted).
"""
import argparse
import fcntl
import glob
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON = '/usr/bin/python3' if os.path.exists('/usr/bin/python3') else sys.executable

STEPS = {'mlp_ae': 80, 'mlp_gan': 120, 'wgan_clip': 40, 'wgan_gp': 20, 'vae': 250,
         'ring_gan': 600, 'dcgan28': 16, 'dcgan64': 4, 'conv_ae_unpool': 60, 'wgan_gp_conv': 40,
         'gen_latency_b1': 2000, 'gen_latency_b64': 80}

# What else may be fastest for PyTorch; {} and [] are its defaults
CORES = [({}, []), ({'OPENBLAS_CORETYPE': 'HASWELL'}, []),
         ({'OPENBLAS_CORETYPE': 'COOPERLAKE'}, [])]
CHANNELS_FIRST = [({}, []), ({}, ['--layout', 'nchw'])]
CANDIDATES = {'wgan_gp': CORES + [({}, ['--dcat', 'yes'])],
              'wgan_gp_conv': [({}, []), ({}, ['--dcat', 'yes']), ({}, ['--layout', 'nhwc'])],
              'gen_latency_b1': [({}, []), ({}, ['--jit', 'frozen'])],
              'gen_latency_b64': [({}, []), ({}, ['--jit', 'freeze'])],
              'dcgan28': CHANNELS_FIRST, 'dcgan64': CHANNELS_FIRST,
              'conv_ae_unpool': CHANNELS_FIRST}


@contextmanager
def turn(lock):
    """Holds the file of --lock: measurements on one machine take turns."""
    if lock is None:
        yield
        return
    with open(lock, 'a') as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


class Machine:
    """Limits, calibration and runs of processes that know whether they were disturbed."""

    def __init__(self, args):
        self.args, self.cpus = args, len(os.sched_getaffinity(0))
        self.tmp = tempfile.TemporaryDirectory()
        self.exe = os.path.join(self.tmp.name, 'limits')
        subprocess.run([os.environ.get('CC', 'cc'), '-O3', '-march=native', '-pthread',
                        os.path.join(HERE, 'limits.c'), '-o', self.exe], check=True)
        with turn(self.args.lock):
            self.calibrations = [self.limit('fma', self.cpus) for _ in range(10)]
            self.limits = {t: (max(self.limit('fma', t) for _ in range(5)),
                               max(self.limit('copy', t) for _ in range(5))) for t in args.threads}

    def limit(self, what, threads):
        return float(subprocess.run([self.exe, what, str(threads)], stdout=subprocess.PIPE,
                                    check=True).stdout)

    def run(self, command, env):
        """One process: the JSON that it printed, with `clean` and `calibration`."""
        with turn(self.args.lock):
            before = self.limit('fma', self.cpus)
            own0, wall0, cpu0 = os.times(), time.time(), cpu_seconds()
            p = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            own1, wall1, cpu1 = os.times(), time.time(), cpu_seconds()
            after = self.limit('fma', self.cpus)
        if p.returncode != 0:
            text = p.stderr.decode(errors='replace').strip()
            return {'error': text[-400:] or 'exit %d' % p.returncode}
        own = own1[2] + own1[3] - own0[2] - own0[3]
        foreign = (cpu1 - cpu0 - own) / ((wall1 - wall0) * self.cpus)
        self.calibrations += [before, after]
        result = json.loads(p.stdout.decode().strip().splitlines()[-1])
        result.update(calibration=min(before, after), foreign=foreign)
        return result

    def clean(self, r):
        usual = statistics.quantiles(self.calibrations, n=10)[-1]
        return r['calibration'] > 0.93 * usual and r['foreign'] < 0.04


def cpu_seconds():
    """Seconds that all processes, and the host, have taken from this machine's processors."""
    with open('/proc/stat') as f:
        v = [int(x) for x in f.readline().split()[1:9]]
    return (v[0] + v[1] + v[2] + v[5] + v[6] + v[7]) / os.sysconf('SC_CLK_TCK')


# ---- the two sides ---------------------------------------------------------------------------

def torch_env(threads, more=()):
    folders = glob.glob('/usr/lib/*/openblas-openmp') + glob.glob('/usr/lib/openblas-openmp')
    if not folders:
        sys.exit('PyTorch would be slower than it can be: scripts/setup --bench installs '
                 'libopenblas0-openmp and python3-torch')
    big = str(1 << 32)
    return dict(os.environ, LD_LIBRARY_PATH=folders[0], OMP_NUM_THREADS=str(threads),
                OPENBLAS_NUM_THREADS=str(threads), OMP_PROC_BIND='true', MALLOC_TRIM_THRESHOLD_=big,
                MALLOC_MMAP_THRESHOLD_=big, GLIBC_TUNABLES='glibc.malloc.hugetlb=1', **dict(more))


def torch_command(name, threads, *more):
    return [PYTHON, os.path.join(HERE, 'torch_train.py'), '--only', name, '--threads', str(threads),
            *more]


def gan_command(args, name, threads, *more):
    return [args.gan, os.path.join(HERE, 'train.lua'), '--only', name, '--threads', str(threads),
            '--json', *more]


def check(machine, args, name):
    """Both sides' losses: the work of a step and how far they are apart."""
    path = os.path.join(machine.tmp.name, name)
    threads = max(args.threads)
    for scale in ('1', '0.01'):
        theirs = machine.run(torch_command(name, threads, '--record', path, '--lr-scale', scale),
                             torch_env(threads))
        if 'error' in theirs:
            sys.exit('PyTorch: ' + theirs['error'])
        ours = machine.run(gan_command(args, name, threads, '--replay', path, '--lr-scale', scale),
                           os.environ)
        os.remove(path)
        if 'error' in ours:
            sys.exit('gan-lua: ' + ours['error'])
        losses, weights = ours['worst_difference'], ours.get('weights_difference', 0)
        same = losses < 1e-3 and weights < 0.05
        if same:
            break
    return {'gflop': theirs['gflop'], 'mbyte': theirs['mbyte'], 'lr_scale': float(scale),
            'difference': losses, 'weights_difference': weights, 'same': same}


def tune(machine, args, name, threads, steps):
    """The environment and flags with which PyTorch is fastest here."""
    if not args.tune:
        return {}, []
    times = []
    for env, flags in CANDIDATES.get(name, CORES):
        r = machine.run(torch_command(name, threads, *steps, *flags), torch_env(threads, env))
        times.append(r.get('median_ms', math.inf))  # kernels for other processors cannot run
    return CANDIDATES.get(name, CORES)[times.index(min(times))]


def measure(machine, args, jobs):
    """Rounds of alternating runs; fills the list `runs` of each side of each job."""
    for round_ in range(args.rounds):
        for job in jobs:
            for side, command, env in job['commands']:
                for _ in range(args.tries):
                    r = machine.run(command, env)
                    if 'error' in r:
                        sys.exit('%s, %s: %s' % (job['name'], side, r['error']))
                    job['runs'].setdefault(side, []).append(r)
                    if machine.clean(r):
                        break
        print('\rround %d of %d' % (round_ + 1, args.rounds), end='', file=sys.stderr, flush=True)
    print('\r', end='', file=sys.stderr)


def summary(machine, runs):
    """Medians over clean runs; where there are none, over the faster half."""
    clean = [r for r in runs if machine.clean(r)]
    use = clean or sorted(runs, key=lambda r: r['median_ms'])[:max(1, len(runs) // 2)]
    return {'median_ms': statistics.median(r['median_ms'] for r in use),
            'min_ms': min(r['min_ms'] for r in runs), 'clean': len(clean), 'runs': len(runs),
            'samples_per_s': statistics.median(r['samples_per_s'] for r in use),
            'peak_rss_mib': statistics.median(r['peak_rss_mib'] for r in runs)}


# ---- the table ---------------------------------------------------------------------------------

HEAD = ('workload         t  PyTorch ms (best)      gan-lua ms (best)       ratio  samples/s'
        '  MiB: PyTorch gan-lua   %fma %copy  losses, weights differ')


def line(row, side):
    theirs, ours = row['torch'], row[side]
    check_text = '%.0e %.0e%s' % (row['difference'], row['weights_difference'],
                                  '' if row['lr_scale'] == 1 else ' at rates / 100')
    return ('%-16s %d %9.3f %9.3f   %9.3f %9.3f    %6.2f%s %10.0f   %10.0f %7.0f   %4.0f %5.0f'
            '  %s') % (
        row['name'], row['threads'], theirs['median_ms'], theirs['min_ms'], ours['median_ms'],
        ours['min_ms'], row['ratio_' + side], ' ' if ours['clean'] and theirs['clean'] else '?',
        ours['samples_per_s'], theirs['peak_rss_mib'], ours['peak_rss_mib'],
        row['share_fma_' + side], row['share_copy_' + side],
        check_text if row['same'] else check_text + ' NOT THE SAME')


def evaluate(machine, job):
    row = {k: v for k, v in job.items() if k not in ('commands', 'runs')}
    fma, copy = machine.limits[job['threads']]
    row.update((side, summary(machine, runs)) for side, runs in job['runs'].items())
    for side in row.keys() & {'gan', 'compiled'}:
        ms = row[side]['median_ms']
        row['ratio_' + side] = row['torch']['median_ms'] / ms
        row['share_fma_' + side] = 100 * row['gflop'] / (ms * 1e-3) / fma
        row['share_copy_' + side] = 100 * row['mbyte'] / ms / copy
    return row


def threads_text(t):
    return '%d thread%s' % (t, 's'[:t > 1])


def print_table(machine, rows):
    for t, (fma, copy) in sorted(machine.limits.items()):
        print('%s: multiply-adds %.0f GFLOP/s, copy %.1f GB/s' % (threads_text(t), fma, copy))
    for side in ('gan', 'compiled'):
        mine = [r for r in rows if side in r]
        if not mine:
            continue
        print('\n' + HEAD + (' (gan.compile)' if side == 'compiled' else ''))
        for r in mine:
            print(line(r, side))
        for t in sorted(machine.limits):
            logs = [math.log(r['ratio_' + side]) for r in mine if r['threads'] == t]
            print('geometric mean of the ratios, %s: %.3f, least %.3f' % (
                threads_text(t), math.exp(statistics.mean(logs)), math.exp(min(logs))))
    if any(not r[s]['clean'] for r in rows for s in ('torch', 'gan')):
        print('? no run was undisturbed: the faster half is shown')


def options():
    ap = argparse.ArgumentParser(prog='scripts/bench train', description=__doc__,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('--only', default=','.join(STEPS), help='names of workloads, with commas')
    ap.add_argument('--threads', help='numbers with commas between (1,2)', default='1,2')
    ap.add_argument('--rounds', type=int, default=5)
    ap.add_argument('--tries', type=int, default=4, help='runs a round until one is undisturbed')
    ap.add_argument('--compile', action='store_true', help='measure gan.compile as well')
    ap.add_argument('--no-tune', dest='tune', action='store_false',
                    help="do not look for PyTorch's fastest settings first")
    ap.add_argument('--quick', action='store_true',
                    help='one round of a quarter of the steps, no search')
    ap.add_argument('--json', metavar='FILE', help='write everything measured there')
    ap.add_argument('--lock', metavar='FILE', help='hold a lock on this file during every run')
    ap.add_argument('--gan', default='build/gan-lua', help='the program to measure')
    args = ap.parse_args()
    args.only = args.only.split(',')
    args.threads = [int(t) for t in args.threads.split(',')]
    for name in args.only:
        if name not in STEPS:
            ap.error('no workload %s; there are %s' % (name, ', '.join(STEPS)))
    if args.quick:
        args.rounds, args.tries, args.tune = 1, 2, False
    return args


def main():
    args = options()
    machine, jobs = Machine(args), []
    for name in args.only:
        found = check(machine, args, name)
        if not found['same']:
            print('%s: losses differ by %.1e, weights by %.1e' % (
                name, found['difference'], found['weights_difference']), file=sys.stderr)
        n = max(3, STEPS[name] // 4) if args.quick else STEPS[name]
        steps = ['--steps', str(n), '--warmup', str(max(1, n // 4))]
        for threads in args.threads:
            env, flags = tune(machine, args, name, threads, steps)
            commands = [('torch', torch_command(name, threads, *steps, *flags),
                         torch_env(threads, env)),
                        ('gan', gan_command(args, name, threads, *steps), os.environ)]
            if args.compile:
                commands.append(('compiled', gan_command(args, name, threads, '--compile', *steps),
                                 os.environ))
            jobs.append({'name': name, 'threads': threads, 'commands': commands, 'runs': {},
                         'peer': {'env': env, 'flags': flags}, **found})
    measure(machine, args, jobs)
    rows = [evaluate(machine, job) for job in jobs]
    print_table(machine, rows)
    if args.json:
        with open(args.json, 'w') as f:
            json.dump({'machine': platform.platform(), 'cpus': machine.cpus,
                       'limits': machine.limits, 'rows': rows,
                       'runs': [{k: j[k] for k in ('name', 'threads', 'runs')} for j in jobs]},
                      f, indent=1)
    sys.exit(0 if all(r['same'] for r in rows) else 1)


if __name__ == '__main__':
    main()
