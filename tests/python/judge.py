"""Judges a fleet by what others have written: Google's gRPC and Protocol Buffers, and Pillow.

Knows nothing of the API but what reflection says. Ends with 0 where all is as it should be.

    python tests/python/judge.py 127.0.0.1:50051
"""

import io
import random
import sys
from pathlib import Path

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status
from PIL import Image, ImageDraw


class Fleet:
    """Calls methods by their names, with what reflection tells."""

    def __init__(self, channel):
        self.channel = channel
        self.database = ProtoReflectionDescriptorDatabase(channel)
        self.pool = descriptor_pool.DescriptorPool(self.database)

    def method(self, service, name):
        """A method as a function of fields, and its request's type."""
        method = self.pool.FindServiceByName(service).methods_by_name[name]
        request = message_factory.GetMessageClass(method.input_type)
        response = message_factory.GetMessageClass(method.output_type)
        kind = self.channel.unary_stream if method.server_streaming else self.channel.unary_unary
        call = kind(
            f"/{service}/{name}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        return lambda timeout=30, **fields: call(request(**fields), timeout=timeout)


def refused(call, code, **fields):
    """The details of a refusal with this code."""
    try:
        answer = call(**fields)
        # A stream is refused when it is read.
        _ = [event for event in answer] if hasattr(answer, "__next__") else answer
    except grpc.RpcError as error:
        assert error.code() == code, error
        status = rpc_status.from_call(error)
        assert status is None or status.code == code.value[0], status
        return error, status
    raise AssertionError(f"not refused: {fields}")


def field(call, **fields):
    """The field that a refusal blames."""
    _, status = refused(call, grpc.StatusCode.INVALID_ARGUMENT, **fields)
    request = error_details_pb2.BadRequest()
    assert status.details[0].Unpack(request), status
    [violation] = request.field_violations
    return violation.field


def file(image, **options):
    data = io.BytesIO()
    image.save(data, **options)
    return {"data": data.getvalue()}


def picture(answer):
    """The picture of an answer, read by Pillow to its end."""
    image = Image.open(io.BytesIO(answer.data))
    image.load()
    assert (image.format, image.mode, image.size) == ("PNG", "L", (28, 28)), image
    return image.tobytes()


def distance(a, b):
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) / len(a)


def judge(channel):
    fleet = Fleet(channel)
    services = fleet.database.get_services()
    for service in ("codec.v1.CodecService", "text.v1.TextService", "models.v1.ModelService"):
        assert f"atelier.{service}" in services, services
    check = fleet.method("grpc.health.v1.Health", "Check")
    assert all(check(service=service).status == 1 for service in ("", "atelier.codec.v1.CodecService"))

    listed = fleet.method("atelier.models.v1.ModelService", "ListModels")().models
    as_json = [json_format.MessageToDict(model) for model in listed]
    shipped = sorted(entry.name for entry in (Path(__file__).parents[2] / "models").iterdir())
    assert sorted(model["name"] for model in as_json) == shipped, as_json

    # A shirt, made noisy: what comes back is nearer to what it was.
    shirt = Image.new("L", (28, 28))
    ImageDraw.Draw(shirt).polygon([(6, 4), (21, 4), (26, 14), (21, 14), (21, 25), (6, 25), (6, 14), (1, 14)], 150)
    noise = random.Random(1)
    noisy = shirt.copy()
    noisy.putdata([min(255, max(0, round(value + noise.gauss(0, 76)))) for value in shirt.tobytes()])
    denoise = fleet.method("atelier.codec.v1.CodecService", "Denoise")
    for fields in ({}, {"sigma": 0.3}):
        clean = picture(denoise(image=file(noisy, format="PNG"), **fields).image)
        assert 2 * distance(clean, shirt.tobytes()) < distance(noisy.tobytes(), shirt.tobytes())

    # Every variant that Pillow writes is read, and the lossless ones as the same picture.
    reconstruct = fleet.method("atelier.codec.v1.CodecService", "Reconstruct")
    plain = picture(reconstruct(image=file(shirt, format="PNG")).image)
    for image, options in (
        (shirt, {"format": "PNG", "compress_level": 0}),
        (shirt.convert("RGB"), {"format": "PNG"}),
        (shirt.convert("RGBA"), {"format": "PNG"}),
        (shirt.convert("LA"), {"format": "PNG"}),
        (shirt.convert("P"), {"format": "PNG"}),
    ):
        same = picture(reconstruct(image=file(image, **options)).image)
        assert distance(same, plain) < 1, (image.mode, options)
    for mode in ("L", "RGB"):
        for options in ({"progressive": True}, {"quality": 95, "optimize": True}):
            near = picture(reconstruct(image=file(shirt.convert(mode), format="JPEG", **options)).image)
            assert distance(near, plain) < 2000, (mode, options)

    # Errors arrive with their details.
    assert field(denoise, image=file(shirt, format="PNG"), sigma=0.9) == "sigma"
    assert field(denoise, image=file(shirt, format="GIF")) == "image.data"
    assert field(denoise) == "image"
    error, _ = refused(denoise, grpc.StatusCode.NOT_FOUND, model="nobody")
    assert "fashion-dae" in error.details(), error

    # A stream: whole, repeatable, refused, ended by its deadline, cancelled.
    generate = fleet.method("atelier.text.v1.TextService", "Generate")
    events = [list(generate(prompt="ROMEO:", seed=7, max_chars=100)) for _ in range(2)]
    texts = ["".join(event.chunk.text for event in each) for each in events]
    assert texts[0] == texts[1] and len(texts[0]) == 100, texts
    assert events[0][0].started.seed == 7 and events[0][-1].finished.chars == 100, events
    assert field(generate, prompt="\N{SNOWMAN}") == "prompt"
    refused(generate, grpc.StatusCode.DEADLINE_EXCEEDED, max_chars=100_000, timeout=1)
    stream = generate(max_chars=100_000)
    assert next(stream).HasField("started")
    stream.cancel()
    assert stream.code() == grpc.StatusCode.CANCELLED


if __name__ == "__main__":
    with grpc.insecure_channel(sys.argv[1]) as channel:
        judge(channel)
