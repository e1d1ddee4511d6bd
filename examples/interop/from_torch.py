# Weights of PyTorch for gan-lua. Needs PyTorch and nothing else.
#
#   from from_torch import save
#   save(net.state_dict(), "weights.safetensors")
#
# In Lua: assert(net:load("weights.safetensors")), the layers having the same names and sizes.
import json

import torch

TYPES = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16",
         torch.bfloat16: "BF16", torch.int64: "I64", torch.int32: "I32", torch.int16: "I16",
         torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL"}


def save(state, path, metadata=None):
    """Writes tensors by name as a safetensors file; the same memory is stored once."""
    header, metadata, chunks, stored, offset = {}, dict(metadata or {}), [], {}, 0
    for name in sorted(state, key=lambda name: (-state[name].element_size(), name)):
        t = state[name].detach().cpu()
        place = (t.data_ptr(), t.dtype, t.shape, t.stride())
        if t.numel() > 0 and place in stored:
            metadata["alias:" + name] = stored[place]
            continue
        stored[place] = name
        data = t.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        header[name] = {"dtype": TYPES[t.dtype], "shape": list(t.shape),
                        "data_offsets": [offset, offset + len(data)]}
        chunks.append(data)
        offset += len(data)
    if metadata:
        header["__metadata__"] = metadata
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the data begin at a multiple of 8
    with open(path, "wb") as file:
        file.writelines([len(text).to_bytes(8, "little"), text, *chunks])
