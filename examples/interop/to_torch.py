# Weights of gan-lua in PyTorch. Needs PyTorch and nothing else.
#
#   from to_torch import load
#   net.load_state_dict(load("weights.safetensors"), strict=True)
#
# python3 to_torch.py weights.safetensors    lists the tensors of a file
import json
import sys

import torch

TYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16,
         "BF16": torch.bfloat16, "I64": torch.int64, "I32": torch.int32, "I16": torch.int16,
         "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool}


def load(path):
    """The tensors of a safetensors file by name, tied ones under each of their names."""
    with open(path, "rb") as file:
        data = bytearray(file.read())
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start].decode())
    metadata = header.pop("__metadata__", {})
    state = {}
    for name, entry in header.items():
        begin, end = (start + n for n in entry["data_offsets"])
        flat = torch.frombuffer(data[begin:end], dtype=TYPES[entry["dtype"]]) if end > begin \
            else torch.empty(0, dtype=TYPES[entry["dtype"]])
        state[name] = flat.reshape(entry["shape"])
    for key, name in metadata.items():  # "alias:other" = "first", or "first^T" for its transpose
        if key.startswith("alias:"):
            state[key[6:]] = state[name] if name in state else state[name[:-2]].t()
    return state


if __name__ == "__main__":
    for name, tensor in load(sys.argv[1]).items():
        print(name, tuple(tensor.shape), tensor.dtype)
