"""Makes the little packages beside this file, which the audio service's tests serve.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install onnx==1.23.2 numpy safetensors
    /tmp/venv/bin/python services/audio/tests/models/make.py

`tiny-voice` is a WaveNet of two layers with random weights, which knows two digits and three speakers, and hums. The
third speaker, `noisy`, makes it draw the loudest samples there are: the noise that a model may fall into.
`tiny-planner` is another, which plans its digits; what it plans for the third speaker is no number.
"""

import hashlib
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from safetensors.numpy import save

HERE = pathlib.Path(__file__).parent
NODE = helper.make_node
R, SKIP, LEVELS, DIGITS, SPEAKERS, DELAYS = 4, 6, 256, 2, 3, [1, 3]
WORD, NOISE, MOMENTS, BANDS = DIGITS + SPEAKERS + 1, 3, 4, 2


def ints(name, *values):
    return numpy_helper.from_array(np.array(values, dtype=np.int64), name)


def floats(name, values):
    return numpy_helper.from_array(np.asarray(values, dtype=np.float32), name)


def value(name, shape, dtype=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, dtype, shape)


class Package:
    """One of them, in the making."""

    def __init__(self, name, seed, bands):
        self.name, self.bands, self.rng = name, bands, np.random.default_rng(seed)
        self.condition = DIGITS + SPEAKERS + 11 + bands
        self.folder = HERE / name / "1"
        self.tensors, self.tables = {}, ""

    def weight(self, name, *shape, scale=1.0):
        scale = scale * (np.prod(shape[1:]) ** -0.5 if len(shape) > 1 else 0.1)
        return floats(name, self.rng.standard_normal(shape) * scale)

    def add(self, name, nodes, inputs, outputs, weights, golden, extra=""):
        model = helper.make_model(helper.make_graph(nodes, name, inputs, outputs, weights),
                                  opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        data = model.SerializeToString()
        results = ReferenceEvaluator(model).run(None, golden)
        self.tensors |= {f"{name}/in/{k}": v for k, v in golden.items()}
        self.tensors |= {f"{name}/out/{o.name}": np.ascontiguousarray(v) for o, v in zip(outputs, results)}
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"{name}.onnx").write_bytes(data)

        def spec(info):
            tensor = info.type.tensor_type
            shape = ["batch"] + [dim.dim_value for dim in tensor.shape.dim][1:]
            kind = "i64" if tensor.elem_type == TensorProto.INT64 else "f32"
            limits = f", range = [0, {LEVELS - 1}]" if kind == "i64" else ""
            shape = str(shape).replace("'", '"')
            return f'{{ name = "{info.name}", dtype = "{kind}", shape = {shape}{limits} }}'

        self.tables += f'''
[[graph]]
name = "{name}"
file = "{name}.onnx"
sha256 = "{hashlib.sha256(data).hexdigest()}"
inputs = [{", ".join(map(spec, inputs))}]
outputs = [{", ".join(map(spec, outputs))}]
{extra}'''

    def step(self):
        level = np.arange(LEVELS)
        # Quiet levels are likely, and none is out of the question.
        quiet = -(((level - 128) / 20.0) ** 2).clip(max=12)
        ends = 30.0 * ((level < 4) | (level >= LEVELS - 4))
        nodes = [NODE("Gather", ["emb", "token"], ["x0"])]
        weights = [self.weight("emb", LEVELS, R, scale=2.0), ints("row", 0, 2 * R), ints("axis", 1),
                   floats("bo", quiet), floats("ends", ends.reshape(1, LEVELS)),
                   ints("noisy", DIGITS + SPEAKERS - 1), self.weight("wo", LEVELS, SKIP, scale=3.0)]
        for layer in range(len(DELAYS)):
            n = lambda s: f"{s}{layer}"
            weights += [self.weight(n("wg"), 2 * R, 3 * R + self.condition, scale=3.0), self.weight(n("bg"), 2 * R),
                        self.weight(n("wr"), R, R), self.weight(n("br"), R), self.weight(n("ws"), SKIP, R),
                        self.weight(n("bs"), SKIP), numpy_helper.from_array(np.array(layer, dtype=np.int64), n("layer"))]
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
                  value("condition", ["batch", self.condition])]
        outputs = [value("logits", ["batch", LEVELS]), value("pushed", ["batch", 2, R])]
        golden = {"token": np.array([1, 200, 128], dtype=np.int64),
                  "taps": self.rng.standard_normal((3, 2, 2, R)).astype(np.float32),
                  "condition": self.rng.random((3, self.condition), dtype=np.float32)}
        self.add("step", nodes, inputs, outputs, weights, golden,
                 f'delay = [{{ input = "taps", output = "pushed", delays = {DELAYS} }}]\n')

    def planner(self):
        # 0 / 0 for the third speaker, whose number is 1.
        nodes = [
            NODE("Concat", ["word", "noise"], ["seen"], axis=1),
            NODE("Gemm", ["seen", "wp", "bp"], ["planned"], transB=1),
            NODE("Gather", ["word", "noisy"], ["spoilt"], axis=1),
            NODE("Sub", ["one", "spoilt"], ["whole"]),
            NODE("Div", ["whole", "whole"], ["fine"]),
            NODE("Mul", ["planned", "fine"], ["flat"]),
            NODE("Reshape", ["flat", "row"], ["plan"]),
        ]
        weights = [self.weight("wp", MOMENTS * BANDS, WORD + NOISE, scale=4.0), self.weight("bp", MOMENTS * BANDS),
                   ints("noisy", DIGITS + SPEAKERS - 1), ints("row", 0, MOMENTS, BANDS), floats("one", [1.0])]
        inputs = [value("word", ["batch", WORD]), value("noise", ["batch", NOISE])]
        golden = {"word": self.rng.random((3, WORD), dtype=np.float32) * np.float32(0.9),
                  "noise": self.rng.standard_normal((3, NOISE)).astype(np.float32)}
        self.add("planner", nodes, inputs, [value("plan", ["batch", MOMENTS, BANDS])], weights, golden)

    def write(self):
        speaker = lambda name, zero, one: f'''
[[audio.speaker]]
name = "{name}"
gain = 1.0
durations = [{zero}, {one}]
'''
        (self.folder / "golden.safetensors").write_bytes(save(self.tensors, metadata={"tolerance": "0.0001"}))
        (self.folder / "package.toml").write_text(f'''name = "{self.name}"
version = 1
kind = "wavenet"
summary = "A random network for the audio service's tests"
licence = "MIT OR Apache-2.0"
data = "none"
{self.tables}
[audio]
sample_rate = 8000
levels = {LEVELS}
digits = ["0", "7"]
''' + speaker("ann", [1200, 1600, 2400], [600, 700]) + speaker("bob", [2000, 2000], [900, 1900])
            + speaker("noisy", [1600, 1600], [1600, 1600]))


voice = Package("tiny-voice", 20160912, 0)
voice.step()
voice.write()
planning = Package("tiny-planner", 20171216, BANDS)
planning.step()
planning.planner()
planning.write()
