"""Judges the raw tensors of a fleet by NVIDIA's client for Triton: plain, asyncio and streaming.

    python tests/python/tensors.py 127.0.0.1:50051

The fleet serves the shipped `fashion-vae` and `shakespeare-rnn`, and `sums` of `tests/python/graphs.py`.
Ends with 0 where all is as it should be.
"""

import asyncio
import queue
import sys

import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

import grpc

DECODER = "fashion-vae.decoder"
RANDOM = np.random.default_rng(7)


def tensor(name, values):
    datatype = {"float32": "FP32", "int64": "INT64"}[str(values.dtype)]
    given = triton.InferInput(name, values.shape, datatype)
    given.set_data_from_numpy(values)
    return given


def codes(rows):
    return RANDOM.standard_normal((rows, 40)).astype(np.float32)


def sums(rows):
    x = RANDOM.integers(-9, 9, (rows, 3)).astype(np.float32)
    n = RANDOM.integers(-(2**60), 2**60, rows)
    return x, n


def refused(code, call, *words):
    """The call is refused with this code, and with these words."""
    try:
        call()
    except InferenceServerException as error:
        assert error.status() == f"StatusCode.{code}", error
        for word in words:
            assert word in error.message(), (word, error)
        return
    raise AssertionError(f"not refused with {code}: {words}")


def describes(client):
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready(DECODER) and client.is_model_ready("sums", "1")
    assert not client.is_model_ready("nobody") and not client.is_model_ready("sums", "2")
    server = client.get_server_metadata()
    assert server.name == "atelier" and "statistics" in server.extensions, server
    index = {model.name: model.state for model in client.get_model_repository_index().models}
    assert {DECODER, "fashion-vae.encoder", "shakespeare-rnn", "sums"} <= set(index), index
    assert set(index.values()) == {"READY"}, index
    metadata = client.get_model_metadata("sums", as_json=True)
    assert metadata["inputs"] == [
        {"name": "x", "datatype": "FP32", "shape": ["-1", "3"]},
        {"name": "n", "datatype": "INT64", "shape": ["-1"]},
    ], metadata
    # Triton's configuration cannot tell of `n`, which has no dimension but the batch: it is as if there were none.
    config = client.get_model_config("sums").config
    assert (config.max_batch_size, [list(each.dims) for each in config.input]) == (0, [[-1, 3], [-1]]), config
    assert not config.HasField("dynamic_batching"), config
    config = client.get_model_config(DECODER).config
    assert (config.max_batch_size, list(config.input[0].dims)) == (1024, [40]), config
    assert config.dynamic_batching.priority_levels == 3, config


def infers(client):
    """In every order of inputs and choice of outputs; one request's rows do not depend on their company."""
    x, n = sums(5)
    for inputs in ([tensor("x", x), tensor("n", n)], [tensor("n", n), tensor("x", x)]):
        answer = client.infer("sums", inputs, request_id="a7", priority=1, timeout=10_000_000)
        assert answer.get_response().id == "a7" and answer.get_response().model_version == "1"
        assert (answer.as_numpy("total") == x.sum(axis=1)).all()
        assert (answer.as_numpy("next") == n + 1).all()
    wanted = [triton.InferRequestedOutput("next")]
    answer = client.infer("sums", inputs, "1", outputs=wanted)
    assert answer.as_numpy("total") is None and (answer.as_numpy("next") == n + 1).all()

    before = statistics(client, DECODER)
    code = codes(70)
    together = client.infer(DECODER, [tensor("code", code)]).as_numpy("image")
    assert together.shape == (70, 1, 28, 28) and together.min() >= 0 and together.max() <= 1
    for row in (0, 1, 69):
        alone = client.infer(DECODER, [tensor("code", code[row : row + 1])]).as_numpy("image")
        assert (alone[0] == together[row]).all(), f"row {row} has other bits alone"
    after = statistics(client, DECODER)
    assert after.inference_count - before.inference_count == 73, after
    assert after.execution_count - before.execution_count < 73, "no two rows were run together"
    assert after.inference_stats.success.count - before.inference_stats.success.count == 4
    assert after.inference_stats.compute_infer.ns > before.inference_stats.compute_infer.ns


