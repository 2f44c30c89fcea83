"""ONNX files on ONNX Runtime behind Triton's server and its dynamic batcher, through NVIDIA's PyTriton.

    triton.py --grpc PORT --http PORT --metrics PORT NAME=FILE ...

Triton asks for at least one dimension after the batch: an input that has none is taken as [batch, 1].
"""

import argparse

import numpy
import onnxruntime
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

TYPES = {"tensor(float)": numpy.float32, "tensor(int64)": numpy.int64}


def tensor(spec):
    inner = [size if isinstance(size, int) else -1 for size in spec.shape[1:]]
    return Tensor(name=spec.name, dtype=TYPES[spec.type], shape=tuple(inner or [1]))


def bind(server, name, file):
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    inputs, outputs = session.get_inputs(), session.get_outputs()
    flat = {spec.name for spec in inputs if len(spec.shape) == 1}
    names = [spec.name for spec in outputs]

    @batch
    def infer(**arrays):
        arrays = {key: array[:, 0] if key in flat else array for key, array in arrays.items()}
        return dict(zip(names, session.run(names, arrays)))

    server.bind(
        model_name=name,
        infer_func=infer,
        inputs=[tensor(spec) for spec in inputs],
        outputs=[tensor(spec) for spec in outputs],
        config=ModelConfig(max_batch_size=32, batcher=DynamicBatcher()),
    )


def main():
    parser = argparse.ArgumentParser()
    for port in ("grpc", "http", "metrics"):
        parser.add_argument(f"--{port}", type=int, required=True)
    parser.add_argument("models", nargs="+")
    given = parser.parse_args()
    config = TritonConfig(
        grpc_address="127.0.0.1", grpc_port=given.grpc,
        http_address="127.0.0.1", http_port=given.http,
        metrics_address="127.0.0.1", metrics_port=given.metrics,
    )
    with Triton(config=config) as server:
        for model in given.models:
            name, file = model.split("=", 1)
            bind(server, name, file)
        server.serve()


if __name__ == "__main__":
    main()
