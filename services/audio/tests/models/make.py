"""Makes the little package beside this file, which the audio service's tests serve.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install onnx==1.23.2 numpy safetensors
    /tmp/venv/bin/python services/audio/tests/models/make.py

A WaveNet of two layers with random weights, which knows two digits and three speakers, and hums. The third
speaker, `noisy`, makes it draw the loudest samples there are: the noise that a model may fall into.
"""

import hashlib
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from safetensors.numpy import save

HERE = pathlib.Path(__file__).parent
RNG = np.random.default_rng(20160912)
NODE = helper.make_node
R, SKIP, LEVELS, DIGITS, SPEAKERS, DELAYS = 4, 6, 256, 2, 3, [1, 3]
CONDITION = DIGITS + SPEAKERS + 11


def weight(name, *shape, scale=1.0):
    scale = scale * (np.prod(shape[1:]) ** -0.5 if len(shape) > 1 else 0.1)
    return numpy_helper.from_array((RNG.standard_normal(shape) * scale).astype(np.float32), name)


def ints(name, *values):
    return numpy_helper.from_array(np.array(values, dtype=np.int64), name)


def value(name, shape, dtype=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, dtype, shape)


level = np.arange(LEVELS)
# Quiet levels are likely, and none is out of the question.
quiet = -(((level - 128) / 20.0) ** 2).clip(max=12)
ends = 30.0 * ((level < 4) | (level >= LEVELS - 4))
nodes = [NODE("Gather", ["emb", "token"], ["x0"])]
weights = [weight("emb", LEVELS, R, scale=2.0), ints("row", 0, 2 * R), ints("axis", 1),
           numpy_helper.from_array(quiet.astype(np.float32), "bo"),
           numpy_helper.from_array(ends.astype(np.float32).reshape(1, LEVELS), "ends"),
           ints("noisy", DIGITS + SPEAKERS - 1), weight("wo", LEVELS, SKIP, scale=3.0)]
for layer in range(len(DELAYS)):
    n = lambda s: f"{s}{layer}"
    weights += [weight(n("wg"), 2 * R, 3 * R + CONDITION, scale=3.0), weight(n("bg"), 2 * R),
                weight(n("wr"), R, R), weight(n("br"), R), weight(n("ws"), SKIP, R), weight(n("bs"), SKIP),
                numpy_helper.from_array(np.array(layer, dtype=np.int64), n("layer"))]
    nodes += [
        NODE("Unsqueeze", [n("x"), "axis"], [n("pushed")]),
        NODE("Gather", ["taps", n("layer")], [n("past")], axis=1),
        NODE("Reshape", [n("past"), "row"], [n("flat")]),
        NODE("Concat", [n("flat"), n("x"), "condition"], [n("seen")], axis=1),
        NODE("Gemm", [n("seen"), n("wg"), n("bg")], [n("gates")], transB=1),
        NODE("Split", [n("gates")], [n("f"), n("g")], axis=1),
        NODE("Tanh", [n("f")], [n("t")]), NODE("Sigmoid", [n("g")], [n("s")]),
        NODE("Mul", [n("t"), n("s")], [n("z")]),
        NODE("Gemm", [n("z"), n("wr"), n("br")], [n("r")], transB=1),
        NODE("Gemm", [n("z"), n("ws"), n("bs")], [n("skip")], transB=1),
        NODE("Add", [n("x"), n("r")], [f"x{layer + 1}"]),
    ]
nodes += [
    NODE("Sum", ["skip0", "skip1"], ["sum"]),
    NODE("Gemm", ["sum", "wo", "bo"], ["spoken"], transB=1),
    NODE("Gather", ["condition", "noisy"], ["shout"], axis=1),
    NODE("Mul", ["shout", "ends"], ["noise"]),
    NODE("Add", ["spoken", "noise"], ["logits"]),
    NODE("Concat", ["pushed0", "pushed1"], ["pushed"], axis=1),
]
inputs = [value("token", ["batch"], TensorProto.INT64), value("taps", ["batch", 2, 2, R]),
          value("condition", ["batch", CONDITION])]
outputs = [value("logits", ["batch", LEVELS]), value("pushed", ["batch", 2, R])]
model = helper.make_model(helper.make_graph(nodes, "step", inputs, outputs, weights),
                          opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.checker.check_model(model, full_check=True)
data = model.SerializeToString()
golden = {"token": np.array([1, 200, 128], dtype=np.int64),
          "taps": RNG.standard_normal((3, 2, 2, R)).astype(np.float32),
          "condition": RNG.random((3, CONDITION), dtype=np.float32)}
results = ReferenceEvaluator(model).run(None, golden)
tensors = {f"step/in/{k}": v for k, v in golden.items()}
tensors |= {f"step/out/{o.name}": np.ascontiguousarray(v) for o, v in zip(outputs, results)}
folder = HERE / "tiny-voice" / "1"
folder.mkdir(parents=True, exist_ok=True)
(folder / "step.onnx").write_bytes(data)
(folder / "golden.safetensors").write_bytes(save(tensors, metadata={"tolerance": "0.0001"}))
speaker = lambda name, zero, one: f'''
[[audio.speaker]]
name = "{name}"
gain = 1.0
durations = [{zero}, {one}]
'''
(folder / "package.toml").write_text(f'''name = "tiny-voice"
version = 1
kind = "wavenet"
summary = "A random network for the audio service's tests"
licence = "MIT OR Apache-2.0"
data = "none"

[[graph]]
name = "step"
file = "step.onnx"
sha256 = "{hashlib.sha256(data).hexdigest()}"
inputs = [{{ name = "token", dtype = "i64", shape = ["batch"], range = [0, {LEVELS - 1}] }}, {{ name = "taps", dtype = "f32", shape = ["batch", 2, 2, {R}] }}, {{ name = "condition", dtype = "f32", shape = ["batch", {CONDITION}] }}]
outputs = [{{ name = "logits", dtype = "f32", shape = ["batch", {LEVELS}] }}, {{ name = "pushed", dtype = "f32", shape = ["batch", 2, {R}] }}]
delay = [{{ input = "taps", output = "pushed", delays = {DELAYS} }}]

[audio]
sample_rate = 8000
levels = {LEVELS}
digits = ["0", "7"]
''' + speaker("ann", [1200, 1600, 2400], [600, 700]) + speaker("bob", [2000, 2000], [900, 1900])
    + speaker("noisy", [1600, 1600], [1600, 1600]))
