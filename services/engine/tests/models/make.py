"""Makes the little packages beside this file, which the engine's tests serve.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install onnx==1.23.2 numpy safetensors
    /tmp/venv/bin/python services/engine/tests/models/make.py

The weights are random; the golden outputs come from onnx's own reference evaluator, not from ONNX Runtime.
"""

import hashlib
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from safetensors.numpy import save

HERE = pathlib.Path(__file__).parent
RNG = np.random.default_rng(20240229)
NODE = helper.make_node


def weight(name, *shape):
    scale = np.prod(shape[1:]) ** -0.5 if len(shape) > 1 else 0.1
    return numpy_helper.from_array((RNG.standard_normal(shape) * scale).astype(np.float32), name)


def ints(name, *values):
    return numpy_helper.from_array(np.array(values, dtype=np.int64), name)


def value(name, shape, dtype="f32"):
    return helper.make_tensor_value_info(name, TensorProto.INT64 if dtype == "i64" else TensorProto.FLOAT, shape)


def spec(name, shape, dtype="f32", extra=""):
    dims = ", ".join(f'"{d}"' if isinstance(d, str) else str(d) for d in shape)
    return f'{{ name = "{name}", dtype = "{dtype}", shape = [{dims}]{extra} }}'


def package(name, kind, graph, nodes, weights, inputs, outputs, golden, tail="", top=""):
    """inputs and outputs: (name, shape, dtype, extra toml)"""
    model = helper.make_model(
        helper.make_graph(
            nodes,
            graph,
            [value(n, s, d) for n, s, d, _ in inputs],
            [value(n, s, d) for n, s, d, _ in outputs],
            weights,
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.checker.check_model(model, full_check=True)
    data = model.SerializeToString()
    results = ReferenceEvaluator(model).run(None, golden)
    tensors = {f"{graph}/in/{k}": v for k, v in golden.items()}
    tensors |= {f"{graph}/out/{n}": np.ascontiguousarray(v) for (n, *_), v in zip(outputs, results)}
    folder = HERE / name / "1"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{graph}.onnx").write_bytes(data)
    (folder / "golden.safetensors").write_bytes(save(tensors, metadata={"tolerance": "0.0001"}))
    toml = f"""name = "{name}"
version = 1
kind = "{kind}"
summary = "A random network for the engine's tests"
licence = "MIT OR Apache-2.0"
data = "none"

[[graph]]
name = "{graph}"
file = "{graph}.onnx"
sha256 = "{hashlib.sha256(data).hexdigest()}"
inputs = [{", ".join(spec(*i) for i in inputs)}]
outputs = [{", ".join(spec(*o) for o in outputs)}]
{tail}{top}"""
    (folder / "package.toml").write_text(toml)


def mlp():
    nodes = [
        NODE("Gemm", ["x", "w1", "b1"], ["a"], transB=1),
        NODE("Tanh", ["a"], ["t"]),
        NODE("Gemm", ["t", "w2", "b2"], ["y"], transB=1),
    ]
    weights = [weight("w1", 40, 24), weight("b1", 40), weight("w2", 10, 40), weight("b2", 10)]
    x = RNG.random((3, 24), dtype=np.float32)
    package("mlp", "onnx", "mlp", nodes, weights,
            [("x", ["batch", 24], "f32", ", range = [-1, 1]")], [("y", ["batch", 10], "f32", "")], {"x": x})


def conv():
    nodes = [
        NODE("Conv", ["image", "w1", "b1"], ["a"], pads=[1] * 4, strides=[2, 2]),
        NODE("Relu", ["a"], ["r"]),
        NODE("Conv", ["r", "w2", "b2"], ["b"], pads=[1] * 4),
        NODE("Sigmoid", ["b"], ["s"]),
        NODE("ConvTranspose", ["s", "w3", "b3"], ["image_out"], pads=[1] * 4, strides=[2, 2]),
    ]
    weights = [weight("w1", 8, 1, 3, 3), weight("b1", 8), weight("w2", 12, 8, 3, 3), weight("b2", 12),
               weight("w3", 12, 1, 4, 4), weight("b3", 1)]
    x = RNG.random((2, 1, 12, 12), dtype=np.float32)
    package("conv", "onnx", "conv", nodes, weights,
            [("image", ["batch", 1, 12, 12], "f32", ", range = [0, 1]")],
            [("image_out", ["batch", 1, 12, 12], "f32", "")], {"image": x})


def lookup():
    """Fails in the runtime for an index that is not there: the package names no range on purpose."""
    package("lookup", "onnx", "lookup", [NODE("Gather", ["table", "index"], ["row"])], [weight("table", 5, 3)],
            [("index", ["batch"], "i64", "")], [("row", ["batch", 3], "f32", "")],
            {"index": np.array([0, 4], dtype=np.int64)})


def rnn():
    e, h, v = 8, 16, 7
    nodes = [NODE("Gather", ["emb", "token"], ["x0"])]
    weights = [weight("emb", v, e), weight("wo", v, h), weight("bo", v), ints("axis", 0)]
    x, hs, cs = "x0", [], []
    for layer in range(2):
        n = lambda s: f"{s}{layer}"
        weights += [weight(n("w"), 4 * h, (e if layer == 0 else h) + h), weight(n("b"), 4 * h),
                    numpy_helper.from_array(np.array(layer, dtype=np.int64), n("layer"))]
        nodes += [
            NODE("Gather", ["h", n("layer")], [n("h")], axis=0),
            NODE("Gather", ["c", n("layer")], [n("c")], axis=0),
            NODE("Concat", [x, n("h")], [n("xh")], axis=1),
            NODE("Gemm", [n("xh"), n("w"), n("b")], [n("gates")], transB=1),
            NODE("Split", [n("gates")], [n("i"), n("f"), n("g"), n("o")], axis=1),
            NODE("Sigmoid", [n("i")], [n("si")]), NODE("Sigmoid", [n("f")], [n("sf")]),
            NODE("Sigmoid", [n("o")], [n("so")]), NODE("Tanh", [n("g")], [n("tg")]),
            NODE("Mul", [n("sf"), n("c")], [n("kept")]), NODE("Mul", [n("si"), n("tg")], [n("new")]),
            NODE("Add", [n("kept"), n("new")], [n("cn")]), NODE("Tanh", [n("cn")], [n("tc")]),
            NODE("Mul", [n("so"), n("tc")], [n("hn")]),
            NODE("Unsqueeze", [n("hn"), "axis"], [n("hu")]), NODE("Unsqueeze", [n("cn"), "axis"], [n("cu")]),
        ]
        x = n("hn")
        hs.append(n("hu"))
        cs.append(n("cu"))
    nodes += [NODE("Concat", hs, ["h_next"], axis=0), NODE("Concat", cs, ["c_next"], axis=0),
              NODE("Gemm", [x, "wo", "bo"], ["logits"], transB=1)]
    state = lambda s: (s, [2, "batch", h], "f32", "")
    golden = {"token": np.array([1, 6, 3], dtype=np.int64),
              "h": (RNG.standard_normal((2, 3, h)) * 0.5).astype(np.float32),
              "c": RNG.standard_normal((2, 3, h)).astype(np.float32)}
    package("rnn", "char-rnn", "step", nodes, weights,
            [("token", ["batch"], "i64", ", range = [0, 6]"), state("h"), state("c")],
            [("logits", ["batch", v], "f32", ""), state("h_next"), state("c_next")], golden,
            tail='state = [{ input = "h", output = "h_next" }, { input = "c", output = "c_next" }]\n',
            top='\n[vocabulary]\ncharacters = ["\\n", " ", "a", "b", "c", "d", "e"]\n')


def patterned(name, salt, *shape):
    """A weight by a formula that the tests know too: (37 i + 101 salt + 11) mod 61, from -30/64 to 30/64."""
    i = np.arange(np.prod(shape), dtype=np.int64)
    values = ((37 * i + 101 * salt + 11) % 61 - 30) / 64
    return numpy_helper.from_array(values.reshape(shape).astype(np.float32), name)


def wave():
    """A little WaveNet: 3 layers with kernels of 3 taps 1, 3 and 2 steps apart, 4 wide; see waves.rs."""
    r, skip, k, levels, delays = 4, 8, 6, 16, [1, 3, 2]
    nodes = [NODE("Gather", ["emb", "token"], ["x0"])]
    weights = [patterned("emb", 0, levels, r), ints("row", 0, 2 * r), ints("axis", 1)]
    skips = []
    for layer in range(len(delays)):
        n = lambda s: f"{s}{layer}"
        weights += [patterned(n("wg"), 10 * layer + 1, 2 * r, 3 * r + k), patterned(n("bg"), 10 * layer + 2, 2 * r),
                    patterned(n("wr"), 10 * layer + 3, r, r), patterned(n("br"), 10 * layer + 4, r),
                    patterned(n("ws"), 10 * layer + 5, skip, r), patterned(n("bs"), 10 * layer + 6, skip),
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
        skips.append(n("skip"))
    weights += [patterned("wh", 40, levels, skip), patterned("bh", 41, levels),
                patterned("wo", 42, levels, levels), patterned("bo", 43, levels)]
    nodes += [NODE("Sum", skips, ["sum"]), NODE("Relu", ["sum"], ["relu0"]),
              NODE("Gemm", ["relu0", "wh", "bh"], ["h"], transB=1), NODE("Relu", ["h"], ["relu1"]),
              NODE("Gemm", ["relu1", "wo", "bo"], ["logits"], transB=1),
              NODE("Concat", [f"pushed{layer}" for layer in range(len(delays))], ["pushed"], axis=1)]
    golden = {"token": np.array([1, 15, 8], dtype=np.int64),
              "taps": RNG.standard_normal((3, len(delays), 2, r)).astype(np.float32),
              "condition": RNG.random((3, k), dtype=np.float32)}
    package("wave", "wavenet", "step", nodes, weights,
            [("token", ["batch"], "i64", f", range = [0, {levels - 1}]"),
             ("taps", ["batch", len(delays), 2, r], "f32", ""), ("condition", ["batch", k], "f32", "")],
            [("logits", ["batch", levels], "f32", ""), ("pushed", ["batch", len(delays), r], "f32", "")], golden,
            tail=f'delay = [{{ input = "taps", output = "pushed", delays = {delays} }}]\n',
            top='''
[audio]
sample_rate = 8000
levels = 16
digits = ["0", "1"]

[[audio.speaker]]
name = "nobody"
gain = 1.0
durations = [[100, 200], [150, 300]]
''')


mlp()
conv()
lookup()
rnn()
wave()
