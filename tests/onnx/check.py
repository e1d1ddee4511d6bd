# check.py MANIFEST RESULTS: the ONNX checker, with shape inference, over every model of a manifest.
import json
import sys

import onnx

results = {}
for model in json.load(open(sys.argv[1])):
    try:
        m = onnx.load(model["file"])
        onnx.checker.check_model(m, full_check=True)
        if m.ir_version != 8 or m.opset_import[0].version != 13:
            raise ValueError("IR %d, opset %d" % (m.ir_version, m.opset_import[0].version))
        results[model["name"]] = "ok"
    except Exception as error:
        results[model["name"]] = "%s: %s" % (type(error).__name__, error)
json.dump(results, open(sys.argv[2], "w"))
