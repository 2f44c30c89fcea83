"""An ONNX file on ONNX Runtime, as a model of MLServer, which has no such runtime of its own."""

import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class OnnxModel(MLModel):
    async def load(self) -> bool:
        self._session = onnxruntime.InferenceSession(
            self.settings.parameters.uri, providers=["CPUExecutionProvider"]
        )
        self._names = [output.name for output in self._session.get_outputs()]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        inputs = {given.name: NumpyCodec.decode_input(given) for given in payload.inputs}
        outputs = self._session.run(self._names, inputs)
        encoded = [NumpyCodec.encode_output(name, array) for name, array in zip(self._names, outputs)]
        return InferenceResponse(model_name=self.name, outputs=encoded)
