"""Makes the little packages beside this file, which the codec service's tests serve.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install onnx==1.23.2 numpy safetensors
    /tmp/venv/bin/python services/codec/tests/models/make.py

The golden outputs come from onnx's own reference evaluator, not from ONNX Runtime. The denoiser, the
classifier, the inpainter and the segmenter are plain arithmetic, so that a test can say what comes out of
them; the weights of the others are random.
"""

import hashlib
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from safetensors.numpy import save

HERE = pathlib.Path(__file__).parent
RNG = np.random.default_rng(20240601)
NODE = helper.make_node


def weight(name, *shape, scale=1.0):
    scale *= shape[-1] ** -0.5 if len(shape) > 1 else 0.1
    return numpy_helper.from_array((RNG.standard_normal(shape) * scale).astype(np.float32), name)


def const(name, values, dtype):
    return numpy_helper.from_array(np.array(values, dtype=dtype), name)


def graph(name, nodes, weights, inputs, outputs, golden):
    """inputs and outputs: (name, shape, extra toml)"""
    dtypes = {n: TensorProto.INT64 if v.dtype == np.int64 else TensorProto.FLOAT for n, v in golden.items()}
    value = lambda n, s, _: helper.make_tensor_value_info(n, dtypes.get(n, TensorProto.FLOAT), s)
    model = helper.make_model(
        helper.make_graph(nodes, name, [value(*i) for i in inputs], [value(*o) for o in outputs], weights),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.checker.check_model(model, full_check=True)
    results = ReferenceEvaluator(model).run(None, golden)
    tensors = {f"{name}/in/{k}": v for k, v in golden.items()}
    tensors |= {f"{name}/out/{n}": np.ascontiguousarray(v) for (n, *_), v in zip(outputs, results)}
    data = model.SerializeToString()

    def spec(name, shape, extra):
        dims = ", ".join(f'"{d}"' if isinstance(d, str) else str(d) for d in shape)
        dtype = "i64" if dtypes.get(name) == TensorProto.INT64 else "f32"
        return f'{{ name = "{name}", dtype = "{dtype}", shape = [{dims}]{extra} }}'

    toml = f"""
[[graph]]
name = "{name}"
file = "{name}.onnx"
sha256 = "{hashlib.sha256(data).hexdigest()}"
inputs = [{", ".join(spec(*i) for i in inputs)}]
outputs = [{", ".join(spec(*o) for o in outputs)}]
"""
    return name, data, tensors, toml


def package(name, kind, graphs, table=""):
    folder = HERE / name / "1"
    folder.mkdir(parents=True, exist_ok=True)
    toml, golden = "", {}
    for graph_name, data, tensors, text in graphs:
        (folder / f"{graph_name}.onnx").write_bytes(data)
        toml += text
        golden |= tensors
    (folder / "golden.safetensors").write_bytes(save(golden, metadata={"tolerance": "0.0001"}))
    (folder / "package.toml").write_text(
        f"""name = "{name}"
version = 1
kind = "{kind}"
summary = "A little network for the codec service's tests"
licence = "MIT OR Apache-2.0"
data = "none"
{toml}{table}"""
    )


UNIT = ", range = [0, 1]"


def encoder(shape, heads):
    size = int(np.prod(shape))
    nodes = [NODE("Flatten", ["image"], ["flat"], axis=1)]
    weights = []
    for name, length, scale in heads:
        weights += [weight(f"w_{name}", length, size, scale=scale), weight(f"b_{name}", length)]
        nodes.append(NODE("Gemm", ["flat", f"w_{name}", f"b_{name}"], [name], transB=1))
    image = RNG.random((2, *shape), dtype=np.float32)
    outputs = [(name, ["batch", length], "") for name, length, _ in heads]
    return graph("encoder", nodes, weights, [("image", ["batch", *shape], UNIT)], outputs, {"image": image})


def decoder(shape, length):
    size = int(np.prod(shape))
    nodes = [
        NODE("Gemm", ["code", "w", "b"], ["flat"], transB=1),
        NODE("Reshape", ["flat", "shape"], ["logits"]),
        NODE("Sigmoid", ["logits"], ["image"]),
    ]
    weights = [weight("w", size, length, scale=2.0), weight("b", size), const("shape", [-1, *shape], np.int64)]
    code = RNG.standard_normal((2, length)).astype(np.float32)
    return graph("decoder", nodes, weights, [("code", ["batch", length], "")],
                 [("image", ["batch", *shape], UNIT)], {"code": code})


def denoiser(shape):
    """image * (1 - sigma), and image / 2 where sigma is not given."""
    image = RNG.random((2, *shape), dtype=np.float32)
    known = graph(
        "denoiser",
        [NODE("Sub", ["one", "sigma"], ["kept"]), NODE("Reshape", ["kept", "shape"], ["factor"]),
         NODE("Mul", ["image", "factor"], ["denoised"])],
        [const("one", 1, np.float32), const("shape", [-1, 1, 1, 1], np.int64)],
        [("image", ["batch", *shape], UNIT), ("sigma", ["batch"], ", range = [0, 0.55]")],
        [("denoised", ["batch", *shape], "")],
        {"image": image, "sigma": np.array([0.1, 0.5], dtype=np.float32)},
    )
    blind = graph(
        "blind", [NODE("Mul", ["image", "half"], ["denoised"])], [const("half", 0.5, np.float32)],
        [("image", ["batch", *shape], UNIT)], [("denoised", ["batch", *shape], "")], {"image": image},
    )
    return [known, blind]


def classifier(shape):
    """Of three classes that with the nearest brightness: logits of -40 (mean - brightness)^2, but for what
    all have alike."""
    bright = np.array([0, 0.5, 1], dtype=np.float32)
    image = RNG.random((2, *shape), dtype=np.float32)
    return graph(
        "classifier",
        [NODE("GlobalAveragePool", ["image"], ["pooled"]), NODE("Flatten", ["pooled"], ["mean"], axis=1),
         NODE("Gemm", ["mean", "w", "b"], ["logits"], transB=1)],
        [const("w", 80 * bright[:, None], np.float32), const("b", -40 * bright**2, np.float32)],
        [("image", ["batch", *shape], UNIT)], [("logits", ["batch", 3], "")], {"image": image},
    )


def inpainter(shape):
    """A quarter in the hole, and the image elsewhere."""
    image = RNG.random((2, *shape), dtype=np.float32)
    mask = (RNG.random((2, 1, *shape[1:]), dtype=np.float32) < 0.3).astype(np.float32)
    return graph(
        "inpainter",
        [NODE("Sub", ["one", "mask"], ["known"]), NODE("Mul", ["image", "known"], ["kept"]),
         NODE("Mul", ["mask", "quarter"], ["made"]), NODE("Add", ["kept", "made"], ["filled"])],
        [const("one", 1, np.float32), const("quarter", 0.25, np.float32)],
        [("image", ["batch", *shape], UNIT), ("mask", ["batch", 1, *shape[1:]], UNIT)],
        [("filled", ["batch", *shape], UNIT)], {"image": image, "mask": mask},
    )


def segmenter(shape):
    """A logit of 0 at half of the brightness, 10 and -10 at its ends."""
    image = RNG.random((2, *shape), dtype=np.float32)
    return graph(
        "segmenter", [NODE("Sub", ["image", "half"], ["centred"]), NODE("Mul", ["centred", "steep"], ["logits"])],
        [const("half", 0.5, np.float32), const("steep", 20, np.float32)],
        [("image", ["batch", *shape], UNIT)], [("logits", ["batch", *shape], "")], {"image": image},
    )


TABLE = """
[segmentation]
percentiles = [0.0, 100.0]
curve = "linear"
threshold = 0.5
overlap = 4
smallest = 3
"""

package("tiny-vae", "variational-autoencoder",
        [encoder([1, 6, 5], [("mean", 3, 2.0), ("log_variance", 3, 0.5)]), decoder([1, 6, 5], 3)])
package("colour-ae", "autoencoder", [encoder([3, 4, 4], [("code", 2, 1.0)]), decoder([3, 4, 4], 2)])
package("tiny-dae", "denoising-autoencoder", denoiser([1, 6, 5]))

RNG = np.random.default_rng(20240602)
LABELS = """
[labels]
names = ["dark", "middling", "bright"]
"""
package("tiny-classifier", "autoencoder",
        [encoder([1, 6, 5], [("code", 2, 1.0)]), decoder([1, 6, 5], 2), classifier([1, 6, 5])], LABELS)
package("tiny-inpainter", "inpainter", [inpainter([1, 6, 5])])

RNG = np.random.default_rng(20240603)
package("tiny-segmenter", "segmentation", [segmenter([1, 16, 24])], TABLE)

def detector(window, columns, channels):
    """Restores 0.5 everywhere, within 0.25; foretells the value before, within what the channel's scale says."""
    golden = RNG.random((2, window, columns), dtype=np.float32)
    each, one = ["batch", window], ["batch"]
    return graph(
        "detector",
        [NODE("Gather", ["window", "zero"], ["value"], axis=2), NODE("Mul", ["value", "none"], ["nothing"]),
         NODE("Add", ["nothing", "half"], ["reconstruction"]),
         NODE("Add", ["nothing", "quarter"], ["reconstruction_scale"]),
         NODE("Gather", ["value", "before"], ["prediction"], axis=1),
         NODE("Gather", ["scales", "channel"], ["prediction_scale"], axis=0)],
        [const("zero", 0, np.int64), const("none", 0, np.float32), const("half", 0.5, np.float32),
         const("quarter", 0.25, np.float32), const("before", window - 2, np.int64),
         const("scales", channels, np.float32)],
        [("window", ["batch", window, columns], ", range = [-4, 4]"),
         ("channel", one, f", range = [0, {len(channels) - 1}]")],
        [("reconstruction", each, ""), ("reconstruction_scale", each, ""), ("prediction", one, ""),
         ("prediction_scale", one, "")],
        {"window": golden, "channel": np.array([0, 1], dtype=np.int64)},
    )


RNG = np.random.default_rng(20240603)
TELEMETRY = """
[telemetry]
columns = 3
clip = 4.0
recent = 2
prediction_span = 1
reconstruction_span = 1
margin = 0.1
merge = 3

[[telemetry.channel]]
name = "steady"
range = [0.0, 0.0]

[[telemetry.channel]]
name = "wave"
range = [0.0, 1.0]
limits = { prediction = 2.0, reconstruction = 3.0 }
"""
package("tiny-telemetry", "anomaly", [detector(4, 3, [0.5, 0.25])], TELEMETRY)