def statistics(client, model):
    [stats] = client.get_inference_statistics(model).model_stats
    return stats


def callbacks(client):
    """Many at once by the client's own threads: each answer is to its own request."""
    answers = queue.Queue()
    asked = [codes(1) for _ in range(200)]
    for number, code in enumerate(asked):
        told = lambda result, error, number=number: answers.put((number, result, error))
        client.async_infer(DECODER, [tensor("code", code)], told)
    for _ in asked:
        number, result, error = answers.get(timeout=60)
        assert error is None, error
        if number % 50 == 0:
            alone = client.infer(DECODER, [tensor("code", asked[number])])
            assert (alone.as_numpy("image") == result.as_numpy("image")).all()


def streams(client):
    """One stream, over models of two roles, with mistakes between: answers in the order of requests."""
    answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    expected = []
    for number in range(120):
        x, n = sums(2)
        name = str(number)
        if number % 10 == 3:
            client.async_stream_infer("nobody", [tensor("x", x)], request_id=name)
            expected.append("no model \"nobody\"")
        elif number % 10 == 6:
            client.async_stream_infer("sums", [tensor("x", x)], request_id=name)
            expected.append("inputs.n: is missing")
        elif number % 2:
            client.async_stream_infer(DECODER, [tensor("code", codes(1))], request_id=name)
            expected.append((name, None))
        else:
            client.async_stream_infer("sums", [tensor("x", x), tensor("n", n)], request_id=name)
            expected.append((name, n + 1))
    for number, due in enumerate(expected):
        result, error = answers.get(timeout=60)
        if isinstance(due, str):
            assert error is not None and due in error.message(), (number, due, error)
            continue
        assert error is None, (number, error)
        name, following = due
        response = result.get_response()
        assert response.id == name, (response.id, name)
        assert response.parameters["triton_final_response"].bool_param
        assert following is None or (result.as_numpy("next") == following).all()
    client.stop_stream()


def refuses(client):
    x, n = sums(2)
    good = [tensor("x", x), tensor("n", n)]
    infer = lambda *args, **kwargs: lambda: client.infer(*args, **kwargs)
    refused("NOT_FOUND", infer("nobody", good), 'no model "nobody"', DECODER, "sums")
    refused("NOT_FOUND", infer("sums", good, "9"), "sums/9", "there is: 1")
    refused("NOT_FOUND", lambda: client.get_model_metadata("nobody"), "nobody")
    refused("INVALID_ARGUMENT", infer("fashion-vae", good), "model_name", "fashion-vae.decoder")
    refused("UNIMPLEMENTED", infer("shakespeare-rnn", good), "keeps a state", "char-rnn")
    refused("INVALID_ARGUMENT", infer("sums", [tensor("y", x), good[1]]), 'inputs[0].name: is "y"', "x (FP32")
    refused("INVALID_ARGUMENT", infer("sums", [tensor("x", n), good[1]]), "inputs.x.datatype", "FP32 is right")
    refused("INVALID_ARGUMENT", infer("sums", [tensor("x", x[:, :2].copy()), good[1]]), "inputs.x.shape", "[batch, 3]")
    refused("INVALID_ARGUMENT", infer("sums", [good[0], tensor("n", n[:1])]), "inputs.n.shape", "batch = 2")
    refused("INVALID_ARGUMENT", infer("sums", good[:1]), "inputs.n: is missing", "INT64 [batch]")
    refused("INVALID_ARGUMENT", infer("sums", good + good[:1]), "inputs.x: is there twice")
    wanted = [triton.InferRequestedOutput("product")]
    refused("INVALID_ARGUMENT", infer("sums", good, outputs=wanted), "outputs[0].name", "total, next")
    wanted = [triton.InferRequestedOutput("total", class_count=3)]
    refused("INVALID_ARGUMENT", infer("sums", good, outputs=wanted), "outputs.total.parameters.classification")
    refused("INVALID_ARGUMENT", infer("sums", good, priority=9), "parameters.priority: is 9")
    refused("INVALID_ARGUMENT", infer("sums", good, sequence_id=3), "parameters.sequence_id")
    refused("DEADLINE_EXCEEDED", infer("sums", good, timeout=1), "deadline")
    many = np.zeros((2000, 3), np.float32)
    refused("INVALID_ARGUMENT", infer("sums", [tensor("x", many), tensor("n", np.zeros(2000, np.int64))]), "1024 rows")
    nan = tensor("x", np.full((2, 3), np.nan, np.float32))
    refused("INVALID_ARGUMENT", infer("sums", [nan, good[1]]), "inputs.x: element 0 is NaN")
    refused("UNIMPLEMENTED", lambda: client.load_model("sums"), "--models")
    refused("UNIMPLEMENTED", lambda: client.unload_model("sums"), "--models")
    refused("UNIMPLEMENTED", lambda: client.get_system_shared_memory_status())


