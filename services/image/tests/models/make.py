"""Makes the little packages beside this file, which the image service's tests serve.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install onnx==1.23.2 numpy safetensors
    /tmp/venv/bin/python services/image/tests/models/make.py

The golden outputs come from onnx's own reference evaluator, not from ONNX Runtime. What a class, an age and a
face do to an image is plain arithmetic, so that a test can say what comes out; other weights are random.
"""

import hashlib
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from safetensors.numpy import save

HERE = pathlib.Path(__file__).parent
RNG = np.random.default_rng(20240715)
NODE = helper.make_node
TYPES = {"f32": TensorProto.FLOAT, "i64": TensorProto.INT64}


def weight(name, *shape, scale=1.0):
    return numpy_helper.from_array((RNG.standard_normal(shape) * scale).astype(np.float32), name)


def const(name, values, dtype=np.float32):
    return numpy_helper.from_array(np.array(values, dtype=dtype), name)


def graph(name, nodes, weights, inputs, outputs, golden):
    """inputs and outputs: (name, dtype, shape, range or None)"""
    value = lambda n, t, s, _: helper.make_tensor_value_info(n, TYPES[t], s)
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

    def spec(name, dtype, shape, limits):
        dims = ", ".join(f'"{d}"' if isinstance(d, str) else str(d) for d in shape)
        extra = f", range = [{limits[0]}, {limits[1]}]" if limits else ""
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


def package(name, kind, graphs, licence="MIT OR Apache-2.0", more=""):
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
summary = "A little network for the image service's tests"
licence = "{licence}"
data = "none"
{toml}{more}"""
    )


def normal(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


UNIT = [0, 1]
GREY, COLOUR, FACE = [1, 4, 5], [3, 4, 4], [3, 6, 6]


def plain(shape, length):
    """sigmoid(W z + b)"""
    size = int(np.prod(shape))
    return graph(
        "generator",
        [NODE("Gemm", ["z", "w", "b"], ["flat"], transB=1), NODE("Reshape", ["flat", "shape"], ["logits"]),
         NODE("Sigmoid", ["logits"], ["image"])],
        [weight("w", size, length), weight("b", size, scale=0.1), const("shape", [-1, *shape], np.int64)],
        [("z", "f32", ["batch", length], None)], [("image", "f32", ["batch", *shape], UNIT)],
        {"z": normal(2, length)},
    )


def by_class(shape, length, classes):
    """sigmoid(W z + b) / N + class / N: what the classes make does not overlap."""
    size = int(np.prod(shape))
    return graph(
        "generator",
        [NODE("Gemm", ["z", "w", "b"], ["flat"], transB=1), NODE("Sigmoid", ["flat"], ["unit"]),
         NODE("Div", ["unit", "classes"], ["small"]), NODE("Gather", ["levels", "class"], ["level"]),
         NODE("Add", ["small", "level"], ["sum"]), NODE("Reshape", ["sum", "shape"], ["image"])],
        [weight("w", size, length), weight("b", size, scale=0.1), const("classes", classes),
         const("levels", [[i / classes] for i in range(classes)]), const("shape", [-1, *shape], np.int64)],
        [("z", "f32", ["batch", length], None), ("class", "i64", ["batch"], [0, classes - 1])],
        [("image", "f32", ["batch", *shape], UNIT)],
        {"z": normal(2, length), "class": np.array([0, classes - 1], dtype=np.int64)},
    )


def by_age(shape, length):
    """sigmoid(W z + b) * 0 + age / 100 for the first channel, the sigmoid itself for the others."""
    size = int(np.prod(shape))
    mask = np.zeros((1, *shape), dtype=np.float32)
    mask[:, 0] = 1
    return graph(
        "generator",
        [NODE("Gemm", ["z", "w", "b"], ["flat"], transB=1), NODE("Reshape", ["flat", "shape"], ["logits"]),
         NODE("Sigmoid", ["logits"], ["unit"]), NODE("Mul", ["unit", "rest"], ["others"]),
         NODE("Div", ["age", "hundred"], ["part"]), NODE("Reshape", ["part", "one"], ["level"]),
         NODE("Mul", ["level", "first"], ["red"]), NODE("Add", ["others", "red"], ["image"])],
        [weight("w", size, length), weight("b", size, scale=0.1), const("hundred", 100),
         const("one", [-1, 1, 1, 1], np.int64), const("first", mask), const("rest", 1 - mask),
         const("shape", [-1, *shape], np.int64)],
        [("z", "f32", ["batch", length], None), ("age", "f32", ["batch"], [0, 100])],
        [("image", "f32", ["batch", *shape], UNIT)],
        {"z": normal(2, length), "age": np.array([5, 80], dtype=np.float32)},
    )


def ager(shape):
    """aged = image * (1 - age / 200); what is not of middling brightness is taken for no face."""
    image = RNG.random((2, *shape), dtype=np.float32)
    aged = graph(
        "ager",
        [NODE("Div", ["age", "most"], ["part"]), NODE("Sub", ["whole", "part"], ["kept"]),
         NODE("Reshape", ["kept", "one"], ["factor"]), NODE("Mul", ["image", "factor"], ["aged"])],
        [const("most", 200), const("whole", 1), const("one", [-1, 1, 1, 1], np.int64)],
        [("image", "f32", ["batch", *shape], UNIT), ("age", "f32", ["batch"], [0, 100])],
        [("aged", "f32", ["batch", *shape], UNIT)],
        {"image": image, "age": np.array([20, 90], dtype=np.float32)},
    )
    novelty = graph(
        "novelty",
        [NODE("ReduceMean", ["image"], ["mean"], axes=[1, 2, 3], keepdims=0), NODE("Sub", ["mean", "middle"], ["off"]),
         NODE("Abs", ["off"], ["far"]), NODE("Mul", ["far", "twenty"], ["score"])],
        [const("middle", 0.5), const("twenty", 20)],
        [("image", "f32", ["batch", *shape], UNIT)], [("score", "f32", ["batch"], None)], {"image": image},
    )
    return [aged, novelty]


LABELS = """
[labels]
names = ["bag", "Ankle boot", "coat"]
"""

package("class-gan", "gan", [by_class(GREY, 3, 3)], more=LABELS)
package("face-gan", "gan", [by_age(COLOUR, 2)], licence="non-commercial research only")
package("plain-gan", "gan", [plain(GREY, 3)])
package("tiny-ager", "ager", ager(FACE), licence="non-commercial research only", more="\n[novelty]\nlimit = 5.0\n")
