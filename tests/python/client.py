"""A client of the fleet in Python: denoises a picture, then continues a text as it is made.

    pip install grpcio grpcio-tools
    mkdir -p generated
    python -m grpc_tools.protoc -I proto --python_out generated --grpc_python_out generated \
        proto/atelier/*/v1/*.proto
    PYTHONPATH=generated python tests/python/client.py 127.0.0.1:50051 noisy.png denoised.png
"""

import sys

import grpc
from atelier.codec.v1 import codec_pb2, codec_pb2_grpc
from atelier.text.v1 import text_pb2, text_pb2_grpc

server, noisy, denoised = sys.argv[1:]

with grpc.insecure_channel(server) as channel:
    codec = codec_pb2_grpc.CodecServiceStub(channel)
    with open(noisy, "rb") as file:
        request = codec_pb2.DenoiseRequest(image=codec_pb2.Image(data=file.read()))
    answer = codec.Denoise(request, timeout=10)
    with open(denoised, "wb") as file:
        file.write(answer.image.data)
    print(f"{denoised}: by {answer.model.name} version {answer.model.version}", file=sys.stderr)

    text = text_pb2_grpc.TextServiceStub(channel)
    request = text_pb2.GenerateRequest(prompt="ROMEO:\n", max_chars=200, seed=7)
    for event in text.Generate(request, timeout=60):
        print(event.chunk.text, end="", flush=True)
