#!/usr/bin/python3
"""An independent judge of rows A2, A7 and A12 of the table of auto-encoders, with numpy alone.

    scripts/quality.d/rescore.py [runs/quality]

Decodes codes with the weights of a run folder, scores what comes out against the test images, and
compares with result.json. Ends with 1 if a figure differs by more than one in a hundred.
"""

import glob
import gzip
import json
import os
import struct
import sys

import numpy as np

FOLDER = sys.argv[1] if len(sys.argv) > 1 else "runs/quality"
SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


def idx(name):
    """An array from a file of MNIST's form."""
    for path in ("data/mnist/" + name, "data/mnist/" + name + ".gz"):
        if os.path.exists(path):
            data = (gzip.open if path.endswith("gz") else open)(path, "rb").read()
            sizes = struct.unpack(">" + "I" * data[3], data[4:4 + 4 * data[3]])
            return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(sizes)
    raise SystemExit("rescore: data/mnist is missing: scripts/fetch-data mnist")


def safetensors(path):
    """Tensors by name from a file of float32 tensors."""
    data = open(path, "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    result = {}
    for name, entry in json.loads(data[8:8 + size]).items():
        if name != "__metadata__":
            first, last = (8 + size + at for at in entry["data_offsets"])
            result[name] = np.frombuffer(data[first:last], np.float32).reshape(entry["shape"])
    return result


def selu(x):
    return SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(np.minimum(x, 0)))


def relu(x):
    return np.maximum(x, 0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def dense(weights, prefix, x, hidden, last=lambda x: x):
    """The linear layers whose names begin with the prefix, in order."""
    layers = sorted({int(name[len(prefix):].split(".")[0]) for name in weights
                     if name.startswith(prefix)})
    for i in layers:
        x = x @ weights[f"{prefix}{i}.weight"].T + weights[f"{prefix}{i}.bias"]
        x = hidden(x) if i != layers[-1] else last(x)
    return x


def deep(folder, images, _):
    """A2: the error of images that are decoded from codes.npy, and of codes of its own."""
    weights = safetensors(folder + "/weights.safetensors")
    codes = np.load(folder + "/codes.npy")
    own = dense(weights, "0.", images, selu)
    if np.abs(own - codes).max() > 1e-2 * np.abs(codes).max():
        return float("nan")
    return np.square(dense(weights, "1.", codes, selu, sigmoid) - images).sum(1).mean()


def sparse(folder, images, labels):
    """A7: the share of wrong images by the classifier on features that are computed here."""
    weights = safetensors(folder + "/weights.safetensors")
    codes = dense(weights, "0.", images, relu)
    kept = json.load(open(folder + "/options.json"))["eval_active"]
    codes[codes < np.partition(codes, -kept, axis=1)[:, -kept, None]] = 0
    probe = np.load(folder + "/probe.npz")
    wrong = (codes @ probe["weight"].T + probe["bias"]).argmax(1) != labels
    return wrong.mean()


def codec(folder, images, _):
    """A12: decibels of what the file of codes says, decoded here."""
    data = open(folder + "/test.codes", "rb").read()
    _, count, size = struct.unpack("<4sII", data[:12])
    bits = json.load(open(folder + "/options.json"))["bits"]
    stored = np.frombuffer(data, np.uint8, offset=12).reshape(count, size, 1)
    digits = stored >> np.arange(0, 8, bits, dtype=np.uint8) & (2 ** bits - 1)
    code = digits.reshape(count, -1) / (2 ** bits - 1)
    weights = safetensors(folder + "/weights.safetensors")
    return -10 * np.log10(np.square(dense(weights, "decoder.", code, relu, sigmoid)
                                    - images).mean())


def main():
    images = idx("t10k-images-idx3-ubyte").reshape(-1, 784) / 255
    labels = idx("t10k-labels-idx1-ubyte")
    rows = {"A2-deep": (deep, "error"), "A7-sparse": (sparse, "error"),
            "A12-codec": (codec, "psnr")}
    judged = agreed = 0
    for name, (score, key) in rows.items():
        for folder in sorted(glob.glob(f"{FOLDER}/{name}-*[0-9]")):
            if not os.path.exists(folder + "/result.json"):
                continue
            theirs = json.load(open(folder + "/result.json"))[key]
            own = score(folder, images, labels)
            ok = abs(own - theirs) <= 0.01 * abs(theirs)
            judged, agreed = judged + 1, agreed + ok
            print(f"{folder}: {key} {theirs:.5f}, judged {own:.5f}"
                  f" ({'agrees' if ok else 'DIFFERS'})")
    print(f"{agreed} of {judged} figures agree")
    return 0 if judged and agreed == judged else 1


if __name__ == "__main__":
    sys.exit(main())