def messages(address):
    """What the client never sends: elements in typed fields, in both forms, and of wrong lengths."""
    x, n = sums(1)
    with grpc.insecure_channel(address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)

        def request():
            asked = service_pb2.ModelInferRequest(model_name="sums")
            first = asked.inputs.add(name="x", datatype="FP32", shape=[1, 3])
            first.contents.fp32_contents.extend(x[0])
            asked.inputs.add(name="n", datatype="INT64", shape=[1]).contents.int64_contents.append(int(n[0]))
            return asked

        answer = stub.ModelInfer(request())
        assert not answer.raw_output_contents, answer
        assert list(answer.outputs[0].contents.fp32_contents) == [x.sum()], answer
        assert list(answer.outputs[1].contents.int64_contents) == [n[0] + 1], answer

        def wrong(words, change):
            asked = request()
            change(asked)
            try:
                stub.ModelInfer(asked)
            except grpc.RpcError as error:
                assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error
                assert words in error.details(), (words, error.details())
                return
            raise AssertionError(f"not refused: {words}")

        raw = lambda *parts: lambda asked: asked.raw_input_contents.extend(parts)
        wrong("raw_input_contents: has 1 entries, but there are 2", raw(x.tobytes()))
        wrong("inputs.x.contents: is there together with raw_input_contents", raw(x.tobytes(), n.tobytes()))
        wrong("fp32_contents: has 4 elements", lambda r: r.inputs[0].contents.fp32_contents.append(1))
        wrong("inputs.x.contents.int64_contents", lambda r: r.inputs[0].contents.int64_contents.append(1))
        wrong("inputs.n.contents: is missing", lambda r: r.inputs[1].ClearField("contents"))
        wrong("model_name: is empty", lambda r: r.ClearField("model_name"))

        def short(asked):
            for given in asked.inputs:
                given.ClearField("contents")
            asked.raw_input_contents.extend([x.tobytes()[:-1], n.tobytes()])

        wrong("raw_input_contents[0] (x): has 11 bytes, but FP32 [1, 3] has 12", short)


async def aio(address):
    async with triton_aio.InferenceServerClient(address) as client:
        assert await client.is_server_ready()
        asked = [sums(1) for _ in range(100)]
        infer = lambda x, n: client.infer("sums", [tensor("x", x), tensor("n", n)])
        answers = await asyncio.gather(*(infer(x, n) for x, n in asked))
        for (x, n), answer in zip(asked, answers, strict=True):
            assert (answer.as_numpy("next") == n + 1).all() and (answer.as_numpy("total") == x.sum(axis=1)).all()

        async def requests():
            for number, (x, n) in enumerate(asked):
                yield {"model_name": "sums", "inputs": [tensor("x", x), tensor("n", n)], "request_id": str(number)}

        number = 0
        async for answer, error in client.stream_infer(requests()):
            assert error is None and answer.get_response().id == str(number), (number, error)
            assert (answer.as_numpy("next") == asked[number][1] + 1).all()
            number += 1
        assert number == len(asked), number
        try:
            await client.infer("nobody", [tensor("x", asked[0][0])])
        except InferenceServerException as error:
            assert error.status() == "StatusCode.NOT_FOUND", error
        else:
            raise AssertionError("not refused")


if __name__ == "__main__":
    address = sys.argv[1]
    with triton.InferenceServerClient(address) as client:
        for judge in (describes, infers, callbacks, streams, refuses):
            judge(client)
    messages(address)
    asyncio.run(aio(address))
