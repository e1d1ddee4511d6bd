#!/usr/bin/python3
"""Single ops, gan-lua beside PyTorch.

Microseconds of a call at a large size with GB/s (everything read and written once) or GFLOP/s,
and nanoseconds of a call on a few elements: what it costs besides arithmetic. The least median of
the rounds counts; rounds of both sides alternate. Large results are allocated anew in both.
"""
import argparse
import json
import os
import subprocess
import sys

import compare


def run(args, command, env):
    with compare.turn(args.lock):
        p = subprocess.run(command + ['--threads', str(args.threads), '--only', args.only,
                                      '--seconds', str(args.seconds)],
                           env=env, stdout=subprocess.PIPE)
    if p.returncode != 0:
        sys.exit(p.returncode)
    return {(r['family'], r['name']): r for r in json.loads(p.stdout)}


def least(into, new):
    for key, r in new.items():
        old = into.setdefault(key, r)
        for field in ('us', 'ns'):
            if field in r:
                old[field] = min(old[field], r[field])


def show(ours, theirs, threads):
    print('%-17s %-34s %11s %11s %6s %10s %10s' % (
        'family', threads, 'PyTorch us', 'gan-lua us', 'ratio', 'PyTorch', 'gan-lua'))
    for key, r in ours.items():
        t = theirs[key]['us']
        print('%-17s %-34s %11.1f %11.1f %6.2f %10.1f %10.1f %s' % (
            *key, t, r['us'], t / r['us'], r['amount'] / t / 1e3, r['amount'] / r['us'] / 1e3,
            r['unit']))
    print('\n%-17s %-34s %11s %11s %6s' % ('per call', '', 'PyTorch ns', 'gan-lua ns', 'ratio'))
    for key, r in ours.items():
        if 'ns' in r:
            t = theirs[key]['ns']
            print('%-17s %-34s %11.0f %11.0f %6.2f' % (*key, t, r['ns'], t / r['ns']))


def main():
    ap = argparse.ArgumentParser(prog='scripts/bench ops', description=__doc__,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('--threads', type=int, default=2)
    ap.add_argument('--rounds', type=int, default=3)
    ap.add_argument('--seconds', type=float, default=0.1, help='time for an op in a round')
    ap.add_argument('--only', default='', help='only ops or families whose name contains this')
    ap.add_argument('--json', metavar='FILE', help='also write the figures there')
    ap.add_argument('--lock', metavar='FILE', help='hold a lock on this file during every run')
    ap.add_argument('--gan', default='build/gan-lua', help='the program to measure')
    args = ap.parse_args()
    ours, theirs = {}, {}
    for _ in range(args.rounds):
        least(theirs, run(args, [compare.PYTHON, os.path.join(compare.HERE, 'torch_ops.py')],
                          compare.torch_env(args.threads)))
        least(ours, run(args, [args.gan, os.path.join(compare.HERE, 'ops.lua')], os.environ))
    show(ours, theirs, compare.threads_text(args.threads))
    if args.json:
        with open(args.json, 'w') as f:
            json.dump([dict(r, torch_us=theirs[k]['us'], torch_ns=theirs[k].get('ns'))
                       for k, r in ours.items()], f, indent=1)


if __name__ == '__main__':
    main()
