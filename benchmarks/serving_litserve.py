"""LitServe's server for `serving.py`: a module of its own, which its worker process imports."""

import base64
from typing import Any

import litserve

MAX_BATCH_SIZE = 8  # what ours takes on a CPU
WAIT_SECONDS = 0.005  # without any it would run every image alone


class Classifier(litserve.LitAPI):  # type: ignore[misc]
    """Decodes and predicts by the functions that ours does it by."""

    def __init__(self, archive: str) -> None:
        super().__init__(max_batch_size=MAX_BATCH_SIZE, batch_timeout=WAIT_SECONDS)
        self.archive = archive

    def setup(self, device: str) -> None:
        """Load the model."""
        from allencv_al.predictors import Predictor

        self.predictor = Predictor.from_path(self.archive)

    # LitServe reads the annotations of these two: there must be none

    def decode_request(self, request):  # type: ignore[no-untyped-def]
        """Decode the image, which is base64 in JSON: bytes as they are LitServe does not take."""
        return self.predictor.decode(base64.b64decode(request["content"]))

    def encode_response(self, output):  # type: ignore[no-untyped-def]
        """Return the prediction as it is."""
        return output

    def batch(self, inputs: list[Any]) -> list[Any]:
        """Keep the images apart: sizes may differ until the predictor has sorted them."""
        return inputs

    def predict(self, inputs: list[Any]) -> list[Any]:
        """Run the model once."""
        return [outcome.unwrap() for outcome in self.predictor.predict_decoded(inputs)]

    def unbatch(self, output: list[Any]) -> list[Any]:
        """Return one prediction for each image."""
        return output


def serve(archive: str, port: int) -> None:
    """Serve with one worker process that batches."""
    server = litserve.LitServer(Classifier(archive), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=port, generate_client_file=False, log_level="warning")
